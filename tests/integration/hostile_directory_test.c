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

static struct temp_dir dir, template;

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

static const char *const names[] = { "one", "two", "three", "four" };

/* Some topics with a record each, stopped cleanly. */
static void fill(const char *data, const char *const arguments[])
{
    struct wire_client client;
    struct broker_process *broker = broker_process_start(RUNNEL_BINARY, data, arguments);
    ck_assert(wire_connect(&client, broker_process_address(broker), TIMEOUT_MS));
    ck_assert_int_eq(topic_client_create(&client, names, sizeof names / sizeof *names, 1), 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        ck_assert_int_eq(topic_client_produce(&client, names[i]), 0);
    wire_close(&client);
    ck_assert_int_eq(broker_process_stop(broker), EXIT_OK);
}

/* Once for all tests: they take copies. */
static void make_template(void)
{
    char data[TEMP_DIR_PATH_SIZE + 16];
    temp_dir_create(&template);
    snprintf(data, sizeof data, "%s/data", template.path);
    fill(data, NULL);
}

static void drop_template(void)
{
    temp_dir_destroy(&template);
}

static void make_directory(void)
{
    char line[TEMP_DIR_PATH_SIZE + 64];
    temp_dir_create(&dir);
    snprintf(line, sizeof line, "cp -a %s/data data", template.path);
    ck_assert_int_eq(shell(line), 0);
}

static void judge(const char *what, int expected, const char *words, bool with_second)
{
    ck_assert_int_eq(shell("rm -f data.stderr"), 0);
    if (expected != TAKEN)
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
/* KILLED: one that we were killed in. KAFKA_STOPPED: one that Kafka stopped in. */
#define KILLED        "rm data/.kafka_cleanshutdown data/replication-offset-checkpoint;"
#define KAFKA_STOPPED "rm data/*.runnel;"
#define SEGMENT       "data/one-0/00000000000000000000"

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
    { "a second directory that is a link", "mkdir real; ln -s real second", TAKEN, NULL, true },

    { "a link to a segment", KILLED "mv " SEGMENT ".log far; ln -s ../../far " SEGMENT ".log",
      EXIT_DATA_DIR_FOREIGN, "00.log should be a file", false },
    { "a link to an index: nobody writes where it leads",
      KILLED "mv " SEGMENT ".index second; ln -s ../../second " SEGMENT ".index", EXIT_DATA_DIR_FOREIGN,
      "00.index should be a file", false },
    { "a link to nothing in the place of an index", KILLED "ln -sf nowhere " SEGMENT ".timeindex",
      EXIT_DATA_DIR_FOREIGN, "00.timeindex should be a file", false },
    { "a pipe in the place of a segment", KAFKA "rm " SEGMENT ".log; mkfifo " SEGMENT ".log",
      EXIT_DATA_DIR_FOREIGN, "00.log should be a file", false },
    { "a pipe in the place of a snapshot", KAFKA "mkfifo data/one-0/00000000000000000007.snapshot",
      EXIT_DATA_DIR_FOREIGN, "07.snapshot should be a file", false },
    { "a directory in the place of an index", KAFKA_STOPPED "rm " SEGMENT ".index; mkdir " SEGMENT ".index",
      EXIT_DATA_DIR_FOREIGN, "00.index should be a file", false },
    { "a directory in the place of the leader epochs",
      KAFKA "rm data/one-0/leader-epoch-checkpoint; mkdir data/one-0/leader-epoch-checkpoint",
      EXIT_DATA_DIR_FOREIGN, "leader-epoch-checkpoint should be a file", false },
    { "a link to the topic's id",
      KILLED "mv data/one-0/partition.metadata far; ln -s ../../far data/one-0/partition.metadata",
      EXIT_DATA_DIR_FOREIGN, "partition.metadata should be a file", false },
    { "a link to a segment of the metadata log, also after a clean stop",
      "cd data/__cluster_metadata-0; mv 00000000000000000000.log ../../far; ln -s ../../far "
      "00000000000000000000.log; cd ../..",
      EXIT_DATA_DIR_FOREIGN, "00.log should be a file", false },
    { "a link to a file of no kind is nobody's business", KILLED "ln -s /etc/passwd data/one-0/photo", TAKEN,
      NULL, false },
    { "a link to a partition", "mv data/one-0 far; ln -s ../far data/one-0", EXIT_DATA_DIR_FOREIGN,
      "data/one-0 is a link", false },
    { "a link to nothing under a partition's name", "ln -s nowhere data/one-1", EXIT_DATA_DIR_FOREIGN,
      "data/one-1 is a link", false },
    { "a pipe under a partition's name", "mkfifo data/one-1", EXIT_DATA_DIR_FOREIGN,
      "data/one-1 is a link, a pipe", false },
    { "a file under a partition's name is nobody's business", "touch data/one-1", TAKEN, NULL, false },
    { "a checkpoint that is a pipe",
      KAFKA "rm -f data/recovery-point-offset-checkpoint; mkfifo data/recovery-point-offset-checkpoint",
      EXIT_DATA_DIR_FOREIGN, "recovery-point-offset-checkpoint is a link, a pipe", false },
    { "a checkpoint that is a link", "touch far; ln -s ../far data/cleaner-offset-checkpoint",
      EXIT_DATA_DIR_FOREIGN, "cleaner-offset-checkpoint is a link", false },
    { "a table of ours that is a link to nothing", "ln -sf nowhere data/logs.runnel", EXIT_DATA_DIR_FOREIGN,
      "logs.runnel is a link", false },
    { "marks of ours that are a link", "touch far; ln -sf ../far data/written.runnel", EXIT_DATA_DIR_FOREIGN,
      "written.runnel is a link", false },
    { "a reserve that is a link: what it leads to would be cut",
      "touch far; ln -sf ../far data/reserve.runnel", EXIT_DATA_DIR_FOREIGN, "reserve.runnel is a link",
      false },
    { "a lock that is a pipe", "mkfifo data/.lock", EXIT_STORAGE_FAILED, "cannot lock", false },

    { "a partition is gone after our clean stop", "rm -r data/one-0", EXIT_DATA_DIR_FOREIGN,
      "one-0 had records up to offset 1", false },
    { "after our kill", KILLED "rm -r data/one-0", EXIT_DATA_DIR_FOREIGN, "one-0 had records up to offset 1",
      false },
    { "all of them are", KILLED "rm -r data/one-0 data/two-0 data/three-0 data/four-0", EXIT_DATA_DIR_FOREIGN,
      "had records up to offset 1", false },
    { "after Kafka's clean stop", KAFKA_STOPPED "rm -r data/one-0", EXIT_DATA_DIR_FOREIGN,
      "one-0 had records up to offset 1", false },
    { "after Kafka's kill nobody knows: its recovery points may be of a topic that was deleted",
      KAFKA "rm -r data/one-0", TAKEN, NULL, false },
    { "a partition is a file now", "rm -r data/one-0; touch data/one-0", EXIT_DATA_DIR_FOREIGN,
      "one-0 had records up to offset 1", false },
    { "another topic's id where ours had records",
      KILLED "printf 'version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAADQ\n' > data/one-0/partition.metadata",
      EXIT_DATA_DIR_FOREIGN, "names another topic", false },

    { "a recovery point beyond the end: nothing is believed of it",
      KAFKA "printf '0\n1\none 0 9000000000\n' > data/recovery-point-offset-checkpoint", TAKEN, NULL, false },
    { "recovery points of 3 GiB", KAFKA "truncate -s 3G data/recovery-point-offset-checkpoint", TAKEN,
      "side_file.unreadable", false },
    { "high watermarks of garbage", KAFKA "head -c 100000 /dev/urandom > data/replication-offset-checkpoint",
      TAKEN, NULL, false },
    { "a cleaner's checkpoint that is cut", KAFKA "printf '0\n9\none 0' > data/cleaner-offset-checkpoint",
      TAKEN, "checkpoint.unreadable", false },
    { "a cleaner's checkpoint with a count that no memory holds",
      KAFKA "printf '0\n2147483647\none 0 1\n' > data/cleaner-offset-checkpoint", TAKEN,
      "checkpoint.unreadable", false },
    { "leader epochs that are cut: they are in the batches",
      KAFKA "printf '0\n2\n0 0' > data/one-0/leader-epoch-checkpoint", TAKEN, "log.epochs_rebuilt", false },
    { "leader epochs of 3 GiB", KAFKA "truncate -s 3G data/one-0/leader-epoch-checkpoint", TAKEN,
      "log.epochs_rebuilt", false },
    { "a table of ours of garbage: as if Kafka had stopped", "head -c 100000 /dev/urandom > data/logs.runnel",
      TAKEN, NULL, false },
    { "durable positions of garbage: all is scanned",
      KILLED "rm data/logs.runnel; head -c 100000 /dev/urandom > data/durable.runnel", TAKEN, NULL, false },
};

START_TEST(odd_directories)
{
    make_directory();
    ck_assert_int_eq(shell(rows[_i].prepare), 0);
    judge(rows[_i].what, rows[_i].outcome, rows[_i].words, rows[_i].with_second);
    temp_dir_destroy(&dir);
}
END_TEST

/* --- partitions that are gone, or that nobody may read -------------------------------------------- */

/* What was given up is not given out again: the new record has the next offset, whoever stopped before. */
static const char *const emptied_after[] = { "rm data/one-0/*", KILLED "rm data/one-0/*",
                                             KAFKA_STOPPED "rm data/one-0/*" };

START_TEST(an_emptied_partition_goes_on)
{
    char data[TEMP_DIR_PATH_SIZE + 16];
    struct wire_client client;
    make_directory();
    ck_assert_int_eq(shell(emptied_after[_i]), 0);
    snprintf(data, sizeof data, "%s/data", dir.path);
    struct broker_process *broker = broker_process_start(RUNNEL_BINARY, data, NULL);
    ck_assert(wire_connect(&client, broker_process_address(broker), TIMEOUT_MS));
    ck_assert_int_eq(topic_client_produce(&client, "one"), 0);
    wire_close(&client);
    ck_assert_int_eq(broker_process_stop(broker), EXIT_OK);
    ck_assert(file_says("data/recovery-point-offset-checkpoint", "one 0 2"));
    temp_dir_destroy(&dir);
}
END_TEST

/* The records of our own topics name the log directory: without it nobody takes them for new. */
START_TEST(a_log_directory_of_ours_is_gone)
{
    char data[TEMP_DIR_PATH_SIZE + 16], dirs[2 * TEMP_DIR_PATH_SIZE + 64];
    temp_dir_create(&dir);
    snprintf(data, sizeof data, "%s/data", dir.path);
    snprintf(dirs, sizeof dirs, "log.dirs=%s/data,%s/second", dir.path, dir.path);
    fill(data, (const char *const[]){ "--override", dirs, NULL });
    ck_assert_int_eq(shell("test $(ls -d data/*-0 second/*-0 | grep -vc __) = 4"), 0);
    ck_assert_int_eq(shell("test $(ls -d second/*-0 | wc -l) -ge 2"), 0);
    ck_assert_int_eq(shell("mv second away"), 0);
    judge("without the second", EXIT_DATA_DIR_FOREIGN, "is not among log.dirs", false);
    judge("with an empty one in its place", EXIT_DATA_DIR_FOREIGN, "is not among log.dirs", true);
    ck_assert_int_eq(shell("mv away second"), 0);
    judge("with it", TAKEN, NULL, true);
    temp_dir_destroy(&dir);
}
END_TEST

/* A partition whose record names a directory is made there, and not where there are fewer. */
START_TEST(a_partition_is_made_where_its_record_says)
{
    char data[TEMP_DIR_PATH_SIZE + 16], dirs[2 * TEMP_DIR_PATH_SIZE + 64];
    struct wire_client client;
    const char *const name = "late";
    make_directory();
    snprintf(data, sizeof data, "%s/data", dir.path);
    snprintf(dirs, sizeof dirs, "log.dirs=%s/data,%s/second", dir.path, dir.path);
    struct broker_process *broker = broker_process_start(RUNNEL_BINARY, data, NULL);
    ck_assert(wire_connect(&client, broker_process_address(broker), TIMEOUT_MS));
    ck_assert_int_eq(topic_client_create(&client, &name, 1, 1), 0); /* it has no directory yet */
    wire_close(&client);
    ck_assert_int_eq(broker_process_stop(broker), EXIT_OK);
    broker = broker_process_start(RUNNEL_BINARY, data, (const char *const[]){ "--override", dirs, NULL });
    ck_assert(wire_connect(&client, broker_process_address(broker), TIMEOUT_MS));
    ck_assert_int_eq(topic_client_produce(&client, name), 0);
    wire_close(&client);
    ck_assert_int_eq(broker_process_stop(broker), EXIT_OK);
    ck_assert_int_eq(shell("test -d data/late-0 && ! test -e second/late-0"), 0);
    temp_dir_destroy(&dir);
}
END_TEST

/* After a clean stop partitions are opened one by one, when somebody asks: then that one alone answers an
 * error, nothing of it is changed, and where a link leads nobody writes. */
static const char *const odd_when_opened[] = {
    "mv " SEGMENT ".log far; ln -s ../../far " SEGMENT ".log",
    "mv " SEGMENT ".index far; ln -s ../../far " SEGMENT ".index",
    "rm " SEGMENT ".log; mkfifo " SEGMENT ".log",
    "rm data/one-0/*.snapshot; mkfifo data/one-0/00000000000000000001.snapshot",
    "rm data/one-0/leader-epoch-checkpoint; mkdir data/one-0/leader-epoch-checkpoint",
    "mv data/one-0 far; mv data/three-0 data/one-0; mv far data/three-0", /* of the same size */
};

START_TEST(odd_files_of_one_partition)
{
    enum { KAFKA_STORAGE_ERROR = 56 };
    static const char list[] = "(find data/one-0 -printf '%p %y %l\n' | sort; find data/one-0 far -type f"
                               " -exec sha256sum {} + 2>/dev/null | sort) > ";
    char data[TEMP_DIR_PATH_SIZE + 16], line[sizeof list + 16];
    struct wire_client client;
    make_directory();
    ck_assert_int_eq(shell(odd_when_opened[_i]), 0);
    snprintf(line, sizeof line, "%sbefore", list);
    ck_assert_int_eq(shell(line), 0);
    snprintf(data, sizeof data, "%s/data", dir.path);
    struct broker_process *broker = broker_process_start(RUNNEL_BINARY, data, NULL);
    ck_assert(wire_connect(&client, broker_process_address(broker), TIMEOUT_MS));
    ck_assert_int_eq(topic_client_produce(&client, "one"), KAFKA_STORAGE_ERROR);
    ck_assert_int_eq(topic_client_produce(&client, "two"), 0);
    wire_close(&client);
    ck_assert(!broker_process_ended(broker, 0));
    (void)broker_process_stop(broker);
    ck_assert(file_says("data.stderr", "log.unusable"));
    snprintf(line, sizeof line, "%safter", list);
    ck_assert_int_eq(shell(line), 0);
    ck_assert_int_eq(shell("cmp before after"), 0);
    temp_dir_destroy(&dir);
}
END_TEST

/* As somebody else than root, who may read everything. */
static const struct {
    const char *what;
    const char *prepare;
    int outcome;
    const char *words;
} unreadable_rows[] = {
    { "the log directory", "chmod 0 data", EXIT_DATA_DIR_UNWRITABLE, "data" },
    { "a log directory that nobody may write", "chmod 0500 data", EXIT_DATA_DIR_UNWRITABLE, "cannot lock" },
    { "meta.properties", "chmod 0 data/meta.properties", EXIT_DATA_DIR_UNWRITABLE, "meta.properties" },
    { "a partition", KILLED "chmod 0 data/one-0", EXIT_DATA_DIR_UNWRITABLE, "one-0" },
    { "a segment", KILLED "chmod 0 " SEGMENT ".log", EXIT_DATA_DIR_UNWRITABLE, "one-0" },
    { "the metadata log", "chmod 0 data/__cluster_metadata-0/*.log", EXIT_DATA_DIR_UNWRITABLE,
      "__cluster_metadata-0" },
};

START_TEST(unreadable_things)
{
    char line[COMMAND_SIZE / 2];
    make_directory();
    ck_assert_int_eq(shell(unreadable_rows[_i].prepare), 0);
    if (geteuid() == 0) {
        snprintf(
            line, sizeof line,
            "cp %s broker; chmod 755 . broker; touch data.stderr; chown -R 65534:65534 data data.stderr; "
            "printf '#!/bin/sh\nexec setpriv --reuid=65534 --regid=65534 --clear-groups %s/broker \"$@\"\n'"
            " > nobody; chmod 755 nobody",
            getenv("RUNNEL_BINARY") ? getenv("RUNNEL_BINARY") : RUNNEL_BINARY, dir.path);
        ck_assert_int_eq(shell(line), 0);
        snprintf(line, sizeof line, "%s/nobody", dir.path);
        setenv("RUNNEL_BINARY", line, 1);
    }
    judge(unreadable_rows[_i].what, unreadable_rows[_i].outcome, unreadable_rows[_i].words, false);
    ck_assert_int_eq(shell("chmod -R u+rwX data"), 0);
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
    tcase_add_unchecked_fixture(tests, make_template, drop_template);
    tcase_add_loop_test(tests, odd_directories, 0, sizeof rows / sizeof *rows);
    tcase_add_loop_test(tests, metadata_of_others, 0, sizeof metadata_rows / sizeof *metadata_rows);
    tcase_add_loop_test(tests, an_emptied_partition_goes_on, 0, sizeof emptied_after / sizeof *emptied_after);
    tcase_add_test(tests, a_log_directory_of_ours_is_gone);
    tcase_add_test(tests, a_partition_is_made_where_its_record_says);
    tcase_add_loop_test(tests, odd_files_of_one_partition, 0,
                        sizeof odd_when_opened / sizeof *odd_when_opened);
    tcase_add_loop_test(tests, unreadable_things, 0, sizeof unreadable_rows / sizeof *unreadable_rows);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
