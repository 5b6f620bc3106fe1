/* Hostile members and offsets on a live broker: each gets an answer that clients understand, and others go on.
 * Rows are those of tests/integration/hostile.md. */
#include <check.h>
#include <stdlib.h>

#include "codec/delete_groups.h"
#include "codec/find_coordinator.h"
#include "codec/heartbeat.h"
#include "codec/join_group.h"
#include "codec/list_groups.h"
#include "codec/offset_commit.h"
#include "codec/offset_fetch.h"
#include "codec/sync_group.h"
#include "protocol/errors.h"
#include "tests/support/load.h"
#include "tests/support/served.h"
#include "tests/support/wire_client.h"

enum {
    TIMEOUT_MS = 20000,
    KEY_OFFSET_COMMIT = 8,
    KEY_OFFSET_FETCH = 9,
    KEY_FIND_COORDINATOR = 10,
    KEY_JOIN_GROUP = 11,
    KEY_HEARTBEAT = 12,
    KEY_SYNC_GROUP = 14,
    KEY_LIST_GROUPS = 16,
    KEY_DELETE_GROUPS = 42,
    STRING_MAX = 32767,
    PENDING_MAX = 10000, /* GROUP_PENDING_JOINS_MAX */
};

static struct served served;
static struct wire_client client;
static struct arena arena;

/* -- requests ---------------------------------------------------------------------------------------------- */

static slice repeated(char byte, size_t size)
{
    uint8_t *bytes = arena_alloc(&arena, size);
    memset(bytes, byte, size);
    return slice_of(bytes, size);
}

struct caller {
    slice group;
    slice member;
    slice instance; /* null: none */
    int32_t generation;
};

static struct caller nobody_of(slice group)
{
    return (struct caller){ group, SLICE_LITERAL(""), SLICE_NULL, -1 };
}

static int16_t commit(const struct caller *caller, const char *topic_name, int64_t offset, slice metadata)
{
    struct offset_commit_request request;
    struct offset_commit_request_topic topic;
    struct offset_commit_request_partition partition;
    struct offset_commit_response response;
    offset_commit_request_init(&request);
    offset_commit_request_topic_init(&topic);
    offset_commit_request_partition_init(&partition);
    partition.committed_offset = offset;
    partition.committed_metadata = metadata;
    topic.name = slice_of_string(topic_name);
    topic.partitions = &partition;
    topic.partitions_count = 1;
    request.group_id = caller->group;
    request.member_id = caller->member;
    request.group_instance_id = caller->instance;
    request.generation_id_or_member_epoch = caller->generation;
    request.topics = &topic;
    request.topics_count = 1;
    ck_assert(wire_call(&client, KEY_OFFSET_COMMIT, 9, &request, &response));
    return response.topics[0].partitions[0].error_code;
}

static int64_t fetch(slice group)
{
    struct offset_fetch_request request;
    struct offset_fetch_request_group asked;
    struct offset_fetch_response response;
    offset_fetch_request_init(&request);
    offset_fetch_request_group_init(&asked);
    asked.group_id = group;
    asked.topics_count = -1;
    request.groups = &asked;
    request.groups_count = 1;
    /* After a start the coordinator may still be loading; clients ask again, too. */
    double until = monotonic_seconds() + 30;
    do
        ck_assert(wire_call(&client, KEY_OFFSET_FETCH, 9, &request, &response));
    while (response.groups[0].error_code == ERR_COORDINATOR_LOAD_IN_PROGRESS && monotonic_seconds() < until);
    ck_assert_int_eq(response.groups[0].error_code, ERR_NONE);
    return response.groups[0].topics_count > 0 ? response.groups[0].topics[0].partitions[0].committed_offset : -1;
}

static int16_t heartbeat(const struct caller *caller)
{
    struct heartbeat_request request;
    struct heartbeat_response response;
    heartbeat_request_init(&request);
    request.group_id = caller->group;
    request.member_id = caller->member;
    request.group_instance_id = caller->instance;
    request.generation_id = caller->generation;
    ck_assert(wire_call(&client, KEY_HEARTBEAT, 4, &request, &response));
    return response.error_code;
}

static int32_t group_count(void)
{
    struct list_groups_request request;
    struct list_groups_response response;
    list_groups_request_init(&request);
    ck_assert(wire_call(&client, KEY_LIST_GROUPS, 5, &request, &response));
    ck_assert_int_eq(response.error_code, ERR_NONE);
    return response.groups_count;
}

struct joining {
    struct join_group_request request;
    struct join_group_request_protocol protocol;
};

static void fill_join(struct joining *joining, slice group)
{
    join_group_request_init(&joining->request);
    join_group_request_protocol_init(&joining->protocol);
    joining->protocol.name = SLICE_LITERAL("range");
    joining->protocol.metadata = SLICE_LITERAL("\0\0\0\0\0\0\xff\xff\xff\xff");
    joining->request.group_id = group;
    joining->request.session_timeout_ms = 30000;
    joining->request.rebalance_timeout_ms = 30000;
    joining->request.protocol_type = SLICE_LITERAL("consumer");
    joining->request.protocols = &joining->protocol;
    joining->request.protocols_count = 1;
}

/* Joins at once, as clients before KIP-394 did; the generation, or the error as a negative number. */
static int32_t join(struct joining *joining, int16_t version, struct caller *caller)
{
    struct join_group_response response;
    ck_assert(wire_call(&client, KEY_JOIN_GROUP, version, &joining->request, &response));
    if (response.error_code != ERR_NONE)
        return -response.error_code;
    if (caller) {
        bool ok = true;
        *caller = (struct caller){ joining->request.group_id, arena_copy(&arena, response.member_id, &ok),
                                   joining->request.group_instance_id, response.generation_id };
        ck_assert(ok);
    }
    return response.generation_id;
}

/* -- rows -------------------------------------------------------------------------------------------------- */

START_TEST(group_ids_of_any_bytes) /* 46 */
{
    const slice ids[] = { SLICE_LITERAL("../../../tmp/escape"), SLICE_LITERAL("a\0b"), SLICE_LITERAL("\xff\xfe\x80"),
                          SLICE_LITERAL("\n{\"json\":1}\x1b[2J"), SLICE_LITERAL("."), SLICE_LITERAL("/"),
                          SLICE_LITERAL("\xf0\x9f"), repeated('g', STRING_MAX) };
    enum { COUNT = sizeof ids / sizeof *ids };
    int32_t before = group_count();
    for (size_t i = 0; i < COUNT; i++) {
        struct caller caller = nobody_of(ids[i]);
        ck_assert_int_eq(commit(&caller, "hostile", (int64_t)i, SLICE_LITERAL("")), ERR_NONE);
    }
    ck_assert_int_eq(group_count(), before + COUNT);
    broker_process_kill(served.broker);
    served_restart(&served, RUNNEL_BINARY, NULL);
    wire_close(&client);
    ck_assert(wire_connect(&client, served.bootstrap, TIMEOUT_MS));
    for (size_t i = 0; i < COUNT; i++)
        ck_assert_int_eq(fetch(ids[i]), (int64_t)i);
    struct delete_groups_request request;
    struct delete_groups_response response;
    delete_groups_request_init(&request);
    request.groups_names = (slice *)ids;
    request.groups_names_count = COUNT;
    ck_assert(wire_call(&client, KEY_DELETE_GROUPS, 2, &request, &response));
    for (int32_t i = 0; i < response.results_count; i++)
        ck_assert_int_eq(response.results[i].error_code, ERR_NONE);
    ck_assert_int_eq(group_count(), before);
    struct joining joining;
    fill_join(&joining, SLICE_LITERAL(""));
    ck_assert_int_eq(join(&joining, 3, NULL), -ERR_INVALID_GROUP_ID);
}
END_TEST

START_TEST(ids_of_32_kib) /* 47 */
{
    slice longest = repeated('x', STRING_MAX);
    struct caller caller = { SLICE_LITERAL("long"), longest, longest, 3 };
    ck_assert_int_eq(heartbeat(&caller), ERR_UNKNOWN_MEMBER_ID);
    ck_assert_int_eq(commit(&caller, "hostile", 1, SLICE_LITERAL("")), ERR_GROUP_ID_NOT_FOUND);
    struct joining joining;
    fill_join(&joining, SLICE_LITERAL("long"));
    joining.request.member_id = longest;
    ck_assert_int_eq(join(&joining, 9, NULL), -ERR_UNKNOWN_MEMBER_ID);
    ck_assert_int_eq(fetch(SLICE_LITERAL("long")), -1);
}
END_TEST

START_TEST(phantom_members) /* 87 */
{
    struct joining joining;
    int refused = 0;
    fill_join(&joining, SLICE_LITERAL("phantoms"));
    for (int i = 0; i < PENDING_MAX + 50; i++) {
        int32_t got = join(&joining, 9, NULL);
        ck_assert(got == -ERR_MEMBER_ID_REQUIRED || got == -ERR_GROUP_MAX_SIZE_REACHED);
        refused += got == -ERR_GROUP_MAX_SIZE_REACHED;
    }
    ck_assert_int_eq(refused, 50);
    fill_join(&joining, SLICE_LITERAL("neighbours")); /* other groups are not touched */
    ck_assert_int_eq(join(&joining, 3, NULL), 1);
}
END_TEST

START_TEST(members_with_much_to_say) /* 88 */
{
    struct joining joining;
    fill_join(&joining, SLICE_LITERAL("verbose"));
    joining.protocol.metadata = repeated('m', (1 << 20) + 1);
    ck_assert_int_lt(join(&joining, 3, NULL), 0);
    joining.protocol.metadata = repeated('m', 10 << 20);
    ck_assert_int_lt(join(&joining, 3, NULL), 0);
    ck_assert_int_eq(fetch(SLICE_LITERAL("verbose")), -1);
}
END_TEST

START_TEST(session_timeouts_out_of_bounds) /* 89 */
{
    static const int32_t timeouts[] = { 0, -1, INT32_MIN, 5999, 1800001, INT32_MAX };
    struct joining joining;
    for (size_t i = 0; i < sizeof timeouts / sizeof *timeouts; i++) {
        fill_join(&joining, SLICE_LITERAL("hasty"));
        joining.request.session_timeout_ms = timeouts[i];
        ck_assert_int_eq(join(&joining, 3, NULL), -ERR_INVALID_SESSION_TIMEOUT);
    }
}
END_TEST

static void share_out(const struct caller *caller, struct sync_group_request_assignment *assignments, int32_t count,
                      int16_t error_code, size_t size)
{
    struct sync_group_request request;
    struct sync_group_response response;
    sync_group_request_init(&request);
    request.group_id = caller->group;
    request.generation_id = caller->generation;
    request.member_id = caller->member;
    request.assignments = assignments;
    request.assignments_count = count;
    ck_assert(wire_call(&client, KEY_SYNC_GROUP, 3, &request, &response));
    ck_assert_int_eq(response.error_code, error_code);
    ck_assert(!slice_is_null(response.assignment));
    ck_assert_uint_eq(response.assignment.size, size);
}

START_TEST(wrong_generations_members_instances) /* 90 */
{
    struct joining joining;
    struct caller member;
    fill_join(&joining, SLICE_LITERAL("fenced"));
    joining.request.group_instance_id = SLICE_LITERAL("i1");
    ck_assert_int_gt(join(&joining, 5, &member), 0);
    share_out(&member, NULL, 0, ERR_NONE, 0);
    const struct {
        slice member_id, instance;
        int32_t generation;
        int16_t error_code;
    } rows[] = {
        { member.member, member.instance, member.generation, ERR_NONE },
        { member.member, member.instance, member.generation + 1, ERR_ILLEGAL_GENERATION },
        { member.member, member.instance, -1, ERR_ILLEGAL_GENERATION },
        { member.member, member.instance, INT32_MIN, ERR_ILLEGAL_GENERATION },
        { SLICE_LITERAL("zombie"), member.instance, member.generation, ERR_FENCED_INSTANCE_ID },
        { SLICE_LITERAL("zombie"), SLICE_NULL, member.generation, ERR_UNKNOWN_MEMBER_ID },
        { member.member, SLICE_LITERAL("i2"), member.generation, ERR_UNKNOWN_MEMBER_ID },
        { SLICE_LITERAL(""), SLICE_NULL, member.generation, ERR_UNKNOWN_MEMBER_ID },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct caller caller = { member.group, rows[i].member_id, rows[i].instance, rows[i].generation };
        ck_assert_int_eq(heartbeat(&caller), rows[i].error_code);
        ck_assert_int_eq(commit(&caller, "hostile", 100 + (int64_t)i, SLICE_LITERAL("")), rows[i].error_code);
    }
    ck_assert_int_eq(fetch(member.group), 100);
}
END_TEST

START_TEST(commits_that_say_odd_things) /* 92 */
{
    struct caller caller = nobody_of(SLICE_LITERAL("odd"));
    ck_assert_int_eq(commit(&caller, "hostile", 1, repeated('m', 4097)), ERR_OFFSET_METADATA_TOO_LARGE);
    ck_assert_int_eq(commit(&caller, "hostile", 1, repeated('m', STRING_MAX)), ERR_OFFSET_METADATA_TOO_LARGE);
    ck_assert_int_eq(commit(&caller, "nowhere", 1, SLICE_LITERAL("")), ERR_UNKNOWN_TOPIC_OR_PARTITION);
    ck_assert_int_eq(commit(&caller, "../hostile", 1, SLICE_LITERAL("")), ERR_UNKNOWN_TOPIC_OR_PARTITION);
    ck_assert_int_eq(fetch(caller.group), -1);
    ck_assert_int_eq(commit(&caller, "hostile", INT64_MIN, SLICE_NULL), ERR_NONE); /* as given, as in Kafka */
    ck_assert_int_eq(fetch(caller.group), INT64_MIN);
    ck_assert_int_eq(commit(&caller, "hostile", INT64_MAX, SLICE_LITERAL("\xff\0x")), ERR_NONE);
    ck_assert_int_eq(fetch(caller.group), INT64_MAX);
}
END_TEST

START_TEST(assignments_for_strangers) /* 93 */
{
    struct joining joining;
    struct caller member;
    struct sync_group_request_assignment assignments[64];
    fill_join(&joining, SLICE_LITERAL("strange"));
    ck_assert_int_gt(join(&joining, 3, &member), 0);
    for (size_t i = 0; i < 64; i++) {
        sync_group_request_assignment_init(&assignments[i]);
        assignments[i].member_id = i % 2 ? SLICE_LITERAL("stranger") : SLICE_LITERAL("");
        assignments[i].assignment = repeated('a', 1000);
    }
    share_out(&member, assignments, 64, ERR_NONE, 0);
    ck_assert_int_eq(heartbeat(&member), ERR_NONE);
}
END_TEST

/* -- running ----------------------------------------------------------------------------------------------- */

static void start_broker(void)
{
    struct find_coordinator_request request;
    struct find_coordinator_response response;
    slice key = SLICE_LITERAL("any");
    served_start(&served, RUNNEL_BINARY, NULL);
    ck_assert(wire_connect(&client, served.bootstrap, TIMEOUT_MS));
    load_make_topic(served.bootstrap, "hostile");
    arena_init(&arena, NULL);
    find_coordinator_request_init(&request);
    request.coordinator_keys = &key;
    request.coordinator_keys_count = 1;
    ck_assert(wire_call(&client, KEY_FIND_COORDINATOR, 4, &request, &response));
    ck_assert_int_eq(response.coordinators[0].error_code, ERR_NONE);
}

static void stop_broker(void)
{
    arena_destroy(&arena);
    wire_close(&client);
    served_stop(&served);
}

int main(void)
{
    Suite *suite = suite_create("hostile groups");
    TCase *tests = tcase_create("members and offsets");
    tcase_set_timeout(tests, 120);
    tcase_add_unchecked_fixture(tests, start_broker, stop_broker);
    tcase_add_test(tests, group_ids_of_any_bytes);
    tcase_add_test(tests, ids_of_32_kib);
    tcase_add_test(tests, phantom_members);
    tcase_add_test(tests, members_with_much_to_say);
    tcase_add_test(tests, session_timeouts_out_of_bounds);
    tcase_add_test(tests, wrong_generations_members_instances);
    tcase_add_test(tests, commits_that_say_odd_things);
    tcase_add_test(tests, assignments_for_strangers);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
