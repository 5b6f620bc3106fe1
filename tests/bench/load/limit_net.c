/* The network alone: bytes pumped over loopback, from memory or from mapped files, onto nothing or onto new
 * files. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "protocol/base/check.h"
#include "tests/bench/load/limits.h"

void loopback_pair(int ends[2])
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check(listener >= 0 && bind(listener, (struct sockaddr *)&address, size) == 0 &&
          listen(listener, 1) == 0);
    check(getsockname(listener, (struct sockaddr *)&address, &size) == 0);
    ends[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check(ends[0] >= 0 && connect(ends[0], (struct sockaddr *)&address, size) == 0);
    ends[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    check(ends[1] >= 0);
    close(listener);
}

void loopback_send(int descriptor, const void *bytes, size_t size)
{
    for (const uint8_t *next = bytes; size > 0;) {
        struct iovec piece = { (void *)next, size };
        struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };
        ssize_t sent = sendmsg(descriptor, &message, MSG_NOSIGNAL);
        check(sent > 0);
        next += sent;
        size -= (size_t)sent;
    }
}

double thread_cpu_seconds(void)
{
    struct timespec used;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

/* One end of a connection, with a thread. */
struct pump {
    int descriptor;
    int file;              /* receivers: where the bytes go; -1: nowhere */
    const uint8_t *source; /* senders: what is sent again and again, source_size bytes of it */
    size_t source_size;
    size_t piece_size;
    uint64_t size;
    double cpu_seconds;
    pthread_t thread;
};

static void *run_sender(void *context)
{
    struct pump *pump = context;
    double cpu = thread_cpu_seconds();
    size_t position = 0;
    for (uint64_t left = pump->size; left > 0;) {
        size_t size =
            pump->piece_size < pump->source_size - position ? pump->piece_size : pump->source_size - position;
        if (size > left)
            size = (size_t)left;
        loopback_send(pump->descriptor, pump->source + position, size);
        position = position + size == pump->source_size ? 0 : position + size;
        left -= size;
    }
    pump->cpu_seconds = thread_cpu_seconds() - cpu;
    return NULL;
}

static void *run_receiver(void *context)
{
    struct pump *pump = context;
    char *bytes = check_memory(malloc(pump->piece_size));
    double cpu = thread_cpu_seconds();
    uint64_t end = 0;
    while (end < pump->size) {
        ssize_t got = recv(pump->descriptor, bytes, pump->piece_size, 0);
        check(got > 0);
        struct iovec piece = { bytes, (size_t)got };
        if (pump->file >= 0)
            check(pwritev(pump->file, &piece, 1, (off_t)end) == got);
        end += (uint64_t)got;
    }
    pump->cpu_seconds = thread_cpu_seconds() - cpu;
    free(bytes);
    return NULL;
}

/* ends: of `connections` pairs, the sender before its receiver. */
static void run_pumps(struct pump *ends, int connections, struct result *out, double *senders,
                      double *receivers)
{
    double begin = monotonic_seconds();
    for (int i = 2 * connections - 1; i >= 0; i--) /* receivers first */
        check(pthread_create(&ends[i].thread, NULL, i % 2 ? run_receiver : run_sender, &ends[i]) == 0);
    for (int i = 0; i < 2 * connections; i++) {
        pthread_join(ends[i].thread, NULL);
        *(i % 2 ? receivers : senders) += ends[i].cpu_seconds;
        out->total.size += i % 2 ? ends[i].size : 0;
        close(ends[i].descriptor);
    }
    out->seconds = monotonic_seconds() - begin;
    out->total.requests = out->total.size / ends[0].piece_size;
}

static struct pump *make_pumps(const struct limit_options *options)
{
    struct pump *ends = check_memory(calloc(2 * (size_t)options->connections, sizeof *ends));
    for (int i = 0; i < options->connections; i++) {
        int pair[2];
        loopback_pair(pair);
        for (int side = 0; side < 2; side++)
            ends[2 * i + side] =
                (struct pump){ .descriptor = pair[side],
                               .file = -1,
                               .piece_size = options->write_size,
                               .size = options->total_size / (uint64_t)options->connections };
    }
    return ends;
}

void limit_pump(const struct limit_options *options, struct result *out)
{
    struct pump *ends = make_pumps(options);
    uint8_t *source = check_memory(malloc(options->write_size));
    memset(source, 'p', options->write_size);
    for (int i = 0; i < options->connections; i++) {
        ends[2 * i].source = source;
        ends[2 * i].source_size = options->write_size;
        if (options->directory)
            ends[2 * i + 1].file = limit_open_file(options->directory);
    }
    run_pumps(ends, options->connections, out, &out->client_cpu_seconds, &out->server_cpu_seconds);
    for (int i = 0; i < options->connections; i++)
        if (ends[2 * i + 1].file >= 0)
            close(ends[2 * i + 1].file);
    free(source);
    free(ends);
}

/* Written once, so in the page cache; mapped as the broker maps a segment. */
static const uint8_t *map_file(const char *directory, uint64_t size)
{
    enum { PIECE_SIZE = 1 << 20 };
    int descriptor = limit_open_file(directory);
    uint8_t *piece = check_memory(malloc(PIECE_SIZE));
    memset(piece, 'm', PIECE_SIZE);
    for (uint64_t end = 0; end < size; end += PIECE_SIZE) {
        size_t part = size - end < PIECE_SIZE ? (size_t)(size - end) : PIECE_SIZE;
        check(pwrite(descriptor, piece, part, (off_t)end) == (ssize_t)part);
    }
    void *mapped = mmap(NULL, size, PROT_READ, MAP_SHARED | MAP_POPULATE, descriptor, 0);
    check(mapped != MAP_FAILED);
    close(descriptor);
    free(piece);
    return mapped;
}

void limit_sendmsg(const struct limit_options *options, struct result *out)
{
    struct pump *ends = make_pumps(options);
    for (int i = 0; i < options->connections; i++) {
        ends[2 * i].source_size = ends[2 * i].size;
        ends[2 * i].source = map_file(options->directory, ends[2 * i].size);
    }
    run_pumps(ends, options->connections, out, &out->server_cpu_seconds, &out->client_cpu_seconds);
    for (int i = 0; i < options->connections; i++)
        munmap((void *)ends[2 * i].source, ends[2 * i].source_size);
    free(ends);
}
