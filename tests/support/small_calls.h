/* Calls with one thing to ask and one error to hear, by a wire client: for tests that only want to know how
 * it went. */
#ifndef RUNNEL_TESTS_SUPPORT_SMALL_CALLS_H
#define RUNNEL_TESTS_SUPPORT_SMALL_CALLS_H

#include "tests/support/wire_client.h"

enum { NO_ANSWER = -1 };

/* Who commits: a member of a classic group, or nobody in particular (COMMITTER_OF). */
struct committer {
    const char *group, *member;
    int32_t generation;
};
#define COMMITTER_OF(name) (&(const struct committer){ .group = (name), .member = "", .generation = -1 })

/* Each returns the error code of the answer, or NO_ANSWER. */
int16_t call_commit(struct wire_client *client, const struct committer *committer, const char *topic,
                    int64_t offset); /* of partition 0 */
/* Of partition 0, below the offset; -1: all. */
int16_t call_delete_records(struct wire_client *client, const char *topic, int64_t offset);
/* One record of so many zeros with the key "key", acks=all. */
int16_t call_produce(struct wire_client *client, const char *topic, int32_t partition, size_t value_size);
int16_t call_produce_within(struct wire_client *client, const char *topic, int32_t partition,
                            size_t value_size, int32_t timeout_ms);
int16_t call_producer_id(struct wire_client *client, int64_t *id);
int16_t call_find_coordinator(struct wire_client *client, const char *group);
/* Makes the group's topic, if need be, and commits until the coordinator is there. False: no answer. */
bool call_until_committed(struct wire_client *client, const char *group, const char *topic);

#endif
