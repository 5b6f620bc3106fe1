/* The leader epochs of a log and where each began (KIP-101): cache and leader-epoch-checkpoint file. */
#ifndef RUNNEL_STORAGE_LEADER_EPOCHS_H
#define RUNNEL_STORAGE_LEADER_EPOCHS_H

#include "storage/file.h"

struct leader_epoch {
    int32_t epoch;
    int64_t start_offset;
};

/* Ascending in both fields. Guarded by its owner. All zero: empty. */
struct leader_epochs {
    struct leader_epoch *entries;
    uint32_t count;
    uint32_t capacity;
};

void leader_epochs_destroy(struct leader_epochs *epochs);

/* The newest epoch, or -1. */
int32_t leader_epochs_latest(const struct leader_epochs *epochs);
/* Makes room for one more assignment. False: no memory. */
bool leader_epochs_reserve(struct leader_epochs *epochs);
/* epoch begins at start_offset: later entries that contradict it go. Only after a reserve. Returns whether
 * anything changed. */
bool leader_epochs_assign(struct leader_epochs *epochs, int32_t epoch, int64_t start_offset);
/* The log now ends at end_offset. Returns whether anything changed. */
bool leader_epochs_cut_end(struct leader_epochs *epochs, int64_t end_offset);
/* The log now starts at start_offset: the entry that holds there starts there. */
bool leader_epochs_cut_start(struct leader_epochs *epochs, int64_t start_offset);

/* The epoch that holds at offset, or -1. */
int32_t leader_epochs_at(const struct leader_epochs *epochs, int64_t offset);
/* Where the first epoch behind offset begins; INT64_MAX: nowhere. */
int64_t leader_epochs_next(const struct leader_epochs *epochs, int64_t offset);
/* OffsetForLeaderEpoch (facts: protocol 4.5). log_end: where the newest epoch ends. */
void leader_epochs_end(const struct leader_epochs *epochs, int32_t requested, int64_t log_end, int32_t *epoch,
                       int64_t *end_offset);

/* Replaces the entries by those of the file. Not FILE_OK: they are empty; FILE_IO: it is damaged. */
enum file_status leader_epochs_read(struct leader_epochs *epochs, struct file_system *files,
                                    const char *path);
/* The file's text, malloc'ed and returned owned; null: no memory. */
slice leader_epochs_text(const struct leader_epochs *epochs);

#endif
