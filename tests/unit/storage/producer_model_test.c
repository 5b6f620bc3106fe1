/* Idempotent producers against a plain model of Kafka's rules: random batches, restarts, kills and power
 * cuts. */
#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/base/crc32c.h"
#include "protocol/base/note.h"
#include "tests/support/log_rig.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SLOWER = 10 };
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
enum { SLOWER = 10 };
#else
enum { SLOWER = 1 };
#endif
#else
enum { SLOWER = 1 };
#endif

enum { PRODUCERS_MAX = 24, CALL_MAX = 70, BATCH_BYTES = BATCH_HEADER_SIZE + 4, WINDOW = 5 };

/* --- the model --------------------------------------------------------------------------------- */

/* A batch of a producer that is in the log. */
struct known {
    int64_t base, last;
    int64_t timestamp, written_ms;
    uint64_t write_number; /* of all writes of all producers */
    int32_t first_sequence, last_sequence;
    int16_t epoch;
};

/* All batches of a producer that are in the log, in order. The log surely remembers those from `sure` on, and
 * none before `maybe`. The two differ after a kill alone: what was forgotten in memory may be found again on
 * the disk. */
struct producer_model {
    struct known *batches;
    size_t count, capacity;
    size_t sure, maybe;
    int64_t written_ms_at_most; /* by the log's reckoning, which after a kill may be as late as the start */
};

struct model {
    struct log_rig *rig;
    struct random random;
    struct producer_model producers[PRODUCERS_MAX];
    size_t producer_count; /* that take part in this run */
    int64_t end;
    uint64_t write_number;
    uint64_t steps, duplicates, refused, forgotten;
    uint64_t open; /* steps of producers of which the log may remember more than it must */
    struct log_position durable;
    bool survives; /* this run has restarts and cuts */
};

enum answer { ACCEPT, REPEAT, REFUSE_SEQUENCE, REFUSE_EPOCH };

static int32_t after(int32_t sequence)
{
    return sequence == INT32_MAX ? 0 : sequence + 1;
}

/* What Kafka says to a batch when it remembers the producer's batches from `from` on. */
static enum answer judge(const struct producer_model *producer, size_t from, const struct known *batch,
                         size_t *repeated)
{
    if (from >= producer->count)
        return ACCEPT;
    const struct known *newest = &producer->batches[producer->count - 1];
    for (size_t i = producer->count; i > from && i > 0 && producer->count - i < WINDOW; i--) {
        const struct known *old = &producer->batches[i - 1];
        if (old->epoch != newest->epoch)
            break;
        if (old->epoch == batch->epoch && old->first_sequence == batch->first_sequence &&
            old->last_sequence == batch->last_sequence) {
            *repeated = i - 1;
            return REPEAT;
        }
    }
    if (batch->epoch < newest->epoch)
        return REFUSE_EPOCH;
    if (batch->epoch > newest->epoch)
        return batch->first_sequence == 0 ? ACCEPT : REFUSE_SEQUENCE;
    return batch->first_sequence == after(newest->last_sequence) ? ACCEPT : REFUSE_SEQUENCE;
}

static void forget(struct producer_model *producer)
{
    producer->sure = producer->maybe = producer->count;
}

static bool is_surely_known(const struct producer_model *producer)
{
    return producer->sure < producer->count;
}

static bool is_perhaps_known(const struct producer_model *producer)
{
    return producer->maybe < producer->count;
}

static uint64_t last_write(const struct producer_model *producer)
{
    return producer->count ? producer->batches[producer->count - 1].write_number : 0;
}

/* Who wrote nothing for the time of expiry. */
static void expire(struct model *model, struct producer_model *producer, int64_t now_ms)
{
    int64_t expiration_ms = model->rig->config.producer_id_expiration_ms;
    if (expiration_ms == 0 || !is_perhaps_known(producer))
        return;
    if (now_ms - producer->written_ms_at_most >= expiration_ms)
        forget(producer);
    else if (now_ms - producer->batches[producer->count - 1].written_ms >= expiration_ms)
        producer->sure = producer->count;
}

/* Of too many, those that wrote longest ago are forgotten. */
static void keep_bound(struct model *model)
{
    bool goes[PRODUCERS_MAX] = { false }, may_go[PRODUCERS_MAX] = { false };
    size_t max = model->rig->config.producer_ids_max;
    if (max == 0)
        return;
    for (size_t i = 0; i < model->producer_count; i++)
        expire(model, &model->producers[i], clock_wall_ms(model->rig->env.clock));
    for (size_t i = 0; i < model->producer_count; i++) {
        const struct producer_model *one = &model->producers[i];
        size_t later = 0, perhaps_later = 0;
        for (size_t k = 0; k < model->producer_count && is_perhaps_known(one); k++) {
            const struct producer_model *other = &model->producers[k];
            later += is_surely_known(other) && last_write(other) > last_write(one);
            perhaps_later += is_perhaps_known(other) && last_write(other) > last_write(one);
        }
        goes[i] = later >= max;
        may_go[i] = perhaps_later >= max;
    }
    for (size_t i = 0; i < model->producer_count; i++) {
        if (goes[i])
            forget(&model->producers[i]);
        else if (may_go[i])
            model->producers[i].sure = model->producers[i].count;
        model->forgotten += goes[i];
    }
}

static void remember(struct model *model, struct producer_model *producer, const struct known *batch)
{
    if (producer->count == producer->capacity) {
        producer->capacity = producer->capacity ? producer->capacity * 2 : 64;
        producer->batches = realloc(producer->batches, producer->capacity * sizeof *producer->batches);
        ck_assert_ptr_nonnull(producer->batches);
    }
    producer->batches[producer->count] = *batch;
    producer->batches[producer->count++].write_number = ++model->write_number;
    producer->written_ms_at_most = batch->written_ms;
}

/* Whether the log's answer is the model's. Where the log may remember more than it must, the answer tells
 * from which batch on. */
static bool agree(struct producer_model *producer, const struct known *batch, enum answer answer,
                  size_t *repeated)
{
    size_t first = SIZE_MAX, last = 0;
    for (size_t from = producer->maybe; from <= producer->sure; from++) {
        if (judge(producer, from, batch, repeated) == answer) {
            first = first == SIZE_MAX ? from : first;
            last = from;
        }
    }
    if (first == SIZE_MAX)
        return false;
    (void)judge(producer, first, batch, repeated);
    producer->maybe = first;
    producer->sure = last;
    return true;
}

/* --- steps ------------------------------------------------------------------------------------- */

/* A batch of a call, as it is sent. */
struct sent {
    struct known batch;
    size_t producer; /* SIZE_MAX: none */
    bool append_time;
    uint8_t bytes[BATCH_BYTES];
};

static struct batch_view make(struct sent *sent, int64_t count)
{
    struct batch_view view;
    uint8_t *at = sent->bytes;
    memset(at, 0, BATCH_BYTES);
    store_be32(at + BATCH_LENGTH, BATCH_BYTES - BATCH_OVERHEAD);
    at[BATCH_MAGIC] = 2;
    store_be16(at + BATCH_ATTRIBUTES, sent->append_time ? BATCH_ATTRIBUTE_LOG_APPEND_TIME : 0);
    store_be32(at + BATCH_LAST_OFFSET_DELTA, (uint32_t)(count - 1));
    store_be64(at + BATCH_BASE_TIMESTAMP, (uint64_t)sent->batch.timestamp);
    store_be64(at + BATCH_MAX_TIMESTAMP, (uint64_t)sent->batch.timestamp);
    /* Ids far apart and of all sizes; the same in every run. */
    store_be64(at + BATCH_PRODUCER_ID,
               sent->producer == SIZE_MAX ? UINT64_MAX : sent->producer * UINT64_C(0x0123456789abcd) >> 3);
    store_be16(at + BATCH_PRODUCER_EPOCH, (uint16_t)(sent->producer == SIZE_MAX ? -1 : sent->batch.epoch));
    store_be32(at + BATCH_BASE_SEQUENCE,
               (uint32_t)(sent->producer == SIZE_MAX ? -1 : sent->batch.first_sequence));
    store_be32(at + BATCH_RECORD_COUNT, (uint32_t)count);
    store_be32(at + BATCH_CRC, crc32c(0, at + BATCH_ATTRIBUTES, BATCH_BYTES - BATCH_ATTRIBUTES));
    ck_assert_int_eq(batch_view(slice_of(at, BATCH_BYTES), &view), BATCH_OK);
    return view;
}

static int32_t plus(int32_t sequence, int64_t delta)
{
    return (int32_t)(((int64_t)sequence + delta + ((int64_t)1 << 31)) & INT32_MAX);
}

/* What the producer sends next: usually what comes after `previous` (what it sent last in this call, or
 * wrote). */
static void choose(struct model *model, const struct producer_model *producer, const struct known *previous,
                   struct known *out, int64_t *count)
{
    struct random *random = &model->random;
    uint64_t dice = random_below(random, 100);
    *count = 1 + (int64_t)random_below(random, random_below(random, 8) == 0 ? 40 : 3);
    *out = (struct known){ .epoch = previous ? previous->epoch : (int16_t)random_below(random, 3) };
    if (!previous)
        out->first_sequence =
            random_below(random, 2) ? 0 : plus(INT32_MAX, -(int64_t)random_below(random, 30));
    else if (dice < 55)
        out->first_sequence = after(previous->last_sequence);
    else if (dice < 82 && producer->count > 0) { /* one of the last seven again */
        size_t back = 1 + random_below(random, 7);
        const struct known *old = &producer->batches[back > producer->count ? 0 : producer->count - back];
        *out = (struct known){ .epoch = old->epoch, .first_sequence = old->first_sequence };
        *count = old->last - old->base + 1;
        if (random_below(random, 8) == 0)
            *count += random_below(random, 2) ? 1 : -1; /* nearly */
        if (random_below(random, 12) == 0)
            out->epoch = previous->epoch;
    } else if (dice < 86) {
        out->first_sequence = plus(previous->last_sequence, (int64_t)random_below(random, 12) - 6);
    } else if (dice < 90) {
        out->epoch =
            (int16_t)(previous->epoch + (previous->epoch < INT16_MAX - 3 ? 1 + random_below(random, 2) : 0));
    } else if (dice < 92) {
        out->epoch = (int16_t)(previous->epoch + 1);
        out->first_sequence = (int32_t)random_below(random, 4);
    } else if (dice < 95) {
        out->epoch = (int16_t)(previous->epoch > 0 ? previous->epoch - 1 : 0);
        out->first_sequence = after(previous->last_sequence);
    } else if (dice < 96) { /* so that an epoch comes to the end of the numbers */
        out->epoch = (int16_t)(previous->epoch + 1);
        out->first_sequence = 0;
        *count = 1;
    } else {
        out->first_sequence = (int32_t)(random_u64(random) & INT32_MAX);
    }
    *count = *count < 1 ? 1 : *count;
}

/* Compares the log's results with the model's, in the order of the batches: each sees those before it. */
static void compare(struct model *model, struct sent *sent, const struct log_append_result *results,
                    size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct log_append_result *result = &results[i];
        struct known *batch = &sent[i].batch;
        int64_t records = batch->last - batch->base + 1;
        size_t repeated = 0;
        if (result->status == LOG_DISK_FULL) {
            ck_assert(result->base_offset == -1 && !result->is_duplicate);
            continue;
        }
        model->steps++;
        enum answer answer = result->status == LOG_BAD_SEQUENCE ? REFUSE_SEQUENCE
                             : result->status == LOG_BAD_EPOCH  ? REFUSE_EPOCH
                             : result->is_duplicate             ? REPEAT
                                                                : ACCEPT;
        ck_assert(answer == REFUSE_SEQUENCE || answer == REFUSE_EPOCH || result->status == LOG_OK);
        struct producer_model *producer =
            sent[i].producer == SIZE_MAX ? NULL : &model->producers[sent[i].producer];
        if (producer)
            expire(model, producer, batch->written_ms);
        model->open += producer && producer->maybe != producer->sure;
        if (producer && !agree(producer, batch, answer, &repeated))
            ck_abort_msg("step %" PRIu64
                         ": producer %zu epoch %d sequences %d-%d: answer %d; known %zu sure %zu "
                         "maybe %zu, newest epoch %d sequences %d-%d",
                         model->steps, sent[i].producer, batch->epoch, batch->first_sequence,
                         batch->last_sequence, (int)answer, producer->count, producer->sure, producer->maybe,
                         producer->count ? producer->batches[producer->count - 1].epoch : -1,
                         producer->count ? producer->batches[producer->count - 1].first_sequence : -1,
                         producer->count ? producer->batches[producer->count - 1].last_sequence : -1);
        ck_assert(producer || answer == ACCEPT);
        if (answer == REPEAT) {
            const struct known *old = &producer->batches[repeated];
            ck_assert_int_eq(result->base_offset, old->base);
            ck_assert_int_eq(result->last_offset, old->last);
            ck_assert_int_eq(result->end_offset, old->last + 1);
            ck_assert_int_eq(result->append_time_ms, sent[i].append_time ? old->timestamp : -1);
            model->duplicates++;
        } else if (answer == ACCEPT) {
            ck_assert_int_eq(result->base_offset, model->end);
            ck_assert_int_eq(result->end_offset, model->end + records);
            ck_assert_int_eq(result->append_time_ms, sent[i].append_time ? batch->timestamp : -1);
            batch->base = model->end;
            batch->last = model->end + records - 1;
            model->end += records;
            if (producer)
                remember(model, producer, batch);
        } else {
            ck_assert(result->base_offset == -1 && result->last_offset == -1 && result->end_offset == -1);
            model->refused++;
        }
    }
    keep_bound(model);
}

static void append(struct model *model)
{
    static struct sent sent[CALL_MAX];
    struct batch_view views[CALL_MAX];
    struct log_append_result results[CALL_MAX];
    struct random *random = &model->random;
    size_t count = 1 + random_below(random, random_below(random, 30) == 0 ? CALL_MAX : 6);
    struct known latest[PRODUCERS_MAX];
    bool has_latest[PRODUCERS_MAX] = { false };
    int64_t now_ms = clock_wall_ms(model->rig->env.clock);
    for (size_t i = 0; i < count; i++) {
        size_t p = random_below(random, model->producer_count);
        const struct producer_model *producer = &model->producers[p];
        const struct known *previous = has_latest[p]         ? &latest[p]
                                       : producer->count > 0 ? &producer->batches[producer->count - 1]
                                                             : NULL;
        int64_t records;
        if (i > 0 && random_below(random, 12) == 0) { /* a batch of this very call again */
            sent[i] = sent[random_below(random, i)];
            records = sent[i].batch.last + 1;
            p = sent[i].producer;
        } else {
            choose(model, producer, previous, &sent[i].batch, &records);
            sent[i].producer = p;
            if (random_below(random, 10) == 0)
                sent[i].producer = p = SIZE_MAX;
        }
        sent[i].append_time = random_below(random, 4) == 0;
        sent[i].batch.timestamp = (int64_t)random_below(random, 1000000);
        sent[i].batch.written_ms = now_ms;
        sent[i].batch.base = 0;
        sent[i].batch.last = records - 1;
        sent[i].batch.last_sequence = plus(sent[i].batch.first_sequence, records - 1);
        views[i] = make(&sent[i], records);
        if (p != SIZE_MAX) {
            latest[p] = sent[i].batch;
            has_latest[p] = true;
        }
    }
    enum log_status status;
    while ((status = log_append(model->rig->log, views, count, 0, now_ms, results)) == LOG_BUSY) {
        status = log_prepare(model->rig->log);
        ck_assert(status == LOG_OK || status == LOG_DISK_FULL); /* once: the fault is over then */
    }
    ck_assert(status == LOG_OK || status == LOG_DISK_FULL);
    compare(model, sent, results, count);
    ck_assert_int_eq(log_offsets(model->rig->log).end, model->end);
}

static void flush(struct model *model)
{
    while (log_rig_flush(model->rig)) {
    }
    model->durable = log__durable_position(model->rig->log);
}

static void stop_and_start(struct model *model)
{
    struct log_row row;
    file_double_short_write(model->rig->disk, 0, 0);
    ck_assert_int_eq(log_rig_close(model->rig, true, &row), LOG_OK);
    log_rig_new_log(model->rig);
    if (row.segment_count == 0)
        return;
    model->durable = (struct log_position){ row.end_offset, row.active_base, row.active_size };
    if (random_below(&model->random, 2))
        log__set_closed_row(model->rig->log, &row);
    else
        ck_assert_int_eq(log__open_clean(model->rig->log, -1), LOG_OK);
    ck_assert_int_eq(log_offsets(model->rig->log).end, model->end);
}

/* What came back: batches that were lost are not remembered, all others are. */
static void accept_recovered(struct model *model)
{
    int64_t end = log_offsets(model->rig->log).end, now_ms = clock_wall_ms(model->rig->env.clock);
    ck_assert_int_ge(end, model->durable.offset);
    ck_assert_int_le(end, model->end);
    model->end = end;
    for (size_t p = 0; p < model->producer_count; p++) {
        struct producer_model *producer = &model->producers[p];
        while (producer->count > 0 && producer->batches[producer->count - 1].base >= end)
            producer->count--;
        producer->sure = producer->sure > producer->count ? producer->count : producer->sure;
        producer->maybe = 0;
        producer->written_ms_at_most = now_ms;
    }
    keep_bound(model);
}

static void crash(struct model *model)
{
    static const enum file_double_cut cuts[] = { FILE_DOUBLE_LOSE_ALL, FILE_DOUBLE_KEEP_ALL,
                                                 FILE_DOUBLE_REORDER };
    struct log_config config = model->rig->config;
    struct clock_virtual clock = model->rig->clock;
    enum file_double_cut cut = cuts[random_below(&model->random, 3)];
    struct file_double *disk = log_rig_destroy(model->rig);
    struct file_double *left =
        file_double_after_cut(disk, file_double_operation_count(disk), cut, &model->random);
    file_double_destroy(disk);
    model->rig = log_rig_create(left);
    model->rig->config = config;
    clock_virtual_advance(&model->rig->clock, clock.wall_ms - model->rig->clock.wall_ms);
    log_set_config(model->rig->log, &config);
    enum log_status status = log__recover(model->rig->log, model->durable, -1, NULL);
    ck_assert(status == LOG_OK || (status == LOG_NOT_FOUND && model->durable.offset == 0));
    accept_recovered(model);
    model->durable = log__durable_position(model->rig->log);
}

static void pass_time(struct model *model)
{
    static const int64_t spans[] = { 1, 20, 500, 999, 1000, 1500 };
    clock_virtual_advance(&model->rig->clock, spans[random_below(&model->random, 6)]);
}

static void step(struct model *model)
{
    uint64_t dice = random_below(&model->random, 1000);
    if (dice < 900)
        append(model);
    else if (dice < 930)
        flush(model);
    else if (dice < 960)
        log_rig_run_jobs(model->rig);
    else if (dice < 975)
        pass_time(model);
    else if (dice < 980) {
        log_rig_run_jobs(model->rig);
        (void)log__close_files(model->rig->log);
    } else if (model->survives && dice < 983)
        file_double_short_write(model->rig->disk, 1 + random_below(&model->random, 4),
                                random_below(&model->random, 300));
    else if (model->survives && dice < 990)
        stop_and_start(model);
    else if (model->survives)
        crash(model);
    log_rig_turn(model->rig);
}

static void run(struct model *model, uint64_t seed, uint64_t step_count, bool survives)
{
    *model = (struct model){ .survives = survives };
    random_seed(&model->random, seed);
    model->rig = log_rig_create(NULL);
    struct log_config *config = &model->rig->config;
    model->producer_count = 1 + random_below(&model->random, PRODUCERS_MAX);
    config->segment_bytes = 1000 + (int32_t)random_below(&model->random, survives ? 20000 : 100000);
    config->flush_messages = random_below(&model->random, 2) ? 1 : INT64_MAX;
    config->producer_ids_max =
        random_below(&model->random, 3) == 0 ? 1 + (uint32_t)random_below(&model->random, 20) : 0;
    config->producer_id_expiration_ms = random_below(&model->random, 3) == 0 ? 1000 : 0;
    log_set_config(model->rig->log, config);
    while (model->steps < step_count)
        step(model);
    if (survives)
        stop_and_start(model);
    file_double_destroy(log_rig_destroy(model->rig));
    for (size_t p = 0; p < PRODUCERS_MAX; p++)
        free(model->producers[p].batches);
}

static uint64_t given_seed(uint64_t otherwise)
{
    const char *only = getenv("SEED");
    return only ? strtoull(only, NULL, 10) : otherwise;
}

static void run_many(int index, int run_count, uint64_t step_count, bool survives)
{
    static struct model model;
    uint64_t steps = 0, duplicates = 0, refused = 0, forgotten = 0, open = 0;
    uint64_t first = given_seed((uint64_t)index * 1000 + 1);
    if (getenv("SEED"))
        run_count = 1;
    printf("%s: seeds %" PRIu64 " to %" PRIu64 "\n", survives ? "with restarts" : "without restarts", first,
           first + (uint64_t)run_count - 1);
    for (int i = 0; i < run_count; i++) {
        printf(" %" PRIu64, first + (uint64_t)i);
        fflush(stdout);
        run(&model, first + (uint64_t)i, step_count, survives);
        steps += model.steps;
        duplicates += model.duplicates;
        refused += model.refused;
        forgotten += model.forgotten;
        open += model.open;
    }
    printf("\n%" PRIu64 " steps, %" PRIu64 " duplicates, %" PRIu64 " refused, %" PRIu64 " forgotten, %" PRIu64
           " open\n",
           steps, duplicates, refused, forgotten, open);
    ck_assert_uint_le(open, survives ? steps / 4 : 0);
    ck_assert_uint_gt(duplicates, steps / 20); /* else the batches are badly chosen */
    ck_assert_uint_gt(refused, steps / 20);
}

START_TEST(rules_without_restarts)
{
    run_many(_i, 20, 10000 / SLOWER, false);
}
END_TEST

START_TEST(rules_over_restarts)
{
    run_many(_i, 100, 1000 / SLOWER, true);
}
END_TEST

int main(void)
{
    note_set_level((enum note_level) - 1); /* kills and cuts are what this test is about */
    Suite *suite = suite_create("producer_model");
    TCase *tests = tcase_create("producer_model");
    tcase_set_timeout(tests, 200);
    tcase_add_loop_test(tests, rules_without_restarts, 0, 4);
    tcase_add_loop_test(tests, rules_over_restarts, 0, 4);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
