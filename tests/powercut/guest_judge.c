/* Reads everything that the broker has and compares it with what was acknowledged. */
#include "tests/powercut/guest.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "codec/find_coordinator.h"
#include "codec/metadata.h"
#include "codec/offset_fetch.h"
#include "protocol/base/check.h"
#include "protocol/errors.h"
#include "tests/support/one_partition.h"

enum {
    KEY_FETCH = 1,
    KEY_LIST_OFFSETS = 2,
    KEY_METADATA = 3,
    KEY_OFFSET_FETCH = 9,
    KEY_FIND_COORDINATOR = 10
};
enum { TIMESTAMP_LATEST = -1, TIMESTAMP_EARLIEST = -2, OUTPUT_MAX = 64 << 20 };

/* Retention counts what is in the log, as Kafka does; what was not acknowledged of it the cut may take. */
enum {
    RETAINED_SIZE_MIN = CUT_SHORT_RETENTION_SIZE - CUT_DEPTH * CUT_BATCH_RECORDS_MAX * (LEDGER_VALUE_MAX + 32)
};

struct judging {
    struct guest *guest;
    struct wire_client client;
    struct ledger_judge *judge;
    struct guest_verdict verdict;
    int64_t map_read[CUT_MAP_KEYS]; /* newest sequence of each key of the partition that is read; -1: none */
    int64_t map_sequence;           /* of the last record */
};

static void other(struct judging *judging, const char *what, int number, int64_t expected, int64_t found)
{
    judging->verdict.other++;
    guest_report("note %s %d: acknowledged %" PRId64 ", found %" PRId64, what, number, expected, found);
}

/* -1: there is no such partition. */
static int64_t list_offset(struct judging *judging, int slot, int64_t timestamp)
{
    struct one_list_offsets one;
    struct list_offsets_response response;
    for (int attempts = 0;;) {
        one_list_offsets(&one, cut_slots[slot].topic, cut_slots[slot].partition, timestamp);
        if (!wire_call(&judging->client, KEY_LIST_OFFSETS, 7, &one.request, &response))
            guest_fail("ListOffsets without an answer");
        const struct list_offsets_response_partition *partition = &response.topics[0].partitions[0];
        if (partition->error_code == ERR_NONE)
            return partition->offset;
        if (partition->error_code == ERR_UNKNOWN_TOPIC_OR_PARTITION)
            return -1;
        guest_again(&attempts, "ListOffsets", partition->error_code);
    }
}

/* A compacted topic keeps order, and the last value of each key. */
static void judge_map_record(struct judging *judging, int slot, const struct record *record)
{
    uint8_t expected[LEDGER_VALUE_MAX];
    char head[48], key[16];
    size_t size = record->value.size < sizeof head - 1 ? record->value.size : sizeof head - 1;
    struct ledger_id id = { -1, -1 };
    judging->verdict.records.records++;
    memcpy(head, record->value.data, size);
    head[size] = '\0';
    if (sscanf(head, "%d %" SCNd64 " ", &id.producer, &id.sequence) != 2 ||
        id.producer != CUT_PRODUCER_MAP + slot - CUT_MAP ||
        !slice_equal(record->value, slice_of(expected, ledger_value(judging->guest->seed, id, expected)))) {
        judging->verdict.records.corrupt++;
        return;
    }
    snprintf(key, sizeof key, "key-%d", cut_map_key(id.sequence));
    if (!slice_equal_string(record->key, key))
        judging->verdict.records.corrupt++;
    if (id.sequence <= judging->map_sequence)
        judging->verdict.records.disordered++;
    judging->map_sequence = id.sequence;
    judging->map_read[cut_map_key(id.sequence)] = id.sequence;
}

/* Returns the offset behind the batch. */
static int64_t judge_batch(struct judging *judging, int slot, const struct batch_view *batch)
{
    struct arena arena;
    struct record record;
    enum batch_status status;
    arena_init(&arena, NULL);
    if (!batch_crc_ok(batch)) {
        judging->verdict.records.corrupt++;
        return batch_last_offset(batch) + 1;
    }
    struct record_iterator *iterator = check_memory(record_iterator_open(batch, &arena, OUTPUT_MAX));
    while ((status = record_iterator_next(iterator, &record)) == BATCH_OK) {
        if (slot >= CUT_MAP)
            judge_map_record(judging, slot, &record);
        else
            ledger_judge_record(judging->judge, slot, record.offset, record.value);
    }
    judging->verdict.records.corrupt += status != BATCH_SHORT;
    record_iterator_close(iterator);
    arena_destroy(&arena);
    return batch_last_offset(batch) + 1;
}

/* Reads [start, end) of a slot; *size: of its batches. False: retention took records before they were read.
 */
static bool judge_range(struct judging *judging, int slot, int64_t start, int64_t end, uint64_t *size)
{
    int64_t offset = start;
    int attempts = 0;
    *size = 0;
    while (offset < end) {
        struct one_fetch one;
        struct fetch_response response;
        struct batch_view batch;
        one_fetch(&one, cut_slots[slot].topic, cut_slots[slot].partition, offset);
        if (!wire_call(&judging->client, KEY_FETCH, 12, &one.request, &response))
            guest_fail("Fetch without an answer");
        const struct fetch_response_partition *partition = &response.topics[0].partitions[0];
        slice bytes = partition->records.bytes;
        if (partition->error_code == ERR_OFFSET_OUT_OF_RANGE && slot == CUT_SHORT)
            return false;
        if (partition->error_code != ERR_NONE || bytes.size == 0) {
            guest_again(&attempts, cut_slots[slot].topic, partition->error_code);
            continue;
        }
        while (batch_view(bytes, &batch) == BATCH_OK) {
            offset = judge_batch(judging, slot, &batch);
            *size += batch.size;
            bytes = slice_of(bytes.data + batch.size, bytes.size - batch.size);
        }
    }
    return true;
}

static void judge_map(struct judging *judging, int slot, int64_t end)
{
    const int64_t *last = judging->guest->ledger.map_last[slot - CUT_MAP];
    int64_t acknowledged_end = judging->guest->ledger.map_end[slot - CUT_MAP];
    if (end < acknowledged_end) /* the producer is the only one: whatever it wrote behind the end is gone */
        judging->verdict.records.lost += acknowledged_end - (end > 0 ? end : 0);
    for (int key = 0; key < CUT_MAP_KEYS; key++)
        if (judging->map_read[key] < last[key])
            other(judging, "the last value of key", key, last[key], judging->map_read[key]);
}

static void judge_slot(struct judging *judging, int slot)
{
    int64_t start, first, end = list_offset(judging, slot, TIMESTAMP_LATEST);
    uint64_t size;
    memset(judging->map_read, -1, sizeof judging->map_read);
    judging->map_sequence = -1;
    do {
        start = list_offset(judging, slot, TIMESTAMP_EARLIEST);
        /* Retention takes from the front of "short" alone, and leaves as much as it was told to. */
        first = slot == CUT_SHORT && start > 0 ? start : 0;
        if (slot < CUT_MAP)
            ledger_judge_begin(judging->judge, slot, first);
    } while (!judge_range(judging, slot, start < 0 ? 0 : start, end, &size));
    if (first > 0 && size < RETAINED_SIZE_MIN)
        other(judging, "what retention left", slot, RETAINED_SIZE_MIN, (int64_t)size);
    if (slot >= CUT_MAP)
        judge_map(judging, slot, end);
}

void guest_find_coordinator(struct wire_client *client)
{
    slice key = SLICE_LITERAL(GUEST_GROUP);
    for (int attempts = 0;;) {
        struct find_coordinator_request request;
        struct find_coordinator_response response;
        find_coordinator_request_init(&request);
        request.coordinator_keys = &key;
        request.coordinator_keys_count = 1;
        if (!wire_call(client, KEY_FIND_COORDINATOR, 4, &request, &response))
            guest_fail("FindCoordinator without an answer");
        if (response.coordinators[0].error_code == ERR_NONE)
            return;
        guest_again(&attempts, "FindCoordinator", response.coordinators[0].error_code);
    }
}

static void judge_commits(struct judging *judging)
{
    const int64_t *committed = judging->guest->ledger.committed;
    int32_t partitions[CUT_CONTINUED - CUT_PLAIN] = { 0, 1, 2, 3 };
    struct offset_fetch_request request;
    struct offset_fetch_request_topic topic = { .name = SLICE_LITERAL("plain"),
                                                .partition_indexes = partitions,
                                                .partition_indexes_count = CUT_CONTINUED - CUT_PLAIN };
    struct offset_fetch_response response;
    guest_find_coordinator(&judging->client);
    for (int attempts = 0;;) {
        offset_fetch_request_init(&request);
        request.group_id = SLICE_LITERAL(GUEST_GROUP);
        request.topics = &topic;
        request.topics_count = 1;
        if (!wire_call(&judging->client, KEY_OFFSET_FETCH, 7, &request, &response))
            guest_fail("OffsetFetch without an answer");
        if (response.error_code == ERR_NONE)
            break;
        guest_again(&attempts, "OffsetFetch", response.error_code);
    }
    /* A commit that was on its way may be there, too: they only grow. */
    for (int32_t i = 0; i < response.topics[0].partitions_count; i++) {
        const struct offset_fetch_response_partition *partition = &response.topics[0].partitions[i];
        if (partition->committed_offset < committed[partition->partition])
            other(judging, "the committed offset", partition->partition, committed[partition->partition],
                  partition->committed_offset);
    }
}

/* What Metadata says of topic "made-N"; true when it is there. */
static bool is_listed(const struct metadata_response *response, int number)
{
    char name[32];
    guest_topic_name(name, number);
    for (int32_t i = 0; i < response->topics_count; i++)
        if (slice_equal_string(response->topics[i].name, name))
            return true;
    return false;
}

static bool has_record(struct judging *judging, int number)
{
    char name[32];
    guest_topic_name(name, number);
    for (int attempts = 0; attempts < 100;) {
        struct one_fetch one;
        struct fetch_response response;
        struct batch_view batch;
        one_fetch(&one, name, 0, 0);
        if (!wire_call(&judging->client, KEY_FETCH, 12, &one.request, &response))
            guest_fail("Fetch without an answer");
        const struct fetch_response_partition *partition = &response.topics[0].partitions[0];
        if (partition->error_code == ERR_NONE)
            return batch_view(partition->records.bytes, &batch) == BATCH_OK && batch_crc_ok(&batch);
        guest_again(&attempts, name, partition->error_code);
    }
    return false;
}

static void judge_topics(struct judging *judging)
{
    const enum cut_topic_state *topics = judging->guest->ledger.topics;
    bool listed[CUT_TOPICS];
    struct metadata_request request;
    struct metadata_response response;
    metadata_request_init(&request);
    request.topics_count = -1;
    if (!wire_call(&judging->client, KEY_METADATA, 9, &request, &response))
        guest_fail("Metadata without an answer");
    for (int i = 0; i < CUT_TOPICS; i++)
        listed[i] = is_listed(&response, i);
    for (int i = 0; i < CUT_TOPICS; i++) {
        bool must_be = topics[i] == CUT_TOPIC_MADE || topics[i] == CUT_TOPIC_FILLED;
        if ((must_be && !listed[i]) || (topics[i] == CUT_TOPIC_REMOVED && listed[i]))
            other(judging, "topic", i, must_be, listed[i]);
        else if (topics[i] == CUT_TOPIC_FILLED && !has_record(judging, i))
            other(judging, "the record of topic", i, 1, 0);
    }
}

struct guest_verdict guest_judge(struct guest *guest)
{
    struct judging judging = { .guest = guest };
    guest_connect(guest, &judging.client);
    judging.judge = ledger_judge_open(guest->ledger.records);
    for (int slot = 0; slot < CUT_SLOTS; slot++)
        judge_slot(&judging, slot);
    struct ledger_verdict records = ledger_judge_close(judging.judge);
    records.records += judging.verdict.records.records;
    records.lost += judging.verdict.records.lost;
    records.corrupt += judging.verdict.records.corrupt;
    records.disordered += judging.verdict.records.disordered;
    judging.verdict.records = records;
    judge_commits(&judging);
    judge_topics(&judging);
    wire_close(&judging.client);
    return judging.verdict;
}
