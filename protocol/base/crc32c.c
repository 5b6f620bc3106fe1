/* Computes CRC-32C with the widest instructions of this CPU.
 *
 * Constants are x^n modulo the polynomial 0x1edc6f41, bits reflected: a carry-less product of two
 * reflected numbers comes out multiplied by x^33, so moving the low half of 128 bits by d bits takes
 * n = d + 31, its high half n = d - 33 (Gopal et al., Intel 2009). */
#include "protocol/base/crc32c.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#ifdef __x86_64__
#include <immintrin.h>
#endif

/* On the inverted state that the polynomial division works with. */
typedef uint32_t crc_fn(uint32_t state, const uint8_t *p, size_t size);

enum { POLYNOMIAL_REFLECTED = (int)0x82f63b78, SLICE_COUNT = 8 };

static uint32_t tables[SLICE_COUNT][256];
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static void make_tables(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t state = byte;
        for (int bit = 0; bit < 8; bit++)
            state = state >> 1 ^ (state & 1 ? (uint32_t)POLYNOMIAL_REFLECTED : 0);
        tables[0][byte] = state;
    }
    for (int i = 1; i < SLICE_COUNT; i++) {
        for (int byte = 0; byte < 256; byte++) {
            uint32_t before = tables[i - 1][byte];
            tables[i][byte] = before >> 8 ^ tables[0][before & 255];
        }
    }
}

static uint32_t crc_table(uint32_t state, const uint8_t *p, size_t size)
{
    pthread_once(&tables_once, make_tables);
    for (; size >= 8; size -= 8, p += 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        word ^= state;
        state = tables[7][word & 255] ^ tables[6][word >> 8 & 255] ^ tables[5][word >> 16 & 255] ^
                tables[4][word >> 24 & 255] ^ tables[3][word >> 32 & 255] ^ tables[2][word >> 40 & 255] ^
                tables[1][word >> 48 & 255] ^ tables[0][word >> 56];
    }
    while (size-- > 0)
        state = state >> 8 ^ tables[0][(state ^ *p++) & 255];
    return state;
}

#ifdef __x86_64__

enum { LANE_SIZE = 336 }; /* three lanes of it hide the latency of crc32q and stay in L1 */

__attribute__((target("sse4.2"))) static inline uint64_t crc_word(uint64_t state, const uint8_t *p)
{
    uint64_t word;
    memcpy(&word, p, 8);
    return _mm_crc32_u64(state, word);
}

__attribute__((target("sse4.2"))) static uint32_t crc_one_lane(uint32_t state, const uint8_t *p, size_t size)
{
    uint64_t wide = state;
    for (; size >= 8; size -= 8, p += 8)
        wide = crc_word(wide, p);
    state = (uint32_t)wide;
    while (size-- > 0)
        state = _mm_crc32_u8(state, *p++);
    return state;
}

__attribute__((target("sse4.2,pclmul"))) static uint32_t crc_sse42(uint32_t state, const uint8_t *p,
                                                                   size_t size)
{
    for (; size >= 3 * LANE_SIZE; size -= 3 * LANE_SIZE, p += 3 * LANE_SIZE) {
        uint64_t a = state, b = 0, c = 0;
        for (int i = 0; i < LANE_SIZE; i += 8) {
            a = crc_word(a, p + i);
            b = crc_word(b, p + LANE_SIZE + i);
            c = crc_word(c, p + 2 * LANE_SIZE + i);
        }
        /* a moves over two lanes, b over one: x^(8 * 672 - 33), x^(8 * 336 - 33). */
        __m128i a_moved =
            _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)a), _mm_cvtsi32_si128((int)0xcec3662e), 0);
        __m128i b_moved =
            _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)b), _mm_cvtsi32_si128((int)0xa60ce07b), 0);
        uint64_t moved = (uint64_t)_mm_cvtsi128_si64(_mm_xor_si128(a_moved, b_moved));
        state = (uint32_t)(c ^ _mm_crc32_u64(0, moved));
    }
    return crc_one_lane(state, p, size);
}

#define TARGET_VPCLMUL __attribute__((target("sse4.2,pclmul,avx512f,vpclmulqdq")))

/* Low and high half of the constant that moves 128 bits. */
#define FOLD_2048 0xdcb17aa4, 0xb9e02b86
#define FOLD_512  0x740eef02, 0x9e4addf8
#define FOLD_384  0x1c291d04, 0xddc0152b
#define FOLD_256  0x3da6d0cb, 0xba4fc28e
#define FOLD_128  0xf20c0dfe, 0x493c7d27

TARGET_VPCLMUL static inline __m512i fold_512(__m512i moved, __m512i by, __m512i onto)
{
    __m512i low = _mm512_clmulepi64_epi128(moved, by, 0x00);
    __m512i high = _mm512_clmulepi64_epi128(moved, by, 0x11);
    return _mm512_ternarylogic_epi64(low, high, onto, 0x96); /* xor of three */
}

TARGET_VPCLMUL static inline __m512i constant_512(uint32_t low, uint32_t high)
{
    return _mm512_broadcast_i32x4(_mm_set_epi64x(high, low));
}

TARGET_VPCLMUL static inline __m128i fold_128(__m128i moved, uint32_t low, uint32_t high)
{
    __m128i by = _mm_set_epi64x(high, low);
    return _mm_xor_si128(_mm_clmulepi64_si128(moved, by, 0x00), _mm_clmulepi64_si128(moved, by, 0x11));
}

/* The checksum of the 64 bytes that the lanes were folded to. */
TARGET_VPCLMUL static inline uint32_t reduce_512(__m512i lanes)
{
    __m128i sum = _mm512_extracti32x4_epi32(lanes, 3);
    sum = _mm_xor_si128(sum, fold_128(_mm512_extracti32x4_epi32(lanes, 0), FOLD_384));
    sum = _mm_xor_si128(sum, fold_128(_mm512_extracti32x4_epi32(lanes, 1), FOLD_256));
    sum = _mm_xor_si128(sum, fold_128(_mm512_extracti32x4_epi32(lanes, 2), FOLD_128));
    uint64_t state = _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(sum));
    return (uint32_t)_mm_crc32_u64(state, (uint64_t)_mm_extract_epi64(sum, 1));
}

TARGET_VPCLMUL static uint32_t crc_vpclmul(uint32_t state, const uint8_t *p, size_t size)
{
    if (size < 256)
        return crc_one_lane(state, p, size);
    __m512i a = _mm512_loadu_si512(p), b = _mm512_loadu_si512(p + 64);
    __m512i c = _mm512_loadu_si512(p + 128), d = _mm512_loadu_si512(p + 192);
    a = _mm512_xor_si512(a, _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)state)));
    __m512i by = constant_512(FOLD_2048);
    for (p += 256, size -= 256; size >= 256; p += 256, size -= 256) {
        a = fold_512(a, by, _mm512_loadu_si512(p));
        b = fold_512(b, by, _mm512_loadu_si512(p + 64));
        c = fold_512(c, by, _mm512_loadu_si512(p + 128));
        d = fold_512(d, by, _mm512_loadu_si512(p + 192));
    }
    by = constant_512(FOLD_512);
    a = fold_512(fold_512(fold_512(a, by, b), by, c), by, d);
    for (; size >= 64; p += 64, size -= 64)
        a = fold_512(a, by, _mm512_loadu_si512(p));
    return crc_one_lane(reduce_512(a), p, size);
}

#endif

static crc_fn *function_of(enum crc32c_kind kind)
{
    switch (kind) {
    case CRC32C_TABLE:
        return crc_table;
#ifdef __x86_64__
    case CRC32C_SSE42:
        return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul") ? crc_sse42 : NULL;
    case CRC32C_VPCLMUL:
        return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul") &&
                       __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("vpclmulqdq")
                   ? crc_vpclmul
                   : NULL;
#else
    case CRC32C_SSE42:
    case CRC32C_VPCLMUL:
        return NULL;
#endif
    }
    return NULL;
}

static uint32_t crc_choose(uint32_t state, const uint8_t *p, size_t size);
static crc_fn *_Atomic chosen = crc_choose;

/* The first call of every thread that comes early chooses the same. */
static uint32_t crc_choose(uint32_t state, const uint8_t *p, size_t size)
{
    crc_fn *fn = function_of(CRC32C_VPCLMUL);
    if (fn == NULL)
        fn = function_of(CRC32C_SSE42);
    if (fn == NULL)
        fn = crc_table;
    atomic_store_explicit(&chosen, fn, memory_order_relaxed);
    return fn(state, p, size);
}

uint32_t crc32c(uint32_t crc, const void *data, size_t size)
{
    return ~atomic_load_explicit(&chosen, memory_order_relaxed)(~crc, data, size);
}

bool crc32c_by(enum crc32c_kind kind, uint32_t crc, const void *data, size_t size, uint32_t *out)
{
    crc_fn *fn = function_of(kind);
    if (fn == NULL)
        return false;
    *out = ~fn(~crc, data, size);
    return true;
}
