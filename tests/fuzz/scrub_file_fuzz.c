/* Any bytes as scrub.runnel: taken as they were written, or not at all. */
#include <string.h>

#include "protocol/base/bytes.h"
#include "protocol/base/check.h"
#include "protocol/base/crc32c.h"
#include "storage/scrub_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct scrub_file file;
    uint8_t bytes[SCRUB_FILE_SIZE + 1] = { 0 }, again[SCRUB_FILE_SIZE];
    if (scrub_file_decode(slice_of(data, size), &file)) {
        scrub_file_encode(&file, again);
        check(size == sizeof again && memcmp(again, data, size) == 0);
    }
    /* A right checksum over anything. */
    memcpy(bytes, data, size < SCRUB_FILE_SIZE ? size : SCRUB_FILE_SIZE);
    store_be32(bytes + SCRUB_FILE_SIZE - 4, crc32c(0, bytes, SCRUB_FILE_SIZE - 4));
    if (scrub_file_decode(slice_of(bytes, SCRUB_FILE_SIZE), &file)) {
        scrub_file_encode(&file, again);
        check(memcmp(again, bytes, sizeof again) == 0);
        check(file.started_ms >= 0 && file.partition >= 0 && file.base_offset >= 0);
    }
    check(!scrub_file_decode(slice_of(bytes, sizeof bytes), &file));
    return 0;
}
