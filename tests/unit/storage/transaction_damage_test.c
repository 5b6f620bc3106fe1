/* Damage in and between transactions, met by a recovery: where readers of committed records stop, and what
 * they are told to leave out. */
#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/log_rig.h"
#include "tests/support/suite.h"

static const char log_name_of[] = "00000000000000000000.log";

enum { BATCHES_MAX = 16, MARKER_SIZE = 78, VALUE_OF_MARKER_SIZE = 10 };

static struct log_rig *rig;
static struct log_position durable;
static uint64_t position[BATCHES_MAX + 1];
static int batch_count;

/* One batch a word: "t7" of producer 7's transaction, "C7" and "A7" its ends, "p" of nobody's, "m" the same,
 * as large as a marker. */
static void write_story(const char *story)
{
    rig = log_rig_create(NULL);
    rig->config.segment_bytes = 1 << 20;
    log_set_config(rig->log, &rig->config);
    batch_count = 0;
    for (const char *word = story; *word; word += *word == ' ') {
        struct batch_view batch;
        struct log_append_result result;
        enum log_status status;
        bool is_plain = *word == 'p' || *word == 'm';
        int64_t producer_id = is_plain ? 0 : word[1] - '0';
        position[batch_count] = batch_count > 0 ? (uint64_t)rig_file_size(rig, log_name_of) : 0;
        batch_count++;
        if (*word == 'C' || *word == 'A')
            rig_make_marker(&batch, producer_id, 0, *word == 'C', 0);
        else
            rig_make_batch(
                &(struct rig_batch){ .value_size = *word == 'm' ? VALUE_OF_MARKER_SIZE : 30,
                                     .timestamp = 1000,
                                     .attributes = *word == 't' ? BATCH_ATTRIBUTE_TRANSACTIONAL : 0,
                                     .producer_id = producer_id,
                                     .sequence = -1 },
                &batch);
        while ((status = log_append(rig->log, &batch, 1, 0, 1000, &result)) == LOG_BUSY)
            ck_assert_int_eq(log_prepare(rig->log), LOG_OK);
        ck_assert_int_eq(status, LOG_OK);
        free(batch.data);
        word += is_plain ? 1 : 2;
    }
    position[batch_count] = (uint64_t)rig_file_size(rig, log_name_of);
    while (log_rig_flush(rig))
        continue;
    durable = log__durable_position(rig->log);
    ck_assert_int_eq(durable.offset, batch_count);
    log_rig_close(rig, false, NULL);
}

/* checks_all: with all checksums, as after a kill of Kafka; else what was durable is believed. */
static void recover(bool checks_all)
{
    if (rig->log)
        log_rig_close(rig, false, NULL);
    log_rig_new_log(rig);
    ck_assert_int_eq(
        log__recover(rig->log, checks_all ? LOG_POSITION_OF_OFFSET(batch_count) : durable, -1, NULL), LOG_OK);
    log_rig_turn(rig);
}

/* "stable 7: 7@3 8@0" */
static const char *told(void)
{
    static char text[200];
    struct arena arena;
    struct log_aborted *items;
    size_t count;
    struct log_offsets offsets = log_offsets(rig->log);
    arena_init(&arena, NULL);
    ck_assert_int_eq(log_aborted(rig->log, 0, offsets.stable, &arena, &items, &count), LOG_OK);
    int size = snprintf(text, sizeof text, "stable %" PRId64 ":", offsets.stable);
    for (size_t i = 0; i < count; i++)
        size += snprintf(text + size, sizeof text - (size_t)size, " %" PRId64 "@%" PRId64,
                         items[i].producer_id, items[i].first_offset);
    arena_destroy(&arena);
    return text;
}

static void flip(uint64_t byte, unsigned bit)
{
    ck_assert(file_double_flip_bit(rig->disk, rig_path(rig, log_name_of), byte, bit));
}

/* The second time, it is as it was. */
static void scratch(int batch)
{
    for (uint64_t byte = position[batch] + 16; byte < position[batch] + 70; byte += 2)
        flip(byte, (unsigned)byte % 7);
}

START_TEST(any_flipped_bit)
{
    write_story("t7 t8 C7 t7 A7 p C8 p");
    recover(_i);
    ck_assert_str_eq(told(), "stable 8: 7@3");
    for (uint64_t byte = 0; byte < position[batch_count]; byte++) {
        for (unsigned bit = 0; bit < 8; bit += 3) {
            flip(byte, bit);
            recover(_i);
            /* Damaged itself, the one batch of the transaction is nothing that anybody takes. */
            bool is_batch = byte >= position[3] && byte < position[4];
            if (is_batch && strcmp(told(), "stable 8:") == 0) {
                flip(byte, bit);
                continue;
            }
            ck_assert_msg(strcmp(told(), "stable 8: 7@3") == 0, "byte %" PRIu64 " bit %u: %s", byte, bit,
                          told());
            flip(byte, bit);
        }
    }
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

static const struct {
    const char *what, *story;
    int damaged;
    const char *told;
} rows[] = {
    { "a commit: nobody knows, so it is an abort, and readers go on", "t7 t7 C7 p p", 2, "stable 5: 7@0" },
    { "an abort", "t7 t7 A7 p p", 2, "stable 5: 7@0" },
    { "the end of a transaction, and the next one ends well", "t7 C7 t7 C7 p", 1, "stable 5: 7@0" },
    { "the same of one that was aborted: nobody takes its records for committed", "t7 A7 t7 C7 p", 1,
      "stable 5: 7@0" },
    { "a batch inside: its transaction goes on", "t7 t7 t7 C7 p", 1, "stable 5:" },
    { "a batch inside, and it is still open", "t7 t7 t7 p", 1, "stable 0:" },
    { "a batch inside one that was aborted", "t7 t7 t7 A7 p", 1, "stable 5: 7@0" },
    { "a batch of nobody's", "t7 p C7 p", 1, "stable 4:" },
    { "either of two may have ended: both are open", "t7 t8 C7 p p", 2, "stable 0:" },
    { "the end of the only one that is open", "t7 C7 t8 A8 p", 3, "stable 5: 8@2" },
    { "the end of a transaction that wrote nothing here", "p C7 p", 1, "stable 3:" },
};

START_TEST(more_than_a_bit)
{
    for (int checks_all = 0; checks_all < 2; checks_all++) {
        write_story(rows[_i].story);
        scratch(rows[_i].damaged);
        recover(checks_all);
        ck_assert_msg(strcmp(told(), rows[_i].told) == 0, "%s: %s", rows[_i].what, told());
        recover(checks_all);
        ck_assert_msg(strcmp(told(), rows[_i].told) == 0, "%s, again: %s", rows[_i].what, told());
        /* A clean stop keeps it. */
        struct log_row row;
        ck_assert_int_eq(log_rig_close(rig, true, &row), LOG_OK);
        log_rig_new_log(rig);
        log__set_closed_row(rig->log, &row);
        ck_assert_int_eq(log_open(rig->log), LOG_OK);
        ck_assert_msg(strcmp(told(), rows[_i].told) == 0, "%s, after a clean stop: %s", rows[_i].what,
                      told());
        file_double_destroy(log_rig_destroy(rig));
    }
}
END_TEST

/* Its checksum is wrong, and its header is whole. */
START_TEST(records_that_are_as_large_as_a_marker)
{
    for (int checks_all = 0; checks_all < 2; checks_all++) {
        write_story("t7 m t7 C7 p");
        ck_assert_uint_eq(position[2] - position[1], MARKER_SIZE);
        flip(position[2] - 4, 1);
        flip(position[2] - 3, 6);
        recover(checks_all);
        ck_assert_str_eq(told(), "stable 5:");
        recover(true);
        ck_assert_str_eq(told(), "stable 5:");
        file_double_destroy(log_rig_destroy(rig));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("transaction_damage");
    TCase *tests = tcase_create("tests");
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, any_flipped_bit, 0, 2);
    tcase_add_loop_test(tests, more_than_a_bit, 0, (int)(sizeof rows / sizeof *rows));
    tcase_add_test(tests, records_that_are_as_large_as_a_marker);
    suite_add_tcase(suite, tests);
    return suite_run(suite) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
