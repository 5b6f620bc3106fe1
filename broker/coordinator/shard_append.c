/* How an op's records get into the log: at once, or by a worker when that could block. */
#include "broker/coordinator/shard_internal.h"
#include "broker/loop_internal.h"
#include "broker/slow_device.h"
#include "codec/apis.h"
#include "protocol/base/check.h"
#include "protocol/record_batch.h"
#include "protocol/writer.h"

/* Opening, the directory and a roll each need a turn; who is busy still is not helped by more of it. */
enum { PREPARE_ROUNDS_MAX = 16, FRAME_SIZE = 2 };

/* -- records -------------------------------------------------------------------------------------- */

/* A schema of the set by its type: key and value are neighbours in the table. */
static const struct record_schema *find_schema(const char *set, int type, const char *suffix)
{
    for (size_t i = 0; i < record_schema_count; i++) {
        const struct record_schema *schema = &record_schemas[i];
        if (schema->type != type ||
            strcmp(schema->set, set) != 0) /* numbers first: this runs for every record */
            continue;
        if (strcmp(schema->message.name + strlen(schema->message.name) - strlen(suffix), suffix) == 0)
            return schema;
    }
    check_unreachable("record type without a schema");
}

/* With the frame's number in front: the type of a key, the version of a value. Null: it cannot be written. */
static slice encode(struct arena *arena, const struct message_schema *message, int16_t frame, int16_t version,
                    const void *record)
{
    struct chain chain;
    struct writer writer;
    size_t size;
    chain_init(&chain, arena);
    writer_init(&writer, &chain);
    if (!message->size(version, record, &size) || !writer_reserve(&writer, FRAME_SIZE + size) ||
        !writer_int16(&writer, frame) || !message->encode(&writer, version, record) ||
        !writer_finish(&writer))
        return SLICE_NULL;
    check(chain.count == 1);
    return chain.parts[0].bytes;
}

void shard_op_add(struct shard_op *op, const char *set, int type, const void *key, int16_t value_version,
                  const void *value)
{
    static const struct batch_builder_options options = { .producer_id = -1,
                                                          .producer_epoch = -1,
                                                          .base_sequence = -1 };
    slice value_bytes = SLICE_NULL;
    slice key_bytes = encode(op->arena, &find_schema(set, type, "_key")->message, (int16_t)type, 0, key);
    if (value)
        value_bytes = encode(op->arena, &find_schema(set, type, "_value")->message, value_version,
                             value_version, value);
    if (!op->records)
        op->records = batch_builder_open(op->arena, &options);
    if (!op->records || slice_is_null(key_bytes) || (value && slice_is_null(value_bytes)) ||
        !batch_builder_add(op->records, shard_wall_ms(op->shard), key_bytes, value_bytes, NULL, 0))
        op->is_broken = true;
    op->record_count++;
}

size_t shard_op_room_max(const struct shard_op *op)
{
    return (size_t)atomic_load(&op->shard->batch_size_max) / 2;
}

size_t shard_op_room(const struct shard_op *op)
{
    size_t max = shard_op_room_max(op), used = op->records ? batch_builder_size(op->records) : 0;
    return used < max ? max - used : 0;
}

bool shard_op_is_full(const struct shard_op *op)
{
    return shard_op_room(op) == 0;
}

/* -- after the append ------------------------------------------------------------------------------ */

/* As Kafka's coordinators translate it. */
static int16_t error_of_append(enum log_status status)
{
    switch (status) {
    case LOG_OK:
        return ERR_NONE;
    case LOG_TOO_LARGE:
        return ERR_UNKNOWN_SERVER_ERROR;
    case LOG_IO:
    case LOG_CLOSED:
        return ERR_NOT_COORDINATOR;
    default:
        return ERR_COORDINATOR_NOT_AVAILABLE; /* a full disk, descriptors: it may pass */
    }
}

/* The bytes are those that were appended: what is read back at the next load is what is replayed now. Not in
 * the op's arena: a client that has used up what it may take would cost all groups of the shard their state.
 */
static bool replay(struct shard *shard, struct shard_op *op)
{
    struct batch_view batch;
    check(batch_view(slice_of(op->batch.data, op->batch.size), &batch) == BATCH_OK);
    struct record_iterator *iterator = record_iterator_open(&batch, &shard->replay_arena, SIZE_MAX);
    struct record record;
    enum batch_status status = BATCH_NO_MEMORY;
    bool ok = iterator != NULL;
    while (ok && (status = record_iterator_next(iterator, &record)) == BATCH_OK) {
        const struct shard_record out = { .offset = record.offset,
                                          .timestamp = record.timestamp,
                                          .key = record.key,
                                          .value = record.value,
                                          .producer_id = -1,
                                          .producer_epoch = -1,
                                          .control_type = -1 };
        ok = shard->kind->replay(shard->state, &out);
        shard->end_offset = record.offset + 1;
    }
    if (iterator)
        record_iterator_close(iterator);
    arena_reset(&shard->replay_arena);
    return ok && status == BATCH_SHORT;
}

void shard__fail(struct shard *shard, struct shard_op *op)
{
    if (op->step->fail)
        op->step->fail(op, shard->state);
}

/* Under the lock. */
static void finish_append(struct shard *shard, struct shard_op *op)
{
    op->error_code = error_of_append(op->append_status);
    if (op->append_status == LOG_OK) {
        op->answer_offset = op->result.end_offset;
        if (!replay(shard, op)) {
            op->error_code = ERR_COORDINATOR_NOT_AVAILABLE;
            shard__give_up(shard, ERR_COORDINATOR_NOT_AVAILABLE, SHARD_IDLE);
        }
    } else if (op->append_status == LOG_IO || op->append_status == LOG_CLOSED) {
        shard__give_up(shard, ERR_NOT_COORDINATOR, SHARD_IDLE);
    } else {
        shard__fail(shard, op);
    }
}

/* -- on a worker ----------------------------------------------------------------------------------- */

static enum log_status append_once(struct shard *shard, struct shard_op *op)
{
    op->result = (struct log_append_result){ .status = LOG_OK, .base_offset = -1 };
    struct slow_device_watch watch =
        slow_device_watch_begin(shard->server, shard->partition->log, clock_mono_ns(shard->server->clock));
    enum log_status status = log_append(shard->partition->log, &op->batch, 1,
                                        atomic_load(&shard->leader_epoch), shard_wall_ms(shard), &op->result);
    slow_device_watch_end(shard->server, &watch, status);
    return status == LOG_OK ? op->result.status : status;
}

static void deliver_appended(struct loop_mail *mail, struct loop *loop)
{
    struct shard_op *op = (struct shard_op *)((char *)mail - offsetof(struct shard_op, mail));
    struct shard *shard = op->shard;
    (void)loop;
    shard__lock(shard);
    check(shard->appending == op);
    shard->appending = NULL;
    bool is_waiting = false;
    if (shard->phase == SHARD_ACTIVE)
        finish_append(shard, op);
    else
        op->error_code = ERR_NOT_COORDINATOR;
    if (op->error_code == ERR_NONE && op->step->apply)
        op->step->apply(op, shard->state);
    is_waiting = op->error_code == ERR_NONE && op->is_waiting;
    op->phase = is_waiting ? OP_WAITING : OP_COMPLETED;
    shard__unpark(shard);
    shard__unlock(shard);
    if (!op->rq)
        op->step->finish(op);
    else if (!is_waiting) {
        struct request *rq = op->rq;
        shard__take(op);
        rq_wake(rq, WAKE_WORKED);
        rq_release(rq);
    }
}

static void run_append(struct work *work)
{
    struct shard *shard = (struct shard *)((char *)work - offsetof(struct shard, append_work));
    struct shard_op *op = shard->appending;
    unsigned rounds = 0;
    while ((op->append_status = append_once(shard, op)) == LOG_BUSY) {
        enum log_status status =
            rounds++ < PREPARE_ROUNDS_MAX ? log_prepare(shard->partition->log) : LOG_LIMIT;
        if (status != LOG_OK) {
            op->append_status = status;
            break;
        }
    }
    struct partition *moved = shard->partition;
    server_partition_progress(shard->server, &moved, 1);
    loop_post(op->rq ? op->rq->loop : shard->owner, &op->mail);
}

static void hand_over(struct shard *shard, struct shard_op *op)
{
    if (op->rq)
        rq_hold(op->rq);
    op->phase = OP_APPENDING;
    op->mail.deliver = deliver_appended;
    shard->appending = op;
    shard->append_work.run = run_append;
    workers_submit(shard->server->append_workers, &shard->append_work);
}

/* -- at once --------------------------------------------------------------------------------------- */

bool shard__append(struct shard *shard, struct shard_op *op)
{
    if (batch_builder_finish(op->records, &op->batch) != BATCH_OK) {
        op->error_code = ERR_COORDINATOR_NOT_AVAILABLE; /* no memory */
        shard__fail(shard, op);
        return true;
    }
    if (op->batch.size > (size_t)atomic_load(&shard->batch_size_max)) {
        op->error_code = ERR_UNKNOWN_SERVER_ERROR; /* Kafka: the record is too large for the topic */
        shard__fail(shard, op);
        return true;
    }
    /* Nothing blocks under a shard's lock. */
    op->append_status =
        slow_device_is_feared(shard->server, shard->partition->log) ? LOG_BUSY : append_once(shard, op);
    if (op->append_status == LOG_BUSY) {
        hand_over(shard, op);
        return false;
    }
    if (op->append_status == LOG_OK) {
        struct partition *moved = shard->partition;
        server_partition_progress(shard->server, &moved, 1);
    }
    finish_append(shard, op);
    return true;
}
