/* scrub.runnel: how far the pass that verifies everything came, for the next start. */
#ifndef RUNNEL_STORAGE_SCRUB_FILE_H
#define RUNNEL_STORAGE_SCRUB_FILE_H

#include "protocol/base/slice.h"
#include "protocol/base/uuid.h"

#define SCRUB_FILE_NAME "scrub.runnel"

enum { SCRUB_FILE_SIZE = 80 };

struct scrub_file {
    int64_t started_ms; /* since the Unix epoch */
    bool is_finished;   /* ... and came to its end; the next one is due a period later */
    uuid topic_id;      /* the logs below this one are verified */
    int32_t partition;
    int64_t base_offset; /* and its segments below this one */
    uint64_t size;       /* bytes verified so far */
    uint32_t quarantined_count, index_count;
};

void scrub_file_encode(const struct scrub_file *file, uint8_t out[SCRUB_FILE_SIZE]);
/* False unless it is whole and can be true. */
bool scrub_file_decode(slice bytes, struct scrub_file *out);

#endif
