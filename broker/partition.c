/* Making and unmaking the run-time side of a partition. */
#include "broker/partition.h"

#include <stddef.h>
#include <stdlib.h>

#include "protocol/base/check.h"
#include "protocol/base/retire.h"
#include "storage/store.h"

static void release(struct pin *pin);

struct partition *partition_create(struct retire *retire, uuid topic_id, int32_t index)
{
    struct partition *partition = calloc(1, sizeof *partition);
    if (!partition)
        return NULL;
    partition->topic_id = topic_id;
    partition->index = index;
    partition->retire = retire;
    pin_init(&partition->pin, release);
    return partition;
}

void partition_destroy(struct partition *partition)
{
    check(partition->append_queue.first == NULL);
    free(partition);
}

static void free_deleted(void *object)
{
    struct partition *partition = object;
    if (partition->log)
        store_free_log(partition->log);
    partition_destroy(partition);
}

static void release(struct pin *pin)
{
    struct partition *partition = (struct partition *)((char *)pin - offsetof(struct partition, pin));
    retire(partition->retire, partition, free_deleted);
}

void partition_hold(struct partition *partition)
{
    pin_take(&partition->pin);
}

void partition_release(struct partition *partition)
{
    pin_drop(&partition->pin);
}
