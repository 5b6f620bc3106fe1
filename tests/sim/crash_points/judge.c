/* Reads everything back by requests and compares it with what was promised until the power failed. */
#include "tests/sim/crash_points/judge.h"

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/partition.h"
#include "protocol/errors.h"
#include "tests/support/one_partition.h"
#include "tests/support/one_request.h"

enum { OFFSETS_MAX = 2000, FETCH_VERSION = 12, PRODUCE_VERSION = 9, NEW_RECORDS_FROM = 1000000 };

/* One judgement; what it reads of one partition is in here. */
struct judgement {
    const struct story *story;
    struct sim *sim;
    struct sim_client client;
    uint64_t at;
    const struct shown *shown;
    struct verdict *verdict;
    struct arena arena;
    /* Of the partition that is being judged. */
    int life;
    int32_t partition;
    struct log_offsets offsets;
    int sent[OFFSETS_MAX]; /* the batch that the story has at an offset; -1: none */
    bool is_present[OFFSETS_MAX];
    bool has_untold; /* batches that may be anywhere behind the others */
};

unsigned verdict_faults(const struct verdict *verdict)
{
    return verdict->lost + verdict->changed + verdict->back + verdict->broken;
}

__attribute__((format(printf, 3, 4))) static void fault(struct judgement *judgement, unsigned *count,
                                                        const char *format, ...)
{
    struct verdict *verdict = judgement->verdict;
    va_list args;
    if (verdict_faults(verdict) == 0) {
        va_start(args, format);
        vsnprintf(verdict->first, sizeof verdict->first, format, args);
        va_end(args);
    }
    ++*count;
}

static void begin(struct judgement *judgement, const struct story *story, struct sim *sim, uint64_t at,
                  struct verdict *verdict)
{
    judgement->story = story;
    judgement->sim = sim;
    judgement->at = at;
    judgement->shown = NULL;
    judgement->verdict = verdict;
    arena_init(&judgement->arena, NULL);
    sim_connect(sim, &judgement->client);
}

static void end(struct judgement *judgement)
{
    sim_disconnect(&judgement->client);
    arena_destroy(&judgement->arena);
}

static const struct topic *topic_of(const struct judgement *judgement, int life)
{
    return image_topic_by_id(controller_image(judgement->sim->server->controller),
                             judgement->story->lives[life].id);
}

/* -- one partition --------------------------------------------------------------------------------------- */

/* Ends of what was answered and of what was asked for; where the start lies between. */
struct bounds {
    int64_t end_min, end_max, start_min, start_max;
};

static void raise_to(int64_t *bound, int64_t value)
{
    if (value > *bound)
        *bound = value;
}

static struct bounds bounds_of(const struct judgement *judgement)
{
    const struct story *story = judgement->story;
    struct bounds bounds = { 0, 0, 0, 0 };
    int64_t untold = 0;
    for (int i = 0; i < story->batch_count; i++) {
        const struct sent_batch *batch = &story->batches[i];
        if (batch->life != judgement->life || batch->partition != judgement->partition)
            continue;
        if (batch->answered_at <= judgement->at)
            raise_to(&bounds.end_min, batch->base_offset + batch->count);
        if (batch->base_offset == NEVER)
            untold += batch->count;
        else if (batch->asked_at <= judgement->at)
            raise_to(&bounds.end_max, batch->base_offset + batch->count);
    }
    bounds.end_max += untold;
    for (int i = 0; i < story->seen_count; i++) {
        const struct seen *seen = &story->seen[i];
        if (seen->life == judgement->life && seen->partition == judgement->partition &&
            seen->at <= judgement->at)
            raise_to(&bounds.end_min, seen->high_watermark);
    }
    if (judgement->shown)
        raise_to(&bounds.end_min, judgement->shown->high_watermarks[judgement->life][judgement->partition]);
    for (int i = 0; i < story->change_count; i++) {
        const struct change *change = &story->changes[i];
        if (change->kind != CHANGE_START || change->life != judgement->life ||
            change->partition != judgement->partition)
            continue;
        if (change->answered_at <= judgement->at)
            raise_to(&bounds.start_min, change->value);
        if (change->asked_at <= judgement->at)
            raise_to(&bounds.start_max, change->value);
    }
    return bounds;
}

static const char *name_of(const struct judgement *judgement)
{
    return judgement->story->lives[judgement->life].name;
}

/* False: there are records that nobody sent, and nothing to compare them with. */
static bool judge_offsets(struct judgement *judgement)
{
    const struct log_offsets *offsets = &judgement->offsets;
    struct verdict *verdict = judgement->verdict;
    struct bounds bounds = bounds_of(judgement);
    const char *name = name_of(judgement);
    int partition = judgement->partition;
    if (!(offsets->start <= offsets->stable && offsets->stable <= offsets->high_watermark &&
          offsets->high_watermark <= offsets->end && offsets->durable == offsets->end))
        fault(judgement, &verdict->broken, "%s-%d: start %lld stable %lld hw %lld durable %lld end %lld",
              name, partition, (long long)offsets->start, (long long)offsets->stable,
              (long long)offsets->high_watermark, (long long)offsets->durable, (long long)offsets->end);
    if (offsets->high_watermark < bounds.end_min)
        fault(judgement, &verdict->lost, "%s-%d ends at %lld, promised were %lld", name, partition,
              (long long)offsets->high_watermark, (long long)bounds.end_min);
    if (offsets->end > bounds.end_max)
        fault(judgement, &verdict->broken, "%s-%d ends at %lld, sent were %lld", name, partition,
              (long long)offsets->end, (long long)bounds.end_max);
    if (offsets->start < bounds.start_min)
        fault(judgement, &verdict->back, "%s-%d starts at %lld, deleted was up to %lld", name, partition,
              (long long)offsets->start, (long long)bounds.start_min);
    if (offsets->start > bounds.start_max)
        fault(judgement, &verdict->lost, "%s-%d starts at %lld, nobody asked for more than %lld", name,
              partition, (long long)offsets->start, (long long)bounds.start_max);
    return offsets->end <= bounds.end_max;
}

static int64_t number_at(const struct judgement *judgement, int64_t offset)
{
    const struct sent_batch *batch = &judgement->story->batches[judgement->sent[offset]];
    return batch->first_number + (offset - batch->base_offset);
}

static void judge_record(struct judgement *judgement, const struct record *record)
{
    char key[STORY_TEXT_SIZE], value[STORY_TEXT_SIZE];
    bool is_compacted = judgement->story->lives[judgement->life].is_compacted;
    bool is_in_range = record->offset >= 0 && record->offset < OFFSETS_MAX;
    if (is_in_range && judgement->sent[record->offset] < 0 && judgement->has_untold) {
        judgement->is_present[record->offset] = true;
        return;
    }
    if (!is_in_range || judgement->sent[record->offset] < 0) {
        fault(judgement, &judgement->verdict->broken, "%s-%d has a record at %lld that nobody sent",
              name_of(judgement), judgement->partition, (long long)record->offset);
        return;
    }
    const struct sent_batch *batch = &judgement->story->batches[judgement->sent[record->offset]];
    int64_t number = number_at(judgement, record->offset);
    slice wanted_key = story_key(number, is_compacted, key),
          wanted = story_value(number, is_compacted, value);
    bool is_same = slice_equal(record->key, wanted_key) && slice_equal(record->value, wanted) &&
                   slice_is_null(record->value) == slice_is_null(wanted) &&
                   record->timestamp == batch->timestamp;
    if (!is_same)
        fault(judgement, &judgement->verdict->changed, "%s-%d at %lld: another record than was sent: '%.*s'",
              name_of(judgement), judgement->partition, (long long)record->offset, (int)record->value.size,
              (const char *)record->value.data);
    judgement->is_present[record->offset] = true;
}

/* Offsets rise; returns where the next batch begins, or -1. */
static int64_t judge_batch(struct judgement *judgement, slice bytes, int64_t from, size_t *size)
{
    struct batch_view batch;
    struct record record;
    enum batch_status status = batch_view(bytes, &batch);
    bool is_whole = status == BATCH_OK && batch_crc_ok(&batch) && batch_last_offset(&batch) >= from;
    if (!is_whole) {
        fault(judgement, &judgement->verdict->changed, "%s-%d at %lld: no batch", name_of(judgement),
              judgement->partition, (long long)from);
        return -1;
    }
    int64_t least = batch.base_offset;
    struct record_iterator *iterator = record_iterator_open(&batch, &judgement->arena, 1 << 20);
    while ((status = record_iterator_next(iterator, &record)) == BATCH_OK) {
        if (record.offset < least)
            fault(judgement, &judgement->verdict->broken, "%s-%d: %lld comes after %lld", name_of(judgement),
                  judgement->partition, (long long)record.offset, (long long)least);
        least = record.offset + 1;
        if (record.offset >= judgement->offsets.start)
            judge_record(judgement, &record);
    }
    record_iterator_close(iterator);
    if (status != BATCH_SHORT)
        fault(judgement, &judgement->verdict->changed, "%s-%d: a damaged batch at %lld", name_of(judgement),
              judgement->partition, (long long)batch.base_offset);
    *size = batch.size;
    return batch_last_offset(&batch) + 1;
}

static bool fetch(struct judgement *judgement, int64_t offset, struct fetch_response *response)
{
    struct one_fetch one;
    one_fetch(&one, name_of(judgement), judgement->partition, offset);
    ck_assert(sim_call(&judgement->client, ONE_FETCH, FETCH_VERSION, &one.request, response));
    return response->topics[0].partitions[0].error_code == ERR_NONE;
}

static void read_records(struct judgement *judgement)
{
    int64_t offset = judgement->offsets.start;
    while (offset >= 0 && offset < judgement->offsets.high_watermark) {
        struct fetch_response response;
        bool is_fetched = fetch(judgement, offset, &response);
        const struct fetch_response_partition *partition = &response.topics[0].partitions[0];
        slice bytes = partition->records.bytes;
        if (!is_fetched || bytes.size == 0) {
            fault(judgement, &judgement->verdict->lost, "%s-%d: nothing is served at %lld of %lld, error %d",
                  name_of(judgement), judgement->partition, (long long)offset,
                  (long long)judgement->offsets.high_watermark, partition->error_code);
            return;
        }
        while (bytes.size > 0 && offset >= 0) {
            size_t size = 0;
            offset = judge_batch(judgement, bytes, offset, &size);
            bytes = slice_of(bytes.data + size, bytes.size - size);
        }
    }
    struct fetch_response response;
    if (judgement->offsets.start > 0 && fetch(judgement, judgement->offsets.start - 1, &response))
        fault(judgement, &judgement->verdict->back, "%s-%d: %lld is served, below the start",
              name_of(judgement), judgement->partition, (long long)judgement->offsets.start - 1);
}

/* The last record of every key, unless that is a tombstone whose time is over: then there is none at all. */
static void judge_compacted(struct judgement *judgement)
{
    int64_t last[KEYS];
    bool is_any_left[KEYS] = { false };
    memset(last, -1, sizeof last);
    for (int64_t o = judgement->offsets.start; o < judgement->offsets.high_watermark; o++) {
        if (judgement->sent[o] < 0)
            return; /* its key is not known */
        int key = story_key_index(number_at(judgement, o));
        last[key] = o;
        is_any_left[key] = is_any_left[key] || judgement->is_present[o];
    }
    for (int key = 0; key < KEYS; key++) {
        char text[STORY_TEXT_SIZE];
        if (last[key] < 0 || judgement->is_present[last[key]])
            continue;
        bool is_tombstone = slice_is_null(story_value(number_at(judgement, last[key]), true, text));
        if (!is_tombstone || judgement->at < judgement->story->tombstones_go_at)
            fault(judgement, &judgement->verdict->lost, "%s-%d: the last record of key %d, at %lld",
                  name_of(judgement), judgement->partition, key, (long long)last[key]);
        else if (is_any_left[key])
            fault(judgement, &judgement->verdict->back,
                  "%s-%d: the tombstone of key %d at %lld is gone, not what it covers", name_of(judgement),
                  judgement->partition, key, (long long)last[key]);
    }
}

static void judge_complete(struct judgement *judgement)
{
    for (int64_t o = judgement->offsets.start; o < judgement->offsets.high_watermark; o++)
        if (!judgement->is_present[o])
            fault(judgement, &judgement->verdict->lost, "%s-%d: the record at %lld", name_of(judgement),
                  judgement->partition, (long long)o);
}

static void take_partition(struct judgement *judgement, const struct topic *topic, int life,
                           int32_t partition)
{
    const struct story *story = judgement->story;
    judgement->life = life;
    judgement->partition = partition;
    judgement->offsets = log_offsets(topic->partitions[partition].partition->log);
    judgement->has_untold = false;
    memset(judgement->sent, -1, sizeof judgement->sent);
    memset(judgement->is_present, 0, sizeof judgement->is_present);
    for (int i = 0; i < story->batch_count; i++) {
        const struct sent_batch *batch = &story->batches[i];
        if (batch->life != life || batch->partition != partition)
            continue;
        if (batch->base_offset == NEVER) {
            judgement->has_untold = true;
            continue;
        }
        ck_assert_int_lt(batch->base_offset + batch->count, OFFSETS_MAX);
        for (int32_t r = 0; r < batch->count; r++)
            judgement->sent[batch->base_offset + r] = i;
    }
}

static void judge_partition(struct judgement *judgement, const struct topic *topic, int life,
                            int32_t partition)
{
    take_partition(judgement, topic, life, partition);
    if (!judge_offsets(judgement))
        return;
    read_records(judgement);
    if (judgement->story->lives[life].is_compacted)
        judge_compacted(judgement);
    else
        judge_complete(judgement);
}

/* -- topics, settings, committed offsets ----------------------------------------------------------------- */

static void judge_life(struct judgement *judgement, int number)
{
    const struct life *life = &judgement->story->lives[number];
    const struct topic *topic = topic_of(judgement, number);
    struct verdict *verdict = judgement->verdict;
    bool must_be = life->made_at <= judgement->at && life->gone_asked_at >= judgement->at;
    bool must_not_be = life->gone_at <= judgement->at;
    if (!topic && must_be)
        fault(judgement, &verdict->lost, "topic %s (%d)", life->name, number);
    if (topic && must_not_be)
        fault(judgement, &verdict->back, "topic %s (%d)", life->name, number);
    if (topic && life->made_asked_at > judgement->at)
        fault(judgement, &verdict->broken, "topic %s (%d) before its time", life->name, number);
    if (!topic || must_not_be)
        return;
    if (!slice_equal_string(topic->name_slice, life->name) ||
        topic->partition_count != life->partition_count) {
        fault(judgement, &verdict->changed, "topic %s (%d)", life->name, number);
        return;
    }
    for (int32_t p = 0; p < life->partition_count; p++)
        judge_partition(judgement, topic, number, p);
}

static bool is_same_place(const struct change *a, const struct change *b)
{
    bool is_same_name = (a->name == NULL) == (b->name == NULL) && (!a->name || strcmp(a->name, b->name) == 0);
    return a->kind == b->kind && is_same_name && a->life == b->life && a->partition == b->partition;
}

/* What the place may hold: what the last answered change says, or any that was asked for later. */
static bool is_possible(const struct judgement *judgement, const struct change *place, int64_t value,
                        int64_t at_first)
{
    bool is_possible = value == at_first;
    for (int i = 0; i < judgement->story->change_count; i++) {
        const struct change *change = &judgement->story->changes[i];
        if (!is_same_place(change, place) || change->asked_at > judgement->at)
            continue;
        if (change->answered_at <= judgement->at)
            is_possible = false;
        is_possible = is_possible || change->value == value;
    }
    return is_possible;
}

static int64_t committed(struct judgement *judgement, const struct change *place)
{
    struct one_offsets one;
    struct offset_fetch_response response;
    one_offsets(&one, place->name, judgement->story->lives[place->life].name, place->partition);
    ck_assert(sim_call(&judgement->client, ONE_OFFSETS, ONE_OFFSETS_VERSION, &one.request, &response));
    if (response.groups[0].error_code == ERR_NOT_COORDINATOR)
        return -1; /* nobody has asked for a coordinator yet */
    if (response.groups[0].error_code != ERR_NONE)
        return -1000 - response.groups[0].error_code;
    return response.groups[0].topics[0].partitions[0].committed_offset;
}

static int64_t setting(const struct judgement *judgement, const struct change *place)
{
    const struct topic *topic = topic_of(judgement, place->life);
    for (size_t i = 0; topic && i < topic->override_count; i++) {
        char text[32];
        if (!slice_equal_string(topic->overrides[i].name, place->name))
            continue;
        snprintf(text, sizeof text, "%.*s", (int)topic->overrides[i].value.size,
                 (const char *)topic->overrides[i].value.data);
        return strtoll(text, NULL, 10);
    }
    return -1;
}

static void judge_changes(struct judgement *judgement)
{
    for (int i = 0; i < judgement->story->change_count; i++) {
        const struct change *change = &judgement->story->changes[i];
        if (change->kind == CHANGE_START)
            continue;
        int64_t value =
            change->kind == CHANGE_OFFSET ? committed(judgement, change) : setting(judgement, change);
        if (!is_possible(judgement, change, value, -1))
            fault(judgement, &judgement->verdict->lost, "%s of life %d-%d is %lld", change->name,
                  change->life, change->partition, (long long)value);
    }
}

void judge_reads(const struct story *story, struct sim *sim, uint64_t at, const struct shown *shown,
                 struct verdict *verdict)
{
    static struct judgement judgement;
    begin(&judgement, story, sim, at, verdict);
    judgement.shown = shown;
    sim_settle(sim); /* groups are loaded */
    for (int l = 0; l < story->life_count; l++)
        judge_life(&judgement, l);
    judge_changes(&judgement);
    end(&judgement);
}

void judge_look(const struct story *story, struct sim *sim, struct shown *shown)
{
    memset(shown, 0, sizeof *shown);
    for (int l = 0; l < story->life_count; l++) {
        const struct topic *topic =
            image_topic_by_id(controller_image(sim->server->controller), story->lives[l].id);
        for (int32_t p = 0; topic && p < topic->partition_count; p++)
            shown->high_watermarks[l][p] = log_offsets(topic->partitions[p].partition->log).high_watermark;
    }
}

/* -- going on -------------------------------------------------------------------------------------------- */

/* Returns the error; *base_offset is where the batch is. */
static int16_t produce(struct judgement *judgement, const struct sent_batch *batch, int64_t *base_offset)
{
    struct one_produce one;
    struct produce_response response;
    one_produce(&one, name_of(judgement), judgement->partition,
                story_batch(judgement->story, &judgement->arena, batch->first_number, batch->count,
                            batch->timestamp, judgement->story->lives[judgement->life].is_compacted,
                            batch->producer, batch->sequence));
    ck_assert(sim_call(&judgement->client, ONE_PRODUCE, PRODUCE_VERSION, &one.request, &response));
    *base_offset = response.topics[0].partitions[0].base_offset;
    return response.topics[0].partitions[0].error_code;
}

static void expect_produced(struct judgement *judgement, const struct sent_batch *batch, int16_t error_code,
                            int64_t base_offset, const char *what)
{
    int64_t told;
    int16_t error = produce(judgement, batch, &told);
    if (error != error_code || (error == ERR_NONE && told != base_offset))
        fault(judgement, &judgement->verdict->broken,
              "%s-%d: %s of producer %d: error %d offset %lld, not %d %lld", name_of(judgement),
              judgement->partition, what, batch->producer, error, (long long)told, error_code,
              (long long)base_offset);
}

/* The last batch of the producer that is in the log, repeated; one that skips a sequence; and the next one.
 */
static void judge_sequences(struct judgement *judgement, int producer, int64_t *end_offset)
{
    const struct story *story = judgement->story;
    const struct sent_batch *last = NULL;
    for (int i = 0; i < story->batch_count; i++) {
        const struct sent_batch *batch = &story->batches[i];
        bool is_in = batch->life == judgement->life && batch->partition == judgement->partition &&
                     batch->producer == producer && batch->base_offset < judgement->offsets.end;
        if (is_in && batch->base_offset == NEVER)
            return; /* nobody knows whether it is */
        if (is_in && (!last || batch->base_offset > last->base_offset))
            last = batch;
    }
    if (!last)
        return;
    struct sent_batch next = *last;
    next.first_number = NEW_RECORDS_FROM;
    next.sequence = last->sequence + last->count;
    expect_produced(judgement, last, ERR_NONE, last->base_offset, "a repetition");
    next.sequence++;
    expect_produced(judgement, &next, ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, -1, "a gap");
    next.sequence--;
    expect_produced(judgement, &next, ERR_NONE, *end_offset, "the next batch");
    *end_offset += next.count;
}

static void judge_appends(struct judgement *judgement, const struct topic *topic, int life, int32_t partition)
{
    take_partition(judgement, topic, life, partition);
    int64_t end_offset = judgement->offsets.end;
    for (int producer = 0; producer < PRODUCERS; producer++)
        judge_sequences(judgement, producer, &end_offset);
    const struct sent_batch one = { .first_number = NEW_RECORDS_FROM + 10,
                                    .count = 1,
                                    .timestamp = clock_wall_ms(&judgement->sim->clock.clock),
                                    .producer = -1 };
    expect_produced(judgement, &one, ERR_NONE, end_offset, "a new record");
    arena_reset(&judgement->arena);
}

/* Ids are told once. */
static void judge_producer_ids(struct judgement *judgement)
{
    struct init_producer_id_request request;
    struct init_producer_id_response response;
    one_init_producer(&request);
    ck_assert(
        sim_call(&judgement->client, ONE_INIT_PRODUCER, ONE_INIT_PRODUCER_VERSION, &request, &response));
    bool is_old = response.error_code != ERR_NONE;
    for (int i = 0; i < PRODUCERS; i++)
        is_old = is_old || (judgement->story->producer_ids_at[i] <= judgement->at &&
                            response.producer_id == judgement->story->producer_ids[i]);
    if (is_old)
        fault(judgement, &judgement->verdict->broken, "producer id %lld for the second time, or error %d",
              (long long)response.producer_id, response.error_code);
}

/* A topic comes, is written to, and goes. */
static void judge_new_topic(struct judgement *judgement)
{
    static const char name[] = "another";
    struct one_create create;
    struct one_delete delete;
    struct one_produce one;
    struct create_topics_response made;
    struct produce_response told;
    struct delete_topics_response gone;
    struct batch_builder_options options = { NO_PRODUCER };
    struct batch_view batch = small_batch(&judgement->arena, &options, 1);
    one_create(&create, name, 1, NULL);
    one_produce(&one, name, 0, batch_bytes(&batch));
    one_delete(&delete, name);
    ck_assert(sim_call(&judgement->client, ONE_CREATE, ONE_CREATE_VERSION, &create.request, &made));
    int16_t error_code = made.topics[0].error_code;
    ck_assert(sim_call(&judgement->client, ONE_PRODUCE, PRODUCE_VERSION, &one.request, &told));
    error_code = error_code ? error_code : told.topics[0].partitions[0].error_code;
    ck_assert(sim_call(&judgement->client, ONE_DELETE, ONE_DELETE_VERSION, &delete.request, &gone));
    error_code = error_code ? error_code : gone.topics[0].error_code;
    if (error_code != ERR_NONE)
        fault(judgement, &judgement->verdict->broken, "a new topic: error %d", error_code);
}

void judge_goes_on(const struct story *story, struct sim *sim, uint64_t at, struct verdict *verdict)
{
    static struct judgement judgement;
    begin(&judgement, story, sim, at, verdict);
    for (int l = 0; l < story->life_count; l++) {
        const struct topic *topic = topic_of(&judgement, l);
        for (int32_t p = 0; topic && p < topic->partition_count; p++)
            judge_appends(&judgement, topic, l, p);
    }
    judge_producer_ids(&judgement);
    judge_new_topic(&judgement);
    end(&judgement);
}
