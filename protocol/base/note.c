/* Writes the broker's event lines. */
#include "protocol/base/note.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "protocol/base/clock.h"

enum { LINE_SIZE_MAX = 4096, ESCAPE_INPUT_MAX = 128, ESCAPE_RING_COUNT = 8 };

static atomic_int current_level = NOTE_INFO;
static atomic_int current_fd = 2;

void note_set_level(enum note_level level)
{
    atomic_store_explicit(&current_level, (int)level, memory_order_relaxed);
}

void note_set_fd(int fd)
{
    atomic_store_explicit(&current_fd, fd, memory_order_relaxed);
}

static const char *level_name(enum note_level level)
{
    static const char *const names[] = { "ERROR", "WARN", "INFO", "DEBUG" };
    return names[level];
}

/* `2026-11-22T16:40:00.123Z`, also in years that gmtime_r cannot name. */
static size_t print_time(char *out, size_t capacity, int64_t wall_ms)
{
    int64_t ms = wall_ms % 1000 < 0 ? wall_ms % 1000 + 1000 : wall_ms % 1000;
    time_t seconds = (time_t)((wall_ms - ms) / 1000);
    struct tm parts;
    if (gmtime_r(&seconds, &parts) == NULL)
        return (size_t)snprintf(out, capacity, "%lldms", (long long)wall_ms);
    return (size_t)snprintf(out, capacity, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", parts.tm_year + 1900,
                            parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                            (int)ms);
}

/* One event is one line, whatever the arguments held. */
static void flatten(char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            text[i] = ' ';
    }
}

static void write_line(const char *line, size_t size)
{
    ssize_t written;
    do {
        written = write(atomic_load_explicit(&current_fd, memory_order_relaxed), line, size);
    } while (written < 0 && errno == EINTR);
    /* A line that cannot be written is lost: there is nobody to tell. */
}

void note_line(enum note_level level, const char *event, const char *format, ...)
{
    if ((int)level > atomic_load_explicit(&current_level, memory_order_relaxed))
        return;
    int saved_errno = errno;
    char line[LINE_SIZE_MAX];
    const size_t limit = sizeof line - sizeof "...\n";
    size_t size = print_time(line, sizeof line, clock_wall_ms(clock_real()));
    size_t printed = (size_t)snprintf(line + size, sizeof line - size, " %s %s", level_name(level), event);
    size = size + printed < limit ? size + printed : limit;
    if (format[0] != '\0' && size < limit) {
        if (format[0] != ' ')
            line[size++] = ' ';
        va_list arguments;
        va_start(arguments, format);
        errno = saved_errno; /* for %m */
        int wanted = vsnprintf(line + size, sizeof line - size, format, arguments);
        va_end(arguments);
        size = wanted < 0 ? size : size + (size_t)wanted;
    }
    if (size > limit) {
        memcpy(line + limit, "...", 3);
        size = limit + 3;
    }
    flatten(line, size);
    line[size++] = '\n';
    write_line(line, size);
    errno = saved_errno;
}

/* The size of the UTF-8 character that p begins with, 0 when it is not one. */
static size_t utf8_size(const uint8_t *p, size_t left)
{
    size_t size = p[0] < 0x80                   ? 1
                  : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
                  : (p[0] & 0xf0) == 0xe0       ? 3
                  : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
                                                : 0;
    if (size == 0 || size > left)
        return 0;
    for (size_t i = 1; i < size; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    /* Overlong forms, surrogates, and what is beyond U+10FFFF. */
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return size;
}

static char *put_escaped_byte(char *to, uint8_t byte)
{
    static const char digits[] = "0123456789abcdef";
    *to++ = '\\';
    switch (byte) {
    case '\n':
        *to++ = 'n';
        break;
    case '\r':
        *to++ = 'r';
        break;
    case '\t':
        *to++ = 't';
        break;
    case '"':
    case '\\':
        *to++ = (char)byte;
        break;
    default:
        *to++ = 'x';
        *to++ = digits[byte >> 4];
        *to++ = digits[byte & 15];
    }
    return to;
}

const char *note_escape(slice bytes)
{
    static _Thread_local char ring[ESCAPE_RING_COUNT][4 * ESCAPE_INPUT_MAX + sizeof "\"\"..."];
    static _Thread_local unsigned next;
    if (slice_is_null(bytes))
        return "null";
    char *text = ring[next++ % ESCAPE_RING_COUNT], *to = text;
    *to++ = '"';
    size_t at = 0;
    while (at < bytes.size && at < ESCAPE_INPUT_MAX) {
        const uint8_t *p = bytes.data + at;
        size_t size = utf8_size(p, bytes.size - at);
        if (size > ESCAPE_INPUT_MAX - at)
            break;
        bool control = size == 1 && (p[0] < 0x20 || p[0] == 0x7f || p[0] == '"' || p[0] == '\\');
        bool control_c1 = size == 2 && p[0] == 0xc2 && p[1] < 0xa0;
        if (size == 0 || control || control_c1) {
            to = put_escaped_byte(to, p[0]);
            at++;
        } else {
            memcpy(to, p, size);
            to += size;
            at += size;
        }
    }
    *to++ = '"';
    memcpy(to, at < bytes.size ? "..." : "", at < bytes.size ? 4 : 1);
    return text;
}

bool note_allow(struct note_limit *limit, uint32_t per_second, uint32_t *suppressed)
{
    int64_t second = clock_mono_ms(clock_real()) / 1000 + 1; /* never 0, which a fresh limit shows */
    int64_t seen = atomic_load_explicit(&limit->second, memory_order_relaxed);
    if (seen != second && atomic_compare_exchange_strong(&limit->second, &seen, second))
        atomic_store(&limit->count, 0);
    if (atomic_fetch_add(&limit->count, 1) >= per_second) {
        atomic_fetch_add(&limit->suppressed_count, 1);
        return false;
    }
    *suppressed = atomic_exchange(&limit->suppressed_count, 0);
    return true;
}
