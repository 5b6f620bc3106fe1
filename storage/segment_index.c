/* What the two indexes of a segment share: an array of fixed-size entries, in memory or in its file. */
#include "storage/segment_index.h"

#include <stdlib.h>

enum { INDEX_FIRST_CAPACITY = 16, INDEX_ENTRY_SIZE_MAX = 16 };

void segment_index_init(struct segment_index *index, uint32_t entry_size)
{
    *index = (struct segment_index){ .entry_size = entry_size };
}

void segment_index_destroy(struct segment_index *index)
{
    free(atomic_load(&index->block));
    struct mapping *mapping = atomic_load(&index->mapping);
    if (mapping)
        pin_drop(&mapping->pin);
    if (index->file)
        pin_drop(&index->file->pin);
    segment_index_init(index, index->entry_size);
}

static struct index_block *writers_block(const struct segment_index *index)
{
    return atomic_load_explicit(&((struct segment_index *)index)->block, memory_order_relaxed);
}

uint32_t segment_index_count(const struct segment_index *index)
{
    struct index_block *block = writers_block(index);
    return block ? atomic_load_explicit(&block->size, memory_order_relaxed) : 0;
}

const uint8_t *segment_index_last(const struct segment_index *index)
{
    uint32_t count = segment_index_count(index);
    return count ? writers_block(index)->bytes + (size_t)(count - 1) * index->entry_size : NULL;
}

/* Swaps in a block of this capacity with the same entries. */
static bool grow(struct segment_index *index, struct retire *retire_list, uint32_t capacity)
{
    struct index_block *old = writers_block(index);
    uint32_t count = segment_index_count(index);
    struct index_block *block = malloc(sizeof *block + (size_t)capacity * index->entry_size);
    if (!block)
        return false;
    block->capacity = capacity;
    atomic_init(&block->size, count);
    if (old)
        memcpy(block->bytes, old->bytes, (size_t)count * index->entry_size);
    atomic_store_explicit(&index->block, block, memory_order_release);
    if (old)
        retire(retire_list, old, free);
    return true;
}

bool segment_index_append(struct segment_index *index, struct retire *retire_list, const uint8_t *entry)
{
    struct index_block *block = writers_block(index);
    uint32_t count = segment_index_count(index);
    if (!block || count == block->capacity) {
        if (!grow(index, retire_list, block ? block->capacity * 2 : INDEX_FIRST_CAPACITY))
            return false;
        block = writers_block(index);
    }
    memcpy(block->bytes + (size_t)count * index->entry_size, entry, index->entry_size);
    atomic_store_explicit(&block->size, count + 1, memory_order_release);
    return true;
}

bool segment_index_assign(struct segment_index *index, struct retire *retire_list, const uint8_t *entries,
                          uint32_t count)
{
    struct index_block *old = writers_block(index);
    struct index_block *block = NULL;
    if (count > 0) {
        block = malloc(sizeof *block + (size_t)count * index->entry_size);
        if (!block)
            return false;
        block->capacity = count;
        atomic_init(&block->size, count);
        memcpy(block->bytes, entries, (size_t)count * index->entry_size);
    }
    index->saved_count = 0;
    atomic_store_explicit(&index->block, block, memory_order_release);
    atomic_store_explicit(&index->on_disk, false, memory_order_release);
    if (old)
        retire(retire_list, old, free);
    return true;
}

void segment_index_leave_to_disk(struct segment_index *index, struct retire *retire_list)
{
    struct index_block *old = writers_block(index);
    if (atomic_load(&index->on_disk))
        return;
    atomic_store_explicit(&index->disk_count, segment_index_count(index), memory_order_relaxed);
    atomic_store_explicit(&index->on_disk, true, memory_order_release);
    atomic_store_explicit(&index->block, NULL, memory_order_release);
    if (old)
        retire(retire_list, old, free);
}

enum file_status segment_index_save(struct segment_index *index, const struct segment_home *home,
                                    const char *path)
{
    uint32_t count = segment_index_count(index);
    if (atomic_load(&index->on_disk))
        return FILE_OK;
    if (!index->file) {
        /* A file that is only now made or opened may hold anything: only what we wrote counts. */
        int flags = FILE_READ | FILE_WRITE | FILE_CREATE | (index->saved_count == 0 ? FILE_TRUNCATE : 0);
        uint64_t size, saved_size = (uint64_t)index->saved_count * index->entry_size;
        enum file_status status = open_file_open(home, path, flags, &index->file);
        size = 0;
        if (status == FILE_OK && saved_size > 0)
            status = file_size(index->file->file, &size);
        if (status == FILE_OK && size > saved_size)
            status = file_truncate(index->file->file, saved_size);
        if (status != FILE_OK)
            return status;
    }
    if (count == index->saved_count)
        return FILE_OK;
    size_t from = (size_t)index->saved_count * index->entry_size;
    size_t size = (size_t)count * index->entry_size - from;
    enum file_status status = file_pwrite(index->file->file, writers_block(index)->bytes + from, size, from);
    if (status == FILE_OK)
        index->saved_count = count;
    return status;
}

/* The mapping of a sealed index; NULL with *out_count 0 when it is empty. */
static enum index_access map_file(struct segment_index *index, const struct segment_home *home,
                                  const char *path, struct index_view *out)
{
    struct open_file *file;
    uint64_t size;
    if (open_file_open(home, path, FILE_READ, &file) != FILE_OK)
        return INDEX_FAILED;
    if (file_size(file->file, &size) != FILE_OK || size > INT32_MAX)
        goto failed;
    uint32_t in_file = (uint32_t)(size / index->entry_size);
    if (out->count > in_file)
        out->count = in_file;
    if (out->count == 0) {
        pin_drop(&file->pin);
        out->bytes = (const uint8_t *)"";
        return INDEX_OK;
    }
    struct mapping *mapping, *none = NULL;
    if (mapping_create(home, file->file, (size_t)out->count * index->entry_size, &mapping) != FILE_OK) {
        out->file = file;
        return INDEX_OK;
    }
    if (!atomic_compare_exchange_strong(&index->mapping, &none, mapping)) {
        pin_drop(&mapping->pin); /* another reader was first */
        mapping = none;
    }
    pin_drop(&file->pin);
    out->mapping = mapping;
    out->bytes = mapping->map.address;
    if (out->count > mapping->map.size / index->entry_size)
        out->count = (uint32_t)(mapping->map.size / index->entry_size);
    return INDEX_OK;
failed:
    pin_drop(&file->pin);
    return INDEX_FAILED;
}

enum index_access segment_index_view(struct segment_index *index, const struct segment_home *home,
                                     const char *path, bool may_block, struct index_view *out)
{
    *out = (struct index_view){ .entry_size = index->entry_size, .bytes = (const uint8_t *)"" };
    struct index_block *block = atomic_load_explicit(&index->block, memory_order_acquire);
    if (block) {
        out->bytes = block->bytes;
        out->count = atomic_load_explicit(&block->size, memory_order_acquire);
        return INDEX_OK;
    }
    if (!atomic_load_explicit(&index->on_disk, memory_order_acquire))
        return INDEX_OK;
    out->count = atomic_load_explicit(&index->disk_count, memory_order_relaxed);
    if (out->count == 0)
        return INDEX_OK;
    struct mapping *mapping = atomic_load_explicit(&index->mapping, memory_order_acquire);
    if (mapping) {
        out->mapping = mapping;
        out->bytes = mapping->map.address;
        if (out->count > mapping->map.size / index->entry_size)
            out->count = (uint32_t)(mapping->map.size / index->entry_size);
        return INDEX_OK;
    }
    out->bytes = NULL;
    return may_block ? map_file(index, home, path, out) : INDEX_COLD;
}

void index_view_close(struct index_view *view)
{
    if (view->file)
        pin_drop(&view->file->pin);
    view->file = NULL;
}

bool index_view_entry(const struct index_view *view, uint32_t i, uint8_t *out)
{
    size_t position = (size_t)i * view->entry_size;
    if (view->bytes) {
        memcpy(out, view->bytes + position, view->entry_size);
        return true;
    }
    size_t got;
    return file_pread(view->file->file, out, view->entry_size, position, &got) == FILE_OK &&
           got == view->entry_size;
}

void segment_index_close_files(struct segment_index *index, const struct segment_home *home)
{
    mapping_retire(home, atomic_exchange(&index->mapping, NULL));
    open_file_retire(home, index->file);
    index->file = NULL;
}
