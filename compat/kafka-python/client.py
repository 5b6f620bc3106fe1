"""kafka-python without groups: produce, read by offset and time, list offsets."""
import sys
import time

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from compat_checks import CODECS, RECORDS, TIMEOUT_S, check, expect, expected

BOOTSTRAP = sys.argv[1]
BASE_MS = 1_000_000_000_000


def consumer():
    return KafkaConsumer(bootstrap_servers=BOOTSTRAP, group_id=None, enable_auto_commit=False,
                         auto_offset_reset="earliest", check_crcs=True)


def read(topic, offset, count):
    reading, partition = consumer(), TopicPartition(topic, 0)
    try:
        reading.assign([partition])
        reading.seek(partition, offset)
        records, deadline = [], time.monotonic() + TIMEOUT_S
        while len(records) < count:
            expect(time.monotonic() < deadline, "only %d records came" % len(records))
            records += reading.poll(timeout_ms=500).get(partition, [])
        return records
    finally:
        reading.close()


def read_series(topic):
    for i, (record, (key, value)) in enumerate(zip(read(topic, 0, RECORDS), expected())):
        expect(record.offset == i and record.key == key and record.value == value, "record %d" % i)


def produce_series(topic, codec, acks):
    producer = KafkaProducer(bootstrap_servers=BOOTSTRAP, compression_type=None if codec == "none" else codec,
                             acks=acks, linger_ms=2, enable_idempotence=False)
    try:
        sent = [producer.send(topic, value, key, [("h", b"%d" % i)], 0, BASE_MS + i)
                for i, (key, value) in enumerate(expected())]
        producer.flush(TIMEOUT_S)
        for i, future in enumerate(sent):
            offset = future.get(TIMEOUT_S).offset
            expect(acks == 0 or offset == i, "answered offset %d of %d" % (offset, i))
    finally:
        producer.close()


def headers_and_timestamps():
    for i, record in enumerate(read("kafka-python-zstd", 0, RECORDS)):
        expect(list(record.headers) == [("h", b"%d" % i)], "headers of %d" % i)
        expect(record.timestamp == BASE_MS + i, "timestamp of %d" % i)


def offsets():
    reading, partition = consumer(), TopicPartition("kafka-python-lz4", 0)
    try:
        expect(reading.beginning_offsets([partition]) == {partition: 0}, "beginning")
        expect(reading.end_offsets([partition]) == {partition: RECORDS}, "end")
        expect(reading.offsets_for_times({partition: BASE_MS + 500})[partition].offset == 500, "time of 500")
        expect(reading.offsets_for_times({partition: BASE_MS + RECORDS})[partition] is None, "after all")
    finally:
        reading.close()


def metadata():
    reading = consumer()
    try:
        expect(reading.partitions_for_topic("seed-none") == {0, 1, 2}, "partitions")
        expect({"seed-none", "seed-zstd"} <= set(reading.topics()), "topics")
    finally:
        reading.close()


check("metadata", metadata)
for codec in CODECS:
    check("reads-kcat-" + codec, read_series, "seed-" + codec)
    check("produce-" + codec, produce_series, "kafka-python-" + codec, codec, "all")
    check("consume-" + codec, read_series, "kafka-python-" + codec)
for acks in [0, 1]:
    check("acks-%d" % acks, produce_series, "kafka-python-acks-%d" % acks, "none", acks)
check("headers-and-timestamps", headers_and_timestamps)
check("offsets", offsets)
