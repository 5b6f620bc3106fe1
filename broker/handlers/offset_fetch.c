/* OffsetFetch v1-10: where groups are.
 * v2 all topics, an error of its own; v7 only stable offsets (KIP-447); v8 several groups (KIP-709); v9
 * member epochs (KIP-848); v10 topic ids. */
#include "broker/coordinator/shard_reads.h"
#include "broker/group/offsets.h"
#include "broker/handlers/handlers.h"
#include "broker/server.h"

enum { GROUP_ERROR_SINCE = 2, GROUPS_SINCE = 8, TOPIC_ID_SINCE = 10, NO_OFFSET = -1, NO_EPOCH = -1 };

struct fetch_state {
    struct shard_reads reads; /* first */
    const struct offset_fetch_request *in;
    struct offset_fetch_response *out;
};

/* One group that is asked for, in the shape of v8 and later; older versions are brought to it and back. */
struct asked_group {
    slice group_id;
    struct group_caller caller;
    const struct offset_fetch_request_topics *topics;
    int32_t topics_count; /* -1: all */
    bool require_stable;
};

/* -- one partition ----------------------------------------------------------------------------- */

static void fill_none(struct offset_fetch_response_partitions *out, int32_t partition, int16_t error_code)
{
    offset_fetch_response_partitions_init(out);
    out->partition = partition;
    out->committed_offset = NO_OFFSET;
    out->committed_leader_epoch = NO_EPOCH;
    out->metadata = SLICE_LITERAL("");
    out->error_code = error_code;
}

/* What was committed to an earlier topic of that name says nothing of this one. */
static bool is_of_topic(const struct stored_offset *stored, const struct topic *topic)
{
    return topic && (uuid_is_zero(stored->topic_id) || uuid_equal(stored->topic_id, topic->id));
}

static bool fill_stored(struct arena *arena, const struct stored_offset *stored, int32_t partition,
                        struct offset_fetch_response_partitions *out)
{
    bool ok = true;
    fill_none(out, partition, ERR_NONE);
    out->committed_offset = stored->offset;
    out->committed_leader_epoch = stored->leader_epoch;
    out->metadata = arena_copy(arena, stored->metadata, &ok);
    return ok;
}

static bool fill_partition(struct request *rq, const struct group *group, const struct asked_group *asked,
                           const struct topic *topic, slice name, int32_t partition,
                           struct offset_fetch_response_partitions *out)
{
    const struct stored_offset *stored = group ? group_offsets_find(group, name, partition) : NULL;
    if (group && asked->require_stable && group_offsets_is_pending(group, name, partition))
        fill_none(out, partition, ERR_UNSTABLE_OFFSET_COMMIT);
    else if (!stored || !is_of_topic(stored, topic))
        fill_none(out, partition, ERR_NONE);
    else
        return fill_stored(&rq->arena, stored, partition, out);
    return true;
}

/* -- topics that are named --------------------------------------------------------------------- */

static bool fill_topic(struct request *rq, const struct group *group, const struct asked_group *asked,
                       const struct offset_fetch_request_topics *in, struct offset_fetch_response_topics *out)
{
    const struct topic *topic;
    int16_t error_code = rq->api_version >= TOPIC_ID_SINCE
                             ? rq_topic_by_id(rq, in->topic_id, OP_DESCRIBE, &topic)
                             : rq_topic(rq, in->name, OP_DESCRIBE, &topic);
    if (error_code == ERR_UNKNOWN_TOPIC_OR_PARTITION)
        error_code = ERR_NONE; /* nothing is committed there */
    offset_fetch_response_topics_init(out);
    out->name = in->name;
    out->topic_id = in->topic_id;
    slice name = topic ? topic->name_slice : in->name;
    out->partitions =
        arena_alloc_array(&rq->arena, (size_t)in->partition_indexes_count, sizeof *out->partitions);
    if (!out->partitions)
        return false;
    out->partitions_count = in->partition_indexes_count;
    for (int32_t p = 0; p < in->partition_indexes_count; p++) {
        if (error_code != ERR_NONE)
            fill_none(&out->partitions[p], in->partition_indexes[p], error_code);
        else if (!fill_partition(rq, group, asked, topic, name, in->partition_indexes[p],
                                 &out->partitions[p]))
            return false;
    }
    return true;
}

static bool fill_named(struct request *rq, const struct group *group, const struct asked_group *asked,
                       struct offset_fetch_response_group *out)
{
    out->topics = arena_alloc_array(&rq->arena, (size_t)asked->topics_count, sizeof *out->topics);
    if (!out->topics)
        return false;
    out->topics_count = asked->topics_count;
    for (int32_t t = 0; t < asked->topics_count; t++)
        if (!fill_topic(rq, group, asked, &asked->topics[t], &out->topics[t]))
            return false;
    return true;
}

/* -- all topics -------------------------------------------------------------------------------- */

/* A walk over what a group has stored: once to count, once to fill. */
struct walk {
    struct request *rq;
    const struct group *group;
    const struct asked_group *asked;
    struct offset_fetch_response_group *out;
    slice name;                /* of the topic that the walk is in */
    const struct topic *topic; /* NULL: it may not be seen, or is gone */
    struct offset_fetch_response_topics *into;
    int32_t partition_capacity;
    bool ok;
};

static void count_partition(void *context, slice name, const struct stored_offset *stored)
{
    struct walk *walk = context;
    (void)stored;
    if (walk->name.data != name.data) /* one text per topic, as long as the lock is held */
        walk->out->topics_count++;
    walk->name = name;
}

static void begin_topic(struct walk *walk, slice name)
{
    walk->name = name;
    walk->into = NULL;
    if (rq_topic(walk->rq, name, OP_DESCRIBE, &walk->topic) != ERR_NONE)
        return;
    walk->into = &walk->out->topics[walk->out->topics_count++];
    offset_fetch_response_topics_init(walk->into);
    walk->into->name = arena_copy(&walk->rq->arena, name, &walk->ok);
    walk->into->topic_id = walk->topic->id;
    walk->partition_capacity = walk->topic->partition_count;
    walk->into->partitions =
        arena_alloc_array(&walk->rq->arena, (size_t)walk->partition_capacity, sizeof *walk->into->partitions);
    walk->ok = walk->ok && walk->into->partitions;
}

static void add_partition(void *context, slice name, const struct stored_offset *stored)
{
    struct walk *walk = context;
    if (walk->name.data != name.data)
        begin_topic(walk, name);
    if (!walk->ok || !walk->into || !is_of_topic(stored, walk->topic) || stored->partition < 0 ||
        stored->partition >= walk->partition_capacity)
        return;
    walk->ok = fill_partition(walk->rq, walk->group, walk->asked, walk->topic, name, stored->partition,
                              &walk->into->partitions[walk->into->partitions_count++]);
}

static bool fill_all(struct request *rq, const struct group *group, const struct asked_group *asked,
                     struct offset_fetch_response_group *out)
{
    struct walk walk = {
        .rq = rq, .group = group, .asked = asked, .out = out, .name = SLICE_NULL, .ok = true
    };
    out->topics_count = 0;
    if (group)
        group_offsets_visit(group, count_partition, &walk);
    out->topics = arena_alloc_array(&rq->arena, (size_t)out->topics_count, sizeof *out->topics);
    if (!out->topics)
        return false;
    out->topics_count = 0;
    walk.name = SLICE_NULL;
    if (group)
        group_offsets_visit(group, add_partition, &walk);
    return walk.ok;
}

/* -- groups ------------------------------------------------------------------------------------ */

/* Consumers before Kafka 3.9 do not know COORDINATOR_NOT_AVAILABLE here; both have them look for the
 * coordinator. */
static int16_t error_for_fetch(int16_t error_code)
{
    return error_code == ERR_COORDINATOR_NOT_AVAILABLE ? (int16_t)ERR_NOT_COORDINATOR : error_code;
}

static bool fill_found(struct request *rq, struct fetch_state *state, struct shard *shard,
                       const struct asked_group *asked, struct offset_fetch_response_group *out)
{
    void *groups;
    out->error_code = shard_enter(shard, &groups);
    if (out->error_code != ERR_NONE)
        return true;
    const struct group *group = groups_find(groups, asked->group_id);
    out->error_code = group ? group_check_fetch(group, &asked->caller) : ERR_NONE;
    bool ok = true;
    if (out->error_code == ERR_NONE)
        ok = asked->topics_count < 0 ? fill_all(rq, group, asked, out) : fill_named(rq, group, asked, out);
    /* That there is none is told of the whole shard: it may have been deleted a moment ago. */
    if (ok && out->error_code == ERR_NONE)
        ok = shard_reads_add(rq, &state->reads, shard, group ? group->state_offset : shard_end_offset(shard));
    shard_leave(shard);
    return ok;
}

static bool fill_group(struct request *rq, struct fetch_state *state, const struct asked_group *asked,
                       struct offset_fetch_response_group *out)
{
    struct shard *shard;
    offset_fetch_response_group_init(out);
    out->group_id = asked->group_id;
    out->error_code = group_check_id(rq, asked->group_id, true, OP_DESCRIBE);
    if (out->error_code == ERR_NONE)
        out->error_code = coordinator_shard(rq, rq->server->groups, asked->group_id, &shard);
    bool ok = out->error_code != ERR_NONE || fill_found(rq, state, shard, asked, out);
    out->error_code = error_for_fetch(out->error_code);
    return ok;
}

/* -- v1 to v7: one group ----------------------------------------------------------------------- */

/* Before there was a field for it, an error of the group stood in every partition. */
static bool fill_errors(struct request *rq, const struct offset_fetch_request *in, int16_t error_code,
                        struct offset_fetch_response *out)
{
    int32_t count = rq->api_version < GROUP_ERROR_SINCE && in->topics_count > 0 ? in->topics_count : 0;
    out->error_code = error_code;
    out->topics = arena_alloc_array(&rq->arena, (size_t)count, sizeof *out->topics);
    if (!out->topics)
        return false;
    out->topics_count = count;
    for (int32_t t = 0; t < count; t++) {
        struct offset_fetch_response_topic *topic = &out->topics[t];
        offset_fetch_response_topic_init(topic);
        topic->name = in->topics[t].name;
        topic->partitions_count = in->topics[t].partition_indexes_count;
        topic->partitions =
            arena_alloc_array(&rq->arena, (size_t)topic->partitions_count, sizeof *topic->partitions);
        if (!topic->partitions)
            return false;
        for (int32_t p = 0; p < topic->partitions_count; p++) {
            offset_fetch_response_partition_init(&topic->partitions[p]);
            topic->partitions[p].partition = in->topics[t].partition_indexes[p];
            topic->partitions[p].committed_offset = NO_OFFSET;
            topic->partitions[p].metadata = SLICE_LITERAL("");
            topic->partitions[p].error_code = error_code;
        }
    }
    return true;
}

static bool bring_back_topic(struct request *rq, const struct offset_fetch_response_topics *from,
                             struct offset_fetch_response_topic *to)
{
    offset_fetch_response_topic_init(to);
    to->name = from->name;
    to->partitions = arena_alloc_array(&rq->arena, (size_t)from->partitions_count, sizeof *to->partitions);
    if (!to->partitions)
        return false;
    to->partitions_count = from->partitions_count;
    for (int32_t p = 0; p < from->partitions_count; p++) {
        offset_fetch_response_partition_init(&to->partitions[p]);
        to->partitions[p].partition = from->partitions[p].partition;
        to->partitions[p].committed_offset = from->partitions[p].committed_offset;
        to->partitions[p].committed_leader_epoch = from->partitions[p].committed_leader_epoch;
        to->partitions[p].metadata = from->partitions[p].metadata;
        to->partitions[p].error_code = from->partitions[p].error_code;
    }
    return true;
}

static bool bring_back(struct request *rq, const struct offset_fetch_request *in,
                       const struct offset_fetch_response_group *from, struct offset_fetch_response *out)
{
    if (from->error_code != ERR_NONE)
        return fill_errors(rq, in, from->error_code, out);
    out->topics = arena_alloc_array(&rq->arena, (size_t)from->topics_count, sizeof *out->topics);
    if (!out->topics)
        return false;
    out->topics_count = from->topics_count;
    for (int32_t t = 0; t < from->topics_count; t++)
        if (!bring_back_topic(rq, &from->topics[t], &out->topics[t]))
            return false;
    return true;
}

static bool fetch_one(struct request *rq, struct fetch_state *state)
{
    const struct offset_fetch_request *in = state->in;
    struct asked_group asked = { .group_id = in->group_id,
                                 .caller = { .instance_id = SLICE_NULL, .generation = -1 },
                                 .topics_count = in->topics_count,
                                 .require_stable = in->require_stable };
    struct offset_fetch_response_group found;
    struct offset_fetch_request_topics *topics = NULL;
    if (in->topics_count > 0) {
        topics = arena_alloc_array(&rq->arena, (size_t)in->topics_count, sizeof *topics);
        if (!topics)
            return false;
        for (int32_t t = 0; t < in->topics_count; t++) {
            offset_fetch_request_topics_init(&topics[t]);
            topics[t].name = in->topics[t].name;
            topics[t].partition_indexes = in->topics[t].partition_indexes;
            topics[t].partition_indexes_count = in->topics[t].partition_indexes_count;
        }
    }
    asked.topics = topics;
    return fill_group(rq, state, &asked, &found) && bring_back(rq, in, &found, state->out);
}

/* -- v8 and later ------------------------------------------------------------------------------ */

static bool fetch_groups(struct request *rq, struct fetch_state *state)
{
    const struct offset_fetch_request *in = state->in;
    struct offset_fetch_response *out = state->out;
    out->groups = arena_alloc_array(&rq->arena, (size_t)in->groups_count, sizeof *out->groups);
    if (!out->groups)
        return false;
    out->groups_count = in->groups_count;
    for (int32_t g = 0; g < in->groups_count; g++) {
        const struct offset_fetch_request_group *from = &in->groups[g];
        struct asked_group asked = { .group_id = from->group_id,
                                     .caller = { .member_id = from->member_id,
                                                 .instance_id = SLICE_NULL,
                                                 .generation = from->member_epoch },
                                     .topics = from->topics,
                                     .topics_count = from->topics_count,
                                     .require_stable = in->require_stable };
        if (!fill_group(rq, state, &asked, &out->groups[g]))
            return false;
    }
    return true;
}

static enum handled fail(struct request *rq, int16_t error_code)
{
    struct fetch_state *state = rq->state;
    error_code = error_for_fetch(error_code);
    if (rq->api_version < GROUPS_SINCE)
        return fill_errors(rq, state->in, error_code, state->out) ? HANDLED_DONE : HANDLED_CLOSE;
    for (int32_t g = 0; g < state->out->groups_count; g++) {
        state->out->groups[g].topics_count = 0;
        if (state->out->groups[g].error_code == ERR_NONE)
            state->out->groups[g].error_code = error_code;
    }
    return HANDLED_DONE;
}

enum handled handle_offset_fetch(struct request *rq, const struct offset_fetch_request *in,
                                 struct offset_fetch_response *out)
{
    struct fetch_state *state = arena_alloc_array(&rq->arena, 1, sizeof *state);
    if (!state)
        return HANDLED_CLOSE;
    state->reads.failed = fail;
    state->in = in;
    state->out = out;
    bool ok = rq->api_version < GROUPS_SINCE ? fetch_one(rq, state) : fetch_groups(rq, state);
    return ok ? shard_reads_answer(rq, &state->reads) : HANDLED_CLOSE;
}
