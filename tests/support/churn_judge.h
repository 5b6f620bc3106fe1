/* What members of a group did, in the order in which they told it, and the judgement of that. */
#ifndef RUNNEL_TESTS_SUPPORT_CHURN_JUDGE_H
#define RUNNEL_TESTS_SUPPORT_CHURN_JUDGE_H

#include "tests/support/churn_member.h"

#include <stdbool.h>
#include <stdint.h>

struct churn_log {
    struct churn_event *events;
    int64_t count;
    int64_t capacity;
};

void churn_log_add(struct churn_log *log, const struct churn_event *event);
void churn_log_free(struct churn_log *log);

/* Records below ends[partition] that no member has read; but_for: a member whose reading does not count, -1:
 * none. */
int64_t churn_unread(const struct churn_log *log, int partitions, const int64_t ends[], int but_for);

struct churn_ownership {
    int64_t takings;  /* a partition was assigned to a member */
    int64_t doubled;  /* of these: while another member held it, who was neither dead, paused nor expelled */
    int64_t intruded; /* commits that were taken, begun while another member held the partition already */
    int64_t in_one_generation; /* of these: to a second member in one generation */
    int64_t
        expelled; /* holds that ended with the member being told that it had lost them; these judge nobody */
};

/* deaf: as if nobody ever gave anything back, or ended, for a control. has_generations: a generation is that
 * of the whole group (classic), not a member's epoch. */
struct churn_ownership churn_judge_owners(struct churn_log *log, int partitions, bool has_generations,
                                          bool deaf);

#endif
