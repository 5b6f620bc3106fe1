/* CRC-32C (Castagnoli, reflected), the checksum of record batches and of our side files. */
#ifndef RUNNEL_PROTOCOL_BASE_CRC32C_H
#define RUNNEL_PROTOCOL_BASE_CRC32C_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* crc of the bytes so far (0 at first), then more bytes; crc32c(0, "123456789", 9) == 0xe3069283.
 * Uses the widest instructions that this CPU has, chosen at the first call; any thread. */
uint32_t crc32c(uint32_t crc, const void *data, size_t size);

/* The implementations one by one, for tests and benchmarks: false when this CPU lacks one. */
enum crc32c_kind { CRC32C_TABLE, CRC32C_SSE42, CRC32C_VPCLMUL };
bool crc32c_by(enum crc32c_kind kind, uint32_t crc, const void *data, size_t size, uint32_t *out);

#endif
