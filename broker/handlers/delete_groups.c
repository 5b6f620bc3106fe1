/* DeleteGroups v0-2: removes groups without members, and their offsets (KIP-229). */
#include "broker/group/offsets.h"
#include "broker/handlers/handlers.h"
#include "broker/server.h"

/* The groups of a request, one after another: each is an op of its own shard. */
struct delete_op {
    struct shard_op op; /* first; of the group at `at` */
    const struct delete_groups_request *in;
    struct delete_groups_response *out;
    int32_t at;
    bool is_driving; /* the loop below is on the stack */
};

static void decide(struct shard_op *op, void *state)
{
    const struct delete_op *delete = (struct delete_op *)op;
    const struct group *group = groups_find(state, delete->in->groups_names[delete->at]);
    op->error_code = group ? group_check_delete(group) : (int16_t)ERR_GROUP_ID_NOT_FOUND;
    if (op->error_code != ERR_NONE)
        return;
    group_offsets_add_tombstones(op, group);
    group_add_tombstones(op, group);
}

/* The state that no record kept goes too: a group that was never written. */
static void apply(struct shard_op *op, void *state)
{
    const struct delete_op *delete = (struct delete_op *)op;
    struct group *group = groups_find(state, delete->in->groups_names[delete->at]);
    if (group)
        groups_drop_if_void(group);
}

static enum handled drive(struct delete_op *delete);

static enum handled answer(struct shard_op *op)
{
    struct delete_op *delete = (struct delete_op *)op;
    delete->out->results[delete->at].error_code = op->error_code;
    delete->at++;
    return delete->is_driving ? HANDLED_DONE : drive(delete);
}

static const struct shard_step delete_step = { .decide = decide, .apply = apply, .answer = answer };

static enum handled drive(struct delete_op *delete)
{
    struct request *rq = delete->op.rq;
    enum handled handled = HANDLED_DONE;
    delete->is_driving = true;
    while (delete->at < delete->in->groups_names_count && handled == HANDLED_DONE) {
        slice group_id = delete->in->groups_names[delete->at];
        delete->op = shard_op_of(rq, &delete_step);
        delete->op.error_code = group_check_id(rq, group_id, true, OP_DELETE);
        handled = delete->op.error_code != ERR_NONE ? answer(&delete->op)
                                                    : coordinator_run(rq->server->groups, group_id, &delete->op);
    }
    delete->is_driving = false;
    return handled;
}

enum handled handle_delete_groups(struct request *rq, const struct delete_groups_request *in,
                                  struct delete_groups_response *out)
{
    struct delete_op *delete = arena_alloc_array(&rq->arena, 1, sizeof *delete);
    out->results = arena_alloc_array(&rq->arena, (size_t)in->groups_names_count, sizeof *out->results);
    if (!delete || !out->results)
        return HANDLED_CLOSE;
    for (int32_t g = 0; g < in->groups_names_count; g++) {
        delete_groups_response_result_init(&out->results[g]);
        out->results[g].group_id = in->groups_names[g];
    }
    out->results_count = in->groups_names_count;
    delete->op.rq = rq;
    delete->in = in;
    delete->out = out;
    return drive(delete);
}
