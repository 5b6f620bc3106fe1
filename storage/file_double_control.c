/* The test double of file.h, from the test's side: making, cutting the power, faults. */
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "protocol/base/check.h"
#include "storage/file_double_internal.h"

/* Every file of the double is a descriptor of ours. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

struct file_double *file_double_create(void)
{
    struct file_double *disk = check_memory(calloc(1, sizeof *disk));

    raise_descriptor_limit();
    disk->system.ops = &file_double__ops;
    disk->free_space = UINT64_MAX;
    check(pthread_mutex_init(&disk->lock, NULL) == 0);
    device_init(&disk->device);
    check(file_double__add_node(disk, true) == DEVICE_ROOT);
    return disk;
}

void file_double_destroy(struct file_double *disk)
{
    for (size_t i = 0; i < disk->op_count; i++) {
        free(disk->ops[i]->name);
        free(disk->ops[i]->name_to);
        free(disk->ops[i]->bytes);
        free(disk->ops[i]);
    }
    free(disk->ops);
    for (size_t i = 0; i < disk->node_count; i++) {
        struct cache_node *node = &disk->nodes[i];
        for (size_t j = 0; j < node->entry_count; j++)
            free(node->entries[j].name);
        free(node->entries);
        if (node->memfd >= 0)
            close(node->memfd);
    }
    free(disk->nodes);
    device_destroy(&disk->device);
    pthread_mutex_destroy(&disk->lock);
    free(disk);
}

struct file_system *file_double_system(struct file_double *disk)
{
    return &disk->system;
}

/* Reading a double is locked like changing it. */
static struct file_double *lock_const(const struct file_double *disk)
{
    struct file_double *same = (struct file_double *)(uintptr_t)disk;

    pthread_mutex_lock(&same->lock);
    return same;
}

uint64_t file_double_operation_count(const struct file_double *disk)
{
    struct file_double *same = lock_const(disk);
    uint64_t count = same->op_count - same->preamble_count;

    pthread_mutex_unlock(&same->lock);
    return count;
}

uint64_t file_double_flush_count(const struct file_double *disk)
{
    struct file_double *same = lock_const(disk);
    uint64_t count = same->flush_count;

    pthread_mutex_unlock(&same->lock);
    return count;
}

uint64_t file_double_late_flush_count(const struct file_double *disk)
{
    struct file_double *same = lock_const(disk);
    uint64_t count = same->late_flush_count;

    pthread_mutex_unlock(&same->lock);
    return count;
}

/* Gives a fresh double, all of it flushed, what lies under one directory of another's device. */
static void copy_directory(struct file_double *disk, uint32_t to, const struct device *device, uint32_t from)
{
    const struct device_node *directory = &device->nodes[from];

    for (size_t i = 0; i < directory->entry_count; i++) {
        uint32_t source = directory->entries[i].node;
        const struct device_node *child = &device->nodes[source];
        uint32_t node = file_double__make_node(disk, to, directory->entries[i].name, child->is_directory);
        if (child->is_directory) {
            copy_directory(disk, node, device, source);
        } else {
            file_double__record_write(disk, node, 0, child->image, child->image_size);
            if (child->size > child->image_size)
                file_double__record(
                    disk,
                    (struct device_op){ .kind = DEVICE_TRUNCATE, .node = node, .position = child->size });
            file_double__record(disk, (struct device_op){ .kind = DEVICE_FLUSH, .node = node });
            disk->nodes[node].size = child->size;
        }
    }
    file_double__record(disk, (struct device_op){ .kind = DEVICE_FLUSH, .node = to });
}

struct file_double *file_double_after_cut(const struct file_double *disk, uint64_t operation,
                                          enum file_double_cut cut, struct random *random)
{
    struct file_double *same = lock_const(disk);
    struct file_double *after = file_double_create();
    struct device device;

    check(operation <= same->op_count - same->preamble_count);
    device_init(&device);
    for (size_t i = 0; i < same->preamble_count + operation; i++)
        device_apply(&device, same->ops[i]);
    device_cut(&device, cut, random);
    copy_directory(after, DEVICE_ROOT, &device, DEVICE_ROOT);
    after->preamble_count = after->op_count;
    device_destroy(&device);
    pthread_mutex_unlock(&same->lock);
    return after;
}

void file_double_fail_write(struct file_double *disk, uint64_t nth, enum file_status status)
{
    disk->write_fault = (struct fault){ .countdown = nth, .status = status };
}

void file_double_fail_rename(struct file_double *disk, uint64_t nth, enum file_status status)
{
    disk->rename_fault = (struct fault){ .countdown = nth, .status = status };
}

void file_double_fail_unlink(struct file_double *disk, uint64_t nth, enum file_status status)
{
    disk->unlink_fault = (struct fault){ .countdown = nth, .status = status };
}

void file_double_short_write(struct file_double *disk, uint64_t nth, size_t size)
{
    disk->write_fault = (struct fault){ .countdown = nth, .status = FILE_FULL, .size = size };
}

void file_double_fail_flush(struct file_double *disk, uint64_t nth)
{
    disk->flush_fault = (struct fault){ .countdown = nth };
}

void file_double_set_free_space(struct file_double *disk, uint64_t size)
{
    disk->free_space = size;
}

void file_double_set_open_limit(struct file_double *disk, unsigned count)
{
    disk->open_limit = count;
}

void file_double_ignore_flushes(struct file_double *disk, bool ignore)
{
    disk->ignores_flushes = ignore;
}

void file_double__flip_cache(struct file_double *disk, uint32_t node, uint64_t position, unsigned bit)
{
    uint8_t byte;

    if (disk->nodes[node].memfd < 0)
        return;
    check(pread(disk->nodes[node].memfd, &byte, 1, (off_t)position) == 1);
    byte ^= (uint8_t)(1u << (bit & 7));
    file_double__write_cache(disk->nodes[node].memfd, &byte, 1, position);
}

bool file_double_flip_cached_bit(struct file_double *disk, const char *path, uint64_t position, unsigned bit)
{
    struct file_double *same = lock_const(disk);
    uint32_t node = file_double__node_at(disk, path);
    bool found = node != NODE_NONE && disk->nodes[node].memfd >= 0 && position < disk->nodes[node].size;

    if (found) {
        check(!disk->has_cached_flip);
        disk->has_cached_flip = true;
        disk->cached_flip_node = node;
        disk->cached_flip_position = position;
        disk->cached_flip_bit = bit;
        file_double__flip_cache(disk, node, position, bit);
    }
    pthread_mutex_unlock(&same->lock);
    return found;
}

bool file_double_fail_read(struct file_double *disk, const char *path, uint64_t position, uint64_t size)
{
    struct file_double *same = lock_const(disk);
    uint32_t node = file_double__node_at(disk, path);

    disk->unreadable_node = node;
    disk->unreadable_position = position;
    disk->unreadable_size = node == NODE_NONE ? 0 : size;
    pthread_mutex_unlock(&same->lock);
    return node != NODE_NONE;
}

bool file_double_flip_bit(struct file_double *disk, const char *path, uint64_t position, unsigned bit)
{
    struct file_double *same = lock_const(disk);
    uint32_t node = file_double__node_at(disk, path);
    bool found = node != NODE_NONE && !disk->nodes[node].is_directory && position < disk->nodes[node].size;

    if (found) {
        file_double__record(
            disk, (struct device_op){
                      .kind = DEVICE_FLIP, .node = node, .position = position, .bit = (uint8_t)(bit & 7) });
        file_double__flip_cache(disk, node, position, bit);
    }
    pthread_mutex_unlock(&same->lock);
    return found;
}
