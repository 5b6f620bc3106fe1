/* A run of the whole broker that does everything once, and what it was promised on the way: for the judge of
 * what a power cut leaves. */
#ifndef RUNNEL_TESTS_SIM_CRASH_POINTS_STORY_H
#define RUNNEL_TESTS_SIM_CRASH_POINTS_STORY_H

#include "tests/support/sim.h"

enum {
    LIVES_MAX = 8,
    LIFE_PARTITIONS_MAX = 2,
    BATCHES_MAX = 1200,
    CHANGES_MAX = 64,
    SEEN_MAX = 4000,
    TURNS_MAX = 16,
    PRODUCERS = 2, /* idempotent ones */
    KEYS = 7,
};

/* Moments are counts of the disk's operations. What was answered holds at every cut from answered_at on; what
 * was asked for may hold from asked_at on. */
enum { NEVER = -1 };
#define AT_NO_TIME UINT64_MAX

/* One topic from its making to its deletion; a name may have several, one after another. */
struct life {
    const char *name;
    int32_t partition_count;
    bool is_compacted;
    uuid id;
    uint64_t made_asked_at, made_at;
    uint64_t gone_asked_at, gone_at; /* AT_NO_TIME: never */
};

/* Records have numbers, which tell their keys and values. */
struct sent_batch {
    int life;
    int32_t partition;
    int64_t base_offset; /* NEVER: nobody was told */
    int64_t first_number;
    int32_t count;
    int64_t timestamp;
    int producer; /* idempotent; -1: none */
    int32_t sequence;
    uint64_t asked_at, answered_at;
};

/* To the same place, in the order of the story. */
enum change_kind { CHANGE_OFFSET, CHANGE_SETTING, CHANGE_START };
struct change {
    enum change_kind kind;
    const char *name; /* of a group or a setting */
    int life;
    int32_t partition;
    int64_t value; /* an offset; of a setting its number */
    uint64_t asked_at, answered_at;
};

/* A consumer could read up to this offset. */
struct seen {
    int life;
    int32_t partition;
    int64_t high_watermark;
    uint64_t at;
};

/* From this moment on the clock showed this. */
struct turn {
    uint64_t at;
    int64_t wall_ms;
};

struct story {
    struct file_double *disk; /* with the whole recording; owned */
    uint64_t end;             /* operations of the story itself: the stop behind it is not part of it */
    struct life lives[LIVES_MAX];
    int life_count;
    struct sent_batch batches[BATCHES_MAX];
    int batch_count;
    int64_t number_count;
    struct change changes[CHANGES_MAX];
    int change_count;
    struct seen seen[SEEN_MAX];
    int seen_count;
    struct turn turns[TURNS_MAX];
    int turn_count;
    int64_t producer_ids[PRODUCERS];
    uint64_t producer_ids_at[PRODUCERS];
    uint64_t tombstones_go_at; /* the same of tombstones */
};

/* Plays it on an empty disk and stops the broker. flushes_lie: the disk keeps nothing of what it is told to
 * flush. settings: lines of server.properties behind the story's own. Afterwards sim has no disk:
 * sim_start_on(). */
void story_play(struct story *story, struct sim *sim, uint64_t seed, const char *settings, bool flushes_lie);
/* The same, but flush number flush_count (from 1) fails: the story ends where the broker says so, if it comes
 * to that. Batches without an answer have no base_offset then. */
void story_play_until(struct story *story, struct sim *sim, uint64_t seed, uint64_t flush_count);
void story_destroy(struct story *story, struct sim *sim);

/* The clock at a moment. */
int64_t story_wall_ms(const struct story *story, uint64_t at);

/* What a record of this number says in a topic of this kind; text has room. A tombstone's value is null. */
enum { STORY_TEXT_SIZE = 96 };
slice story_key(int64_t number, bool is_compacted, char text[STORY_TEXT_SIZE]);
slice story_value(int64_t number, bool is_compacted, char text[STORY_TEXT_SIZE]);
/* The key's place among all, of a compacted topic. */
int story_key_index(int64_t number);

/* A batch of these records, in the arena, of a producer or of none (-1). */
slice story_batch(const struct story *story, struct arena *arena, int64_t first_number, int32_t count,
                  int64_t timestamp, bool is_compacted, int producer, int32_t sequence);

#endif
