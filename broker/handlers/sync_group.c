/* SyncGroup v0-5: the leader hands out the assignment, the others wait for it.
 * v3 static members (KIP-345); v5 protocol type and name, which the client must give (KIP-559). */
#include "broker/group/classic_ops.h"
#include "broker/handlers/handlers.h"
#include "broker/server.h"

enum { PROTOCOL_SINCE = 5 };

static struct classic_sync *sync_of(struct shard_op *op)
{
    return (struct classic_sync *)((char *)op - offsetof(struct classic_sync, op));
}

static void refuse(int16_t error_code, struct sync_group_response *out)
{
    out->error_code = error_code;
    out->assignment = SLICE_LITERAL("");
}

static enum handled answer(struct shard_op *op)
{
    if (op->error_code == ERR_NONE)
        classic_sync_fill(sync_of(op), op->rq->out);
    else
        refuse(op->error_code, op->rq->out);
    return HANDLED_DONE;
}

static const struct shard_step step = { .decide = classic_sync_decide,
                                        .apply = classic_sync_apply,
                                        .fail = classic_sync_fail,
                                        .cancel = classic_sync_cancel,
                                        .take = classic_sync_take,
                                        .answer = answer };

enum handled handle_sync_group(struct request *rq, const struct sync_group_request *in,
                               struct sync_group_response *out)
{
    int16_t error_code = group_check_id(rq, in->group_id, false, OP_READ);
    bool is_complete = rq->api_version < PROTOCOL_SINCE ||
                       (!slice_is_null(in->protocol_type) && !slice_is_null(in->protocol_name));
    if (error_code == ERR_NONE && !is_complete)
        error_code = ERR_INCONSISTENT_GROUP_PROTOCOL;
    if (error_code != ERR_NONE) {
        refuse(error_code, out);
        return HANDLED_DONE;
    }
    struct classic_sync *sync = arena_alloc_array(&rq->arena, 1, sizeof *sync);
    if (!sync)
        return HANDLED_CLOSE;
    sync->op = shard_op_of(rq, &step);
    sync->in = in;
    return coordinator_run(rq->server->groups, in->group_id, &sync->op);
}
