/* The files beside the metadata log: snapshots, and Kafka's quorum state. */
#ifndef RUNNEL_BROKER_METADATA_FILES_H
#define RUNNEL_BROKER_METADATA_FILES_H

#include "broker/metadata_log.h"
#include "storage/file.h"

/* Covers the records of the log below end_offset; epoch is that of the last of them. */
struct metadata_snapshot {
    int64_t end_offset; /* -1: there is no snapshot */
    int32_t epoch;
    slice bytes; /* whole and valid, malloc'ed */
};

/* Reads the newest snapshot of the directory that is whole; damaged ones are noted and passed
 * over. FILE_OK also when there is none. */
enum file_status metadata_snapshot_load(struct file_system *files, const char *directory,
                                        struct metadata_snapshot *out);
void metadata_snapshot_free(struct metadata_snapshot *snapshot);
/* Whether bytes are a snapshot from its header to its footer; bootstrap.checkpoint is one, too. */
bool metadata_snapshot_is_whole(slice bytes);
/* "00000000000000000000-0000000000.checkpoint" */
enum { METADATA_SNAPSHOT_NAME_SIZE = 43 };
void metadata_snapshot_name(int64_t end_offset, int32_t epoch, char out[METADATA_SNAPSHOT_NAME_SIZE]);

/* A snapshot file of the directory, whole or not. */
struct metadata_snapshot_file {
    int64_t end_offset;
    int32_t epoch;
};

/* All of them, oldest first, malloc'ed. False: they cannot be listed, or no memory. */
bool metadata_snapshots_list(struct file_system *files, const char *directory,
                             struct metadata_snapshot_file **out, size_t *count);

/* The epoch that Kafka's quorum-state tells, which may be newer than the log's; 0 without one. */
int32_t metadata_quorum_epoch(struct file_system *files, const char *directory);

#endif
