/* The server: starts the parts in order, runs them, stops them in the other order. */
#include "broker/server.h"

#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "broker/compactor.h"
#include "broker/farewell.h"
#include "broker/fetch_session.h"
#include "broker/files_wait.h"
#include "broker/flusher.h"
#include "broker/group/group.h"
#include "broker/keeper.h"
#include "broker/listener.h"
#include "broker/loop_internal.h"
#include "broker/peers.h"
#include "broker/slow_device.h"
#include "broker/thread.h"
#include "protocol/base/check.h"
#include "protocol/base/note.h"

enum {
    WORKERS = 3,
    READ_WORKERS = 3,
    APPEND_WORKERS = 2,
    /* Memory that clients can make us hold when queued.max.request.bytes does not say. */
    BUDGET_DEFAULT = 256 * 1024 * 1024,
    /* Descriptors that are neither connections nor logs. */
    DESCRIPTORS_RESERVED = 128,
};

struct server_private {
    struct random chance; /* for topic ids; of the controller */
    struct random ids;    /* of a simulation */
    pthread_mutex_t ids_mutex;
    bool is_seeded;
    struct random schedule;            /* which part moves next, in a simulation */
    struct listeners *listeners;       /* NULL in a simulation */
    struct keeper *keeper;             /* from the loops on */
    _Atomic(struct flusher *) flusher; /* NULL before serving and in a simulation */
    struct compactor *compactor; /* NULL before serving, in a simulation, and when nothing is compacted */
    struct cleaner *cleaner;     /* of a simulation */
    pthread_t threads[LOOPS_MAX];
    atomic_bool flush_wanted; /* only without a flusher */
    atomic_bool clean_wanted; /* only without a compactor */
    atomic_bool is_failed;    /* the only log directory took its last write */
    atomic_bool is_closing;   /* no loop is left that could be told of progress */
    bool was_run_well;        /* served and stopped: the stop is a clean one */
};

static struct server *server_of(struct storage_env *env)
{
    return (struct server *)((char *)env - offsetof(struct server, env));
}

/* -- what storage asks of us -------------------------------------------------------------------- */

struct job_work {
    struct work work;
    struct storage_job *job;
};

static void run_job(struct work *work)
{
    struct job_work *carrier = (struct job_work *)((char *)work - offsetof(struct job_work, work));
    struct storage_job *job = carrier->job;
    free(carrier);
    job->run(job);
}

static void env_submit(struct storage_env *env, struct storage_job *job)
{
    struct job_work *carrier = check_memory(malloc(sizeof *carrier));
    *carrier = (struct job_work){ .work.run = run_job, .job = job };
    workers_submit(server_of(env)->workers, &carrier->work);
}

void server_wake_flusher(struct server *server)
{
    struct server_private *own = server->own;
    struct flusher *flusher = atomic_load_explicit(&own->flusher, memory_order_acquire);
    if (!flusher) {
        /* Its thread may run already, and have had a worker do something. */
        atomic_store(&own->flush_wanted, true);
        flusher = atomic_load(&own->flusher);
    }
    if (flusher)
        flusher_wake(flusher);
}

static void env_flush_wanted(struct storage_env *env)
{
    struct server *server = server_of(env);
    if (!loop_wants_flush(server))
        server_wake_flusher(server);
}

static void env_clean_wanted(struct storage_env *env)
{
    struct server_private *own = server_of(env)->own;
    if (own->compactor)
        compactor_wake(own->compactor);
    else
        atomic_store_explicit(&own->clean_wanted, true, memory_order_release);
}

static void env_clean_asked(struct storage_env *env)
{
    struct server_private *own = server_of(env)->own;
    if (own->compactor)
        compactor_hurry(own->compactor);
}

static void env_progress(struct storage_env *env, void *owner)
{
    struct server *server = server_of(env);
    struct partition *partition = owner;
    if (partition && !atomic_load(&server->own->is_closing)) /* the metadata log has none */
        server_partition_progress(server, &partition, 1);
}

static void env_files_freed(struct storage_env *env)
{
    files_wait_freed(server_of(env)->files_wait);
}

static void env_flushing(struct storage_env *env, size_t directory, bool begins, uint64_t size)
{
    slow_device_flushing(server_of(env), directory, begins, size);
}

/* With one directory nothing is left to serve: what waits is answered, then the process ends, so that
 * its supervisor learns of it. The next start reads from the device. */
static void env_directory_failed(struct storage_env *env, const char *directory)
{
    struct server *server = server_of(env);
    note_error("storage.failed",
               "directory=%s directories=%zu check the device; data that was acknowledged is kept", directory,
               server->config->log_dirs.count);
    if (server->config->log_dirs.count > 1)
        return;
    atomic_store(&server->own->is_failed, true);
    if (!atomic_load(&server->own->is_closing))
        server_stop(server);
}

static bool allow_all(void *context, const struct conn *conn, enum acl_operation op, int resource_type,
                      slice name)
{
    (void)context;
    (void)conn;
    (void)op;
    (void)resource_type;
    (void)name;
    return true;
}

/* -- opening ------------------------------------------------------------------------------------ */

/* What is freed stays for the next use instead of going to the kernel and coming back page by page, zeroed:
 * frames of a megabyte cost 40,000 page faults per 256 MiB otherwise. Loops that fall idle give it back:
 * malloc_trim() does so wholly for the first arena alone, so there is one; threads have caches before it
 * (arena pages, tcache). */
static void keep_freed_memory(void)
{
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_MMAP_THRESHOLD, 32 * 1024 * 1024);
    mallopt(M_TRIM_THRESHOLD, 64 * 1024 * 1024);
}

/* The process's own affairs: descriptors up to the hard limit; a peer that has gone and a file that
 * may not grow are errors, not signals. Returns the descriptors there are. */
static size_t prepare_process(void)
{
    struct rlimit limit;
    keep_freed_memory();
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 1024;
    if (limit.rlim_cur < limit.rlim_max) {
        rlim_t soft = limit.rlim_cur;
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
            limit.rlim_cur = soft;
    }
    return limit.rlim_cur == RLIM_INFINITY ? INT32_MAX : (size_t)limit.rlim_cur;
}

/* Connections leave half of the descriptors to logs. */
static unsigned connections_max(const struct config *config, size_t descriptors)
{
    size_t most = descriptors > 2 * DESCRIPTORS_RESERVED ? (descriptors - DESCRIPTORS_RESERVED) / 2 : 16;
    return most < (size_t)config->max_connections ? (unsigned)most : (unsigned)config->max_connections;
}

static enum exit_code exit_code_of_store(enum store_status status)
{
    switch (status) {
    case STORE_OK:
        return EXIT_OK;
    case STORE_LOCKED:
        return EXIT_DATA_DIR_LOCKED;
    case STORE_FOREIGN:
        return EXIT_DATA_DIR_FOREIGN;
    case STORE_DENIED:
    case STORE_FULL:
        return EXIT_DATA_DIR_UNWRITABLE;
    case STORE_LIMIT:
        return EXIT_INTERNAL;
    case STORE_IO:
        return EXIT_STORAGE_FAILED;
    case STORE_DAMAGED:
        return EXIT_DATA_DIR_CORRUPT;
    }
    check_unreachable("store_status");
}

static void create_parts(struct server *server, const struct server_options *options)
{
    struct server_private *own = server->own;
    const struct config *config = server->config;
    check(pthread_mutex_init(&own->ids_mutex, NULL) == 0);
    own->is_seeded = options->seed != 0;
    if (options->seed != 0) {
        random_seed(&own->ids, options->seed + 2);
        random_seed(&own->chance, options->seed);
        random_seed(&own->schedule, options->seed + 1);
    } else {
        random_seed_secure(&own->chance);
        random_seed_secure(&own->schedule);
    }
    server->retire = retire_create();
    server->peers = peers_create(config);
    server->files_wait = files_wait_create(server);
    server->slow_devices = check_memory(calloc(config->log_dirs.count + 1, sizeof *server->slow_devices));
    server->env = (struct storage_env){ .files = options->files,
                                        .clock = options->clock,
                                        .retire = server->retire,
                                        .submit = env_submit,
                                        .flush_wanted = env_flush_wanted,
                                        .clean_wanted = env_clean_wanted,
                                        .clean_asked = env_clean_asked,
                                        .progress = env_progress,
                                        .files_freed = env_files_freed,
                                        .flushing = env_flushing,
                                        .directory_failed = env_directory_failed };
    budget_init(&server->budget, config->queued_max_request_bytes > 0
                                     ? (size_t)config->queued_max_request_bytes
                                     : BUDGET_DEFAULT);
    server->fetch_sessions = fetch_sessions_create((size_t)config->max_incremental_fetch_session_cache_slots,
                                                   &server->budget, options->seed);
    server->workers = workers_create(options->threaded ? WORKERS : 0, server->retire, &own->schedule);
    server->read_workers =
        workers_create(options->threaded ? READ_WORKERS : 0, server->retire, &own->schedule);
    server->append_workers =
        workers_create(options->threaded ? APPEND_WORKERS : 0, server->retire, &own->schedule);
    server->authorize = allow_all;
}

void server_random(struct server *server, void *out, size_t size)
{
    struct server_private *own = server->own;
    if (!own->is_seeded) {
        random_secure(out, size);
        return;
    }
    check(pthread_mutex_lock(&own->ids_mutex) == 0);
    random_bytes(&own->ids, out, size);
    check(pthread_mutex_unlock(&own->ids_mutex) == 0);
}

/* What the controller asks of us. */
static void partitions_deleted(void *context, struct partition *partitions)
{
    const struct server *server = context;
    bool is_closing = atomic_load(&server->own->is_closing);
    farewell_send(server->loops, is_closing ? 0 : server->loop_count, partitions);
}

static enum store_status inspect(void *context, struct store *store, const char **error)
{
    struct server *server = context;
    const struct controller_host host = {
        .env = &server->env, .store = store, .config = server->config, .random = &server->own->chance
    };
    return controller_inspect(&host, error);
}

static enum exit_code open_storage(struct server *server, const char **error)
{
    const struct config *config = server->config;
    const struct store_options options = { .directories = config->log_dirs.items,
                                           .directory_count = config->log_dirs.count,
                                           .node_id = config->node_id,
                                           .cluster_id = config->cluster_id,
                                           .inspect = inspect,
                                           .context = server };
    enum store_status status = store_open(&server->env, &options, &server->store, error);
    if (status != STORE_OK)
        return exit_code_of_store(status);
    const struct controller_host host = { .env = &server->env,
                                          .store = server->store,
                                          .config = config,
                                          .random = &server->own->chance,
                                          .partitions_deleted = partitions_deleted,
                                          .context = server };
    status = controller_open(&host, &server->controller, error);
    if (status != STORE_OK)
        return exit_code_of_store(status);
    server->producer_ids = producer_ids_create(server->controller);
    unsigned threads = server->threaded ? (unsigned)config->num_recovery_threads_per_data_dir : 1;
    status = store_recover(server->store, threads, error);
    if (status == STORE_OK && !controller_raise_epochs(server->controller)) {
        *error = "raising leader epochs in the metadata log failed";
        status = STORE_IO;
    }
    return exit_code_of_store(status);
}

static void drain_begins(struct loop *loop)
{
    struct listeners *listeners = loop->server->own->listeners;
    if (listeners && loop->index == 0)
        listeners_stop(listeners);
    files_wait_close(loop->server->files_wait); /* a stop does not wait for descriptors */
}

static void create_loops(struct server *server)
{
    unsigned count = server->threaded ? (unsigned)server->config->num_network_threads : 1;
    if (count > LOOPS_MAX)
        count = LOOPS_MAX;
    server->loops = check_memory(calloc(count, sizeof(struct loop *)));
    for (; server->loop_count < count; server->loop_count++) {
        server->loops[server->loop_count] = loop_create(server, server->loop_count, count);
        server->loops[server->loop_count]->drain_begins = drain_begins;
    }
}

enum exit_code server_open(const struct server_options *options, struct server **out, const char **error)
{
    struct server *server = check_memory(calloc(1, sizeof *server));
    server->own = check_memory(calloc(1, sizeof *server->own));
    server->config = options->config;
    server->clock = options->clock;
    server->threaded = options->threaded;
    size_t descriptors = options->threaded ? prepare_process() : 0;
    file_guard_install();
    create_parts(server, options);
    enum exit_code code = open_storage(server, error);
    if (code == EXIT_OK) {
        malloc_trim(0); /* what was read for the start alone lies between what stays */
        create_loops(server);
        server->groups = coordinator_create(server, &group_shard_kind);
        coordinator_start(server->groups);
        server->own->keeper = keeper_start(server);
        if (options->threaded) {
            server->own->listeners =
                listeners_open(server, connections_max(server->config, descriptors), error);
            code = server->own->listeners ? EXIT_OK : EXIT_ADDRESS;
        }
    }
    if (code != EXIT_OK) {
        server_close(server);
        return code;
    }
    *out = server;
    return EXIT_OK;
}

/* -- serving ------------------------------------------------------------------------------------ */

static void *loop_main(void *loop)
{
    loop_run(loop);
    return NULL;
}

enum exit_code server_run(struct server *server)
{
    struct server_private *own = server->own;
    if (atomic_load(&own->is_failed)) /* before there were loops to stop */
        server_stop(server);
    compactor_start(server, &own->compactor);
    atomic_store(&own->flusher, flusher_start(server));
    if (atomic_exchange(&own->flush_wanted, false)) /* who asked found none to wake */
        flusher_wake(own->flusher);
    listeners_start(own->listeners);
    for (unsigned i = 1; i < server->loop_count; i++)
        thread_start(&own->threads[i], loop_main, server->loops[i]);
    loop_run(server->loops[0]);
    for (unsigned i = 1; i < server->loop_count; i++)
        check(pthread_join(own->threads[i], NULL) == 0);
    if (atomic_load(&own->is_failed))
        return EXIT_STORAGE_FAILED;
    own->was_run_well = true;
    return EXIT_OK;
}

void server_stop(struct server *server)
{
    for (unsigned i = 0; i < server->loop_count; i++)
        loop_stop(server->loops[i]);
}

/* Whoever may still tell the loops something ends before them: the flusher, then what the workers have.
 * The workers themselves stay, as the store gives them jobs up to its close. */
static void close_loops(struct server *server)
{
    struct server_private *own = server->own;
    if (own->keeper)
        keeper_stop(own->keeper);
    if (own->compactor)
        compactor_stop(own->compactor);
    if (own->flusher)
        flusher_stop(own->flusher);
    files_wait_close(server->files_wait);
    atomic_store(&server->is_ending, true);
    workers_drain(server->append_workers);
    workers_drain(server->read_workers);
    workers_drain(server->workers);
    atomic_store(&own->is_closing, true);
    if (server->groups)
        coordinator_stop(server->groups);
    for (unsigned i = 0; i < server->loop_count; i++)
        loop_destroy(server->loops[i]);
    if (server->groups)
        coordinator_destroy(server->groups);
    free(server->loops);
    server->loop_count = 0;
    if (own->keeper)
        keeper_destroy(own->keeper);
    peers_destroy(server->peers);
    fetch_sessions_destroy(server->fetch_sessions);
}

bool server_close(struct server *server)
{
    struct server_private *own = server->own;
    bool was_well = own->was_run_well || (!server->threaded && server->store);
    bool is_kept = true;
    if (own->listeners)
        listeners_destroy(own->listeners);
    close_loops(server);
    if (server->producer_ids)
        producer_ids_destroy(server->producer_ids);
    bool is_clean = was_well && !atomic_load(&own->is_failed);
    if (server->controller && is_clean)
        controller_stop(server->controller);
    if (server->controller)
        controller_close(server->controller);
    if (server->store) {
        if (store_close(server->store, is_clean) != STORE_OK && is_clean) {
            note_error("storage.close_failed", "the next start recovers as after a crash");
            is_kept = false;
        }
    }
    workers_destroy(server->append_workers);
    workers_destroy(server->read_workers);
    workers_destroy(server->workers);
    if (own->flusher)
        flusher_destroy(own->flusher);
    if (own->compactor)
        compactor_destroy(own->compactor);
    cleaner_destroy(own->cleaner);
    retire_destroy(server->retire);
    files_wait_destroy(server->files_wait);
    free(server->slow_devices);
    pthread_mutex_destroy(&own->ids_mutex);
    free(own);
    free(server);
    return is_kept;
}

size_t server_listener_count(const struct server *server)
{
    return listeners_count(server->own->listeners);
}

const char *server_address(const struct server *server, size_t listener)
{
    return listeners_address(server->own->listeners, listener);
}

/* -- wake-ups ----------------------------------------------------------------------------------- */

enum { PROGRESS_CHUNK = 64 };

/* Taking the bits is what makes the watchers' second look unnecessary: purgatory.h. */
static void report_chunk(struct server *server, struct partition *const *partitions, size_t count)
{
    uint64_t taken[PROGRESS_CHUNK], all = 0;
    for (size_t i = 0; i < count; i++) {
        taken[i] = atomic_exchange_explicit(&partitions[i]->watching_loops, 0, memory_order_acq_rel);
        all |= taken[i];
    }
    for (; all != 0; all &= all - 1) {
        unsigned index = (unsigned)__builtin_ctzll(all);
        struct partition *moved[PROGRESS_CHUNK];
        size_t moved_count = 0;
        for (size_t i = 0; i < count; i++)
            if (taken[i] & UINT64_C(1) << index)
                moved[moved_count++] = partitions[i];
        loop_partition_progress(server->loops[index], moved, moved_count);
    }
}

void server_partition_progress(struct server *server, struct partition *const *partitions, size_t count)
{
    for (size_t i = 0; i < count; i += PROGRESS_CHUNK)
        report_chunk(server, partitions + i, count - i < PROGRESS_CHUNK ? count - i : PROGRESS_CHUNK);
}

/* -- simulation --------------------------------------------------------------------------------- */

bool server_connect(struct server *server, struct transport *end)
{
    return conn_open(server->loops[0], end, NULL) != NULL;
}

static bool step_loop(struct server *server)
{
    struct loop *loop = server->loops[0];
    if (!loop__has_work(loop) && timer_next_ms(&loop->timers) > clock_mono_ms(server->clock))
        return false;
    loop_turn(loop);
    return true;
}

static bool step_flush(struct server *server)
{
    bool is_wanted = atomic_exchange_explicit(&server->own->flush_wanted, false, memory_order_acq_rel);
    if (!is_wanted && store_flush_due_ms(server->store) > clock_mono_ms(server->clock))
        return false;
    if (store_flush(server->store))
        atomic_store_explicit(&server->own->flush_wanted, true, memory_order_release);
    return true;
}

static bool step_clean(struct server *server)
{
    struct server_private *own = server->own;
    int64_t now_ms = clock_wall_ms(server->clock);
    bool is_wanted = atomic_exchange_explicit(&own->clean_wanted, false, memory_order_acq_rel);
    if (!server->config->log_cleaner_enable || (!is_wanted && store_clean_due_ms(server->store) > now_ms))
        return false;
    if (!own->cleaner) {
        struct cleaner_options options = compactor_options(server->config, 1);
        own->cleaner = check_memory(cleaner_create(&options));
    }
    return store_clean(server->store, own->cleaner, now_ms);
}

/* On a real machine any of them may be first, so a seed decides. */
bool server_step(struct server *server)
{
    check(!server->threaded);
    enum { PARTS = 4 };
    uint64_t first = random_below(&server->own->schedule, PARTS);
    for (uint64_t i = 0; i < PARTS; i++) {
        switch ((first + i) % PARTS) {
        case 0:
            if (step_loop(server))
                return true;
            break;
        case 1:
            if (workers_step(server->workers))
                return true;
            break;
        case 2:
            if (workers_step(server->append_workers) || workers_step(server->read_workers))
                return true;
            break;
        default:
            if (step_flush(server) || step_clean(server))
                return true;
        }
    }
    return false;
}
