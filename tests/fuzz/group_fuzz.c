/* Any records in the partition of a group: a shard takes them in or passes over them, answers after that, and
 * lets go of all that it took. The input is a list of records; each begins with bytes that say how it is
 * damaged. */
#include <stdlib.h>

#include "broker/coordinator/shard_internal.h"
#include "broker/group/classic.h"
#include "broker/group/offsets.h"
#include "protocol/base/bytes.h"
#include "protocol/base/check.h"
#include "protocol/base/note.h"
#include "tests/support/sim.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct sim sim;
static struct shard shard; /* of no partition: nothing is appended */

static void begin(void)
{
    if (shard.server)
        return;
    note_set_level(NOTE_ERROR);
    sim_open(&sim, 1, "");
    shard.server = sim.server;
    shard.kind = &group_shard_kind;
    shard.phase = SHARD_ACTIVE;
}

static slice take(slice *rest, size_t size)
{
    slice taken = slice_of(rest->data, size < rest->size ? size : rest->size);
    *rest = slice_of(rest->data + taken.size, rest->size - taken.size);
    return taken;
}

/* flags, producer, sizes of key and value, then both. */
static struct shard_record next_record(slice *rest, int64_t offset)
{
    enum { HEAD_SIZE = 6, WITH_VALUE = 1, TRANSACTIONAL = 2, CONTROL = 4 };
    static const uint8_t none[HEAD_SIZE];
    slice head = take(rest, HEAD_SIZE);
    const uint8_t *bytes = head.size == HEAD_SIZE ? head.data : none;
    struct shard_record record = { .offset = offset,
                                   .timestamp = INT64_C(1700000000000),
                                   .producer_id = bytes[0] & TRANSACTIONAL ? bytes[1] % 4 : -1,
                                   .is_transactional = bytes[0] & TRANSACTIONAL,
                                   .control_type = bytes[0] & CONTROL ? bytes[1] % 3 : -1 };
    record.key = take(rest, load_be16(bytes + 2) % 512);
    record.value = take(rest, load_be16(bytes + 4) % 1024);
    if (!(bytes[0] & WITH_VALUE))
        record.value = SLICE_NULL;
    return record;
}

static void look_at_offset(void *context, slice topic, const struct stored_offset *stored)
{
    const struct group *group = context;
    check(group_offsets_find(group, topic, stored->partition) == stored);
    check(!slice_is_null(stored->metadata));
    (void)group_is_subscribed(group, topic);
}

static void look_at_group(void *context, struct group *group)
{
    struct arena *arena = context;
    struct describe_groups_response_group out;
    const struct group_caller caller = { SLICE_LITERAL("m"), SLICE_NULL, 1, 9 };
    check(groups_find(group->all, group->id) == group);
    check(strlen(group_state_name(group)) > 0 && strlen(group_type_name(group)) > 0);
    check(group->state_offset > 0);
    (void)group_check_delete(group);
    (void)group_check_offset_delete(group);
    (void)group_check_commit(group, &caller, false);
    (void)group_check_fetch(group, &caller);
    describe_groups_response_group_init(&out);
    if (group->type == GROUP_CLASSIC)
        check(classic_describe(group, arena, &out));
    group_offsets_visit(group, look_at_offset, group);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    begin();
    struct arena arena;
    slice rest = slice_of(data, size);
    void *state = group_shard_kind.create(&shard);
    check(state);
    arena_init(&arena, NULL);
    for (int64_t offset = 0; rest.size > 0; offset++) {
        struct shard_record record = next_record(&rest, offset);
        if (!group_shard_kind.replay(state, &record))
            break; /* more than memory has: a count that a record claims */
    }
    groups_visit(state, look_at_group, &arena);
    group_shard_kind.loaded(state);
    groups_visit(state, look_at_group, &arena);
    group_shard_kind.stop(state, 16);
    check(timer_next_ms(&shard.timers) == INT64_MAX);
    group_shard_kind.destroy(state);
    check(offset_tables_size() == 0);
    arena_destroy(&arena);
    return 0;
}
