"""librdkafka's admin client: topics made, described, changed, deleted and made again; a transactional producer."""
import sys
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import (AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic,
                                   OffsetSpec, ResourceType)

from compat_checks import TIMEOUT_S, check, expect, expect_soon

BOOTSTRAP = sys.argv[1]
REFUSED_S = 10
RECREATIONS = 10
admin = AdminClient({"bootstrap.servers": BOOTSTRAP})


def one(futures):
    """What the only future of an answer holds."""
    (future,) = futures.values()
    return future.result(TIMEOUT_S)


def expect_error(code, call):
    try:
        call()
    except KafkaException as error:
        expect(error.args[0].code() == code, "%s, not %d" % (error, code))
        return
    raise AssertionError("no error %d" % code)


def create(name, partitions=1, **more):
    return one(admin.create_topics([NewTopic(name, partitions, **more)]))


def describe(name):
    return one(admin.describe_topics(TopicCollection([name])))


def resource(name, *operations):
    return ConfigResource(ResourceType.TOPIC, name, incremental_configs=[
        ConfigEntry(key, value, incremental_operation=operation) for key, operation, value in operations])


def configs(name):
    return one(admin.describe_configs([resource(name)]))


def alter(name, *operations):
    return one(admin.incremental_alter_configs([resource(name, *operations)]))


def grow(name, count, **more):
    return one(admin.create_partitions([NewPartitions(name, count, **more)]))


def broker_id():
    return admin.describe_cluster().result(TIMEOUT_S).nodes[0].id


def cluster():
    described = admin.describe_cluster().result(TIMEOUT_S)
    expect(len(described.cluster_id) == 22 and len(described.nodes) == 1, described.cluster_id)
    expect("%s:%d" % (described.nodes[0].host, described.nodes[0].port) == BOOTSTRAP, "address")
    expect(described.controller.id == described.nodes[0].id, "controller")


def partition_count(name):
    topics = admin.list_topics(timeout=TIMEOUT_S).topics
    return len(topics[name].partitions) if name in topics else 0


def made():
    create("admin-made", 4, config={"retention.ms": "1234567", "cleanup.policy": "compact"})
    create("admin-default", -1)
    create("admin-assigned", 2, replica_assignment=[[broker_id()], [broker_id()]])
    for name, count in [("admin-made", 4), ("admin-default", 3), ("admin-assigned", 2)]:
        expect_soon(lambda: partition_count(name) == count, "partitions of " + name)
    one(admin.create_topics([NewTopic("admin-not-made", 1)], validate_only=True))
    expect("admin-not-made" not in admin.list_topics(timeout=TIMEOUT_S).topics, "validate_only")


def create_errors():
    create("admin.dotted")
    expect_error(KafkaError.TOPIC_ALREADY_EXISTS, lambda: create("admin-made"))
    expect_error(KafkaError.TOPIC_EXCEPTION, lambda: create("admin_dotted"))
    expect_error(KafkaError.TOPIC_EXCEPTION, lambda: create("a b"))
    expect_error(KafkaError.INVALID_REPLICATION_FACTOR, lambda: create("admin-bad", 1, replication_factor=3))
    expect_error(KafkaError.INVALID_REPLICA_ASSIGNMENT, lambda: create("admin-bad", 1, replica_assignment=[[77]]))
    for settings in [{"no.such.setting": "1"}, {"retention.ms": "soon"}, {"cleanup.policy": "burn"}]:
        expect_error(KafkaError.INVALID_CONFIG, lambda: create("admin-bad", config=settings))


def described():
    topic = describe("admin-made")
    expect(topic.name == "admin-made" and len(topic.partitions) == 4 and not topic.is_internal, "topic")
    for i, partition in enumerate(topic.partitions):
        expect(partition.id == i and partition.leader.id == broker_id() and len(partition.isr) == 1, "partition")
    expect_error(KafkaError.UNKNOWN_TOPIC_OR_PART, lambda: describe("admin-unknown"))


def described_configs():
    entries = configs("admin-made")
    expect(entries["retention.ms"].value == "1234567" and entries["retention.ms"].source == 1, "retention.ms")
    expect(entries["flush.ms"].source == 5 and entries["flush.ms"].is_default, "flush.ms")
    expect_error(KafkaError.UNKNOWN_TOPIC_OR_PART, lambda: configs("admin-unknown"))


def altered_configs():
    alter("admin-default", ("retention.ms", AlterConfigOpType.SET, "60000"),
          ("cleanup.policy", AlterConfigOpType.APPEND, "compact"))
    entries = configs("admin-default")
    expect(entries["retention.ms"].value == "60000", "after SET")
    expect(entries["cleanup.policy"].value == "delete,compact", "after APPEND")
    alter("admin-default", ("retention.ms", AlterConfigOpType.DELETE, None),
          ("cleanup.policy", AlterConfigOpType.SUBTRACT, "delete"))
    entries = configs("admin-default")
    expect(entries["retention.ms"].value == "604800000", "after DELETE")
    expect(entries["cleanup.policy"].value == "compact", "after SUBTRACT")
    for operation in [("retention.ms", AlterConfigOpType.SET, "soon"), ("no.such", AlterConfigOpType.SET, "1"),
                      ("retention.ms", AlterConfigOpType.APPEND, "1")]:
        expect_error(KafkaError.INVALID_CONFIG, lambda: alter("admin-default", operation))
    expect_error(KafkaError.UNKNOWN_TOPIC_OR_PART,
                 lambda: alter("admin-unknown", ("retention.ms", AlterConfigOpType.SET, "1")))


def more_partitions():
    grow("admin-made", 6)
    grow("admin-made", 7, replica_assignment=[[broker_id()]])
    expect(len(describe("admin-made").partitions) == 7, "partitions")
    expect_error(KafkaError.INVALID_PARTITIONS, lambda: grow("admin-made", 7))
    expect_error(KafkaError.INVALID_PARTITIONS, lambda: grow("admin-made", 2))
    expect_error(KafkaError.UNKNOWN_TOPIC_OR_PART, lambda: grow("admin-unknown", 2))
    expect(send("admin-made", 6, ["new"]) == [0] and read("admin-made", 6) == ["new"], "the new partition")


def send(topic, partition, values):
    offsets = []

    def answered(error, message):
        if error:
            raise KafkaException(error)
        offsets.append(message.offset())

    producer = Producer({"bootstrap.servers": BOOTSTRAP, "enable.idempotence": True})
    for value in values:
        producer.produce(topic, value, "k", partition=partition, on_delivery=answered)
    expect(producer.flush(TIMEOUT_S) == 0, "not all was answered")
    return offsets


def read(topic, number):
    consumer, values = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": "none", "enable.auto.commit": False,
                                 "auto.offset.reset": "error"}), []
    try:
        partition = TopicPartition(topic, number, 0)
        end, deadline = consumer.get_watermark_offsets(partition, TIMEOUT_S)[1], time.monotonic() + TIMEOUT_S
        consumer.assign([partition])
        while len(values) < end:
            expect(time.monotonic() < deadline, "only %d records came" % len(values))
            message = consumer.poll(1)
            if message is not None:
                expect(message.error() is None, str(message.error()))
                values.append(message.value().decode())
        return values
    finally:
        consumer.close()


def offsets():
    partition = TopicPartition("admin-made", 6)
    expect(one(admin.list_offsets({partition: OffsetSpec.latest()})).offset == 1, "latest")


def deleted():
    create("admin-deleted", 2)
    one(admin.delete_topics(["admin-deleted"]))
    expect_error(KafkaError.UNKNOWN_TOPIC_OR_PART, lambda: describe("admin-deleted"))
    expect_error(KafkaError.UNKNOWN_TOPIC_OR_PART, lambda: one(admin.delete_topics(["admin-deleted"])))
    expect("admin-deleted" not in admin.list_topics(timeout=TIMEOUT_S).topics, "listed")


def recreated():
    """The same name at once: never a record of an earlier topic."""
    for i in range(RECREATIONS):
        create("admin-again", 2)
        values = ["%d:%d" % (i, j) for j in range(20)]
        expect(send("admin-again", 1, values) == list(range(20)), "offsets in topic %d" % i)
        expect(read("admin-again", 1) == values, "records in topic %d" % i)
        one(admin.delete_topics(["admin-again"]))


def transactional():
    """Until transactions are served: an error that says so, at once."""
    start = time.monotonic()
    try:
        Producer({"bootstrap.servers": BOOTSTRAP, "transactional.id": "one"}).init_transactions(TIMEOUT_S)
    except KafkaException as error:
        print("init_transactions after %.1f s: %s" % (time.monotonic() - start, error), file=sys.stderr)
        expect(error.args[0].code() != KafkaError._TIMED_OUT, str(error))
        expect(time.monotonic() - start < REFUSED_S, "refused only after %.1f s" % (time.monotonic() - start))
        return
    raise AssertionError("it was accepted")


check("admin-cluster", cluster)
check("admin-create", made)
check("admin-create-errors", create_errors)
check("admin-describe-topics", described)
check("admin-describe-configs", described_configs)
check("admin-alter-configs", altered_configs)
check("admin-partitions", more_partitions)
check("admin-offsets", offsets)
check("admin-delete", deleted)
check("admin-recreate", recreated)
check("transactional-refused", transactional)
