/* Fetch: what was read becomes the response, and what the client is told is remembered in its session. */
#include "broker/handlers/fetch_internal.h"
#include "broker/server.h"

static const uint8_t no_bytes[1];

static bool pin_records(struct request *rq, const struct fetch_tellings *told)
{
    for (uint32_t i = 0; i < told->count; i++)
        if (told->items[i].records.pin && !arena_pin(&rq->arena, told->items[i].records.pin))
            return false;
    return true;
}

/* What the look-up refused stands behind all that could be read. */
static bool append_refusals(struct request *rq, struct fetch_state *state)
{
    struct fetch_tellings *told = &state->told;
    uint32_t count = told->count + state->refused.count;
    if (count > told->capacity) {
        struct fetch_response_partition *items = arena_alloc(&rq->arena, count * sizeof *items);
        uint32_t *places = arena_alloc(&rq->arena, count * sizeof *places);
        if (!items || !places)
            return false;
        if (told->count > 0) {
            memcpy(items, told->items, told->count * sizeof *items);
            memcpy(places, told->places, told->count * sizeof *places);
        }
        *told = (struct fetch_tellings){ items, places, told->count, count };
    }
    for (uint32_t i = 0; i < state->refused.count; i++) {
        const struct fetch_refusal *refusal = &state->refused.items[i];
        struct fetch_response_partition *out = &told->items[told->count];
        fetch_response_partition_init(out);
        out->partition = state->set->partitions[refusal->at].partition;
        out->error_code = refusal->error_code;
        out->high_watermark = -1;
        out->aborted_transactions_count = 0; /* as Kafka has it here, and here alone */
        out->records.bytes = slice_of(no_bytes, 0);
        told->places[told->count++] = refusal->at;
    }
    return true;
}

/* Kafka's CachedPartition: after an error the next good answer is news again, so it is told. What had records
 * goes to the end, so that the others come first next time. */
static void remember(struct fetch_state *state)
{
    for (uint32_t i = 0; i < state->told.count; i++) {
        const struct fetch_response_partition *out = &state->told.items[i];
        struct fetch_partition *partition = &state->set->partitions[state->told.places[i]];
        partition->high_watermark = out->error_code == ERR_NONE ? out->high_watermark : -1;
        partition->log_start_offset = out->log_start_offset;
        if (state->session && out->records.bytes.size > 0)
            fetch_set_move_last(state->set, state->told.places[i]);
    }
    /* The order of a new session is that of the answer that makes it. */
    for (uint32_t i = 0; i < state->refused.count && state->wants_session; i++)
        fetch_set_move_last(state->set, state->refused.items[i].at);
}

static uint32_t topic_of(const struct fetch_state *state, uint32_t i)
{
    return state->set->partitions[state->told.places[i]].topic;
}

/* Partitions of a topic that follow one another share its entry. */
static bool group(struct request *rq, const struct fetch_state *state, struct fetch_response *out)
{
    const struct fetch_tellings *told = &state->told;
    uint32_t count = 0;
    for (uint32_t i = 0; i < told->count; i++)
        count += i == 0 || topic_of(state, i) != topic_of(state, i - 1);
    out->topics = arena_alloc(&rq->arena, count * sizeof *out->topics);
    if (!out->topics)
        return false;
    bool ok = true;
    for (uint32_t i = 0; i < told->count; i++) {
        struct fetch_response_topic *to = out->topics + out->topics_count - 1;
        if (i == 0 || topic_of(state, i) != topic_of(state, i - 1)) {
            const struct fetch_topic *topic = &state->set->topics[topic_of(state, i)];
            to = out->topics + out->topics_count++;
            fetch_response_topic_init(to);
            to->topic_id = topic->id;
            to->partitions = &told->items[i];
            if (!state->set->by_id) /* a session may have dropped it before the answer is encoded */
                to->name = state->session ? arena_copy(&rq->arena, topic->name, &ok) : topic->name;
        }
        to->partitions_count++;
    }
    return ok;
}

bool fetch__answer(struct request *rq, struct fetch_state *state, struct fetch_response *out)
{
    if (!append_refusals(rq, state) || !pin_records(rq, &state->told) || !group(rq, state, out))
        return false;
    if (!state->session && !state->wants_session)
        return true;
    remember(state);
    out->session_id = state->session
                          ? state->session->id
                          : fetch_sessions_add(rq->server->fetch_sessions, state->set, rq_mono_ms(rq));
    return true;
}
