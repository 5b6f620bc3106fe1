/* Notices that the device makes appends wait, and that it has ended. */
#include "broker/slow_device.h"

#include <sys/resource.h>

/* An append slower than this says that the device is slow; for so long a quick one proves nothing. */
enum { SLOW_APPEND_NS = 20 * 1000 * 1000, SLOW_DEVICE_MS = 1000 };

/* Time alone ends nothing: whoever tried it on a loop would wait for a device that is slow still. */
bool slow_device_is_feared(const struct server *server)
{
    return atomic_load_explicit(&server->slow_device_until_ms, memory_order_relaxed) != 0;
}

/* How often this thread has slept in a system call so far. */
static long sleep_count(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_THREAD, &usage) == 0 ? usage.ru_nvcsw : 0;
}

struct slow_device_watch slow_device_watch_begin(const struct server *server)
{
    return (struct slow_device_watch){ .since_ns = clock_mono_ns(server->clock),
                                       .sleep_count = sleep_count() };
}

void slow_device_watch_end(struct server *server, const struct slow_device_watch *watch,
                           enum log_status status)
{
    int64_t now_ns = clock_mono_ns(server->clock), now_ms = now_ns / 1000000;
    int64_t until_ms = atomic_load_explicit(&server->slow_device_until_ms, memory_order_relaxed);
    bool took_long = now_ns - watch->since_ns > SLOW_APPEND_NS;
    /* Who waits for a device sleeps; a thread that was only kept off its core says nothing about the device.
     */
    if (took_long && sleep_count() > watch->sleep_count)
        atomic_store_explicit(&server->slow_device_until_ms, now_ms + SLOW_DEVICE_MS, memory_order_relaxed);
    else if (!took_long && status == LOG_OK && until_ms != 0 && now_ms >= until_ms)
        atomic_compare_exchange_strong(&server->slow_device_until_ms, &until_ms, 0);
}
