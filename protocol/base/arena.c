/* Allocates a request's memory from growing pages, which go round in a small cache per thread. */
#include "protocol/base/arena.h"

#include <pthread.h>
#include <stdlib.h>

#include "protocol/base/check.h"

enum {
    PAGE_CLASS_COUNT = 7,        /* ARENA_FIRST_PAGE_SIZE << class: 4 KiB to 256 KiB */
    PAGE_CLASS_NONE = -1,        /* of its own size, for one large allocation */
    CACHE_SIZE_MAX = 512 * 1024, /* one page of each class */
};

struct arena_page {
    struct arena_page *next;
    size_t capacity; /* bytes behind the header */
    int page_class;
    bool budgeted; /* counts in the share: every page but the first */
    _Alignas(ARENA_ALIGNMENT) uint8_t bytes[];
};

struct arena_pin_node {
    struct arena_pin_node *next;
    struct pin *pin;
};

/* Pages that no arena holds. Idle arenas give all but their first page back to it, so thousands of
 * idle connections cost nothing, and a busy thread takes the same warm pages again and again without
 * malloc. Bounded by CACHE_SIZE_MAX, hence not counted in the budget; freed when the thread ends. */
struct page_cache {
    struct arena_page *pages[PAGE_CLASS_COUNT];
    size_t size;
    bool registered; /* for cleanup at the thread's end */
    bool closed;     /* that has happened; later destructors of the thread may still free arenas */
};

static _Thread_local struct page_cache cache;
static pthread_key_t cache_key;
static pthread_once_t cache_key_once = PTHREAD_ONCE_INIT;

static void free_cache(void *value)
{
    struct page_cache *dying = value;
    dying->closed = true;
    for (int page_class = 0; page_class < PAGE_CLASS_COUNT; page_class++) {
        while (dying->pages[page_class] != NULL) {
            struct arena_page *page = dying->pages[page_class];
            dying->pages[page_class] = page->next;
            unpoison(page->bytes, page->capacity);
            free(page);
        }
    }
    dying->size = 0;
}

/* Keys' destructors do not run for the thread that ends the process. */
static void free_cache_at_exit(void)
{
    free_cache(&cache);
}

static void make_cache_key(void)
{
    check(pthread_key_create(&cache_key, free_cache) == 0);
    check(atexit(free_cache_at_exit) == 0);
}

static size_t class_size(int page_class)
{
    return (size_t)ARENA_FIRST_PAGE_SIZE << page_class;
}

static struct arena_page *page_obtain(int page_class, size_t capacity)
{
    struct arena_page *page;
    if (page_class != PAGE_CLASS_NONE && cache.pages[page_class] != NULL) {
        page = cache.pages[page_class];
        cache.pages[page_class] = page->next;
        cache.size -= class_size(page_class);
    } else {
        page = malloc(sizeof *page + capacity);
        if (page == NULL)
            return NULL;
        poison(page->bytes, capacity);
    }
    *page = (struct arena_page){ .capacity = capacity, .page_class = page_class };
    return page;
}

static void page_release(struct arena_page *page)
{
    int page_class = page->page_class;
    if (page_class == PAGE_CLASS_NONE || cache.closed ||
        cache.size + class_size(page_class) > CACHE_SIZE_MAX) {
        unpoison(page->bytes, page->capacity);
        free(page);
        return;
    }
    if (!cache.registered) {
        pthread_once(&cache_key_once, make_cache_key);
        check(pthread_setspecific(cache_key, &cache) == 0);
        cache.registered = true;
    }
    poison(page->bytes, page->capacity);
    page->next = cache.pages[page_class];
    cache.pages[page_class] = page;
    cache.size += class_size(page_class);
}

static size_t page_footprint(const struct arena_page *page)
{
    return sizeof *page + page->capacity;
}

void arena_init(struct arena *arena, struct budget_share *share)
{
    *arena = (struct arena){ .share = share };
}

static void drop_pins(struct arena *arena)
{
    /* The nodes lie in the arena: read before the pages go. */
    for (struct arena_pin_node *node = arena->pins; node != NULL; node = node->next)
        pin_drop(node->pin);
    arena->pins = NULL;
}

/* What is handed out from now on lies in page, of which nothing was yet. */
static void set_newest(struct arena *arena, struct arena_page *page)
{
    arena->pages = page;
    arena->next = page->bytes;
    arena->room = page->capacity & ~(size_t)(ARENA_ALIGNMENT - 1);
}

static void drop_pages(struct arena *arena, bool keep_first)
{
    struct arena_page *page = arena->pages;
    arena->pages = NULL;
    arena->next = NULL;
    arena->room = 0;
    while (page != NULL) {
        struct arena_page *next = page->next;
        if (page->budgeted)
            budget_give(arena->share, page_footprint(page));
        if (!page->budgeted && keep_first) {
            page->next = NULL;
            poison(page->bytes, page->capacity);
            set_newest(arena, page);
        } else {
            page_release(page);
        }
        page = next;
    }
    arena->used = 0;
}

void arena_destroy(struct arena *arena)
{
    drop_pins(arena);
    drop_pages(arena, false);
}

void arena_reset(struct arena *arena)
{
    if (arena->used == 0)
        return;
    drop_pins(arena);
    drop_pages(arena, true);
}

/* Hands out from the newest page; the caller knows that it fits. */
static void *take(struct arena *arena, size_t size, size_t rounded)
{
    uint8_t *p = arena->next;
    arena->next += rounded;
    arena->room -= rounded;
    arena->used += rounded;
    unpoison(p, size);
    return p;
}

static size_t class_capacity(int page_class)
{
    return class_size(page_class) - sizeof(struct arena_page);
}

/* Every arena in use has one, also when the first allocation is too large for it. */
static struct arena_page *add_first_page(struct arena *arena)
{
    struct arena_page *page = page_obtain(0, class_capacity(0));
    if (page != NULL)
        set_newest(arena, page);
    return page;
}

/* A page of its own for one large allocation goes behind the newest, whose rest stays in use. */
static void *take_alone(struct arena *arena, struct arena_page *page, size_t size, size_t rounded)
{
    page->next = arena->pages->next;
    arena->pages->next = page;
    arena->used += rounded;
    unpoison(page->bytes, size);
    return page->bytes;
}

static void *take_from_new_page(struct arena *arena, size_t size, size_t rounded)
{
    struct arena_page *newest = arena->pages;
    int page_class = newest->page_class;
    do {
        page_class += page_class + 1 < PAGE_CLASS_COUNT;
    } while (page_class + 1 < PAGE_CLASS_COUNT && class_capacity(page_class) < rounded);
    size_t capacity = class_capacity(page_class);
    if (capacity < rounded) {
        page_class = PAGE_CLASS_NONE;
        capacity = rounded;
    }
    if (!budget_take(arena->share, sizeof *newest + capacity)) {
        /* Near the limit there may still be room for the bytes alone. */
        page_class = PAGE_CLASS_NONE;
        capacity = rounded;
        if (!budget_take(arena->share, sizeof *newest + capacity))
            return NULL;
    }
    struct arena_page *page = page_obtain(page_class, capacity);
    if (page == NULL) {
        budget_give(arena->share, sizeof *newest + capacity);
        return NULL;
    }
    page->budgeted = true;
    if (page_class == PAGE_CLASS_NONE)
        return take_alone(arena, page, size, rounded);
    page->next = newest;
    set_newest(arena, page);
    return take(arena, size, rounded);
}

void *arena__alloc(struct arena *arena, size_t size)
{
    if (size > SIZE_MAX / 2)
        return NULL;
    size_t rounded =
        size == 0 ? ARENA_ALIGNMENT : (size + ARENA_ALIGNMENT - 1) & ~(size_t)(ARENA_ALIGNMENT - 1);
    if (arena->pages == NULL && add_first_page(arena) == NULL)
        return NULL;
    if (rounded <= arena->room)
        return take(arena, size, rounded);
    return take_from_new_page(arena, size, rounded);
}

void *arena_alloc_array(struct arena *arena, size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total))
        return NULL;
    void *p = arena_alloc(arena, total);
    if (p != NULL)
        memset(p, 0, total);
    return p;
}

slice arena_copy(struct arena *arena, slice bytes, bool *ok)
{
    if (slice_is_null(bytes))
        return SLICE_NULL;
    uint8_t *copy = arena_alloc(arena, bytes.size);
    if (copy == NULL) {
        if (ok != NULL)
            *ok = false;
        return SLICE_NULL;
    }
    memcpy(copy, bytes.data, bytes.size);
    return slice_of(copy, bytes.size);
}

char *arena_string(struct arena *arena, slice bytes)
{
    if (bytes.size == SIZE_MAX)
        return NULL;
    char *text = arena_alloc(arena, bytes.size + 1);
    if (text == NULL)
        return NULL;
    if (bytes.size > 0)
        memcpy(text, bytes.data, bytes.size);
    text[bytes.size] = '\0';
    return text;
}

bool arena_pin(struct arena *arena, struct pin *pin)
{
    struct arena_pin_node *node = arena_alloc(arena, sizeof *node);
    if (node == NULL)
        return false;
    pin_take(pin);
    *node = (struct arena_pin_node){ arena->pins, pin };
    arena->pins = node;
    return true;
}
