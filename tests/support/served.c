/* Starts the broker that one test talks to. */
#include "tests/support/served.h"

#include "protocol/base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

void served_start(struct served *served, const char *binary, const char *const arguments[])
{
    const char *foreign = getenv("RUNNEL_TEST_BOOTSTRAP");
    temp_dir_create(&served->dir);
    snprintf(served->data_dir, sizeof served->data_dir, "%s/data", served->dir.path);
    served->broker = NULL;
    if (foreign && *foreign)
        snprintf(served->bootstrap, sizeof served->bootstrap, "%s", foreign);
    else
        served_restart(served, binary, arguments);
}

bool served_is_foreign(const struct served *served)
{
    return served->broker == NULL;
}

void served_restart(struct served *served, const char *binary, const char *const arguments[])
{
    served->broker = broker_process_start(binary, served->data_dir, arguments);
    snprintf(served->bootstrap, sizeof served->bootstrap, "%s", broker_process_address(served->broker));
}

void served_stop(struct served *served)
{
    if (served->broker) {
        int status = broker_process_stop(served->broker);
        if (status != 0) {
            fprintf(stderr, "the broker ended with status %d (data in %s)\n", status, served->data_dir);
            exit(1);
        }
    }
    temp_dir_destroy(&served->dir);
}

const char *served_topic(const char *base)
{
    static _Thread_local char name[128];
    snprintf(name, sizeof name, "%s-%lld-%d", base, (long long)time(NULL), (int)getpid());
    return name;
}
