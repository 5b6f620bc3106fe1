/* How long a member of a classic group may be silent: its session, and what happens at its end. */
#include "broker/group/classic_internal.h"

void classic_touch(struct group *group, slice member_id)
{
    struct classic_member *member = classic__find(group->classic, member_id);
    if (member)
        member->session_due_ms = shard_mono_ms(group_shard(group)) + member->session_timeout_ms;
}
void classic_loaded(struct group *group)
{
    (void)group;
}
void classic_stop(struct group *group, int16_t error_code)
{
    (void)group;
    (void)error_code;
}
