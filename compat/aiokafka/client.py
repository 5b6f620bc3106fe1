"""aiokafka without groups: produce, read by offset and time, list offsets."""
import asyncio
import sys

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from compat_checks import CODECS, RECORDS, TIMEOUT_S, check, expect, expected

BOOTSTRAP = sys.argv[1]
BASE_MS = 1_000_000_000_000


def run(body, *arguments):
    asyncio.run(asyncio.wait_for(body(*arguments), TIMEOUT_S))


def consumer():
    return AIOKafkaConsumer(bootstrap_servers=BOOTSTRAP, group_id=None, enable_auto_commit=False,
                            auto_offset_reset="none", check_crcs=True)


async def read(topic, offset, count):
    reading, partition = consumer(), TopicPartition(topic, 0)
    await reading.start()
    try:
        reading.assign([partition])
        reading.seek(partition, offset)
        return [await reading.getone() for _ in range(count)]
    finally:
        await reading.stop()


async def read_series(topic):
    for i, (record, (key, value)) in enumerate(zip(await read(topic, 0, RECORDS), expected())):
        expect(record.offset == i and record.key == key and record.value == value, "record %d" % i)


async def produce_series(topic, codec, acks):
    producer = AIOKafkaProducer(bootstrap_servers=BOOTSTRAP, compression_type=None if codec == "none" else codec,
                                acks=acks, linger_ms=2)
    await producer.start()
    try:
        sent = [await producer.send(topic, value, key, 0, BASE_MS + i, [("h", b"%d" % i)])
                for i, (key, value) in enumerate(expected())]
        for i, answer in enumerate(await asyncio.gather(*sent)):
            expect(acks == 0 or answer.offset == i, "answered offset of %d" % i)
    finally:
        await producer.stop()


async def headers_and_timestamps():
    for i, record in enumerate(await read("aiokafka-zstd", 0, RECORDS)):
        expect(list(record.headers) == [("h", b"%d" % i)], "headers of %d" % i)
        expect(record.timestamp == BASE_MS + i, "timestamp of %d" % i)


async def offsets():
    reading, partition = consumer(), TopicPartition("aiokafka-lz4", 0)
    await reading.start()
    try:
        expect(await reading.beginning_offsets([partition]) == {partition: 0}, "beginning")
        expect(await reading.end_offsets([partition]) == {partition: RECORDS}, "end")
        expect((await reading.offsets_for_times({partition: BASE_MS + 500}))[partition].offset == 500, "time of 500")
        expect((await reading.offsets_for_times({partition: BASE_MS + RECORDS}))[partition] is None, "after all")
    finally:
        await reading.stop()


for codec in CODECS:
    check("reads-kcat-" + codec, run, read_series, "seed-" + codec)
    check("produce-" + codec, run, produce_series, "aiokafka-" + codec, codec, "all")
    check("consume-" + codec, run, read_series, "aiokafka-" + codec)
for acks in [0, 1]:
    check("acks-%d" % acks, run, produce_series, "aiokafka-acks-%d" % acks, "none", acks)
check("headers-and-timestamps", run, headers_and_timestamps)
check("offsets", run, offsets)
