/* Waits until what several shards told is durable. */
#include "broker/coordinator/shard_reads.h"

#include "broker/coordinator/shard_internal.h"

bool shard_reads_add(struct request *rq, struct shard_reads *reads, struct shard *shard, int64_t offset)
{
    if (offset < 0)
        return true;
    for (size_t i = reads->count; i > 0 && i + 64 > reads->count; i--) {
        if (reads->items[i - 1].shard != shard)
            continue;
        if (reads->items[i - 1].offset < offset)
            reads->items[i - 1].offset = offset;
        return true;
    }
    if (reads->count == reads->capacity) {
        size_t capacity = reads->capacity ? 2 * reads->capacity : 8;
        struct shard_read *items = arena_alloc_array(&rq->arena, capacity, sizeof *items);
        if (!items)
            return false;
        if (reads->count > 0)
            memcpy(items, reads->items, reads->count * sizeof *items);
        reads->items = items;
        reads->capacity = capacity;
    }
    reads->items[reads->count++] = (struct shard_read){ shard, offset };
    return true;
}

static bool is_durable(const struct shard_read *read)
{
    struct log *log = read->shard->partition->log;
    return !log_is_durable_mode(log) || log_offsets(log).durable >= read->offset;
}

/* ERR_NONE with *is_all: nothing is left to wait for. */
static int16_t look(struct request *rq, const struct shard_reads *reads, bool is_watching, bool *is_all)
{
    *is_all = true;
    for (size_t i = 0; i < reads->count; i++) {
        const struct shard_read *read = &reads->items[i];
        if (is_durable(read))
            continue;
        if (is_watching && !rq_watch(rq, read->shard->partition))
            return ERR_COORDINATOR_NOT_AVAILABLE;
        if (is_durable(read)) /* watched first, then looked at: nothing is missed */
            continue;
        *is_all = false;
        if (log_health(read->shard->partition->log) != LOG_OK)
            return ERR_NOT_COORDINATOR;
    }
    return ERR_NONE;
}

static enum handled resume_reads(struct request *rq, enum wake why)
{
    const struct shard_reads *reads = rq->state;
    bool is_all;
    int16_t error_code = look(rq, reads, false, &is_all);
    if (is_all && error_code == ERR_NONE)
        return HANDLED_DONE;
    if (error_code == ERR_NONE && why == WAKE_DEADLINE)
        error_code = ERR_COORDINATOR_NOT_AVAILABLE;
    return error_code == ERR_NONE ? HANDLED_BUSY : reads->failed(rq, error_code);
}

enum handled shard_reads_answer(struct request *rq, struct shard_reads *reads)
{
    bool is_all;
    rq->state = reads;
    rq->resume = resume_reads;
    int16_t error_code = look(rq, reads, true, &is_all);
    if (error_code != ERR_NONE)
        return reads->failed(rq, error_code);
    if (is_all)
        return HANDLED_DONE;
    rq_deadline(rq, rq_mono_ms(rq) + rq->server->config->offsets_commit_timeout_ms);
    return HANDLED_BUSY;
}
