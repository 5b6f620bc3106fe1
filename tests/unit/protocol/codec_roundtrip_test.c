/* Every message in every version: sizer, writer and reader agree, and cut or damaged bytes do no harm. */
#include "codec/apis.h"
#include "tests/unit/protocol/message_walk.h"

START_TEST(every_api)
{
    const struct api_schema *api = &api_schemas[_i];
    walk_message(&api->request, api->min_version, api->max_version);
    walk_message(&api->response, api->min_version, api->max_version);
}
END_TEST

START_TEST(every_record)
{
    const struct record_schema *record = &record_schemas[_i];
    walk_message(&record->message, record->min_version, record->max_version);
}
END_TEST

START_TEST(the_table_is_ordered_and_found)
{
    for (size_t i = 0; i < api_schema_count; i++) {
        const struct api_schema *api = &api_schemas[i];
        ck_assert(i == 0 || api[-1].key < api->key);
        ck_assert_ptr_eq(api_schema_find(api->key), api);
        ck_assert(api->advertised_min <= api->served_min && api->served_min <= api->served_max);
        ck_assert(api->served_max <= api->max_version && api->min_version <= api->served_min);
    }
    ck_assert_ptr_null(api_schema_find(-1));
    ck_assert_ptr_null(api_schema_find(INT16_MIN));
    ck_assert_ptr_null(api_schema_find(INT16_MAX));
    ck_assert_ptr_null(api_schema_find(4));
}
END_TEST

int main(void)
{
    walk_seed();
    Suite *suite = suite_create("codec round trip");
    TCase *cases = tcase_create("all");
    tcase_set_timeout(cases, 280);
    tcase_add_loop_test(cases, every_api, 0, (int)api_schema_count);
    tcase_add_loop_test(cases, every_record, 0, (int)record_schema_count);
    tcase_add_test(cases, the_table_is_ordered_and_found);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
