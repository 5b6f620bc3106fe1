/* What the records say of a group's offsets, and what transactions have pending there. */
#include "broker/group/offsets.h"

#include <stdlib.h>

#include "codec/apis.h"

/* Committed inside a transaction that has not ended. */
struct open_transaction {
    struct open_transaction *next;
    int64_t producer_id;
    struct offset_table table;
};

struct group_offsets {
    struct offset_table stored;
    struct open_transaction *open; /* few: one per producer that commits for this group right now */
};

/* -- life -------------------------------------------------------------------------------------- */

static void end_transaction(struct open_transaction **link)
{
    struct open_transaction *open = *link;
    *link = open->next;
    offset_table_clear(&open->table);
    free(open);
}

void group_offsets_destroy(struct group_offsets *offsets)
{
    while (offsets->open)
        end_transaction(&offsets->open);
    offset_table_clear(&offsets->stored);
    free(offsets);
}

/* -- questions --------------------------------------------------------------------------------- */

const struct stored_offset *group_offsets_find(const struct group *group, slice topic, int32_t partition)
{
    return group->offsets ? offset_table_find(&group->offsets->stored, topic, partition) : NULL;
}

bool group_offsets_is_pending(const struct group *group, slice topic, int32_t partition)
{
    const struct open_transaction *open = group->offsets ? group->offsets->open : NULL;
    while (open && !offset_table_find(&open->table, topic, partition))
        open = open->next;
    return open != NULL;
}

bool group_offsets_has_pending(const struct group *group)
{
    return group->offsets && group->offsets->open;
}

size_t group_offsets_count(const struct group *group)
{
    if (!group->offsets)
        return 0;
    size_t count = group->offsets->stored.count;
    for (const struct open_transaction *open = group->offsets->open; open; open = open->next)
        count += open->table.count;
    return count;
}

size_t group_offsets_size(const struct group *group)
{
    if (!group->offsets)
        return 0;
    size_t size = group->offsets->stored.size;
    for (const struct open_transaction *open = group->offsets->open; open; open = open->next)
        size += open->table.size;
    return size;
}

int16_t group_offsets_check_size(const struct group *group, size_t more)
{
    size_t has = group ? group_offsets_size(group) : 0;
    bool is_too_much = more > 0 && (more > GROUP_OFFSETS_SIZE_MAX || has > GROUP_OFFSETS_SIZE_MAX - more ||
                                    offset_tables_size() > OFFSETS_SIZE_MAX - more);
    return is_too_much ? ERR_INVALID_COMMIT_OFFSET_SIZE : ERR_NONE;
}

void group_offsets_visit(const struct group *group, offset_visit visit, void *context)
{
    if (group->offsets)
        offset_table_visit(&group->offsets->stored, visit, context);
}

/* -- replay ------------------------------------------------------------------------------------ */

static struct open_transaction **find_open(struct group_offsets *offsets, int64_t producer_id)
{
    struct open_transaction **link = &offsets->open;
    while (*link && (*link)->producer_id != producer_id)
        link = &(*link)->next;
    return link;
}

static bool put_pending(struct group_offsets *offsets, int64_t producer_id, slice topic,
                        const struct stored_offset *stored)
{
    struct open_transaction **link = find_open(offsets, producer_id);
    bool is_new = !*link;
    if (is_new) {
        *link = calloc(1, sizeof **link);
        if (!*link)
            return false;
        (*link)->producer_id = producer_id;
    }
    bool ok = offset_table_put(&(*link)->table, topic, stored);
    if (!ok && is_new)
        end_transaction(link);
    return ok;
}

static void forget(struct group_offsets *offsets, slice topic, int32_t partition)
{
    offset_table_remove(&offsets->stored, topic, partition);
    for (struct open_transaction **link = &offsets->open; *link;) {
        offset_table_remove(&(*link)->table, topic, partition);
        if ((*link)->table.count == 0)
            end_transaction(link);
        else
            link = &(*link)->next;
    }
}

bool group_offsets_replay(struct group *group, const struct offset_commit_key *key,
                          const struct offset_commit_value *value, const struct shard_record *record)
{
    if (!value) {
        if (group->offsets)
            forget(group->offsets, key->topic, key->partition);
        return true;
    }
    if (!group->offsets && !(group->offsets = calloc(1, sizeof *group->offsets)))
        return false;
    const struct stored_offset stored = { .offset = value->offset,
                                          .record_offset = record->offset,
                                          .commit_ms = value->commit_timestamp,
                                          .expire_ms = value->expire_timestamp,
                                          .metadata = value->metadata,
                                          .topic_id = value->topic_id,
                                          .partition = key->partition,
                                          .leader_epoch = value->leader_epoch };
    if (record->is_transactional && record->producer_id >= 0)
        return put_pending(group->offsets, record->producer_id, key->topic, &stored);
    return offset_table_put(&group->offsets->stored, key->topic, &stored);
}

struct materialisation {
    struct offset_table *stored;
    bool ok;
};

/* Of a plain commit and one of a transaction the later record counts, wherever the marker is: compaction
 * keeps records and not their order to markers (Kafka compares the same offsets). */
static void materialise(void *context, slice topic, const struct stored_offset *pending)
{
    struct materialisation *into = context;
    const struct stored_offset *old = offset_table_find(into->stored, topic, pending->partition);
    if (!old || pending->record_offset > old->record_offset)
        into->ok = offset_table_put(into->stored, topic, pending) && into->ok;
}

bool group_offsets_marker(struct group *group, int64_t producer_id, bool is_commit, bool *is_touched)
{
    struct group_offsets *offsets = group->offsets;
    *is_touched = false;
    if (!offsets)
        return true;
    struct open_transaction **link = find_open(offsets, producer_id);
    if (!*link)
        return true;
    struct materialisation into = { &offsets->stored, true };
    *is_touched = true;
    if (is_commit)
        offset_table_visit(&(*link)->table, materialise, &into);
    end_transaction(link);
    return into.ok;
}

/* -- tombstones -------------------------------------------------------------------------------- */

void group_offsets_add_tombstone(struct shard_op *op, const struct group *group, slice topic,
                                 int32_t partition)
{
    const struct offset_commit_key key = { group->id, topic, partition };
    shard_op_add(op, "group", GROUP_RECORD_OFFSET_COMMIT, &key, 0, NULL);
}

struct tombstones {
    struct shard_op *op;
    const struct group *group;
    bool is_stored; /* the walk is through what is stored, not through a transaction */
    bool is_all;
};

static void add_tombstone(void *context, slice topic, const struct stored_offset *stored)
{
    struct tombstones *tombstones = context;
    if (!tombstones->is_stored && group_offsets_find(tombstones->group, topic, stored->partition))
        return; /* it has one already */
    if (shard_op_is_full(tombstones->op))
        tombstones->is_all = false;
    else
        group_offsets_add_tombstone(tombstones->op, tombstones->group, topic, stored->partition);
}

bool group_offsets_add_tombstones(struct shard_op *op, const struct group *group)
{
    struct tombstones tombstones = { op, group, true, true };
    if (!group->offsets)
        return true;
    offset_table_visit(&group->offsets->stored, add_tombstone, &tombstones);
    tombstones.is_stored = false;
    for (const struct open_transaction *open = group->offsets->open; open; open = open->next)
        offset_table_visit(&open->table, add_tombstone, &tombstones);
    return tombstones.is_all;
}
