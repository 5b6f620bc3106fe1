"""A member of a group for compat/groups.sh, which says what it prints."""
import os
import sys

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from group_members import Lines, input_ends

BOOTSTRAP, STYLE, GROUP, TOPIC, NAME = sys.argv[1:]
BATCH = 50

# Styles: assignors of the classic protocol, and the other protocol with a subscription by name and by pattern.
SETTINGS = {
    "range": {"group.protocol": "classic", "partition.assignment.strategy": "range"},
    "cooperative": {"group.protocol": "classic", "partition.assignment.strategy": "cooperative-sticky"},
    "consumer": {"group.protocol": "consumer"},
    "regex": {"group.protocol": "consumer", "group.remote.assignor": "range"},
}[STYLE]
if SETTINGS["group.protocol"] == "classic":
    SETTINGS |= {"session.timeout.ms": os.environ["GROUP_SESSION_MS"],
                 "heartbeat.interval.ms": os.environ["GROUP_HEARTBEAT_MS"]}
SUBSCRIPTION = "^" + TOPIC[:-1] + "[" + TOPIC[-1] + "]$" if STYLE == "regex" else TOPIC

# What a commit may say while the group moves on: somebody reads these records again.
MOVED = {KafkaError.ILLEGAL_GENERATION, KafkaError.UNKNOWN_MEMBER_ID, KafkaError.REBALANCE_IN_PROGRESS,
         KafkaError.STALE_MEMBER_EPOCH, KafkaError.FENCED_MEMBER_EPOCH, KafkaError._ASSIGNMENT_LOST}


def commit(lines, consumer, pending):
    if not pending:
        return
    try:
        for partition in consumer.commit(offsets=list(pending.values()), asynchronous=False):
            lines.say(*(["note", partition.error] if partition.error else ["commit", partition.partition, partition.offset]))
    except KafkaException as error:
        lines.say("note" if error.args[0].code() in MOVED or error.args[0].retriable() else "failed", error)
    pending.clear()


def run():
    ended, lines, pending = input_ends(), Lines(NAME), {}

    def assigned(_, partitions):
        lines.of_partitions("assign", "-", partitions=partitions)

    def revoked(consumer, partitions):
        commit(lines, consumer, pending)
        lines.of_partitions("revoke", partitions=partitions)

    def lost(_, partitions):
        pending.clear()
        lines.of_partitions("lost", partitions=partitions)

    consumer = Consumer(SETTINGS | {"bootstrap.servers": BOOTSTRAP, "group.id": GROUP, "enable.auto.commit": False,
                                    "auto.offset.reset": "earliest", "reconnect.backoff.max.ms": 500})
    consumer.subscribe([SUBSCRIPTION], on_assign=assigned, on_revoke=revoked, on_lost=lost)
    count = 0
    while not ended.is_set():
        message = consumer.poll(0.05)
        if message is None or count == BATCH:
            commit(lines, consumer, pending)
            count = 0
        if message is None:
            continue
        if message.error():
            lines.say("note" if message.error().retriable() else "failed", message.error())
            continue
        lines.say("read", message.partition(), message.offset(), message.value().decode())
        pending[message.partition()] = TopicPartition(TOPIC, message.partition(), message.offset() + 1)
        count += 1
    commit(lines, consumer, pending)
    consumer.close()


run()
