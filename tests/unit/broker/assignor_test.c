/* The assignors: tables of small groups, and random ones against what must hold for any. */
#include "broker/group/assignor.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/base/random.h"

enum { MEMBERS_MAX = 12, TOPICS_MAX = 6, PARTITIONS_MAX = 16 };

static struct arena arena;

/* A group in memory of its own. */
struct rig {
    struct assignor_group group;
    struct assignor_member members[MEMBERS_MAX];
    struct assignor_subscription subscriptions[MEMBERS_MAX];
    int32_t topics[MEMBERS_MAX][TOPICS_MAX];
    char ids[MEMBERS_MAX][16];
    int32_t counts[TOPICS_MAX];
    int32_t owners[TOPICS_MAX][PARTITIONS_MAX];
    int32_t *rows[TOPICS_MAX];
};

static void rig_init(struct rig *rig, int32_t member_count, int32_t topic_count)
{
    *rig = (struct rig){ .group = { .member_count = member_count, .topic_count = topic_count } };
    rig->group.members = rig->members;
    rig->group.partition_counts = rig->counts;
    rig->group.owners = rig->rows;
    for (int32_t t = 0; t < topic_count; t++) {
        rig->rows[t] = rig->owners[t];
        for (int32_t p = 0; p < PARTITIONS_MAX; p++)
            rig->owners[t][p] = -1;
    }
    for (int32_t m = 0; m < member_count; m++) {
        snprintf(rig->ids[m], sizeof rig->ids[m], "m%02d", (int)m);
        rig->subscriptions[m].topics = rig->topics[m];
        rig->members[m] =
            (struct assignor_member){ slice_of_string(rig->ids[m]), SLICE_NULL, &rig->subscriptions[m] };
    }
}

/* "0 2": the numbers of topics. */
static void subscribe(struct rig *rig, int32_t member, const char *topics)
{
    struct assignor_subscription *subscription = &rig->subscriptions[member];
    subscription->topic_count = 0;
    for (const char *at = topics; *at; at++)
        if (*at != ' ')
            rig->topics[member][subscription->topic_count++] = *at - '0';
}

/* "abb-/cc": the owner of each partition by letter, topics parted by a slash. */
static void read_owners(struct rig *rig, const char *text)
{
    int32_t t = 0, p = 0;
    for (; *text; text++)
        if (*text == '/') {
            t++;
            p = 0;
        } else {
            rig->owners[t][p++] = *text == '-' ? -1 : *text - 'a';
        }
}

static const char *print_owners(const struct rig *rig)
{
    static char text[TOPICS_MAX * (PARTITIONS_MAX + 1) + 1];
    char *at = text;
    for (int32_t t = 0; t < rig->group.topic_count; t++) {
        if (t > 0)
            *at++ = '/';
        for (int32_t p = 0; p < rig->counts[t]; p++)
            *at++ = rig->owners[t][p] < 0 ? '-' : (char)('a' + rig->owners[t][p]);
    }
    *at = '\0';
    return text;
}

static const struct row {
    const char *what;
    assignor assign;
    const char *subscriptions[4]; /* by member; NULL: no more */
    const char *instances[4];
    const char *before; /* with the partition counts */
    const char *after;
} rows[] = {
    { "one member gets all", assign_uniform, { "01" }, { 0 }, "---/--", "aaa/aa" },
    { "nobody subscribes", assign_uniform, { "", "" }, { 0 }, "---", "---" },
    { "what is new is dealt in turns", assign_uniform, { "01", "01" }, { 0 }, "---/---", "aba/bab" },
    { "more members than partitions", assign_uniform, { "0", "0", "0" }, { 0 }, "--", "ab" },
    { "a newcomer takes from who has most, and no more than it must",
      assign_uniform,
      { "01", "01" },
      { 0 },
      "aaa/aaa",
      "aaa/bbb" },
    { "who leaves: the others keep what they have", assign_uniform, { "0", "0" }, { 0 }, "aa-b--", "aaabbb" },
    { "nothing moves when all is even", assign_uniform, { "01", "01" }, { 0 }, "abab/aabb", "abab/aabb" },
    { "the odd one stays with who has it", assign_uniform, { "0", "0" }, { 0 }, "abb", "abb" },
    { "grown topic: only the new partitions are dealt", assign_uniform, { "0", "0" }, { 0 }, "ab--", "abab" },
    { "what it does not subscribe to any more goes",
      assign_uniform,
      { "0", "01" },
      { 0 },
      "aab/ab",
      "aab/bb" },
    { "who has the choice leaves the rest to who has none",
      assign_uniform,
      { "01", "1" },
      { 0 },
      "--/--",
      "aa/bb" },
    { "the load counts over all topics", assign_uniform, { "0", "01", "1" }, { 0 }, "---/---", "aba/cbc" },
    { "above the average gives first", assign_uniform, { "01", "01", "012" }, { 0 }, "aaaaa/aaaaa/-", NULL },
    { "ranges", assign_range, { "0", "0" }, { 0 }, "-----", "aaabb" },
    { "equal topics are assigned alike", assign_range, { "01", "01" }, { 0 }, "---/---", "aab/aab" },
    { "ranges forget what was", assign_range, { "0", "0" }, { 0 }, "bbaa", "aabb" },
    { "a range for each subscriber alone",
      assign_range,
      { "0", "01", "1" },
      { 0 },
      "----/----",
      "aabb/bbcc" },
    { "static members come first, by their names",
      assign_range,
      { "0", "0", "0" },
      { NULL, "z", "y" },
      "---",
      "cba" },
    { "more members than partitions get nothing", assign_range, { "0", "0", "0" }, { 0 }, "--", "ab" },
};

START_TEST(table)
{
    const struct row *row = &rows[_i];
    struct rig rig;
    int32_t members = 0, topics = 1, p = 0;
    while (members < 4 && row->subscriptions[members])
        members++;
    for (const char *at = row->before; *at; at++)
        topics += *at == '/';
    rig_init(&rig, members, topics);
    topics = 0;
    for (const char *at = row->before;; at++) {
        if (*at == '/' || !*at) {
            rig.counts[topics++] = p;
            p = 0;
        } else {
            p++;
        }
        if (!*at)
            break;
    }
    for (int32_t m = 0; m < members; m++) {
        subscribe(&rig, m, row->subscriptions[m]);
        rig.members[m].instance_id = slice_of_string(row->instances[m]);
    }
    read_owners(&rig, row->before);
    ck_assert(row->assign(&arena, &rig.group));
    if (row->after)
        ck_assert_msg(strcmp(print_owners(&rig), row->after) == 0, "%s: %s, not %s", row->what,
                      print_owners(&rig), row->after);
    arena_reset(&arena);
}
END_TEST

/* -- any group --------------------------------------------------------------------------------- */

static bool subscribes(const struct rig *rig, int32_t member, int32_t topic)
{
    const struct assignor_subscription *subscription = rig->members[member].subscription;
    for (int32_t i = 0; i < subscription->topic_count; i++)
        if (subscription->topics[i] == topic)
            return true;
    return false;
}

static void fill_random(struct rig *rig, struct random *random, bool is_homogeneous)
{
    int32_t members = 1 + (int32_t)random_below(random, MEMBERS_MAX);
    int32_t topics = 1 + (int32_t)random_below(random, TOPICS_MAX);
    rig_init(rig, members, topics);
    for (int32_t m = 0; m < members; m++) {
        if (is_homogeneous && m > 0) {
            rig->members[m].subscription = rig->members[0].subscription;
            continue;
        }
        for (int32_t t = 0; t < topics; t++)
            if (random_below(random, 3) > 0)
                rig->topics[m][rig->subscriptions[m].topic_count++] = t;
    }
    for (int32_t t = 0; t < topics; t++) {
        rig->counts[t] = (int32_t)random_below(random, PARTITIONS_MAX + 1);
        for (int32_t p = 0; p < rig->counts[t]; p++)
            rig->owners[t][p] = (int32_t)random_below(random, (uint64_t)members + 1) - 1;
    }
}

static void count_loads(const struct rig *rig, int32_t loads[MEMBERS_MAX])
{
    memset(loads, 0, MEMBERS_MAX * sizeof *loads);
    for (int32_t t = 0; t < rig->group.topic_count; t++)
        for (int32_t p = 0; p < rig->counts[t]; p++) {
            bool is_wanted = false;
            for (int32_t m = 0; m < rig->group.member_count; m++)
                is_wanted = is_wanted || subscribes(rig, m, t);
            ck_assert_int_eq(rig->owners[t][p] >= 0, is_wanted);
            if (rig->owners[t][p] < 0)
                continue;
            ck_assert(subscribes(rig, rig->owners[t][p], t));
            loads[rig->owners[t][p]]++;
        }
}

/* Nobody has two more than another who could take one of them. */
static void check_even(const struct rig *rig, uint64_t seed)
{
    int32_t loads[MEMBERS_MAX];
    count_loads(rig, loads);
    for (int32_t t = 0; t < rig->group.topic_count; t++)
        for (int32_t p = 0; p < rig->counts[t]; p++)
            for (int32_t m = 0; m < rig->group.member_count; m++)
                ck_assert_msg(rig->owners[t][p] < 0 || !subscribes(rig, m, t) ||
                                  loads[rig->owners[t][p]] <= loads[m] + 1,
                              "seed %llu: %s", (unsigned long long)seed, print_owners(rig));
}

static int32_t count_kept(const struct rig *before, const struct rig *after)
{
    int32_t kept = 0;
    for (int32_t t = 0; t < after->group.topic_count; t++)
        for (int32_t p = 0; p < after->counts[t]; p++)
            kept += after->owners[t][p] >= 0 && before->owners[t][p] == after->owners[t][p];
    return kept;
}

static int compare_descending(const void *a, const void *b)
{
    return *(const int32_t *)b - *(const int32_t *)a;
}

/* The most that can stay when all subscribe to the same and end up even. */
static int32_t most_kept(const struct rig *before)
{
    int32_t loads[MEMBERS_MAX] = { 0 }, total = 0, kept = 0, members = before->group.member_count;
    for (int32_t t = 0; t < before->group.topic_count; t++) {
        if (!subscribes(before, 0, t))
            continue;
        total += before->counts[t];
        for (int32_t p = 0; p < before->counts[t]; p++)
            if (before->owners[t][p] >= 0)
                loads[before->owners[t][p]]++;
    }
    qsort(loads, (size_t)members, sizeof *loads, compare_descending);
    for (int32_t m = 0; m < members; m++) {
        int32_t quota = total / members + (m < total % members);
        kept += loads[m] < quota ? loads[m] : quota;
    }
    return kept;
}

static void copy_rig(struct rig *to, const struct rig *from)
{
    *to = *from;
    to->group.members = to->members;
    to->group.partition_counts = to->counts;
    to->group.owners = to->rows;
    for (int32_t t = 0; t < from->group.topic_count; t++)
        to->rows[t] = to->owners[t];
    for (int32_t m = 0; m < from->group.member_count; m++) {
        bool is_shared = from->members[m].subscription == &from->subscriptions[0];
        to->subscriptions[m].topics = to->topics[m];
        to->members[m].subscription = &to->subscriptions[is_shared ? 0 : m];
    }
}

START_TEST(uniform_is_even_and_sticky)
{
    struct random random;
    struct rig before, after, again;
    for (uint64_t seed = 1; seed <= 20000; seed++) {
        bool is_homogeneous = seed % 2 == 0;
        random_seed(&random, seed);
        fill_random(&before, &random, is_homogeneous);
        copy_rig(&after, &before);
        ck_assert(assign_uniform(&arena, &after.group));
        check_even(&after, seed);
        if (is_homogeneous)
            ck_assert_int_eq(count_kept(&before, &after), most_kept(&before));
        copy_rig(&again, &after);
        ck_assert(assign_uniform(&arena, &again.group));
        ck_assert_msg(memcmp(again.owners, after.owners, sizeof again.owners) == 0, "seed %llu: not at rest",
                      (unsigned long long)seed);
        arena_reset(&arena);
    }
}
END_TEST

START_TEST(range_is_whole)
{
    struct random random;
    struct rig rig;
    int32_t loads[MEMBERS_MAX];
    for (uint64_t seed = 1; seed <= 5000; seed++) {
        random_seed(&random, seed);
        fill_random(&rig, &random, seed % 2 == 0);
        ck_assert(assign_range(&arena, &rig.group));
        count_loads(&rig, loads);
        for (int32_t t = 0; t < rig.group.topic_count; t++)
            for (int32_t p = 1; p < rig.counts[t];
                 p++) /* dynamic members: ranges in the order of their ids */
                ck_assert_int_le(rig.owners[t][p - 1], rig.owners[t][p]);
        arena_reset(&arena);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("assignor");
    TCase *cases = tcase_create("assignor");
    arena_init(&arena, NULL);
    tcase_set_timeout(cases, 120);
    tcase_add_loop_test(cases, table, 0, sizeof rows / sizeof *rows);
    tcase_add_test(cases, uniform_is_even_and_sticky);
    tcase_add_test(cases, range_is_whole);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    arena_destroy(&arena);
    return failed == 0 ? 0 : 1;
}
