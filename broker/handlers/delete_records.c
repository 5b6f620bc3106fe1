/* DeleteRecords v0-2: raises the log start offset of partitions (KIP-107). v2 flexible.
 * The one replica is here, so nothing waits for others, whatever timeout_ms says; the answer leaves when the
 * new starts are on the disk. */
#include "broker/handlers/handlers.h"

#include "broker/log_errors.h"
#include "broker/server.h"
#include "protocol/base/check.h"

/* Until the high watermark; and no offset. */
enum { ALL_RECORDS = -1, NO_WATERMARK = -1 };

/* One partition's part, done by a worker; nothing of the turn may be kept, so it looks the topic up again. */
struct deletion {
    uuid topic_id;
    int64_t offset;
    struct delete_records_response_partition *out;
};

struct delete_records_state {
    struct deletion *deletions;
    size_t count;
};

static void fail(struct delete_records_response_partition *out, int16_t error_code)
{
    out->low_watermark = NO_WATERMARK;
    out->error_code = error_code;
}

/* -- on a worker -------------------------------------------------------------------------------- */

/* Whoever needs descriptors may close the log again in between, but hardly so often. */
static enum log_status delete_until(struct log *log, int64_t offset, int64_t *start)
{
    enum { PREPARE_ROUNDS_MAX = 4 };
    enum log_status status = log_delete_records(log, offset, start);
    for (int i = 0; i < PREPARE_ROUNDS_MAX && status == LOG_BUSY; i++) {
        status = log_prepare(log);
        if (status == LOG_OK)
            status = log_delete_records(log, offset, start);
    }
    return status;
}

/* On a full disk nobody waits for the next round of retention. What fails is that round's. */
static void free_room(struct server *server, struct log *log)
{
    struct log_retained gone;
    (void)log_retain(log, clock_wall_ms(server->clock), &gone);
}

static void delete_one(struct server *server, const struct image *image, const struct deletion *deletion)
{
    struct delete_records_response_partition *out = deletion->out;
    const struct topic *topic = image_topic_by_id(image, deletion->topic_id);
    const struct partition *partition = topic && out->partition_index < topic->partition_count
                                            ? topic->partitions[out->partition_index].partition
                                            : NULL;
    if (!partition || atomic_load_explicit(&partition->is_deleted, memory_order_acquire)) {
        fail(out, ERR_UNKNOWN_TOPIC_OR_PARTITION);
        return;
    }
    int64_t offset = deletion->offset;
    if (offset == ALL_RECORDS)
        offset = log_offsets(partition->log).high_watermark;
    enum log_status status = delete_until(partition->log, offset, &out->low_watermark);
    if (status != LOG_OK)
        fail(out, error_of_log(status));
    else if (log_is_short_of_room(partition->log))
        free_room(server, partition->log);
}

/* A worker is a member of retire: this image is valid until the job ends. */
static void delete_all(struct request *rq)
{
    const struct delete_records_state *state = rq->state;
    const struct image *image = controller_image(rq->server->controller);
    for (size_t i = 0; i < state->count; i++)
        delete_one(rq->server, image, &state->deletions[i]);
    if (store_save_starts(rq->server->store) == STORE_OK)
        return;
    for (size_t i = 0; i < state->count; i++)
        if (state->deletions[i].out->error_code == ERR_NONE)
            fail(state->deletions[i].out, ERR_KAFKA_STORAGE_ERROR);
}

static enum handled resume_deleted(struct request *rq, enum wake why)
{
    (void)rq;
    check(why == WAKE_WORKED);
    return HANDLED_DONE;
}

/* -- on the loop -------------------------------------------------------------------------------- */

/* What compaction keeps by key is not to be cut by offset; the coordinators' topics are their own affair. */
static int16_t may_delete(struct request *rq, const struct topic *topic, int32_t partition)
{
    const struct partition_metadata *metadata;
    int16_t error_code = rq_partition(rq, topic, partition, &metadata);
    if (error_code == ERR_NONE && topic->is_internal)
        error_code = ERR_INVALID_TOPIC_EXCEPTION;
    if (error_code == ERR_NONE && topic->config.cleanup_policy == CLEANUP_COMPACT)
        error_code = ERR_POLICY_VIOLATION;
    return error_code;
}

static bool begin_topic(struct request *rq, struct delete_records_state *state,
                        const struct delete_records_request_topic *asked,
                        struct delete_records_response_topic *out)
{
    const struct topic *topic;
    delete_records_response_topic_init(out);
    out->name = asked->name;
    out->partitions = arena_alloc_array(&rq->arena, (size_t)asked->partitions_count, sizeof *out->partitions);
    if (!out->partitions)
        return false;
    out->partitions_count = asked->partitions_count;
    int16_t topic_error = rq_topic(rq, asked->name, OP_DELETE, &topic);
    for (int32_t p = 0; p < asked->partitions_count; p++) {
        struct delete_records_response_partition *one = &out->partitions[p];
        delete_records_response_partition_init(one);
        one->partition_index = asked->partitions[p].partition_index;
        int16_t error_code = topic_error;
        if (error_code == ERR_NONE)
            error_code = may_delete(rq, topic, one->partition_index);
        if (error_code == ERR_NONE)
            state->deletions[state->count++] =
                (struct deletion){ topic->id, asked->partitions[p].offset, one };
        else
            fail(one, error_code);
    }
    return true;
}

enum handled handle_delete_records(struct request *rq, const struct delete_records_request *in,
                                   struct delete_records_response *out)
{
    size_t total = 0;
    for (int32_t t = 0; t < in->topics_count; t++)
        total += (size_t)in->topics[t].partitions_count;
    struct delete_records_state *state = arena_alloc_array(&rq->arena, 1, sizeof *state);
    out->topics = arena_alloc_array(&rq->arena, (size_t)in->topics_count, sizeof *out->topics);
    if (!state || !out->topics)
        return HANDLED_CLOSE;
    state->deletions = arena_alloc_array(&rq->arena, total, sizeof *state->deletions);
    if (!state->deletions)
        return HANDLED_CLOSE;
    for (int32_t t = 0; t < in->topics_count; t++)
        if (!begin_topic(rq, state, &in->topics[t], &out->topics[t]))
            return HANDLED_CLOSE;
    out->topics_count = in->topics_count;
    if (state->count == 0)
        return HANDLED_DONE;
    rq->state = state;
    rq->resume = resume_deleted;
    rq_work(rq, delete_all);
    return HANDLED_BUSY;
}
