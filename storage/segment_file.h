/* Counted holds on the open files and mappings of a log's segments. */
#ifndef RUNNEL_STORAGE_SEGMENT_FILE_H
#define RUNNEL_STORAGE_SEGMENT_FILE_H

#include <stdatomic.h>

#include "protocol/base/pin.h"
#include "storage/env.h"
#include "storage/log_internal.h"

/* What every segment of a log has in common. */
struct segment_home {
    struct storage_env *env;
    struct log_host *host;
    const char *path; /* of the partition directory */
};

enum { SEGMENT_PATH_MAX = 4096 };

/* <path>/<base offset, 20 digits><suffix>; suffix as in ".log". */
void segment_path(const struct segment_home *home, int64_t base_offset, const char *suffix,
                  char out[SEGMENT_PATH_MAX]);
/* <path>/<name>. */
void segment_home_path(const struct segment_home *home, const char *name, char out[SEGMENT_PATH_MAX]);

/* An open file that a flush or a reader may outlive its owner's wish to close it. */
struct open_file {
    struct pin pin;
    struct file *file;
    struct log_host *host;
};

enum file_status open_file_open(const struct segment_home *home, const char *path, int flags,
                                struct open_file **out);
/* Drops the owner's hold once no reader of this turn can have it. */
void open_file_retire(const struct segment_home *home, struct open_file *file);

/* A read-only mapping of [0, map.size) of a file; ranges of it are pinned by responses. */
struct mapping {
    struct pin pin;
    struct file_map map;
    _Atomic bool is_distrusted; /* a page of it could not be delivered: read the file instead */
    struct file_system *files;
    struct log_host *host;
};

/* FILE_LIMIT when the host wants no more mappings. */
enum file_status mapping_create(const struct segment_home *home, struct file *file, size_t size,
                                struct mapping **out);
void mapping_retire(const struct segment_home *home, struct mapping *mapping);
/* Lets go of the memory that its pages take; NULL: nothing to do. Readers may be at it. */
void mapping_release_memory(const struct mapping *mapping);
/* Whether somebody besides the owner holds it. */
bool mapping_is_pinned(struct mapping *mapping);

#endif
