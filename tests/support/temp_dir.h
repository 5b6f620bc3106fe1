/* A directory of a test's own, gone again when the test is done with it. */
#ifndef RUNNEL_TESTS_SUPPORT_TEMP_DIR_H
#define RUNNEL_TESTS_SUPPORT_TEMP_DIR_H

enum { TEMP_DIR_PATH_SIZE = 256 };

struct temp_dir {
    char path[TEMP_DIR_PATH_SIZE];
};

/* Makes a new, empty directory below $TMPDIR or /tmp; aborts the test where that is impossible. */
void temp_dir_create(struct temp_dir *dir);
/* Removes it with all that is in it. A test that fails leaves its directory to be looked at. */
void temp_dir_destroy(struct temp_dir *dir);

#endif
