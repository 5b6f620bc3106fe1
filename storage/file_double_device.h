/* The device under file_double: what a power cut leaves, kept apart from what a program sees. */
#ifndef RUNNEL_STORAGE_FILE_DOUBLE_DEVICE_H
#define RUNNEL_STORAGE_FILE_DOUBLE_DEVICE_H

#include "storage/file_double.h"

enum device_op_kind {
    DEVICE_MAKE,       /* entry `name` of directory `node` becomes the new node `target` */
    DEVICE_UNLINK,     /* entry `name` of `node` goes */
    DEVICE_RENAME,     /* entry `name` of `node`, which is `target`, becomes `name_to` */
    DEVICE_WRITE,      /* bytes at position of file `node` */
    DEVICE_TRUNCATE,   /* file `node` gets size `position` */
    DEVICE_FLUSH,      /* what waits in `node` is on the device now */
    DEVICE_FLUSH_LOST, /* the flush failed: what waits in `node` is forgotten (fsyncgate) */
    DEVICE_FLUSH_LIE,  /* nothing, but it has a number */
    DEVICE_FLIP,       /* one bit of file `node` at `position`, on the device and in what waits */
};

struct device_op {
    enum device_op_kind kind;
    uint32_t node;
    uint32_t target;
    bool is_directory; /* MAKE */
    uint8_t bit;       /* FLIP */
    char *name;        /* owned by the record */
    char *name_to;
    uint64_t position;
    uint8_t *bytes; /* owned by the record */
    size_t size;
};

struct device_entry {
    const char *name; /* borrowed from the record */
    uint32_t node;
};

struct device_node {
    bool is_directory;
    uint8_t *image; /* a file's bytes, as far as they were ever written */
    size_t image_size;
    size_t image_capacity;
    size_t size; /* of the file; what lies beyond image_size is zero */
    struct device_entry *entries; /* a directory's */
    size_t entry_count;
    size_t entry_capacity;
    const struct device_op **waiting; /* unflushed, in order; borrowed from the record */
    size_t waiting_count;
    size_t waiting_capacity;
};

enum { DEVICE_ROOT = 0 };

struct device {
    struct device_node *nodes;
    size_t node_count;
    size_t node_capacity;
};

void device_init(struct device *device);
void device_destroy(struct device *device);
/* Takes one more operation; MAKE's target is node_count. The record keeps op and its bytes. */
void device_apply(struct device *device, const struct device_op *op);
/* The power goes: what waits is lost, kept, or kept in parts. */
void device_cut(struct device *device, enum file_double_cut cut, struct random *random);
/* The file's bytes as a program that asks the device anew sees them: image and what waits. Up to *size they go on
 * with zeros. */
void device_read_back(const struct device *device, uint32_t node, uint8_t **bytes, size_t *byte_count,
                      size_t *size);

#endif
