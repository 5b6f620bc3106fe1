/* The hash of watched partitions, and the reports that wake those who watch. */
#include "broker/purgatory.h"

#include <stdlib.h>

#include "broker/loop_internal.h"
#include "protocol/base/check.h"

enum { BUCKETS_MIN = 64, MOVED_MIN = 16 };

struct watch_entry {
    struct partition *partition;
    struct watch *watches;
    struct watch_entry *next; /* in the bucket; the list of spares */
    bool is_armed;            /* our bit is set, or was taken and the mail is on its way */
};

/* One request at one partition; in the request's arena. */
struct watch {
    struct request *rq;
    struct watch_entry *entry; /* NULL: ended with its partition */
    struct watch *previous;    /* the entry's */
    struct watch *next;
    struct watch *next_of_request;
};

static uint64_t own_bit(const struct purgatory *purgatory)
{
    return UINT64_C(1) << purgatory->loop->index;
}

/* -- the hash ----------------------------------------------------------------------------------- */

static size_t bucket_of(const struct partition *partition, size_t bucket_count)
{
    return (size_t)(((uint64_t)(uintptr_t)partition * UINT64_C(0x9e3779b97f4a7c15)) >> 32) &
           (bucket_count - 1);
}

static struct watch_entry *find(const struct purgatory *purgatory, const struct partition *partition)
{
    if (purgatory->bucket_count == 0)
        return NULL;
    struct watch_entry *entry = purgatory->buckets[bucket_of(partition, purgatory->bucket_count)];
    while (entry && entry->partition != partition)
        entry = entry->next;
    return entry;
}

static bool rehash(struct purgatory *purgatory, size_t bucket_count)
{
    struct watch_entry **buckets = calloc(bucket_count, sizeof(struct watch_entry *));
    if (!buckets)
        return false;
    for (size_t i = 0; i < purgatory->bucket_count; i++) {
        struct watch_entry *next;
        for (struct watch_entry *entry = purgatory->buckets[i]; entry; entry = next) {
            next = entry->next;
            size_t at = bucket_of(entry->partition, bucket_count);
            entry->next = buckets[at];
            buckets[at] = entry;
        }
    }
    free(purgatory->buckets);
    purgatory->buckets = buckets;
    purgatory->bucket_count = bucket_count;
    return true;
}

static struct watch_entry *add(struct purgatory *purgatory, struct partition *partition)
{
    if (purgatory->entry_count >= purgatory->bucket_count &&
        !rehash(purgatory, purgatory->bucket_count ? 2 * purgatory->bucket_count : BUCKETS_MIN))
        return NULL;
    struct watch_entry *entry = purgatory->spare_entries;
    if (entry)
        purgatory->spare_entries = entry->next;
    else if (!(entry = malloc(sizeof *entry)))
        return NULL;
    size_t at = bucket_of(partition, purgatory->bucket_count);
    *entry = (struct watch_entry){ .partition = partition, .next = purgatory->buckets[at] };
    purgatory->buckets[at] = entry;
    purgatory->entry_count++;
    return entry;
}

static void drop(struct purgatory *purgatory, struct watch_entry *entry)
{
    struct watch_entry **at = &purgatory->buckets[bucket_of(entry->partition, purgatory->bucket_count)];
    while (*at != entry)
        at = &(*at)->next;
    *at = entry->next;
    entry->next = purgatory->spare_entries;
    purgatory->spare_entries = entry;
    purgatory->entry_count--;
}

/* -- watching ----------------------------------------------------------------------------------- */

/* acquire: what was published before our bit was last taken is seen from here on; release: who
 * takes the bit finds the watch already made (it is ours alone, so this costs nothing more). */
static void arm(struct purgatory *purgatory, struct watch_entry *entry)
{
    entry->is_armed = true;
    atomic_fetch_or_explicit(&entry->partition->watching_loops, own_bit(purgatory), memory_order_acq_rel);
}

bool rq_watch(struct request *rq, struct partition *partition)
{
    struct purgatory *purgatory = &rq->loop->purgatory;
    if (atomic_load_explicit(&partition->is_deleted, memory_order_acquire)) {
        rq_wake(rq, WAKE_PROGRESS);
        return true;
    }
    struct watch_entry *entry = find(purgatory, partition);
    if (entry && entry->watches && entry->watches->rq == rq)
        return true; /* twice in one go; a second watch from a later turn does no harm */
    struct watch *watch = arena_alloc(&rq->arena, sizeof *watch);
    if (!watch || (!entry && !(entry = add(purgatory, partition))))
        return false;
    *watch = (struct watch){
        .rq = rq, .entry = entry, .next = entry->watches, .next_of_request = rq->links->watches
    };
    if (entry->watches)
        entry->watches->previous = watch;
    entry->watches = watch;
    rq->links->watches = watch;
    if (!entry->is_armed)
        arm(purgatory, entry);
    return true;
}

void purgatory_unwatch(struct request *rq)
{
    struct purgatory *purgatory = &rq->loop->purgatory;
    for (struct watch *watch = rq->links->watches; watch; watch = watch->next_of_request) {
        struct watch_entry *entry = watch->entry;
        if (!entry)
            continue;
        if (watch->previous)
            watch->previous->next = watch->next;
        else
            entry->watches = watch->next;
        if (watch->next)
            watch->next->previous = watch->previous;
        if (!entry->watches)
            drop(purgatory, entry);
    }
    rq->links->watches = NULL;
}

void purgatory_end_watches(struct purgatory *purgatory, const struct partition *partition)
{
    struct watch_entry *entry = find(purgatory, partition);
    if (!entry)
        return;
    for (struct watch *watch = entry->watches; watch; watch = watch->next) {
        watch->entry = NULL;
        rq_wake(watch->rq, WAKE_PROGRESS);
    }
    drop(purgatory, entry);
}

/* -- reports ------------------------------------------------------------------------------------ */

static void wake_watchers(struct purgatory *purgatory, struct watch_entry *entry)
{
    arm(purgatory, entry);
    for (struct watch *watch = entry->watches; watch; watch = watch->next)
        rq_wake(watch->rq, WAKE_PROGRESS);
}

static void wake_all(struct purgatory *purgatory)
{
    for (size_t i = 0; i < purgatory->bucket_count; i++)
        for (struct watch_entry *entry = purgatory->buckets[i]; entry; entry = entry->next)
            wake_watchers(purgatory, entry);
}

/* Waking only queues requests: nothing is resumed in here, the hash stands still. */
static void deliver_reports(struct loop_mail *mail, struct loop *loop)
{
    (void)mail;
    struct purgatory *purgatory = &loop->purgatory;
    pthread_mutex_lock(&purgatory->lock);
    struct partition **moved = purgatory->moved;
    size_t count = purgatory->moved_count, capacity = purgatory->moved_capacity;
    bool all = purgatory->all_moved;
    purgatory->moved = NULL;
    purgatory->moved_count = 0;
    purgatory->moved_capacity = 0;
    purgatory->all_moved = false;
    purgatory->is_posted = false;
    pthread_mutex_unlock(&purgatory->lock);

    if (all)
        wake_all(purgatory);
    for (size_t i = 0; i < count && !all; i++) {
        struct watch_entry *entry = find(purgatory, moved[i]);
        if (entry)
            wake_watchers(purgatory, entry);
    }

    /* The array is given back for the next reports, unless these have made their own already. */
    pthread_mutex_lock(&purgatory->lock);
    if (!purgatory->moved) {
        purgatory->moved = moved;
        purgatory->moved_capacity = capacity;
        moved = NULL;
    }
    pthread_mutex_unlock(&purgatory->lock);
    free(moved);
}

static bool grow_moved(struct purgatory *purgatory, size_t count)
{
    size_t capacity = purgatory->moved_capacity ? purgatory->moved_capacity : MOVED_MIN;
    while (capacity < purgatory->moved_count + count)
        capacity *= 2;
    if (capacity == purgatory->moved_capacity)
        return true;
    struct partition **moved = realloc(purgatory->moved, capacity * sizeof(struct partition *));
    if (!moved)
        return false;
    purgatory->moved = moved;
    purgatory->moved_capacity = capacity;
    return true;
}

/* Each partition is here at most once per arming, so watchers bound the list. */
void purgatory_report(struct purgatory *purgatory, struct partition *const *partitions, size_t count)
{
    pthread_mutex_lock(&purgatory->lock);
    if (grow_moved(purgatory, count)) {
        for (size_t i = 0; i < count; i++)
            purgatory->moved[purgatory->moved_count++] = partitions[i];
    } else {
        purgatory->all_moved = true;
    }
    bool must_post = !purgatory->is_posted;
    purgatory->is_posted = true;
    pthread_mutex_unlock(&purgatory->lock);
    if (must_post)
        loop_post(purgatory->loop, &purgatory->mail);
}

/* -- making and unmaking ------------------------------------------------------------------------ */

void purgatory_init(struct purgatory *purgatory, struct loop *loop)
{
    *purgatory = (struct purgatory){ .loop = loop, .mail.deliver = deliver_reports };
    check(pthread_mutex_init(&purgatory->lock, NULL) == 0);
}

void purgatory_trim(struct purgatory *purgatory)
{
    struct watch_entry *next;
    for (struct watch_entry *entry = purgatory->spare_entries; entry; entry = next) {
        next = entry->next;
        free(entry);
    }
    purgatory->spare_entries = NULL;
    if (purgatory->entry_count == 0) {
        free(purgatory->buckets);
        purgatory->buckets = NULL;
        purgatory->bucket_count = 0;
    }
}

void purgatory_destroy(struct purgatory *purgatory)
{
    check(purgatory->entry_count == 0);
    purgatory_trim(purgatory);
    free(purgatory->moved);
    pthread_mutex_destroy(&purgatory->lock);
}
