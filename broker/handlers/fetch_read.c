/* Fetch: one pass over the partitions, each resolved, checked and read. */
#include "broker/epoch_end.h"
#include "broker/handlers/fetch_internal.h"
#include "broker/log_errors.h"
#include "broker/server.h"
#include "protocol/base/check.h"

enum { DIVERGENCE_FROM = 12, LIST_MIN = 8 };

static const uint8_t no_bytes[1];

/* One partition of a pass. */
struct part {
    struct fetch_partition *in;
    struct fetch_response_partition *out;
    struct log *log;
    int32_t leader_epoch;
    int64_t bound;
    bool is_at_bound; /* there is nothing to read */
    bool is_cold;
};

/* -- lists in the arena --------------------------------------------------------------------------- */

static void *grow(struct request *rq, const void *items, uint32_t count, uint32_t capacity, size_t size)
{
    void *more = arena_alloc(&rq->arena, capacity * size);
    if (more && count > 0)
        memcpy(more, items, count * size);
    return more;
}

static uint32_t capacity_after(const struct fetch_state *state, uint32_t capacity)
{
    uint32_t next = capacity ? 2 * capacity : LIST_MIN;
    return next < state->set->count ? next : state->set->count;
}

/* Room for one more, which is not counted until it is to be told. */
static bool reserve_told(struct request *rq, struct fetch_state *state)
{
    struct fetch_tellings *told = &state->told;
    if (told->count < told->capacity)
        return true;
    /* A full fetch tells everything. */
    uint32_t capacity = state->session ? capacity_after(state, told->capacity) : state->set->count;
    void *items = grow(rq, told->items, told->count, capacity, sizeof *told->items);
    void *places = grow(rq, told->places, told->count, capacity, sizeof *told->places);
    if (!items || !places)
        return false;
    told->items = items;
    told->places = places;
    told->capacity = capacity;
    return true;
}

static bool add_refusal(struct request *rq, struct fetch_state *state, uint32_t at, int16_t error_code)
{
    struct fetch_refusals *list = &state->refused;
    if (list->count == list->capacity) {
        uint32_t capacity = capacity_after(state, list->capacity);
        void *items = grow(rq, list->items, list->count, capacity, sizeof *list->items);
        if (!items)
            return false;
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = (struct fetch_refusal){ .at = at, .error_code = error_code };
    return true;
}

static bool add_cold(struct request *rq, struct fetch_state *state, const struct fetch_cold *cold)
{
    struct fetch_colds *list = &state->cold;
    if (list->count == list->capacity) {
        uint32_t capacity = capacity_after(state, list->capacity);
        void *items = grow(rq, list->items, list->count, capacity, sizeof *list->items);
        if (!items)
            return false;
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = *cold;
    return true;
}

/* -- who is meant --------------------------------------------------------------------------------- */

/* A topic stands for the same in the whole pass. */
static struct fetch_topic *resolve_topic(struct request *rq, struct fetch_set *set, uint32_t at)
{
    struct fetch_topic *topic = &set->topics[at];
    if (topic->pass == set->pass)
        return topic;
    topic->pass = set->pass;
    topic->named = NULL;
    if (!set->by_id) {
        topic->error_code = rq_topic(rq, topic->name, OP_READ, &topic->topic);
        return topic;
    }
    topic->error_code = rq_topic_by_id(rq, topic->id, OP_READ, &topic->topic);
    topic->named_error_code = topic->error_code;
    if (topic->error_code == ERR_NONE && slice_is_null(topic->name))
        fetch_set_name_topic(set, topic, topic->topic->name_slice);
    else if (topic->error_code == ERR_UNKNOWN_TOPIC_ID && !slice_is_null(topic->name))
        topic->named_error_code = rq_topic(rq, topic->name, OP_READ, &topic->named);
    return topic;
}

/* The name's topic is another by now: Kafka tells so where its partition exists, in the read
 * (INCONSISTENT_TOPIC_ID). What the look-up itself refuses keeps nobody waiting: *is_refused. */
static int16_t resolve(struct request *rq, struct fetch_state *state, struct fetch_partition *in,
                       const struct partition_metadata **metadata, bool *is_refused)
{
    struct fetch_topic *topic = resolve_topic(rq, state->set, in->topic);
    *is_refused = true;
    if (topic->error_code == ERR_NONE) {
        if (state->from_replica)
            return ERR_TOPIC_AUTHORIZATION_FAILED; /* no replicas here: reliability row 79 */
        in->is_named = !slice_is_null(topic->name);
        return rq_partition(rq, topic->topic, in->partition, metadata);
    }
    if (!in->is_named || !state->set->by_id)
        return topic->error_code;
    if (topic->named_error_code != ERR_NONE)
        return topic->named_error_code;
    int16_t error_code = rq_partition(rq, topic->named, in->partition, metadata);
    if (error_code != ERR_NONE)
        return error_code;
    *is_refused = false;
    return ERR_INCONSISTENT_TOPIC_ID;
}

/* -- divergence ----------------------------------------------------------------------------------- */

static void fail(struct part *part, int16_t error_code)
{
    part->out->error_code = error_code;
    part->out->high_watermark = -1;
    part->out->last_stable_offset = -1;
    part->out->log_start_offset = -1;
}

/* KIP-595: the client's last epoch ended before its position, so its log and ours went apart. A session may
 * know an epoch from a request of another version than this one, which could not be told. */
static bool check_divergence(struct part *part, int16_t version)
{
    if (part->in->last_fetched_epoch < 0 || version < DIVERGENCE_FROM)
        return true;
    int32_t epoch;
    int64_t end_offset;
    if (epoch_end_find(part->log, part->leader_epoch, part->in->last_fetched_epoch, &epoch, &end_offset) !=
        LOG_OK) {
        part->is_cold = true;
        return false;
    }
    if (epoch < 0 || end_offset < 0) {
        fail(part, ERR_OFFSET_OUT_OF_RANGE);
        return false;
    }
    if (epoch >= part->in->last_fetched_epoch && end_offset >= part->in->fetch_offset)
        return true;
    part->out->diverging_epoch.epoch = epoch;
    part->out->diverging_epoch.end_offset = end_offset;
    return false;
}

/* -- reading -------------------------------------------------------------------------------------- */

static size_t size_max_of(const struct fetch_partition *in)
{
    return in->max_bytes > 0 ? (size_t)in->max_bytes : 0;
}

/* The worker's result for this partition, if it had it. Both lists have the order of the set. */
static enum log_status take_warmed(struct fetch_state *state, uint32_t at)
{
    struct fetch_colds *warmed = &state->warmed;
    if (state->warmed_next == warmed->count || warmed->items[state->warmed_next].at != at)
        return LOG_OK;
    return warmed->items[state->warmed_next++].status;
}

/* What the reader of committed records has to leave out of the range. */
static enum log_status tell_aborted(struct request *rq, struct part *part, const struct log_range *range)
{
    struct log_aborted *aborted;
    size_t count;
    enum log_status status =
        log_aborted(part->log, part->in->fetch_offset, range->next_offset, &rq->arena, &aborted, &count);
    if (status != LOG_OK || count == 0)
        return status;
    struct fetch_response_aborted_transaction *told = arena_alloc_array(&rq->arena, count, sizeof *told);
    if (!told || count > INT32_MAX)
        return LOG_LIMIT;
    for (size_t i = 0; i < count; i++) {
        fetch_response_aborted_transaction_init(&told[i]);
        told[i].producer_id = aborted[i].producer_id;
        told[i].first_offset = aborted[i].first_offset;
    }
    part->out->aborted_transactions = told;
    part->out->aborted_transactions_count = (int32_t)count;
    return LOG_OK;
}

static void read_log(struct request *rq, struct fetch_state *state, struct part *part, enum log_status status,
                     size_t size_left, bool at_least_one)
{
    struct log_range range = { .bytes = SLICE_NULL };
    if (status == LOG_OK && !check_divergence(part, rq->api_version))
        return;
    size_t size_max = size_max_of(part->in);
    if (size_max > size_left)
        size_max = size_left;
    if (status == LOG_OK && !part->is_at_bound)
        status = log_read(part->log, part->in->fetch_offset, part->bound, size_max, at_least_one,
                          state->cold_rounds < FETCH_COLD_ROUNDS_MAX, &rq->arena, &range);
    if (status == LOG_OK && state->is_committed && range.bytes.size > 0)
        status = tell_aborted(rq, part, &range);
    switch (status) {
    case LOG_OK:
        if (range.bytes.size > 0) {
            part->out->records.bytes = range.bytes;
            part->out->records.pin = range.pin;
        }
        return;
    case LOG_COLD:
    case LOG_BUSY:
        part->is_cold = true;
        return;
    case LOG_LIMIT:
        if (!at_least_one)
            return; /* others took the descriptors, and have records: the client asks for the rest again */
        if (state->limit_rounds < FETCH_LIMIT_ROUNDS_MAX && rq_mono_ms(rq) < state->files_until_ms) {
            part->is_cold = state->is_short = true; /* what it needs was closed again since */
            return;
        }
        /* fall through */
    default: {
        int16_t error_code = error_of_log(status);
        if (error_code == ERR_KAFKA_STORAGE_ERROR && rq->api_version <= 5)
            error_code = ERR_NOT_LEADER_OR_FOLLOWER; /* older clients do not know the other */
        fail(part, error_code);
    }
    }
}

static void begin_part(const struct fetch_state *state, struct part *part)
{
    fetch_response_partition_init(part->out);
    part->out->partition = part->in->partition;
    part->out->aborted_transactions_count = state->is_committed ? 0 : -1;
    part->out->records.bytes = slice_of(no_bytes, 0);
}

static void read_part(struct request *rq, struct fetch_state *state, struct part *part,
                      const struct partition_metadata *metadata, enum log_status warmed, size_t size_left,
                      bool at_least_one)
{
    int16_t error_code = rq_leader_epoch(metadata, part->in->leader_epoch);
    if (error_code != ERR_NONE) {
        fail(part, error_code);
        return;
    }
    part->log = metadata->partition->log;
    part->leader_epoch = metadata->leader_epoch;
    struct log_offsets offsets = log_offsets(part->log);
    part->bound = state->is_committed ? offsets.stable : offsets.high_watermark;
    part->is_at_bound = part->in->fetch_offset == part->bound && part->bound >= offsets.start;
    part->out->high_watermark = offsets.high_watermark;
    part->out->last_stable_offset = offsets.stable;
    part->out->log_start_offset = offsets.start;
    read_log(rq, state, part, warmed, size_left, at_least_one);
}

/* Batch ends cut what was read; min_bytes counts what is there (facts: protocol 4.3). SIZE_MAX: an older
 * segment, Kafka does not count. */
static size_t available_of(const struct part *part)
{
    if (part->in->fetch_offset >= part->bound)
        return 0;
    size_t size = log_size_between(part->log, part->in->fetch_offset, part->bound);
    size_t size_max = size_max_of(part->in);
    return size == SIZE_MAX || size < size_max ? size : size_max;
}

static size_t add_sizes(size_t a, size_t b)
{
    return a > SIZE_MAX - b ? SIZE_MAX : a + b;
}

/* KIP-227: what an incremental answer has to say; a full one says everything. */
static bool must_tell(const struct fetch_state *state, const struct fetch_partition *in,
                      const struct fetch_response_partition *out)
{
    return !state->session || out->records.bytes.size > 0 || out->high_watermark != in->high_watermark ||
           out->log_start_offset != in->log_start_offset || out->preferred_read_replica != -1 ||
           out->error_code != ERR_NONE || out->diverging_epoch.epoch >= 0;
}

static uint64_t mark_of(const struct partition *partition)
{
    uint64_t mark = (uint64_t)(uintptr_t)partition * 0x9e3779b97f4a7c15u;
    return mark ^ mark >> 29;
}

static bool keep_cold(struct request *rq, struct fetch_state *state, const struct part *part, uint32_t at,
                      struct partition *partition)
{
    size_t size_max = part->in->max_bytes > 0 ? (size_t)part->in->max_bytes : 1;
    const struct fetch_cold cold = { .at = at,
                                     .partition = partition,
                                     .fetch_offset = part->in->fetch_offset,
                                     .size_max = size_max < state->size_max ? size_max : state->size_max };
    return add_cold(rq, state, &cold);
}

/* Nothing new for an incremental answer, as for most partitions of a large session: seen without all that a
 * telling needs. A position in the leader's own epoch has not gone apart (check_divergence). */
static bool is_unchanged(const struct request *rq, const struct fetch_state *state,
                         const struct fetch_partition *in, const struct partition_metadata *metadata)
{
    if (!state->session || state->warmed_next < state->warmed.count ||
        rq_leader_epoch(metadata, in->leader_epoch) != ERR_NONE)
        return false;
    if (in->last_fetched_epoch >= 0 && in->last_fetched_epoch != metadata->leader_epoch &&
        rq->api_version >= DIVERGENCE_FROM)
        return false;
    struct log_offsets offsets = log_offsets(metadata->partition->log);
    return in->fetch_offset == (state->is_committed ? offsets.stable : offsets.high_watermark) &&
           in->fetch_offset >= offsets.start && offsets.high_watermark == in->high_watermark &&
           offsets.start == in->log_start_offset;
}

/* False: no memory. */
static bool visit(struct request *rq, struct fetch_state *state, uint32_t at, bool watch,
                  struct fetch_outcome *outcome)
{
    struct part part = { .in = &state->set->partitions[at] };
    const struct partition_metadata *metadata;
    bool is_refused;
    int16_t error_code = resolve(rq, state, part.in, &metadata, &is_refused);
    if (error_code != ERR_NONE && is_refused)
        return add_refusal(rq, state, at, error_code);
    if (error_code == ERR_NONE) {
        if (watch &&
            !rq_watch(rq, metadata->partition)) /* watch first, then look, so that nothing is missed */
            return false;
        outcome->seen += mark_of(metadata->partition);
        if (is_unchanged(rq, state, part.in, metadata))
            return true;
    }
    if (!reserve_told(rq, state))
        return false;
    part.out = &state->told.items[state->told.count];
    begin_part(state, &part);
    if (error_code != ERR_NONE) {
        fail(&part, error_code);
    } else {
        size_t left = state->size_max > outcome->size ? state->size_max - outcome->size : 0;
        read_part(rq, state, &part, metadata, take_warmed(state, at), left, outcome->size == 0);
        if (part.is_cold && !keep_cold(rq, state, &part, at, metadata->partition))
            return false;
    }
    outcome->size += part.out->records.bytes.size;
    if (part.out->error_code != ERR_NONE || part.out->diverging_epoch.epoch >= 0)
        outcome->is_final = true;
    else if (outcome->size < state->min_bytes && !part.is_cold)
        outcome->available = add_sizes(outcome->available, available_of(&part));
    if (must_tell(state, part.in, part.out))
        state->told.places[state->told.count++] = at;
    return true;
}

struct fetch_outcome fetch__read(struct request *rq, struct fetch_state *state, bool watch)
{
    struct fetch_outcome outcome = { 0 };
    struct fetch_set *set = state->set;
    set->pass++;
    state->told.count = 0;
    state->refused.count = 0;
    struct fetch_colds before = state->warmed;
    state->warmed = state->cold;
    state->warmed_next = 0;
    state->cold = (struct fetch_colds){ .items = before.items, .capacity = before.capacity };
    for (uint32_t at = set->first; at != FETCH_NONE && !outcome.is_failed; at = set->partitions[at].next)
        outcome.is_failed = !visit(rq, state, at, watch, &outcome);
    state->warmed.count = 0; /* told: a later pass reads anew */
    /* A partition that is unknown from the start keeps nobody from waiting for the others: a client that goes
     * on asking for a deleted topic would otherwise never sleep. One that goes while it is waited for ends
     * the wait, and so does one that comes, also in the place of another: it is not watched. */
    outcome.is_final = outcome.is_final || state->refused.count == set->count ||
                       (state->is_tried && outcome.seen != state->seen);
    state->is_tried = true;
    state->seen = outcome.seen;
    return outcome;
}

/* Opens one log and brings the range into memory. */
static enum log_status open_and_warm(const struct fetch_state *state, const struct fetch_cold *cold)
{
    struct log *log = cold->partition->log;
    enum log_status status = log_open(log);
    if (status != LOG_OK)
        return status;
    struct log_offsets offsets = log_offsets(log);
    int64_t bound = state->is_committed ? offsets.stable : offsets.high_watermark;
    return log_warm(log, cold->fetch_offset, bound, cold->size_max);
}

static enum log_status warm(const struct fetch_state *state, const struct fetch_cold *cold)
{
    files_wait_try_begins();
    enum log_status status = open_and_warm(state, cold);
    files_wait_try_ends();
    return status;
}

/* True: the request is parked until there are descriptors. */
static bool wait_for_files(struct request *rq, const struct fetch_cold *cold, enum log_status *status)
{
    struct fetch_state *state = rq->state;
    struct files_wait *wait = rq->server->files_wait;
    if (!files_waiter_is_in(&state->files)) {
        files_wait_enter(wait, &state->files, state->files_until_ms);
        *status = warm(state, cold);
    }
    if (*status != LOG_LIMIT || files_wait_is_over(wait, &state->files))
        return false;
    rq_park(rq, &state->files);
    return true;
}

void fetch__warm(struct request *rq)
{
    struct fetch_state *state = rq->state;
    enum log_status opened = LOG_OK;
    for (; state->cold_next < state->cold.count; state->cold_next++) {
        struct fetch_cold *cold = &state->cold.items[state->cold_next];
        /* Once descriptors are short, opening another would only close those that were just opened: the
         * client asks for the rest again. */
        if (opened != LOG_LIMIT)
            opened = warm(state, cold);
        if (opened == LOG_LIMIT && state->cold_next == 0 && wait_for_files(rq, cold, &opened))
            return;
        cold->status = opened;
        partition_release(cold->partition);
    }
    files_wait_leave(rq->server->files_wait, &state->files);
}
