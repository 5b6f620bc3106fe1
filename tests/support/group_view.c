/* Asks a coordinator with the wire client, and reads the records of committed offsets. */
#include "tests/support/group_view.h"

#include "codec/apis.h"
#include "codec/consumer_group_describe.h"
#include "codec/describe_groups.h"
#include "protocol/base/check.h"
#include "protocol/reader.h"
#include "tests/support/wire_client.h"

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

static int classic_owners(struct wire_client *client, slice group, int owners[], int partitions)
{
    struct describe_groups_request request;
    struct describe_groups_response response;
    describe_groups_request_init(&request);
    request.groups = &group;
    request.groups_count = 1;
    check(wire_call(client, API_KEY_DESCRIBE_GROUPS, 5, &request, &response) && response.groups_count == 1);
    const struct describe_groups_response_group *found = &response.groups[0];
    if (!slice_equal_string(found->group_state, "Stable"))
        return -1;
    for (int32_t i = 0; i < found->members_count; i++)
        count_classic(found->members[i].member_assignment, owners, partitions);
    return found->members_count;
}

static int consumer_owners(struct wire_client *client, slice group, int owners[], int partitions)
{
    struct consumer_group_describe_request request;
    struct consumer_group_describe_response response;
    consumer_group_describe_request_init(&request);
    request.group_ids = &group;
    request.group_ids_count = 1;
    check(wire_call(client, API_KEY_CONSUMER_GROUP_DESCRIBE, 1, &request, &response) &&
          response.groups_count == 1);
    const struct consumer_group_describe_response_group *found = &response.groups[0];
    if (!slice_equal_string(found->group_state, "Stable"))
        return -1;
    for (int32_t i = 0; i < found->members_count; i++)
        for (int32_t t = 0; t < found->members[i].assignment.topic_partitions_count; t++)
            for (int32_t p = 0; p < found->members[i].assignment.topic_partitions[t].partitions_count; p++)
                count_one(owners, partitions, found->members[i].assignment.topic_partitions[t].partitions[p]);
    return found->members_count;
}

int group_view_owners(const char *address, const char *group, bool is_classic, int owners[], int partitions)
{
    struct wire_client client;
    check(wire_connect(&client, address, DEADLINE_MS));
    memset(owners, 0, (size_t)partitions * sizeof *owners);
    int members =
        (is_classic ? classic_owners : consumer_owners)(&client, slice_of_string(group), owners, partitions);
    wire_close(&client);
    return members;
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
