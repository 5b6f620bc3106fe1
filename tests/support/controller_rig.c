/* Switches a controller on and off. */
#include "tests/support/controller_rig.h"

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/errors.h"

enum { JOBS_MAX = 4096 };

struct controller_rig rig;

/* The one worker is the test: storage hands jobs out under its locks, so that they run later. */
static pthread_mutex_t jobs_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct storage_job *jobs[JOBS_MAX];
static size_t job_count;

static void submit_job(struct storage_env *on, struct storage_job *job)
{
    (void)on;
    pthread_mutex_lock(&jobs_mutex);
    ck_assert_uint_lt(job_count, JOBS_MAX);
    jobs[job_count++] = job;
    pthread_mutex_unlock(&jobs_mutex);
}

void rig_run_jobs(void)
{
    for (;;) {
        pthread_mutex_lock(&jobs_mutex);
        struct storage_job *job = job_count ? jobs[--job_count] : NULL;
        pthread_mutex_unlock(&jobs_mutex);
        if (!job)
            return;
        job->run(job);
    }
}

static void ignore_wanted(struct storage_env *on)
{
    (void)on;
}

static void ignore_progress(struct storage_env *on, void *owner)
{
    (void)on;
    (void)owner;
}

static void ignore_failed(struct storage_env *on, const char *directory)
{
    (void)on;
    (void)directory;
}

void rig_load_config(const char *settings)
{
    struct config_report report = { 0 };
    struct config_sources sources = { .file = "server.properties", .cpu_count = 1 };
    if (rig.config)
        config_destroy(rig.config);
    rig.config = config_load_text(&sources, slice_of_string(settings), &report);
    ck_assert_ptr_nonnull(rig.config);
    config_report_destroy(&report);
}

enum store_status rig_try_on(void)
{
    static const char *const directories[] = { "/d" };
    struct store_options options = { .directories = directories,
                                     .directory_count = 1,
                                     .node_id = rig.config->node_id,
                                     .open_files_max = 100,
                                     .maps_max = 100,
                                     .dirty_bytes_max = 1 << 20 };
    rig.env = (struct storage_env){ .files = file_double_system(rig.disk),
                                    .clock = &rig.clock_now.clock,
                                    .retire = retire_create(),
                                    .submit = submit_job,
                                    .flush_wanted = ignore_wanted,
                                    .progress = ignore_progress,
                                    .directory_failed = ignore_failed };
    rig.open_error = NULL;
    enum store_status status = store_open(&rig.env, &options, &rig.store, &rig.open_error);
    ck_assert_msg(status == STORE_OK, "%s", rig.open_error ? rig.open_error : "?");
    struct controller_host host = {
        .env = &rig.env, .store = rig.store, .config = rig.config, .random = &rig.chance
    };
    rig.controller = NULL;
    status = controller_open(&host, &rig.controller, &rig.open_error);
    if (status == STORE_OK) {
        ck_assert_int_eq(store_recover(rig.store, 1, &rig.open_error), STORE_OK);
        ck_assert(controller_raise_epochs(rig.controller));
    }
    return status;
}

void rig_on(void)
{
    enum store_status status = rig_try_on();
    ck_assert_msg(status == STORE_OK, "%s", rig.open_error);
}

void rig_off(bool clean)
{
    rig_run_jobs();
    store_close(rig.store, clean);
    if (rig.controller)
        controller_close(rig.controller);
    retire_destroy(rig.env.retire);
    rig.store = NULL;
}

void rig_set_up(void)
{
    rig.disk = file_double_create();
    clock_virtual_init(&rig.clock_now, 1700000000000);
    random_seed(&rig.chance, 42);
    rig_load_config("");
}

void rig_tear_down(void)
{
    if (rig.store)
        rig_off(false);
    config_destroy(rig.config);
    rig.config = NULL;
    file_double_destroy(rig.disk);
}

void rig_restart(bool clean)
{
    rig_off(clean);
    rig_on();
}

void rig_cut(void)
{
    rig_off(false);
    struct file_double *after =
        file_double_after_cut(rig.disk, file_double_operation_count(rig.disk), FILE_DOUBLE_LOSE_ALL, NULL);
    file_double_destroy(rig.disk);
    rig.disk = after;
    rig_on();
}

struct create_topic rig_one(const char *name, int32_t partition_count)
{
    return (struct create_topic){ .name = slice_of_string(name),
                                  .partition_count = partition_count,
                                  .replication_factor = -1 };
}

int16_t rig_create(const char *name, int32_t partition_count)
{
    struct create_topic topic = rig_one(name, partition_count);
    controller_create_topics(rig.controller, &topic, 1, false);
    rig_run_jobs();
    return topic.error_code;
}

const struct topic *rig_topic(const char *name)
{
    return image_topic_by_name(controller_image(rig.controller), slice_of_string(name));
}

void rig_cut_everywhere(enum file_double_cut cut)
{
    enum { TOPICS = 6 };
    uint64_t answered_at[TOPICS];
    char names[TOPICS][16];
    rig_on();
    for (int i = 0; i < TOPICS; i++) {
        if (i == 2)
            rig_restart(true);
        snprintf(names[i], sizeof names[i], "t%d", i);
        ck_assert_int_eq(rig_create(names[i], 1 + i), ERR_NONE);
        answered_at[i] = file_double_operation_count(rig.disk);
    }
    uint64_t last = file_double_operation_count(rig.disk);
    rig_off(false);
    struct file_double *whole = rig.disk;
    for (uint64_t operation = 0; operation <= last; operation++) {
        struct random seed;
        random_seed(&seed, operation);
        rig.disk = file_double_after_cut(whole, operation, cut, &seed);
        rig_on();
        for (int i = 0; i < TOPICS; i++) {
            const struct topic *topic = rig_topic(names[i]);
            ck_assert_msg(topic || answered_at[i] > operation, "%s is lost after operation %llu", names[i],
                          (unsigned long long)operation);
            if (topic)
                ck_assert_int_eq(topic->partition_count, 1 + i);
        }
        ck_assert_int_eq(rig_create("afterwards", 2), ERR_NONE);
        rig_restart(false);
        ck_assert_ptr_nonnull(rig_topic("afterwards"));
        rig_off(true);
        file_double_destroy(rig.disk);
    }
    rig.disk = whole;
}
