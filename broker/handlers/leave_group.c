/* LeaveGroup v0-5: members go. v3 several at once, and static ones by their instance id (KIP-345); v5 reason.
 */
#include "broker/group/classic_ops.h"
#include "broker/handlers/handlers.h"
#include "broker/server.h"

enum { BATCH_SINCE = 3 };

static struct classic_leave *leave_of(struct shard_op *op)
{
    return (struct classic_leave *)((char *)op - offsetof(struct classic_leave, op));
}

/* Of a group that does not exist nobody is a member: below v3 that is the answer, from v3 on each one's. */
static enum handled answer(struct shard_op *op)
{
    const struct classic_leave *leave = leave_of(op);
    struct leave_group_response *out = op->rq->out;
    bool is_unknown = op->error_code == ERR_UNKNOWN_MEMBER_ID;
    if (op->rq->api_version < BATCH_SINCE) {
        out->error_code = op->error_code == ERR_NONE ? leave->leavers[0].error_code : op->error_code;
        return HANDLED_DONE;
    }
    if (op->error_code != ERR_NONE && !is_unknown) {
        out->error_code = op->error_code;
        return HANDLED_DONE;
    }
    out->members = arena_alloc_array(&op->rq->arena, (size_t)leave->count, sizeof *out->members);
    if (!out->members)
        return HANDLED_CLOSE;
    out->members_count = leave->count;
    for (int32_t i = 0; i < leave->count; i++) {
        struct leave_group_response_member *member = &out->members[i];
        leave_group_response_member_init(member);
        member->member_id = leave->leavers[i].member_id;
        member->group_instance_id = leave->leavers[i].instance_id;
        member->error_code = is_unknown ? ERR_UNKNOWN_MEMBER_ID : leave->leavers[i].error_code;
    }
    return HANDLED_DONE;
}

static const struct shard_step step = { .decide = classic_leave_decide,
                                        .apply = classic_leave_apply,
                                        .answer = answer };

static bool fill(struct request *rq, const struct leave_group_request *in, struct classic_leave *leave)
{
    bool is_batch = rq->api_version >= BATCH_SINCE;
    leave->op = shard_op_of(rq, &step);
    leave->group_id = in->group_id;
    leave->count = is_batch ? in->members_count : 1;
    leave->leavers = arena_alloc_array(&rq->arena, (size_t)leave->count, sizeof *leave->leavers);
    if (!leave->leavers)
        return false;
    if (!is_batch) {
        leave->leavers[0] = (struct classic_leaver){ .member_id = in->member_id, .instance_id = SLICE_NULL };
        return true;
    }
    for (int32_t i = 0; i < leave->count; i++)
        leave->leavers[i] = (struct classic_leaver){ .member_id = in->members[i].member_id,
                                                     .instance_id = in->members[i].group_instance_id };
    return true;
}

enum handled handle_leave_group(struct request *rq, const struct leave_group_request *in,
                                struct leave_group_response *out)
{
    out->error_code = group_check_id(rq, in->group_id, false, OP_READ);
    if (out->error_code != ERR_NONE)
        return HANDLED_DONE;
    struct classic_leave *leave = arena_alloc_array(&rq->arena, 1, sizeof *leave);
    if (!leave || !fill(rq, in, leave))
        return HANDLED_CLOSE;
    return coordinator_run(rq->server->groups, in->group_id, &leave->op);
}
