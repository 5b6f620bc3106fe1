/* ConsumerGroupHeartbeat: a member joins, is alive, changes what it wants, confirms what it has (KIP-848). */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/group/classic.h"
#include "broker/group/consumer_internal.h"
#include "broker/group/consumer_ops.h"
#include "broker/group/topic_regex.h"
#include "broker/server.h"
#include "protocol/base/check.h"

enum { MESSAGE_SIZE_MAX = 1024 };

static struct consumer_heartbeat *heartbeat_of(struct shard_op *op)
{
    return (struct consumer_heartbeat *)((char *)op - offsetof(struct consumer_heartbeat, op));
}

/* -- refusals ---------------------------------------------------------------------------------- */

/* With Kafka's sentence. */
__attribute__((format(printf, 3, 4))) static bool refuse(struct consumer_heartbeat *heartbeat,
                                                         int16_t error_code, const char *format, ...)
{
    char text[MESSAGE_SIZE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    heartbeat->on->error_code = error_code;
    heartbeat->error_message = arena_copy(heartbeat->on->arena, slice_of_string(text), NULL);
    return false;
}

static bool refuse_memory(struct consumer_heartbeat *heartbeat)
{
    heartbeat->on->error_code = ERR_COORDINATOR_NOT_AVAILABLE;
    return false;
}

/* What a client sent, in a message that goes back to it: no longer than needed to know it again. */
#define SHOWN(s)                                                                                             \
    (int)((s).size < 256 ? (s).size : 256), (const char *)((s).data ? (s).data : (const uint8_t *)"")

void consumer__refuse_group(struct consumer_heartbeat *heartbeat, bool is_there)
{
    slice id = heartbeat->in->group_id;
    if (is_there)
        refuse(heartbeat, ERR_GROUP_ID_NOT_FOUND, "Group %.*s is not a consumer group.", SHOWN(id));
    else
        refuse(heartbeat, ERR_GROUP_ID_NOT_FOUND, "Group %.*s not found.", SHOWN(id));
}

void consumer__refuse_member(struct consumer_heartbeat *heartbeat)
{
    refuse(heartbeat, ERR_UNKNOWN_MEMBER_ID, "Member %.*s is not a member of group %.*s.",
           SHOWN(heartbeat->member_id), SHOWN(heartbeat->in->group_id));
}

bool consumer__check_static(struct consumer_heartbeat *heartbeat, const struct consumer_member *member)
{
    slice instance_id = heartbeat->in->instance_id;
    if (!member)
        return refuse(heartbeat, ERR_UNKNOWN_MEMBER_ID, "Instance id %.*s is unknown.", SHOWN(instance_id));
    if (slice_equal(member->facts.member_id, heartbeat->member_id))
        return true;
    return refuse(heartbeat, ERR_FENCED_INSTANCE_ID,
                  "Static member %.*s with instance id %.*s was fenced by member %.*s.",
                  SHOWN(heartbeat->member_id), SHOWN(instance_id), SHOWN(member->facts.member_id));
}

/* -- a heartbeat under way --------------------------------------------------------------------- */

/* What decide finds out, and what it makes of it. */
struct beat {
    struct consumer_heartbeat *heartbeat;
    const struct consumer_group_heartbeat_request *in;
    const struct image *image;
    const struct consumer_group *consumer; /* as it is; one that is made by this op, as it will be */
    struct group draft;                    /* the group of the latter */
    struct member_facts before;            /* the member, or who has its place so far */
    struct member_facts next;
    struct consumer_change change;
    const struct partition_set *owned; /* NULL: it does not say */
    bool has_new_names;
    bool has_new_regex;
    bool must_bump;
    int32_t epoch;
    int32_t assignment_epoch;
    struct consumer_topics topics;
    bool has_topics;
    const struct partition_set *target;
};

static struct shard_op *op_of(struct beat *beat)
{
    return beat->heartbeat->on;
}

static slice group_id_of(const struct beat *beat)
{
    return beat->in->group_id;
}

/* -- the group --------------------------------------------------------------------------------- */

static bool open_draft(struct beat *beat, struct groups *groups)
{
    beat->draft =
        (struct group){ .all = groups, .id = group_id_of(beat), .type = GROUP_CONSUMER, .state_offset = -1 };
    beat->draft.consumer = consumer_create(&beat->draft);
    beat->consumer = beat->draft.consumer;
    return beat->consumer || refuse_memory(beat->heartbeat);
}

/* A classic group that has members may become a consumer group, too. */
static bool find_classic(struct beat *beat, struct group *group)
{
    slice id = group_id_of(beat);
    const char *why = NULL;
    if (beat->in->member_epoch != EPOCH_JOIN)
        return refuse(beat->heartbeat, ERR_GROUP_ID_NOT_FOUND, "Group %.*s is not a consumer group.",
                      SHOWN(id));
    if (!open_draft(beat, group->all))
        return false;
    if (classic_is_empty(group->classic)) {
        classic_add_tombstones(op_of(beat), group);
        return true;
    }
    int16_t error_code = consumer__upgrade(op_of(beat), group, beat->draft.consumer, &why);
    if (error_code == ERR_NONE) {
        beat->heartbeat->has_upgraded = true;
        return consumer__know_owners(beat->draft.consumer) || refuse_memory(beat->heartbeat);
    }
    if (!why)
        return refuse_memory(beat->heartbeat);
    return refuse(beat->heartbeat, error_code,
                  "Cannot upgrade classic group %.*s to consumer group because %s.", SHOWN(id), why);
}

static bool find_group(struct beat *beat, struct groups *groups)
{
    slice id = group_id_of(beat);
    struct group *group = groups_find(groups, id);
    if (group && group->type == GROUP_CONSUMER) {
        beat->consumer = group->consumer;
        if (!consumer__know_owners(group->consumer))
            return refuse_memory(beat->heartbeat);
        op_of(beat)->answer_offset = group->state_offset;
        return true;
    }
    if (group)
        return find_classic(beat, group);
    if (beat->in->member_epoch != EPOCH_JOIN)
        return refuse(beat->heartbeat, ERR_GROUP_ID_NOT_FOUND, "Consumer group %.*s not found.", SHOWN(id));
    if (groups_are_full())
        return refuse(beat->heartbeat, ERR_GROUP_MAX_SIZE_REACHED,
                      "The broker has reached its maximum of %d groups.", GROUPS_MAX);
    return open_draft(beat, groups);
}

static bool check_room(struct beat *beat)
{
    const struct consumer_group *consumer = beat->consumer;
    int32_t max = group_config(consumer->group)->group_consumer_max_size;
    max = max < GROUP_MEMBERS_MAX ? max : GROUP_MEMBERS_MAX;
    if (consumer->member_count < max || consumer__find(consumer, beat->heartbeat->member_id))
        return true;
    return refuse(beat->heartbeat, ERR_GROUP_MAX_SIZE_REACHED,
                  "The consumer group has reached its maximum capacity of %d members.", max);
}

/* -- the member -------------------------------------------------------------------------------- */

static bool read_owned(struct beat *beat)
{
    const struct consumer_group_heartbeat_request *in = beat->in;
    beat->owned = NULL;
    if (in->topic_partitions_count < 0)
        return true;
    struct raw_topic *raw =
        arena_alloc_array(op_of(beat)->arena, (size_t)in->topic_partitions_count, sizeof *raw);
    if (!raw)
        return refuse_memory(beat->heartbeat);
    for (int32_t t = 0; t < in->topic_partitions_count; t++)
        raw[t] = (struct raw_topic){ in->topic_partitions[t].topic_id, in->topic_partitions[t].partitions,
                                     in->topic_partitions[t].partitions_count };
    beat->owned = partition_set_make(op_of(beat)->arena, raw, in->topic_partitions_count);
    return beat->owned || refuse_memory(beat->heartbeat);
}

/* The epoch before is accepted, as the answer with the new one may be lost; what it has must be its own. */
static bool check_epoch(struct beat *beat, const struct member_facts *facts)
{
    int32_t epoch = beat->in->member_epoch;
    if (beat->heartbeat->classic || epoch == EPOCH_JOIN || epoch == facts->epoch)
        return true;
    if (epoch < facts->epoch && epoch == facts->previous_epoch && beat->owned &&
        partition_set_is_subset(beat->owned, facts->assigned))
        return true;
    return refuse(
        beat->heartbeat, ERR_FENCED_MEMBER_EPOCH,
        "The consumer group member has a %s member epoch (%d) than the one known by the group coordinator "
        "(%d). The member must abandon all its partitions and rejoin.",
        epoch > facts->epoch ? "greater" : "smaller", epoch, facts->epoch);
}

static void begin_new(struct beat *beat)
{
    beat->before = (struct member_facts){ .member_id = beat->heartbeat->member_id,
                                          .client_id = SLICE_LITERAL(""),
                                          .client_host = SLICE_LITERAL(""),
                                          .regex = SLICE_LITERAL(""),
                                          .rebalance_timeout_ms = -1,
                                          .previous_epoch = EPOCH_LEAVE,
                                          .assigned = &partition_set_empty,
                                          .revoking = &partition_set_empty };
}

static bool find_dynamic(struct beat *beat)
{
    slice member_id = beat->heartbeat->member_id;
    const struct consumer_member *member = consumer__find(beat->consumer, member_id);
    if (!member && beat->in->member_epoch != EPOCH_JOIN) {
        consumer__refuse_member(beat->heartbeat);
        return false;
    }
    if (!member) {
        begin_new(beat);
        return true;
    }
    beat->before = member->facts;
    beat->change.gone[0] = member;
    return check_epoch(beat, &member->facts);
}

/* The instance's new member gets what the one before had, and its place. */
static void replace(struct beat *beat, const struct consumer_member *old)
{
    struct shard_op *op = op_of(beat);
    const struct consumer_member *same = consumer__find(beat->consumer, beat->heartbeat->member_id);
    beat->before = old->facts;
    beat->before.member_id = beat->heartbeat->member_id;
    beat->before.epoch = beat->before.previous_epoch = 0;
    beat->change.gone[0] = old;
    beat->change.gone[1] = same != old ? same : NULL;
    consumer__add_member_tombstones(op, group_id_of(beat), old->facts.member_id);
    consumer__add_profile(op, group_id_of(beat), &beat->before);
    consumer__add_target(op, group_id_of(beat), beat->before.member_id, old->target);
    consumer__add_current(op, group_id_of(beat), &beat->before);
}

static bool find_static(struct beat *beat)
{
    slice instance_id = beat->in->instance_id;
    slice member_id = beat->heartbeat->member_id;
    const struct consumer_member *old = consumer__find_static(beat->consumer, instance_id);
    if (beat->in->member_epoch == EPOCH_JOIN && !beat->heartbeat->knows_id) {
        if (!old)
            return find_dynamic(beat);
        if (!beat->heartbeat->classic && !old->facts.classic && old->facts.epoch != EPOCH_LEAVE_STATIC)
            return refuse(
                beat->heartbeat, ERR_UNRELEASED_INSTANCE_ID,
                "Static member %.*s with instance id %.*s cannot join the group because the instance id is "
                "owned by %.*s member.",
                SHOWN(member_id), SHOWN(instance_id), SHOWN(old->facts.member_id));
        replace(beat, old);
        return true;
    }
    if (!consumer__check_static(beat->heartbeat, old))
        return false;
    beat->before = old->facts;
    beat->change.gone[0] = old;
    return check_epoch(beat, &old->facts);
}

/* -- what it wants ----------------------------------------------------------------------------- */

static bool read_names(struct beat *beat)
{
    const struct consumer_group_heartbeat_request *in = beat->in;
    if (in->subscribed_topic_names_count < 0)
        return true;
    size_t count = (size_t)in->subscribed_topic_names_count;
    slice *names = arena_alloc_array(op_of(beat)->arena, count, sizeof *names);
    if (!names)
        return refuse_memory(beat->heartbeat);
    if (count > 0)
        memcpy(names, in->subscribed_topic_names, count * sizeof *names);
    beat->next.names = topic_names_of(names, (int32_t)count);
    return true;
}

static bool is_same_text(slice a, slice b)
{
    return slice_is_null(a) == slice_is_null(b) && slice_equal(a, b);
}

static bool is_same_profile(const struct member_facts *a, const struct member_facts *b)
{
    return is_same_text(a->instance_id, b->instance_id) && is_same_text(a->rack_id, b->rack_id) &&
           is_same_text(a->client_id, b->client_id) && is_same_text(a->client_host, b->client_host) &&
           is_same_text(a->assignor, b->assignor) && is_same_text(a->regex, b->regex) &&
           a->rebalance_timeout_ms == b->rebalance_timeout_ms && topic_names_equal(&a->names, &b->names) &&
           consumer__classic_equal(a->classic, b->classic);
}

/* Null, and -1, is what was. */
static bool update_profile(struct beat *beat)
{
    const struct consumer_group_heartbeat_request *in = beat->in;
    struct member_facts *next = &beat->next;
    *next = beat->before;
    next->member_id = beat->heartbeat->member_id;
    if (!slice_is_null(in->instance_id))
        next->instance_id = in->instance_id;
    if (!slice_is_null(in->rack_id))
        next->rack_id = in->rack_id;
    if (in->rebalance_timeout_ms != -1)
        next->rebalance_timeout_ms = in->rebalance_timeout_ms;
    if (!slice_is_null(in->server_assignor))
        next->assignor = in->server_assignor;
    if (!slice_is_null(in->subscribed_topic_regex))
        next->regex = in->subscribed_topic_regex;
    next->client_id = beat->heartbeat->client_id;
    next->client_host = beat->heartbeat->client_host;
    next->classic = beat->heartbeat->classic;
    if (next->classic)
        next->regex = SLICE_LITERAL("");
    if (!read_names(beat))
        return false;
    beat->has_new_names = !topic_names_equal(&beat->before.names, &next->names);
    beat->has_new_regex = !slice_equal(beat->before.regex, next->regex);
    if (!is_same_profile(&beat->before, next) || !beat->change.gone[0])
        consumer__add_profile(op_of(beat), group_id_of(beat), next);
    beat->change.next = next;
    return true;
}

static bool check_size(struct beat *beat)
{
    size_t size = consumer__size_of(&beat->next);
    size_t old_size = beat->change.gone[0] ? beat->change.gone[0]->profile_size : 0;
    if (size > GROUP_MEMBER_SIZE_MAX)
        return refuse(beat->heartbeat, ERR_INVALID_REQUEST, "A member's subscription has at most %d bytes.",
                      GROUP_MEMBER_SIZE_MAX);
    if (size > old_size && beat->consumer->size + size - old_size > GROUP_SIZE_MAX)
        return refuse(beat->heartbeat, ERR_GROUP_MAX_SIZE_REACHED,
                      "The subscriptions of the group have reached their maximum of %d bytes.",
                      GROUP_SIZE_MAX);
    if (size > old_size && !consumer__may_hold(size - old_size))
        return refuse(beat->heartbeat, ERR_GROUP_MAX_SIZE_REACHED,
                      "The subscriptions of all groups have reached their maximum of %d bytes.",
                      CONSUMER_SIZE_MAX);
    return true;
}

static size_t subscribers_of(const struct beat *beat, slice pattern)
{
    const struct consumer_regex *regex = consumer__find_regex(beat->consumer, pattern);
    return regex ? regex->member_count : 0;
}

/* A pattern that nobody had yet is checked; what it matches shows later. */
static bool update_regex(struct beat *beat)
{
    slice old = beat->before.regex, regex = beat->next.regex;
    char why[TOPIC_REGEX_ERROR_SIZE];
    if (!beat->has_new_regex)
        return true;
    if (old.size > 0 && subscribers_of(beat, old) <= 1)
        consumer__add_regex_tombstone(op_of(beat), group_id_of(beat), old);
    if (regex.size == 0 || beat->heartbeat->classic) {
        beat->must_bump = true;
        return true;
    }
    const struct consumer_regex *known = consumer__find_regex(beat->consumer, regex);
    if (known && known->member_count > 0) {
        beat->must_bump = beat->must_bump || known->is_resolved;
        return true;
    }
    if (beat->consumer->regex_count >= GROUP_PATTERNS_MAX)
        return refuse(beat->heartbeat, ERR_GROUP_MAX_SIZE_REACHED,
                      "The group has reached its maximum of %d different regular expressions.",
                      GROUP_PATTERNS_MAX);
    if (topic_regex_check(regex, why))
        return true;
    return refuse(beat->heartbeat, ERR_INVALID_REGULAR_EXPRESSION,
                  "SubscribedTopicRegex `%.*s` is not a valid regular expression: %s.", SHOWN(regex), why);
}

/* False: the pattern keeps what it has. What finds no room now stays in the resolution for the next heartbeat; what
 * never does is not matched at all, or no heartbeat of the group would get through. */
static bool has_room(struct beat *beat, const struct matched_regex *matched)
{
    size_t size = consumer__matched_size(matched);
    if (size <= shard_op_room(op_of(beat)))
        return true;
    if (size <= shard_op_room_max(op_of(beat)))
        beat->heartbeat->has_taken = false;
    return false;
}

/* What a worker found the patterns to match becomes the group's. */
static bool take_resolution(struct beat *beat)
{
    struct consumer_resolution *resolution;
    if (!consumer__take_resolution(op_of(beat), beat->consumer, &resolution))
        return refuse_memory(beat->heartbeat);
    if (!resolution)
        return true;
    beat->heartbeat->has_taken = true;
    beat->change.resolved = resolution;
    for (int32_t i = 0; i < resolution->count; i++) {
        const struct matched_regex *matched = &resolution->regexes[i];
        const struct consumer_regex *old = consumer__find_regex(beat->consumer, matched->pattern);
        size_t gone = beat->has_new_regex && slice_equal(beat->before.regex, matched->pattern);
        if (!old || old->member_count <= gone)
            continue; /* nobody asks any more */
        bool is_same = topic_names_equal(&old->topics, &matched->topics);
        if (is_same && old->is_resolved)
            continue;
        if (!has_room(beat, matched)) {
            resolution->regexes[i--] = resolution->regexes[--resolution->count];
            continue;
        }
        beat->must_bump = beat->must_bump || !is_same;
        consumer__add_regex(op_of(beat), group_id_of(beat), matched->pattern, &matched->topics,
                            resolution->version, resolution->timestamp);
    }
    return true;
}

/* -- epochs ------------------------------------------------------------------------------------ */

static bool find_topics(struct beat *beat)
{
    if (beat->has_topics)
        return true;
    beat->has_topics = true;
    return consumer__topics(beat->consumer, &beat->change, beat->image, op_of(beat)->arena, &beat->topics) ||
           refuse_memory(beat->heartbeat);
}

/* A new subscription, or topics that are not what they were, begin a new epoch. */
static bool update_epoch(struct beat *beat)
{
    const struct consumer_group *consumer = beat->consumer;
    beat->epoch = consumer->epoch;
    beat->must_bump = beat->must_bump || consumer->epoch == 0 || beat->has_new_names;
    if (!beat->must_bump && consumer->seen_image == beat->image->end_offset)
        return true;
    if (!find_topics(beat))
        return false;
    beat->heartbeat->image = beat->image->end_offset;
    if (beat->must_bump || beat->topics.hash != consumer->metadata_hash) {
        beat->epoch = consumer__next_epoch(consumer->epoch);
        consumer__add_epoch(op_of(beat), group_id_of(beat), beat->epoch, beat->topics.hash);
    }
    if (consumer->has_partition_metadata)
        consumer__add_partition_metadata_tombstone(op_of(beat), group_id_of(beat));
    return true;
}

static bool update_target(struct beat *beat)
{
    beat->assignment_epoch = beat->consumer->assignment_epoch;
    beat->target = beat->change.gone[0] ? beat->change.gone[0]->target : &partition_set_empty;
    if (beat->epoch == beat->consumer->assignment_epoch)
        return true;
    beat->assignment_epoch = beat->epoch;
    return find_topics(beat) && (consumer__assign(op_of(beat), beat->consumer, &beat->change, &beat->topics,
                                                  beat->epoch, &beat->target) ||
                                 refuse_memory(beat->heartbeat));
}

static bool is_same_current(const struct member_facts *a, const struct member_facts *b)
{
    return a->epoch == b->epoch && a->previous_epoch == b->previous_epoch && a->state == b->state &&
           partition_set_equal(a->assigned, b->assigned) && partition_set_equal(a->revoking, b->revoking);
}

static bool reconcile(struct beat *beat)
{
    const struct member_facts before = beat->next;
    const struct reconciliation reconciliation = { .arena = op_of(beat)->arena,
                                                   .image = beat->image,
                                                   .consumer = beat->consumer,
                                                   .change = &beat->change,
                                                   .target_epoch = beat->assignment_epoch,
                                                   .target = beat->target,
                                                   .owned = beat->owned,
                                                   .has_new_subscription =
                                                       beat->has_new_names || beat->has_new_regex };
    if (!reconciliation.has_new_subscription && consumer__is_reconciled(&beat->next, beat->assignment_epoch))
        return true;
    int16_t error_code = consumer__reconcile(&reconciliation, &beat->next);
    if (error_code == ERR_FENCED_MEMBER_EPOCH)
        return refuse(
            beat->heartbeat, error_code,
            "The consumer group member is in a unknown state. The member must abandon all its partitions and "
            "rejoin.");
    if (error_code != ERR_NONE)
        return refuse_memory(beat->heartbeat);
    if (is_same_current(&before, &beat->next))
        return true;
    beat->heartbeat->has_moved = true;
    consumer__add_current(op_of(beat), group_id_of(beat), &beat->next);
    return true;
}

/* -- the steps --------------------------------------------------------------------------------- */

static bool is_full(const struct consumer_group_heartbeat_request *in)
{
    bool has_subscription =
        in->subscribed_topic_names_count >= 0 || !slice_is_null(in->subscribed_topic_regex);
    return in->rebalance_timeout_ms != -1 && has_subscription && in->topic_partitions_count >= 0;
}

static void decide_beat(struct beat *beat, struct groups *groups)
{
    const struct consumer_group_heartbeat_request *in = beat->in;
    if (!read_owned(beat) || !find_group(beat, groups) || !check_room(beat))
        return;
    if (!(slice_is_null(in->instance_id) ? find_dynamic(beat) : find_static(beat)))
        return;
    if (!update_profile(beat) || !check_size(beat) || !update_regex(beat) || !take_resolution(beat) ||
        !update_epoch(beat) || !update_target(beat) || !reconcile(beat))
        return;
    beat->heartbeat->has_assignment = in->member_epoch == EPOCH_JOIN || is_full(in) ||
                                      !partition_set_equal(beat->before.assigned, beat->next.assigned);
    beat->heartbeat->has_to_act = beat->heartbeat->has_assignment &&
                                  !(beat->owned && partition_set_equal(beat->owned, beat->next.assigned));
}

void consumer__decide_beat(struct consumer_heartbeat *heartbeat, struct groups *groups)
{
    struct beat beat = { .heartbeat = heartbeat,
                         .in = heartbeat->in,
                         .image = controller_image(shard_server(heartbeat->on->shard)->controller) };
    heartbeat->error_message = SLICE_NULL;
    heartbeat->has_assignment = heartbeat->has_to_act = false;
    heartbeat->has_taken = heartbeat->has_moved = heartbeat->has_upgraded = false;
    heartbeat->image = -1;
    decide_beat(&beat, groups);
    if (beat.draft.consumer)
        consumer_destroy(beat.draft.consumer);
}

void consumer_heartbeat_decide(struct shard_op *op, void *state)
{
    struct consumer_heartbeat *heartbeat = heartbeat_of(op);
    heartbeat->on = op;
    if (heartbeat->in->member_epoch < 0)
        consumer__decide_leave(heartbeat, state);
    else
        consumer__decide_beat(heartbeat, state);
}

static bool fill_assignment(struct arena *arena, const struct partition_set *set,
                            struct consumer_group_heartbeat_response *out)
{
    struct consumer_group_heartbeat_response_assignment *assignment = arena_alloc(arena, sizeof *assignment);
    if (!assignment)
        return false;
    consumer_group_heartbeat_response_assignment_init(assignment);
    assignment->topic_partitions =
        arena_alloc_array(arena, (size_t)set->topic_count, sizeof *assignment->topic_partitions);
    if (!assignment->topic_partitions)
        return false;
    for (int32_t t = 0; t < set->topic_count; t++) {
        const struct set_topic *from = &set->topics[t];
        struct consumer_group_heartbeat_response_topic_partition *to = &assignment->topic_partitions[t];
        to->topic_id = from->id;
        to->partitions = arena_alloc_array(arena, (size_t)from->count, sizeof *to->partitions);
        if (!to->partitions)
            return false;
        memcpy(to->partitions, from->partitions, (size_t)from->count * sizeof *to->partitions);
        to->partitions_count = from->count;
    }
    assignment->topic_partitions_count = set->topic_count;
    out->assignment = assignment;
    return true;
}

static void begin_sessions(struct consumer_group *consumer)
{
    for (struct consumer_member *member = consumer->first; member; member = member->next)
        consumer__begin_session(member);
}

struct consumer_member *consumer__apply_beat(struct consumer_heartbeat *heartbeat, struct group *group)
{
    struct consumer_group *consumer = group->consumer;
    struct consumer_member *member = consumer__find(consumer, heartbeat->member_id);
    check(member);
    if (heartbeat->image >= 0)
        consumer->seen_image = heartbeat->image;
    if (heartbeat->has_taken)
        consumer__end_resolution(consumer, shard_op_room_max(heartbeat->on));
    consumer__refresh_regexes(consumer);
    if (heartbeat->has_upgraded)
        begin_sessions(consumer);
    consumer__begin_session(member);
    if (heartbeat->has_moved)
        consumer__set_rebalance_timer(member);
    return member;
}

static void apply_beat(struct consumer_heartbeat *heartbeat, struct group *group)
{
    const struct consumer_member *member = consumer__apply_beat(heartbeat, group);
    struct consumer_group_heartbeat_response *out = heartbeat->out;
    out->member_id = heartbeat->member_id;
    out->member_epoch = member->facts.epoch;
    out->heartbeat_interval_ms = consumer__heartbeat_interval_ms(group->consumer, heartbeat->has_to_act);
    if (heartbeat->has_assignment && !fill_assignment(heartbeat->op.arena, member->facts.assigned, out))
        heartbeat->op.error_code = ERR_COORDINATOR_NOT_AVAILABLE;
}

void consumer_heartbeat_apply(struct shard_op *op, void *state)
{
    struct consumer_heartbeat *heartbeat = heartbeat_of(op);
    struct group *group = groups_find(state, heartbeat->in->group_id);
    if (heartbeat->in->member_epoch >= 0) {
        check(group && group->type == GROUP_CONSUMER);
        apply_beat(heartbeat, group);
        return;
    }
    consumer__apply_departure(group);
    heartbeat->out->member_id = heartbeat->member_id;
    heartbeat->out->member_epoch = heartbeat->in->member_epoch;
}
