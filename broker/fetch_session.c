/* The cache of fetch sessions, and what an incremental request does to one. */
#include "broker/fetch_session.h"

#include <stdlib.h>

#include "protocol/base/check.h"
#include "protocol/errors.h"

enum { BUCKETS_MIN = 16, HEAP_MIN = 16, SHRINK_MIN = 64 };

struct fetch_sessions {
    pthread_mutex_t lock; /* never taken while a session's is held */
    size_t slots_max;
    size_t size_max;
    uint64_t key[2];
    bool is_seeded;
    struct random random; /* only when seeded */
    struct budget_share budget;
    struct fetch_session **buckets; /* by id */
    size_t bucket_count;
    struct fetch_session *oldest; /* by last use */
    struct fetch_session *newest;
    struct fetch_session *
        *heap; /* those old enough to be evicted: the smallest first, of these the lowest id */
    uint32_t heap_count;
    uint32_t heap_capacity;
    struct fetch_sessions_stats stats; /* count and size include what is reserved for sessions being made */
};

int32_t fetch_session_epoch_after(int32_t epoch)
{
    return epoch == INT32_MAX ? 1 : epoch + 1;
}

void fetch_partition_update(struct fetch_partition *partition, const struct fetch_request_partition *in)
{
    partition->fetch_offset = in->fetch_offset;
    partition->max_bytes = in->partition_max_bytes;
    partition->leader_epoch = in->current_leader_epoch;
    partition->last_fetched_epoch = in->last_fetched_epoch;
}

/* -- the heap of what may be evicted -------------------------------------------------------------- */

static bool is_before(const struct fetch_session *a, const struct fetch_session *b)
{
    return a->known_count != b->known_count ? a->known_count < b->known_count : a->id < b->id;
}

static void heap_set(struct fetch_sessions *sessions, uint32_t place, struct fetch_session *session)
{
    sessions->heap[place] = session;
    session->heap_place = place;
}

/* Moves what stands at the place to where it belongs. */
static void heap_sift(struct fetch_sessions *sessions, uint32_t place)
{
    struct fetch_session *session = sessions->heap[place];
    for (uint32_t above; place > 0 && is_before(session, sessions->heap[above = (place - 1) / 2]);
         place = above)
        heap_set(sessions, place, sessions->heap[above]);
    for (uint32_t below; (below = 2 * place + 1) < sessions->heap_count; place = below) {
        if (below + 1 < sessions->heap_count && is_before(sessions->heap[below + 1], sessions->heap[below]))
            below++;
        if (!is_before(sessions->heap[below], session))
            break;
        heap_set(sessions, place, sessions->heap[below]);
    }
    heap_set(sessions, place, session);
}

/* Without memory it is not evicted by larger ones; it grows stale all the same. */
static void heap_add(struct fetch_sessions *sessions, struct fetch_session *session)
{
    if (sessions->heap_count == sessions->heap_capacity) {
        uint32_t capacity = sessions->heap_capacity ? 2 * sessions->heap_capacity : HEAP_MIN;
        struct fetch_session **heap = realloc(sessions->heap, capacity * sizeof(struct fetch_session *));
        if (!heap)
            return;
        sessions->heap = heap;
        sessions->heap_capacity = capacity;
    }
    heap_set(sessions, sessions->heap_count++, session);
    heap_sift(sessions, session->heap_place);
}

static void heap_remove(struct fetch_sessions *sessions, struct fetch_session *session)
{
    uint32_t place = session->heap_place;
    if (place == FETCH_NONE)
        return;
    session->heap_place = FETCH_NONE;
    struct fetch_session *last = sessions->heap[--sessions->heap_count];
    if (last == session)
        return;
    heap_set(sessions, place, last);
    heap_sift(sessions, place);
}

/* -- found by id, ordered by use ------------------------------------------------------------------ */

static struct fetch_session **bucket_of(const struct fetch_sessions *sessions, int32_t id)
{
    return &sessions->buckets[(uint32_t)id & (sessions->bucket_count - 1)]; /* ids are random already */
}

static struct fetch_session *find(const struct fetch_sessions *sessions, int32_t id)
{
    if (sessions->bucket_count == 0)
        return NULL;
    struct fetch_session *session = *bucket_of(sessions, id);
    while (session && session->id != id)
        session = session->chain;
    return session;
}

static bool grow_buckets(struct fetch_sessions *sessions)
{
    size_t before = sessions->bucket_count;
    if (sessions->stats.count < before)
        return true;
    size_t count = before ? 2 * before : BUCKETS_MIN;
    struct fetch_session **old = sessions->buckets;
    struct fetch_session **buckets = calloc(count, sizeof(struct fetch_session *));
    if (!buckets)
        return before > 0; /* longer chains, then */
    sessions->buckets = buckets;
    sessions->bucket_count = count;
    for (size_t i = 0; i < before; i++) {
        struct fetch_session *next;
        for (struct fetch_session *session = old[i]; session; session = next) {
            next = session->chain;
            session->chain = *bucket_of(sessions, session->id);
            *bucket_of(sessions, session->id) = session;
        }
    }
    free(old);
    return true;
}

static void unlink_used(struct fetch_sessions *sessions, struct fetch_session *session)
{
    if (session->previous)
        session->previous->next = session->next;
    else
        sessions->oldest = session->next;
    if (session->next)
        session->next->previous = session->previous;
    else
        sessions->newest = session->previous;
}

/* Loops have their own idea of now; the order of the list is the order of use. */
static void link_newest(struct fetch_sessions *sessions, struct fetch_session *session, int64_t now_ms)
{
    struct fetch_session *newest = sessions->newest;
    session->used_ms = newest && newest->used_ms > now_ms ? newest->used_ms : now_ms;
    session->previous = newest;
    session->next = NULL;
    if (newest)
        newest->next = session;
    else
        sessions->oldest = session;
    sessions->newest = session;
}

/* -- memory --------------------------------------------------------------------------------------- */

static size_t cost_of(size_t set_size)
{
    return sizeof(struct fetch_session) + set_size;
}

/* Makes `charged` bytes of it `size`; less is always granted. */
static bool charge(struct fetch_sessions *sessions, size_t *charged, size_t size)
{
    if (size > *charged) {
        size_t more = size - *charged;
        if (more > sessions->size_max - sessions->stats.size || !budget_take(&sessions->budget, more))
            return false;
        sessions->stats.size += more;
    } else {
        budget_give(&sessions->budget, *charged - size);
        sessions->stats.size -= *charged - size;
        if (sessions->stats.size == 0)
            budget_share_trim(&sessions->budget);
    }
    *charged = size;
    return true;
}

static void free_session(struct pin *pin)
{
    struct fetch_session *session =
        (struct fetch_session *)((char *)pin - offsetof(struct fetch_session, pin));
    struct fetch_sessions *sessions = session->cache;
    pthread_mutex_lock(&sessions->lock);
    charge(sessions, &session->charged, 0);
    pthread_mutex_unlock(&sessions->lock);
    fetch_set_destroy(&session->set);
    pthread_mutex_destroy(&session->lock);
    free(session);
}

/* Nobody finds it any more. The caller drops the cache's hold once the lock is given back. */
static void take_out(struct fetch_sessions *sessions, struct fetch_session *session)
{
    struct fetch_session **link = bucket_of(sessions, session->id);
    while (*link != session)
        link = &(*link)->chain;
    *link = session->chain;
    unlink_used(sessions, session);
    heap_remove(sessions, session);
    session->is_cached = false;
    sessions->stats.count--;
    sessions->stats.partition_count -= session->known_count;
}

/* -- eviction ------------------------------------------------------------------------------------- */

/* Kafka's tryEvict: what was not used for two minutes goes to anyone; else the smallest of those that are
 * older than that, to one that is larger. NULL: none may go. */
static struct fetch_session *choose_victim(const struct fetch_sessions *sessions, uint32_t count,
                                           int64_t now_ms)
{
    if (sessions->oldest && now_ms - sessions->oldest->used_ms > FETCH_SESSION_EVICTION_MS)
        return sessions->oldest;
    if (sessions->heap_count > 0 && count > sessions->heap[0]->known_count)
        return sessions->heap[0];
    return NULL;
}

/* A slot and memory for a session of so many partitions. False and a victim, taken out: drop it without the
 * lock, then try again. Slots follow Kafka's rule; for memory alone, only what is stale goes. */
static bool reserve(struct fetch_sessions *sessions, uint32_t count, size_t cost, int64_t now_ms,
                    size_t *charged, struct fetch_session **victim)
{
    bool is_crowded = sessions->stats.count >= sessions->slots_max;
    *victim = NULL;
    if (sessions->slots_max == 0 || cost > FETCH_SESSION_SIZE_MAX || cost > sessions->size_max)
        return false;
    if (!is_crowded && charge(sessions, charged, cost)) {
        sessions->stats.count++;
        return true;
    }
    *victim = choose_victim(sessions, is_crowded ? count : 0, now_ms);
    if (*victim) {
        take_out(sessions, *victim);
        sessions->stats.evicted++;
    }
    return false;
}

static bool make_room(struct fetch_sessions *sessions, uint32_t count, size_t cost, int64_t now_ms,
                      size_t *charged)
{
    for (;;) {
        struct fetch_session *victim;
        pthread_mutex_lock(&sessions->lock);
        bool is_there = reserve(sessions, count, cost, now_ms, charged, &victim);
        pthread_mutex_unlock(&sessions->lock);
        if (!victim)
            return is_there;
        pin_drop(&victim->pin);
    }
}

/* -- sessions come and go ------------------------------------------------------------------------- */

static int32_t draw_id(struct fetch_sessions *sessions)
{
    uint32_t id;
    do {
        if (sessions->is_seeded)
            random_bytes(&sessions->random, &id, sizeof id);
        else
            random_secure(&id, sizeof id);
        id &= INT32_MAX;
    } while (id == FETCH_SESSION_NONE || find(sessions, (int32_t)id));
    return (int32_t)id;
}

static struct fetch_session *create_session(struct fetch_sessions *sessions, struct fetch_set *set,
                                            int64_t now_ms)
{
    struct fetch_session *session = calloc(1, sizeof *session);
    if (!session || !fetch_set_copy(&session->set, set)) {
        free(session);
        return NULL;
    }
    session->set.size_max = FETCH_SESSION_SIZE_MAX - sizeof *session;
    pin_init(&session->pin, free_session);
    check(pthread_mutex_init(&session->lock, NULL) == 0);
    session->cache = sessions;
    session->by_id = set->by_id;
    session->created_ms = now_ms;
    session->epoch = fetch_session_epoch_after(FETCH_SESSION_EPOCH_INITIAL);
    session->known_count = set->count;
    session->heap_place = FETCH_NONE;
    return session;
}

int32_t fetch_sessions_add(struct fetch_sessions *sessions, struct fetch_set *set, int64_t now_ms)
{
    size_t charged = 0;
    if (!make_room(sessions, set->count, cost_of(fetch_set_copy_size(set)), now_ms, &charged))
        return FETCH_SESSION_NONE;
    /* Made without the lock, as it may be large; its room is its own already. */
    struct fetch_session *session = create_session(sessions, set, now_ms);
    int32_t id = FETCH_SESSION_NONE;
    pthread_mutex_lock(&sessions->lock);
    if (session && grow_buckets(sessions)) {
        id = draw_id(sessions);
        session->id = id;
        session->charged = charged;
        session->is_cached = true;
        session->chain = *bucket_of(sessions, id);
        *bucket_of(sessions, id) = session;
        link_newest(sessions, session, now_ms);
        sessions->stats.partition_count += session->known_count;
        sessions->stats.added++;
    } else {
        sessions->stats.count--;
        charge(sessions, &charged, 0);
    }
    pthread_mutex_unlock(&sessions->lock);
    if (session && id == FETCH_SESSION_NONE)
        pin_drop(&session->pin);
    return id;
}

void fetch_sessions_close(struct fetch_sessions *sessions, int32_t id)
{
    pthread_mutex_lock(&sessions->lock);
    struct fetch_session *session = find(sessions, id);
    if (session)
        take_out(sessions, session);
    pthread_mutex_unlock(&sessions->lock);
    if (session)
        pin_drop(&session->pin);
}

/* The session was used: it is the newest now, of this size. False: there is no room for it as it has become.
 */
static bool touch(struct fetch_sessions *sessions, struct fetch_session *session, uint32_t count,
                  size_t set_size, int64_t now_ms)
{
    if (!session->is_cached)
        return true; /* evicted meanwhile; this request is served once more */
    if (!charge(sessions, &session->charged, cost_of(set_size)))
        return false;
    unlink_used(sessions, session);
    link_newest(sessions, session, now_ms);
    sessions->stats.partition_count += count;
    sessions->stats.partition_count -= session->known_count;
    sessions->stats.accepted++;
    if (session->heap_place == FETCH_NONE) {
        session->known_count = count;
        if (now_ms - session->created_ms > FETCH_SESSION_EVICTION_MS)
            heap_add(sessions, session);
    } else if (session->known_count != count) {
        session->known_count = count;
        heap_sift(sessions, session->heap_place);
    }
    return true;
}

/* -- an incremental request ----------------------------------------------------------------------- */

static bool add_and_update(struct fetch_set *set, const struct fetch_request *in)
{
    for (int32_t t = 0; t < in->topics_count; t++) {
        const struct fetch_request_topic *topic = &in->topics[t];
        uint32_t topic_at = FETCH_NONE;
        for (int32_t p = 0; p < topic->partitions_count; p++) {
            uint32_t at =
                fetch_set_put(set, &topic_at, topic->name, topic->topic_id, topic->partitions[p].partition);
            if (at == FETCH_NONE)
                return false;
            fetch_partition_update(&set->partitions[at], &topic->partitions[p]);
        }
    }
    return true;
}

static void forget(struct fetch_set *set, const struct fetch_request *in)
{
    for (int32_t t = 0; t < in->forgotten_topics_count; t++) {
        const struct fetch_request_forgotten_topic *topic = &in->forgotten_topics[t];
        uint32_t topic_at = fetch_set_find_topic(set, topic->name, topic->topic_id);
        for (int32_t p = 0; topic_at != FETCH_NONE && p < topic->partitions_count; p++) {
            uint32_t at = fetch_set_find(set, topic_at, topic->partitions[p]);
            bool was_last_of_topic = set->topics[topic_at].partition_count == 1;
            if (at == FETCH_NONE)
                continue;
            fetch_set_remove(set, at);
            if (was_last_of_topic)
                topic_at = FETCH_NONE;
        }
    }
}

/* A session that forgot most of what it had gives the memory back. */
static void shrink(struct fetch_set *set)
{
    struct fetch_set small;
    if (set->capacity < SHRINK_MIN || set->count > set->capacity / 4 || !fetch_set_copy(&small, set))
        return;
    small.pass = set->pass;
    fetch_set_destroy(set);
    *set = small;
}

/* What became of the session, for the cache to know. */
struct update {
    int16_t error_code;
    bool is_over; /* empty, or too large: the session goes */
    uint32_t count;
    size_t set_size;
};

static struct update update(struct fetch_session *session, const struct fetch_request *in, bool by_id)
{
    if (session->is_closed)
        return (struct update){ .error_code = ERR_FETCH_SESSION_ID_NOT_FOUND };
    if (session->epoch != in->session_epoch)
        return (struct update){ .error_code = ERR_INVALID_FETCH_SESSION_EPOCH };
    if (session->by_id != by_id)
        return (struct update){ .error_code = ERR_FETCH_SESSION_TOPIC_ID_ERROR };
    if (!add_and_update(&session->set, in)) {
        session->is_closed = true;
        return (struct update){ .error_code = ERR_FETCH_SESSION_ID_NOT_FOUND, .is_over = true };
    }
    if (in->forgotten_topics_count > 0) {
        forget(&session->set, in);
        shrink(&session->set);
    }
    if (session->set.count == 0) {
        session->is_closed = true;
        return (struct update){ .is_over = true };
    }
    session->epoch = fetch_session_epoch_after(session->epoch);
    return (struct update){ .count = session->set.count, .set_size = fetch_set_size(&session->set) };
}

static struct fetch_session *find_and_hold(struct fetch_sessions *sessions, int32_t id)
{
    pthread_mutex_lock(&sessions->lock);
    struct fetch_session *session = find(sessions, id);
    if (session)
        pin_take(&session->pin);
    pthread_mutex_unlock(&sessions->lock);
    return session;
}

int16_t fetch_sessions_accept(struct fetch_sessions *sessions, const struct fetch_request *in, bool by_id,
                              int64_t now_ms, struct fetch_session **out)
{
    *out = NULL;
    struct fetch_session *session = find_and_hold(sessions, in->session_id);
    if (!session)
        return ERR_FETCH_SESSION_ID_NOT_FOUND;
    pthread_mutex_lock(&session->lock);
    struct update done = update(session, in, by_id);
    pthread_mutex_unlock(&session->lock);

    bool was_cached = false;
    if (done.error_code == ERR_NONE || done.is_over) {
        pthread_mutex_lock(&sessions->lock);
        if (!done.is_over && !touch(sessions, session, done.count, done.set_size, now_ms)) {
            done.is_over = true;
            done.error_code = ERR_FETCH_SESSION_ID_NOT_FOUND;
        }
        was_cached = done.is_over && session->is_cached;
        if (was_cached)
            take_out(sessions, session);
        pthread_mutex_unlock(&sessions->lock);
    }
    if (was_cached)
        pin_drop(&session->pin);
    if (done.error_code == ERR_NONE && !done.is_over)
        *out = session;
    else
        pin_drop(&session->pin);
    return done.error_code;
}

/* -- making and unmaking -------------------------------------------------------------------------- */

struct fetch_sessions *fetch_sessions_create(size_t slots, struct budget *budget, uint64_t seed)
{
    struct fetch_sessions *sessions = check_memory(calloc(1, sizeof *sessions));
    sessions->slots_max = slots;
    sessions->size_max = budget->limit / FETCH_SESSIONS_BUDGET_PART;
    sessions->is_seeded = seed != 0;
    if (sessions->is_seeded) {
        random_seed(&sessions->random, seed);
        random_bytes(&sessions->random, sessions->key, sizeof sessions->key);
    } else {
        random_secure(sessions->key, sizeof sessions->key);
    }
    budget_share_init(&sessions->budget, budget);
    check(pthread_mutex_init(&sessions->lock, NULL) == 0);
    return sessions;
}

void fetch_sessions_destroy(struct fetch_sessions *sessions)
{
    while (sessions->oldest)
        fetch_sessions_close(sessions, sessions->oldest->id);
    check(sessions->stats.size == 0 && sessions->stats.count == 0 && sessions->stats.partition_count == 0);
    budget_share_trim(&sessions->budget);
    pthread_mutex_destroy(&sessions->lock);
    free(sessions->buckets);
    free(sessions->heap);
    free(sessions);
}

const uint64_t *fetch_sessions_key(const struct fetch_sessions *sessions)
{
    return sessions->key;
}

struct fetch_sessions_stats fetch_sessions_stats(struct fetch_sessions *sessions)
{
    pthread_mutex_lock(&sessions->lock);
    struct fetch_sessions_stats stats = sessions->stats;
    pthread_mutex_unlock(&sessions->lock);
    return stats;
}
