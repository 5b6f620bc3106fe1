"""What kafka-python's admin client tells of the groups of compat/groups.sh."""
import sys

from kafka import KafkaAdminClient, TopicPartition

from compat_checks import check, expect
from group_members import committed_ends

BOOTSTRAP, WHEN, STYLE, GROUP, TOPIC, COUNT = sys.argv[1:]
admin = KafkaAdminClient(bootstrap_servers=BOOTSTRAP)


def live():
    found = admin.describe_groups([GROUP])[GROUP]
    held = [partition for member in found["members"] for topic in member["member_assignment"]["assigned_partitions"]
            for partition in topic["partitions"]]
    expect(found["error"] is None and found["group_state"] == "Stable", repr(found)[:200])
    expect(len(found["members"]) == int(COUNT) and sorted(held) == [0, 1, 2, 3, 4, 5], "members with %s" % held)
    listed = {one["group_id"]: one for one in admin.list_groups(states_filter=["Stable"])}
    expect(listed[GROUP]["protocol_type"] == "consumer", repr(listed))
    expect(admin.delete_groups([GROUP])[GROUP] == "NonEmptyGroupError", "deleting it is not refused")


def offsets():
    found = {partition.partition: offset.offset for partition, offset in admin.list_group_offsets(GROUP)[GROUP].items()}
    expect(found and found == ends, "%s committed, not %s" % (found, ends))
    expect(admin.describe_groups([GROUP])[GROUP]["group_state"] == "Empty", "state")


def delete():
    admin.delete_group_offsets(GROUP, [TopicPartition(TOPIC, 0)])
    expect(len(admin.list_group_offsets(GROUP)[GROUP]) == 5, "offsets after one was deleted")
    expect(admin.delete_groups([GROUP])[GROUP] == "OK", "deleting it")
    expect(GROUP not in {one["group_id"] for one in admin.list_groups()}, "it is still listed")
    expect(admin.delete_groups([GROUP])[GROUP] == "GroupIdNotFoundError", "deleting it again")


ends = committed_ends()
if WHEN == "live":
    check(STYLE + "-admin-live", live)
else:
    check(STYLE + "-admin-offsets", offsets)
    check(STYLE + "-admin-delete", delete)
admin.close()
