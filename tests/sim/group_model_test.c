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
#include "codec/find_coordinator.h"
#include "codec/heartbeat.h"
#include "codec/join_group.h"
#include "codec/leave_group.h"
#include "codec/metadata.h"
#include "codec/offset_commit.h"
#include "codec/sync_group.h"
#include "protocol/errors.h"
#include "tests/sim/group_model/model.h"
#include "tests/support/sim.h"

enum {
    KEY_METADATA = 3,
    KEY_COMMIT = 8,
    KEY_FIND = 10,
    KEY_JOIN = 11,
    KEY_HEARTBEAT = 12,
    KEY_LEAVE = 13,
    KEY_SYNC = 14,
    KEY_DESCRIBE = 15,
    STEPS_PER_SEED = 5000,
    SETTLE_STEPS_MAX = 400,
};

/* A client: what it believes. */
struct slot {
    struct sim_client client;
    int16_t version;
    char instance[TEXT_MAX];
    char id[TEXT_MAX];
    char metadata[TEXT_MAX];
    int protocols[PROTOCOLS_MAX];
    int protocol_count;
    int32_t session_ms, rebalance_ms;
    int32_t generation;
    bool is_nameless;  /* joins without an id */
    int16_t waits_for; /* an API key; -1: nothing */
    bool must_join, must_sync;
    char roster[MEMBERS_MAX][TEXT_MAX]; /* when it leads */
    int roster_count;
};

static const char *const protocol_names[PROTOCOLS_MAX] = { "range", "roundrobin", "sticky" };
static const int16_t sync_versions[] = { 0, 0, 1, 2, 2, 3, 4, 5, 5, 5 };
static const int16_t heartbeat_versions[] = { 0, 0, 1, 2, 2, 3, 4, 4, 4, 4 };
static const int16_t leave_versions[] = { 0, 0, 1, 2, 2, 3, 4, 4, 5, 5 };

static struct sim sim;
static struct random chance;
static struct slot slots[SLOTS];
static struct model model;
static char group[TEXT_MAX];
static int group_number, metadata_number;
static int32_t generation_seen; /* in a stable group */
static uint64_t step_count, tie_count, answer_count;
static char failure[512]; /* "": the model and the broker agree */

static void differ(const char *what, int slot, long long got, long long expected)
{
    if (!failure[0])
        snprintf(failure, sizeof failure,
                 "%s: slot %d: %lld instead of %lld (step %llu, group %s, generation %d)", what, slot, got,
                 expected, (unsigned long long)step_count, group, model.generation);
}

static bool is_traced;

static void trace(const char *what, int slot, long long a, const char *b)
{
    if (is_traced)
        printf("%llu t=%lld slot %d %s %lld %s | state %d generation %d members %d due %lld\n",
               (unsigned long long)step_count, (long long)(model.now_ms % 10000000), slot, what, a, b,
               model.state, model.generation, model.count, (long long)(model.phase_due_ms % 10000000));
}

static void expect(bool holds, const char *what, int slot)
{
    if (!holds)
        differ(what, slot, 0, 1);
}

static bool draw(unsigned percent)
{
    return random_below(&chance, 100) < percent;
}

static int64_t now_ms(void)
{
    return clock_mono_ms(&sim.clock.clock);
}

static void note_text(char out[TEXT_MAX], slice text)
{
    size_t size = text.size < TEXT_MAX ? text.size : TEXT_MAX - 1;
    if (size > 0)
        memcpy(out, text.data, size);
    out[size] = '\0';
}

/* -- beginning ----------------------------------------------------------------------------------------------
 */

static void change_metadata(int i)
{
    struct slot *slot = &slots[i];
    snprintf(slot->metadata, TEXT_MAX, "slot %d, %d", i, ++metadata_number);
    slot->protocol_count = 1 + (int)random_below(&chance, PROTOCOLS_MAX);
    for (int k = 0, first = (int)random_below(&chance, PROTOCOLS_MAX); k < slot->protocol_count; k++)
        slot->protocols[k] = (first + k) % PROTOCOLS_MAX;
    if (!draw(10) && slot->protocol_count == 1) /* most have one in common */
        slot->protocols[0] = 0;
}

static void forget(int i)
{
    struct slot *slot = &slots[i];
    slot->id[0] = '\0';
    slot->generation = -1;
    slot->must_join = true;
    slot->must_sync = false;
    change_metadata(i);
}

/* Timeouts differ from slot to slot, so that deadlines seldom fall together. */
static void begin_slot(int i)
{
    struct slot *slot = &slots[i];
    slot->version = (int16_t)(draw(50) ? 9 : random_below(&chance, 10));
    slot->session_ms = 6000 + (int32_t)random_below(&chance, 9) * 1009 + i * 97;
    slot->rebalance_ms = 5003 + (int32_t)random_below(&chance, 20) * 1013;
    slot->instance[0] = '\0';
    if (slot->version >= 5 && draw(40))
        snprintf(slot->instance, TEXT_MAX, "instance %d", i);
    slot->waits_for = -1;
    forget(i);
}

static void find_coordinator(void)
{
    struct find_coordinator_request request;
    struct find_coordinator_response response;
    slice key = slice_of_string(group);
    find_coordinator_request_init(&request);
    request.coordinator_keys = &key;
    request.coordinator_keys_count = 1;
    expect(sim_call(&slots[0].client, KEY_FIND, 4, &request, &response) &&
               response.coordinators[0].error_code == ERR_NONE,
           "FindCoordinator", 0);
}

static void make_topic(void)
{
    struct metadata_request request;
    struct metadata_request_topic topic;
    struct metadata_response response;
    metadata_request_init(&request);
    metadata_request_topic_init(&topic);
    topic.name = SLICE_LITERAL("topic");
    request.topics = &topic;
    request.topics_count = 1;
    request.allow_auto_topic_creation = true;
    expect(sim_call(&slots[0].client, KEY_METADATA, 9, &request, &response), "Metadata", 0);
}

static void disconnect(int i)
{
    trace("disconnect", i, 0, slots[i].id);
    model_disconnect(&model, i);
    sim_disconnect(&slots[i].client);
    sim_connect(&sim, &slots[i].client);
    if (slots[i].is_nameless)
        change_metadata(i); /* somebody who will not be heard of again has the old one */
    slots[i].is_nameless = false;
    slots[i].waits_for = -1;
    slots[i].must_join |= slots[i].must_sync;
}

static void begin_group(int64_t delay_ms, int size_max, enum broken_rule broken)
{
    snprintf(group, sizeof group, "group %d", group_number++);
    model_open(&model, now_ms(), delay_ms, size_max, broken);
    for (int i = 0; i < SLOTS; i++) {
        disconnect(i);
        begin_slot(i);
    }
    generation_seen = 0;
    find_coordinator();
}

/* -- requests
 * ------------------------------------------------------------------------------------------------- */

static void send_request(int i, int16_t key, int16_t version, const void *request)
{
    expect(sim_send(&slots[i].client, key, version, request), "the connection is closed", i);
    slots[i].waits_for = key;
}

static slice optional(const char *text)
{
    return text[0] ? slice_of_string(text) : SLICE_NULL;
}

/* In the name of `who`, which is mostly the slot itself. */
static void send_join(int i, const char *id, const char *instance)
{
    struct slot *slot = &slots[i];
    struct join_group_request request;
    struct join_group_request_protocol protocols[PROTOCOLS_MAX];
    join_group_request_init(&request);
    for (int k = 0; k < slot->protocol_count; k++) {
        join_group_request_protocol_init(&protocols[k]);
        protocols[k].name = slice_of_string(protocol_names[slot->protocols[k]]);
        protocols[k].metadata = slice_of_string(slot->metadata);
    }
    request.group_id = slice_of_string(group);
    request.session_timeout_ms = slot->session_ms;
    request.rebalance_timeout_ms = slot->rebalance_ms;
    request.member_id = slice_of_string(id);
    request.group_instance_id = optional(instance);
    request.protocol_type = SLICE_LITERAL("consumer");
    request.protocols = protocols;
    request.protocols_count = slot->protocol_count;
    send_request(i, KEY_JOIN, slot->version, &request);
    slot->is_nameless = !id[0];
    trace("join", i, slot->version, id);
    const struct join join = { .slot = i,
                               .version = slot->version,
                               .id = id,
                               .instance = instance,
                               .metadata = slot->metadata,
                               .protocols = slot->protocols,
                               .protocol_count = slot->protocol_count,
                               .session_ms = slot->session_ms,
                               .rebalance_ms = slot->version == 0 ? slot->session_ms : slot->rebalance_ms };
    model_join(&model, &join);
}

static void send_sync(int i, int32_t generation)
{
    struct slot *slot = &slots[i];
    struct sync_group_request request;
    struct sync_group_request_assignment assignments[MEMBERS_MAX];
    char texts[MEMBERS_MAX][TEXT_MAX];
    const char *ids[MEMBERS_MAX], *shares[MEMBERS_MAX];
    sync_group_request_init(&request);
    request.group_id = slice_of_string(group);
    request.generation_id = generation;
    request.member_id = slice_of_string(slot->id);
    request.group_instance_id = optional(slot->instance);
    request.protocol_type = SLICE_LITERAL("consumer");
    request.protocol_name = slice_of_string(protocol_names[model.protocol < 0 ? 0 : model.protocol]);
    request.assignments = assignments;
    for (int k = 0; k < slot->roster_count; k++) {
        if (draw(5))
            continue; /* one is forgotten */
        int32_t at = request.assignments_count++;
        snprintf(texts[at], TEXT_MAX, "%d:%d:%llu", generation, k, (unsigned long long)step_count);
        sync_group_request_assignment_init(&assignments[at]);
        assignments[at].member_id = slice_of_string(ids[at] = slot->roster[k]);
        assignments[at].assignment = slice_of_string(shares[at] = texts[at]);
    }
    send_request(i, KEY_SYNC, sync_versions[slot->version], &request);
    trace("sync", i, generation, slot->id);
    model_sync(&model, i, slot->id, slot->instance, generation, request.assignments_count, ids, shares);
}

static void react(int i, int16_t error_code)
{
    switch (error_code) {
    case ERR_NONE:
        break;
    case ERR_REBALANCE_IN_PROGRESS:
    case ERR_ILLEGAL_GENERATION:
        slots[i].must_join = true;
        break;
    case ERR_INCONSISTENT_GROUP_PROTOCOL:
        change_metadata(i);
        slots[i].must_join = true;
        break;
    default: /* UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID, GROUP_MAX_SIZE_REACHED */
        forget(i);
    }
}

static void call_heartbeat(int i, int32_t generation)
{
    struct slot *slot = &slots[i];
    struct heartbeat_request request;
    struct heartbeat_response response = { 0 };
    heartbeat_request_init(&request);
    request.group_id = slice_of_string(group);
    request.generation_id = generation;
    request.member_id = slice_of_string(slot->id);
    request.group_instance_id = optional(slot->instance);
    expect(sim_call(&slot->client, KEY_HEARTBEAT, heartbeat_versions[slot->version], &request, &response),
           "no answer to a heartbeat", i);
    int16_t expected = model_heartbeat(&model, slot->id, slot->instance, generation);
    if (response.error_code != expected)
        differ("heartbeat", i, response.error_code, expected);
    react(i, response.error_code);
}

static void call_commit(int i)
{
    struct slot *slot = &slots[i];
    struct offset_commit_request request;
    struct offset_commit_request_topic topic;
    struct offset_commit_request_partition partition;
    struct offset_commit_response response = { 0 };
    offset_commit_request_init(&request);
    offset_commit_request_topic_init(&topic);
    offset_commit_request_partition_init(&partition);
    request.group_id = slice_of_string(group);
    request.generation_id_or_member_epoch = slot->generation;
    request.member_id = slice_of_string(slot->id);
    request.group_instance_id = optional(slot->instance);
    request.topics = &topic;
    request.topics_count = 1;
    topic.name = SLICE_LITERAL("topic");
    topic.partitions = &partition;
    topic.partitions_count = 1;
    expect(sim_call(&slot->client, KEY_COMMIT, 8, &request, &response) && response.topics_count == 1,
           "no answer to a commit", i);
    int16_t expected = model_commit(&model, slot->id, slot->instance, slot->generation);
    int16_t got = failure[0] ? expected : response.topics[0].partitions[0].error_code;
    if (got != expected)
        differ("commit", i, got, expected);
}

/* One or, from v3 on, several at once; an administrator names instances alone. */
static void call_leave(int i)
{
    struct slot *slot = &slots[i];
    struct leave_group_request request;
    struct leave_group_request_member members[3];
    struct leave_group_response response = { 0 };
    int who[3] = { i, (int)random_below(&chance, SLOTS), (int)random_below(&chance, SLOTS) };
    int16_t version = leave_versions[slot->version];
    int count = version >= 3 && draw(20) ? 3 : 1;
    bool by_instance = version >= 3 && slot->instance[0] && draw(30), was_member = false;
    leave_group_request_init(&request);
    request.group_id = slice_of_string(group);
    for (int k = 0; k < count; k++) {
        leave_group_request_member_init(&members[k]);
        members[k].member_id = slice_of_string(by_instance ? "" : slots[who[k]].id);
        members[k].group_instance_id = optional(slots[who[k]].instance);
    }
    if (version >= 3) {
        request.members = members;
        request.members_count = count;
    } else {
        request.member_id = members[0].member_id;
    }
    expect(sim_call(&slot->client, KEY_LEAVE, version, &request, &response), "no answer to a leave", i);
    for (int k = 0; k < count; k++) {
        int16_t expected = model_leave(&model, by_instance ? "" : slots[who[k]].id,
                                       version >= 3 ? slots[who[k]].instance : "", &was_member);
        int16_t got = version >= 3 && response.members_count == count ? response.members[k].error_code
                                                                      : response.error_code;
        if (got != expected)
            differ("leave", i, got, expected);
        slots[who[k]].must_join = true;
    }
    trace("leave", i, count, by_instance ? slot->instance : slot->id);
    model_left(&model, was_member);
    if (!by_instance)
        forget(i);
}

/* -- answers
 * ---------------------------------------------------------------------------------------------------- */

/* What the broker calls a member, once it has told. */
static void learn_id(int at, slice id, int slot)
{
    struct member *member = &model.members[at];
    if (!member->id[0]) {
        note_text(member->id, id);
        for (int i = 0; i < model.written_count; i++)
            if (strcmp(model.written[i].metadata, member->metadata) == 0)
                strcpy(model.written[i].id, member->id);
    }
    expect(slice_equal_string(id, member->id), "the member's id", slot);
}

static void check_roster(int i, const struct join_group_response *response, const struct answer *answer)
{
    int members = 0;
    for (int k = 0; k < model.count; k++)
        members += !model.members[k].is_pending;
    int expected = answer->has_members ? members : 0;
    if (response->members_count != expected)
        differ("members that the leader is told of", i, response->members_count, expected);
    slots[i].roster_count = 0;
    for (int32_t k = 0; k < response->members_count && k < MEMBERS_MAX; k++) {
        char metadata[TEXT_MAX];
        note_text(metadata, response->members[k].metadata);
        int at = model_find_metadata(&model, metadata);
        expect(at >= 0, "a stranger in the leader's list", i);
        if (at < 0)
            continue;
        learn_id(at, response->members[k].member_id, i);
        if (!answer->is_skipped)
            note_text(slots[i].roster[slots[i].roster_count++], response->members[k].member_id);
    }
}

static void check_leader(int i, const struct join_group_response *response, const struct answer *answer)
{
    if (answer->has_leader) { /* "": its id was never told to us */
        expect(!answer->leader[0] || slice_equal_string(response->leader, answer->leader),
               "the leader it had", i);
        return;
    }
    expect(model.leader >= 0, "a generation without a leader", i);
    if (model.leader >= 0)
        learn_id(model.leader, response->leader, i);
}

static void receive_join(int i, const struct answer *answer)
{
    struct slot *slot = &slots[i];
    struct join_group_response response = { 0 };
    if (!sim_receive(&slot->client, KEY_JOIN, slot->version, &response)) {
        differ("no answer to a join, or one that cannot be read", i, -1, answer->error_code);
        return;
    }
    if (response.error_code != answer->error_code)
        differ("join", i, response.error_code, answer->error_code);
    if (answer->member >= 0 && !failure[0]) {
        note_text(slot->id, response.member_id);
        learn_id(answer->member, response.member_id, i);
    }
    if (response.error_code == ERR_NONE && !failure[0]) {
        if (response.generation_id != answer->generation)
            differ("generation", i, response.generation_id, answer->generation);
        expect(slice_equal_string(response.protocol_name, protocol_names[answer->protocol]), "protocol", i);
        expect(response.skip_assignment == answer->is_skipped, "skip_assignment", i);
        check_leader(i, &response, answer);
        check_roster(i, &response, answer);
        slot->generation = response.generation_id;
        slot->must_join = false;
        slot->must_sync = true;
    } else if (response.error_code != ERR_MEMBER_ID_REQUIRED) {
        react(i, response.error_code);
    }
}

static void receive_sync(int i, const struct answer *answer)
{
    struct slot *slot = &slots[i];
    struct sync_group_response response = { 0 };
    if (!sim_receive(&slot->client, KEY_SYNC, sync_versions[slot->version], &response)) {
        differ("no answer to a sync, or one that cannot be read", i, -1, answer->error_code);
        return;
    }
    if (response.error_code != answer->error_code)
        differ("sync", i, response.error_code, answer->error_code);
    expect(!slice_is_null(response.assignment), "an assignment is never null", i);
    expect(slice_equal_string(response.assignment, answer->assignment), "the assignment", i);
    slot->must_sync = false;
    if (response.error_code == ERR_NONE) {
        expect(model.generation >= generation_seen, "a generation fell", i);
        generation_seen = model.generation;
    }
    react(i, response.error_code);
}

/* Whoever is answered, and nobody else. */
static void receive_answers(void)
{
    sim_settle(&sim);
    for (int i = 0; i < SLOTS && !failure[0]; i++) {
        struct answer answer = model.answers[i];
        model.answers[i].is_due = false;
        int16_t key = slots[i].waits_for;
        if (key < 0)
            continue;
        if (!answer.is_due) {
            union {
                struct join_group_response join;
                struct sync_group_response sync;
            } response;
            int16_t version = key == KEY_JOIN ? slots[i].version : sync_versions[slots[i].version];
            if (sim_receive(&slots[i].client, key, version, &response))
                differ("an answer too early", i,
                       key == KEY_JOIN ? response.join.error_code : response.sync.error_code, -1);
            continue;
        }
        answer_count++;
        trace("answer", i, answer.error_code, slots[i].id);
        slots[i].waits_for = -1;
        slots[i].is_nameless = false;
        if (key == KEY_JOIN)
            receive_join(i, &answer);
        else
            receive_sync(i, &answer);
    }
}

/* -- time
 * -----------------------------------------------------------------------------------------------------------
 */

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

/* What was answered is kept: the power goes when nothing is under way. */
static void cut_power(void)
{
    trace("power cut", -1, 0, "");
    for (int i = 0; i < SLOTS; i++)
        sim_disconnect(&slots[i].client);
    sim_power_cycle(&sim, draw(50) ? FILE_DOUBLE_LOSE_ALL : FILE_DOUBLE_REORDER);
    sim_settle(&sim);
    for (int i = 0; i < SLOTS; i++) {
        sim_connect(&sim, &slots[i].client);
        if (slots[i].is_nameless)
            change_metadata(i);
        slots[i].is_nameless = false;
        slots[i].waits_for = -1;
        slots[i].must_join |= slots[i].must_sync;
        slots[i].must_sync = false;
    }
    for (int i = 0; i < SLOTS; i++)
        model_disconnect(&model, i);
    model_restart(&model);
}

/* -- steps
 * ------------------------------------------------------------------------------------------------------------
 */

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
    if (slots[i].waits_for < 0 && !failure[0]) {
        if (draw(odd_percent))
            do_odd(i);
        else
            do_sensible(i);
    }
    receive_answers();
    return advance_to(now_ms());
}

/* -- in the end
 * -----------------------------------------------------------------------------------------------------------
 */

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
        if (size < SLOTS && model.state == STABLE && model.count == size && round > 50)
            return true;
        if (!advance_to(now_ms() + 499))
            return false;
    }
    expect(false, "the group does not settle", 0);
    return true;
}

static void check_description(void)
{
    static const char *const names[] = { "Empty", "PreparingRebalance", "CompletingRebalance", "Stable" };
    struct describe_groups_request request;
    struct describe_groups_response response = { 0 };
    struct sim_client client;
    slice name = slice_of_string(group);
    describe_groups_request_init(&request);
    request.groups = &name;
    request.groups_count = 1;
    sim_connect(&sim, &client);
    expect(sim_call(&client, KEY_DESCRIBE, 5, &request, &response), "DescribeGroups", 0);
    if (failure[0])
        return;
    const struct describe_groups_response_group *out = &response.groups[0];
    int members = 0;
    for (int i = 0; i < model.count; i++)
        members += !model.members[i].is_pending;
    expect(slice_equal_string(out->group_state, model.exists ? names[model.state] : "Dead"), "state", 0);
    if (out->members_count != members)
        differ("members", 0, out->members_count, members);
    for (int i = 0, k = 0; i < model.count && !failure[0]; i++) {
        if (model.members[i].is_pending)
            continue;
        learn_id(i, out->members[k].member_id, -1);
        expect(slice_equal_string(out->members[k].member_assignment, model.members[i].assignment),
               "assignment", i);
        k++;
    }
    sim_disconnect(&client);
}

/* True: the broker did what the model says. */
static bool run_seed(uint64_t seed, uint64_t steps, enum broken_rule broken)
{
    static const char *const settings[] = { "group.max.size=1000\n",
                                            "group.initial.rebalance.delay.ms=3000\n", "group.max.size=6\n" };
    char text[512];
    int variant = (int)(seed % 3);
    snprintf(text, sizeof text,
             "%soffsets.topic.num.partitions=1\noffsets.retention.check.interval.ms=2000000000\n"
             "log.message.timestamp.after.max.ms=9000000000000\n",
             settings[variant]);
    failure[0] = '\0';
    random_seed(&chance, seed);
    sim_open(&sim, seed, text);
    for (int i = 0; i < SLOTS; i++)
        sim_connect(&sim, &slots[i].client);
    make_topic();
    uint64_t end = step_count + steps;
    while (step_count < end && !failure[0]) {
        begin_group(variant == 1 ? 3000 : 0, variant == 2 ? 6 : 1000, broken);
        unsigned odd_percent = 5 + (unsigned)random_below(&chance, 30);
        uint64_t group_end = step_count + 200 + random_below(&chance, 1000);
        bool is_certain = true;
        while (is_certain && step_count < group_end && step_count < end && !failure[0]) {
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
    step_count = tie_count = answer_count = 0;
    is_traced = getenv("RUNNEL_TRACE") != NULL;
    for (; step_count < steps; seed++) {
        bool ok = run_seed(seed, STEPS_PER_SEED, ALL_RULES_HOLD);
        ck_assert_msg(ok, "RUNNEL_SEED=%llu: %s", (unsigned long long)seed, failure);
    }
    printf(
        "%llu steps, %llu answers after a wait or at once, %d groups, %llu left at a tie, seeds up to %llu\n",
        (unsigned long long)step_count, (unsigned long long)answer_count, group_number,
        (unsigned long long)tie_count, (unsigned long long)seed - 1);
    ck_assert_uint_gt(answer_count, steps / 10); /* the model was asked for something */
}
END_TEST

/* The control: a rule that the model gets wrong is found. */
START_TEST(a_wrong_rule_is_found)
{
    bool ok = true;
    step_count = 0;
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
