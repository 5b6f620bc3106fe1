/* Finds the shard of a key, makes shards as partitions appear, gives those up whose partition is gone. */
#include "broker/coordinator/coordinator.h"

#include <stdlib.h>

#include "broker/coordinator/shard_internal.h"
#include "protocol/base/check.h"

struct coordinator {
    struct server *server;
    const struct shard_kind *kind;
    pthread_mutex_t mutex;
    struct shard **shards; /* by partition; NULL: not asked for yet */
    int32_t count;
    struct shard **old; /* of partitions that are gone; ops may still refer to them */
    size_t old_count;
    bool is_stopped;
};

/* -- which partition ------------------------------------------------------------------------------- */

/* String.hashCode() of Java, which counts UTF-16 units; characters outside the basic plane have two. */
static uint32_t java_hash(slice text)
{
    uint32_t hash = 0;
    size_t i = 0;
    while (i < text.size) {
        uint32_t c = text.data[i++];
        int more = c < 0x80 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
        c = more == 0 ? c : c & (0x3fu >> more);
        for (; more > 0 && i < text.size; more--)
            c = c << 6 | (text.data[i++] & 0x3fu);
        if (c >= 0x10000) {
            hash = 31 * hash + (0xd800 + ((c - 0x10000) >> 10));
            c = 0xdc00 + ((c - 0x10000) & 0x3ff);
        }
        hash = 31 * hash + c;
    }
    return hash;
}

int32_t coordinator_partition_of(slice key, int32_t count)
{
    uint32_t hash = java_hash(key);
    uint32_t absolute = hash == 0x80000000u ? 0 : (int32_t)hash < 0 ? 0 - hash : hash;
    return (int32_t)(absolute % (uint32_t)count);
}

/* -- life ------------------------------------------------------------------------------------------- */

struct coordinator *coordinator_create(struct server *server, const struct shard_kind *kind)
{
    struct coordinator *coordinator = check_memory(calloc(1, sizeof *coordinator));
    coordinator->server = server;
    coordinator->kind = kind;
    check(pthread_mutex_init(&coordinator->mutex, NULL) == 0);
    return coordinator;
}

static const struct topic *find_topic(const struct coordinator *coordinator, const struct image *image)
{
    return image_topic_by_name(image, slice_of_string(internal_topic_name(coordinator->kind->topic)));
}

static bool grow(struct coordinator *coordinator, int32_t count)
{
    if (count <= coordinator->count)
        return true;
    struct shard **shards = realloc(coordinator->shards, (size_t)count * sizeof(struct shard *));
    if (!shards)
        return false;
    for (int32_t i = coordinator->count; i < count; i++)
        shards[i] = NULL;
    coordinator->shards = shards;
    coordinator->count = count;
    return true;
}

/* The partition of this number is another one than before: the topic was deleted and made again. */
static bool set_aside(struct coordinator *coordinator, int32_t index)
{
    struct shard **old =
        realloc(coordinator->old, (coordinator->old_count + 1) * sizeof(struct shard *));
    if (!old)
        return false;
    coordinator->old = old;
    old[coordinator->old_count++] = coordinator->shards[index];
    coordinator->shards[index] = NULL;
    return true;
}

static void stop_shard(struct shard *shard)
{
    shard__lock(shard);
    shard->is_unwanted = true;
    if (shard->phase == SHARD_ACTIVE || shard->phase == SHARD_IDLE)
        shard__give_up(shard, ERR_NOT_COORDINATOR, SHARD_STOPPED);
    shard__unlock(shard);
}

/* Under the mutex. NULL: no memory, or the coordinator has stopped. */
static struct shard *shard_of(struct coordinator *coordinator, const struct topic *topic, int32_t index)
{
    const struct partition_metadata *metadata = &topic->partitions[index];
    if (coordinator->is_stopped || !grow(coordinator, topic->partition_count))
        return NULL;
    struct shard *shard = coordinator->shards[index];
    if (shard && shard->partition != metadata->partition) {
        if (!set_aside(coordinator, index))
            return NULL;
        stop_shard(shard);
        shard = NULL;
    }
    if (!shard)
        shard = coordinator->shards[index] =
            shard__create(coordinator->server, coordinator->kind, metadata->partition, index);
    if (shard) {
        atomic_store_explicit(&shard->leader_epoch, metadata->leader_epoch, memory_order_relaxed);
        atomic_store_explicit(&shard->batch_size_max, topic->config.max_message_bytes, memory_order_relaxed);
    }
    return shard;
}

void coordinator_start(struct coordinator *coordinator)
{
    const struct topic *topic = find_topic(coordinator, controller_image(coordinator->server->controller));
    if (!topic)
        return;
    check(pthread_mutex_lock(&coordinator->mutex) == 0);
    for (int32_t i = 0; i < topic->partition_count; i++) {
        const struct partition *partition = topic->partitions[i].partition;
        if (!partition || log_offsets(partition->log).end == 0)
            continue;
        struct shard *shard = shard_of(coordinator, topic, i);
        void *state;
        if (shard && shard_enter(shard, &state) == ERR_NONE)
            shard_leave(shard);
    }
    check(pthread_mutex_unlock(&coordinator->mutex) == 0);
}

void coordinator_stop(struct coordinator *coordinator)
{
    check(pthread_mutex_lock(&coordinator->mutex) == 0);
    coordinator->is_stopped = true;
    for (int32_t i = 0; i < coordinator->count; i++)
        if (coordinator->shards[i])
            stop_shard(coordinator->shards[i]);
    check(pthread_mutex_unlock(&coordinator->mutex) == 0);
}

void coordinator_destroy(struct coordinator *coordinator)
{
    for (int32_t i = 0; i < coordinator->count; i++)
        if (coordinator->shards[i])
            shard__destroy(coordinator->shards[i]);
    for (size_t i = 0; i < coordinator->old_count; i++)
        shard__destroy(coordinator->old[i]);
    free(coordinator->shards);
    free(coordinator->old);
    pthread_mutex_destroy(&coordinator->mutex);
    free(coordinator);
}

/* -- finding ---------------------------------------------------------------------------------------- */

static int16_t find(struct request *rq, struct coordinator *coordinator, const struct topic *topic, int32_t index,
                    struct shard **out)
{
    const struct partition_metadata *metadata;
    if (rq_partition(rq, topic, index, &metadata) != ERR_NONE || metadata->leader != rq->server->config->node_id)
        return ERR_NOT_COORDINATOR;
    check(pthread_mutex_lock(&coordinator->mutex) == 0);
    *out = shard_of(coordinator, topic, index);
    check(pthread_mutex_unlock(&coordinator->mutex) == 0);
    return *out ? ERR_NONE : ERR_COORDINATOR_NOT_AVAILABLE;
}

int16_t coordinator_shard(struct request *rq, struct coordinator *coordinator, slice key, struct shard **out)
{
    const struct topic *topic = find_topic(coordinator, rq->image);
    if (!topic)
        return ERR_NOT_COORDINATOR;
    return find(rq, coordinator, topic, coordinator_partition_of(key, topic->partition_count), out);
}

int32_t coordinator_shard_count(struct request *rq, struct coordinator *coordinator)
{
    const struct topic *topic = find_topic(coordinator, rq->image);
    return topic ? topic->partition_count : 0;
}

int16_t coordinator_shard_at(struct request *rq, struct coordinator *coordinator, int32_t index, struct shard **out)
{
    const struct topic *topic = find_topic(coordinator, rq->image);
    return topic ? find(rq, coordinator, topic, index, out) : (int16_t)ERR_NOT_COORDINATOR;
}

enum handled coordinator_run(struct coordinator *coordinator, slice key, struct shard_op *op)
{
    struct shard *shard;
    op->error_code = coordinator_shard(op->rq, coordinator, key, &shard);
    return op->error_code == ERR_NONE ? shard_run(shard, op) : op->step->answer(op);
}
