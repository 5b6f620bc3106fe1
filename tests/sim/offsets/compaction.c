/* Offsets after __consumer_offsets was compacted: by the broker's own cleaner, with stops of all kinds behind
 * it. */
#include "tests/sim/offsets/rig.h"

#include <stdio.h>
#include <stdlib.h>

#include "storage/checkpoint.h"

enum { GROUPS = 6, PARTITIONS = 3, COMMITS = 600, METADATA_SIZE = 4000 };

static const char *const group_names[GROUPS] = { "a", "b", "c", "d", "e", "f" };
static int64_t wanted[GROUPS][PARTITIONS]; /* -1: none */
static struct random chance;

/* Metadata fills the segments, which hold a megabyte at least. */
static void commit_large(const char *group, int32_t partition, int64_t offset)
{
    static char metadata[METADATA_SIZE + 1];
    memset(metadata, 'm', METADATA_SIZE);
    const struct commit large = {
        .group = group, .partition = partition, .offset = offset, .metadata = metadata
    };
    ck_assert_int_eq(commit_as(&large), ERR_NONE);
}

static void commit_much(void)
{
    for (int i = 0; i < COMMITS; i++) {
        size_t group = (size_t)random_below(&chance, GROUPS);
        int32_t partition = (int32_t)random_below(&chance, PARTITIONS);
        if (random_below(&chance, 20) == 0 && wanted[group][partition] >= 0) {
            ck_assert_int_eq(delete_offset(group_names[group], "orders", partition), ERR_NONE);
            wanted[group][partition] = -1;
        } else {
            commit_large(group_names[group], partition, i);
            wanted[group][partition] = i;
        }
    }
    sim_settle(&sim);
}

static void expect_offsets(void)
{
    for (size_t group = 0; group < GROUPS; group++) {
        for (int32_t partition = 0; partition < PARTITIONS; partition++)
            ck_assert_int_eq(fetch(group_names[group], partition), wanted[group][partition]);
    }
}

/* Up to where the partition of all groups is clean. */
static int64_t clean_to(void)
{
    struct checkpoint_offset *entries;
    size_t size, count = 0;
    uint8_t *bytes;
    int64_t offset = -1;
    char path[256];
    snprintf(path, sizeof path, "%s/" CHECKPOINT_CLEANER, store_directory(sim.server->store, 0));
    if (file_read_all(file_double_system(sim.disk), path, 4096, &bytes, &size) != FILE_OK)
        return -1;
    ck_assert(checkpoint_parse_offsets(slice_of(bytes, size), &entries, &count));
    for (size_t i = 0; i < count; i++) {
        if (slice_equal_string(entries[i].topic, "__consumer_offsets"))
            offset = entries[i].offset;
    }
    free(entries);
    free(bytes);
    return offset;
}

START_TEST(groups_are_as_they_were)
{
    static const char settings[] = "offsets.topic.num.partitions=1\n"
                                   "offsets.topic.segment.bytes=1048576\n"
                                   "log.cleaner.min.cleanable.ratio=0.1\n"
                                   "log.cleaner.delete.retention.ms=1000\n";
    rig_open(settings);
    find_coordinator();
    memset(wanted, -1, sizeof wanted);
    random_seed(&chance, (uint64_t)_i + 1);
    int64_t before = 0;
    for (int round = 0; round < 6; round++) {
        commit_much();
        int64_t now = clean_to();
        ck_assert_msg(now > before, "clean to %lld, before %lld", (long long)now, (long long)before);
        before = now;
        expect_offsets();
        if (round % 3 == 0)
            rig_restart();
        else
            rig_power_cycle(round % 3 == 1 ? FILE_DOUBLE_LOSE_ALL : FILE_DOUBLE_REORDER);
        expect_offsets();
        sim_advance(&sim, 2000); /* tombstones may go */
    }
    rig_close();
}
END_TEST

TCase *compaction_tests(void)
{
    TCase *tests = tcase_create("compaction");
    tcase_add_loop_test(tests, groups_are_as_they_were, 0, 3);
    tcase_set_timeout(tests, 120);
    return tests;
}
