/* What file_double.c, file_double_names.c and file_double_control.c share; nobody else includes it. */
#ifndef RUNNEL_STORAGE_FILE_DOUBLE_INTERNAL_H
#define RUNNEL_STORAGE_FILE_DOUBLE_INTERNAL_H

#include <pthread.h>

#include "storage/file_double_device.h"

enum { NODE_NONE = UINT32_MAX };

struct cache_entry {
    char *name;
    uint32_t node;
};

struct double_file;

/* What programs see of a file or directory; numbered like the device's nodes. */
struct cache_node {
    bool is_directory;
    bool is_linked;
    int memfd; /* -1 until the file is first opened */
    uint64_t size;
    uint64_t ahead_end; /* up to here there are blocks; below size: none ahead of it */
    unsigned open_count;
    struct double_file *locker;
    struct cache_entry *entries;
    size_t entry_count;
    size_t entry_capacity;
};

struct fault {
    uint64_t countdown; /* fires when it comes down to 0; 0: off */
    enum file_status status;
    size_t size; /* bytes written before it fails */
};

struct file_double {
    struct file_system system; /* first: a file_double is a file_system */
    pthread_mutex_t lock;      /* guards all that follows */
    struct device device;
    struct device_op **ops; /* the recording; the first preamble_count only build the beginning */
    size_t op_count;
    size_t op_capacity;
    size_t preamble_count;
    struct cache_node *nodes;
    size_t node_count;
    size_t node_capacity;
    uint64_t flush_count;
    uint64_t late_flush_count;
    bool has_failed_flush;
    unsigned open_count;
    unsigned open_limit;
    uint64_t free_space;
    struct fault write_fault;
    struct fault rename_fault;
    struct fault unlink_fault;
    struct fault flush_fault;
    bool ignores_flushes;
    uint32_t unreadable_node;
    uint64_t unreadable_position;
    uint64_t unreadable_size; /* 0: all can be read */
    bool has_cached_flip;
    uint32_t cached_flip_node;
    uint64_t cached_flip_position;
    unsigned cached_flip_bit;
};

struct double_file {
    struct file file; /* first: a double_file is a file */
    uint32_t node;
};

extern const struct file_system_ops file_double__ops;

struct file_double *file_double__lock(struct file_system *system);
void file_double__unlock(struct file_double *disk);

/* file_double_names.c: of the table of operations; they take the lock. */
enum file_status file_double__rename(struct file_system *system, const char *from, const char *to);
enum file_status file_double__unlink(struct file_system *system, const char *path);
enum file_status file_double__remove_directory(struct file_system *system, const char *path);
enum file_status file_double__make_directory(struct file_system *system, const char *path);
enum file_status file_double__list(struct file_system *system, const char *path,
                                   bool (*visit)(void *context, const char *name, enum file_type type),
                                   void *context);

/* From here on all under the lock. The directory of path's last component, that component (a copy of at most
 * 255 bytes), and its node or NODE_NONE. False when the directory does not exist. The root has the name "".
 */
bool file_double__resolve(const struct file_double *disk, const char *path, uint32_t *parent,
                          char name_out[256], uint32_t *node);
char *file_double__copied_name(const char *name);
/* Where the file's blocks end. */
uint64_t file_double__blocks_end(const struct cache_node *node);
/* Room of a file that is gone or shorter now. */
void file_double__give_space(struct file_double *disk, uint64_t size);
/* Without a name and without an open file its bytes go. */
void file_double__forget_if_unused(struct cache_node *node);
/* Copies what op borrows, records it and lets the device have it. */
void file_double__record(struct file_double *disk, struct device_op op);
void file_double__record_write(struct file_double *disk, uint32_t node, uint64_t position,
                               const uint8_t *bytes, size_t size);
uint32_t file_double__add_node(struct file_double *disk, bool is_directory);
/* A new file or directory in parent, recorded. */
uint32_t file_double__make_node(struct file_double *disk, uint32_t parent, const char *name,
                                bool is_directory);
/* NODE_NONE when there is no such path. */
uint32_t file_double__node_at(const struct file_double *disk, const char *path);
/* Flips one bit of what programs see, when the file was ever opened. */
void file_double__flip_cache(struct file_double *disk, uint32_t node, uint64_t position, unsigned bit);
void file_double__write_cache(int memfd, const uint8_t *bytes, size_t size, uint64_t position);

#endif
