/* A damaged batch whose place is known, made whole again where that is certain. */
#ifndef RUNNEL_PROTOCOL_BATCH_MEND_H
#define RUNNEL_PROTOCOL_BATCH_MEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Beyond this size chance finds a bit too often. */
enum { BATCH_MEND_SIZE_MAX = 4096 };

/* bytes are those of one batch of offsets [base_offset, next_offset), of which anything may be damaged. What
 * follows from the place (base offset, length, magic) is written anew; in what the checksum covers, and in
 * the checksum, one flipped bit is found and turned back. Two flips never look like one (the codewords of
 * CRC-32C differ in four bits at least, up to 655 bytes in six), bytes at random do once in a hundred
 * thousand times. False: more is damaged, and bytes are good for nothing. The leader epoch stays as it was:
 * it follows from nothing. */
bool batch_mend(uint8_t *bytes, size_t size, int64_t base_offset, int64_t next_offset);

#endif
