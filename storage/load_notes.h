/* What the walk of an opening tells besides its own: the leader epochs and the producers of what it met, so
 * that nobody reads the same headers again. */
#ifndef RUNNEL_STORAGE_LOAD_NOTES_H
#define RUNNEL_STORAGE_LOAD_NOTES_H

#include "storage/log_directory.h"
#include "storage/log_struct.h"
#include "storage/segment_scan.h"

/* Batches of one leader epoch that follow one another in one segment. */
struct epoch_run {
    int64_t segment_base;
    int64_t first_offset; /* base offset of the first of them */
    int64_t last_offset;  /* of the last of them */
    int32_t epoch;
};

enum { EPOCH_RUNS_MAX = 64 };

/* Of one opening. Notes that are void say nothing, and all is read as without them: when anything was
 * damaged. */
struct load_notes {
    struct log *log;
    bool has_epochs; /* all of the segments from first_base on */
    bool has_producers;
    int64_t first_base; /* of the first segment that is walked */
    uint32_t run_count;
    struct epoch_run runs[EPOCH_RUNS_MAX];
    int64_t
        snapshot; /* the producers are those of this one and of the batches behind it; -1: there was none */
    int64_t now_ms;
    struct producer_state *producers; /* owned */
};

/* Begins notes of a walk from the segment with first_base on. Snapshots up to proven are those of batches
 * that are on the device, so the newest one will be believed when nothing is damaged. */
void load_notes_begin(struct load_notes *notes, struct log *log, const struct log_directory *directory,
                      int64_t first_base, int64_t proven);
void load_notes_end(struct load_notes *notes);
/* A batch that the walk keeps unless it calls load_notes_void() later. */
void load_notes_add(struct load_notes *notes, int64_t segment_base, const struct segment_scan *scan);
void load_notes_void(struct load_notes *notes);

/* Adds the epochs of one segment that are newer than those known, up to epoch_max, of batches that reach
 * `from`. False: the notes do not tell, nothing was changed. *has_memory false: nor can anybody. */
bool load_notes_put_epochs(const struct load_notes *notes, const struct segment *segment, int64_t from,
                           int32_t epoch_max, bool *has_memory);
/* The producers behind the snapshot, -1 for none, when they are known; the caller owns them. *is_known false:
 * not. */
struct producer_state *load_notes_take_producers(struct load_notes *notes, int64_t snapshot, bool *is_known);

#endif
