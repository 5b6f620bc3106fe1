/* Makes and removes the directories of tests. */
#include "tests/support/temp_dir.h"

#include "protocol/base/check.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

void temp_dir_create(struct temp_dir *dir)
{
    const char *base = getenv("TMPDIR");
    int size = snprintf(dir->path, sizeof dir->path, "%s/runnel-test-XXXXXX", base && *base ? base : "/tmp");
    check(size > 0 && (size_t)size < sizeof dir->path);
    check(mkdtemp(dir->path) != NULL);
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)status;
    (void)type;
    (void)where;
    return remove(path);
}

void temp_dir_destroy(struct temp_dir *dir)
{
    check(nftw(dir->path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) == 0);
}
