/* Making and unmaking the run-time side of a partition. */
#include "broker/partition.h"

#include <stdlib.h>

#include "protocol/base/check.h"
#include "protocol/base/retire.h"

struct partition *partition_create(struct retire *retire, uuid topic_id, int32_t index)
{
    struct partition *partition = calloc(1, sizeof *partition);
    if (!partition)
        return NULL;
    partition->topic_id = topic_id;
    partition->index = index;
    partition->retire = retire;
    atomic_init(&partition->hold_count, 1);
    check(pthread_mutex_init(&partition->append_queue.mutex, NULL) == 0);
    return partition;
}

void partition_destroy(struct partition *partition)
{
    check(partition->append_queue.first == NULL);
    pthread_mutex_destroy(&partition->append_queue.mutex);
    free(partition);
}

static void partition_free(void *partition)
{
    partition_destroy(partition);
}

void partition_hold(struct partition *partition)
{
    unsigned before = atomic_fetch_add_explicit(&partition->hold_count, 1, memory_order_relaxed);
    check(before > 0);
}

void partition_release(struct partition *partition)
{
    if (atomic_fetch_sub_explicit(&partition->hold_count, 1, memory_order_acq_rel) == 1)
        retire(partition->retire, partition, partition_free);
}
