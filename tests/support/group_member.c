/* Plays members of a classic group step by step. */
#include "tests/support/group_member.h"

#include <stdio.h>
#include <stdlib.h>

#include "codec/find_coordinator.h"
#include "codec/heartbeat.h"
#include "codec/leave_group.h"
#include "protocol/base/check.h"
#include "protocol/errors.h"

enum { KEY_FIND = 10, KEY_JOIN = 11, KEY_HEARTBEAT = 12, KEY_LEAVE = 13, KEY_SYNC = 14, FIND_VERSION = 4 };

/* As in the Java clients that speak this version of JoinGroup. */
static const struct {
    int16_t sync, heartbeat, leave;
} versions[] = { { 0, 0, 0 }, { 0, 0, 0 }, { 1, 1, 1 }, { 2, 2, 2 }, { 2, 2, 2 },
                 { 3, 3, 3 }, { 4, 4, 4 }, { 5, 4, 4 }, { 5, 4, 5 }, { 5, 4, 5 } };

static slice metadata_of(int number)
{
    static char texts[64][16];
    char *text = texts[number % 64];
    snprintf(text, sizeof texts[0], "member %d", number % 64);
    return slice_of_string(text);
}

void member_open(struct sim *sim, struct group_member *member, int number, int16_t version)
{
    *member = (struct group_member){ .version = version,
                                     .group = "group",
                                     .type = "consumer",
                                     .protocol_count = 2,
                                     .session_timeout_ms = 10000,
                                     .rebalance_timeout_ms = 30000,
                                     .generation = -1 };
    join_group_request_protocol_init(&member->protocols[0]);
    join_group_request_protocol_init(&member->protocols[1]);
    member->protocols[0].name = SLICE_LITERAL("range");
    member->protocols[1].name = SLICE_LITERAL("roundrobin");
    member->protocols[0].metadata = member->protocols[1].metadata = metadata_of(number);
    sim_connect(sim, &member->client);
}

void member_close(struct group_member *member)
{
    sim_disconnect(&member->client);
    free(member->roster);
    member->roster = NULL;
    member->roster_count = 0;
}

void member_copy(struct group_member *copy, const struct group_member *member)
{
    *copy = *member;
    copy->roster = NULL;
    copy->roster_count = 0;
    sim_connect(member->client.sim, &copy->client);
}

/* Nothing else is under way when it returns, so that the order of requests is the test's. */
static bool send_request(struct group_member *member, int16_t api_key, int16_t version, const void *request)
{
    bool sent = sim_send(&member->client, api_key, version, request);
    sim_settle(member->client.sim);
    return sent;
}

static slice instance_of(const struct group_member *member)
{
    return slice_of_string(member->instance);
}

bool member_send_join(struct group_member *member)
{
    struct join_group_request request;
    join_group_request_init(&request);
    request.group_id = slice_of_string(member->group);
    request.session_timeout_ms = member->session_timeout_ms;
    request.rebalance_timeout_ms = member->rebalance_timeout_ms;
    request.member_id = slice_of_string(member->id);
    request.group_instance_id = instance_of(member);
    request.protocol_type = slice_of_string(member->type);
    request.protocols = member->protocols;
    request.protocols_count = member->protocol_count;
    return send_request(member, KEY_JOIN, member->version, &request);
}

static void note_text(char out[MEMBER_TEXT_SIZE], slice text)
{
    check(text.size < MEMBER_TEXT_SIZE);
    if (text.size > 0)
        memcpy(out, text.data, text.size);
    out[text.size] = '\0';
}

static void note_roster(struct group_member *member)
{
    member->roster_count = member->joined.members_count;
    member->roster = realloc(member->roster, (size_t)(member->roster_count + 1) * sizeof *member->roster);
    for (int32_t i = 0; i < member->roster_count; i++)
        note_text(member->roster[i], member->joined.members[i].member_id);
}

bool member_receive_join(struct group_member *member, int16_t *error_code)
{
    struct join_group_response *joined = &member->joined;
    if (!sim_receive(&member->client, KEY_JOIN, member->version, joined))
        return false;
    *error_code = joined->error_code;
    if (*error_code == ERR_NONE || *error_code == ERR_MEMBER_ID_REQUIRED)
        note_text(member->id, joined->member_id);
    if (*error_code != ERR_NONE)
        return true;
    note_text(member->protocol, joined->protocol_name);
    member->generation = joined->generation_id;
    member->is_leader = slice_equal(joined->leader, joined->member_id);
    note_roster(member);
    return true;
}

void member_begin_join(struct group_member *member)
{
    int16_t error_code;
    check(member_send_join(member));
    if (member->version < 4 || member->id[0] || member->instance)
        return;
    check(member_receive_join(member, &error_code));
    check(error_code == ERR_MEMBER_ID_REQUIRED);
    check(member_send_join(member));
}

bool member_send_sync(struct group_member *member)
{
    struct sync_group_request request;
    sync_group_request_init(&request);
    request.group_id = slice_of_string(member->group);
    request.generation_id = member->generation;
    request.member_id = slice_of_string(member->id);
    request.group_instance_id = instance_of(member);
    request.protocol_type = slice_of_string(member->type);
    request.protocol_name = slice_of_string(member->protocol);
    request.assignments_count = member->is_leader ? member->roster_count : 0;
    request.assignments = calloc((size_t)request.assignments_count + 1, sizeof *request.assignments);
    char(*texts)[MEMBER_TEXT_SIZE + 16] = calloc((size_t)request.assignments_count + 1, sizeof *texts);
    for (int32_t i = 0; i < request.assignments_count; i++) {
        sync_group_request_assignment_init(&request.assignments[i]);
        request.assignments[i].member_id = slice_of_string(member->roster[i]);
        snprintf(texts[i], sizeof texts[i], "%s@%d", member->roster[i], member->generation);
        request.assignments[i].assignment = slice_of_string(texts[i]);
    }
    bool sent = send_request(member, KEY_SYNC, versions[member->version].sync, &request);
    free(request.assignments);
    free(texts);
    return sent;
}

bool member_receive_sync(struct group_member *member, int16_t *error_code, slice *assignment)
{
    struct sync_group_response response;
    if (!sim_receive(&member->client, KEY_SYNC, versions[member->version].sync, &response))
        return false;
    *error_code = response.error_code;
    *assignment = response.assignment;
    return true;
}

int16_t member_heartbeat(struct group_member *member)
{
    struct heartbeat_request request;
    struct heartbeat_response response;
    heartbeat_request_init(&request);
    request.group_id = slice_of_string(member->group);
    request.generation_id = member->generation;
    request.member_id = slice_of_string(member->id);
    request.group_instance_id = instance_of(member);
    check(sim_call(&member->client, KEY_HEARTBEAT, versions[member->version].heartbeat, &request, &response));
    return response.error_code;
}

int16_t member_leave(struct group_member *member)
{
    struct leave_group_request request;
    struct leave_group_request_member leaver;
    struct leave_group_response response;
    int16_t version = versions[member->version].leave;
    leave_group_request_init(&request);
    leave_group_request_member_init(&leaver);
    request.group_id = slice_of_string(member->group);
    leaver.member_id = slice_of_string(member->id);
    leaver.group_instance_id = instance_of(member);
    if (version >= 3) {
        request.members = &leaver;
        request.members_count = 1;
    } else {
        request.member_id = leaver.member_id;
    }
    check(sim_call(&member->client, KEY_LEAVE, version, &request, &response));
    if (response.error_code != ERR_NONE || version < 3)
        return response.error_code;
    check(response.members_count == 1);
    return response.members[0].error_code;
}

void members_settle(struct group_member *const *members, int count)
{
    int leaders = 0;
    int16_t error_code;
    for (int i = 0; i < count; i++) {
        check(member_receive_join(members[i], &error_code));
        check(error_code == ERR_NONE);
        check(members[i]->generation == members[0]->generation);
        leaders += members[i]->is_leader;
        check(members[i]->joined.members_count == (members[i]->is_leader ? count : 0));
    }
    check(leaders == 1);
    for (int i = 0; i < count; i++)
        check(member_send_sync(members[i]));
    for (int i = 0; i < count; i++) {
        slice assignment;
        char expected[MEMBER_TEXT_SIZE + 16];
        check(member_receive_sync(members[i], &error_code, &assignment));
        check(error_code == ERR_NONE);
        snprintf(expected, sizeof expected, "%s@%d", members[i]->id, members[i]->generation);
        check(slice_equal_string(assignment, expected));
    }
}

void member_find_coordinator(struct group_member *member)
{
    struct find_coordinator_request request;
    struct find_coordinator_response response;
    slice key = slice_of_string(member->group);
    find_coordinator_request_init(&request);
    request.coordinator_keys = &key;
    request.coordinator_keys_count = 1;
    check(sim_call(&member->client, KEY_FIND, FIND_VERSION, &request, &response));
    check(response.coordinators_count == 1);
    check(response.coordinators[0].error_code == ERR_NONE);
    check(response.coordinators[0].node_id >= 0);
}
