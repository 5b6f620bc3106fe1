/* Plays the story: topics made, filled by several producers at once, compacted, cut, retained, deleted and
 * made anew, groups that commit, settings that change, a clean stop in the middle. */
#include "tests/sim/crash_points/story.h"

#include <check.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/partition.h"
#include "codec/find_coordinator.h"
#include "protocol/errors.h"
#include "tests/support/group_member.h"
#include "tests/support/one_partition.h"
#include "tests/support/one_request.h"

enum {
    CONNECTIONS = 4, /* the first two are those of the idempotent producers */
    UNDER_WAY_MAX = 8,
    PRODUCE_VERSION = 9,
    MINUTE_MS = 60000,
    KEY_FIND_COORDINATOR = 10,
    FIND_COORDINATOR_VERSION = 4,
};

/* What is played with; the story itself holds only what the judge needs. */
struct stage {
    struct story *story;
    struct sim *sim;
    struct sim_client clients[CONNECTIONS];
    int under_way[CONNECTIONS][UNDER_WAY_MAX]; /* batches, in the order of their requests */
    int under_way_count[CONNECTIONS];
    struct random chance;
    struct arena arena;
    int32_t sequences[PRODUCERS][LIVES_MAX][LIFE_PARTITIONS_MAX];
    bool may_end; /* the device fails at some moment */
    jmp_buf over;
};

static uint64_t now(const struct stage *stage)
{
    return file_double_operation_count(stage->sim->disk);
}

/* With a device that fails at some moment the story ends there; else every answer is a good one. */
#define ask(stage, holds)                                                                                    \
    do {                                                                                                     \
        if (!(holds)) {                                                                                      \
            ck_assert_msg((stage)->may_end, "the story goes another way: %s", #holds);                       \
            longjmp((stage)->over, 1);                                                                       \
        }                                                                                                    \
    } while (0)

/* -- records --------------------------------------------------------------------------------------------- */

int story_key_index(int64_t number)
{
    return (int)(((uint64_t)number * UINT64_C(0x9e3779b97f4a7c15) >> 32) % KEYS);
}

slice story_key(int64_t number, bool is_compacted, char text[STORY_TEXT_SIZE])
{
    if (!is_compacted)
        return SLICE_NULL;
    snprintf(text, STORY_TEXT_SIZE, "key %d", story_key_index(number));
    return slice_of_string(text);
}

/* Some records of a compacted topic are tombstones. */
slice story_value(int64_t number, bool is_compacted, char text[STORY_TEXT_SIZE])
{
    if (is_compacted && number % 6 == 5)
        return SLICE_NULL;
    snprintf(text, STORY_TEXT_SIZE, "record %lld %.*s", (long long)number, (int)(number % 40),
             "of a story that nobody ever reads to its end");
    return slice_of_string(text);
}

slice story_batch(const struct story *story, struct arena *arena, int64_t first_number, int32_t count,
                  int64_t timestamp, bool is_compacted, int producer, int32_t sequence)
{
    const struct batch_builder_options options = { .leader_epoch = -1,
                                                   .producer_id =
                                                       producer < 0 ? -1 : story->producer_ids[producer],
                                                   .producer_epoch = producer < 0 ? -1 : 0,
                                                   .base_sequence = producer < 0 ? -1 : sequence };
    struct batch_builder *builder = batch_builder_open(arena, &options);
    struct batch_view batch;
    ck_assert_ptr_nonnull(builder);
    for (int64_t number = first_number; number < first_number + count; number++) {
        char key[STORY_TEXT_SIZE], value[STORY_TEXT_SIZE];
        ck_assert(batch_builder_add(builder, timestamp, story_key(number, is_compacted, key),
                                    story_value(number, is_compacted, value), NULL, 0));
    }
    ck_assert_int_eq(batch_builder_finish(builder, &batch), BATCH_OK);
    return batch_bytes(&batch);
}

/* -- what is promised ------------------------------------------------------------------------------------ */

static struct change *begin_change(struct stage *stage, struct change change)
{
    ck_assert_int_lt(stage->story->change_count, CHANGES_MAX);
    struct change *begun = &stage->story->changes[stage->story->change_count++];
    *begun = change;
    begun->asked_at = now(stage);
    begun->answered_at = AT_NO_TIME;
    return begun;
}

static bool is_there(const struct life *life)
{
    return life->gone_asked_at == AT_NO_TIME;
}

static struct log_offsets offsets_of(struct stage *stage, int life, int32_t partition)
{
    const struct image *image = controller_image(stage->sim->server->controller);
    const struct topic *topic = image_topic_by_id(image, stage->story->lives[life].id);
    ck_assert_ptr_nonnull(topic);
    return log_offsets(topic->partitions[partition].partition->log);
}

static int64_t seen_before(const struct story *story, int life, int32_t partition)
{
    for (int i = story->seen_count - 1; i >= 0; i--)
        if (story->seen[i].life == life && story->seen[i].partition == partition)
            return story->seen[i].high_watermark;
    return 0;
}

/* What a consumer that asks at this moment is told. */
static void look(struct stage *stage)
{
    struct story *story = stage->story;
    for (int l = 0; l < story->life_count; l++) {
        for (int32_t p = 0; is_there(&story->lives[l]) && p < story->lives[l].partition_count; p++) {
            int64_t high_watermark = offsets_of(stage, l, p).high_watermark;
            if (high_watermark == seen_before(story, l, p))
                continue;
            ck_assert_int_lt(story->seen_count, SEEN_MAX);
            story->seen[story->seen_count++] = (struct seen){ l, p, high_watermark, now(stage) };
        }
    }
}

/* The clock moves, and what is due happens. Retention answers to nobody: a start that rose may show from here
 * on. */
static void wait_ms(struct stage *stage, int64_t ms)
{
    struct story *story = stage->story;
    uint64_t before = now(stage);
    ck_assert_int_lt(story->turn_count, TURNS_MAX);
    story->turns[story->turn_count++] = (struct turn){ before, clock_wall_ms(&stage->sim->clock.clock) + ms };
    if (story->tombstones_go_at == AT_NO_TIME)
        story->tombstones_go_at = before;
    sim_advance(stage->sim, ms);
    for (int l = 0; l < story->life_count; l++) {
        for (int32_t p = 0; is_there(&story->lives[l]) && p < story->lives[l].partition_count; p++) {
            struct change *rise = begin_change(
                stage, (struct change){ CHANGE_START, NULL, l, p, offsets_of(stage, l, p).start, 0, 0 });
            rise->asked_at = before;
        }
    }
    look(stage);
}

int64_t story_wall_ms(const struct story *story, uint64_t at)
{
    int64_t wall_ms = story->turns[0].wall_ms;
    for (int i = 0; i < story->turn_count && story->turns[i].at <= at; i++)
        wall_ms = story->turns[i].wall_ms;
    return wall_ms;
}

/* -- requests -------------------------------------------------------------------------------------------- */

static void connect_all(struct stage *stage)
{
    for (int i = 0; i < CONNECTIONS; i++)
        sim_connect(stage->sim, &stage->clients[i]);
}

static void disconnect_all(struct stage *stage)
{
    for (int i = 0; i < CONNECTIONS; i++)
        sim_disconnect(&stage->clients[i]);
}

static int create(struct stage *stage, const char *name, int32_t partition_count, bool is_compacted,
                  const char *retention_ms)
{
    struct story *story = stage->story;
    const struct one_setting settings[] = { { "internal.segment.bytes", is_compacted ? "700" : "900" },
                                            { "retention.ms", retention_ms },
                                            { "cleanup.policy", is_compacted ? "compact" : "delete" },
                                            { "min.cleanable.dirty.ratio", "0.01" },
                                            { "delete.retention.ms", "1000" },
                                            { NULL, NULL } };
    struct one_create one;
    struct create_topics_response response;
    int number = story->life_count;
    ck_assert_int_lt(number, LIVES_MAX);
    struct life *life = &story->lives[number];
    *life = (struct life){ .name = name,
                           .partition_count = partition_count,
                           .is_compacted = is_compacted,
                           .made_asked_at = now(stage),
                           .gone_asked_at = AT_NO_TIME,
                           .gone_at = AT_NO_TIME };
    one_create(&one, name, partition_count, settings);
    ask(stage, sim_call(&stage->clients[0], ONE_CREATE, ONE_CREATE_VERSION, &one.request, &response));
    ask(stage, response.topics[0].error_code == ERR_NONE);
    life->id = response.topics[0].topic_id;
    life->made_at = now(stage);
    story->life_count++;
    return number;
}

static void delete_life(struct stage *stage, int number)
{
    struct life *life = &stage->story->lives[number];
    struct one_delete one;
    struct delete_topics_response response;
    one_delete(&one, life->name);
    life->gone_asked_at = now(stage);
    ask(stage, sim_call(&stage->clients[0], ONE_DELETE, ONE_DELETE_VERSION, &one.request, &response));
    ask(stage, response.topics[0].error_code == ERR_NONE);
    life->gone_at = now(stage);
}

static void delete_records(struct stage *stage, int life, int32_t partition, int64_t offset)
{
    struct one_delete_records one;
    struct delete_records_response response;
    int64_t target = offset < 0 ? offsets_of(stage, life, partition).high_watermark : offset;
    struct change *change =
        begin_change(stage, (struct change){ CHANGE_START, NULL, life, partition, target, 0, 0 });
    one_delete_records(&one, stage->story->lives[life].name, partition, offset);
    ask(stage, sim_call(&stage->clients[0], ONE_DELETE_RECORDS, ONE_DELETE_RECORDS_VERSION, &one.request,
                        &response));
    ask(stage, response.topics[0].partitions[0].error_code == ERR_NONE);
    ck_assert_int_eq(response.topics[0].partitions[0].low_watermark, target);
    change->answered_at = now(stage);
}

static void alter(struct stage *stage, int life, const char *name, int64_t value)
{
    char text[24];
    struct one_alter one;
    struct incremental_alter_configs_response response;
    struct change *change =
        begin_change(stage, (struct change){ CHANGE_SETTING, name, life, 0, value, 0, 0 });
    snprintf(text, sizeof text, "%lld", (long long)value);
    one_alter(&one, stage->story->lives[life].name, (struct one_setting){ name, text });
    ask(stage, sim_call(&stage->clients[0], ONE_ALTER, ONE_ALTER_VERSION, &one.request, &response));
    ask(stage, response.responses[0].error_code == ERR_NONE);
    change->answered_at = now(stage);
}

/* member: NULL for a group without any. */
static void commit(struct stage *stage, const char *group, const struct group_member *member, int life,
                   int32_t partition, int64_t offset)
{
    struct one_commit one;
    struct offset_commit_response response;
    struct change *change =
        begin_change(stage, (struct change){ CHANGE_OFFSET, group, life, partition, offset, 0, 0 });
    one_commit(&one, group, stage->story->lives[life].name, partition, offset);
    if (member) {
        one.request.member_id = slice_of_string(member->id);
        one.request.generation_id_or_member_epoch = member->generation;
    }
    ask(stage, sim_call(&stage->clients[0], ONE_COMMIT, ONE_COMMIT_VERSION, &one.request, &response));
    ask(stage, response.topics[0].partitions[0].error_code == ERR_NONE);
    change->answered_at = now(stage);
}

static void init_producers(struct stage *stage)
{
    for (int i = 0; i < PRODUCERS; i++) {
        struct init_producer_id_request request;
        struct init_producer_id_response response;
        one_init_producer(&request);
        ask(stage,
            sim_call(&stage->clients[i], ONE_INIT_PRODUCER, ONE_INIT_PRODUCER_VERSION, &request, &response));
        ask(stage, response.error_code == ERR_NONE);
        stage->story->producer_ids[i] = response.producer_id;
        stage->story->producer_ids_at[i] = now(stage);
    }
}

/* -- producers ------------------------------------------------------------------------------------------- */

/* Connections 0 and 1 are idempotent producers; of the others one asks for acks=1. */
static void send_batch(struct stage *stage, int connection, int life, int32_t partition, int16_t acks)
{
    struct story *story = stage->story;
    ck_assert_int_lt(story->batch_count, BATCHES_MAX);
    struct sent_batch *batch = &story->batches[story->batch_count];
    int producer = connection < PRODUCERS ? connection : -1;
    *batch = (struct sent_batch){ .life = life,
                                  .partition = partition,
                                  .base_offset = NEVER,
                                  .first_number = story->number_count,
                                  .count = 1 + (int32_t)random_below(&stage->chance, 4),
                                  .timestamp = clock_wall_ms(&stage->sim->clock.clock),
                                  .producer = producer,
                                  .asked_at = now(stage),
                                  .answered_at = AT_NO_TIME };
    if (producer >= 0) {
        batch->sequence = stage->sequences[producer][life][partition];
        stage->sequences[producer][life][partition] += batch->count;
    }
    struct one_produce one;
    one_produce(&one, story->lives[life].name, partition,
                story_batch(story, &stage->arena, batch->first_number, batch->count, batch->timestamp,
                            story->lives[life].is_compacted, producer, batch->sequence));
    one.request.acks = acks;
    ask(stage, sim_send(&stage->clients[connection], ONE_PRODUCE, PRODUCE_VERSION, &one.request));
    if (acks != 0)
        stage->under_way[connection][stage->under_way_count[connection]++] = story->batch_count;
    story->batch_count++;
    story->number_count += batch->count;
}

static void receive_answers(struct stage *stage)
{
    for (int c = 0; c < CONNECTIONS; c++) {
        for (int i = 0; i < stage->under_way_count[c]; i++) {
            struct produce_response response;
            struct sent_batch *batch = &stage->story->batches[stage->under_way[c][i]];
            ask(stage, sim_receive(&stage->clients[c], ONE_PRODUCE, PRODUCE_VERSION, &response));
            ask(stage, response.topics[0].partitions[0].error_code == ERR_NONE);
            batch->base_offset = response.topics[0].partitions[0].base_offset;
            batch->answered_at = now(stage);
        }
        stage->under_way_count[c] = 0;
    }
    arena_reset(&stage->arena);
}

static int any_life(struct stage *stage)
{
    for (;;) {
        int life = (int)random_below(&stage->chance, (uint64_t)stage->story->life_count);
        if (is_there(&stage->story->lives[life]))
            return life;
    }
}

/* Several requests of several producers under way at once, answered while others still wait. */
static void burst(struct stage *stage, int rounds)
{
    for (int round = 0; round < rounds; round++) {
        int count = 3 + (int)random_below(&stage->chance, UNDER_WAY_MAX - 2);
        for (int i = 0; i < count; i++) {
            int connection = (int)random_below(&stage->chance, CONNECTIONS), life = any_life(stage);
            int32_t partition =
                (int32_t)random_below(&stage->chance, (uint64_t)stage->story->lives[life].partition_count);
            if (stage->under_way_count[connection] < UNDER_WAY_MAX)
                send_batch(stage, connection, life, partition, connection == CONNECTIONS - 1 ? 1 : -1);
            for (uint64_t steps = random_below(&stage->chance, 8); steps > 0; steps--) {
                server_step(stage->sim->server);
                look(stage);
            }
        }
        receive_answers(stage);
        look(stage);
    }
}

/* Nobody answers for it, but it is in the log. */
static void send_unasked(struct stage *stage, int life, int32_t partition)
{
    sim_settle(stage->sim);
    int64_t end = offsets_of(stage, life, partition).end;
    send_batch(stage, 2, life, partition, 0);
    sim_settle(stage->sim);
    struct sent_batch *batch = &stage->story->batches[stage->story->batch_count - 1];
    ask(stage, offsets_of(stage, life, partition).end == end + batch->count);
    batch->base_offset = end;
    look(stage);
}

/* -- the story ------------------------------------------------------------------------------------------- */

static void play_group(struct stage *stage, int life)
{
    struct group_member member;
    struct group_member *all[] = { &member };
    member_open(stage->sim, &member, 1, 5);
    member.group = "classic";
    member_begin_join(&member);
    members_settle(all, 1);
    commit(stage, "classic", &member, life, 0, 3);
    commit(stage, "classic", &member, life, 1, 1);
    commit(stage, "classic", &member, life, 0, 5);
    ck_assert_int_eq(member_leave(&member), ERR_NONE);
    member_close(&member);
}

static void restart(struct stage *stage)
{
    disconnect_all(stage);
    stage->sim->seed++; /* or ids would come again */
    sim_restart(stage->sim);
    sim_settle(stage->sim);
    connect_all(stage);
}

static void settle(struct stage *stage)
{
    sim_settle(stage->sim);
    look(stage);
}

/* Makes __consumer_offsets. */
static void find_coordinator(struct stage *stage)
{
    struct find_coordinator_request request;
    struct find_coordinator_response response;
    slice group = SLICE_LITERAL("simple");
    find_coordinator_request_init(&request);
    request.coordinator_keys = &group;
    request.coordinator_keys_count = 1;
    ask(stage,
        sim_call(&stage->clients[0], KEY_FIND_COORDINATOR, FIND_COORDINATOR_VERSION, &request, &response));
    ask(stage, response.coordinators[0].error_code == ERR_NONE);
}

static void play(struct stage *stage)
{
    find_coordinator(stage);
    int plain = create(stage, "plain", 2, false, "-1"), keys = create(stage, "keys", 2, true, "-1");
    init_producers(stage);
    burst(stage, 4);
    int old = create(stage, "old", 1, false, "600000"), gone = create(stage, "gone", 1, false, "-1");
    burst(stage, 6);
    for (int32_t p = 0; p < 2; p++)
        commit(stage, "simple", NULL, plain, p, 2 + p);
    if (!stage->may_end)
        play_group(stage, plain);
    delete_records(stage, plain, 0, offsets_of(stage, plain, 0).high_watermark / 2);
    burst(stage, 4);
    alter(stage, plain, "retention.bytes", 1000000);
    commit(stage, "simple", NULL, plain, 0, 4);
    settle(stage);
    send_unasked(stage, gone, 0);
    delete_life(stage, gone);
    int again = create(stage, "gone", 2, false, "-1");
    burst(stage, 3);
    alter(stage, plain, "retention.bytes", 2000000);
    if (!stage->may_end) /* the next start may flush again */
        restart(stage);
    burst(stage, 3);
    commit(stage, "simple", NULL, keys, 1, 7);
    delete_records(stage, plain, 1, 3);
    wait_ms(stage, 20 * MINUTE_MS);
    wait_ms(stage, 2000); /* the files of what went */
    burst(stage, 6);
    settle(stage);
    delete_records(stage, plain, 0, -1);
    delete_records(stage, old, 0, -1);
    burst(stage, 2);
    delete_life(stage, again);
    commit(stage, "simple", NULL, plain, 1, 9);
    wait_ms(stage, 6 * MINUTE_MS);
    burst(stage, 2);
    settle(stage);
}

/* The broker with its stage, on an empty disk. */
static void open_stage(struct stage *stage, struct story *story, struct sim *sim, uint64_t seed,
                       const char *settings, struct file_double *disk)
{
    char all[512];
    snprintf(all, sizeof all,
             "auto.create.topics.enable=false\nconnections.max.idle.ms=-1\nlog.segment.delete.delay.ms=1000\n"
             "offsets.topic.num.partitions=1\ngroup.initial.rebalance.delay.ms=0\n"
             "metadata.log.max.record.bytes.between.snapshots=700\n%s",
             settings);
    *story = (struct story){ .tombstones_go_at = AT_NO_TIME };
    for (int i = 0; i < PRODUCERS; i++)
        story->producer_ids_at[i] = AT_NO_TIME;
    *stage = (struct stage){ .story = story, .sim = sim };
    random_seed(&stage->chance, seed);
    arena_init(&stage->arena, NULL);
    sim_open_on(sim, disk, seed, all);
    story->turns[story->turn_count++] = (struct turn){ 0, clock_wall_ms(&sim->clock.clock) };
    connect_all(stage);
}

static void close_stage(struct stage *stage)
{
    stage->story->end = now(stage);
    disconnect_all(stage);
    arena_destroy(&stage->arena);
    stage->story->disk = sim_stop(stage->sim);
}

void story_play(struct story *story, struct sim *sim, uint64_t seed, const char *settings, bool flushes_lie)
{
    static struct stage stage;
    struct file_double *disk = file_double_create();
    file_double_ignore_flushes(disk, flushes_lie);
    open_stage(&stage, story, sim, seed, settings, disk);
    play(&stage);
    close_stage(&stage);
}

void story_play_until(struct story *story, struct sim *sim, uint64_t seed, uint64_t flush_count)
{
    static struct stage stage;
    struct file_double *disk = file_double_create();
    open_stage(&stage, story, sim, seed, "", disk);
    stage.may_end = true;
    file_double_fail_flush(disk, flush_count);
    if (setjmp(stage.over) == 0)
        play(&stage);
    close_stage(&stage);
}

void story_destroy(struct story *story, struct sim *sim)
{
    config_destroy(sim->config);
    file_double_destroy(story->disk);
}
