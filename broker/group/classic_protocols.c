/* Which protocol a classic group uses: what all members support, and their votes on it. */
#include "broker/group/classic_internal.h"

void classic__forget_protocols(struct classic_group *classic)
{
    classic__profile_drop(classic->reference);
    classic->reference = NULL;
}

/* The bits of those of the reference's protocols that the profile has, too. */
static uint64_t bits_of(const struct classic_profile *reference, const struct classic_profile *profile)
{
    uint64_t bits = 0;
    for (int32_t i = 0; i < reference->protocol_count; i++)
        for (int32_t k = 0; k < profile->protocol_count; k++)
            if (slice_equal(reference->protocols[i].name, profile->protocols[k].name))
                bits |= UINT64_C(1) << i;
    return bits;
}

void classic__narrow_protocols(struct classic_group *classic, const struct classic_profile *profile)
{
    if (classic->reference)
        classic->common &= bits_of(classic->reference, profile);
}

bool classic__same_names(const struct classic_profile *a, const struct classic_profile *b)
{
    if (a->protocol_count != b->protocol_count)
        return false;
    for (int32_t i = 0; i < a->protocol_count; i++)
        if (!slice_equal(a->protocols[i].name, b->protocols[i].name))
            return false;
    return true;
}

static void count_common(struct classic_group *classic)
{
    if (classic->reference || !classic->first)
        return;
    classic->reference = classic->first->profile;
    pin_take(&classic->reference->pin);
    classic->common = bits_of(classic->reference, classic->reference);
    for (const struct classic_member *member = classic->first->next; member && classic->common;
         member = member->next)
        classic->common &= bits_of(classic->reference, member->profile);
}

bool classic__supports(struct classic_group *classic, const struct join_group_request_protocol *protocols,
                       int32_t protocol_count)
{
    if (!classic->first)
        return protocol_count > 0;
    count_common(classic);
    for (int32_t i = 0; i < classic->reference->protocol_count; i++)
        for (int32_t k = 0; k < protocol_count && (classic->common >> i & 1); k++)
            if (slice_equal(classic->reference->protocols[i].name, protocols[k].name))
                return true;
    return false;
}

/* The first of its protocols that is a candidate gets the vote. */
static void vote(const struct classic_profile *reference, uint64_t candidates,
                 const struct classic_profile *voter, uint32_t votes[MEMBER_PROTOCOLS_MAX])
{
    for (int32_t k = 0; k < voter->protocol_count; k++)
        for (int32_t i = 0; i < reference->protocol_count; i++)
            if ((candidates >> i & 1) &&
                slice_equal(reference->protocols[i].name, voter->protocols[k].name)) {
                votes[i]++;
                return;
            }
}

slice classic__select_protocol(struct classic_group *classic, const struct classic_member *replaced,
                               const struct classic_profile *profile)
{
    uint32_t votes[MEMBER_PROTOCOLS_MAX] = { 0 };
    const struct classic_profile *reference = NULL;
    uint64_t candidates = 0;
    for (const struct classic_member *member = classic->first; member; member = member->next) {
        const struct classic_profile *voter = member == replaced ? profile : member->profile;
        candidates = reference ? candidates & bits_of(reference, voter) : bits_of(voter, voter);
        reference = reference ? reference : voter;
    }
    for (const struct classic_member *member = classic->first; member; member = member->next)
        vote(reference, candidates, member == replaced ? profile : member->profile, votes);
    int32_t best = -1;
    for (int32_t i = 0; reference && i < reference->protocol_count; i++)
        if (votes[i] > 0 && (best < 0 || votes[i] > votes[best]))
            best = i;
    return best < 0 ? SLICE_NULL : reference->protocols[best].name;
}
