import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ListOffsetsOptions;
import org.apache.kafka.clients.admin.ListOffsetsResult.ListOffsetsResultInfo;
import org.apache.kafka.clients.admin.ListTopicsOptions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * What brokers that share a data directory do to it in turn, and what each of them says that is there.
 *
 * write BOOTSTRAP STAY [FEATURE...]  topics, records, commits, a deletion; features: transactions, deletions
 * state BOOTSTRAP                    prints all of it, so that two brokers' answers can be compared as text
 */
public final class Exchange {
    private static final String[] CODECS = {"none", "gzip", "snappy", "lz4", "zstd"};
    private static final Duration POLL = Duration.ofSeconds(2);
    private static final long DEADLINE_MS = 60_000;
    private static final int GROUPS = 3;

    private static String bootstrap;
    private static Admin admin;

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    /** Asks again while the answer is an error that goes away: a broker has just started. */
    private interface Ask<T> {
        T get() throws Exception;
    }

    private static <T> T ask(Ask<T> ask) throws Exception {
        long deadline = System.currentTimeMillis() + DEADLINE_MS;
        while (true) {
            try {
                return ask.get();
            } catch (ExecutionException e) {
                if (!(e.getCause() instanceof org.apache.kafka.common.errors.RetriableException)
                        || System.currentTimeMillis() > deadline) {
                    throw e;
                }
                Thread.sleep(100);
            }
        }
    }

    // --- writing ------------------------------------------------------------------------------------

    private static void create(String name, int partitions, Map<String, String> configs) throws Exception {
        try {
            admin.createTopics(List.of(new NewTopic(name, partitions, (short) 1).configs(configs))).all().get();
        } catch (ExecutionException e) {
            if (!(e.getCause() instanceof TopicExistsException)) {
                throw e;
            }
        }
    }

    private static KafkaProducer<byte[], byte[]> producer(Map<String, Object> more) {
        Map<String, Object> settings = new HashMap<>(Map.of("bootstrap.servers", bootstrap, "acks", "all", "linger.ms",
                "2", "batch.size", "16384", "delivery.timeout.ms", "60000", "max.block.ms", "60000"));
        settings.putAll(more);
        return new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer());
    }

    private static ProducerRecord<byte[], byte[]> record(String topic, Integer partition, int stay, int i, Random random) {
        byte[] value = new byte[random.nextInt(1000)];
        random.nextBytes(value);
        ProducerRecord<byte[], byte[]> record = new ProducerRecord<>(topic, partition,
                System.currentTimeMillis() - random.nextInt(60_000), i % 11 == 0 ? null : bytes("key-" + i % 97),
                i % 13 == 0 ? null : value);
        for (int h = 0; h < i % 3; h++) {
            record.headers().add("header-" + h, h == 0 ? null : bytes("stay-" + stay));
        }
        return record;
    }

    /** Enough for some segments of 1 MiB, from an idempotent producer. */
    private static void writeLogs(int stay) throws Exception {
        for (int c = 0; c < CODECS.length; c++) {
            String topic = "log-" + CODECS[c];
            create(topic, 2, Map.of("segment.bytes", "1048576", "retention.ms", "-1", "max.message.bytes", "2000000"));
            Random random = new Random(stay * 100L + c);
            List<Future<?>> sent = new ArrayList<>();
            try (KafkaProducer<byte[], byte[]> producer = producer(Map.of("compression.type", CODECS[c]))) {
                for (int i = 0; i < 4000; i++) {
                    sent.add(producer.send(record(topic, i % 5 == 0 ? 1 : 0, stay, i, random)));
                }
                for (Future<?> future : sent) {
                    future.get();
                }
            }
        }
    }

    private static void writeMany(int stay) throws Exception {
        create("many-" + stay, 20, Map.of("retention.ms", "-1"));
        create("empty-" + stay, 3, Map.of("retention.ms", String.valueOf(stay * 1000L + 3_600_000L)));
        create("gone-" + stay, 2, Map.of());
        Random random = new Random(stay);
        try (KafkaProducer<byte[], byte[]> producer = producer(Map.of())) {
            List<Future<?>> sent = new ArrayList<>();
            for (int i = 0; i < 400; i++) {
                sent.add(producer.send(record("many-" + stay, i % 20, stay, i, random)));
                sent.add(producer.send(record("gone-" + stay, i % 2, stay, i, random)));
            }
            for (Future<?> future : sent) {
                future.get();
            }
        }
        if (stay > 1) {
            admin.deleteTopics(List.of("gone-" + (stay - 1))).all().get();
            /* The same name again: another topic. */
            create("again", 1, Map.of("retention.ms", "-1"));
            admin.deleteTopics(List.of("again")).all().get();
        }
        ask(() -> {
            create("again", 1, Map.of("retention.ms", "-1"));
            return null;
        });
        try (KafkaProducer<byte[], byte[]> producer = producer(Map.of())) {
            for (int i = 0; i < stay; i++) {
                producer.send(record("again", 0, stay, i, random)).get();
            }
        }
        Map<ConfigResource, Collection<org.apache.kafka.clients.admin.AlterConfigOp>> change = Map.of(
                new ConfigResource(ConfigResource.Type.TOPIC, "many-" + stay),
                List.of(new org.apache.kafka.clients.admin.AlterConfigOp(
                        new ConfigEntry("max.message.bytes", String.valueOf(1_000_000 + stay)),
                        org.apache.kafka.clients.admin.AlterConfigOp.OpType.SET)));
        admin.incrementalAlterConfigs(change).all().get();
    }

    /** Few keys, written often, in small segments: work for a cleaner. */
    private static void writeKeys(int stay) throws Exception {
        create("keys", 1, Map.of("cleanup.policy", "compact", "segment.bytes", "1048576", "min.cleanable.dirty.ratio",
                "0.01", "retention.ms", "-1"));
        Random random = new Random(stay);
        List<Future<?>> sent = new ArrayList<>();
        try (KafkaProducer<byte[], byte[]> producer = producer(Map.of())) {
            for (int i = 0; i < 6000; i++) {
                byte[] value = new byte[400];
                random.nextBytes(value);
                sent.add(producer.send(new ProducerRecord<>("keys", 0, System.currentTimeMillis(), bytes("key-" + i % (50 + stay)),
                        i % 50 == 49 && i > 5000 ? null : value)));
            }
            for (Future<?> future : sent) {
                future.get();
            }
        }
    }

    private static KafkaConsumer<byte[], byte[]> consumer(Map<String, Object> more) {
        Map<String, Object> settings = new HashMap<>(Map.of("bootstrap.servers", bootstrap, "enable.auto.commit",
                "false", "auto.offset.reset", "earliest", "check.crcs", "true", "fetch.max.wait.ms", "50",
                "max.partition.fetch.bytes", "300000"));
        settings.putAll(more);
        return new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    /** Commits of a consumer that nobody assigns anything, and of members of both kinds of groups. */
    private static void commit(int stay) throws Exception {
        Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
        for (int p = 0; p < 20; p++) {
            offsets.put(new TopicPartition("many-" + stay, p), new OffsetAndMetadata(p + stay, "stay " + stay));
        }
        offsets.put(new TopicPartition("gone-" + stay, 0), new OffsetAndMetadata(1));
        for (int g = 0; g < GROUPS; g++) {
            try (KafkaConsumer<byte[], byte[]> consumer = consumer(Map.of("group.id", "simple-" + g))) {
                consumer.assign(offsets.keySet());
                consumer.commitSync(offsets);
            }
        }
        for (String protocol : List.of("classic", "consumer")) {
            try (KafkaConsumer<byte[], byte[]> consumer =
                    consumer(Map.of("group.id", "members-" + protocol, "group.protocol", protocol))) {
                consumer.subscribe(List.of("many-" + stay));
                long deadline = System.currentTimeMillis() + DEADLINE_MS;
                int count = 0;
                while (count < 400 && System.currentTimeMillis() < deadline) {
                    count += consumer.poll(POLL).count();
                }
                if (count != 400) {
                    throw new AssertionError("a member of a " + protocol + " group got " + count + " records of 400");
                }
                consumer.commitSync();
            }
        }
    }

    /** Committed, aborted and open ones, of producers whose transactions lie across each other and over segments. */
    private static void writeTransactions(int stay) throws Exception {
        create("transactions", 2, Map.of("segment.bytes", "1048576", "retention.ms", "-1"));
        Random random = new Random(stay);
        List<KafkaProducer<byte[], byte[]>> producers = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            KafkaProducer<byte[], byte[]> producer =
                    producer(Map.of("transactional.id", "t-" + stay + "-" + i, "transaction.timeout.ms", "900000"));
            producer.initTransactions();
            producers.add(producer);
        }
        for (int round = 0; round < 30; round++) {
            for (KafkaProducer<byte[], byte[]> producer : producers) {
                producer.beginTransaction();
            }
            for (int i = 0; i < 300; i++) {
                producers.get(random.nextInt(3)).send(record("transactions", i % 2, stay, i, random));
            }
            for (KafkaProducer<byte[], byte[]> producer : producers) {
                producer.flush();
            }
            for (KafkaProducer<byte[], byte[]> producer : producers) {
                if (random.nextInt(3) == 0) {
                    producer.commitTransaction();
                } else {
                    producer.abortTransaction();
                }
            }
        }
        /* The last producer's transaction stays open, behind it one that ends. */
        create("open-" + stay, 1, Map.of("retention.ms", "-1"));
        for (int i = 2; i >= 0; i--) {
            producers.get(i).beginTransaction();
            for (int k = 0; k < 20; k++) {
                producers.get(i).send(record("open-" + stay, 0, stay, k, random)).get();
            }
        }
        producers.get(0).abortTransaction();
        producers.get(1).commitTransaction();
        for (int i = 0; i < 2; i++) {
            producers.get(i).close();
        }
        /* The open one: its process goes without a word, as the program ends below. */
    }

    private static void deleteRecords() throws Exception {
        TopicPartition partition = new TopicPartition("log-gzip", 0);
        long end = admin.listOffsets(Map.of(partition, OffsetSpec.latest())).all().get().get(partition).offset();
        admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(end / 2))).all().get();
    }

    private static void write(int stay, Set<String> features) throws Exception {
        writeLogs(stay);
        writeMany(stay);
        writeKeys(stay);
        commit(stay);
        if (features.contains("transactions")) {
            writeTransactions(stay);
        }
        if (features.contains("deletions")) {
            deleteRecords();
        }
    }

    // --- the state ----------------------------------------------------------------------------------

    private static void add(MessageDigest digest, byte[] bytes) {
        add(digest, bytes == null ? -1 : bytes.length);
        if (bytes != null) {
            digest.update(bytes);
        }
    }

    private static void add(MessageDigest digest, long number) {
        for (int shift = 56; shift >= 0; shift -= 8) {
            digest.update((byte) (number >> shift));
        }
    }

    private static void add(MessageDigest digest, ConsumerRecord<byte[], byte[]> record) {
        add(digest, record.offset());
        add(digest, record.timestamp());
        add(digest, bytes(record.timestampType().name));
        add(digest, record.key());
        add(digest, record.value());
        for (Header header : record.headers()) {
            add(digest, bytes(header.key()));
            add(digest, header.value());
        }
    }

    private static String hex(MessageDigest digest) {
        return HexFormat.of().formatHex(digest.digest(), 0, 12);
    }

    /** A line for all records of a partition, and one for the newest of each key where older ones may go. */
    private static void printRecords(TopicPartition partition, String isolation, long end, boolean compacted)
            throws Exception {
        MessageDigest all = MessageDigest.getInstance("SHA-256");
        Map<String, ConsumerRecord<byte[], byte[]>> newest = new TreeMap<>();
        long count = 0;
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(Map.of("isolation.level", isolation))) {
            consumer.assign(List.of(partition));
            consumer.seekToBeginning(List.of(partition));
            long deadline = System.currentTimeMillis() + DEADLINE_MS;
            while (consumer.position(partition) < end) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(POLL)) {
                    if (record.offset() >= end) {
                        continue;
                    }
                    count++;
                    add(all, record);
                    if (compacted) {
                        newest.put(record.key() == null ? "" : new String(record.key(), StandardCharsets.UTF_8), record);
                    }
                }
                if (System.currentTimeMillis() > deadline) {
                    throw new AssertionError(partition + ": no progress at " + consumer.position(partition));
                }
            }
        }
        if (!compacted) {
            System.out.printf("records %s %s count=%d sum=%s%n", partition, isolation, count, hex(all));
            return;
        }
        newest.values().removeIf(record -> record.value() == null); /* a tombstone goes at its time */
        for (ConsumerRecord<byte[], byte[]> record : newest.values()) {
            add(all, record);
        }
        MessageDigest map = MessageDigest.getInstance("SHA-256");
        for (ConsumerRecord<byte[], byte[]> record : newest.values()) {
            add(map, record);
        }
        System.out.printf("newest %s %s count=%d sum=%s%n", partition, isolation, newest.size(), hex(map));
    }

    private static long offset(TopicPartition partition, OffsetSpec spec, IsolationLevel level) throws Exception {
        ListOffsetsResultInfo info = ask(() -> admin
                .listOffsets(Map.of(partition, spec), new ListOffsetsOptions(level)).all().get().get(partition));
        return info.offset();
    }

    private static void printTopic(TopicDescription topic) throws Exception {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic.name());
        Config config = ask(() -> admin.describeConfigs(List.of(resource)).all().get().get(resource));
        TreeMap<String, String> own = new TreeMap<>();
        for (ConfigEntry entry : config.entries()) {
            if (entry.source() == ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG) {
                own.put(entry.name(), entry.value());
            }
        }
        boolean compacted = own.getOrDefault("cleanup.policy", "").contains("compact");
        System.out.printf("topic %s id=%s partitions=%d configs=%s%n", topic.name(), topic.topicId(),
                topic.partitions().size(), own);
        if (topic.isInternal() || topic.name().startsWith("__")) {
            return;
        }
        for (int p = 0; p < topic.partitions().size(); p++) {
            TopicPartition partition = new TopicPartition(topic.name(), p);
            long start = offset(partition, OffsetSpec.earliest(), IsolationLevel.READ_UNCOMMITTED);
            long end = offset(partition, OffsetSpec.latest(), IsolationLevel.READ_UNCOMMITTED);
            long stable = offset(partition, OffsetSpec.latest(), IsolationLevel.READ_COMMITTED);
            long timed = offset(partition, OffsetSpec.forTimestamp(1), IsolationLevel.READ_COMMITTED);
            long greatest = offset(partition, OffsetSpec.maxTimestamp(), IsolationLevel.READ_UNCOMMITTED);
            /* Kafka looks for timestamps in the whole of the first segment that may have one, also below the log start
             * offset; when that segment has none above it, Kafka finds nothing. */
            System.out.printf("offsets %s start=%s end=%d stable=%d%s%n", partition, compacted ? "-" : start, end, stable,
                    compacted || start > 0 ? "" : " timed=" + timed + " greatest=" + greatest);
            if (end > start) {
                printRecords(partition, "read_uncommitted", end, compacted);
                printRecords(partition, "read_committed", stable, compacted);
            }
        }
    }

    private static void state() throws Exception {
        Set<String> names = new TreeSet<>(ask(() -> admin.listTopics(new ListTopicsOptions().listInternal(true)).names().get()));
        Map<String, TopicDescription> topics = ask(() -> admin.describeTopics(names).allTopicNames().get());
        for (String name : names) {
            printTopic(topics.get(name));
        }
        List<String> groups = new ArrayList<>(List.of("members-classic", "members-consumer"));
        for (int g = 0; g < GROUPS; g++) {
            groups.add("simple-" + g);
        }
        for (String group : groups) {
            Map<TopicPartition, OffsetAndMetadata> offsets =
                    ask(() -> admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get());
            /* Of a topic that is gone nobody can ask; when the record of it goes is the broker's business. */
            offsets.keySet().removeIf(partition -> !names.contains(partition.topic()));
            TreeMap<String, String> lines = new TreeMap<>();
            offsets.forEach((partition, offset) -> lines.put(partition.toString(),
                    offset == null ? "none" : offset.offset() + " epoch=" + offset.leaderEpoch().orElse(-1) + " metadata=" + offset.metadata()));
            lines.forEach((partition, offset) -> System.out.printf("committed %s %s %s%n", group, partition, offset));
        }
    }

    public static void main(String[] arguments) throws Exception {
        bootstrap = arguments[1];
        admin = Admin.create(Map.of("bootstrap.servers", bootstrap, "default.api.timeout.ms", "60000"));
        if (arguments[0].equals("write")) {
            write(Integer.parseInt(arguments[2]), Set.copyOf(List.of(arguments).subList(3, arguments.length)));
        } else {
            state();
        }
        System.out.flush();
        Runtime.getRuntime().halt(0); /* no farewells: a transaction that is open stays so */
    }
}
