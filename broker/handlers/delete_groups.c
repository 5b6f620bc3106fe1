/* DeleteGroups v0-2: removes groups without members, and their offsets (KIP-229). */
#include <stdlib.h>

#include "broker/coordinator/coordinator.h"
#include "broker/group/offsets.h"
#include "broker/handlers/handlers.h"
#include "broker/server.h"

/* A group of the request, in the order in which they are taken: shard by shard. */
struct deletion {
    int32_t shard;
    slice group_id;
    struct delete_groups_response_result *out; /* NULL: it is named for a second time */
};

/* Each round is an op on one shard: as many groups as fit into a batch. A group with more offsets than that
 * goes in several rounds, where Kafka gives up; its own tombstone is in the last. */
struct delete_op {
    struct shard_op op; /* first */
    struct deletion *deletions;
    size_t count;
    size_t from;     /* of this round */
    size_t end;      /* of its shard */
    size_t done;     /* set by decide: the next round begins here */
    bool is_driving; /* the loop below is on the stack */
};

static bool delete_one(struct delete_op *delete, struct groups *groups, const struct deletion *deletion)
{
    const struct group *group = groups_find(groups, deletion->group_id);
    deletion->out->error_code = group ? group_check_delete(group) : (int16_t)ERR_GROUP_ID_NOT_FOUND;
    if (!group) /* it may have been deleted a moment ago */
        delete->op.answer_offset = shard_end_offset(delete->op.shard);
    if (deletion->out->error_code != ERR_NONE)
        return true;
    if (!group_offsets_add_tombstones(&delete->op, group))
        return false;
    group_add_tombstones(&delete->op, group);
    return true;
}

static void decide(struct shard_op *op, void *state)
{
    struct delete_op *delete = (struct delete_op *)op;
    for (delete->done = delete->from; delete->done < delete->end; delete->done++)
        if (shard_op_is_full(op) || !delete_one(delete, state, &delete->deletions[delete->done]))
            return;
}

/* The state that no record kept goes too: a group that was never written. */
static void apply(struct shard_op *op, void *state)
{
    const struct delete_op *delete = (struct delete_op *)op;
    for (size_t i = delete->from; i < delete->done; i++) {
        struct group *group = groups_find(state, delete->deletions[i].group_id);
        if (group && delete->deletions[i].out->error_code == ERR_NONE)
            groups_drop_if_void(group);
    }
}

static enum handled drive(struct delete_op *delete);

/* An error of the shard is one of all its groups; those that had one of their own keep it. */
static enum handled answer(struct shard_op *op)
{
    struct delete_op *delete = (struct delete_op *)op;
    if (op->error_code != ERR_NONE)
        delete->done = delete->end;
    for (size_t i = delete->from; i < delete->done && op->error_code != ERR_NONE; i++)
        if (delete->deletions[i].out->error_code == ERR_NONE)
            delete->deletions[i].out->error_code = op->error_code;
    delete->from = delete->done;
    return delete->is_driving ? HANDLED_DONE : drive(delete);
}

static const struct shard_step delete_step = { .decide = decide, .apply = apply, .answer = answer };

static enum handled drive(struct delete_op *delete)
{
    struct request *rq = delete->op.rq;
    enum handled handled = HANDLED_DONE;
    delete->is_driving = true;
    while (delete->from < delete->count && handled == HANDLED_DONE) {
        const struct deletion *first = &delete->deletions[delete->from];
        delete->op = shard_op_of(rq, &delete_step);
        delete->end = delete->from;
        while (delete->end < delete->count && delete->deletions[delete->end].shard == first->shard)
            delete->end++;
        handled = coordinator_run(rq->server->groups, first->group_id, &delete->op);
    }
    delete->is_driving = false;
    return handled;
}

/* -- the groups in order ----------------------------------------------------------------------- */

static int compare(const void *left, const void *right)
{
    const struct deletion *a = left, *b = right;
    if (a->shard != b->shard)
        return a->shard < b->shard ? -1 : 1;
    return slice_compare(a->group_id, b->group_id);
}

/* One that is named twice is answered once, as in Kafka. */
static void prepare(struct request *rq, const struct delete_groups_request *in,
                    struct delete_groups_response *out, struct delete_op *delete)
{
    int32_t shard_count = coordinator_shard_count(rq, rq->server->groups);
    for (int32_t g = 0; g < in->groups_names_count; g++) {
        slice group_id = in->groups_names[g];
        int32_t shard = shard_count > 0 ? coordinator_partition_of(group_id, shard_count) : 0;
        delete->deletions[g] = (struct deletion){ shard, group_id, NULL };
    }
    size_t count = (size_t)in->groups_names_count;
    qsort(delete->deletions, count, sizeof *delete->deletions, compare);
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && slice_equal(delete->deletions[i].group_id, delete->deletions[i - 1].group_id))
            continue;
        struct delete_groups_response_result *result = &out->results[out->results_count++];
        delete_groups_response_result_init(result);
        result->group_id = delete->deletions[i].group_id;
        result->error_code = group_check_id(rq, result->group_id, true, OP_DELETE);
        if (result->error_code != ERR_NONE)
            continue;
        delete->deletions[delete->count] = delete->deletions[i];
        delete->deletions[delete->count++].out = result;
    }
}

enum handled handle_delete_groups(struct request *rq, const struct delete_groups_request *in,
                                  struct delete_groups_response *out)
{
    struct delete_op *delete = arena_alloc_array(&rq->arena, 1, sizeof *delete);
    size_t count = (size_t)in->groups_names_count;
    out->results = arena_alloc_array(&rq->arena, count, sizeof *out->results);
    if (!delete || !out->results)
        return HANDLED_CLOSE;
    delete->deletions = arena_alloc_array(&rq->arena, count, sizeof *delete->deletions);
    if (!delete->deletions)
        return HANDLED_CLOSE;
    delete->op.rq = rq;
    prepare(rq, in, out, delete);
    return drive(delete);
}
