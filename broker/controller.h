/* The controller: turns commands into metadata records, and what is committed into images. */
#ifndef RUNNEL_BROKER_CONTROLLER_H
#define RUNNEL_BROKER_CONTROLLER_H

#include "broker/config.h"
#include "broker/image.h"
#include "storage/store.h"

struct controller;

/* What the controller needs of the server, which outlives it. */
struct controller_host {
    struct storage_env *env;
    struct store *store;
    const struct config *config;
    struct random *random; /* for topic ids; used under the controller's lock */
    /* Partitions of removed topics, linked by next_deleted: marked deleted, their logs answer LOG_CLOSED.
     * Takes the controller's hold on each; whoever watches them is to be told. NULL: nobody can. */
    void (*partitions_deleted)(void *context, struct partition *partitions);
    void *context;
};

/* For store_options.inspect: refuses what controller_open() would refuse of the metadata that lies in the
 * store, before anything of it is changed: other nodes, tiered topics, records of a newer Kafka, log
 * directories that are not there. May block. */
enum store_status controller_inspect(const struct controller_host *host, const char **error);
/* Replays the newest snapshot and the metadata log; a new directory gets what `kafka-storage format
 * --standalone` writes (nothing is flushed before the first command). Opens the log object of every
 * partition (store_log). On failure *error tells the operator. */
enum store_status controller_open(const struct controller_host *host, struct controller **out,
                                  const char **error);
/* After store_recover(), before serving: raises the leader epoch of partitions that may have lost records
 * which clients saw: all in page-cache mode (KIP-320, DESIGN 7). Writes nothing after a clean stop. False: it
 * could not be committed. */
bool controller_raise_epochs(struct controller *controller);
/* For a clean stop: writes a snapshot when something was changed that none covers, so that whatever is
 * damaged later, in the log or in the snapshot, the other one tells the same. No command may be under way;
 * the store is still open. */
void controller_stop(struct controller *controller);
/* No command may be under way. */
void controller_close(struct controller *controller);

/* The newest committed image; lock-free, valid in this turn (retire.h). */
const struct image *controller_image(struct controller *controller);

/* Which brokers hold one partition, the preferred leader first. Borrowed. */
struct replica_assignment {
    int32_t partition;
    const int32_t *broker_ids;
    size_t broker_count;
};

/* One topic to create. Strings are borrowed until the call returns. */
struct create_topic {
    slice name;
    int32_t partition_count;                      /* -1: num.partitions */
    int16_t replication_factor;                   /* -1: default.replication.factor */
    const struct replica_assignment *assignments; /* manual, then both counts above are -1 */
    size_t assignment_count;
    const struct topic_config_override *overrides;
    size_t override_count;
    int16_t error_code; /* out: Kafka's code */
    char message[256];  /* out: for the client, "" when there is none */
    uuid id;            /* out; not with validate_only */
    /* out: with defaults filled in */
    int32_t created_partition_count;
    int16_t created_replication_factor;
};

/* Creates the topics that are valid, each as one atomic batch (Topic, Config, Partition records),
 * commits them with one flush, publishes the image. The others get TOPIC_ALREADY_EXISTS,
 * INVALID_TOPIC_EXCEPTION (also for a '.'/'_' collision), INVALID_PARTITIONS,
 * INVALID_REPLICATION_FACTOR, INVALID_REPLICA_ASSIGNMENT, INVALID_CONFIG, POLICY_VIOLATION (limits; above
 * Kafka's 10,000 partitions a call all of them). Commands are taken one after another; commands that wait
 * are committed together. May block: for workers. */
void controller_create_topics(struct controller *controller, struct create_topic *topics, size_t count,
                              bool validate_only);

/* One topic to delete, by the id that the caller resolved: a topic recreated meanwhile is another one. */
struct delete_topic {
    uuid id;
    int16_t error_code; /* out: UNKNOWN_TOPIC_ID when it is gone already */
    char message[256];  /* out */
};

/* Removes the topics with their settings (RemoveTopic records; one commit for all): the image no longer has
 * them, whoever waits for their partitions is woken and answered, their names are free at once, their
 * directories get Kafka's -delete name and are unlinked by a worker. May block. */
void controller_delete_topics(struct controller *controller, struct delete_topic *topics, size_t count);

/* One topic to give more partitions (KIP-195). Borrowed. */
struct grow_topic {
    slice name;
    int32_t partition_count;                      /* the new total */
    const struct replica_assignment *assignments; /* of the new partitions; NULL: automatic */
    size_t assignment_count;
    int16_t error_code; /* out: INVALID_PARTITIONS, INVALID_REPLICA_ASSIGNMENT, ... */
    char message[256];  /* out */
};

/* Each topic is one atomic batch. May block. */
void controller_grow_topics(struct controller *controller, struct grow_topic *topics, size_t count,
                            bool validate_only);

/* What IncrementalAlterConfigs does with one setting (KIP-339); numbers as on the wire. */
enum config_operation { CONFIG_SET = 0, CONFIG_DELETE = 1, CONFIG_APPEND = 2, CONFIG_SUBTRACT = 3 };

struct config_change {
    slice name;
    slice value; /* null for CONFIG_DELETE */
    enum config_operation operation;
};

/* The settings of one topic or group to change: all of them or none. Borrowed. */
struct alter_config {
    enum config_resource_type type; /* CONFIG_RESOURCE_TOPIC, or CONFIG_RESOURCE_GROUP: that need not exist */
    slice name;
    const struct config_change *changes;
    size_t change_count;
    bool is_replacement; /* the changes, all CONFIG_SET, are all that it has then (AlterConfigs) */
    /* out: INVALID_CONFIG, INVALID_REQUEST, UNKNOWN_TOPIC_OR_PARTITION; POLICY_VIOLATION beyond the bounds
     * below */
    int16_t error_code;
    char message[256]; /* out */
};

/* How many groups may have settings, and how many bytes all of theirs may take. */
enum { GROUP_CONFIGS_MAX = 100000, GROUP_CONFIGS_SIZE_MAX = 64 << 20 };

/* Decided on the newest settings; logs and groups act on the new ones from the publication on. May block. */
void controller_alter_configs(struct controller *controller, struct alter_config *resources, size_t count,
                              bool validate_only);

/* Claims the next block of producer ids (ProducerIdsRecord): never given out before, also after a restart.
 * Durable when it returns. An error code of Kafka, then nothing was claimed. May block. */
int16_t controller_claim_producer_ids(struct controller *controller, int64_t *first, int32_t *count);

/* Appends records at the end of the metadata log if that is still expected_end (-1: wherever it is)
 * and waits until they are durable; then the image is published. The seam for clusters, where
 * somebody else may have been faster (DESIGN 7, 12). */
enum propose_status { PROPOSE_COMMITTED, PROPOSE_CONFLICT, PROPOSE_FAILED };
enum propose_status controller_propose(struct controller *controller, slice *records, size_t count,
                                       int64_t expected_end, int64_t *committed_end);

#endif
