/* A group as its coordinator sees it, and what it wrote into __consumer_offsets. */
#ifndef RUNNEL_TESTS_SUPPORT_GROUP_VIEW_H
#define RUNNEL_TESTS_SUPPORT_GROUP_VIEW_H

#include "protocol/base/slice.h"

#include <stdbool.h>
#include <stdint.h>

struct group_view {
    char state[32];
    int members;
};

/* How many of the members own each of the partitions 0..partitions-1, whatever the topic.
 * address     HOST:PORT.
 * is_classic  DescribeGroups, else ConsumerGroupDescribe.
 * Aborts the test where nobody answers. */
struct group_view group_view_ask(const char *address, const char *group, bool is_classic, int owners[],
                                 int partitions);

/* The committed offsets of the partitions 0..partitions-1 of the topic; -1: none. */
void group_view_committed(const char *address, const char *group, const char *topic, int64_t committed[],
                          int partitions);

/* Reads a record with a committed offset; false for every other kind, and for tombstones. */
bool group_view_commit(slice key, slice value, slice *group, int32_t *partition, int64_t *offset);

#endif
