/* The plain rules: see model.h. Facts: protocol 4.7. */
#include "tests/sim/group_model/model.h"

#include <string.h>

#include "protocol/base/check.h"
#include "protocol/errors.h"

enum { NEW_MEMBER_MS = 300000 };

/* -- members ----------------------------------------------------------------------------------- */

static bool is_member(const struct model *model, int i)
{
    return !model->members[i].is_pending;
}

static int find(const struct model *model, const char *id, bool is_pending)
{
    for (int i = 0; i < model->count && id[0]; i++)
        if (model->members[i].is_pending == is_pending && strcmp(model->members[i].id, id) == 0)
            return i;
    return -1;
}

static int find_instance(const struct model *model, const char *instance)
{
    for (int i = 0; i < model->count && instance[0]; i++)
        if (is_member(model, i) && strcmp(model->members[i].instance, instance) == 0)
            return i;
    return -1;
}

int model_find_metadata(const struct model *model, const char *metadata)
{
    for (int i = 0; i < model->count; i++)
        if (is_member(model, i) && strcmp(model->members[i].metadata, metadata) == 0)
            return i;
    return -1;
}

static int count_members(const struct model *model)
{
    int count = 0;
    for (int i = 0; i < model->count; i++)
        count += is_member(model, i);
    return count;
}

static int count_joined(const struct model *model)
{
    int count = 0;
    for (int i = 0; i < model->count; i++)
        count += is_member(model, i) && model->members[i].join != NOBODY;
    return count;
}

static bool all_joined(const struct model *model)
{
    bool has_pending = model->count > count_members(model) && model->broken != PENDING_DO_NOT_HOLD_UP;
    return count_joined(model) == count_members(model) && !has_pending;
}

static void remove_member(struct model *model, int at)
{
    bool was_leader = model->leader == at;
    for (int i = at; i + 1 < model->count; i++)
        model->members[i] = model->members[i + 1];
    model->count--;
    if (model->leader > at)
        model->leader--;
    if (!was_leader)
        return;
    model->leader = -1;
    for (int i = 0; i < model->count && model->leader < 0; i++)
        if (is_member(model, i))
            model->leader = i;
}

static int64_t rebalance_ms(const struct model *model)
{
    int64_t longest_ms = 0;
    for (int i = 0; i < model->count; i++)
        if (is_member(model, i) && model->members[i].rebalance_ms > longest_ms)
            longest_ms = model->members[i].rebalance_ms;
    return longest_ms;
}

static int16_t check_member(const struct model *model, const char *id, const char *instance, int *at)
{
    if (instance[0]) {
        int owner = find_instance(model, instance);
        if (owner < 0)
            return ERR_UNKNOWN_MEMBER_ID;
        if (!model->members[owner].id[0] || strcmp(model->members[owner].id, id) != 0)
            return ERR_FENCED_INSTANCE_ID;
    }
    *at = find(model, id, false);
    return *at < 0 ? ERR_UNKNOWN_MEMBER_ID : ERR_NONE;
}

/* -- answers ----------------------------------------------------------------------------------- */

static struct answer *tell(struct model *model, int slot, int16_t error_code)
{
    static struct answer nobody;
    struct answer *answer = slot >= 0 ? &model->answers[slot] : &nobody;
    *answer = (struct answer){ .is_due = true, .error_code = error_code, .member = -1 };
    return answer;
}

static void end_join(struct model *model, int at, int16_t error_code)
{
    if (model->members[at].join != NOBODY)
        tell(model, model->members[at].join, error_code);
    model->members[at].join = NOBODY;
}

static void end_sync(struct model *model, int at, int16_t error_code)
{
    if (model->members[at].sync != NOBODY)
        tell(model, model->members[at].sync, error_code);
    model->members[at].sync = NOBODY;
}

static void tell_generation(struct model *model, int slot, int at, bool has_members)
{
    struct answer *answer = tell(model, slot, ERR_NONE);
    answer->is_told_generation = true;
    answer->generation = model->generation;
    answer->protocol = model->protocol;
    answer->member = at;
    answer->has_members = has_members;
}

/* -- records ----------------------------------------------------------------------------------- */

static void write_record(struct model *model)
{
    model->writes++;
    model->is_written = true;
    model->written_generation = model->generation;
    model->written_protocol = model->protocol;
    model->written_count = 0;
    model->written_leader = -1;
    for (int i = 0; i < model->count; i++) {
        if (!is_member(model, i))
            continue;
        if (i == model->leader)
            model->written_leader = model->written_count;
        model->written[model->written_count++] = model->members[i];
    }
}

/* -- from one generation to the next ----------------------------------------------------------- */

static bool has_protocol(const struct member *member, int protocol)
{
    for (int i = 0; i < member->protocol_count; i++)
        if (member->protocols[i] == protocol)
            return true;
    return false;
}

static bool is_common(const struct model *model, int protocol)
{
    for (int i = 0; i < model->count; i++)
        if (is_member(model, i) && !has_protocol(&model->members[i], protocol))
            return false;
    return true;
}

static int votes_for(const struct model *model, int protocol)
{
    int votes = 0;
    for (int i = 0; i < model->count; i++) {
        const struct member *member = &model->members[i];
        for (int k = 0; k < member->protocol_count && is_member(model, i); k++)
            if (is_common(model, member->protocols[k])) {
                votes += member->protocols[k] == protocol;
                break;
            }
    }
    return votes;
}

/* Of those with most votes the one that the first member names first. */
static int select_protocol(const struct model *model)
{
    int best = -1, first = 0;
    while (first < model->count && !is_member(model, first))
        first++;
    const struct member *member = &model->members[first];
    for (int k = 0; k < member->protocol_count; k++)
        if (is_common(model, member->protocols[k]) &&
            (best < 0 || votes_for(model, member->protocols[k]) > votes_for(model, best)))
            best = member->protocols[k];
    return best;
}

static void become_empty(struct model *model)
{
    model->generation++;
    model->state = EMPTY;
    model->leader = -1;
    model->protocol = -1;
    write_record(model);
}

static void begin_sync(struct model *model)
{
    model->generation++;
    model->protocol = select_protocol(model);
    model->state = COMPLETING;
    for (int i = 0; i < model->count; i++) {
        struct member *member = &model->members[i];
        if (!is_member(model, i))
            continue;
        if (member->join != NOBODY)
            tell_generation(model, member->join, i, i == model->leader);
        member->join = NOBODY;
        member->is_new = false;
        member->is_sync_pending = true;
        member->due_ms = model->now_ms + member->session_ms;
    }
    model->phase_due_ms = model->now_ms + rebalance_ms(model);
}

static void complete_join(struct model *model)
{
    model->phase_due_ms = -1;
    for (int i = model->count - 1; i >= 0; i--)
        if (is_member(model, i) && model->members[i].join == NOBODY && !model->members[i].instance[0])
            remove_member(model, i);
    if (count_members(model) == 0) {
        become_empty(model);
        return;
    }
    if (model->leader < 0 || model->members[model->leader].join == NOBODY) {
        int joined = -1;
        for (int i = 0; i < model->count && joined < 0; i++)
            if (is_member(model, i) && model->members[i].join != NOBODY)
                joined = i;
        if (joined < 0) {
            model->phase_due_ms = model->now_ms + rebalance_ms(model);
            return;
        }
        model->leader = joined;
    }
    begin_sync(model);
}

static void prepare_rebalance(struct model *model)
{
    bool is_initial = model->state == EMPTY;
    for (int i = 0; i < model->count; i++) {
        struct member *member = &model->members[i];
        if (model->state == COMPLETING) {
            member->assignment[0] = '\0';
            if (member->sync != NOBODY)
                member->due_ms = model->now_ms + member->session_ms;
            end_sync(model, i, ERR_REBALANCE_IN_PROGRESS);
        }
        member->is_sync_pending = false;
    }
    model->state = PREPARING;
    model->is_initial = is_initial;
    if (is_initial) {
        int64_t longest_ms = rebalance_ms(model);
        model->newcomer_ms = model->now_ms;
        model->initial_end_ms =
            model->now_ms + (longest_ms > model->initial_delay_ms ? longest_ms : model->initial_delay_ms);
        if (model->initial_delay_ms == 0)
            complete_join(model);
        else
            model->phase_due_ms = model->now_ms + model->initial_delay_ms;
    } else if (all_joined(model)) {
        complete_join(model);
    } else {
        model->phase_due_ms = model->now_ms + rebalance_ms(model);
    }
}

static void complete_if_joined(struct model *model)
{
    if (model->state == PREPARING && !model->is_initial && all_joined(model))
        complete_join(model);
}

static void advance(struct model *model)
{
    if (model->state == PREPARING)
        complete_if_joined(model);
    else
        prepare_rebalance(model);
}

void model_restart(struct model *model)
{
    memset(model->answers, 0, sizeof model->answers);
    model->exists = model->is_written;
    model->generation = model->is_written ? model->written_generation : 0;
    if (model->broken == EMPTY_GROUPS_FORGET && model->written_count == 0)
        model->generation = 0;
    model->protocol = model->written_protocol;
    model->leader = model->written_leader;
    model->count = model->is_written ? model->written_count : 0;
    model->state = model->count > 0 ? STABLE : EMPTY;
    model->phase_due_ms = -1;
    model->is_initial = false;
    for (int i = 0; i < model->count; i++) {
        struct member *member = &model->members[i];
        *member = model->written[i];
        member->protocols[0] = model->protocol; /* only its metadata is kept */
        member->protocol_count = 1;
        member->join = member->sync = NOBODY;
        member->is_new = member->is_sync_pending = false;
        member->due_ms = model->now_ms + member->session_ms;
    }
    if (count_members(model) > model->size_max)
        prepare_rebalance(model); /* the static ones that did not come are over the limit */
}

/* -- JoinGroup --------------------------------------------------------------------------------- */

static bool is_consistent(const struct model *model, const struct join *join)
{
    if (!model->exists || model->state == EMPTY || count_members(model) == 0)
        return join->protocol_count > 0;
    for (int k = 0; k < join->protocol_count; k++)
        if (is_common(model, join->protocols[k]))
            return true;
    return false;
}

static bool matches(const struct member *member, const struct join *join)
{
    if (member->protocol_count != join->protocol_count || strcmp(member->metadata, join->metadata) != 0)
        return false;
    return memcmp(member->protocols, join->protocols, (size_t)join->protocol_count * sizeof(int)) == 0;
}

static void bring(struct member *member, const struct join *join)
{
    strcpy(member->metadata, join->metadata);
    memcpy(member->protocols, join->protocols, (size_t)join->protocol_count * sizeof(int));
    member->protocol_count = join->protocol_count;
    member->session_ms = join->session_ms;
    member->rebalance_ms = join->rebalance_ms;
}

static struct member *append(struct model *model, const struct join *join)
{
    check(model->count < MEMBERS_MAX);
    struct member *member = &model->members[model->count++];
    *member = (struct member){ .join = NOBODY, .sync = NOBODY };
    strcpy(member->id, join->id);
    strcpy(member->instance, join->instance);
    bring(member, join);
    return member;
}

static void add_member(struct model *model, const struct join *join)
{
    int pending = find(model, join->id, true);
    if (pending >= 0)
        remove_member(model, pending);
    struct member *member = append(model, join);
    if (model->leader < 0)
        model->leader = model->count - 1;
    member->join = join->slot;
    member->is_new = true;
    member->due_ms = model->now_ms + NEW_MEMBER_MS;
    if (model->state == PREPARING && model->is_initial)
        model->newcomer_ms = model->now_ms;
    advance(model);
}

static void update_member(struct model *model, const struct join *join, int at)
{
    end_join(model, at, ERR_REBALANCE_IN_PROGRESS);
    bring(&model->members[at], join);
    model->members[at].join = join->slot;
    advance(model);
}

static void replace_member(struct model *model, const struct join *join, int at)
{
    struct member *member = &model->members[at];
    char leader[TEXT_MAX] = "";
    if (model->leader >= 0)
        strcpy(leader, model->members[model->leader].id);
    end_join(model, at, ERR_FENCED_INSTANCE_ID);
    end_sync(model, at, ERR_FENCED_INSTANCE_ID);
    member->id[0] = '\0';
    member->is_new = false;
    bring(member, join);
    member->due_ms = model->now_ms + member->session_ms;
    bool is_kept = model->state == STABLE && select_protocol(model) == model->protocol;
    if (model->broken == STATIC_MEMBERS_REBALANCE)
        is_kept = false;
    if (!is_kept) {
        member->join = join->slot;
        advance(model);
        return;
    }
    bool is_leader = join->version >= 9 && model->leader == at;
    write_record(model);
    tell_generation(model, join->slot, at, is_leader);
    model->answers[join->slot].is_skipped = is_leader;
    if (join->version < 9) {
        model->answers[join->slot].has_leader = true;
        strcpy(model->answers[join->slot].leader, leader);
    }
}

static void join_again(struct model *model, const struct join *join)
{
    int at = -1;
    if (!is_consistent(model, join)) {
        tell(model, join->slot, ERR_INCONSISTENT_GROUP_PROTOCOL);
        return;
    }
    if (find(model, join->id, true) >= 0) {
        if (join->instance[0])
            tell(model, join->slot, ERR_UNKNOWN_SERVER_ERROR);
        else
            add_member(model, join);
        return;
    }
    int16_t error_code = check_member(model, join->id, join->instance, &at);
    if (error_code == ERR_NONE && model->state == EMPTY)
        error_code = ERR_UNKNOWN_MEMBER_ID;
    if (error_code != ERR_NONE) {
        tell(model, join->slot, error_code);
        return;
    }
    bool is_news = !matches(&model->members[at], join);
    if (model->broken == FOLLOWERS_REBALANCE && model->state == STABLE)
        is_news = true;
    if (model->state == PREPARING || is_news || (model->state == STABLE && model->leader == at)) {
        update_member(model, join, at);
        return;
    }
    model->members[at].due_ms = model->now_ms + model->members[at].session_ms;
    tell_generation(model, join->slot, at, model->state == COMPLETING && model->leader == at);
}

static void join_anew(struct model *model, const struct join *join)
{
    if (!is_consistent(model, join)) {
        tell(model, join->slot, ERR_INCONSISTENT_GROUP_PROTOCOL);
        return;
    }
    if (!model->exists) {
        model->exists = true;
        write_record(model);
    }
    int owner = find_instance(model, join->instance);
    if (owner >= 0) {
        replace_member(model, join, owner);
    } else if (join->instance[0] || join->version < 4) {
        add_member(model, join);
    } else {
        struct member *pending = append(model, join);
        pending->is_pending = true;
        pending->due_ms = model->now_ms + join->session_ms;
        tell(model, join->slot, ERR_MEMBER_ID_REQUIRED)->member = model->count - 1;
    }
}

void model_join(struct model *model, const struct join *join)
{
    int known = find(model, join->id, false);
    bool is_accepted = true;
    if (!model->exists && join->id[0]) {
        tell(model, join->slot, ERR_UNKNOWN_MEMBER_ID);
        return;
    }
    if (model->state == PREPARING)
        is_accepted =
            (known >= 0 && model->members[known].join != NOBODY) || count_joined(model) < model->size_max;
    else if (model->state != EMPTY)
        is_accepted = known >= 0 || count_members(model) < model->size_max;
    if (!is_accepted) {
        if (known >= 0) {
            remove_member(model, known);
            complete_if_joined(model);
        }
        tell(model, join->slot, ERR_GROUP_MAX_SIZE_REACHED);
    } else if (join->id[0]) {
        join_again(model, join);
    } else {
        join_anew(model, join);
    }
}

/* -- the other requests ------------------------------------------------------------------------ */

static void become_stable(struct model *model)
{
    model->state = STABLE;
    write_record(model);
    for (int i = 0; i < model->count; i++) {
        struct member *member = &model->members[i];
        if (!is_member(model, i) || member->sync == NOBODY)
            continue;
        strcpy(tell(model, member->sync, ERR_NONE)->assignment, member->assignment);
        member->sync = NOBODY;
        member->due_ms = model->now_ms + member->session_ms;
    }
}

static void end_sync_phase(struct model *model)
{
    for (int i = 0; i < model->count; i++)
        if (model->members[i].is_sync_pending)
            return;
    model->phase_due_ms = -1;
}

void model_sync(struct model *model, int slot, const char *id, const char *instance, int32_t generation,
                int count, const char *const *ids, const char *const *assignments)
{
    int at = -1;
    int16_t error_code = model->exists ? check_member(model, id, instance, &at) : ERR_UNKNOWN_MEMBER_ID;
    if (error_code == ERR_NONE && generation != model->generation)
        error_code = ERR_ILLEGAL_GENERATION;
    if (error_code == ERR_NONE && model->state == PREPARING)
        error_code = ERR_REBALANCE_IN_PROGRESS;
    if (error_code != ERR_NONE) {
        tell(model, slot, error_code);
        return;
    }
    struct member *member = &model->members[at];
    member->is_sync_pending = false;
    end_sync_phase(model);
    member->due_ms = model->now_ms + member->session_ms;
    if (model->state == STABLE) {
        strcpy(tell(model, slot, ERR_NONE)->assignment, member->assignment);
        return;
    }
    end_sync(model, at, ERR_REBALANCE_IN_PROGRESS);
    member->sync = slot;
    if (at != model->leader)
        return;
    for (int i = 0; i < model->count; i++) {
        model->members[i].assignment[0] = '\0';
        for (int k = 0; k < count; k++)
            if (model->members[i].id[0] && strcmp(model->members[i].id, ids[k]) == 0)
                strcpy(model->members[i].assignment, assignments[k]);
    }
    become_stable(model);
}

int16_t model_heartbeat(struct model *model, const char *id, const char *instance, int32_t generation)
{
    int at = -1;
    int16_t error_code = model->exists ? check_member(model, id, instance, &at) : ERR_UNKNOWN_MEMBER_ID;
    if (error_code == ERR_NONE && generation != model->generation)
        error_code = ERR_ILLEGAL_GENERATION;
    if (error_code != ERR_NONE)
        return error_code;
    model->members[at].due_ms = model->now_ms + model->members[at].session_ms;
    return model->state == PREPARING ? ERR_REBALANCE_IN_PROGRESS : ERR_NONE;
}

int16_t model_commit(struct model *model, const char *id, const char *instance, int32_t generation)
{
    int16_t error_code = model_heartbeat(model, id, instance, generation);
    if (error_code == ERR_REBALANCE_IN_PROGRESS)
        return ERR_NONE;
    if (error_code == ERR_NONE && model->state == COMPLETING)
        return ERR_REBALANCE_IN_PROGRESS;
    return model->exists ? error_code : ERR_ILLEGAL_GENERATION;
}

int16_t model_leave(struct model *model, const char *id, const char *instance, bool *was_member)
{
    int at = find(model, id, true);
    if (!model->exists)
        return ERR_UNKNOWN_MEMBER_ID;
    if (at >= 0) {
        remove_member(model, at);
        return ERR_NONE;
    }
    int16_t error_code = ERR_NONE;
    if (id[0])
        error_code = check_member(model, id, instance, &at);
    else if ((at = find_instance(model, instance)) < 0)
        error_code = ERR_UNKNOWN_MEMBER_ID;
    if (error_code != ERR_NONE)
        return error_code;
    end_join(model, at, ERR_UNKNOWN_MEMBER_ID);
    end_sync(model, at, ERR_UNKNOWN_MEMBER_ID);
    remove_member(model, at);
    *was_member = true;
    return ERR_NONE;
}

void model_left(struct model *model, bool was_member)
{
    if (model->state == PREPARING)
        complete_if_joined(model);
    else if (was_member)
        prepare_rebalance(model);
}

void model_disconnect(struct model *model, int slot)
{
    for (int i = 0; i < model->count; i++) {
        if (model->members[i].join == slot)
            model->members[i].join = GONE;
        if (model->members[i].sync == slot)
            model->members[i].sync = GONE;
    }
}

/* -- time -------------------------------------------------------------------------------------- */

int64_t model_next_ms(const struct model *model, bool *is_tied)
{
    int64_t next_ms = model->phase_due_ms >= 0 ? model->phase_due_ms : INT64_MAX;
    *is_tied = false;
    for (int i = 0; i < model->count; i++) {
        int64_t due_ms = model->members[i].due_ms;
        if (due_ms <= next_ms) {
            *is_tied = due_ms == next_ms;
            next_ms = due_ms;
        }
    }
    return next_ms;
}

static void end_session(struct model *model, int at)
{
    struct member *member = &model->members[at];
    bool is_waiting = member->join != NOBODY || member->sync != NOBODY;
    bool was_pending = member->is_pending;
    if (model->broken == WAITING_IS_NO_SIGN_OF_LIFE)
        is_waiting = false;
    if (is_waiting && !member->is_new) {
        member->due_ms = model->now_ms + member->session_ms;
        return;
    }
    end_join(model, at, ERR_UNKNOWN_MEMBER_ID);
    end_sync(model, at, ERR_UNKNOWN_MEMBER_ID);
    remove_member(model, at);
    if (model->state == PREPARING) {
        if (all_joined(model))
            complete_join(model);
    } else if (!was_pending && model->state != EMPTY) {
        prepare_rebalance(model);
    }
}

static void end_phase(struct model *model)
{
    model->phase_due_ms = -1;
    if (model->state == PREPARING) {
        int64_t quiet_ms = model->newcomer_ms + model->initial_delay_ms;
        int64_t end_ms = quiet_ms < model->initial_end_ms ? quiet_ms : model->initial_end_ms;
        if (model->is_initial && end_ms > model->now_ms) {
            model->phase_due_ms = end_ms;
        } else {
            complete_join(model);
        }
        return;
    }
    if (model->broken == SYNCS_HAVE_NO_DEADLINE)
        return;
    for (int i = model->count - 1; i >= 0; i--)
        if (model->members[i].is_sync_pending) {
            end_sync(model, i, ERR_UNKNOWN_MEMBER_ID);
            remove_member(model, i);
        }
    prepare_rebalance(model);
}

void model_tick(struct model *model, int64_t now_ms)
{
    model->now_ms = now_ms;
    for (int i = 0; i < model->count; i++)
        if (model->members[i].due_ms <= now_ms) {
            end_session(model, i);
            return;
        }
    if (model->phase_due_ms >= 0 && model->phase_due_ms <= now_ms)
        end_phase(model);
}

void model_open(struct model *model, int64_t now_ms, int64_t initial_delay_ms, int size_max,
                enum broken_rule broken)
{
    *model = (struct model){ .now_ms = now_ms,
                             .initial_delay_ms = initial_delay_ms,
                             .size_max = size_max,
                             .broken = broken,
                             .protocol = -1,
                             .leader = -1,
                             .written_leader = -1,
                             .phase_due_ms = -1 };
}
