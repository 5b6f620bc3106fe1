/* Broker defaults that change what is stored: compression.type and the timestamp type. */
#include <check.h>
#include <stdlib.h>

#include "protocol/errors.h"
#include "tests/support/one_partition.h"
#include "tests/support/served.h"
#include "tests/support/wire_client.h"

enum { TIMEOUT_MS = 10000, KEY_PRODUCE = 0, KEY_FETCH = 1, KEY_METADATA = 3, RECORD_COUNT = 3 };

static struct wire_client client;
static struct arena arena;

static struct batch_view make_batch(enum codec codec, size_t value_size)
{
    struct batch_builder_options options = { NO_PRODUCER, .attributes = (uint16_t)codec };
    struct batch_builder *builder = batch_builder_open(&arena, &options);
    uint8_t *value = arena_alloc(&arena, value_size);
    struct batch_view batch;
    memset(value, 'v', value_size);
    for (int i = 0; i < RECORD_COUNT; i++)
        ck_assert(batch_builder_add(builder, 1700000000000 + i, SLICE_LITERAL("key"),
                                    slice_of(value, value_size), NULL, 0));
    ck_assert_int_eq(batch_builder_finish(builder, &batch), BATCH_OK);
    return batch;
}

static void create_topic(void)
{
    struct one_metadata one;
    struct metadata_response response;
    one_metadata(&one, SLICE_LITERAL("t"));
    ck_assert(wire_call(&client, KEY_METADATA, 9, &one.request, &response));
    ck_assert_int_eq(response.topics[0].error_code, ERR_NONE);
}

static struct produce_response_partition produce(const struct batch_view *batch, int32_t timeout_ms)
{
    struct one_produce one;
    struct produce_response response;
    one_produce(&one, "t", 0, batch_bytes(batch));
    one.request.timeout_ms = timeout_ms;
    ck_assert(wire_call(&client, KEY_PRODUCE, 9, &one.request, &response));
    return response.topics[0].partitions[0];
}

static struct batch_view fetch(int64_t offset)
{
    struct one_fetch one;
    struct fetch_response response;
    struct batch_view batch;
    one_fetch(&one, "t", 0, offset);
    ck_assert(wire_call(&client, KEY_FETCH, 11, &one.request, &response));
    ck_assert_int_eq(response.topics[0].partitions[0].error_code, ERR_NONE);
    ck_assert_int_eq(batch_view(response.topics[0].partitions[0].records.bytes, &batch), BATCH_OK);
    return batch;
}

static void start(struct served *served, const char *const arguments[])
{
    served_start(served, RUNNEL_BINARY, arguments);
    ck_assert(wire_connect(&client, served->bootstrap, TIMEOUT_MS));
    create_topic();
}

static void stop(struct served *served)
{
    wire_close(&client);
    served_stop(served);
    arena_reset(&arena);
}

static const struct {
    const char *setting;
    enum codec codec; /* CODEC_COUNT: as it was sent */
} types[] = {
    { "compression.type=producer", CODEC_COUNT }, { "compression.type=uncompressed", CODEC_NONE },
    { "compression.type=gzip", CODEC_GZIP },      { "compression.type=snappy", CODEC_SNAPPY },
    { "compression.type=lz4", CODEC_LZ4 },        { "compression.type=zstd", CODEC_ZSTD },
};

START_TEST(batches_are_stored_with_the_codec_of_the_topic)
{
    static const size_t value_sizes[] = { 5, 400 * 1000 }; /* on the loop; on a worker */
    const char *const arguments[] = { "--override", types[_i].setting, "--override",
                                      "message.max.bytes=2000000", NULL };
    struct served served;
    start(&served, arguments);
    for (size_t size = 0; size < 2; size++) {
        for (int codec = CODEC_NONE; codec < CODEC_COUNT; codec++) {
            struct batch_view sent = make_batch((enum codec)codec, value_sizes[size]);
            struct produce_response_partition answer = produce(&sent, TIMEOUT_MS);
            ck_assert_msg(answer.error_code == ERR_NONE, "%s, sent with codec %d: %s", types[_i].setting,
                          codec, error_name(answer.error_code));
            struct batch_view stored = fetch(answer.base_offset);
            struct batch_rules rules = { .now_ms = 1700000000000, .timestamp_before_max_ms = INT64_MAX,
                                         .timestamp_after_max_ms = INT64_MAX, .output_max = 4 << 20 };
            struct batch_verdict verdict;
            ck_assert_int_eq(stored.base_offset, answer.base_offset);
            ck_assert_int_eq(stored.record_count, RECORD_COUNT);
            ck_assert_int_eq(batch_codec(&stored),
                             types[_i].codec == CODEC_COUNT ? (enum codec)codec : types[_i].codec);
            stored.base_offset = 0; /* as it was sent: the validator looks at the CRC and every record */
            enum batch_status status = batch_validate(&stored, &rules, &arena, &verdict);
            ck_assert_msg(status == BATCH_OK, "codec %d: %s", codec, verdict.message);
            ck_assert_int_eq(verdict.max_timestamp, 1700000000000 + RECORD_COUNT - 1);
        }
    }
    stop(&served);
}
END_TEST

START_TEST(a_batch_that_grows_beyond_max_message_bytes_is_refused)
{
    const char *const arguments[] = { "--override", "compression.type=uncompressed", "--override",
                                      "message.max.bytes=10000", NULL };
    struct served served;
    start(&served, arguments);
    struct batch_view fits = make_batch(CODEC_GZIP, 1000), grows = make_batch(CODEC_GZIP, 10000);
    ck_assert_int_lt((int)grows.size, 10000);
    ck_assert_int_eq(produce(&grows, TIMEOUT_MS).error_code, ERR_MESSAGE_TOO_LARGE);
    ck_assert_int_eq(produce(&fits, TIMEOUT_MS).error_code, ERR_NONE);
    stop(&served);
}
END_TEST

int main(void)
{
    arena_init(&arena, NULL);
    Suite *suite = suite_create("topic defaults");
    TCase *tests = tcase_create("stored");
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, batches_are_stored_with_the_codec_of_the_topic, 0,
                        sizeof types / sizeof *types);
    tcase_add_test(tests, a_batch_that_grows_beyond_max_message_bytes_is_refused);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    arena_destroy(&arena);
    return failed == 0 ? 0 : 1;
}
