/* A device on which each write and each flush takes two seconds: who writes waits and is answered, everybody
 * else does not notice.
 *
 * RUNNEL_SECONDS: how long the device is slow (default 7). */
#include <check.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "codec/api_versions.h"
#include "codec/consumer_group_heartbeat.h"
#include "codec/create_topics.h"
#include "codec/describe_configs.h"
#include "codec/heartbeat.h"
#include "codec/join_group.h"
#include "codec/offset_fetch.h"
#include "codec/offset_for_leader_epoch.h"
#include "codec/sync_group.h"
#include "protocol/base/check.h"
#include "protocol/errors.h"
#include "tests/support/broker_process.h"
#include "tests/support/fault_disk.h"
#include "tests/support/load.h"
#include "tests/support/one_partition.h"
#include "tests/support/small_calls.h"
#include "tests/support/suite.h"
#include "tests/support/temp_dir.h"
#include "tests/support/topic_client.h"
#include "tests/support/wire_client.h"

enum {
    DELAY_MS = 2000,
    LATE_MS = 1000, /* for 99 of 100 answers of who does not write; 50 on a quiet machine: HISTORY.md */
    POLL_WAIT_MS = 20,
    PACE_MS = 15,
    SECONDS = 7,
    TIMEOUT_MS = 60000,
    SAMPLES_MAX = 20000,
    CACHED_BATCHES = 200,
    WRITERS = 4, /* of which the odd ones are idempotent */
    SLOW_KINDS = FAULT_WRITE | FAULT_TRUNCATE | FAULT_FLUSH | FAULT_NAMES,
};

static const char *const topics[] = { "cached", "polled", "written", "retained", "trimmed" };

static struct temp_dir dir;
static struct fault_disk disk;
static struct broker_process *broker;
static const char *address;
static atomic_bool is_over;
static char classic_id[256], consumer_id[256];
static int32_t classic_generation, consumer_epoch;

/* One kind of request, asked again and again over a connection of its own. */
struct asker {
    const char *what;
    bool (*ask)(struct asker *asker); /* false: no answer, or an error */
    bool writes;
    int number;
    struct wire_client client;
    struct arena arena; /* reset after each request */
    pthread_t thread;
    int64_t producer_id;
    int32_t sequence;
    int64_t done; /* requests that were answered without an error */
    int64_t failed;
    int16_t error_code; /* of the last that failed */
    double *ms;
    int count;
};

static bool is_good(struct asker *asker, int16_t error_code)
{
    if (error_code != ERR_NONE)
        asker->error_code = error_code;
    return error_code == ERR_NONE;
}

/* --- those who do not write ------------------------------------------------------------------------- */

static bool ask_versions(struct asker *asker)
{
    struct api_versions_request request;
    struct api_versions_response response;
    api_versions_request_init(&request);
    request.client_software_name = request.client_software_version = SLICE_LITERAL("test");
    return wire_call(&asker->client, 18, 3, &request, &response) && is_good(asker, response.error_code);
}

static bool ask_metadata(struct asker *asker)
{
    struct metadata_request request;
    struct metadata_response response;
    metadata_request_init(&request);
    request.topics_count = -1; /* all */
    request.topics = NULL;
    return wire_call(&asker->client, 3, 9, &request, &response) && response.topics_count >= 5;
}

static bool fetch(struct asker *asker, const char *topic, int64_t offset, int32_t wait_ms, int64_t *got)
{
    struct one_fetch one;
    struct fetch_response response;
    one_fetch(&one, topic, 0, offset);
    one.request.max_wait_ms = wait_ms;
    if (!wire_call(&asker->client, 1, 11, &one.request, &response))
        return false;
    *got = (int64_t)response.topics[0].partitions[0].records.bytes.size;
    return is_good(asker, response.topics[0].partitions[0].error_code);
}

static bool fetch_cached(struct asker *asker)
{
    int64_t got;
    return fetch(asker, "cached", asker->done % CACHED_BATCHES, 0, &got) && got > 0;
}

/* Its end is what others wait for. */
static bool fetch_written(struct asker *asker)
{
    int64_t got;
    return fetch(asker, "written", 0, 0, &got) && got > 0;
}

static bool poll_idle(struct asker *asker)
{
    int64_t got;
    return fetch(asker, "polled", 0, POLL_WAIT_MS, &got) && got == 0;
}

static bool list(struct asker *asker, const char *topic, int64_t timestamp)
{
    struct one_list_offsets one;
    struct list_offsets_response response;
    one_list_offsets(&one, topic, 0, timestamp);
    return wire_call(&asker->client, 2, 6, &one.request, &response) &&
           is_good(asker, response.topics[0].partitions[0].error_code);
}

static bool list_latest(struct asker *asker)
{
    return list(asker, "written", -1);
}

static bool list_earliest(struct asker *asker)
{
    return list(asker, "written", -2);
}

static bool list_time(struct asker *asker)
{
    return list(asker, "cached", 1700000000000);
}

static bool ask_epoch_end(struct asker *asker)
{
    struct offset_for_leader_epoch_request request;
    struct offset_for_leader_epoch_request_topic topic;
    struct offset_for_leader_epoch_request_partition partition;
    struct offset_for_leader_epoch_response response;
    offset_for_leader_epoch_request_init(&request);
    offset_for_leader_epoch_request_topic_init(&topic);
    offset_for_leader_epoch_request_partition_init(&partition);
    partition.leader_epoch = 0;
    topic.name = SLICE_LITERAL("written");
    topic.partitions = &partition;
    request.topics = &topic;
    topic.partitions_count = request.topics_count = 1;
    return wire_call(&asker->client, 23, 3, &request, &response) &&
           is_good(asker, response.topics[0].partitions[0].error_code);
}

static bool find(struct asker *asker)
{
    return is_good(asker, call_find_coordinator(&asker->client, "classic"));
}

static bool describe_configs(struct asker *asker)
{
    struct describe_configs_request request;
    struct describe_configs_request_resource resource;
    struct describe_configs_response response;
    describe_configs_request_init(&request);
    describe_configs_request_resource_init(&resource);
    resource.resource_type = 2;
    resource.resource_name = SLICE_LITERAL("written");
    resource.configuration_keys_count = -1;
    resource.configuration_keys = NULL;
    request.resources = &resource;
    request.resources_count = 1;
    return wire_call(&asker->client, 32, 2, &request, &response) &&
           is_good(asker, response.results[0].error_code);
}

static bool heartbeat(struct asker *asker)
{
    struct heartbeat_request request;
    struct heartbeat_response response;
    heartbeat_request_init(&request);
    request.group_id = SLICE_LITERAL("classic");
    request.member_id = slice_of_string(classic_id);
    request.generation_id = classic_generation;
    return wire_call(&asker->client, 12, 2, &request, &response) && is_good(asker, response.error_code);
}

static bool consumer_heartbeat(struct asker *asker)
{
    struct consumer_group_heartbeat_request request;
    struct consumer_group_heartbeat_response response;
    consumer_group_heartbeat_request_init(&request);
    request.group_id = SLICE_LITERAL("consumer");
    request.member_id = slice_of_string(consumer_id);
    request.member_epoch = consumer_epoch;
    return wire_call(&asker->client, 68, 0, &request, &response) && is_good(asker, response.error_code);
}

static bool fetch_offsets(struct asker *asker)
{
    struct offset_fetch_request request;
    struct offset_fetch_response response;
    offset_fetch_request_init(&request);
    request.group_id =
        SLICE_LITERAL("quiet"); /* of one that commits, the answer waits for what it tells of */
    request.topics = NULL;
    request.topics_count = -1;
    return wire_call(&asker->client, 9, 5, &request, &response) && is_good(asker, response.error_code);
}

/* --- those who do ----------------------------------------------------------------------------------- */

/* Each writer has a partition of its own, so that it knows which offset comes next. */
static bool produce(struct asker *asker)
{
    struct one_produce one;
    struct produce_response response;
    bool is_idempotent = asker->producer_id >= 0;
    const struct batch_builder_options options = { .leader_epoch = -1,
                                                   .producer_id = asker->producer_id,
                                                   .producer_epoch = is_idempotent ? 0 : -1,
                                                   .base_sequence = is_idempotent ? asker->sequence : -1 };
    struct batch_view batch = small_batch(&asker->arena, &options, 1);
    one_produce(&one, "written", asker->number, batch_bytes(&batch));
    one.request.timeout_ms = TIMEOUT_MS;
    if (!wire_call(&asker->client, 0, 9, &one.request, &response))
        return false;
    asker->sequence++;
    return is_good(asker, response.topics[0].partitions[0].error_code) &&
           response.topics[0].partitions[0].base_offset == asker->done;
}

static bool commit(struct asker *asker)
{
    const struct committer member = { "classic", classic_id, classic_generation };
    return is_good(asker, call_commit(&asker->client, asker->number == 0 ? COMMITTER_OF("reader") : &member,
                                      "cached", asker->done));
}

static bool create_and_delete(struct asker *asker)
{
    const char *name = "passing";
    bool makes = asker->done % 2 == 0;
    return is_good(asker, makes ? topic_client_create(&asker->client, &name, 1, 3)
                                : topic_client_delete(&asker->client, &name, 1));
}

static bool delete_records(struct asker *asker)
{
    return is_good(asker, call_delete_records(&asker->client, "trimmed", asker->done));
}

static struct asker askers[] = {
    { .what = "ApiVersions", .ask = ask_versions },
    { .what = "Metadata", .ask = ask_metadata },
    { .what = "Fetch cached", .ask = fetch_cached },
    { .what = "Fetch written", .ask = fetch_written },
    { .what = "Fetch poll", .ask = poll_idle }, /* its wait is taken off */
    { .what = "ListOffsets latest", .ask = list_latest },
    { .what = "ListOffsets earliest", .ask = list_earliest },
    { .what = "ListOffsets time", .ask = list_time },
    { .what = "OffsetForLeaderEpoch", .ask = ask_epoch_end },
    { .what = "FindCoordinator", .ask = find },
    { .what = "DescribeConfigs", .ask = describe_configs },
    { .what = "Heartbeat", .ask = heartbeat },
    { .what = "ConsumerGroupHeartbeat", .ask = consumer_heartbeat },
    { .what = "OffsetFetch", .ask = fetch_offsets },
    { .what = "Produce", .ask = produce, .writes = true },
    { .what = "Produce idempotent", .ask = produce, .writes = true, .number = 1 },
    { .what = "Produce", .ask = produce, .writes = true, .number = 2 },
    { .what = "Produce idempotent", .ask = produce, .writes = true, .number = 3 },
    { .what = "OffsetCommit", .ask = commit, .writes = true },
    { .what = "OffsetCommit member", .ask = commit, .writes = true, .number = 1 },
    { .what = "Create, DeleteTopics", .ask = create_and_delete, .writes = true },
    { .what = "DeleteRecords", .ask = delete_records, .writes = true },
};
enum { ASKERS = sizeof askers / sizeof *askers };

/* --- the run ---------------------------------------------------------------------------------------- */

static void *keep_asking(void *context)
{
    struct asker *asker = context;
    while (!atomic_load(&is_over)) {
        double before = monotonic_seconds();
        bool ok = asker->ask(asker);
        double ms = (monotonic_seconds() - before) * 1000 - (asker->ask == poll_idle ? POLL_WAIT_MS : 0);
        arena_reset(&asker->arena);
        if (asker->count < SAMPLES_MAX)
            asker->ms[asker->count++] = ms;
        asker->done += ok;
        asker->failed += !ok;
        if (!ok)
            break;
        if (!asker->writes)
            poll(NULL, 0, PACE_MS);
    }
    return NULL;
}

static void join_classic(struct wire_client *client)
{
    struct join_group_request join;
    struct join_group_request_protocol protocol;
    struct join_group_response joined;
    struct sync_group_request sync;
    struct sync_group_response synced;
    join_group_request_init(&join);
    join_group_request_protocol_init(&protocol);
    protocol.name = SLICE_LITERAL("range");
    protocol.metadata = SLICE_LITERAL("");
    join.group_id = SLICE_LITERAL("classic");
    join.protocol_type = SLICE_LITERAL("consumer");
    join.member_id = SLICE_LITERAL("");
    join.session_timeout_ms = join.rebalance_timeout_ms = TIMEOUT_MS;
    join.protocols = &protocol;
    join.protocols_count = 1;
    ck_assert(wire_call(client, 11, 2, &join, &joined));
    ck_assert_int_eq(joined.error_code, ERR_NONE);
    ck_assert_uint_lt(joined.member_id.size, sizeof classic_id);
    memcpy(classic_id, joined.member_id.data, joined.member_id.size);
    classic_id[joined.member_id.size] = '\0';
    classic_generation = joined.generation_id;
    sync_group_request_init(&sync);
    sync.group_id = SLICE_LITERAL("classic");
    sync.member_id = slice_of_string(classic_id);
    sync.generation_id = classic_generation;
    ck_assert(wire_call(client, 14, 1, &sync, &synced));
    ck_assert_int_eq(synced.error_code, ERR_NONE);
}

static void join_consumer(struct wire_client *client)
{
    struct consumer_group_heartbeat_request request;
    struct consumer_group_heartbeat_response response;
    struct consumer_group_heartbeat_request_topic_partition none;
    slice name = SLICE_LITERAL("polled");
    consumer_group_heartbeat_request_init(&request);
    request.group_id = SLICE_LITERAL("consumer");
    request.member_id = SLICE_LITERAL("");
    request.rebalance_timeout_ms = TIMEOUT_MS;
    request.subscribed_topic_names = &name;
    request.subscribed_topic_names_count = 1;
    request.topic_partitions = &none;
    request.topic_partitions_count = 0;
    ck_assert(wire_call(client, 68, 0, &request, &response));
    ck_assert_int_eq(response.error_code, ERR_NONE);
    ck_assert_uint_lt(response.member_id.size, sizeof consumer_id);
    memcpy(consumer_id, response.member_id.data, response.member_id.size);
    consumer_id[response.member_id.size] = '\0';
    consumer_epoch = response.member_epoch;
}

static void fill(struct wire_client *client, const char *topic, int count, size_t value_size)
{
    for (int i = 0; i < count; i++)
        ck_assert_int_eq(call_produce(client, topic, 0, value_size), ERR_NONE);
}

static void begin(const char *loops)
{
    char data[TEMP_DIR_PATH_SIZE + 16];
    const char *const arguments[] = { "--override", loops,
                                      "--override", "log.retention.check.interval.ms=500",
                                      "--override", "log.retention.bytes=3000000",
                                      "--override", "offsets.commit.timeout.ms=60000",
                                      "--override", "log.segment.bytes=1048576",
                                      "--override", "group.initial.rebalance.delay.ms=0",
                                      "--override", "num.partitions=4",
                                      "--override", "log.cleaner.backoff.ms=200",
                                      NULL };
    temp_dir_create(&dir);
    snprintf(data, sizeof data, "%s/data", dir.path);
    fault_disk_create(&disk, FAULT_DISK, dir.path);
    fault_disk_preload(&disk);
    broker = broker_process_start(RUNNEL_BINARY, data, arguments);
    fault_disk_release();
    address = broker_process_address(broker);
    struct wire_client client;
    ck_assert(wire_connect(&client, address, TIMEOUT_MS));
    ck_assert_int_eq(topic_client_create(&client, topics, sizeof topics / sizeof *topics, 4), ERR_NONE);
    fill(&client, "cached", CACHED_BATCHES, 1000);
    fill(&client, "trimmed", 100, 100);
    fill(&client, "retained", 6, 900000);
    for (int i = 0; i < ASKERS; i++) {
        struct asker *asker = &askers[i];
        asker->done = asker->failed = 0;
        asker->count = asker->sequence = 0;
        asker->producer_id = -1;
        asker->ms = check_memory(malloc(SAMPLES_MAX * sizeof *asker->ms));
        arena_init(&asker->arena, NULL);
        ck_assert(wire_connect(&asker->client, address, TIMEOUT_MS));
        if (asker->ask == produce && asker->number % 2 == 1)
            ck_assert_int_eq(call_producer_id(&asker->client, &asker->producer_id), ERR_NONE);
    }
    /* Until the coordinator's partitions are loaded. */
    for (int i = 0; i < ASKERS; i++)
        if (askers[i].ask == find)
            while (!find(&askers[i]) || !fetch_offsets(&askers[i]) || !commit(&askers[i]))
                poll(NULL, 0, 10);
    join_classic(&client);
    join_consumer(&client);
    wire_close(&client);
    for (int i = ASKERS - 1; i >= 0; i--) { /* those who read need what the others write */
        struct asker *asker = &askers[i];
        ck_assert_msg(asker->ask(asker), "%s: error %d before the device is slow", asker->what,
                      asker->error_code);
        arena_reset(&asker->arena);
        asker->done = 1;
    }
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static double sample(const struct asker *asker, int per_mille)
{
    int i = asker->count * per_mille / 1000;
    return asker->ms[i < asker->count ? i : asker->count - 1];
}

static void end(void)
{
    for (int i = 0; i < ASKERS; i++) {
        wire_close(&askers[i].client);
        arena_destroy(&askers[i].arena);
        free(askers[i].ms);
    }
    fault_disk_destroy(&disk);
    temp_dir_destroy(&dir);
}

static int seconds(void)
{
    const char *given = getenv("RUNNEL_SECONDS");
    return given && atoi(given) > 0 ? atoi(given) : SECONDS;
}

static const struct {
    const char *loops;
    bool stops; /* while the device is slow */
} rows[] = {
    { "num.network.threads=1", false },
    { "num.network.threads=3", true },
};

/* Every answer, as it was at the end of each phase. */
static void judge(void)
{
    for (int i = 0; i < ASKERS; i++) {
        struct asker *asker = &askers[i];
        qsort(asker->ms, (size_t)asker->count, sizeof *asker->ms, compare);
        printf("%-24s %6d answers  p50 %8.2f  p99 %8.2f  max %8.2f ms\n", asker->what, asker->count,
               sample(asker, 500), sample(asker, 990), asker->ms[asker->count - 1]);
    }
    fflush(stdout);
    for (int i = 0; i < ASKERS; i++) {
        struct asker *asker = &askers[i];
        ck_assert_msg(asker->failed == 0, "%s: error %d", asker->what, asker->error_code);
        if (!asker->writes)
            ck_assert_msg(sample(asker, 990) <= LATE_MS, "%s: p99 %.1f ms", asker->what, sample(asker, 990));
        else if (asker->ask == produce || asker->ask == commit) /* the control: it was slow indeed */
            ck_assert_msg(sample(asker, 500) >= DELAY_MS, "%s: p50 %.1f ms", asker->what, sample(asker, 500));
    }
}

START_TEST(who_does_not_write_does_not_wait)
{
    begin(rows[_i].loops);
    fault_disk_delay(&disk, SLOW_KINDS, DELAY_MS);
    atomic_store(&is_over, false);
    for (int i = 0; i < ASKERS; i++)
        ck_assert_int_eq(pthread_create(&askers[i].thread, NULL, keep_asking, &askers[i]), 0);
    poll(NULL, 0, seconds() * 1000);
    atomic_store(&is_over, true);
    /* A short delay is enough to be slow, and lets the test end. */
    fault_disk_delay(&disk, SLOW_KINDS, rows[_i].stops ? 30 : 0);
    for (int i = 0; i < ASKERS; i++)
        pthread_join(askers[i].thread, NULL);
    printf("%s: %llu calls were delayed by %d ms\n", rows[_i].loops,
           (unsigned long long)atomic_load(&disk.shared->delayed_count), DELAY_MS);
    judge();
    double before = monotonic_seconds();
    ck_assert_int_eq(broker_process_stop(broker), 0);
    printf("stopped in %.1f s\n", monotonic_seconds() - before);
    end();
}
END_TEST

/* --- one directory of two ---------------------------------------------------------------------------- */

enum { SPREAD = 8, SLOW_WRITERS = 3 };

/* The partitions of topic "spread" that lie below that directory. */
static int partitions_in(const char *name, int32_t found[SPREAD])
{
    int count = 0;
    for (int32_t i = 0; i < SPREAD; i++) {
        char path[TEMP_DIR_PATH_SIZE + 64];
        snprintf(path, sizeof path, "%s/%s/spread-%d", dir.path, name, (int)i);
        if (access(path, F_OK) == 0)
            found[count++] = i;
    }
    return count;
}

struct spread_writer {
    pthread_t thread;
    struct wire_client client;
    int32_t partition;
    double first_ms; /* the first append, and the slowest of the others */
    double worst_ms;
    int count;
    int failed;
};

static void append_once(struct spread_writer *writer)
{
    static const struct batch_builder_options options = { NO_PRODUCER };
    struct one_produce one;
    struct produce_response response;
    struct arena arena;
    arena_init(&arena, NULL);
    struct batch_view batch = small_batch(&arena, &options, 1);
    one_produce(&one, "spread", writer->partition, batch_bytes(&batch));
    one.request.acks = 1;
    one.request.timeout_ms = TIMEOUT_MS;
    double before = monotonic_seconds();
    bool ok = wire_call(&writer->client, 0, 9, &one.request, &response) &&
              response.topics[0].partitions[0].error_code == ERR_NONE;
    double ms = (monotonic_seconds() - before) * 1000;
    double *place = writer->count++ == 0 ? &writer->first_ms : &writer->worst_ms;
    *place = ms > *place ? ms : *place;
    writer->failed += !ok;
    arena_destroy(&arena);
}

static void *append_slowly(void *context)
{
    struct spread_writer *writer = context;
    while (!atomic_load(&is_over))
        append_once(writer);
    return NULL;
}

/* Its one loop stands for the first append to the slow directory; then those to the other go on as ever,
 * though more wait for the slow one than there are workers. */
START_TEST(the_other_directory_stays_fast)
{
    char data[TEMP_DIR_PATH_SIZE + 16], dirs[2 * TEMP_DIR_PATH_SIZE + 64];
    const char *const arguments[] = { "--override", dirs,
                                      "--override", "num.network.threads=1",
                                      "--override", "log.flush.interval.messages=9223372036854775807",
                                      NULL };
    const char *const topic = "spread";
    struct spread_writer slow[SLOW_WRITERS] = { 0 }, fast = { 0 };
    int32_t places[SPREAD];
    temp_dir_create(&dir);
    snprintf(data, sizeof data, "%s/data", dir.path);
    snprintf(dirs, sizeof dirs, "log.dirs=%s/data,%s/second", dir.path, dir.path);
    fault_disk_create(&disk, FAULT_DISK, dir.path);
    snprintf(disk.shared->delayed_part, sizeof disk.shared->delayed_part, "/second/");
    fault_disk_preload(&disk);
    broker = broker_process_start(RUNNEL_BINARY, data, arguments);
    fault_disk_release();
    address = broker_process_address(broker);
    ck_assert(wire_connect(&fast.client, address, TIMEOUT_MS));
    ck_assert_int_eq(topic_client_create(&fast.client, &topic, 1, SPREAD), ERR_NONE);
    for (fast.partition = 0; fast.partition < SPREAD; fast.partition++)
        append_once(&fast); /* the directories and files are made */
    ck_assert_int_eq(fast.failed, 0);
    ck_assert_int_ge(partitions_in("data", places), 1);
    fast.partition = places[0];
    ck_assert_int_ge(partitions_in("second", places), SLOW_WRITERS);
    fault_disk_delay(&disk, FAULT_WRITE, DELAY_MS);
    atomic_store(&is_over, false);
    for (int i = 0; i < SLOW_WRITERS; i++) {
        slow[i].partition = places[i];
        ck_assert(wire_connect(&slow[i].client, address, TIMEOUT_MS));
        if (i == 0)
            append_once(&slow[0]);
        ck_assert_int_eq(pthread_create(&slow[i].thread, NULL, append_slowly, &slow[i]), 0);
    }
    ck_assert(slow[0].first_ms >= DELAY_MS);
    fast.worst_ms = 0;
    for (double until = monotonic_seconds() + 2.5; monotonic_seconds() < until; poll(NULL, 0, PACE_MS))
        append_once(&fast);
    atomic_store(&is_over, true);
    fault_disk_delay(&disk, 0, 0);
    for (int i = 0; i < SLOW_WRITERS; i++) {
        pthread_join(slow[i].thread, NULL);
        ck_assert_int_eq(slow[i].failed, 0);
        wire_close(&slow[i].client);
    }
    printf("beside a directory on which a write takes %d ms: %d appends to the other, the slowest took %.1f "
           "ms\n",
           DELAY_MS, fast.count, fast.worst_ms);
    ck_assert_int_eq(fast.failed, 0);
    ck_assert_msg(fast.worst_ms < LATE_MS, "an append to the fast directory took %.1f ms", fast.worst_ms);
    wire_close(&fast.client);
    ck_assert_int_eq(broker_process_stop(broker), 0);
    fault_disk_destroy(&disk);
    temp_dir_destroy(&dir);
}
END_TEST

int main(void)
{
    if (fault_disk_is_sanitized(RUNNEL_BINARY)) {
        puts("skipped: the broker is built with a sanitizer");
        return EXIT_SKIPPED;
    }
    Suite *suite = suite_create("slow_device");
    TCase *tests = tcase_create("two seconds");
    tcase_set_timeout(tests, 240);
    tcase_add_loop_test(tests, who_does_not_write_does_not_wait, 0, sizeof rows / sizeof *rows);
    tcase_add_test(tests, the_other_directory_stays_fast);
    suite_add_tcase(suite, tests);
    return suite_run(suite) == 0 ? 0 : 1;
}
