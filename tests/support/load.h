/* Traffic for tests: ready-made batches over several connections; and what a process costs meanwhile. The generator of
 * the measurements is tests/bench/load. */
#ifndef RUNNEL_TESTS_SUPPORT_LOAD_H
#define RUNNEL_TESTS_SUPPORT_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct load_options {
    const char *address; /* HOST:PORT */
    const char *topic;   /* exists, with at least `connections` partitions */
    pid_t broker;        /* whose CPU is counted; 0: none */
    int connections;     /* one thread each; connection i uses partition i */
    int depth;           /* requests in flight per connection */
    size_t record_size;  /* bytes of a value */
    size_t batch_size;   /* bytes of a batch, about */
    int16_t acks;
    uint64_t total_size; /* bytes of batches to move, in all */
    size_t fetch_size;   /* partition_max_bytes of a fetch */
};

struct load_result {
    uint64_t size;     /* bytes of batches moved */
    uint64_t requests;
    double seconds;
    double broker_cpu_seconds; /* user and system, of the whole process */
};

/* Both abort when the broker answers an error. */
struct load_result load_produce(const struct load_options *options);
/* Reads the partitions from their start until total_size is there. */
struct load_result load_fetch(const struct load_options *options);
/* Metadata with auto-creation until every partition has a leader. Aborts after 30 s. */
void load_make_topic(const char *address, const char *topic);

/* User and system seconds that the process has used. */
double process_cpu_seconds(pid_t pid);
/* VmRSS in bytes. */
uint64_t process_rss(pid_t pid);
/* RssAnon and RssFile: memory of its own, and mapped pages of files. */
uint64_t process_rss_anonymous(pid_t pid);
uint64_t process_rss_file(pid_t pid);
/* Is it built with a sanitizer, whose memory is not the program's? */
bool process_is_sanitized(pid_t pid);
/* Voluntary context switches of all its threads: wake-ups. */
uint64_t process_wakeups(pid_t pid);
double monotonic_seconds(void);

#endif
