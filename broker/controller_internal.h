/* What the files of the controller share. */
#ifndef RUNNEL_BROKER_CONTROLLER_INTERNAL_H
#define RUNNEL_BROKER_CONTROLLER_INTERNAL_H

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>

#include "broker/controller.h"
#include "broker/image_change.h"
#include "broker/metadata_bootstrap.h"
#include "broker/metadata_log.h"
#include "broker/metadata_replay.h"
#include "storage/env.h"

/* Bounds on what clients can make us keep, and do at once (Kafka's MAX_PARTITIONS_PER_BATCH). */
enum { PARTITIONS_MAX = 100000, PARTITIONS_PER_CALL_MAX = 10000, CONTROLLER_MESSAGE_SIZE = 256 };

struct commit;

/* A command that waits for the controller: the head of a struct that its kind adds to, on the caller's stack.
 */
struct command {
    /* Checks, and adds records to the commit or sets errors; validate_only adds none. */
    void (*decide)(struct commit *commit, struct command *command);
    /* The commit failed: whatever had no error yet has this one. */
    void (*fail)(struct command *command, int16_t error_code);
    struct command *next;
    bool is_done;
};

struct controller {
    struct controller_host host;
    struct log *log;
    _Atomic(struct image *) image;
    struct metadata_place place;
    char log_directory[PATH_MAX];

    pthread_mutex_t mutex; /* guards the queue: first, last, is_leading, is_done of commands */
    pthread_cond_t done;
    struct command *first;
    struct command **last;
    bool is_leading; /* somebody commits; what follows belongs to that thread */

    int32_t epoch;             /* raft epoch: of the newest record, then ours */
    bool owns_epoch;           /* our LeaderChange is in the log */
    bool has_open_transaction; /* somebody's, not ended: aborted with the next change */
    bool needs_bootstrap;      /* the log lacks the records it has to begin with */
    bool is_failed;            /* a write or flush failed: nobody knows what is on the disk */
    bool has_leftovers;        /* a removed topic's directory kept its name: the log alone says what it is */

    struct metadata_kept kept; /* complete when the controller is open */
    uint64_t tail_bytes;       /* of records that no snapshot covers, about */
    _Atomic int64_t covered;   /* end offset of the newest snapshot; -1: there is none */
    bool is_log_epoch;         /* epoch is that of the newest record */
    bool is_lonely;            /* since a crash, or damage that was mended, no snapshot covers the log */
    int64_t snapshot_ms;       /* monotonic, of the newest snapshot, or of the start */
    struct storage_job snapshot_job;
    atomic_bool is_snapshotting; /* from the submission to the end of the job */
};

/* A group of commands on its way into the log. */
struct commit {
    struct controller *controller;
    struct image_change *change;
    struct metadata_replay replay;
    struct metadata_batches batches;
    struct arena arena;
    bool is_broken; /* records do not apply, or memory ran out: nothing of the group is committed */
};

/* Runs the command, alone or with others that wait: decide, append, flush, publish. Returns when it is
 * committed or failed. May block. */
void controller__run(struct controller *controller, struct command *command);

/* Replays a record and adds it to the open batch. */
void controller__commit_record(struct commit *commit, slice record);
/* Replays records and adds them as one atomic batch. */
void controller__commit_records(struct commit *commit, const slice *records, size_t count);

/* controller_assign.c */
/* Sets both, cut to CONTROLLER_MESSAGE_SIZE; false, so that a check can end with it. */
__attribute__((format(printf, 4, 5))) bool controller__refuse(int16_t *error_code, char *message,
                                                              int16_t code, const char *format, ...);
/* False: refused, as the disk is full, and what is kept for that day is for those who give room back. */
bool controller__check_room(struct commit *commit, int16_t *error_code, char *message);
/* replication_factor -1: any. False: refused, or the commit is broken. */
bool controller__check_assignment(struct commit *commit, const struct replica_assignment *assignment,
                                  int32_t replication_factor, int16_t *error_code, char *message);
/* assignment NULL: this node. Null: no memory. */
slice controller__encode_partition(struct commit *commit, uuid topic_id, int32_t index,
                                   const struct replica_assignment *assignment);

/* controller_configs.c: a null value takes the setting away. Null: no memory. */
slice controller__encode_config(struct commit *commit, enum config_resource_type type, slice resource,
                                slice name, slice value);

/* controller_snapshot.c: after a commit, by whoever leads: has a worker write a snapshot when it is time. */
void controller__commit_grew(struct controller *controller, const struct metadata_batches *batches);

/* controller_elections.c: makes this node the leader of partitions that have none. False: not committed. */
bool controller__elect_leaders(struct controller *controller);

/* controller_partitions.c: opens the logs of what an image has new, tells logs of new settings. */
void controller__open_partitions(struct controller *controller, struct image_change *change);
/* Before a topic becomes one with flush.messages=1: the high watermark waits for the device from now on, and
 * what consumers saw so far is on it. Else a power cut just after the commit would take back records that
 * recovery believes nobody saw, as it raises leader epochs in page-cache mode only. False: a log could not be
 * flushed. */
bool controller__make_durable(const struct topic *topic, const struct topic_config *config);
/* After the publication: retires what the new image does not have any more. */
void controller__retire_replaced(struct controller *controller, struct image_change *change);
/* At the end: frees the partitions of the image. */
void controller__free_partitions(struct image *image);

#endif
