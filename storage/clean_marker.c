/* .kafka_cleanshutdown: reader and writer. */
#include "storage/clean_marker.h"

#include <stdio.h>
#include <stdlib.h>

enum { CLEAN_MARKER_SIZE_MAX = 4096 };

static slice after_spaces(slice text)
{
    while (text.size && (text.data[0] == ' ' || (text.data[0] >= '\t' && text.data[0] <= '\r'))) {
        text.data++;
        text.size--;
    }
    return text;
}

static slice skipped(slice text, size_t size)
{
    return slice_of(text.data + size, text.size - size);
}

/* Kafka passes over fields that it does not know, so ours stands in the same object. Nobody else writes a
 * field of this name, so finding it needs no whole JSON parser. */
uuid clean_marker_parse(slice text)
{
    static const char field[] = "\"runnel\"";
    uuid nonce;

    const uint8_t *found = text.size ? memmem(text.data, text.size, field, sizeof field - 1) : NULL;
    if (!found)
        return UUID_ZERO;
    text = after_spaces(skipped(text, (size_t)(found - text.data) + sizeof field - 1));
    if (text.size == 0 || text.data[0] != ':')
        return UUID_ZERO;
    text = after_spaces(skipped(text, 1));
    if (text.size < UUID_TEXT_SIZE + 2 || text.data[0] != '"' || text.data[UUID_TEXT_SIZE + 1] != '"' ||
        !uuid_from_text(slice_of(text.data + 1, UUID_TEXT_SIZE), &nonce))
        return UUID_ZERO;
    return nonce;
}

static char *marker_path(const char *directory)
{
    char *path;

    return asprintf(&path, "%s/" CLEAN_MARKER_NAME, directory) < 0 ? NULL : path;
}

enum file_status clean_marker_read(struct file_system *files, const char *directory, struct clean_marker *out)
{
    char *path = marker_path(directory);
    uint8_t *text;
    size_t size;

    *out = (struct clean_marker){ .is_present = false };
    if (!path)
        return FILE_LIMIT;
    enum file_status status = file_read_all(files, path, CLEAN_MARKER_SIZE_MAX, &text, &size);
    free(path);
    if (status == FILE_NOT_FOUND)
        return FILE_OK;
    if (status != FILE_OK)
        return status;
    *out = (struct clean_marker){ .is_present = true, .nonce = clean_marker_parse(slice_of(text, size)) };
    free(text);
    return FILE_OK;
}

enum file_status clean_marker_write(struct file_system *files, const char *directory, uuid nonce)
{
    char *path = marker_path(directory);
    char id[UUID_TEXT_SIZE + 1];
    char text[128];

    if (!path)
        return FILE_LIMIT;
    uuid_to_text(nonce, id);
    snprintf(text, sizeof text, "{\"version\":0,\"brokerEpoch\":-1,\"runnel\":\"%s\"}", id);
    /* Kafka writes it in place; by way of a .tmp its existence means the whole text. */
    enum file_status status = file_replace(files, path, slice_of_string(text));
    free(path);
    return status;
}
