/* What /proc tells of a process: CPU, memory, wake-ups. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/load.h"

double monotonic_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

double process_cpu_seconds(pid_t pid)
{
    clockid_t clock; /* to the ns; /proc/PID/stat knows ticks of 10 ms */
    struct timespec used;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) != 0)
        return 0;
    return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

/* The number behind `name:` in a status file; 0 when it is not there. */
static uint64_t status_number(const char *path, const char *name)
{
    char line[256];
    uint64_t value = 0;
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    while (fgets(line, sizeof line, file))
        if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':')
            value = strtoull(line + strlen(name) + 1, NULL, 10);
    fclose(file);
    return value;
}

static uint64_t memory_of(pid_t pid, const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    return status_number(path, name) * 1024;
}

bool process_is_sanitized(pid_t pid)
{
    char path[64], line[512];
    bool found = false;
    snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    FILE *file = fopen(path, "r");
    while (file && !found && fgets(line, sizeof line, file))
        found = strstr(line, "/libasan.so") || strstr(line, "/libtsan.so");
    if (file)
        fclose(file);
    return found;
}

uint64_t process_rss(pid_t pid)
{
    return memory_of(pid, "VmRSS");
}

uint64_t process_rss_anonymous(pid_t pid)
{
    return memory_of(pid, "RssAnon");
}

uint64_t process_rss_file(pid_t pid)
{
    return memory_of(pid, "RssFile");
}

uint64_t process_wakeups(pid_t pid)
{
    char path[320];
    uint64_t sum = 0;
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *tasks = opendir(path);
    if (!tasks)
        return 0;
    for (struct dirent *entry; (entry = readdir(tasks));) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "/proc/%d/task/%s/status", (int)pid, entry->d_name);
        sum += status_number(path, "voluntary_ctxt_switches");
    }
    closedir(tasks);
    return sum;
}
