/* How appended bytes reach the end of a segment: today by pwritev at the known end. */
#ifndef RUNNEL_STORAGE_SEGMENT_TAIL_H
#define RUNNEL_STORAGE_SEGMENT_TAIL_H

#include "storage/file.h"

/* Writes the pieces behind one another from position on, with one system call per IOV_MAX pieces.
 * Anything but FILE_OK: the file may hold a part of them beyond position. */
enum file_status segment_tail_write(struct file *file, const struct iovec *pieces, size_t count,
                                    uint32_t position);
/* Makes the file end at position again after a failed write. */
enum file_status segment_tail_cut(struct file *file, uint32_t position);

#endif
