/* Fetch v4-18: long-polls records out of the mapped segments.
 * v7 sessions (KIP-227); v12 diverging epochs (KIP-595); v13 topic ids (KIP-516). */
#include "broker/handlers/fetch_internal.h"
#include "broker/server.h"

enum { READ_COMMITTED = 1, BY_ID_FROM = 13 };

static enum handled resume_fetch(struct request *rq, enum wake why);

/* -- trying --------------------------------------------------------------------------------------- */

/* A later request has the session now, or nothing is left in it: Kafka tells so without partitions. */
static bool lost_session(const struct fetch_state *state, struct fetch_response *out)
{
    if (!state->session->is_closed && state->session->epoch == state->session_epoch)
        return false;
    out->session_id = state->session->id;
    out->error_code = state->session->is_closed ? ERR_NONE : ERR_INVALID_FETCH_SESSION_EPOCH;
    return true;
}

static enum handled warm_then_retry(struct request *rq, struct fetch_state *state)
{
    if (state->is_short)
        state->limit_rounds++;
    else
        state->cold_rounds++;
    state->is_short = false;
    state->cold_next = 0;
    for (uint32_t i = 0; i < state->cold.count; i++)
        partition_hold(state->cold.items[i].partition);
    rq->resume = resume_fetch;
    rq_read(rq, fetch__warm);
    return HANDLED_BUSY;
}

static enum handled try_set(struct request *rq, struct fetch_state *state, bool is_late, bool watch)
{
    struct fetch_outcome outcome = fetch__read(rq, state, watch);
    if (outcome.is_failed)
        return HANDLED_CLOSE;
    if (state->cold.count > 0)
        return warm_then_retry(rq, state);
    state->is_watching = state->is_watching || watch;
    if (is_late || outcome.is_final || outcome.size >= state->min_bytes ||
        outcome.available >= state->min_bytes)
        return fetch__answer(rq, state, rq->out) ? HANDLED_DONE : HANDLED_CLOSE;
    return HANDLED_WAIT;
}

static enum handled try_fetch(struct request *rq, bool is_late, bool watch)
{
    struct fetch_state *state = rq->state;
    if (!state->session)
        return try_set(rq, state, is_late, watch);
    pthread_mutex_lock(&state->session->lock);
    enum handled handled = lost_session(state, rq->out) ? HANDLED_DONE : try_set(rq, state, is_late, watch);
    pthread_mutex_unlock(&state->session->lock);
    return handled;
}

static enum handled resume_fetch(struct request *rq, enum wake why)
{
    struct fetch_state *state = rq->state;
    bool is_late = why == WAKE_DEADLINE || rq_mono_ms(rq) >= state->deadline_ms;
    enum handled handled = try_fetch(rq, is_late, !is_late && !state->is_watching);
    if (handled == HANDLED_WAIT)
        rq_deadline(rq, state->deadline_ms);
    return handled;
}

/* -- what is asked -------------------------------------------------------------------------------- */

/* A partition that is named twice is one, at its first place and with what was said last (Kafka's
 * LinkedHashMap). */
static bool take_partitions(struct request *rq, const struct fetch_request *in, struct fetch_state *state)
{
    const uint64_t *key = fetch_sessions_key(rq->server->fetch_sessions);
    uint64_t count = 0;
    for (int32_t t = 0; t < in->topics_count; t++)
        count += (uint64_t)in->topics[t].partitions_count;
    if (count >= FETCH_NONE || !fetch_set_init(&state->asked, key, rq->api_version >= BY_ID_FROM, &rq->arena,
                                               (uint32_t)count, (uint32_t)in->topics_count))
        return false;
    state->set = &state->asked;
    for (int32_t t = 0; t < in->topics_count; t++) {
        const struct fetch_request_topic *topic = &in->topics[t];
        uint32_t topic_at = FETCH_NONE;
        for (int32_t p = 0; p < topic->partitions_count; p++) {
            uint32_t at = fetch_set_put(state->set, &topic_at, topic->name, topic->topic_id,
                                        topic->partitions[p].partition);
            fetch_partition_update(&state->set->partitions[at], &topic->partitions[p]);
        }
    }
    return true;
}

/* Kafka's newContext. HANDLED_WAIT: go on; the other answers are final. */
static enum handled open_session(struct request *rq, const struct fetch_request *in,
                                 struct fetch_response *out, struct fetch_state *state)
{
    struct fetch_sessions *sessions = rq->server->fetch_sessions;
    bool is_full =
        in->session_epoch == FETCH_SESSION_EPOCH_INITIAL || in->session_epoch == FETCH_SESSION_EPOCH_FINAL;
    if (is_full) {
        if (in->session_id != FETCH_SESSION_NONE)
            fetch_sessions_close(sessions, in->session_id);
        state->wants_session = in->session_epoch == FETCH_SESSION_EPOCH_INITIAL;
        return take_partitions(rq, in, state) ? HANDLED_WAIT : HANDLED_CLOSE;
    }
    struct fetch_session *session;
    out->error_code =
        fetch_sessions_accept(sessions, in, rq->api_version >= BY_ID_FROM, rq_mono_ms(rq), &session);
    if (out->error_code != ERR_NONE)
        return HANDLED_DONE;
    if (!session)
        return take_partitions(rq, in, state) ? HANDLED_WAIT : HANDLED_CLOSE;
    bool is_pinned = arena_pin(&rq->arena, &session->pin);
    pin_drop(&session->pin);
    state->session = session;
    state->session_epoch = fetch_session_epoch_after(in->session_epoch);
    state->set = &session->set;
    return is_pinned ? HANDLED_WAIT : HANDLED_CLOSE;
}

static void set_limits(struct request *rq, const struct fetch_request *in, struct fetch_state *state)
{
    int32_t cap = rq->server->config->fetch_max_bytes;
    int32_t size_max = in->max_bytes < cap ? in->max_bytes : cap;
    state->size_max = size_max > 0 ? (size_t)size_max : 0;
    state->min_bytes = in->min_bytes > 0 ? (size_t)in->min_bytes : 0;
    if (state->min_bytes > state->size_max)
        state->min_bytes = state->size_max;
    state->deadline_ms = rq_mono_ms(rq) + (in->max_wait_ms > 0 ? in->max_wait_ms : 0);
    int64_t files_wait_ms = in->max_wait_ms > FETCH_FILES_WAIT_MS ? in->max_wait_ms : FETCH_FILES_WAIT_MS;
    state->files_until_ms =
        rq_mono_ms(rq) + (files_wait_ms < FILES_WAIT_MAX_MS ? files_wait_ms : FILES_WAIT_MAX_MS);
    state->is_committed = in->isolation_level == READ_COMMITTED;
    /* -1: a consumer; -2: a debugging one, which may read followers; brokers are >= 0. */
    state->from_replica = in->replica_id >= 0 || in->replica_state.replica_id >= 0;
}

enum handled handle_fetch(struct request *rq, const struct fetch_request *in, struct fetch_response *out)
{
    struct fetch_state *state = arena_alloc_array(&rq->arena, 1, sizeof *state);
    if (!state)
        return HANDLED_CLOSE;
    rq->state = state;
    enum handled handled = open_session(rq, in, out, state);
    if (handled != HANDLED_WAIT)
        return handled;
    set_limits(rq, in, state);
    rq->resume = resume_fetch;

    bool is_late = in->max_wait_ms <= 0 || state->min_bytes == 0;
    handled = try_fetch(rq, is_late, false);
    if (handled != HANDLED_WAIT)
        return handled;
    /* Watch first, then look again: what arrived in between is not missed. */
    return resume_fetch(rq, WAKE_PROGRESS);
}
