/* Offsets of groups against the whole broker: committing, fetching, deleting, expiry, transactions, power
 * cuts; and the administration of groups. */
#include <stdlib.h>

#include "tests/sim/offsets/rig.h"

int main(void)
{
    Suite *suite = suite_create("offsets");
    suite_add_tcase(suite, commit_tests());
    suite_add_tcase(suite, transaction_tests());
    suite_add_tcase(suite, administration_tests());
    suite_add_tcase(suite, expiry_tests());
    suite_add_tcase(suite, power_tests());
    suite_add_tcase(suite, compaction_tests());
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
