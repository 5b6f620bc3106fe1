/* Calls with one thing to ask and one error to hear. */
#include "tests/support/small_calls.h"

#include <poll.h>

#include "codec/find_coordinator.h"
#include "protocol/base/check.h"
#include "protocol/errors.h"
#include "tests/support/one_partition.h"
#include "tests/support/one_request.h"

enum {
    KEY_FIND_COORDINATOR = 10,
    PAUSE_MS = 5,
};

int16_t call_commit(struct wire_client *client, const struct committer *committer, const char *topic_name,
                    int64_t offset)
{
    struct one_commit one;
    struct offset_commit_response response;
    one_commit(&one, committer->group, topic_name, 0, offset);
    one.partition.committed_metadata = SLICE_LITERAL("");
    one.request.generation_id_or_member_epoch = committer->generation;
    one.request.member_id = slice_of_string(committer->member);
    return wire_call(client, ONE_COMMIT, ONE_COMMIT_VERSION, &one.request, &response)
               ? response.topics[0].partitions[0].error_code
               : NO_ANSWER;
}

int16_t call_delete_records(struct wire_client *client, const char *topic_name, int64_t offset)
{
    struct one_delete_records one;
    struct delete_records_response response;
    one_delete_records(&one, topic_name, 0, offset);
    return wire_call(client, ONE_DELETE_RECORDS, ONE_DELETE_RECORDS_VERSION, &one.request, &response)
               ? response.topics[0].partitions[0].error_code
               : NO_ANSWER;
}

int16_t call_produce(struct wire_client *client, const char *topic, int32_t partition, size_t value_size)
{
    return call_produce_within(client, topic, partition, value_size, 10000);
}

int16_t call_produce_within(struct wire_client *client, const char *topic, int32_t partition,
                            size_t value_size, int32_t timeout_ms)
{
    static const struct batch_builder_options options = { NO_PRODUCER };
    struct one_produce one;
    struct produce_response response;
    struct batch_view batch;
    struct arena arena;
    arena_init(&arena, NULL);
    uint8_t *value = check_memory(arena_alloc(&arena, value_size + 1));
    memset(value, 0, value_size);
    struct batch_builder *builder = check_memory(batch_builder_open(&arena, &options));
    check(batch_builder_add(builder, 1700000000000, SLICE_LITERAL("key"), slice_of(value, value_size), NULL,
                            0));
    check(batch_builder_finish(builder, &batch) == BATCH_OK);
    one_produce(&one, topic, partition, batch_bytes(&batch));
    one.request.timeout_ms = timeout_ms;
    bool ok = wire_call(client, ONE_PRODUCE, 9, &one.request, &response);
    arena_destroy(&arena);
    return ok ? response.topics[0].partitions[0].error_code : NO_ANSWER;
}

int16_t call_producer_id(struct wire_client *client, int64_t *id)
{
    struct init_producer_id_request request;
    struct init_producer_id_response response;
    one_init_producer(&request);
    if (!wire_call(client, ONE_INIT_PRODUCER, ONE_INIT_PRODUCER_VERSION, &request, &response))
        return NO_ANSWER;
    if (response.error_code == ERR_NONE)
        *id = response.producer_id;
    return response.error_code;
}

int16_t call_find_coordinator(struct wire_client *client, const char *group)
{
    struct find_coordinator_request request;
    struct find_coordinator_response response;
    slice key = slice_of_string(group);
    find_coordinator_request_init(&request);
    request.coordinator_keys = &key;
    request.coordinator_keys_count = 1;
    return wire_call(client, KEY_FIND_COORDINATOR, 4, &request, &response)
               ? response.coordinators[0].error_code
               : NO_ANSWER;
}

bool call_until_committed(struct wire_client *client, const char *group, const char *topic)
{
    int16_t error_code;
    while ((error_code = call_commit(client, COMMITTER_OF(group), topic, 0)) != ERR_NONE) {
        if (error_code == NO_ANSWER || call_find_coordinator(client, group) == NO_ANSWER)
            return false;
        poll(NULL, 0, PAUSE_MS);
    }
    return true;
}
