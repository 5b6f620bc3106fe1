/* Compacted logs written and read in a small notation, for tests of the cleaner. */
#ifndef RUNNEL_TESTS_SUPPORT_COMPACTED_LOG_H
#define RUNNEL_TESTS_SUPPORT_COMPACTED_LOG_H

#include "storage/cleaner_internal.h"
#include "tests/support/log_rig.h"

/* Batches are separated by blanks, segments by " | ". A batch is a list of records,
 *
 *   a=1,b=2,c-,=3   keys of one letter; "c-" is a tombstone, "=3" has no key
 *
 * behind any of these, each with a colon:
 *
 *   p7:     of producer 7, with its next sequence number
 *   t7:     of producer 7's open transaction
 *   h500:   has the delete horizon 500
 *   @20:    begins at offset 20
 *
 * C7 and A7 are producer 7's commit and abort markers. Offsets follow one another, timestamps are 10 *
 * offset. */

/* Writes the log's files as a clean stop of Kafka would leave them, without producer snapshots, and opens it.
 */
void compacted_write(struct log_rig *rig, const char *text, enum codec codec);
/* One batch for log_append(), from its first notation; bytes are malloc'ed and returned owned. */
void compacted_batch(const char *text, enum codec codec, struct batch_view *out);

/* All that log_read() gives, in the same notation, malloc'ed: a batch is "[offsets flags records]", with the
 * base and the last offset when they differ from what the records say. Ends the program on a wrong answer. */
char *compacted_read(struct log_rig *rig);

/* One forced round from first_dirty on (-1: all), with a small buffer. *result may be NULL. */
enum log_status compacted_clean(struct log_rig *rig, int64_t first_dirty, struct cleaner_result *result);

#endif
