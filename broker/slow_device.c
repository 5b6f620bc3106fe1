/* Notices that a device makes appends wait, and that it has ended. */
#include "broker/slow_device.h"

#include <sys/resource.h>

enum {
    /* An append slower than this says that the device is slow; for so long a quick one proves nothing. */
    SLOW_APPEND_NS = 20 * 1000 * 1000,
    SLOW_DEVICE_MS = 1000,
    /* So slow it need not be asked why: nobody is kept off a core for so long but on a machine that stands
     * still. */
    VERY_SLOW_APPEND_NS = 200 * 1000 * 1000,
    /* A flush may well take as long as a turning disk needs for some, and 100 MB/s for its bytes; one that
     * takes longer is held up. */
    SLOW_FLUSH_NS = 50 * 1000 * 1000,
    SLOW_FLUSH_NS_PER_BYTE = 10,
};

/* Set by a slow append of this thread until appends have been quick for a while: then the next ones are asked
 * whether they slept. To ask each append would cost a system call, of the five that a small one takes. */
static _Thread_local int64_t suspected_until_ns;
enum { NOT_ASKED = -1 };

static struct slow_device *device_of(const struct server *server, const struct log *log)
{
    return &server->slow_devices[store_directory_of(log)];
}

/* Time alone ends nothing: whoever tried it on a loop would wait for a device that is slow still. */
bool slow_device_is_feared(const struct server *server, const struct log *log)
{
    const struct slow_device *device = device_of(server, log);
    if (atomic_load_explicit(&device->until_ms, memory_order_relaxed) != 0)
        return true;
    int64_t late_ns = atomic_load_explicit(&device->flush_late_ns, memory_order_relaxed);
    return late_ns != 0 && clock_mono_ns(server->clock) > late_ns;
}

/* How often this thread has slept in a system call so far. */
static long sleep_count(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_THREAD, &usage) == 0 ? usage.ru_nvcsw : 0;
}

struct slow_device_watch slow_device_watch_begin(const struct server *server, const struct log *log,
                                                 int64_t now_ns)
{
    return (struct slow_device_watch){ .device = device_of(server, log),
                                       .since_ns = now_ns,
                                       .sleep_count = suspected_until_ns != 0 ? sleep_count() : NOT_ASKED };
}

/* Who waits for a device sleeps; a thread that was only kept off its core says nothing about the device. */
static bool has_waited(const struct slow_device_watch *watch, int64_t now_ns)
{
    if (watch->sleep_count == NOT_ASKED)
        return now_ns - watch->since_ns > VERY_SLOW_APPEND_NS;
    return sleep_count() > watch->sleep_count;
}

int64_t slow_device_watch_end(const struct server *server, const struct slow_device_watch *watch,
                              enum log_status status)
{
    _Atomic int64_t *until = &watch->device->until_ms;
    int64_t now_ns = clock_mono_ns(server->clock), now_ms = now_ns / 1000000;
    int64_t until_ms = atomic_load_explicit(until, memory_order_relaxed);
    bool took_long = now_ns - watch->since_ns > SLOW_APPEND_NS;
    if (took_long)
        suspected_until_ns = now_ns + SLOW_DEVICE_MS * INT64_C(1000000);
    else if (now_ns >= suspected_until_ns)
        suspected_until_ns = 0;
    if (took_long && has_waited(watch, now_ns))
        atomic_store_explicit(until, now_ms + SLOW_DEVICE_MS, memory_order_relaxed);
    else if (!took_long && status == LOG_OK && until_ms != 0 && now_ms >= until_ms)
        atomic_compare_exchange_strong(until, &until_ms, 0);
    return now_ns;
}

void slow_device_flushing(struct server *server, size_t directory, bool begins, uint64_t size)
{
    int64_t late_ns = 0;
    if (begins)
        late_ns = clock_mono_ns(server->clock) + SLOW_FLUSH_NS + (int64_t)size * SLOW_FLUSH_NS_PER_BYTE;
    atomic_store_explicit(&server->slow_devices[directory].flush_late_ns, late_ns, memory_order_relaxed);
}
