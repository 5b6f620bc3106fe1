"""A member of a group for compat/groups.sh, which says what it prints."""
import os
import sys
import threading

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

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


def say(*words):
    os.write(1, (" ".join(map(str, (NAME,) + words)) + "\n").encode())


def numbers(partitions):
    return [partition.partition for partition in partitions]


def commit(consumer, pending):
    if not pending:
        return
    try:
        for partition in consumer.commit(offsets=list(pending.values()), asynchronous=False):
            say(*(["note", partition.error] if partition.error else ["commit", partition.partition, partition.offset]))
    except KafkaException as error:
        say("note" if error.args[0].code() in MOVED or error.args[0].retriable() else "failed", error)
    pending.clear()


def run():
    ended, pending = threading.Event(), {}
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()

    def assigned(_, partitions):
        say("assign", "-", *numbers(partitions))

    def revoked(consumer, partitions):
        commit(consumer, pending)
        say("revoke", *numbers(partitions))

    def lost(_, partitions):
        pending.clear()
        say("lost", *numbers(partitions))

    consumer = Consumer(SETTINGS | {"bootstrap.servers": BOOTSTRAP, "group.id": GROUP, "enable.auto.commit": False,
                                    "auto.offset.reset": "earliest"})
    say("pid", os.getpid())
    consumer.subscribe([SUBSCRIPTION], on_assign=assigned, on_revoke=revoked, on_lost=lost)
    count = 0
    while not ended.is_set():
        message = consumer.poll(0.05)
        if message is None or count == BATCH:
            commit(consumer, pending)
            count = 0
        if message is None:
            continue
        if message.error():
            say("note" if message.error().retriable() else "failed", message.error())
            continue
        say("read", message.partition(), message.offset(), message.value().decode())
        pending[message.partition()] = TopicPartition(TOPIC, message.partition(), message.offset() + 1)
        count += 1
    commit(consumer, pending)
    consumer.close()


run()
