/* What a new directory gets, as `kafka-storage format --standalone` writes it. */
#ifndef RUNNEL_BROKER_METADATA_BOOTSTRAP_H
#define RUNNEL_BROKER_METADATA_BOOTSTRAP_H

#include "broker/metadata_log.h"
#include "storage/file.h"

struct metadata_place {
    struct file_system *files;
    const char *directory;     /* the log directory: bootstrap.checkpoint */
    const char *log_directory; /* its __cluster_metadata-0: 0-0.checkpoint */
    int32_t node_id;
    uuid directory_id;
    int64_t now_ms;
};

/* For a metadata log without records: makes the snapshot with this node as the only voter, and
 * bootstrap.checkpoint, unless they are there and whole. Nothing is flushed. */
enum file_status metadata_bootstrap_write(const struct metadata_place *place);
/* Flushes what metadata_bootstrap_write() left, and its names: before the log's first append. */
enum file_status metadata_bootstrap_flush(const struct metadata_place *place);

/* The records with which an empty log has to begin: those of bootstrap.checkpoint, or the
 * metadata.version of a new directory. In the arena; *count 0: no memory. */
slice *metadata_bootstrap_records(const struct metadata_place *place, struct arena *arena, size_t *count);

#endif
