/* Randomness as an argument, so that a test can repeat a run from its seed. */
#ifndef RUNNEL_PROTOCOL_BASE_RANDOM_H
#define RUNNEL_PROTOCOL_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* xoshiro256**; one thread at a time. Not for secrets: ids that must not be guessed come from
 * random_secure. */
struct random {
    uint64_t state[4];
};

void random_seed(struct random *random, uint64_t seed);
/* Seeded by the kernel. */
void random_seed_secure(struct random *random);
uint64_t random_u64(struct random *random);
/* 0 <= result < bound; bound > 0. */
uint64_t random_below(struct random *random, uint64_t bound);
void random_bytes(struct random *random, void *out, size_t size);
/* From getrandom(2); aborts when the kernel has none. */
void random_secure(void *out, size_t size);

#endif
