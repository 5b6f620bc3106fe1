/* Finds the one bit of a batch that makes its checksum right. */
#include "protocol/batch_mend.h"

#include "protocol/base/bytes.h"
#include "protocol/base/crc32c.h"
#include "protocol/record_batch.h"

enum { MAGIC = 2 };

/* What flipping a bit does to the checksum depends on its distance from the end alone: each bit further away
 * is one more step of the shift register. */
static bool find_bit(uint32_t difference, size_t size, size_t *byte, unsigned *bit)
{
    const uint32_t polynomial = 0x82f63b78; /* reflected */
    uint32_t effect = 1;
    for (size_t i = 0; i < size * 8; i++) {
        effect = (effect >> 1) ^ (effect & 1 ? polynomial : 0);
        if (effect == difference) {
            *byte = size - 1 - i / 8;
            *bit = 7 - i % 8;
            return true;
        }
    }
    return false;
}

bool batch_mend(uint8_t *bytes, size_t size, int64_t base_offset, int64_t next_offset)
{
    uint8_t *covered = bytes + BATCH_ATTRIBUTES;
    size_t byte;
    unsigned bit;
    if (size < BATCH_HEADER_SIZE || size > BATCH_MEND_SIZE_MAX)
        return false;
    uint32_t stored = load_be32(bytes + BATCH_CRC);
    uint32_t difference = stored ^ crc32c(0, covered, size - BATCH_ATTRIBUTES);
    bool is_in_crc = difference != 0 && (difference & (difference - 1)) == 0;
    if (is_in_crc)
        store_be32(bytes + BATCH_CRC, stored ^ difference);
    else if (difference != 0 && find_bit(difference, size - BATCH_ATTRIBUTES, &byte, &bit))
        covered[byte] ^= (uint8_t)(1u << bit);
    else if (difference != 0)
        return false;
    int32_t delta = (int32_t)load_be32(bytes + BATCH_LAST_OFFSET_DELTA);
    if (delta < 0 || next_offset - base_offset - 1 != delta)
        return false;
    store_be64(bytes + BATCH_BASE_OFFSET, (uint64_t)base_offset);
    store_be32(bytes + BATCH_LENGTH, (uint32_t)(size - BATCH_OVERHEAD));
    bytes[BATCH_MAGIC] = MAGIC;
    return true;
}
