/* What compaction leaves of __consumer_offsets is enough: of a log in which groups of all kinds came, changed
 * and went, any beginning is compacted by hand - the last record per key, tombstones kept or dropped - and
 * what a broker loads from that is what another one loads from the whole. */
#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "codec/create_topics.h"
#include "codec/delete_groups.h"
#include "codec/describe_groups.h"
#include "codec/offset_commit.h"
#include "codec/offset_delete.h"
#include "codec/offset_fetch.h"
#include "protocol/base/bytes.h"
#include "protocol/errors.h"
#include "protocol/record_batch.h"
#include "tests/support/consumer_player.h"
#include "tests/support/group_member.h"

enum { SESSION_MS = 300000, PARTITIONS = 4, RECORDS_MAX = 1000, TEXT_MAX = 64 << 10, LINES_MAX = 200 };

static struct sim sim;
static struct sim_client admin;
static struct group_member classics[8];
static int classic_count;
static struct consumer_player players[12];
static int player_count;

static const char *const group_names[] = { "simple", "deleted",  "gone",     "classic", "left",
                                           "fresh",  "patterns", "migrated", "back",    "emptied" };
enum { GROUPS = sizeof group_names / sizeof group_names[0] };

/* -- requests ----------------------------------------------------------------------------------------------
 */

static void make_topic(void)
{
    struct create_topics_request request;
    struct create_topics_response response;
    struct create_topics_request_topic topic;
    create_topics_request_init(&request);
    create_topics_request_topic_init(&topic);
    topic.name = SLICE_LITERAL("orders");
    topic.num_partitions = PARTITIONS;
    topic.replication_factor = 1;
    request.topics = &topic;
    request.topics_count = 1;
    request.timeout_ms = 1000;
    ck_assert(sim_call(&admin, 19, 7, &request, &response));
    ck_assert_int_eq(response.topics[0].error_code, ERR_NONE);
}

static void commit(const char *group, int32_t partition, int64_t offset)
{
    struct offset_commit_request request;
    struct offset_commit_request_topic topic;
    struct offset_commit_request_partition place;
    struct offset_commit_response response;
    offset_commit_request_init(&request);
    offset_commit_request_topic_init(&topic);
    offset_commit_request_partition_init(&place);
    request.group_id = slice_of_string(group);
    request.topics = &topic;
    request.topics_count = 1;
    topic.name = SLICE_LITERAL("orders");
    topic.partitions = &place;
    topic.partitions_count = 1;
    place.partition = partition;
    place.committed_offset = offset;
    place.committed_metadata = slice_of_string(group);
    ck_assert(sim_call(&admin, 8, 9, &request, &response));
    ck_assert_int_eq(response.topics[0].partitions[0].error_code, ERR_NONE);
}

static void delete_offset(const char *group, int32_t partition)
{
    struct offset_delete_request request;
    struct offset_delete_request_topic topic;
    struct offset_delete_request_partition place;
    struct offset_delete_response response;
    offset_delete_request_init(&request);
    offset_delete_request_topic_init(&topic);
    offset_delete_request_partition_init(&place);
    request.group_id = slice_of_string(group);
    request.topics = &topic;
    request.topics_count = 1;
    topic.name = SLICE_LITERAL("orders");
    topic.partitions = &place;
    topic.partitions_count = 1;
    place.partition = partition;
    ck_assert(sim_call(&admin, 47, 0, &request, &response));
    ck_assert_int_eq(response.error_code, ERR_NONE);
}

static void delete_group(const char *group)
{
    struct delete_groups_request request;
    struct delete_groups_response response;
    slice name = slice_of_string(group);
    delete_groups_request_init(&request);
    request.groups_names = &name;
    request.groups_names_count = 1;
    ck_assert(sim_call(&admin, 42, 2, &request, &response));
    ck_assert_int_eq(response.results[0].error_code, ERR_NONE);
}

/* -- members -----------------------------------------------------------------------------------------------
 */

/* Of the consumer protocol's version 1: topic "orders", nothing owned. */
static struct group_member *classic(const char *group, const char *instance)
{
    ck_assert_int_lt(classic_count, 8);
    struct group_member *member = &classics[classic_count++];
    member_open(&sim, member, classic_count, 9);
    member->protocols[0].metadata = member->protocols[1].metadata =
        SLICE_LITERAL("\0\1\0\0\0\1\0\6orders\xff\xff\xff\xff\0\0\0\0");
    member->group = group;
    member->instance = instance;
    member->session_timeout_ms = SESSION_MS;
    return member;
}

static void settle_join(struct group_member *member)
{
    int16_t error_code = -2;
    ck_assert(member_receive_join(member, &error_code));
    ck_assert_int_eq(error_code, ERR_NONE);
}

/* The leader gives itself all partitions, and others nothing. */
static void sync(struct group_member *member)
{
    struct sync_group_request request;
    struct sync_group_request_assignment share;
    struct sync_group_response response;
    sync_group_request_init(&request);
    sync_group_request_assignment_init(&share);
    request.group_id = slice_of_string(member->group);
    request.generation_id = member->generation;
    request.member_id = share.member_id = slice_of_string(member->id);
    request.group_instance_id = slice_of_string(member->instance);
    request.protocol_type = SLICE_LITERAL("consumer");
    request.protocol_name = slice_of_string(member->protocol);
    share.assignment =
        SLICE_LITERAL("\0\1\0\0\0\1\0\6orders\0\0\0\4\0\0\0\0\0\0\0\1\0\0\0\2\0\0\0\3\xff\xff\xff\xff");
    request.assignments = &share;
    request.assignments_count = member->is_leader;
    ck_assert(sim_call(&member->client, 14, 5, &request, &response));
    ck_assert_int_eq(response.error_code, ERR_NONE);
}

static void form_alone(struct group_member *member)
{
    member_begin_join(member);
    settle_join(member);
    sync(member);
}

static void form_two(struct group_member *one, struct group_member *two)
{
    form_alone(one);
    member_begin_join(two);
    ck_assert(member_send_join(one));
    settle_join(one);
    settle_join(two);
    sync(one->is_leader ? one : two);
    sync(one->is_leader ? two : one);
}

static struct consumer_player *player(const char *group, const char *instance)
{
    ck_assert_int_lt(player_count, 12);
    struct consumer_player *made = &players[player_count++];
    player_init(made, player_count);
    player_connect(&sim, made);
    made->group = group;
    made->instance = instance;
    made->names[0] = "orders";
    made->name_count = 1;
    return made;
}

/* All who were made since, and what classic members of the group are to do as well. */
static void settle(int first, struct group_member *member)
{
    struct consumer_player *all[12];
    int count = 0;
    for (int i = first; i < player_count; i++)
        if (players[i].epoch >= 0)
            all[count++] = &players[i];
    for (int round = 0; round < 6; round++) {
        if (count > 0)
            players_settle(all, count, 10);
        if (member && member_heartbeat(member) == ERR_REBALANCE_IN_PROGRESS) {
            member_begin_join(member);
            settle_join(member);
            sync(member);
        }
    }
}

/* -- what happens ------------------------------------------------------------------------------------------
 */

static void play_offsets(void)
{
    for (int32_t p = 0; p < 3; p++)
        commit("simple", p, 10 + p);
    commit("simple", 0, 20);
    delete_offset("simple", 1);
    commit("deleted", 0, 5);
    commit("deleted", 1, 6);
    delete_group("deleted");
    commit("deleted", 2, 7);
}

static void play_classic(void)
{
    struct group_member *gone = classic("gone", NULL);
    form_alone(gone);
    ck_assert_int_eq(member_leave(gone), ERR_NONE);
    commit("gone", 0, 3);
    delete_group("gone");
    commit("classic", 0, 1);
    form_two(classic("classic", NULL), classic("classic", "i1"));
    struct group_member *left = classic("left", NULL);
    form_alone(left);
    ck_assert_int_eq(member_leave(left), ERR_NONE);
    commit("left", 0, 2);
}

static void play_consumer(void)
{
    int first = player_count;
    struct consumer_player *one = player("fresh", NULL), *two = player("fresh", NULL);
    struct consumer_player *fixed = player("fresh", "i1"), *away = player("fresh", "i2");
    commit("fresh", 1, 11);
    settle(first, NULL);
    ck_assert_int_eq(player_leave(two, -1), ERR_NONE);
    two->epoch = -1;
    settle(first, NULL);
    ck_assert_int_eq(player_leave(away, -2), ERR_NONE);
    away->epoch = -2;
    ck_assert_int_eq(player_leave(fixed, -2), ERR_NONE);
    snprintf(fixed->id, sizeof fixed->id, "another"); /* the instance comes back as somebody else */
    settle(first, NULL);
    ck_assert_int_gt(one->epoch, 0);
    ck_assert_int_gt(fixed->epoch, 0);
}

static void play_patterns(void)
{
    int first = player_count;
    struct consumer_player *one = player("patterns", NULL), *two = player("patterns", NULL);
    one->name_count = two->name_count = 0;
    one->regex = "ord.*";
    two->regex = "o.*s";
    settle(first, NULL);
    sim_advance(&sim, 2000);
    settle(first, NULL);
    ck_assert_int_gt(one->owned.count, 0);
    ck_assert_int_eq(player_leave(two, -1), ERR_NONE);
    two->epoch = -1;
    settle(first, NULL);
    ck_assert_int_eq(one->owned.count, PARTITIONS);
}

static void play_migrations(void)
{
    int first = player_count;
    commit("migrated", 2, 12);
    struct group_member *old = classic("migrated", NULL);
    form_alone(old);
    player("migrated", NULL);
    settle(first, old);
    first = player_count;
    old = classic("back", NULL);
    form_alone(old);
    struct consumer_player *guest = player("back", NULL);
    settle(first, old);
    ck_assert_int_eq(player_leave(guest, -1), ERR_NONE);
    guest->epoch = -1;
    settle(first, old);
    ck_assert_int_eq(member_heartbeat(old), ERR_NONE);
    first = player_count;
    guest = player("emptied", NULL);
    settle(first, NULL);
    ck_assert_int_eq(player_leave(guest, -1), ERR_NONE);
    guest->epoch = -1;
    form_alone(classic("emptied", NULL));
}

/* -- the log -----------------------------------------------------------------------------------------------
 */

struct copied {
    slice key;
    slice value;
    int batch;
};

static struct copied records[RECORDS_MAX];
static int record_count;
static struct arena record_arena;

static struct log *log_of_groups(void)
{
    const struct topic *topic =
        image_topic_by_name(controller_image(sim.server->controller), SLICE_LITERAL("__consumer_offsets"));
    ck_assert_ptr_nonnull(topic);
    ck_assert_int_eq(topic->partition_count, 1);
    return topic->partitions[0].partition->log;
}

static void copy_batch(const struct batch_view *batch, int number)
{
    struct arena arena;
    struct record record;
    arena_init(&arena, NULL);
    struct record_iterator *iterator = record_iterator_open(batch, &arena, SIZE_MAX);
    while (record_iterator_next(iterator, &record) == BATCH_OK) {
        ck_assert_int_lt(record_count, RECORDS_MAX);
        records[record_count++] = (struct copied){ arena_copy(&record_arena, record.key, NULL),
                                                   arena_copy(&record_arena, record.value, NULL), number };
    }
    record_iterator_close(iterator);
    arena_destroy(&arena);
}

static int copy_log(void)
{
    struct log *log = log_of_groups();
    struct arena arena;
    int batches = 0;
    arena_init(&arena, NULL);
    for (int64_t offset = 0, end = log_offsets(log).end; offset < end;) {
        struct log_range range;
        ck_assert_int_eq(log_read(log, offset, end, 1 << 20, true, false, &arena, &range), LOG_OK);
        for (slice bytes = range.bytes; bytes.size > 0;) {
            struct batch_view batch;
            ck_assert_int_eq(batch_view(bytes, &batch), BATCH_OK);
            copy_batch(&batch, batches++);
            bytes = slice_of(bytes.data + batch.size, bytes.size - batch.size);
        }
        offset = range.next_offset;
    }
    arena_destroy(&arena);
    return batches;
}

static void append(const struct copied *record)
{
    static const struct batch_builder_options options = { .producer_id = -1,
                                                          .producer_epoch = -1,
                                                          .base_sequence = -1 };
    struct arena arena;
    struct batch_view batch;
    struct log_append_result result = { .status = LOG_OK };
    int64_t now_ms = clock_wall_ms(&sim.clock.clock);
    arena_init(&arena, NULL);
    struct batch_builder *builder = batch_builder_open(&arena, &options);
    ck_assert(batch_builder_add(builder, now_ms, record->key, record->value, NULL, 0));
    ck_assert_int_eq(batch_builder_finish(builder, &batch), BATCH_OK);
    enum log_status status;
    while ((status = log_append(log_of_groups(), &batch, 1, 0, now_ms, &result)) == LOG_BUSY)
        ck_assert_int_eq(log_prepare(log_of_groups()), LOG_OK);
    ck_assert_int_eq(status, LOG_OK);
    arena_destroy(&arena);
}

/* -- compaction --------------------------------------------------------------------------------------------
 */

static bool is_last(int index, int end)
{
    for (int i = index + 1; i < end; i++)
        if (slice_equal(records[i].key, records[index].key))
            return false;
    return true;
}

/* The records of the first `clean` are compacted, those up to end are as they were. */
static void append_compacted(int clean, int end, bool keeps_tombstones)
{
    for (int i = 0; i < end; i++) {
        if (i < clean && !is_last(i, clean))
            continue;
        if (i < clean && slice_is_null(records[i].value) && !keeps_tombstones)
            continue;
        append(&records[i]);
    }
}

/* -- what a broker knows -----------------------------------------------------------------------------------
 */

struct picture {
    char text[TEXT_MAX];
    size_t size;
};

static struct picture lines; /* of members, until they are sorted */
static size_t line_starts[LINES_MAX];
static int line_count;

__attribute__((format(printf, 2, 3))) static void say(struct picture *picture, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    picture->size += (size_t)vsnprintf(picture->text + picture->size, TEXT_MAX - picture->size, format, args);
    va_end(args);
    ck_assert_uint_lt(picture->size, TEXT_MAX);
}

/* Printable; null is told apart from empty. */
static void say_slice(struct picture *picture, slice text)
{
    say(picture, slice_is_null(text) ? " null" : " '");
    for (size_t i = 0; i < text.size; i++)
        say(picture, text.data[i] > ' ' && text.data[i] < 0x7f ? "%c" : "%02x", text.data[i]);
    say(picture, "'");
}

static void begin_line(void)
{
    ck_assert_int_lt(line_count, LINES_MAX);
    say(&lines, "%c", '\0');
    line_starts[line_count++] = lines.size;
}

static int compare_lines(const void *a, const void *b)
{
    return strcmp(lines.text + *(const size_t *)a, lines.text + *(const size_t *)b);
}

/* Members are told in the order in which they came, of which the records keep no more than they must. */
static void say_lines(struct picture *picture)
{
    say(&lines, "%c", '\0');
    qsort(line_starts, (size_t)line_count, sizeof *line_starts, compare_lines);
    for (int i = 0; i < line_count; i++)
        say(picture, "  %s\n", lines.text + line_starts[i]);
    lines.size = 0;
    line_count = 0;
}

static void say_classic(struct picture *picture, const char *name)
{
    struct describe_groups_request request;
    struct describe_groups_response response;
    slice id = slice_of_string(name);
    describe_groups_request_init(&request);
    request.groups = &id;
    request.groups_count = 1;
    ck_assert(sim_call(&admin, 15, 6, &request, &response));
    const struct describe_groups_response_group *group = &response.groups[0];
    say(picture, "%s: error %d", name, group->error_code);
    say_slice(picture, group->group_state);
    say_slice(picture, group->protocol_type);
    say_slice(picture, group->protocol_data);
    say(picture, "\n");
    for (int32_t m = 0; m < group->members_count; m++) {
        begin_line();
        say_slice(&lines, group->members[m].member_id);
        say_slice(&lines, group->members[m].group_instance_id);
        say_slice(&lines, group->members[m].client_id);
        say_slice(&lines, group->members[m].client_host);
        say_slice(&lines, group->members[m].member_metadata);
        say_slice(&lines, group->members[m].member_assignment);
    }
    say_lines(picture);
}

static void say_assignment(const struct consumer_group_describe_response_assignment *assignment)
{
    for (int32_t t = 0; t < assignment->topic_partitions_count; t++) {
        say_slice(&lines, assignment->topic_partitions[t].topic_name);
        for (int32_t p = 0; p < assignment->topic_partitions[t].partitions_count; p++)
            say(&lines, " %d", assignment->topic_partitions[t].partitions[p]);
    }
    say(&lines, ";");
}

static void say_consumer(struct picture *picture, const char *name)
{
    struct consumer_group_describe_response_group group = player_describe(&admin, name);
    if (group.error_code != ERR_NONE) {
        say(picture, "  error %d\n", group.error_code);
        return;
    }
    say_slice(picture, group.group_state);
    say(picture, " epochs %d %d", group.group_epoch, group.assignment_epoch);
    say_slice(picture, group.assignor_name);
    say(picture, "\n");
    for (int32_t m = 0; m < group.members_count; m++) {
        const struct consumer_group_describe_response_member *member = &group.members[m];
        begin_line();
        say_slice(&lines, member->member_id);
        say_slice(&lines, member->instance_id);
        say_slice(&lines, member->client_id);
        say_slice(&lines, member->client_host);
        for (int32_t i = 0; i < member->subscribed_topic_names_count; i++)
            say_slice(&lines, member->subscribed_topic_names[i]);
        say_slice(&lines, member->subscribed_topic_regex);
        say(&lines, " epoch %d type %d has", member->member_epoch, member->member_type);
        say_assignment(&member->assignment);
        say_assignment(&member->target_assignment);
    }
    say_lines(picture);
}

static void say_offsets(struct picture *picture, const char *name)
{
    struct offset_fetch_request request;
    struct offset_fetch_request_group asked;
    struct offset_fetch_response response;
    offset_fetch_request_init(&request);
    offset_fetch_request_group_init(&asked);
    asked.group_id = slice_of_string(name);
    asked.topics_count = -1;
    request.groups = &asked;
    request.groups_count = 1;
    ck_assert(sim_call(&admin, 9, 8, &request, &response));
    for (int32_t t = 0; t < response.groups[0].topics_count; t++) {
        const struct offset_fetch_response_topics *topic = &response.groups[0].topics[t];
        for (int32_t p = 0; p < topic->partitions_count; p++) {
            say(picture, "  %d at %lld", topic->partitions[p].partition,
                (long long)topic->partitions[p].committed_offset);
            say_slice(picture, topic->partitions[p].metadata);
            say(picture, "\n");
        }
    }
}

static void take_picture(struct picture *picture)
{
    picture->size = 0;
    sim_connect(&sim, &admin);
    for (int g = 0; g < GROUPS; g++) {
        say_classic(picture, group_names[g]);
        say_consumer(picture, group_names[g]);
        say_offsets(picture, group_names[g]);
    }
    sim_disconnect(&admin);
}

/* -- the test ----------------------------------------------------------------------------------------------
 */

static struct file_double *played; /* its disk */
static uint64_t before_groups;     /* the operation after which the first group came */

static void play(void)
{
    sim_open(&sim, 1, "offsets.topic.num.partitions=1\ngroup.initial.rebalance.delay.ms=0\n");
    sim_connect(&sim, &admin);
    classic_count = player_count = record_count = 0;
    make_topic();
    struct group_member *finder = classic("classic", NULL);
    member_find_coordinator(finder);
    sim_settle(&sim);
    before_groups = file_double_operation_count(sim.disk);
    play_offsets();
    play_classic();
    play_consumer();
    play_patterns();
    play_migrations();
    sim_settle(&sim);
}

static void disconnect_all(void)
{
    for (int i = 0; i < classic_count; i++)
        member_close(&classics[i]);
    for (int i = 0; i < player_count; i++)
        player_disconnect(&players[i]);
    sim_disconnect(&admin);
}

/* A broker as it was before the groups came, with these records. */
static void start_with(int clean, int end, bool keeps_tombstones)
{
    struct random random;
    random_seed(&random, 1);
    sim_start_on(&sim, file_double_after_cut(played, before_groups, FILE_DOUBLE_KEEP_ALL, &random));
    sim_settle(&sim);
    append_compacted(clean, end, keeps_tombstones);
    sim_restart(&sim);
    sim_settle(&sim);
}

static void picture_of(int clean, int end, bool keeps_tombstones, struct picture *picture)
{
    start_with(clean, end, keeps_tombstones);
    take_picture(picture);
    file_double_destroy(sim_stop(&sim));
}

static void compare(const struct picture *whole, const struct picture *compacted, int clean, int end)
{
    ck_assert_msg(whole->size == compacted->size && memcmp(whole->text, compacted->text, whole->size) == 0,
                  "of %d records the first %d are compacted; the whole:\n%.*s\ncompacted:\n%.*s", end, clean,
                  (int)whole->size, whole->text, (int)compacted->size, compacted->text);
}

START_TEST(compaction_leaves_enough)
{
    static struct picture live, whole, compacted;
    struct random random;
    arena_init(&record_arena, NULL);
    random_seed(&random, 7);
    play();
    copy_log();
    disconnect_all();
    take_picture(&live);
    played = sim_stop(&sim);
    picture_of(0, record_count, true, &whole);
    compare(&live, &whole, 0, record_count); /* nothing is known that the records do not say */
    for (int end = 1; end <= record_count; end++) {
        if (end < record_count && records[end].batch == records[end - 1].batch)
            continue; /* a batch is there as a whole */
        int part = (int)random_below(&random, (uint64_t)end);
        while (part > 0 && records[part].batch == records[part - 1].batch)
            part--;
        picture_of(0, end, true, &whole);
        picture_of(end, end, false, &compacted);
        compare(&whole, &compacted, end, end);
        picture_of(end, end, true, &compacted);
        compare(&whole, &compacted, end, end);
        picture_of(part, end, false, &compacted);
        compare(&whole, &compacted, part, end);
    }
    file_double_destroy(played);
    config_destroy(sim.config);
    arena_destroy(&record_arena);
}
END_TEST

/* Members go on as if nothing had happened: nobody is fenced, no new epoch begins, nothing is assigned anew.
 */
START_TEST(members_go_on)
{
    arena_init(&record_arena, NULL);
    play();
    copy_log();
    disconnect_all();
    played = sim_stop(&sim);
    start_with(record_count, record_count, false);
    int alive = 0;
    for (int i = 0; i < player_count; i++) {
        struct consumer_player *who = &players[i];
        int32_t epoch = who->epoch;
        if (epoch < 0)
            continue;
        player_connect(&sim, who);
        who->has_news = true;
        ck_assert_msg(player_beat(who) == ERR_NONE, "%s of %s: %s", who->id, who->group, who->message);
        ck_assert_int_eq(who->epoch, epoch);
        ck_assert(player_sets_equal(&who->owned, &who->target));
        player_disconnect(who);
        alive++;
    }
    ck_assert_int_ge(alive, 4);
    static const char *const stable[] = { "classic", "migrated", "back", "emptied" };
    alive = 0;
    for (int i = 1; i < classic_count; i++)
        for (int g = 0; g < 4; g++)
            if (strcmp(classics[i].group, stable[g]) == 0) {
                sim_connect(&sim, &classics[i].client);
                ck_assert_int_eq(member_heartbeat(&classics[i]), ERR_NONE);
                sim_disconnect(&classics[i].client);
                alive++;
            }
    ck_assert_int_eq(alive, 5);
    sim_close(&sim);
    file_double_destroy(played);
    arena_destroy(&record_arena);
}
END_TEST

/* The last records that are no tombstones, and no more: what goes takes all its keys along. */
static const struct {
    const char *group;
    int count;
} left_overs[] = {
    { "simple", 2 },  /* offsets */
    { "deleted", 1 }, /* the one that was committed after */
    { "gone", 0 },
    { "classic", 1 + 1 },          /* the group, an offset */
    { "left", 1 + 1 },             /* the same, without members */
    { "fresh", 2 + 3 * 3 + 1 },    /* both epochs, three members with three records each, an offset */
    { "patterns", 2 + 3 + 1 },     /* both epochs, a member, a pattern */
    { "migrated", 2 + 2 * 3 + 1 }, /* both epochs, two members, an offset */
    { "back", 1 },
    { "emptied", 1 }, /* classic groups that were consumer groups */
};

/* All keys begin so: type, group. */
static bool is_of_group(const struct copied *record, const char *group)
{
    size_t size = strlen(group);
    return record->key.size >= 4 + size && (size_t)(record->key.data[2] << 8 | record->key.data[3]) == size &&
           memcmp(record->key.data + 4, group, size) == 0;
}

START_TEST(nothing_is_left_of_what_went)
{
    arena_init(&record_arena, NULL);
    play();
    copy_log();
    for (size_t g = 0; g < sizeof left_overs / sizeof left_overs[0]; g++) {
        int count = 0;
        for (int i = 0; i < record_count; i++)
            count += is_of_group(&records[i], left_overs[g].group) && is_last(i, record_count) &&
                     !slice_is_null(records[i].value);
        ck_assert_msg(count == left_overs[g].count, "%s: %d records stay", left_overs[g].group, count);
    }
    disconnect_all();
    sim_close(&sim);
    arena_destroy(&record_arena);
}
END_TEST

/* The last epoch that a record can tell: the next one is 1. */
START_TEST(epochs_begin_anew)
{
    enum { EPOCH = 3, ASSIGNMENT_EPOCH = 6, CURRENT = 8, EPOCH_AT = 2 };
    arena_init(&record_arena, NULL);
    play();
    copy_log();
    disconnect_all();
    played = sim_stop(&sim);
    struct consumer_player *one = NULL;
    for (int i = 0; i < player_count && !one; i++)
        if (strcmp(players[i].group, "fresh") == 0 && players[i].epoch > 0)
            one = &players[i]; /* it has two partitions, and gives one away */
    ck_assert_ptr_nonnull(one);
    for (int i = 0; i < record_count; i++) {
        uint16_t type = load_be16(records[i].key.data);
        uint8_t *value = (uint8_t *)(uintptr_t)records[i].value.data;
        bool has_epoch = value && (type == EPOCH || type == ASSIGNMENT_EPOCH || type == CURRENT);
        if (has_epoch && is_of_group(&records[i], "fresh") &&
            load_be32(value + EPOCH_AT) == (uint32_t)one->epoch)
            store_be32(value + EPOCH_AT, INT32_MAX);
    }
    start_with(record_count, record_count, false);
    player_connect(&sim, one);
    one->epoch = INT32_MAX;
    ck_assert_msg(player_beat(one) == ERR_NONE, "%s", one->message);
    ck_assert_int_eq(one->epoch, INT32_MAX);
    struct consumer_player other;
    player_init(&other, 77);
    other.group = "fresh";
    other.names[0] = "orders";
    other.name_count = 1;
    player_connect(&sim, &other);
    ck_assert_int_eq(player_beat(&other), ERR_NONE);
    ck_assert_int_eq(other.epoch, 1);
    struct consumer_player *both[] = { one, &other };
    players_settle(both, 2, 20);
    ck_assert_int_eq(one->epoch, 1);
    ck_assert_int_gt(other.owned.count, 0);
    player_disconnect(one);
    player_disconnect(&other);
    sim_close(&sim);
    file_double_destroy(played);
    arena_destroy(&record_arena);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("group_compaction");
    TCase *cases = tcase_create("compaction");
    tcase_set_timeout(cases, 280);
    tcase_add_test(cases, compaction_leaves_enough);
    tcase_add_test(cases, members_go_on);
    tcase_add_test(cases, nothing_is_left_of_what_went);
    tcase_add_test(cases, epochs_begin_anew);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
