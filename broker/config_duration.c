/* Reads a duration as Java's Duration.parse does (ISO 8601): P2DT3H4M5.6S. */
#include "broker/config_internal.h"

enum { NANOS_PER_SECOND = 1000000000, FRACTION_DIGITS_MAX = 9 };

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* Letters count in either case. */
static bool take(slice *rest, char letter)
{
    if (rest->size == 0 || (rest->data[0] & ~0x20) != letter)
        return false;
    *rest = slice_of(rest->data + 1, rest->size - 1);
    return true;
}

/* -1 for a minus, 1 for a plus or nothing. */
static int take_sign(slice *rest)
{
    bool is_signed = rest->size > 0 && (rest->data[0] == '-' || rest->data[0] == '+');
    int sign = is_signed && rest->data[0] == '-' ? -1 : 1;
    if (is_signed)
        *rest = slice_of(rest->data + 1, rest->size - 1);
    return sign;
}

/* Sign and digits in front; empty: there are none. */
static slice number_of(slice rest)
{
    size_t at = rest.size > 0 && (rest.data[0] == '-' || rest.data[0] == '+');
    size_t first = at;
    while (at < rest.size && is_digit(rest.data[at]))
        at++;
    return slice_of(rest.data, at > first ? at : 0);
}

struct duration {
    slice rest;
    int64_t seconds;
    int64_t nanos;
    int part_count;
};

static bool add(struct duration *duration, slice number, int64_t multiplier)
{
    int64_t value;
    duration->part_count++;
    return config__parse_integer(number, INT64_MIN, INT64_MAX, &value) &&
           !__builtin_mul_overflow(value, multiplier, &value) &&
           !__builtin_add_overflow(duration->seconds, value, &duration->seconds);
}

/* A number with its letter, if that is what comes next. False: it is too large. */
static bool take_part(struct duration *duration, char letter, int64_t multiplier)
{
    slice number = number_of(duration->rest);
    slice rest = slice_of(duration->rest.data + number.size, duration->rest.size - number.size);
    if (number.size == 0 || !take(&rest, letter))
        return true;
    duration->rest = rest;
    return add(duration, number, multiplier);
}

/* Seconds have a fraction of up to nine digits, or of none behind its point. */
static bool take_seconds(struct duration *duration)
{
    slice number = number_of(duration->rest);
    slice rest = slice_of(duration->rest.data + number.size, duration->rest.size - number.size);
    int64_t nanos = 0;
    if (number.size == 0)
        return true;
    if (rest.size > 0 && (rest.data[0] == '.' || rest.data[0] == ',')) {
        size_t at = 1;
        for (int i = 0; i < FRACTION_DIGITS_MAX; i++) {
            bool has_digit = at < rest.size && is_digit(rest.data[at]);
            nanos = 10 * nanos + (has_digit ? rest.data[at] - '0' : 0);
            at += has_digit;
        }
        rest = slice_of(rest.data + at, rest.size - at);
    }
    if (!take(&rest, 'S'))
        return true;
    duration->rest = rest;
    duration->nanos = number.data[0] == '-' ? -nanos : nanos;
    return add(duration, number, 1);
}

static bool take_time(struct duration *duration)
{
    int before = duration->part_count;
    return !take(&duration->rest, 'T') || (take_part(duration, 'H', 3600) && take_part(duration, 'M', 60) &&
                                           take_seconds(duration) && duration->part_count > before);
}

bool config__is_duration(slice text)
{
    struct duration duration = { .rest = text };
    int sign = take_sign(&duration.rest);
    if (!take(&duration.rest, 'P') || !take_part(&duration, 'D', 86400) || !take_time(&duration) ||
        duration.rest.size > 0 || duration.part_count == 0)
        return false;
    int64_t seconds = duration.seconds;
    bool is_negative = seconds < 0 || (seconds == 0 && duration.nanos < 0);
    bool is_zero = seconds == 0 && duration.nanos == 0;
    if (sign < 0 && seconds == INT64_MIN)
        return false; /* has no positive twin */
    return is_zero || is_negative == (sign < 0);
}
