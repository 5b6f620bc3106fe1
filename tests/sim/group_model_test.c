/* Random lives of a classic group against a plain model of the rules (group_model/model.h), which tells every
 * answer beforehand: joins, syncs, heartbeats, commits, leaves, lost connections, stolen identities,
 * deadlines, power cuts. Besides: generations never fall, one member leads, everybody has the assignment that
 * the leader gave it, and in the end all who want to are members of a stable group.
 *
 * RUNNEL_STEPS: how many steps (default 1000000). RUNNEL_SEED: the first seed; a failure prints the one that
 * repeats it. RUNNEL_TRACE: tells of every step. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "codec/describe_groups.h"
#include "protocol/errors.h"
#include "tests/sim/group_model/player.h"

enum { KEY_DESCRIBE = 15, STEPS_PER_SEED = 5000, SETTLE_STEPS_MAX = 400 };

static uint64_t total_steps, group_count, tie_count, before_count, after_count;

/* -- what the broker says of the group --------------------------------------------------------- */

static bool describe(struct sim_client *client, struct describe_groups_response *response)
{
    struct describe_groups_request request;
    slice name = slice_of_string(group);
    describe_groups_request_init(&request);
    request.groups = &name;
    request.groups_count = 1;
    sim_connect(&sim, client);
    bool ok = sim_call(client, KEY_DESCRIBE, 5, &request, response) && response->groups_count == 1;
    expect(ok, "DescribeGroups", 0);
    return ok;
}

static int count_members(const struct model *of)
{
    int members = 0;
    for (int i = 0; i < of->count; i++)
        members += !of->members[i].is_pending;
    return members;
}

static bool is_described(const struct model *of, const struct describe_groups_response_group *by)
{
    static const char *const names[] = { "Empty", "PreparingRebalance", "CompletingRebalance", "Stable" };
    if (!slice_equal_string(by->group_state, of->exists ? names[of->state] : "Dead") ||
        by->members_count != count_members(of))
        return false;
    for (int i = 0, k = 0; i < of->count; i++) {
        if (of->members[i].is_pending)
            continue;
        const struct describe_groups_response_member *member = &by->members[k++];
        if ((of->members[i].id[0] && !slice_equal_string(member->member_id, of->members[i].id)) ||
            !slice_equal_string(member->member_assignment, of->members[i].assignment))
            return false;
    }
    return true;
}

static void check_description(void)
{
    struct sim_client client;
    struct describe_groups_response response = { 0 };
    if (!describe(&client, &response))
        return;
    expect(is_described(&model, &response.groups[0]), "the description of the group", 0);
    for (int i = 0, k = 0; i < model.count && !failure[0]; i++)
        if (!model.members[i].is_pending)
            learn_id(i, response.groups[0].members[k++].member_id, -1);
    sim_disconnect(&client);
}

/* -- time -------------------------------------------------------------------------------------- */

static const char *whose_deadline(int64_t due_ms)
{
    for (int i = 0; i < model.count; i++)
        if (model.members[i].due_ms == due_ms)
            return model.members[i].metadata;
    return "phase";
}

/* From deadline to deadline. False: two fell together, and who was first cannot be told. */
static bool advance_to(int64_t target_ms)
{
    while (!failure[0]) {
        bool is_tied;
        int64_t next_ms = model_next_ms(&model, &is_tied);
        if (next_ms > target_ms)
            break;
        if (is_tied)
            return false;
        if (next_ms > now_ms())
            sim_advance(&sim, next_ms - now_ms());
        trace("deadline", -1, next_ms, whose_deadline(next_ms));
        model_tick(&model, next_ms);
        receive_answers();
    }
    if (target_ms > now_ms())
        sim_advance(&sim, target_ms - now_ms());
    model.now_ms = now_ms();
    return true;
}

/* -- power ------------------------------------------------------------------------------------- */

static void restart(void)
{
    trace("power cut", -1, 0, "");
    sim_power_cycle(&sim, draw(50) ? FILE_DOUBLE_LOSE_ALL : FILE_DOUBLE_REORDER);
    for (int i = 0; i < SLOTS; i++)
        sim_disconnect(&slots[i].client);
    for (int i = 0; i < SLOTS; i++) {
        sim_connect(&sim, &slots[i].client);
        if (slots[i].is_nameless)
            change_metadata(i);
        slots[i].is_nameless = false;
        slots[i].waits_for = -1;
        slots[i].must_join |= slots[i].must_sync;
        slots[i].must_sync = false;
    }
}

/* The power goes when nothing is under way: what was answered is kept. */
static void cut_power(void)
{
    restart();
    model_restart(&model);
}

/* Somebody has asked for something, and the power goes before or after it is done. False: what has become of
 * it cannot be told from outside. */
static bool cut_power_in_the_middle(int i)
{
    static struct model before;
    struct sim_client client;
    struct describe_groups_response response = { 0 };
    uint8_t bytes[4096];
    size_t answered = 0;
    before = model;
    if (slots[i].must_sync)
        send_sync(i, slots[i].generation);
    else
        send_leave(i);
    for (uint64_t steps = random_below(&chance, 16); steps > 0; steps--)
        server_step(sim.server);
    slots[i].client.end->ops->read(slots[i].client.end, bytes, sizeof bytes, &answered);
    bool is_written = model.writes > before.writes, is_tied;
    bool goes_on = model_next_ms(&model, &is_tied) <= now_ms(); /* at once, without being asked */
    restart();
    if (goes_on)
        return false;
    model_restart(&model);
    model_restart(&before);
    if (!is_written || !describe(&client, &response))
        return true;
    bool is_before = is_described(&before, &response.groups[0]);
    bool is_after = is_described(&model, &response.groups[0]);
    sim_disconnect(&client);
    expect(is_before || is_after, "the group is neither what it was nor what it became", i);
    expect(answered == 0 || is_after, "what was answered is lost", i);
    *(is_after ? &after_count : &before_count) += 1;
    if (!is_after)
        model = before;
    return is_before != is_after;
}

/* -- steps ------------------------------------------------------------------------------------- */

/* What a client does next that wants to be in the group. */
static void do_sensible(int i)
{
    struct slot *slot = &slots[i];
    if (slot->must_join)
        send_join(i, slot->id, slot->instance);
    else if (slot->must_sync)
        send_sync(i, slot->generation);
    else if (draw(70))
        call_heartbeat(i, slot->generation);
    else if (slot->id[0])
        call_commit(i);
}

static void do_odd(int i)
{
    struct slot *slot = &slots[i];
    const struct slot *other = &slots[random_below(&chance, SLOTS)];
    switch (random_below(&chance, 11)) {
    case 0:
        call_leave(i);
        break;
    case 1:
        disconnect(i);
        break;
    case 2:
        disconnect(i);
        begin_slot(i); /* somebody else, or the same instance anew */
        break;
    case 3:
        change_metadata(i);
        send_join(i, slot->id, slot->instance);
        break;
    case 4:
        send_join(i, slot->id, slot->instance);
        break;
    case 5:
        change_metadata(i);
        send_join(i, "", slot->version >= 5 ? slot->instance : "");
        break;
    case 6: /* stolen */
        change_metadata(i);
        send_join(i, other->id, slot->version >= 5 ? other->instance : "");
        change_metadata(i);
        break;
    case 7:
        send_sync(i, slot->generation + (int32_t)random_below(&chance, 3) - 1);
        break;
    case 8:
        call_heartbeat(i, slot->generation + (int32_t)random_below(&chance, 3) - 1);
        break;
    case 9:
        send_join(i, "stranger", slot->version >= 5 ? other->instance : "");
        break;
    case 10:
        disconnect(i);
        forget(i);
        break;
    }
}

/* False: deadlines are tied, this group cannot go on. */
static bool do_step(unsigned odd_percent)
{
    step_count++;
    int64_t pause_ms =
        draw(80) ? 1 + (int64_t)random_below(&chance, 50) : (int64_t)random_below(&chance, 4000);
    if (odd_percent > 0 && random_below(&chance, 500) == 0)
        pause_ms = 60000;
    if (!advance_to(now_ms() + pause_ms))
        return false;
    if (odd_percent > 0 && random_below(&chance, 400) == 0)
        cut_power();
    int i = (int)random_below(&chance, SLOTS);
    if (odd_percent > 0 && slots[i].waits_for < 0 && slots[i].id[0] && random_below(&chance, 100) == 0) {
        bool is_certain = cut_power_in_the_middle(i);
        forget(i);
        return is_certain && advance_to(now_ms());
    }
    if (slots[i].waits_for < 0 && !failure[0]) {
        if (draw(odd_percent))
            do_odd(i);
        else
            do_sensible(i);
    }
    receive_answers();
    return advance_to(now_ms());
}

/* -- in the end -------------------------------------------------------------------------------- */

static bool is_everybody_settled(int size)
{
    int settled = 0;
    for (int i = 0; i < SLOTS; i++)
        settled += slots[i].waits_for < 0 && !slots[i].must_join && !slots[i].must_sync;
    return model.state == STABLE && settled >= size && model.count == settled;
}

/* Nobody is somebody else any more. */
static void end_thefts(void)
{
    for (int i = 0; i < SLOTS; i++)
        for (int k = 0; k < i; k++)
            if (slots[i].id[0] && strcmp(slots[i].id, slots[k].id) == 0) {
                disconnect(i);
                forget(i);
            }
}

/* Nobody does anything odd any more: whoever fits in becomes a member of a stable group. */
static bool settle(void)
{
    int size = model.size_max < SLOTS ? model.size_max : SLOTS;
    for (int round = 0; round < SETTLE_STEPS_MAX && !failure[0]; round++) {
        end_thefts();
        for (int i = 0; i < SLOTS && !failure[0]; i++) {
            if (!advance_to(now_ms() + 31))
                return false;
            for (int k = 0; k < PROTOCOLS_MAX; k++)
                slots[i].protocols[k] = k; /* something is common, whatever the others have */
            slots[i].protocol_count = PROTOCOLS_MAX;
            if (slots[i].waits_for < 0)
                do_sensible(i);
            receive_answers();
            if (!advance_to(now_ms()))
                return false;
        }
        if (size == SLOTS && is_everybody_settled(size))
            return true;
        if (size < SLOTS && model.state == STABLE && model.count >= size && round > 50)
            return true;
        if (!advance_to(now_ms() + 499))
            return false;
    }
    expect(false, "the group does not settle", 0);
    return true;
}

/* True: the broker did what the model says. */
static bool run_seed(uint64_t seed, uint64_t steps, enum broken_rule broken)
{
    static const char *const settings[] = { "group.initial.rebalance.delay.ms=0\n",
                                            "group.initial.rebalance.delay.ms=3000\n",
                                            "group.initial.rebalance.delay.ms=0\ngroup.max.size=6\n" };
    char text[512];
    int variant = (int)(seed % 3);
    snprintf(text, sizeof text,
             "%soffsets.topic.num.partitions=1\noffsets.retention.check.interval.ms=2000000000\n"
             "log.message.timestamp.after.max.ms=9000000000000\n",
             settings[variant]);
    failure[0] = '\0';
    random_seed(&chance, seed);
    play_begin(); /* whatever was before, the same seed does the same */
    sim_open(&sim, seed, text);
    for (int i = 0; i < SLOTS; i++)
        sim_connect(&sim, &slots[i].client);
    make_topic();
    while (step_count < steps && !failure[0]) {
        begin_group(variant == 1 ? 3000 : 0, variant == 2 ? 6 : 1000, broken);
        unsigned odd_percent = 5 + (unsigned)random_below(&chance, 30);
        uint64_t group_end = step_count + 200 + random_below(&chance, 1000);
        bool is_certain = true;
        while (is_certain && step_count < group_end && step_count < steps && !failure[0]) {
            is_certain = do_step(odd_percent);
            if (is_certain && step_count % 64 == 0 && !failure[0])
                check_description();
        }
        if (is_certain && !failure[0])
            is_certain = settle();
        tie_count += !is_certain;
    }
    for (int i = 0; i < SLOTS; i++)
        sim_disconnect(&slots[i].client);
    sim_close(&sim);
    total_steps += step_count;
    group_count += (uint64_t)group_number;
    return !failure[0];
}

static uint64_t number_from(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 0) : otherwise;
}

START_TEST(the_broker_does_what_the_model_says)
{
    uint64_t seed = number_from("RUNNEL_SEED", 1);
    uint64_t steps = number_from("RUNNEL_STEPS", 1000000);
    total_steps = group_count = tie_count = answer_count = 0;
    is_traced = getenv("RUNNEL_TRACE") != NULL;
    for (; total_steps < steps; seed++) {
        bool ok = run_seed(seed, STEPS_PER_SEED, ALL_RULES_HOLD);
        ck_assert_msg(ok, "RUNNEL_SEED=%llu: %s", (unsigned long long)seed, failure);
    }
    printf("%llu steps, %llu answers after a wait or at once, %llu groups, %llu left at a tie, seeds up to "
           "%llu\n",
           (unsigned long long)total_steps, (unsigned long long)answer_count, (unsigned long long)group_count,
           (unsigned long long)tie_count, (unsigned long long)seed - 1);
    printf("power cuts in the middle: %llu times it was not done yet, %llu times it was\n",
           (unsigned long long)before_count, (unsigned long long)after_count);
    ck_assert_uint_gt(answer_count, steps / 10); /* the model was asked for something */
}
END_TEST

/* The control: a rule that the model gets wrong is found. */
START_TEST(a_wrong_rule_is_found)
{
    bool ok = true;
    for (uint64_t seed = 1; ok && seed <= 40; seed++)
        ok = run_seed(seed, STEPS_PER_SEED, (enum broken_rule)_i);
    ck_assert_msg(!ok, "rule %d was broken and nobody noticed", _i);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("group model");
    TCase *tests = tcase_create("random lives");
    tcase_set_timeout(tests, 0);
    tcase_add_test(tests, the_broker_does_what_the_model_says);
    tcase_add_loop_test(tests, a_wrong_rule_is_found, ALL_RULES_HOLD + 1, BROKEN_RULES_END);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
