/* Partitions to fetch, each once, in an order that changes: what one request asks for, or what a session
 * keeps. */
#ifndef RUNNEL_BROKER_FETCH_SET_H
#define RUNNEL_BROKER_FETCH_SET_H

#include "protocol/base/arena.h"
#include "protocol/base/uuid.h"

struct topic;

/* No topic, no partition: places in a set are numbers, as its arrays move when they grow. */
#define FETCH_NONE UINT32_MAX

struct fetch_topic {
    uint64_t hash;
    uuid id;                  /* zero in a set that goes by names */
    slice name;               /* the set's own copy; null: an id that was never resolved */
    uint32_t partition_count; /* 0: a free place */
    uint32_t hash_next;       /* the same chain; the free places */
    uint32_t copied_to;       /* fetch_set_copy's own */
    /* What it stands for in the pass of this number, and in no other (fetch_read.c). */
    uint32_t pass;
    int16_t error_code;       /* of its key: the id, or the name */
    int16_t named_error_code; /* for partitions that were resolved once: of the name, when the id is gone */
    const struct topic *topic;
    const struct topic *named; /* who has the name of an id that is gone */
};

struct fetch_partition {
    int64_t fetch_offset;
    int64_t high_watermark;   /* as the client was told last; -1: never, or an error since */
    int64_t log_start_offset; /* as the client was told last */
    int32_t partition;
    int32_t max_bytes;
    int32_t leader_epoch; /* -1: not to be checked */
    int32_t last_fetched_epoch;
    uint32_t topic : 30;
    uint32_t is_named : 1; /* its id was resolved once: its name is known since (Kafka: CachedPartition) */
    uint32_t previous;
    uint32_t next;
    uint32_t hash_next; /* the same chain; the free places */
};

_Static_assert(sizeof(struct fetch_partition) == 56, "sessions keep many of these");

/* One thread at a time. */
struct fetch_set {
    uint64_t key[2];     /* of the hashes: clients choose names and ids */
    bool by_id;          /* Fetch v13+ */
    struct arena *arena; /* NULL: memory of its own */
    struct fetch_partition *partitions;
    uint32_t *buckets;
    struct fetch_topic *topics;
    uint32_t *topic_buckets;
    uint32_t count; /* partitions */
    uint32_t topic_count;
    uint32_t capacity;
    uint32_t topic_capacity;
    uint32_t bucket_count; /* powers of two */
    uint32_t topic_bucket_count;
    uint32_t used; /* places ever taken; those behind are untouched */
    uint32_t topic_used;
    uint32_t free;
    uint32_t topic_free;
    uint32_t first;
    uint32_t last;
    uint32_t pass;
    size_t names_size;
    size_t size_max; /* bytes that it may grow to; 0: no bound */
};

/* Room for so many. In an arena it never grows, and what it is given by name stays borrowed. False: no
 * memory. */
bool fetch_set_init(struct fetch_set *set, const uint64_t key[2], bool by_id, struct arena *arena,
                    uint32_t capacity, uint32_t topic_capacity);
/* Of one that has memory of its own. */
void fetch_set_destroy(struct fetch_set *set);
/* Bytes of its memory. */
size_t fetch_set_size(const struct fetch_set *set);
/* An exact copy in memory of its own, in the same order, but for what belongs to one request alone. */
bool fetch_set_copy(struct fetch_set *to, struct fetch_set *from);
/* The size of such a copy. */
size_t fetch_set_copy_size(const struct fetch_set *from);

/* By name or by id, as the set goes; FETCH_NONE: no partition of that topic is in it. */
uint32_t fetch_set_find_topic(const struct fetch_set *set, slice name, uuid id);
uint32_t fetch_set_find(const struct fetch_set *set, uint32_t topic, int32_t partition);
/* Finds the partition, or adds it as the last. *topic: FETCH_NONE, or its topic from an earlier call, which
 * is then not looked for again. FETCH_NONE: no memory, or too large; the set is as it was. */
uint32_t fetch_set_put(struct fetch_set *set, uint32_t *topic, slice name, uuid id, int32_t partition);
void fetch_set_remove(struct fetch_set *set, uint32_t at);
void fetch_set_move_last(struct fetch_set *set, uint32_t at);
/* Gives a topic of a set by ids its name; nothing happens when there is no memory. */
void fetch_set_name_topic(struct fetch_set *set, struct fetch_topic *topic, slice name);

#endif
