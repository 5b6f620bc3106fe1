/* How long groups take to load, and how much memory their offsets take: commits written into the log, then a start. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "broker/coordinator/coordinator.h"
#include "broker/group/offset_table.h"
#include "broker/partition.h"
#include "codec/find_coordinator.h"
#include "protocol/base/bytes.h"
#include "protocol/base/check.h"
#include "protocol/base/note.h"
#include "protocol/record_batch.h"
#include "tests/support/sim.h"

enum { KEY_FIND_COORDINATOR = 10, BATCH_RECORDS = 1000, TEXT_SIZE = 128 };

struct row {
    const char *name;
    int groups, topics, partitions, rounds; /* records: the product */
    const char *metadata;
};

static const struct row rows[] = {
    { "1 group, 1 topic of 100 partitions, 10,000 rounds", 1, 1, 100, 10000, "" },
    { "10 groups, 100 topics of 10 partitions, 100 rounds", 10, 100, 10, 100, "" },
    { "1,000 groups, 10 topics of 100 partitions, once", 1000, 10, 100, 1, "" },
    { "the same with metadata of 32 bytes", 1000, 10, 100, 1, "0123456789abcdef0123456789abcdef" },
    { "20,000 groups, 5 topics of 10 partitions, once", 20000, 5, 10, 1, "" },
    { "99,000 groups of one offset, 10 rounds", 99000, 1, 1, 10, "" },
};

static struct sim sim;

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static uint8_t *put_text(uint8_t *at, const char *text)
{
    size_t size = strlen(text);
    store_be16(at, (uint16_t)size);
    memcpy(at + 2, text, size);
    return at + 2 + size;
}

/* As the coordinator writes them: OffsetCommitKey, OffsetCommitValue v3. */
static void add_commit(struct batch_builder *builder, const char *group, const char *topic, int partition,
                       int64_t offset, const char *metadata)
{
    uint8_t key[2 * TEXT_SIZE + 16], value[TEXT_SIZE + 64], *at;
    store_be16(key, 1);
    at = put_text(put_text(key + 2, group), topic);
    store_be32(at, (uint32_t)partition);
    slice key_slice = slice_of(key, (size_t)(at + 4 - key));
    store_be16(value, 3);
    store_be64(value + 2, (uint64_t)offset);
    store_be32(value + 10, 0xffffffffu);
    at = put_text(value + 14, metadata);
    store_be64(at, UINT64_C(1700000000000));
    check(batch_builder_add(builder, INT64_C(1700000000000), key_slice, slice_of(value, (size_t)(at + 8 - value)), NULL,
                            0));
}

static struct log *only_log(void)
{
    const struct topic *topic = image_topic_by_name(controller_image(sim.server->controller),
                                                    SLICE_LITERAL("__consumer_offsets"));
    check(topic && topic->partition_count == 1);
    return topic->partitions[0].partition->log;
}

static void append(struct arena *arena, struct batch_builder *builder)
{
    struct batch_view batch;
    struct log_append_result result = { .status = LOG_OK };
    enum log_status status;
    check(batch_builder_finish(builder, &batch) == BATCH_OK);
    while ((status = log_append(only_log(), &batch, 1, 0, INT64_C(1700000000000), &result)) == LOG_BUSY)
        check(log_prepare(only_log()) == LOG_OK);
    check(status == LOG_OK && result.status == LOG_OK);
    arena_reset(arena);
}

static struct batch_builder *open_batch(struct arena *arena)
{
    static const struct batch_builder_options options = { .producer_id = -1, .producer_epoch = -1,
                                                          .base_sequence = -1 };
    return check_memory(batch_builder_open(arena, &options));
}

static void write_commits(const struct row *row)
{
    struct arena arena;
    char group[TEXT_SIZE], topic[TEXT_SIZE];
    int in_batch = 0;
    arena_init(&arena, NULL);
    struct batch_builder *builder = open_batch(&arena);
    for (int r = 0; r < row->rounds; r++)
        for (int g = 0; g < row->groups; g++)
            for (int t = 0; t < row->topics; t++)
                for (int p = 0; p < row->partitions; p++) {
                    snprintf(group, sizeof group, "consumers-of-team-%d", g);
                    snprintf(topic, sizeof topic, "orders-%d", t);
                    add_commit(builder, group, topic, p, r, row->metadata);
                    if (++in_batch % BATCH_RECORDS == 0) {
                        append(&arena, builder);
                        builder = open_batch(&arena);
                    }
                }
    arena_destroy(&arena);
}

static void measure(const struct row *row)
{
    struct sim_client client;
    struct find_coordinator_request request;
    struct find_coordinator_response response;
    slice key = SLICE_LITERAL("any");
    sim_open(&sim, 1, "offsets.topic.num.partitions=1\n");
    sim_connect(&sim, &client);
    find_coordinator_request_init(&request);
    request.coordinator_keys = &key;
    request.coordinator_keys_count = 1;
    check(sim_call(&client, KEY_FIND_COORDINATOR, 4, &request, &response));
    sim_disconnect(&client);
    write_commits(row);
    sim_restart(&sim);
    size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
    double start = now_s();
    sim_settle(&sim);
    double took = now_s() - start;
    size_t after = mallinfo2().uordblks + mallinfo2().hblkhd;
    double records = (double)row->groups * row->topics * row->partitions * row->rounds;
    double offsets = records / row->rounds;
    printf("  %-54s %7.2f %9.0f %10.0f %10.0f\n", row->name, took, records / took / 1000,
           (double)(after - before) / offsets, (double)offset_tables_size() / offsets);
    fflush(stdout);
    sim_close(&sim);
}

int main(void)
{
    note_set_level(NOTE_ERROR);
    printf("a million commits, loaded at the start (disk in memory)    seconds  1000/s  B/offset  B counted\n");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        measure(&rows[i]);
    return EXIT_SUCCESS;
}
