/* Calls through the table of file.h, and what is built from them alone. */
#include "storage/file.h"

#include <stdio.h>
#include <stdlib.h>

#include "protocol/base/check.h"

const char *file_status_name(enum file_status status)
{
    switch (status) {
    case FILE_OK:
        return "ok";
    case FILE_NOT_FOUND:
        return "not found";
    case FILE_EXISTS:
        return "exists";
    case FILE_FULL:
        return "no space";
    case FILE_LIMIT:
        return "out of descriptors or memory";
    case FILE_DENIED:
        return "permission denied";
    case FILE_LOCKED:
        return "locked by another process";
    case FILE_IO:
        return "input/output error";
    }
    check_unreachable("file_status");
}

enum file_status file_open(struct file_system *system, const char *path, int flags, struct file **out)
{
    return system->ops->open(system, path, flags, out);
}

void file_close(struct file *file)
{
    if (file)
        file->system->ops->close(file);
}

enum file_status file_info(struct file_system *system, const char *path, struct file_info *out)
{
    return system->ops->info(system, path, out);
}

enum file_status file_size(struct file *file, uint64_t *out)
{
    return file->system->ops->size(file, out);
}

enum file_status file_pread(struct file *file, void *out, size_t size, uint64_t position, size_t *got)
{
    return file->system->ops->pread(file, out, size, position, got);
}

enum file_status file_pread_aside(struct file *file, void *out, size_t size, uint64_t position,
                                  bool from_device, size_t *got)
{
    return file->system->ops->pread_aside(file, out, size, position, from_device, got);
}

enum file_status file_pwritev(struct file *file, const struct iovec *iov, int count, uint64_t position,
                              size_t *written)
{
    return file->system->ops->pwritev(file, iov, count, position, written);
}

enum file_status file_pwrite(struct file *file, const void *bytes, size_t size, uint64_t position)
{
    struct iovec iov = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = size };
    size_t written;

    return file->system->ops->pwritev(file, &iov, 1, position, &written);
}

enum file_status file_truncate(struct file *file, uint64_t size)
{
    return file->system->ops->truncate(file, size);
}

enum file_status file_allocate(struct file *file, uint64_t size)
{
    return file->system->ops->allocate(file, size);
}

enum file_status file_allocate_ahead(struct file *file, uint64_t position, uint64_t size)
{
    return file->system->ops->allocate_ahead(file, position, size);
}

enum file_status file_give_ahead(struct file *file)
{
    return file->system->ops->give_ahead(file);
}

enum file_status file_flush(struct file *file)
{
    return file->system->ops->flush(file);
}

enum file_status file_flush_directory(struct file_system *system, const char *path)
{
    return system->ops->flush_directory(system, path);
}

void file_flush_group(struct file_system *system, struct file *const *files, size_t file_count,
                      const char *const *directories, size_t directory_count, enum file_status *statuses)
{
    system->ops->flush_group(system, files, file_count, directories, directory_count, statuses);
}

enum file_status file_flush_all(struct file_system *system, const char *path)
{
    return system->ops->flush_all(system, path);
}

enum file_status file_map(struct file *file, uint64_t position, size_t size, struct file_map *out)
{
    return file->system->ops->map(file, position, size, out);
}

void file_unmap(struct file_system *system, struct file_map *map)
{
    system->ops->unmap(system, map);
}

bool file_is_resident(struct file_system *system, const uint8_t *address, size_t size)
{
    return system->ops->is_resident(system, address, size);
}

enum file_status file_populate(struct file_system *system, const uint8_t *address, size_t size)
{
    return system->ops->populate(system, address, size);
}

void file_release(struct file_system *system, const uint8_t *address, size_t size)
{
    system->ops->release(system, address, size);
}

void file_drop_cache(struct file *file, uint64_t from)
{
    file->system->ops->drop_cache(file, from);
}

void file_write_behind(struct file *file, uint64_t position, uint64_t size)
{
    file->system->ops->write_behind(file, position, size);
}

void file_read_ahead(struct file *file, uint64_t position, uint64_t size)
{
    file->system->ops->read_ahead(file, position, size);
}

enum file_status file_rename(struct file_system *system, const char *from, const char *to)
{
    return system->ops->rename(system, from, to);
}

enum file_status file_unlink(struct file_system *system, const char *path)
{
    return system->ops->unlink(system, path);
}

enum file_status file_make_directory(struct file_system *system, const char *path)
{
    return system->ops->make_directory(system, path);
}

enum file_status file_remove_directory(struct file_system *system, const char *path)
{
    return system->ops->remove_directory(system, path);
}

struct name_visit {
    bool (*visit)(void *context, const char *name);
    void *context;
};

static bool visit_name(void *context, const char *name, enum file_type type)
{
    const struct name_visit *inner = context;

    (void)type;
    return inner->visit(inner->context, name);
}

enum file_status file_list(struct file_system *system, const char *path,
                           bool (*visit)(void *context, const char *name), void *context)
{
    struct name_visit inner = { visit, context };

    return system->ops->list(system, path, visit_name, &inner);
}

enum file_status file_list_types(struct file_system *system, const char *path,
                                 bool (*visit)(void *context, const char *name, enum file_type type),
                                 void *context)
{
    return system->ops->list(system, path, visit, context);
}

enum file_status file_lock(struct file *file)
{
    return file->system->ops->lock(file);
}

uint64_t file_free_space(struct file_system *system, const char *path)
{
    return system->ops->free_space(system, path);
}

enum file_status file_read_all(struct file_system *system, const char *path, size_t size_max, uint8_t **out,
                               size_t *size)
{
    struct file *file;
    uint64_t file_bytes;
    uint8_t *bytes = NULL;

    *out = NULL;
    *size = 0;
    enum file_status status = file_open(system, path, FILE_READ, &file);
    if (status != FILE_OK)
        return status;
    status = file_size(file, &file_bytes);
    if (status != FILE_OK)
        goto close;
    if (file_bytes > size_max) {
        status = FILE_IO;
        goto close;
    }
    bytes = malloc((size_t)file_bytes + 1);
    if (!bytes) {
        status = FILE_LIMIT;
        goto close;
    }
    status = file_pread(file, bytes, (size_t)file_bytes, 0, size);
    if (status != FILE_OK) {
        free(bytes);
        *size = 0;
        goto close;
    }
    bytes[*size] = '\0';
    *out = bytes;
close:
    file_close(file);
    return status;
}

/* The directory that holds path's last component, returned owned; NULL: no memory. */
static char *parent_directory(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (!slash)
        return strdup(".");
    if (slash == path)
        return strdup("/");
    return strndup(path, (size_t)(slash - path));
}

static enum file_status write_new(struct file_system *system, const char *path, slice bytes)
{
    struct file *file;

    enum file_status status = file_open(system, path, FILE_WRITE | FILE_CREATE | FILE_TRUNCATE, &file);
    if (status != FILE_OK)
        return status;
    if (bytes.size)
        status = file_pwrite(file, bytes.data, bytes.size, 0);
    if (status == FILE_OK)
        status = file_flush(file);
    file_close(file);
    return status;
}

enum file_status file_replace(struct file_system *system, const char *path, slice bytes)
{
    char *temporary;
    char *directory = parent_directory(path);

    if (!directory)
        return FILE_LIMIT;
    if (asprintf(&temporary, "%s.tmp", path) < 0) {
        free(directory);
        return FILE_LIMIT;
    }
    enum file_status status = write_new(system, temporary, bytes);
    if (status == FILE_OK)
        status = file_rename(system, temporary, path);
    else if (status != FILE_IO)
        (void)file_unlink(system, temporary); /* a full disk is not filled further by our leftovers */
    if (status == FILE_OK)
        status = file_flush_directory(system, directory);
    free(temporary);
    free(directory);
    return status;
}
