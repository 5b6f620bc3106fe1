/* A broker with its directory for the length of one test, or a broker that runs already. */
#ifndef RUNNEL_TESTS_SUPPORT_SERVED_H
#define RUNNEL_TESTS_SUPPORT_SERVED_H

#include "tests/support/broker_process.h"
#include "tests/support/temp_dir.h"

#include <stdbool.h>

struct served {
    struct temp_dir dir;
    char data_dir[TEMP_DIR_PATH_SIZE + 8];
    struct broker_process *broker; /* NULL for a broker that runs already */
    char bootstrap[128];
};

/* Starts `binary` with an empty data directory. Where $RUNNEL_TEST_BOOTSTRAP names a broker, that one is used
 * and the arguments are left out: so the tests themselves are judged by Apache Kafka (with num.partitions=16). */
void served_start(struct served *served, const char *binary, const char *const arguments[]);
/* Is it the broker of $RUNNEL_TEST_BOOTSTRAP, which no test may stop or configure? */
bool served_is_foreign(const struct served *served);
/* Starts it again on the same directory, after broker_process_stop or _kill of served->broker. */
void served_restart(struct served *served, const char *binary, const char *const arguments[]);
/* Stops it, which must succeed with status 0, and removes the directory. Aborts the test otherwise. */
void served_stop(struct served *served);
/* A topic name that no other test and no other run uses; borrowed until the next call of this thread. */
const char *served_topic(const char *base);

#endif
