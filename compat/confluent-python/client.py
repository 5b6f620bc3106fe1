"""confluent-kafka without groups: produce, read by offset and time, list offsets."""
import sys
import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from compat_checks import CODECS, RECORDS, TIMEOUT_S, check, expect, expected

BOOTSTRAP = sys.argv[1]
BASE_MS = 1_000_000_000_000


def consumer():
    # The library asks for a group's name even where nobody joins one.
    return Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": "none", "enable.auto.commit": False,
                     "auto.offset.reset": "error", "check.crcs": True})


def read(topic, offset, count):
    reading = consumer()
    try:
        reading.assign([TopicPartition(topic, 0, offset)])
        messages, deadline = [], time.monotonic() + TIMEOUT_S
        while len(messages) < count:
            expect(time.monotonic() < deadline, "only %d records came" % len(messages))
            message = reading.poll(1)
            if message is None:
                continue
            if message.error():
                raise KafkaException(message.error())
            messages.append(message)
        return messages
    finally:
        reading.close()


def read_series(topic):
    for i, (message, (key, value)) in enumerate(zip(read(topic, 0, RECORDS), expected())):
        expect(message.offset() == i and message.key() == key and message.value() == value, "record %d" % i)


def produce_series(topic, codec, acks):
    failures = []

    def report(error, message):
        if error:
            failures.append(error)

    producer = Producer({"bootstrap.servers": BOOTSTRAP, "compression.type": codec, "acks": acks, "linger.ms": 2})
    for i, (key, value) in enumerate(expected()):
        producer.produce(topic, value, key, 0, on_delivery=report, timestamp=BASE_MS + i, headers=[("h", b"%d" % i)])
    expect(producer.flush(TIMEOUT_S) == 0, "not all was answered")
    expect(not failures, str(failures[:1]))


def headers_and_timestamps():
    for i, message in enumerate(read("confluent-zstd", 0, RECORDS)):
        expect(message.headers() == [("h", b"%d" % i)], "headers of %d" % i)
        expect(message.timestamp()[1] == BASE_MS + i, "timestamp of %d" % i)


def offsets():
    reading = consumer()
    try:
        partition = TopicPartition("confluent-lz4", 0)
        expect(reading.get_watermark_offsets(partition, TIMEOUT_S) == (0, RECORDS), "bounds")
        for time_ms, offset in [(0, 0), (BASE_MS + 500, 500), (BASE_MS + RECORDS, -1)]:
            found = reading.offsets_for_times([TopicPartition("confluent-lz4", 0, time_ms)], TIMEOUT_S)[0]
            expect(found.offset == offset, "offset %d for %d" % (found.offset, time_ms))
    finally:
        reading.close()


def metadata():
    topics = consumer().list_topics(timeout=TIMEOUT_S).topics
    expect(len(topics["seed-none"].partitions) == 3, "partitions")


check("metadata", metadata)
for codec in CODECS:
    check("reads-kcat-" + codec, read_series, "seed-" + codec)
    check("produce-" + codec, produce_series, "confluent-" + codec, codec, "all")
    check("consume-" + codec, read_series, "confluent-" + codec)
for acks in ["0", "1"]:
    check("acks-" + acks, produce_series, "confluent-acks-" + acks, "none", acks)
check("headers-and-timestamps", headers_and_timestamps)
check("offsets", offsets)
