/* Kafka's UUIDs: 16 raw bytes; as text base64url without padding, 22 characters. */
#ifndef RUNNEL_PROTOCOL_BASE_UUID_H
#define RUNNEL_PROTOCOL_BASE_UUID_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "protocol/base/random.h"
#include "protocol/base/slice.h"

typedef struct uuid {
    uint8_t bytes[16];
} uuid;

enum { UUID_TEXT_SIZE = 22 };

/* All zero: no id. */
#define UUID_ZERO ((uuid){ { 0 } })
/* ...01: the topic id of __cluster_metadata; as a directory id, UNASSIGNED. */
#define UUID_ONE ((uuid){ { [15] = 1 } })

static inline bool uuid_equal(uuid a, uuid b)
{
    return memcmp(a.bytes, b.bytes, sizeof a.bytes) == 0;
}

static inline bool uuid_is_zero(uuid id)
{
    return uuid_equal(id, UUID_ZERO);
}

/* Version 4, never reserved (high half zero with a low value below 100), its text never begins
 * with '-' (Kafka's rule, so that command lines can take it). */
uuid uuid_random(struct random *random);
/* Writes 22 characters and a NUL. */
void uuid_to_text(uuid id, char out[UUID_TEXT_SIZE + 1]);
/* False, and *out zero, unless text is 22 base64url characters. */
bool uuid_from_text(slice text, uuid *out);

#endif
