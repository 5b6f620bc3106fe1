/* How appended bytes reach the end of a segment: today by pwritev at the known end. */
#include "storage/segment_tail.h"

#include <limits.h>

enum file_status segment_tail_write(struct file *file, const struct iovec *pieces, size_t count,
                                    uint32_t position)
{
    uint64_t end = position;
    while (count > 0) {
        int step = count < IOV_MAX ? (int)count : IOV_MAX;
        size_t written = 0;
        enum file_status status = file_pwritev(file, pieces, step, end, &written);
        if (status != FILE_OK)
            return status;
        end += written;
        pieces += step;
        count -= (size_t)step;
    }
    return FILE_OK;
}

enum file_status segment_tail_cut(struct file *file, uint32_t position)
{
    uint64_t size;
    enum file_status status = file_size(file, &size);
    if (status != FILE_OK || size <= position)
        return status;
    return file_truncate(file, position);
}
