/* What lies in a partition directory, and the tidying with which Kafka begins to load it. */
#include "storage/log_directory.h"

#include <stdio.h>
#include <stdlib.h>

#include "protocol/base/note.h"
#include "storage/checkpoint.h"
#include "storage/partition_metadata.h"
#include "storage/quarantine_file.h"
#include "storage/segment_scan.h"

enum { BASE_DIGITS = 20 };

enum file_kind {
    KIND_LOG,
    KIND_OFFSET_INDEX,
    KIND_TIME_INDEX,
    KIND_TXN_INDEX,
    KIND_SNAPSHOT,
    KIND_PRODUCERS,
    KIND_SPARE,
    KIND_OTHER
};
enum file_stage { STAGE_FINAL, STAGE_DELETED, STAGE_CLEANED, STAGE_SWAP };

static const char *const suffixes[] = { ".log",      ".index",    ".timeindex",
                                        ".txnindex", ".snapshot", ".producers.runnel" };

struct entry {
    char *name;
    int64_t base_offset; /* -1: the name begins with no number */
    enum file_kind kind;
    enum file_stage stage;
};

struct listing {
    struct entry *entries;
    size_t count, capacity;
    bool failed;                       /* no memory */
    char odd[LOG_DIRECTORY_NAME_SIZE]; /* what is no file, but should be; "" while there is none */
};

static bool ends_with(const char *name, size_t size, const char *suffix)
{
    size_t suffix_size = strlen(suffix);
    return size >= suffix_size && memcmp(name + size - suffix_size, suffix, suffix_size) == 0;
}

/* The 20 decimal digits in front of the first '.', or -1. */
static int64_t base_offset_of(const char *name)
{
    int64_t value = 0;
    for (size_t i = 0; i < BASE_DIGITS; i++) {
        if (name[i] < '0' || name[i] > '9' || value > (INT64_MAX - (name[i] - '0')) / 10)
            return -1;
        value = value * 10 + (name[i] - '0');
    }
    return name[BASE_DIGITS] == '.' ? value : -1;
}

static void classify(struct entry *entry)
{
    const char *name = entry->name;
    size_t size = strlen(name);
    entry->stage = STAGE_FINAL;
    entry->kind = KIND_OTHER;
    entry->base_offset = base_offset_of(name);
    if (strncmp(name, SPARE_PREFIX, strlen(SPARE_PREFIX)) == 0 && ends_with(name, size, SPARE_SUFFIX)) {
        entry->kind = KIND_SPARE;
        return;
    }
    static const struct {
        const char *suffix;
        enum file_stage stage;
    } stages[] = {
        { ".deleted", STAGE_DELETED },
        { ".cleaned", STAGE_CLEANED },
        { ".swap", STAGE_SWAP },
    };
    for (size_t i = 0; i < sizeof stages / sizeof stages[0]; i++) {
        if (ends_with(name, size, stages[i].suffix)) {
            entry->stage = stages[i].stage;
            size -= strlen(stages[i].suffix);
            break;
        }
    }
    /* Snapshots of the raft log are its reader's to delete. */
    if (entry->stage == STAGE_DELETED && ends_with(name, size, ".checkpoint"))
        entry->stage = STAGE_FINAL;
    for (size_t i = 0; entry->base_offset >= 0 && i < sizeof suffixes / sizeof suffixes[0]; i++) {
        if (ends_with(name, size, suffixes[i]))
            entry->kind = (enum file_kind)i;
    }
}

/* A file of a log that is not a regular one: a link would have us write somewhere else, a pipe holds nothing.
 */
static bool is_odd(const struct entry *entry, enum file_type type)
{
    static const char *const names[] = { PARTITION_METADATA_NAME, CHECKPOINT_LEADER_EPOCH, QUARANTINE_NAME };
    bool is_ours = entry->kind != KIND_OTHER;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        is_ours = is_ours || strcmp(entry->name, names[i]) == 0;
    return is_ours && type != FILE_TYPE_REGULAR;
}

static bool visit(void *context, const char *name, enum file_type type)
{
    struct listing *listing = context;
    if (listing->count == listing->capacity) {
        size_t capacity = listing->capacity ? listing->capacity * 2 : 32;
        struct entry *entries = realloc(listing->entries, capacity * sizeof *entries);
        if (!entries) {
            listing->failed = true;
            return false;
        }
        listing->entries = entries;
        listing->capacity = capacity;
    }
    struct entry *entry = &listing->entries[listing->count];
    entry->name = strdup(name);
    if (!entry->name) {
        listing->failed = true;
        return false;
    }
    classify(entry);
    listing->count++;
    if (is_odd(entry, type))
        snprintf(listing->odd, sizeof listing->odd, "%s", name);
    return true;
}

static void listing_free(struct listing *listing)
{
    for (size_t i = 0; i < listing->count; i++)
        free(listing->entries[i].name);
    free(listing->entries);
    *listing = (struct listing){ .entries = NULL };
}

static enum file_status list_directory(const struct segment_home *home, struct listing *listing)
{
    *listing = (struct listing){ .entries = NULL };
    enum file_status status = file_list_types(home->env->files, home->path, visit, listing);
    if (status == FILE_OK && listing->failed)
        status = FILE_LIMIT;
    if (status != FILE_OK)
        listing_free(listing);
    return status;
}

/* The same, refused when something in it is no file. */
static enum file_status list_files(const struct segment_home *home, struct listing *listing)
{
    enum file_status status = list_directory(home, listing);
    if (status != FILE_OK || !listing->odd[0])
        return status;
    note_error("log.unusable", "path=%s file=%s reason=no_regular_file", home->path, listing->odd);
    listing_free(listing);
    return FILE_IO;
}

enum file_status log_directory_odd_name(const struct segment_home *home, char out[LOG_DIRECTORY_NAME_SIZE])
{
    struct listing listing;
    enum file_status status = list_directory(home, &listing);
    out[0] = 0;
    if (status == FILE_OK) {
        memcpy(out, listing.odd, sizeof listing.odd);
        listing_free(&listing);
    }
    return status;
}

struct denied_search {
    const struct segment_home *home;
    bool only_logs;
    char *out;
};

static bool search_denied(void *context, const char *name)
{
    struct denied_search *search = context;
    struct entry entry = { .name = (char *)(uintptr_t)name }; /* only read from */
    char path[SEGMENT_PATH_MAX];
    struct file *file;
    classify(&entry);
    bool counts = search->only_logs ? entry.kind == KIND_LOG : entry.kind != KIND_OTHER;
    if (!counts || entry.stage != STAGE_FINAL)
        return true;
    segment_home_path(search->home, name, path);
    enum file_status status = file_open(search->home->env->files, path, FILE_READ | FILE_WRITE, &file);
    if (status == FILE_OK)
        file_close(file);
    if (status == FILE_DENIED)
        snprintf(search->out, LOG_DIRECTORY_NAME_SIZE, "%s", name);
    return status != FILE_DENIED;
}

bool log_directory_denied_name(const struct segment_home *home, bool only_logs,
                               char out[LOG_DIRECTORY_NAME_SIZE])
{
    struct denied_search search = { home, only_logs, out };
    out[0] = 0;
    (void)file_list(home->env->files, home->path, search_denied, &search);
    return out[0] != 0;
}

static enum file_status remove_entry(const struct segment_home *home, const struct entry *entry)
{
    char path[SEGMENT_PATH_MAX];
    segment_home_path(home, entry->name, path);
    enum file_status status = file_unlink(home->env->files, path);
    return status == FILE_NOT_FOUND ? FILE_OK : status;
}

/* Removes every entry that wants() names. */
static enum file_status remove_where(const struct segment_home *home, const struct listing *listing,
                                     bool (*wants)(const struct entry *, const int64_t *range),
                                     const int64_t *range, bool *any)
{
    enum file_status status = FILE_OK;
    for (size_t i = 0; i < listing->count && status == FILE_OK; i++) {
        if (wants(&listing->entries[i], range)) {
            status = remove_entry(home, &listing->entries[i]);
            *any = true;
        }
    }
    return status;
}

static bool is_deleted(const struct entry *entry, const int64_t *range)
{
    (void)range;
    return entry->stage == STAGE_DELETED || entry->kind == KIND_SPARE;
}

static bool is_cleaned(const struct entry *entry, const int64_t *range)
{
    (void)range;
    return entry->stage == STAGE_CLEANED;
}

/* A swap beside output of the same run of the cleaner was not complete. */
static bool is_incomplete_swap(const struct entry *entry, const int64_t *range)
{
    return entry->stage == STAGE_SWAP && entry->base_offset >= range[0];
}

static bool is_replaced(const struct entry *entry, const int64_t *range)
{
    return entry->stage == STAGE_FINAL && entry->kind != KIND_OTHER && entry->base_offset >= range[0] &&
           entry->base_offset < range[1];
}

/* The offset behind the last batch of a .log.swap. */
static enum file_status swap_end(const struct segment_home *home, const struct entry *entry, int64_t *end)
{
    char path[SEGMENT_PATH_MAX];
    struct file *file;
    uint64_t size;
    struct segment_scan scan;
    segment_home_path(home, entry->name, path);
    enum file_status status = file_open(home->env->files, path, FILE_READ, &file);
    if (status != FILE_OK)
        return status;
    status = file_size(file, &size);
    *end = entry->base_offset;
    if (status == FILE_OK && segment_scan_begin(&scan, file, 0, size, entry->base_offset, false)) {
        while (segment_scan_next(&scan) == SCAN_BATCH)
            *end = scan.expected;
        segment_scan_end(&scan);
    }
    file_close(file);
    return status;
}

/* Completes what the cleaner had fully written and begun to swap in (facts: disk-format 5.7). */
static enum file_status finish_swaps(const struct segment_home *home, const struct listing *listing,
                                     bool *any)
{
    enum file_status status = FILE_OK;
    int64_t range[2] = { INT64_MAX, -1 };
    for (size_t i = 0; i < listing->count && status == FILE_OK; i++) {
        const struct entry *entry = &listing->entries[i];
        int64_t end;
        if (entry->stage != STAGE_SWAP || entry->kind != KIND_LOG)
            continue;
        status = swap_end(home, entry, &end);
        range[0] = entry->base_offset < range[0] ? entry->base_offset : range[0];
        range[1] = status == FILE_OK && end > range[1] ? end : range[1];
    }
    if (status == FILE_OK && range[1] > range[0])
        status = remove_where(home, listing, is_replaced, range, any);
    /* Else another power cut could leave the new segment beside one that it replaces. */
    if (status == FILE_OK && *any)
        status = file_flush_directory(home->env->files, home->path);
    for (size_t i = 0; i < listing->count && status == FILE_OK; i++) {
        const struct entry *entry = &listing->entries[i];
        char from[SEGMENT_PATH_MAX], to[SEGMENT_PATH_MAX];
        if (entry->stage != STAGE_SWAP)
            continue;
        segment_home_path(home, entry->name, from);
        memcpy(to, from, sizeof to);
        to[strlen(to) - strlen(".swap")] = 0;
        status = file_rename(home->env->files, from, to);
        *any = true;
    }
    return status;
}

static enum file_status tidy_temporaries(const struct segment_home *home, bool *any)
{
    struct listing listing;
    int64_t cleaned[1] = { INT64_MAX };
    enum file_status status = list_files(home, &listing);
    if (status != FILE_OK)
        return status;
    for (size_t i = 0; i < listing.count; i++) {
        if (listing.entries[i].stage == STAGE_CLEANED && listing.entries[i].base_offset < cleaned[0])
            cleaned[0] = listing.entries[i].base_offset;
    }
    status = remove_where(home, &listing, is_deleted, NULL, any);
    if (status == FILE_OK && cleaned[0] != INT64_MAX) {
        status = remove_where(home, &listing, is_incomplete_swap, cleaned, any);
        if (status == FILE_OK) /* without a .cleaned beside it, a .swap counts as complete */
            status = file_flush_directory(home->env->files, home->path);
    }
    if (status == FILE_OK)
        status = remove_where(home, &listing, is_cleaned, NULL, any);
    listing_free(&listing);
    if (status != FILE_OK || (status = list_files(home, &listing)) != FILE_OK)
        return status;
    status = finish_swaps(home, &listing, any);
    listing_free(&listing);
    return status;
}

static int compare_segments(const void *a, const void *b)
{
    const struct segment_files *x = a, *y = b;
    return (x->base_offset > y->base_offset) - (x->base_offset < y->base_offset);
}

static int compare_offsets(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static struct segment_files *find_segment(const struct log_directory *directory, int64_t base_offset)
{
    struct segment_files key = { .base_offset = base_offset };
    if (directory->segment_count == 0)
        return NULL;
    return bsearch(&key, directory->segments, directory->segment_count, sizeof key, compare_segments);
}

static bool has_snapshot(const struct log_directory *directory, int64_t offset)
{
    return directory->snapshot_count > 0 &&
           bsearch(&offset, directory->snapshots, directory->snapshot_count, sizeof offset, compare_offsets);
}

/* Sorts what is final into segments and snapshots; an index without its .log is removed, and what lies beside
 * a snapshot that is gone. */
static enum file_status sort_out(const struct segment_home *home, const struct listing *listing, bool tidy,
                                 struct log_directory *out)
{
    out->segments = calloc(listing->count + 1, sizeof *out->segments);
    out->snapshots = calloc(listing->count + 1, sizeof *out->snapshots);
    if (!out->segments || !out->snapshots)
        return FILE_LIMIT;
    for (size_t i = 0; i < listing->count; i++) {
        const struct entry *entry = &listing->entries[i];
        if (entry->stage == STAGE_FINAL && entry->kind == KIND_LOG)
            out->segments[out->segment_count++].base_offset = entry->base_offset;
        if (entry->stage == STAGE_FINAL && entry->kind == KIND_SNAPSHOT)
            out->snapshots[out->snapshot_count++] = entry->base_offset;
    }
    qsort(out->segments, out->segment_count, sizeof *out->segments, compare_segments);
    qsort(out->snapshots, out->snapshot_count, sizeof *out->snapshots, compare_offsets);
    for (size_t i = 0; i < listing->count; i++) {
        const struct entry *entry = &listing->entries[i];
        out->has_quarantine |= strcmp(entry->name, QUARANTINE_NAME) == 0;
        bool is_index = entry->kind == KIND_OFFSET_INDEX || entry->kind == KIND_TIME_INDEX ||
                        entry->kind == KIND_TXN_INDEX;
        if (tidy && entry->kind == KIND_PRODUCERS && !has_snapshot(out, entry->base_offset))
            (void)remove_entry(home, entry);
        if (entry->stage != STAGE_FINAL || !is_index)
            continue;
        struct segment_files *files = find_segment(out, entry->base_offset);
        if (files && entry->kind == KIND_OFFSET_INDEX)
            files->has_offset_index = true;
        else if (files && entry->kind == KIND_TIME_INDEX)
            files->has_time_index = true;
        else if (files)
            files->has_txn_index = true;
        else if (tidy)
            (void)remove_entry(home, entry);
    }
    return FILE_OK;
}

static bool is_tidy(const struct listing *listing)
{
    for (size_t i = 0; i < listing->count; i++) {
        if (listing->entries[i].stage != STAGE_FINAL || listing->entries[i].kind == KIND_SPARE)
            return false;
    }
    return true;
}

/* Tidies, and lists what is there then. */
static enum file_status tidy_and_list(const struct segment_home *home, struct listing *listing)
{
    bool any = false;
    enum file_status status = tidy_temporaries(home, &any);
    if (any && status == FILE_OK)
        status = file_flush_directory(home->env->files, home->path);
    return status == FILE_OK ? list_files(home, listing) : status;
}

enum file_status log_directory_load(const struct segment_home *home, bool tidy, struct log_directory *out)
{
    struct listing listing;
    *out = (struct log_directory){ .segments = NULL };
    enum file_status status = list_files(home, &listing);
    if (status == FILE_OK && tidy && !is_tidy(&listing)) {
        listing_free(&listing);
        status = tidy_and_list(home, &listing);
    }
    if (status != FILE_OK)
        return status;
    status = sort_out(home, &listing, tidy, out);
    listing_free(&listing);
    if (status != FILE_OK)
        log_directory_free(out);
    return status;
}

void log_directory_free(struct log_directory *directory)
{
    free(directory->segments);
    free(directory->snapshots);
    *directory = (struct log_directory){ .segments = NULL };
}
