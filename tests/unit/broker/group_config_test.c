/* Group settings: Kafka's words for mistakes in Kafka's order, what is kept of wrong ones, Java's durations.
 */
#include "broker/group_config.h"

#include <check.h>
#include <stdlib.h>

#include "broker/config_internal.h"
#include "tests/unit/broker/config_try.h"

enum { OVERRIDES_MAX = 4 };

static size_t overrides_of(const char *const *pairs, struct topic_config_override *out)
{
    size_t count = 0;
    for (; count < OVERRIDES_MAX && pairs[2 * count] != NULL; count++)
        out[count] = (struct topic_config_override){ slice_of_string(pairs[2 * count]),
                                                     slice_of_string(pairs[2 * count + 1]) };
    return count;
}

static const struct error_row {
    const char *what;
    const char *pairs[2 * OVERRIDES_MAX + 2];
    const char *error; /* "" : taken */
} error_rows[] = {
    { "no setting of its own", { NULL }, "" },
    { "both", { "consumer.session.timeout.ms", "60000", "consumer.heartbeat.interval.ms", "15000" }, "" },
    { "an unknown name comes before a wrong value",
      { "consumer.session.timeout.ms", "x", "retention.ms", "1" },
      "Unknown group config name: retention.ms" },
    { "a name with control characters", { "a\n\"b", "1" }, "Unknown group config name: a\\n\\\"b" },
    { "a wrong value comes before one out of bounds",
      { "consumer.session.timeout.ms", "1", "share.session.timeout.ms", "x" },
      "Invalid value x for configuration share.session.timeout.ms: Not a number of type INT" },
    { "the heartbeat comes before the session",
      { "consumer.session.timeout.ms", "1", "consumer.heartbeat.interval.ms", "1" },
      "consumer.heartbeat.interval.ms must be greater than or equal to "
      "group.consumer.min.heartbeat.interval.ms" },
    { "consumer groups come before share groups",
      { "share.session.timeout.ms", "99999", "consumer.session.timeout.ms", "99999" },
      "consumer.session.timeout.ms must be less than or equal to group.consumer.max.session.timeout.ms" },
    { "a share group's lock",
      { "share.record.lock.duration.ms", "60001" },
      "share.record.lock.duration.ms must be less than or equal to group.share.max.record.lock.duration.ms" },
    { "a streams group's heartbeat",
      { "streams.heartbeat.interval.ms", "4999" },
      "streams.heartbeat.interval.ms must be greater than or equal to "
      "group.streams.min.heartbeat.interval.ms" },
    { "a streams group's session",
      { "streams.session.timeout.ms", "60001" },
      "streams.session.timeout.ms must be less than or equal to group.streams.max.session.timeout.ms" },
    { "no standby", { "streams.num.standby.replicas", "0" }, "" },
    { "less than none",
      { "streams.num.standby.replicas", "-1" },
      "Invalid value -1 for configuration streams.num.standby.replicas: Value must be at least 0" },
};

START_TEST(errors)
{
    const struct error_row *row = &error_rows[_i];
    struct try_result result = try_load(&(struct try_sources){ 0 });
    struct topic_config_override overrides[OVERRIDES_MAX];
    char error[TOPIC_CONFIG_ERROR_SIZE] = "";
    size_t count = overrides_of(row->pairs, overrides);
    bool ok = group_config_check(result.config, overrides, count, error);
    ck_assert_msg(ok == (row->error[0] == '\0'), "%s", row->what);
    ck_assert_msg(strcmp(error, row->error) == 0, "%s: %s", row->what, error);
    try_end(&result);
}
END_TEST

START_TEST(what_is_loaded)
{
    struct try_result result =
        try_load(&(struct try_sources){ .text = "group.consumer.heartbeat.interval.ms=7000" });
    struct topic_config_override overrides[] = {
        { SLICE_LITERAL("consumer.session.timeout.ms"), SLICE_LITERAL("1") }, /* below the bound: kept */
        { SLICE_LITERAL("consumer.heartbeat.interval.ms"), SLICE_LITERAL("0") },
        { SLICE_LITERAL("of.the.future"), SLICE_LITERAL("1") },
    };
    struct group_config loaded;
    ck_assert_uint_eq(group_config_load(result.config, overrides, 3, &loaded), 2);
    ck_assert_int_eq(loaded.consumer_session_timeout_ms, 1);
    ck_assert_int_eq(loaded.consumer_heartbeat_interval_ms, 7000);
    try_end(&result);
}
END_TEST

START_TEST(the_table_is_in_order)
{
    struct try_result result = try_load(&(struct try_sources){ 0 });
    for (size_t i = 0; i < group_config_count(); i++) {
        const struct config_row *row = group_config_row(i);
        ck_assert(i == 0 || strcmp(group_config_row(i - 1)->name, row->name) < 0);
        ck_assert_uint_eq(group_config_find(slice_of_string(row->name)), i);
        ck_assert_str_eq(group_config_default(result.config, i), row->kafka_default);
    }
    try_end(&result);
}
END_TEST

/* Judged by Java's Duration.parse and isNegative. */
static const struct {
    const char *text;
    bool ok;
} durations[] = {
    { "PT1H", true },
    { "P1D", true },
    { "P1DT2H3M4.5S", true },
    { "pt1h", true },
    { "PT0S", true },
    { "PT-0S", true },
    { "-PT0S", true },
    { "+PT1S", true },
    { "-PT-1S", true },
    { "PT1.S", true },
    { "PT1,5S", true },
    { "PT1.123456789S", true },
    { "PT36H", true },
    { "P2DT-1H", true },
    { "PT+5M", true },
    { "P106751991167300D", true },
    { "PT9223372036854775807S", true },
    { "", false },
    { "P", false },
    { "PT", false },
    { "P1DT", false },
    { "P1H", false },
    { "PT1D", false },
    { "PT1M1H", false },
    { "1H", false },
    { "PT1", false },
    { "PT.5S", false },
    { "PT1.1234567890S", false },
    { "PT-1S", false },
    { "-PT1S", false },
    { "PT-0.5S", false },
    { "P-2DT1H", false },
    { "P1Y", false },
    { " PT1H", false },
    { "PT1H ", false },
    { "P106751991167301D", false },
    { "PT9223372036854775808S", false },
    { "PT9223372036854775807S1", false },
    { "P1DT9223372036854775807S", false },
    { "-PT-9223372036854775808S", false },
    { "P+D", false },
};

START_TEST(durations_are_javas)
{
    ck_assert_msg(config__is_duration(slice_of_string(durations[_i].text)) == durations[_i].ok, "%s",
                  durations[_i].text);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("group_config");
    tcase_add_loop_test(tests, errors, 0, COUNT_OF(error_rows));
    tcase_add_test(tests, what_is_loaded);
    tcase_add_test(tests, the_table_is_in_order);
    tcase_add_loop_test(tests, durations_are_javas, 0, COUNT_OF(durations));
    return try_run("group_config", tests);
}
