/* The end of a test's main(). */
#ifndef RUNNEL_TESTS_SUPPORT_SUITE_H
#define RUNNEL_TESTS_SUPPORT_SUITE_H

#include <check.h>

enum { EXIT_SKIPPED = 77 }; /* what ctest takes for that */

/* Runs it as $CK_VERBOSITY says and frees it; the number of failures. */
static inline int suite_run(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed;
}

#endif
