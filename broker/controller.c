/* Takes commands one group at a time: decide, append, flush, publish. */
#include <stdlib.h>

#include "broker/controller_internal.h"
#include "broker/image_internal.h"
#include "protocol/base/check.h"
#include "protocol/base/note.h"
#include "protocol/errors.h"

const struct image *controller_image(struct controller *controller)
{
    return atomic_load_explicit(&controller->image, memory_order_acquire);
}

void controller__commit_record(struct commit *commit, slice record)
{
    int64_t offset = commit->batches.base_offset + (int64_t)commit->batches.record_count;
    if (slice_is_null(record) || !metadata_replay_record(&commit->replay, record, offset))
        commit->is_broken = true;
    else
        metadata_batches_add(&commit->batches, record);
}

void controller__commit_records(struct commit *commit, const slice *records, size_t count)
{
    metadata_batches_cut(&commit->batches);
    for (size_t i = 0; i < count && !commit->is_broken; i++)
        controller__commit_record(commit, records[i]);
    metadata_batches_cut(&commit->batches);
}

/* What has to stand in front of the first records of this process: Kafka begins an epoch with
 * LeaderChange, so that (epoch, offset) is unique even after a lost tail. */
static void commit_preface(struct commit *commit)
{
    struct controller *controller = commit->controller;
    struct voter voter;
    voter_init(&voter);
    voter.voter_id = controller->host.config->node_id;
    struct leader_change_record leader;
    leader_change_record_init(&leader);
    leader.leader_id = voter.voter_id;
    leader.voters = leader.granting_voters = &voter;
    leader.voters_count = leader.granting_voters_count = 1;
    metadata_batches_add_control(&commit->batches, CONTROL_RECORD_LEADER_CHANGE, &leader);

    if (controller->has_open_transaction) {
        struct abort_transaction_record abort;
        abort_transaction_record_init(&abort);
        abort.reason = SLICE_LITERAL("the controller changed");
        metadata_batches_cut(&commit->batches);
        metadata_batches_add(
            &commit->batches,
            metadata_record_encode(&commit->arena, METADATA_RECORD_ABORT_TRANSACTION, 0, &abort));
    }
    if (controller->needs_bootstrap) {
        size_t count;
        slice *records = metadata_bootstrap_records(&controller->place, &commit->arena, &count);
        commit->is_broken |= count == 0;
        controller__commit_records(commit, records, count);
    }
    metadata_batches_cut(&commit->batches);
}

bool controller__check_room(struct commit *commit, int16_t *error_code, char *message)
{
    return !store_is_short_of_room(commit->controller->host.store) ||
           controller__refuse(error_code, message, ERR_KAFKA_STORAGE_ERROR,
                              "The disk is full; what is deleted, or made free otherwise, makes room.");
}

static bool commit_begin(struct commit *commit, struct controller *controller)
{
    int64_t end = log_offsets(controller->log).end;
    int32_t epoch = controller->owns_epoch ? controller->epoch : controller->epoch + 1;
    *commit = (struct commit){ .controller = controller };
    commit->change = image_change_begin(controller_image(controller), controller->host.config);
    if (!commit->change)
        return false;
    arena_init(&commit->arena, NULL);
    metadata_replay_init(&commit->replay, commit->change, controller->host.config->node_id);
    metadata_batches_init(&commit->batches, &commit->arena, end, epoch,
                          clock_wall_ms(controller->host.env->clock));
    if (!controller->owns_epoch)
        commit_preface(commit);
    return true;
}

static void commit_end(struct commit *commit, bool is_committed)
{
    metadata_replay_destroy(&commit->replay);
    arena_destroy(&commit->arena);
    if (is_committed)
        image_change_end(commit->change);
    else
        image_change_abandon(commit->change);
}

/* Clients that try again while the disk is full are no reason to say it a thousand times. */
static void note_failed_append(const struct controller *controller, enum log_status status)
{
    static struct note_limit limit;
    uint32_t suppressed = 0;
    if (!controller->is_failed && !note_allow(&limit, 1, &suppressed))
        return;
    note_error("metadata.append_failed", "directory=%s status=%d suppressed=%u next=%s",
               controller->place.log_directory, status, suppressed,
               controller->is_failed ? "no more changes until a restart" : "the change was refused");
}

/* Into the log, and durable. */
static enum log_status commit_write(struct commit *commit)
{
    struct controller *controller = commit->controller;
    if (controller->needs_bootstrap) {
        enum file_status status = metadata_bootstrap_flush(&controller->place);
        if (status != FILE_OK) {
            note_error("metadata.flush_failed", "directory=%s status=%s", controller->place.directory,
                       file_status_name(status));
            controller->is_failed = status == FILE_IO;
            if (controller->is_failed)
                log_fail(controller->log);
            return status == FILE_FULL ? LOG_DISK_FULL : LOG_IO;
        }
    }
    enum log_status status = metadata_log_append(controller->log, &commit->batches);
    if (status == LOG_OK)
        return LOG_OK;
    controller->is_failed = status == LOG_IO || status == LOG_CLOSED;
    note_failed_append(controller, status);
    return status;
}

/* The image is built before the append, so that nothing can fail after it. */
static int16_t commit_finish(struct commit *commit)
{
    struct controller *controller = commit->controller;
    metadata_batches_cut(&commit->batches);
    if (commit->is_broken || commit->batches.is_failed) {
        note_error("metadata.change_failed", "reason=%s",
                   commit->replay.error[0] ? commit->replay.error : "out of memory");
        return ERR_UNKNOWN_SERVER_ERROR;
    }
    int64_t end = commit->batches.base_offset + (int64_t)commit->batches.record_count;
    struct image *next;
    if (image_change_build(commit->change, end, commit->batches.epoch, &next) != CHANGE_OK) {
        note_error("metadata.change_failed", "reason=%s", image_change_error(commit->change));
        return ERR_UNKNOWN_SERVER_ERROR;
    }
    if (commit_write(commit) != LOG_OK)
        return ERR_KAFKA_STORAGE_ERROR;
    check(log_offsets(controller->log).end == end);

    controller->epoch = commit->batches.epoch;
    controller->owns_epoch = true;
    controller->has_open_transaction = controller->needs_bootstrap = false;
    controller__open_partitions(controller, commit->change);
    struct image *before = atomic_exchange_explicit(&controller->image, next, memory_order_acq_rel);
    controller__retire_replaced(controller, commit->change);
    retire(controller->host.env->retire, before, image__free);
    controller__commit_grew(controller, &commit->batches);
    return ERR_NONE;
}

/* A group of commands becomes one append and one flush. */
static void run_group(struct controller *controller, struct command *group)
{
    struct commit commit;
    int16_t error_code = controller->is_failed ? ERR_KAFKA_STORAGE_ERROR : ERR_UNKNOWN_SERVER_ERROR;
    bool has_begun = !controller->is_failed && commit_begin(&commit, controller);
    size_t preface_count = 0;
    if (has_begun) {
        preface_count = commit.batches.record_count;
        error_code = ERR_NONE;
        for (struct command *command = group; command; command = command->next)
            command->decide(&commit, command);
    }
    bool is_committed = false;
    if (has_begun && (commit.is_broken || commit.batches.record_count > preface_count)) {
        error_code = commit_finish(&commit);
        is_committed = error_code == ERR_NONE;
    }
    if (error_code != ERR_NONE)
        for (struct command *command = group; command; command = command->next)
            command->fail(command, error_code);
    if (has_begun)
        commit_end(&commit, is_committed);
}

/* Whoever finds nobody leading takes everything that waits, its own command among it. */
void controller__run(struct controller *controller, struct command *command)
{
    pthread_mutex_lock(&controller->mutex);
    *controller->last = command;
    controller->last = &command->next;
    while (!command->is_done && controller->is_leading)
        pthread_cond_wait(&controller->done, &controller->mutex);
    if (!command->is_done) {
        struct command *group = controller->first;
        controller->first = NULL;
        controller->last = &controller->first;
        controller->is_leading = true;
        pthread_mutex_unlock(&controller->mutex);
        run_group(controller, group);
        pthread_mutex_lock(&controller->mutex);
        controller->is_leading = false;
        for (struct command *next; group; group = next) {
            next = group->next; /* once done, it may be gone with its caller's stack */
            group->is_done = true;
        }
        pthread_cond_broadcast(&controller->done);
    }
    pthread_mutex_unlock(&controller->mutex);
}

struct propose_command {
    struct command command; /* first */
    slice *records;
    size_t count;
    int64_t expected_end;
    int64_t committed_end;
    enum propose_status status;
};

static void decide_propose(struct commit *commit, struct command *command)
{
    struct propose_command *propose = (struct propose_command *)command;
    int64_t end = commit->batches.base_offset + (int64_t)commit->batches.record_count;
    propose->status = PROPOSE_COMMITTED; /* unless the commit fails */
    if (propose->expected_end >= 0 && propose->expected_end != log_offsets(commit->controller->log).end) {
        propose->status = PROPOSE_CONFLICT;
        return;
    }
    controller__commit_records(commit, propose->records, propose->count);
    propose->committed_end = end + (int64_t)propose->count;
}

static void fail_propose(struct command *command, int16_t error_code)
{
    struct propose_command *propose = (struct propose_command *)command;
    (void)error_code;
    if (propose->status == PROPOSE_COMMITTED)
        propose->status = PROPOSE_FAILED;
}

enum propose_status controller_propose(struct controller *controller, slice *records, size_t count,
                                       int64_t expected_end, int64_t *committed_end)
{
    struct propose_command propose = { .command = { .decide = decide_propose, .fail = fail_propose },
                                       .records = records,
                                       .count = count,
                                       .expected_end = expected_end,
                                       .status = PROPOSE_FAILED };
    controller__run(controller, &propose.command);
    *committed_end = propose.committed_end;
    return propose.status;
}
