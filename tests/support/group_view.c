/* Asks a coordinator with the wire client, and reads the records of committed offsets. */
#include "tests/support/group_view.h"

#include "codec/apis.h"
#include "codec/consumer_group_describe.h"
#include "codec/describe_groups.h"
#include "codec/offset_fetch.h"
#include "protocol/base/check.h"
#include "protocol/reader.h"
#include "tests/support/wire_client.h"

#include <stdio.h>

enum { DEADLINE_MS = 60000 };

static void count_one(int owners[], int partitions, int32_t partition)
{
    if (partition >= 0 && partition < partitions)
        owners[partition]++;
}

/* The assignment of protocol type "consumer": version, then topics with their partitions. */
static void count_classic(slice assignment, int owners[], int partitions)
{
    struct reader reader;
    int16_t version;
    int32_t topics = 0, count, partition;
    slice name;
    reader_init(&reader, assignment, NULL);
    if (!reader_int16(&reader, &version) || !reader_int32(&reader, &topics))
        return;
    for (; topics > 0 && reader_string(&reader, false, false, &name) && reader_int32(&reader, &count);
         topics--)
        for (; count > 0 && reader_int32(&reader, &partition); count--)
            count_one(owners, partitions, partition);
}

static struct group_view view_of(slice state, int32_t members)
{
    struct group_view view = { .members = members };
    snprintf(view.state, sizeof view.state, "%.*s", (int)state.size, (const char *)state.data);
    return view;
}

static struct group_view classic_view(struct wire_client *client, slice group, int owners[], int partitions)
{
    struct describe_groups_request request;
    struct describe_groups_response response;
    describe_groups_request_init(&request);
    request.groups = &group;
    request.groups_count = 1;
    check(wire_call(client, API_KEY_DESCRIBE_GROUPS, 5, &request, &response) && response.groups_count == 1);
    const struct describe_groups_response_group *found = &response.groups[0];
    for (int32_t i = 0; i < found->members_count; i++)
        count_classic(found->members[i].member_assignment, owners, partitions);
    return view_of(found->group_state, found->members_count);
}

static struct group_view consumer_view(struct wire_client *client, slice group, int owners[], int partitions)
{
    struct consumer_group_describe_request request;
    struct consumer_group_describe_response response;
    consumer_group_describe_request_init(&request);
    request.group_ids = &group;
    request.group_ids_count = 1;
    check(wire_call(client, API_KEY_CONSUMER_GROUP_DESCRIBE, 1, &request, &response) &&
          response.groups_count == 1);
    const struct consumer_group_describe_response_group *found = &response.groups[0];
    for (int32_t i = 0; i < found->members_count; i++)
        for (int32_t t = 0; t < found->members[i].assignment.topic_partitions_count; t++)
            for (int32_t p = 0; p < found->members[i].assignment.topic_partitions[t].partitions_count; p++)
                count_one(owners, partitions, found->members[i].assignment.topic_partitions[t].partitions[p]);
    return view_of(found->group_state, found->members_count);
}

struct group_view group_view_ask(const char *address, const char *group, bool is_classic, int owners[],
                                 int partitions)
{
    struct wire_client client;
    check(wire_connect(&client, address, DEADLINE_MS));
    memset(owners, 0, (size_t)partitions * sizeof *owners);
    struct group_view view =
        (is_classic ? classic_view : consumer_view)(&client, slice_of_string(group), owners, partitions);
    wire_close(&client);
    return view;
}

void group_view_committed(const char *address, const char *group, const char *topic, int64_t committed[],
                          int partitions)
{
    struct wire_client client;
    struct offset_fetch_request request;
    struct offset_fetch_request_group asked;
    struct offset_fetch_response response;
    check(wire_connect(&client, address, DEADLINE_MS));
    offset_fetch_request_init(&request);
    offset_fetch_request_group_init(&asked);
    asked.group_id = slice_of_string(group);
    asked.topics_count = -1; /* null: all that it has committed */
    request.groups = &asked;
    request.groups_count = 1;
    request.require_stable = true;
    check(wire_call(&client, API_KEY_OFFSET_FETCH, 9, &request, &response) && response.groups_count == 1);
    for (int p = 0; p < partitions; p++)
        committed[p] = -1;
    for (int32_t t = 0; t < response.groups[0].topics_count; t++)
        for (int32_t p = 0; p < response.groups[0].topics[t].partitions_count; p++) {
            const struct offset_fetch_response_partitions *found =
                &response.groups[0].topics[t].partitions[p];
            if (slice_equal_string(response.groups[0].topics[t].name, topic) && found->partition < partitions)
                committed[found->partition] = found->committed_offset;
        }
    wire_close(&client);
}

bool group_view_commit(slice key, slice value, slice *group, int32_t *partition, int64_t *offset)
{
    struct reader reader;
    int16_t version;
    slice topic;
    reader_init(&reader, key, NULL);
    if (!reader_int16(&reader, &version) || version > 1 || !reader_string(&reader, false, false, group) ||
        !reader_string(&reader, false, false, &topic) || !reader_int32(&reader, partition))
        return false;
    reader_init(&reader, value, NULL);
    return !slice_is_null(value) && reader_int16(&reader, &version) && reader_int64(&reader, offset);
}
