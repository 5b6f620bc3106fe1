/* A segment that left its log: its files under Kafka's `.deleted` names, until they may be unlinked. */
#ifndef RUNNEL_STORAGE_REMOVED_SEGMENT_H
#define RUNNEL_STORAGE_REMOVED_SEGMENT_H

#include "storage/segment.h"

/* A plain record of its owner: the log, then the host (log_host.removed), which frees it. */
struct removed_segment {
    struct removed_segment *next; /* in whatever list its owner keeps */
    struct log_host *host;
    struct file_system *files;
    struct segment *segment; /* as long as a reader may hold its mapping; else NULL */
    int64_t base_offset;
    int64_t due_ms;           /* of the monotonic clock: not unlinked before */
    uint64_t size;            /* bytes of its .log */
    bool has_snapshot;        /* the producer snapshot at its base offset goes too */
    _Atomic bool is_released; /* no thread can reach the segment any more (retire) */
    char path[];              /* of the partition directory */
};

/* NULL: no memory. The segment is not touched yet. */
struct removed_segment *removed_segment_create(const struct segment_home *home, struct segment *segment,
                                               int64_t due_ms, bool has_snapshot);
/* Gives its files their `.deleted` names, the .log first; what is not there is no error. */
enum file_status removed_segment_rename(const struct removed_segment *removed);
/* Whether a reader still holds bytes of it. After is_released. */
bool removed_segment_is_held(const struct removed_segment *removed);
/* Unlinks the `.deleted` names. */
void removed_segment_unlink(const struct removed_segment *removed);
/* Frees the segment too, when it is still there. */
void removed_segment_destroy(struct removed_segment *removed);

#endif
