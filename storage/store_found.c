/* What lay in the log directories at the start: partitions, and what our files and Kafka's say of them. */
#include <stdio.h>
#include <stdlib.h>

#include "protocol/base/check.h"
#include "protocol/base/note.h"
#include "storage/checkpoint.h"
#include "storage/store_internal.h"

enum { SIDE_FILE_SIZE_MAX = 1 << 30 };

static size_t buckets_for(size_t count)
{
    size_t buckets = 16;

    while (buckets < count)
        buckets *= 2;
    return buckets;
}

static struct store_found **found_bucket(const struct store *store, const char *name)
{
    return &store->found_buckets[store__hash(name, strlen(name), 0) & (store->found_bucket_count - 1)];
}

struct store_found *store__find_found(const struct store *store, const char *name)
{
    if (store->found_bucket_count == 0)
        return NULL;
    for (struct store_found *found = *found_bucket(store, name); found; found = found->next) {
        if (strcmp(found->name, name) == 0)
            return found;
    }
    return NULL;
}

static struct store_found *find_partition(const struct store *store, uint32_t directory, slice topic,
                                          int32_t partition)
{
    char name[DIRECTORY_NAME_SIZE + 16];

    if (topic.size > DIRECTORY_TOPIC_SIZE_MAX)
        return NULL;
    snprintf(name, sizeof name, "%.*s-%d", (int)topic.size, (const char *)topic.data, (int)partition);
    struct store_found *found = store__find_found(store, name);
    return found && found->directory == directory ? found : NULL;
}

static bool is_partition(const struct directory_name *name)
{
    return name->kind == DIRECTORY_PARTITION && strcmp(name->name, METADATA_TOPIC_NAME "-0") != 0;
}

static enum store_status add_names(struct store *store, uint32_t index, const char **error)
{
    const struct directory *directory = &store->directories[index].directory;

    for (size_t i = 0; i < directory->name_count; i++) {
        const struct directory_name *name = &directory->names[i];
        if (!is_partition(name))
            continue;
        struct store_found *other = store__find_found(store, name->name);
        if (other) {
            char *text;
            if (asprintf(&text, "the partition %s is in %s and in %s; move one of the two away", name->name,
                         store->directories[other->directory].directory.path, directory->path) < 0)
                text = NULL;
            return store__fail(STORE_FOREIGN, text, error);
        }
        struct store_found *found = &store->found[store->found_count++];
        *found = (struct store_found){
            .name = name->name,
            .directory = index,
            .partition = name->partition,
            .recovery_point = -1,
            .start_offset = -1,
            .clean_offset = -1,
        };
        struct store_found **bucket = found_bucket(store, name->name);
        found->next = *bucket;
        *bucket = found;
    }
    return STORE_OK;
}

/* --- durable positions ------------------------------------------------------------------------- */

static struct store_position **position_bucket(const struct store *store, uuid topic_id, int32_t partition)
{
    uint64_t hash = store__hash(topic_id.bytes, sizeof topic_id.bytes, (uint64_t)(uint32_t)partition);

    return &store->position_buckets[hash & (store->position_bucket_count - 1)];
}

const struct side_position *store__find_position(const struct store *store, uuid topic_id, int32_t partition)
{
    if (store->position_bucket_count == 0)
        return NULL;
    for (struct store_position *it = *position_bucket(store, topic_id, partition); it; it = it->next) {
        if (it->position.partition == partition && uuid_equal(it->position.topic_id, topic_id))
            return &it->position;
    }
    return NULL;
}

/* Without memory a position is not known, which costs time only. */
static void keep_position(struct store *store, const struct side_position *position)
{
    struct store_position **bucket = position_bucket(store, position->topic_id, position->partition);

    for (struct store_position *it = *bucket; it; it = it->next) {
        if (it->position.partition == position->partition &&
            uuid_equal(it->position.topic_id, position->topic_id)) {
            it->position = *position;
            return;
        }
    }
    struct store_position *kept = malloc(sizeof *kept);
    if (!kept)
        return;
    *kept = (struct store_position){ .next = *bucket, .position = *position };
    *bucket = kept;
    store->position_count += !uuid_equal(position->topic_id, UUID_ONE);
}

/* Takes the records of one file. */
struct position_reading {
    struct store *store;
    size_t count;
};

static void take_position(void *context, const struct side_position *position)
{
    struct position_reading *reading = context;

    reading->count++;
    keep_position(reading->store, position);
}

static bool read_child(const struct directory *directory, const char *name, uint8_t **bytes, size_t *size)
{
    char *path = directory_child(directory, name);

    *bytes = NULL;
    if (!path)
        return false;
    enum file_status status = file_read_all(directory->files, path, SIDE_FILE_SIZE_MAX, bytes, size);
    free(path);
    if (status != FILE_OK && status != FILE_NOT_FOUND)
        note_warn("side_file.unreadable", "directory=%s name=%s status=\"%s\"", directory->path, name,
                  file_status_name(status));
    return status == FILE_OK;
}

static void read_positions(struct store *store, struct store_directory *directory)
{
    uint8_t *bytes;
    size_t size;

    if (!read_child(&directory->directory, SIDE_POSITIONS_NAME, &bytes, &size))
        return;
    struct position_reading reading = { .store = store };
    directory->has_positions = side_positions_parse(
        slice_of(bytes, size), directory->directory.meta.directory_id, take_position, &reading);
    directory->has_all_positions =
        directory->has_positions && SIDE_POSITIONS_HEADER_SIZE + reading.count * SIDE_POSITION_SIZE == size;
    directory->has_facts |= directory->has_positions;
    free(bytes);
}

/* The table's rows: after our clean stop they say how each log is, later they are lower bounds. */
static void take_row(struct store *store, struct store_directory *directory, const struct side_row *row)
{
    struct side_position position = {
        .topic_id = row->topic_id,
        .partition = row->partition,
        .durable = { row->row.end_offset, row->row.active_base, row->row.active_size },
        .start_offset = row->row.start_offset,
    };
    struct store_found *found = find_partition(store, directory->index, row->topic, row->partition);

    if (found) { /* after an unclean stop the marks have the last word */
        found->has_row = true;
        found->topic_id = row->topic_id;
        found->row = row->row;
    }
    directory->has_orphan_rows |= !found && !uuid_equal(row->topic_id, UUID_ONE);
    /* The metadata log may have grown since. */
    if (directory->was_clean && directory->index == 0 && uuid_equal(row->topic_id, UUID_ONE))
        store->metadata_row = row->row;
    /* Of one that is not there: store_lost(). */
    if (!directory->was_clean || !found || uuid_equal(row->topic_id, UUID_ONE))
        keep_position(store, &position);
}

static void read_table(struct store *store, struct store_directory *directory)
{
    uint8_t *bytes;
    size_t size;
    struct side_table_reader reader;
    struct side_row row;
    const struct clean_marker *marker = &directory->directory.marker;

    if (directory->directory.may_be_foreign ||
        !read_child(&directory->directory, SIDE_TABLE_NAME, &bytes, &size))
        return;
    bool is_good = side_table_open(slice_of(bytes, size), &reader);
    if (is_good && marker->is_present)
        directory->was_clean = uuid_equal(reader.nonce, marker->nonce);
    if (is_good)
        directory->table_nonce = reader.nonce;
    directory->has_true_table = directory->was_clean;
    if (is_good && (directory->was_clean || !marker->is_present)) {
        directory->has_facts = true;
        while (side_table_next(&reader, &row))
            take_row(store, directory, &row);
    }
    free(bytes);
}

static void take_mark(void *context, slice name)
{
    struct store_directory *directory = context;
    char text[SIDE_MARK_NAME_MAX + 1];

    snprintf(text, sizeof text, "%.*s", (int)name.size, (const char *)name.data);
    struct store_found *found = store__find_found(directory->store, text);
    if (found && found->directory == directory->index)
        found->has_row = false;
}

/* After an unclean stop rows are true of the logs that nobody changed since. */
static void read_marks(struct store *store, struct store_directory *directory)
{
    uint8_t *bytes;
    size_t size;

    if (!uuid_is_zero(directory->table_nonce) &&
        read_child(&directory->directory, SIDE_MARKS_NAME, &bytes, &size)) {
        directory->had_marks = side_marks_parse(slice_of(bytes, size), directory->directory.meta.directory_id,
                                                directory->table_nonce, take_mark, directory);
        directory->marks.size = directory->marks.flushed_size = size;
        free(bytes);
    }
    for (size_t i = 0; i < store->found_count && !directory->had_marks; i++) {
        if (store->found[i].directory == directory->index)
            store->found[i].has_row = false;
    }
}

/* --- Kafka's checkpoints ----------------------------------------------------------------------- */

/* member: where in a struct store_found the offset goes. */
static void read_checkpoint(struct store *store, struct store_directory *directory, const char *name,
                            size_t member)
{
    uint8_t *bytes;
    size_t size;
    struct checkpoint_offset *entries;
    size_t count;

    if (!read_child(&directory->directory, name, &bytes, &size))
        return;
    if (!checkpoint_parse_offsets(slice_of(bytes, size), &entries, &count))
        note_warn("checkpoint.unreadable", "directory=%s name=%s effect=ignored", directory->directory.path,
                  name);
    for (size_t i = 0; i < count; i++) {
        struct store_found *found =
            find_partition(store, directory->index, entries[i].topic, entries[i].partition);
        if (member == offsetof(struct store_found, start_offset)) /* it may be of a log that is no more */
            atomic_store(&directory->starts_stale, true);
        if (found && entries[i].offset >= 0)
            memcpy((char *)found + member, &entries[i].offset, sizeof entries[i].offset);
        else if (entries[i].offset > 0 && member == offsetof(struct store_found, recovery_point) &&
                 directory->was_clean_kafka) /* after a kill they may be of topics that were deleted */
            store__note_absent(store, entries[i].topic, entries[i].partition, entries[i].offset);
    }
    free(entries);
    free(bytes);
}

static bool has_partitions(const struct directory *directory)
{
    for (size_t i = 0; i < directory->name_count; i++) {
        if (is_partition(&directory->names[i]))
            return true;
    }
    return false;
}

static void read_facts(struct store *store, struct store_directory *directory)
{
    bool has_some = has_partitions(&directory->directory);

    read_table(store, directory);
    read_checkpoint(store, directory, CHECKPOINT_CLEANER, offsetof(struct store_found, clean_offset));
    if (!directory->was_clean && !directory->directory.may_be_foreign)
        read_positions(store, directory);
    if (!directory->was_clean)
        read_marks(store, directory);
    directory->was_clean_kafka = !directory->was_clean && directory->directory.marker.is_present;
    if (directory->was_clean)
        return;
    if (!has_some)
        directory->was_clean = true; /* there is nothing to recover */
    read_checkpoint(store, directory, CHECKPOINT_RECOVERY_POINT,
                    offsetof(struct store_found, recovery_point));
    read_checkpoint(store, directory, CHECKPOINT_LOG_START_OFFSET,
                    offsetof(struct store_found, start_offset));
}

enum store_status store__read_found(struct store *store, const char **error)
{
    size_t count = 0;

    for (size_t i = 0; i < store->directory_count; i++)
        count += store->directories[i].directory.name_count;
    store->found_bucket_count = buckets_for(count);
    store->found_buckets = calloc(store->found_bucket_count, sizeof(struct store_found *));
    store->found = calloc(count + 1, sizeof *store->found);
    store->position_bucket_count = buckets_for(count);
    store->position_buckets = calloc(store->position_bucket_count, sizeof(struct store_position *));
    if (!store->found_buckets || !store->found || !store->position_buckets) {
        store->found_bucket_count = store->position_bucket_count = 0;
        return store__fail(STORE_LIMIT, NULL, error);
    }
    for (uint32_t i = 0; i < store->directory_count; i++) {
        enum store_status status = add_names(store, i, error);
        if (status != STORE_OK)
            return status;
    }
    for (uint32_t i = 0; i < store->directory_count; i++)
        read_facts(store, &store->directories[i]);
    return STORE_OK;
}

void store__forget_found(struct store *store)
{
    store__forget_removed(store);
    store__forget_absent(store);
    for (size_t i = 0; i < store->position_bucket_count; i++) {
        for (struct store_position *it = store->position_buckets[i]; it;) {
            struct store_position *next = it->next;
            free(it);
            it = next;
        }
    }
    free(store->position_buckets);
    free(store->found_buckets);
    free(store->found);
    store->position_buckets = NULL;
    store->found_buckets = NULL;
    store->found = NULL;
    store->position_bucket_count = store->found_bucket_count = store->found_count = 0;
}
