/* The disk alone: pages written to new files, appends made durable at a rate, memory touched and given back.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "protocol/base/check.h"
#include "tests/bench/load/arguments.h"
#include "tests/bench/load/engine.h"
#include "tests/bench/load/limits.h"

#define NS_PER_S 1000000000u

int limit_open_file(const char *directory)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/limit-XXXXXX", directory);
    int descriptor = mkostemp(path, O_CLOEXEC);
    if (descriptor < 0 || unlink(path) != 0)
        load_fail("%s: %s", path, strerror(errno));
    return descriptor;
}

static uint8_t *make_piece(size_t size)
{
    uint8_t *piece = check_memory(malloc(size));
    memset(piece, 'r', size);
    return piece;
}

/* --- pages --------------------------------------------------------------------------------------- */

struct writer {
    const struct limit_options *options;
    uint64_t size;
    double cpu_seconds;
    pthread_t thread;
};

static void *run_writer(void *context)
{
    struct writer *writer = context;
    size_t size = writer->options->write_size;
    uint8_t *bytes = make_piece(size);
    int descriptor = limit_open_file(writer->options->directory);
    double cpu = thread_cpu_seconds();
    for (uint64_t end = 0; end < writer->size; end += size) {
        struct iovec piece = { bytes, size };
        check(pwritev(descriptor, &piece, 1, (off_t)end) == (ssize_t)size);
    }
    writer->cpu_seconds = thread_cpu_seconds() - cpu;
    close(descriptor);
    free(bytes);
    return NULL;
}

void limit_pwritev(const struct limit_options *options, struct result *out)
{
    struct writer *writers = check_memory(calloc((size_t)options->connections, sizeof *writers));
    uint64_t pieces = options->total_size / (uint64_t)options->connections / options->write_size;
    double begin = monotonic_seconds();
    for (int i = 0; i < options->connections; i++) {
        writers[i].options = options;
        writers[i].size = pieces * options->write_size;
        check(pthread_create(&writers[i].thread, NULL, run_writer, &writers[i]) == 0);
    }
    for (int i = 0; i < options->connections; i++) {
        pthread_join(writers[i].thread, NULL);
        out->server_cpu_seconds += writers[i].cpu_seconds;
        out->total.size += writers[i].size;
        out->total.requests += pieces;
    }
    out->seconds = monotonic_seconds() - begin;
    free(writers);
}

/* --- durable appends ----------------------------------------------------------------------------- */

static void wait_until(uint64_t ns)
{
    struct timespec time = { .tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S) };
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) == EINTR)
        continue;
}

static void append(int descriptor, const uint8_t *bytes, size_t size, uint64_t number)
{
    struct iovec piece = { (void *)bytes, size };
    check(pwritev(descriptor, &piece, 1, (off_t)(number * size)) == (ssize_t)size);
}

/* The schedule: when append `number` is due. */
static uint64_t due_of(const struct limit_options *options, uint64_t begin, uint64_t number)
{
    return begin + (uint64_t)((double)number * 1e9 / options->rate);
}

/* Appends all that is due by now, and one more where nothing has a time; returns how many there are by then.
 */
static uint64_t append_due(const struct limit_options *options, int descriptor, const uint8_t *bytes,
                           uint64_t begin, uint64_t done, uint64_t now, uint64_t end)
{
    do
        append(descriptor, bytes, options->write_size, 1 + done++);
    while (options->rate > 0 && due_of(options, begin, done) <= now && due_of(options, begin, done) < end);
    return done;
}

void limit_fdatasync(const struct limit_options *options, struct result *out)
{
    uint8_t *bytes = make_piece(options->write_size);
    int descriptor = limit_open_file(options->directory);
    prctl(PR_SET_TIMERSLACK, 1UL);
    append(descriptor, bytes, options->write_size, 0); /* the file's first blocks are not counted */
    check(fdatasync(descriptor) == 0);
    double cpu = thread_cpu_seconds();
    uint64_t begin = now_ns(), end = begin + (uint64_t)(options->seconds * 1e9), now = begin, done = 0;
    while (options->rate > 0 ? due_of(options, begin, done) < end : now < end) {
        uint64_t first = done, alone = now;
        if (options->rate > 0 && due_of(options, begin, done) > now)
            wait_until(due_of(options, begin, done));
        done = append_due(options, descriptor, bytes, begin, done, now_ns(), end);
        check(fdatasync(descriptor) == 0);
        now = now_ns();
        for (uint64_t i = first; i < done; i++)
            histogram_add(&out->total.latency, now - (options->rate > 0 ? due_of(options, begin, i) : alone));
        out->total.requests++;
    }
    out->total.records = done;
    out->total.size = done * options->write_size;
    out->seconds = (double)(now_ns() - begin) / 1e9;
    out->server_cpu_seconds = thread_cpu_seconds() - cpu;
    close(descriptor);
    free(bytes);
}

/* --- warm memory --------------------------------------------------------------------------------- */

void limit_warm(const struct limit_options *options, struct result *out)
{
    double begin = monotonic_seconds(), cpu = thread_cpu_seconds();
    if (options->directory) {
        struct limit_options one = *options;
        one.connections = 1;
        limit_pwritev(&one, out); /* its pages go with the file */
        return;
    }
    long page = sysconf(_SC_PAGESIZE);
    uint8_t *memory =
        mmap(NULL, options->total_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(memory != MAP_FAILED);
    for (uint64_t i = 0; i < options->total_size; i += (uint64_t)page)
        memory[i] = 1;
    munmap(memory, options->total_size);
    out->total.size = options->total_size;
    out->seconds = monotonic_seconds() - begin;
    out->server_cpu_seconds = thread_cpu_seconds() - cpu;
}
