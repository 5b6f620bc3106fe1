/* Whether the device makes appends wait: then they run on workers, so that no loop does. */
#ifndef RUNNEL_BROKER_SLOW_DEVICE_H
#define RUNNEL_BROKER_SLOW_DEVICE_H

#include "broker/server.h"

/* Whether an append may block: on a loop it is not to be tried then. Any thread. */
bool slow_device_is_feared(const struct server *server);

/* Around each append, on a loop or a worker, with nothing else in between. */
struct slow_device_watch {
    int64_t since_ns;
    long sleep_count;
};
struct slow_device_watch slow_device_watch_begin(const struct server *server);
/* One that waited makes all of them go to workers (whether it did is asked from the second slow one on, or
 * where it took very long); there the first one that has written (status) and did not wait, a second later or
 * more, ends that. */
void slow_device_watch_end(struct server *server, const struct slow_device_watch *watch,
                           enum log_status status);

#endif
