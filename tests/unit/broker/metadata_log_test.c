/* Metadata records: their bytes as Kafka writes them, batches, and reading them back. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/metadata_bootstrap.h"
#include "broker/metadata_files.h"
#include "storage/file_double.h"
#include "tests/support/log_rig.h"

static const int64_t now_ms = 1700000000000;

static struct arena arena;
static struct file_double *disk;
static struct metadata_place place;

static void set_up(void)
{
    arena_init(&arena, NULL);
    disk = file_double_create();
    place = (struct metadata_place){ .files = file_double_system(disk),
                                     .directory = "/d",
                                     .log_directory = "/d/__cluster_metadata-0",
                                     .node_id = 1,
                                     .now_ms = now_ms };
    ck_assert(uuid_from_text(slice_of_string("AAECAwQFBgcICQoLDA0ODw"), &place.directory_id));
    ck_assert_int_eq(file_make_directory(place.files, "/d"), FILE_OK);
}

static void tear_down(void)
{
    arena_destroy(&arena);
    file_double_destroy(disk);
}

static void expect_hex(slice bytes, const char *hex)
{
    size_t n = 0;
    for (const char *p = hex; *p; p += *p == ' ' ? 1 : 2) {
        unsigned value;
        if (*p == ' ')
            continue;
        ck_assert_int_eq(sscanf(p, "%2x", &value), 1);
        ck_assert_uint_lt(n, bytes.size);
        ck_assert_msg(bytes.data[n] == value, "byte %zu is %02x, not %02x", n, bytes.data[n], value);
        n++;
    }
    ck_assert_uint_eq(n, bytes.size);
}

static slice version_record(void)
{
    struct feature_level_record feature = { SLICE_LITERAL("metadata.version"), 25 };
    return metadata_record_encode(&arena, METADATA_RECORD_FEATURE_LEVEL, 0, &feature);
}

/* facts: disk-format, A */
START_TEST(records_are_framed_as_in_kafka)
{
    expect_hex(version_record(), "01 0c 00 11 6d657461646174612e76657273696f6e 0019 00");
    struct topic_record topic = { SLICE_LITERAL("t"), place.directory_id };
    expect_hex(metadata_record_encode(&arena, METADATA_RECORD_TOPIC, 0, &topic),
               "01 02 00 02 74 000102030405060708090a0b0c0d0e0f 00");
}
END_TEST

/* facts: disk-format, A: the three batches together are a bootstrap.checkpoint */
START_TEST(a_snapshot_has_the_bytes_of_kafka)
{
    struct metadata_batches batches;
    struct snapshot_header_record header;
    struct snapshot_footer_record footer;
    snapshot_header_record_init(&header);
    snapshot_footer_record_init(&footer);
    metadata_batches_init(&batches, &arena, 0, 0, now_ms);
    metadata_batches_add_control(&batches, CONTROL_RECORD_SNAPSHOT_HEADER, &header);
    metadata_batches_cut(&batches);
    metadata_batches_add(&batches, version_record());
    metadata_batches_cut(&batches);
    metadata_batches_add_control(&batches, CONTROL_RECORD_SNAPSHOT_FOOTER, &footer);
    expect_hex(
        metadata_batches_bytes(&batches),
        "0000000000000000 00000047 00000000 02 695d7860 0020 00000000 0000018bcfe56800 0000018bcfe56800 "
        "ffffffffffffffff ffff ffffffff 00000001 2a 00 00 00 08 00000003 16 0000 0000000000000000 00 00 "
        "0000000000000001 0000004f 00000000 02 7b4e0140 0000 00000000 0000018bcfe56800 0000018bcfe56800 "
        "ffffffffffffffff ffff ffffffff 00000001 3a 00 00 00 01 2e "
        "01 0c 00 11 6d657461646174612e76657273696f6e 0019 00 00 "
        "0000000000000002 0000003f 00000000 02 8f6608e6 0020 00000000 0000018bcfe56800 0000018bcfe56800 "
        "ffffffffffffffff ffff ffffffff 00000001 1a 00 00 00 08 00000004 06 0000 00 00");
    ck_assert_uint_eq(batches.record_count, 3);
}
END_TEST

struct seen {
    size_t count;
    struct metadata_record records[64];
};

static bool see(void *context, const struct metadata_record *record)
{
    struct seen *seen = context;
    seen->records[seen->count] = *record;
    seen->records[seen->count++].value = arena_copy(&arena, record->value, NULL);
    return seen->count < 64;
}

static slice three_batches(void)
{
    struct metadata_batches batches;
    struct kraft_version_record version = { 0, 1 };
    metadata_batches_init(&batches, &arena, 10, 3, now_ms);
    metadata_batches_add_control(&batches, CONTROL_RECORD_KRAFT_VERSION, &version);
    metadata_batches_cut(&batches);
    metadata_batches_cut(&batches);
    for (int i = 0; i < 5; i++)
        metadata_batches_add(&batches, version_record());
    metadata_batches_cut(&batches);
    metadata_batches_add(&batches, version_record());
    slice bytes = metadata_batches_bytes(&batches);
    ck_assert_uint_eq(batches.count, 3);
    ck_assert_uint_eq(batches.record_count, 7);
    return bytes;
}

START_TEST(batches_are_read_back)
{
    slice bytes = three_batches();
    struct seen seen = { 0 };
    ck_assert_int_eq(metadata_batches_read(bytes, 0, see, &seen), METADATA_READ_OK);
    ck_assert_uint_eq(seen.count, 7);
    for (size_t i = 0; i < seen.count; i++) {
        ck_assert_int_eq(seen.records[i].offset, 10 + (int64_t)i);
        ck_assert_int_eq(seen.records[i].epoch, 3);
        ck_assert_int_eq(seen.records[i].control_type, i == 0 ? CONTROL_RECORD_KRAFT_VERSION : -1);
        if (i > 0)
            ck_assert(slice_equal(seen.records[i].value, version_record()));
    }
    seen.count = 0;
    ck_assert_int_eq(metadata_batches_read(bytes, 13, see, &seen), METADATA_READ_OK);
    ck_assert_uint_eq(seen.count, 4);
    ck_assert_int_eq(seen.records[0].offset, 13);
}
END_TEST

/* Whatever byte is wrong or missing: the batch before it is read, this one is not. */
START_TEST(damage_is_found)
{
    slice bytes = three_batches();
    uint8_t *copy = malloc(bytes.size);
    for (size_t at = 0; at < bytes.size; at++) {
        struct seen seen = { 0 };
        memcpy(copy, bytes.data, bytes.size);
        copy[at] ^= 0x10;
        enum metadata_read_status status = metadata_batches_read(slice_of(copy, bytes.size), 0, see, &seen);
        bool outside_crc = status == METADATA_READ_OK; /* base offset and epoch, which the CRC leaves out */
        ck_assert(status == METADATA_READ_DAMAGED || outside_crc);
        ck_assert_uint_le(seen.count, 7);
        arena_reset(&arena);
        bytes = three_batches();
    }
    free(copy);
    for (size_t size = 1; size < bytes.size; size++) {
        struct seen seen = { 0 };
        uint8_t *cut = malloc(size);
        memcpy(cut, bytes.data, size);
        enum metadata_read_status status = metadata_batches_read(slice_of(cut, size), 0, see, &seen);
        ck_assert(status == METADATA_READ_DAMAGED || seen.count == 1 || seen.count == 6);
        free(cut);
    }
}
END_TEST

static void put_file(const char *path, slice bytes)
{
    struct file *file;
    ck_assert_int_eq(file_open(place.files, path, FILE_WRITE | FILE_CREATE | FILE_TRUNCATE, &file), FILE_OK);
    ck_assert_int_eq(file_pwrite(file, bytes.data, bytes.size, 0), FILE_OK);
    file_close(file);
}

START_TEST(a_new_directory_is_formatted_without_a_flush)
{
    ck_assert_int_eq(metadata_bootstrap_write(&place), FILE_OK);
    ck_assert_uint_eq(file_double_flush_count(disk), 0);

    struct metadata_snapshot snapshot;
    ck_assert_int_eq(metadata_snapshot_load(place.files, place.log_directory, &snapshot), FILE_OK);
    ck_assert_int_eq(snapshot.end_offset, 0);
    ck_assert_int_eq(snapshot.epoch, 0);
    struct seen seen = { 0 };
    ck_assert_int_eq(metadata_batches_read(snapshot.bytes, 0, see, &seen), METADATA_READ_OK);
    ck_assert_uint_eq(seen.count, 4);
    ck_assert_int_eq(seen.records[1].control_type, CONTROL_RECORD_KRAFT_VERSION);
    ck_assert_int_eq(seen.records[2].control_type, CONTROL_RECORD_VOTERS);
    struct reader reader;
    struct voters_record voters;
    reader_init(&reader, seen.records[2].value, &arena);
    ck_assert(voters_record_decode(&reader, 0, &voters));
    ck_assert_int_eq(voters.voters_count, 1);
    ck_assert_int_eq(voters.voters[0].voter_id, 1);
    ck_assert(uuid_equal(voters.voters[0].voter_directory_id, place.directory_id));
    metadata_snapshot_free(&snapshot);

    size_t count;
    slice *records = metadata_bootstrap_records(&place, &arena, &count);
    ck_assert_uint_eq(count, 2);
    ck_assert_msg(slice_equal(records[0], version_record()), "the version is first");

    uint64_t operations = file_double_operation_count(disk);
    ck_assert_int_eq(metadata_bootstrap_write(&place), FILE_OK);
    ck_assert_msg(file_double_operation_count(disk) <= operations + 1, "what is whole stays");
}
END_TEST

START_TEST(what_was_flushed_survives)
{
    ck_assert_int_eq(file_flush_directory(place.files, "/"), FILE_OK);
    ck_assert_int_eq(metadata_bootstrap_write(&place), FILE_OK);
    ck_assert_int_eq(metadata_bootstrap_flush(&place), FILE_OK);
    struct file_double *after =
        file_double_after_cut(disk, file_double_operation_count(disk), FILE_DOUBLE_LOSE_ALL, NULL);
    struct metadata_snapshot snapshot;
    ck_assert_int_eq(metadata_snapshot_load(file_double_system(after), place.log_directory, &snapshot),
                     FILE_OK);
    ck_assert_int_eq(snapshot.end_offset, 0);
    metadata_snapshot_free(&snapshot);
    uint8_t *bytes;
    size_t size;
    ck_assert_int_eq(
        file_read_all(file_double_system(after), "/d/bootstrap.checkpoint", 1 << 20, &bytes, &size), FILE_OK);
    ck_assert(metadata_snapshot_is_whole(slice_of(bytes, size)));
    free(bytes);
    file_double_destroy(after);
}
END_TEST

START_TEST(a_torn_bootstrap_is_made_anew)
{
    ck_assert_int_eq(metadata_bootstrap_write(&place), FILE_OK);
    put_file("/d/bootstrap.checkpoint", SLICE_LITERAL("torn"));
    put_file("/d/__cluster_metadata-0/00000000000000000000-0000000000.checkpoint", SLICE_LITERAL(""));
    ck_assert_int_eq(metadata_bootstrap_write(&place), FILE_OK);
    struct metadata_snapshot snapshot;
    ck_assert_int_eq(metadata_snapshot_load(place.files, place.log_directory, &snapshot), FILE_OK);
    ck_assert_int_eq(snapshot.end_offset, 0);
    metadata_snapshot_free(&snapshot);
    size_t count;
    metadata_bootstrap_records(&place, &arena, &count);
    ck_assert_uint_eq(count, 2);
}
END_TEST

START_TEST(the_newest_whole_snapshot_counts)
{
    static const char directory[] = "/d/__cluster_metadata-0";
    char name[METADATA_SNAPSHOT_NAME_SIZE], path[128];
    ck_assert_int_eq(metadata_bootstrap_write(&place), FILE_OK);
    struct metadata_snapshot snapshot;
    ck_assert_int_eq(metadata_snapshot_load(place.files, directory, &snapshot), FILE_OK);
    static const struct {
        int64_t end_offset;
        int32_t epoch;
    } at[] = { { 100, 2 }, { 99, 7 }, { 1234567890123, 3 }, { 1234567890123, 4 } };
    for (size_t i = 0; i < 4; i++) {
        metadata_snapshot_name(at[i].end_offset, at[i].epoch, name);
        snprintf(path, sizeof path, "%s/%s", directory, name);
        put_file(path, snapshot.bytes);
    }
    put_file("/d/__cluster_metadata-0/99999999999999999999-0000000001.checkpoint", snapshot.bytes);
    put_file("/d/__cluster_metadata-0/00001234567890123456-0000000001.checkpoint.part", snapshot.bytes);
    put_file("/d/__cluster_metadata-0/0000123456789012345x-0000000001.checkpoint", snapshot.bytes);
    metadata_snapshot_free(&snapshot);

    ck_assert_int_eq(metadata_snapshot_load(place.files, directory, &snapshot), FILE_OK);
    ck_assert_int_eq(snapshot.end_offset, 1234567890123);
    ck_assert_int_eq(snapshot.epoch, 4);
    ck_assert(file_double_flip_bit(disk, "/d/__cluster_metadata-0/00000001234567890123-0000000004.checkpoint",
                                   snapshot.bytes.size - 3, 1));
    ck_assert(file_double_flip_bit(disk, "/d/__cluster_metadata-0/00000001234567890123-0000000003.checkpoint",
                                   40, 1));
    metadata_snapshot_free(&snapshot);
    ck_assert_int_eq(metadata_snapshot_load(place.files, directory, &snapshot), FILE_OK);
    ck_assert_int_eq(snapshot.end_offset, 100);
    metadata_snapshot_free(&snapshot);
}
END_TEST

static const struct {
    const char *what;
    const char *text;
    int32_t epoch;
} quorum_states[] = {
    { "Kafka's, version 1",
      "{\"leaderId\":1,\"leaderEpoch\":17,\"votedId\":-1,\"votedDirectoryId\":\"AAAAAAAAAAAAAAAAAAAAAA\","
      "\"data_version\":1}",
      17 },
    { "no epoch", "{\"leaderId\":1}", 0 },
    { "nothing", "", 0 },
    { "below zero", "{\"leaderEpoch\":-1}", 0 },
    { "no number", "{\"leaderEpoch\":x}", 0 },
    { "too large", "{\"leaderEpoch\":99999999999}", 0 },
};

START_TEST(the_quorum_state_tells_its_epoch)
{
    put_file("/d/quorum-state", slice_of_string(quorum_states[_i].text));
    ck_assert_msg(metadata_quorum_epoch(place.files, "/d") == quorum_states[_i].epoch, "%s",
                  quorum_states[_i].what);
}
END_TEST

START_TEST(without_a_quorum_state_there_is_no_epoch)
{
    ck_assert_int_eq(metadata_quorum_epoch(place.files, "/d"), 0);
}
END_TEST

static unsigned flush_refusal; /* which of the coming flushes is refused; 0: none */

static enum log_status refuse_flush(struct log_host *host, struct log *log)
{
    (void)host;
    (void)log;
    return flush_refusal > 0 && --flush_refusal == 0 ? LOG_LIMIT : LOG_OK;
}

/* Whoever repeats a change after LOG_LIMIT must not find its records there twice. */
START_TEST(a_flush_that_is_refused_says_whether_records_were_appended)
{
    static const enum log_status expected[] = { LOG_OK, LOG_LIMIT, LOG_IO };
    for (unsigned refusal = 0; refusal < 3; refusal++) {
        struct log_rig *rig = log_rig_create(NULL);
        struct metadata_batches batches;
        rig->host.before_flush = refuse_flush;
        flush_refusal = refusal;
        metadata_batches_init(&batches, &arena, 0, 1, now_ms);
        metadata_batches_add(&batches, version_record());
        ck_assert_int_eq(metadata_log_append(rig->log, &batches), expected[refusal]);
        ck_assert_int_eq(log_offsets(rig->log).end, refusal == 1 ? 0 : 1);
        file_double_destroy(log_rig_destroy(rig));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("metadata_log");
    TCase *tests = tcase_create("metadata_log");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, records_are_framed_as_in_kafka);
    tcase_add_test(tests, a_snapshot_has_the_bytes_of_kafka);
    tcase_add_test(tests, batches_are_read_back);
    tcase_add_test(tests, damage_is_found);
    tcase_add_test(tests, a_new_directory_is_formatted_without_a_flush);
    tcase_add_test(tests, what_was_flushed_survives);
    tcase_add_test(tests, a_torn_bootstrap_is_made_anew);
    tcase_add_test(tests, the_newest_whole_snapshot_counts);
    tcase_add_loop_test(tests, the_quorum_state_tells_its_epoch, 0,
                        sizeof quorum_states / sizeof quorum_states[0]);
    tcase_add_test(tests, without_a_quorum_state_there_is_no_epoch);
    tcase_add_test(tests, a_flush_that_is_refused_says_whether_records_were_appended);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
