/* reserve.runnel: looked at, made, given up by halves. */
#include "storage/reserve.h"

#include <stdio.h>
#include <stdlib.h>

#include "protocol/base/check.h"

static void become(struct reserve *reserve, enum reserve_shortage shortage)
{
    atomic_store(reserve->shortage, (uint8_t)shortage);
    atomic_store(&reserve->is_held, shortage != SHORTAGE_OF_COMMITS);
}

enum file_status reserve_open(struct reserve *reserve, struct file_system *files, const char *directory,
                              _Atomic uint8_t *shortage)
{
    struct file_info info;

    *reserve = (struct reserve){ .files = files, .shortage = shortage };
    if (asprintf(&reserve->path, "%s/" RESERVE_NAME, directory) < 0) {
        reserve->path = NULL;
        return FILE_LIMIT;
    }
    check(pthread_mutex_init(&reserve->lock, NULL) == 0);
    if (file_info(files, reserve->path, &info) != FILE_OK || !info.is_regular)
        return FILE_OK;
    if (info.size >= RESERVE_SIZE)
        become(reserve, SHORTAGE_NONE);
    else if (info.size >= RESERVE_HALF_SIZE)
        become(reserve, SHORTAGE_OF_RECORDS);
    else if (info.size == RESERVE_GIVEN_SIZE)
        become(reserve, SHORTAGE_OF_COMMITS);
    return FILE_OK; /* else a kill or a power cut came while it was being made */
}

void reserve_destroy(struct reserve *reserve)
{
    if (!reserve->path)
        return;
    pthread_mutex_destroy(&reserve->lock);
    free(reserve->path);
    reserve->path = NULL;
}

static enum file_status make(struct reserve *reserve)
{
    struct file *file;
    enum file_status status =
        file_open(reserve->files, reserve->path, FILE_READ | FILE_WRITE | FILE_CREATE, &file);

    if (status != FILE_OK)
        return status;
    status = file_allocate(file, RESERVE_SIZE);
    file_close(file);
    return status;
}

enum file_status reserve_take(struct reserve *reserve, uint64_t room_min)
{
    enum file_status status = FILE_FULL;

    pthread_mutex_lock(&reserve->lock);
    bool is_short = atomic_load(reserve->shortage) != SHORTAGE_NONE;
    bool is_held = atomic_load(&reserve->is_held);
    /* One that is whole may be a copy that has no blocks; else this costs nothing. */
    if ((is_held && !is_short) || file_free_space(reserve->files, reserve->path) >= room_min)
        status = make(reserve);
    if (status == FILE_OK)
        become(reserve, SHORTAGE_NONE);
    else if (!is_short)
        atomic_store(&reserve->is_held, false);
    pthread_mutex_unlock(&reserve->lock);
    return status;
}

/* What was given up must be free for the next write: a journal may hold it back until it is flushed. */
static enum file_status cut(struct reserve *reserve, uint64_t size)
{
    struct file *file;
    enum file_status status = file_open(reserve->files, reserve->path, FILE_WRITE, &file);

    if (status != FILE_OK)
        return status;
    status = file_truncate(file, size);
    if (status == FILE_OK)
        status = file_flush(file);
    file_close(file);
    return status;
}

enum file_status reserve_give(struct reserve *reserve, enum log_rank rank, unsigned seen)
{
    enum file_status status = FILE_OK;

    pthread_mutex_lock(&reserve->lock);
    unsigned shortage = atomic_load(reserve->shortage);
    if (shortage == seen && !reserve_can_give(reserve, rank)) {
        status = FILE_FULL;
    } else if (shortage == seen) {
        /* Before there is room, so that nobody of a lower rank takes it. */
        become(reserve, (enum reserve_shortage)(shortage + 1));
        status = cut(reserve, shortage == SHORTAGE_NONE ? RESERVE_HALF_SIZE : RESERVE_GIVEN_SIZE);
        if (status == FILE_LIMIT) /* another time */
            become(reserve, (enum reserve_shortage)shortage);
        else if (status == FILE_NOT_FOUND) { /* somebody removed it: that was it */
            become(reserve, SHORTAGE_OF_COMMITS);
            status = FILE_FULL;
        }
    }
    pthread_mutex_unlock(&reserve->lock);
    return status;
}
