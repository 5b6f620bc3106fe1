/* <offset>.snapshot: the state of every producer before an offset, in Kafka's format version 1; beside it
 * <offset>.producers.runnel with what that format has no room for.
 *
 * Kafka's format knows the last batch of a producer alone. Ours adds the four before it, and when the
 * producer wrote by the broker's clock. It is believed beside the very snapshot that it was written with (its
 * checksum, and the last batch of each producer, are those of the snapshot), and may be deleted at any time:
 * the batches are found again in the log (log_producers.c). Kafka ignores it. */
#ifndef RUNNEL_STORAGE_PRODUCER_SNAPSHOT_H
#define RUNNEL_STORAGE_PRODUCER_SNAPSHOT_H

#include "storage/file.h"
#include "storage/producer_state.h"

enum { PRODUCER_SNAPSHOT_HEADER_SIZE = 10, PRODUCER_SNAPSHOT_ENTRY_SIZE = 46 };
enum {
    PRODUCER_HISTORY_HEADER_SIZE = 16,
    PRODUCER_HISTORY_ENTRY_SIZE = 20,
    PRODUCER_HISTORY_BATCH_SIZE = 24,
    PRODUCER_HISTORY_CRC_SIZE = 4,
};

/* Both files of one state. */
struct producer_files {
    uint8_t *snapshot; /* owned; one piece with the other */
    size_t snapshot_size;
    uint8_t *history; /* NULL: not worth a file, as there is no producer */
    size_t history_size;
};

/* False: no memory. NULL state: no producers. */
bool producer_files_encode(const struct producer_state *state, struct producer_files *out);
void producer_files_free(struct producer_files *files);

enum producer_decoded { PRODUCER_DECODED, PRODUCER_DAMAGED, PRODUCER_NO_MEMORY };

/* The entries of a snapshot at offset, with one batch each at most, and written_ms 0. PRODUCER_DAMAGED when
 * version, size, count or checksum is wrong, or an entry cannot be true. *entries is malloc'ed and returned
 * owned. */
enum producer_decoded producer_snapshot_decode(slice bytes, int64_t offset, struct producer_entry **entries,
                                               size_t *count);
/* Adds what the other file knows to the entries of the snapshot. PRODUCER_DAMAGED: it does not belong to it;
 * nothing was changed. */
enum producer_decoded producer_history_decode(slice bytes, slice snapshot, struct producer_entry *entries,
                                              size_t count);

enum { PRODUCER_SNAPSHOT_NAME_SIZE = 20 + sizeof ".producers.runnel" };
/* "00000000000000000042.snapshot" for offset >= 0. */
void producer_snapshot_name(int64_t offset, char out[PRODUCER_SNAPSHOT_NAME_SIZE]);
/* "00000000000000000042.producers.runnel". */
void producer_history_name(int64_t offset, char out[PRODUCER_SNAPSHOT_NAME_SIZE]);

/* Writes both files in the partition directory, the second one first, and flushes them (not the directory), if that is
 * asked for. */
enum file_status producer_files_write(struct file_system *files, const char *directory, int64_t offset,
                                      const struct producer_state *state, bool flush);
/* FILE_IO when damaged: Kafka then deletes it and takes an older one. FILE_LIMIT: no memory. *is_complete:
 * the second file was there and belongs to it, or nothing is missing without it. */
enum file_status producer_files_read(struct file_system *files, const char *directory, int64_t offset,
                                     struct producer_entry **entries, size_t *count, bool *is_complete);
/* Removes both; what is not there is no error. */
enum file_status producer_files_unlink(struct file_system *files, const char *directory, int64_t offset);

#endif
