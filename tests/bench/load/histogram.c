/* Log-linear buckets: the leading one and the HISTOGRAM_SUB_BITS behind it. */
#include "tests/bench/load/histogram.h"

enum { SUB_COUNT = 1 << HISTOGRAM_SUB_BITS };

static size_t bucket_of(uint64_t ns)
{
    if (ns < SUB_COUNT)
        return (size_t)ns;
    int shift = 63 - __builtin_clzll(ns) - HISTOGRAM_SUB_BITS;
    size_t bucket = ((size_t)(shift + 1) << HISTOGRAM_SUB_BITS) + (size_t)(ns >> shift) - SUB_COUNT;
    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

uint64_t histogram_bucket_end_ns(size_t bucket)
{
    if (bucket < SUB_COUNT)
        return bucket + 1;
    size_t shift = (bucket >> HISTOGRAM_SUB_BITS) - 1, sub = bucket & (SUB_COUNT - 1);
    return (uint64_t)(SUB_COUNT + sub + 1) << shift;
}

void histogram_add(struct histogram *histogram, uint64_t ns)
{
    histogram->counts[bucket_of(ns)]++;
    histogram->count++;
    if (ns > histogram->max_ns)
        histogram->max_ns = ns;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        into->counts[i] += from->counts[i];
    into->count += from->count;
    if (from->max_ns > into->max_ns)
        into->max_ns = from->max_ns;
}

uint64_t histogram_quantile_ns(const struct histogram *histogram, double share)
{
    uint64_t wanted = (uint64_t)(share * (double)histogram->count), seen = 0;
    if (wanted >= histogram->count)
        return histogram->max_ns;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->counts[i];
        if (seen > wanted) {
            uint64_t end = histogram_bucket_end_ns(i);
            return end < histogram->max_ns ? end : histogram->max_ns;
        }
    }
    return histogram->max_ns;
}
