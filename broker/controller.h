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
};

/* Replays the newest snapshot and the metadata log; a new directory gets what `kafka-storage format
 * --standalone` writes (nothing is flushed before the first command). Opens the log object of every
 * partition (store_log). On failure *error tells the operator. */
enum store_status controller_open(const struct controller_host *host, struct controller **out,
                                  const char **error);
/* After store_recover(), before serving: raises the leader epoch of partitions that lost records which
 * clients may have seen (page-cache mode; KIP-320, DESIGN 7). Writes nothing after a clean stop. False:
 * it could not be committed. */
bool controller_raise_epochs(struct controller *controller);
/* No command may be under way. */
void controller_close(struct controller *controller);

/* The newest committed image; lock-free, valid in this turn (retire.h). */
const struct image *controller_image(struct controller *controller);

/* One topic to create. Strings are borrowed until the call returns. */
struct create_topic {
    slice name;
    int32_t partition_count;    /* -1: num.partitions */
    int16_t replication_factor; /* -1: default.replication.factor */
    const struct topic_config_override *overrides;
    size_t override_count;
    int16_t error_code; /* out: Kafka's code */
    char message[256];  /* out: for the client, "" when there is none */
    uuid id;            /* out */
};

/* Creates the topics that are valid, each as one atomic batch (Topic, Config, Partition records),
 * commits them with one flush, publishes the image. The others get TOPIC_ALREADY_EXISTS,
 * INVALID_TOPIC_EXCEPTION (also for a '.'/'_' collision), INVALID_PARTITIONS,
 * INVALID_REPLICATION_FACTOR, INVALID_CONFIG, POLICY_VIOLATION (limits). Commands are taken one
 * after another; commands that wait are committed together. May block: for workers. */
void controller_create_topics(struct controller *controller, struct create_topic *topics, size_t count,
                              bool validate_only);

/* Appends records at the end of the metadata log if that is still expected_end (-1: wherever it is)
 * and waits until they are durable; then the image is published. The seam for clusters, where
 * somebody else may have been faster (DESIGN 7, 12). */
enum propose_status { PROPOSE_COMMITTED, PROPOSE_CONFLICT, PROPOSE_FAILED };
enum propose_status controller_propose(struct controller *controller, slice *records, size_t count,
                                       int64_t expected_end, int64_t *committed_end);

#endif
