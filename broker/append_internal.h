/* What the two ways of an append share: append.c on the loop, append_queue.c through a worker. */
#ifndef RUNNEL_BROKER_APPEND_INTERNAL_H
#define RUNNEL_BROKER_APPEND_INTERNAL_H

#include "broker/append.h"
#include "broker/work.h"

/* When an append begins; then when it has ended, which is when the next one begins. */
struct append_clock {
    int64_t wall_ms;
    int64_t mono_ns;
};

/* One log_append() of count appends from first on, all of one leader epoch. batches and results are scratch,
 * with room for as many. Loop or worker. */
enum log_status append__run(struct server *server, struct log *log, struct append_clock *now,
                            struct append *first, size_t count, struct batch_view *batches,
                            struct log_append_result *results);
/* Tells the request, which resumes when this was its last append. On its loop; the append may be gone then.
 */
void append__deliver(struct append *append);

/* append_queue.c: hands the append to a worker; its bytes outlive the turn, and stay with the request. */
void append__queue(struct append *append, struct workers *workers);

#endif
