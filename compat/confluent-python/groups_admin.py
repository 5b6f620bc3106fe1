"""What librdkafka's admin client tells of the groups of compat/groups.sh."""
import sys

from confluent_kafka import (ConsumerGroupState, ConsumerGroupTopicPartitions, ConsumerGroupType, KafkaError,
                             KafkaException, TopicPartition)
from confluent_kafka.admin import AdminClient

from compat_checks import TIMEOUT_S, check, expect
from group_members import committed_ends

BOOTSTRAP, WHEN, STYLE, GROUP, TOPIC, COUNT = sys.argv[1:]
TYPE = ConsumerGroupType.CONSUMER if STYLE in ("consumer", "regex") else ConsumerGroupType.CLASSIC
admin = AdminClient({"bootstrap.servers": BOOTSTRAP})


def one(futures):
    return futures[GROUP].result(TIMEOUT_S)


def refused(code, futures):
    try:
        one(futures)
    except KafkaException as error:
        expect(error.args[0].code() == code, repr(error))
    else:
        raise AssertionError("it is not refused")


def committed():
    found = one(admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(GROUP)]))
    return {partition.partition: partition.offset for partition in found.topic_partitions}


def listed(**filters):
    found = admin.list_consumer_groups(types={TYPE}, **filters).result(TIMEOUT_S)
    return GROUP in {group.group_id for group in found.valid}


def live():
    found = one(admin.describe_consumer_groups([GROUP]))
    held = sorted(partition.partition for member in found.members for partition in member.assignment.topic_partitions)
    expect(found.state == ConsumerGroupState.STABLE and found.type == TYPE, "%s, %s" % (found.state, found.type))
    expect(len(found.members) == int(COUNT) and held == [0, 1, 2, 3, 4, 5], "members have %s" % held)
    expect(listed(states={ConsumerGroupState.STABLE}), "it is not listed")
    refused(KafkaError.NON_EMPTY_GROUP, admin.delete_consumer_groups([GROUP]))


def offsets():
    expect(ends and committed() == ends, "%s committed, not %s" % (committed(), ends))
    expect(one(admin.describe_consumer_groups([GROUP])).state == ConsumerGroupState.EMPTY, "state")
    one(admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(GROUP, [TopicPartition(TOPIC, 3, 7)])]))
    expect(committed()[3] == 7, "it is not altered")


def delete():
    one(admin.delete_consumer_groups([GROUP]))
    expect(not listed(), "it is still listed")
    refused(KafkaError.GROUP_ID_NOT_FOUND, admin.delete_consumer_groups([GROUP]))


ends = committed_ends()
if WHEN == "live":
    check(STYLE + "-admin-live", live)
else:
    check(STYLE + "-admin-offsets", offsets)
    check(STYLE + "-admin-delete", delete)
