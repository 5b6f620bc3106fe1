"""The writer and the reader of compat/ledger.sh, which says what they print, with librdkafka's idempotent producer."""
import os
import random
import sys
import threading

from confluent_kafka import Consumer, Producer, TopicPartition

UNANSWERED_MAX = 1000


def input_ends():
    ended = threading.Event()

    def wait():
        sys.stdin.read()
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    return ended


def value(partition, number):
    padding = 100_000 if number % 997 == 996 else number * 7919 % 1000
    return b"%d:%d:" % (partition, number) + b"x" * padding


def write(bootstrap, topic, partitions):
    ended, following, unanswered = input_ends(), [0] * partitions, 0

    def report(partition, number):
        def answered(error, message):
            nonlocal unanswered
            unanswered -= 1
            if error:
                print("failed", partition, number, error, flush=True)
            else:
                print("acked", partition, number, message.offset(), flush=True)
        return answered

    def fatal(error):
        print(error, file=sys.stderr, flush=True)
        if error.fatal():
            print("fatal", error, flush=True)

    settings = {"bootstrap.servers": bootstrap, "enable.idempotence": True, "error_cb": fatal}
    if os.environ.get("LEDGER_IMPATIENT") == "1":
        settings |= {"message.timeout.ms": 2000, "request.timeout.ms": 1000, "socket.timeout.ms": 1100}
    producer = Producer(settings)
    while not ended.is_set():
        if unanswered >= UNANSWERED_MAX:
            producer.poll(0.1)
            continue
        partition = random.randrange(partitions)
        number = following[partition]
        following[partition] += 1
        unanswered += 1
        producer.produce(topic, value(partition, number), partition=partition, on_delivery=report(partition, number))
        producer.poll(0)
    producer.flush()
    for partition in range(partitions):
        print("sent", partition, following[partition])


def read(bootstrap, topic, partitions):
    ended, ends = input_ends(), None
    # The library asks for a group's name even where nobody joins one.
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "none", "enable.auto.commit": False,
                         "auto.offset.reset": "error"})
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
    positions = [0] * partitions
    while ends is None or any(position < end for position, end in zip(positions, ends)):
        message = consumer.poll(0.2)
        if message is not None and message.error():
            print(message.error(), file=sys.stderr, flush=True)
            if not message.error().retriable():
                print("failed", message.partition(), message.offset(), message.error(), flush=True)
        elif message is not None:
            number = int(message.value().split(b":", 2)[1])
            intact = message.value() == value(message.partition(), number)
            print("read" if intact else "corrupt", message.partition(), message.offset(), number)
            positions[message.partition()] = message.offset() + 1
        if ends is None and ended.is_set():
            ends = [consumer.get_watermark_offsets(TopicPartition(topic, partition), 30)[1]
                    for partition in range(partitions)]
    consumer.close()


{"write": write, "read": read}[sys.argv[1]](sys.argv[2], sys.argv[3], int(sys.argv[4]))
