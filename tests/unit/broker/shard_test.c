/* A shard with a toy in it, a sum: ops with and without records, parked, waiting, timed, refused, loaded and
 * stopped; step by step in a simulation, and by threads on two loops (also run under ThreadSanitizer).
 *
 * Heartbeat carries the commands: the member's id names one, the generation is its argument, the throttle
 * time of the answer the sum. */
#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/coordinator/coordinator.h"
#include "broker/handlers/handlers.h"
#include "broker/slow_device.h"
#include "codec/find_coordinator.h"
#include "codec/group_records.h"
#include "codec/heartbeat.h"
#include "storage/reserve.h"
#include "tests/support/sim.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wire_client.h"

enum { KEY_FIND = 10, KEY_HEARTBEAT = 12, VERSION = 3, LARGE = 2 << 20 };

/* -- the toy ----------------------------------------------------------------------------------- */

struct toy_op {
    struct shard_op op;
    slice command;
    int32_t argument;
    int32_t value;
    struct toy_op *next; /* who waits */
    uint8_t *kept;       /* outside of the arena, to see that take() is called */
};

struct toy {
    struct shard *shard;
    int64_t state_offset;
    int32_t sum;
    bool is_loaded;
    struct toy_op *waiting;
    struct timer timer;
    int32_t timer_adds;
};

static atomic_int taken, failed, cancelled, finished;

static void *toy_create(struct shard *shard)
{
    struct toy *toy = calloc(1, sizeof *toy);
    toy->shard = shard;
    toy->state_offset = -1;
    return toy;
}

static void toy_destroy(void *state)
{
    const struct toy *toy = state;
    ck_assert_ptr_null(toy->waiting);
    ck_assert_uint_eq(toy->timer.slot, 0);
    free(state);
}

static bool toy_replay(void *state, const struct shard_record *record)
{
    struct toy *toy = state;
    struct arena arena;
    struct reader reader;
    struct group_metadata_value value;
    int16_t version;
    arena_init(&arena, NULL);
    reader_init(&reader, record->value, &arena);
    ck_assert(group_record_value_frame_decode(&reader, &version));
    ck_assert(group_metadata_value_decode(&reader, version, &value));
    toy->sum = value.generation;
    toy->state_offset = record->offset + 1;
    arena_destroy(&arena);
    return true;
}

static void toy_loaded(void *state)
{
    ((struct toy *)state)->is_loaded = true;
}

static void complete_all(struct toy *toy, int16_t error_code)
{
    struct toy_op *next;
    for (struct toy_op *op = toy->waiting; op; op = next) {
        next = op->next;
        op->value = toy->sum;
        op->op.answer_offset = toy->state_offset;
        shard_complete(&op->op, error_code);
    }
    toy->waiting = NULL;
}

static void toy_stop(void *state, int16_t error_code)
{
    struct toy *toy = state;
    complete_all(toy, error_code);
    shard_timer_cancel(toy->shard, &toy->timer);
}

static const struct shard_kind toy_kind = { .name = "toy",
                                            .topic = INTERNAL_TOPIC_OFFSETS,
                                            .create = toy_create,
                                            .destroy = toy_destroy,
                                            .replay = toy_replay,
                                            .loaded = toy_loaded,
                                            .stop = toy_stop };

/* -- its ops ----------------------------------------------------------------------------------- */

static struct toy_op *toy_of(struct shard_op *op)
{
    return (struct toy_op *)((char *)op - offsetof(struct toy_op, op));
}

static void add_record(struct shard_op *op, int32_t sum, slice ballast)
{
    struct group_metadata_key key;
    struct group_metadata_value value;
    struct group_metadata_value_member member;
    group_metadata_key_init(&key);
    group_metadata_value_init(&value);
    group_metadata_value_member_init(&member);
    key.group = SLICE_LITERAL("toy");
    value.generation = sum;
    value.protocol_type = SLICE_LITERAL("");
    member.subscription = ballast;
    value.members = &member;
    value.members_count = ballast.size > 0;
    shard_op_add(op, "group", GROUP_RECORD_GROUP_METADATA, &key, 3, &value);
}

static bool is_command(const struct toy_op *toy_op, const char *command)
{
    return slice_equal_string(toy_op->command, command);
}

static void decide(struct shard_op *op, void *state)
{
    static const uint8_t large[LARGE];
    struct toy_op *toy_op = toy_of(op);
    const struct toy *toy = state;
    ck_assert(toy->is_loaded);
    if (is_command(toy_op, "add") || is_command(toy_op, "add and wait"))
        add_record(op, toy->sum + toy_op->argument, SLICE_NULL);
    else if (is_command(toy_op, "large"))
        add_record(op, toy->sum + toy_op->argument, slice_of(large, sizeof large));
    else if (is_command(toy_op, "refuse"))
        op->error_code = (int16_t)toy_op->argument;
}

static void wait_for_others(struct toy *toy, struct toy_op *toy_op)
{
    toy_op->kept = malloc(100);
    toy_op->next = toy->waiting;
    toy->waiting = toy_op;
    toy_op->op.is_waiting = true;
}

static void apply(struct shard_op *op, void *state)
{
    struct toy_op *toy_op = toy_of(op);
    struct toy *toy = state;
    toy_op->value = toy->sum;
    if (is_command(toy_op, "wait") || is_command(toy_op, "add and wait"))
        wait_for_others(toy, toy_op);
    else if (is_command(toy_op, "wake"))
        complete_all(toy, (int16_t)toy_op->argument);
    else if (is_command(toy_op, "look"))
        op->answer_offset = toy->state_offset;
    else if (is_command(toy_op, "time"))
        ck_assert(shard_timer_arm(toy->shard, &toy->timer, shard_mono_ms(toy->shard) + toy_op->argument));
}

static void fail_op(struct shard_op *op, void *state)
{
    ck_assert_int_ne(op->error_code, ERR_NONE);
    ck_assert_ptr_nonnull(state);
    atomic_fetch_add(&failed, 1);
}

static void cancel(struct shard_op *op, void *state)
{
    struct toy *toy = state;
    struct toy_op **link = &toy->waiting;
    while (*link != toy_of(op))
        link = &(*link)->next;
    *link = (*link)->next;
    atomic_fetch_add(&cancelled, 1);
}

static void take(struct shard_op *op)
{
    free(toy_of(op)->kept);
    toy_of(op)->kept = NULL;
    atomic_fetch_add(&taken, 1);
}

static enum handled answer(struct shard_op *op)
{
    struct heartbeat_response *out = op->rq->out;
    ck_assert_ptr_null(toy_of(op)->kept);
    out->error_code = op->error_code;
    out->throttle_time_ms = toy_of(op)->value;
    return HANDLED_DONE;
}

static const struct shard_step step = {
    .decide = decide, .apply = apply, .fail = fail_op, .cancel = cancel, .take = take, .answer = answer
};

enum handled handle_heartbeat(struct request *rq, const struct heartbeat_request *in,
                              struct heartbeat_response *out)
{
    (void)out;
    struct toy_op *toy_op = arena_alloc_array(&rq->arena, 1, sizeof *toy_op);
    toy_op->op = shard_op_of(rq, &step);
    toy_op->op.is_read = slice_equal_string(in->member_id, "look");
    toy_op->command = in->member_id;
    toy_op->argument = in->generation_id;
    return coordinator_run(rq->server->groups, in->group_id, &toy_op->op);
}

/* An op of the toy itself: adds one and wakes who waits. */
struct own_op {
    struct shard_op op;
    struct arena arena;
};

static void own_decide(struct shard_op *op, void *state)
{
    add_record(op, ((const struct toy *)state)->sum + 1, SLICE_NULL);
}

static void own_apply(struct shard_op *op, void *state)
{
    (void)op;
    complete_all(state, ERR_NONE);
}

static void own_finish(struct shard_op *op)
{
    struct own_op *own = (struct own_op *)((char *)op - offsetof(struct own_op, op));
    arena_destroy(&own->arena);
    free(own);
    atomic_fetch_add(&finished, 1);
}

static const struct shard_step own_step = { .decide = own_decide, .apply = own_apply, .finish = own_finish };

static void fire(struct timer *timer)
{
    struct toy *toy = (struct toy *)((char *)timer - offsetof(struct toy, timer));
    struct own_op *own = calloc(1, sizeof *own);
    arena_init(&own->arena, NULL);
    own->op = (struct shard_op){ .step = &own_step, .arena = &own->arena, .answer_offset = -1 };
    shard_start(toy->shard, &own->op);
}

static void *create_with_timer(struct shard *shard)
{
    struct toy *toy = toy_create(shard);
    toy->timer.fire = fire;
    return toy;
}

static struct shard_kind kind;

/* The coordinator of groups makes place for that of the toy, before anything was asked of it. The clock of a
 * simulation is moved until no loop has an alarm of it. */
static void take_over(struct server *server, struct sim *of)
{
    kind = toy_kind;
    kind.create = create_with_timer;
    coordinator_stop(server->groups);
    if (of)
        sim_advance(of, 24 * 3600 * 1000);
    coordinator_destroy(server->groups);
    server->groups = coordinator_create(server, &kind);
    coordinator_start(server->groups);
}

/* -- step by step ------------------------------------------------------------------------------ */

static const char settings[] = "offsets.topic.num.partitions=1\nconnections.max.idle.ms=-1\n";
static struct sim sim;
static struct sim_client clients[8];

static void connect_all(void)
{
    for (int i = 0; i < 8; i++)
        sim_connect(&sim, &clients[i]);
}

static void disconnect_all(void)
{
    for (int i = 0; i < 8; i++)
        sim_disconnect(&clients[i]);
}

static void make_topic(void)
{
    struct find_coordinator_request request;
    struct find_coordinator_response response;
    slice key = SLICE_LITERAL("toy");
    find_coordinator_request_init(&request);
    request.coordinator_keys = &key;
    request.coordinator_keys_count = 1;
    ck_assert(sim_call(&clients[0], KEY_FIND, 4, &request, &response));
    ck_assert_int_eq(response.coordinators[0].error_code, ERR_NONE);
}

static void setup(void)
{
    atomic_store(&taken, 0);
    atomic_store(&failed, 0);
    atomic_store(&cancelled, 0);
    atomic_store(&finished, 0);
    sim_open(&sim, 1, settings);
    take_over(sim.server, &sim);
    connect_all();
    make_topic();
}

static void teardown(void)
{
    disconnect_all();
    sim_close(&sim);
}

static void fill_request(struct heartbeat_request *request, const char *command, int32_t argument)
{
    heartbeat_request_init(request);
    request->group_id = SLICE_LITERAL("toy");
    request->member_id = slice_of_string(command);
    request->generation_id = argument;
}

static void tell(int client, const char *command, int32_t argument)
{
    struct heartbeat_request request;
    fill_request(&request, command, argument);
    ck_assert(sim_send(&clients[client], KEY_HEARTBEAT, VERSION, &request));
}

static bool hear(int client, int16_t *error_code, int32_t *value)
{
    struct heartbeat_response response;
    if (!sim_receive(&clients[client], KEY_HEARTBEAT, VERSION, &response))
        return false;
    *error_code = response.error_code;
    *value = response.throttle_time_ms;
    return true;
}

static int32_t ask(int client, const char *command, int32_t argument, int16_t expected)
{
    int16_t error_code;
    int32_t value = -1;
    tell(client, command, argument);
    ck_assert_msg(hear(client, &error_code, &value), "%s waits", command);
    ck_assert_msg(error_code == expected, "%s: %s", command, error_name(error_code));
    return value;
}

START_TEST(records_become_state_and_are_loaded_again)
{
    ck_assert_int_eq(ask(0, "look", 0, ERR_NONE), 0);
    ck_assert_int_eq(ask(0, "add", 5, ERR_NONE), 5);
    ck_assert_int_eq(ask(1, "add", 7, ERR_NONE), 12);
    ck_assert_int_eq(ask(2, "refuse", ERR_FENCED_INSTANCE_ID, ERR_FENCED_INSTANCE_ID), 0);
    ck_assert_int_eq(ask(2, "look", 0, ERR_NONE), 12);
    disconnect_all();
    sim_power_cycle(&sim, FILE_DOUBLE_LOSE_ALL); /* what was answered is kept */
    sim_settle(&sim);
    take_over(sim.server, &sim);
    sim_settle(&sim);
    connect_all();
    ck_assert_int_eq(ask(0, "look", 0, ERR_NONE), 12);
    ck_assert_int_eq(ask(0, "add", 1, ERR_NONE), 13);
}
END_TEST

START_TEST(while_it_is_loaded_everybody_is_told)
{
    int told = 0;
    ask(0, "add", 5, ERR_NONE);
    for (int i = 0; i < 20; i++) {
        int16_t error_code;
        int32_t value;
        disconnect_all();
        sim_power_cycle(&sim, FILE_DOUBLE_KEEP_ALL);
        sim_settle(&sim);
        take_over(sim.server, &sim);
        connect_all();
        do {
            tell(0, "look", 0);
            ck_assert(hear(0, &error_code, &value));
            told += error_code == ERR_COORDINATOR_LOAD_IN_PROGRESS;
        } while (error_code == ERR_COORDINATOR_LOAD_IN_PROGRESS);
        ck_assert_int_eq(error_code, ERR_NONE);
        ck_assert_int_eq(value, 5);
    }
    ck_assert_int_gt(told, 0);
}
END_TEST

/* The worker has the first, the others stand back: each decides anew on what was there before it. */
START_TEST(appends_that_could_block_go_to_a_worker_one_after_another)
{
    for (int round = 0; round < 20; round++) {
        bool seen[9] = { false };
        int32_t before = ask(0, "look", 0, ERR_NONE);
        atomic_store(&sim.server->slow_devices[0].until_ms, INT64_MAX);
        for (int i = 0; i < 8; i++)
            tell(i, "add", 1);
        for (int i = 0; i < 8; i++) {
            int16_t error_code;
            int32_t value;
            ck_assert(hear(i, &error_code, &value));
            ck_assert_int_eq(error_code, ERR_NONE);
            ck_assert_int_gt(value, before);
            ck_assert_int_le(value, before + 8);
            ck_assert(!seen[value - before]);
            seen[value - before] = true;
        }
        atomic_store(&sim.server->slow_devices[0].until_ms, 0);
    }
    ck_assert_int_eq(ask(0, "look", 0, ERR_NONE), 160);
}
END_TEST

START_TEST(who_waits_is_answered_when_somebody_says_so)
{
    int16_t error_code;
    int32_t value;
    for (int is_slow = 0; is_slow < 2; is_slow++) {
        atomic_store(&sim.server->slow_devices[0].until_ms, is_slow ? INT64_MAX : 0);
        for (int i = 0; i < 6; i++)
            tell(i, i % 2 == 0 ? "wait" : "add and wait", 1);
        for (int i = 0; i < 6; i++)
            ck_assert(!hear(i, &error_code, &value));
        ck_assert_int_eq(ask(7, "look", 0, ERR_NONE), 3 + 3 * is_slow);
        ask(7, "wake", ERR_REBALANCE_IN_PROGRESS, ERR_NONE);
        for (int i = 0; i < 6; i++) {
            ck_assert(hear(i, &error_code, &value));
            ck_assert_int_eq(error_code, ERR_REBALANCE_IN_PROGRESS);
            ck_assert_int_eq(value, 3 + 3 * is_slow);
        }
    }
}
END_TEST

START_TEST(a_connection_that_goes_leaves_nothing_behind)
{
    int16_t error_code;
    int32_t value;
    tell(0, "wait", 0);
    tell(1, "add and wait", 1);
    ck_assert(!hear(0, &error_code, &value));
    ck_assert(!hear(1, &error_code, &value));
    int before = atomic_load(&taken);
    sim_disconnect(&clients[0]);
    sim_disconnect(&clients[1]);
    ask(2, "wake", 0, ERR_NONE);
    sim_settle(&sim);
    ck_assert_int_eq(atomic_load(&taken), before + 3); /* the two, and the one who woke them */
    atomic_store(&sim.server->slow_devices[0].until_ms, INT64_MAX);
    for (int i = 3; i < 7; i++)
        tell(i, "add", 1);
    for (int i = 3; i < 7; i++)
        sim_disconnect(&clients[i]); /* some on the worker, some parked */
    sim_settle(&sim);
    ck_assert_int_ge(ask(2, "look", 0, ERR_NONE), 1);
    for (int i = 0; i < 7; i++)
        if (i != 2)
            sim_connect(&sim, &clients[i]);
}
END_TEST

START_TEST(what_cannot_be_appended_changes_nothing)
{
    ask(0, "add", 5, ERR_NONE);
    ask(0, "large", 1, ERR_UNKNOWN_SERVER_ERROR);
    ck_assert_int_eq(atomic_load(&failed), 1);
    ck_assert_int_eq(ask(0, "look", 0, ERR_NONE), 5);
    for (int is_slow = 0; is_slow < 2; is_slow++) {
        atomic_store(&sim.server->slow_devices[0].until_ms, is_slow ? INT64_MAX : 0);
        sim_settle(&sim); /* what is kept for a full disk is made, and lost */
        ck_assert_int_eq(file_unlink(file_double_system(sim.disk), "./runnel-data/" RESERVE_NAME), FILE_OK);
        file_double_set_free_space(sim.disk, 0);
        ask(0, "add", 1, ERR_COORDINATOR_NOT_AVAILABLE);
        ck_assert_int_eq(atomic_load(&failed), 2 + is_slow);
        file_double_set_free_space(sim.disk, UINT64_MAX);
        ck_assert_int_eq(ask(0, "look", 0, ERR_NONE), 5);
        sim_advance(&sim, 1000); /* until somebody looks whether there is room again */
    }
    ck_assert_int_eq(ask(0, "add", 1, ERR_NONE), 6);
}
END_TEST

START_TEST(deadlines_act_by_ops_of_their_own)
{
    int16_t error_code;
    int32_t value;
    for (int is_slow = 0; is_slow < 2; is_slow++) {
        atomic_store(&sim.server->slow_devices[0].until_ms, is_slow ? INT64_MAX : 0);
        tell(1, "wait", 0);
        ask(0, "time", 5000, ERR_NONE);
        ask(0, "time", 1000, ERR_NONE); /* earlier, */
        ask(0, "time", 3000, ERR_NONE); /* and later again */
        sim_advance(&sim, 2999);
        ck_assert(!hear(1, &error_code, &value));
        sim_advance(&sim, 1);
        ck_assert(hear(1, &error_code, &value));
        ck_assert_int_eq(error_code, ERR_NONE);
        ck_assert_int_eq(value, 1 + is_slow);
        ck_assert_int_eq(atomic_load(&finished), 1 + is_slow);
    }
}
END_TEST

START_TEST(the_stop_answers_and_frees_what_waits)
{
    int16_t error_code;
    int32_t value;
    tell(0, "wait", 0);
    tell(1, "add and wait", 1);
    ck_assert(!hear(0, &error_code, &value));
    ask(2, "time", 5000, ERR_NONE);
    atomic_store(&sim.server->slow_devices[0].until_ms, INT64_MAX);
    for (int i = 3; i < 7; i++)
        tell(i, "add", 1);
    for (int i = 0; i < 3; i++) /* the worker has one, perhaps, and others are parked */
        server_step(sim.server);
}
END_TEST

/* -- threads on two loops ---------------------------------------------------------------------- */

enum { ASKERS = 6, ROUNDS = 1500 };

static struct server *server;
static atomic_int added;
static atomic_bool is_over;

static int16_t call(struct wire_client *wire, const char *command, int32_t argument, int32_t *value)
{
    struct heartbeat_request request;
    struct heartbeat_response response = { .error_code = -2 };
    fill_request(&request, command, argument);
    if (!wire_call(wire, KEY_HEARTBEAT, VERSION, &request, &response))
        return -2;
    *value = response.throttle_time_ms;
    return response.error_code;
}

static void *ask_much(void *context)
{
    struct wire_client wire;
    struct random random;
    int32_t value, last = 0;
    random_seed(&random, (uint64_t)(intptr_t)context);
    ck_assert(wire_connect(&wire, server_address(server, 0), 60000));
    for (int i = 0; i < ROUNDS; i++) {
        int16_t error_code = ERR_NONE;
        switch (random_below(&random, 5)) {
        case 0:
            error_code = call(&wire, "wait", 0, &value);
            break;
        case 1:
            error_code = call(&wire, "add and wait", 1, &value);
            atomic_fetch_add(&added, 1);
            break;
        case 2:
            error_code = call(&wire, "time", (int32_t)random_below(&random, 3), &value);
            break;
        case 3:
            error_code = call(&wire, "look", 0, &value);
            break;
        default:
            error_code = call(&wire, "add", 1, &value);
            atomic_fetch_add(&added, 1);
        }
        ck_assert_msg(error_code == ERR_NONE, "%s", error_name(error_code));
        ck_assert_int_ge(value, last); /* nobody sees an older state than before */
        last = value;
    }
    wire_close(&wire);
    return NULL;
}

static void *wake_always(void *context)
{
    struct wire_client wire;
    int32_t value;
    (void)context;
    ck_assert(wire_connect(&wire, server_address(server, 0), 60000));
    for (int i = 0; !atomic_load(&is_over); i++) {
        ck_assert_int_eq(call(&wire, "wake", 0, &value), ERR_NONE);
        atomic_store(&server->slow_devices[0].until_ms, i % 64 < 16 ? INT64_MAX : 0);
        sched_yield();
    }
    atomic_store(&server->slow_devices[0].until_ms, 0);
    wire_close(&wire);
    return NULL;
}

static void *wait_for_the_end(void *context)
{
    struct wire_client wire;
    int32_t value;
    int16_t *error_code = context;
    ck_assert(wire_connect(&wire, server_address(server, 0), 60000));
    *error_code = call(&wire, "wait", 0, &value);
    wire_close(&wire);
    return NULL;
}

static void *serve(void *context)
{
    return (void *)(intptr_t)server_run(context);
}

static void find_by_wire(void)
{
    struct find_coordinator_request request;
    struct find_coordinator_response response;
    struct wire_client wire;
    slice key = SLICE_LITERAL("toy");
    find_coordinator_request_init(&request);
    request.coordinator_keys = &key;
    request.coordinator_keys_count = 1;
    ck_assert(wire_connect(&wire, server_address(server, 0), 60000));
    ck_assert(wire_call(&wire, KEY_FIND, 4, &request, &response));
    wire_close(&wire);
}

/* Waits until as many connections wait as there are threads that do; a look tells nothing of them, so it asks
 * the toy. */
static int count_waiting(void)
{
    const struct topic *topic =
        image_topic_by_name(controller_image(server->controller), SLICE_LITERAL("__consumer_offsets"));
    int count = 0;
    void *state;
    struct request rq = { .server = server, .image = controller_image(server->controller) };
    struct shard *shard;
    ck_assert_ptr_nonnull(topic);
    ck_assert_int_eq(coordinator_shard(&rq, server->groups, SLICE_LITERAL("toy"), &shard), ERR_NONE);
    ck_assert_int_eq(shard_enter(shard, &state), ERR_NONE);
    for (const struct toy_op *op = ((struct toy *)state)->waiting; op; op = op->next)
        count++;
    shard_leave(shard);
    return count;
}

START_TEST(two_loops_ask_at_the_same_time)
{
    struct temp_dir dir;
    char text[TEMP_DIR_PATH_SIZE + 300];
    temp_dir_create(&dir);
    snprintf(text, sizeof text,
             "log.dirs=%s/data\nlisteners=PLAINTEXT://127.0.0.1:0\nnum.network.threads=2\n"
             "offsets.topic.num.partitions=1\noffsets.commit.timeout.ms=200000\n", /* a slow disk is no failure */
             dir.path);
    struct config_report report = { 0 };
    struct config_sources sources = { .file = "test.properties", .cpu_count = 1 };
    struct config *config = config_load_text(&sources, slice_of_string(text), &report);
    ck_assert_ptr_nonnull(config);
    struct file_system *files = file_posix_create(4);
    const struct server_options options = {
        .config = config, .files = files, .clock = clock_real(), .threaded = true
    };
    const char *error = NULL;
    ck_assert_int_eq(server_open(&options, &server, &error), EXIT_OK);
    take_over(server, NULL);

    pthread_t serving, askers[ASKERS], waker, waiters[4];
    int16_t codes[4];
    ck_assert_int_eq(pthread_create(&serving, NULL, serve, server), 0);
    find_by_wire();
    ck_assert_int_eq(pthread_create(&waker, NULL, wake_always, NULL), 0);
    for (intptr_t i = 0; i < ASKERS; i++)
        ck_assert_int_eq(pthread_create(&askers[i], NULL, ask_much, (void *)(i + 1)), 0);
    for (int i = 0; i < ASKERS; i++)
        pthread_join(askers[i], NULL);
    atomic_store(&is_over, true);
    pthread_join(waker, NULL);

    struct wire_client wire;
    int32_t value;
    ck_assert(wire_connect(&wire, server_address(server, 0), 60000));
    ck_assert_int_eq(call(&wire, "look", 0, &value), ERR_NONE);
    ck_assert_int_ge(value, atomic_load(&added)); /* the deadlines have added, too */
    wire_close(&wire);

    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&waiters[i], NULL, wait_for_the_end, &codes[i]), 0);
    while (count_waiting() < 4)
        sched_yield();
    void *code;
    server_stop(server);
    pthread_join(serving, &code);
    ck_assert_int_eq((intptr_t)code, EXIT_OK);
    for (int i = 0; i < 4; i++) {
        pthread_join(waiters[i], NULL);
        ck_assert_int_eq(codes[i], ERR_COORDINATOR_NOT_AVAILABLE); /* answered, not cut off */
    }
    ck_assert_int_eq(atomic_load(&cancelled), 4);
    server_close(server);
    file_posix_destroy(files);
    config_destroy(config);
    config_report_destroy(&report);
    temp_dir_destroy(&dir);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("shard");
    TCase *tests = tcase_create("step by step");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, records_become_state_and_are_loaded_again);
    tcase_add_test(tests, while_it_is_loaded_everybody_is_told);
    tcase_add_test(tests, appends_that_could_block_go_to_a_worker_one_after_another);
    tcase_add_test(tests, who_waits_is_answered_when_somebody_says_so);
    tcase_add_test(tests, a_connection_that_goes_leaves_nothing_behind);
    tcase_add_test(tests, what_cannot_be_appended_changes_nothing);
    tcase_add_test(tests, deadlines_act_by_ops_of_their_own);
    tcase_add_test(tests, the_stop_answers_and_frees_what_waits);
    suite_add_tcase(suite, tests);
    TCase *threads = tcase_create("threads");
    tcase_set_timeout(threads, 240);
    tcase_add_test(threads, two_loops_ask_at_the_same_time);
    suite_add_tcase(suite, threads);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures == 0 ? 0 : 1;
}
