/* The test's side of the faulty device: the shared memory and the environment. */
#include "tests/support/fault_disk.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "protocol/base/check.h"

void fault_disk_create(struct fault_disk *disk, const char *library, const char *root)
{
    *disk = (struct fault_disk){ .library = library };
    check(snprintf(disk->path, sizeof disk->path, "%s/fault-disk", root) < (int)sizeof disk->path);
    int fd = open(disk->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    check(fd >= 0 && ftruncate(fd, sizeof *disk->shared) == 0);
    disk->shared = mmap(NULL, sizeof *disk->shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    check(disk->shared != MAP_FAILED);
    close(fd);
    check(snprintf(disk->shared->root, FAULT_PATH_SIZE, "%s/", root) < FAULT_PATH_SIZE);
}

void fault_disk_destroy(struct fault_disk *disk)
{
    check(munmap(disk->shared, sizeof *disk->shared) == 0);
    unlink(disk->path);
}

void fault_disk_preload(const struct fault_disk *disk)
{
    check(setenv(FAULT_DISK_VARIABLE, disk->path, 1) == 0);
    check(setenv("LD_PRELOAD", disk->library, 1) == 0);
}

void fault_disk_release(void)
{
    unsetenv("LD_PRELOAD");
}

void fault_disk_delay(struct fault_disk *disk, uint32_t kinds, uint32_t delay_ms)
{
    atomic_store(&disk->shared->delay_ms, delay_ms);
    atomic_store(&disk->shared->delayed_kinds, delay_ms > 0 ? kinds : 0);
}

void fault_disk_fail(struct fault_disk *disk, uint32_t kinds, const char *part, int error, uint32_t times)
{
    struct fault_disk_shared *shared = disk->shared;
    atomic_store(&shared->failing_kinds, 0);
    atomic_store(&shared->error, error);
    atomic_store(&shared->fails_left, times);
    atomic_store(&shared->failed_count, 0);
    check(snprintf(shared->part, sizeof shared->part, "%s", part) < (int)sizeof shared->part);
    atomic_store(&shared->failing_kinds, kinds);
}

uint64_t fault_disk_failed(const struct fault_disk *disk)
{
    return atomic_load(&disk->shared->failed_count);
}

bool fault_disk_is_sanitized(const char *binary)
{
    const char *chosen = getenv("RUNNEL_BINARY");
    char command[2 * FAULT_PATH_SIZE + 64];
    check(snprintf(command, sizeof command, "grep -q -e __asan_init -e __tsan_init '%s'",
                   chosen && *chosen ? chosen : binary) < (int)sizeof command);
    return system(command) == 0;
}
