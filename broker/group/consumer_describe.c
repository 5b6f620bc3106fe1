/* ConsumerGroupDescribe: what a consumer group is, for those who look. */
#include "broker/group/consumer_internal.h"
#include "broker/server.h"

enum { TYPE_CLASSIC = 0, TYPE_CONSUMER = 1 };

/* Topics that are gone have no name, and are not told (Kafka). */
static bool fill_set(const struct image *image, struct arena *arena, const struct partition_set *set,
                     struct consumer_group_describe_response_assignment *out)
{
    bool ok = true;
    consumer_group_describe_response_assignment_init(out);
    out->topic_partitions = arena_alloc_array(arena, (size_t)set->topic_count, sizeof *out->topic_partitions);
    if (!out->topic_partitions)
        return false;
    for (int32_t t = 0; t < set->topic_count && ok; t++) {
        const struct set_topic *from = &set->topics[t];
        const struct topic *topic = image_topic_by_id(image, from->id);
        if (!topic)
            continue;
        struct consumer_group_describe_response_topic_partition *to =
            &out->topic_partitions[out->topic_partitions_count++];
        to->topic_id = from->id;
        to->topic_name = arena_copy(arena, topic->name_slice, &ok);
        to->partitions = arena_alloc_array(arena, (size_t)from->count, sizeof *to->partitions);
        if (!to->partitions)
            return false;
        memcpy(to->partitions, from->partitions, (size_t)from->count * sizeof *to->partitions);
        to->partitions_count = from->count;
    }
    return ok;
}

static bool fill_member(const struct image *image, struct arena *arena, const struct consumer_member *member,
                        struct consumer_group_describe_response_member *out)
{
    const struct member_facts *facts = &member->facts;
    bool ok = true;
    consumer_group_describe_response_member_init(out);
    out->member_id = arena_copy(arena, facts->member_id, &ok);
    out->instance_id = arena_copy(arena, facts->instance_id, &ok);
    out->rack_id = arena_copy(arena, facts->rack_id, &ok);
    out->member_epoch = facts->epoch;
    out->client_id = arena_copy(arena, facts->client_id, &ok);
    out->client_host = arena_copy(arena, facts->client_host, &ok);
    out->subscribed_topic_names =
        arena_alloc_array(arena, (size_t)facts->names.count, sizeof *out->subscribed_topic_names);
    if (!out->subscribed_topic_names)
        return false;
    for (int32_t i = 0; i < facts->names.count; i++)
        out->subscribed_topic_names[i] = arena_copy(arena, facts->names.names[i], &ok);
    out->subscribed_topic_names_count = facts->names.count;
    out->subscribed_topic_regex = arena_copy(arena, facts->regex, &ok);
    out->member_type = facts->classic ? TYPE_CLASSIC : TYPE_CONSUMER;
    return ok && fill_set(image, arena, facts->assigned, &out->assignment) &&
           fill_set(image, arena, member->target, &out->target_assignment);
}

bool consumer_describe(const struct group *group, struct arena *arena,
                       struct consumer_group_describe_response_group *out)
{
    const struct consumer_group *consumer = group->consumer;
    const struct consumer_change no_change = { .next = NULL };
    const struct image *image = controller_image(shard_server(group_shard(group))->controller);
    out->group_state = slice_of_string(consumer_state_name(consumer));
    out->group_epoch = consumer->epoch;
    out->assignment_epoch = consumer->assignment_epoch;
    out->assignor_name = consumer__assignor_name(consumer, &no_change);
    out->members = arena_alloc_array(arena, (size_t)consumer->member_count, sizeof *out->members);
    if (!out->members)
        return false;
    for (const struct consumer_member *member = consumer->first; member; member = member->next)
        if (member->is_member && !fill_member(image, arena, member, &out->members[out->members_count++]))
            return false;
    return true;
}
