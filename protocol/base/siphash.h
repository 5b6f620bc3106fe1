/* SipHash-1-3: a keyed hash for tables whose keys clients choose. */
#ifndef RUNNEL_PROTOCOL_BASE_SIPHASH_H
#define RUNNEL_PROTOCOL_BASE_SIPHASH_H

#include "protocol/base/bytes.h"
#include "protocol/base/slice.h"

/* For who hashes words of his own; siphash() does it for bytes. */
struct siphash {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t siphash_rotate(uint64_t x, int bits)
{
    return (x << bits) | (x >> (64 - bits));
}

static inline void siphash_round(struct siphash *s)
{
    s->v0 += s->v1;
    s->v1 = siphash_rotate(s->v1, 13) ^ s->v0;
    s->v0 = siphash_rotate(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = siphash_rotate(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = siphash_rotate(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = siphash_rotate(s->v1, 17) ^ s->v2;
    s->v2 = siphash_rotate(s->v2, 32);
}

static inline struct siphash siphash_begin(const uint64_t key[2])
{
    return (struct siphash){ key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du,
                             key[0] ^ 0x6c7967656e657261u, key[1] ^ 0x7465646279746573u };
}

static inline void siphash_word(struct siphash *s, uint64_t word)
{
    s->v3 ^= word;
    siphash_round(s);
    s->v0 ^= word;
}

/* last: the bytes that make no whole word, and the size in the highest byte. */
static inline uint64_t siphash_end(struct siphash *s, uint64_t last)
{
    siphash_word(s, last);
    s->v2 ^= 0xff;
    siphash_round(s);
    siphash_round(s);
    siphash_round(s);
    return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

/* Null and empty hash alike. */
static inline uint64_t siphash(const uint64_t key[2], slice bytes)
{
    struct siphash s = siphash_begin(key);
    size_t at = 0;
    for (; at + 8 <= bytes.size; at += 8)
        siphash_word(&s, __builtin_bswap64(load_be64(bytes.data + at)));
    uint64_t last = (uint64_t)bytes.size << 56;
    for (; at < bytes.size; at++)
        last |= (uint64_t)bytes.data[at] << (8 * (at % 8));
    return siphash_end(&s, last);
}

#endif
