/* Fetch sessions of the whole broker against a plain model of Kafka's rules, with random sequences: requests
 * that add, update and forget, produce, topics that come and may not be read, evictions, wrong ids and
 * epochs, long polls.
 *
 * RUNNEL_STEPS: how many (default 120000). RUNNEL_SEED: of the run; a failure prints the one that repeats it.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/fetch_session.h"
#include "codec/delete_topics.h"
#include "codec/fetch.h"
#include "codec/metadata.h"
#include "codec/produce.h"
#include "protocol/errors.h"
#include "protocol/record_batch.h"
#include "tests/support/sim.h"

enum {
    KEY_PRODUCE = 0,
    KEY_FETCH = 1,
    KEY_METADATA = 3,
    KEY_DELETE_TOPICS = 20,
    TOPICS = 6,
    TOPICS_AT_START = 3,
    PARTITIONS = 3,
    STRANGE_IDS = 3, /* that no topic ever has */
    BATCHES_MAX = 1 << 15,
    SLOTS = 6,
    SESSIONS_MAX = 16,
    ENTRIES_MAX = 64,
    LISTED_MAX = 12,
    EVICTION_MS = 120000,
    WAIT_MS = 50,
    BY_ID_FROM = 13,
    DIVERGENCE_FROM = 12,
    NOBODY = -1,
};

static struct sim sim;
static struct sim_client clients[2];
static struct random chance;
static uint64_t seed;
static uint64_t step;

/* -- what there is -------------------------------------------------------------------------------- */

struct model_log {
    int64_t count; /* one record a batch, so also the high watermark */
    uint16_t sizes[BATCHES_MAX];
};

static struct {
    char name[16];
    bool exists;
    bool read_denied;
    bool describe_denied;
    uuid id;
    struct model_log logs[PARTITIONS];
} topics[TOPICS];

static uuid strange_ids[STRANGE_IDS];

/* What a fetch asks of one partition, and what its session remembers. */
struct entry {
    int topic; /* by name: whose; by id: whose name is known to be meant, or NOBODY */
    bool by_id;
    uuid id;
    int32_t partition;
    int64_t offset;
    int32_t max_bytes;
    int32_t leader_epoch;
    int32_t last_epoch;
    int64_t told_watermark;
    int64_t told_start;
    bool was_refused;
};

struct entries {
    int count;
    struct entry items[ENTRIES_MAX];
};

struct model_session {
    bool is_there;
    bool by_id;
    bool may_be_evicted;
    int32_t id;
    int32_t epoch;
    int64_t created_ms;
    int64_t used_ms;
    uint64_t used_step;
    struct entries set;
};

static struct model_session sessions[SESSIONS_MAX];
static int64_t now_ms;

static struct {
    uint64_t full, incremental, refused_ids, refused_epochs, refused_kinds, evicted, waited, taken_over, told,
        untold, deleted, inconsistent;
} seen;

static uint64_t below(uint64_t bound)
{
    return random_below(&chance, bound);
}

static bool one_in(uint64_t n)
{
    return below(n) == 0;
}

#define EXPECT(condition, ...)                                                                               \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "seed %llu step %llu: ", (unsigned long long)seed, (unsigned long long)step);    \
            fprintf(stderr, __VA_ARGS__);                                                                    \
            fprintf(stderr, "\n");                                                                           \
            ck_abort_msg("%s", #condition);                                                                  \
        }                                                                                                    \
    } while (0)

static bool deny_some(void *context, const struct conn *conn, enum acl_operation op, int resource_type,
                      slice name)
{
    (void)context;
    (void)conn;
    (void)resource_type;
    for (int i = 0; i < TOPICS; i++)
        if (slice_equal_string(name, topics[i].name))
            return op == OP_READ ? !topics[i].read_denied : op != OP_DESCRIBE || !topics[i].describe_denied;
    return true;
}

/* A request. */
struct asked {
    int16_t version;
    int32_t session_id;
    int32_t session_epoch;
    int32_t max_wait_ms;
    int32_t min_bytes;
    int32_t max_bytes;
    int count;
    struct entry items[LISTED_MAX];
    int forgotten_count;
    struct entry forgotten[LISTED_MAX];
};

/* -- the model of one fetch ----------------------------------------------------------------------- */

struct telling {
    int at; /* in the entries */
    int16_t error_code;
    int64_t watermark;
    int64_t start;
    size_t size;
    int64_t diverging_end; /* -1: none */
};

struct outcome {
    struct telling items[ENTRIES_MAX]; /* those that were read, then those that were refused */
    int count;
    int read_count;
    size_t size;
    size_t available;
    bool is_final;
};

static int topic_of_id(uuid id)
{
    for (int i = 0; i < TOPICS; i++)
        if (topics[i].exists && uuid_equal(topics[i].id, id))
            return i;
    return NOBODY;
}

static int16_t resolve_name(const struct entry *entry)
{
    if (topics[entry->topic].read_denied)
        return ERR_TOPIC_AUTHORIZATION_FAILED;
    if (!topics[entry->topic].exists || entry->partition >= PARTITIONS)
        return ERR_UNKNOWN_TOPIC_OR_PARTITION;
    return ERR_NONE;
}

static int16_t resolve(struct entry *entry, int *topic, bool *is_refused)
{
    *is_refused = true;
    if (!entry->by_id) {
        *topic = entry->topic;
        return resolve_name(entry);
    }
    *topic = topic_of_id(entry->id);
    if (*topic != NOBODY && !topics[*topic].read_denied) {
        entry->topic = *topic;
        return entry->partition < PARTITIONS ? ERR_NONE : ERR_UNKNOWN_TOPIC_OR_PARTITION;
    }
    if (*topic != NOBODY && !topics[*topic].describe_denied)
        return ERR_TOPIC_AUTHORIZATION_FAILED;
    if (entry->topic == NOBODY)
        return ERR_UNKNOWN_TOPIC_ID;
    int16_t error_code = resolve_name(entry);
    *is_refused = error_code != ERR_NONE;
    return error_code != ERR_NONE ? error_code : ERR_INCONSISTENT_TOPIC_ID;
}

static void read_entry(const struct entry *entry, const struct model_log *log, int16_t version, size_t left,
                       bool at_least_one, struct telling *out, size_t *available)
{
    if (entry->leader_epoch > 0) {
        out->error_code = ERR_UNKNOWN_LEADER_EPOCH;
    } else if (version >= DIVERGENCE_FROM && entry->last_epoch == 0 && entry->offset > log->count) {
        out->diverging_end = log->count;
    } else if (entry->offset < 0 || entry->offset > log->count) {
        out->error_code = ERR_OFFSET_OUT_OF_RANGE;
    } else {
        size_t limit = entry->max_bytes > 0 ? (size_t)entry->max_bytes : 0, all = 0;
        size_t most = limit < left ? limit : left;
        bool is_cut = false;
        for (int64_t i = entry->offset; i < log->count; i++) {
            size_t size = log->sizes[i];
            all += size;
            is_cut = is_cut || (out->size + size > most && !(out->size == 0 && at_least_one));
            if (!is_cut)
                out->size += size;
        }
        *available += all < limit ? all : limit;
    }
    if (out->error_code != ERR_NONE)
        return;
    out->watermark = log->count;
    out->start = 0;
}

static struct outcome evaluate(struct entries *set, const struct asked *asked, bool is_first)
{
    size_t size_max = (size_t)asked->max_bytes;
    size_t min_bytes = (size_t)(asked->min_bytes < asked->max_bytes ? asked->min_bytes : asked->max_bytes);
    struct outcome outcome = { 0 };
    struct telling refused[ENTRIES_MAX];
    int refused_count = 0;
    for (int i = 0; i < set->count; i++) {
        struct entry *entry = &set->items[i];
        struct telling telling = { .at = i, .watermark = -1, .start = -1, .diverging_end = -1 };
        bool is_refused;
        int topic;
        telling.error_code = resolve(entry, &topic, &is_refused);
        if (telling.error_code != ERR_NONE && is_refused) {
            if (is_first)
                entry->was_refused = true;
            else if (!entry->was_refused)
                outcome.is_final = true;
            refused[refused_count++] = telling;
            continue;
        }
        entry->was_refused = false;
        if (telling.error_code == ERR_NONE)
            read_entry(entry, &topics[topic].logs[entry->partition], asked->version,
                       size_max > outcome.size ? size_max - outcome.size : 0, outcome.size == 0, &telling,
                       &outcome.available);
        if (telling.error_code != ERR_NONE || telling.diverging_end >= 0)
            outcome.is_final = true;
        outcome.size += telling.size;
        outcome.items[outcome.count++] = telling;
    }
    outcome.read_count = outcome.count;
    for (int i = 0; i < refused_count; i++)
        outcome.items[outcome.count++] = refused[i];
    if (refused_count == set->count || outcome.size >= min_bytes || outcome.available >= min_bytes)
        outcome.is_final = true;
    return outcome;
}

/* -- the model of sessions ------------------------------------------------------------------------ */

static bool is_same(const struct entry *a, const struct entry *b)
{
    return a->partition == b->partition && (a->by_id ? uuid_equal(a->id, b->id) : a->topic == b->topic);
}

static int find_entry(const struct entries *set, const struct entry *entry)
{
    for (int i = 0; i < set->count; i++)
        if (is_same(&set->items[i], entry))
            return i;
    return NOBODY;
}

static void put_entry(struct entries *set, const struct entry *asked)
{
    int at = find_entry(set, asked);
    if (at == NOBODY) {
        set->items[set->count++] = *asked;
        return;
    }
    struct entry *entry = &set->items[at];
    entry->offset = asked->offset;
    entry->max_bytes = asked->max_bytes;
    entry->leader_epoch = asked->leader_epoch;
    entry->last_epoch = asked->last_epoch;
}

static void remove_entry(struct entries *set, int at)
{
    memmove(&set->items[at], &set->items[at + 1], (size_t)(set->count - at - 1) * sizeof set->items[0]);
    set->count--;
}

static struct model_session *find_session(int32_t id)
{
    for (int i = 0; i < SESSIONS_MAX; i++)
        if (sessions[i].is_there && sessions[i].id == id)
            return &sessions[i];
    return NULL;
}

static int session_count(void)
{
    int count = 0;
    for (int i = 0; i < SESSIONS_MAX; i++)
        count += sessions[i].is_there;
    return count;
}

static struct model_session *victim_for(int count)
{
    struct model_session *oldest = NULL, *smallest = NULL;
    for (int i = 0; i < SESSIONS_MAX; i++) {
        struct model_session *session = &sessions[i];
        if (!session->is_there)
            continue;
        if (!oldest || session->used_step < oldest->used_step)
            oldest = session;
        if (session->may_be_evicted &&
            (!smallest || session->set.count < smallest->set.count ||
             (session->set.count == smallest->set.count && session->id < smallest->id)))
            smallest = session;
    }
    if (oldest && now_ms - oldest->used_ms > EVICTION_MS)
        return oldest;
    return smallest && count > smallest->set.count ? smallest : NULL;
}

/* Whether a new session of so many partitions finds its place. */
static bool make_room(int count)
{
    if (session_count() < SLOTS)
        return true;
    struct model_session *victim = victim_for(count);
    if (!victim)
        return false;
    victim->is_there = false;
    seen.evicted++;
    return true;
}

static uint64_t use_counter;

static void touch(struct model_session *session)
{
    session->used_ms = now_ms;
    session->used_step = ++use_counter;
    if (now_ms - session->created_ms > EVICTION_MS)
        session->may_be_evicted = true;
}

static void keep_told(struct entry *entry, const struct telling *telling)
{
    entry->told_watermark = telling->error_code == ERR_NONE ? telling->watermark : -1;
    entry->told_start = telling->start;
}

/* What a full answer leaves behind when it got the id. */
static void create_session(int32_t id, bool by_id, const struct entries *asked, const struct outcome *outcome)
{
    struct model_session *session = sessions;
    while (session->is_there)
        session++;
    EXPECT(!find_session(id), "session id %d is not unique", id);
    *session = (struct model_session){
        .is_there = true, .by_id = by_id, .id = id, .epoch = 1, .created_ms = now_ms
    };
    for (int i = 0; i < outcome->count; i++) {
        session->set.items[session->set.count] = asked->items[outcome->items[i].at];
        keep_told(&session->set.items[session->set.count++], &outcome->items[i]);
    }
    touch(session);
}

/* Leaves out of the outcome what the client knows, remembers the rest, rotates. */
static void narrow(struct entries *set, struct outcome *outcome)
{
    struct entries after = *set;
    int kept = 0;
    for (int i = 0; i < outcome->count; i++) {
        struct telling *telling = &outcome->items[i];
        struct entry *entry = &set->items[telling->at];
        bool must = telling->size > 0 || telling->watermark != entry->told_watermark ||
                    telling->start != entry->told_start || telling->error_code != ERR_NONE ||
                    telling->diverging_end >= 0;
        seen.told += must;
        seen.inconsistent += telling->error_code == ERR_INCONSISTENT_TOPIC_ID;
        seen.untold += !must;
        if (!must)
            continue;
        int at = find_entry(&after, entry);
        keep_told(&after.items[at], telling);
        if (telling->size > 0) {
            struct entry moved = after.items[at];
            remove_entry(&after, at);
            after.items[after.count++] = moved;
        }
        outcome->items[kept++] = *telling;
    }
    outcome->count = kept;
    *set = after;
}

/* -- requests ------------------------------------------------------------------------------------- */

static bool is_by_id(const struct asked *asked)
{
    return asked->version >= BY_ID_FROM;
}

static struct entry random_entry(bool by_id)
{
    struct entry entry = { .topic = (int)below(TOPICS),
                           .by_id = by_id,
                           .partition = one_in(12) ? PARTITIONS : (int32_t)below(PARTITIONS),
                           .max_bytes = one_in(3) ? (int32_t)below(400) : 1000000,
                           .leader_epoch = one_in(60) ? 5 : (int32_t)below(2) - 1,
                           .last_epoch = (int32_t)below(2) - 1,
                           .told_watermark = -1,
                           .told_start = -1 };
    int topic = entry.topic;
    int64_t end = entry.partition < PARTITIONS ? topics[topic].logs[entry.partition].count : 0;
    entry.offset = one_in(40) ? end + 2 : one_in(60) ? -1 : end - (one_in(3) ? (int64_t)below(6) : 0);
    if (entry.offset < 0 && end > 0)
        entry.offset = 0;
    if (by_id) {
        entry.topic = NOBODY;
        entry.id =
            one_in(10) || uuid_is_zero(topics[topic].id) ? strange_ids[below(STRANGE_IDS)] : topics[topic].id;
    }
    return entry;
}

static struct fetch_request_topic request_topics[LISTED_MAX];
static struct fetch_request_partition request_partitions[LISTED_MAX];
static struct fetch_request_forgotten_topic forgotten_topics[LISTED_MAX];
static int32_t forgotten_partitions[LISTED_MAX];

static void list_partitions(const struct asked *asked, struct fetch_request *request)
{
    request->topics = request_topics;
    for (int i = 0; i < asked->count; i++) {
        const struct entry *entry = &asked->items[i];
        struct fetch_request_partition *partition = &request_partitions[i];
        fetch_request_partition_init(partition);
        partition->partition = entry->partition;
        partition->fetch_offset = entry->offset;
        partition->partition_max_bytes = entry->max_bytes;
        partition->current_leader_epoch = entry->leader_epoch;
        partition->last_fetched_epoch = entry->last_epoch;
        bool is_same_topic =
            i > 0 && (entry->by_id ? uuid_equal(entry->id, entry[-1].id) : entry->topic == entry[-1].topic);
        if (is_same_topic && one_in(2)) {
            request->topics[request->topics_count - 1].partitions_count++;
            continue;
        }
        struct fetch_request_topic *topic = &request->topics[request->topics_count++];
        fetch_request_topic_init(topic);
        topic->topic_id = entry->id;
        topic->name = entry->by_id ? SLICE_LITERAL("") : slice_of_string(topics[entry->topic].name);
        topic->partitions = partition;
        topic->partitions_count = 1;
    }
}

static void list_forgotten(const struct asked *asked, struct fetch_request *request)
{
    request->forgotten_topics = forgotten_topics;
    for (int i = 0; i < asked->forgotten_count; i++) {
        const struct entry *entry = &asked->forgotten[i];
        struct fetch_request_forgotten_topic *topic =
            &request->forgotten_topics[request->forgotten_topics_count++];
        fetch_request_forgotten_topic_init(topic);
        topic->topic_id = entry->id;
        topic->name = entry->by_id ? SLICE_LITERAL("") : slice_of_string(topics[entry->topic].name);
        topic->partitions = &forgotten_partitions[i];
        topic->partitions_count = 1;
        forgotten_partitions[i] = entry->partition;
    }
}

static void send_fetch(struct sim_client *client, const struct asked *asked)
{
    struct fetch_request request;
    fetch_request_init(&request);
    request.session_id = asked->session_id;
    request.session_epoch = asked->session_epoch;
    request.max_wait_ms = asked->max_wait_ms;
    request.min_bytes = asked->min_bytes;
    request.max_bytes = asked->max_bytes;
    list_partitions(asked, &request);
    list_forgotten(asked, &request);
    ck_assert(sim_send(client, KEY_FETCH, asked->version, &request));
    sim_settle(&sim);
}

/* A version may lack a field; then the broker cannot know it. */
static void forget_what_the_version_lacks(struct asked *asked)
{
    for (int i = 0; i < asked->count; i++) {
        if (asked->version < 9)
            asked->items[i].leader_epoch = -1;
        if (asked->version < 12)
            asked->items[i].last_epoch = -1;
    }
}

static struct asked random_request(bool by_id, int count)
{
    struct asked asked = { .version = (int16_t)(by_id ? 13 + below(6) : 7 + below(6)),
                           .session_epoch = -1,
                           .min_bytes = 1,
                           .max_bytes = one_in(4) ? (int32_t)below(600) : 1 << 20,
                           .count = count };
    for (int i = 0; i < count; i++)
        asked.items[i] = random_entry(by_id);
    forget_what_the_version_lacks(&asked);
    return asked;
}

/* -- answers -------------------------------------------------------------------------------------- */

static void expect_answer(struct sim_client *client, const struct asked *asked, int16_t error_code,
                          const struct entries *set, const struct outcome *outcome, int32_t *session_id)
{
    struct fetch_response response;
    EXPECT(sim_receive(client, KEY_FETCH, asked->version, &response), "no answer");
    EXPECT(response.error_code == error_code, "%s instead of %s", error_name(response.error_code),
           error_name(error_code));
    *session_id = response.session_id;
    int told = 0;
    for (int32_t t = 0; t < response.topics_count; t++) {
        const struct fetch_response_topic *topic = &response.topics[t];
        for (int32_t p = 0; p < topic->partitions_count; p++) {
            const struct fetch_response_partition *got = &topic->partitions[p];
            EXPECT(outcome && told < outcome->count, "more than %d partitions", outcome ? outcome->count : 0);
            const struct telling *want = &outcome->items[told++];
            const struct entry *entry = &set->items[want->at];
            bool is_it = got->partition == entry->partition &&
                         (is_by_id(asked) ? uuid_equal(topic->topic_id, entry->id)
                                          : slice_equal_string(topic->name, topics[entry->topic].name));
            EXPECT(is_it, "another partition at %d", told - 1);
            EXPECT(got->error_code == want->error_code, "%s instead of %s", error_name(got->error_code),
                   error_name(want->error_code));
            EXPECT(got->high_watermark == want->watermark && got->last_stable_offset == want->watermark &&
                       got->log_start_offset == want->start,
                   "offsets");
            EXPECT(got->records.bytes.size == want->size, "%zu bytes instead of %zu", got->records.bytes.size,
                   want->size);
            EXPECT(got->diverging_epoch.end_offset == want->diverging_end, "divergence");
        }
    }
    EXPECT(told == (outcome ? outcome->count : 0), "%d partitions instead of %d", told, outcome->count);
}

/* -- steps ---------------------------------------------------------------------------------------- */

static void produce(int t, int32_t p)
{
    static const struct batch_builder_options options = {
        .producer_id = -1, .producer_epoch = -1, .base_sequence = -1, .leader_epoch = -1
    };
    static uint8_t value[300];
    struct model_log *log = &topics[t].logs[p];
    if (!topics[t].exists || log->count == BATCHES_MAX)
        return;
    struct arena arena;
    struct batch_view batch;
    struct produce_request request;
    struct produce_request_topic topic;
    struct produce_request_partition partition;
    struct produce_response response;
    arena_init(&arena, NULL);
    struct batch_builder *builder = batch_builder_open(&arena, &options);
    ck_assert(
        batch_builder_add(builder, 1700000000000, SLICE_NULL, slice_of(value, below(sizeof value)), NULL, 0));
    ck_assert_int_eq(batch_builder_finish(builder, &batch), BATCH_OK);
    produce_request_init(&request);
    produce_request_topic_init(&topic);
    produce_request_partition_init(&partition);
    partition.partition = p;
    partition.records.bytes = slice_of(batch.data, batch.size);
    topic.name = slice_of_string(topics[t].name);
    topic.partitions = &partition;
    topic.partitions_count = 1;
    request.acks = 1;
    request.timeout_ms = 30000;
    request.topics = &topic;
    request.topics_count = 1;
    ck_assert(sim_call(&clients[1], KEY_PRODUCE, 9, &request, &response));
    ck_assert_int_eq(response.topics[0].partitions[0].error_code, ERR_NONE);
    log->sizes[log->count++] = (uint16_t)batch.size;
    arena_destroy(&arena);
}

static void produce_somewhere(void)
{
    produce((int)below(TOPICS), (int32_t)below(PARTITIONS));
}

static void create_topic(int t)
{
    struct metadata_request request;
    struct metadata_request_topic topic;
    struct metadata_response response;
    metadata_request_init(&request);
    metadata_request_topic_init(&topic);
    topics[t].read_denied = topics[t].describe_denied = false;
    topic.name = slice_of_string(topics[t].name);
    request.topics = &topic;
    request.topics_count = 1;
    EXPECT(sim_call(&clients[1], KEY_METADATA, 12, &request, &response), "no metadata of %s", topics[t].name);
    ck_assert_int_eq(response.topics[0].error_code, ERR_NONE);
    topics[t].exists = true;
    topics[t].id = response.topics[0].topic_id;
}

static void delete_topic(int t)
{
    struct delete_topics_request request;
    struct delete_topics_request_topic topic;
    struct delete_topics_response response;
    topics[t].read_denied = topics[t].describe_denied = false;
    delete_topics_request_init(&request);
    delete_topics_request_topic_init(&topic);
    topic.name = slice_of_string(topics[t].name);
    request.topics = &topic;
    request.topics_count = 1;
    ck_assert(sim_call(&clients[1], KEY_DELETE_TOPICS, 6, &request, &response));
    ck_assert_int_eq(response.topics[0].error_code, ERR_NONE);
    sim_settle(&sim);
    topics[t].exists = false;
    for (int p = 0; p < PARTITIONS; p++)
        topics[t].logs[p].count = 0;
    seen.deleted++;
}

/* True: deleted, which wakes those who wait for it. */
static bool create_or_delete(void)
{
    int t = (int)below(TOPICS);
    bool existed = topics[t].exists;
    if (existed)
        delete_topic(t);
    else
        create_topic(t);
    return existed;
}

static void allow_or_deny(void)
{
    int t = (int)below(TOPICS);
    topics[t].read_denied = one_in(3); /* also a name without a topic behind it */
    topics[t].describe_denied = topics[t].read_denied && one_in(2);
}

static void wait_some(int64_t ms)
{
    sim_advance(&sim, ms);
    now_ms += ms;
}

/* While the client waits: something happens, perhaps what it waits for. True: it may wake the client. */
static bool disturb(void)
{
    switch (below(5)) {
    case 4:
        return create_or_delete();
    case 0:
        allow_or_deny();
        return false;
    case 1:
        return false;
    default:
        produce_somewhere();
        return true;
    }
}

/* The end of a poll that answers from `set`. Returns what the answer has. */
static struct outcome finish_poll(const struct asked *asked, struct entries *set)
{
    struct outcome outcome = evaluate(set, asked, true);
    if (outcome.is_final || asked->max_wait_ms == 0)
        return outcome;
    seen.waited++;
    if (disturb()) {
        outcome = evaluate(set, asked, false);
        if (outcome.is_final)
            return outcome;
    }
    wait_some(WAIT_MS);
    return evaluate(set, asked, false);
}

static void do_full(void)
{
    bool by_id = one_in(2);
    struct asked asked = random_request(by_id, (int)below(LISTED_MAX + 1));
    struct model_session *closed = one_in(4) ? &sessions[below(SESSIONS_MAX)] : NULL;
    struct entries set = { 0 };
    struct outcome outcome;
    asked.session_epoch = one_in(3) ? -1 : 0;
    asked.max_wait_ms = one_in(2) ? WAIT_MS : 0;
    if (closed && closed->is_there) {
        asked.session_id = closed->id;
        closed->is_there = false;
    }
    for (int i = 0; i < asked.count; i++)
        put_entry(&set, &asked.items[i]);
    seen.full++;
    send_fetch(&clients[0], &asked);
    outcome = finish_poll(&asked, &set);
    bool has_room = asked.session_epoch == 0 && make_room(set.count);
    int32_t id;
    expect_answer(&clients[0], &asked, ERR_NONE, &set, &outcome, &id);
    EXPECT((id > 0) == has_room, "session id %d, %s", id, has_room ? "there was room" : "there was no room");
    if (has_room)
        create_session(id, by_id, &set, &outcome);
}

static struct model_session *random_session(void)
{
    struct model_session *session = &sessions[below(SESSIONS_MAX)];
    for (int i = 0; i < SESSIONS_MAX && !session->is_there; i++)
        session = session == sessions ? &sessions[SESSIONS_MAX - 1] : session - 1;
    return session->is_there ? session : NULL;
}

static struct asked request_for(const struct model_session *session)
{
    struct asked asked = random_request(session->by_id, one_in(3) ? (int)below(6) : 0);
    asked.session_id = session->id;
    asked.session_epoch = session->epoch;
    while (session->set.count > 0 && asked.forgotten_count < LISTED_MAX && one_in(3))
        asked.forgotten[asked.forgotten_count++] =
            one_in(8) ? random_entry(session->by_id)
                      : session->set.items[below((uint64_t)session->set.count)];
    /* Often all that is left: the session closes. */
    for (int i = 0; one_in(12) && session->set.count < LISTED_MAX && i < session->set.count; i++) {
        asked.forgotten[i] = session->set.items[i];
        asked.forgotten_count = i + 1;
        asked.count = 0;
    }
    while (session->set.count + asked.count > ENTRIES_MAX)
        asked.count--;
    return asked;
}

static void expect_refused(const struct asked *asked, int16_t error_code)
{
    int32_t id;
    send_fetch(&clients[0], asked);
    expect_answer(&clients[0], asked, error_code, NULL, NULL, &id);
    EXPECT(id == 0, "an id with a refusal");
}

static void do_refused(void)
{
    struct model_session *session = random_session();
    struct asked asked = random_request(one_in(2), (int)below(4));
    asked.session_epoch = 1 + (int32_t)below(3);
    if (!session || one_in(3)) {
        do {
            asked.session_id = (int32_t)below(1000) - 10;
        } while (find_session(asked.session_id));
        seen.refused_ids++;
        expect_refused(&asked, ERR_FETCH_SESSION_ID_NOT_FOUND);
        return;
    }
    asked = request_for(session);
    if (one_in(2)) {
        bool is_earlier = session->epoch == INT32_MAX || (session->epoch > 1 && one_in(2));
        asked.session_epoch = is_earlier ? session->epoch - 1 : session->epoch + 1;
        seen.refused_epochs++;
        expect_refused(&asked, ERR_INVALID_FETCH_SESSION_EPOCH);
        return;
    }
    int32_t id = asked.session_id, epoch = asked.session_epoch;
    asked = random_request(!session->by_id, (int)below(4));
    asked.session_id = id;
    asked.session_epoch = epoch;
    seen.refused_kinds++;
    expect_refused(&asked, ERR_FETCH_SESSION_TOPIC_ID_ERROR);
}

static void apply(struct model_session *session, const struct asked *asked)
{
    for (int i = 0; i < asked->count; i++)
        put_entry(&session->set, &asked->items[i]);
    for (int i = 0; i < asked->forgotten_count; i++) {
        int at = find_entry(&session->set, &asked->forgotten[i]);
        if (at != NOBODY)
            remove_entry(&session->set, at);
    }
    if (session->set.count == 0) {
        session->is_there = false;
        return;
    }
    session->epoch = session->epoch == INT32_MAX ? 1 : session->epoch + 1;
    touch(session);
}

/* Nothing is left of the session: the request is served alone. */
static void expect_closed(struct sim_client *client, const struct asked *asked)
{
    struct entries set = { 0 };
    int32_t id;
    for (int i = 0; i < asked->count; i++)
        put_entry(&set, &asked->items[i]);
    struct outcome outcome = evaluate(&set, asked, true);
    expect_answer(client, asked, ERR_NONE, &set, &outcome, &id);
    EXPECT(id == 0, "the id of a closed session");
}

static void expect_incremental(struct sim_client *client, const struct asked *asked,
                               struct model_session *session, struct outcome *outcome)
{
    struct entries before = session->set;
    int32_t id;
    narrow(&session->set, outcome);
    expect_answer(client, asked, ERR_NONE, &before, outcome, &id);
    EXPECT(id == session->id, "another session id");
}

/* The first client waits, and the other one goes on with the session. */
static void do_take_over(struct model_session *session, const struct asked *waiting)
{
    struct asked asked = request_for(session);
    int32_t id;
    asked.max_wait_ms = 0;
    apply(session, &asked);
    send_fetch(&clients[1], &asked);
    if (!session->is_there) {
        expect_closed(&clients[1], &asked);
    } else {
        struct outcome outcome = evaluate(&session->set, &asked, true);
        expect_incremental(&clients[1], &asked, session, &outcome);
    }
    wait_some(WAIT_MS);
    expect_answer(&clients[0], waiting, session->is_there ? ERR_INVALID_FETCH_SESSION_EPOCH : ERR_NONE, NULL,
                  NULL, &id);
    EXPECT(id == waiting->session_id, "another session id");
    seen.taken_over++;
}

static void do_incremental(void)
{
    struct model_session *session = random_session();
    if (!session)
        return;
    struct asked asked = request_for(session);
    asked.max_wait_ms = one_in(2) ? WAIT_MS : 0;
    asked.min_bytes = one_in(6) ? (int32_t)below(500) : 1;
    seen.incremental++;
    apply(session, &asked);
    if (!session->is_there) {
        asked.max_wait_ms = 0;
        send_fetch(&clients[0], &asked);
        expect_closed(&clients[0], &asked);
        return;
    }
    send_fetch(&clients[0], &asked);
    struct entries now = session->set;
    if (asked.max_wait_ms > 0 && one_in(6) && !evaluate(&now, &asked, true).is_final) {
        /* The waiting request has looked once, so names are known. */
        session->set = now;
        do_take_over(session, &asked);
        return;
    }
    struct outcome outcome = finish_poll(&asked, &session->set);
    expect_incremental(&clients[0], &asked, session, &outcome);
}

/* No client lives to see it: the last epoch before the first. */
static void do_wrap(void)
{
    struct model_session *session = random_session();
    struct fetch_request request;
    struct fetch_session *held;
    if (!session || session->set.count == 0)
        return;
    fetch_request_init(&request);
    request.session_id = session->id;
    request.session_epoch = session->epoch;
    ck_assert_int_eq(
        fetch_sessions_accept(sim.server->fetch_sessions, &request, session->by_id, now_ms, &held), ERR_NONE);
    held->epoch = INT32_MAX;
    session->epoch = INT32_MAX;
    touch(session);
    pin_drop(&held->pin);
}

static void do_step(void)
{
    uint64_t what = below(100);
    if (what < 25)
        produce_somewhere();
    else if (what < 30)
        allow_or_deny();
    else if (what < 45)
        do_full();
    else if (what < 55)
        do_refused();
    else if (what < 56)
        do_wrap();
    else if (what < 58)
        wait_some(one_in(10) ? EVICTION_MS / 2 + (int64_t)below(EVICTION_MS) : (int64_t)below(20000));
    else if (what == 58)
        create_or_delete();
    else
        do_incremental();
}

static void begin(void)
{
    const char *from = getenv("RUNNEL_SEED");
    seed = from ? strtoull(from, NULL, 10) : 1;
    printf("fetch session model: seed %llu\n", (unsigned long long)seed);
    random_seed(&chance, seed);
    sim_open(&sim, seed,
             "num.partitions=3\nconnections.max.idle.ms=-1\nmax.incremental.fetch.session.cache.slots=6\n");
    sim_connect(&sim, &clients[0]);
    sim_connect(&sim, &clients[1]);
    sim.server->authorize = deny_some;
    for (int i = 0; i < STRANGE_IDS; i++)
        strange_ids[i] = uuid_random(&chance);
    for (int t = 0; t < TOPICS; t++)
        snprintf(topics[t].name, sizeof topics[t].name, "t%d", t);
    for (int t = 0; t < TOPICS_AT_START; t++)
        create_topic(t);
    now_ms = clock_mono_ms(&sim.clock.clock);
}

START_TEST(random_sequences)
{
    const char *steps = getenv("RUNNEL_STEPS");
    uint64_t last = steps ? strtoull(steps, NULL, 10) : 120000;
    begin();
    for (step = 0; step < last; step++)
        do_step();
    struct fetch_sessions_stats stats = fetch_sessions_stats(sim.server->fetch_sessions);
    ck_assert_uint_eq(stats.count, (size_t)session_count());
    size_t partition_count = 0;
    for (int i = 0; i < SESSIONS_MAX; i++)
        partition_count += sessions[i].is_there ? (size_t)sessions[i].set.count : 0;
    ck_assert_uint_eq(stats.partition_count, partition_count);
    printf("  full %llu, incremental %llu, unknown %llu, epoch %llu, kind %llu, evicted %llu, waited %llu, "
           "taken over "
           "%llu, told %llu, not told %llu, deleted %llu, inconsistent %llu\n",
           (unsigned long long)seen.full, (unsigned long long)seen.incremental,
           (unsigned long long)seen.refused_ids, (unsigned long long)seen.refused_epochs,
           (unsigned long long)seen.refused_kinds, (unsigned long long)seen.evicted,
           (unsigned long long)seen.waited, (unsigned long long)seen.taken_over,
           (unsigned long long)seen.told, (unsigned long long)seen.untold, (unsigned long long)seen.deleted,
           (unsigned long long)seen.inconsistent);
    if (last >= 100000)
        ck_assert(seen.evicted > 100 && seen.taken_over > 100 && seen.waited > 1000 &&
                  seen.refused_epochs > 100 && seen.refused_kinds > 100 && seen.refused_ids > 100 &&
                  seen.untold > 10000 && seen.deleted > 100 && seen.inconsistent > 100);
    sim_disconnect(&clients[0]);
    sim_disconnect(&clients[1]);
    sim_close(&sim);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fetch session model");
    TCase *tests = tcase_create("model");
    tcase_set_timeout(tests, 280);
    tcase_add_test(tests, random_sequences);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
