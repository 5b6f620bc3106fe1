/* An event loop: one thread, one libev loop, the connections that live on it for ever. */
#ifndef RUNNEL_BROKER_LOOP_H
#define RUNNEL_BROKER_LOOP_H

#include "broker/append.h"
#include "broker/mail.h"
#include "protocol/base/budget.h"

enum { LOOPS_MAX = 64, RECEIVE_BUFFER_SIZE = 256 * 1024 };

struct server;
struct loop;

/* index < count <= LOOPS_MAX, the loops of the server; the loop joins its retire domain on its own thread. */
struct loop *loop_create(struct server *server, unsigned index, unsigned count);
void loop_destroy(struct loop *loop);
/* Runs until loop_stop(); the caller's thread is the loop's. */
void loop_run(struct loop *loop);
/* One turn without waiting: ready connections, mail, due timers, end of turn. For simulations. */
void loop_turn(struct loop *loop);
/* Any thread. */
void loop_stop(struct loop *loop);
/* Any thread; wakes the loop at most once a turn. Takes mail. */
void loop_post(struct loop *loop, struct loop_mail *mail);

/* Watched partitions moved: called by whoever raised their offsets. Any thread. */
void loop_partition_progress(struct loop *loop, struct partition *const *partitions, size_t count);

/* On a loop's thread: the flusher is woken once the appends that the loop has at hand are made, so that one group
 * has them all, and finds none of their logs locked. False on other threads: the caller wakes it. */
bool loop_wants_flush(const struct server *server);

struct appender *loop_appender(struct loop *loop);
struct budget_share *loop_budget(struct loop *loop);
unsigned loop_index(const struct loop *loop);
struct server *loop_server(const struct loop *loop);

#endif
