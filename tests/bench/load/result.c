/* Watches CPU and memory over a run; prints results as JSON. */
#include "tests/bench/load/result.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "protocol/base/check.h"
#include "tests/support/load.h"

#define MIB ((double)(1 << 20))

double own_cpu_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* --- watching ------------------------------------------------------------------------------------ */

void watch_begin(struct watch *watch, pid_t server)
{
    double cpu = server ? process_cpu_seconds(server) : 0;
    *watch = (struct watch){ .server = server,
                             .server_cpu = cpu,
                             .last_cpu = cpu,
                             .client_cpu = own_cpu_seconds(),
                             .begin = monotonic_seconds() };
    watch->last_seconds = watch->begin;
}

void watch_sample(struct watch *watch, uint64_t size, bool keep)
{
    double now = monotonic_seconds(), passed = now - watch->last_seconds;
    double cpu = watch->server ? process_cpu_seconds(watch->server) : 0;
    double rss_mib = watch->server ? (double)process_rss(watch->server) / MIB : 0;
    if (rss_mib > watch->rss_max_mib)
        watch->rss_max_mib = rss_mib;
    if (!keep || passed <= 0)
        return;
    if (watch->count == watch->capacity) {
        watch->capacity = watch->capacity ? 2 * watch->capacity : 256;
        watch->samples =
            check_memory(realloc(watch->samples, (size_t)watch->capacity * sizeof *watch->samples));
    }
    watch->samples[watch->count++] =
        (struct sample){ .seconds = now - watch->begin,
                         .mib_s = (double)(size - watch->last_size) / MIB / passed,
                         .rss_mib = rss_mib,
                         .cpu = (cpu - watch->last_cpu) / passed };
    watch->last_seconds = now;
    watch->last_size = size;
    watch->last_cpu = cpu;
}

void watch_end(struct watch *watch, struct result *out)
{
    out->seconds = monotonic_seconds() - watch->begin;
    out->client_cpu_seconds = own_cpu_seconds() - watch->client_cpu;
    out->server = watch->server;
    watch_sample(watch, watch->last_size, false);
    if (watch->server) {
        out->server_cpu_seconds = process_cpu_seconds(watch->server) - watch->server_cpu;
        out->rss_mib = (double)process_rss(watch->server) / MIB;
        out->rss_max_mib = watch->rss_max_mib;
        out->rss_own_mib = (double)process_rss_anonymous(watch->server) / MIB;
    }
    out->samples = watch->samples;
    out->sample_count = watch->count;
}

/* --- printing ------------------------------------------------------------------------------------ */

static double rate(double count, double seconds)
{
    return seconds > 0 ? count / seconds : 0;
}

static double us(uint64_t ns)
{
    return (double)ns / 1e3;
}

static void print_latency(const char *name, const struct histogram *histogram)
{
    printf("\"%s\":{\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f,\"count\":%llu}", name,
           us(histogram_quantile_ns(histogram, 0.5)), us(histogram_quantile_ns(histogram, 0.9)),
           us(histogram_quantile_ns(histogram, 0.99)), us(histogram_quantile_ns(histogram, 0.999)),
           us(histogram->max_ns), (unsigned long long)histogram->count);
}

static void print_histogram(const struct histogram *histogram)
{
    const char *comma = "";
    printf("\"histogram\":[");
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        if (histogram->counts[i] == 0)
            continue;
        printf("%s[%.3f,%llu]", comma, us(histogram_bucket_end_ns(i)),
               (unsigned long long)histogram->counts[i]);
        comma = ",";
    }
    printf("]");
}

static void print_traffic(const struct traffic *traffic, double seconds)
{
    printf("\"requests\":%llu,\"records\":%llu,\"bytes\":%llu,\"requests_s\":%.1f,\"mib_s\":%.3f,\"records_"
           "s\":%.1f,"
           "\"unsent\":%llu,",
           (unsigned long long)traffic->requests, (unsigned long long)traffic->records,
           (unsigned long long)traffic->size, rate((double)traffic->requests, seconds),
           rate((double)traffic->size / MIB, seconds), rate((double)traffic->records, seconds),
           (unsigned long long)traffic->unsent);
    print_latency("latency_us", &traffic->latency);
    printf(",");
    print_latency("lag_us", &traffic->lag);
    printf(",");
    print_histogram(&traffic->latency);
}

static void print_samples(const struct result *result)
{
    printf("\"samples\":[");
    for (int i = 0; i < result->sample_count; i++) {
        const struct sample *sample = &result->samples[i];
        printf("%s[%.3f,%.2f,%.2f,%.3f]", i > 0 ? "," : "", sample->seconds, sample->mib_s, sample->rss_mib,
               sample->cpu);
    }
    printf("]");
}

void result_print(const struct result *result, const char *extra)
{
    double gib = (double)result->total.size / (double)(1 << 30);
    printf("{\"kind\":\"%s\",\"seconds\":%.6f,", result->kind, result->seconds);
    print_traffic(&result->total, result->seconds);
    printf(",\"server_cpu_s\":%.6f,\"server_cpu_s_per_gib\":%.4f,\"client_cpu_s\":%.6f,"
           "\"client_cpu_s_per_gib\":%.4f,\"rss_mib\":%.3f,\"rss_max_mib\":%.3f,\"rss_own_mib\":%.3f,",
           result->server_cpu_seconds, gib > 0 ? result->server_cpu_seconds / gib : 0,
           result->client_cpu_seconds, gib > 0 ? result->client_cpu_seconds / gib : 0, result->rss_mib,
           result->rss_max_mib, result->rss_own_mib);
    if (result->produced) {
        printf("\"produce\":{");
        print_traffic(result->produced, result->seconds);
        printf("},");
    }
    if (result->fetched) {
        printf("\"fetch\":{");
        print_traffic(result->fetched, result->seconds);
        printf("},");
    }
    if (extra)
        printf("%s,", extra);
    print_samples(result);
    printf(",\"errors\":0}\n");
    fflush(stdout);
}
