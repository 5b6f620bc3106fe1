/* A segment: one .log file of record batches back to back, with its two indexes. */
#ifndef RUNNEL_STORAGE_SEGMENT_H
#define RUNNEL_STORAGE_SEGMENT_H

#include "protocol/record_batch.h"
#include "storage/offset_index.h"
#include "storage/segment_file.h"
#include "storage/time_index.h"
#include "storage/txn_index.h"

/* What rolls and index entries depend on. A plain value: an append first plays a copy through. */
struct segment_growth {
    int64_t base_offset;
    uint32_t size;         /* bytes */
    uint32_t offset_count; /* index entries */
    uint32_t time_count;
    uint32_t bytes_since_entry; /* Kafka's bytesSinceLastIndexEntry */
    uint32_t max_relative;      /* last offset of the batch that holds max_timestamp, - base */
    int64_t max_timestamp;      /* -1: none */
    int64_t first_timestamp;    /* max timestamp of the first batch; -1: none */
    int64_t last_time_entry;    /* timestamp of the newest time index entry; -1: none */
    int64_t created_ms;
    int64_t jitter_ms;
};

/* The fields of a batch header that segments work with. */
struct batch_head {
    int64_t base_offset;
    int64_t last_offset;
    int64_t max_timestamp;
    int64_t producer_id;
    uint32_t size; /* bytes of the whole batch */
    int32_t leader_epoch;
};

struct segment_growth segment_growth_begin(int64_t base_offset, const struct log_config *config,
                                           int64_t now_ms, struct random *random);
/* Whether a batch with these values belongs into a new segment (facts: disk-format 3.2). */
bool segment_growth_must_roll(const struct segment_growth *growth, const struct batch_head *batch,
                              const struct log_config *config, int64_t now_ms);

struct segment_entries {
    bool offset_due, time_due;
    struct offset_entry offset;
    struct time_entry time;
};
/* Accounts a batch behind the others; *out says which index entries it is due (disk-format 3.1). */
void segment_growth_add(struct segment_growth *growth, const struct batch_head *batch,
                        const struct log_config *config, struct segment_entries *out);

/* Reads the header that bytes (BATCH_HEADER_SIZE of them) begin with. False: no batch of magic 2 begins here
 * that could lie in size_max bytes. */
bool batch_head_read(const uint8_t *bytes, uint64_t size_max, struct batch_head *out);
struct batch_head batch_head_of(const struct batch_view *batch);

/* A damaged range of a segment: offsets [first, next), bytes [position, end_position). */
struct quarantine_range {
    int64_t first, next;
    uint32_t position, end_position;
};

/* Ascending and immutable; replaced as a whole. */
struct quarantine {
    uint32_t count;
    struct quarantine_range ranges[];
};

struct segment {
    int64_t base_offset;
    _Atomic uint32_t size; /* bytes that readers may see; for good once sealed */
    _Atomic bool sealed;
    bool flushed;              /* sealed, and .log and indexes are on the device (log's mutex) */
    bool has_markers;          /* its walk at the start met control batches */
    uint32_t behind;           /* up to here write-back was started; of the active segment (log's mutex) */
    /* Blocks ahead of the tail; of the active segment, and until its flush of a sealed one (log's mutex). */
    uint32_t ahead;            /* where they end; below the size: there are none */
    uint32_t ahead_size;       /* bytes of them when they were allocated */
    uint32_t ahead_step;       /* bytes that a second of appends takes; 0: too few for blocks ahead */
    uint32_t paced_size;       /* the size when that was found out */
    int64_t paced_ms;          /* ... and when that was */
    _Atomic bool is_gone;      /* its names are given up or another's: what they open is not it */
    _Atomic bool is_rewritten; /* took the place of others: has gaps, and lies below the high watermark */
    _Atomic bool examined;     /* walked with all CRCs because a read met something odd */
    _Atomic uint64_t
        believed; /* bytes whose batch headers a reader has checked: first << 32 | behind the last */
    _Atomic int64_t largest_timestamp; /* of its records, or its file's time; for retention */
    _Atomic uint32_t written_from;     /* bytes from here on were written by this process */
    _Atomic(struct open_file *) data;  /* NULL: closed */
    _Atomic(struct mapping *) mapping;
    _Atomic(struct quarantine *) quarantine;
    struct segment_index offsets;
    struct segment_index times;
    struct txn_index aborted;     /* transactions whose markers lie here */
    struct segment_growth growth; /* of the active segment (log's mutex) */
};

/* Of segment.largest_timestamp: nobody asked yet. */
#define SEGMENT_TIMESTAMP_UNKNOWN INT64_MIN

/* An empty segment; NULL: no memory. */
struct segment *segment_create(int64_t base_offset);
/* Frees the segment and drops its files; no reader may be left (retire). */
void segment_destroy(void *segment);

/* The open .log; opens it when needed and may_block. NULL with *status FILE_OK: it would block. */
struct open_file *segment_data(struct segment *segment, const struct segment_home *home, int flags,
                               bool may_block, enum file_status *status);
/* The same to read it once: where it is not open, it becomes *own, which the caller drops, and the segment
 * stays shut. A log may have more segments than there are descriptors. */
struct open_file *segment_look(struct segment *segment, const struct segment_home *home,
                               struct open_file **own, enum file_status *status);
/* The bytes [0, size) of the .log for a reader: mapped, or by pread where no mapping is to be had. Both
 * are borrowed for this turn. An active segment is mapped ahead in steps up to size_max. */
struct segment_access {
    struct mapping *mapping; /* NULL: use file */
    struct open_file *file;
};
/* LOG_COLD: a file would have to be opened, and may_block is false. */
enum log_status segment_access(struct segment *segment, const struct segment_home *home, uint32_t size,
                               uint32_t size_max, bool may_block, struct segment_access *out);

/* Index entries for a batch that was appended; what has no memory is left out. */
void segment_add_entries(struct segment *segment, struct retire *retire,
                         const struct segment_entries *entries);
/* Writes index entries that wait; how many at least make it worth a write. */
enum file_status segment_save_indexes(struct segment *segment, const struct segment_home *home,
                                      uint32_t count_min);
/* The final time index entry; further appends go elsewhere. */
void segment_seal(struct segment *segment, struct retire *retire);
void segment_add_final_time_entry(struct segment *segment, struct retire *retire);
/* Closes what can be opened again. */
void segment_close_files(struct segment *segment, const struct segment_home *home);
/* Lets go of the memory that mapped pages take; they stay mapped and cached. Any thread. */
void segment_release_memory(const struct segment *segment);
bool segment_is_pinned(const struct segment *segment);

/* The damaged range that holds offset, or NULL. */
const struct quarantine_range *quarantine_find(const struct quarantine *quarantine, int64_t offset);
/* The first range beyond offset, or NULL. */
const struct quarantine_range *quarantine_after(const struct quarantine *quarantine, int64_t offset);
/* Where scanning for offset may begin, given that an index said position. */
uint32_t quarantine_skip(const struct quarantine *quarantine, int64_t offset, uint32_t position);
/* Adds a range to the segment's; ranges that touch become one. False: no memory. */
bool segment_add_quarantine(struct segment *segment, struct retire *retire, struct quarantine_range range);

/* All segments of a log, ascending, never empty; immutable. The last one is active. */
struct segment_list {
    size_t count;
    struct segment *items[];
};

struct segment_list *segment_list_create(size_t count);
/* The index of the segment that may hold offset: the last with base offset <= offset, else 0. */
size_t segment_list_find(const struct segment_list *list, int64_t offset);

#endif
