/* A host for storage in one thread: jobs wait in a queue until the test runs them, the clock stands still. */
#ifndef RUNNEL_TESTS_SUPPORT_STORAGE_HOST_H
#define RUNNEL_TESTS_SUPPORT_STORAGE_HOST_H

#include "protocol/record_batch.h"
#include "storage/store.h"

struct storage_host {
    struct storage_env env; /* first: a storage_host is a storage_env */
    struct clock_virtual clock;
    unsigned member; /* of env.retire */
    struct storage_job **jobs;
    size_t job_count;
    size_t job_capacity;
    bool flush_wanted;
    unsigned progress_count;
    unsigned failed_count; /* of directories */
};

void storage_host_init(struct storage_host *host, struct file_system *files);
/* Everything that storage retired is freed; the store must be closed. */
void storage_host_destroy(struct storage_host *host);
/* Runs jobs, and what they submit, until none is left; then a quiescent state. */
void storage_host_run(struct storage_host *host);
/* Flushes while the store has something to flush. */
void storage_host_flush(struct storage_host *host, struct store *store);

/* A batch of `count` records whose values have `size` bytes, drawn from `seed`; in the arena. */
struct batch_view storage_host_batch(struct arena *arena, uint64_t seed, int count, size_t size);
/* Makes it a batch of an idempotent producer, with a right CRC. */
void storage_host_give_producer(struct batch_view *batch, int64_t producer_id, int16_t epoch, int32_t sequence);
/* Appends one batch, with log_prepare() as often as the log asks for it. */
enum log_status storage_host_append(struct storage_host *host, struct log *log,
                                    const struct batch_view *batch, struct log_append_result *result);
/* The bytes of the batch at offset, copied to malloc'ed memory (returned owned); {NULL, 0} when it cannot be
 * read, then *status says why. */
slice storage_host_read(struct storage_host *host, struct log *log, int64_t offset, enum log_status *status);

/* Kafka's defaults, durable, with these segments. */
struct log_config storage_host_config(int32_t segment_bytes);

#endif
