/* partition.metadata: reader and writer. */
#include "storage/partition_metadata.h"

#include <stdio.h>
#include <stdlib.h>

enum { PARTITION_METADATA_SIZE_MAX = 4096 };

static bool is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The next run without white space; empty at the end. */
static slice next_word(slice *text)
{
    size_t begin = 0;

    while (begin < text->size && is_space(text->data[begin]))
        begin++;
    size_t end = begin;
    while (end < text->size && !is_space(text->data[end]))
        end++;
    slice word = slice_of(text->data + begin, end - begin);
    text->data += end;
    text->size -= end;
    return word;
}

static bool all_digits(slice word)
{
    for (size_t i = 0; i < word.size; i++) {
        if (word.data[i] < '0' || word.data[i] > '9')
            return false;
    }
    return word.size > 0 && word.size < 10;
}

bool partition_metadata_parse(slice text, uuid *topic_id)
{
    *topic_id = UUID_ZERO;
    return slice_equal_string(next_word(&text), "version:") && all_digits(next_word(&text)) &&
           slice_equal_string(next_word(&text), "topic_id:") && uuid_from_text(next_word(&text), topic_id) &&
           !uuid_is_zero(*topic_id) && next_word(&text).size == 0;
}

enum file_status partition_metadata_read(struct file_system *files, const char *directory, uuid *topic_id)
{
    char *path;
    uint8_t *text;
    size_t size;

    *topic_id = UUID_ZERO;
    if (asprintf(&path, "%s/" PARTITION_METADATA_NAME, directory) < 0)
        return FILE_LIMIT;
    enum file_status status = file_read_all(files, path, PARTITION_METADATA_SIZE_MAX, &text, &size);
    free(path);
    if (status != FILE_OK)
        return status;
    if (!partition_metadata_parse(slice_of(text, size), topic_id))
        status = FILE_IO;
    free(text);
    return status;
}

enum { TEXT_SIZE = 64 };

static slice text_of(uuid topic_id, char text[TEXT_SIZE])
{
    char id[UUID_TEXT_SIZE + 1];
    uuid_to_text(topic_id, id);
    return slice_of(text, (size_t)snprintf(text, TEXT_SIZE, "version: 0\ntopic_id: %s", id));
}

enum file_status partition_metadata_replace(struct file_system *files, const char *directory, uuid topic_id)
{
    char *path;
    char text[TEXT_SIZE];

    if (asprintf(&path, "%s/" PARTITION_METADATA_NAME, directory) < 0)
        return FILE_LIMIT;
    enum file_status status = file_replace(files, path, text_of(topic_id, text));
    free(path);
    return status;
}

enum file_status partition_metadata_write(struct file_system *files, const char *directory, uuid topic_id,
                                          struct file **out)
{
    char *path;
    char text[TEXT_SIZE];
    struct file *file;

    if (out)
        *out = NULL;
    if (asprintf(&path, "%s/" PARTITION_METADATA_NAME, directory) < 0)
        return FILE_LIMIT;
    enum file_status status = file_open(files, path, FILE_WRITE | FILE_CREATE | FILE_TRUNCATE, &file);
    free(path);
    if (status != FILE_OK)
        return status;
    slice bytes = text_of(topic_id, text);
    status = file_pwrite(file, bytes.data, bytes.size, 0);
    if (status == FILE_OK && out)
        *out = file;
    else
        file_close(file);
    return status;
}

bool partition_metadata_is_damage(uuid a, uuid b)
{
    enum { BITS = 8 * sizeof a.bytes, LETTER_BITS = 6 };
    int first = BITS, last = 0;

    for (int i = 0; i < BITS; i++) {
        if (((a.bytes[i / 8] ^ b.bytes[i / 8]) >> (7 - i % 8) & 1) != 0) {
            first = i < first ? i : first;
            last = i;
        }
    }
    return first < BITS && first / LETTER_BITS == last / LETTER_BITS;
}
