/* What the tests of offsets share: a broker with its groups, and the requests about one group and one
 * partition. */
#ifndef RUNNEL_TESTS_SIM_OFFSETS_RIG_H
#define RUNNEL_TESTS_SIM_OFFSETS_RIG_H

#include <check.h>

#include "codec/describe_groups.h"
#include "codec/list_groups.h"
#include "codec/offset_fetch.h"
#include "protocol/errors.h"
#include "protocol/record_batch.h"
#include "tests/support/sim.h"

enum {
    KEY_OFFSET_COMMIT = 8,
    KEY_OFFSET_FETCH = 9,
    KEY_DESCRIBE_GROUPS = 15,
    KEY_LIST_GROUPS = 16,
    KEY_DELETE_GROUPS = 42,
    KEY_OFFSET_DELETE = 47,
    MINUTE_MS = 60000,
};

extern struct sim sim;
extern struct sim_client client;

/* A broker whose topic "orders" has three partitions, and whose groups have a coordinator; a client. */
void rig_open(const char *settings);
void rig_close(void);
void rig_restart(void);
void rig_power_cycle(enum file_double_cut cut);

/* Makes __consumer_offsets. */
void find_coordinator(void);

uuid make_topic(const char *name);
void make_topic_of(const char *name, int32_t partition_count);
uuid topic_id_of(const char *name);
void delete_topic(const char *name);

/* A commit of one offset; what is left out says what a simple group's says. */
struct commit {
    int16_t version; /* 0: 9 */
    const char *group;
    const char *member;
    const char *instance;
    bool has_generation;
    int32_t generation;
    const char *topic; /* NULL: "orders" */
    uuid topic_id;     /* v10; zero: that of the topic */
    int32_t partition;
    int64_t offset;
    bool has_epoch;
    int32_t leader_epoch;
    const char *metadata; /* NULL: null */
    int64_t retention_ms; /* v2-4; 0: not given */
};

int16_t commit_as(const struct commit *commit);
/* Of a simple group, to "orders", which must go well. */
void commit(const char *group, int32_t partition, int64_t offset);

struct place {
    int16_t error_code;
    int64_t offset;
    int32_t leader_epoch;
    char metadata[64];
};

/* Of one partition, asked for by name with v9; group errors are the error_code. */
struct place fetch_from(const char *group, const char *topic, int32_t partition, bool require_stable);
/* The offset in "orders", -1: none; without any error. */
int64_t fetch(const char *group, int32_t partition);

int16_t delete_offset(const char *group, const char *topic, int32_t partition);
int16_t delete_group(const char *group);
/* "Empty", "Dead", ...; of DescribeGroups v5. */
const char *state_of(const char *group);
/* How many groups ListGroups v5 tells of. */
int32_t group_count(void);

/* A member of a group that it joins alone and whose leader it is. */
struct member {
    char id[128];
    int32_t generation;
};
/* Joins with this subscription (version 0, one topic; NULL: bytes that are no subscription) and syncs. */
struct member join(const char *group, const char *protocol_type, const char *topic);
/* Joins and does not sync. */
struct member join_only(const char *group, const char *protocol_type, const char *topic);
int16_t leave(const char *group, const char *member);

/* Appends a batch to the partition of the group, behind the coordinator's back; a restart loads it. */
void append_raw(const char *group, const struct batch_builder_options *options, slice key, slice value);
/* The same with an offset commit record. offset < 0: a tombstone. producer -1: none. */
void append_commit(const char *group, int64_t producer_id, int32_t partition, int64_t offset);
void append_marker(const char *group, int64_t producer_id, bool is_commit);

/* The tests of each file. */
TCase *commit_tests(void);
TCase *transaction_tests(void);
TCase *administration_tests(void);
TCase *expiry_tests(void);
TCase *power_tests(void);
TCase *compaction_tests(void);

#endif
