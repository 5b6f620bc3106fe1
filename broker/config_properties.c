/* Reads the syntax of server.properties: that of java.util.Properties. */
#include "broker/config_internal.h"

/* Text is UTF-8, the escapes name UTF-16 units. A file that is not valid UTF-8 is ISO-8859-1, as
 * Java takes every file to be. */
static size_t utf8_step(slice text, size_t at)
{
    uint8_t c = text.data[at];
    size_t size = c < 0x80                ? 1
                  : c >= 0xc2 && c < 0xe0 ? 2
                  : (c & 0xf0) == 0xe0    ? 3
                  : c >= 0xf0 && c < 0xf5 ? 4
                                          : 0;
    if (size == 0 || at + size > text.size)
        return 0;
    for (size_t i = 1; i < size; i++)
        if ((text.data[at + i] & 0xc0) != 0x80)
            return 0;
    uint8_t second = size > 2 ? text.data[at + 1] : 0;
    bool overlong = (c == 0xe0 && second < 0xa0) || (c == 0xf0 && second < 0x90);
    bool surrogate = c == 0xed && second >= 0xa0;
    bool beyond = c == 0xf4 && second >= 0x90;
    return overlong || surrogate || beyond ? 0 : size;
}

static bool is_utf8(slice text)
{
    for (size_t at = 0; at < text.size;) {
        size_t size = utf8_step(text, at);
        if (size == 0)
            return false;
        at += size;
    }
    return true;
}

bool properties_init(struct properties *properties, slice text, struct arena *arena)
{
    uint8_t *buffer = arena_alloc(arena, text.size);
    *properties = (struct properties){ text, 1, !is_utf8(text), arena, buffer };
    return buffer != NULL;
}

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\f';
}

static bool is_line_end(uint8_t c)
{
    return c == '\n' || c == '\r';
}

/* Takes one byte; "\r\n" counts as one line end. */
static uint8_t take(struct properties *in)
{
    uint8_t c = in->rest.data[0];
    in->rest.data++;
    in->rest.size--;
    if (c == '\r' && in->rest.size > 0 && in->rest.data[0] == '\n') {
        in->rest.data++;
        in->rest.size--;
    }
    in->line += is_line_end(c);
    return c;
}

/* The next logical line, with its continuations joined, written to out (of the rest's size).
 * False at the end of the text. */
static bool logical_line(struct properties *in, uint8_t *out, size_t *size, unsigned *line)
{
    bool skip_blanks = true, is_continuation = false, is_comment = false, is_escape = false;
    *size = 0;
    while (in->rest.size > 0) {
        unsigned line_here = in->line;
        uint8_t c = take(in);
        if (is_comment) {
            is_comment = !is_line_end(c);
            continue;
        }
        if (skip_blanks && (is_space(c) || (!is_continuation && is_line_end(c))))
            continue;
        skip_blanks = is_continuation = false;
        if (*size == 0) { /* also behind a line that was a backslash alone, as in Java */
            *line = line_here;
            if (c == '#' || c == '!') {
                is_comment = skip_blanks = true;
                continue;
            }
        }
        if (!is_line_end(c)) {
            out[(*size)++] = c;
            is_escape = c == '\\' && !is_escape;
        } else if (*size == 0) {
            skip_blanks = true;
        } else if (!is_escape) {
            return true;
        } else {
            (*size)--; /* the backslash that joins the lines */
            skip_blanks = is_continuation = true;
            is_escape = false;
        }
    }
    *size -= is_escape; /* a backslash ends the text: it joins nothing */
    return *size > 0;
}

static size_t put_utf8(uint8_t *out, uint32_t point)
{
    if (point < 0x80) {
        out[0] = (uint8_t)point;
        return 1;
    }
    size_t size = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    for (size_t i = size - 1; i > 0; i--) {
        out[i] = (uint8_t)(0x80 | (point & 0x3f));
        point >>= 6;
    }
    out[0] = (uint8_t)((0xf00 >> size) | point);
    return size;
}

/* Four hexadecimal digits. */
static bool hex_unit(slice text, size_t at, uint32_t *unit)
{
    *unit = 0;
    if (text.size - at < 4)
        return false;
    for (size_t i = at; i < at + 4; i++) {
        uint8_t c = text.data[i];
        uint32_t digit = c >= '0' && c <= '9'                     ? c - '0'
                         : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10
                                                                  : 16;
        if (digit == 16)
            return false;
        *unit = *unit << 4 | digit;
    }
    return true;
}

/* What follows "\u" at *at; a surrogate needs its other half behind it. */
static bool unicode_escape(slice text, size_t *at, uint32_t *point)
{
    uint32_t low;
    if (!hex_unit(text, *at, point))
        return false;
    *at += 4;
    if (*point < 0xd800 || *point > 0xdfff)
        return true;
    if (*point >= 0xdc00 || text.size - *at < 6 || text.data[*at] != '\\' || text.data[*at + 1] != 'u' ||
        !hex_unit(text, *at + 2, &low) || low < 0xdc00 || low > 0xdfff)
        return false;
    *at += 6;
    *point = 0x10000 + ((*point - 0xd800) << 10) + (low - 0xdc00);
    return true;
}

/* Resolves escapes; the result ends with a NUL behind it. */
static enum properties_status unescape(struct properties *in, slice text, slice *out)
{
    uint8_t *to = arena_alloc(in->arena, 2 * text.size + 1); /* Latin-1 may double */
    if (to == NULL)
        return PROPERTIES_NO_MEMORY;
    size_t size = 0;
    for (size_t at = 0; at < text.size;) {
        uint8_t c = text.data[at++];
        uint32_t point = c;
        if (c == '\\' && at < text.size) {
            c = text.data[at++];
            point = c == 't' ? '\t' : c == 'r' ? '\r' : c == 'n' ? '\n' : c == 'f' ? '\f' : c;
            if (c == 'u' && !unicode_escape(text, &at, &point))
                return PROPERTIES_BAD_ESCAPE;
            size += c == 'u' || in->is_latin1 ? put_utf8(to + size, point) : (to[size] = (uint8_t)point, 1);
            continue;
        }
        size += in->is_latin1 ? put_utf8(to + size, point) : (to[size] = c, 1);
    }
    to[size] = '\0';
    *out = slice_of(to, size);
    return PROPERTIES_OK;
}

/* Where the name ends and the value begins: the first '=', ':' or blank that is not escaped. */
static void split(slice line, size_t *name_size, size_t *value_at)
{
    bool is_escape = false, has_separator = false;
    size_t at = 0;
    for (; at < line.size; at++) {
        uint8_t c = line.data[at];
        if (!is_escape && (c == '=' || c == ':' || is_space(c)))
            break;
        is_escape = c == '\\' && !is_escape;
    }
    *name_size = at;
    for (; at < line.size; at++) {
        uint8_t c = line.data[at];
        if (!has_separator && (c == '=' || c == ':'))
            has_separator = true;
        else if (!is_space(c))
            break;
    }
    *value_at = at;
}

enum properties_status properties_next(struct properties *properties, struct property *out)
{
    size_t size, name_size, value_at;
    if (!logical_line(properties, properties->buffer, &size, &out->line))
        return PROPERTIES_END;
    slice line = slice_of(properties->buffer, size);
    split(line, &name_size, &value_at);
    enum properties_status status = unescape(properties, slice_of(line.data, name_size), &out->name);
    if (status == PROPERTIES_OK)
        status = unescape(properties, slice_of(line.data + value_at, size - value_at), &out->value);
    return status;
}
