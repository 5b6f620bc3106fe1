/* JoinGroup v0-9: a member enters its group and is told of the next generation when all have come.
 * v1 rebalance timeout; v4 member id first (KIP-394); v5 static members (KIP-345); v7 protocol type; v9
 * skip_assignment (KIP-814). */
#include "broker/group/classic_ops.h"
#include "broker/handlers/handlers.h"
#include "broker/server.h"

enum {
    REBALANCE_TIMEOUT_SINCE = 1,
    MEMBER_ID_SINCE = 4,
    NULL_PROTOCOL_SINCE = 7,
    SKIP_ASSIGNMENT_SINCE = 9,
    NAME_SIZE_MAX = 1024, /* of what ends up in ids, and is told to every member of the group */
};

static struct classic_join *join_of(struct shard_op *op)
{
    return (struct classic_join *)((char *)op - offsetof(struct classic_join, op));
}

static void refuse(const struct request *rq, slice member_id, int16_t error_code,
                   struct join_group_response *out)
{
    out->error_code = error_code;
    out->member_id = slice_is_null(member_id) ? SLICE_LITERAL("") : member_id;
    out->protocol_name = rq->api_version >= NULL_PROTOCOL_SINCE ? SLICE_NULL : SLICE_LITERAL("");
    out->leader = SLICE_LITERAL("");
}

static enum handled answer(struct shard_op *op)
{
    const struct classic_join *join = join_of(op);
    struct join_group_response *out = op->rq->out;
    slice member_id = join->member_id;
    if (op->error_code == ERR_NONE) {
        classic_join_fill(join, out);
        return HANDLED_DONE;
    }
    if (op->error_code == ERR_MEMBER_ID_REQUIRED)
        member_id = join->answer_member_id;
    else if (op->error_code == ERR_GROUP_MAX_SIZE_REACHED)
        member_id = SLICE_NULL;
    refuse(op->rq, member_id, op->error_code, out);
    return HANDLED_DONE;
}

static const struct shard_step step = { .decide = classic_join_decide,
                                        .apply = classic_join_apply,
                                        .cancel = classic_join_cancel,
                                        .take = classic_join_take,
                                        .answer = answer };

static int16_t check_request(struct request *rq, const struct join_group_request *in)
{
    const struct config *config = rq->server->config;
    int16_t error_code = group_check_id(rq, in->group_id, false, OP_READ);
    if (error_code != ERR_NONE)
        return error_code;
    if (in->session_timeout_ms < config->group_min_session_timeout_ms ||
        in->session_timeout_ms > config->group_max_session_timeout_ms)
        return ERR_INVALID_SESSION_TIMEOUT;
    bool is_too_long = rq->client_id.size > NAME_SIZE_MAX || in->group_instance_id.size > NAME_SIZE_MAX ||
                       in->protocol_type.size > NAME_SIZE_MAX;
    for (int32_t i = 0; i < in->protocols_count && !is_too_long; i++)
        is_too_long = in->protocols[i].name.size > NAME_SIZE_MAX;
    return is_too_long ? ERR_INVALID_REQUEST : ERR_NONE;
}

static int32_t rebalance_timeout_ms(const struct request *rq, const struct join_group_request *in)
{
    if (rq->api_version < REBALANCE_TIMEOUT_SINCE)
        return in->session_timeout_ms;
    return in->rebalance_timeout_ms > 0 ? in->rebalance_timeout_ms : 0;
}

static bool fill(struct request *rq, const struct join_group_request *in, struct classic_join *join)
{
    bool is_static = !slice_is_null(in->group_instance_id);
    join->op = shard_op_of(rq, &step);
    join->group_id = in->group_id;
    join->member_id = in->member_id;
    join->instance_id = in->group_instance_id;
    join->client_id = rq->client_id;
    join->client_host = group_client_host(rq);
    join->protocol_type = in->protocol_type;
    join->protocols = in->protocols;
    join->protocol_count = in->protocols_count;
    join->session_timeout_ms = in->session_timeout_ms;
    join->rebalance_timeout_ms = rebalance_timeout_ms(rq, in);
    join->requires_member_id = rq->api_version >= MEMBER_ID_SINCE;
    join->may_skip_assignment = rq->api_version >= SKIP_ASSIGNMENT_SINCE;
    join->new_member_id = SLICE_LITERAL("");
    if (in->member_id.size == 0)
        join->new_member_id = classic_new_member_id(rq, is_static ? in->group_instance_id : rq->client_id);
    return !slice_is_null(join->client_host) && !slice_is_null(join->new_member_id);
}

enum handled handle_join_group(struct request *rq, const struct join_group_request *in,
                               struct join_group_response *out)
{
    int16_t error_code = check_request(rq, in);
    if (error_code != ERR_NONE) {
        refuse(rq, in->member_id, error_code, out);
        return HANDLED_DONE;
    }
    struct classic_join *join = arena_alloc_array(&rq->arena, 1, sizeof *join);
    if (!join || !fill(rq, in, join))
        return HANDLED_CLOSE;
    return coordinator_run(rq->server->groups, join->group_id, &join->op);
}
