/* A request's place in the machinery: its connection's order, its waits, its reply. */
#ifndef RUNNEL_BROKER_REQUEST_LINK_H
#define RUNNEL_BROKER_REQUEST_LINK_H

#include "broker/dispatch.h"
#include "broker/mail.h"
#include "broker/request.h"
#include "broker/timer.h"
#include "broker/work.h"
#include "protocol/base/chain.h"

enum request_phase {
    REQUEST_RUNNING, /* its handler is on the stack */
    REQUEST_WAIT,
    REQUEST_BUSY,
    REQUEST_DONE,  /* the reply is ready */
    REQUEST_CLOSE, /* the connection closes when all earlier replies have left */
    REQUEST_OVER,  /* no longer its connection's; kept by holds */
};

struct request_link {
    struct request *previous; /* the connection's, in order of arrival */
    struct request *next;     /* the same; the loop's list of spares */
    const struct api_row *api;
    enum request_phase phase;
    unsigned hold_count;
    unsigned wakes;  /* a bit per enum wake */
    bool is_woken;   /* in the loop's list */
    bool is_counted; /* its slot and first page count in the loop's budget */
    struct request *woken_next;
    struct timer deadline;
    struct watch *watches;
    void (*work_fn)(struct request *); /* asked for by the handler, submitted after it returned */
    bool is_reading;                   /* it changes no file: it need not wait behind those that do */
    bool is_working;                   /* it was submitted, and is not back */
    struct files_waiter *waits;        /* work_fn asked to run again when this one is woken */
    struct work work;
    struct loop_mail work_done;
    struct budget_share work_share; /* the arena's while a worker has the request */
    struct chain reply;
    size_t sent_parts; /* of the reply, whole ones */
    size_t sent_size;  /* of the part that comes next */
};

/* Both in one piece of memory, pooled by the loop. */
struct request_slot {
    struct request request;
    struct request_link link;
};

/* A fresh request of conn, at the end of its order. NULL: no memory, or the budget is used up. */
struct request *request_acquire(struct conn *conn);
/* Takes the request out of its connection's order; frees it when nobody holds it. */
void request_drop(struct request *rq);
/* Acts on what a handler or its resume answered. */
void request_handled(struct request *rq, enum handled handled);
/* Resumes what was woken, until nobody is. */
void request_run_woken(struct loop *loop);
/* Whether later requests of the connection have to wait for this one. */
bool request_is_blocking(const struct request *rq);
/* Frees the loop's spares. */
void request_trim(struct loop *loop);

#endif
