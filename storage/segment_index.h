/* What the two indexes of a segment share: an array of fixed-size entries, in memory or in its file. */
#ifndef RUNNEL_STORAGE_SEGMENT_INDEX_H
#define RUNNEL_STORAGE_SEGMENT_INDEX_H

#include <stdatomic.h>

#include "protocol/base/retire.h"
#include "storage/segment_file.h"

/* Entries in the form that they have on disk. A full block is replaced by a larger one. */
struct index_block {
    uint32_t capacity;     /* items */
    _Atomic uint32_t size; /* items that readers may see */
    uint8_t bytes[];
};

/* The index of an active segment grows in memory and is appended to its file now and then (a prefix of
 * what is true, never pre-sized). The index of a sealed one lies in its file and is mapped on demand. */
struct segment_index {
    _Atomic(struct index_block *) block; /* NULL: empty, or on disk only */
    _Atomic(struct mapping *) mapping;   /* of the file, when on disk only */
    _Atomic uint32_t disk_count;         /* entries in the file; counts when on_disk */
    _Atomic bool on_disk;                /* the file is complete and believed */
    uint32_t entry_size;                 /* bytes */
    uint32_t saved_count;                /* entries of the block that are in the file (log's mutex) */
    struct open_file *file;              /* for saving; NULL: not open (log's mutex) */
};

void segment_index_init(struct segment_index *index, uint32_t entry_size);
/* Frees all of it at once; no reader may be left. */
void segment_index_destroy(struct segment_index *index);

/* Adds one entry of entry_size bytes. False: no memory; the index is then only sparser. */
bool segment_index_append(struct segment_index *index, struct retire *retire, const uint8_t *entry);
/* Replaces everything by these entries, in memory. */
bool segment_index_assign(struct segment_index *index, struct retire *retire, const uint8_t *entries,
                          uint32_t count);
/* Entries in memory; for the writer. */
uint32_t segment_index_count(const struct segment_index *index);
/* The newest entry in memory, or NULL; for the writer. */
const uint8_t *segment_index_last(const struct segment_index *index);
/* Forgets the entries in memory, as they are all in the file. */
void segment_index_leave_to_disk(struct segment_index *index, struct retire *retire);

/* Appends what is not yet in the file to it; opens the file when needed. */
enum file_status segment_index_save(struct segment_index *index, const struct segment_home *home,
                                    const char *path);

/* One moment's entries, for lookups: bytes in memory or in a mapping, or a file to pread. */
struct index_view {
    const uint8_t *bytes;    /* NULL: use file */
    struct mapping *mapping; /* when bytes are mapped: touch them in a guard only */
    struct open_file *file;  /* owned by the view when bytes is NULL */
    uint32_t count;
    uint32_t entry_size;
};

enum index_access { INDEX_OK, INDEX_COLD, INDEX_FAILED };

/* INDEX_COLD: it would have to be opened, and may_block is false. Close a view after use. */
enum index_access segment_index_view(struct segment_index *index, const struct segment_home *home,
                                     const char *path, bool may_block, struct index_view *out);
void index_view_close(struct index_view *view);
/* Copies entry number i; false: it could not be read. */
bool index_view_entry(const struct index_view *view, uint32_t i, uint8_t *out);

/* Drops mapping and descriptor (the LRU); entries stay. */
void segment_index_close_files(struct segment_index *index, const struct segment_home *home);

#endif
