/* Counted holds on the open files and mappings of a log's segments. */
#include "storage/segment_file.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/check.h"

/* By hand, as every read of a segment asks for a name: snprintf takes 1,500 instructions for it. */
void segment_path(const struct segment_home *home, int64_t base_offset, const char *suffix,
                  char out[SEGMENT_PATH_MAX])
{
    enum { DIGITS = 20 };
    size_t home_size = strlen(home->path), suffix_size = strlen(suffix);
    check(base_offset >= 0 && home_size + 1 + DIGITS + suffix_size < SEGMENT_PATH_MAX);
    memcpy(out, home->path, home_size);
    out[home_size] = '/';
    char *digits = out + home_size + 1;
    memset(digits, '0', DIGITS);
    for (int i = DIGITS - 1; base_offset > 0; base_offset /= 10)
        digits[i--] = (char)('0' + base_offset % 10);
    memcpy(digits + DIGITS, suffix, suffix_size + 1);
}

void segment_home_path(const struct segment_home *home, const char *name, char out[SEGMENT_PATH_MAX])
{
    int size = snprintf(out, SEGMENT_PATH_MAX, "%s/%s", home->path, name);
    check(size > 0 && size < SEGMENT_PATH_MAX);
}

static void open_file_release(struct pin *pin)
{
    struct open_file *open = (struct open_file *)((char *)pin - offsetof(struct open_file, pin));
    file_close(open->file);
    open->host->files_changed(open->host, -1, 0);
    free(open);
}

enum file_status open_file_open(const struct segment_home *home, const char *path, int flags,
                                struct open_file **out)
{
    struct open_file *open = malloc(sizeof *open);
    if (!open)
        return FILE_LIMIT;
    enum file_status status = file_open(home->env->files, path, flags, &open->file);
    if (status != FILE_OK) {
        free(open);
        return status;
    }
    open->host = home->host;
    pin_init(&open->pin, open_file_release);
    home->host->files_changed(home->host, 1, 0);
    *out = open;
    return FILE_OK;
}

static void open_file_drop(void *object)
{
    pin_drop(&((struct open_file *)object)->pin);
}

void open_file_retire(const struct segment_home *home, struct open_file *file)
{
    if (file)
        retire(home->env->retire, file, open_file_drop);
}

static void mapping_release(struct pin *pin)
{
    struct mapping *mapping = (struct mapping *)((char *)pin - offsetof(struct mapping, pin));
    file_unmap(mapping->files, &mapping->map);
    mapping->host->files_changed(mapping->host, 0, -1);
    free(mapping);
}

enum file_status mapping_create(const struct segment_home *home, struct file *file, size_t size,
                                struct mapping **out)
{
    if (!home->host->may_open(home->host, 0, 1))
        return FILE_LIMIT;
    struct mapping *mapping = malloc(sizeof *mapping);
    if (!mapping)
        return FILE_LIMIT;
    enum file_status status = file_map(file, 0, size, &mapping->map);
    if (status != FILE_OK) {
        free(mapping);
        return status;
    }
    atomic_init(&mapping->is_distrusted, false);
    mapping->files = home->env->files;
    mapping->host = home->host;
    pin_init(&mapping->pin, mapping_release);
    home->host->files_changed(home->host, 0, 1);
    *out = mapping;
    return FILE_OK;
}

static void mapping_drop(void *object)
{
    pin_drop(&((struct mapping *)object)->pin);
}

void mapping_retire(const struct segment_home *home, struct mapping *mapping)
{
    if (mapping)
        retire(home->env->retire, mapping, mapping_drop);
}

void mapping_release_memory(const struct mapping *mapping)
{
    if (mapping)
        file_release(mapping->files, mapping->map.address, mapping->map.size);
}

bool mapping_is_pinned(struct mapping *mapping)
{
    return mapping && atomic_load_explicit(&mapping->pin.count, memory_order_acquire) > 1;
}
