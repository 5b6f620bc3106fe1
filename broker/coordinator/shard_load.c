/* Loading: a worker replays the partition from its start to its end. */
#include "broker/coordinator/shard_internal.h"
#include "protocol/base/bytes.h"
#include "protocol/base/note.h"
#include "protocol/record_batch.h"

enum { READ_SIZE = 1 << 20, CONTROL_KEY_SIZE = 4, DECODED_MAX = 64 << 20 };

static bool replay_batch(struct shard *shard, const struct batch_view *batch, struct arena *arena)
{
    struct record_iterator *iterator = record_iterator_open(batch, arena, DECODED_MAX);
    if (!iterator)
        return false;
    bool is_control = batch->attributes & BATCH_ATTRIBUTE_CONTROL;
    bool ok = true;
    struct record record;
    enum batch_status status = BATCH_SHORT;
    while (ok && (status = record_iterator_next(iterator, &record)) == BATCH_OK) {
        struct shard_record out = { .offset = record.offset,
                                    .timestamp = record.timestamp,
                                    .key = record.key,
                                    .value = record.value,
                                    .producer_id = batch->producer_id,
                                    .producer_epoch = batch->producer_epoch,
                                    .is_transactional = batch->attributes & BATCH_ATTRIBUTE_TRANSACTIONAL,
                                    .control_type = -1 };
        if (is_control && record.key.size < CONTROL_KEY_SIZE)
            continue; /* nothing that a coordinator wrote */
        if (is_control)
            out.control_type = (int16_t)load_be16(record.key.data + 2);
        ok = shard->kind->replay(shard->state, &out);
    }
    record_iterator_close(iterator);
    if (ok && status == BATCH_NO_MEMORY)
        return false;
    if (ok && status != BATCH_SHORT)
        note_error("coordinator.batch_skipped", "coordinator=%s partition=%d offset=%lld reason=damaged",
                   shard->kind->name, shard->index, (long long)batch->base_offset);
    return ok;
}

static bool replay_range(struct shard *shard, slice bytes, int64_t from_offset, struct arena *arena)
{
    while (bytes.size > 0) {
        struct batch_view batch;
        if (batch_view(bytes, &batch) != BATCH_OK) {
            note_error("coordinator.range_skipped", "coordinator=%s partition=%d from=%lld reason=damaged",
                       shard->kind->name, shard->index, (long long)from_offset);
            return true;
        }
        /* Where it ends was checked by the log: what comes behind is as good as before. */
        if (!batch_crc_ok(&batch))
            note_error("coordinator.batch_skipped", "coordinator=%s partition=%d offset=%lld reason=damaged",
                       shard->kind->name, shard->index, (long long)batch.base_offset);
        else if (batch_last_offset(&batch) >= from_offset && !replay_batch(shard, &batch, arena))
            return false;
        arena_reset(arena);
        bytes = slice_of(bytes.data + batch.size, bytes.size - batch.size);
    }
    return true;
}

/* Damaged ranges are stepped over: what else is there is better than nothing. */
static bool replay_log(struct shard *shard, int64_t end)
{
    struct log *log = shard->partition->log;
    struct arena range_arena, record_arena;
    arena_init(&range_arena, NULL);
    arena_init(&record_arena, NULL);
    bool ok = log_open(log) == LOG_OK;
    int64_t offset = log_offsets(log).start;
    while (ok && offset < end) {
        struct log_range range;
        enum log_status status = log_read(log, offset, end, READ_SIZE, true, false, &range_arena, &range);
        if (status == LOG_BUSY) {
            ok = log_open(log) == LOG_OK;
            continue;
        }
        if (status == LOG_CORRUPT && range.next_offset > offset) {
            note_error("coordinator.range_skipped", "coordinator=%s partition=%d from=%lld reason=quarantined",
                       shard->kind->name, shard->index, (long long)offset);
            offset = range.next_offset;
            continue;
        }
        ok = status == LOG_OK && range.bytes.size > 0 &&
             replay_range(shard, range.bytes, offset, &record_arena);
        arena_reset(&range_arena);
        offset = range.next_offset;
    }
    arena_destroy(&range_arena);
    arena_destroy(&record_arena);
    return ok;
}

/* Under the lock. */
static void become_active(struct shard *shard, int64_t end)
{
    shard->end_offset = end;
    shard->phase = SHARD_ACTIVE;
    shard->kind->loaded(shard->state);
}

static void run_load(struct work *work)
{
    struct shard *shard = (struct shard *)((char *)work - offsetof(struct shard, load_work));
    int64_t end = log_offsets(shard->partition->log).end;
    bool ok = replay_log(shard, end);
    shard__lock(shard);
    if (shard->is_unwanted) {
        shard->kind->destroy(shard->state);
        shard->state = NULL;
        shard->phase = SHARD_STOPPED;
    } else if (ok) {
        become_active(shard, end);
    } else {
        note_warn("coordinator.load_failed", "coordinator=%s partition=%d next=\"the next request tries again\"",
                  shard->kind->name, shard->index);
        shard->kind->destroy(shard->state);
        shard->state = NULL;
        shard->phase = SHARD_IDLE;
    }
    shard__unlock(shard);
}

void shard__begin_load(struct shard *shard)
{
    struct log_offsets offsets = log_offsets(shard->partition->log);
    shard->state = shard->kind->create(shard);
    if (!shard->state)
        return;
    if (offsets.start == offsets.end) {
        become_active(shard, offsets.end);
        return;
    }
    shard->phase = SHARD_LOADING;
    shard->load_work.run = run_load;
    workers_submit(shard->server->read_workers, &shard->load_work);
}
