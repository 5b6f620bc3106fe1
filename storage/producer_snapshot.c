/* <offset>.snapshot: encoder, decoder and file. */
#include "storage/producer_snapshot.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/base/bytes.h"
#include "protocol/base/check.h"
#include "protocol/base/crc32c.h"

enum { SNAPSHOT_VERSION = 1, AT_CRC = 2, AT_COUNT = 6, SNAPSHOT_SIZE_MAX = 1 << 28 };

/* Positions in an entry. */
enum {
    AT_PRODUCER_ID = 0,
    AT_PRODUCER_EPOCH = 8,
    AT_LAST_SEQUENCE = 10,
    AT_LAST_OFFSET = 14,
    AT_OFFSET_DELTA = 22,
    AT_TIMESTAMP = 26,
    AT_COORDINATOR_EPOCH = 34,
    AT_TXN_FIRST_OFFSET = 38,
};

void producer_snapshot_encode(const struct producer_snapshot_entry *entries, size_t count, uint8_t *out)
{
    size_t size = PRODUCER_SNAPSHOT_HEADER_SIZE + count * PRODUCER_SNAPSHOT_ENTRY_SIZE;

    store_be16(out, SNAPSHOT_VERSION);
    store_be32(out + AT_COUNT, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        const struct producer_snapshot_entry *entry = &entries[i];
        uint8_t *at = out + PRODUCER_SNAPSHOT_HEADER_SIZE + i * PRODUCER_SNAPSHOT_ENTRY_SIZE;
        store_be64(at + AT_PRODUCER_ID, (uint64_t)entry->producer_id);
        store_be16(at + AT_PRODUCER_EPOCH, (uint16_t)entry->producer_epoch);
        store_be32(at + AT_LAST_SEQUENCE, (uint32_t)entry->last_sequence);
        store_be64(at + AT_LAST_OFFSET, (uint64_t)entry->last_offset);
        store_be32(at + AT_OFFSET_DELTA, (uint32_t)entry->offset_delta);
        store_be64(at + AT_TIMESTAMP, (uint64_t)entry->timestamp);
        store_be32(at + AT_COORDINATOR_EPOCH, (uint32_t)entry->coordinator_epoch);
        store_be64(at + AT_TXN_FIRST_OFFSET, (uint64_t)entry->current_txn_first_offset);
    }
    store_be32(out + AT_CRC, crc32c(0, out + AT_COUNT, size - AT_COUNT));
}

bool producer_snapshot_decode(slice bytes, struct producer_snapshot_entry **out, size_t *count)
{
    *out = NULL;
    *count = 0;
    if (bytes.size < PRODUCER_SNAPSHOT_HEADER_SIZE || load_be16(bytes.data) != SNAPSHOT_VERSION ||
        load_be32(bytes.data + AT_CRC) != crc32c(0, bytes.data + AT_COUNT, bytes.size - AT_COUNT))
        return false;
    size_t entry_count = load_be32(bytes.data + AT_COUNT);
    if (bytes.size - PRODUCER_SNAPSHOT_HEADER_SIZE != entry_count * PRODUCER_SNAPSHOT_ENTRY_SIZE)
        return false;
    struct producer_snapshot_entry *entries = calloc(entry_count + 1, sizeof *entries);
    if (!entries)
        return false;
    for (size_t i = 0; i < entry_count; i++) {
        const uint8_t *at = bytes.data + PRODUCER_SNAPSHOT_HEADER_SIZE + i * PRODUCER_SNAPSHOT_ENTRY_SIZE;
        entries[i] = (struct producer_snapshot_entry){
            .producer_id = (int64_t)load_be64(at + AT_PRODUCER_ID),
            .last_offset = (int64_t)load_be64(at + AT_LAST_OFFSET),
            .timestamp = (int64_t)load_be64(at + AT_TIMESTAMP),
            .current_txn_first_offset = (int64_t)load_be64(at + AT_TXN_FIRST_OFFSET),
            .last_sequence = (int32_t)load_be32(at + AT_LAST_SEQUENCE),
            .offset_delta = (int32_t)load_be32(at + AT_OFFSET_DELTA),
            .coordinator_epoch = (int32_t)load_be32(at + AT_COORDINATOR_EPOCH),
            .producer_epoch = (int16_t)load_be16(at + AT_PRODUCER_EPOCH),
        };
    }
    *out = entries;
    *count = entry_count;
    return true;
}

void producer_snapshot_name(int64_t offset, char out[PRODUCER_SNAPSHOT_NAME_SIZE])
{
    check(offset >= 0);
    snprintf(out, PRODUCER_SNAPSHOT_NAME_SIZE, "%020" PRId64 ".snapshot", offset);
}

bool producer_snapshot_parse_name(const char *name, int64_t *offset)
{
    int64_t value = 0;
    size_t digits = strspn(name, "0123456789");

    if (digits != 20 || strcmp(name + digits, ".snapshot") != 0)
        return false;
    for (size_t i = 0; i < digits; i++) {
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, name[i] - '0', &value))
            return false;
    }
    *offset = value;
    return true;
}

static char *snapshot_path(const char *directory, int64_t offset)
{
    char name[PRODUCER_SNAPSHOT_NAME_SIZE];
    char *path;

    producer_snapshot_name(offset, name);
    return asprintf(&path, "%s/%s", directory, name) < 0 ? NULL : path;
}

enum file_status producer_snapshot_write(struct file_system *files, const char *directory, int64_t offset,
                                         const struct producer_snapshot_entry *entries, size_t count)
{
    enum file_status status = FILE_LIMIT;
    size_t size = PRODUCER_SNAPSHOT_HEADER_SIZE + count * PRODUCER_SNAPSHOT_ENTRY_SIZE;
    uint8_t *bytes = malloc(size);
    char *path = snapshot_path(directory, offset);
    struct file *file;

    if (!bytes || !path)
        goto release;
    status = file_open(files, path, FILE_WRITE | FILE_CREATE | FILE_TRUNCATE, &file);
    if (status != FILE_OK)
        goto release;
    producer_snapshot_encode(entries, count, bytes);
    status = file_pwrite(file, bytes, size, 0);
    if (status == FILE_OK)
        status = file_flush(file);
    file_close(file);
release:
    free(path);
    free(bytes);
    return status;
}

enum file_status producer_snapshot_read(struct file_system *files, const char *directory, int64_t offset,
                                        struct producer_snapshot_entry **out, size_t *count)
{
    uint8_t *bytes;
    size_t size;
    char *path = snapshot_path(directory, offset);

    *out = NULL;
    *count = 0;
    if (!path)
        return FILE_LIMIT;
    enum file_status status = file_read_all(files, path, SNAPSHOT_SIZE_MAX, &bytes, &size);
    free(path);
    if (status != FILE_OK)
        return status;
    if (!producer_snapshot_decode(slice_of(bytes, size), out, count))
        status = FILE_IO;
    free(bytes);
    return status;
}
