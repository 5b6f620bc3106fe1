/* Tells every loop that partitions are deleted, and lets go of them when all have heard it. */
#include "broker/farewell.h"

#include <stdlib.h>

#include "broker/loop_internal.h"
#include "protocol/base/check.h"

struct farewell;

struct farewell_mail {
    struct loop_mail mail; /* first */
    struct farewell *farewell;
};

struct farewell {
    atomic_uint loops_left;
    struct partition *partitions;
    struct farewell_mail mails[];
};

static void release_all(struct partition *partition)
{
    for (struct partition *next; partition; partition = next) {
        next = partition->next_deleted;
        partition_release(partition);
    }
}

static void deliver(struct loop_mail *mail, struct loop *loop)
{
    struct farewell *farewell = ((struct farewell_mail *)mail)->farewell;
    for (const struct partition *it = farewell->partitions; it; it = it->next_deleted)
        purgatory_end_watches(&loop->purgatory, it);
    if (atomic_fetch_sub_explicit(&farewell->loops_left, 1, memory_order_acq_rel) > 1)
        return;
    release_all(farewell->partitions);
    free(farewell);
}

void farewell_send(struct loop *const *loops, unsigned loop_count, struct partition *partitions)
{
    if (loop_count == 0) {
        release_all(partitions);
        return;
    }
    struct farewell *farewell =
        check_memory(malloc(sizeof *farewell + loop_count * sizeof farewell->mails[0]));
    atomic_init(&farewell->loops_left, loop_count);
    farewell->partitions = partitions;
    for (unsigned i = 0; i < loop_count; i++)
        farewell->mails[i] = (struct farewell_mail){ .mail.deliver = deliver, .farewell = farewell };
    /* The last loop may free it before this one has gone round: nothing of it is read after its own post. */
    for (unsigned i = 0; i < loop_count; i++)
        loop_post(loops[i], &farewell->mails[i].mail);
}
