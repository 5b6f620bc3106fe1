/* Groups the appends of a loop turn by log, runs them, and hands on what must block (append_queue.c). */
#include <stdlib.h>

#include "broker/append_internal.h"
#include "broker/conn.h"
#include "broker/loop.h"
#include "broker/server.h"
#include "broker/slow_device.h"
#include "protocol/base/check.h"

/* The appends of one partition in this turn, in order. */
struct group {
    struct partition *partition;
    struct append *first;
    struct append *last;
    size_t count;
};

struct appender {
    struct loop *loop;
    struct group *groups; /* in order of first use; kept between turns */
    size_t group_count;
    size_t group_capacity;
    uint32_t *slots;            /* hash of partition -> index of group + 1; 0: free */
    size_t slot_count;          /* a power of two, at least twice group_capacity */
    struct batch_view *batches; /* scratch of one log_append() */
    struct log_append_result *results;
    size_t scratch_capacity;
    bool running;
};

enum { GROUPS_AT_FIRST = 16 };

struct appender *appender_create(struct loop *loop)
{
    struct appender *appender = check_memory(calloc(1, sizeof *appender));
    appender->loop = loop;
    return appender;
}

void appender_destroy(struct appender *appender)
{
    check(appender->group_count == 0);
    free(appender->groups);
    free(appender->slots);
    free(appender->batches);
    free(appender->results);
    free(appender);
}

bool appender_holds_bytes(const struct appender *appender)
{
    return appender->group_count > 0;
}

static size_t slot_of(const struct appender *appender, const struct partition *partition)
{
    uint64_t hash = (uint64_t)(uintptr_t)partition * UINT64_C(0x9e3779b97f4a7c15);
    size_t slot = (size_t)(hash >> 32) & (appender->slot_count - 1);
    while (appender->slots[slot] != 0 && appender->groups[appender->slots[slot] - 1].partition != partition)
        slot = (slot + 1) & (appender->slot_count - 1);
    return slot;
}

static void grow_groups(struct appender *appender)
{
    size_t capacity = appender->group_capacity ? 2 * appender->group_capacity : GROUPS_AT_FIRST;
    appender->groups = check_memory(realloc(appender->groups, capacity * sizeof *appender->groups));
    appender->group_capacity = capacity;
    free(appender->slots);
    appender->slot_count = 2 * capacity;
    appender->slots = check_memory(calloc(appender->slot_count, sizeof *appender->slots));
    for (size_t i = 0; i < appender->group_count; i++)
        appender->slots[slot_of(appender, appender->groups[i].partition)] = (uint32_t)i + 1;
}

void appender_add(struct appender *appender, struct append *append)
{
    rq_hold(append->rq);
    append->rq->appends_pending++;
    append->rq->conn->append_count++;
    append->next = NULL;
    append->result = (struct log_append_result){
        .status = LOG_OK, .base_offset = -1, .last_offset = -1, .append_time_ms = -1
    };
    if (appender->group_count == appender->group_capacity)
        grow_groups(appender);
    size_t slot = slot_of(appender, append->partition);
    if (appender->slots[slot] == 0) {
        appender->groups[appender->group_count++] = (struct group){ .partition = append->partition };
        appender->slots[slot] = (uint32_t)appender->group_count;
    }
    struct group *group = &appender->groups[appender->slots[slot] - 1];
    if (group->last)
        group->last->next = append;
    else
        group->first = append;
    group->last = append;
    group->count++;
}

void append__deliver(struct append *append)
{
    struct request *rq = append->rq;
    check(rq->appends_pending > 0);
    if (rq->conn)
        rq->conn->append_count--;
    if (--rq->appends_pending == 0)
        rq_wake(rq, WAKE_APPENDED);
    rq_release(rq);
}

enum log_status append__run(struct server *server, struct log *log, struct append_clock *now,
                            struct append *first, size_t count, struct batch_view *batches,
                            struct log_append_result *results)
{
    size_t i = 0;
    for (struct append *a = first; i < count; a = a->next, i++) {
        batches[i] = a->batch;
        results[i] = a->result;
    }
    struct slow_device_watch watch = slow_device_watch_begin(server, log, now->mono_ns);
    enum log_status status = log_append(log, batches, count, first->leader_epoch, now->wall_ms, results);
    now->mono_ns = slow_device_watch_end(server, &watch, status);
    i = 0;
    for (struct append *a = first; i < count; a = a->next, i++) {
        a->result = results[i];
        if (status != LOG_OK) {
            a->result.status = status;
            a->result.base_offset = -1;
        }
    }
    return status;
}

static void reserve_scratch(struct appender *appender, size_t count)
{
    if (count <= appender->scratch_capacity)
        return;
    size_t capacity = appender->scratch_capacity ? appender->scratch_capacity : 64;
    while (capacity < count)
        capacity *= 2;
    appender->batches = check_memory(realloc(appender->batches, capacity * sizeof *appender->batches));
    appender->results = check_memory(realloc(appender->results, capacity * sizeof *appender->results));
    appender->scratch_capacity = capacity;
}

static bool must_queue(struct appender *appender, const struct partition *partition)
{
    return atomic_load_explicit(&partition->append_queue.is_active, memory_order_acquire) ||
           slow_device_is_feared(loop_server(appender->loop), partition->log);
}

static void deliver_or_queue(struct append *first, size_t count, struct workers *workers)
{
    struct append *next;
    for (struct append *append = first; count > 0; append = next, count--) {
        next = append->next;
        if (append->result.status == LOG_BUSY)
            append__queue(append, workers);
        else
            append__deliver(append);
    }
}

static void run_group(struct appender *appender, struct group *group, struct append_clock *now)
{
    struct server *server = loop_server(appender->loop);
    struct append *append = group->first;
    while (append) {
        size_t count = 0;
        struct append *end = append;
        while (end && end->leader_epoch == append->leader_epoch) {
            end = end->next;
            count++;
        }
        if (must_queue(appender, group->partition)) {
            size_t i = 0;
            for (struct append *a = append; i < count; a = a->next, i++)
                a->result.status = LOG_BUSY;
        } else {
            reserve_scratch(appender, count);
            now->wall_ms = append->rq->now_ms;
            append__run(server, group->partition->log, now, append, count, appender->batches,
                        appender->results);
        }
        deliver_or_queue(append, count, server->append_workers);
        append = end;
    }
}

/* Delivering wakes requests, and what these add in their turn belongs to the next round: so the groups are
 * taken first. */
void appender_run(struct appender *appender)
{
    if (appender->running)
        return;
    if (appender->group_count == 0)
        return;
    struct append_clock now = { 0, clock_mono_ns(loop_server(appender->loop)->clock) };
    appender->running = true;
    while (appender->group_count > 0) {
        struct group *groups = appender->groups;
        size_t group_count = appender->group_count;
        appender->groups = NULL;
        appender->group_count = 0;
        appender->group_capacity = 0;
        for (size_t i = 0; i < group_count; i++) {
            struct partition *moved = groups[i].partition;
            run_group(appender, &groups[i], &now);
            server_partition_progress(loop_server(appender->loop), &moved, 1);
        }
        if (!appender->groups) {
            appender->groups = groups;
            appender->group_capacity = appender->slot_count / 2;
            memset(appender->slots, 0, appender->slot_count * sizeof *appender->slots);
        } else {
            free(groups);
        }
    }
    appender->running = false;
}
