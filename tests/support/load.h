/* The load generator of the benchmarks: ready-made batches over many connections, and a raw loopback
 * pump to hold the result against. */
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
/* total_size bytes from one thread to another over loopback TCP, 256 KiB a call, on as many
 * connections; broker_cpu_seconds is that of both ends. */
struct load_result load_pump(uint64_t total_size, int connections);

/* Writes total_size bytes in pieces of batch_size to one file per connection in directory, a thread each, by
 * pwrite at the end, as the broker would; removes the files. broker_cpu_seconds is the writers'. */
struct load_result load_raw_write(const struct load_options *options, const char *directory);

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
