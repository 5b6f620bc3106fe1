/* Three ways for bytes from a socket to the end of a segment, in turns, with retention at work: pwritev into
 * a new file (as the broker does, segment_tail.c), pwritev over the pages of a segment that retention gave
 * up, and stores into a mapping of one.
 *
 *     tail_bench [ROUNDS]
 *
 * One thread receives, checks the CRC and stores; another sends. CPU is that of the receiver, its flushes
 * included.
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "protocol/base/check.h"
#include "protocol/base/crc32c.h"
#include "tests/support/load.h"
#include "tests/support/temp_dir.h"

#define KIB          ((size_t)1 << 10)
#define MIB          ((size_t)1 << 20)
#define SEGMENT_SIZE (64 * MIB)
#define RECEIVE_SIZE (256 * KIB)
#define RUN_SIZE     (512 * MIB)

/* So many segments are kept; the one before goes, or is used again. What is ahead of the end must read as
 * zero, or a recovery would take the old for new: so far ahead it is zeroed. */
enum { SEGMENTS_KEPT = 4, ZERO_AHEAD = 64 << 10, WRITE_BEHIND = 8 << 20, ROUNDS_MAX = 99 };

enum way { EXTEND, REUSE_BY_PWRITE, REUSE_BY_MAPPING, WAY_COUNT };

static const char *const way_names[] = { "pwrite into a new file", "pwrite over old pages",
                                         "stores into old pages" };

struct tail {
    enum way way;
    size_t flush_size; /* fdatasync after so many bytes; 0: never, but written behind */
    int directory;
    int fd;
    uint8_t *map;
    unsigned number; /* of the segment */
    size_t position;
    size_t unflushed;
    size_t zeroed;
};

/* --- segments ---------------------------------------------------------------------------------- */

static void name_of(char *out, size_t size, unsigned number)
{
    snprintf(out, size, "%020u.log", number);
}

static void close_segment(struct tail *tail)
{
    if (tail->map)
        munmap(tail->map, SEGMENT_SIZE);
    tail->map = NULL;
    close(tail->fd);
}

static void open_segment(struct tail *tail)
{
    char oldest[64], newest[64];
    bool has_old = tail->number >= SEGMENTS_KEPT;
    name_of(newest, sizeof newest, tail->number);
    name_of(oldest, sizeof oldest, tail->number - SEGMENTS_KEPT);
    if (has_old && tail->way == EXTEND)
        check(unlinkat(tail->directory, oldest, 0) == 0);
    else if (has_old)
        check(renameat(tail->directory, oldest, tail->directory, newest) == 0);
    tail->fd = openat(tail->directory, newest, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    check(tail->fd >= 0);
    if (tail->way != EXTEND && !has_old)
        check(posix_fallocate(tail->fd, 0, (off_t)SEGMENT_SIZE) == 0);
    if (tail->way == REUSE_BY_MAPPING) {
        tail->map = mmap(NULL, SEGMENT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, tail->fd, 0);
        check(tail->map != MAP_FAILED);
        check(madvise(tail->map, SEGMENT_SIZE, MADV_POPULATE_WRITE) == 0);
    }
    tail->position = 0;
    tail->unflushed = 0;
    tail->zeroed = 0;
}

static void flush_tail(struct tail *tail)
{
    size_t due = tail->flush_size ? tail->flush_size : WRITE_BEHIND;
    if (tail->unflushed < due)
        return;
    if (tail->flush_size)
        check(fdatasync(tail->fd) == 0);
    else
        check(sync_file_range(tail->fd, (off_t)(tail->position - tail->unflushed), (off_t)tail->unflushed,
                              SYNC_FILE_RANGE_WRITE) == 0);
    tail->unflushed = 0;
}

/* Zeroes the next bytes of a used file, before what is stored now could be followed by old bytes. */
static void zero_ahead(struct tail *tail, size_t end)
{
    static const uint8_t zeros[ZERO_AHEAD];
    while (tail->zeroed < end + 4 * KIB && tail->zeroed < SEGMENT_SIZE) {
        if (tail->map)
            memset(tail->map + tail->zeroed, 0, ZERO_AHEAD);
        else
            check(pwrite(tail->fd, zeros, ZERO_AHEAD, (off_t)tail->zeroed) == ZERO_AHEAD);
        tail->zeroed += ZERO_AHEAD;
    }
}

static void store(struct tail *tail, const uint8_t *bytes, size_t size)
{
    size_t end = tail->position + size;
    if (tail->way != EXTEND)
        zero_ahead(tail, end);
    if (tail->map)
        memcpy(tail->map + tail->position, bytes, size);
    else
        check(pwrite(tail->fd, bytes, size, (off_t)tail->position) == (ssize_t)size);
    tail->position = end;
    tail->unflushed += size;
    flush_tail(tail);
    if (tail->position == SEGMENT_SIZE) {
        close_segment(tail);
        tail->number++;
        open_segment(tail);
    }
}

/* --- a run ------------------------------------------------------------------------------------- */

static void *send_all(void *context)
{
    int fd = *(int *)context;
    uint8_t *bytes = check_memory(malloc(RECEIVE_SIZE));
    memset(bytes, 'r', RECEIVE_SIZE);
    for (size_t sent = 0; sent < RUN_SIZE;) {
        ssize_t n = send(fd, bytes, RECEIVE_SIZE, MSG_NOSIGNAL);
        check(n > 0);
        sent += (size_t)n;
    }
    free(bytes);
    return NULL;
}

static double thread_cpu_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* CPU seconds of the receiver by GiB. */
static double run_once(struct tail *tail, int listener, const struct sockaddr *address, socklen_t size)
{
    static uint8_t buffer[RECEIVE_SIZE];
    pthread_t sender;
    int out = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check(out >= 0 && connect(out, address, size) == 0);
    int in = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    check(in >= 0 && pthread_create(&sender, NULL, send_all, &out) == 0);
    double begin = thread_cpu_seconds();
    volatile uint32_t crc = 0;
    size_t got = 0;
    for (size_t run = 0; run < RUN_SIZE; run += got) {
        size_t room =
            SEGMENT_SIZE - tail->position < RECEIVE_SIZE ? SEGMENT_SIZE - tail->position : RECEIVE_SIZE;
        ssize_t n = recv(in, buffer, room, 0);
        check(n > 0);
        got = (size_t)n;
        crc ^= crc32c(0, buffer, got);
        store(tail, buffer, got);
    }
    double cpu = thread_cpu_seconds() - begin;
    check(pthread_join(sender, NULL) == 0);
    close(in);
    close(out);
    return cpu / ((double)RUN_SIZE / (double)(1u << 30));
}

/* --- the table --------------------------------------------------------------------------------- */

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void compare_ways(const char *title, size_t flush_size, int rounds)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t address_size = sizeof address;
    struct tail tails[WAY_COUNT];
    struct temp_dir dirs[WAY_COUNT];
    double cpu[WAY_COUNT][ROUNDS_MAX];
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check(listener >= 0 && bind(listener, (struct sockaddr *)&address, sizeof address) == 0);
    check(listen(listener, 1) == 0 && getsockname(listener, (struct sockaddr *)&address, &address_size) == 0);
    for (int way = 0; way < WAY_COUNT; way++) {
        temp_dir_create(&dirs[way]);
        tails[way] = (struct tail){ .way = (enum way)way, .flush_size = flush_size };
        tails[way].directory = open(dirs[way].path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        check(tails[way].directory >= 0);
        open_segment(&tails[way]);
    }
    for (int round = -1; round < rounds; round++)
        for (int way = 0; way < WAY_COUNT; way++) { /* the first round fills what is used again later */
            double seconds = run_once(&tails[way], listener, (struct sockaddr *)&address, address_size);
            if (round >= 0)
                cpu[way][round] = seconds;
        }
    printf("\n%s\n", title);
    for (int way = 0; way < WAY_COUNT; way++) {
        qsort(cpu[way], (size_t)rounds, sizeof cpu[way][0], compare_doubles);
        printf("  %-28s %5.2f CPU-s/GiB  (%.2f-%.2f)\n", way_names[way], cpu[way][rounds / 2], cpu[way][0],
               cpu[way][rounds - 1]);
        close_segment(&tails[way]);
        close(tails[way].directory);
        temp_dir_destroy(&dirs[way]);
    }
    close(listener);
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : 7;
    check(rounds > 0 && rounds <= ROUNDS_MAX);
    setvbuf(stdout, NULL, _IOLBF, 0);
    compare_ways("out of the page cache, written behind", 0, rounds);
    compare_ways("durable, fdatasync by 256 KiB", 256 * KIB, rounds);
    compare_ways("durable, fdatasync by 4 MiB", 4 * MIB, rounds);
    return 0;
}
