/* The power fails after every operation of the disk while offsets are committed and deleted: what was
 * answered is there, and what is there was asked for. */
#include <stdio.h>
#include <stdlib.h>

#include "codec/delete_groups.h"
#include "tests/sim/offsets/rig.h"

/* A write to one place, in the order of the script; offset -1: it was deleted. */
struct change {
    const char *group;
    int32_t partition;
    int64_t offset;
    uint64_t asked_at; /* operations of the disk */
    uint64_t answered_at;
};

enum { CHANGES_MAX = 64 };

static struct change changes[CHANGES_MAX];
static size_t change_count;

static uint64_t now(void)
{
    return file_double_operation_count(sim.disk);
}

static struct change *begin_change(const char *group, int32_t partition, int64_t offset)
{
    ck_assert_uint_lt(change_count, CHANGES_MAX);
    changes[change_count] = (struct change){ group, partition, offset, now(), UINT64_MAX };
    return &changes[change_count++];
}

static void commit_noted(const char *group, int32_t partition, int64_t offset)
{
    struct change *change = begin_change(group, partition, offset);
    commit(group, partition, offset);
    change->answered_at = now();
}

static void delete_noted(const char *group, int32_t partition)
{
    struct change *change = begin_change(group, partition, -1);
    ck_assert_int_eq(delete_offset(group, "orders", partition), ERR_NONE);
    change->answered_at = now();
}

static void delete_group_noted(const char *group)
{
    size_t first = change_count;
    for (int32_t p = 0; p < 3; p++)
        begin_change(group, p, -1);
    ck_assert_int_eq(delete_group(group), ERR_NONE);
    for (size_t i = first; i < change_count; i++)
        changes[i].answered_at = now();
}

static void play(void)
{
    change_count = 0;
    for (int64_t i = 0; i < 6; i++)
        commit_noted(i % 2 ? "anna" : "bert", (int32_t)(i % 3), 10 + i);
    delete_noted("anna", 0);
    commit_noted("bert", 2, 50);
    delete_group_noted("bert");
    commit_noted("bert", 1, 60);
    rig_restart();
    commit_noted("anna", 0, 70);
    delete_group_noted("anna");
    commit_noted("carl", 1, 80);
    commit_noted("carl", 1, 81);
    delete_noted("carl", 1);
}

/* What the place may hold when the power failed after this operation: what the last answered change says, or
 * any asked for later. */
static void check_place(const char *group, int32_t partition, uint64_t operation)
{
    int64_t offset = fetch(group, partition);
    bool is_possible = offset == -1;
    for (size_t i = 0; i < change_count; i++) {
        const struct change *change = &changes[i];
        if (strcmp(change->group, group) != 0 || change->partition != partition ||
            change->asked_at > operation)
            continue;
        if (change->answered_at <= operation)
            is_possible = false; /* this one holds, unless a later one does */
        is_possible = is_possible || change->offset == offset;
    }
    ck_assert_msg(is_possible, "after operation %llu %s-%d is at %lld", (unsigned long long)operation, group,
                  partition, (long long)offset);
}

static void cut_everywhere(enum file_double_cut cut, uint64_t seed)
{
    static const char *const groups[] = { "anna", "bert", "carl" };
    struct random random;
    random_seed(&random, seed);
    rig_open("");
    uint64_t first = now();
    play();
    uint64_t last = now();
    sim_disconnect(&client);
    struct file_double *whole = sim_stop(&sim);
    sim_start_on(&sim, file_double_create());
    for (uint64_t operation = first; operation <= last; operation++) {
        file_double_destroy(sim_stop(&sim));
        sim_start_on(&sim, file_double_after_cut(whole, operation, cut, &random));
        sim_settle(&sim);
        sim_connect(&sim, &client);
        for (size_t g = 0; g < 3; g++)
            for (int32_t p = 0; p < 3; p++)
                check_place(groups[g], p, operation);
        sim_disconnect(&client);
    }
    sim_close(&sim);
    file_double_destroy(whole);
}

START_TEST(after_power_cuts)
{
    cut_everywhere(FILE_DOUBLE_LOSE_ALL, 1);
}
END_TEST

START_TEST(after_kills)
{
    cut_everywhere(FILE_DOUBLE_KEEP_ALL, 1);
}
END_TEST

START_TEST(after_reordering_power_cuts)
{
    for (uint64_t seed = 1; seed <= 3; seed++)
        cut_everywhere(FILE_DOUBLE_REORDER, seed);
}
END_TEST

/* -- loading ----------------------------------------------------------------------------------- */

START_TEST(while_it_loads)
{
    rig_open("");
    commit("g", 0, 5);
    struct member member = join("m", "consumer", "orders");
    (void)member;
    sim_disconnect(&client);
    sim_restart(&sim); /* workers have not had their turn yet */
    sim_connect(&sim, &client);
    struct place place = fetch_from("g", "orders", 0, false);
    ck_assert(place.error_code == ERR_COORDINATOR_LOAD_IN_PROGRESS || place.error_code == ERR_NONE);
    bool was_loading = place.error_code == ERR_COORDINATOR_LOAD_IN_PROGRESS;
    ck_assert_msg(was_loading, "it was too fast to be seen");
    sim_settle(&sim);
    ck_assert_int_eq(fetch("g", 0), 5);
    rig_close();
}
END_TEST

/* The topic of the groups goes and comes while what it held is being loaded: nobody is left who acts for what
 * is gone, and the broker stops as ever. */
START_TEST(the_topic_is_made_anew_while_it_loads)
{
    rig_open("");
    char group[16];
    for (int i = 0; i < 200; i++) {
        snprintf(group, sizeof group, "g%d", i);
        commit(group, 0, i);
    }
    sim_disconnect(&client);
    sim.seed = (uint64_t)_i; /* decides what is done first */
    sim_restart(&sim);
    sim_connect(&sim, &client);
    delete_topic("__consumer_offsets");
    find_coordinator();
    ck_assert_int_eq(group_count(), 0); /* asks every partition */
    sim_settle(&sim);
    ck_assert_int_eq(group_count(), 0);
    ck_assert_int_eq(fetch("g1", 0), -1);
    commit("g1", 0, 7);
    ck_assert_int_eq(fetch("g1", 0), 7);
    rig_close();
}
END_TEST

/* -- slow and full devices --------------------------------------------------------------------- */

START_TEST(what_is_not_durable_is_not_told)
{
    rig_open("");
    commit("g", 0, 5);
    struct sim_client other;
    sim_connect(&sim, &other);
    sim.flushes_are_held = true;
    struct offset_fetch_response response;
    struct offset_fetch_request request;
    struct offset_fetch_request_group asked;
    offset_fetch_request_init(&request);
    offset_fetch_request_group_init(&asked);
    asked.group_id = SLICE_LITERAL("g");
    asked.topics_count = -1;
    request.groups = &asked;
    request.groups_count = 1;
    ck_assert_int_eq(fetch("g", 0), 5); /* durable: told at once */
    append_commit("g", -1, 2, 9);       /* not in the state: not waited for */
    ck_assert_int_eq(fetch("g", 0), 5);
    sim.flushes_are_held = false;
    sim_settle(&sim);
    ck_assert(sim_call(&other, KEY_OFFSET_FETCH, 9, &request, &response));
    ck_assert_int_eq(response.groups[0].topics[0].partitions_count, 1);
    sim_disconnect(&other);
    rig_close();
}
END_TEST

/* A group is deleted, and the device is slow: until that is durable nobody is told that there is none. */
START_TEST(what_is_gone_is_told_when_that_is_durable)
{
    static slice name = SLICE_LITERAL("g");
    const struct delete_groups_request deletion = { .groups_names = &name, .groups_names_count = 1 };
    const struct describe_groups_request description = { .groups = &name, .groups_count = 1 };
    const struct list_groups_request list = { .states_filter_count = 0 };
    const struct {
        int16_t key, version;
        const void *request;
    } asked[] = { { KEY_DELETE_GROUPS, 2, &deletion },
                  { KEY_DESCRIBE_GROUPS, 6, &description },
                  { KEY_LIST_GROUPS, 5, &list } };
    struct sim_client other;
    rig_open("");
    commit("g", 0, 5);
    sim_connect(&sim, &other);
    sim.flushes_are_held = true;
    ck_assert(sim_send(&client, asked[0].key, asked[0].version, asked[0].request));
    sim_settle(&sim);
    ck_assert(sim_send(&other, asked[_i].key, asked[_i].version, asked[_i].request));
    sim_settle(&sim);
    ck_assert_msg(!sim_receive_frame(&other), "it is told what a power cut may undo");
    sim.flushes_are_held = false;
    sim_settle(&sim);
    ck_assert(sim_receive_frame(&client));
    ck_assert(sim_receive_frame(&other));
    sim_disconnect(&other);
    rig_close();
}
END_TEST

TCase *power_tests(void)
{
    TCase *tests = tcase_create("power");
    tcase_set_timeout(tests, 300);
    tcase_add_test(tests, after_power_cuts);
    tcase_add_test(tests, after_kills);
    tcase_add_test(tests, after_reordering_power_cuts);
    tcase_add_test(tests, while_it_loads);
    tcase_add_loop_test(tests, the_topic_is_made_anew_while_it_loads, 1, 6);
    tcase_add_test(tests, what_is_not_durable_is_not_told);
    tcase_add_loop_test(tests, what_is_gone_is_told_when_that_is_durable, 0, 3);
    return tests;
}
