/* The controller over the disk double: commands, restarts, power cuts, directories of others. */
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/controller_internal.h"
#include "broker/partition.h"
#include "protocol/errors.h"
#include "tests/support/controller_rig.h"

static slice text(const char *of)
{
    return slice_of_string(of);
}

START_TEST(a_new_directory_knows_this_node_and_its_version)
{
    rig_on();
    ck_assert_msg(file_double_flush_count(rig.disk) == 0, "nothing is flushed before the first command");
    const struct image *image = controller_image(rig.controller);
    ck_assert_uint_eq(image->topic_count, 0);
    ck_assert_uint_eq(image->node_count, 1);
    ck_assert_int_eq(image->nodes[0].id, 1);
    ck_assert_uint_eq(image->feature_count, 2);
    ck_assert_int_eq(image_feature(image, "metadata.version"), METADATA_VERSION_NEW);
    ck_assert_int_eq(image_feature(image, "group.version"), GROUP_VERSION_MAX);
    ck_assert_int_eq(image->end_offset, 0);
}
END_TEST

/* What a kill left in the cache is shown to clients only once it is on the disk. */
START_TEST(what_a_restart_shows_survives_a_power_cut)
{
    rig_on();
    ck_assert_int_eq(rig_create("a", 1), ERR_NONE);
    uint64_t before = file_double_operation_count(rig.disk);
    ck_assert_int_eq(rig_create("b", 1), ERR_NONE);
    uint64_t last = file_double_operation_count(rig.disk);
    rig_off(false);
    struct file_double *whole = rig.disk;
    for (uint64_t operation = before; operation <= last; operation++) {
        struct file_double *killed = file_double_after_cut(whole, operation, FILE_DOUBLE_KEEP_ALL, NULL);
        rig.disk = killed;
        rig_on();
        bool is_shown = rig_topic("b") != NULL;
        rig_off(false);
        rig.disk =
            file_double_after_cut(killed, file_double_operation_count(killed), FILE_DOUBLE_LOSE_ALL, NULL);
        file_double_destroy(killed);
        rig_on();
        ck_assert_msg(!is_shown || rig_topic("b") != NULL, "lost after operation %llu",
                      (unsigned long long)operation);
        rig_off(false);
        file_double_destroy(rig.disk);
    }
    rig.disk = whole;
}
END_TEST

START_TEST(a_topic_is_there_after_the_call_and_after_a_restart)
{
    rig_on();
    struct topic_config_override override = { text("retention.ms"), text("1000") };
    struct create_topic topic = rig_one("orders", 3);
    topic.overrides = &override;
    topic.override_count = 1;
    controller_create_topics(rig.controller, &topic, 1, false);
    ck_assert_int_eq(topic.error_code, ERR_NONE);
    ck_assert_str_eq(topic.message, "");
    /* LeaderChange, metadata.version, group.version, Topic, Config, 3 Partitions */
    ck_assert_int_eq(controller_image(rig.controller)->end_offset, 8);
    ck_assert_int_eq(controller_image(rig.controller)->epoch, 1);

    for (int round = 0; round < 3; round++) {
        const struct topic *orders = rig_topic("orders");
        ck_assert_ptr_nonnull(orders);
        ck_assert(uuid_equal(orders->id, topic.id));
        ck_assert_int_eq(orders->partition_count, 3);
        ck_assert_int_eq(orders->config.retention_ms, 1000);
        for (int32_t i = 0; i < 3; i++) {
            ck_assert_int_eq(orders->partitions[i].leader, 1);
            ck_assert_int_eq(orders->partitions[i].leader_epoch, 0);
            ck_assert_int_eq(orders->partitions[i].partition->index, i);
            ck_assert_ptr_eq(log_owner(orders->partitions[i].partition->log),
                             orders->partitions[i].partition);
        }
        ck_assert_int_eq(controller_image(rig.controller)->end_offset, 8);
        rig_restart(round == 0);
    }
}
END_TEST

/* Only a change begins an epoch: a restart alone writes nothing. */
START_TEST(the_raft_epoch_rises_with_the_first_change_after_a_start)
{
    rig_on();
    ck_assert_int_eq(rig_create("a", 1), ERR_NONE);
    int64_t end = controller_image(rig.controller)->end_offset;
    rig_restart(true);
    ck_assert_int_eq(controller_image(rig.controller)->epoch, 1);
    ck_assert_int_eq(controller_image(rig.controller)->end_offset, end);
    ck_assert_int_eq(rig_create("b", 1), ERR_NONE);
    ck_assert_int_eq(controller_image(rig.controller)->epoch, 2);
    ck_assert_msg(controller_image(rig.controller)->end_offset == end + 3, "LeaderChange, Topic, Partition");
    ck_assert_int_eq(rig_create("c", 1), ERR_NONE);
    ck_assert_int_eq(controller_image(rig.controller)->epoch, 2);
    ck_assert_int_eq(controller_image(rig.controller)->end_offset, end + 5);
}
END_TEST

static const struct {
    const char *what;
    const char *name;
    int32_t partition_count;
    int16_t replication_factor;
    const char *config_name;
    const char *config_value;
    int16_t error_code;
    const char *message;
} refusals[] = {
    { "an illegal name", "a b", 1, 1, NULL, NULL, ERR_INVALID_TOPIC_EXCEPTION, "Topic name is invalid" },
    { "no name", "", 1, 1, NULL, NULL, ERR_INVALID_TOPIC_EXCEPTION, "empty string" },
    { "the name of the metadata log", "__cluster_metadata", 1, 1, NULL, NULL, ERR_INVALID_REQUEST,
      "Creation of internal topic __cluster_metadata is prohibited." },
    { "an existing name", "or.ders", 1, 1, NULL, NULL, ERR_TOPIC_ALREADY_EXISTS,
      "Topic 'or.ders' already exists." },
    { "a collision", "or_ders", 1, 1, NULL, NULL, ERR_INVALID_TOPIC_EXCEPTION,
      "Topic 'or_ders' collides with existing topic: or.ders" },
    { "no partitions", "a", 0, 1, NULL, NULL, ERR_INVALID_PARTITIONS, "invalid non-positive value" },
    { "less than none", "a", -2, 1, NULL, NULL, ERR_INVALID_PARTITIONS, "invalid non-positive value" },
    { "no replicas", "a", 1, 0, NULL, NULL, ERR_INVALID_REPLICATION_FACTOR, "larger than 0" },
    { "replicas below the default's mark", "a", 1, -2, NULL, NULL, ERR_INVALID_REPLICATION_FACTOR,
      "larger than 0" },
    { "more replicas than brokers", "a", 1, 3, NULL, NULL, ERR_INVALID_REPLICATION_FACTOR,
      "Unable to replicate the partition 3 time(s)" },
    { "an unknown setting", "a", 1, 1, "no.such.setting", "1", ERR_INVALID_CONFIG, "no.such.setting" },
    { "a setting out of range", "a", 1, 1, "retention.ms", "-7", ERR_INVALID_CONFIG, "retention.ms" },
    { "a setting without value", "a", 1, 1, "retention.ms", NULL, ERR_INVALID_CONFIG, "Null value" },
    { "more records than a batch takes", "a", 9999, 1, "retention.ms", "1", ERR_POLICY_VIOLATION,
      "excessively" },
    { "settings before counts", "a", 0, 1, "no.such.setting", "1", ERR_INVALID_CONFIG, "" },
    { "a name in the way of everything else", "a/b", 0, 0, "x", "1", ERR_INVALID_TOPIC_EXCEPTION, "" },
};

START_TEST(what_kafka_refuses_is_refused)
{
    rig_on();
    ck_assert_int_eq(rig_create("or.ders", 1), ERR_NONE);
    int64_t end = controller_image(rig.controller)->end_offset;
    struct topic_config_override override = { text(refusals[_i].config_name),
                                              text(refusals[_i].config_value) };
    struct create_topic topics[2] = { rig_one(refusals[_i].name, refusals[_i].partition_count),
                                      rig_one("good", 1) };
    topics[0].replication_factor = refusals[_i].replication_factor;
    topics[0].overrides = &override;
    topics[0].override_count = refusals[_i].config_name ? 1 : 0;
    for (int validate_only = 1; validate_only >= 0; validate_only--) {
        controller_create_topics(rig.controller, topics, 2, validate_only);
        ck_assert_msg(topics[0].error_code == refusals[_i].error_code, "%s: %s %s", refusals[_i].what,
                      error_name(topics[0].error_code), topics[0].message);
        ck_assert_msg(strstr(topics[0].message, refusals[_i].message) != NULL, "%s: %s", refusals[_i].what,
                      topics[0].message);
        ck_assert_msg(topics[1].error_code == ERR_NONE, "one bad topic does not stop the others");
        ck_assert(validate_only ? rig_topic("good") == NULL : rig_topic("good") != NULL);
    }
    ck_assert_int_eq(controller_image(rig.controller)->end_offset, end + 2);
    ck_assert_ptr_null(rig_topic("a"));
}
END_TEST

START_TEST(a_name_twice_in_one_call_is_made_not_at_all)
{
    rig_on();
    struct create_topic topics[] = { rig_one("a", 1), rig_one("b", 1), rig_one("a", 2), rig_one("x.y", 1),
                                     rig_one("x_y", 1) };
    controller_create_topics(rig.controller, topics, 5, false);
    ck_assert_int_eq(topics[0].error_code, ERR_INVALID_REQUEST);
    ck_assert_int_eq(topics[1].error_code, ERR_NONE);
    ck_assert_int_eq(topics[2].error_code, ERR_INVALID_REQUEST);
    ck_assert_int_eq(topics[3].error_code, ERR_NONE);
    ck_assert_int_eq(topics[4].error_code, ERR_INVALID_TOPIC_EXCEPTION);
    ck_assert_ptr_null(rig_topic("a"));
    ck_assert_uint_eq(controller_image(rig.controller)->topic_count, 2);
}
END_TEST

START_TEST(a_call_for_too_many_partitions_is_refused_as_a_whole)
{
    static const struct {
        const char *what;
        int32_t first, second;
        int16_t error_code;
    } rows[] = {
        { "the largest number", INT32_MAX, 1, ERR_POLICY_VIOLATION },
        { "the largest number twice", INT32_MAX, INT32_MAX, ERR_POLICY_VIOLATION },
        { "one above Kafka's bound, with the default for one", 10000, -1, ERR_POLICY_VIOLATION },
        { "at the bound", 5000, 5000, ERR_NONE },
    };
    rig_on();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct create_topic topics[] = { rig_one("a", rows[i].first), rig_one("b", rows[i].second) };
        controller_create_topics(rig.controller, topics, 2, true);
        for (int t = 0; t < 2; t++) {
            ck_assert_msg(topics[t].error_code == rows[i].error_code, "%s", rows[i].what);
            ck_assert_str_eq(topics[t].message,
                             rows[i].error_code ? "Excessively large number of partitions per request." : "");
        }
    }
}
END_TEST

START_TEST(partitions_are_bounded)
{
    rig_on();
    char name[16];
    int count = 0;
    for (; count < 20; count++) {
        snprintf(name, sizeof name, "t%d", count);
        if (rig_create(name, 9000) != ERR_NONE)
            break;
    }
    ck_assert_int_eq(count, PARTITIONS_MAX / 9000);
    ck_assert_int_eq(rig_create(name, 9000), ERR_POLICY_VIOLATION);
    ck_assert_int_eq(rig_create(name, PARTITIONS_MAX % 9000), ERR_NONE);
    ck_assert_int_eq(rig_create("more", 1), ERR_POLICY_VIOLATION);
    rig_restart(true);
    ck_assert_uint_eq(controller_image(rig.controller)->partition_count, PARTITIONS_MAX);
}
END_TEST

START_TEST(a_power_cut_loses_nothing_that_was_answered)
{
    rig_cut_everywhere(FILE_DOUBLE_LOSE_ALL);
}
END_TEST

START_TEST(a_kill_loses_nothing_that_was_answered)
{
    rig_cut_everywhere(FILE_DOUBLE_KEEP_ALL);
}
END_TEST

START_TEST(a_reordering_power_cut_loses_nothing_that_was_answered)
{
    rig_cut_everywhere(FILE_DOUBLE_REORDER);
}
END_TEST

START_TEST(a_full_disk_refuses_and_recovers)
{
    rig_on();
    ck_assert_int_eq(rig_create("a", 1), ERR_NONE);
    file_double_set_free_space(rig.disk, 0);
    ck_assert_int_eq(rig_create("b", 1), ERR_KAFKA_STORAGE_ERROR);
    ck_assert_ptr_null(rig_topic("b"));
    file_double_set_free_space(rig.disk, UINT64_MAX);
    ck_assert_int_eq(rig_create("b", 1), ERR_NONE);
    rig_restart(false);
    ck_assert_ptr_nonnull(rig_topic("a"));
    ck_assert_ptr_nonnull(rig_topic("b"));
}
END_TEST

/* After a failed flush nobody knows what the disk has: no more changes, and no lies. */
START_TEST(a_failed_flush_ends_all_changes)
{
    rig_on();
    ck_assert_int_eq(rig_create("a", 1), ERR_NONE);
    file_double_fail_flush(rig.disk, 1);
    ck_assert_int_eq(rig_create("b", 1), ERR_KAFKA_STORAGE_ERROR);
    ck_assert_int_eq(rig_create("c", 1), ERR_KAFKA_STORAGE_ERROR);
    ck_assert_ptr_null(rig_topic("b"));
    ck_assert_ptr_nonnull(rig_topic("a"));
    rig_cut();
    ck_assert_ptr_nonnull(rig_topic("a"));
    ck_assert_ptr_null(rig_topic("c"));
    ck_assert_int_eq(rig_create("d", 1), ERR_NONE);
}
END_TEST

/* -- proposals, and what a Kafka directory may hold ------------------------------------------------ */

static struct arena arena;

static enum propose_status propose(slice value, int64_t expected_end)
{
    int64_t end;
    enum propose_status status = controller_propose(rig.controller, &value, 1, expected_end, &end);
    if (status == PROPOSE_COMMITTED)
        ck_assert_int_eq(end, controller_image(rig.controller)->end_offset);
    return status;
}

START_TEST(a_proposal_is_committed_where_it_was_expected)
{
    arena_init(&arena, NULL);
    rig_on();
    ck_assert_int_eq(rig_create("a", 1), ERR_NONE);
    int64_t end = controller_image(rig.controller)->end_offset;
    struct config_record record = { 2, text("a"), text("retention.ms"), text("77") };
    slice value = metadata_record_encode(&arena, METADATA_RECORD_CONFIG, 0, &record);
    ck_assert_int_eq(propose(value, end - 1), PROPOSE_CONFLICT);
    ck_assert_int_eq(controller_image(rig.controller)->end_offset, end);
    ck_assert_int_eq(propose(value, end), PROPOSE_COMMITTED);
    ck_assert_int_eq(rig_topic("a")->config.retention_ms, 77);
    ck_assert_int_eq(propose(value, -1), PROPOSE_COMMITTED);
    ck_assert_msg(propose(text("\x01\x63"), -1) == PROPOSE_FAILED, "not a record");

    struct remove_topic_record removal = { rig_topic("a")->id };
    ck_assert_int_eq(propose(metadata_record_encode(&arena, METADATA_RECORD_REMOVE_TOPIC, 0, &removal), -1),
                     PROPOSE_COMMITTED);
    ck_assert_ptr_null(rig_topic("a"));
    ck_assert_int_eq(rig_create("a", 2), ERR_NONE);
    rig_restart(false);
    ck_assert_int_eq(rig_topic("a")->partition_count, 2);
    arena_destroy(&arena);
}
END_TEST

/* Kafka leaves partitions without leader when it stops. */
START_TEST(partitions_without_leader_get_this_node)
{
    arena_init(&arena, NULL);
    rig_on();
    ck_assert_int_eq(rig_create("a", 2), ERR_NONE);
    struct partition_change_record record;
    partition_change_record_init(&record);
    record.topic_id = rig_topic("a")->id;
    record.partition_id = 1;
    record.leader = -1;
    ck_assert_int_eq(
        propose(metadata_record_encode(&arena, METADATA_RECORD_PARTITION_CHANGE, 0, &record), -1),
        PROPOSE_COMMITTED);
    ck_assert_int_eq(rig_topic("a")->partitions[1].leader, -1);
    for (int round = 0; round < 2; round++) {
        rig_restart(true);
        ck_assert_int_eq(rig_topic("a")->partitions[0].leader_epoch, 0);
        ck_assert_int_eq(rig_topic("a")->partitions[1].leader, 1);
        ck_assert_int_eq(rig_topic("a")->partitions[1].leader_epoch, 2);
        ck_assert_int_eq(rig_topic("a")->partitions[1].partition_epoch, 2);
    }
    arena_destroy(&arena);
}
END_TEST

static void append_to(const char *topic, bool flush)
{
    struct log *log = rig_topic(topic)->partitions[0].partition->log;
    struct batch_builder_options options = { .producer_id = -1, .producer_epoch = -1, .base_sequence = -1 };
    struct batch_builder *builder = batch_builder_open(&arena, &options);
    struct batch_view batch;
    struct log_append_result result;
    ck_assert(batch_builder_add(builder, 1, text("key"), text("value"), NULL, 0));
    ck_assert_int_eq(batch_builder_finish(builder, &batch), BATCH_OK);
    ck_assert_int_eq(log_prepare(log), LOG_OK);
    int32_t epoch = rig_topic(topic)->partitions[0].leader_epoch;
    ck_assert_int_eq(log_append(log, &batch, 1, epoch, clock_wall_ms(&rig.clock_now.clock), &result), LOG_OK);
    while (flush && store_flush(rig.store))
        ;
    rig_run_jobs();
}

/* KIP-320: in page-cache mode consumers may have seen what a power cut took; in durable mode they have not.
 */
START_TEST(a_leader_epoch_rises_where_records_were_lost)
{
    arena_init(&arena, NULL);
    rig_on();
    struct topic_config_override override = { text("flush.messages"), text("1000000") };
    struct create_topic topic = rig_one("cached", 1);
    topic.overrides = &override;
    topic.override_count = 1;
    controller_create_topics(rig.controller, &topic, 1, false);
    ck_assert_int_eq(topic.error_code, ERR_NONE);
    ck_assert_int_eq(rig_create("durable", 1), ERR_NONE);
    append_to("cached", false);
    append_to("durable", true);
    rig_restart(true);
    ck_assert_msg(rig_topic("cached")->partitions[0].leader_epoch == 0, "a clean stop loses nothing");
    append_to("cached", false);
    append_to("durable", true);
    rig_restart(false);
    ck_assert_int_eq(rig_topic("cached")->partitions[0].leader_epoch, 1);
    ck_assert_int_eq(rig_topic("durable")->partitions[0].leader_epoch, 0);
    rig_restart(true);
    ck_assert_int_eq(rig_topic("cached")->partitions[0].leader_epoch, 1);
    append_to("cached", false);
    rig_cut();
    ck_assert_int_eq(rig_topic("cached")->partitions[0].leader_epoch, 2);
    rig_cut(); /* nothing was appended since; that nothing was lost is not known */
    ck_assert_int_eq(rig_topic("cached")->partitions[0].leader_epoch, 3);
    ck_assert_int_eq(rig_topic("durable")->partitions[0].leader_epoch, 0);
    arena_destroy(&arena);
}
END_TEST

/* The first change after it aborts it, so that no reader takes ours for a part of it. */
START_TEST(an_open_transaction_is_aborted)
{
    arena_init(&arena, NULL);
    rig_on();
    ck_assert_int_eq(rig_create("a", 1), ERR_NONE);
    struct begin_transaction_record begin;
    begin_transaction_record_init(&begin);
    ck_assert_int_eq(
        propose(metadata_record_encode(&arena, METADATA_RECORD_BEGIN_TRANSACTION, 0, &begin), -1),
        PROPOSE_COMMITTED);
    struct topic_record record = { text("never"), { { 0x40, 1 } } };
    ck_assert_int_eq(propose(metadata_record_encode(&arena, METADATA_RECORD_TOPIC, 0, &record), -1),
                     PROPOSE_FAILED);
    rig_restart(true);
    ck_assert_int_eq(rig_create("b", 1), ERR_NONE);
    rig_restart(true);
    ck_assert_ptr_nonnull(rig_topic("a"));
    ck_assert_ptr_nonnull(rig_topic("b"));
    ck_assert_int_eq(rig_create("c", 1), ERR_NONE);
    arena_destroy(&arena);
}
END_TEST

START_TEST(the_directory_of_a_replicated_cluster_is_refused)
{
    arena_init(&arena, NULL);
    rig_on();
    ck_assert_int_eq(rig_create("a", 1), ERR_NONE);
    int32_t nodes[] = { 1, 2 };
    struct partition_change_record record;
    partition_change_record_init(&record);
    record.topic_id = rig_topic("a")->id;
    record.partition_id = 0;
    record.replicas = nodes;
    record.replicas_count = 2;
    ck_assert_int_eq(
        propose(metadata_record_encode(&arena, METADATA_RECORD_PARTITION_CHANGE, 0, &record), -1),
        PROPOSE_COMMITTED);
    rig_off(true);
    ck_assert_int_eq(rig_try_on(), STORE_FOREIGN);
    ck_assert_msg(strstr(rig.open_error, "a-0 has replicas on other nodes") != NULL, "%s", rig.open_error);
    arena_destroy(&arena);
}
END_TEST

START_TEST(a_newer_quorum_state_is_respected)
{
    rig_on();
    ck_assert_int_eq(rig_create("a", 1), ERR_NONE);
    rig_off(true);
    struct file *file;
    static const char state[] = "{\"leaderId\":-1,\"leaderEpoch\":40,\"data_version\":1}";
    ck_assert_int_eq(file_open(file_double_system(rig.disk), "/d/__cluster_metadata-0/quorum-state",
                               FILE_WRITE | FILE_CREATE, &file),
                     FILE_OK);
    ck_assert_int_eq(file_pwrite(file, state, sizeof state - 1, 0), FILE_OK);
    file_close(file);
    rig_on();
    ck_assert_int_eq(rig_create("b", 1), ERR_NONE);
    ck_assert_int_eq(controller_image(rig.controller)->epoch, 41);
}
END_TEST

/* -- many commands at once --------------------------------------------------------------------------- */

struct creator {
    pthread_t thread;
    int number;
    int created_count;
};

static void *create_some(void *context)
{
    struct creator *creator = context;
    for (int i = 0; i < 20; i++) {
        char name[32];
        snprintf(name, sizeof name, "t-%d-%d", creator->number, i);
        creator->created_count += rig_create(name, 1) == ERR_NONE;
        creator->created_count -= rig_create("wanted-by-all", 1) == ERR_NONE && i > 0;
    }
    return NULL;
}

START_TEST(commands_of_many_threads_share_flushes)
{
    enum { THREADS = 8, EACH = 20 };
    struct creator creators[THREADS];
    rig_on();
    for (int i = 0; i < THREADS; i++) {
        creators[i] = (struct creator){ .number = i };
        ck_assert_int_eq(pthread_create(&creators[i].thread, NULL, create_some, &creators[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(creators[i].thread, NULL);
        ck_assert_int_eq(creators[i].created_count, EACH);
    }
    ck_assert_uint_eq(controller_image(rig.controller)->topic_count, THREADS * EACH + 1);
    rig_restart(false);
    ck_assert_uint_eq(controller_image(rig.controller)->topic_count, THREADS * EACH + 1);
}
END_TEST

START_TEST(ten_thousand_topics_in_one_call)
{
    enum { COUNT = 10000 };
    struct create_topic *topics = calloc(COUNT, sizeof *topics);
    char(*names)[24] = calloc(COUNT, sizeof *names);
    rig_on();
    for (int i = 0; i < COUNT; i++) {
        snprintf(names[i], sizeof names[i], "topic-%d", i);
        topics[i] = rig_one(names[i], 1);
    }
    uint64_t flushes = file_double_flush_count(rig.disk);
    controller_create_topics(rig.controller, topics, COUNT, false);
    ck_assert_uint_eq(controller_image(rig.controller)->topic_count, COUNT);
    ck_assert_uint_lt(file_double_flush_count(rig.disk) - flushes, 16);
    rig_restart(true);
    ck_assert_uint_eq(controller_image(rig.controller)->topic_count, COUNT);
    free(topics);
    free(names);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("controller");
    TCase *tests = tcase_create("controller");
    tcase_add_checked_fixture(tests, rig_set_up, rig_tear_down);
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, a_new_directory_knows_this_node_and_its_version);
    tcase_add_test(tests, what_a_restart_shows_survives_a_power_cut);
    tcase_add_test(tests, a_topic_is_there_after_the_call_and_after_a_restart);
    tcase_add_test(tests, the_raft_epoch_rises_with_the_first_change_after_a_start);
    tcase_add_loop_test(tests, what_kafka_refuses_is_refused, 0, sizeof refusals / sizeof refusals[0]);
    tcase_add_test(tests, a_name_twice_in_one_call_is_made_not_at_all);
    tcase_add_test(tests, a_call_for_too_many_partitions_is_refused_as_a_whole);
    tcase_add_test(tests, partitions_are_bounded);
    tcase_add_test(tests, a_power_cut_loses_nothing_that_was_answered);
    tcase_add_test(tests, a_kill_loses_nothing_that_was_answered);
    tcase_add_test(tests, a_reordering_power_cut_loses_nothing_that_was_answered);
    tcase_add_test(tests, a_full_disk_refuses_and_recovers);
    tcase_add_test(tests, a_failed_flush_ends_all_changes);
    tcase_add_test(tests, a_proposal_is_committed_where_it_was_expected);
    tcase_add_test(tests, partitions_without_leader_get_this_node);
    tcase_add_test(tests, a_leader_epoch_rises_where_records_were_lost);
    tcase_add_test(tests, an_open_transaction_is_aborted);
    tcase_add_test(tests, the_directory_of_a_replicated_cluster_is_refused);
    tcase_add_test(tests, a_newer_quorum_state_is_respected);
    tcase_add_test(tests, commands_of_many_threads_share_flushes);
    tcase_add_test(tests, ten_thousand_topics_in_one_call);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
