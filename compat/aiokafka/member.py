"""A member of a group for compat/groups.sh, which says what it prints."""
import asyncio
import os
import sys

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import CommitFailedError, KafkaError

from group_members import Lines, input_ends

BOOTSTRAP, STYLE, GROUP, TOPIC, NAME = sys.argv[1:]
ASSIGNOR = {"range": RangePartitionAssignor, "sticky": StickyPartitionAssignor}[STYLE]


class Member(ConsumerRebalanceListener):
    def __init__(self):
        self.lines, self.owned, self.busy = Lines(NAME), set(), asyncio.Lock()

    async def on_partitions_assigned(self, assigned):
        self.owned = set(assigned)
        self.lines.of_partitions("assign", "-", partitions=assigned)

    async def on_partitions_revoked(self, revoked):
        async with self.busy:  # what is being read is committed before
            self.lines.of_partitions("revoke", partitions=self.owned.intersection(revoked))
            self.owned = set()

    async def read(self, consumer, records):
        offsets = {}
        for partition, of in records.items():
            if partition in self.owned:
                for record in of:
                    self.lines.say("read", record.partition, record.offset, record.value.decode())
                offsets[partition] = of[-1].offset + 1
        try:
            await consumer.commit(offsets)
        except CommitFailedError as error:
            self.lines.say("note", "not committed:", repr(error))
        except KafkaError as error:
            self.lines.say("note" if error.retriable else "failed", "not committed:", repr(error))
        else:
            for partition, offset in offsets.items():
                self.lines.say("commit", partition.partition, offset)

    async def run(self):
        ended = input_ends()
        consumer = AIOKafkaConsumer(bootstrap_servers=BOOTSTRAP, group_id=GROUP, enable_auto_commit=False,
                                    auto_offset_reset="earliest", partition_assignment_strategy=[ASSIGNOR],
                                    session_timeout_ms=int(os.environ["GROUP_SESSION_MS"]),
                                    heartbeat_interval_ms=int(os.environ["GROUP_HEARTBEAT_MS"]))
        consumer.subscribe([TOPIC], listener=self)
        await consumer.start()
        while not ended.is_set():
            records = await consumer.getmany(timeout_ms=100, max_records=50)
            async with self.busy:
                if self.owned and records:
                    await self.read(consumer, records)
        await self.on_partitions_revoked(self.owned)  # nobody calls it at the end
        await consumer.stop()


async def main():
    await Member().run()


asyncio.run(main())
