/* Directories that are not what they should be: refused in words, and then every byte is as it was, or taken
 * with what is written down here. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/exit_codes.h"
#include "broker/metadata_log.h"
#include "protocol/base/note.h"
#include "tests/support/broker_process.h"
#include "tests/support/load.h"
#include "tests/support/temp_dir.h"
#include "tests/support/topic_client.h"
#include "tests/support/wire_client.h"

enum { TIMEOUT_MS = 10000, COMMAND_SIZE = 4096, EXIT_WAIT_MS = 20000 };
enum { TAKEN = EXIT_OK };

static struct temp_dir dir;

/* Runs a line of shell in the test's directory. */
static int shell(const char *line)
{
    char command[COMMAND_SIZE];
    ck_assert_int_lt(snprintf(command, sizeof command, "cd %s && { %s ; }", dir.path, line), COMMAND_SIZE);
    return system(command);
}

static bool file_says(const char *name, const char *words)
{
    char line[COMMAND_SIZE / 2];
    snprintf(line, sizeof line, "grep -qF -- \"%s\" %s", words, name);
    return shell(line) == 0;
}

/* Names, kinds, modes, link targets and contents of all that is there. */
static void hash_tree(const char *to)
{
    char line[COMMAND_SIZE / 2];
    snprintf(line, sizeof line,
             "(find data second missing -printf '%%p %%y %%m %%l\\n' 2>/dev/null | sort;"
             " find data second -type f -exec sha256sum {} + 2>/dev/null | sort) > %s",
             to);
    ck_assert_int_eq(shell(line), 0);
}

/* Starts the broker on it. An exit code, or TAKEN after it served and was stopped. */
static int start(bool with_second)
{
    char data[TEMP_DIR_PATH_SIZE + 16], dirs[2 * TEMP_DIR_PATH_SIZE + 64];
    snprintf(data, sizeof data, "%s/data", dir.path);
    snprintf(dirs, sizeof dirs, "log.dirs=%s/data,%s/second", dir.path, dir.path);
    const char *const arguments[] = { with_second ? "--override" : NULL, dirs, NULL };
    struct broker_process *broker = broker_process_spawn(RUNNEL_BINARY, data, arguments);
    if (broker_process_wait_ready(broker, EXIT_WAIT_MS))
        return broker_process_stop(broker);
    ck_assert_msg(broker_process_ended(broker, EXIT_WAIT_MS), "neither serves nor ends");
    return broker_process_kill(broker);
}

/* One topic with one record, stopped cleanly. */
static void make_directory(void)
{
    const char *name = "one";
    struct wire_client client;
    char data[TEMP_DIR_PATH_SIZE + 16];
    temp_dir_create(&dir);
    snprintf(data, sizeof data, "%s/data", dir.path);
    struct broker_process *broker = broker_process_start(RUNNEL_BINARY, data, NULL);
    load_make_topic(broker_process_address(broker), name);
    ck_assert(wire_connect(&client, broker_process_address(broker), TIMEOUT_MS));
    ck_assert_int_eq(topic_client_produce(&client, name), 0);
    wire_close(&client);
    ck_assert_int_eq(broker_process_stop(broker), EXIT_OK);
}

static void judge(const char *what, int expected, const char *words, bool with_second)
{
    ck_assert_int_eq(shell("rm -f data.stderr"), 0);
    hash_tree("before");
    int code = start(with_second);
    if (code != expected || (words && !file_says("data.stderr", words)))
        (void)shell("tail -n 5 data.stderr >&2");
    ck_assert_msg(code == expected, "%s: ended with %d", what, code);
    ck_assert_msg(!words || file_says("data.stderr", words), "%s: does not say \"%s\"", what, words);
    if (expected == TAKEN)
        return;
    hash_tree("after");
    if (shell("cmp -s before after") != 0)
        (void)shell("diff before after | head -n 5 >&2");
    ck_assert_msg(shell("cmp -s before after") == 0, "%s: something was changed", what);
}

/* KAFKA makes the directory one that Kafka was killed in: everything has to be recovered. */
#define KAFKA                                                                                                \
    "rm data/*.runnel data/.kafka_cleanshutdown; printf '0\\n0\\n' > data/replication-offset-checkpoint;"

static const struct {
    const char *what;
    const char *prepare; /* shell */
    int outcome;
    const char *words;
    bool with_second;
} rows[] = {
    { "another node's identity", "sed -i s/node.id=1/node.id=5/ data/meta.properties", EXIT_DATA_DIR_FOREIGN,
      "belongs to node 5", false },
    { "ZooKeeper mode", "printf 'version=0\\nbroker.id=1\\ncluster.id=x\\n' > data/meta.properties",
      EXIT_DATA_DIR_FOREIGN, "ZooKeeper", false },
    { "a version to come", "sed -i s/version=1/version=2/ data/meta.properties", EXIT_DATA_DIR_FOREIGN,
      "meta.properties", false },
    { "two ids of the node: the last one counts, as in Java's Properties",
      "printf 'node.id=7\\n' >> data/meta.properties", EXIT_DATA_DIR_FOREIGN, "belongs to node 7", false },
    { "twice the same id of the node", "printf 'node.id=1\\n' >> data/meta.properties", TAKEN, NULL, false },
    { "meta.properties is a directory", "rm data/meta.properties; mkdir data/meta.properties",
      EXIT_STORAGE_FAILED, "meta.properties", false },
    { "meta.properties is a pipe: nobody waits for a writer",
      "rm data/meta.properties; mkfifo data/meta.properties", EXIT_STORAGE_FAILED, "meta.properties", false },
    { "a directory that is no partition", "mkdir data/photos", EXIT_DATA_DIR_FOREIGN, "photos", false },
    { "a file with a name of no kind is nobody's business", "touch data/photos.txt", TAKEN, NULL, false },
    { "one partition twice",
      "mkdir second; sed s/directory.id=.*/directory.id=AAAAAAAAAAAAAAAAAAAADQ/ "
      "data/meta.properties > second/meta.properties; cp -r data/one-0 second/",
      EXIT_DATA_DIR_FOREIGN, "one-0", true },
    { "a copy of the directory beside it", "cp -r data second", EXIT_DATA_DIR_FOREIGN, "directory.id", true },
    { "a second directory of another cluster",
      "mkdir second; sed s/cluster.id=.*/cluster.id=other/ "
      "data/meta.properties | sed s/directory.id=.*/directory.id=AAAAAAAAAAAAAAAAAAAADQ/ > "
      "second/meta.properties",
      EXIT_DATA_DIR_FOREIGN, "cluster", true },
    { "a second directory that holds somebody's files", "mkdir second; touch second/thesis",
      EXIT_DATA_DIR_FOREIGN, "thesis", true },
    { "a second directory that is new", "mkdir second", TAKEN, NULL, true },
    { "a second directory that is refused with the first: it is not made",
      "sed -i s/node.id=1/node.id=5/ data/meta.properties", EXIT_DATA_DIR_FOREIGN, "belongs to node 5",
      true },
    { "the log directory of a partition is not there",
      "mkdir second; mv data/meta.properties second/; "
      "sed s/directory.id=.*/directory.id=AAAAAAAAAAAAAAAAAAAADQ/ second/meta.properties > "
      "data/meta.properties; "
      "rm -r second; " KAFKA " true",
      EXIT_DATA_DIR_FOREIGN, "is not among log.dirs", false },
    { "checkpoints that are cut", KAFKA "printf '0\\n9\\none 0' > data/recovery-point-offset-checkpoint",
      TAKEN, "checkpoint.unreadable", false },
    { "checkpoints of garbage", KAFKA "head -c 100000 /dev/urandom > data/log-start-offset-checkpoint", TAKEN,
      "checkpoint.unreadable", false },
    { "a checkpoint that is a directory",
      KAFKA "rm -f data/recovery-point-offset-checkpoint; "
            "mkdir data/recovery-point-offset-checkpoint",
      EXIT_DATA_DIR_FOREIGN, "recovery-point-offset-checkpoint", false },
    { "no partition.metadata: the topic's, as its id is flushed with the first append",
      KAFKA "rm data/one-0/partition.metadata", TAKEN, "partition.id_missing", false },
    { "another topic's id: set aside under Kafka's name for such, and the partition begins anew",
      KAFKA "printf 'version: 0\\ntopic_id: AAAAAAAAAAAAAAAAAAAADQ\\n' > data/one-0/partition.metadata",
      TAKEN, "one-0", false },
    { "files of no kind in a partition", "touch data/one-0/photo.jpg data/one-0/0.log", TAKEN, NULL, false },
    { "a lock of nobody", "touch data/.lock", TAKEN, NULL, false },
    { "the data directory is a link: where it leads counts", "mv data real; ln -s real data", TAKEN, NULL,
      false },
};

START_TEST(odd_directories)
{
    make_directory();
    ck_assert_int_eq(shell(rows[_i].prepare), 0);
    judge(rows[_i].what, rows[_i].outcome, rows[_i].words, rows[_i].with_second);
    temp_dir_destroy(&dir);
}
END_TEST

/* --- metadata of others --------------------------------------------------------------------------- */

static const uuid topic_id = { { 7, 7 } };

static void add(struct metadata_batches *batches, enum metadata_record_type type, int16_t version,
                const void *record)
{
    metadata_batches_add(batches, metadata_record_encode(batches->arena, type, version, record));
}

static void add_level(struct metadata_batches *batches, int16_t level)
{
    struct feature_level_record record;
    feature_level_record_init(&record);
    record.name = SLICE_LITERAL("metadata.version");
    record.feature_level = level;
    add(batches, METADATA_RECORD_FEATURE_LEVEL, 0, &record);
}

static void add_topic(struct metadata_batches *batches, const int32_t *replicas, int32_t count,
                      uuid directory)
{
    struct topic_record topic;
    topic_record_init(&topic);
    topic.name = SLICE_LITERAL("two");
    topic.topic_id = topic_id;
    add(batches, METADATA_RECORD_TOPIC, 0, &topic);
    struct partition_record partition;
    partition_record_init(&partition);
    partition.partition_id = 0;
    partition.topic_id = topic_id;
    partition.replicas = partition.isr = (int32_t *)(uintptr_t)replicas;
    partition.replicas_count = partition.isr_count = count;
    partition.leader = 1;
    partition.directories = &directory;
    partition.directories_count = 1;
    add(batches, METADATA_RECORD_PARTITION, 1, &partition);
}

static const int32_t alone[] = { 1 }, pair[] = { 1, 2 };

static void newer_level(struct metadata_batches *batches)
{
    add_level(batches, 90);
}

static void unknown_record(struct metadata_batches *batches)
{
    add_level(batches, 25);
    metadata_batches_add(batches, SLICE_LITERAL("\x01\x63\x00\x00")); /* frame 1, type 99 */
}

static void other_broker(struct metadata_batches *batches)
{
    struct register_broker_record record;
    register_broker_record_init(&record);
    record.broker_id = 2;
    add_level(batches, 25);
    add(batches, METADATA_RECORD_REGISTER_BROKER, 3, &record);
}

static void other_controller(struct metadata_batches *batches)
{
    struct register_controller_record record;
    register_controller_record_init(&record);
    record.controller_id = 3;
    add_level(batches, 25);
    add(batches, METADATA_RECORD_REGISTER_CONTROLLER, 0, &record);
}

static void other_voter(struct metadata_batches *batches)
{
    struct voters_record_registered_voter voter;
    voters_record_registered_voter_init(&voter);
    voter.voter_id = 4;
    struct voters_record record;
    voters_record_init(&record);
    record.voters = &voter;
    record.voters_count = 1;
    add_level(batches, 25);
    metadata_batches_cut(batches);
    metadata_batches_add_control(batches, CONTROL_RECORD_VOTERS, &record);
}

static void replicas(struct metadata_batches *batches)
{
    add_level(batches, 25);
    add_topic(batches, pair, 2, UUID_ZERO);
}

static void tiered(struct metadata_batches *batches)
{
    struct config_record record;
    config_record_init(&record);
    record.resource_type = 2;
    record.resource_name = SLICE_LITERAL("two");
    record.name = SLICE_LITERAL("remote.storage.enable");
    record.value = SLICE_LITERAL("true");
    add_level(batches, 25);
    add_topic(batches, alone, 1, UUID_ZERO);
    add(batches, METADATA_RECORD_CONFIG, 0, &record);
}

static void other_directory(struct metadata_batches *batches)
{
    add_level(batches, 25);
    add_topic(batches, alone, 1, (uuid){ { 1, 2, 3 } });
}

static void migrating(struct metadata_batches *batches)
{
    struct zk_migration_state_record record;
    zk_migration_state_record_init(&record);
    record.zk_migration_state = 2;
    add_level(batches, 25);
    add(batches, METADATA_RECORD_ZK_MIGRATION_STATE, 0, &record);
}

static void served(struct metadata_batches *batches)
{
    add_level(batches, 25);
    add_topic(batches, alone, 1, UUID_ZERO);
}

static const struct {
    const char *what;
    void (*fill)(struct metadata_batches *);
    int outcome;
    const char *words;
} metadata_rows[] = {
    { "a metadata.version to come", newer_level, EXIT_DATA_DIR_FOREIGN, "metadata.version 90" },
    { "a record of a type to come", unknown_record, EXIT_DATA_DIR_FOREIGN, "unknown type 99" },
    { "another broker", other_broker, EXIT_DATA_DIR_FOREIGN, "another broker, node.id 2" },
    { "another controller", other_controller, EXIT_DATA_DIR_FOREIGN, "another controller, node.id 3" },
    { "another voter", other_voter, EXIT_DATA_DIR_FOREIGN, "another controller, node.id 4" },
    { "replicas elsewhere", replicas, EXIT_DATA_DIR_FOREIGN, "two-0 has replicas on other nodes" },
    { "tiered storage", tiered, EXIT_DATA_DIR_FOREIGN, "the topic two has tiered storage" },
    { "a log directory that is not there", other_directory, EXIT_DATA_DIR_FOREIGN, "is not among log.dirs" },
    { "a migration from ZooKeeper", migrating, EXIT_DATA_DIR_FOREIGN, "migration from ZooKeeper" },
    { "the control: nothing odd", served, TAKEN, NULL },
};

/* As Kafka would leave it when it is killed: an identity, the metadata log, the high watermarks. */
START_TEST(metadata_of_others)
{
    struct arena arena;
    struct metadata_batches batches;
    char path[TEMP_DIR_PATH_SIZE + 64];
    arena_init(&arena, NULL);
    temp_dir_create(&dir);
    ck_assert_int_eq(
        shell("mkdir -p data/__cluster_metadata-0; printf '0\\n0\\n' > data/replication-offset-checkpoint;"
              "printf 'version=1\\ncluster.id=c\\nnode.id=1\\ndirectory.id=AAAAAAAAAAAAAAAAAAAADQ\\n'"
              " > data/meta.properties"),
        0);
    metadata_batches_init(&batches, &arena, 0, 1, 1);
    metadata_rows[_i].fill(&batches);
    slice bytes = metadata_batches_bytes(&batches);
    ck_assert(!slice_is_null(bytes));
    snprintf(path, sizeof path, "%s/data/__cluster_metadata-0/00000000000000000000.log", dir.path);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes.data, 1, bytes.size, file), bytes.size);
    ck_assert_int_eq(fclose(file), 0);
    judge(metadata_rows[_i].what, metadata_rows[_i].outcome, metadata_rows[_i].words, false);
    temp_dir_destroy(&dir);
    arena_destroy(&arena);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hostile_directory");
    TCase *tests = tcase_create("tests");
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, odd_directories, 0, sizeof rows / sizeof *rows);
    tcase_add_loop_test(tests, metadata_of_others, 0, sizeof metadata_rows / sizeof *metadata_rows);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
