/* Whether a device makes appends wait: then those to its log directory run on workers, so that no loop does.
 */
#ifndef RUNNEL_BROKER_SLOW_DEVICE_H
#define RUNNEL_BROKER_SLOW_DEVICE_H

#include "broker/server.h"

/* Of one log directory. */
struct slow_device {
    /* 0: not slow. Else appends run on workers, until one of them is quick at this time of the monotonic
     * clock or later. */
    _Atomic int64_t until_ms;
    _Atomic int64_t flush_late_ns; /* the flush under way is late from then on; 0: there is none */
};

/* Whether an append to the log may block: on a loop it is not to be tried then. Any thread. */
bool slow_device_is_feared(const struct server *server, const struct log *log);

/* Around each append, on a loop or a worker, with nothing else in between. */
struct slow_device_watch {
    struct slow_device *device;
    int64_t since_ns;
    long sleep_count;
};
struct slow_device_watch slow_device_watch_begin(const struct server *server, const struct log *log,
                                                 int64_t now_ns);
/* One that waited makes all of its directory go to workers (whether it did is asked from the second slow one
 * on, or where it took very long); there the first one that has written (status) and did not wait, a second
 * later or more, ends that. Returns the time, which is that of the next begin where another append follows at
 * once. */
int64_t slow_device_watch_end(const struct server *server, const struct slow_device_watch *watch,
                              enum log_status status);

/* A flush of that directory begins or has ended, of so many bytes about. One that takes long for its size
 * says that the device is slow before any append has tried it, for as long as it takes. The flusher's thread.
 */
void slow_device_flushing(struct server *server, size_t directory, bool begins, uint64_t size);

#endif
