/* Making and unmaking the run-time side of a partition. */
#include "broker/partition.h"

#include <string.h>

#include "protocol/base/check.h"

void partition_init(struct partition *partition, uuid topic_id, int32_t index)
{
    memset(partition, 0, sizeof *partition);
    partition->topic_id = topic_id;
    partition->index = index;
    check(pthread_mutex_init(&partition->append_queue.mutex, NULL) == 0);
}

void partition_destroy(struct partition *partition)
{
    check(partition->append_queue.first == NULL);
    pthread_mutex_destroy(&partition->append_queue.mutex);
}
