"""kafka-python's admin client: topics made, described, changed, deleted and made again; a transactional producer."""
import sys
import time

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka import errors
from kafka.admin import AlterConfigOp, ConfigResource, ConfigResourceType, KafkaAdminClient, NewPartitions, NewTopic

from compat_checks import TIMEOUT_S, check, expect, expect_soon

BOOTSTRAP = sys.argv[1]
REFUSED_S = 10
RECREATIONS = 10
admin = KafkaAdminClient(bootstrap_servers=BOOTSTRAP)


def expect_error(kind, call):
    try:
        call()
    except kind:
        return
    raise AssertionError("no " + kind.__name__)


def create(name, partitions=1, replication=1, **more):
    return admin.create_topics([NewTopic(name, partitions, replication, **more)])


def describe(name):
    (topic,) = admin.describe_topics([name])
    return topic


def resource(name, settings=None):
    return ConfigResource(ConfigResourceType.TOPIC, name, settings)


def configs(name):
    return admin.describe_configs([resource(name)], config_filter="all")["topic"][name]


def alter(name, settings):
    """What the client says of the resource: OK, or the error."""
    return admin.alter_configs([resource(name, settings)])["topic"][name]


def broker_id():
    return admin.describe_cluster()["brokers"][0]["broker_id"]


def cluster():
    described = admin.describe_cluster()
    (broker,) = described["brokers"]
    expect(len(described["cluster_id"]) == 22, "cluster id")
    expect("%s:%d" % (broker["host"], broker["port"]) == BOOTSTRAP, "address")
    expect(described["controller_id"] == broker["broker_id"], "controller")


def made():
    (topic,) = create("admin-made", 4, topic_configs={"retention.ms": "1234567"})["topics"]
    expect(topic["num_partitions"] == 4 and topic["configs"]["retention.ms"]["value"] == "1234567", str(topic))
    (topic,) = create("admin-default", -1, -1)["topics"]
    expect(topic["num_partitions"] == 3 and topic["replication_factor"] == 1, str(topic))
    create("admin-assigned", -1, -1, replica_assignments={0: [broker_id()], 1: [broker_id()]})
    expect_soon(lambda: len(describe("admin-assigned")["partitions"]) == 2, "assigned")
    admin.create_topics([NewTopic("admin-not-made", 1, 1)], validate_only=True)
    listed = admin.list_topics()
    expect("admin-made" in listed and "admin-not-made" not in listed, str(listed))


def create_errors():
    create("admin.dotted")
    expect_error(errors.TopicAlreadyExistsError, lambda: create("admin-made"))
    expect_error(errors.InvalidTopicError, lambda: create("admin_dotted"))
    expect_error(errors.InvalidTopicError, lambda: create("a b"))
    expect_error(errors.InvalidPartitionsError, lambda: create("admin-bad", 0))
    expect_error(errors.InvalidReplicationFactorError, lambda: create("admin-bad", 1, 3))
    expect_error(errors.for_code(39),
                 lambda: create("admin-bad", -1, -1, replica_assignments={0: [77]}))
    for settings in [{"no.such.setting": "1"}, {"retention.ms": "soon"}, {"cleanup.policy": "burn"}]:
        expect_error(errors.InvalidConfigurationError, lambda: create("admin-bad", topic_configs=settings))


def described():
    topic = describe("admin-made")
    expect(topic["error_code"] == 0 and not topic["is_internal"], str(topic))
    expect(sorted(one["partition_index"] for one in topic["partitions"]) == [0, 1, 2, 3], "partitions")
    expect(all(one["leader_id"] == broker_id() and len(one["isr_nodes"]) == 1 for one in topic["partitions"]), "leaders")
    expect(describe("admin-unknown")["error_code"] == 3, "an unknown topic")
    (page,) = admin.describe_topic_partitions(["admin-made"], response_partition_limit=3)["topics"]
    expect([one["partition_index"] for one in page["partitions"]] == [0, 1, 2], "a page")


def described_configs():
    entries = configs("admin-made")
    expect(entries["retention.ms"]["value"] == "1234567", "retention.ms")
    expect(entries["retention.ms"]["config_source"] == "DYNAMIC_TOPIC_CONFIG", "source")
    expect(entries["flush.ms"]["config_source"] == "DEFAULT_CONFIG", "default source")
    expect(list(admin.describe_configs([resource("admin-made")])["topic"]["admin-made"]) == ["retention.ms"], "modified")


def altered_configs():
    expect(alter("admin-default", {"retention.ms": "60000", "cleanup.policy": (AlterConfigOp.APPEND, "compact")}) == "OK",
           "SET and APPEND")
    entries = configs("admin-default")
    expect(entries["retention.ms"]["value"] == "60000", "after SET")
    expect(entries["cleanup.policy"]["value"] == "delete,compact", "after APPEND")
    expect(alter("admin-default", {"retention.ms": (AlterConfigOp.DELETE, None),
                                   "cleanup.policy": (AlterConfigOp.SUBTRACT, "delete")}) == "OK", "DELETE and SUBTRACT")
    entries = configs("admin-default")
    expect(entries["retention.ms"]["value"] == "604800000", "after DELETE")
    expect(entries["cleanup.policy"]["value"] == "compact", "after SUBTRACT")
    for setting in [("soon"), (AlterConfigOp.APPEND, "1")]:
        said = alter("admin-default", {"retention.ms": setting})
        expect("[Error 40]" in said, said)


def more_partitions():
    admin.create_partitions({"admin-made": NewPartitions(6)})
    admin.create_partitions({"admin-made": NewPartitions(7, [[broker_id()]])})
    expect(len(describe("admin-made")["partitions"]) == 7, "partitions")
    expect_error(errors.InvalidPartitionsError, lambda: admin.create_partitions({"admin-made": 7}))
    expect_error(errors.InvalidPartitionsError, lambda: admin.create_partitions({"admin-made": 2}))
    expect_error(errors.UnknownTopicOrPartitionError, lambda: admin.create_partitions({"admin-unknown": 2}))
    expect(send("admin-made", 6, [b"new"]) == [0] and read("admin-made", 6, 1) == [b"new"], "the new partition")


def send(topic, partition, values):
    producer = KafkaProducer(bootstrap_servers=BOOTSTRAP)  # idempotent by default
    try:
        sent = [producer.send(topic, value, b"k", partition=partition) for value in values]
        return [future.get(TIMEOUT_S).offset for future in sent]
    finally:
        producer.close()


def read(topic, number, count):
    consumer, partition, values = KafkaConsumer(bootstrap_servers=BOOTSTRAP, group_id=None), TopicPartition(topic, number), []
    try:
        consumer.assign([partition])
        consumer.seek(partition, 0)
        deadline = time.monotonic() + TIMEOUT_S
        while len(values) < count:
            expect(time.monotonic() < deadline, "only %d records came" % len(values))
            values += [record.value for record in consumer.poll(timeout_ms=500).get(partition, [])]
        return values
    finally:
        consumer.close()


def deleted():
    create("admin-deleted", 2)
    admin.delete_topics(["admin-deleted"])
    expect(describe("admin-deleted")["error_code"] == 3, "described")
    expect_error(errors.UnknownTopicOrPartitionError, lambda: admin.delete_topics(["admin-deleted"]))
    expect("admin-deleted" not in admin.list_topics(), "listed")


def recreated():
    """The same name at once: never a record of an earlier topic."""
    for i in range(RECREATIONS):
        create("admin-again", 2)
        values = [b"%d:%d" % (i, j) for j in range(20)]
        expect(send("admin-again", 1, values) == list(range(20)), "offsets in topic %d" % i)
        expect(read("admin-again", 1, 20) == values, "records in topic %d" % i)
        admin.delete_topics(["admin-again"])


def transactional():
    """Until transactions are served: an error that says so, at once."""
    start = time.monotonic()
    producer = KafkaProducer(bootstrap_servers=BOOTSTRAP, transactional_id="one")
    try:
        producer.init_transactions()
    except Exception as error:  # any but a time-out will do
        print("init_transactions after %.1f s: %r" % (time.monotonic() - start, error), file=sys.stderr)
        expect(not isinstance(error, errors.KafkaTimeoutError), repr(error))
        expect(time.monotonic() - start < REFUSED_S, "refused only after %.1f s" % (time.monotonic() - start))
        return
    finally:
        producer.close(timeout=1)
    raise AssertionError("it was accepted")


check("admin-cluster", cluster)
check("admin-create", made)
check("admin-create-errors", create_errors)
check("admin-describe-topics", described)
check("admin-describe-configs", described_configs)
check("admin-alter-configs", altered_configs)
check("admin-partitions", more_partitions)
check("admin-delete", deleted)
check("admin-recreate", recreated)
check("transactional-refused", transactional)
