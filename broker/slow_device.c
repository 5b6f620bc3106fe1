/* Notices that a device makes appends wait, and that it has ended. */
#include "broker/slow_device.h"

#include <sys/resource.h>

enum {
    /* An append slower than this says that the device is slow; for so long a quick one proves nothing. */
    SLOW_APPEND_NS = 20 * 1000 * 1000,
    SLOW_DEVICE_MS = 1000,
    /* A flush may well take as long as a turning disk needs for some; one that takes longer is held up. */
    SLOW_FLUSH_NS = 50 * 1000 * 1000,
};

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
    int64_t since_ns = atomic_load_explicit(&device->flush_since_ns, memory_order_relaxed);
    return since_ns != 0 && clock_mono_ns(server->clock) - since_ns > SLOW_FLUSH_NS;
}

/* How often this thread has slept in a system call so far. */
static long sleep_count(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_THREAD, &usage) == 0 ? usage.ru_nvcsw : 0;
}

struct slow_device_watch slow_device_watch_begin(const struct server *server, const struct log *log)
{
    return (struct slow_device_watch){ .device = device_of(server, log),
                                       .since_ns = clock_mono_ns(server->clock),
                                       .sleep_count = sleep_count() };
}

void slow_device_watch_end(const struct server *server, const struct slow_device_watch *watch,
                           enum log_status status)
{
    _Atomic int64_t *until = &watch->device->until_ms;
    int64_t now_ns = clock_mono_ns(server->clock), now_ms = now_ns / 1000000;
    int64_t until_ms = atomic_load_explicit(until, memory_order_relaxed);
    bool took_long = now_ns - watch->since_ns > SLOW_APPEND_NS;
    /* Who waits for a device sleeps; a thread that was only kept off its core says nothing about the device.
     */
    if (took_long && sleep_count() > watch->sleep_count)
        atomic_store_explicit(until, now_ms + SLOW_DEVICE_MS, memory_order_relaxed);
    else if (!took_long && status == LOG_OK && until_ms != 0 && now_ms >= until_ms)
        atomic_compare_exchange_strong(until, &until_ms, 0);
}

void slow_device_flushing(struct server *server, size_t directory, bool begins)
{
    int64_t since_ns = begins ? clock_mono_ns(server->clock) : 0;
    atomic_store_explicit(&server->slow_devices[directory].flush_since_ns, since_ns, memory_order_relaxed);
}
