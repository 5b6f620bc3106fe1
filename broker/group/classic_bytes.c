/* What a classic group shares with answers that are still on their way: pinned bytes and profiles of members.
 */
#include <stdlib.h>

#include "broker/group/classic_internal.h"

static void release_bytes(struct pin *pin)
{
    free((char *)pin - offsetof(struct classic_bytes, pin));
}

struct classic_bytes *classic__bytes_make(size_t size)
{
    struct classic_bytes *bytes = malloc(sizeof *bytes + size);
    if (!bytes)
        return NULL;
    pin_init(&bytes->pin, release_bytes);
    bytes->size = size;
    return bytes;
}

struct classic_bytes *classic__bytes_copy(slice from)
{
    struct classic_bytes *bytes = classic__bytes_make(from.size);
    if (bytes && from.size > 0)
        memcpy(bytes->data, from.data, from.size);
    return bytes;
}

slice classic__bytes_slice(const struct classic_bytes *bytes)
{
    return bytes ? slice_of(bytes->data, bytes->size) : SLICE_NULL;
}

void classic__bytes_drop(struct classic_bytes **place)
{
    if (*place)
        pin_drop(&(*place)->pin);
    *place = NULL;
}

/* -- profiles ---------------------------------------------------------------------------------- */

static atomic_size_t held_size; /* by all profiles of the process */

static void release_profile(struct pin *pin)
{
    struct classic_profile *profile =
        (struct classic_profile *)((char *)pin - offsetof(struct classic_profile, pin));
    atomic_fetch_sub_explicit(&held_size, profile->size, memory_order_relaxed);
    free(profile);
}

bool classic__may_hold(size_t size)
{
    return atomic_load_explicit(&held_size, memory_order_relaxed) + size <= CLASSIC_SIZE_MAX;
}

size_t classic__profile_size(slice member_id, slice instance_id, slice client_id, slice client_host,
                             const struct join_group_request_protocol *protocols, int32_t protocol_count)
{
    size_t size = MEMBER_COST + (size_t)protocol_count * sizeof *protocols + member_id.size +
                  instance_id.size + client_id.size + client_host.size;
    for (int32_t i = 0; i < protocol_count; i++)
        size += protocols[i].name.size + protocols[i].metadata.size;
    return size;
}

/* Null stays null. */
static slice put(uint8_t **next, slice from)
{
    if (slice_is_null(from))
        return SLICE_NULL;
    slice to = slice_of(*next, from.size);
    if (from.size > 0)
        memcpy(*next, from.data, from.size);
    *next += from.size;
    return to;
}

struct classic_profile *classic__profile_make(slice member_id, slice instance_id, slice client_id,
                                              slice client_host,
                                              const struct join_group_request_protocol *protocols,
                                              int32_t protocol_count)
{
    size_t size =
        classic__profile_size(member_id, instance_id, client_id, client_host, protocols, protocol_count);
    struct classic_profile *profile = malloc(size - MEMBER_COST + sizeof *profile);
    if (!profile)
        return NULL;
    atomic_fetch_add_explicit(&held_size, size, memory_order_relaxed);
    pin_init(&profile->pin, release_profile);
    profile->size = size;
    profile->protocol_count = protocol_count;
    uint8_t *next = (uint8_t *)&profile->protocols[protocol_count];
    profile->member_id = put(&next, member_id);
    profile->instance_id = put(&next, instance_id);
    profile->client_id = put(&next, client_id);
    profile->client_host = put(&next, client_host);
    for (int32_t i = 0; i < protocol_count; i++) {
        join_group_request_protocol_init(&profile->protocols[i]);
        profile->protocols[i].name = put(&next, protocols[i].name);
        profile->protocols[i].metadata = put(&next, protocols[i].metadata);
    }
    return profile;
}

void classic__profile_drop(struct classic_profile *profile)
{
    if (profile)
        pin_drop(&profile->pin);
}

bool classic__profile_matches(const struct classic_profile *profile,
                              const struct join_group_request_protocol *protocols, int32_t count)
{
    if (profile->protocol_count != count)
        return false;
    for (int32_t i = 0; i < count; i++)
        if (!slice_equal(profile->protocols[i].name, protocols[i].name) ||
            !slice_equal(profile->protocols[i].metadata, protocols[i].metadata))
            return false;
    return true;
}

slice classic__profile_metadata(const struct classic_profile *profile, slice protocol)
{
    for (int32_t i = 0; i < profile->protocol_count; i++)
        if (slice_equal(profile->protocols[i].name, protocol))
            return profile->protocols[i].metadata;
    return SLICE_LITERAL("");
}
