/* The reserves of the log directories: who gives them up, and that they are taken back by themselves. */
#include <stdlib.h>

#include "protocol/base/check.h"
#include "protocol/base/note.h"
#include "storage/store_internal.h"

enum {
    SHORT_RETRY_MS = 1000,  /* while service waits for it */
    ABSENT_RETRY_MS = 60000 /* while there was none yet */
};

unsigned store__shortage(const struct store_directory *directory)
{
    return atomic_load(&directory->host.shortage);
}

bool store_is_short_of_room(const struct store *store)
{
    return store__shortage(&store->directories[0]) != SHORTAGE_NONE;
}

/* --- giving it up ------------------------------------------------------------------------------ */

static void want_at(struct store_directory *directory, int64_t due_ms)
{
    atomic_store(&directory->reserve_due_ms, due_ms);
    directory->store->env->flush_wanted(directory->store->env); /* its thread knows when what is due */
}

void store__want_reserve(struct store_directory *directory)
{
    want_at(directory, clock_mono_ms(directory->store->env->clock));
}

static enum file_status give(struct store_directory *directory, enum log_rank rank, unsigned seen)
{
    if (store__is_failing(directory)) /* nothing of it is flushed any more */
        return FILE_IO;
    if (store__give_ahead(directory)) /* that was room enough for now */
        return FILE_OK;
    enum file_status status = reserve_give(&directory->reserve, rank, seen);
    unsigned now = store__shortage(directory);
    if (status == FILE_IO || status == FILE_DENIED)
        store__want_fence(directory);
    if (status == FILE_OK && now > seen)
        note_warn(
            "reserve.given_up",
            "directory=%s left=%d effect=\"%s\" next=\"delete topics or records, or make room on the disk\"",
            directory->directory.path, now == SHORTAGE_OF_RECORDS ? RESERVE_HALF_SIZE : 0,
            now == SHORTAGE_OF_RECORDS ? "the disk is full; commits and deletions go on, records are refused"
                                       : "the disk is full; deletions go on, commits are refused");
    return status;
}

bool store__make_room(struct log_host *host, unsigned rank, unsigned seen)
{
    struct store_directory *directory = store__directory_of(host);
    enum file_status status = give(directory, (enum log_rank)rank, seen);

    if (store__shortage(directory) != SHORTAGE_NONE && atomic_load(&directory->reserve_due_ms) == INT64_MAX &&
        !atomic_load(&directory->store->is_closing))
        want_at(directory, clock_mono_ms(directory->store->env->clock) + SHORT_RETRY_MS);
    return status == FILE_OK;
}

bool store__can_make_room(struct log_host *host, unsigned rank)
{
    return atomic_load_explicit(&host->ahead_size, memory_order_relaxed) > 0 ||
           reserve_can_give(&store__directory_of(host)->reserve, (enum log_rank)rank);
}

bool store__tries_again(struct store_directory *directory, enum file_status status, unsigned seen)
{
    return status == FILE_FULL && store__make_room(&directory->host, RANK_REMOVAL, seen);
}

/* A directory in which nothing changed is not written to. */
void store__give_for_stop(struct store_directory *directory)
{
    struct file_system *files = directory->store->env->files;

    if (store__is_failing(directory) || store__is_unchanged(directory) ||
        (!atomic_load(&directory->host.met_full_disk) &&
         file_free_space(files, directory->directory.path) >= RESERVE_ROOM_MIN))
        return;
    directory->gave_for_stop = store__shortage(directory) == SHORTAGE_NONE;
    while (reserve_give(&directory->reserve, RANK_REMOVAL, store__shortage(directory)) == FILE_OK)
        continue;
}

/* What was whole before the stop and is not used up by it comes back, so that the next start is as this one
 * was. */
void store__close_reserve(struct store_directory *directory)
{
    if (!store__is_failing(directory) &&
        store__shortage(directory) != SHORTAGE_NONE) /* else the next start takes it */
        (void)reserve_take(&directory->reserve, directory->gave_for_stop ? RESERVE_SIZE : RESERVE_ROOM_MIN);
}

/* --- taking it back ---------------------------------------------------------------------------- */

/* Returns when to try again. */
static int64_t take(struct store_directory *directory, int64_t now_ms)
{
    bool is_short = store__shortage(directory) != SHORTAGE_NONE;

    if (store__is_failing(directory))
        return INT64_MAX;
    enum file_status status = reserve_take(&directory->reserve, RESERVE_ROOM_MIN);
    if (status == FILE_OK) {
        atomic_store(&directory->host.met_full_disk, false);
        if (is_short)
            note_info("reserve.restored", "directory=%s size=%d effect=\"records are taken again\"",
                      directory->directory.path, RESERVE_SIZE);
        return INT64_MAX;
    }
    if (is_short)
        return now_ms + SHORT_RETRY_MS;
    if (!directory->has_told_reserve)
        note_info("reserve.unmade",
                  "directory=%s reason=\"%s\" size=%d effect=\"should the disk become full, deletions may "
                  "fail too\"",
                  directory->directory.path, file_status_name(status), RESERVE_SIZE);
    directory->has_told_reserve = true;
    return now_ms + ABSENT_RETRY_MS;
}

static void run_take(struct storage_job *job)
{
    struct store *store = (void *)((char *)job - offsetof(struct store, reserve_job));
    int64_t now_ms = clock_mono_ms(store->env->clock);
    bool is_short = false;

    for (size_t i = 0; i < store->directory_count; i++) {
        struct store_directory *directory = &store->directories[i];
        int64_t due_ms = atomic_load(&directory->reserve_due_ms);
        /* Who wants it meanwhile stores another time, which stays. */
        if (due_ms <= now_ms) {
            int64_t next_ms = take(directory, now_ms);
            atomic_compare_exchange_strong(&directory->reserve_due_ms, &due_ms, next_ms);
            /* Who gave it up again in between found it wanted already. */
            if (next_ms == INT64_MAX && store__shortage(directory) != SHORTAGE_NONE &&
                !store__is_failing(directory))
                atomic_store(&directory->reserve_due_ms, now_ms + SHORT_RETRY_MS);
        }
        is_short = is_short || store__shortage(directory) != SHORTAGE_NONE;
    }
    if (is_short)
        store__hasten_segments(store);
    atomic_store(&store->reserve_queued, false);
    if (store__reserve_due_ms(store) != INT64_MAX || is_short)
        store->env->flush_wanted(store->env);
    store__drop_hold(store, 1);
}

int64_t store__reserve_due_ms(const struct store *store)
{
    int64_t due_ms = INT64_MAX;

    if (atomic_load(&store->reserve_queued) || atomic_load(&store->is_closing))
        return INT64_MAX;
    for (size_t i = 0; i < store->directory_count; i++) {
        int64_t one_ms = atomic_load(&store->directories[i].reserve_due_ms);
        due_ms = one_ms < due_ms ? one_ms : due_ms;
    }
    return due_ms;
}

void store__submit_reserve(struct store *store)
{
    if (store__reserve_due_ms(store) > clock_mono_ms(store->env->clock) ||
        atomic_exchange(&store->reserve_queued, true))
        return;
    atomic_fetch_add(&store->holds, 1);
    store->reserve_job.run = run_take;
    store->env->submit(store->env, &store->reserve_job);
}
