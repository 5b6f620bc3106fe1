/* The test double of file.h: names in directories, as programs see them. */
#include "storage/file_double_internal.h"

#include <stdlib.h>

#include "protocol/base/check.h"

char *file_double__copied_name(const char *name)
{
    return name ? check_memory(strdup(name)) : NULL;
}

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
    node->entries[node->entry_count++] = (struct cache_entry){ file_double__copied_name(name), target };
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

bool file_double__resolve(const struct file_double *disk, const char *path, uint32_t *parent,
                          char name_out[256], uint32_t *node)
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

    return file_double__resolve(disk, path, &parent, name, &node) ? node : NODE_NONE;
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

static void unlink_node(struct file_double *disk, uint32_t node)
{
    disk->nodes[node].is_linked = false;
    file_double__give_space(disk, file_double__blocks_end(&disk->nodes[node]));
    file_double__forget_if_unused(&disk->nodes[node]);
}

static enum file_status rename_locked(struct file_double *disk, const char *from, const char *to)
{
    uint32_t parent;
    uint32_t node;
    uint32_t parent_to;
    uint32_t replaced;
    char name[256];
    char name_to[256];

    if (!file_double__resolve(disk, from, &parent, name, &node) || node == NODE_NONE ||
        !file_double__resolve(disk, to, &parent_to, name_to, &replaced))
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

enum file_status file_double__rename(struct file_system *system, const char *from, const char *to)
{
    struct file_double *disk = file_double__lock(system);
    enum file_status status = rename_locked(disk, from, to);

    file_double__unlock(disk);
    return status;
}

static enum file_status remove_locked(struct file_double *disk, const char *path, bool is_directory)
{
    uint32_t parent;
    uint32_t node;
    char name[256];

    if (!file_double__resolve(disk, path, &parent, name, &node) || node == NODE_NONE || node == DEVICE_ROOT)
        return FILE_NOT_FOUND;
    if (disk->nodes[node].is_directory != is_directory)
        return is_directory ? FILE_NOT_FOUND : FILE_IO;
    if (disk->nodes[node].entry_count)
        return FILE_EXISTS;
    if (disk->unlink_fault.countdown && --disk->unlink_fault.countdown == 0)
        return disk->unlink_fault.status;
    drop_entry(&disk->nodes[parent], name);
    file_double__record(
        disk, (struct device_op){ .kind = DEVICE_UNLINK, .node = parent, .target = node, .name = name });
    unlink_node(disk, node);
    return FILE_OK;
}

enum file_status file_double__unlink(struct file_system *system, const char *path)
{
    struct file_double *disk = file_double__lock(system);
    enum file_status status = remove_locked(disk, path, false);

    file_double__unlock(disk);
    return status;
}

enum file_status file_double__remove_directory(struct file_system *system, const char *path)
{
    struct file_double *disk = file_double__lock(system);
    enum file_status status = remove_locked(disk, path, true);

    file_double__unlock(disk);
    return status;
}

enum file_status file_double__make_directory(struct file_system *system, const char *path)
{
    struct file_double *disk = file_double__lock(system);
    enum file_status status = FILE_OK;
    uint32_t parent;
    uint32_t node;
    char name[256];

    if (!file_double__resolve(disk, path, &parent, name, &node))
        status = FILE_NOT_FOUND;
    else if (node != NODE_NONE)
        status = FILE_EXISTS;
    else if (disk->free_space == 0)
        status = FILE_FULL;
    else
        file_double__make_node(disk, parent, name, true);
    file_double__unlock(disk);
    return status;
}

enum file_status file_double__list(struct file_system *system, const char *path,
                                   bool (*visit)(void *context, const char *name, enum file_type type),
                                   void *context)
{
    struct file_double *disk = file_double__lock(system);
    uint32_t node = file_double__node_at(disk, path);

    if (node == NODE_NONE || !disk->nodes[node].is_directory) {
        file_double__unlock(disk);
        return FILE_NOT_FOUND;
    }
    /* visit may change the directory. */
    size_t count = disk->nodes[node].entry_count;
    char **names = check_memory(malloc((count + 1) * sizeof(char *)));
    enum file_type *types = check_memory(malloc((count + 1) * sizeof *types));
    for (size_t i = 0; i < count; i++) {
        const struct cache_entry *entry = &disk->nodes[node].entries[i];
        names[i] = file_double__copied_name(entry->name);
        types[i] = disk->nodes[entry->node].is_directory ? FILE_TYPE_DIRECTORY : FILE_TYPE_REGULAR;
    }
    file_double__unlock(disk);
    bool goes_on = true;
    for (size_t i = 0; i < count; i++) {
        goes_on = goes_on && visit(context, names[i], types[i]);
        free(names[i]);
    }
    free(names);
    free(types);
    return FILE_OK;
}
