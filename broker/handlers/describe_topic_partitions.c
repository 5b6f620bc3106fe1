/* DescribeTopicPartitions v0: topics with their partitions, in the order of their names, page by page
 * (KIP-966). */
#include "broker/handlers/handlers.h"

#include <stdlib.h>

#include "broker/authorized_operations.h"
#include "broker/internal_topics.h"
#include "broker/server.h"

typedef struct describe_topic_partitions_request_cursor request_cursor;
typedef struct describe_topic_partitions_response_partition response_partition;
typedef struct describe_topic_partitions_response_topic response_topic;

/* One page in the making. */
struct page {
    struct describe_topic_partitions_response *out;
    const request_cursor *cursor; /* NULL: from the beginning */
    int64_t partitions_left;
    bool is_full; /* next_cursor says where the next page begins */
};

/* -- one topic ---------------------------------------------------------------------------------- */

static bool is_node(const struct image *image, int32_t id)
{
    for (size_t i = 0; i < image->node_count; i++)
        if (image->nodes[i].id == id)
            return true;
    return false;
}

/* Replicas on nodes that are none of the cluster's. */
static bool fill_offline(struct request *rq, const struct partition_metadata *from, response_partition *out)
{
    for (int32_t i = 0; i < from->replica_count; i++) {
        if (is_node(rq->image, from->replicas[i]))
            continue;
        if (!out->offline_replicas)
            out->offline_replicas =
                arena_alloc_array(&rq->arena, (size_t)from->replica_count, sizeof *out->offline_replicas);
        if (!out->offline_replicas)
            return false;
        out->offline_replicas[out->offline_replicas_count++] = from->replicas[i];
    }
    return true;
}

static bool fill_partition(struct request *rq, const struct partition_metadata *from, int32_t index,
                           response_partition *out)
{
    describe_topic_partitions_response_partition_init(out);
    out->partition = index;
    out->leader_id = is_node(rq->image, from->leader) ? from->leader : -1;
    out->leader_epoch = from->leader_epoch;
    out->replica_nodes = (int32_t *)from->replicas; /* only read from here on */
    out->replica_nodes_count = from->replica_count;
    out->isr_nodes = (int32_t *)from->isr;
    out->isr_nodes_count = from->isr_count;
    /* Nobody but the leader could be eligible: empty lists, not null, as in Kafka. */
    out->eligible_leader_replicas = out->last_known_elr = out->replica_nodes;
    out->eligible_leader_replicas_count = out->last_known_elr_count = 0;
    return fill_offline(rq, from, out);
}

static bool end_page(struct request *rq, struct page *page, slice name, int32_t partition)
{
    struct describe_topic_partitions_response_cursor *next = arena_alloc_array(&rq->arena, 1, sizeof *next);
    if (!next)
        return false;
    describe_topic_partitions_response_cursor_init(next);
    next->topic_name = name;
    next->partition_index = partition;
    page->out->next_cursor = next;
    page->is_full = true;
    return true;
}

static response_topic *add_topic(struct page *page, slice name, int16_t error_code)
{
    response_topic *topic = &page->out->topics[page->out->topics_count++];
    describe_topic_partitions_response_topic_init(topic);
    topic->name = name;
    topic->error_code = error_code;
    return topic;
}

static bool add_found(struct request *rq, struct page *page, const struct topic *from)
{
    bool is_continued = page->cursor && slice_equal(page->cursor->topic_name, from->name_slice);
    int32_t first = is_continued ? page->cursor->partition_index : 0;
    int32_t count = first < from->partition_count ? from->partition_count - first : 0;
    if (count > page->partitions_left)
        count = (int32_t)page->partitions_left;
    response_topic *topic = add_topic(page, from->name_slice, ERR_NONE);
    topic->topic_id = from->id;
    topic->is_internal = from->is_internal;
    topic->topic_authorized_operations = rq_topic_operations(rq, from->name_slice);
    topic->partitions = arena_alloc_array(&rq->arena, (size_t)count, sizeof *topic->partitions);
    if (!topic->partitions)
        return false;
    topic->partitions_count = count;
    for (int32_t i = 0; i < count; i++)
        if (!fill_partition(rq, &from->partitions[first + i], first + i, &topic->partitions[i]))
            return false;
    page->partitions_left -= count;
    return first >= from->partition_count - count || end_page(rq, page, from->name_slice, first + count);
}

static void add_missing(struct request *rq, struct page *page, slice name)
{
    const char *why;
    response_topic *topic = add_topic(page, name,
                                      topic_name_valid(name, &why) ? ERR_UNKNOWN_TOPIC_OR_PARTITION
                                                                   : ERR_INVALID_TOPIC_EXCEPTION);
    topic->is_internal = internal_topic_find(name) != INTERNAL_TOPIC_NONE;
    topic->topic_authorized_operations = rq_topic_operations(rq, name);
}

/* -- all topics --------------------------------------------------------------------------------- */

static size_t first_topic(const struct image *image, const request_cursor *cursor)
{
    size_t low = 0, high = cursor ? image->topic_count : 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (slice_compare(image->topics[middle]->name_slice, cursor->topic_name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* A topic that was deleted between two pages is no hindrance: the names behind it follow. */
static bool describe_all(struct request *rq, struct page *page)
{
    const struct image *image = rq->image;
    size_t first = first_topic(image, page->cursor);
    size_t count = image->topic_count - first;
    if (count >
        (size_t)page->partitions_left + 1) /* each has a partition, but for one that the cursor is behind */
        count = (size_t)page->partitions_left + 1;
    page->out->topics = arena_alloc_array(&rq->arena, count, sizeof *page->out->topics);
    if (!page->out->topics)
        return false;
    for (size_t i = first; i < image->topic_count && !page->is_full; i++) {
        const struct topic *topic;
        slice name = image->topics[i]->name_slice;
        if (rq_topic(rq, name, OP_DESCRIBE, &topic) != ERR_NONE)
            continue; /* hidden, not refused */
        bool has_room = page->partitions_left > 0 && (size_t)page->out->topics_count < count;
        if (!(has_room ? add_found(rq, page, topic) : end_page(rq, page, name, 0)))
            return false;
    }
    return true;
}

/* -- topics by name ----------------------------------------------------------------------------- */

/* The names from the cursor on, ascending, without repetitions. NULL: no memory. */
static slice *collect_names(struct request *rq, const struct describe_topic_partitions_request *in,
                            size_t *count)
{
    slice *names = arena_alloc_array(&rq->arena, (size_t)in->topics_count, sizeof *names);
    size_t total = 0;
    *count = 0;
    for (int32_t i = 0; names && i < in->topics_count; i++)
        if (!in->cursor || slice_compare(in->topics[i].name, in->cursor->topic_name) >= 0)
            names[total++] = in->topics[i].name;
    if (names)
        qsort(names, total, sizeof *names, slice_compare_items);
    for (size_t i = 0; i < total; i++)
        if (i == 0 || !slice_equal(names[i], names[*count - 1]))
            names[(*count)++] = names[i];
    return names;
}

static bool add_named(struct request *rq, struct page *page, slice name)
{
    const struct topic *topic;
    int16_t error_code = rq_topic(rq, name, OP_DESCRIBE, &topic);
    if (error_code == ERR_TOPIC_AUTHORIZATION_FAILED)
        return true; /* told behind the others */
    if (page->partitions_left == 0)
        return end_page(rq, page, name, 0);
    if (error_code == ERR_NONE)
        return add_found(rq, page, topic);
    add_missing(rq, page, name);
    return true;
}

static bool describe_named(struct request *rq, struct page *page, const slice *names, size_t count)
{
    page->out->topics = arena_alloc_array(&rq->arena, count, sizeof *page->out->topics);
    if (!page->out->topics)
        return false;
    for (size_t i = 0; i < count && !page->is_full; i++)
        if (!add_named(rq, page, names[i]))
            return false;
    /* Kafka tells them on every page, without an id and whether they exist. */
    const struct topic *topic;
    for (size_t i = 0; i < count; i++)
        if (rq_topic(rq, names[i], OP_DESCRIBE, &topic) == ERR_TOPIC_AUTHORIZATION_FAILED)
            add_topic(page, names[i], ERR_TOPIC_AUTHORIZATION_FAILED);
    return true;
}

/* -- the request as a whole --------------------------------------------------------------------- */

/* Kafka refuses the request as a whole, in the only place there is: at each topic that it names. */
static enum handled refuse(struct request *rq, const struct describe_topic_partitions_request *in,
                           struct page *page)
{
    page->out->topics = arena_alloc_array(&rq->arena, (size_t)in->topics_count, sizeof *page->out->topics);
    if (!page->out->topics)
        return HANDLED_CLOSE;
    for (int32_t i = 0; i < in->topics_count; i++)
        add_topic(page, in->topics[i].name, ERR_INVALID_REQUEST);
    return HANDLED_DONE;
}

static int64_t partition_limit(const struct request *rq, const struct describe_topic_partitions_request *in)
{
    int32_t cap = rq->server->config->max_request_partition_size_limit;
    int32_t limit = in->response_partition_limit < cap ? in->response_partition_limit : cap;
    return limit > 1 ? limit : 1;
}

enum handled handle_describe_topic_partitions(struct request *rq,
                                              const struct describe_topic_partitions_request *in,
                                              struct describe_topic_partitions_response *out)
{
    struct page page = { .out = out, .cursor = in->cursor, .partitions_left = partition_limit(rq, in) };
    size_t count = 0;
    bool is_all = in->topics_count == 0;
    slice *names = is_all ? NULL : collect_names(rq, in, &count);
    if (!is_all && !names)
        return HANDLED_CLOSE;
    /* The names begin with the cursor's, or it is not among them. */
    bool is_listed = !in->cursor || is_all || (count > 0 && slice_equal(names[0], in->cursor->topic_name));
    if (!is_listed || (in->cursor && in->cursor->partition_index < 0))
        return refuse(rq, in, &page);
    bool ok = is_all ? describe_all(rq, &page) : describe_named(rq, &page, names, count);
    return ok ? HANDLED_DONE : HANDLED_CLOSE;
}
