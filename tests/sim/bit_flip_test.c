/* One bit is flipped in one file, and the broker starts on that: clients get exactly what was there, or an
 * error for exactly what was damaged. Every file of a small directory, after a clean stop and after a kill.
 *
 * RUNNEL_LONG=1: a flip in every byte; otherwise in some, drawn by RUNNEL_SEED.
 * RUNNEL_FLIP="PATH BYTE BIT": that one alone, and RUNNEL_NOTES=1 shows what the broker says to it. */
#include <check.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/partition.h"
#include "codec/create_topics.h"
#include "codec/delete_records.h"
#include "codec/find_coordinator.h"
#include "codec/offset_commit.h"
#include "codec/offset_fetch.h"
#include "protocol/base/check.h"
#include "protocol/base/note.h"
#include "protocol/errors.h"
#include "storage/cleaner.h"
#include "tests/support/log_rig.h"
#include "tests/support/one_partition.h"
#include "tests/support/sim.h"

enum {
    KEY_PRODUCE = 0,
    KEY_FETCH = 1,
    KEY_LIST_OFFSETS = 2,
    KEY_COMMIT = 8,
    KEY_OFFSET_FETCH = 9,
    KEY_FIND = 10,
    KEY_CREATE = 19,
    KEY_DELETE_RECORDS = 21,
    LATEST = -1,
    EARLIEST = -2,
    BATCHES_MAX = 200,
    ABORTED_MAX = 8,
    FILES_MAX = 200,
    FLIPS_OF_A_FILE = 6, /* unless all */
    COMMITS = 5,
};

static const char settings[] =
    "log.dirs=/data\nnum.partitions=1\noffsets.topic.num.partitions=1\ngroup.initial.rebalance.delay.ms=0\n"
    "log.cleaner.enable=false\n";

/* --- what a client sees ----------------------------------------------------------------------------- */

static const char *const topics[] = { "orders", "loose", "kept", "hurt" };
enum { TOPICS = sizeof topics / sizeof *topics };

struct seen_batch {
    int64_t base_offset, last_offset;
    size_t size;
    uint8_t *bytes; /* owned */
};

struct seen_topic {
    struct seen_batch batches[BATCHES_MAX];
    size_t batch_count;
    int64_t start, end; /* -1: an error */
    struct {
        int64_t producer_id, first_offset;
    } aborted[ABORTED_MAX];
    int aborted_count;
};

struct seen {
    struct seen_topic topics[TOPICS];
    int64_t committed[COMMITS]; /* of groups; -1: none, -2: an error */
};

static struct sim sim;
static struct sim_client client;
static struct seen expected;
static struct random chance;

static void forget(struct seen *seen)
{
    for (size_t t = 0; t < TOPICS; t++)
        for (size_t i = 0; i < seen->topics[t].batch_count; i++)
            free(seen->topics[t].batches[i].bytes);
    *seen = (struct seen){ .committed = { 0 } };
}

static int64_t list(const char *topic, int64_t timestamp)
{
    struct one_list_offsets one;
    struct list_offsets_response response;
    one_list_offsets(&one, topic, 0, timestamp);
    if (!sim_call(&client, KEY_LIST_OFFSETS, 6, &one.request, &response) ||
        response.topics[0].partitions[0].error_code != ERR_NONE)
        return -1;
    return response.topics[0].partitions[0].offset;
}

/* Notes the whole and right batches of an answer, as a client would take them. Returns where to go on, or -1
 * where a batch is refused. */
static int64_t take(struct seen_topic *topic, slice bytes, int64_t offset)
{
    while (bytes.size > 0) {
        struct batch_view batch;
        if (batch_view(bytes, &batch) != BATCH_OK || !batch_crc_ok(&batch))
            return -1;
        int64_t last = batch_last_offset(&batch);
        if (last >= offset && topic->batch_count < BATCHES_MAX) {
            struct seen_batch *seen = &topic->batches[topic->batch_count++];
            *seen =
                (struct seen_batch){ batch.base_offset, last, batch.size, check_memory(malloc(batch.size)) };
            memcpy(seen->bytes, bytes.data, batch.size);
        }
        offset = last + 1;
        bytes = slice_of(bytes.data + batch.size, bytes.size - batch.size);
    }
    return offset;
}

/* Where the batch behind the one at offset begins, or the end; by what was there before the flip. */
static int64_t next_batch(size_t t, int64_t offset)
{
    const struct seen_topic *topic = &expected.topics[t];
    for (size_t i = 0; i < topic->batch_count; i++)
        if (topic->batches[i].base_offset > offset)
            return topic->batches[i].base_offset;
    return INT64_MAX;
}

static void note_aborted(struct seen_topic *topic, const struct fetch_response_partition *partition)
{
    for (int32_t i = 0; i < partition->aborted_transactions_count; i++) {
        bool known = false;
        for (int k = 0; k < topic->aborted_count; k++)
            known |= topic->aborted[k].first_offset == partition->aborted_transactions[i].first_offset;
        if (known || topic->aborted_count == ABORTED_MAX)
            continue;
        topic->aborted[topic->aborted_count].producer_id = partition->aborted_transactions[i].producer_id;
        topic->aborted[topic->aborted_count++].first_offset = partition->aborted_transactions[i].first_offset;
    }
}

/* The aborted transactions that readers of committed records are told of, from each batch on. */
static void read_aborted(struct seen_topic *topic, size_t t)
{
    for (size_t i = 0; i < topic->batch_count; i++) {
        struct one_fetch one;
        struct fetch_response response;
        one_fetch(&one, topics[t], 0, topic->batches[i].base_offset);
        one.request.isolation_level = 1;
        if (!sim_call(&client, KEY_FETCH, 11, &one.request, &response))
            return;
        note_aborted(topic, &response.topics[0].partitions[0]);
    }
}

/* Reads from the start to the end, and passes over what is refused as somebody would who knows where the next
 * batch is. size_max: of an answer. */
static void read_topic(struct seen *seen, size_t t, int32_t size_max)
{
    struct seen_topic *topic = &seen->topics[t];
    topic->start = list(topics[t], EARLIEST);
    topic->end = list(topics[t], LATEST);
    for (int64_t offset = topic->start < 0 ? 0 : topic->start; offset < topic->end;) {
        struct one_fetch one;
        struct fetch_response response;
        one_fetch(&one, topics[t], 0, offset);
        one.partition.partition_max_bytes = size_max;
        if (!sim_call(&client, KEY_FETCH, 11, &one.request, &response))
            return;
        const struct fetch_response_partition *partition = &response.topics[0].partitions[0];
        slice bytes = partition->records.bytes;
        size_t before = topic->batch_count;
        int64_t next = -1;
        if (partition->error_code == ERR_NONE && bytes.size > 0)
            next = take(topic, bytes, offset);
        if (next < 0 && topic->batch_count > before)
            next = topic->batches[topic->batch_count - 1].last_offset + 1; /* comes back for the rest */
        else if (next < 0)
            next = next_batch(t, offset);
        if (next <= offset || next == INT64_MAX)
            break;
        offset = next;
    }
    read_aborted(topic, t);
}

static const char *group_name(int i)
{
    static const char *const names[COMMITS] = { "g0", "g1", "g2", "g3", "g4" };
    return names[i];
}

static int64_t fetch_committed(const char *group)
{
    struct offset_fetch_request request;
    struct offset_fetch_response response;
    offset_fetch_request_init(&request);
    request.group_id = slice_of_string(group);
    request.topics = NULL;
    request.topics_count = -1;
    if (!sim_call(&client, KEY_OFFSET_FETCH, 5, &request, &response) || response.error_code != ERR_NONE)
        return -2;
    if (response.topics_count == 0)
        return -1;
    return response.topics[0].partitions[0].committed_offset;
}

static void look(struct seen *seen, int32_t size_max)
{
    *seen = (struct seen){ .committed = { 0 } };
    sim_settle(&sim);
    for (size_t t = 0; t < TOPICS; t++)
        read_topic(seen, t, size_max);
    for (int i = 0; i < COMMITS; i++)
        seen->committed[i] = fetch_committed(group_name(i));
}

/* --- what is there ---------------------------------------------------------------------------------- */

static void create(const char *name, const char *const configs[][2], int count)
{
    struct create_topics_request request;
    struct create_topics_request_topic topic;
    struct create_topics_request_config config[6];
    struct create_topics_response response;
    create_topics_request_init(&request);
    create_topics_request_topic_init(&topic);
    for (int i = 0; i < count; i++) {
        create_topics_request_config_init(&config[i]);
        config[i].name = slice_of_string(configs[i][0]);
        config[i].value = slice_of_string(configs[i][1]);
    }
    topic.name = slice_of_string(name);
    topic.num_partitions = 1;
    topic.replication_factor = 1;
    topic.configs = config;
    topic.configs_count = count;
    request.topics = &topic;
    request.topics_count = 1;
    ck_assert(sim_call(&client, KEY_CREATE, 5, &request, &response));
    ck_assert_int_eq(response.topics[0].error_code, ERR_NONE);
}

/* count records whose keys repeat. */
static void produce(const char *topic, int count, int64_t producer_id, int32_t sequence)
{
    struct arena arena;
    struct one_produce one;
    struct produce_response response;
    static int number;
    const struct batch_builder_options options = { .leader_epoch = -1,
                                                   .producer_id = producer_id,
                                                   .producer_epoch = producer_id < 0 ? -1 : 0,
                                                   .base_sequence = sequence };
    arena_init(&arena, NULL);
    struct batch_builder *builder = batch_builder_open(&arena, &options);
    for (int i = 0; i < count; i++) {
        char key[8], value[32];
        snprintf(key, sizeof key, "k%d", number % 5);
        snprintf(value, sizeof value, "value %d", number++);
        ck_assert(batch_builder_add(builder, 1700000000000 + number, slice_of_string(key),
                                    slice_of_string(value), NULL, 0));
    }
    struct batch_view batch;
    ck_assert_int_eq(batch_builder_finish(builder, &batch), BATCH_OK);
    one_produce(&one, topic, 0, batch_bytes(&batch));
    ck_assert(sim_call(&client, KEY_PRODUCE, 9, &one.request, &response));
    ck_assert_int_eq(response.topics[0].partitions[0].error_code, ERR_NONE);
    arena_destroy(&arena);
}

static struct log *log_of(const char *name)
{
    const struct topic *topic =
        image_topic_by_name(controller_image(sim.server->controller), slice_of_string(name));
    ck_assert_ptr_nonnull(topic);
    return topic->partitions[0].partition->log;
}

static void append(const char *topic, struct batch_view *batch)
{
    struct log_append_result result;
    struct log *log = log_of(topic);
    enum log_status status;
    while ((status = log_append(log, batch, 1, 0, 1700000000000, &result)) == LOG_BUSY)
        ck_assert_int_eq(log_prepare(log), LOG_OK);
    ck_assert_int_eq(status, LOG_OK);
    free((void *)batch->data);
    sim_settle(&sim);
}

/* As a transactional producer and its coordinator would. */
static void transact(const char *topic, int64_t producer_id, int32_t sequence, bool commits)
{
    struct batch_view batch;
    rig_make_batch(&(struct rig_batch){ .count = 2,
                                        .value_size = 20,
                                        .timestamp = 1700000000000,
                                        .attributes = BATCH_ATTRIBUTE_TRANSACTIONAL,
                                        .producer_id = producer_id,
                                        .sequence = sequence },
                   &batch);
    append(topic, &batch);
    rig_make_marker(&batch, producer_id, 0, commits, 0);
    append(topic, &batch);
}

static void commit(const char *group, int64_t offset)
{
    struct offset_commit_request request;
    struct offset_commit_request_topic topic;
    struct offset_commit_request_partition partition;
    struct offset_commit_response response;
    offset_commit_request_init(&request);
    offset_commit_request_topic_init(&topic);
    offset_commit_request_partition_init(&partition);
    partition.committed_offset = offset;
    partition.committed_metadata = SLICE_LITERAL("");
    topic.name = SLICE_LITERAL("orders");
    topic.partitions = &partition;
    request.group_id = slice_of_string(group);
    request.member_id = SLICE_LITERAL("");
    request.topics = &topic;
    topic.partitions_count = request.topics_count = 1;
    ck_assert(sim_call(&client, KEY_COMMIT, 5, &request, &response));
    ck_assert_int_eq(response.topics[0].partitions[0].error_code, ERR_NONE);
}

static void delete_before(const char *name, int64_t offset)
{
    struct delete_records_request request;
    struct delete_records_request_topic topic;
    struct delete_records_request_partition partition;
    struct delete_records_response response;
    delete_records_request_init(&request);
    delete_records_request_topic_init(&topic);
    delete_records_request_partition_init(&partition);
    partition.offset = offset;
    topic.name = slice_of_string(name);
    topic.partitions = &partition;
    request.topics = &topic;
    topic.partitions_count = request.topics_count = 1;
    ck_assert(sim_call(&client, KEY_DELETE_RECORDS, 1, &request, &response));
    ck_assert_int_eq(response.topics[0].partitions[0].error_code, ERR_NONE);
}

static void begin_client(void)
{
    struct find_coordinator_request request;
    struct find_coordinator_response response;
    slice group = SLICE_LITERAL("g0");
    sim_connect(&sim, &client);
    find_coordinator_request_init(&request);
    request.coordinator_keys = &group;
    request.coordinator_keys_count = 1;
    ck_assert(sim_call(&client, KEY_FIND, 4, &request, &response));
    sim_settle(&sim);
}

/* A directory with every kind of file; the first records of "hurt" are damaged and known to be. */
static void build(void)
{
    static const char *const small[][2] = { { "internal.segment.bytes", "600" },
                                            { "index.interval.bytes", "150" } };
    static const char *const loose[][2] = { { "flush.messages", "1000" } };
    static const char *const kept[][2] = { { "cleanup.policy", "compact" },
                                           { "internal.segment.bytes", "500" },
                                           { "index.interval.bytes", "150" } };
    int32_t sequence = 0;
    sim_open(&sim, 7, settings);
    begin_client();
    create("orders", small, 2);
    create("loose", loose, 1);
    create("kept", kept, 3);
    create("hurt", NULL, 0);
    for (int i = 0; i < 6; i++)
        produce("hurt", 2, -1, -1);
    for (int i = 0; i < 3; i++)
        produce("loose", 2, -1, -1);
    sim_settle(&sim);
    sim_disconnect(&client);
    sim_power_cycle(&sim, FILE_DOUBLE_KEEP_ALL); /* a kill: "loose" has another leader epoch from here on */
    struct file_double *disk = sim_stop(&sim);
    ck_assert(file_double_flip_bit(disk, "/data/hurt-0/00000000000000000000.log", 250, 3));
    sim_start_on(&sim, disk);
    begin_client();
    for (int i = 0; i < 3; i++)
        produce("loose", 2, -1, -1);
    for (int i = 0; i < 12; i++) {
        int count = 1 + i % 3;
        produce("orders", count, i % 2 ? 100 : -1, i % 2 ? sequence : -1);
        sequence += i % 2 ? count : 0;
        produce("kept", 2, -1, -1);
        if (i % 4 == 1)
            transact("orders", 200, i / 4 * 2, i != 5);
    }
    delete_before("orders", 3);
    for (int i = 0; i < 3 * COMMITS; i++)
        commit(group_name(i % COMMITS), i);
    sim_settle(&sim);
    struct cleaner_options options = { .map_size_max = 1 << 20, .map_load = 0.9, .buffer_size = 1 << 20 };
    struct cleaner *cleaner = check_memory(cleaner_create(&options));
    (void)store_clean_log(sim.server->store, cleaner, log_of("kept"), clock_wall_ms(&sim.clock.clock));
    cleaner_destroy(cleaner);
    sim_settle(&sim);
}

/* --- the files -------------------------------------------------------------------------------------- */

struct flip_file {
    char path[256];
    uint64_t size;
};

static struct flip_file files[FILES_MAX];
static size_t file_count;

struct walk {
    struct file_system *system;
    const char *path;
};

static bool visit(void *context, const char *name)
{
    const struct walk *walk = context;
    struct file_info info;
    char path[256];
    snprintf(path, sizeof path, "%s/%s", walk->path, name);
    if (file_info(walk->system, path, &info) != FILE_OK)
        return true;
    if (info.is_directory) {
        struct walk below = { walk->system, path };
        (void)file_list(walk->system, path, visit, &below);
    } else if (info.size > 0 && file_count < FILES_MAX) {
        snprintf(files[file_count].path, sizeof files[file_count].path, "%s", path);
        files[file_count++].size = info.size;
    }
    return true;
}

/* --- one flip --------------------------------------------------------------------------------------- */

struct tally {
    int flips;
    int refused_starts;
    int needless; /* of these: without them nothing would have been lost */
    int refused_batches;
    int wrong; /* served, and not what was there */
    int lost;  /* not served though it was not damaged */
    int commits_gone;
    int unseen; /* wrong, and known to be beyond what can be told: is_beyond() */
};

static bool start_on(struct file_double *disk, const char **error)
{
    struct server_options options = { .config = sim.config,
                                      .files = file_double_system(disk),
                                      .clock = &sim.clock.clock,
                                      .seed = sim.seed,
                                      .threaded = false };
    sim.disk = disk;
    return server_open(&options, &sim.server, error) == EXIT_OK;
}

static const struct seen_batch *find_batch(const struct seen_topic *topic, int64_t base_offset)
{
    for (size_t i = 0; i < topic->batch_count; i++)
        if (topic->batches[i].base_offset == base_offset)
            return &topic->batches[i];
    return NULL;
}

/* Is the byte one of this topic's batches? *damaged: the offset of that batch. */
static bool is_data_of(size_t t, const char *path)
{
    char part[64];
    snprintf(part, sizeof part, "/%s-0/", topics[t]);
    size_t size = strlen(path);
    return strstr(path, part) && size > 4 && strcmp(path + size - 4, ".log") == 0;
}

static bool is_clean;
static int64_t promised[TOPICS]; /* offsets below were acknowledged, or stopped cleanly */

/* What neither neighbours nor checksums tell: a base offset in front of a gap that the cleaner left; a leader
 * epoch where another one begins, and that of the last batch, when no clean stop told it; an index of aborted
 * transactions that is sound in itself. */
static bool is_beyond(const char *path, uint64_t position, size_t t)
{
    const struct seen_topic *topic = &expected.topics[t];
    size_t size = strlen(path);
    uint64_t in_batch = position;
    if (size > 9 && strcmp(path + size - 9, ".txnindex") == 0)
        return true;
    if (!is_data_of(t, path))
        return false;
    int64_t base = strtoll(strrchr(path, '/') + 1, NULL, 10);
    for (size_t i = 0; i < topic->batch_count; i++) {
        const struct seen_batch *batch = &topic->batches[i];
        if (batch->base_offset < base)
            continue;
        if (in_batch >= batch->size) {
            in_batch -= batch->size;
            continue;
        }
        bool is_last = i + 1 == topic->batch_count || batch->last_offset >= promised[t] - 1;
        return (in_batch < 8 && strcmp(topics[t], "kept") == 0) ||
               (in_batch >= 12 && in_batch < 16 &&
                ((is_last && !is_clean) || strcmp(topics[t], "loose") == 0));
    }
    return false;
}

static void complain(const char *what, const char *path, uint64_t position, unsigned bit, const char *topic,
                     int64_t offset)
{
    printf("  %s: %s byte %" PRIu64 " bit %u: %s offset %" PRId64 "\n", what, path, position, bit, topic,
           offset);
}

static void judge_topic(struct tally *tally, const struct seen *now, size_t t, const char *path,
                        uint64_t position, unsigned bit)
{
    const struct seen_topic *was = &expected.topics[t], *is = &now->topics[t];
    bool is_data = is_data_of(t, path);
    int missing = 0;
    for (size_t i = 0; i < is->batch_count; i++) {
        const struct seen_batch *batch = &is->batches[i], *same = find_batch(was, batch->base_offset);
        if (!same || same->size != batch->size || memcmp(same->bytes, batch->bytes, batch->size) != 0) {
            if (is_beyond(path, position, t)) {
                tally->unseen++;
                continue;
            }
            tally->wrong++;
            complain("wrong", path, position, bit, topics[t], batch->base_offset);
        }
    }
    for (size_t i = 0; i < was->batch_count; i++)
        if (!find_batch(is, was->batches[i].base_offset) && was->batches[i].last_offset < promised[t]) {
            missing++;
            if (!is_data || missing > 1) {
                tally->lost++;
                complain("lost", path, position, bit, topics[t], was->batches[i].base_offset);
            }
        }
    tally->refused_batches += is_data && missing > 0;
    if ((is->end != was->end && promised[t] == was->end) || is->start != was->start) {
        tally->wrong++;
        complain(is->end != was->end ? "end" : "start", path, position, bit, topics[t],
                 is->end != was->end ? is->end : is->start);
    }
    for (int i = 0; i < was->aborted_count && missing == 0; i++) {
        bool found = false;
        for (int k = 0; k < is->aborted_count; k++)
            found |= is->aborted[k].first_offset == was->aborted[i].first_offset &&
                     is->aborted[k].producer_id == was->aborted[i].producer_id;
        if ((!found || is->aborted_count != was->aborted_count) && is_beyond(path, position, t)) {
            tally->unseen++;
        } else if (!found || is->aborted_count != was->aborted_count) {
            tally->wrong++;
            complain("aborted", path, position, bit, topics[t], was->aborted[i].first_offset);
        }
    }
}

static void judge(struct tally *tally, const struct seen *now, const char *path, uint64_t position,
                  unsigned bit)
{
    for (size_t t = 0; t < TOPICS; t++)
        judge_topic(tally, now, t, path, position, bit);
    /* Each commit is a batch of its own, so one of them may be gone with it. */
    int gone = 0;
    for (int i = 0; i < COMMITS; i++)
        gone += now->committed[i] != expected.committed[i];
    bool is_log = strstr(path, "/__consumer_offsets-0/0") && strstr(path, ".log");
    tally->commits_gone += gone;
    if (gone > is_log) {
        tally->lost += gone - is_log;
        complain("commits", path, position, bit, "groups", gone);
    }
}

/* Who the directory belongs to stands in one place. Everything else is there twice, or a flipped bit of it
 * can be turned back. */
static bool may_refuse(const char *path)
{
    return strcmp(path, "/data/meta.properties") == 0;
}

static void flip(struct tally *tally, const struct file_double *base, const char *path, uint64_t position,
                 unsigned bit)
{
    struct seen now;
    const char *error = NULL;
    struct file_double *disk =
        file_double_after_cut(base, file_double_operation_count(base), FILE_DOUBLE_KEEP_ALL, &chance);
    ck_assert(file_double_flip_bit(disk, path, position, bit));
    tally->flips++;
    if (!start_on(disk, &error)) {
        tally->refused_starts++;
        tally->needless += !may_refuse(path);
        if (!may_refuse(path))
            printf("  refused: %s byte %" PRIu64 " bit %u: %s\n", path, position, bit, error);
        file_double_destroy(disk);
        return;
    }
    begin_client();
    look(&now, position % 2 ? 1 << 20 : 200);
    judge(tally, &now, path, position, bit);
    forget(&now);
    sim_disconnect(&client);
    file_double_destroy(sim_stop(&sim));
}

static bool is_long(void)
{
    const char *given = getenv("RUNNEL_LONG");
    return given && *given == '1';
}

static void flip_file(struct tally *tally, const struct file_double *base, const struct flip_file *file)
{
    uint64_t step = is_long() ? 1 : file->size / FLIPS_OF_A_FILE + 1;
    for (uint64_t position = random_below(&chance, step); position < file->size; position += step)
        flip(tally, base, file->path, position, (unsigned)random_below(&chance, 8));
}

/* The same look at the directory as it is: what all others are held against, and whether looking tells all.
 */
static struct file_double *begin_state(void)
{
    struct file_double *stopped, *base;
    build();
    for (size_t t = 0; t < TOPICS; t++) {
        struct log_offsets offsets = log_offsets(log_of(topics[t]));
        promised[t] = is_clean ? offsets.end : offsets.durable;
    }
    sim_disconnect(&client);
    uint64_t operations = file_double_operation_count(sim.disk);
    stopped = sim_stop(&sim);
    if (is_clean)
        operations = file_double_operation_count(stopped);
    base = file_double_after_cut(stopped, operations, FILE_DOUBLE_KEEP_ALL, &chance);
    file_double_destroy(stopped);
    file_count = 0;
    struct walk walk = { file_double_system(base), "/data" };
    (void)file_list(walk.system, "/data", visit, &walk);
    struct file_double *disk =
        file_double_after_cut(base, file_double_operation_count(base), FILE_DOUBLE_KEEP_ALL, &chance);
    const char *error = NULL;
    ck_assert(start_on(disk, &error));
    begin_client();
    look(&expected, 200);
    struct seen again;
    look(&again, 1 << 20);
    struct tally none = { 0 };
    judge(&none, &again, "", 0, 0);
    ck_assert_int_eq(none.wrong + none.lost + none.commits_gone, 0);
    forget(&again);
    sim_disconnect(&client);
    file_double_destroy(sim_stop(&sim));
    return base;
}

static const char *kind_of(const char *path)
{
    static char kind[64];
    const char *name = strrchr(path, '/') + 1, *dot = strchr(name, '.');
    if (strstr(path, "/__cluster_metadata-0/"))
        snprintf(kind, sizeof kind, "metadata %s", dot && name[0] == '0' ? strrchr(name, '.') : name);
    else if (strstr(path, "/__consumer_offsets-0/"))
        snprintf(kind, sizeof kind, "offsets %s", dot && name[0] == '0' ? dot : name);
    else
        snprintf(kind, sizeof kind, "%s", dot && name[0] == '0' ? dot : name);
    return kind;
}

/* --- the metadata, there once ------------------------------------------------------------------------ */

static const char metadata_path[] = "/data/__cluster_metadata-0/00000000000000000000.log";

/* A copy; has_snapshots: with what the last ones cover, else as it is before the first one is written. */
static struct file_double *copy(const struct file_double *base, bool has_snapshots)
{
    struct file_double *disk =
        file_double_after_cut(base, file_double_operation_count(base), FILE_DOUBLE_KEEP_ALL, &chance);
    for (size_t i = 0; i < file_count && !has_snapshots; i++) {
        const char *name = strrchr(files[i].path, '/') + 1;
        if (strstr(name, ".checkpoint") && strncmp(name, "00000000000000000000-", 21) != 0)
            ck_assert_int_eq(file_unlink(file_double_system(disk), files[i].path), FILE_OK);
    }
    return disk;
}

/* Several bits of a batch; the second time, none. */
static void scratch(struct file_double *disk)
{
    for (uint64_t position = 700; position < 800; position += 20)
        ck_assert(file_double_flip_bit(disk, metadata_path, position, (unsigned)position % 7));
}

/* Starts, and everything is there. */
static void expect_all(struct file_double *disk, uint64_t position)
{
    const char *error = "";
    struct seen now;
    struct tally tally = { 0 };
    ck_assert_msg(start_on(disk, &error), "byte %" PRIu64 ": %s", position, error);
    begin_client();
    look(&now, 1 << 20);
    judge(&tally, &now, metadata_path, position, 0);
    ck_assert_int_eq(tally.wrong + tally.lost, 0);
    forget(&now);
    sim_disconnect(&client);
    file_double_destroy(sim_stop(&sim));
}

/* What was written since the last snapshot is there once. One flipped bit is turned back; with more the start
 * says which file is to be restored, and touches nothing; what a snapshot covers is no matter. */
static void damage_metadata(const struct file_double *base)
{
    const char *error = "";
    struct file_double *disk = copy(base, true);
    struct file_info info;
    scratch(disk);
    expect_all(disk, 700);

    disk = copy(base, false);
    ck_assert_int_eq(file_info(file_double_system(disk), metadata_path, &info), FILE_OK);
    file_double_destroy(disk);
    for (uint64_t i = 0; i < info.size; i += is_long() ? 1 : 23) {
        disk = copy(base, false);
        ck_assert(file_double_flip_bit(disk, metadata_path, i, (unsigned)random_below(&chance, 8)));
        expect_all(disk, i);
    }

    disk = copy(base, false);
    scratch(disk);
    ck_assert_msg(!start_on(disk, &error), "the start goes on without what is damaged");
    ck_assert_msg(strstr(error, metadata_path) && strstr(error, "at position ") &&
                      strstr(error, "from a copy"),
                  "%s", error);
    scratch(disk); /* the way out that it names */
    expect_all(disk, 700);
}

START_TEST(exactly_what_was_there_or_an_error)
{
    is_clean = _i == 0;
    const char *given = getenv("RUNNEL_SEED");
    uint64_t seed;
    random_secure(&seed, sizeof seed);
    if (given && *given)
        seed = strtoull(given, NULL, 0);
    printf("seed: RUNNEL_SEED=%" PRIu64 "\n", seed);
    random_seed(&chance, seed);
    struct file_double *base = begin_state();
    struct tally all = { 0 };
    char path[256];
    uint64_t position;
    unsigned bit;
    const char *one = getenv("RUNNEL_FLIP");
    if (one && sscanf(one, "%255s %" SCNu64 " %u", path, &position, &bit) == 3) {
        file_count = 0;
        flip(&all, base, path, position, bit);
    }
    for (size_t i = 0; i < file_count; i++) {
        struct tally tally = { 0 };
        if (is_data_of(3, files[i].path))
            continue; /* damage beside damage is not promised anything */
        flip_file(&tally, base, &files[i]);
        printf("%-34s %5" PRIu64
               " bytes: flips %5d, wrong %3d, lost %3d, refused batches %5d, starts %5d, commits %d\n",
               kind_of(files[i].path), files[i].size, tally.flips, tally.wrong, tally.lost,
               tally.refused_batches, tally.refused_starts, tally.commits_gone);
        fflush(stdout);
        all.flips += tally.flips;
        all.wrong += tally.wrong;
        all.lost += tally.lost;
        all.refused_batches += tally.refused_batches;
        all.refused_starts += tally.refused_starts;
        all.needless += tally.needless;
        all.commits_gone += tally.commits_gone;
        all.unseen += tally.unseen;
    }
    printf("%s: flips %d / served wrong %d / undamaged lost %d / batches refused %d / starts refused %d / "
           "beyond what can be told %d\n",
           is_clean ? "after a clean stop" : "after a kill", all.flips, all.wrong, all.lost,
           all.refused_batches, all.refused_starts, all.unseen);
    ck_assert_int_eq(all.wrong, 0);
    ck_assert_int_eq(all.lost, 0);
    ck_assert_int_eq(all.needless, 0);
    damage_metadata(base);
    forget(&expected);
    file_double_destroy(base);
    config_destroy(sim.config);
}
END_TEST

int main(void)
{
    if (!getenv("RUNNEL_NOTES"))
        note_set_fd(open("/dev/null", O_WRONLY | O_CLOEXEC)); /* each flip has much to tell */
    Suite *suite = suite_create("bit_flip");
    TCase *tests = tcase_create("tests");
    tcase_set_timeout(tests, is_long() ? 3600 : 120);
    tcase_add_loop_test(tests, exactly_what_was_there_or_an_error, 0, 2);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
