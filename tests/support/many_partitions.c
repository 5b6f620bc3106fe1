/* Topics with thousands of partitions. */
#include "tests/support/many_partitions.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "codec/apis.h"
#include "codec/fetch.h"
#include "codec/produce.h"
#include "protocol/base/check.h"
#include "protocol/errors.h"
#include "protocol/record_batch.h"
#include "tests/support/one_partition.h"
#include "tests/support/topic_client.h"

enum {
    KEY_PRODUCE = 0,
    KEY_FETCH = 1,
    PRODUCE_VERSION = 9,
    FETCH_VERSION = 12,
    NAME_SIZE = 48,
    TOLD_MAX = 10,      /* complaints */
    FETCHES_MAX = 1000, /* answers may leave partitions out, but not forever */
};

size_t many_partitions_count(const struct many_partitions *many)
{
    return many->topic_count * (size_t)many->partition_count;
}

const char *many_partitions_topic(const struct many_partitions *many, size_t topic, char room[NAME_SIZE])
{
    snprintf(room, NAME_SIZE, "%.32s-%zu", many->name, topic);
    return room;
}

bool many_partitions_create(struct wire_client *client, const struct many_partitions *many)
{
    bool ok = true;
    for (size_t i = 0; i < many->topic_count && ok; i++) {
        char room[NAME_SIZE];
        const char *name = many_partitions_topic(many, i, room);
        ok = topic_client_create(client, &name, 1, many->partition_count) == ERR_NONE;
    }
    return ok;
}

bool many_partitions_delete(struct wire_client *client, const struct many_partitions *many)
{
    char(*rooms)[NAME_SIZE] = check_memory(calloc(many->topic_count, sizeof *rooms));
    const char **names = check_memory(calloc(many->topic_count, sizeof *names));
    for (size_t i = 0; i < many->topic_count; i++)
        names[i] = many_partitions_topic(many, i, rooms[i]);
    bool ok = topic_client_delete(client, names, many->topic_count) == ERR_NONE;
    free(names);
    free(rooms);
    return ok;
}

static int32_t index_of(const struct many_partitions *many, uint32_t number)
{
    return (int32_t)(number % (uint32_t)many->partition_count);
}

static size_t topic_of(const struct many_partitions *many, uint32_t number)
{
    return number / (uint32_t)many->partition_count;
}

/* The number of a partition in an answer, which names the topic; SIZE_MAX: none of ours. */
static size_t number_of(const struct many_partitions *many, slice topic, int32_t index)
{
    size_t prefix = strlen(many->name);
    size_t number = 0;
    if (topic.size < prefix + 2 || topic.size > prefix + 10 || index < 0 || index >= many->partition_count)
        return SIZE_MAX;
    for (size_t i = prefix + 1; i < topic.size; i++)
        number = number * 10 + (size_t)(topic.data[i] - '0');
    return number * (size_t)many->partition_count + (size_t)index;
}

/* --- producing --------------------------------------------------------------------------------- */

static slice record_text(struct arena *arena, uint32_t number, uint32_t sequence)
{
    char *text = check_memory(arena_alloc(arena, 32));
    return slice_of(text, (size_t)snprintf(text, 32, "%" PRIu32 "/%" PRIu32, number, sequence));
}

static slice batch_of(struct arena *arena, uint32_t number, uint32_t sequence)
{
    static const struct batch_builder_options options = { NO_PRODUCER };
    struct batch_builder *builder = check_memory(batch_builder_open(arena, &options));
    struct batch_view batch;
    check(batch_builder_add(builder, 1700000000000 + sequence, SLICE_NULL,
                            record_text(arena, number, sequence), NULL, 0));
    check(batch_builder_finish(builder, &batch) == BATCH_OK);
    return batch_bytes(&batch);
}

static void fill_produce(struct produce_request *request, struct arena *arena,
                         const struct many_partitions *many, const uint32_t *numbers, size_t count,
                         uint32_t sequence)
{
    produce_request_init(request);
    request->acks = -1;
    request->timeout_ms = 60000;
    request->topics = check_memory(arena_alloc_array(arena, many->topic_count, sizeof *request->topics));
    struct produce_request_partition *partitions =
        check_memory(arena_alloc_array(arena, count, sizeof *partitions));
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || topic_of(many, numbers[i]) != topic_of(many, numbers[i - 1])) {
            char *name = check_memory(arena_alloc(arena, NAME_SIZE));
            struct produce_request_topic *topic = &request->topics[request->topics_count++];
            produce_request_topic_init(topic);
            topic->name = slice_of_string(many_partitions_topic(many, topic_of(many, numbers[i]), name));
            topic->partitions = &partitions[i];
        }
        produce_request_partition_init(&partitions[i]);
        partitions[i].partition = index_of(many, numbers[i]);
        partitions[i].records.bytes = batch_of(arena, numbers[i], sequence);
        request->topics[request->topics_count - 1].partitions_count++;
    }
}

size_t many_partitions_produce(struct wire_client *client, const struct many_partitions *many,
                               const uint32_t *numbers, size_t count, uint32_t sequence)
{
    struct produce_request request;
    struct produce_response response;
    struct arena arena;
    size_t acknowledged = 0;
    arena_init(&arena, NULL);
    fill_produce(&request, &arena, many, numbers, count, sequence);
    bool ok = wire_call(client, KEY_PRODUCE, PRODUCE_VERSION, &request, &response);
    arena_destroy(&arena);
    for (int32_t t = 0; ok && t < response.topics_count; t++)
        for (int32_t i = 0; i < response.topics[t].partitions_count; i++)
            acknowledged += response.topics[t].partitions[i].error_code == ERR_NONE;
    return acknowledged;
}

/* --- reading ----------------------------------------------------------------------------------- */

/* How far the reading of one partition is. */
struct reading {
    uint32_t number;
    uint32_t records; /* read so far, so the next offset too */
    bool is_done;     /* all there, or wrong */
    bool is_wrong;
};

struct verification {
    const struct many_partitions *many;
    struct reading *readings; /* by number */
    size_t count;
    uint32_t sequences;
};

static void wrong(struct verification *all, struct reading *reading, const char *what, int64_t value)
{
    static unsigned told;
    reading->is_done = reading->is_wrong = true;
    if (told++ < TOLD_MAX)
        fprintf(stderr,
                "partition %" PRIu32 " of %s: %s (%" PRId64 ") after %" PRIu32 " of %" PRIu32 " records\n",
                reading->number, all->many->name, what, value, reading->records, all->sequences);
}

static int compare_number(const void *key, const void *reading)
{
    size_t number = *(const size_t *)key, other = ((const struct reading *)reading)->number;
    return (number > other) - (number < other);
}

static bool is_record(slice value, uint32_t number, uint32_t sequence)
{
    char text[32];
    int size = snprintf(text, sizeof text, "%" PRIu32 "/%" PRIu32, number, sequence);
    return value.size == (size_t)size && memcmp(value.data, text, value.size) == 0;
}

static void take_batch(struct verification *all, struct reading *reading, const struct batch_view *batch)
{
    struct record record;
    struct arena arena;
    arena_init(&arena, NULL);
    struct record_iterator *records = check_memory(record_iterator_open(batch, &arena, 1 << 20));
    if (batch->base_offset != reading->records || batch->last_offset_delta != 0)
        wrong(all, reading, "a batch at offset", batch->base_offset);
    else if (record_iterator_next(records, &record) != BATCH_OK)
        wrong(all, reading, "a batch that cannot be read at", batch->base_offset);
    else if (!is_record(record.value, reading->number, reading->records))
        wrong(all, reading, "another record at", batch->base_offset);
    else
        reading->records++;
    record_iterator_close(records);
    arena_destroy(&arena);
}

static void take_partition(struct verification *all, struct reading *reading,
                           const struct fetch_response_partition *partition)
{
    slice bytes = partition->records.bytes;
    struct batch_view batch;
    if (partition->error_code != ERR_NONE) {
        wrong(all, reading, "error", partition->error_code);
        return;
    }
    while (!reading->is_done && bytes.size > 0 && batch_view(bytes, &batch) == BATCH_OK) {
        take_batch(all, reading, &batch);
        bytes = slice_of(bytes.data + batch.size, bytes.size - batch.size);
    }
    if (partition->high_watermark != all->sequences)
        wrong(all, reading, "the high watermark is", partition->high_watermark);
    else if (reading->records == all->sequences)
        reading->is_done = true;
}

static size_t fill_fetch(struct fetch_request *request, struct arena *arena, struct verification *all)
{
    struct fetch_request_partition *partitions =
        check_memory(arena_alloc_array(arena, all->count, sizeof *partitions));
    size_t count = 0, last_topic = SIZE_MAX;
    fetch_request_init(request);
    request->topics = check_memory(arena_alloc_array(arena, all->many->topic_count, sizeof *request->topics));
    request->max_bytes = 1 << 26;
    for (size_t i = 0; i < all->count; i++) {
        struct reading *reading = &all->readings[i];
        size_t topic_index = topic_of(all->many, reading->number);
        if (reading->is_done)
            continue;
        if (topic_index != last_topic) {
            char *name = check_memory(arena_alloc(arena, NAME_SIZE));
            struct fetch_request_topic *topic = &request->topics[request->topics_count++];
            fetch_request_topic_init(topic);
            topic->name = slice_of_string(many_partitions_topic(all->many, topic_index, name));
            topic->partitions = &partitions[count];
            last_topic = topic_index;
        }
        fetch_request_partition_init(&partitions[count]);
        partitions[count].partition = index_of(all->many, reading->number);
        partitions[count].fetch_offset = reading->records;
        partitions[count].partition_max_bytes = 1 << 20;
        request->topics[request->topics_count - 1].partitions_count++;
        count++;
    }
    return count;
}

static void take_response(struct verification *all, const struct fetch_response *response)
{
    for (int32_t t = 0; t < response->topics_count; t++) {
        const struct fetch_response_topic *topic = &response->topics[t];
        for (int32_t i = 0; i < topic->partitions_count; i++) {
            size_t number = number_of(all->many, topic->name, topic->partitions[i].partition);
            struct reading *reading =
                bsearch(&number, all->readings, all->count, sizeof *reading, compare_number);
            if (reading && !reading->is_done)
                take_partition(all, reading, &topic->partitions[i]);
        }
    }
}

/* Whether anything is left to be asked for; false also when the connection broke. */
static bool fetch_once(struct wire_client *client, struct verification *all)
{
    struct fetch_request request;
    struct fetch_response response;
    struct arena arena;
    arena_init(&arena, NULL);
    bool goes_on = fill_fetch(&request, &arena, all) > 0 &&
                   wire_call(client, KEY_FETCH, FETCH_VERSION, &request, &response);
    arena_destroy(&arena);
    if (goes_on)
        take_response(all, &response);
    return goes_on;
}

size_t many_partitions_verify(struct wire_client *client, const struct many_partitions *many,
                              const uint32_t *numbers, size_t count, uint32_t sequences)
{
    struct verification all = { .many = many, .count = count, .sequences = sequences };
    size_t right = 0;
    all.readings = check_memory(calloc(count + 1, sizeof *all.readings));
    for (size_t i = 0; i < count; i++)
        all.readings[i].number = numbers[i];
    for (int round = 0; round < FETCHES_MAX && fetch_once(client, &all); round++)
        continue;
    for (size_t i = 0; i < count; i++) {
        if (!all.readings[i].is_done)
            wrong(&all, &all.readings[i], "no end", FETCHES_MAX);
        right += !all.readings[i].is_wrong;
    }
    free(all.readings);
    return right;
}
