/* Stands before libc in a broker: counts the turns of its loops, and how long its locks are held and waited
 * for.
 *
 * What it counts stands in the file that RUNNEL_LOOP_WATCH names, which tests/bench/beside/loops.py reads: so
 * a broker needs no counters of its own. It costs a lock some tens of nanoseconds, so throughput is measured
 * without it. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { SITES = 256, HELD_MAX = 16 };

/* Where a lock is taken: the address behind the call. */
struct site {
    _Atomic uint64_t address, count, contended, held_ns, held_max_ns, waited_ns;
};

/* The file: native numbers. */
struct watch {
    _Atomic uint64_t turns, events, own_ns;
    struct site sites[SITES];
};

struct held {
    pthread_mutex_t *mutex;
    struct site *site;
    uint64_t since_ns;
};

static struct watch nowhere, *watch = &nowhere;
static uint64_t own_ns; /* what two looks at the clock cost: part of no lock */
static _Thread_local struct held held[HELD_MAX];
static _Thread_local int held_count;

#define REAL(name) static __typeof__(name) *real_##name
REAL(pthread_mutex_lock);
REAL(pthread_mutex_trylock);
REAL(pthread_mutex_unlock);
REAL(pthread_cond_wait);
REAL(pthread_cond_timedwait);
REAL(epoll_wait);

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void measure_ourselves(void)
{
    own_ns = UINT64_MAX;
    for (int i = 0; i < 1000; i++) {
        uint64_t begin = now_ns(), passed = now_ns() - begin;
        if (passed < own_ns)
            own_ns = passed;
    }
}

#define FIND(name) real_##name = (__typeof__(real_##name))dlsym(RTLD_NEXT, #name)

static void find_all(void)
{
    FIND(pthread_mutex_lock);
    FIND(pthread_mutex_trylock);
    FIND(pthread_mutex_unlock);
    FIND(pthread_cond_wait);
    FIND(pthread_cond_timedwait);
    FIND(epoll_wait);
}

__attribute__((constructor)) static void begin(void)
{
    if (!real_pthread_mutex_lock)
        find_all();
    measure_ourselves();
    const char *path = getenv("RUNNEL_LOOP_WATCH");
    int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (fd < 0)
        return;
    if (ftruncate(fd, sizeof *watch) == 0) {
        struct watch *memory = mmap(NULL, sizeof *watch, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (memory != MAP_FAILED) {
            atomic_store(&memory->own_ns, own_ns);
            watch = memory;
        }
    }
    close(fd);
}

/* NULL when there are too many. */
static struct site *site_of(const void *caller)
{
    uint64_t address = (uint64_t)(uintptr_t)caller;
    for (size_t i = 0, at = address >> 2; i < SITES; i++, at++) {
        struct site *site = &watch->sites[at % SITES];
        uint64_t seen = atomic_load_explicit(&site->address, memory_order_relaxed);
        if (seen == address ||
            (seen == 0 && atomic_compare_exchange_strong(&site->address, &seen, address)) || seen == address)
            return site;
    }
    return NULL;
}

static void add(_Atomic uint64_t *to, uint64_t what)
{
    atomic_fetch_add_explicit(to, what, memory_order_relaxed);
}

static void taken(pthread_mutex_t *mutex, struct site *site)
{
    if (held_count < HELD_MAX)
        held[held_count++] = (struct held){ mutex, site, now_ns() };
}

static void given_back(pthread_mutex_t *mutex)
{
    for (int i = held_count - 1; i >= 0; i--) {
        if (held[i].mutex != mutex)
            continue;
        uint64_t passed = now_ns() - held[i].since_ns;
        struct site *site = held[i].site;
        passed = passed > own_ns ? passed - own_ns : 0;
        held[i] = held[--held_count];
        if (!site)
            return;
        add(&site->count, 1);
        add(&site->held_ns, passed);
        if (passed > atomic_load_explicit(&site->held_max_ns, memory_order_relaxed))
            atomic_store_explicit(&site->held_max_ns, passed, memory_order_relaxed);
        return;
    }
}

int pthread_mutex_lock(pthread_mutex_t *mutex)
{
    if (!real_pthread_mutex_lock)
        find_all();
    struct site *site = site_of(__builtin_return_address(0));
    int error = real_pthread_mutex_trylock(mutex);
    if (error == EBUSY) {
        uint64_t begin = now_ns();
        error = real_pthread_mutex_lock(mutex);
        if (site) {
            add(&site->contended, 1);
            add(&site->waited_ns, now_ns() - begin);
        }
    }
    if (error == 0)
        taken(mutex, site);
    return error;
}

int pthread_mutex_trylock(pthread_mutex_t *mutex)
{
    if (!real_pthread_mutex_trylock)
        find_all();
    int error = real_pthread_mutex_trylock(mutex);
    if (error == 0)
        taken(mutex, site_of(__builtin_return_address(0)));
    return error;
}

int pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    if (!real_pthread_mutex_unlock)
        find_all();
    given_back(mutex);
    return real_pthread_mutex_unlock(mutex);
}

/* A wait gives the lock back and takes it again. */
int pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex)
{
    given_back(mutex);
    int error = real_pthread_cond_wait(condition, mutex);
    taken(mutex, site_of(__builtin_return_address(0)));
    return error;
}

int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *until)
{
    given_back(mutex);
    int error = real_pthread_cond_timedwait(condition, mutex, until);
    taken(mutex, site_of(__builtin_return_address(0)));
    return error;
}

int epoll_wait(int poller, struct epoll_event *events, int most, int timeout_ms)
{
    int count = real_epoll_wait(poller, events, most, timeout_ms);
    add(&watch->turns, 1);
    if (count > 0)
        add(&watch->events, (uint64_t)count);
    return count;
}
