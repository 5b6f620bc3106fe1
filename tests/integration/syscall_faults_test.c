/* The broker is killed at its N-th system call of a kind, or that call fails, N from 1 until the run is over
 * before it comes to that: what was acknowledged is there after the next start, and the broker ended as it
 * says it does.
 *
 * strace counts the calls of each thread for itself, so the N-th call is the first that is the N-th of its
 * thread. In CI a few calls are drawn at random; RUNNEL_LONG=1: all. RUNNEL_SEED repeats a draw;
 * RUNNEL_CALL=openat, RUNNEL_ACTION=error=EIO and RUNNEL_POINT=7 choose among them. */
#include <check.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/exit_codes.h"
#include "protocol/base/check.h"
#include "protocol/base/clock.h"
#include "protocol/base/random.h"
#include "protocol/errors.h"
#include "tests/support/broker_process.h"
#include "tests/support/ledger.h"
#include "tests/support/one_partition.h"
#include "tests/support/one_request.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wire_client.h"

enum {
    POINTS_IN_CI = 8,
    POINT_MAX = 60000,
    TIMEOUT_MS = 10000,
    START_MS = 30000,
    PARTITIONS = 2,
    ROUNDS = 14,
    KEYS = 3,
    METADATA_VERSION = 12,
    PRODUCE_VERSION = 9,
    FETCH_VERSION = 12,
    EXIT_SKIPPED = 77, /* what ctest takes for that */
};

/* Calls that the broker stores with. often: about how many of them one thread makes, for the draw in CI. */
static const struct call {
    const char *name;
    unsigned often;
    const char *errors[3];
} calls[] = {
    { "openat", 60, { "EIO", "ENOSPC", "EMFILE" } },
    { "pwritev", 60, { "EIO", "ENOSPC" } },
    { "pwrite64", 30, { "EIO", "ENOSPC" } },
    { "fdatasync", 40, { "EIO", "ENOSPC" } },
    { "fsync", 20, { "EIO", "ENOSPC" } },
    { "syncfs", 10, { "EIO" } },
    { "rename", 20, { "EIO", "ENOSPC" } },
    { "unlink", 10, { "EIO" } },
    { "ftruncate", 5, { "EIO" } },
    { "mkdir", 6, { "EIO", "ENOSPC" } },
    { "mmap", 40, { "ENOMEM" } },
    { "pread64", 20, { "EIO" } },
    { "newfstatat", 30, { "EIO" } },
    { "getdents64", 10, { "EIO" } },
    { "fcntl", 10, { "EIO" } },
    { "sendmsg", 60, { "EIO", "ENOBUFS" } },
};
enum { CALLS = sizeof calls / sizeof *calls };

/* One fault: where and what. */
struct point {
    const char *call;
    const char *action; /* of strace: "signal=KILL", "error=EIO" */
    unsigned number;
    bool in_recovery; /* of a start after a kill, not of the first one */
};

static char place[160];

/* -- the broker under strace ----------------------------------------------------------------------------- */

struct run {
    struct temp_dir dir;
    char data_dir[TEMP_DIR_PATH_SIZE + 8];
    struct broker_process *broker;
    struct wire_client client;
    struct ledger *ledger;
    bool is_connected;
    /* What was promised; asked for is what an answer is missing to. */
    bool has_topic, is_gone, has_keys;
    int64_t acked_keys[KEYS];
    int64_t start_acked, commit_acked, commit_asked;
    int64_t sequence;
    int64_t from[PARTITIONS];
    unsigned hangs;
};

static const char *const arguments[] = { "--loops",    "1",
                                         "--override", "log.cleaner.backoff.ms=1",
                                         "--override", "log.segment.delete.delay.ms=0",
                                         "--override", "offsets.topic.num.partitions=1",
                                         "--override", "auto.create.topics.enable=false",
                                         NULL };

/* $RUNNEL_BINARY is for who starts brokers by that name alone: here a wrapper is to be started. */
static char chosen_binary[4096] = RUNNEL_BINARY;

static void take_chosen_binary(void)
{
    const char *chosen = getenv("RUNNEL_BINARY");
    if (chosen && *chosen)
        snprintf(chosen_binary, sizeof chosen_binary, "%s", chosen);
    unsetenv("RUNNEL_BINARY");
}

static const char *broker_binary(void)
{
    return chosen_binary;
}

static bool is_kill(const struct point *point)
{
    return strncmp(point->action, "signal=", 7) == 0;
}

/* A program that is the broker with a fault in it: its process is the broker's own, as strace goes beside it
 * (-D). strace 6.1 forgets signals under --seccomp-bpf, which lets all other calls pass untouched. */
static void write_wrapper(const struct run *run, const struct point *point,
                          char path[TEMP_DIR_PATH_SIZE + 16])
{
    snprintf(path, TEMP_DIR_PATH_SIZE + 16, "%s/wrapper", run->dir.path);
    FILE *file = fopen(path, "we");
    check(file != NULL);
    check(fprintf(file,
                  "#!/bin/sh\nexec strace -D -f %s -o '%s/trace' -e trace=%s -e inject=%s:%s:when=%u '%s' "
                  "\"$@\"\n",
                  is_kill(point) ? "" : "--seccomp-bpf", run->dir.path, point->call, point->call,
                  point->action, point->number, broker_binary()) > 0);
    check(fclose(file) == 0);
    check(chmod(path, 0755) == 0);
}

/* Whether strace did what it was asked for. It may write its last lines after the broker has ended. */
static bool was_hit(const struct run *run)
{
    char path[TEMP_DIR_PATH_SIZE + 16], line[4096];
    bool is_hit = false;
    snprintf(path, sizeof path, "%s/trace", run->dir.path);
    FILE *file = fopen(path, "re");
    while (file && !is_hit && fgets(line, sizeof line, file))
        is_hit = strstr(line, "(INJECTED)") != NULL;
    if (file)
        fclose(file);
    return is_hit;
}

static void disconnect_client(struct run *run)
{
    if (run->is_connected)
        wire_close(&run->client);
    run->is_connected = false;
}

static bool connect_client(struct run *run)
{
    disconnect_client(run);
    run->is_connected = wire_connect(&run->client, broker_process_address(run->broker), TIMEOUT_MS);
    return run->is_connected;
}

/* False: no answer; the next request comes over a new connection. */
static bool call(struct run *run, int16_t key, int16_t version, const void *request, void *response)
{
    int64_t before_ms = clock_mono_ms(clock_real());
    if (!run->is_connected && !connect_client(run))
        return false;
    if (wire_call(&run->client, key, version, request, response))
        return true;
    disconnect_client(run);
    run->hangs += clock_mono_ms(clock_real()) - before_ms >= TIMEOUT_MS;
    return false;
}

/* -- what the client does -------------------------------------------------------------------------------- */

static bool create(struct run *run, const char *name, int32_t partitions, const char *policy)
{
    const struct one_setting settings[] = { { "internal.segment.bytes", "12000" },
                                            { "cleanup.policy", policy },
                                            { "min.cleanable.dirty.ratio", "0.01" },
                                            { NULL, NULL } };
    struct one_create one;
    struct create_topics_response response;
    one_create(&one, name, partitions, settings);
    return call(run, ONE_CREATE, ONE_CREATE_VERSION, &one.request, &response) &&
           response.topics[0].error_code == ERR_NONE;
}

static bool send_batch(struct run *run, const char *topic, int32_t partition, struct batch_builder *builder,
                       int64_t *base_offset)
{
    struct one_produce one;
    struct produce_response response;
    struct batch_view batch;
    check(batch_builder_finish(builder, &batch) == BATCH_OK);
    one_produce(&one, topic, partition, batch_bytes(&batch));
    if (!call(run, ONE_PRODUCE, PRODUCE_VERSION, &one.request, &response) ||
        response.topics[0].partitions[0].error_code != ERR_NONE)
        return false;
    *base_offset = response.topics[0].partitions[0].base_offset;
    return true;
}

static void produce(struct run *run, int32_t partition, int count)
{
    static const struct batch_builder_options options = { NO_PRODUCER };
    struct arena arena;
    struct ledger_id first = { partition, run->sequence };
    int64_t base_offset;
    arena_init(&arena, NULL);
    struct batch_builder *builder = batch_builder_open(&arena, &options);
    for (int i = 0; i < count; i++) {
        uint8_t value[LEDGER_VALUE_MAX];
        size_t size = ledger_value(1, (struct ledger_id){ partition, run->sequence++ }, value);
        check(batch_builder_add(builder, clock_wall_ms(clock_real()), SLICE_NULL, slice_of(value, size), NULL,
                                0));
    }
    if (send_batch(run, "a", partition, builder, &base_offset))
        for (int i = 0; i < count; i++)
            ledger_acknowledge(run->ledger, partition, base_offset + i,
                               (struct ledger_id){ partition, first.sequence + i });
    arena_destroy(&arena);
}

/* Values are numbers that rise; what fills the segments is beside them. */
static void produce_key(struct run *run, int key, int64_t number)
{
    static const struct batch_builder_options options = { NO_PRODUCER };
    char name[8], value[2048];
    struct arena arena;
    int64_t base_offset;
    arena_init(&arena, NULL);
    snprintf(name, sizeof name, "%d", key);
    snprintf(value, sizeof value, "%lld %1500d", (long long)number, 0);
    struct batch_builder *builder = batch_builder_open(&arena, &options);
    check(batch_builder_add(builder, clock_wall_ms(clock_real()), slice_of_string(name),
                            slice_of_string(value), NULL, 0));
    if (send_batch(run, "k", 0, builder, &base_offset))
        run->acked_keys[key] = number;
    arena_destroy(&arena);
}

static void commit(struct run *run, int64_t offset)
{
    struct one_commit one;
    struct offset_commit_response response;
    one_commit(&one, "g", "a", 0, offset);
    run->commit_asked = offset;
    if (call(run, ONE_COMMIT, ONE_COMMIT_VERSION, &one.request, &response) &&
        response.topics[0].partitions[0].error_code == ERR_NONE)
        run->commit_acked = offset;
}

static void find_coordinator(struct run *run)
{
    /* A commit says COORDINATOR_NOT_AVAILABLE until somebody has asked for one. */
    struct one_create one;
    struct create_topics_response response;
    one_create(&one, "__consumer_offsets", 1, NULL);
    (void)call(run, ONE_CREATE, ONE_CREATE_VERSION, &one.request, &response);
}

static void delete_records(struct run *run, int64_t offset)
{
    struct one_delete_records one;
    struct delete_records_response response;
    one_delete_records(&one, "a", 0, offset);
    if (call(run, ONE_DELETE_RECORDS, ONE_DELETE_RECORDS_VERSION, &one.request, &response) &&
        response.topics[0].partitions[0].error_code == ERR_NONE)
        run->start_acked = response.topics[0].partitions[0].low_watermark;
}

static void delete_gone(struct run *run)
{
    struct one_delete one;
    struct delete_topics_response response;
    one_delete(&one, "gone");
    run->is_gone = call(run, ONE_DELETE, ONE_DELETE_VERSION, &one.request, &response) &&
                   response.topics[0].error_code == ERR_NONE;
}

static void alter(struct run *run)
{
    struct one_alter one;
    struct incremental_alter_configs_response response;
    one_alter(&one, "a", (struct one_setting){ "retention.bytes", "100000000" });
    (void)call(run, ONE_ALTER, ONE_ALTER_VERSION, &one.request, &response);
}

static int16_t fetch(struct run *run, const char *topic, int32_t partition, int64_t offset,
                     struct fetch_response *response)
{
    struct one_fetch one;
    one_fetch(&one, topic, partition, offset);
    return call(run, ONE_FETCH, FETCH_VERSION, &one.request, response)
               ? response->topics[0].partitions[0].error_code
               : -1;
}

/* As far as the broker lives. A first run makes the topics, another one goes on with them. */
static void play(struct run *run, bool is_first)
{
    struct fetch_response fetched;
    int64_t from = is_first ? 0 : ROUNDS;
    if (is_first) {
        run->has_topic = create(run, "a", PARTITIONS, "delete");
        run->has_keys = create(run, "k", 1, "compact");
        find_coordinator(run);
    }
    run->is_gone = false; /* one of that name may come again */
    (void)create(run, "gone", 1, "delete");
    for (int64_t round = from; round < from + ROUNDS && !broker_process_ended(run->broker, 0); round++) {
        produce(run, 0, 2);
        produce(run, 1, 3);
        produce_key(run, (int)(round % KEYS), round + 1);
        if (round % 4 == 1)
            commit(run, round + 1);
        if (round % ROUNDS == 5)
            (void)fetch(run, "a", 1, 0, &fetched);
        if (round % ROUNDS == 6)
            delete_records(run, round);
        if (round % ROUNDS == 8)
            alter(run);
        if (round % ROUNDS == 10)
            delete_gone(run);
    }
}

/* -- what is left ---------------------------------------------------------------------------------------- */

static bool has_topic(struct run *run, const char *name)
{
    struct one_metadata one;
    struct metadata_response response;
    one_metadata(&one, slice_of_string(name));
    one.request.allow_auto_topic_creation = false;
    ck_assert_msg(call(run, ONE_METADATA, METADATA_VERSION, &one.request, &response), "%s: no Metadata",
                  place);
    return response.topics[0].error_code == ERR_NONE;
}

static int64_t start_of(struct run *run, int32_t partition)
{
    struct one_list_offsets one;
    struct list_offsets_response response;
    one_list_offsets(&one, "a", partition, -2);
    ck_assert_msg(call(run, ONE_LIST_OFFSETS, 7, &one.request, &response), "%s: no ListOffsets", place);
    ck_assert_int_eq(response.topics[0].partitions[0].error_code, ERR_NONE);
    return response.topics[0].partitions[0].offset;
}

/* Every record from an offset to the end, whole and in order. */
static void read_partition(struct run *run, const char *topic, int32_t partition, int64_t offset,
                           void (*take)(void *context, int32_t partition, const struct record *record),
                           void *context)
{
    struct arena arena;
    struct fetch_response response;
    arena_init(&arena, NULL);
    for (bool is_end = false; !is_end;) {
        int16_t error_code = fetch(run, topic, partition, offset, &response);
        ck_assert_msg(error_code == ERR_NONE, "%s: %s-%d at %" PRId64 ": error %d", place, topic, partition,
                      offset, error_code);
        slice bytes = response.topics[0].partitions[0].records.bytes;
        is_end = bytes.size == 0;
        if (is_end)
            ck_assert_msg(offset == response.topics[0].partitions[0].high_watermark,
                          "%s: %s-%d ends at %" PRId64, place, topic, partition, offset);
        while (bytes.size > 0) {
            struct batch_view batch;
            struct record record;
            ck_assert_msg(batch_view(bytes, &batch) == BATCH_OK && batch_crc_ok(&batch),
                          "%s: %s-%d: a damaged batch", place, topic, partition);
            struct record_iterator *iterator = record_iterator_open(&batch, &arena, 1 << 20);
            while (record_iterator_next(iterator, &record) == BATCH_OK)
                if (record.offset >= offset)
                    take(context, partition, &record);
            record_iterator_close(iterator);
            offset = batch_last_offset(&batch) + 1;
            bytes = slice_of(bytes.data + batch.size, bytes.size - batch.size);
        }
        arena_reset(&arena);
    }
    arena_destroy(&arena);
}

static void take_for_ledger(void *context, int32_t partition, const struct record *record)
{
    ledger_judge_record(context, partition, record->offset, record->value);
}

static void take_key(void *context, int32_t partition, const struct record *record)
{
    int64_t *last = context;
    (void)partition;
    int64_t number = strtoll((const char *)record->value.data, NULL, 10);
    int key = record->key.data[0] - '0';
    ck_assert_msg(key >= 0 && key < KEYS && number > last[key],
                  "%s: key %d: %" PRId64 " comes after %" PRId64, place, key, number, last[key]);
    last[key] = number;
}

static void judge_ledger(struct run *run)
{
    struct ledger_judge *judge = ledger_judge_open(run->ledger);
    for (int32_t p = 0; p < PARTITIONS; p++) {
        int64_t start = start_of(run, p);
        if (p == 0)
            ck_assert_msg(start >= run->start_acked, "%s: deleted records are back from %" PRId64 " on",
                          place, start);
        ledger_judge_begin(judge, p, start);
        read_partition(run, "a", p, start, take_for_ledger, judge);
    }
    struct ledger_verdict verdict = ledger_judge_close(judge);
    ck_assert_msg(verdict.lost == 0 && verdict.corrupt == 0 && verdict.duplicates == 0 &&
                      verdict.disordered == 0 && verdict.gaps == 0,
                  "%s: lost %" PRId64 " corrupt %" PRId64 " duplicates %" PRId64 " disordered %" PRId64
                  " gaps %" PRId64,
                  place, verdict.lost, verdict.corrupt, verdict.duplicates, verdict.disordered, verdict.gaps);
}

static void judge_commit(struct run *run)
{
    struct one_offsets one;
    struct offset_fetch_response response;
    one_offsets(&one, "g", "a", 0);
    int64_t deadline_ms = clock_mono_ms(clock_real()) + TIMEOUT_MS;
    do /* the coordinator may still load */
        ck_assert_msg(call(run, ONE_OFFSETS, ONE_OFFSETS_VERSION, &one.request, &response),
                      "%s: no OffsetFetch", place);
    while (response.groups[0].error_code == ERR_COORDINATOR_LOAD_IN_PROGRESS &&
           clock_mono_ms(clock_real()) < deadline_ms);
    ck_assert_msg(response.groups[0].error_code == ERR_NONE, "%s: OffsetFetch: error %d", place,
                  response.groups[0].error_code);
    int64_t committed = response.groups[0].topics[0].partitions[0].committed_offset;
    ck_assert_msg(committed >= run->commit_acked && committed <= run->commit_asked,
                  "%s: committed is %" PRId64 ", answered was %" PRId64, place, committed, run->commit_acked);
}

/* The next start, without any fault. */
static void judge(struct run *run)
{
    run->broker = broker_process_start(broker_binary(), run->data_dir, arguments);
    run->is_connected = false;
    if (run->has_topic) {
        ck_assert_msg(has_topic(run, "a"), "%s: a topic is lost", place);
        judge_ledger(run);
    }
    if (run->has_keys) {
        int64_t last[KEYS] = { 0 };
        read_partition(run, "k", 0, 0, take_key, last);
        for (int key = 0; key < KEYS; key++)
            ck_assert_msg(last[key] >= run->acked_keys[key], "%s: key %d is lost", place, key);
    }
    if (run->is_gone)
        ck_assert_msg(!has_topic(run, "gone"), "%s: a deleted topic is back", place);
    if (run->commit_acked >= 0)
        judge_commit(run);
    disconnect_client(run);
    int status = broker_process_stop(run->broker);
    ck_assert_msg(status == EXIT_OK, "%s: the next start ends with %d", place, status);
}

/* -- how it may end -------------------------------------------------------------------------------------- */

/* By the table of exit codes: what a start cannot take, or a device that failed. Never a signal, never 65:
 * nothing on the device is damaged. */
static bool is_expected(const struct point *point, int status)
{
    if (is_kill(point))
        return status == 128 + 9 || status == EXIT_OK;
    if (strstr(point->action, "EMFILE") || strstr(point->action, "ENOMEM"))
        return status == EXIT_OK || status == EXIT_INTERNAL || status == EXIT_ADDRESS ||
               status == EXIT_STORAGE_FAILED;
    if (strstr(point->action, "ENOSPC"))
        return status == EXIT_OK || status == EXIT_DATA_DIR_UNWRITABLE || status == EXIT_STORAGE_FAILED;
    return status == EXIT_OK || status == EXIT_STORAGE_FAILED;
}

/* Whether a line says why. */
static bool says_why(const struct run *run)
{
    char path[sizeof run->data_dir + 8], line[4096];
    bool says = false;
    snprintf(path, sizeof path, "%s.stderr", run->data_dir);
    FILE *file = fopen(path, "re");
    while (file && !says && fgets(line, sizeof line, file))
        says = strstr(line, "start.failed") || strstr(line, "storage.failed") ||
               strstr(line, "storage.close_failed");
    if (file)
        fclose(file);
    return says;
}

static void begin(struct run *run)
{
    char path[TEMP_DIR_PATH_SIZE + 16];
    *run = (struct run){ .commit_acked = -1, .commit_asked = -1 };
    temp_dir_create(&run->dir);
    snprintf(run->data_dir, sizeof run->data_dir, "%s/data", run->dir.path);
    snprintf(path, sizeof path, "%s/ledger", run->dir.path);
    run->ledger = ledger_create(path, 1);
}

static void end(struct run *run)
{
    ledger_destroy(run->ledger);
    temp_dir_destroy(&run->dir);
}

/* A run that nothing disturbs, and a kill: what is behind it is another point's beginning. */
static void prepare(struct run *run)
{
    run->broker = broker_process_start(broker_binary(), run->data_dir, arguments);
    play(run, true);
    ck_assert_int_eq(broker_process_kill(run->broker), 128 + 9);
    disconnect_client(run);
}

/* Returns whether the broker came to that call. */
static bool run_point(const struct point *point)
{
    static struct run run;
    char wrapper[TEMP_DIR_PATH_SIZE + 16];
    snprintf(place, sizeof place, "%s %s at %u%s", point->call, point->action, point->number,
             point->in_recovery ? ", in recovery" : "");
    begin(&run);
    if (point->in_recovery)
        prepare(&run);
    write_wrapper(&run, point, wrapper);
    run.broker = broker_process_spawn(wrapper, run.data_dir, arguments);
    bool is_ready = broker_process_wait_ready(run.broker, START_MS);
    if (is_ready)
        play(&run, !point->in_recovery);
    else
        ck_assert_msg(broker_process_ended(run.broker, TIMEOUT_MS), "%s: neither ready nor ended", place);
    disconnect_client(&run);
    int status = broker_process_stop(run.broker);
    bool is_hit = was_hit(&run) || status == 128 + 9;
    ck_assert_msg(is_expected(point, status), "%s: ended with %d", place, status);
    ck_assert_msg(status == EXIT_OK || status == 128 + 9 || says_why(&run),
                  "%s: ended with %d, and nobody says why", place, status);
    ck_assert_msg(run.hangs == 0, "%s: %u requests without an answer", place, run.hangs);
    judge(&run);
    end(&run);
    return is_hit;
}

/* -- points ---------------------------------------------------------------------------------------------- */

static bool is_long(void)
{
    const char *text = getenv("RUNNEL_LONG");
    return text && strcmp(text, "1") == 0;
}

static bool is_chosen(const char *variable, const char *value)
{
    const char *text = getenv(variable);
    return !text || !*text || strcmp(text, value) == 0;
}

/* The actions on one call: a kill, and each of its errors. */
static const char *action_of(const struct call *call, size_t index, char text[32])
{
    if (index == 0)
        return "signal=KILL";
    if (index > sizeof call->errors / sizeof *call->errors || !call->errors[index - 1])
        return NULL;
    snprintf(text, 32, "error=%s", call->errors[index - 1]);
    return text;
}

/* How many such calls are made before there is a broker: those of the loader. */
static unsigned calls_of_loader(const char *call)
{
    char command[8192], line[4096];
    unsigned count = 0;
    snprintf(command, sizeof command, "strace -f -e trace=%s '%s' --version 2>&1 >/dev/null", call,
             broker_binary());
    FILE *lines = popen(command, "re");
    check(lines != NULL);
    while (fgets(line, sizeof line, lines))
        count += strncmp(line, call, strlen(call)) == 0;
    check(pclose(lines) == 0);
    return count;
}

static unsigned every_number(const struct point *point_of_series)
{
    struct point point = *point_of_series;
    unsigned hits = 0;
    for (unsigned misses = 0; misses < 3 && point.number < POINT_MAX; point.number++) {
        bool is_hit = run_point(&point);
        hits += is_hit;
        misses = is_hit ? 0 : misses + 1;
    }
    printf("%-10s %-14s %-12s %u points, lost 0\n", point.call, point.action,
           point.in_recovery ? "in recovery" : "", hits);
    fflush(stdout);
    return hits;
}

START_TEST(every_call)
{
    const char *chosen = getenv("RUNNEL_POINT");
    unsigned total = 0;
    for (size_t c = 0; c < CALLS; c++) {
        for (size_t a = 0;; a++) {
            char text[32];
            const char *action = action_of(&calls[c], a, text);
            if (!action)
                break;
            if (!is_chosen("RUNNEL_CALL", calls[c].name) || !is_chosen("RUNNEL_ACTION", action))
                continue;
            struct point point = { calls[c].name, action, 1 + calls_of_loader(calls[c].name), _i == 1 };
            if (chosen) {
                point.number = (unsigned)strtoul(chosen, NULL, 10);
                total += run_point(&point);
            } else {
                total += every_number(&point);
            }
        }
    }
    printf("%s: %u points, lost 0\n", _i == 1 ? "in recovery" : "from an empty directory", total);
}
END_TEST

START_TEST(some_calls)
{
    struct random random;
    uint64_t seed;
    const char *given = getenv("RUNNEL_SEED");
    unsigned hits = 0;
    random_secure(&seed, sizeof seed);
    if (given && *given)
        seed = strtoull(given, NULL, 0);
    printf("seed: RUNNEL_SEED=%" PRIu64 "\n", seed);
    fflush(stdout);
    random_seed(&random, seed);
    for (int i = 0; i < POINTS_IN_CI; i++) {
        char text[32];
        const struct call *call = &calls[random_below(&random, CALLS)];
        const char *action = random_below(&random, 2) ? "signal=KILL" : action_of(call, 1, text);
        unsigned first = 1 + calls_of_loader(call->name);
        struct point point = { call->name, action, first + (unsigned)random_below(&random, call->often),
                               random_below(&random, 3) == 0 };
        hits += run_point(&point);
    }
    printf("points %d, of these hit %u, lost 0\n", POINTS_IN_CI, hits);
}
END_TEST

/* Why this cannot be tried here, or NULL. */
static const char *obstacle(void)
{
#ifdef __SANITIZE_ADDRESS__
    return "AddressSanitizer makes calls of its own";
#endif
    if (getenv("TSAN_OPTIONS") || getenv("ASAN_OPTIONS"))
        return "the sanitizers make calls of their own";
    if (system("strace -V >/dev/null 2>&1") != 0)
        return "there is no strace";
    if (system(
            "strace -D -f --seccomp-bpf -o /dev/null -e trace=openat -e inject=openat:error=EIO:when=60000 "
            "true >/dev/null 2>&1") != 0)
        return "ptrace is not permitted";
    return NULL;
}

int main(void)
{
    const char *why = obstacle();
    take_chosen_binary();
    if (why) {
        printf("skipped: %s\n", why);
        return EXIT_SKIPPED;
    }
    Suite *suite = suite_create("faults of system calls");
    TCase *tests = tcase_create("each call fails once");
    tcase_set_timeout(tests, is_long() ? 100000 : 280);
    if (is_long() || getenv("RUNNEL_POINT"))
        tcase_add_loop_test(tests, every_call, 0, 2);
    else
        tcase_add_test(tests, some_calls);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures == 0 ? 0 : 1;
}
