/* Was each record read by somebody, and was no partition held by two? */
#include "tests/support/churn_judge.h"

#include "protocol/base/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

void churn_log_add(struct churn_log *log, const struct churn_event *event)
{
    if (log->count == log->capacity) {
        log->capacity = log->capacity ? 2 * log->capacity : 4096;
        log->events = check_memory(realloc(log->events, (size_t)log->capacity * sizeof *log->events));
    }
    log->events[log->count++] = *event;
}

void churn_log_free(struct churn_log *log)
{
    free(log->events);
    *log = (struct churn_log){ 0 };
}

int64_t churn_unread(const struct churn_log *log, int partitions, const int64_t ends[], int but_for)
{
    int64_t unread = 0;
    bool **seen = check_memory(calloc((size_t)partitions, sizeof *seen));
    for (int p = 0; p < partitions; p++)
        seen[p] = check_memory(calloc((size_t)ends[p] + 1, sizeof **seen));
    for (int64_t i = 0; i < log->count; i++) {
        const struct churn_event *event = &log->events[i];
        if (event->type != CHURN_READ || event->member == but_for)
            continue;
        for (int64_t offset = event->first; offset < event->next && offset < ends[event->partition]; offset++)
            seen[event->partition][offset] = true;
    }
    for (int p = 0; p < partitions; p++) {
        for (int64_t offset = 0; offset < ends[p]; offset++)
            unread += !seen[p][offset];
        free(seen[p]);
    }
    free(seen);
    return unread;
}

static int by_time(const void *left, const void *right)
{
    const struct churn_event *a = left, *b = right;
    if (a->at_ns != b->at_ns)
        return a->at_ns < b->at_ns ? -1 : 1;
    return (a->member > b->member) - (a->member < b->member);
}

/* Who holds a partition, and since which event. */
struct hold {
    int32_t member; /* -1: nobody */
    int64_t since;
};

/* Holds that end in expulsion ended at a time that the member does not know: marks where they begin. */
static bool *expelled_holds(const struct churn_log *log, int64_t *count)
{
    bool *expelled = check_memory(calloc((size_t)log->count + 1, sizeof *expelled));
    for (int64_t i = 0; i < log->count; i++) {
        const struct churn_event *end = &log->events[i];
        if (end->type != CHURN_REVOKED || !end->error)
            continue;
        for (int64_t start = i - 1; start >= 0; start--) {
            const struct churn_event *event = &log->events[start];
            if (event->member == end->member && event->partition == end->partition &&
                event->type == CHURN_ASSIGNED) {
                expelled[start] = true;
                *count += 1;
                break;
            }
        }
    }
    return expelled;
}

static void let_go(struct hold *holds, int partitions, const struct churn_event *event)
{
    for (int p = 0; p < partitions; p++)
        if (holds[p].member == event->member && (event->partition < 0 || event->partition == p))
            holds[p].member = -1;
}

/* The last taking before this one in the same generation, by somebody else. */
static bool is_second_in_generation(const struct churn_log *log, int64_t at)
{
    const struct churn_event *taking = &log->events[at];
    for (int64_t i = at - 1; i >= 0; i--) {
        const struct churn_event *event = &log->events[i];
        if (event->type != CHURN_ASSIGNED || event->partition != taking->partition || event->generation < 0)
            continue;
        return event->generation == taking->generation && event->identity != taking->identity;
    }
    return false;
}

/* What the two members said of it in the time around. */
static void tell_doubled(const struct churn_log *log, const struct churn_event *taking,
                         const struct churn_event *hold)
{
    printf("partition %d was taken by member %d while member %d held it:\n", taking->partition,
           taking->member, hold->member);
    for (int64_t i = 0; i < log->count; i++) {
        const struct churn_event *event = &log->events[i];
        bool is_theirs = event->member == taking->member || event->member == hold->member;
        if (is_theirs && event->type != CHURN_READ && event->at_ns > hold->at_ns - 5000000000 &&
            event->at_ns < taking->at_ns + 5000000000 &&
            (event->partition == taking->partition || event->partition == -1))
            printf("  %" PRId64 " us: member %d, event %d, generation %d, next %" PRId64 ", error %d\n",
                   (event->at_ns - taking->at_ns) / 1000, event->member, event->type, event->generation,
                   event->next, event->error);
    }
}

struct churn_ownership churn_judge_owners(struct churn_log *log, int partitions, bool has_generations,
                                          bool deaf)
{
    struct churn_ownership found = { 0 };
    struct hold *holds = check_memory(calloc((size_t)partitions, sizeof *holds));
    qsort(log->events, (size_t)log->count, sizeof *log->events, by_time);
    bool *expelled = expelled_holds(log, &found.expelled);
    for (int p = 0; p < partitions; p++)
        holds[p].member = -1;
    for (int64_t i = 0; i < log->count; i++) {
        const struct churn_event *event = &log->events[i];
        if (event->type == CHURN_ASSIGNED) {
            struct hold *hold = &holds[event->partition];
            found.takings++;
            if (hold->member >= 0 && hold->member != event->member && !expelled[hold->since]) {
                found.doubled++;
                if (!deaf)
                    tell_doubled(log, event, &log->events[hold->since]);
            }
            if (has_generations && event->generation >= 0)
                found.in_one_generation += is_second_in_generation(log, i);
            *hold = (struct hold){ event->member, i };
        } else if (event->type == CHURN_COMMITTED) {
            const struct hold *hold = &holds[event->partition];
            found.intruded += !event->error && hold->member >= 0 && hold->member != event->member &&
                              !expelled[hold->since] && log->events[hold->since].at_ns < event->first;
        } else if (event->type != CHURN_READ && event->type != CHURN_COMMITTED &&
                   event->type != CHURN_STOPPING) {
            if (!deaf)
                let_go(holds, partitions, event);
        }
    }
    free(expelled);
    free(holds);
    return found;
}
