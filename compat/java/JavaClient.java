import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.consumer.OffsetOutOfRangeException;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Apache Kafka's producer and consumer, without groups and without idempotence. Prints a line per check. */
public final class JavaClient {
    private static final String[] CODECS = {"none", "gzip", "snappy", "lz4", "zstd"};
    private static final int RECORDS = 1000;
    private static final Duration POLL = Duration.ofSeconds(1);
    private static final long DEADLINE_MS = 30_000;

    private static String bootstrap;

    private interface Check {
        void run() throws Exception;
    }

    private static void check(String name, Check body) {
        try {
            body.run();
            System.out.println("pass " + name);
        } catch (Throwable e) {
            System.out.println("fail " + name + " " + String.valueOf(e).replace('\n', ' '));
        }
    }

    private static void expect(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    private static KafkaProducer<byte[], byte[]> producer(String acks, String codec) {
        return new KafkaProducer<>(Map.of("bootstrap.servers", bootstrap, "enable.idempotence", "false", "acks", acks,
                "compression.type", codec, "linger.ms", "2", "batch.size", "4096", "max.block.ms", "30000",
                "delivery.timeout.ms", "40000", "max.request.size", "4000000"), new ByteArraySerializer(),
                new ByteArraySerializer());
    }

    private static KafkaConsumer<byte[], byte[]> consumer(TopicPartition... partitions) {
        KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(Map.of("bootstrap.servers", bootstrap,
                "enable.auto.commit", "false", "auto.offset.reset", "none", "check.crcs", "true"),
                new ByteArrayDeserializer(), new ByteArrayDeserializer());
        consumer.assign(Arrays.asList(partitions));
        return consumer;
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private static String text(byte[] bytes) {
        return new String(bytes, StandardCharsets.UTF_8);
    }

    private static RecordMetadata send(String acks, ProducerRecord<byte[], byte[]> record) throws Exception {
        try (KafkaProducer<byte[], byte[]> producer = producer(acks, "none")) {
            return producer.send(record).get();
        }
    }

    /** Reads so many records of one partition from an offset on. */
    private static List<ConsumerRecord<byte[], byte[]>> read(TopicPartition partition, long offset, int count) {
        List<ConsumerRecord<byte[], byte[]>> records = new ArrayList<>();
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(partition)) {
            long deadline = System.currentTimeMillis() + DEADLINE_MS;
            consumer.seek(partition, offset);
            while (records.size() < count) {
                expect(System.currentTimeMillis() < deadline, "only " + records.size() + " records came");
                consumer.poll(POLL).records(partition).forEach(records::add);
            }
        }
        return records;
    }

    private static void expectSeries(List<ConsumerRecord<byte[], byte[]>> records) {
        for (int i = 0; i < RECORDS; i++) {
            ConsumerRecord<byte[], byte[]> record = records.get(i);
            expect(record.offset() == i, "offset " + record.offset() + " for " + i);
            expect(text(record.key()).equals("key-" + i % 7), "key of " + i);
            expect(text(record.value()).equals("value-" + i), "value of " + i);
        }
        expect(records.size() == RECORDS, records.size() + " records");
    }

    private static void produceSeries(String topic, String acks, String codec) throws Exception {
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        try (KafkaProducer<byte[], byte[]> producer = producer(acks, codec)) {
            for (int i = 0; i < RECORDS; i++) {
                sent.add(producer.send(new ProducerRecord<>(topic, 0, 1_000_000_000_000L + i, bytes("key-" + i % 7),
                        bytes("value-" + i))));
            }
        }
        for (int i = 0; i < RECORDS; i++) {
            RecordMetadata metadata = sent.get(i).get();
            expect(acks.equals("0") ? !metadata.hasOffset() : metadata.offset() == i, "answered offset of " + i);
        }
    }

    private static void acks(String acks) throws Exception {
        TopicPartition partition = new TopicPartition("java-acks-" + acks, 0);
        /* Makes the topic first: what is sent with acks=0 to a topic in the making may rightly be lost. */
        try (KafkaProducer<byte[], byte[]> producer = producer("all", "none")) {
            producer.partitionsFor(partition.topic());
        }
        produceSeries(partition.topic(), acks, "none");
        expectSeries(read(partition, 0, RECORDS));
    }

    private static void headers() throws Exception {
        ProducerRecord<byte[], byte[]> record = new ProducerRecord<>("java-headers", 0, null, bytes("v"));
        record.headers().add("one", bytes("1")).add("two", null).add("one", new byte[0]);
        send("all", record);
        ConsumerRecord<byte[], byte[]> got = read(new TopicPartition("java-headers", 0), 0, 1).get(0);
        Header[] headers = got.headers().toArray();
        expect(got.key() == null && text(got.value()).equals("v"), "key and value");
        expect(headers.length == 3, headers.length + " headers");
        expect(headers[0].key().equals("one") && text(headers[0].value()).equals("1"), "first header");
        expect(headers[1].key().equals("two") && headers[1].value() == null, "null header");
        expect(headers[2].key().equals("one") && headers[2].value().length == 0, "empty header");
    }

    private static void nulls() throws Exception {
        TopicPartition partition = new TopicPartition("java-nulls", 0);
        send("all", new ProducerRecord<>(partition.topic(), 0, bytes("k"), null));
        send("all", new ProducerRecord<>(partition.topic(), 0, new byte[0], new byte[0]));
        List<ConsumerRecord<byte[], byte[]>> records = read(partition, 0, 2);
        expect(records.get(0).value() == null, "a null value");
        expect(records.get(1).key().length == 0 && records.get(1).value().length == 0, "empty key and value");
    }

    private static void timestamps() {
        for (ConsumerRecord<byte[], byte[]> record : read(new TopicPartition("java-none", 0), 0, RECORDS)) {
            expect(record.timestampType() == TimestampType.CREATE_TIME, "type " + record.timestampType());
            expect(record.timestamp() == 1_000_000_000_000L + record.offset(), "timestamp " + record.timestamp());
        }
    }

    private static void offsets() {
        TopicPartition full = new TopicPartition("java-lz4", 0);
        TopicPartition empty = new TopicPartition("java-lz4", 1);
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(full, empty)) {
            expect(consumer.beginningOffsets(List.of(full, empty)).equals(Map.of(full, 0L, empty, 0L)), "beginning");
            expect(consumer.endOffsets(List.of(full, empty)).equals(Map.of(full, (long) RECORDS, empty, 0L)), "end");
            consumer.seek(empty, 0);
            consumer.seekToEnd(List.of(full));
            expect(consumer.position(full) == RECORDS, "position at the end");
            consumer.seekToBeginning(List.of(full));
            expect(consumer.position(full) == 0, "position at the beginning");
            for (int offset : new int[] {0, 1, 500, 999}) {
                consumer.seek(full, offset);
                long deadline = System.currentTimeMillis() + DEADLINE_MS;
                List<ConsumerRecord<byte[], byte[]>> got = List.of();
                while (got.isEmpty()) {
                    expect(System.currentTimeMillis() < deadline, "nothing at " + offset);
                    got = consumer.poll(POLL).records(full);
                }
                expect(got.get(0).offset() == offset, "sought " + offset + ", got " + got.get(0).offset());
            }
        }
    }

    private static void offsetsForTimes() {
        TopicPartition partition = new TopicPartition("java-zstd", 0);
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(partition)) {
            for (int i : new int[] {0, 1, 499, 998, 999}) {
                OffsetAndTimestamp found = consumer.offsetsForTimes(Map.of(partition, 1_000_000_000_000L + i))
                        .get(partition);
                expect(found.offset() == i && found.timestamp() == 1_000_000_000_000L + i, "time of " + i);
            }
            expect(consumer.offsetsForTimes(Map.of(partition, 0L)).get(partition).offset() == 0, "before all");
            expect(consumer.offsetsForTimes(Map.of(partition, 2_000_000_000_000L)).get(partition) == null, "after all");
        }
    }

    private static void outOfRange() {
        TopicPartition partition = new TopicPartition("java-none", 0);
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(partition)) {
            long deadline = System.currentTimeMillis() + DEADLINE_MS;
            consumer.seek(partition, RECORDS + 1);
            while (true) {
                expect(System.currentTimeMillis() < deadline, "no error came");
                consumer.poll(POLL);
            }
        } catch (OffsetOutOfRangeException e) {
            expect(e.offsetOutOfRangePartitions().containsKey(partition), "another partition");
        }
    }

    private static void expectCause(Class<? extends Throwable> cause, Check body) throws Exception {
        try {
            body.run();
        } catch (ExecutionException e) {
            expect(cause.isInstance(e.getCause()), "refused with " + e.getCause());
            return;
        }
        expect(false, "accepted");
    }

    private static void sizes() throws Exception {
        TopicPartition partition = new TopicPartition("java-sizes", 0);
        byte[] large = new byte[1_000_000];
        Arrays.fill(large, (byte) 'x');
        send("all", new ProducerRecord<>(partition.topic(), 0, null, large));
        expectCause(RecordTooLargeException.class,
                () -> send("all", new ProducerRecord<>(partition.topic(), 0, null, new byte[2_000_000])));
        expect(Arrays.equals(read(partition, 0, 1).get(0).value(), large), "the large value");
    }

    /** All partitions of a topic at once, the keys spread by the producer. */
    private static void partitions() throws Exception {
        String topic = "java-spread";
        Set<String> seen = new HashSet<>();
        try (KafkaProducer<byte[], byte[]> producer = producer("all", "lz4")) {
            for (int i = 0; i < RECORDS; i++) {
                producer.send(new ProducerRecord<>(topic, bytes("key-" + i), bytes("value-" + i)));
            }
        }
        TopicPartition[] partitions = new TopicPartition[3];
        Arrays.setAll(partitions, i -> new TopicPartition(topic, i));
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(partitions)) {
            long deadline = System.currentTimeMillis() + DEADLINE_MS;
            consumer.seekToBeginning(List.of());
            while (seen.size() < RECORDS) {
                expect(System.currentTimeMillis() < deadline, "only " + seen.size() + " records came");
                consumer.poll(POLL).forEach(record -> seen.add(text(record.value())));
            }
        }
    }

    private static void metadata() {
        try (KafkaConsumer<byte[], byte[]> consumer = consumer()) {
            List<PartitionInfo> partitions = consumer.partitionsFor("seed-none");
            expect(partitions.size() == 3, partitions.size() + " partitions");
            for (PartitionInfo info : partitions) {
                expect(info.leader() != null && info.replicas().length == 1 && info.inSyncReplicas().length == 1,
                        "leader and replicas of " + info);
            }
            expect(consumer.listTopics().keySet().containsAll(List.of("seed-none", "seed-zstd")), "list of topics");
        }
    }

    public static void main(String[] arguments) {
        bootstrap = arguments[0];
        check("metadata", JavaClient::metadata);
        for (String codec : CODECS) {
            check("reads-kcat-" + codec, () -> expectSeries(read(new TopicPartition("seed-" + codec, 0), 0, RECORDS)));
            check("produce-" + codec, () -> produceSeries("java-" + codec, "all", codec));
            check("consume-" + codec, () -> expectSeries(read(new TopicPartition("java-" + codec, 0), 0, RECORDS)));
        }
        for (String acks : new String[] {"0", "1", "all"}) {
            check("acks-" + acks, () -> acks(acks));
        }
        check("headers", JavaClient::headers);
        check("nulls", JavaClient::nulls);
        check("timestamps", JavaClient::timestamps);
        check("offsets-and-seek", JavaClient::offsets);
        check("offsets-for-times", JavaClient::offsetsForTimes);
        check("out-of-range", JavaClient::outOfRange);
        check("sizes", JavaClient::sizes);
        check("all-partitions", JavaClient::partitions);
        check("invalid-topic", () -> expectCause(InvalidTopicException.class,
                () -> send("all", new ProducerRecord<>("no topic", bytes("v")))));
    }
}
