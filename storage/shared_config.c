/* Settings of logs, kept once for all that have the same. */
#include "storage/shared_config.h"

#include <pthread.h>
#include <stdlib.h>

#include "protocol/base/check.h"

enum { BUCKETS = 256 };

struct shared_config {
    struct log_config config; /* first: what the logs have */
    struct shared_config *next;
    size_t holds;
};

/* As a process has one memory: logs of two stores may share as well. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct shared_config *buckets[BUCKETS];

/* Field by field: what lies between them is undefined. */
static bool is_equal(const struct log_config *a, const struct log_config *b)
{
    return a->segment_bytes == b->segment_bytes && a->segment_ms == b->segment_ms &&
           a->segment_jitter_ms == b->segment_jitter_ms &&
           a->index_interval_bytes == b->index_interval_bytes &&
           a->segment_index_bytes == b->segment_index_bytes && a->flush_messages == b->flush_messages &&
           a->flush_ms == b->flush_ms && a->max_message_bytes == b->max_message_bytes &&
           a->producer_id_expiration_ms == b->producer_id_expiration_ms &&
           a->producer_ids_max == b->producer_ids_max && a->rank == b->rank && a->cleanup == b->cleanup &&
           a->retention_ms == b->retention_ms && a->retention_bytes == b->retention_bytes &&
           a->file_delete_delay_ms == b->file_delete_delay_ms &&
           a->delete_retention_ms == b->delete_retention_ms &&
           a->min_compaction_lag_ms == b->min_compaction_lag_ms &&
           a->max_compaction_lag_ms == b->max_compaction_lag_ms &&
           a->min_cleanable_ratio <= b->min_cleanable_ratio &&
           a->min_cleanable_ratio >= b->min_cleanable_ratio;
}

_Static_assert(sizeof(struct log_config) == 136, "is_equal() compares every field");

static struct shared_config **bucket_of(const struct log_config *config)
{
    uint64_t hash = (uint64_t)config->segment_bytes * 31 + (uint64_t)config->retention_ms * 17 +
                    (uint64_t)config->retention_bytes * 13 + (uint64_t)config->segment_ms * 7 +
                    (uint64_t)config->flush_messages * 5 + (uint64_t)config->max_message_bytes * 3 +
                    (uint64_t)config->delete_retention_ms + config->cleanup;

    return &buckets[(hash * 0x9e3779b97f4a7c15u) >> 56];
}

const struct log_config *shared_config_take(const struct log_config *config)
{
    struct shared_config **bucket = bucket_of(config), *shared;

    pthread_mutex_lock(&mutex);
    for (shared = *bucket; shared && !is_equal(&shared->config, config); shared = shared->next)
        continue;
    if (!shared && (shared = malloc(sizeof *shared))) {
        *shared = (struct shared_config){ .config = *config, .next = *bucket };
        *bucket = shared;
    }
    if (shared)
        shared->holds++;
    pthread_mutex_unlock(&mutex);
    return shared ? &shared->config : NULL;
}

void shared_config_drop(void *config)
{
    struct shared_config *shared = config;

    pthread_mutex_lock(&mutex);
    check(shared->holds > 0);
    bool is_last = --shared->holds == 0;
    if (is_last) {
        struct shared_config **link = bucket_of(&shared->config);
        while (*link != shared)
            link = &(*link)->next;
        *link = shared->next;
    }
    pthread_mutex_unlock(&mutex);
    if (is_last)
        free(shared);
}
