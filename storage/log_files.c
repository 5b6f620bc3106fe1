/* Making the files of a log before they are needed: directory, first segment, spare segments, rolls. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/base/check.h"
#include "protocol/base/note.h"
#include "storage/checkpoint.h"
#include "storage/log_directory.h"
#include "storage/log_producers.h"
#include "storage/partition_metadata.h"
#include "storage/producer_state.h"
#include "storage/recovery.h"
#include "storage/reserve.h"
#include "storage/segment_tail.h"

enum { SPARES_MAX = 1024 };

static const char *const suffixes[] = { ".log", ".index", ".timeindex" };

static void spare_path(const struct log *log, uint64_t number, const char *suffix, char out[SEGMENT_PATH_MAX])
{
    int size = snprintf(out, SEGMENT_PATH_MAX, "%s/" SPARE_PREFIX "%" PRIu64 "%s" SPARE_SUFFIX, log->path,
                        number, suffix);
    check(size > 0 && size < SEGMENT_PATH_MAX);
}

static void unlink_spare(struct log *log, uint64_t number)
{
    char path[SEGMENT_PATH_MAX];
    for (size_t i = 0; i < 3; i++) {
        spare_path(log, number, suffixes[i], path);
        (void)file_unlink(log->env->files, path);
    }
}

/* The three empty files of a segment; they stay open, as a loop that appends must not open them. */
static enum log_status create_files(struct log *log, struct segment *segment,
                                    void (*path_of)(const struct log *, int64_t, const char *, char *),
                                    int64_t number)
{
    enum { FLAGS = FILE_READ | FILE_WRITE | FILE_CREATE | FILE_TRUNCATE };
    struct open_file **places[] = { NULL, &segment->offsets.file, &segment->times.file };
    char path[SEGMENT_PATH_MAX];
    enum file_status status = FILE_OK;
    if (!log->host->may_open(log->host, 3, 0))
        return LOG_LIMIT;
    for (size_t i = 3; i > 0 && status == FILE_OK; i--) { /* the .log last: it makes the others count */
        struct open_file *file;
        path_of(log, number, suffixes[i - 1], path);
        status = open_file_open(&log->home, path, FLAGS, &file);
        if (status == FILE_OK && i > 1)
            *places[i - 1] = file;
        else if (status == FILE_OK)
            atomic_store(&segment->data, file);
    }
    return log__status_of(status);
}

static void spare_path_of(const struct log *log, int64_t number, const char *suffix, char *out)
{
    spare_path(log, (uint64_t)number, suffix, out);
}

static void segment_path_of(const struct log *log, int64_t base_offset, const char *suffix, char *out)
{
    segment_path(&log->home, base_offset, suffix, out);
}

static enum log_status make_spare(struct log *log)
{
    struct segment_spare *spare = malloc(sizeof *spare);
    struct segment *segment = segment_create(0);
    enum log_status status = LOG_LIMIT;
    if (!spare || !segment)
        goto failed;
    spare->number = ++log->spare_number;
    spare->segment = segment;
    status = create_files(log, segment, spare_path_of, (int64_t)spare->number);
    if (status != LOG_OK) {
        unlink_spare(log, spare->number);
        goto failed;
    }
    pthread_mutex_lock(&log->mutex);
    spare->next = log->spares;
    log->spares = spare;
    log->spare_count++;
    pthread_mutex_unlock(&log->mutex);
    return LOG_OK;
failed:
    if (segment)
        segment_destroy(segment);
    free(spare);
    return status;
}

/* As many spares as the next append needs; one when the active segment is half full. */
static enum log_status make_spares(struct log *log, bool for_removal)
{
    if (!for_removal && !log__may_grow(log))
        return LOG_OK; /* there is no next append */
    pthread_mutex_lock(&log->mutex);
    bool half = log__active(log)->growth.size >= (uint32_t)log__config(log)->segment_bytes / 2;
    uint32_t wanted = log->spares_wanted > (half ? 1u : 0u) ? log->spares_wanted : (half ? 1u : 0u);
    uint32_t have = log->spare_count;
    pthread_mutex_unlock(&log->mutex);
    enum log_status status = LOG_OK;
    for (uint32_t i = have; i < wanted && i < SPARES_MAX && status == LOG_OK; i++)
        status = make_spare(log);
    return status;
}

void log__drop_spares(struct log *log)
{
    pthread_mutex_lock(&log->mutex);
    struct segment_spare *spare = log->spares;
    log->spares = NULL;
    log->spare_count = 0;
    pthread_mutex_unlock(&log->mutex);
    while (spare) {
        struct segment_spare *next = spare->next;
        segment_destroy(spare->segment);
        unlink_spare(log, spare->number);
        free(spare);
        spare = next;
    }
}

/* The next spare is not to be had. Somebody who took its .log away leaves a spare of no use: log_prepare()
 * makes another. Anything else that trying again does not mend ends the log's appends. Under the mutex. */
static enum log_status spare_failed(struct log *log, enum file_status why)
{
    struct segment_spare *spare = log->spares;
    enum log_status status = log__status_of(why);
    if (status == LOG_NOT_FOUND) {
        note_warn("log.spare_gone", "log=%s number=%" PRIu64 " next_step=\"a new one is made\"", log->name,
                  spare->number);
        if (log->spares_wanted < log->spare_count)
            log->spares_wanted = log->spare_count;
        log->spares = spare->next;
        log->spare_count--;
        segment_destroy(spare->segment); /* no reader ever had it */
        free(spare);
        return LOG_BUSY;
    }
    if (status == LOG_IO) {
        log__fail(log, LOG_IO);
        log->host->failed(log->host, log);
    }
    return status;
}

enum log_status log__roll(struct log *log, int64_t base_offset, int64_t now_ms)
{
    struct segment_list *old = log__segments(log);
    struct segment *active = log__active(log);
    struct segment_spare *spare = log->spares;
    if (!spare)
        return LOG_BUSY;
    struct segment_list *list = segment_list_create(old->count + 1);
    if (!list)
        return LOG_LIMIT;
    for (size_t i = 3; i > 0; i--) {
        char from[SEGMENT_PATH_MAX], to[SEGMENT_PATH_MAX];
        spare_path(log, spare->number, suffixes[i - 1], from);
        segment_path(&log->home, base_offset, suffixes[i - 1], to);
        enum file_status status = file_rename(log->env->files, from, to);
        /* Without its .log there is no roll; an index that stays behind is made anew when it is saved. */
        if (status != FILE_OK && i == 1) {
            free(list);
            return spare_failed(log, status);
        }
        if (status != FILE_OK)
            segment_index_close_files(i == 3 ? &spare->segment->times : &spare->segment->offsets, &log->home);
    }
    segment_seal(active, log->env->retire);
    (void)segment_save_indexes(active, &log->home, 1); /* what fails is saved with the flush */
    log->spares = spare->next;
    log->spare_count--;
    if (log->spares_wanted > 0)
        log->spares_wanted--;
    struct segment *segment = spare->segment;
    struct random random = log__random(log, base_offset);
    segment->base_offset = base_offset;
    segment->growth = segment_growth_begin(base_offset, log__config(log), now_ms, &random);
    free(spare);
    memcpy(list->items, old->items, old->count * sizeof old->items[0]);
    list->items[old->count] = segment;
    log__set_segments(log, list);
    struct log_moment m = log__moment(log);
    m.end_base = base_offset;
    m.end_position = 0;
    log__publish(log, &m);
    log->directory_dirty = true;
    log->changed = true;
    log__free_snapshot(log->snapshot); /* one that was not written yet is only less of a short cut */
    log->snapshot = log__take_snapshot(log, base_offset, now_ms);
    log__note_names_dirty(log);
    log__submit_job(log);
    return LOG_OK;
}

/* The files that say whose directory this is; they are flushed with the first append. */
static enum log_status write_identity(struct log *log)
{
    char path[SEGMENT_PATH_MAX];
    struct file *file;
    enum file_status status = partition_metadata_write(log->env->files, log->path, log->topic_id, &file);
    if (status != FILE_OK)
        return log__status_of(status);
    file_close(file);
    segment_home_path(&log->home, PARTITION_METADATA_NAME, path);
    status = open_file_open(&log->home, path, FILE_READ, &log->new_files[0]);
    if (status != FILE_OK)
        return log__status_of(status);
    pthread_mutex_lock(&log->mutex);
    log__lock_readers(log);
    if (log->epoch_wanted >= 0 && leader_epochs_reserve(&log->epochs))
        leader_epochs_assign(&log->epochs, log->epoch_wanted, log__moment(log).end);
    log__unlock_readers(log);
    slice text = leader_epochs_text(&log->epochs);
    pthread_mutex_unlock(&log->mutex);
    if (slice_is_null(text))
        return LOG_LIMIT;
    segment_home_path(&log->home, CHECKPOINT_LEADER_EPOCH, path);
    status = open_file_open(&log->home, path, FILE_READ | FILE_WRITE | FILE_CREATE | FILE_TRUNCATE,
                            &log->new_files[1]);
    if (status == FILE_OK)
        status = file_pwrite(log->new_files[1]->file, text.data, text.size, 0);
    free((void *)text.data);
    return log__status_of(status);
}

static void close_identity(struct log *log)
{
    for (size_t i = 0; i < 2; i++) {
        if (log->new_files[i])
            pin_drop(&log->new_files[i]->pin);
        log->new_files[i] = NULL;
    }
}

enum identity { IDENTITY_OURS, IDENTITY_DAMAGED, IDENTITY_OTHERS };

/* Somebody may have exchanged directories, and two logs may well be of the same size. */
static enum identity read_identity(const struct log *log)
{
    uuid topic_id;
    enum file_status status = partition_metadata_read(log->env->files, log->path, &topic_id);
    if (status == FILE_OK && uuid_equal(topic_id, log->topic_id))
        return IDENTITY_OURS;
    if (status == FILE_NOT_FOUND || status == FILE_IO ||
        (status == FILE_OK && partition_metadata_is_damage(topic_id, log->topic_id)))
        return IDENTITY_DAMAGED;
    if (status != FILE_OK)
        return IDENTITY_OURS; /* nobody knows otherwise */
    note_error("log.unusable", "path=%s file=" PARTITION_METADATA_NAME " reason=other_topic_id", log->path);
    return IDENTITY_OTHERS;
}

/* A directory that the store did not know: what a first append left that did not come to its end. Whatever
 * holds batches is opened like after a crash. */
static enum log_status adopt_directory(struct log *log)
{
    struct recovery_plan plan = { .unclean = true, .durable = LOG_POSITION_OF_OFFSET(0), .start_offset = -1 };
    struct log_directory directory;
    if (read_identity(log) == IDENTITY_OTHERS)
        return LOG_IO; /* of a topic that is no more: its name could not be taken away */
    enum log_status status = log__status_of(log_directory_load(&log->home, true, &directory));
    if (status != LOG_OK)
        return status;
    bool has_segments = directory.segment_count > 0;
    log_directory_free(&directory);
    return has_segments ? log__load(log, &plan, NULL) : LOG_NOT_FOUND;
}

static enum log_status make_directory(struct log *log)
{
    struct segment_list *list = NULL;
    struct segment *segment = NULL;
    enum file_status made = file_make_directory(log->env->files, log->path);
    if (made != FILE_OK && made != FILE_EXISTS)
        return log__status_of(made);
    enum log_status status = made == FILE_EXISTS ? adopt_directory(log) : LOG_NOT_FOUND;
    if (status == LOG_OK)
        log->parent_dirty = true;
    if (status != LOG_NOT_FOUND)
        return status;
    int64_t base = log__moment(log).end;
    status = LOG_LIMIT;
    list = segment_list_create(1);
    segment = segment_create(base);
    if (!list || !segment)
        goto failed;
    status = write_identity(log);
    if (status == LOG_OK)
        status = create_files(log, segment, segment_path_of, base);
    if (status != LOG_OK)
        goto failed;
    list->items[0] = segment;
    struct random random = log__random(log, base);
    pthread_mutex_lock(&log->mutex);
    segment->growth = segment_growth_begin(base, log__config(log), clock_wall_ms(log->env->clock), &random);
    log->directory_dirty = log->parent_dirty = true;
    log->changed = true;
    log->durable = (struct log_position){ base, base, 0 };
    log__set_segments(log, list);
    atomic_store_explicit(&log->state, LOG_OPEN, memory_order_release);
    pthread_mutex_unlock(&log->mutex);
    log->producers_loaded = true; /* there are none */
    return LOG_OK;
failed:
    close_identity(log);
    if (segment)
        segment_destroy(segment);
    free(list);
    return status;
}

/* Kafka does not open a directory whose id is not its topic's. The files are those that our clean stop left,
 * so the id is known. What cannot be written now is by the next recovery. */
static void mend_identity(struct log *log)
{
    enum file_status status = FILE_FULL;
    if (log_health(log) == LOG_OK && log->host->before_change(log->host, log) == LOG_OK)
        status = partition_metadata_replace(log->env->files, log->path, log->topic_id);
    note_warn("partition.id_damaged", "path=%s effect=%s", log->path,
              status == FILE_OK ? "repaired" : "\"the next recovery repairs it\"");
    if (status == FILE_IO)
        log_fail(log);
}

enum log_status log__open_shut(struct log *log)
{
    struct log_row row = log->row;
    struct recovery_plan plan = { .durable = LOG_POSITION_OF_OFFSET(0),
                                  .proven = row.end_offset,
                                  .row = &row,
                                  .start_offset = row.start_offset };
    if (!log->host->may_open(log->host, 1, 0))
        return LOG_LIMIT;
    enum identity identity = read_identity(log);
    if (identity == IDENTITY_OTHERS)
        return LOG_IO;
    enum log_status status = log__load(log, &plan, NULL);
    if (status == LOG_OK && identity == IDENTITY_DAMAGED)
        mend_identity(log);
    if (status != LOG_CORRUPT && status != LOG_NOT_FOUND)
        return status;
    /* Somebody was here since, or bytes are gone: all is walked, and what was acknowledged and is not there
     * any more is answered as damaged. */
    note_warn("log.row_distrusted", "log=%s reason=files_differ", log->name);
    status = log->host->before_change(log->host, log);
    if (status != LOG_OK)
        return status;
    pthread_mutex_lock(&log->mutex);
    log->rewrite_count++;
    pthread_mutex_unlock(&log->mutex);
    plan.unclean = true;
    plan.row = NULL;
    plan.durable = (struct log_position){ 0, 0, 0 };
    return log__load(log, &plan, NULL);
}

/* Before the first append of this process to files that were there before: the host may refuse, what a
 * clean stop left unparsed behind the end goes, and the producers are needed from here on. */
static enum log_status begin_changes(struct log *log)
{
    enum file_status status;
    struct segment *active = log__active(log);
    struct open_file *data = segment_data(active, &log->home, FILE_READ | FILE_WRITE, true, &status);
    if (!data)
        return log__status_of(status);
    status = segment_tail_cut(data->file, active->growth.size);
    if (status == FILE_OK) {
        /* Opens them for the appends to come, which takes the final entry of a clean stop off again. */
        pthread_mutex_lock(&log->mutex);
        log->changed = true;
        status = segment_save_indexes(active, &log->home, 0);
        pthread_mutex_unlock(&log->mutex);
    }
    if (status != FILE_OK)
        return log__status_of(status);
    enum log_status loaded = log__load_producers(log);
    if (loaded == LOG_OK)
        atomic_store(&log->may_change, true);
    return loaded;
}

bool log__make_room(struct log *log, unsigned rank, unsigned seen)
{
    return log->host->make_room && log->host->make_room(log->host, rank, seen);
}

/* for_removal: so that a segment of which nothing is wanted any more can go. */
static enum log_status prepare(struct log *log, bool for_removal)
{
    enum log_status status = log_health(log);
    if (status == LOG_OK && log__state(log) == LOG_SHUT)
        status = log__open_shut(log);
    else if (status == LOG_OK && log__state(log) == LOG_ABSENT)
        status = log__may_grow(log) ? make_directory(log) : LOG_DISK_FULL;
    if (status == LOG_OK && log__state(log) == LOG_ENDED)
        status = LOG_CLOSED;
    if (status == LOG_OK && !atomic_load(&log->may_change)) /* so nobody appends now */
        status = begin_changes(log);
    pthread_mutex_lock(&log->mutex);
    bool epochs_dirty = log->epochs_dirty;
    pthread_mutex_unlock(&log->mutex);
    if (status == LOG_OK && epochs_dirty)
        status = log__save_epochs(log);
    return status == LOG_OK ? make_spares(log, for_removal) : status;
}

enum log_status log__prepare_roll(struct log *log)
{
    enum log_status status = log->host->before_change(log->host, log);
    if (status != LOG_OK)
        return status;
    pthread_mutex_lock(&log->mutex);
    if (log->spares_wanted == 0)
        log->spares_wanted = 1;
    pthread_mutex_unlock(&log->mutex);
    status = prepare(log, true);
    return status == LOG_NOT_FOUND ? LOG_IO : status;
}

/* What an append that met a full disk left to do. */
static enum log_status make_wanted_room(struct log *log)
{
    pthread_mutex_lock(&log->mutex);
    unsigned wanted = log->room_wanted;
    log->room_wanted = 0;
    pthread_mutex_unlock(&log->mutex);
    return wanted == 0 || log__make_room(log, log__config(log)->rank, wanted - 1) ? LOG_OK : LOG_DISK_FULL;
}

enum log_status log_prepare(struct log *log)
{
    enum log_status status =
        atomic_load(&log->may_change) ? LOG_OK : log->host->before_change(log->host, log);
    if (status == LOG_OK)
        status = make_wanted_room(log);
    if (status != LOG_OK)
        return status;
    unsigned seen, rank;
    do {
        seen = atomic_load(&log->host->shortage);
        pthread_mutex_lock(&log->prepare_mutex);
        /* Who opens it may be about to delete records. */
        rank = log__state(log) != LOG_ABSENT && !atomic_load(&log->may_change) ? RANK_REMOVAL
                                                                               : log__config(log)->rank;
        status = prepare(log, false);
        pthread_mutex_unlock(&log->prepare_mutex);
    } while (status == LOG_DISK_FULL && log__make_room(log, rank, seen));
    log->host->used(log->host, log);
    return status == LOG_NOT_FOUND ? LOG_IO : status;
}

enum log_status log__save_epochs(struct log *log)
{
    char path[SEGMENT_PATH_MAX];
    pthread_mutex_lock(&log->mutex);
    slice text = leader_epochs_text(&log->epochs);
    log->epochs_dirty = false;
    pthread_mutex_unlock(&log->mutex);
    if (slice_is_null(text))
        return LOG_LIMIT;
    segment_home_path(&log->home, CHECKPOINT_LEADER_EPOCH, path);
    enum file_status status = file_replace(log->env->files, path, text);
    free((void *)text.data);
    if (status != FILE_OK) {
        pthread_mutex_lock(&log->mutex);
        log->epochs_dirty = true;
        pthread_mutex_unlock(&log->mutex);
    }
    return log__status_of(status);
}

/* A job of this log; holds it until it has run. */
struct log_job {
    struct storage_job job;
    struct log *log;
};

/* What a roll or a new epoch left to do. Failures are met again by log_prepare() or at the close; but nobody
 * flushes again where a flush failed. */
static void run_job(struct storage_job *storage_job)
{
    struct log_job *job = (struct log_job *)storage_job;
    struct log *log = job->log;
    free(job);
    pthread_mutex_lock(&log->prepare_mutex);
    pthread_mutex_lock(&log->mutex);
    log->job_pending = false;
    bool epochs = log->epochs_dirty;
    struct pending_snapshot *snapshot = log->snapshot;
    log->snapshot = NULL;
    bool alive = log__state(log) == LOG_OPEN && log_health(log) == LOG_OK;
    pthread_mutex_unlock(&log->mutex);
    /* Another log of the directory may have failed a moment ago. */
    if (alive && log->host->before_change(log->host, log) == LOG_OK) {
        (void)make_spares(log, false);
        enum log_status saved = epochs ? log__save_epochs(log) : LOG_OK;
        if (saved != LOG_IO)
            saved = log__write_snapshot(log, snapshot, true);
        else
            log__free_snapshot(snapshot);
        if (saved == LOG_IO)
            log_fail(log);
    } else {
        log__free_snapshot(snapshot);
    }
    pthread_mutex_unlock(&log->prepare_mutex);
    pin_drop(&log->pin);
}

void log__submit_job(struct log *log)
{
    if (log->job_pending)
        return;
    struct log_job *job = malloc(sizeof *job);
    if (!job)
        return; /* an append that needs the result says BUSY, and log_prepare() does it */
    job->job.run = run_job;
    job->log = log;
    log->job_pending = true;
    pin_take(&log->pin);
    log->env->submit(log->env, &job->job);
}
