/* Kafka's checkpoint text, version 0: reader and writer. */
#include "storage/checkpoint.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { HEADER_ROOM = 32, FIELDS_MAX = 4 };

/* The next line without its end; false when the text is used up. */
static bool next_line(slice *text, slice *line)
{
    if (text->size == 0)
        return false;
    const uint8_t *end = memchr(text->data, '\n', text->size);
    size_t size = end ? (size_t)(end - text->data) : text->size;
    *line = slice_of(text->data, size);
    text->data += end ? size + 1 : size;
    text->size -= end ? size + 1 : size;
    if (line->size && line->data[line->size - 1] == '\r')
        line->size--;
    return true;
}

static bool is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Splits at runs of white space; the number of fields, FIELDS_MAX + 1 when there are more. */
static size_t split(slice line, slice fields[FIELDS_MAX])
{
    size_t count = 0;
    size_t at = 0;

    for (;;) {
        while (at < line.size && is_space(line.data[at]))
            at++;
        if (at == line.size)
            return count;
        if (count == FIELDS_MAX)
            return FIELDS_MAX + 1;
        size_t begin = at;
        while (at < line.size && !is_space(line.data[at]))
            at++;
        fields[count++] = slice_of(line.data + begin, at - begin);
    }
}

static bool parse_int64(slice text, int64_t *out)
{
    bool negative = text.size && text.data[0] == '-';
    size_t at = negative || (text.size && text.data[0] == '+');
    int64_t value = 0;

    if (at == text.size)
        return false;
    for (; at < text.size; at++) {
        if (text.data[at] < '0' || text.data[at] > '9')
            return false;
        int digit = text.data[at] - '0';
        /* Counted below zero, where there is room for INT64_MIN. */
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_sub_overflow(value, digit, &value))
            return false;
    }
    if (!negative && value == INT64_MIN)
        return false;
    *out = negative ? value : -value;
    return true;
}

static bool parse_int32(slice text, int32_t *out)
{
    int64_t value;

    if (!parse_int64(text, &value) || value < INT32_MIN || value > INT32_MAX)
        return false;
    *out = (int32_t)value;
    return true;
}

/* Reads the two header lines; a count that the text cannot hold is refused before memory is asked for. */
static bool parse_header(slice *text, size_t *count)
{
    slice line;
    int32_t version;
    int32_t entries;

    *count = 0;
    if (text->size == 0)
        return true;
    if (!next_line(text, &line) || !parse_int32(line, &version) || version != 0)
        return false;
    if (!next_line(text, &line) || !parse_int32(line, &entries) || entries < 0)
        return false;
    if ((size_t)entries > text->size)
        return false;
    *count = (size_t)entries;
    return true;
}

bool checkpoint_parse_offsets(slice text, struct checkpoint_offset **out, size_t *count)
{
    slice line;
    slice fields[FIELDS_MAX];
    size_t found = 0;

    *out = NULL;
    if (!parse_header(&text, count))
        return false;
    struct checkpoint_offset *entries = calloc(*count + 1, sizeof *entries);
    if (!entries)
        return false;
    while (next_line(&text, &line)) {
        struct checkpoint_offset *entry = &entries[found];
        if (found++ == *count || split(line, fields) != 3)
            goto refuse;
        entry->topic = fields[0];
        if (!parse_int32(fields[1], &entry->partition) || !parse_int64(fields[2], &entry->offset))
            goto refuse;
    }
    if (found != *count)
        goto refuse;
    *out = entries;
    return true;
refuse:
    free(entries);
    *count = 0;
    return false;
}

bool checkpoint_parse_epochs(slice text, struct checkpoint_epoch **out, size_t *count)
{
    slice line;
    slice fields[FIELDS_MAX];
    size_t found = 0;

    *out = NULL;
    if (!parse_header(&text, count))
        return false;
    struct checkpoint_epoch *entries = calloc(*count + 1, sizeof *entries);
    if (!entries)
        return false;
    while (next_line(&text, &line)) {
        struct checkpoint_epoch *entry = &entries[found];
        if (found++ == *count || split(line, fields) != 2)
            goto refuse;
        if (!parse_int32(fields[0], &entry->epoch) || !parse_int64(fields[1], &entry->start_offset))
            goto refuse;
    }
    if (found != *count)
        goto refuse;
    *out = entries;
    return true;
refuse:
    free(entries);
    *count = 0;
    return false;
}

void checkpoint_writer_init(struct checkpoint_writer *writer)
{
    *writer = (struct checkpoint_writer){ .size = HEADER_ROOM };
}

void checkpoint_writer_destroy(struct checkpoint_writer *writer)
{
    free(writer->text);
    checkpoint_writer_init(writer);
}

/* Room for so many more bytes at the end. */
static char *reserve(struct checkpoint_writer *writer, size_t size)
{
    if (writer->failed)
        return NULL;
    if (writer->size + size > writer->capacity) {
        size_t capacity = (writer->size + size) * 2;
        char *text = realloc(writer->text, capacity);
        if (!text) {
            writer->failed = true;
            return NULL;
        }
        writer->text = text;
        writer->capacity = capacity;
    }
    return writer->text + writer->size;
}

enum { NUMBERS_ROOM = 48 };

void checkpoint_add_offset(struct checkpoint_writer *writer, slice topic, int32_t partition, int64_t offset)
{
    char *end = reserve(writer, topic.size + NUMBERS_ROOM);

    if (!end)
        return;
    memcpy(end, topic.data, topic.size);
    int size = snprintf(end + topic.size, NUMBERS_ROOM, " %" PRId32 " %" PRId64 "\n", partition, offset);
    writer->size += topic.size + (size_t)size;
    writer->count++;
}

void checkpoint_add_epoch(struct checkpoint_writer *writer, int32_t epoch, int64_t start_offset)
{
    char *end = reserve(writer, NUMBERS_ROOM);

    if (!end)
        return;
    writer->size += (size_t)snprintf(end, NUMBERS_ROOM, "%" PRId32 " %" PRId64 "\n", epoch, start_offset);
    writer->count++;
}

slice checkpoint_text(struct checkpoint_writer *writer)
{
    char header[HEADER_ROOM];

    if (!reserve(writer, 0))
        return SLICE_NULL;
    size_t size = (size_t)snprintf(header, sizeof header, "0\n%zu\n", writer->count);
    char *begin = writer->text + HEADER_ROOM - size;
    memcpy(begin, header, size);
    return slice_of(begin, writer->size - HEADER_ROOM + size);
}

enum file_status checkpoint_write(struct checkpoint_writer *writer, struct file_system *files,
                                  const char *path)
{
    slice text = checkpoint_text(writer);

    return slice_is_null(text) ? FILE_LIMIT : file_replace(files, path, text);
}
