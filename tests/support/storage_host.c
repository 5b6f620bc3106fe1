/* A host for storage in one thread. */
#include "tests/support/storage_host.h"

#include <stdlib.h>

#include "protocol/base/check.h"
#include "protocol/base/crc32c.h"

static struct storage_host *host_of(struct storage_env *env)
{
    return (struct storage_host *)env;
}

static void submit(struct storage_env *env, struct storage_job *job)
{
    struct storage_host *host = host_of(env);

    if (host->job_count == host->job_capacity) {
        host->job_capacity = host->job_capacity ? host->job_capacity * 2 : 8;
        host->jobs = check_memory(realloc(host->jobs, host->job_capacity * sizeof(struct storage_job *)));
    }
    host->jobs[host->job_count++] = job;
}

static void flush_wanted(struct storage_env *env)
{
    host_of(env)->flush_wanted = true;
}

static void progress(struct storage_env *env, void *owner)
{
    (void)owner;
    host_of(env)->progress_count++;
}

static void directory_failed(struct storage_env *env, const char *directory)
{
    (void)directory;
    host_of(env)->failed_count++;
}

void storage_host_init(struct storage_host *host, struct file_system *files)
{
    *host = (struct storage_host){ .env = { .files = files,
                                            .retire = retire_create(),
                                            .submit = submit,
                                            .flush_wanted = flush_wanted,
                                            .progress = progress,
                                            .directory_failed = directory_failed } };
    clock_virtual_init(&host->clock, 1700000000000);
    host->env.clock = &host->clock.clock;
    host->member = retire_join(host->env.retire);
}

void storage_host_destroy(struct storage_host *host)
{
    storage_host_run(host);
    retire_leave(host->env.retire, host->member);
    retire_destroy(host->env.retire);
    free(host->jobs);
}

void storage_host_run(struct storage_host *host)
{
    while (host->job_count) {
        struct storage_job *job = host->jobs[0];
        memmove(host->jobs, host->jobs + 1, --host->job_count * sizeof(struct storage_job *));
        job->run(job);
    }
    retire_quiescent(host->env.retire, host->member);
}

void storage_host_flush(struct storage_host *host, struct store *store)
{
    while (host->flush_wanted) {
        host->flush_wanted = store_flush(store);
        retire_quiescent(host->env.retire, host->member);
    }
}

struct batch_view storage_host_batch(struct arena *arena, uint64_t seed, int count, size_t size)
{
    struct batch_builder_options options = {
        .leader_epoch = -1, .producer_id = -1, .producer_epoch = -1, .base_sequence = -1
    };
    struct batch_builder *builder = check_memory(batch_builder_open(arena, &options));
    uint8_t *value = check_memory(arena_alloc(arena, size + 1));
    struct random random;
    struct batch_view batch;

    random_seed(&random, seed);
    for (int i = 0; i < count; i++) {
        random_bytes(&random, value, size);
        check(batch_builder_add(builder, 1700000000000 + (int64_t)seed, SLICE_NULL, slice_of(value, size),
                                NULL, 0));
    }
    check(batch_builder_finish(builder, &batch) == BATCH_OK);
    return batch;
}

void storage_host_give_producer(struct batch_view *batch, int64_t producer_id, int16_t epoch,
                                int32_t sequence)
{
    batch->producer_id = producer_id;
    batch->producer_epoch = epoch;
    batch->base_sequence = sequence;
    store_be64(batch->data + BATCH_PRODUCER_ID, (uint64_t)producer_id);
    store_be16(batch->data + BATCH_PRODUCER_EPOCH, (uint16_t)epoch);
    store_be32(batch->data + BATCH_BASE_SEQUENCE, (uint32_t)sequence);
    store_be32(batch->data + BATCH_CRC,
               crc32c(0, batch->data + BATCH_ATTRIBUTES, batch->size - BATCH_ATTRIBUTES));
}

enum log_status storage_host_append(struct storage_host *host, struct log *log,
                                    const struct batch_view *batch, struct log_append_result *result)
{
    for (int attempt = 0;; attempt++) {
        struct batch_view copy = *batch;
        enum log_status status = log_append(log, &copy, 1, 0, clock_wall_ms(host->env.clock), result);
        if (status == LOG_OK)
            status = result->status;
        if (status != LOG_BUSY || attempt == 8)
            return status;
        storage_host_run(host);
        status = log_prepare(log);
        if (status != LOG_OK)
            return status;
    }
}

slice storage_host_read(struct storage_host *host, struct log *log, int64_t offset, enum log_status *status)
{
    struct arena arena;
    struct log_range range;
    slice out = SLICE_NULL;

    arena_init(&arena, NULL);
    for (int attempt = 0; attempt < 4; attempt++) {
        *status = log_read(log, offset, INT64_MAX, 1, true, false, &arena, &range);
        if (*status == LOG_BUSY)
            *status = log_prepare(log);
        else if (*status == LOG_COLD)
            *status = log_warm(log, offset, INT64_MAX, 1);
        else
            break;
        if (*status != LOG_OK)
            break;
    }
    if (*status == LOG_OK && range.bytes.size) {
        uint8_t *bytes = check_memory(malloc(range.bytes.size));
        memcpy(bytes, range.bytes.data, range.bytes.size);
        out = slice_of(bytes, range.bytes.size);
    }
    arena_destroy(&arena);
    retire_quiescent(host->env.retire, host->member);
    return out;
}

struct log_config storage_host_config(int32_t segment_bytes)
{
    return (struct log_config){ .segment_bytes = segment_bytes,
                                .segment_ms = 604800000,
                                .index_interval_bytes = 64,
                                .segment_index_bytes = 10 << 20,
                                .flush_messages = 1,
                                .flush_ms = INT64_MAX,
                                .max_message_bytes = 1 << 20 };
}
