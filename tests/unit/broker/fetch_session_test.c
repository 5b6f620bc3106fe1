/* The cache of fetch sessions by itself: ids, epochs, what a request does to a session, eviction, bounds, and
 * the set of partitions against a plain list. Rules: Kafka's FetchSessionCacheShard and FetchManager. */
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/fetch_session.h"
#include "protocol/errors.h"

enum { LIMIT = 64 * 1024 * 1024, PARTITIONS_MAX = 64 };

static struct budget budget;
static struct fetch_sessions *sessions;
static struct arena arena;
static int64_t now_ms;

static void begin(size_t slots, size_t limit)
{
    budget_init(&budget, limit);
    sessions = fetch_sessions_create(slots, &budget, 7);
    arena_init(&arena, NULL);
    now_ms = 1000000;
}

static void set_up(void)
{
    begin(3, LIMIT);
}

static void tear_down(void)
{
    fetch_sessions_destroy(sessions);
    arena_destroy(&arena);
    ck_assert_msg(atomic_load(&budget.handed_out) == 0, "memory is still counted");
}

/* -- requests ------------------------------------------------------------------------------------- */

/* A session of partitions 0 to count - 1 of the topic. */
static int32_t add_named(slice name, uint32_t count)
{
    struct fetch_set set;
    uint32_t topic = FETCH_NONE;
    ck_assert(fetch_set_init(&set, fetch_sessions_key(sessions), false, &arena, count, 1));
    for (uint32_t i = 0; i < count; i++)
        ck_assert(fetch_set_put(&set, &topic, name, UUID_ZERO, (int32_t)i) != FETCH_NONE);
    int32_t id = fetch_sessions_add(sessions, &set, now_ms);
    arena_reset(&arena);
    return id;
}

static int32_t add(uint32_t count)
{
    return add_named(SLICE_LITERAL("orders"), count);
}

static struct fetch_request request;
static struct fetch_request_topic request_topics[2];
static struct fetch_request_partition request_partitions[PARTITIONS_MAX];
static struct fetch_request_forgotten_topic forgotten_topic;
static int32_t forgotten[PARTITIONS_MAX];

static void ask(int32_t id, int32_t epoch)
{
    fetch_request_init(&request);
    request.session_id = id;
    request.session_epoch = epoch;
    request.topics = request_topics;
    request.forgotten_topics = &forgotten_topic;
}

static void ask_for(slice name, int32_t partition, int64_t offset)
{
    struct fetch_request_topic *topic = &request_topics[request.topics_count];
    struct fetch_request_partition *in = &request_partitions[request.topics_count++];
    fetch_request_topic_init(topic);
    fetch_request_partition_init(in);
    in->partition = partition;
    in->fetch_offset = offset;
    topic->name = name;
    topic->partitions = in;
    topic->partitions_count = 1;
}

static void ask_to_forget(slice name, int32_t first, int32_t count)
{
    fetch_request_forgotten_topic_init(&forgotten_topic);
    request.forgotten_topics_count = 1;
    forgotten_topic.name = name;
    forgotten_topic.partitions = forgotten;
    forgotten_topic.partitions_count = count;
    for (int32_t i = 0; i < count; i++)
        forgotten[i] = first + i;
}

static struct fetch_session *session; /* of the last request that was accepted */

static int16_t go_by(bool by_id)
{
    int16_t error_code = fetch_sessions_accept(sessions, &request, by_id, now_ms, &session);
    if (session)
        pin_drop(&session->pin); /* the cache holds it still */
    return error_code;
}

static int16_t go(void)
{
    return go_by(false);
}

static bool is_there(int32_t id)
{
    ask(id, INT32_MAX); /* of no session here */
    return go() == ERR_INVALID_FETCH_SESSION_EPOCH;
}

static void use(int32_t id, int32_t epoch)
{
    ask(id, epoch);
    ck_assert_int_eq(go(), ERR_NONE);
}

/* -- ids and epochs ------------------------------------------------------------------------------- */

START_TEST(ids_are_positive_and_unique)
{
    tear_down();
    begin(2000, LIMIT);
    static int32_t ids[2000];
    for (int i = 0; i < 2000; i++) {
        ids[i] = add(1);
        ck_assert_int_gt(ids[i], 0);
        for (int j = 0; j < i; j++)
            ck_assert_int_ne(ids[i], ids[j]);
    }
    for (int i = 0; i < 2000; i++)
        ck_assert(is_there(ids[i]));
    ck_assert_int_eq(add(5), FETCH_SESSION_NONE);
    for (int i = 0; i < 2000; i += 2)
        fetch_sessions_close(sessions, ids[i]);
    for (int i = 0; i < 2000; i++)
        ck_assert(is_there(ids[i]) == (i % 2 == 1));
}
END_TEST

START_TEST(ids_from_the_kernel)
{
    struct fetch_sessions *real = fetch_sessions_create(1000, &budget, 0);
    struct fetch_set set;
    int32_t all = 0, any = INT32_MAX;
    ck_assert(fetch_set_init(&set, fetch_sessions_key(real), true, &arena, 0, 0));
    for (int i = 0; i < 1000; i++) {
        int32_t id = fetch_sessions_add(real, &set, now_ms);
        ck_assert_int_gt(id, 0);
        all |= id;
        any &= id;
    }
    ck_assert_msg(all == INT32_MAX && any == 0, "every bit is drawn");
    fetch_sessions_destroy(real);
}
END_TEST

static const struct {
    const char *what;
    int32_t epoch; /* of the session */
    int32_t asked;
    bool right_id;
    bool by_id; /* of the request; the session goes by names */
    int16_t error_code;
    int32_t after;
} epoch_rows[] = {
    { "the first", 1, 1, true, false, ERR_NONE, 2 },
    { "the next", 17, 17, true, false, ERR_NONE, 18 },
    { "the last before it wraps", INT32_MAX, INT32_MAX, true, false, ERR_NONE, 1 },
    { "a duplicate", 2, 1, true, false, ERR_INVALID_FETCH_SESSION_EPOCH, 2 },
    { "one too many", 2, 3, true, false, ERR_INVALID_FETCH_SESSION_EPOCH, 2 },
    { "a negative epoch that means nothing", 2, -2, true, false, ERR_INVALID_FETCH_SESSION_EPOCH, 2 },
    { "the smallest", 2, INT32_MIN, true, false, ERR_INVALID_FETCH_SESSION_EPOCH, 2 },
    { "ids in a session of names", 2, 2, true, true, ERR_FETCH_SESSION_TOPIC_ID_ERROR, 2 },
    { "the epoch is looked at before that", 2, 9, true, true, ERR_INVALID_FETCH_SESSION_EPOCH, 2 },
    { "no such session", 2, 2, false, false, ERR_FETCH_SESSION_ID_NOT_FOUND, 2 },
    { "the id is looked at first", 2, 9, false, true, ERR_FETCH_SESSION_ID_NOT_FOUND, 2 },
};

START_TEST(epochs)
{
    int32_t id = add(3);
    use(id, 1);
    session->epoch = epoch_rows[_i].epoch;
    struct fetch_session *known = session;
    ask(epoch_rows[_i].right_id ? id : id ^ 1, epoch_rows[_i].asked);
    ask_to_forget(SLICE_LITERAL("orders"), 0, 1);
    int16_t error_code = go_by(epoch_rows[_i].by_id);
    ck_assert_msg(error_code == epoch_rows[_i].error_code, "%s: %s", epoch_rows[_i].what,
                  error_name(error_code));
    ck_assert_int_eq(known->epoch, epoch_rows[_i].after);
    ck_assert_msg(known->set.count == (error_code == ERR_NONE ? 2 : 3), "%s: a refusal changes nothing",
                  epoch_rows[_i].what);
}
END_TEST

START_TEST(strange_ids)
{
    static const int32_t ids[] = { 0, -1, 1, INT32_MIN, INT32_MAX };
    add(3);
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        ask(ids[i], 1);
        ck_assert_int_eq(go(), ERR_FETCH_SESSION_ID_NOT_FOUND);
        fetch_sessions_close(sessions, ids[i]);
    }
    ck_assert_uint_eq(fetch_sessions_stats(sessions).count, 1);
}
END_TEST

/* -- what a request does -------------------------------------------------------------------------- */

static void expect_order(const char *expected)
{
    char got[256] = "";
    size_t size = 0;
    for (uint32_t at = session->set.first; at != FETCH_NONE; at = session->set.partitions[at].next) {
        const struct fetch_partition *partition = &session->set.partitions[at];
        slice name = session->set.topics[partition->topic].name;
        size += (size_t)snprintf(got + size, sizeof got - size, "%.*s%d@%lld ", (int)name.size, name.data,
                                 partition->partition, (long long)partition->fetch_offset);
    }
    ck_assert_str_eq(got, expected);
}

START_TEST(added_updated_forgotten)
{
    static const slice a = SLICE_LITERAL("a"), b = SLICE_LITERAL("b");
    int32_t id = add_named(a, 3);
    ask(id, 1);
    ask_for(b, 7, 70);
    ask_for(a, 1, 11);
    ck_assert_int_eq(go(), ERR_NONE);
    expect_order("a0@0 a1@11 a2@0 b7@70 ");
    ask(id, 2);
    ask_for(b, 7, 71);
    ask_for(b, 7, 72); /* twice: what was said last */
    ask_to_forget(a, 0, 2);
    ck_assert_int_eq(go(), ERR_NONE);
    expect_order("a2@0 b7@72 ");
    ask(id, 3);
    ask_for(a, 0, 5); /* added and forgotten in one go: forgotten */
    ask_to_forget(a, 0, 1);
    ck_assert_int_eq(go(), ERR_NONE);
    expect_order("a2@0 b7@72 ");
    ask(id, 4);
    ask_to_forget(SLICE_LITERAL("never seen"), 0, 3);
    ck_assert_int_eq(go(), ERR_NONE);
    expect_order("a2@0 b7@72 ");
    ask(id, 5);
    ask_to_forget(a, 2, 2); /* the last of its topic, and one more */
    ck_assert_int_eq(go(), ERR_NONE);
    expect_order("b7@72 ");
    ck_assert_uint_eq(session->set.topic_count, 1);
    ask(id, 6);
    ask_for(a, 9, 1);
    ask_to_forget(b, 7, 1);
    ck_assert_int_eq(go(), ERR_NONE);
    expect_order("a9@1 ");
}
END_TEST

START_TEST(what_is_empty_closes)
{
    int32_t id = add(2), empty = add(0);
    ask(id, 1);
    ask_to_forget(SLICE_LITERAL("orders"), 0, 2);
    ck_assert_int_eq(go(), ERR_NONE);
    ck_assert_msg(!session, "the request is served alone");
    ck_assert(!is_there(id));
    ask(empty, 1);
    ck_assert_int_eq(go(), ERR_NONE);
    ck_assert_msg(!session, "nothing was added to an empty one");
    ck_assert(!is_there(empty));
    empty = add(0);
    ask(empty, 1);
    ask_for(SLICE_LITERAL("orders"), 0, 0);
    ck_assert_int_eq(go(), ERR_NONE);
    expect_order("orders0@0 ");
}
END_TEST

/* A request that is served holds its session, whatever becomes of it. */
START_TEST(a_held_session_outlives_its_place)
{
    int32_t id = add(2);
    struct fetch_session *first, *second;
    ask(id, 1);
    ck_assert_int_eq(fetch_sessions_accept(sessions, &request, false, now_ms, &first), ERR_NONE);
    fetch_sessions_close(sessions, id);
    ck_assert(!is_there(id));
    ck_assert_uint_eq(first->set.count, 2);
    ck_assert_uint_gt(fetch_sessions_stats(sessions).size, 0);
    pin_drop(&first->pin);
    ck_assert_uint_eq(fetch_sessions_stats(sessions).size, 0);

    id = add(2);
    ask(id, 1);
    ck_assert_int_eq(fetch_sessions_accept(sessions, &request, false, now_ms, &first), ERR_NONE);
    ask(id, 2);
    ask_to_forget(SLICE_LITERAL("orders"), 0, 2);
    ck_assert_int_eq(fetch_sessions_accept(sessions, &request, false, now_ms, &second), ERR_NONE);
    ck_assert_ptr_null(second);
    ck_assert_msg(first->is_closed, "who waits is told");
    ck_assert_int_eq(first->epoch, 2);
    pin_drop(&first->pin);
}
END_TEST

/* -- eviction ------------------------------------------------------------------------------------- */

START_TEST(young_sessions_stay)
{
    int32_t ids[3] = { add(1), add(1), add(1) };
    now_ms += FETCH_SESSION_EVICTION_MS;
    ck_assert_int_eq(add(1000), FETCH_SESSION_NONE);
    for (int i = 0; i < 3; i++)
        ck_assert(is_there(ids[i]));
}
END_TEST

START_TEST(the_stalest_goes_first)
{
    int32_t ids[3] = { add(5), add(5), add(5) };
    now_ms += 10;
    use(ids[0], 1);
    now_ms += FETCH_SESSION_EVICTION_MS; /* ids[1] is older than that, by one look */
    int32_t small = add(1);
    ck_assert_int_ne(small, FETCH_SESSION_NONE);
    ck_assert(is_there(ids[0]) && !is_there(ids[1]) && is_there(ids[2]));
    ck_assert_int_ne(add(1), FETCH_SESSION_NONE);
    ck_assert(is_there(ids[0]) && !is_there(ids[2]));
    ck_assert_msg(add(1) == FETCH_SESSION_NONE, "used as late as the limit says: it stays");
    now_ms++;
    ck_assert_int_ne(add(1), FETCH_SESSION_NONE);
    ck_assert(!is_there(ids[0]) && is_there(small));
    ck_assert_uint_eq(fetch_sessions_stats(sessions).evicted, 3);
}
END_TEST

START_TEST(a_larger_one_takes_the_place_of_a_smaller_old_one)
{
    int32_t ids[3] = { add(5), add(3), add(4) };
    now_ms += FETCH_SESSION_EVICTION_MS;
    for (int i = 0; i < 3; i++)
        use(ids[i], 1); /* fresh, and not yet old */
    now_ms++;
    ck_assert_int_eq(add(100), FETCH_SESSION_NONE);
    use(ids[0], 2);
    use(ids[2], 2); /* these two may go from here on: Kafka looks at the age when they are used */
    ck_assert_msg(add(4) == FETCH_SESSION_NONE, "of the same size: no");
    int32_t larger = add(5);
    ck_assert_int_ne(larger, FETCH_SESSION_NONE);
    ck_assert_msg(!is_there(ids[2]) && is_there(ids[0]) && is_there(ids[1]),
                  "the smallest of those that may go");
    ck_assert_msg(add(5) == FETCH_SESSION_NONE, "the one of five stays, the one of three was not used");
    use(ids[1], 2);
    ck_assert_int_ne(add(4), FETCH_SESSION_NONE);
    ck_assert(!is_there(ids[1]) && is_there(ids[0]));
}
END_TEST

START_TEST(growth_counts_for_eviction)
{
    static const slice more = SLICE_LITERAL("more");
    int32_t ids[3] = { add(2), add(3), add(3) };
    now_ms += FETCH_SESSION_EVICTION_MS + 1;
    for (int i = 0; i < 3; i++)
        use(ids[i], 1);
    ask(ids[0], 2);
    ask_for(more, 0, 0);
    ask_for(more, 1, 0);
    ck_assert_int_eq(go(), ERR_NONE); /* now of four */
    int32_t lower = ids[1] < ids[2] ? ids[1] : ids[2];
    ck_assert_int_ne(add(4), FETCH_SESSION_NONE);
    ck_assert_msg(is_there(ids[0]) && !is_there(lower), "of two of one size the lower id goes");
    ck_assert_uint_eq(fetch_sessions_stats(sessions).partition_count, 4 + 3 + 4);
}
END_TEST

START_TEST(no_slots_no_sessions)
{
    tear_down();
    begin(0, LIMIT);
    ck_assert_int_eq(add(1), FETCH_SESSION_NONE);
    ck_assert_uint_eq(fetch_sessions_stats(sessions).count, 0);
}
END_TEST

/* -- bounds --------------------------------------------------------------------------------------- */

START_TEST(all_sessions_together_are_bounded)
{
    tear_down();
    begin(100000, LIMIT);
    int made = 0;
    while (add(1000) != FETCH_SESSION_NONE)
        made++;
    struct fetch_sessions_stats stats = fetch_sessions_stats(sessions);
    ck_assert_uint_le(stats.size, LIMIT / FETCH_SESSIONS_BUDGET_PART);
    ck_assert_uint_gt(stats.size, LIMIT / FETCH_SESSIONS_BUDGET_PART - 128 * 1024);
    ck_assert_int_gt(made, 200);
    ck_assert_uint_ge(atomic_load(&budget.handed_out), stats.size);
    now_ms += FETCH_SESSION_EVICTION_MS + 1; /* stale ones make room */
    ck_assert_int_ne(add(1000), FETCH_SESSION_NONE);
    ck_assert_uint_eq(fetch_sessions_stats(sessions).evicted, 1);
}
END_TEST

START_TEST(one_session_is_bounded)
{
    tear_down();
    begin(10, (size_t)1 << 30);
    ck_assert_int_eq(add(FETCH_SESSION_SIZE_MAX / sizeof(struct fetch_partition)), FETCH_SESSION_NONE);
    int32_t id = add(FETCH_SESSION_SIZE_MAX / 80);
    ck_assert_int_ne(id, FETCH_SESSION_NONE);
    enum { MORE = 100000 };
    static struct fetch_request_partition many[MORE];
    struct fetch_request_topic topic = { .name = SLICE_LITERAL("more"),
                                         .partitions = many,
                                         .partitions_count = MORE };
    for (int32_t i = 0; i < MORE; i++)
        many[i].partition = i;
    ask(id, 1);
    request.topics = &topic;
    request.topics_count = 1;
    ck_assert_msg(go() == ERR_FETCH_SESSION_ID_NOT_FOUND, "it outgrew its bound");
    ck_assert(!is_there(id));
    ck_assert_uint_eq(fetch_sessions_stats(sessions).size, 0);
}
END_TEST

/* Nobody has topics of such names, but any client may ask for them. */
enum { LONG_NAME = 30000, LONG_NAMES_MAX = 600 };

static slice long_name(uint32_t i)
{
    char *name = arena_alloc(&arena, LONG_NAME);
    ck_assert_ptr_nonnull(name);
    memset(name, 'n', LONG_NAME);
    memcpy(name, &i, sizeof i);
    return slice_of(name, LONG_NAME);
}

static int32_t add_long_names(uint32_t count)
{
    struct fetch_set set;
    ck_assert(fetch_set_init(&set, fetch_sessions_key(sessions), false, &arena, count, count));
    for (uint32_t i = 0; i < count; i++) {
        uint32_t topic = FETCH_NONE;
        ck_assert(fetch_set_put(&set, &topic, long_name(i), UUID_ZERO, 0) != FETCH_NONE);
    }
    int32_t id = fetch_sessions_add(sessions, &set, now_ms);
    arena_reset(&arena);
    return id;
}

START_TEST(names_count)
{
    tear_down();
    begin(10, (size_t)1 << 30);
    ck_assert_int_ne(add_long_names(100), FETCH_SESSION_NONE);
    ck_assert_uint_ge(fetch_sessions_stats(sessions).size, 100 * LONG_NAME);
    ck_assert_msg(add_long_names(LONG_NAMES_MAX) == FETCH_SESSION_NONE, "its names alone are too much");
}
END_TEST

START_TEST(names_that_come_later_count)
{
    static struct fetch_request_topic topics[LONG_NAMES_MAX];
    static struct fetch_request_partition partition;
    tear_down();
    begin(10, (size_t)1 << 30);
    int32_t id = add(LONG_NAMES_MAX);
    for (uint32_t i = 0; i < LONG_NAMES_MAX; i++)
        topics[i] = (struct fetch_request_topic){ .name = long_name(i),
                                                  .partitions = &partition,
                                                  .partitions_count = 1 };
    ask(id, 1);
    request.topics = topics;
    request.topics_count = LONG_NAMES_MAX;
    ck_assert_int_eq(go(), ERR_FETCH_SESSION_ID_NOT_FOUND);
    ck_assert(!is_there(id));
    ck_assert_uint_eq(fetch_sessions_stats(sessions).size, 0);
}
END_TEST

START_TEST(growth_beyond_the_budget_closes)
{
    tear_down();
    begin(10, 256 * 1024);
    int32_t id = add(100);
    static struct fetch_request_partition many[2000];
    struct fetch_request_topic topic = { .name = SLICE_LITERAL("more"),
                                         .partitions = many,
                                         .partitions_count = 2000 };
    for (int32_t i = 0; i < 2000; i++)
        many[i].partition = i;
    ask(id, 1);
    request.topics = &topic;
    request.topics_count = 1;
    ck_assert_int_eq(go(), ERR_FETCH_SESSION_ID_NOT_FOUND);
    ck_assert_uint_eq(fetch_sessions_stats(sessions).count, 0);
    ck_assert_uint_eq(fetch_sessions_stats(sessions).size, 0);
}
END_TEST

START_TEST(what_is_forgotten_gives_memory_back)
{
    int32_t id = add(10000);
    size_t before = fetch_sessions_stats(sessions).size;
    int32_t epoch = 1;
    for (int32_t first = 1; first < 10000; first += PARTITIONS_MAX, epoch++) {
        ask(id, epoch);
        ask_to_forget(SLICE_LITERAL("orders"), first, PARTITIONS_MAX);
        ck_assert_int_eq(go(), ERR_NONE);
    }
    expect_order("orders0@0 ");
    ck_assert_uint_lt(fetch_sessions_stats(sessions).size, before / 50);
}
END_TEST

/* -- the set against a plain list ----------------------------------------------------------------- */

enum { PLAIN_TOPICS = 12, PLAIN_PARTITIONS = 8, PLAIN_MAX = PLAIN_TOPICS * PLAIN_PARTITIONS };

static struct {
    int count;
    int items[PLAIN_MAX]; /* topic x PLAIN_PARTITIONS + partition */
} plain;

static uuid plain_id(int topic)
{
    return (uuid){ { (uint8_t)topic, 1, [15] = (uint8_t)(topic * 7) } };
}

static slice plain_name(int topic)
{
    static const char *const names[PLAIN_TOPICS] = {
        "a", "b", "a.b", "a_b", "", "long-name-of-a-topic", "aa", "ab", "ba", "topic-0", "topic-1", "0"
    };
    return slice_of_string(names[topic]);
}

static uint32_t find_in(const struct fetch_set *set, int item)
{
    uint32_t topic =
        fetch_set_find_topic(set, plain_name(item / PLAIN_PARTITIONS), plain_id(item / PLAIN_PARTITIONS));
    return topic == FETCH_NONE ? FETCH_NONE : fetch_set_find(set, topic, item % PLAIN_PARTITIONS);
}

static void plain_remove(int item)
{
    for (int i = 0; i < plain.count; i++)
        if (plain.items[i] == item) {
            memmove(&plain.items[i], &plain.items[i + 1],
                    (size_t)(plain.count - i - 1) * sizeof plain.items[0]);
            plain.count--;
            return;
        }
}

static void expect_plain(const struct fetch_set *set)
{
    int i = 0;
    ck_assert_uint_eq(set->count, (unsigned)plain.count);
    for (uint32_t at = set->first; at != FETCH_NONE; at = set->partitions[at].next, i++) {
        int item = plain.items[i];
        ck_assert_int_eq(set->partitions[at].partition, item % PLAIN_PARTITIONS);
        ck_assert_uint_eq(find_in(set, item), at);
        ck_assert_int_eq(set->partitions[at].fetch_offset, item);
    }
    ck_assert_int_eq(i, plain.count);
}

START_TEST(the_set_is_a_list)
{
    bool by_id = _i == 1;
    struct fetch_set set, copy;
    struct random chance;
    random_seed(&chance, 11 + (uint64_t)_i);
    plain.count = 0;
    ck_assert(fetch_set_init(&set, fetch_sessions_key(sessions), by_id, NULL, 0, 0));
    for (int step = 0; step < 60000; step++) {
        int item = (int)random_below(&chance, PLAIN_MAX);
        uint32_t at = find_in(&set, item);
        bool is_plain = false;
        for (int i = 0; i < plain.count; i++)
            is_plain = is_plain || plain.items[i] == item;
        ck_assert(is_plain == (at != FETCH_NONE));
        switch (random_below(&chance, 5)) {
        case 0:
        case 1: {
            uint32_t topic = FETCH_NONE;
            uint32_t put = fetch_set_put(&set, &topic, plain_name(item / PLAIN_PARTITIONS),
                                         plain_id(item / PLAIN_PARTITIONS), item % PLAIN_PARTITIONS);
            ck_assert(put != FETCH_NONE && (at == FETCH_NONE || put == at));
            set.partitions[put].fetch_offset = item;
            if (!is_plain)
                plain.items[plain.count++] = item;
            break;
        }
        case 2:
        case 3:
            if (at != FETCH_NONE)
                fetch_set_remove(&set, at);
            plain_remove(item);
            break;
        default:
            if (at == FETCH_NONE)
                break;
            fetch_set_move_last(&set, at);
            plain_remove(item);
            plain.items[plain.count++] = item;
        }
        if (step % 97 == 0)
            expect_plain(&set);
        if (step % 997 == 0) {
            ck_assert(fetch_set_copy(&copy, &set));
            ck_assert_uint_eq(fetch_set_size(&copy), fetch_set_copy_size(&set));
            expect_plain(&copy);
            fetch_set_destroy(&set);
            set = copy;
        }
    }
    fetch_set_destroy(&set);
}
END_TEST

/* -- threads -------------------------------------------------------------------------------------- */

enum { THREADS = 4, ROUNDS = 1500, SHARED = 4 };

static _Atomic int32_t shared_ids[SHARED];
static atomic_uint accepted;

/* Each goes on with the same few sessions, as a loop would: what it has it reads and writes under the lock.
 */
static void *hit(void *argument)
{
    struct random chance;
    random_seed(&chance, (uint64_t)(uintptr_t)argument);
    struct arena own;
    arena_init(&own, NULL);
    for (int round = 0; round < ROUNDS; round++) {
        int which = (int)random_below(&chance, SHARED);
        int32_t id = atomic_load(&shared_ids[which]);
        struct fetch_request in;
        struct fetch_request_topic topic;
        struct fetch_request_partition partition;
        fetch_request_init(&in);
        fetch_request_topic_init(&topic);
        fetch_request_partition_init(&partition);
        topic.name = SLICE_LITERAL("orders");
        topic.partitions = &partition;
        topic.partitions_count = 1;
        partition.partition = (int32_t)random_below(&chance, 300);
        in.topics = &topic;
        in.topics_count = 1;
        in.session_id = id;
        in.session_epoch = 1 + (int32_t)random_below(&chance, 3);
        struct fetch_session *held;
        int64_t now = 1000000 + round * 20;
        if (random_below(&chance, 200) == 0) {
            struct fetch_set set;
            uint32_t at = FETCH_NONE;
            ck_assert(fetch_set_init(&set, fetch_sessions_key(sessions), false, &own, 1, 1));
            fetch_set_put(&set, &at, topic.name, UUID_ZERO, 0);
            fetch_sessions_close(sessions, id);
            atomic_store(&shared_ids[which], fetch_sessions_add(sessions, &set, now));
            arena_reset(&own);
            continue;
        }
        if (fetch_sessions_accept(sessions, &in, false, now, &held) != ERR_NONE)
            continue;
        pthread_mutex_lock(&held->lock);
        for (uint32_t at = held->set.first; at != FETCH_NONE; at = held->set.partitions[at].next)
            held->set.partitions[at].high_watermark++;
        held->epoch = 1 + (int32_t)random_below(&chance, 3);
        pthread_mutex_unlock(&held->lock);
        pin_drop(&held->pin);
        atomic_fetch_add(&accepted, 1);
    }
    arena_destroy(&own);
    return NULL;
}

START_TEST(threads_share_sessions)
{
    pthread_t threads[THREADS];
    for (int i = 0; i < SHARED; i++)
        atomic_store(&shared_ids[i], 0);
    for (uintptr_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, hit, (void *)(i + 1)), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_gt(atomic_load(&accepted), ROUNDS / 10);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fetch sessions");
    TCase *tests = tcase_create("cache");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, ids_are_positive_and_unique);
    tcase_add_test(tests, ids_from_the_kernel);
    tcase_add_loop_test(tests, epochs, 0, sizeof epoch_rows / sizeof *epoch_rows);
    tcase_add_test(tests, strange_ids);
    tcase_add_test(tests, added_updated_forgotten);
    tcase_add_test(tests, what_is_empty_closes);
    tcase_add_test(tests, a_held_session_outlives_its_place);
    tcase_add_test(tests, young_sessions_stay);
    tcase_add_test(tests, the_stalest_goes_first);
    tcase_add_test(tests, a_larger_one_takes_the_place_of_a_smaller_old_one);
    tcase_add_test(tests, growth_counts_for_eviction);
    tcase_add_test(tests, no_slots_no_sessions);
    tcase_add_test(tests, all_sessions_together_are_bounded);
    tcase_add_test(tests, one_session_is_bounded);
    tcase_add_test(tests, names_count);
    tcase_add_test(tests, names_that_come_later_count);
    tcase_add_test(tests, growth_beyond_the_budget_closes);
    tcase_add_test(tests, what_is_forgotten_gives_memory_back);
    tcase_add_loop_test(tests, the_set_is_a_list, 0, 2);
    tcase_add_test(tests, threads_share_sessions);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
