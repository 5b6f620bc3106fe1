/* Reads with librdkafka what is left of a ledger's topic, for its judge. */
#ifndef RUNNEL_TESTS_SUPPORT_LEDGER_READING_H
#define RUNNEL_TESTS_SUPPORT_LEDGER_READING_H

#include "tests/support/ledger.h"

/* Reads each partition of the topic from from[partition] to the end that it has now, judges what came, and
 * moves from[] there. The producers are at rest meanwhile. Aborts the test where nothing comes any more. */
struct ledger_verdict ledger_read_back(struct ledger *ledger, const char *bootstrap, const char *topic,
                                       int partitions, int64_t from[]);

#endif
