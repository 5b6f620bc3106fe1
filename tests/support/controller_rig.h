/* A controller over the disk double, without a server: one broker's ground, to be tested. */
#ifndef RUNNEL_TESTS_SUPPORT_CONTROLLER_RIG_H
#define RUNNEL_TESTS_SUPPORT_CONTROLLER_RIG_H

#include "broker/controller.h"
#include "storage/file_double.h"

/* The disk is all that outlives a power cut. Its one log directory is /d. */
struct controller_rig {
    struct file_double *disk;
    struct config *config;
    struct clock_virtual clock_now;
    struct random chance;
    struct storage_env env;
    struct store *store; /* NULL while it is off */
    struct controller *controller;
    const char *open_error;
};

extern struct controller_rig rig;

/* As Check's fixture: a new disk, the defaults; it is off. */
void rig_set_up(void);
void rig_tear_down(void);
/* Lines of server.properties; for the next start. */
void rig_load_config(const char *settings);
enum store_status rig_try_on(void);
void rig_on(void);
/* What storage handed to a worker is done before. */
void rig_off(bool clean);
void rig_restart(bool clean);
/* What was not flushed is lost. On again afterwards. */
void rig_cut(void);
/* The one worker is the test: storage hands jobs out under its locks, so that they run later. */
void rig_run_jobs(void);

/* A life of a few topics and a restart; power fails after every single operation of it: what was answered is there,
 * whole; what was not is there whole or not at all; and the broker goes on. */
void rig_cut_everywhere(enum file_double_cut cut);

struct create_topic rig_one(const char *name, int32_t partition_count);
/* Returns the error code; jobs are done. */
int16_t rig_create(const char *name, int32_t partition_count);
const struct topic *rig_topic(const char *name);

#endif
