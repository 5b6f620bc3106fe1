import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.AlterConfigsOptions;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.CreatePartitionsOptions;
import org.apache.kafka.clients.admin.CreateTopicsOptions;
import org.apache.kafka.clients.admin.CreateTopicsResult;
import org.apache.kafka.clients.admin.DescribeClusterResult;
import org.apache.kafka.clients.admin.DescribeConfigsOptions;
import org.apache.kafka.clients.admin.DescribeTopicsOptions;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.TopicCollection;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionInfo;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.InvalidPartitionsException;
import org.apache.kafka.common.errors.InvalidReplicaAssignmentException;
import org.apache.kafka.common.errors.InvalidReplicationFactorException;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicIdException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Apache Kafka's admin client: topics made, described, changed, deleted and made again. Prints a line per check. */
public final class Admin {
    /** Topics that are deleted and made again under the name of before. */
    private static final int RECREATIONS = 10;
    private static final long REFUSED_MS = 10_000;
    private static final Optional<Integer> DEFAULT_PARTITIONS = Optional.empty();
    private static final Optional<Short> DEFAULT_REPLICATION = Optional.empty();

    private static String bootstrap;
    private static org.apache.kafka.clients.admin.Admin admin;

    private Admin() {
    }

    private interface Check {
        void run() throws Exception;
    }

    private static void check(String name, Check body) {
        try {
            body.run();
            System.out.println("pass " + name);
        } catch (Throwable e) {
            StackTraceElement[] at = e.getStackTrace();
            String line = "";
            for (StackTraceElement element : at) {
                if (element.getClassName().equals("Admin") && !element.getMethodName().startsWith("expect")) {
                    line = ":" + element.getLineNumber();
                    break;
                }
            }
            System.out.println("fail " + name + " " + String.valueOf(e).replace('\n', ' ') + line);
        }
    }

    private static void expect(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    private static void expectEquals(Object expected, Object found, String what) {
        expect(expected.equals(found), what + ": " + found + ", not " + expected);
    }

    private static void expectThrown(Class<?> expected, Future<?> future) throws Exception {
        try {
            future.get();
        } catch (ExecutionException e) {
            expect(e.getCause().getClass() == expected, e.getCause() + ", not " + expected.getSimpleName());
            return;
        }
        throw new AssertionError("no " + expected.getSimpleName());
    }

    private static NewTopic topic(String name, int partitions) {
        return new NewTopic(name, Optional.of(partitions), DEFAULT_REPLICATION);
    }

    private static Future<?> create(NewTopic topic) {
        return admin.createTopics(List.of(topic)).values().get(topic.name());
    }

    private static TopicDescription describe(String name) throws Exception {
        return admin.describeTopics(List.of(name)).topicNameValues().get(name).get();
    }

    private static Future<?> describing(String name) {
        return admin.describeTopics(List.of(name)).topicNameValues().get(name);
    }

    private static ConfigResource resource(String topic) {
        return new ConfigResource(ConfigResource.Type.TOPIC, topic);
    }

    private static Config configs(String topic) throws Exception {
        return admin.describeConfigs(List.of(resource(topic))).values().get(resource(topic)).get();
    }

    private static Future<?> alter(String topic, AlterConfigOp.OpType type, String name, String value) {
        return alter(topic, new AlterConfigsOptions(), new AlterConfigOp(new ConfigEntry(name, value), type));
    }

    private static Future<?> alter(String topic, AlterConfigsOptions options, AlterConfigOp... operations) {
        Map<ConfigResource, Collection<AlterConfigOp>> all = Map.of(resource(topic), List.of(operations));
        return admin.incrementalAlterConfigs(all, options).values().get(resource(topic));
    }

    private static int brokerId() throws Exception {
        return admin.describeCluster().nodes().get().iterator().next().id();
    }

    private static void cluster() throws Exception {
        DescribeClusterResult cluster = admin.describeCluster();
        expect(cluster.clusterId().get().length() == 22, "cluster id " + cluster.clusterId().get());
        expectEquals(1, cluster.nodes().get().size(), "nodes");
        expectEquals(bootstrap, cluster.nodes().get().iterator().next().host() + ":"
                + cluster.nodes().get().iterator().next().port(), "address");
        expectEquals(brokerId(), cluster.controller().get().id(), "controller");
    }

    private static void create() throws Exception {
        NewTopic made = topic("admin-made", 4).configs(Map.of("retention.ms", "1234567", "cleanup.policy", "compact"));
        CreateTopicsResult result = admin.createTopics(List.of(made,
                new NewTopic("admin-default", DEFAULT_PARTITIONS, DEFAULT_REPLICATION)));
        result.all().get();
        expectEquals(4, result.numPartitions("admin-made").get(), "partitions in the answer");
        expectEquals(1, result.replicationFactor("admin-made").get(), "replication factor in the answer");
        expectEquals(3, result.numPartitions("admin-default").get(), "default partitions");
        expectEquals("1234567", result.config("admin-made").get().get("retention.ms").value(), "setting in the answer");
        expectEquals("delete", result.config("admin-default").get().get("cleanup.policy").value(), "default setting");
        expectEquals(result.topicId("admin-made").get(), describe("admin-made").topicId(), "topic id");
        Set<String> names = admin.listTopics().names().get();
        expect(names.contains("admin-made") && names.contains("admin-default"), "listed: " + names);
    }

    private static void validateOnly() throws Exception {
        CreateTopicsOptions options = new CreateTopicsOptions().validateOnly(true);
        CreateTopicsResult result = admin.createTopics(List.of(topic("admin-not-made", 2)), options);
        expectEquals(2, result.numPartitions("admin-not-made").get(), "partitions");
        expectThrown(InvalidPartitionsException.class,
                admin.createTopics(List.of(topic("admin-not-made", 0)), options).values().get("admin-not-made"));
        expectThrown(UnknownTopicOrPartitionException.class, describing("admin-not-made"));
    }

    private static void assignment() throws Exception {
        int id = brokerId();
        create(new NewTopic("admin-assigned", Map.of(0, List.of(id), 1, List.of(id)))).get();
        expectEquals(2, describe("admin-assigned").partitions().size(), "partitions");
        for (TopicPartitionInfo partition : describe("admin-assigned").partitions()) {
            expect(partition.replicas().size() == 1 && partition.replicas().get(0).id() == id, "replicas");
        }
        expectThrown(InvalidReplicaAssignmentException.class,
                create(new NewTopic("admin-bad", Map.of(0, List.of(id), 2, List.of(id)))));
        expectThrown(InvalidReplicaAssignmentException.class,
                create(new NewTopic("admin-bad", Map.of(0, List.of(id, id)))));
        expectThrown(InvalidReplicaAssignmentException.class,
                create(new NewTopic("admin-bad", Map.of(0, List.of(id + 100)))));
        expectThrown(InvalidReplicaAssignmentException.class,
                create(new NewTopic("admin-bad", Map.of(0, List.<Integer>of()))));
    }

    private static void createErrors() throws Exception {
        create(topic("admin.dotted", 1)).get();
        expectThrown(TopicExistsException.class, create(topic("admin-made", 1)));
        expectThrown(InvalidTopicException.class, create(topic("admin_dotted", 1)));
        for (String name : new String[] {"", ".", "..", "a b", "a/b", "é", "x".repeat(250)}) {
            expectThrown(InvalidTopicException.class, create(topic(name, 1)));
        }
        expectThrown(InvalidPartitionsException.class, create(topic("admin-bad", 0)));
        expectThrown(InvalidReplicationFactorException.class, create(new NewTopic("admin-bad", 1, (short) 0)));
        expectThrown(InvalidReplicationFactorException.class, create(new NewTopic("admin-bad", 1, (short) 3)));
        for (Map<String, String> bad : List.of(Map.of("no.such.setting", "1"), Map.of("retention.ms", "soon"),
                Map.of("cleanup.policy", "burn"), Map.of("segment.bytes", "-5"))) {
            expectThrown(InvalidConfigurationException.class, create(topic("admin-bad", 1).configs(bad)));
        }
        Map<String, KafkaFuture<Void>> mixed =
                admin.createTopics(List.of(topic("admin-mixed", 1), topic("admin-bad", 0))).values();
        mixed.get("admin-mixed").get();
        expectThrown(InvalidPartitionsException.class, mixed.get("admin-bad"));
        expectThrown(UnknownTopicOrPartitionException.class, describing("admin-bad"));
    }

    private static void describeTopics() throws Exception {
        TopicDescription description = describe("admin-made");
        expect(!description.isInternal() && description.name().equals("admin-made"), "name");
        for (int i = 0; i < 4; i++) {
            TopicPartitionInfo partition = description.partitions().get(i);
            expect(partition.partition() == i && partition.leader() != null && partition.isr().size() == 1
                    && partition.replicas().size() == 1, "partition " + partition);
        }
        Uuid id = description.topicId();
        TopicDescription byId = admin.describeTopics(TopicCollection.ofTopicIds(List.of(id))).topicIdValues().get(id).get();
        expectEquals("admin-made", byId.name(), "name by id");
        /* In pieces: the client asks on from the cursor of each answer. */
        DescribeTopicsOptions pieces = new DescribeTopicsOptions().partitionSizeLimitPerResponse(2);
        Map<String, TopicDescription> both =
                admin.describeTopics(List.of("admin-made", "admin-default"), pieces).allTopicNames().get();
        expectEquals(4, both.get("admin-made").partitions().size(), "partitions in pieces");
        expectEquals(3, both.get("admin-default").partitions().size(), "partitions in pieces");
        expectThrown(UnknownTopicOrPartitionException.class, describing("admin-unknown"));
        Uuid unknown = Uuid.randomUuid();
        expectThrown(UnknownTopicIdException.class,
                admin.describeTopics(TopicCollection.ofTopicIds(List.of(unknown))).topicIdValues().get(unknown));
    }

    private static void describeConfigs() throws Exception {
        Config config = configs("admin-made");
        ConfigEntry set = config.get("retention.ms");
        expectEquals("1234567", set.value(), "retention.ms");
        expectEquals(ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG, set.source(), "source");
        expectEquals(ConfigEntry.ConfigSource.DEFAULT_CONFIG, config.get("flush.ms").source(), "source of a default");
        expect(!set.isDefault() && !set.isReadOnly() && !set.isSensitive(), "flags of retention.ms");
        DescribeConfigsOptions more = new DescribeConfigsOptions().includeSynonyms(true).includeDocumentation(true);
        ConfigEntry long_ = admin.describeConfigs(List.of(resource("admin-made")), more).all().get()
                .get(resource("admin-made")).get("retention.ms");
        expectEquals(ConfigEntry.ConfigType.LONG, long_.type(), "type");
        expect(long_.documentation() != null && !long_.documentation().isEmpty(), "documentation");
        expectEquals("retention.ms", long_.synonyms().get(0).name(), "first synonym");
        ConfigEntry size = admin.describeConfigs(List.of(resource("admin-made")), more).all().get()
                .get(resource("admin-made")).get("segment.bytes");
        expect(size.synonyms().stream().anyMatch(one -> one.name().equals("log.segment.bytes")
                && one.source() == ConfigEntry.ConfigSource.DEFAULT_CONFIG), "synonyms " + size.synonyms());
        expectThrown(UnknownTopicOrPartitionException.class,
                admin.describeConfigs(List.of(resource("admin-unknown"))).values().get(resource("admin-unknown")));
    }

    private static void alterConfigs() throws Exception {
        alter("admin-default", AlterConfigOp.OpType.SET, "retention.ms", "60000").get();
        expectEquals("60000", configs("admin-default").get("retention.ms").value(), "after SET");
        alter("admin-default", AlterConfigOp.OpType.APPEND, "cleanup.policy", "compact").get();
        expectEquals("delete,compact", configs("admin-default").get("cleanup.policy").value(), "after APPEND");
        alter("admin-default", AlterConfigOp.OpType.SUBTRACT, "cleanup.policy", "delete").get();
        expectEquals("compact", configs("admin-default").get("cleanup.policy").value(), "after SUBTRACT");
        alter("admin-default", new AlterConfigsOptions(),
                new AlterConfigOp(new ConfigEntry("retention.ms", null), AlterConfigOp.OpType.DELETE),
                new AlterConfigOp(new ConfigEntry("max.message.bytes", "2000"), AlterConfigOp.OpType.SET)).get();
        ConfigEntry deleted = configs("admin-default").get("retention.ms");
        expectEquals("604800000", deleted.value(), "after DELETE");
        expectEquals(ConfigEntry.ConfigSource.DEFAULT_CONFIG, deleted.source(), "source after DELETE");
        expectEquals("2000", configs("admin-default").get("max.message.bytes").value(), "second operation");
        alter("admin-default", new AlterConfigsOptions().validateOnly(true),
                new AlterConfigOp(new ConfigEntry("max.message.bytes", "3000"), AlterConfigOp.OpType.SET)).get();
        expectEquals("2000", configs("admin-default").get("max.message.bytes").value(), "after validateOnly");
    }

    /** A setting that was altered acts on the next request. */
    private static void alteredActs() throws Exception {
        try (KafkaProducer<String, String> producer = producer()) {
            expectThrown(org.apache.kafka.common.errors.RecordTooLargeException.class,
                    producer.send(new ProducerRecord<>("admin-default", 0, "k", "v".repeat(5000))));
            alter("admin-default", AlterConfigOp.OpType.DELETE, "max.message.bytes", "").get();
            producer.send(new ProducerRecord<>("admin-default", 0, "k", "v".repeat(5000))).get();
        }
    }

    private static void alterErrors() throws Exception {
        expectThrown(InvalidConfigurationException.class,
                alter("admin-default", AlterConfigOp.OpType.SET, "retention.ms", "soon"));
        expectThrown(InvalidConfigurationException.class,
                alter("admin-default", AlterConfigOp.OpType.SET, "no.such.setting", "1"));
        expectThrown(InvalidConfigurationException.class,
                alter("admin-default", AlterConfigOp.OpType.APPEND, "retention.ms", "1"));
        expectThrown(InvalidConfigurationException.class,
                alter("admin-default", AlterConfigOp.OpType.SUBTRACT, "retention.ms", "1"));
        expectThrown(InvalidConfigurationException.class,
                alter("admin-default", AlterConfigOp.OpType.APPEND, "cleanup.policy", "burn"));
        expectThrown(UnknownTopicOrPartitionException.class,
                alter("admin-unknown", AlterConfigOp.OpType.SET, "retention.ms", "1"));
    }

    private static Future<?> grow(String topic, NewPartitions to) {
        return admin.createPartitions(Map.of(topic, to)).values().get(topic);
    }

    private static void createPartitions() throws Exception {
        try (KafkaProducer<String, String> producer = producer()) {
            producer.send(new ProducerRecord<>("admin-made", 3, "k", "before")).get();
            admin.createPartitions(Map.of("admin-made", NewPartitions.increaseTo(9)),
                    new CreatePartitionsOptions().validateOnly(true)).all().get();
            expectEquals(4, describe("admin-made").partitions().size(), "partitions after validateOnly");
            grow("admin-made", NewPartitions.increaseTo(6)).get();
            expectEquals(6, describe("admin-made").partitions().size(), "partitions");
            grow("admin-made", NewPartitions.increaseTo(7, List.of(List.of(brokerId())))).get();
            expectThrown(InvalidPartitionsException.class, grow("admin-made", NewPartitions.increaseTo(7)));
            expectThrown(InvalidPartitionsException.class, grow("admin-made", NewPartitions.increaseTo(2)));
            expectThrown(InvalidReplicaAssignmentException.class,
                    grow("admin-made", NewPartitions.increaseTo(9, List.of(List.of(brokerId())))));
            expectThrown(UnknownTopicOrPartitionException.class, grow("admin-unknown", NewPartitions.increaseTo(2)));
        }
        try (KafkaProducer<String, String> producer = producer()) {
            expectEquals(0L, producer.send(new ProducerRecord<>("admin-made", 6, "k", "new")).get().offset(), "offset");
        }
        expectEquals(List.of("new"), read("admin-made", 6), "records");
        expectEquals(List.of("before"), read("admin-made", 3), "records");
    }

    private static void delete() throws Exception {
        create(topic("admin-by-name", 2)).get();
        create(topic("admin-by-id", 2)).get();
        Uuid id = describe("admin-by-id").topicId();
        admin.deleteTopics(List.of("admin-by-name")).all().get();
        expectThrown(UnknownTopicOrPartitionException.class, describing("admin-by-name"));
        admin.deleteTopics(TopicCollection.ofTopicIds(List.of(id))).all().get();
        expectThrown(UnknownTopicOrPartitionException.class, describing("admin-by-id"));
        expectThrown(UnknownTopicIdException.class,
                admin.deleteTopics(TopicCollection.ofTopicIds(List.of(id))).topicIdValues().get(id));
        expectThrown(UnknownTopicOrPartitionException.class,
                admin.deleteTopics(List.of("admin-by-name")).topicNameValues().get("admin-by-name"));
        Set<String> names = admin.listTopics().names().get();
        expect(!names.contains("admin-by-name") && !names.contains("admin-by-id"), "listed: " + names);
    }

    /** The same name at once, with one producer all the time: never a record of an earlier topic. */
    private static void recreate() throws Exception {
        Map<Uuid, Integer> ids = new HashMap<>();
        try (KafkaProducer<String, String> producer = producer()) {
            for (int i = 0; i < RECREATIONS; i++) {
                create(topic("admin-again", 2)).get();
                String own = i + ":";
                ids.put(describe("admin-again").topicId(), i);
                List<Future<RecordMetadata>> sent = new ArrayList<>();
                for (int j = 0; j < 20; j++) {
                    sent.add(producer.send(new ProducerRecord<>("admin-again", 1, "k", own + j)));
                }
                for (int j = 0; j < 20; j++) {
                    expectEquals((long) j, sent.get(j).get().offset(), "offset in topic " + i);
                }
                List<String> read = read("admin-again", 1);
                expect(read.size() == 20 && read.stream().allMatch(value -> value.startsWith(own)), "records " + read);
                admin.deleteTopics(List.of("admin-again")).all().get();
            }
        }
        expectEquals(RECREATIONS, ids.size(), "topic ids");
    }

    private static void offsets() throws Exception {
        TopicPartition partition = new TopicPartition("admin-made", 3);
        expectEquals(1L, admin.listOffsets(Map.of(partition, OffsetSpec.latest())).partitionResult(partition).get()
                .offset(), "latest");
    }

    /** Until transactions are served: an error that says so, at once. */
    private static void transactional() {
        long start = System.currentTimeMillis();
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(Map.of("bootstrap.servers", bootstrap,
                "transactional.id", "one"), new StringSerializer(), new StringSerializer())) {
            producer.initTransactions();
            throw new AssertionError("it was accepted");
        } catch (TimeoutException e) {
            throw new AssertionError("no answer: " + e, e);
        } catch (KafkaException e) {
            long took = System.currentTimeMillis() - start;
            System.err.println("initTransactions after " + took + " ms: " + e);
            expect(took < REFUSED_MS, "refused only after " + took + " ms");
        }
    }

    private static KafkaProducer<String, String> producer() {
        return new KafkaProducer<>(Map.of("bootstrap.servers", bootstrap), new StringSerializer(), new StringSerializer());
    }

    /** All records of a partition. */
    private static List<String> read(String topic, int number) {
        TopicPartition partition = new TopicPartition(topic, number);
        List<String> values = new ArrayList<>();
        try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(Map.of("bootstrap.servers", bootstrap,
                "auto.offset.reset", "none"), new StringDeserializer(), new StringDeserializer())) {
            consumer.assign(List.of(partition));
            consumer.seek(partition, 0);
            long end = consumer.endOffsets(List.of(partition)).get(partition);
            while (consumer.position(partition) < end) {
                consumer.poll(Duration.ofSeconds(1)).forEach(record -> values.add(record.value()));
            }
        }
        return values;
    }

    public static void main(String[] arguments) {
        bootstrap = arguments[0];
        admin = org.apache.kafka.clients.admin.Admin.create(Map.of("bootstrap.servers", bootstrap));
        check("admin-cluster", Admin::cluster);
        check("admin-create", Admin::create);
        check("admin-validate-only", Admin::validateOnly);
        check("admin-assignment", Admin::assignment);
        check("admin-create-errors", Admin::createErrors);
        check("admin-describe-topics", Admin::describeTopics);
        check("admin-describe-configs", Admin::describeConfigs);
        check("admin-alter-configs", Admin::alterConfigs);
        check("admin-altered-acts", Admin::alteredActs);
        check("admin-alter-errors", Admin::alterErrors);
        check("admin-partitions", Admin::createPartitions);
        check("admin-offsets", Admin::offsets);
        check("admin-delete", Admin::delete);
        check("admin-recreate", Admin::recreate);
        check("transactional-refused", Admin::transactional);
        admin.close();
    }
}
