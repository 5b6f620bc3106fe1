/* Snapshots of the metadata: what they say, when they are written, what goes for them, and power cuts
 * meanwhile. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/controller_internal.h"
#include "broker/metadata_files.h"
#include "broker/metadata_snapshot.h"
#include "protocol/errors.h"
#include "tests/support/controller_rig.h"

#define LOG_DIRECTORY "/d/__cluster_metadata-0"

/* After every change one, of which the newest stays, and segments of a few records: smaller than a user may
 * set. */
static void load_often(void)
{
    rig_load_config("metadata.log.max.record.bytes.between.snapshots=1\nmetadata.max.retention.bytes=1\n");
    rig.config->metadata_log_segment_bytes = 600;
}

static size_t list(struct metadata_snapshot_file *out, size_t room)
{
    struct metadata_snapshot_file *found;
    size_t count;
    ck_assert(metadata_snapshots_list(file_double_system(rig.disk), LOG_DIRECTORY, &found, &count));
    ck_assert_uint_le(count, room);
    if (count > 0)
        memcpy(out, found, count * sizeof *found);
    free(found);
    return count;
}

static void alter(enum config_resource_type type, const char *resource, const char *name, const char *value)
{
    struct config_change change = { slice_of_string(name), slice_of_string(value), CONFIG_SET };
    struct alter_config alter = {
        .type = type, .name = slice_of_string(resource), .changes = &change, .change_count = 1
    };
    controller_alter_configs(rig.controller, &alter, 1, false);
    ck_assert_msg(alter.error_code == ERR_NONE, "%s: %s", name, alter.message);
    rig_run_jobs();
}

static void delete_topic(const char *name)
{
    struct delete_topic topic = { .id = rig_topic(name)->id };
    controller_delete_topics(rig.controller, &topic, 1);
    ck_assert_int_eq(topic.error_code, ERR_NONE);
    rig_run_jobs();
}

#define PRINT(of) (int)(of).size, (const char *)(of).data

/* All that an image says, as text. */
static char *describe(void)
{
    const struct image *image = controller_image(rig.controller);
    char *out;
    size_t size;
    FILE *file = open_memstream(&out, &size);
    for (size_t i = 0; i < image->feature_count; i++)
        fprintf(file, "feature %s %d\n", image->features[i].name, image->features[i].level);
    fprintf(file, "producer ids %lld\n", (long long)image->next_producer_id);
    for (size_t t = 0; t < image->topic_count; t++) {
        const struct topic *topic = image->topics[t];
        char id[UUID_TEXT_SIZE + 1];
        uuid_to_text(topic->id, id);
        fprintf(file, "topic %s %s\n", topic->name, id);
        for (int32_t i = 0; i < topic->partition_count; i++) {
            const struct partition_metadata *it = &topic->partitions[i];
            uuid_to_text(it->directory, id);
            fprintf(file, "  %d leader=%d epoch=%d,%d replica=%d isr=%d directory=%s\n", i, it->leader,
                    it->leader_epoch, it->partition_epoch, it->replicas[0], it->isr_count, id);
        }
        for (size_t i = 0; i < topic->override_count; i++)
            fprintf(file, "  %.*s=%.*s\n", PRINT(topic->overrides[i].name), PRINT(topic->overrides[i].value));
    }
    for (size_t r = 0; r < image->resource_count; r++) {
        const struct resource_config *it = image->resources[r];
        for (size_t i = 0; i < it->override_count; i++)
            fprintf(file, "resource %d %.*s %.*s=%.*s\n", it->type, PRINT(it->name),
                    PRINT(it->overrides[i].name), PRINT(it->overrides[i].value));
    }
    fclose(file);
    return out;
}

static void make_much(void)
{
    int64_t first;
    int32_t count;
    ck_assert_int_eq(rig_create("a", 3), ERR_NONE);
    ck_assert_int_eq(rig_create("b.with-all_signs", 1), ERR_NONE);
    ck_assert_int_eq(rig_create("gone", 2), ERR_NONE);
    alter(CONFIG_RESOURCE_TOPIC, "a", "retention.ms", "12345");
    alter(CONFIG_RESOURCE_TOPIC, "a", "cleanup.policy", "compact");
    alter(CONFIG_RESOURCE_GROUP, "some group", "consumer.session.timeout.ms", "50000");
    delete_topic("gone");
    ck_assert_int_eq(controller_claim_producer_ids(rig.controller, &first, &count), ERR_NONE);
    ck_assert_int_eq(rig_create("gone", 1), ERR_NONE);
}

START_TEST(a_start_from_a_snapshot_knows_all)
{
    load_often();
    rig_on();
    make_much();
    char *before = describe();
    struct metadata_snapshot_file files[8];
    size_t count = list(files, 8);
    ck_assert_uint_ge(count, 1);
    ck_assert_int_eq(files[count - 1].end_offset, controller_image(rig.controller)->end_offset);
    ck_assert_int_eq(files[count - 1].epoch, controller_image(rig.controller)->epoch);
    ck_assert_msg(log_offsets(rig.controller->log).start > 0,
                  "the log begins where the oldest snapshot ends");
    for (int cut = 0; cut < 3; cut++) {
        if (cut == 2)
            rig_cut();
        else
            rig_restart(cut == 0);
        char *after = describe();
        ck_assert_str_eq(after, before);
        ck_assert_msg(rig.controller->tail_bytes < 1000, "the log was read from the snapshot on");
        free(after);
    }
    free(before);
    ck_assert_int_eq(rig_create("one-more", 1), ERR_NONE);
    rig_restart(true);
    ck_assert_ptr_nonnull(rig_topic("one-more"));
    ck_assert_ptr_nonnull(rig_topic("gone"));
}
END_TEST

/* By bytes, by time, and neither. */
START_TEST(a_snapshot_is_written_when_it_is_time)
{
    static const struct {
        const char *settings;
        int64_t wait_ms;
        bool is_written;
    } rows[] = {
        { "", 0, false },
        { "", 3599999, false },
        { "", 3600000, true },
        { "metadata.log.max.snapshot.interval.ms=0\n", 3600000, false },
        { "metadata.log.max.record.bytes.between.snapshots=1000\n", 0, false },
        { "metadata.log.max.record.bytes.between.snapshots=300\n", 0, true },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct metadata_snapshot_file files[8];
        rig_load_config(rows[i].settings);
        rig_on();
        ck_assert_int_eq(rig_create("a", 1), ERR_NONE);
        clock_virtual_advance(&rig.clock_now, rows[i].wait_ms);
        ck_assert_int_eq(rig_create("b", 1), ERR_NONE);
        size_t count = list(files, 8);
        ck_assert_msg((files[count - 1].end_offset > 0) == rows[i].is_written, "row %zu", i);
        rig_tear_down();
        rig_set_up();
    }
}
END_TEST

/* None stays beyond its age but the newest. */
START_TEST(old_snapshots_go)
{
    struct metadata_snapshot_file files[16];
    rig_load_config("metadata.log.max.record.bytes.between.snapshots=1\n");
    rig_on();
    for (int i = 0; i < 4; i++) {
        char name[16];
        snprintf(name, sizeof name, "t%d", i);
        ck_assert_int_eq(rig_create(name, 1), ERR_NONE);
        clock_virtual_advance(&rig.clock_now, 1000);
    }
    ck_assert_msg(list(files, 16) == 4, "that of the bootstrap says 1970");
    int64_t third = files[2].end_offset;
    ck_assert_int_eq(log_offsets(rig.controller->log).start, files[0].end_offset);
    rig_off(true);
    /* Those of 4 s and 3 s ago are too old, the others not. */
    rig_load_config("metadata.log.max.record.bytes.between.snapshots=1\nmetadata.max.retention.ms=2000\n");
    rig_on();
    ck_assert_int_eq(rig_create("t4", 1), ERR_NONE);
    ck_assert_uint_eq(list(files, 16), 3);
    ck_assert_int_eq(files[0].end_offset, third);
    ck_assert_int_eq(log_offsets(rig.controller->log).start, third);
}
END_TEST

/* Permissions and the like are Kafka's to act on; who votes is what Kafka starts with. */
START_TEST(what_means_nothing_here_is_kept)
{
    struct arena arena;
    struct metadata_kept kept;
    struct metadata_snapshot snapshot;
    arena_init(&arena, NULL);
    load_often();
    rig_on();
    struct access_control_entry_record entry;
    access_control_entry_record_init(&entry);
    entry.principal = SLICE_LITERAL("User:somebody");
    entry.resource_name = SLICE_LITERAL("a");
    entry.host = SLICE_LITERAL("*");
    struct config_record config = { CONFIG_RESOURCE_BROKER, SLICE_LITERAL("1"),
                                    SLICE_LITERAL("log.cleaner.threads"), SLICE_LITERAL("2") };
    slice records[] = {
        metadata_record_encode(&arena, METADATA_RECORD_ACCESS_CONTROL_ENTRY, 0, &entry),
        metadata_record_encode(&arena, METADATA_RECORD_CONFIG, 0, &config),
    };
    int64_t end;
    ck_assert_int_eq(rig_create("a", 1), ERR_NONE);
    /* Kafka wrote them. */
    rig_off(true);
    rig_load_config("");
    rig_on();
    ck_assert_int_eq(controller_propose(rig.controller, records, 2, -1, &end), PROPOSE_COMMITTED);
    rig_off(true);
    load_often();
    for (int round = 0; round < 3; round++) {
        char name[16];
        rig_on();
        snprintf(name, sizeof name, "t%d", round);
        ck_assert_int_eq(rig_create(name, 1), ERR_NONE);
        rig_off(true);
        struct image *empty = image_create_empty(1, NULL, (uint64_t[2]){ 1, 2 });
        struct image_change *change = image_change_begin(empty, rig.config);
        struct metadata_replay replay;
        metadata_kept_init(&kept);
        metadata_replay_init(&replay, change, 1);
        replay.kept = &kept;
        ck_assert_int_eq(metadata_snapshot_load(file_double_system(rig.disk), LOG_DIRECTORY, &snapshot),
                         FILE_OK);
        ck_assert_int_gt(snapshot.end_offset, 0);
        ck_assert_int_eq(metadata_batches_read(snapshot.bytes, 0, metadata_replay_visit, &replay),
                         METADATA_READ_OK);
        ck_assert_uint_eq(kept.count, 2);
        for (int i = 0; i < 2; i++)
            ck_assert(slice_equal(kept.records[i], records[i]));
        ck_assert(!slice_is_null(kept.voters) && !slice_is_null(kept.kraft_version));
        metadata_snapshot_free(&snapshot);
        metadata_replay_destroy(&replay);
        image_change_abandon(change);
        image_destroy(empty);
        metadata_kept_destroy(&kept);
    }
    arena_destroy(&arena);
    rig_on();
}
END_TEST

/* Of a life in which every change writes a snapshot and removes the one before. */
START_TEST(power_cuts)
{
    static const enum file_double_cut cuts[] = { FILE_DOUBLE_LOSE_ALL, FILE_DOUBLE_KEEP_ALL,
                                                 FILE_DOUBLE_REORDER };
    load_often();
    rig_cut_everywhere(cuts[_i]);
}
END_TEST

/* A snapshot that cannot be written costs nothing but the next one. */
START_TEST(a_full_disk_keeps_the_log)
{
    struct metadata_snapshot_file files[8];
    load_often();
    rig_on();
    ck_assert_int_eq(rig_create("a", 1), ERR_NONE);
    int64_t start = log_offsets(rig.controller->log).start;
    size_t count = list(files, 8);
    int64_t newest = files[count - 1].end_offset;
    struct create_topic topic = rig_one("b", 1);
    controller_create_topics(rig.controller, &topic, 1, false);
    ck_assert_int_eq(topic.error_code, ERR_NONE);
    file_double_set_free_space(rig.disk, 0);
    rig_run_jobs();
    file_double_set_free_space(rig.disk, UINT64_MAX);
    count = list(files, 8);
    ck_assert_int_eq(files[count - 1].end_offset, newest);
    ck_assert_int_eq(log_offsets(rig.controller->log).start, start);
    rig_cut();
    ck_assert_ptr_nonnull(rig_topic("b"));
    ck_assert_int_eq(rig_create("c", 1), ERR_NONE);
    count = list(files, 8);
    ck_assert_int_eq(files[count - 1].end_offset, controller_image(rig.controller)->end_offset);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("metadata_snapshot");
    TCase *tests = tcase_create("tests");
    tcase_add_checked_fixture(tests, rig_set_up, rig_tear_down);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, a_start_from_a_snapshot_knows_all);
    tcase_add_test(tests, a_snapshot_is_written_when_it_is_time);
    tcase_add_test(tests, old_snapshots_go);
    tcase_add_test(tests, what_means_nothing_here_is_kept);
    tcase_add_loop_test(tests, power_cuts, 0, 3);
    tcase_add_test(tests, a_full_disk_keeps_the_log);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
