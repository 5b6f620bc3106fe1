/* The device under file_double: applies recorded operations, and loses what was not flushed. */
#include "storage/file_double_device.h"

#include <stdlib.h>

#include "protocol/base/check.h"

enum { SECTOR_SIZE = 512 };

static void *grown(void *array, size_t count, size_t *capacity, size_t item_size)
{
    if (count < *capacity)
        return array;
    *capacity = *capacity ? *capacity * 2 : 8;
    return check_memory(realloc(array, *capacity * item_size));
}

static uint32_t add_node(struct device *device, bool is_directory)
{
    device->nodes = grown(device->nodes, device->node_count, &device->node_capacity, sizeof *device->nodes);
    device->nodes[device->node_count] = (struct device_node){ .is_directory = is_directory };
    return (uint32_t)device->node_count++;
}

void device_init(struct device *device)
{
    *device = (struct device){ 0 };
    add_node(device, true);
}

void device_destroy(struct device *device)
{
    for (size_t i = 0; i < device->node_count; i++) {
        free(device->nodes[i].image);
        free(device->nodes[i].entries);
        free(device->nodes[i].waiting);
    }
    free(device->nodes);
    *device = (struct device){ 0 };
}

static void grow_image(struct device_node *node, size_t size)
{
    if (size > node->image_capacity) {
        node->image_capacity = size + size / 2 + 64;
        node->image = check_memory(realloc(node->image, node->image_capacity));
    }
    if (size > node->image_size)
        memset(node->image + node->image_size, 0, size - node->image_size);
    node->image_size = size;
}

/* Zeros behind what was written take no memory: there may be a few MiB of them. */
static void resize(struct device_node *node, size_t size)
{
    if (size < node->image_size)
        node->image_size = size;
    node->size = size;
}

static void set_entry(struct device_node *node, const char *name, uint32_t target)
{
    for (size_t i = 0; i < node->entry_count; i++) {
        if (strcmp(node->entries[i].name, name) == 0) {
            node->entries[i].node = target;
            return;
        }
    }
    node->entries = grown(node->entries, node->entry_count, &node->entry_capacity, sizeof *node->entries);
    node->entries[node->entry_count++] = (struct device_entry){ name, target };
}

static void remove_entry(struct device_node *node, const char *name, uint32_t target)
{
    for (size_t i = 0; i < node->entry_count; i++) {
        if (strcmp(node->entries[i].name, name) == 0 && node->entries[i].node == target) {
            node->entries[i] = node->entries[--node->entry_count];
            return;
        }
    }
}

/* Writes to the image whichever sectors `random` leaves; all when it is NULL. */
static void write_image(struct device_node *node, const struct device_op *op, struct random *random)
{
    uint64_t end = op->position + op->size;

    if (end > node->image_size)
        grow_image(node, (size_t)end);
    if (end > node->size)
        node->size = (size_t)end;
    for (uint64_t at = op->position; at < end;) {
        uint64_t next = (at / SECTOR_SIZE + 1) * SECTOR_SIZE;
        if (next > end)
            next = end;
        if (!random || random_below(random, 4) != 0)
            memcpy(node->image + at, op->bytes + (at - op->position), (size_t)(next - at));
        at = next;
    }
}

static void perform(struct device *device, const struct device_op *op, struct random *random)
{
    struct device_node *node = &device->nodes[op->node];

    switch (op->kind) {
    case DEVICE_MAKE:
        set_entry(node, op->name, op->target);
        return;
    case DEVICE_UNLINK:
        remove_entry(node, op->name, op->target);
        return;
    case DEVICE_RENAME:
        remove_entry(node, op->name, op->target);
        set_entry(node, op->name_to, op->target);
        return;
    case DEVICE_WRITE:
        write_image(node, op, random);
        return;
    case DEVICE_TRUNCATE:
        resize(node, (size_t)op->position);
        return;
    case DEVICE_FLUSH:
    case DEVICE_FLUSH_LOST:
    case DEVICE_FLUSH_LIE:
    case DEVICE_FLIP:
        break;
    }
    check_unreachable("an operation that does not wait");
}

static void perform_all(struct device *device, struct device_node *node)
{
    for (size_t i = 0; i < node->waiting_count; i++)
        perform(device, node->waiting[i], NULL);
    node->waiting_count = 0;
}

static void flip(struct device_node *node, const struct device_op *op)
{
    uint8_t mask = (uint8_t)(1u << op->bit);

    if (op->position >= node->size)
        return;
    if (op->position >= node->image_size)
        grow_image(node, (size_t)op->position + 1);
    node->image[op->position] ^= mask;
}

void device_apply(struct device *device, const struct device_op *op)
{
    if (op->kind == DEVICE_MAKE)
        check(add_node(device, op->is_directory) == op->target);
    struct device_node *node = &device->nodes[op->node];
    switch (op->kind) {
    case DEVICE_FLUSH:
        perform_all(device, node);
        return;
    case DEVICE_FLUSH_LOST:
        node->waiting_count = 0;
        return;
    case DEVICE_FLUSH_LIE:
        return;
    case DEVICE_FLIP:
        perform_all(device, node); /* a damaged device is one that has the bytes */
        flip(node, op);
        return;
    case DEVICE_MAKE:
    case DEVICE_UNLINK:
    case DEVICE_RENAME:
    case DEVICE_WRITE:
    case DEVICE_TRUNCATE:
        break;
    }
    node->waiting = grown(node->waiting, node->waiting_count, &node->waiting_capacity, sizeof *node->waiting);
    node->waiting[node->waiting_count++] = op;
}

/* Any subset; each file and directory draws how likely an operation of its own survives. */
static void perform_some(struct device *device, struct device_node *node, struct random *random)
{
    uint64_t likely = random_below(random, 5); /* of 4 */

    for (size_t i = 0; i < node->waiting_count; i++) {
        if (random_below(random, 4) < likely)
            perform(device, node->waiting[i], random);
    }
    node->waiting_count = 0;
}

void device_cut(struct device *device, enum file_double_cut cut, struct random *random)
{
    for (size_t i = 0; i < device->node_count; i++) {
        struct device_node *node = &device->nodes[i];
        switch (cut) {
        case FILE_DOUBLE_LOSE_ALL:
            node->waiting_count = 0;
            break;
        case FILE_DOUBLE_KEEP_ALL:
            perform_all(device, node);
            break;
        case FILE_DOUBLE_REORDER:
            perform_some(device, node, random);
            break;
        }
    }
}

void device_read_back(const struct device *device, uint32_t index, uint8_t **bytes, size_t *byte_count,
                      size_t *size)
{
    struct device_node copy = { 0 };
    const struct device_node *node = &device->nodes[index];

    grow_image(&copy, node->image_size);
    resize(&copy, node->size);
    if (node->image_size)
        memcpy(copy.image, node->image, node->image_size);
    for (size_t i = 0; i < node->waiting_count; i++) {
        if (node->waiting[i]->kind == DEVICE_WRITE)
            write_image(&copy, node->waiting[i], NULL);
        else
            resize(&copy, (size_t)node->waiting[i]->position);
    }
    *bytes = copy.image;
    *byte_count = copy.image_size;
    *size = copy.size;
}
