/* One partition's log: record batches in segments on disk, appended at the end, read anywhere. */
#ifndef RUNNEL_STORAGE_LOG_H
#define RUNNEL_STORAGE_LOG_H

#include "protocol/base/pin.h"
#include "protocol/base/uuid.h"
#include "protocol/record_batch.h"

/* Belongs to the store that opened it (store.h). Safe to use from any thread; no call keeps a
 * lock. "May block" calls are for workers, all others for loops. */
struct log;

enum log_status {
    LOG_OK,
    LOG_BUSY,         /* have log_prepare() run on a worker, then ask again; nothing was done */
    LOG_COLD,         /* the bytes are not in memory: log_warm() on a worker, then read again */
    LOG_OUT_OF_RANGE, /* below the log start offset or beyond the log end offset */
    LOG_NOT_FOUND,    /* no record matches */
    LOG_CORRUPT,      /* these offsets are damaged on disk (quarantined); others are served */
    LOG_TOO_LARGE,    /* larger than segment.bytes: RECORD_LIST_TOO_LARGE */
    LOG_BAD_SEQUENCE, /* of one batch: out of order for its producer (KIP-98) */
    LOG_BAD_EPOCH,    /* of one batch: an older producer epoch than one seen before */
    LOG_DISK_FULL,    /* nothing was appended; other calls go on */
    LOG_LIMIT,        /* descriptors, memory or mappings ran out; nothing was done */
    LOG_IO,           /* the log takes no more appends until it has been opened anew */
    LOG_CLOSED,       /* deleted or closing */
};

/* Bits of cleanup.policy. None: everything stays. */
enum { LOG_CLEANUP_DELETE = 1, LOG_CLEANUP_COMPACT = 2 };

/* Who may still grow while the disk is full, out of what is kept for that (store.h). */
enum log_rank {
    RANK_RECORDS, /* what producers send */
    RANK_COMMITS, /* what groups keep: consumers go on, and what they are done with can be deleted */
    RANK_REMOVAL, /* metadata, and whatever gives room back */
};

/* Settings that a log acts on; values are Kafka's topic configs of the same names. */
struct log_config {
    int32_t segment_bytes; /* bytes, >= 1 (tests); Kafka's topics >= 1 MiB */
    int64_t segment_ms;
    int64_t segment_jitter_ms;
    int32_t index_interval_bytes;
    int32_t segment_index_bytes;       /* most bytes of each of the two indexes */
    int64_t flush_messages;            /* 1: durable, the high watermark is the durable end (DESIGN 5) */
    int64_t flush_ms;                  /* INT64_MAX: never */
    int32_t max_message_bytes;         /* only told on; the caller enforces it */
    int64_t producer_id_expiration_ms; /* a producer that wrote nothing for so long is forgotten; 0: never */
    uint32_t producer_ids_max;     /* beyond it the one that wrote longest ago is forgotten; 0: no bound */
    enum log_rank rank;
    unsigned cleanup;              /* LOG_CLEANUP_...; the next ones hold where its bits say so */
    int64_t retention_ms;          /* with DELETE; < 0: no limit */
    int64_t retention_bytes;       /* with DELETE; < 0: no limit */
    int64_t file_delete_delay_ms;  /* between the rename of a segment's files and their unlinking */
    int64_t delete_retention_ms;   /* with COMPACT: how long tombstones stay to be seen (KIP-534) */
    int64_t min_compaction_lag_ms; /* with COMPACT (KIP-58) */
    int64_t max_compaction_lag_ms; /* with COMPACT (KIP-354) */
    double min_cleanable_ratio;    /* with COMPACT: dirty bytes to all, from which on it is worth it */
};

/* All exclusive ends: the offset of the record that comes next. One moment's picture. */
struct log_offsets {
    int64_t start;          /* log start offset */
    int64_t stable;         /* last stable offset <= high watermark */
    int64_t high_watermark; /* what consumers may read */
    int64_t durable;        /* what a power cut leaves */
    int64_t end;            /* log end offset */
    int32_t leader_epoch;   /* of the newest batch; -1 in an empty log */
};

struct log_append_result {
    enum log_status status;
    int64_t base_offset; /* -1 when not appended */
    int64_t last_offset;
    /* The answer may leave when log_offsets().durable >= this (durable mode), else at once. */
    int64_t end_offset;
    int64_t append_time_ms; /* -1 under CreateTime */
    /* LOG_OK, but nothing was appended: one of the last five batches of its producer; the offsets and the
     * time are the original's (KIP-98). */
    bool is_duplicate;
};

/* Appends the batches of one loop turn at the log end offset and gives their records offsets: one
 * pwritev, then the new end is published.
 *
 * batches       record batches, magic 2, validated; borrowed until return and *modified*: base
 *               offset and leader epoch are written into them (both outside the CRC).
 * leader_epoch  >= 0; written into every batch header (KIP-101).
 * now_ms        ms since the Unix epoch; for segment rolls.
 * LOG_OK        each batch that results say so of is in the log, but a power cut may take it until
 *               log_offsets().durable covers it; the log is in the store's dirty set.
 * results       one per batch: a bad sequence (KIP-98) does not fail its neighbour.
 * LOG_BUSY      no directory yet, not opened yet, or no spare segment for a roll.
 * LOG_DISK_FULL, LOG_LIMIT, LOG_BUSY, LOG_CLOSED, LOG_TOO_LARGE: the log is as it was.
 * LOG_IO        the log takes no more appends until it has been opened anew. */
enum log_status log_append(struct log *log, struct batch_view *batches, size_t count, int32_t leader_epoch,
                           int64_t now_ms, struct log_append_result *results);

/* Does whatever made a call say LOG_BUSY: makes the directory and the first segment, opens a log
 * that was left closed by a clean stop, makes the spare segment. May block. LOG_OK: try again. */
enum log_status log_prepare(struct log *log);

/* Opens a log that a clean stop, or the want of descriptors, left closed; changes no file. Reads that may
 * block do it themselves. It may be closed again before it is used. May block. */
enum log_status log_open(struct log *log);

/* LOG_OK, or why the log serves no more appends: LOG_IO, LOG_CLOSED. For those who wait for it. */
enum log_status log_health(const struct log *log);

/* A consistent picture of the offsets, without a lock. */
struct log_offsets log_offsets(const struct log *log);

/* A range of whole batches, in memory that stays while pin is held. */
struct log_range {
    slice bytes;         /* empty, not null, when nothing may be returned */
    struct pin *pin;     /* borrowed, valid in this turn; NULL when bytes lie in the arena */
    int64_t base_offset; /* of the first batch; may lie below the offset asked for */
    int64_t next_offset; /* behind the last batch; the offset asked for when bytes are empty */
};

/* Finds the batch that holds offset and returns it with those that follow, up to size_max bytes and
 * not reaching beyond the exclusive offset bound (a batch with records at or beyond is left out).
 * Reads one segment at most. A first batch larger than size_max is returned whole when
 * at_least_one, else the range is empty. No copy, no CRC; the cut is at batch ends.
 *
 * resident_only  LOG_COLD instead of a wait for the device.
 * arena          takes the bytes when the segment cannot be mapped (then they are copied).
 * LOG_OUT_OF_RANGE: offset < start or > end. LOG_CORRUPT: the batch at offset is quarantined;
 * out->next_offset is where readable data goes on. */
enum log_status log_read(struct log *log, int64_t offset, int64_t bound, size_t size_max, bool at_least_one,
                         bool resident_only, struct arena *arena, struct log_range *out);
/* What is damaged at an offset, as it lies there. */
struct log_damage {
    int64_t first, next;  /* its offsets: [first, next) */
    int64_t segment_base; /* base offset of its segment */
    uint32_t position;    /* of its first byte */
    uint8_t *bytes;       /* in the arena; the caller's */
    size_t size;
};

/* For who met LOG_CORRUPT or a wrong checksum at offset, and knows better than a client what the bytes were
 * (protocol/batch_mend.h). Has the segment walked with all checksums, quarantines what is damaged.
 * LOG_NOT_FOUND: the bytes are too many, or gone; segment and position are told. LOG_COLD: it was shut. May
 * block. */
enum log_status log_read_damaged(struct log *log, int64_t offset, struct arena *arena,
                                 struct log_damage *out);
/* Bytes between two offsets as a Fetch counts them for min_bytes: exact inside one segment, and
 * SIZE_MAX when from lies in an older segment than bound (Kafka then answers at once). */
size_t log_size_between(struct log *log, int64_t from, int64_t bound);
/* Bytes of a range could not be read when they were used, though log_read() had returned it with this pin:
 * the device failed. From now on its segment is read with an answer to that, LOG_IO. */
void log_range_failed(struct pin *pin);
/* Brings what log_read() with the same arguments would return into memory. May block. */
enum log_status log_warm(struct log *log, int64_t offset, int64_t bound, size_t size_max);

struct log_found {
    int64_t offset;
    int64_t timestamp;    /* ms */
    int32_t leader_epoch; /* of the batch */
};

/* A transaction that was aborted. Its records are those of the producer from first_offset up to its marker.
 */
struct log_aborted {
    int64_t producer_id;
    int64_t first_offset;
};
/* The aborted transactions of which records may lie in [from, upper), by the offsets of their markers; in the
 * arena. For what log_read() returned below the last stable offset. LOG_COLD: read again. LOG_LIMIT: no
 * memory. */
enum log_status log_aborted(struct log *log, int64_t from, int64_t upper, struct arena *arena,
                            struct log_aborted **items, size_t *count);

/* The first record, in offset order, with timestamp >= timestamp_ms, offset >= the log start offset
 * and < bound (facts: protocol 4.4). LOG_NOT_FOUND: none. May block; decompresses. */
enum log_status log_find_timestamp(struct log *log, int64_t timestamp_ms, int64_t bound,
                                   struct log_found *out);
/* The record with the largest timestamp below bound (ListOffsets -3, KIP-734). May block. */
enum log_status log_find_max_timestamp(struct log *log, int64_t bound, struct log_found *out);

/* Leader epoch history (KIP-101): the epoch that holds at offset, or -1. LOG_BUSY: the log is closed and its
 * history in a file; log_open() on a worker, then ask again. */
enum log_status log_epoch_at(struct log *log, int64_t offset, int32_t *epoch);
/* Answers OffsetForLeaderEpoch: facts, protocol 4.5. *epoch -1 and *end_offset -1: undefined. LOG_BUSY as
 * above. */
enum log_status log_epoch_end(struct log *log, int32_t requested, int32_t *epoch, int64_t *end_offset);

/* Raises the log start offset (DeleteRecords, KIP-107): readers see nothing below it from now on; the next
 * log_retain() removes the segments that lie wholly below. offset: 0 ... high watermark; one at or below the
 * start changes nothing. *start is the start afterwards. LOG_OUT_OF_RANGE: beyond the high watermark, or
 * negative. A power cut takes it back until store_save_starts() has returned. LOG_BUSY as with an append. */
enum log_status log_delete_records(struct log *log, int64_t offset, int64_t *start);

/* Whether the log's disk is full and what is kept for that day in use (reserve.h): what can be removed should be
 * removed now. */
bool log_is_short_of_room(const struct log *log);

/* What went. */
struct log_retained {
    uint32_t segment_count;
    uint64_t size; /* bytes */
};
/* Removes the oldest segments that retention.ms or retention.bytes (with LOG_CLEANUP_DELETE) or the log start
 * offset leave behind, as Kafka 4.2's UnifiedLog.deleteOldSegments does; an active segment of which every
 * record is over age is rolled first. Nothing at or beyond the high watermark goes, nor anything that a
 * reader holds before it lets go. Opens a shut log only when its row says that there is something to do. May
 * block. now_ms: since the Unix epoch. */
enum log_status log_retain(struct log *log, int64_t now_ms, struct log_retained *out);

/* The only way in which the high watermark rises in durable mode; end is an offset <= log end. */
void log_set_durable(struct log *log, int64_t end);
/* Flushes all that is appended, on the caller's thread. May block. For logs that must be durable
 * before the next step (metadata); the store's flusher does it for all others. */
enum log_status log_flush(struct log *log);

/* A flush of what this log needs failed in the caller's hands: the log takes no more appends, and its
 * directory is fenced, as with a flush of its own. */
void log_fail(struct log *log);

/* New settings; hold from the next append on. */
void log_set_config(struct log *log, const struct log_config *config);
bool log_is_durable_mode(const struct log *log);
/* What the host attached at store_log(); handed to storage_env.progress. */
void *log_owner(const struct log *log);
/* For notes: "topic-3". Borrowed, lives as long as the log. */
const char *log_name(const struct log *log);

/* Facts for metrics and tests. */
struct log_stats {
    uint64_t size; /* bytes of all segments */
    uint32_t segment_count;
    uint32_t quarantined_count;
    bool has_directory;
    bool is_open;
};
struct log_stats log_stats(struct log *log);

#endif
