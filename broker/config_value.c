/* One value of one setting: checked as Kafka's ConfigDef does, and printed in its text form. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "broker/config_internal.h"
#include "protocol/base/check.h"
#include "protocol/base/note.h"

static bool is_blank(uint8_t c)
{
    return c <= ' '; /* Java's String.trim */
}

slice config__trim(slice text)
{
    while (text.size > 0 && is_blank(text.data[0])) {
        text.data++;
        text.size--;
    }
    while (text.size > 0 && is_blank(text.data[text.size - 1]))
        text.size--;
    return text;
}

bool config__parse_integer(slice text, int64_t min, int64_t max, int64_t *out)
{
    size_t at = 0;
    bool negative = text.size > 0 && text.data[0] == '-';
    if (text.size > 0 && (text.data[0] == '-' || text.data[0] == '+'))
        at++;
    if (at == text.size)
        return false;
    int64_t value = 0; /* kept negative: INT64_MIN has no positive twin */
    for (; at < text.size; at++) {
        unsigned digit = (unsigned)text.data[at] - '0';
        if (digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, (int64_t)digit, &value))
            return false;
    }
    if (!negative && __builtin_sub_overflow(0, value, &value))
        return false;
    if (value < min || value > max)
        return false;
    *out = value;
    return true;
}

static size_t digits_from(const char *text, size_t at, bool hex)
{
    static const char all[] = "0123456789abcdefABCDEF";
    return at + strspn(text + at, hex ? all : "0123456789");
}

/* The grammar of Java's Double.parseDouble, which strtod() reads more widely. */
static bool double_is_java(const char *text, size_t *number_size)
{
    size_t at = text[0] == '+' || text[0] == '-' ? 1 : 0;
    if (strcmp(text + at, "NaN") == 0 || strcmp(text + at, "Infinity") == 0) {
        *number_size = strlen(text);
        return true;
    }
    bool hex = text[at] == '0' && (text[at + 1] == 'x' || text[at + 1] == 'X');
    at += hex ? 2 : 0;
    size_t whole = digits_from(text, at, hex);
    size_t count = whole - at;
    at = whole;
    if (text[at] == '.') {
        size_t fraction = digits_from(text, at + 1, hex);
        count += fraction - at - 1;
        at = fraction;
    }
    if (count == 0)
        return false;
    bool exponent = hex ? (text[at] == 'p' || text[at] == 'P') : (text[at] == 'e' || text[at] == 'E');
    if (hex && !exponent)
        return false;
    if (exponent) {
        at += text[at + 1] == '+' || text[at + 1] == '-' ? 2 : 1;
        size_t end = digits_from(text, at, false);
        if (end == at)
            return false;
        at = end;
    }
    *number_size = at;
    if (text[at] != '\0' && strchr("fFdD", text[at]) != NULL)
        at++;
    return text[at] == '\0';
}

static bool parse_double(slice text, double *out)
{
    char copy[512];
    size_t size;
    if (text.size == 0 || text.size >= sizeof copy || memchr(text.data, 0, text.size) != NULL)
        return false;
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    if (!double_is_java(copy, &size))
        return false;
    copy[size] = '\0';
    *out = strtod(copy, NULL);
    return true;
}

bool config__list_next(slice *rest, slice *item)
{
    if (slice_is_null(*rest))
        return false;
    const uint8_t *comma = rest->size > 0 ? memchr(rest->data, ',', rest->size) : NULL;
    size_t size = comma ? (size_t)(comma - rest->data) : rest->size;
    *item = config__trim(slice_of(rest->data, size));
    *rest = comma ? slice_of(comma + 1, rest->size - size - 1) : SLICE_NULL;
    return true;
}

/* The items of a whole list; an empty text has none. */
static slice list_of(slice text)
{
    return text.size > 0 ? text : SLICE_NULL;
}

static bool word_is(slice item, const char *word, size_t size, bool any_case)
{
    if (item.size != size)
        return false;
    return any_case ? strncasecmp((const char *)item.data, word, size) == 0
                    : memcmp(item.data, word, size) == 0;
}

static bool is_one_of(slice item, const char *words, bool any_case)
{
    while (*words != '\0') {
        size_t size = strcspn(words, " ");
        if (word_is(item, words, size, any_case))
            return true;
        words += size + (words[size] == ' ');
    }
    return false;
}

/* "a b" as "a, b". */
static void words_text(const char *words, char *out, size_t size)
{
    size_t at = 0;
    for (; *words != '\0' && at + 3 < size; words++) {
        if (*words == ' ')
            out[at++] = ',';
        out[at++] = *words;
    }
    out[at] = '\0';
}

/* note_escape without its quotes, as Kafka prints values. */
static const char *plain(slice value, char out[CONFIG_WHY_SIZE / 2])
{
    const char *quoted = value.size == 0 ? "\"\"" : note_escape(value);
    const char *end = strrchr(quoted, '"');
    size_t size = (size_t)(end - quoted) - 1;
    bool is_cut = end[1] != '\0' || size > CONFIG_WHY_SIZE / 2 - 4;
    if (size > CONFIG_WHY_SIZE / 2 - 4)
        size = CONFIG_WHY_SIZE / 2 - 4;
    memcpy(out, quoted + 1, size);
    strcpy(out + size, is_cut ? "..." : "");
    return out;
}

static bool invalid(char *why, const struct config_row *row, slice value, const char *reason)
{
    char shown[CONFIG_WHY_SIZE / 2];
    if (why != NULL)
        snprintf(why, CONFIG_WHY_SIZE, "Invalid value %s for configuration %s: %s",
                 row->type == CONFIG_PASSWORD ? "[hidden]" : plain(value, shown), row->name, reason);
    return false;
}

static bool parse_type(const struct config_row *row, struct config_parsed *out, char *why)
{
    slice text = out->text;
    switch (row->type) {
    case CONFIG_BOOLEAN:
        out->boolean = word_is(text, "true", 4, true);
        return out->boolean || word_is(text, "false", 5, true) ||
               invalid(why, row, text, "Expected value to be either true or false");
    case CONFIG_INT:
        return config__parse_integer(text, INT32_MIN, INT32_MAX, &out->integer) ||
               invalid(why, row, text, "Not a number of type INT");
    case CONFIG_SHORT:
        return config__parse_integer(text, INT16_MIN, INT16_MAX, &out->integer) ||
               invalid(why, row, text, "Not a number of type SHORT");
    case CONFIG_LONG:
        return config__parse_integer(text, INT64_MIN, INT64_MAX, &out->integer) ||
               invalid(why, row, text, "Not a number of type LONG");
    case CONFIG_DOUBLE:
        return parse_double(text, &out->real) || invalid(why, row, text, "Not a number of type DOUBLE");
    case CONFIG_STRING:
    case CONFIG_LIST:
    case CONFIG_CLASS:
    case CONFIG_PASSWORD:
        return true;
    }
    check_unreachable("config_type");
}

static bool check_range(const struct config_row *row, const struct config_parsed *value, char *why)
{
    const struct config_valid *valid = &row->valid;
    int64_t n = value->integer;
    char reason[96], number[24];
    if ((n >= valid->min && n <= valid->max) || n == valid->also)
        return true;
    if (valid->also != valid->min)
        snprintf(reason, sizeof reason, "Value must be between %lld and %lld or equal to %lld",
                 (long long)valid->min, (long long)valid->max, (long long)valid->also);
    else if (n < valid->min)
        snprintf(reason, sizeof reason, "Value must be at least %lld", (long long)valid->min);
    else
        snprintf(reason, sizeof reason, "Value must be no more than %lld", (long long)valid->max);
    snprintf(number, sizeof number, "%lld", (long long)n);
    return invalid(why, row, slice_of_string(number), reason);
}

static bool check_ratio(const struct config_row *row, const struct config_parsed *value, char *why)
{
    char reason[96], number[32];
    if (value->real >= row->valid.ratio_min && value->real <= row->valid.ratio_max)
        return true;
    bool above = value->real > row->valid.ratio_max;
    snprintf(reason, sizeof reason, "Value must be %s %g", above ? "no more than" : "at least",
             above ? row->valid.ratio_max : row->valid.ratio_min);
    config__double_text(value->real, number);
    return invalid(why, row, slice_of_string(number), reason);
}

static bool check_words(const struct config_row *row, slice item, char *why)
{
    bool any_case = row->valid.rule == RULE_WORDS_ANY_CASE;
    char words[192], reason[256];
    if (is_one_of(item, row->valid.words, any_case))
        return true;
    words_text(row->valid.words, words, sizeof words);
    snprintf(reason, sizeof reason, "String must be one of%s: %s", any_case ? " (case insensitive)" : "",
             words);
    return invalid(why, row, item, reason);
}

static bool refuse_list(const struct config_row *row, const char *what, char *why)
{
    if (why != NULL)
        snprintf(why, CONFIG_WHY_SIZE, "Configuration '%s' %s", row->name, what);
    return false;
}

/* digits:digits */
static bool is_throttled_replica(slice item)
{
    const uint8_t *colon = item.size > 0 ? memchr(item.data, ':', item.size) : NULL;
    if (colon == NULL || colon == item.data || (size_t)(colon - item.data) == item.size - 1)
        return false;
    for (size_t i = 0; i < item.size; i++)
        if (item.data + i != colon && (item.data[i] < '0' || item.data[i] > '9'))
            return false;
    return true;
}

static bool check_throttled(const struct config_row *row, slice text, char *why)
{
    slice rest = list_of(text), item;
    if (slice_equal_string(text, "*"))
        return true;
    while (config__list_next(&rest, &item)) {
        if (is_throttled_replica(item))
            continue;
        char reason[256];
        snprintf(reason, sizeof reason,
                 "%s must be the literal '*' or a list of replicas in the following format: "
                 "[partitionId]:[brokerId],[partitionId]:[brokerId],...",
                 row->name);
        return invalid(why, row, text, reason);
    }
    return true;
}

static bool check_list(const struct config_row *row, slice text, char *why)
{
    if (row->valid.rule == RULE_THROTTLED)
        return check_throttled(row, text, why);
    slice rest = list_of(text), item;
    size_t count = 0;
    if (row->valid.empty_refused && text.size == 0)
        return refuse_list(row, "must not be empty.", why);
    while (config__list_next(&rest, &item)) {
        if (item.size == 0)
            return refuse_list(row, "values must not be empty.", why);
        if (row->valid.rule == RULE_WORDS && !check_words(row, item, why))
            return false;
        if (++count > CONFIG_LIST_MAX)
            return refuse_list(row, "has too many values.", why);
    }
    return true;
}

static bool check_offset_reset(const struct config_row *row, slice text, char *why)
{
    static const char by_duration[] = "by_duration:";
    char shown[CONFIG_WHY_SIZE / 2], reason[256];
    size_t skipped = sizeof by_duration - 1;
    if (slice_equal_string(text, "earliest") || slice_equal_string(text, "latest"))
        return true;
    if (text.size > skipped && memcmp(text.data, by_duration, skipped) == 0 &&
        config__is_duration(slice_of(text.data + skipped, text.size - skipped)))
        return true;
    snprintf(
        reason, sizeof reason,
        "Invalid value `%.64s` for configuration %s. The value must be either 'earliest', 'latest' or of "
        "the format 'by_duration:<PnDTnHnMn.nS>'.",
        plain(text, shown), row->name);
    return invalid(why, row, text, reason);
}

static bool check_rule(const struct config_row *row, const struct config_parsed *value, char *why)
{
    if (row->type == CONFIG_LIST)
        return check_list(row, value->text, why);
    switch (row->valid.rule) {
    case RULE_RANGE:
        return check_range(row, value, why);
    case RULE_RATIO:
        return check_ratio(row, value, why);
    case RULE_WORDS:
    case RULE_WORDS_ANY_CASE:
        return check_words(row, value->text, why);
    case RULE_NOT_EMPTY:
        return value->text.size > 0 || invalid(why, row, value->text, "String must be non-empty");
    case RULE_OFFSET_RESET:
        return check_offset_reset(row, value->text, why);
    case RULE_ANY:
    case RULE_DISTINCT:
    case RULE_THROTTLED:
        return true;
    }
    check_unreachable("config_rule");
}

bool config__check_value(const struct config_row *row, slice text, struct config_parsed *out, char *why)
{
    *out = (struct config_parsed){ .text = config__trim(text) };
    return parse_type(row, out, why) && check_rule(row, out, why);
}

/* Shortest digits that read back as the same number, placed as Java does. */
void config__double_text(double value, char out[32])
{
    if (isnan(value) || isinf(value)) {
        strcpy(out, isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity");
        return;
    }
    char shortest[32];
    int precision = 0;
    do {
        snprintf(shortest, sizeof shortest, "%.*e", precision, value);
    } while (strtod(shortest, NULL) != value && ++precision < 17);
    if (value == 0 || (fabs(value) >= 1e-3 && fabs(value) < 1e7)) {
        int exponent = value == 0 ? 0 : atoi(strchr(shortest, 'e') + 1);
        int decimals = precision - exponent > 1 ? precision - exponent : 1;
        snprintf(out, 32, "%.*f", decimals, value);
        return;
    }
    char *e = strchr(shortest, 'e');
    *e = '\0';
    snprintf(out, 32, "%.24s%sE%d", shortest, precision == 0 ? ".0" : "", atoi(e + 1));
}

/* Whether the list before this item has it already. */
static bool is_repeated(slice text, slice item)
{
    slice rest = text, earlier;
    while (config__list_next(&rest, &earlier) && earlier.data < item.data)
        if (slice_equal(earlier, item))
            return true;
    return false;
}

static const char *canonical_list(struct arena *arena, slice text)
{
    char *out = arena_alloc(arena, text.size + 1);
    if (out == NULL)
        return NULL;
    slice rest = list_of(text), item;
    size_t at = 0;
    bool is_first = true;
    while (config__list_next(&rest, &item)) {
        if (is_repeated(text, item))
            continue;
        if (!is_first)
            out[at++] = ',';
        memcpy(out + at, item.data, item.size);
        at += item.size;
        is_first = false;
    }
    out[at] = '\0';
    return out;
}

const char *config__canonical(struct arena *arena, const struct config_row *row,
                              const struct config_parsed *parsed)
{
    char text[32];
    switch (row->type) {
    case CONFIG_BOOLEAN:
        return parsed->boolean ? "true" : "false";
    case CONFIG_INT:
    case CONFIG_SHORT:
    case CONFIG_LONG:
        snprintf(text, sizeof text, "%lld", (long long)parsed->integer);
        return arena_string(arena, slice_of_string(text));
    case CONFIG_DOUBLE:
        config__double_text(parsed->real, text);
        return arena_string(arena, slice_of_string(text));
    case CONFIG_LIST:
        return canonical_list(arena, parsed->text);
    case CONFIG_STRING:
    case CONFIG_CLASS:
    case CONFIG_PASSWORD:
        return arena_string(arena, parsed->text);
    }
    check_unreachable("config_type");
}

static const char *type_text(enum config_type type)
{
    switch (type) {
    case CONFIG_BOOLEAN:
        return "true or false";
    case CONFIG_INT:
    case CONFIG_SHORT:
    case CONFIG_LONG:
        return "a whole number";
    case CONFIG_DOUBLE:
        return "a number";
    case CONFIG_LIST:
        return "a list separated by commas";
    case CONFIG_STRING:
    case CONFIG_PASSWORD:
        return "a text";
    case CONFIG_CLASS:
        return "a Java class";
    }
    check_unreachable("config_type");
}

static void wanted_range(const struct config_row *row, char *out, size_t size)
{
    const struct config_valid *valid = &row->valid;
    int64_t max = valid->max;
    if (row->type == CONFIG_INT && max > INT32_MAX)
        max = INT32_MAX;
    if (row->type == CONFIG_SHORT && max > INT16_MAX)
        max = INT16_MAX;
    int at = snprintf(out, size, "a whole number from %lld to %lld", (long long)valid->min, (long long)max);
    if (valid->also != valid->min)
        snprintf(out + at, size - (size_t)at, ", or %lld", (long long)valid->also);
}

void config__wanted(const struct config_row *row, char *out, size_t size)
{
    char words[192];
    switch (row->valid.rule) {
    case RULE_RANGE:
        wanted_range(row, out, size);
        return;
    case RULE_RATIO:
        snprintf(out, size, "a number from %g to %g", row->valid.ratio_min, row->valid.ratio_max);
        return;
    case RULE_WORDS:
    case RULE_WORDS_ANY_CASE:
        words_text(row->valid.words, words, sizeof words);
        snprintf(out, size, row->type == CONFIG_LIST ? "a list of any of %s" : "one of %s", words);
        return;
    case RULE_THROTTLED:
        snprintf(out, size, "* or a list of partition:broker");
        return;
    case RULE_OFFSET_RESET:
        snprintf(out, size, "earliest, latest or by_duration:PnDTnHnMn.nS");
        return;
    case RULE_ANY:
    case RULE_NOT_EMPTY:
    case RULE_DISTINCT:
        snprintf(out, size, "%s%s", type_text(row->type),
                 row->valid.rule == RULE_NOT_EMPTY || row->valid.empty_refused ? ", not empty" : "");
        return;
    }
    check_unreachable("config_rule");
}
