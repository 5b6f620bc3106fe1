/* A slice is a borrowed view of bytes: pointer and size, never ended by a NUL. */
#ifndef RUNNEL_PROTOCOL_BASE_SLICE_H
#define RUNNEL_PROTOCOL_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* data == NULL is Kafka's null, size == 0 with data != NULL its empty. Copied by value. */
typedef struct slice {
    const uint8_t *data;
    size_t size;
} slice;

#define SLICE_NULL ((slice){ NULL, 0 })
/* Of a string literal, without its NUL. */
#define SLICE_LITERAL(text) ((slice){ (const uint8_t *)("" text), sizeof(text) - 1 })

static inline slice slice_of(const void *data, size_t size)
{
    return (slice){ (const uint8_t *)data, size };
}

/* Borrows a C string, without its NUL; NULL gives the null slice. */
static inline slice slice_of_string(const char *text)
{
    return text ? slice_of(text, strlen(text)) : SLICE_NULL;
}

static inline bool slice_is_null(slice s)
{
    return s.data == NULL;
}

/* Null and empty are equal here: both have no bytes. */
static inline bool slice_equal(slice a, slice b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* In the order of their bytes, the shorter one first; null and empty are equal. Below 0, 0 or above, as
 * memcmp(). */
static inline int slice_compare(slice a, slice b)
{
    size_t size = a.size < b.size ? a.size : b.size;
    int order = size > 0 ? memcmp(a.data, b.data, size) : 0;
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

/* Of two slices, for qsort() and bsearch(). */
static inline int slice_compare_items(const void *a, const void *b)
{
    return slice_compare(*(const slice *)a, *(const slice *)b);
}

static inline bool slice_equal_string(slice a, const char *text)
{
    return slice_equal(a, slice_of_string(text));
}

#endif
