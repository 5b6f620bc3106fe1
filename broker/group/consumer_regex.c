/* Patterns of a consumer group: workers match them against the topics, heartbeats take the result over. */
#include <stdlib.h>

#include "broker/group/consumer_internal.h"
#include "broker/group/topic_regex.h"
#include "broker/server.h"
#include "broker/work.h"
#include "protocol/base/note.h"

enum {
    REFRESH_MIN_MS = 10000,   /* Kafka: patterns are matched anew so often at most, */
    UNRESOLVED_MIN_MS = 1000, /* but a pattern that nobody matched yet waits less */
    JOB_MAX_MS = 60000,       /* so long a worker may be at it until another one tries */
};

static void free_resolution(struct consumer_resolution *resolution)
{
    if (!resolution)
        return;
    arena_destroy(&resolution->arena);
    free(resolution);
}

void consumer__drop_resolution(struct consumer_group *consumer)
{
    free_resolution(consumer->resolution);
    consumer->resolution = NULL;
}

size_t consumer__matched_size(const struct matched_regex *matched)
{
    enum { FRAME_SIZE = 128, LENGTH_SIZE = 2 };
    size_t size = FRAME_SIZE + matched->pattern.size;
    for (int32_t i = 0; i < matched->topics.count; i++)
        size += LENGTH_SIZE + matched->topics.names[i].size;
    return size;
}

void consumer__end_resolution(struct consumer_group *consumer, size_t size_max)
{
    for (int32_t i = 0; i < consumer->resolution->count; i++) {
        const struct matched_regex *matched = &consumer->resolution->regexes[i];
        struct consumer_regex *regex = consumer__find_regex(consumer, matched->pattern);
        if (!regex || regex->is_resolved || regex->is_too_large || consumer__matched_size(matched) <= size_max)
            continue;
        regex->is_too_large = true;
        note_warn("group.pattern_too_large", "partition=%d topics=%d reason=\"no record takes so many\"",
                  shard_index(group_shard(consumer->group)), matched->topics.count);
    }
    consumer__drop_resolution(consumer);
}

bool consumer__has_unresolved(const struct consumer_group *consumer)
{
    if (consumer->regex_count == 0)
        return false;
    for (const struct consumer_regex *regex = consumer->regexes; regex; regex = regex->next)
        if (regex->member_count > 0 && !regex->is_resolved && !regex->is_too_large)
            return true;
    return false;
}

/* -- on a worker ------------------------------------------------------------------------------- */

struct regex_job {
    struct work work; /* first */
    struct shard *shard;
    slice group_id;                         /* in the resolution's arena */
    struct consumer_resolution *resolution; /* patterns; the worker adds what they match */
};

static bool match(const struct image *image, struct arena *arena, struct matched_regex *matched)
{
    struct topic_regex *regex = topic_regex_open(matched->pattern, NULL);
    bool ok = true;
    size_t capacity = 0;
    slice *names = NULL;
    matched->topics = (struct topic_names){ 0, NULL };
    for (size_t t = 0; regex && ok && t < image->topic_count; t++) {
        if (!topic_regex_matches(regex, image->topics[t]->name_slice))
            continue;
        if ((size_t)matched->topics.count == capacity) {
            size_t more = capacity ? 2 * capacity : 16;
            slice *grown = arena_alloc_array(arena, more, sizeof *grown);
            if (!grown) {
                ok = false;
                break;
            }
            if (capacity)
                memcpy(grown, names, capacity * sizeof *grown);
            names = grown;
            capacity = more;
        }
        names[matched->topics.count++] = arena_copy(arena, image->topics[t]->name_slice, &ok);
    }
    matched->topics.names = names; /* ascending, as the image is */
    if (regex)
        topic_regex_close(regex);
    return ok;
}

/* The group may be gone, or new, meanwhile. */
static void hand_over(struct regex_job *job, bool is_ok)
{
    void *state;
    struct consumer_resolution *resolution = job->resolution;
    if (shard_enter(job->shard, &state) == ERR_NONE) {
        struct group *group = groups_find(state, job->group_id);
        if (group && group->type == GROUP_CONSUMER) {
            struct consumer_group *consumer = group->consumer;
            consumer->refresh_until_ms = 0;
            if (is_ok) {
                consumer__drop_resolution(consumer);
                consumer->resolution = resolution;
                consumer->refreshed_version = resolution->version;
                resolution = NULL;
            }
        }
        shard_leave(job->shard);
    }
    free_resolution(resolution);
}

static void run(struct work *work)
{
    struct regex_job *job = (struct regex_job *)work;
    struct consumer_resolution *resolution = job->resolution;
    const struct image *image = controller_image(shard_server(job->shard)->controller);
    bool ok = true;
    resolution->version = image->end_offset;
    for (int32_t i = 0; i < resolution->count && ok; i++)
        ok = match(image, &resolution->arena, &resolution->regexes[i]);
    hand_over(job, ok);
    free(job);
}

/* -- on a loop --------------------------------------------------------------------------------- */

/* The patterns that members subscribe to; sorting names is the image's. NULL: no memory. */
static struct regex_job *make_job(struct consumer_group *consumer)
{
    struct shard *shard = group_shard(consumer->group);
    struct regex_job *job = calloc(1, sizeof *job);
    struct consumer_resolution *resolution = calloc(1, sizeof *resolution);
    bool ok = job && resolution;
    if (ok) {
        arena_init(&resolution->arena, NULL);
        resolution->timestamp = shard_wall_ms(shard);
        resolution->regexes =
            arena_alloc_array(&resolution->arena, (size_t)consumer->regex_count, sizeof *resolution->regexes);
        ok = resolution->regexes != NULL;
        for (const struct consumer_regex *regex = consumer->regexes; regex && ok; regex = regex->next)
            if (regex->member_count > 0)
                resolution->regexes[resolution->count++].pattern =
                    arena_copy(&resolution->arena, regex->pattern, &ok);
        *job = (struct regex_job){ .work = { .run = run }, .shard = shard, .resolution = resolution };
        job->group_id = arena_copy(&resolution->arena, consumer->group->id, &ok);
        if (!ok)
            arena_destroy(&resolution->arena);
    }
    if (ok)
        return job;
    free(resolution);
    free(job);
    return NULL;
}

static int64_t newest(const struct consumer_group *consumer,
                      int64_t (*value)(const struct consumer_regex *regex))
{
    int64_t newest = INT64_MIN;
    for (const struct consumer_regex *regex = consumer->regexes; regex; regex = regex->next)
        if (regex->is_resolved && value(regex) > newest)
            newest = value(regex);
    return newest;
}

static int64_t version_of(const struct consumer_regex *regex)
{
    return regex->version;
}

static bool is_due(struct consumer_group *consumer, int64_t now_ms)
{
    const struct server *server = shard_server(group_shard(consumer->group));
    int64_t since_ms = now_ms - consumer->refreshed_ms;
    if (consumer->regex_count == 0 || consumer->resolution || now_ms < consumer->refresh_until_ms)
        return false;
    if (consumer__has_unresolved(consumer))
        return since_ms >= UNRESOLVED_MIN_MS;
    if (since_ms < REFRESH_MIN_MS)
        return false;
    if (consumer->refreshed_version < 0) /* nothing since the start: what the records say */
        consumer->refreshed_version = newest(consumer, version_of);
    return consumer->refreshed_version < controller_image(server->controller)->end_offset ||
           since_ms >= server->config->group_consumer_regex_refresh_interval_ms;
}

void consumer__refresh_regexes(struct consumer_group *consumer)
{
    int64_t now_ms = shard_mono_ms(group_shard(consumer->group));
    struct regex_job *job = is_due(consumer, now_ms) ? make_job(consumer) : NULL;
    if (!job)
        return;
    consumer->refreshed_ms = now_ms;
    consumer->refresh_until_ms = now_ms + JOB_MAX_MS;
    workers_submit(shard_server(group_shard(consumer->group))->read_workers, &job->work);
}

/* -- taking over ------------------------------------------------------------------------------- */

static bool copy_allowed(struct request *rq, struct arena *arena, const struct topic_names *from,
                         struct topic_names *out)
{
    slice *names = arena_alloc_array(arena, (size_t)from->count, sizeof *names);
    bool ok = names != NULL;
    *out = (struct topic_names){ 0, names };
    for (int32_t i = 0; i < from->count && ok; i++) {
        const struct topic *topic;
        if (rq_topic(rq, from->names[i], OP_DESCRIBE, &topic) != ERR_TOPIC_AUTHORIZATION_FAILED)
            names[out->count++] = arena_copy(arena, from->names[i], &ok);
    }
    return ok;
}

bool consumer__take_resolution(struct shard_op *op, const struct consumer_group *consumer,
                               struct consumer_resolution **out)
{
    const struct consumer_resolution *from = consumer->resolution;
    *out = NULL;
    if (!from)
        return true;
    struct consumer_resolution *taken = arena_alloc_array(op->arena, 1, sizeof *taken);
    if (!taken)
        return false;
    taken->version = from->version;
    taken->timestamp = from->timestamp;
    taken->count = from->count;
    taken->regexes = arena_alloc_array(op->arena, (size_t)from->count, sizeof *taken->regexes);
    bool ok = taken->regexes != NULL;
    for (int32_t i = 0; i < from->count && ok; i++) {
        taken->regexes[i].pattern = arena_copy(op->arena, from->regexes[i].pattern, &ok);
        ok = ok && copy_allowed(op->rq, op->arena, &from->regexes[i].topics, &taken->regexes[i].topics);
    }
    *out = taken;
    return ok;
}
