/* A member of a group as a process of its own, which tells what it does over a pipe and can so be killed and
 * stopped. */
#ifndef RUNNEL_TESTS_SUPPORT_CHURN_MEMBER_H
#define RUNNEL_TESTS_SUPPORT_CHURN_MEMBER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum churn_event_type {
    CHURN_ASSIGNED,  /* partition, generation: it may read the partition from now on */
    CHURN_REVOKED,   /* partition: it does not any more; error 1: it was told that it lost it before */
    CHURN_READ,      /* partition, first, next: it has read these records */
    CHURN_COMMITTED, /* partition, next, error: what became of a commit; first: the time in ns when it began
                      */
    CHURN_STOPPING,  /* partition, next: it has read up to there, stops, and will commit when it goes on */
    CHURN_CLOSED,    /* it left; error: of the library, when it could not go on */
    /* What whoever steers the members adds: nothing that they hold counts from then on. */
    CHURN_PAUSED,
    CHURN_KILLED,
};

/* Written at once, so that a kill leaves whole events; smaller than PIPE_BUF. */
struct churn_event {
    int64_t at_ns; /* of the monotonic clock, which all processes share */
    int64_t first;
    int64_t next;
    int32_t type;
    int32_t member;
    int32_t partition;
    int32_t generation; /* or member epoch; -1: none */
    int32_t error;      /* rd_kafka_resp_err_t */
    int32_t identity;   /* the same for members that had one group.instance.id after each other */
};

struct churn_member_settings {
    int number;
    const char *bootstrap;
    const char *group;
    const char *topic;
    const char *protocol; /* eager, cooperative (both classic), or consumer (KIP-848) */
    const char *instance; /* NULL: dynamic; ends with a number: the identity */
    int session_timeout_ms;
};

/* Starts this program anew as a member, whose events go to event_fd. It dies with the thread that started it.
 * SIGTERM lets it leave; SIGUSR1 lets it stop itself (SIGSTOP) once it has read something and not committed
 * it. */
pid_t churn_member_start(const struct churn_member_settings *settings, int event_fd);

/* Does the error of a commit say that the member is none any more? */
bool churn_is_fenced(int error);

/* To be called first in main(): where the process was started as a member, it is one, and this does not
 * return. */
void churn_member_main(int argument_count, char **arguments);

#endif
