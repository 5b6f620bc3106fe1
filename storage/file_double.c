/* The test double of file.h: what programs see, kept in memory; its device is file_double_device. */
#include "storage/file_double_internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "protocol/base/check.h"

static struct file_double *double_of(struct file_system *system)
{
    return (struct file_double *)system;
}

struct file_double *file_double__lock(struct file_system *system)
{
    struct file_double *disk = double_of(system);

    pthread_mutex_lock(&disk->lock);
    return disk;
}

static struct file_double *lock_of(struct file *file)
{
    return file_double__lock(file->system);
}

void file_double__unlock(struct file_double *disk)
{
    pthread_mutex_unlock(&disk->lock);
}

static struct cache_node *node_of(struct file_double *disk, struct file *file)
{
    return &disk->nodes[((struct double_file *)file)->node];
}

/* --- the recording ----------------------------------------------------------------------------- */

void file_double__record(struct file_double *disk, struct device_op op)
{
    struct device_op *kept = check_memory(malloc(sizeof *kept));

    *kept = op;
    kept->name = file_double__copied_name(op.name);
    kept->name_to = file_double__copied_name(op.name_to);
    if (op.size) {
        kept->bytes = check_memory(malloc(op.size));
        memcpy(kept->bytes, op.bytes, op.size);
    }
    if (disk->op_count == disk->op_capacity) {
        disk->op_capacity = disk->op_capacity ? disk->op_capacity * 2 : 64;
        disk->ops = check_memory(realloc(disk->ops, disk->op_capacity * sizeof(struct device_op *)));
    }
    disk->ops[disk->op_count++] = kept;
    device_apply(&disk->device, kept);
}

void file_double__record_write(struct file_double *disk, uint32_t node, uint64_t position,
                               const uint8_t *bytes, size_t size)
{
    if (size)
        file_double__record(disk, (struct device_op){ .kind = DEVICE_WRITE,
                                                      .node = node,
                                                      .position = position,
                                                      .bytes = (uint8_t *)(uintptr_t)bytes,
                                                      .size = size });
}

/* is_late: the call began when one had failed already. */
static enum file_status flush_node(struct file_double *disk, uint32_t node, bool is_late)
{
    enum device_op_kind kind = disk->ignores_flushes ? DEVICE_FLUSH_LIE : DEVICE_FLUSH;
    enum file_status status = FILE_OK;

    disk->flush_count++;
    disk->late_flush_count += is_late;
    if (disk->flush_fault.countdown && --disk->flush_fault.countdown == 0) {
        kind = DEVICE_FLUSH_LOST;
        status = FILE_IO;
        disk->has_failed_flush = true;
    }
    file_double__record(disk, (struct device_op){ .kind = kind, .node = node });
    return status;
}

/* --- nodes and their room ---------------------------------------------------------------------- */

uint32_t file_double__add_node(struct file_double *disk, bool is_directory)
{
    if (disk->node_count == disk->node_capacity) {
        disk->node_capacity = disk->node_capacity ? disk->node_capacity * 2 : 16;
        disk->nodes = check_memory(realloc(disk->nodes, disk->node_capacity * sizeof *disk->nodes));
    }
    disk->nodes[disk->node_count] =
        (struct cache_node){ .is_directory = is_directory, .is_linked = true, .memfd = -1 };
    return (uint32_t)disk->node_count++;
}

void file_double__forget_if_unused(struct cache_node *node)
{
    if (node->is_linked || node->open_count || node->memfd < 0)
        return;
    close(node->memfd);
    node->memfd = -1;
}

void file_double__give_space(struct file_double *disk, uint64_t size)
{
    if (disk->free_space != UINT64_MAX)
        disk->free_space += size;
}

uint64_t file_double__blocks_end(const struct cache_node *node)
{
    return node->ahead_end > node->size ? node->ahead_end : node->size;
}

/* --- open files -------------------------------------------------------------------------------- */

void file_double__write_cache(int memfd, const uint8_t *bytes, size_t size, uint64_t position)
{
    while (size) {
        ssize_t n = pwrite(memfd, bytes, size, (off_t)position);
        check(n > 0);
        bytes += n;
        size -= (size_t)n;
        position += (uint64_t)n;
    }
}

static void fill_from_device(struct file_double *disk, uint32_t index)
{
    struct cache_node *node = &disk->nodes[index];
    uint8_t *bytes;
    size_t byte_count, size;

    device_read_back(&disk->device, index, &bytes, &byte_count, &size);
    check(ftruncate(node->memfd, (off_t)size) == 0);
    file_double__write_cache(node->memfd, bytes, byte_count, 0);
    if (size > byte_count)
        check(fallocate(node->memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)byte_count,
                        (off_t)(size - byte_count)) == 0);
    node->size = size;
    free(bytes);
}

static void truncate_node(struct file_double *disk, uint32_t index, uint64_t size)
{
    struct cache_node *node = &disk->nodes[index];

    if (size <= node->size) {
        file_double__give_space(disk, file_double__blocks_end(node) - size);
        node->ahead_end = 0;
    }
    check(ftruncate(node->memfd, (off_t)size) == 0);
    node->size = size;
    file_double__record(disk, (struct device_op){ .kind = DEVICE_TRUNCATE, .node = index, .position = size });
}

static enum file_status open_locked(struct file_double *disk, const char *path, int flags, uint32_t *node)
{
    uint32_t parent;
    char name[256];

    if (!file_double__resolve(disk, path, &parent, name, node))
        return FILE_NOT_FOUND;
    if (*node == NODE_NONE && !(flags & FILE_CREATE))
        return FILE_NOT_FOUND;
    if (*node != NODE_NONE && disk->nodes[*node].is_directory)
        return FILE_IO;
    if (*node != NODE_NONE && (flags & FILE_EXCLUSIVE))
        return FILE_EXISTS;
    if (disk->open_limit && disk->open_count >= disk->open_limit)
        return FILE_LIMIT;
    if (*node == NODE_NONE) {
        if (disk->free_space == 0)
            return FILE_FULL;
        *node = file_double__make_node(disk, parent, name, false);
    }
    struct cache_node *found = &disk->nodes[*node];
    if (found->memfd < 0) {
        found->memfd = memfd_create("file", MFD_CLOEXEC);
        check(found->memfd >= 0);
        fill_from_device(disk, *node);
    }
    if ((flags & FILE_TRUNCATE) && found->size)
        truncate_node(disk, *node, 0);
    return FILE_OK;
}

static enum file_status double_open(struct file_system *system, const char *path, int flags,
                                    struct file **out)
{
    struct file_double *disk = file_double__lock(system);
    uint32_t node;

    *out = NULL;
    enum file_status status = open_locked(disk, path, flags, &node);
    if (status == FILE_OK) {
        struct double_file *file = check_memory(malloc(sizeof *file));
        *file = (struct double_file){ .file = { .system = system }, .node = node };
        disk->nodes[node].open_count++;
        disk->open_count++;
        *out = &file->file;
    }
    file_double__unlock(disk);
    return status;
}

static void double_close(struct file *file)
{
    struct file_double *disk = lock_of(file);
    struct cache_node *node = node_of(disk, file);

    if (node->locker == (struct double_file *)file)
        node->locker = NULL;
    node->open_count--;
    disk->open_count--;
    file_double__forget_if_unused(node);
    free(file);
    file_double__unlock(disk);
}

static enum file_status double_info(struct file_system *system, const char *path, struct file_info *out)
{
    struct file_double *disk = file_double__lock(system);
    uint32_t node = file_double__node_at(disk, path);

    if (node != NODE_NONE) {
        bool is_directory = disk->nodes[node].is_directory;
        *out = (struct file_info){ .size = disk->nodes[node].size,
                                   .is_directory = is_directory,
                                   .is_regular = !is_directory };
    }
    file_double__unlock(disk);
    return node == NODE_NONE ? FILE_NOT_FOUND : FILE_OK;
}

static enum file_status double_size(struct file *file, uint64_t *out)
{
    struct file_double *disk = lock_of(file);

    *out = node_of(disk, file)->size;
    file_double__unlock(disk);
    return FILE_OK;
}

/* A bit that was flipped in the cache alone is the device's again. */
static void unflip_cached(struct file_double *disk, uint32_t node)
{
    if (!disk->has_cached_flip || disk->cached_flip_node != node)
        return;
    disk->has_cached_flip = false;
    file_double__flip_cache(disk, node, disk->cached_flip_position, disk->cached_flip_bit);
}

static enum file_status double_pread(struct file *file, void *out, size_t size, uint64_t position,
                                     size_t *got)
{
    struct file_double *disk = lock_of(file);
    uint32_t node = ((struct double_file *)file)->node;
    int memfd = disk->nodes[node].memfd;
    enum file_status status = FILE_OK;

    *got = 0;
    if (disk->unreadable_size > 0 && node == disk->unreadable_node &&
        position < disk->unreadable_position + disk->unreadable_size &&
        disk->unreadable_position < position + size) {
        size = position < disk->unreadable_position ? (size_t)(disk->unreadable_position - position) : 0;
        status = FILE_IO;
    }
    while (*got < size) {
        ssize_t n = pread(memfd, (uint8_t *)out + *got, size - *got, (off_t)(position + *got));
        check(n >= 0);
        if (n == 0)
            break;
        *got += (size_t)n;
    }
    file_double__unlock(disk);
    return status;
}

static enum file_status double_pread_aside(struct file *file, void *out, size_t size, uint64_t position,
                                           bool from_device, size_t *got)
{
    struct file_double *disk = lock_of(file);

    if (from_device)
        unflip_cached(disk, ((struct double_file *)file)->node);
    file_double__unlock(disk);
    return double_pread(file, out, size, position, got);
}

/* How much of `size` bytes at position may be written, and what is said about the rest. */
static size_t admitted(struct file_double *disk, const struct cache_node *node, size_t size,
                       uint64_t position, enum file_status *status)
{
    uint64_t end = file_double__blocks_end(node), room = position < end ? end - position : 0;

    *status = FILE_OK;
    if (disk->write_fault.countdown && --disk->write_fault.countdown == 0) {
        *status = disk->write_fault.status;
        return disk->write_fault.size < size ? disk->write_fault.size : size;
    }
    if (disk->free_space == UINT64_MAX || size <= room)
        return size;
    if (size - room <= disk->free_space) {
        disk->free_space -= size - room;
        return size;
    }
    room += disk->free_space;
    disk->free_space = 0;
    *status = FILE_FULL;
    return (size_t)room;
}

static enum file_status double_pwritev(struct file *file, const struct iovec *iov, int count,
                                       uint64_t position, size_t *written)
{
    struct file_double *disk = lock_of(file);
    uint32_t index = ((struct double_file *)file)->node;
    struct cache_node *node = &disk->nodes[index];
    enum file_status status;
    size_t size = 0;

    for (int i = 0; i < count; i++)
        size += iov[i].iov_len;
    uint8_t *bytes = check_memory(malloc(size + 1));
    for (size_t i = 0, at = 0; i < (size_t)count; at += iov[i++].iov_len) {
        if (iov[i].iov_len)
            memcpy(bytes + at, iov[i].iov_base, iov[i].iov_len);
    }
    *written = admitted(disk, node, size, position, &status);
    if (*written) {
        file_double__write_cache(node->memfd, bytes, *written, position);
        if (position + *written > node->size)
            node->size = position + *written;
        file_double__record_write(disk, index, position, bytes, *written);
    }
    free(bytes);
    file_double__unlock(disk);
    return status;
}

static enum file_status double_truncate(struct file *file, uint64_t size)
{
    struct file_double *disk = lock_of(file);

    truncate_node(disk, ((struct double_file *)file)->node, size);
    file_double__unlock(disk);
    return FILE_OK;
}

static enum file_status double_allocate(struct file *file, uint64_t size)
{
    struct file_double *disk = lock_of(file);
    uint32_t index = ((struct double_file *)file)->node;
    uint64_t had = disk->nodes[index].size;
    enum file_status status = FILE_OK;

    if (size > had && size - had > disk->free_space) {
        status = FILE_FULL;
    } else if (size > had) {
        if (disk->free_space != UINT64_MAX)
            disk->free_space -= size - had;
        truncate_node(disk, index, size);
    }
    file_double__unlock(disk);
    return status;
}

/* What programs see and what a power cut leaves is the same with and without. */
static enum file_status double_allocate_ahead(struct file *file, uint64_t position, uint64_t size)
{
    struct file_double *disk = lock_of(file);
    struct cache_node *node = &disk->nodes[((struct double_file *)file)->node];
    uint64_t had = file_double__blocks_end(node), end = position + size;
    uint64_t wanted = end > had ? end - had : 0;
    enum file_status status = wanted > disk->free_space ? FILE_FULL : FILE_OK;

    if (status == FILE_OK && wanted > 0) {
        node->ahead_end = end;
        if (disk->free_space != UINT64_MAX)
            disk->free_space -= wanted;
    }
    file_double__unlock(disk);
    return status;
}

static enum file_status double_give_ahead(struct file *file)
{
    struct file_double *disk = lock_of(file);
    struct cache_node *node = &disk->nodes[((struct double_file *)file)->node];

    file_double__give_space(disk, file_double__blocks_end(node) - node->size);
    node->ahead_end = 0;
    file_double__unlock(disk);
    return FILE_OK;
}

static enum file_status flush_file(struct file *file, bool is_late)
{
    struct file_double *disk = lock_of(file);
    enum file_status status = flush_node(disk, ((struct double_file *)file)->node, is_late);

    file_double__unlock(disk);
    return status;
}

static enum file_status flush_names(struct file_system *system, const char *path, bool is_late)
{
    struct file_double *disk = file_double__lock(system);
    uint32_t node = file_double__node_at(disk, path);
    enum file_status status = FILE_NOT_FOUND;

    if (node != NODE_NONE && disk->nodes[node].is_directory)
        status = flush_node(disk, node, is_late);
    file_double__unlock(disk);
    return status;
}

static bool has_failed_flush(struct file_system *system)
{
    struct file_double *disk = file_double__lock(system);
    bool has_failed = disk->has_failed_flush;

    file_double__unlock(disk);
    return has_failed;
}

static enum file_status double_flush(struct file *file)
{
    return flush_file(file, has_failed_flush(file->system));
}

static enum file_status double_flush_directory(struct file_system *system, const char *path)
{
    return flush_names(system, path, has_failed_flush(system));
}

/* One call, though a member of it may fail before the others are flushed. */
static void double_flush_group(struct file_system *system, struct file *const *files, size_t file_count,
                               const char *const *directories, size_t directory_count,
                               enum file_status *statuses)
{
    bool is_late = has_failed_flush(system);

    for (size_t i = 0; i < file_count; i++)
        *statuses++ = flush_file(files[i], is_late);
    for (size_t i = 0; i < directory_count; i++)
        *statuses++ = flush_names(system, directories[i], is_late);
}

static enum file_status double_flush_all(struct file_system *system, const char *path)
{
    struct file_double *disk = file_double__lock(system);
    bool is_late = disk->has_failed_flush;
    enum file_status status = FILE_OK;

    (void)path; /* one file system for all */
    for (uint32_t i = 0; i < disk->device.node_count; i++) {
        if (disk->device.nodes[i].waiting_count > 0 && flush_node(disk, i, is_late) != FILE_OK)
            status = FILE_IO;
    }
    file_double__unlock(disk);
    return status;
}

/* --- mappings ---------------------------------------------------------------------------------- */

static uint64_t page_mask(void)
{
    return (uint64_t)sysconf(_SC_PAGESIZE) - 1;
}

static enum file_status double_map(struct file *file, uint64_t position, size_t size, struct file_map *out)
{
    size_t lead = (size_t)(position & page_mask());

    *out = (struct file_map){ NULL, 0 };
    if (size == 0)
        return FILE_OK;
    struct file_double *disk = lock_of(file);
    uint8_t *base =
        mmap(NULL, size + lead, PROT_READ, MAP_SHARED, node_of(disk, file)->memfd, (off_t)(position - lead));
    file_double__unlock(disk);
    if (base == MAP_FAILED)
        return FILE_LIMIT;
    *out = (struct file_map){ base + lead, size };
    return FILE_OK;
}

static void double_unmap(struct file_system *system, struct file_map *map)
{
    (void)system;
    if (map->address) {
        size_t lead = (size_t)((uintptr_t)map->address & page_mask());
        check(munmap((uint8_t *)(uintptr_t)map->address - lead, map->size + lead) == 0);
    }
    *map = (struct file_map){ NULL, 0 };
}

static bool double_is_resident(struct file_system *system, const uint8_t *address, size_t size)
{
    (void)system;
    (void)address;
    (void)size;
    return true;
}

static enum file_status double_populate(struct file_system *system, const uint8_t *address, size_t size)
{
    (void)system;
    (void)address;
    (void)size;
    return FILE_OK;
}

static void double_release(struct file_system *system, const uint8_t *address, size_t size)
{
    (void)system;
    (void)address;
    (void)size;
}

static void double_drop_cache(struct file *file, uint64_t from)
{
    (void)from;
    struct file_double *disk = lock_of(file);

    fill_from_device(disk, ((struct double_file *)file)->node);
    file_double__unlock(disk);
}

static void double_write_behind(struct file *file, uint64_t position, uint64_t size)
{
    (void)file;
    (void)position;
    (void)size;
}

static enum file_status double_lock(struct file *file)
{
    struct file_double *disk = lock_of(file);
    struct cache_node *node = node_of(disk, file);
    enum file_status status = FILE_LOCKED;

    if (!node->locker || node->locker == (struct double_file *)file) {
        node->locker = (struct double_file *)file;
        status = FILE_OK;
    }
    file_double__unlock(disk);
    return status;
}

static uint64_t double_free_space(struct file_system *system, const char *path)
{
    struct file_double *disk = file_double__lock(system);
    uint64_t space = disk->free_space;

    (void)path;
    file_double__unlock(disk);
    return space;
}

const struct file_system_ops file_double__ops = {
    .open = double_open,
    .close = double_close,
    .info = double_info,
    .size = double_size,
    .pread = double_pread,
    .pread_aside = double_pread_aside,
    .pwritev = double_pwritev,
    .truncate = double_truncate,
    .allocate = double_allocate,
    .allocate_ahead = double_allocate_ahead,
    .give_ahead = double_give_ahead,
    .flush = double_flush,
    .flush_directory = double_flush_directory,
    .flush_group = double_flush_group,
    .flush_all = double_flush_all,
    .map = double_map,
    .unmap = double_unmap,
    .is_resident = double_is_resident,
    .populate = double_populate,
    .release = double_release,
    .drop_cache = double_drop_cache,
    .write_behind = double_write_behind,
    .read_ahead = double_write_behind, /* nothing waits here */
    .rename = file_double__rename,
    .unlink = file_double__unlink,
    .make_directory = file_double__make_directory,
    .remove_directory = file_double__remove_directory,
    .list = file_double__list,
    .lock = double_lock,
    .free_space = double_free_space,
};
