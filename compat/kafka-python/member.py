"""A member of a group for compat/groups.sh, which says what it prints."""
import os
import sys

from kafka import ConsumerRebalanceListener, KafkaConsumer, OffsetAndMetadata
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.errors import CommitFailedError, KafkaError

from group_members import Lines, input_ends

BOOTSTRAP, STYLE, GROUP, TOPIC, NAME = sys.argv[1:]
ASSIGNOR = {"range": RangePartitionAssignor, "cooperative": CooperativeStickyAssignor}[STYLE]


class Listener(ConsumerRebalanceListener):
    def __init__(self, lines, consumer):
        self.lines, self.consumer = lines, consumer

    def on_partitions_assigned(self, assigned):
        self.lines.of_partitions("assign", self.consumer.group_metadata().generation_id, partitions=assigned)

    def on_partitions_revoked(self, revoked):
        self.lines.of_partitions("revoke", partitions=revoked)

    def on_partitions_lost(self, lost):
        self.lines.of_partitions("lost", partitions=lost)


def commit(lines, consumer, records):
    offsets = {partition: OffsetAndMetadata(of[-1].offset + 1, "", -1) for partition, of in records.items()}
    try:
        consumer.commit(offsets)
    except CommitFailedError as error:
        lines.say("note", "not committed:", repr(error))
    except KafkaError as error:
        lines.say("note" if error.retriable else "failed", "not committed:", repr(error))
    else:
        for partition, offset in offsets.items():
            lines.say("commit", partition.partition, offset.offset)


def run():
    ended, lines = input_ends(), Lines(NAME)
    consumer = KafkaConsumer(bootstrap_servers=BOOTSTRAP, group_id=GROUP, enable_auto_commit=False,
                             reconnect_backoff_max_ms=500, auto_offset_reset="earliest", partition_assignment_strategy=[ASSIGNOR],
                             session_timeout_ms=int(os.environ["GROUP_SESSION_MS"]),
                             heartbeat_interval_ms=int(os.environ["GROUP_HEARTBEAT_MS"]))
    consumer.subscribe([TOPIC], listener=Listener(lines, consumer))
    while not ended.is_set():
        records = consumer.poll(timeout_ms=100)
        for of in records.values():
            for record in of:
                lines.say("read", record.partition, record.offset, record.value.decode())
        if records:
            commit(lines, consumer, records)
    consumer.close()


run()
