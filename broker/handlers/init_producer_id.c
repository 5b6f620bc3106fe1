/* InitProducerId v0-5: a new producer id for an idempotent producer (KIP-98).
 * v2 flexible; v3 the producer's current id and epoch (KIP-360); v4 PRODUCER_FENCED; v5
 * TRANSACTION_ABORTABLE. */
#include "broker/handlers/handlers.h"
#include "broker/producer_ids.h"
#include "broker/server.h"

enum { NO_PRODUCER_ID = -1, NO_PRODUCER_EPOCH = -1, EPOCH_FIRST = 0 };

static int16_t authorize(struct request *rq, const struct init_producer_id_request *in)
{
    if (!slice_is_null(in->transactional_id))
        return rq_txn(rq, in->transactional_id, OP_WRITE);
    /* Whoever may write to some topic may do so idempotently (KIP-679). */
    int16_t error_code = rq_cluster(rq, OP_IDEMPOTENT_WRITE);
    return error_code != ERR_NONE && rq_any_topic(rq, OP_WRITE) == ERR_NONE ? ERR_NONE : error_code;
}

static int16_t check_request(const struct init_producer_id_request *in)
{
    bool has_id = in->producer_id != NO_PRODUCER_ID, has_epoch = in->producer_epoch != NO_PRODUCER_EPOCH;
    if (has_id != has_epoch)
        return ERR_INVALID_REQUEST;
    if (slice_is_null(in->transactional_id))
        return ERR_NONE;
    return in->transactional_id.size == 0 ? ERR_INVALID_REQUEST : ERR_NONE;
}

static enum handled refuse(struct init_producer_id_response *out, int16_t error_code)
{
    out->error_code = error_code;
    out->producer_id = NO_PRODUCER_ID;
    out->producer_epoch = NO_PRODUCER_EPOCH;
    return HANDLED_DONE;
}

static enum handled grant(struct init_producer_id_response *out, int64_t producer_id)
{
    out->producer_id = producer_id;
    out->producer_epoch = EPOCH_FIRST;
    return HANDLED_DONE;
}

/* What the worker got for the loop. */
struct claim {
    int64_t producer_id;
    int16_t error_code;
};

static void claim_block(struct request *rq)
{
    struct claim *claim = rq->state;
    claim->error_code = producer_ids_claim(rq->server->producer_ids, &claim->producer_id);
}

/* Nothing could be written, say because the disk is full: that may pass. Of Kafka's errors for it older
 * clients try only this one again. */
static int16_t error_of_claim(int16_t error_code)
{
    return error_code == ERR_KAFKA_STORAGE_ERROR ? ERR_COORDINATOR_LOAD_IN_PROGRESS : error_code;
}

static enum handled resume_claimed(struct request *rq, enum wake why)
{
    (void)why;
    const struct claim *claim = rq->state;
    if (claim->error_code != ERR_NONE)
        return refuse(rq->out, error_of_claim(claim->error_code));
    return grant(rq->out, claim->producer_id);
}

/* A given id and epoch change nothing for a producer without transactions: it gets a new id, as in Kafka. */
enum handled handle_init_producer_id(struct request *rq, const struct init_producer_id_request *in,
                                     struct init_producer_id_response *out)
{
    int16_t error_code = authorize(rq, in);
    if (error_code == ERR_NONE)
        error_code = check_request(in);
    if (error_code != ERR_NONE)
        return refuse(out, error_code);
    if (!slice_is_null(in->transactional_id))
        return refuse(out, ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED); /* as FindCoordinator says */

    int64_t producer_id;
    if (producer_ids_take(rq->server->producer_ids, &producer_id))
        return grant(out, producer_id);
    rq->state = arena_alloc_array(&rq->arena, 1, sizeof(struct claim));
    if (!rq->state)
        return HANDLED_CLOSE;
    rq->resume = resume_claimed;
    rq_work(rq, claim_block);
    return HANDLED_BUSY;
}
