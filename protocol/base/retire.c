/* Frees what was swapped out once every member has passed a quiescent state.
 *
 * retire() raises the global epoch and stamps its object with the new value; a quiescent member
 * copies the global epoch into its own slot; an object is free when no slot shows less than its
 * stamp. Both orders of a member waking up while something is retired are safe, because both do a
 * read-modify-write on the global epoch: if the member's comes second, it sees everything that was
 * swapped out before the object was retired; if it comes first, whoever looks at the slots after
 * the retire() sees the member awake, with an epoch below the stamp. */
#include "protocol/base/retire.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

#include "protocol/base/check.h"

enum { MEMBER_COUNT_MAX = 256, CACHE_LINE_SIZE = 64 };

/* The epoch of a slot that holds nothing: asleep, or nobody's. */
#define EPOCH_ABSENT UINT64_MAX

struct member {
    _Alignas(CACHE_LINE_SIZE) _Atomic uint64_t epoch;
    bool joined; /* under the mutex */
};

struct retired {
    struct retired *next;
    void *object;
    void (*free_fn)(void *object);
    uint64_t epoch;
};

struct retire {
    struct member members[MEMBER_COUNT_MAX];
    _Alignas(CACHE_LINE_SIZE) _Atomic uint64_t epoch;
    _Alignas(CACHE_LINE_SIZE) _Atomic size_t waiting_count; /* written rarely, read every turn */
    atomic_bool look_again;                                 /* somebody found the mutex taken */
    atomic_uint slot_count;                                 /* slots ever used */
    pthread_mutex_t mutex;                                  /* the rest */
    struct retired *oldest;
    struct retired *newest;
};

struct retire *retire_create(void)
{
    struct retire *retire = check_memory(aligned_alloc(CACHE_LINE_SIZE, sizeof *retire));
    for (int i = 0; i < MEMBER_COUNT_MAX; i++) {
        atomic_init(&retire->members[i].epoch, EPOCH_ABSENT);
        retire->members[i].joined = false;
    }
    atomic_init(&retire->epoch, 1);
    atomic_init(&retire->waiting_count, 0);
    atomic_init(&retire->look_again, false);
    atomic_init(&retire->slot_count, 0);
    check(pthread_mutex_init(&retire->mutex, NULL) == 0);
    retire->oldest = NULL;
    retire->newest = NULL;
    return retire;
}

/* Frees a chain of objects; without the mutex, since free_fn may retire more. */
static void free_list(struct retired *list)
{
    while (list != NULL) {
        struct retired *next = list->next;
        list->free_fn(list->object);
        free(list);
        list = next;
    }
}

void retire_destroy(struct retire *retire)
{
    for (int i = 0; i < MEMBER_COUNT_MAX; i++)
        check(!retire->members[i].joined);
    while (retire->oldest != NULL) {
        struct retired *list = retire->oldest;
        retire->oldest = retire->newest = NULL;
        free_list(list);
    }
    pthread_mutex_destroy(&retire->mutex);
    free(retire);
}

static uint64_t lowest_epoch(struct retire *retire)
{
    uint64_t lowest = EPOCH_ABSENT;
    unsigned slot_count = atomic_load_explicit(&retire->slot_count, memory_order_acquire);
    for (unsigned i = 0; i < slot_count; i++) {
        uint64_t epoch = atomic_load_explicit(&retire->members[i].epoch, memory_order_acquire);
        if (epoch < lowest)
            lowest = epoch;
    }
    return lowest;
}

/* Takes the objects off the list that no member can hold any more. */
static struct retired *take_free(struct retire *retire)
{
    uint64_t lowest = lowest_epoch(retire);
    struct retired *first = retire->oldest, *last = NULL;
    size_t count = 0;
    while (retire->oldest != NULL && retire->oldest->epoch <= lowest) {
        last = retire->oldest;
        retire->oldest = last->next;
        count++;
    }
    if (last == NULL)
        return NULL;
    last->next = NULL;
    if (retire->oldest == NULL)
        retire->newest = NULL;
    atomic_fetch_sub_explicit(&retire->waiting_count, count, memory_order_relaxed);
    return first;
}

/* Nobody waits here. Who finds somebody else at it leaves word: that one may have looked at our slot before we changed
 * it, and all may be asleep then for long. Whoever merely retires something is awake, and comes here later. */
static void free_what_may_be(struct retire *retire)
{
    do {
        if (pthread_mutex_trylock(&retire->mutex) != 0) {
            atomic_store(&retire->look_again, true);
            if (pthread_mutex_trylock(&retire->mutex) != 0)
                return;
        }
        struct retired *list = take_free(retire);
        pthread_mutex_unlock(&retire->mutex);
        free_list(list);
    } while (atomic_exchange(&retire->look_again, false));
}

static void awake(struct retire *retire, struct member *member)
{
    /* Visible before the read-modify-write, see above. An epoch read here without order is at most
     * the true one, and all up to it are seen after the acquire. */
    uint64_t epoch = atomic_load_explicit(&retire->epoch, memory_order_relaxed);
    atomic_store_explicit(&member->epoch, epoch, memory_order_release);
    atomic_fetch_add_explicit(&retire->epoch, 0, memory_order_acq_rel);
}

unsigned retire_join(struct retire *retire)
{
    pthread_mutex_lock(&retire->mutex);
    unsigned id = 0;
    while (id < MEMBER_COUNT_MAX && retire->members[id].joined)
        id++;
    check(id < MEMBER_COUNT_MAX);
    retire->members[id].joined = true;
    if (id >= atomic_load_explicit(&retire->slot_count, memory_order_relaxed))
        atomic_store_explicit(&retire->slot_count, id + 1, memory_order_release);
    awake(retire, &retire->members[id]);
    pthread_mutex_unlock(&retire->mutex);
    return id;
}

void retire_leave(struct retire *retire, unsigned member)
{
    pthread_mutex_lock(&retire->mutex);
    check(member < MEMBER_COUNT_MAX && retire->members[member].joined);
    atomic_store_explicit(&retire->members[member].epoch, EPOCH_ABSENT, memory_order_release);
    retire->members[member].joined = false;
    struct retired *list = take_free(retire);
    pthread_mutex_unlock(&retire->mutex);
    free_list(list);
}

static bool is_waiting(struct retire *retire)
{
    return atomic_load_explicit(&retire->waiting_count, memory_order_relaxed) > 0;
}

void retire_quiescent(struct retire *retire, unsigned member)
{
    /* A slot that lags behind is only careful, so with nothing to free it may. */
    if (!is_waiting(retire))
        return;
    uint64_t epoch = atomic_load_explicit(&retire->epoch, memory_order_acquire);
    atomic_store_explicit(&retire->members[member].epoch, epoch, memory_order_release);
    free_what_may_be(retire);
}

void retire_sleep(struct retire *retire, unsigned member)
{
    atomic_store_explicit(&retire->members[member].epoch, EPOCH_ABSENT, memory_order_release);
    /* Who falls asleep last finds that all may be freed. */
    if (is_waiting(retire))
        free_what_may_be(retire);
}

void retire_wake(struct retire *retire, unsigned member)
{
    awake(retire, &retire->members[member]);
}

void retire(struct retire *retire, void *object, void (*free_fn)(void *object))
{
    /* Nothing is freed here: the caller may be a member and still hold what it retires. With every
     * member asleep, the object waits for the next turn of any of them. */
    struct retired *item = check_memory(malloc(sizeof *item));
    *item = (struct retired){ .object = object, .free_fn = free_fn };
    pthread_mutex_lock(&retire->mutex);
    item->epoch = atomic_fetch_add_explicit(&retire->epoch, 1, memory_order_acq_rel) + 1;
    if (retire->newest != NULL)
        retire->newest->next = item;
    else
        retire->oldest = item;
    retire->newest = item;
    atomic_fetch_add_explicit(&retire->waiting_count, 1, memory_order_relaxed);
    pthread_mutex_unlock(&retire->mutex);
}
