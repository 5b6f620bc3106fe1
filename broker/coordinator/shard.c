/* A shard's ops: decided and applied under the lock, parked, waiting, answered when what they tell is durable. */
#include <stdlib.h>

#include "broker/coordinator/shard_internal.h"
#include "broker/loop_internal.h"
#include "protocol/base/check.h"

static struct shard_op *op_of_mail(struct loop_mail *mail)
{
    return (struct shard_op *)((char *)mail - offsetof(struct shard_op, mail));
}

/* -- life ----------------------------------------------------------------------------------------- */

static void fire_alarm(struct timer *timer)
{
    struct shard *shard = (struct shard *)((char *)timer - offsetof(struct shard, alarm));
    shard__lock(shard);
    shard->alarm_ms = INT64_MAX;
    if (shard->phase == SHARD_ACTIVE)
        timer_run(&shard->timers, shard_mono_ms(shard));
    shard__unlock(shard);
}

struct shard *shard__create(struct server *server, const struct shard_kind *kind, struct partition *partition,
                            int32_t index)
{
    struct shard *shard = calloc(1, sizeof *shard);
    if (!shard)
        return NULL;
    shard->server = server;
    shard->kind = kind;
    shard->index = index;
    shard->owner = server->loops[(unsigned)index % server->loop_count];
    shard->alarm.fire = fire_alarm;
    shard->alarm_ms = INT64_MAX;
    shard->parked_last = &shard->parked_first;
    arena_init(&shard->replay_arena, NULL);
    check(pthread_mutex_init(&shard->mutex, NULL) == 0);
    partition_hold(partition);
    shard->partition = partition;
    return shard;
}

void shard__destroy(struct shard *shard)
{
    check(!shard->state && !shard->parked_first && !shard->appending);
    timer_heap_destroy(&shard->timers);
    arena_destroy(&shard->replay_arena);
    pthread_mutex_destroy(&shard->mutex);
    partition_release(shard->partition);
    free(shard);
}

void shard__give_up(struct shard *shard, int16_t error_code, enum shard_phase next)
{
    check(shard->phase != SHARD_LOADING);
    if (shard->state) {
        shard->kind->stop(shard->state, error_code);
        check(timer_next_ms(&shard->timers) == INT64_MAX);
        shard->kind->destroy(shard->state);
        shard->state = NULL;
    }
    shard->phase = next;
    shard__unpark(shard);
}

/* -- lock and alarm ------------------------------------------------------------------------------- */

void shard__lock(struct shard *shard)
{
    check(pthread_mutex_lock(&shard->mutex) == 0);
}

static void deliver_arm(struct loop_mail *mail, struct loop *loop)
{
    struct shard *shard = (struct shard *)((char *)mail - offsetof(struct shard, arm_mail));
    shard__lock(shard);
    shard->is_arm_posted = false;
    if (shard->alarm_ms != INT64_MAX && !timer_arm(&loop->timers, &shard->alarm, shard->alarm_ms))
        shard->alarm_ms = INT64_MAX; /* no memory: the next unlock tries again */
    shard__unlock(shard);
}

/* Only ever earlier: an alarm that comes too soon finds nothing to do and is set anew. */
static void set_alarm(struct shard *shard)
{
    int64_t next_ms = timer_next_ms(&shard->timers);
    if (next_ms >= shard->alarm_ms || shard->phase == SHARD_STOPPED)
        return;
    shard->alarm_ms = next_ms;
    if (shard->is_arm_posted)
        return;
    shard->is_arm_posted = true;
    shard->arm_mail.deliver = deliver_arm;
    loop_post(shard->owner, &shard->arm_mail);
}

void shard__unlock(struct shard *shard)
{
    set_alarm(shard);
    check(pthread_mutex_unlock(&shard->mutex) == 0);
}

bool shard_timer_arm(struct shard *shard, struct timer *timer, int64_t mono_ms)
{
    return timer_arm(&shard->timers, timer, mono_ms);
}

void shard_timer_cancel(struct shard *shard, struct timer *timer)
{
    timer_cancel(&shard->timers, timer);
}

/* -- answers -------------------------------------------------------------------------------------- */

static enum handled resume_op(struct request *rq, enum wake why);

void shard__take(struct shard_op *op)
{
    if (op->step->take)
        op->step->take(op);
}

static enum handled answer(struct shard_op *op)
{
    return op->step->answer(op);
}

/* The answer leaves when what it tells of is durable; what cannot become so is told as if the coordinator moved. */
static enum handled answer_when_durable(struct shard_op *op, bool is_late)
{
    struct request *rq = op->rq;
    struct shard *shard = op->shard;
    struct log *log = shard->partition->log;
    if (op->error_code != ERR_NONE || op->answer_offset < 0 || !log_is_durable_mode(log) ||
        log_offsets(log).durable >= op->answer_offset)
        return answer(op);
    if (!is_late && log_health(log) == LOG_OK) {
        if (!rq_watch(rq, shard->partition))
            return HANDLED_CLOSE;
        if (log_offsets(log).durable < op->answer_offset && log_health(log) == LOG_OK)
            return HANDLED_BUSY;
        if (log_offsets(log).durable >= op->answer_offset)
            return answer(op);
    }
    op->error_code = is_late ? ERR_COORDINATOR_NOT_AVAILABLE : ERR_NOT_COORDINATOR;
    return answer(op);
}

static enum handled begin_answer(struct shard_op *op)
{
    op->phase = OP_COMPLETED;
    op->rq->resume = resume_op;
    enum handled handled = answer_when_durable(op, false);
    if (handled == HANDLED_BUSY)
        rq_deadline(op->rq, rq_mono_ms(op->rq) + op->rq->server->config->offsets_commit_timeout_ms);
    return handled;
}

/* The loop stops, and has everybody answer with what there is. */
static enum handled cancel(struct shard_op *op)
{
    struct shard *shard = op->shard;
    shard__lock(shard);
    bool was_waiting = op->phase == OP_WAITING;
    if (was_waiting) {
        op->step->cancel(op, shard->state);
        op->phase = OP_COMPLETED;
    }
    shard__unlock(shard);
    if (!was_waiting)
        return HANDLED_WAIT; /* its result is in the mail */
    shard__take(op);
    op->error_code = ERR_COORDINATOR_NOT_AVAILABLE;
    rq_release(op->rq);
    return answer(op);
}

static enum handled resume_op(struct request *rq, enum wake why)
{
    struct shard_op *op = rq->state;
    shard__lock(op->shard); /* somebody on another loop may complete it just now */
    enum shard_op_phase phase = op->phase;
    shard__unlock(op->shard);
    switch (phase) {
    case OP_PARKED:
        return why == WAKE_WORKED ? shard_run(op->shard, op) : HANDLED_BUSY;
    case OP_APPENDING:
        return HANDLED_BUSY;
    case OP_WAITING:
        return why == WAKE_DEADLINE ? cancel(op) : HANDLED_WAIT;
    case OP_COMPLETED:
        return why == WAKE_WORKED ? begin_answer(op) : answer_when_durable(op, why == WAKE_DEADLINE);
    case OP_NEW:
        break;
    }
    check_unreachable("shard_op_phase");
}

/* -- running -------------------------------------------------------------------------------------- */

static void deliver_completed(struct loop_mail *mail, struct loop *loop)
{
    struct shard_op *op = op_of_mail(mail);
    (void)loop;
    struct request *rq = op->rq;
    shard__take(op);
    rq_wake(rq, WAKE_WORKED);
    rq_release(rq);
}

void shard_complete(struct shard_op *op, int16_t error_code)
{
    check(op->phase == OP_WAITING && op->rq);
    op->phase = OP_COMPLETED;
    op->error_code = error_code;
    op->mail.deliver = deliver_completed;
    loop_post(op->rq->loop, &op->mail);
}

/* Whether the shard is there for ops; begins to load it otherwise. */
static int16_t check_phase(struct shard *shard)
{
    if (shard->phase == SHARD_IDLE)
        shard__begin_load(shard);
    switch (shard->phase) {
    case SHARD_ACTIVE:
        return ERR_NONE;
    case SHARD_LOADING:
        return ERR_COORDINATOR_LOAD_IN_PROGRESS;
    case SHARD_IDLE: /* no memory to load it */
        return ERR_COORDINATOR_NOT_AVAILABLE;
    case SHARD_STOPPED:
        return ERR_NOT_COORDINATOR;
    }
    check_unreachable("shard_phase");
}

static void deliver_own(struct loop_mail *mail, struct loop *loop);

static void deliver_parked(struct loop_mail *mail, struct loop *loop)
{
    struct shard_op *op = op_of_mail(mail);
    if (!op->rq) {
        deliver_own(mail, loop);
        return;
    }
    rq_wake(op->rq, WAKE_WORKED);
    rq_release(op->rq);
}

static void park(struct shard *shard, struct shard_op *op)
{
    if (op->rq)
        rq_hold(op->rq);
    op->phase = OP_PARKED;
    op->next = NULL;
    op->mail.deliver = deliver_parked;
    *shard->parked_last = op;
    shard->parked_last = &op->next;
}

void shard__unpark(struct shard *shard)
{
    struct shard_op *next;
    for (struct shard_op *op = shard->parked_first; op; op = next) {
        next = op->next;
        loop_post(op->rq ? op->rq->loop : shard->owner, &op->mail);
    }
    shard->parked_first = NULL;
    shard->parked_last = &shard->parked_first;
}

/* Begins anew, whatever an earlier try has left in the op. */
static void reset(struct shard_op *op, struct shard *shard)
{
    op->shard = shard;
    op->phase = OP_NEW;
    op->error_code = ERR_NONE;
    op->answer_offset = -1;
    op->is_waiting = op->is_broken = false;
    op->records = NULL;
    op->record_count = 0;
}

bool shard__execute(struct shard *shard, struct shard_op *op)
{
    if (shard->appending && !op->is_read) {
        park(shard, op);
        return false;
    }
    reset(op, shard);
    op->step->decide(op, shard->state);
    if (op->is_broken) {
        op->error_code = ERR_UNKNOWN_SERVER_ERROR;
        shard__fail(shard, op);
    }
    if (op->error_code == ERR_NONE && op->records && !shard__append(shard, op))
        return false;
    if (op->error_code == ERR_NONE && op->step->apply)
        op->step->apply(op, shard->state);
    return true;
}

enum handled shard_run(struct shard *shard, struct shard_op *op)
{
    struct request *rq = op->rq;
    bool is_through = true;
    rq->state = op;
    rq->resume = resume_op;
    op->shard = shard;
    shard__lock(shard);
    int16_t error_code = check_phase(shard);
    if (error_code == ERR_NONE)
        is_through = shard__execute(shard, op);
    else
        op->error_code = error_code;
    bool is_waiting = is_through && op->error_code == ERR_NONE && op->is_waiting;
    if (is_waiting) {
        rq_hold(rq);
        op->phase = OP_WAITING; /* from the unlock on somebody may complete it */
    }
    shard__unlock(shard);
    if (!is_through)
        return HANDLED_BUSY;
    if (is_waiting)
        return HANDLED_WAIT;
    shard__take(op);
    return begin_answer(op);
}

/* Under the lock; the op is the coordinator's own. */
static void run_own(struct shard *shard, struct shard_op *op)
{
    op->shard = shard;
    if (shard->phase != SHARD_ACTIVE)
        op->error_code = ERR_NOT_COORDINATOR;
    else if (!shard__execute(shard, op))
        return;
    op->phase = OP_COMPLETED;
    op->mail.deliver = deliver_own;
    loop_post(shard->owner, &op->mail);
}

void shard_start(struct shard *shard, struct shard_op *op)
{
    check(!op->rq && op->step->finish);
    run_own(shard, op);
}

static void deliver_own(struct loop_mail *mail, struct loop *loop)
{
    struct shard_op *op = op_of_mail(mail);
    struct shard *shard = op->shard;
    (void)loop;
    if (op->phase == OP_COMPLETED) {
        op->step->finish(op);
        return;
    }
    shard__lock(shard);
    run_own(shard, op);
    shard__unlock(shard);
}

/* -- looking -------------------------------------------------------------------------------------- */

int16_t shard_enter(struct shard *shard, void **state)
{
    shard__lock(shard);
    int16_t error_code = check_phase(shard);
    if (error_code == ERR_NONE)
        *state = shard->state;
    else
        shard__unlock(shard);
    return error_code;
}

void shard_leave(struct shard *shard)
{
    shard__unlock(shard);
}

int64_t shard_mono_ms(const struct shard *shard)
{
    return clock_mono_ms(shard->server->clock);
}

int64_t shard_wall_ms(const struct shard *shard)
{
    return clock_wall_ms(shard->server->clock);
}

struct server *shard_server(const struct shard *shard)
{
    return shard->server;
}

int32_t shard_index(const struct shard *shard)
{
    return shard->index;
}

int64_t shard_end_offset(const struct shard *shard)
{
    return shard->end_offset;
}

struct partition *shard_partition(const struct shard *shard)
{
    return shard->partition;
}
