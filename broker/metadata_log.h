/* Records of __cluster_metadata: framed, put into batches, appended, and read back. */
#ifndef RUNNEL_BROKER_METADATA_LOG_H
#define RUNNEL_BROKER_METADATA_LOG_H

#include "codec/control_records.h"
#include "codec/metadata_records.h"
#include "protocol/base/arena.h"
#include "storage/log.h"

/* Kafka's own bounds of one batch. */
enum { METADATA_BATCH_RECORDS_MAX = 10000, METADATA_BATCH_SIZE_MAX = 8 << 20 };

/* A record with its frame in front, in the arena. Null: no memory, or a field that this version
 * cannot carry. */
slice metadata_record_encode(struct arena *arena, enum metadata_record_type type, int16_t version,
                             const void *record);

/* Batches that go into a log, or into a snapshot, together. Everything lives in the arena. A
 * refusal of memory is kept in is_failed, so that callers ask once, at the end. */
struct metadata_batches {
    struct arena *arena;
    int64_t base_offset; /* of the first batch; a log gives its own */
    int32_t epoch;
    int64_t now_ms;
    struct batch_view *batches;
    size_t count;
    size_t capacity;
    struct batch_builder *open;
    size_t open_count;   /* records of the open batch */
    size_t record_count; /* of all batches: the offsets that they take */
    bool is_failed;
};

void metadata_batches_init(struct metadata_batches *batches, struct arena *arena, int64_t base_offset,
                           int32_t epoch, int64_t now_ms);
/* What is added next goes into a batch of its own. */
void metadata_batches_cut(struct metadata_batches *batches);
/* Data and control records never share a batch: cut between them. */
void metadata_batches_add(struct metadata_batches *batches, slice value);
void metadata_batches_add_control(struct metadata_batches *batches, enum control_record_type type,
                                  const void *record);
/* The same of a record that is encoded; value is borrowed as long as the arena. */
void metadata_batches_add_control_value(struct metadata_batches *batches, enum control_record_type type,
                                        slice value);
/* All batches as one piece of memory: the content of a snapshot. Null: no memory. */
slice metadata_batches_bytes(struct metadata_batches *batches);

/* Appends the batches and waits until they are durable. LOG_OK, or as log_append(); after LOG_IO
 * some of them may be in the log, durable or not: nothing may be appended any more. May block. */
enum log_status metadata_log_append(struct log *log, struct metadata_batches *batches);

/* A record that was read; value is borrowed until the visit ends. */
struct metadata_record {
    int64_t offset;
    int32_t epoch;    /* of its batch */
    int control_type; /* enum control_record_type, or -1: data */
    slice value;      /* framed; of control records without frame */
};

/* False stops the walk. */
typedef bool (*metadata_visit)(void *context, const struct metadata_record *record);

enum metadata_read_status {
    METADATA_READ_OK,
    METADATA_READ_STOPPED,
    METADATA_READ_DAMAGED, /* a batch that is cut, or whose checksum or content is wrong */
    METADATA_READ_FAILED,  /* the disk, or memory */
};

/* Visits the records of batches that lie in memory. */
enum metadata_read_status metadata_batches_read(slice bytes, int64_t from_offset, metadata_visit visit,
                                                void *context);
/* What was met on the way: batches of which one bit was wrong, and after METADATA_READ_DAMAGED the place. */
struct metadata_damage {
    size_t mended_count;
    int64_t offset;
    int64_t segment_base; /* base offset of the segment */
    uint32_t position;    /* bytes, in its .log */
};

/* Visits the log's records from an offset on. A batch in which one bit is wrong is read as it was; the log's
 * files stay as they are. damage NULL: then that is METADATA_READ_DAMAGED, and nothing at all is written. May
 * block. */
enum metadata_read_status metadata_log_read(struct log *log, int64_t from_offset, metadata_visit visit,
                                            void *context, struct metadata_damage *damage);

#endif
