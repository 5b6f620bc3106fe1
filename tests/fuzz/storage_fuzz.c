/* Any directory content: the store opens it, recovers, reads all of it, writes on, stops and starts again. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/base/check.h"
#include "protocol/base/crc32c.h"
#include "protocol/base/note.h"
#include "storage/clean_marker.h"
#include "storage/file_double.h"
#include "storage/meta_properties.h"
#include "storage/partition_metadata.h"
#include "storage/side_file.h"
#include "tests/support/storage_host.h"

enum { LOG_COUNT = 2, READS_MAX = 2000 };

static const uuid TOPIC = { { 7, 7, 7 } };
static const uuid NONCE = { { 8, 8, 8 } };

/* Where the input may put bytes. */
static const char *const places[] = {
    "/data/meta.properties",
    "/data/.kafka_cleanshutdown",
    "/data/logs.runnel",
    "/data/durable.runnel",
    "/data/recovery-point-offset-checkpoint",
    "/data/log-start-offset-checkpoint",
    "/data/replication-offset-checkpoint",
    "/data/t-0/partition.metadata",
    "/data/t-0/leader-epoch-checkpoint",
    "/data/t-0/00000000000000000000.log",
    "/data/t-0/00000000000000000000.index",
    "/data/t-0/00000000000000000000.timeindex",
    "/data/t-0/00000000000000000000.txnindex",
    "/data/t-0/00000000000000000006.log",
    "/data/t-0/00000000000000000006.index",
    "/data/t-0/00000000000000000006.timeindex",
    "/data/t-0/00000000000000000006.snapshot",
    "/data/t-0/00000000000000000012.log",
    "/data/t-0/00000000000000000012.index",
    "/data/t-0/00000000000000000006.log.swap",
    "/data/t-0/00000000000000000006.log.cleaned",
    "/data/t-0/00000000000000000003.log.deleted",
    "/data/t-0/99999999999999999999.log",
    "/data/t-0/junk",
    "/data/__cluster_metadata-0/00000000000000000000.log",
    "/data/__cluster_metadata-0/00000000000000000000.index",
    "/data/t-0/00000000000000000006.producers.runnel",
    "/data/t-0/00000000000000000012.snapshot",
    "/data/t-0/00000000000000000012.producers.runnel",
    "/data/written.runnel",
};
enum { PLACE_COUNT = sizeof places / sizeof *places };

struct input {
    const uint8_t *at;
    size_t left;
};

static uint8_t next_byte(struct input *input)
{
    if (input->left == 0)
        return 0;
    input->left--;
    return *input->at++;
}

static void put(struct file_system *files, const char *path, const void *bytes, size_t size,
                uint64_t position)
{
    struct file *file;

    if (file_open(files, path, FILE_WRITE | FILE_CREATE, &file) != FILE_OK)
        return;
    (void)file_pwrite(file, bytes, size, position);
    file_close(file);
}

static uint64_t end_of(struct file_system *files, const char *path)
{
    struct file_info info;

    return file_info(files, path, &info) == FILE_OK ? info.size : 0;
}

/* A batch that is right but for what the input says: no fuzzer finds a CRC. */
static void put_batch(struct file_system *files, const char *path, struct input *input)
{
    struct arena arena;

    arena_init(&arena, NULL);
    struct batch_view batch =
        storage_host_batch(&arena, next_byte(input), 1 + next_byte(input) % 3, next_byte(input));
    store_be64(batch.data + BATCH_BASE_OFFSET, (uint64_t)(int8_t)next_byte(input));
    store_be32(batch.data + BATCH_LEADER_EPOCH, (uint32_t)(int8_t)next_byte(input));
    uint8_t changes = next_byte(input) % 4;
    for (uint8_t i = 0; i < changes; i++)
        batch.data[next_byte(input) % batch.size] ^= next_byte(input);
    if (next_byte(input) % 2)
        store_be32(batch.data + BATCH_CRC,
                   crc32c(0, batch.data + BATCH_ATTRIBUTES, batch.size - BATCH_ATTRIBUTES));
    put(files, path, batch.data, batch.size - next_byte(input) % 3, end_of(files, path));
    arena_destroy(&arena);
}

static void put_bytes(struct file_system *files, const char *path, struct input *input)
{
    uint64_t position = next_byte(input) % 2 ? end_of(files, path) : next_byte(input);
    size_t size = next_byte(input);

    if (size > input->left)
        size = input->left;
    put(files, path, input->at, size, position);
    input->at += size;
    input->left -= size;
}

/* Our table and positions, with right checksums and any content. */
static void put_table(struct file_system *files, struct input *input)
{
    struct side_table_writer writer;

    side_table_begin(&writer, NONCE);
    for (int32_t i = 0; i < LOG_COUNT; i++) {
        struct side_row row = { .topic_id = TOPIC,
                                .partition = i,
                                .topic = slice_of_string("t"),
                                .row = { .start_offset = next_byte(input) % 4,
                                         .end_offset = next_byte(input),
                                         .stable_offset = next_byte(input),
                                         .active_base = next_byte(input),
                                         .active_size = next_byte(input),
                                         .leader_epoch = next_byte(input) % 3 - 1,
                                         .size = next_byte(input) * 3u,
                                         .segment_count = next_byte(input) % 4 } };
        side_table_add(&writer, &row);
    }
    slice table = side_table_end(&writer);
    put(files, "/data/logs.runnel", table.data, table.size, 0);
    side_table_free(&writer);
}

static void put_position(struct file_system *files, struct input *input)
{
    uint8_t bytes[SIDE_POSITIONS_HEADER_SIZE + SIDE_POSITION_SIZE];
    uuid directory_id = { { 1, 2, 3, 4 } };
    struct side_position position = { .topic_id = TOPIC,
                                      .partition = 0,
                                      .durable = { .offset = next_byte(input),
                                                   .segment_base = next_byte(input) - 1,
                                                   .position = next_byte(input) * 4u },
                                      .start_offset = next_byte(input) % 8 - 1 };

    side_positions_encode_header(directory_id, bytes);
    side_position_encode(&position, bytes + SIDE_POSITIONS_HEADER_SIZE);
    put(files, "/data/durable.runnel", bytes, sizeof bytes, 0);
}

/* Whole marks of that table, so that after a kill its rows are believed. */
static void put_marks(struct file_system *files, struct input *input)
{
    uint8_t bytes[SIDE_MARKS_HEADER_SIZE + SIDE_MARK_SIZE_MAX];
    uuid directory_id = { { 1, 2, 3, 4 } };
    size_t size = SIDE_MARKS_HEADER_SIZE;

    side_marks_encode_header(directory_id, NONCE, bytes);
    if (next_byte(input) & 1)
        size += side_mark_encode(slice_of_string("t-1"), bytes + size);
    put(files, "/data/written.runnel", bytes, size, 0);
}

static void build(struct file_system *files, struct input *input)
{
    struct meta_properties meta = {
        .cluster_id = "c", .node_id = 1, .version = 1, .directory_id = { { 1, 2, 3, 4 } }
    };
    char *text = meta_properties_text(&meta);
    uint8_t start = next_byte(input);

    (void)file_make_directory(files, "/data");
    (void)file_make_directory(files, "/data/t-0");
    (void)file_make_directory(files, "/data/__cluster_metadata-0");
    put(files, "/data/meta.properties", text, strlen(text), 0);
    free(text);
    if (start & 1)
        (void)partition_metadata_write(files, "/data/t-0", TOPIC, NULL);
    if (start & 2)
        (void)clean_marker_write(files, "/data", start & 4 ? NONCE : UUID_ZERO);
    while (input->left) {
        uint8_t what = next_byte(input);
        const char *path = places[next_byte(input) % PLACE_COUNT];
        if (what < 120)
            put_batch(files, places[what % 2 ? 9 : 13], input);
        else if (what < 150)
            put_table(files, input);
        else if (what < 180)
            put_position(files, input);
        else if (what < 185)
            put_marks(files, input);
        else if (what < 190)
            (void)file_unlink(files, path);
        else if (what < 200)
            put_batch(files, path, input);
        else
            put_bytes(files, path, input);
    }
}

static void check_laws(const struct log *log)
{
    struct log_offsets offsets = log_offsets(log);

    check(0 <= offsets.start && offsets.start <= offsets.stable && offsets.stable <= offsets.high_watermark &&
          offsets.high_watermark <= offsets.end && offsets.durable <= offsets.end);
}

static void read_all(struct log *log)
{
    struct arena arena;
    struct log_range range;
    struct log_found found;
    int32_t epoch;
    int64_t end;

    arena_init(&arena, NULL);
    int64_t offset = log_offsets(log).start;
    for (int i = 0; i < READS_MAX && offset < log_offsets(log).end; i++) {
        enum log_status status = log_read(log, offset, INT64_MAX, 300, true, false, &arena, &range);
        if (status == LOG_BUSY || status == LOG_COLD)
            status = log_warm(log, offset, INT64_MAX, 300);
        else if (status != LOG_OK && status != LOG_CORRUPT)
            break;
        else if (range.next_offset <= offset)
            break;
        else
            offset = range.next_offset;
        arena_reset(&arena);
    }
    (void)log_find_timestamp(log, 0, INT64_MAX, &found);
    (void)log_find_timestamp(log, 1700000000100, log_offsets(log).end, &found);
    (void)log_find_max_timestamp(log, INT64_MAX, &found);
    (void)log_size_between(log, log_offsets(log).start, log_offsets(log).end);
    (void)log_epoch_at(log, 3, &epoch);
    (void)log_epoch_end(log, 1, &epoch, &end);
    (void)log_stats(log);
    arena_destroy(&arena);
}

/* Nothing is deleted that was not asked for, and reading goes on behind it. */
static void shorten_log(struct log *log)
{
    struct log_offsets before = log_offsets(log);
    int64_t start, until = before.start + (before.high_watermark - before.start) / 2;
    enum log_status status = log_delete_records(log, until, &start);

    if (status == LOG_BUSY && log_prepare(log) == LOG_OK)
        status = log_delete_records(log, until, &start);
    if (status == LOG_OK)
        check(start >= until && start == log_offsets(log).start);
    check(log_delete_records(log, log_offsets(log).high_watermark + 1, &start) != LOG_OK);
    check_laws(log);
    read_all(log);
}

static void use_log(struct storage_host *host, struct log *log)
{
    struct arena arena;
    struct log_append_result result;

    check_laws(log);
    read_all(log);
    arena_init(&arena, NULL);
    for (int i = 0; i < 3; i++) {
        struct batch_view batch = storage_host_batch(&arena, 1, 2, 50);
        if (i > 0)
            storage_host_give_producer(&batch, 7, 1, 0);
        if (storage_host_append(host, log, &batch, &result) == LOG_OK && result.status == LOG_OK)
            check(result.end_offset <= log_offsets(log).end && result.base_offset >= 0);
        check_laws(log);
    }
    arena_destroy(&arena);
}

static bool run_session(struct file_system *files, bool clean)
{
    const char *directories[] = { "/data" };
    struct store_options options = {
        .directories = directories, .directory_count = 1, .node_id = 1, .dirty_bytes_max = 1 << 20
    };
    struct log_config config = storage_host_config(400);
    config.cleanup = LOG_CLEANUP_DELETE;
    config.retention_ms = 1 << 30;
    config.retention_bytes = 1000;
    struct log *logs[LOG_COUNT + 1];
    struct storage_host host;
    struct store *store;
    const char *error = NULL;

    storage_host_init(&host, files);
    if (store_open(&host.env, &options, &store, &error) != STORE_OK) {
        storage_host_destroy(&host);
        return false;
    }
    bool ok = store_metadata_log(store, &config, &logs[LOG_COUNT]) == LOG_OK;
    for (int32_t i = 0; i < LOG_COUNT; i++)
        check((logs[i] = store_log(store, TOPIC, "t", i, &config, NULL)));
    if (store_recover(store, 1, &error) != STORE_OK)
        ok = false;
    for (int i = 0; ok && i <= LOG_COUNT; i++)
        use_log(&host, logs[i]);
    storage_host_flush(&host, store);
    for (int i = 0; ok && i < LOG_COUNT; i++)
        shorten_log(logs[i]);
    if (ok) {
        (void)store_save_starts(store);
        (void)store_retain(store, 1700000000000, NULL, NULL);
    }
    for (int i = 0; ok && i < LOG_COUNT; i++)
        use_log(&host, logs[i]);
    storage_host_run(&host);
    storage_host_flush(&host, store);
    storage_host_run(&host);
    (void)store_close(store, clean);
    storage_host_destroy(&host);
    return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool is_silent;
    struct input input = { data, size };

    if (!is_silent) {
        note_set_fd(open("/dev/null", O_WRONLY | O_CLOEXEC));
        file_guard_install();
        is_silent = true;
    }
    struct file_double *disk = file_double_create();
    build(file_double_system(disk), &input);
    bool clean = size % 2;
    if (run_session(file_double_system(disk), clean))
        run_session(file_double_system(disk), true);
    file_double_destroy(disk);
    return 0;
}
