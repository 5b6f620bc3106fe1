/* Kafka's checkpoint text, version 0: offsets per partition, or start offsets per leader epoch. */
#ifndef RUNNEL_STORAGE_CHECKPOINT_H
#define RUNNEL_STORAGE_CHECKPOINT_H

#include "storage/file.h"

/* The files in the root of a log directory. */
#define CHECKPOINT_RECOVERY_POINT   "recovery-point-offset-checkpoint"
#define CHECKPOINT_LOG_START_OFFSET "log-start-offset-checkpoint"
#define CHECKPOINT_HIGH_WATERMARK   "replication-offset-checkpoint"
#define CHECKPOINT_CLEANER          "cleaner-offset-checkpoint"
/* The file in a partition directory. */
#define CHECKPOINT_LEADER_EPOCH "leader-epoch-checkpoint"

/* Entries of "topic partition offset". topic is borrowed from text. */
struct checkpoint_offset {
    slice topic;
    int32_t partition;
    int64_t offset;
};

/* Entries of "epoch startOffset", in the file's order. */
struct checkpoint_epoch {
    int32_t epoch;
    int64_t start_offset;
};

/* Parse a whole text; an empty one has no entries. False when Kafka would not read it: other version, wrong
 * number of fields or entries, no number. *out is malloc'ed (returned owned), NULL without entries. */
bool checkpoint_parse_offsets(slice text, struct checkpoint_offset **out, size_t *count);
bool checkpoint_parse_epochs(slice text, struct checkpoint_epoch **out, size_t *count);

/* Builds a text; on lack of memory the writer stays empty and checkpoint_text() is null. */
struct checkpoint_writer {
    char *text; /* the entries, behind room for the two header lines */
    size_t size;
    size_t capacity;
    size_t count;
    bool failed;
};

void checkpoint_writer_init(struct checkpoint_writer *writer);
void checkpoint_writer_destroy(struct checkpoint_writer *writer);
void checkpoint_add_offset(struct checkpoint_writer *writer, slice topic, int32_t partition, int64_t offset);
void checkpoint_add_epoch(struct checkpoint_writer *writer, int32_t epoch, int64_t start_offset);
/* The whole text, borrowed until the writer changes. */
slice checkpoint_text(struct checkpoint_writer *writer);
/* Replaces the file as Kafka does: .tmp, flush, rename, flush of the directory. */
enum file_status checkpoint_write(struct checkpoint_writer *writer, struct file_system *files,
                                  const char *path);

#endif
