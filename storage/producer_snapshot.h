/* <offset>.snapshot: the state of every producer before an offset, in Kafka's format version 1. */
#ifndef RUNNEL_STORAGE_PRODUCER_SNAPSHOT_H
#define RUNNEL_STORAGE_PRODUCER_SNAPSHOT_H

#include "storage/file.h"

/* The last batch of one producer. last_offset and last_sequence are -1, offset_delta 0, when it is
 * known only through a transaction marker. */
struct producer_snapshot_entry {
    int64_t producer_id;
    int64_t last_offset;
    int64_t timestamp;                /* ms */
    int64_t current_txn_first_offset; /* -1: no open transaction */
    int32_t last_sequence;
    int32_t offset_delta; /* last sequence - first sequence, with wrap */
    int32_t coordinator_epoch;
    int16_t producer_epoch;
};

enum { PRODUCER_SNAPSHOT_HEADER_SIZE = 10, PRODUCER_SNAPSHOT_ENTRY_SIZE = 46 };

/* Writes PRODUCER_SNAPSHOT_HEADER_SIZE + count x PRODUCER_SNAPSHOT_ENTRY_SIZE bytes to out. */
void producer_snapshot_encode(const struct producer_snapshot_entry *entries, size_t count, uint8_t *out);
/* False when version, size, count or checksum is wrong. *out is malloc'ed (returned owned); may be NULL
 * without entries. */
bool producer_snapshot_decode(slice bytes, struct producer_snapshot_entry **out, size_t *count);

enum { PRODUCER_SNAPSHOT_NAME_SIZE = 20 + sizeof ".snapshot" };
/* "00000000000000000042.snapshot" for offset >= 0. */
void producer_snapshot_name(int64_t offset, char out[PRODUCER_SNAPSHOT_NAME_SIZE]);
/* Whether it is such a name, and of which offset. */
bool producer_snapshot_parse_name(const char *name, int64_t *offset);

/* Writes the file in the partition directory and flushes it (not the directory). */
enum file_status producer_snapshot_write(struct file_system *files, const char *directory, int64_t offset,
                                         const struct producer_snapshot_entry *entries, size_t count);
/* FILE_IO when damaged: Kafka then deletes it and takes an older one. */
enum file_status producer_snapshot_read(struct file_system *files, const char *directory, int64_t offset,
                                        struct producer_snapshot_entry **out, size_t *count);

#endif
