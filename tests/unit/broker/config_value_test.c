/* Values: types, ranges and lists as Kafka's ConfigDef takes them, and the text form of each. */
#include <check.h>
#include <stdlib.h>

#include "broker/config_internal.h"
#include "tests/unit/broker/config_try.h"

static const struct row {
    const char *what;
    const char *name;
    const char *value;
    const char *text; /* Kafka's form, or NULL when refused */
    const char *why;  /* Kafka's sentence when refused */
} rows[] = {
    { "a number", "num.partitions", "5", "5", "" },
    { "blanks around it", "num.partitions", " \t5 ", "5", "" },
    { "a plus", "num.partitions", "+5", "5", "" },
    { "zeros in front", "num.partitions", "007", "7", "" },
    { "the largest", "num.partitions", "2147483647", "2147483647", "" },
    { "one more", "num.partitions", "2147483648", NULL,
      "Invalid value 2147483648 for configuration num.partitions: Not a number of type INT" },
    { "no digits", "num.partitions", "", NULL,
      "Invalid value  for configuration num.partitions: Not a number of type INT" },
    { "a sign alone", "num.partitions", "-", NULL,
      "Invalid value - for configuration num.partitions: Not a number of type INT" },
    { "hexadecimal", "num.partitions", "0x5", NULL,
      "Invalid value 0x5 for configuration num.partitions: Not a number of type INT" },
    { "a fraction", "num.partitions", "1.0", NULL,
      "Invalid value 1.0 for configuration num.partitions: Not a number of type INT" },
    { "below the range", "num.partitions", "0", NULL,
      "Invalid value 0 for configuration num.partitions: Value must be at least 1" },
    { "above the range", "compression.zstd.level", "23", NULL,
      "Invalid value 23 for configuration compression.zstd.level: Value must be no more than 22" },
    { "the lowest", "compression.zstd.level", "-131072", "-131072", "" },
    { "beside the range, and allowed", "compression.gzip.level", "-1", "-1", "" },
    { "beside the range, and not", "compression.gzip.level", "0", NULL,
      "Invalid value 0 for configuration compression.gzip.level: Value must be between 1 and 9 or equal to "
      "-1" },
    { "a short", "offsets.topic.replication.factor", "32767", "32767", "" },
    { "one more", "offsets.topic.replication.factor", "32768", NULL,
      "Invalid value 32768 for configuration offsets.topic.replication.factor: Not a number of type SHORT" },
    { "the largest long", "log.flush.interval.messages", "9223372036854775807", "9223372036854775807", "" },
    { "the smallest long", "log.retention.bytes", "-9223372036854775808", "-9223372036854775808", "" },
    { "one less", "log.retention.bytes", "-9223372036854775809", NULL,
      "Invalid value -9223372036854775809 for configuration log.retention.bytes: Not a number of type LONG" },
    { "true in any case", "auto.create.topics.enable", " TRUE ", "true", "" },
    { "false", "auto.create.topics.enable", "False", "false", "" },
    { "neither", "auto.create.topics.enable", "yes", NULL,
      "Invalid value yes for configuration auto.create.topics.enable: Expected value to be either true or "
      "false" },
    { "a double", "log.cleaner.min.cleanable.ratio", "0.50", "0.5", "" },
    { "a whole double", "log.cleaner.min.cleanable.ratio", "1", "1.0", "" },
    { "with Java's suffix", "log.cleaner.min.cleanable.ratio", "0.5f", "0.5", "" },
    { "a large one", "log.cleaner.io.max.bytes.per.second", "1e7", "1.0E7", "" },
    { "just below", "log.cleaner.io.max.bytes.per.second", "9999999.5", "9999999.5", "" },
    { "a small one", "log.cleaner.io.max.bytes.per.second", "0.00099", "9.9E-4", "" },
    { "hexadecimal", "log.cleaner.io.max.bytes.per.second", "0x1.8p1", "3.0", "" },
    { "not Java's way", "log.cleaner.io.max.bytes.per.second", "inf", NULL,
      "Invalid value inf for configuration log.cleaner.io.max.bytes.per.second: Not a number of type "
      "DOUBLE" },
    { "an exponent without digits", "log.cleaner.io.max.bytes.per.second", "1e", NULL,
      "Invalid value 1e for configuration log.cleaner.io.max.bytes.per.second: Not a number of type DOUBLE" },
    { "a ratio above one", "log.cleaner.min.cleanable.ratio", "2", NULL,
      "Invalid value 2.0 for configuration log.cleaner.min.cleanable.ratio: Value must be no more than 1" },
    { "no ratio at all", "log.cleaner.min.cleanable.ratio", "NaN", NULL,
      "Invalid value NaN for configuration log.cleaner.min.cleanable.ratio: Value must be at least 0" },
    { "a word", "compression.type", "gzip", "gzip", "" },
    { "in another case", "compression.type", "GZIP", NULL,
      "Invalid value GZIP for configuration compression.type: String must be one of: uncompressed, zstd, "
      "lz4, snappy, gzip, producer" },
    { "a word in any case", "group.consumer.migration.policy", "Disabled", "Disabled", "" },
    { "no such word", "group.consumer.migration.policy", "x", NULL,
      "Invalid value x for configuration group.consumer.migration.policy: String must be one of (case "
      "insensitive): DISABLED, DOWNGRADE, UPGRADE, BIDIRECTIONAL" },
    { "a list", "log.cleanup.policy", " delete , compact", "delete,compact", "" },
    { "an empty list", "log.cleanup.policy", " ", "", "" },
    { "a repeated item goes", "log.cleanup.policy", "delete,compact,delete", "delete,compact", "" },
    { "an empty item", "log.cleanup.policy", "delete,,compact", NULL,
      "Configuration 'log.cleanup.policy' values must not be empty." },
    { "no such item", "log.cleanup.policy", "delete,x", NULL,
      "Invalid value x for configuration log.cleanup.policy: String must be one of: compact, delete" },
    { "a list that needs an item", "log.dirs", "", NULL, "Configuration 'log.dirs' must not be empty." },
    { "a text", "broker.rack", "  a b ", "a b", "" },
    { "an empty text", "broker.rack", "", "", "" },
    { "a text that must be there", "remote.log.storage.manager.class.name", "", NULL,
      "Invalid value  for configuration remote.log.storage.manager.class.name: String must be non-empty" },
    { "control characters are escaped", "num.partitions", "a\nb\"", NULL,
      "Invalid value a\\nb\\\" for configuration num.partitions: Not a number of type INT" },
};

START_TEST(checks)
{
    const struct row *row = &rows[_i];
    const struct config_row *setting = config_row_at(config_row_find(slice_of_string(row->name)));
    struct config_parsed parsed;
    struct arena arena;
    char why[CONFIG_WHY_SIZE] = "";
    arena_init(&arena, NULL);
    bool ok = config__check_value(setting, slice_of_string(row->value), &parsed, why);
    ck_assert_msg(ok == (row->text != NULL), "%s: %s", row->what, why);
    if (ok)
        ck_assert_msg(strcmp(config__canonical(&arena, setting, &parsed), row->text) == 0, "%s: %s",
                      row->what, config__canonical(&arena, setting, &parsed));
    ck_assert_msg(strcmp(why, row->why) == 0, "%s: %s", row->what, why);
    arena_destroy(&arena);
}
END_TEST

/* A value that is far too long is cut in the message, and the message ends with a NUL. */
START_TEST(cuts_long_values)
{
    static char value[100000];
    struct config_parsed parsed;
    char why[CONFIG_WHY_SIZE];
    memset(value, 0x7f, sizeof value - 1);
    ck_assert(
        !config__check_value(config_row_at(SETTING_num_partitions), slice_of_string(value), &parsed, why));
    ck_assert_uint_lt(strlen(why), CONFIG_WHY_SIZE);
    ck_assert_ptr_nonnull(strstr(why, "..."));
    memset(value, ',', sizeof value - 1);
    ck_assert(!config__check_value(config_row_at(SETTING_log_dirs), slice_of_string(value), &parsed, why));
    ck_assert(!config__check_value(config_row_at(SETTING_log_dirs), slice_of_string(value), &parsed, NULL));
}
END_TEST

START_TEST(list_has_a_bound)
{
    static char value[2 * (CONFIG_LIST_MAX + 2)];
    struct config_parsed parsed;
    char why[CONFIG_WHY_SIZE];
    for (size_t i = 0; i < CONFIG_LIST_MAX; i++)
        memcpy(value + 2 * i, "a,", 2);
    value[2 * CONFIG_LIST_MAX - 1] = '\0';
    ck_assert(config__check_value(config_row_at(SETTING_log_dirs), slice_of_string(value), &parsed, why));
    memcpy(value + 2 * CONFIG_LIST_MAX - 1, ",a", 3);
    ck_assert(!config__check_value(config_row_at(SETTING_log_dirs), slice_of_string(value), &parsed, why));
    ck_assert_str_eq(why, "Configuration 'log.dirs' has too many values.");
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("value");
    tcase_add_loop_test(tcase, checks, 0, COUNT_OF(rows));
    tcase_add_test(tcase, cuts_long_values);
    tcase_add_test(tcase, list_has_a_bound);
    return try_run("config_value", tcase);
}
