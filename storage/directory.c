/* One log directory: lock, identity, names. */
#include "storage/directory.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/base/check.h"
#include "storage/checkpoint.h"
#include "storage/reserve.h"
#include "storage/side_file.h"

#define LOCK_NAME ".lock"

enum { META_SIZE_MAX = 64 << 10, LOCK_ATTEMPTS_MAX = 3 };

/* --- names ------------------------------------------------------------------------------------- */

/* "<topic>-<int32>", split at the last '-'. */
static bool parse_partition(slice name, slice *topic, int32_t *partition)
{
    const uint8_t *dash = memrchr(name.data, '-', name.size);

    if (!dash || dash == name.data)
        return false;
    size_t topic_size = (size_t)(dash - name.data);
    size_t digit_count = name.size - topic_size - 1;
    if (digit_count == 0 || digit_count > 10)
        return false;
    int64_t value = 0;
    for (size_t i = 1; i <= digit_count; i++) {
        if (dash[i] < '0' || dash[i] > '9')
            return false;
        value = value * 10 + (dash[i] - '0');
    }
    *topic = slice_of(name.data, topic_size);
    *partition = (int32_t)value;
    return value <= INT32_MAX;
}

static bool ends_with(slice text, const char *end)
{
    size_t size = strlen(end);

    return text.size > size && memcmp(text.data + text.size - size, end, size) == 0;
}

enum directory_name_kind directory_parse_name(const char *name, slice *topic, int32_t *partition)
{
    static const struct {
        const char *suffix;
        enum directory_name_kind kind;
    } suffixes[] = { { "-delete", DIRECTORY_DELETE },
                     { "-future", DIRECTORY_FUTURE },
                     { "-stray", DIRECTORY_STRAY } };
    slice text = slice_of_string(name);

    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        if (!ends_with(text, suffixes[i].suffix))
            continue;
        const uint8_t *dot = memrchr(text.data, '.', text.size);
        if (dot && parse_partition(slice_of(text.data, (size_t)(dot - text.data)), topic, partition))
            return suffixes[i].kind;
    }
    return parse_partition(text, topic, partition) ? DIRECTORY_PARTITION : DIRECTORY_OTHER;
}

void directory_unique_name(slice topic, int32_t partition, uuid unique, const char *suffix,
                           char out[DIRECTORY_NAME_SIZE])
{
    char tail[64];
    int size = snprintf(tail, sizeof tail, "-%" PRId32 ".", partition);

    for (size_t i = 0; i < sizeof unique.bytes; i++)
        size += snprintf(tail + size, sizeof tail - (size_t)size, "%02x", unique.bytes[i]);
    size += snprintf(tail + size, sizeof tail - (size_t)size, "-%s", suffix);
    size_t room = DIRECTORY_NAME_SIZE - 1 - (size_t)size;
    snprintf(out, DIRECTORY_NAME_SIZE, "%.*s%s", (int)(topic.size < room ? topic.size : room),
             (const char *)topic.data, tail);
}

char *directory_child(const struct directory *directory, const char *name)
{
    char *path;

    return asprintf(&path, "%s/%s", directory->path, name) < 0 ? NULL : path;
}

/* --- refusals ---------------------------------------------------------------------------------- */

static enum store_status refuse(char **error, enum store_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static enum store_status refuse(char **error, enum store_status status, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    if (vasprintf(error, format, arguments) < 0)
        *error = NULL;
    va_end(arguments);
    return status;
}

static enum store_status refuse_file(char **error, enum file_status status, const char *what,
                                     const char *path)
{
    const char *reason = file_status_name(status);

    switch (status) {
    case FILE_FULL:
        return refuse(error, STORE_FULL, "cannot %s %s: %s; free some space", what, path, reason);
    case FILE_LIMIT:
        return refuse(error, STORE_LIMIT, "cannot %s %s: %s; raise `ulimit -n`", what, path, reason);
    case FILE_DENIED:
        return refuse(
            error, STORE_DENIED,
            "cannot %s %s: %s; let the user of this process write there, or choose another data directory",
            what, path, reason);
    case FILE_LOCKED:
        return refuse(
            error, STORE_LOCKED,
            "%s is in use by another process (runnel or Kafka); stop that one, or choose another data "
            "directory",
            path);
    case FILE_OK:
    case FILE_NOT_FOUND:
    case FILE_EXISTS:
    case FILE_IO:
        return refuse(error, STORE_IO, "cannot %s %s: %s", what, path, reason);
    }
    check_unreachable("file_status");
}

/* --- reading ----------------------------------------------------------------------------------- */

/* Makes path and what is missing above it, as Kafka does. */
static enum file_status make_path(struct directory *directory, char *path)
{
    enum file_status status = file_make_directory(directory->files, path);

    if (status == FILE_NOT_FOUND) {
        char *slash = strrchr(path, '/');
        if (!slash || slash == path)
            return status;
        *slash = '\0';
        status = make_path(directory, path);
        *slash = '/';
        if (status == FILE_OK || status == FILE_EXISTS)
            status = file_make_directory(directory->files, path);
    }
    if (status == FILE_OK)
        directory->made_count++;
    return status;
}

static enum store_status find_or_make(struct directory *directory, char **error)
{
    struct file_info info;
    enum file_status status = make_path(directory, directory->path);

    if (status == FILE_OK)
        return STORE_OK;
    if (status != FILE_EXISTS) {
        /* A read-only parent is no obstacle to a directory that is there. */
        if (file_info(directory->files, directory->path, &info) != FILE_OK)
            return refuse_file(error, status, "make the directory", directory->path);
    }
    return STORE_OK;
}

/* *out stays NULL when there is no such file. */
static enum file_status read_child(const struct directory *directory, const char *name, uint8_t **out,
                                   size_t *size)
{
    char *path = directory_child(directory, name);

    *out = NULL;
    *size = 0;
    if (!path)
        return FILE_LIMIT;
    enum file_status status = file_read_all(directory->files, path, META_SIZE_MAX, out, size);
    free(path);
    return status == FILE_NOT_FOUND ? FILE_OK : status;
}

static bool child_exists(const struct directory *directory, const char *name)
{
    struct file_info info;
    char *path = directory_child(directory, name);
    bool exists = path && file_info(directory->files, path, &info) == FILE_OK;

    free(path);
    return exists;
}

struct scan {
    struct directory *directory;
    char unknown_directory[DIRECTORY_NAME_SIZE]; /* "" while there is none */
    char odd[DIRECTORY_NAME_SIZE];               /* a link, pipe or device under a name that counts */
    char other[DIRECTORY_NAME_SIZE];             /* a file or directory that a new directory does not have */
    enum file_status status;
};

static bool remember(struct directory *directory, const char *name, enum directory_name_kind kind,
                     slice topic, int32_t partition)
{
    if (directory->name_count == directory->name_capacity) {
        size_t capacity = directory->name_capacity ? directory->name_capacity * 2 : 64;
        struct directory_name *names = realloc(directory->names, capacity * sizeof *names);
        if (!names)
            return false;
        directory->names = names;
        directory->name_capacity = capacity;
    }
    char *copy = strdup(name);
    if (!copy)
        return false;
    directory->names[directory->name_count++] = (struct directory_name){
        .name = copy, .kind = kind, .topic_size = topic.size, .partition = partition
    };
    return true;
}

/* What may lie in a directory that nobody formatted: leftovers of a first start that lost power, and
 * what belongs to the file system. */
static bool is_harmless(const char *name)
{
    static const char *const names[] = { META_PROPERTIES_NAME, "bootstrap.checkpoint", "lost+found",
                                         METADATA_TOPIC_NAME "-0" };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(name, names[i]) == 0)
            return true;
    }
    return name[0] == '.' || ends_with(slice_of_string(name), ".tmp") ||
           ends_with(slice_of_string(name), ".runnel");
}

static bool is_exempt_directory(const char *name)
{
    return strcmp(name, "lost+found") == 0 || strcmp(name, "remote-log-index-cache") == 0;
}

/* Files of the log directory that a broker reads or replaces; those ahead of them are met when they are read.
 */
static bool is_known_file(const char *name)
{
    static const char *const names[] = {
        CHECKPOINT_RECOVERY_POINT,
        CHECKPOINT_LOG_START_OFFSET,
        CHECKPOINT_HIGH_WATERMARK,
        CHECKPOINT_CLEANER,
        CLEAN_MARKER_NAME,
        LOCK_NAME,
        "bootstrap.checkpoint",
        SIDE_TABLE_NAME,
        SIDE_POSITIONS_NAME,
        SIDE_MARKS_NAME,
        RESERVE_NAME,
    };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(name, names[i]) == 0)
            return true;
    }
    return false;
}

static bool scan_name(void *context, const char *name, enum file_type type)
{
    struct scan *scan = context;
    struct directory *directory = scan->directory;
    slice topic;
    int32_t partition;

    if (!scan->other[0] && !is_harmless(name))
        snprintf(scan->other, sizeof scan->other, "%s", name);
    enum directory_name_kind kind = directory_parse_name(name, &topic, &partition);
    if (type == FILE_TYPE_ODD && (kind != DIRECTORY_OTHER || is_known_file(name)))
        snprintf(scan->odd, sizeof scan->odd, "%s", name);
    if (type != FILE_TYPE_DIRECTORY)
        return true; /* plain files are nobody's business, in Kafka as here */
    if (kind != DIRECTORY_OTHER) {
        if (!remember(directory, name, kind, topic, partition))
            scan->status = FILE_LIMIT;
        return scan->status == FILE_OK;
    }
    /* Kafka refuses to start over a directory that it cannot name. */
    if (!is_exempt_directory(name) && strcmp(name, META_PROPERTIES_NAME) != 0)
        snprintf(scan->unknown_directory, sizeof scan->unknown_directory, "%s", name);
    return true;
}

static enum store_status scan_names(struct directory *directory, char **error)
{
    struct scan scan = { .directory = directory };
    enum file_status status = file_list_types(directory->files, directory->path, scan_name, &scan);

    if (status == FILE_OK)
        status = scan.status;
    if (status != FILE_OK)
        return refuse_file(error, status, "list", directory->path);
    if (directory->is_new && scan.other[0])
        return refuse(
            error, STORE_FOREIGN,
            "%s has no meta.properties and is not empty (%s): this is no log directory; choose another "
            "data directory (or restore meta.properties from a copy, when this is one)",
            directory->path, scan.other);
    if (scan.odd[0])
        return refuse(
            error, STORE_FOREIGN,
            "%s/%s is a link, a pipe or a device; links are not followed there: put what it leads to in "
            "its place (the log directory itself may be a link)",
            directory->path, scan.odd);
    if (scan.unknown_directory[0])
        return refuse(error, STORE_FOREIGN,
                      "%s contains the directory %s, which is no partition; move it out of there",
                      directory->path, scan.unknown_directory);
    return STORE_OK;
}

static enum store_status read_meta(struct directory *directory, char **error)
{
    uint8_t *text;
    size_t size;
    enum file_status status = read_child(directory, META_PROPERTIES_NAME, &text, &size);

    if (status != FILE_OK)
        return refuse_file(error, status, "read meta.properties in", directory->path);
    bool is_good = meta_properties_parse(slice_of(text, size), &directory->meta);
    free(text);
    /* A first start that lost power may have left the name without the bytes. */
    directory->is_new = !is_good || directory->meta.version < 0;
    return STORE_OK;
}

/* Partitions are made after the identity is durable. Without any, the start that made it may have been killed
 * too early. */
static bool identity_was_flushed(const struct directory *directory)
{
    if (directory->is_new)
        return false;
    for (size_t i = 0; i < directory->name_count; i++) {
        if (strcmp(directory->names[i].name, METADATA_TOPIC_NAME "-0") != 0)
            return true;
    }
    return directory->marker.is_present;
}

/* Whether the path still leads to the file that we locked: at a clean stop another process unlinks
 * it, perhaps between our open and our lock. A second open file meets the lock of the first. */
static bool lock_is_current(struct directory *directory, const char *path)
{
    struct file *again;

    if (file_open(directory->files, path, FILE_WRITE, &again) != FILE_OK)
        return false;
    bool is_current = file_lock(again) == FILE_LOCKED;
    file_close(again);
    return is_current;
}

static enum store_status take_lock(struct directory *directory, char **error)
{
    char *path = directory_child(directory, LOCK_NAME);
    enum file_status status = path ? FILE_LOCKED : FILE_LIMIT;

    directory->made_lock = !child_exists(directory, LOCK_NAME);
    for (int i = 0; path && i < LOCK_ATTEMPTS_MAX; i++) {
        status = file_open(directory->files, path, FILE_WRITE | FILE_CREATE, &directory->lock);
        if (status != FILE_OK)
            break;
        status = file_lock(directory->lock);
        if (status == FILE_OK && lock_is_current(directory, path))
            break;
        file_close(directory->lock);
        directory->lock = NULL;
        if (status != FILE_OK)
            break;
        status = FILE_LOCKED;
    }
    free(path);
    return status == FILE_OK ? STORE_OK : refuse_file(error, status, "lock", directory->path);
}

enum store_status directory_open(struct directory *directory, struct file_system *files, const char *path,
                                 char **error)
{
    *directory = (struct directory){ .files = files, .path = strdup(path) };
    *error = NULL;
    if (!directory->path)
        return STORE_LIMIT;
    for (size_t size = strlen(path); size > 1 && path[size - 1] == '/'; size--)
        directory->path[size - 1] = '\0';
    enum store_status status = find_or_make(directory, error);
    /* A directory that is not ours is refused before anything is left in it. */
    if (status == STORE_OK)
        status = read_meta(directory, error);
    if (status == STORE_OK && directory->is_new) {
        status = scan_names(directory, error);
        directory_forget_names(directory);
    }
    if (status == STORE_OK)
        status = take_lock(directory, error);
    if (status == STORE_OK)
        status = read_meta(directory, error);
    if (status == STORE_OK)
        status = scan_names(directory, error);
    if (status == STORE_OK) {
        enum file_status read = clean_marker_read(files, directory->path, &directory->marker);
        if (read != FILE_OK)
            status = refuse_file(error, read, "read the clean-stop marker in", directory->path);
    }
    if (status == STORE_OK) {
        /* Kafka makes this file as soon as it starts; we have none while logs change. */
        bool has_high_watermarks = child_exists(directory, CHECKPOINT_HIGH_WATERMARK);
        directory->may_be_foreign =
            directory->marker.is_present ? uuid_is_zero(directory->marker.nonce) : has_high_watermarks;
        directory->is_durable = identity_was_flushed(directory);
        return STORE_OK;
    }
    directory_refuse(directory);
    return status;
}

enum store_status directory_check_identity(const struct directory *directory, int32_t node_id,
                                           const char *cluster_id, char **error)
{
    const struct meta_properties *meta = &directory->meta;

    if (directory->is_new)
        return STORE_OK;
    if (meta->version == 0)
        return refuse(error, STORE_FOREIGN,
                      "%s was written by Kafka in ZooKeeper mode; migrate it to KRaft with Kafka first",
                      directory->path);
    if (meta->node_id < 0 || !meta->cluster_id[0])
        return refuse(error, STORE_DAMAGED,
                      "%s/" META_PROPERTIES_NAME " has no node.id or no cluster.id; restore it from a copy",
                      directory->path);
    if (meta->node_id != node_id)
        return refuse(error, STORE_FOREIGN,
                      "%s belongs to node %" PRId32 ", but node.id is %" PRId32 "; set node.id=%" PRId32
                      ", or choose another data directory",
                      directory->path, meta->node_id, node_id, meta->node_id);
    if (cluster_id && strcmp(meta->cluster_id, cluster_id) != 0)
        return refuse(error, STORE_FOREIGN,
                      "%s belongs to cluster %s, not to %s; choose another data directory", directory->path,
                      meta->cluster_id, cluster_id);
    return STORE_OK;
}

/* --- changes ----------------------------------------------------------------------------------- */

static enum file_status write_plain(struct directory *directory, const char *name, const char *text)
{
    char *path = directory_child(directory, name);
    struct file *file;

    if (!path)
        return FILE_LIMIT;
    enum file_status status =
        file_open(directory->files, path, FILE_WRITE | FILE_CREATE | FILE_TRUNCATE, &file);
    free(path);
    if (status != FILE_OK)
        return status;
    status = file_pwrite(file, text, strlen(text), 0);
    file_close(file);
    return status;
}

static enum file_status replace_child(struct directory *directory, const char *name, const char *text)
{
    char *path = directory_child(directory, name);
    enum file_status status = path ? file_replace(directory->files, path, slice_of_string(text)) : FILE_LIMIT;

    free(path);
    return status;
}

enum store_status directory_format(struct directory *directory, int32_t node_id, const char *cluster_id,
                                   char **error)
{
    uuid id;
    struct random random;

    check(strlen(cluster_id) <= META_CLUSTER_ID_SIZE_MAX);
    if (uuid_is_zero(directory->meta.directory_id)) {
        random_seed_secure(&random);
        id = uuid_random(&random);
    } else {
        id = directory->meta.directory_id;
    }
    directory->meta = (struct meta_properties){ .node_id = node_id, .version = 1, .directory_id = id };
    snprintf(directory->meta.cluster_id, sizeof directory->meta.cluster_id, "%s", cluster_id);
    char *text = meta_properties_text(&directory->meta);
    enum file_status status = FILE_LIMIT;
    if (text)
        status = directory->is_new ? write_plain(directory, META_PROPERTIES_NAME, text)
                                   : replace_child(directory, META_PROPERTIES_NAME, text);
    free(text);
    if (status != FILE_OK)
        return refuse_file(error, status, "write meta.properties in", directory->path);
    directory->is_new = false;
    return STORE_OK;
}

static enum file_status flush_child(struct directory *directory, const char *name)
{
    struct file *file;
    char *path = directory_child(directory, name);

    if (!path)
        return FILE_LIMIT;
    enum file_status status = file_open(directory->files, path, FILE_WRITE, &file);
    free(path);
    if (status != FILE_OK)
        return status;
    status = file_flush(file);
    file_close(file);
    return status;
}

/* The directories that hold the names of those that a first start made; at least that of path. */
static enum file_status flush_parents(struct directory *directory)
{
    enum file_status status = FILE_OK;
    char *path = strdup(directory->path);

    if (!path)
        return FILE_LIMIT;
    unsigned levels = directory->made_count ? directory->made_count : 1;
    for (unsigned i = 0; i < levels && status == FILE_OK; i++) {
        char *slash = strrchr(path, '/');
        if (slash)
            slash[slash == path] = '\0';
        status = file_flush_directory(directory->files, slash ? path : ".");
    }
    free(path);
    return status;
}

enum file_status directory_make_durable(struct directory *directory)
{
    if (directory->is_durable)
        return FILE_OK;
    enum file_status status = flush_child(directory, META_PROPERTIES_NAME);
    if (status == FILE_OK)
        status = file_flush_directory(directory->files, directory->path);
    if (status == FILE_OK)
        status = flush_parents(directory);
    directory->is_durable = status == FILE_OK;
    return status;
}

static enum file_status remove_child(struct directory *directory, const char *name)
{
    char *path = directory_child(directory, name);

    if (!path)
        return FILE_LIMIT;
    enum file_status status = file_unlink(directory->files, path);
    free(path);
    return status == FILE_NOT_FOUND ? FILE_OK : status;
}

enum file_status directory_begin_changes(struct directory *directory)
{
    enum file_status status = directory_make_durable(directory);

    if (status != FILE_OK)
        return status;
    /* All durable before the first change: a marker that outlives it would hide a torn tail. */
    status = remove_child(directory, CLEAN_MARKER_NAME);
    if (status == FILE_OK)
        status = remove_child(directory, CHECKPOINT_HIGH_WATERMARK);
    if (status == FILE_OK)
        status = file_flush_directory(directory->files, directory->path);
    if (status == FILE_OK)
        directory->marker = (struct clean_marker){ .is_present = false };
    return status;
}

void directory_forget_names(struct directory *directory)
{
    for (size_t i = 0; i < directory->name_count; i++)
        free(directory->names[i].name);
    free(directory->names);
    directory->names = NULL;
    directory->name_count = directory->name_capacity = 0;
}

void directory_refuse(struct directory *directory)
{
    struct file_system *files = directory->files;
    char *path = directory->path ? strdup(directory->path) : NULL;
    unsigned made_count = directory->made_count;

    directory_close(directory, directory->made_lock);
    for (; path && made_count > 0; made_count--) {
        if (file_remove_directory(files, path) != FILE_OK)
            break;
        char *slash = strrchr(path, '/');
        if (!slash || slash == path)
            break;
        *slash = '\0';
    }
    free(path);
}

void directory_close(struct directory *directory, bool clean)
{
    if (directory->lock) {
        if (clean)
            (void)remove_child(directory, LOCK_NAME);
        file_close(directory->lock);
    }
    directory_forget_names(directory);
    free(directory->path);
    *directory = (struct directory){ .files = directory->files };
}
