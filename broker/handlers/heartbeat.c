/* Heartbeat v0-4: a member is alive, and learns whether the group rebalances. v3 static members (KIP-345). */
#include "broker/group/classic_ops.h"
#include "broker/handlers/handlers.h"
#include "broker/server.h"

/* While the group is loaded nobody's session runs: there is no reason to alarm a member. */
static enum handled answer(struct shard_op *op)
{
    struct heartbeat_response *out = op->rq->out;
    out->error_code = op->error_code == ERR_COORDINATOR_LOAD_IN_PROGRESS ? ERR_NONE : op->error_code;
    return HANDLED_DONE;
}

static const struct shard_step step = { .decide = classic_heartbeat_decide,
                                        .apply = classic_heartbeat_apply,
                                        .answer = answer };

enum handled handle_heartbeat(struct request *rq, const struct heartbeat_request *in,
                              struct heartbeat_response *out)
{
    out->error_code = group_check_id(rq, in->group_id, false, OP_READ);
    if (out->error_code != ERR_NONE)
        return HANDLED_DONE;
    struct classic_heartbeat *heartbeat = arena_alloc_array(&rq->arena, 1, sizeof *heartbeat);
    if (!heartbeat)
        return HANDLED_CLOSE;
    heartbeat->op = shard_op_of(rq, &step);
    heartbeat->op.is_read = true;
    heartbeat->group_id = in->group_id;
    heartbeat->member_id = in->member_id;
    heartbeat->instance_id = in->group_instance_id;
    heartbeat->generation = in->generation_id;
    return coordinator_run(rq->server->groups, in->group_id, &heartbeat->op);
}
