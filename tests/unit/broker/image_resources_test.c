/* The settings of groups in images: random changes beside a plain model, and changes that never happened. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/image_change.h"
#include "broker/image_internal.h"
#include "protocol/base/random.h"

enum { NAMES = 50, SETTINGS = 3, ROUNDS = 800, SEED = 4242 };

static const char *const settings[SETTINGS] = { "consumer.heartbeat.interval.ms",
                                                "consumer.session.timeout.ms",
                                                "streams.num.standby.replicas" };
static const enum config_resource_type types[] = { CONFIG_RESOURCE_CLIENT_METRICS, CONFIG_RESOURCE_GROUP };

static const uint64_t key[2] = { 1, 2 };
static struct config *config;
static struct image *image;
static int model[2][NAMES][SETTINGS]; /* 0: none */

static void set_up(void)
{
    struct config_report report = { 0 };
    struct config_sources sources = { .cpu_count = 1 };
    config = config_load(&sources, &report);
    ck_assert_ptr_nonnull(config);
    config_report_destroy(&report);
    image = image_create_empty(1, NULL, key);
    ck_assert_ptr_nonnull(image);
    memset(model, 0, sizeof model);
}

static void tear_down(void)
{
    image_destroy(image);
    config_destroy(config);
}

static slice name_of(int number, char out[16])
{
    snprintf(out, 16, "g%d", number * number);
    return slice_of_string(out);
}

static void set(struct image_change *change, int type, int name, int setting, int value)
{
    char resource[16], text[16];
    snprintf(text, sizeof text, "%d", value);
    ck_assert_int_eq(image_change_set_resource_config(change, types[type], name_of(name, resource),
                                                      slice_of_string(settings[setting]),
                                                      value ? slice_of_string(text) : SLICE_NULL),
                     CHANGE_OK);
}

/* What the controller leaves to retire() is freed at once. */
static void free_before(void *context, struct resource_config *before)
{
    (void)context;
    image__resource_free(before);
}

static void publish(struct image_change *change)
{
    struct image *next, *before = image;
    ck_assert_int_eq(image_change_build(change, image->end_offset + 1, 1, &next), CHANGE_OK);
    image = next;
    image_change_visit_resources(change, free_before, NULL);
    image_change_end(change);
    image__free(before);
}

static void expect_resource(int type, int name, size_t *count, size_t *size)
{
    char text[16], value[16];
    slice resource = name_of(name, text);
    const struct resource_config *found = image_resource(image, types[type], resource);
    size_t own_count = 0;
    for (int s = 0; s < SETTINGS; s++) {
        if (model[type][name][s] == 0)
            continue;
        own_count++;
        ck_assert_ptr_nonnull(found);
        snprintf(value, sizeof value, "%d", model[type][name][s]);
        size_t at = 0;
        while (at < found->override_count && !slice_equal_string(found->overrides[at].name, settings[s]))
            at++;
        ck_assert_uint_lt(at, found->override_count);
        ck_assert(slice_equal_string(found->overrides[at].value, value));
        *size += strlen(settings[s]) + strlen(value);
    }
    ck_assert_uint_eq(own_count, found ? found->override_count : 0);
    if (own_count == 0)
        return;
    *count += 1;
    *size += resource.size;
    if (types[type] == CONFIG_RESOURCE_GROUP)
        ck_assert_int_eq(found->group.consumer_session_timeout_ms,
                         model[type][name][1] ? model[type][name][1] : 45000);
}

static void expect_model(void)
{
    size_t count = 0, size = 0;
    for (int type = 0; type < 2; type++)
        for (int name = 0; name < NAMES; name++)
            expect_resource(type, name, &count, &size);
    ck_assert_uint_eq(image->resource_count, count);
    ck_assert_uint_eq(image->resource_size, size);
}

START_TEST(many_random_changes_agree_with_a_model)
{
    struct random random;
    random_seed(&random, SEED);
    for (int round = 0; round < ROUNDS; round++) {
        int before[2][NAMES][SETTINGS];
        struct image_change *change = image_change_begin(image, config);
        memcpy(before, model, sizeof model);
        for (uint64_t steps = random_below(&random, 12); steps > 0; steps--) {
            int type = (int)random_below(&random, 2), name = (int)random_below(&random, NAMES);
            int setting = (int)random_below(&random, SETTINGS);
            int value = random_below(&random, 2) ? 0 : 1 + (int)random_below(&random, 100000);
            set(change, type, name, setting, value);
            model[type][name][setting] = value;
        }
        switch (random_below(&random, 4)) {
        case 0: /* never happens */
            image_change_abandon(change);
            memcpy(model, before, sizeof model);
            break;
        case 1: { /* neither, though it was built */
            struct image *next;
            ck_assert_int_eq(image_change_build(change, image->end_offset + 1, 1, &next), CHANGE_OK);
            image_change_abandon(change);
            memcpy(model, before, sizeof model);
            break;
        }
        default:
            publish(change);
        }
        expect_model();
    }
    ck_assert_uint_gt(image->resource_count, NAMES / 4);
}
END_TEST

/* Decisions of one commit see what those before them did. */
START_TEST(a_change_tells_what_it_would_be)
{
    size_t count;
    slice group = SLICE_LITERAL("g1");
    struct image_change *change = image_change_begin(image, config);
    set(change, 1, 1, 0, 6000);
    publish(change);
    change = image_change_begin(image, config);
    ck_assert_uint_eq(image_change_resource_count(change), 1);
    image_change_resource_configs(change, CONFIG_RESOURCE_GROUP, group, &count);
    ck_assert_uint_eq(count, 1);
    set(change, 1, 1, 1, 50000);
    set(change, 1, 2, 1, 50000);
    set(change, 1, 1, 0, 0);
    const struct topic_config_override *now =
        image_change_resource_configs(change, CONFIG_RESOURCE_GROUP, group, &count);
    ck_assert_uint_eq(count, 1);
    ck_assert(slice_equal_string(now[0].value, "50000"));
    ck_assert_uint_eq(image_change_resource_count(change), 2);
    set(change, 1, 1, 1, 0);
    ck_assert_ptr_nonnull(image_change_resource_configs(change, CONFIG_RESOURCE_GROUP, group, &count));
    ck_assert_uint_eq(count, 0);
    ck_assert_uint_eq(image_change_resource_count(change), 1);
    image_change_abandon(change);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("image resources");
    TCase *tests = tcase_create("resources");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, many_random_changes_agree_with_a_model);
    tcase_add_test(tests, a_change_tells_what_it_would_be);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
