/* Blocks ahead of the tails of fast logs (log_ahead.c): given back once a log is quiet or the disk nearly
 * full. */
#include "storage/store_internal.h"

enum { LOOK_MS = 1000 };

/* Under dirty_lock. */
static void push(struct store *store, struct log *log)
{
    log__node(log)->ahead_next = store->ahead_first;
    log__node(log)->is_ahead = true;
    store->ahead_first = log;
}

void store__went_ahead(struct log_host *host, struct log *log)
{
    struct store *store = store__directory_of(host)->store;

    pthread_mutex_lock(&store->dirty_lock);
    if (!log__node(log)->is_ahead)
        push(store, log);
    if (store->ahead_due_ms == INT64_MAX)
        store->ahead_due_ms = clock_mono_ms(store->env->clock) + LOOK_MS;
    pthread_mutex_unlock(&store->dirty_lock);
}

void store__drop_deleted_ahead(struct store *store)
{
    for (struct log **link = &store->ahead_first; *link;) {
        if (log__node(*link)->is_deleted)
            *link = log__node(*link)->ahead_next;
        else
            link = &log__node(*link)->ahead_next;
    }
}

static bool is_short_of_room(const struct store_directory *directory)
{
    return file_free_space(directory->store->env->files, directory->directory.path) < LOG_AHEAD_ROOM_MIN / 2;
}

/* Who is quiet gives back what it has, and in that directory everybody does. Under group_lock or sweep_lock:
 * no log goes away. */
static void rest(struct store *store, const struct store_directory *full)
{
    pthread_mutex_lock(&store->dirty_lock);
    struct log *log = store->ahead_first, *next;
    store->ahead_first = NULL;
    for (; log; log = next) {
        struct log_host_node *node = log__node(log);
        const struct store_directory *directory = &store->directories[node->directory];
        next = node->ahead_next;
        node->is_ahead = false; /* it may go ahead once more as soon as it gave back */
        pthread_mutex_unlock(&store->dirty_lock);
        bool has_some = log__rest_ahead(log, directory == full || is_short_of_room(directory));
        pthread_mutex_lock(&store->dirty_lock);
        if (has_some && !node->is_ahead)
            push(store, log);
    }
    store->ahead_due_ms = store->ahead_first ? clock_mono_ms(store->env->clock) + LOOK_MS : INT64_MAX;
    pthread_mutex_unlock(&store->dirty_lock);
}

void store__look_ahead(struct store *store)
{
    if (store__ahead_due_ms(store) <= clock_mono_ms(store->env->clock))
        rest(store, NULL);
}

int64_t store__ahead_due_ms(struct store *store)
{
    pthread_mutex_lock(&store->dirty_lock);
    int64_t due_ms = store->ahead_due_ms;
    pthread_mutex_unlock(&store->dirty_lock);
    return due_ms;
}

bool store__give_ahead(struct store_directory *directory)
{
    struct store *store = directory->store;
    uint64_t before = atomic_load(&directory->host.ahead_size);

    /* Who meets the full disk may be a sweep. */
    if (before == 0 || pthread_mutex_trylock(&store->sweep_lock) != 0)
        return false;
    rest(store, directory);
    pthread_mutex_unlock(&store->sweep_lock);
    return atomic_load(&directory->host.ahead_size) < before;
}
