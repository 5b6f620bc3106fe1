/* The cleaner: keeps of a compacted log the last record of every key, segment by segment. */
#ifndef RUNNEL_STORAGE_CLEANER_H
#define RUNNEL_STORAGE_CLEANER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cleaner_options {
    size_t map_size_max; /* bytes: its share of log.cleaner.dedupe.buffer.size */
    double map_load;     /* log.cleaner.io.buffer.load.factor */
    size_t buffer_size;  /* bytes: its share of log.cleaner.io.buffer.size, for reading and for writing each
                            half */
    /* Called behind each buffer of work, with no lock and no borrowed pointer held: size bytes were read and
     * written since the last call. Waits as it likes. False: stop as soon as may be. NULL: never. */
    bool (*step)(void *context, uint64_t size);
    void *context;
};

/* What one thread cleans with: a map and buffers, which it has only while it cleans. */
struct cleaner;

/* NULL: no memory. */
struct cleaner *cleaner_create(const struct cleaner_options *options);
void cleaner_destroy(struct cleaner *cleaner);

#endif
