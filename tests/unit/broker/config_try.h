/* Loads settings from text, environment and overrides for the tests, and finds messages. */
#ifndef RUNNEL_TESTS_UNIT_BROKER_CONFIG_TRY_H
#define RUNNEL_TESTS_UNIT_BROKER_CONFIG_TRY_H

#include <check.h>
#include <stdlib.h>

#include "broker/config.h"

enum { TRY_MAX = 8 };

/* What a row hands in; all NULL-ended. */
struct try_sources {
    const char *text; /* of "f", NULL: no file */
    const char *environment[TRY_MAX];
    const char *overrides[TRY_MAX]; /* "name=value" */
};

struct try_result {
    struct config *config; /* NULL when refused */
    struct config_report report;
};

static inline struct try_result try_load(const struct try_sources *sources)
{
    struct config_override overrides[TRY_MAX];
    struct try_result result = { 0 };
    size_t count = 0;
    for (; count < TRY_MAX && sources->overrides[count] != NULL; count++) {
        const char *equals = strchr(sources->overrides[count], '=');
        overrides[count] = (struct config_override){ strndup(sources->overrides[count],
                                                             (size_t)(equals - sources->overrides[count])),
                                                     equals + 1, "--override" };
    }
    struct config_sources in = { sources->text ? "f" : NULL, (char *const *)sources->environment, overrides,
                                 count, 2 };
    result.config =
        config_load_text(&in, slice_of_string(sources->text ? sources->text : ""), &result.report);
    for (size_t i = 0; i < count; i++)
        free((char *)overrides[i].name);
    ck_assert((result.config == NULL) == (result.report.error_count > 0));
    return result;
}

static inline void try_end(struct try_result *result)
{
    config_destroy(result->config);
    config_report_destroy(&result->report);
}

/* The first message of a level, or "". */
static inline const char *try_message(const struct try_result *result, enum config_message_level level)
{
    for (size_t i = 0; i < result->report.count; i++)
        if (result->report.messages[i].level == level)
            return result->report.messages[i].text;
    return "";
}

/* The value of a setting as text; "(null)" for Kafka's null. */
static inline const char *try_value(const struct config *config, const char *name)
{
    struct config_setting setting;
    size_t index = config_row_find(slice_of_string(name));
    ck_assert_msg(index != SIZE_MAX, "%s", name);
    config_setting_at(config, index, &setting);
    return setting.value ? setting.value : "(null)";
}

static inline int try_run(const char *suite_name, TCase *tcase)
{
    Suite *suite = suite_create(suite_name);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#define COUNT_OF(array) (int)(sizeof(array) / sizeof *(array))

#endif
