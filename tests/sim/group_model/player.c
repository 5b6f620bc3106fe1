/* Clients of a classic group that do as they are told: see player.h. */
#include "tests/sim/group_model/player.h"

#include <stdio.h>

#include "codec/find_coordinator.h"
#include "codec/heartbeat.h"
#include "codec/join_group.h"
#include "codec/leave_group.h"
#include "codec/metadata.h"
#include "codec/offset_commit.h"
#include "codec/sync_group.h"
#include "protocol/errors.h"

enum {
    KEY_METADATA = 3,
    KEY_COMMIT = 8,
    KEY_FIND = 10,
    KEY_JOIN = 11,
    KEY_HEARTBEAT = 12,
    KEY_LEAVE = 13,
    KEY_SYNC = 14,
};

static const char *const protocol_names[PROTOCOLS_MAX] = { "range", "roundrobin", "sticky" };
static const int16_t sync_versions[] = { 0, 0, 1, 2, 2, 3, 4, 5, 5, 5 };
static const int16_t heartbeat_versions[] = { 0, 0, 1, 2, 2, 3, 4, 4, 4, 4 };
static const int16_t leave_versions[] = { 0, 0, 1, 2, 2, 3, 4, 4, 5, 5 };

struct sim sim;
struct random chance;
struct slot slots[SLOTS];
struct model model;
char group[TEXT_MAX];
int group_number;
uint64_t step_count, answer_count;
char failure[512];
bool is_traced;
static int metadata_number;
static int32_t generation_seen; /* in a stable group */

void differ(const char *what, int slot, long long got, long long expected)
{
    if (!failure[0])
        snprintf(failure, sizeof failure,
                 "%s: slot %d: %lld instead of %lld (step %llu, group %s, generation %d)", what, slot, got,
                 expected, (unsigned long long)step_count, group, model.generation);
}

void trace(const char *what, int slot, long long a, const char *b)
{
    if (is_traced)
        printf("%llu t=%lld slot %d %s %lld %s | state %d generation %d members %d due %lld\n",
               (unsigned long long)step_count, (long long)(model.now_ms % 10000000), slot, what, a, b,
               model.state, model.generation, model.count, (long long)(model.phase_due_ms % 10000000));
}

void expect(bool holds, const char *what, int slot)
{
    if (!holds)
        differ(what, slot, 0, 1);
}

bool draw(unsigned percent)
{
    return random_below(&chance, 100) < percent;
}

int64_t now_ms(void)
{
    return clock_mono_ms(&sim.clock.clock);
}

void note_text(char out[TEXT_MAX], slice text)
{
    size_t size = text.size < TEXT_MAX ? text.size : TEXT_MAX - 1;
    if (size > 0)
        memcpy(out, text.data, size);
    out[size] = '\0';
}

/* -- beginning --------------------------------------------------------------------------------- */

void play_begin(void)
{
    group_number = metadata_number = 0;
    step_count = 0;
    memset(slots, 0, sizeof slots);
}

void change_metadata(int i)
{
    struct slot *slot = &slots[i];
    snprintf(slot->metadata, TEXT_MAX, "slot %d, %d", i, ++metadata_number);
    slot->protocol_count = 1 + (int)random_below(&chance, PROTOCOLS_MAX);
    for (int k = 0, first = (int)random_below(&chance, PROTOCOLS_MAX); k < slot->protocol_count; k++)
        slot->protocols[k] = (first + k) % PROTOCOLS_MAX;
    if (!draw(10) && slot->protocol_count == 1) /* most have one in common */
        slot->protocols[0] = 0;
}

void forget(int i)
{
    struct slot *slot = &slots[i];
    slot->id[0] = '\0';
    slot->generation = -1;
    slot->must_join = true;
    slot->must_sync = false;
    change_metadata(i);
}

/* Timeouts differ from slot to slot, so that deadlines seldom fall together. */
void begin_slot(int i)
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

void make_topic(void)
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

void disconnect(int i)
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

void begin_group(int64_t delay_ms, int size_max, enum broken_rule broken)
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

/* -- requests ---------------------------------------------------------------------------------- */

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
void send_join(int i, const char *id, const char *instance)
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

void send_sync(int i, int32_t generation)
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

void call_heartbeat(int i, int32_t generation)
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

void call_commit(int i)
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
void call_leave(int i)
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

void send_leave(int i)
{
    struct slot *slot = &slots[i];
    struct leave_group_request request;
    struct leave_group_request_member member;
    int16_t version = leave_versions[slot->version];
    bool was_member = false;
    leave_group_request_init(&request);
    leave_group_request_member_init(&member);
    request.group_id = slice_of_string(group);
    member.member_id = slice_of_string(slot->id);
    if (version >= 3) {
        request.members = &member;
        request.members_count = 1;
    } else {
        request.member_id = member.member_id;
    }
    send_request(i, KEY_LEAVE, version, &request);
    trace("leave, perhaps", i, 1, slot->id);
    model_leave(&model, slot->id, "", &was_member);
    model_left(&model, was_member);
}

/* -- answers ----------------------------------------------------------------------------------- */

void learn_id(int at, slice id, int slot)
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

void receive_answers(void)
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
