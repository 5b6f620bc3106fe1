/* The test double of file.h: what programs see, kept in memory; its device is file_double_device. */
#include "storage/file_double_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "protocol/base/check.h"

static struct file_double *double_of(struct file_system *system)
{
    return (struct file_double *)system;
}

static struct file_double *lock_system(struct file_system *system)
{
    struct file_double *disk = double_of(system);

    pthread_mutex_lock(&disk->lock);
    return disk;
}

static struct file_double *lock_of(struct file *file)
{
    return lock_system(file->system);
}

static void unlock(struct file_double *disk)
{
    pthread_mutex_unlock(&disk->lock);
}

static struct cache_node *node_of(struct file_double *disk, struct file *file)
{
    return &disk->nodes[((struct double_file *)file)->node];
}

/* --- the recording ----------------------------------------------------------------------------- */

static char *copied_name(const char *name)
{
    return name ? check_memory(strdup(name)) : NULL;
}

/* Copies what op borrows, records it and lets the device have it. */
void file_double__record(struct file_double *disk, struct device_op op)
{
    struct device_op *kept = check_memory(malloc(sizeof *kept));

    *kept = op;
    kept->name = copied_name(op.name);
    kept->name_to = copied_name(op.name_to);
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

/* --- names ------------------------------------------------------------------------------------- */

static uint32_t find_entry(const struct cache_node *node, const char *name, size_t size)
{
    for (size_t i = 0; i < node->entry_count; i++) {
        if (strlen(node->entries[i].name) == size && memcmp(node->entries[i].name, name, size) == 0)
            return node->entries[i].node;
    }
    return NODE_NONE;
}

static void add_entry(struct cache_node *node, const char *name, uint32_t target)
{
    if (node->entry_count == node->entry_capacity) {
        node->entry_capacity = node->entry_capacity ? node->entry_capacity * 2 : 8;
        node->entries = check_memory(realloc(node->entries, node->entry_capacity * sizeof *node->entries));
    }
    node->entries[node->entry_count++] = (struct cache_entry){ copied_name(name), target };
}

static void drop_entry(struct cache_node *node, const char *name)
{
    for (size_t i = 0; i < node->entry_count; i++) {
        if (strcmp(node->entries[i].name, name) == 0) {
            free(node->entries[i].name);
            node->entries[i] = node->entries[--node->entry_count];
            return;
        }
    }
}

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

static void forget_if_unused(struct cache_node *node)
{
    if (node->is_linked || node->open_count || node->memfd < 0)
        return;
    close(node->memfd);
    node->memfd = -1;
}

/* The next component from *path on; false at the end. */
static bool next_component(const char **path, const char **name, size_t *size)
{
    for (;;) {
        while (**path == '/')
            ++*path;
        *name = *path;
        *size = strcspn(*path, "/");
        *path += *size;
        if (*size == 1 && **name == '.')
            continue;
        return *size > 0;
    }
}

/* The directory of path's last component, that component (a copy of at most 255 bytes), and its
 * node or NODE_NONE. False when the directory does not exist. The root has the name "". */
static bool resolve(const struct file_double *disk, const char *path, uint32_t *parent, char name_out[256],
                    uint32_t *node)
{
    const char *name;
    size_t size;

    *parent = DEVICE_ROOT;
    *node = DEVICE_ROOT;
    name_out[0] = '\0';
    while (next_component(&path, &name, &size)) {
        if (*node == NODE_NONE || !disk->nodes[*node].is_directory || size > 255)
            return false;
        *parent = *node;
        memcpy(name_out, name, size);
        name_out[size] = '\0';
        *node = find_entry(&disk->nodes[*parent], name, size);
    }
    return true;
}

uint32_t file_double__node_at(const struct file_double *disk, const char *path)
{
    uint32_t parent;
    uint32_t node;
    char name[256];

    return resolve(disk, path, &parent, name, &node) ? node : NODE_NONE;
}

uint32_t file_double__make_node(struct file_double *disk, uint32_t parent, const char *name,
                                bool is_directory)
{
    uint32_t node = file_double__add_node(disk, is_directory);

    add_entry(&disk->nodes[parent], name, node);
    file_double__record(disk, (struct device_op){ .kind = DEVICE_MAKE,
                                                  .node = parent,
                                                  .target = node,
                                                  .is_directory = is_directory,
                                                  .name = (char *)(uintptr_t)name });
    return node;
}

static void give_space(struct file_double *disk, uint64_t size)
{
    if (disk->free_space != UINT64_MAX)
        disk->free_space += size;
}

static void unlink_node(struct file_double *disk, uint32_t node)
{
    disk->nodes[node].is_linked = false;
    give_space(disk, disk->nodes[node].size);
    forget_if_unused(&disk->nodes[node]);
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
    size_t size;

    device_read_back(&disk->device, index, &bytes, &size);
    check(ftruncate(node->memfd, (off_t)size) == 0);
    file_double__write_cache(node->memfd, bytes, size, 0);
    node->size = size;
    free(bytes);
}

static void truncate_node(struct file_double *disk, uint32_t index, uint64_t size)
{
    struct cache_node *node = &disk->nodes[index];

    if (size < node->size)
        give_space(disk, node->size - size);
    check(ftruncate(node->memfd, (off_t)size) == 0);
    node->size = size;
    file_double__record(disk, (struct device_op){ .kind = DEVICE_TRUNCATE, .node = index, .position = size });
}

static enum file_status open_locked(struct file_double *disk, const char *path, int flags, uint32_t *node)
{
    uint32_t parent;
    char name[256];

    if (!resolve(disk, path, &parent, name, node))
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
    struct file_double *disk = lock_system(system);
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
    unlock(disk);
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
    forget_if_unused(node);
    free(file);
    unlock(disk);
}

static enum file_status double_info(struct file_system *system, const char *path, struct file_info *out)
{
    struct file_double *disk = lock_system(system);
    uint32_t node = file_double__node_at(disk, path);

    if (node != NODE_NONE) {
        bool is_directory = disk->nodes[node].is_directory;
        *out = (struct file_info){ .size = disk->nodes[node].size,
                                   .is_directory = is_directory,
                                   .is_regular = !is_directory };
    }
    unlock(disk);
    return node == NODE_NONE ? FILE_NOT_FOUND : FILE_OK;
}

static enum file_status double_size(struct file *file, uint64_t *out)
{
    struct file_double *disk = lock_of(file);

    *out = node_of(disk, file)->size;
    unlock(disk);
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
    unlock(disk);
    return status;
}

static enum file_status double_pread_aside(struct file *file, void *out, size_t size, uint64_t position,
                                           bool from_device, size_t *got)
{
    struct file_double *disk = lock_of(file);

    if (from_device)
        unflip_cached(disk, ((struct double_file *)file)->node);
    unlock(disk);
    return double_pread(file, out, size, position, got);
}

/* How much of `size` bytes at position may be written, and what is said about the rest. */
static size_t admitted(struct file_double *disk, const struct cache_node *node, size_t size,
                       uint64_t position, enum file_status *status)
{
    uint64_t room = position < node->size ? node->size - position : 0;

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
    unlock(disk);
    return status;
}

static enum file_status double_truncate(struct file *file, uint64_t size)
{
    struct file_double *disk = lock_of(file);

    truncate_node(disk, ((struct double_file *)file)->node, size);
    unlock(disk);
    return FILE_OK;
}

static enum file_status flush_file(struct file *file, bool is_late)
{
    struct file_double *disk = lock_of(file);
    enum file_status status = flush_node(disk, ((struct double_file *)file)->node, is_late);

    unlock(disk);
    return status;
}

static enum file_status flush_names(struct file_system *system, const char *path, bool is_late)
{
    struct file_double *disk = lock_system(system);
    uint32_t node = file_double__node_at(disk, path);
    enum file_status status = FILE_NOT_FOUND;

    if (node != NODE_NONE && disk->nodes[node].is_directory)
        status = flush_node(disk, node, is_late);
    unlock(disk);
    return status;
}

static bool has_failed_flush(struct file_system *system)
{
    struct file_double *disk = lock_system(system);
    bool has_failed = disk->has_failed_flush;

    unlock(disk);
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
    struct file_double *disk = lock_system(system);
    bool is_late = disk->has_failed_flush;
    enum file_status status = FILE_OK;

    (void)path; /* one file system for all */
    for (uint32_t i = 0; i < disk->device.node_count; i++) {
        if (disk->device.nodes[i].waiting_count > 0 && flush_node(disk, i, is_late) != FILE_OK)
            status = FILE_IO;
    }
    unlock(disk);
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
    unlock(disk);
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
    unlock(disk);
}

static void double_write_behind(struct file *file, uint64_t position, uint64_t size)
{
    (void)file;
    (void)position;
    (void)size;
}

/* --- directories ------------------------------------------------------------------------------- */

static enum file_status rename_locked(struct file_double *disk, const char *from, const char *to)
{
    uint32_t parent;
    uint32_t node;
    uint32_t parent_to;
    uint32_t replaced;
    char name[256];
    char name_to[256];

    if (!resolve(disk, from, &parent, name, &node) || node == NODE_NONE ||
        !resolve(disk, to, &parent_to, name_to, &replaced))
        return FILE_NOT_FOUND;
    check(parent == parent_to); /* storage never moves anything elsewhere */
    if (disk->rename_fault.countdown && --disk->rename_fault.countdown == 0)
        return disk->rename_fault.status;
    if (replaced == node)
        return FILE_OK;
    if (replaced != NODE_NONE) {
        if (disk->nodes[replaced].is_directory != disk->nodes[node].is_directory)
            return FILE_IO;
        if (disk->nodes[replaced].entry_count)
            return FILE_EXISTS;
        drop_entry(&disk->nodes[parent], name_to);
        unlink_node(disk, replaced);
    }
    drop_entry(&disk->nodes[parent], name);
    add_entry(&disk->nodes[parent], name_to, node);
    file_double__record(
        disk, (struct device_op){
                  .kind = DEVICE_RENAME, .node = parent, .target = node, .name = name, .name_to = name_to });
    return FILE_OK;
}

static enum file_status double_rename(struct file_system *system, const char *from, const char *to)
{
    struct file_double *disk = lock_system(system);
    enum file_status status = rename_locked(disk, from, to);

    unlock(disk);
    return status;
}

static enum file_status remove_locked(struct file_double *disk, const char *path, bool is_directory)
{
    uint32_t parent;
    uint32_t node;
    char name[256];

    if (!resolve(disk, path, &parent, name, &node) || node == NODE_NONE || node == DEVICE_ROOT)
        return FILE_NOT_FOUND;
    if (disk->nodes[node].is_directory != is_directory)
        return is_directory ? FILE_NOT_FOUND : FILE_IO;
    if (disk->nodes[node].entry_count)
        return FILE_EXISTS;
    drop_entry(&disk->nodes[parent], name);
    file_double__record(
        disk, (struct device_op){ .kind = DEVICE_UNLINK, .node = parent, .target = node, .name = name });
    unlink_node(disk, node);
    return FILE_OK;
}

static enum file_status double_unlink(struct file_system *system, const char *path)
{
    struct file_double *disk = lock_system(system);
    enum file_status status = remove_locked(disk, path, false);

    unlock(disk);
    return status;
}

static enum file_status double_remove_directory(struct file_system *system, const char *path)
{
    struct file_double *disk = lock_system(system);
    enum file_status status = remove_locked(disk, path, true);

    unlock(disk);
    return status;
}

static enum file_status double_make_directory(struct file_system *system, const char *path)
{
    struct file_double *disk = lock_system(system);
    enum file_status status = FILE_OK;
    uint32_t parent;
    uint32_t node;
    char name[256];

    if (!resolve(disk, path, &parent, name, &node))
        status = FILE_NOT_FOUND;
    else if (node != NODE_NONE)
        status = FILE_EXISTS;
    else if (disk->free_space == 0)
        status = FILE_FULL;
    else
        file_double__make_node(disk, parent, name, true);
    unlock(disk);
    return status;
}

static enum file_status double_list(struct file_system *system, const char *path,
                                    bool (*visit)(void *context, const char *name, enum file_type type),
                                    void *context)
{
    struct file_double *disk = lock_system(system);
    uint32_t node = file_double__node_at(disk, path);

    if (node == NODE_NONE || !disk->nodes[node].is_directory) {
        unlock(disk);
        return FILE_NOT_FOUND;
    }
    /* visit may change the directory. */
    size_t count = disk->nodes[node].entry_count;
    char **names = check_memory(malloc((count + 1) * sizeof(char *)));
    enum file_type *types = check_memory(malloc((count + 1) * sizeof *types));
    for (size_t i = 0; i < count; i++) {
        const struct cache_entry *entry = &disk->nodes[node].entries[i];
        names[i] = copied_name(entry->name);
        types[i] = disk->nodes[entry->node].is_directory ? FILE_TYPE_DIRECTORY : FILE_TYPE_REGULAR;
    }
    unlock(disk);
    bool goes_on = true;
    for (size_t i = 0; i < count; i++) {
        goes_on = goes_on && visit(context, names[i], types[i]);
        free(names[i]);
    }
    free(names);
    free(types);
    return FILE_OK;
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
    unlock(disk);
    return status;
}

static uint64_t double_free_space(struct file_system *system, const char *path)
{
    struct file_double *disk = lock_system(system);
    uint64_t space = disk->free_space;

    (void)path;
    unlock(disk);
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
    .rename = double_rename,
    .unlink = double_unlink,
    .make_directory = double_make_directory,
    .remove_directory = double_remove_directory,
    .list = double_list,
    .lock = double_lock,
    .free_space = double_free_space,
};
