/* Latencies in log-linear buckets: 1.6 % wide at most, from a nanosecond to a quarter of an hour. */
#ifndef RUNNEL_TESTS_BENCH_LOAD_HISTOGRAM_H
#define RUNNEL_TESTS_BENCH_LOAD_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

enum { HISTOGRAM_SUB_BITS = 6, HISTOGRAM_BUCKETS = (41 - HISTOGRAM_SUB_BITS) << HISTOGRAM_SUB_BITS };

/* Zeroed is empty. */
struct histogram {
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t count;
    uint64_t max_ns;
};

void histogram_add(struct histogram *histogram, uint64_t ns);
void histogram_merge(struct histogram *into, const struct histogram *from);
/* Upper bound of the bucket that holds this share (0..1) of the values; never above the maximum. 0 when
 * empty. */
uint64_t histogram_quantile_ns(const struct histogram *histogram, double share);
/* First value behind the bucket. */
uint64_t histogram_bucket_end_ns(size_t bucket);

#endif
