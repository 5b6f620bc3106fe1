/* The table of APIs: every row in every served version reaches its handler, and the response comes
 * back under the version's own header. */
#include <check.h>
#include <stdlib.h>

#include "broker/dispatch.h"
#include "broker/handlers/handlers.h"
#include "codec/apis.h"
#include "tests/support/sim.h"

static int16_t reached_key, reached_version;
static unsigned reached_count;

#define API(NAME, key, name, min, max, flags)                                                                \
    enum handled handle_##name(struct request *rq, const struct name##_request *in,                          \
                               struct name##_response *out)                                                  \
    {                                                                                                        \
        ck_assert_ptr_eq(rq->in, in);                                                                        \
        ck_assert_ptr_eq(rq->out, out);                                                                      \
        ck_assert(slice_equal_string(rq->client_id, "sim"));                                                 \
        ck_assert_int_eq(rq->api_key, key);                                                                  \
        reached_key = key;                                                                                   \
        reached_version = rq->api_version;                                                                   \
        reached_count++;                                                                                     \
        return HANDLED_DONE;                                                                                 \
    }
#include "broker/apis.def"
#undef API

START_TEST(rows_are_what_the_definition_says)
{
    static const struct {
        int16_t key, min, max;
        unsigned flags;
    } defined[] = {
#define API(NAME, key, name, min, max, flags) { key, min, max, flags },
#include "broker/apis.def"
#undef API
    };
    size_t count;
    const struct api_row *rows = api_rows(&count);
    ck_assert_uint_eq(count, sizeof defined / sizeof defined[0]);
    for (size_t i = 0; i < count; i++) {
        ck_assert_int_eq(rows[i].key, defined[i].key);
        ck_assert_int_eq(rows[i].served_min, defined[i].min);
        ck_assert_int_eq(rows[i].served_max, defined[i].max);
        ck_assert_uint_eq(rows[i].flags, defined[i].flags);
        ck_assert_ptr_eq(rows[i].schema, api_schema_find(rows[i].key));
        ck_assert_ptr_eq(api_row_find(rows[i].key), &rows[i]);
    }
    for (int32_t key = INT16_MIN; key <= INT16_MAX; key++) {
        const struct api_row *row = api_row_find((int16_t)key);
        ck_assert(!row || row->key == key);
    }
}
END_TEST

START_TEST(every_version_reaches_its_handler)
{
    static _Alignas(16) uint8_t request[4096], response[4096];
    struct sim sim;
    struct sim_client client;
    sim_open(&sim, 1, "");
    sim_connect(&sim, &client);
    size_t count;
    const struct api_row *rows = api_rows(&count);
    for (size_t i = 0; i < count; i++) {
        ck_assert_uint_le(rows[i].schema->request.struct_size, sizeof request);
        ck_assert_uint_le(rows[i].schema->response.struct_size, sizeof response);
        for (int16_t version = rows[i].served_min; version <= rows[i].served_max; version++) {
            rows[i].schema->request.init(request);
            reached_count = 0;
            ck_assert_msg(sim_call(&client, rows[i].key, version, request, response), "%s v%d",
                          rows[i].schema->name, version);
            ck_assert_uint_eq(reached_count, 1);
            ck_assert_int_eq(reached_key, rows[i].key);
            ck_assert_int_eq(reached_version, version);
        }
    }
    sim_disconnect(&client);
    sim_close(&sim);
}
END_TEST

/* One version beyond the range on either side: no answer, the connection is closed. */
START_TEST(other_versions_are_refused)
{
    static _Alignas(16) uint8_t request[4096], response[4096];
    size_t count;
    const struct api_row *rows = api_rows(&count);
    for (size_t i = 0; i < count; i++) {
        const struct api_schema *schema = rows[i].schema;
        for (int16_t version = schema->min_version; version <= schema->max_version; version++) {
            if (version >= rows[i].served_min && version <= rows[i].served_max)
                continue;
            struct sim sim;
            struct sim_client client;
            sim_open(&sim, 1, "");
            sim_connect(&sim, &client);
            schema->request.init(request);
            reached_count = 0;
            ck_assert(!sim_call(&client, rows[i].key, version, request, response));
            ck_assert_uint_eq(reached_count, 0);
            sim_disconnect(&client);
            sim_close(&sim);
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("dispatch");
    TCase *tcase = tcase_create("table");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, rows_are_what_the_definition_says);
    tcase_add_test(tcase, every_version_reaches_its_handler);
    tcase_add_test(tcase, other_versions_are_refused);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
