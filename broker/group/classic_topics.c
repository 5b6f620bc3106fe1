/* Which topics the members of a classic group read: what their subscriptions say, for protocol type
 * "consumer". */
#include <stdlib.h>

#include "broker/group/classic_internal.h"
#include "protocol/reader.h"

/* Sorted, each once; the slices point into profiles, so it goes whenever a member changes. */
struct classic_topics {
    bool is_known; /* false: somebody's subscription cannot be read */
    size_t count;
    slice names[];
};

void classic__forget_topics(struct classic_group *classic)
{
    free(classic->topics);
    classic->topics = NULL;
}

/* Version 0 is how every version begins: version, topics. */
static bool read_count(struct reader *reader, slice subscription, int32_t *count)
{
    int16_t version;
    reader_init(reader, subscription, NULL);
    return reader_int16(reader, &version) && version >= 0 && reader_array(reader, false, false, 2, count);
}

/* names NULL: only counts them. */
static bool collect(const struct classic_group *classic, slice *names, size_t *count)
{
    slice protocol = classic__bytes_slice(classic->protocol);
    *count = 0;
    for (const struct classic_member *member = classic->first; member; member = member->next) {
        struct reader reader;
        int32_t left;
        slice name;
        if (!read_count(&reader, classic__profile_metadata(member->profile, protocol), &left))
            return false;
        for (; left > 0; left--, (*count)++) {
            if (!reader_string(&reader, false, false, &name))
                return false;
            if (names)
                names[*count] = name;
        }
    }
    return true;
}

static struct classic_topics *build(const struct classic_group *classic)
{
    size_t count;
    bool is_known = collect(classic, NULL, &count);
    struct classic_topics *topics = malloc(sizeof *topics + (is_known ? count : 0) * sizeof(slice));
    if (!topics)
        return NULL;
    topics->is_known = is_known;
    topics->count = 0;
    if (!is_known)
        return topics;
    collect(classic, topics->names, &count);
    if (count > 0)
        qsort(topics->names, count, sizeof(slice), slice_compare_items);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || !slice_equal(topics->names[i], topics->names[topics->count - 1]))
            topics->names[topics->count++] = topics->names[i];
    return topics;
}

/* What cannot be told counts as subscribed: nothing that a member may need is taken from it. */
bool classic_is_subscribed(struct classic_group *classic, slice topic)
{
    if (!slice_equal_string(classic__bytes_slice(classic->protocol_type), "consumer"))
        return false;
    if (!classic->first)
        return false;
    if (!classic->protocol)
        return true;
    if (!classic->topics)
        classic->topics = build(classic);
    if (!classic->topics || !classic->topics->is_known)
        return true;
    return classic->topics->count > 0 && bsearch(&topic, classic->topics->names, classic->topics->count,
                                                 sizeof(slice), slice_compare_items);
}
