/* xoshiro256** (Blackman and Vigna), and the kernel's randomness. */
#include "protocol/base/random.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "protocol/base/check.h"

/* splitmix64 spreads a seed over the state, which must not be all zero. */
static uint64_t split_mix(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

void random_seed(struct random *random, uint64_t seed)
{
    for (int i = 0; i < 4; i++)
        random->state[i] = split_mix(&seed);
}

void random_seed_secure(struct random *random)
{
    uint64_t seed;
    random_secure(random->state, sizeof random->state);
    random_secure(&seed, sizeof seed);
    if ((random->state[0] | random->state[1] | random->state[2] | random->state[3]) == 0)
        random_seed(random, seed);
}

static uint64_t rotate_left(uint64_t value, int bits)
{
    return (value << bits) | (value >> (64 - bits));
}

uint64_t random_u64(struct random *random)
{
    uint64_t *s = random->state;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

uint64_t random_below(struct random *random, uint64_t bound)
{
    check(bound > 0);
    /* Draws from the incomplete last stretch of 2^64 would favour small results. */
    uint64_t skewed = -bound % bound;
    uint64_t drawn;
    do {
        drawn = random_u64(random);
    } while (drawn < skewed);
    return drawn % bound;
}

void random_bytes(struct random *random, void *out, size_t size)
{
    uint8_t *p = out;
    while (size > 0) {
        uint64_t drawn = random_u64(random);
        size_t step = size < sizeof drawn ? size : sizeof drawn;
        memcpy(p, &drawn, step);
        p += step;
        size -= step;
    }
}

void random_secure(void *out, size_t size)
{
    uint8_t *p = out;
    while (size > 0) {
        ssize_t got = getrandom(p, size, 0);
        if (got < 0 && errno == EINTR)
            continue;
        check(got > 0);
        p += got;
        size -= (size_t)got;
    }
}
