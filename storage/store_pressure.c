/* Bytes that are appended and not yet on the device: how many there are of each directory, and how many there
 * may be. */
#include <stdio.h>
#include <string.h>

#include "protocol/base/check.h"
#include "storage/store_internal.h"

/* Of one directory, or a quarter of what the kernel lets be dirty before it blocks writers when that is less; all
 * directories share that. */
#define DURABLE_MAX (UINT64_C(256) << 20) /* of durable logs: their flush is what others wait for */
#define WAITING_MAX (UINT64_C(1) << 30)   /* of page-cache logs whose write-back has not begun: a burst */
/* Of one page-cache log: what a recovery reads, and a power cut may take. A flush waits for all that is on its way to
 * the device, and the next steps for the flush, so it is not done for less. */
#define UNFLUSHED_MAX (UINT64_C(256) << 20)

/* --- the bounds -------------------------------------------------------------------------------- */

/* The number that stands alone in a file of the kernel's, or other when there is none. */
static uint64_t number_in(const char *path, uint64_t other)
{
    unsigned long long number;
    FILE *file = fopen(path, "re");

    if (!file)
        return other;
    bool is_there = fscanf(file, "%llu", &number) == 1;
    fclose(file);
    return is_there ? number : other;
}

static uint64_t available_memory(void)
{
    unsigned long long kb = 0;
    char line[128];
    FILE *file = fopen("/proc/meminfo", "re");

    while (file && fgets(line, sizeof line, file)) {
        if (sscanf(line, "MemAvailable: %llu kB", &kb) == 1)
            break;
    }
    if (file)
        fclose(file);
    /* A container's page cache counts against its memory. "max" is no number. */
    uint64_t group = number_in("/sys/fs/cgroup/memory.max", UINT64_MAX);
    return kb * 1024 < group ? kb * 1024 : group;
}

/* 0: the kernel does not say. */
static uint64_t kernel_limit(void)
{
    uint64_t bytes = number_in("/proc/sys/vm/dirty_bytes", 0);

    return bytes ? bytes : available_memory() / 100 * number_in("/proc/sys/vm/dirty_ratio", 20);
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void store__pressure_init(struct store *store, const struct store_options *options)
{
    uint64_t kernels = kernel_limit(), share = kernels / 4 / store->directory_count;

    if (kernels == 0)
        share = UINT64_MAX;
    store->waiting_max = options->dirty_bytes_max ? options->dirty_bytes_max : least(WAITING_MAX, share);
    store->durable_max = options->dirty_bytes_max ? options->dirty_bytes_max : least(DURABLE_MAX, share);
    store->unflushed_max = options->unflushed_bytes_max ? options->unflushed_bytes_max : UNFLUSHED_MAX;
}

/* --- the counts -------------------------------------------------------------------------------- */

static uint64_t count_of(const _Atomic uint64_t *count)
{
    return atomic_load_explicit(count, memory_order_relaxed);
}

void store__wrote(struct log_host *host, uint64_t size, bool is_durable)
{
    struct store_directory *directory = store__directory_of(host);
    struct store *store = directory->store;

    if (is_durable) {
        atomic_fetch_add_explicit(&directory->durable_bytes, size, memory_order_relaxed);
        return;
    }
    uint64_t before = atomic_fetch_add_explicit(&directory->waiting_bytes, size, memory_order_relaxed);
    if (before <= store->waiting_max / 2 && before + size > store->waiting_max / 2)
        store->env->flush_wanted(store->env);
}

void store__wrote_behind(struct log_host *host, uint64_t size)
{
    atomic_fetch_sub_explicit(&store__directory_of(host)->waiting_bytes, size, memory_order_relaxed);
}

void store__flushed(struct log_host *host, uint64_t size, uint64_t behind, bool is_durable)
{
    struct store_directory *directory = store__directory_of(host);

    if (is_durable)
        atomic_fetch_sub_explicit(&directory->durable_bytes, size, memory_order_relaxed);
    else
        atomic_fetch_sub_explicit(&directory->waiting_bytes, size - behind, memory_order_relaxed);
}

void store__check_pressure(const struct store *store)
{
    for (size_t i = 0; i < store->directory_count; i++) {
        const struct store_directory *directory = &store->directories[i];
        check(count_of(&directory->waiting_bytes) == 0 && count_of(&directory->durable_bytes) == 0);
    }
}

/* --- who is to do something ---------------------------------------------------------------------- */

/* What failed will never be flushed, and nobody is to wait for it. */
bool store_is_saturated(struct store *store)
{
    for (size_t i = 0; i < store->directory_count; i++) {
        const struct store_directory *directory = &store->directories[i];
        if ((count_of(&directory->waiting_bytes) > store->waiting_max ||
             count_of(&directory->durable_bytes) > store->durable_max) &&
            !store__is_failing(directory))
            return true;
    }
    return false;
}

bool store__is_pressed(const struct store_directory *directory)
{
    const struct store *store = directory->store;

    return directory->behind_count == 0 && count_of(&directory->waiting_bytes) > store->waiting_max / 2 &&
           !store__is_failing(directory);
}

bool store__is_any_pressed(const struct store *store)
{
    for (size_t i = 0; i < store->directory_count; i++) {
        if (store__is_pressed(&store->directories[i]))
            return true;
    }
    return false;
}
