import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.io.PrintStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.Stream;
import java.util.zip.CRC32;
import kafka.server.KafkaConfig;
import kafka.server.KafkaRaftServer;
import kafka.tools.DumpLogSegments;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.utils.Exit;
import org.apache.kafka.common.utils.Time;

/**
 * kill -9 of runnel at random moments of a load; then Apache Kafka, in this process, opens a copy of the directory and must
 * find all that was acknowledged. The next round goes on with what runnel left or with what Kafka made of it.
 *
 * Kills rounds BINARY DIRECTORY ROUNDS SEED    a line for each round; status 0 when nothing was lost
 * Kills dump DIRECTORY...                      only what Kafka's tool says of all files
 */
public final class Kills {
    private static final Map<String, Map<String, String>> TOPICS = Map.of(
            "log-none", Map.of("segment.bytes", "1048576", "retention.bytes", "1048576", "retention.ms", "-1"),
            "log-lz4", Map.of("segment.bytes", "1048576", "retention.bytes", "1048576", "retention.ms", "-1"),
            "log-zstd", Map.of("segment.bytes", "1048576", "retention.bytes", "1048576", "retention.ms", "-1"),
            "kept", Map.of("segment.bytes", "1048576", "retention.ms", "-1"),
            "keys", Map.of("cleanup.policy", "compact", "segment.bytes", "1048576", "min.cleanable.dirty.ratio", "0.01"));
    private static final int PARTITIONS = 2, KEYS = 200, GROUPS = 5, PENDING = 200;
    private static final long DEADLINE_MS = 60_000;

    private static String binary;
    private static Path place;
    private static Random random;
    private static final AtomicLong ids = new AtomicLong();

    // --- what was acknowledged -------------------------------------------------------------------------

    private record Sent(long id, String key) {}

    private static final Map<TopicPartition, ConcurrentSkipListMap<Long, Sent>> acked = new ConcurrentHashMap<>();
    private static final Map<String, Uuid> alive = new ConcurrentHashMap<>(); /* topics whose creation was told */
    private static final Map<String, Uuid> gone = new ConcurrentHashMap<>(); /* topics whose deletion was told */
    /* By group: the offset that was told as committed, and the last that was asked for. */
    private static final Map<String, Long> committed = new ConcurrentHashMap<>(), attempted = new ConcurrentHashMap<>();
    private static final AtomicLong ackedCount = new AtomicLong(), commitCount = new AtomicLong(),
            churnCount = new AtomicLong();

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private static int sum(String topic, int partition, long id, byte[] key, byte[] value) {
        CRC32 crc = new CRC32();
        crc.update(bytes(topic + "-" + partition + "-" + id));
        crc.update(key == null ? new byte[] {1} : key);
        crc.update(value == null ? new byte[] {2} : value);
        return (int) crc.getValue();
    }

    /** A record that says who it is. */
    private static ProducerRecord<byte[], byte[]> record(String topic, int partition, String key, Random own, int size) {
        long id = ids.incrementAndGet();
        byte[] value = size < 0 ? null : new byte[size];
        for (int i = 0; i < size; i++) {
            value[i] = (byte) ('a' + own.nextInt(16));
        }
        byte[] keyBytes = key == null ? null : bytes(key);
        ProducerRecord<byte[], byte[]> record = new ProducerRecord<>(topic, partition, keyBytes, value);
        record.headers().add("id", ByteBuffer.allocate(12).putLong(id).putInt(sum(topic, partition, id, keyBytes, value)).array());
        return record;
    }

    private static long id(ConsumerRecord<byte[], byte[]> record) {
        Header header = record.headers().lastHeader("id");
        ByteBuffer buffer = header == null || header.value().length != 12 ? null : ByteBuffer.wrap(header.value());
        long id = buffer == null ? -1 : buffer.getLong();
        if (id < 0 || buffer.getInt() != sum(record.topic(), record.partition(), id, record.key(), record.value())) {
            throw new AssertionError(record.topic() + "-" + record.partition() + " offset " + record.offset() + ": not what was sent");
        }
        return id;
    }

    // --- the load --------------------------------------------------------------------------------------

    private static volatile boolean isLoading;

    private interface Work {
        void run() throws Exception;
    }

    /** The broker dies in the middle of it: errors are expected from then on. */
    private static Thread spawn(String name, List<Throwable> early, Work work) {
        Thread thread = new Thread(() -> {
            try {
                work.run();
            } catch (Throwable e) {
                if (isLoading) {
                    early.add(e);
                }
            }
        }, name);
        thread.setDaemon(true);
        thread.start();
        return thread;
    }

    private static KafkaProducer<byte[], byte[]> producer(String bootstrap, String codec) {
        Properties settings = new Properties();
        settings.putAll(Map.of("bootstrap.servers", bootstrap, "acks", "all", "linger.ms", "2", "compression.type", codec,
                "delivery.timeout.ms", "30000", "request.timeout.ms", "10000", "max.block.ms", "20000"));
        return new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer());
    }

    private static void send(KafkaProducer<byte[], byte[]> producer, ProducerRecord<byte[], byte[]> record, Semaphore pending)
            throws InterruptedException {
        String key = record.key() == null ? null : new String(record.key(), StandardCharsets.UTF_8);
        long id = ByteBuffer.wrap(record.headers().lastHeader("id").value()).getLong();
        pending.acquire();
        producer.send(record, (metadata, error) -> {
            if (error == null) {
                acked.computeIfAbsent(new TopicPartition(metadata.topic(), metadata.partition()), p -> new ConcurrentSkipListMap<>())
                        .put(metadata.offset(), new Sent(id, key));
                ackedCount.incrementAndGet();
            }
            pending.release();
        });
    }

    private static void produce(KafkaProducer<byte[], byte[]> producer, String topic, boolean keyed, int size, long seed)
            throws InterruptedException {
        Random own = new Random(seed);
        Semaphore pending = new Semaphore(PENDING);
        while (isLoading) {
            for (int i = 0; i < 40; i++) {
                String key = keyed ? "key-" + own.nextInt(KEYS) : null;
                boolean isTombstone = keyed && own.nextInt(20) == 0;
                send(producer, record(topic, own.nextInt(PARTITIONS), key, own, isTombstone ? -1 : own.nextInt(size)), pending);
            }
            Thread.sleep(own.nextInt(30)); /* a load, not a race: others use the machine */
        }
    }

    private static void commit(String bootstrap) throws Exception {
        TopicPartition partition = new TopicPartition("kept", 0);
        List<KafkaConsumer<byte[], byte[]>> consumers = new ArrayList<>();
        for (int g = 0; g < GROUPS; g++) {
            consumers.add(consumer(bootstrap, Map.of("group.id", "group-" + g)));
            consumers.get(g).assign(List.of(partition));
        }
        while (isLoading) {
            for (int g = 0; g < GROUPS; g++) {
                long offset = ids.incrementAndGet();
                attempted.put("group-" + g, offset);
                consumers.get(g).commitSync(Map.of(partition, new OffsetAndMetadata(offset, Optional.empty(), "m" + offset)),
                        Duration.ofSeconds(15));
                committed.put("group-" + g, offset);
                commitCount.incrementAndGet();
            }
            Thread.sleep(5);
        }
    }

    private static void churn(Admin admin, KafkaProducer<byte[], byte[]> producer, long seed) throws Exception {
        Random own = new Random(seed);
        Semaphore pending = new Semaphore(PENDING);
        while (isLoading) {
            String name = "t-" + ids.incrementAndGet();
            var created = admin.createTopics(List.of(new NewTopic(name, PARTITIONS, (short) 1)
                    .configs(Map.of("retention.ms", "-1"))));
            created.all().get();
            alive.put(name, created.topicId(name).get());
            for (int i = 0; i < 6; i++) {
                send(producer, record(name, i % PARTITIONS, null, own, own.nextInt(300)), pending);
            }
            producer.flush();
            List<String> names = new ArrayList<>(alive.keySet());
            names.remove(name);
            if (names.size() > 4) {
                String old = names.get(own.nextInt(names.size()));
                Uuid id = alive.remove(old); /* until the answer is there it may be either */
                admin.deleteTopics(List.of(old)).all().get();
                gone.put(old, id);
            }
            churnCount.incrementAndGet();
            Thread.sleep(own.nextInt(60));
        }
    }

    /** Topics of which nobody knows whether they were made, or deleted. */
    private static void tidy(Admin admin) throws Exception {
        List<String> unknown = new ArrayList<>();
        for (String name : ask(() -> admin.listTopics().names().get())) {
            if (name.startsWith("t-") && !alive.containsKey(name)) {
                unknown.add(name);
            }
        }
        admin.deleteTopics(unknown).all().get();
        gone.clear();
        acked.keySet().removeIf(p -> p.topic().startsWith("t-") && !alive.containsKey(p.topic()));
    }

    private static Process runnel(Path data) throws IOException {
        return new ProcessBuilder(binary, "--data-dir", data.toString(), "--listen", "127.0.0.1:0", "--override", "log.cleaner.backoff.ms=200", "--override", "log.retention.check.interval.ms=500",
                "--override", "offsets.topic.num.partitions=4", "--override", "auto.create.topics.enable=false", "--override", "log.segment.delete.delay.ms=500")
                .redirectError(ProcessBuilder.Redirect.appendTo(place.resolve("runnel.stderr").toFile())).start();
    }

    private static String ready(Process broker) throws IOException {
        StringBuilder line = new StringBuilder();
        for (int c = broker.getInputStream().read(); c >= 0 && c != '\n'; c = broker.getInputStream().read()) {
            line.append((char) c);
        }
        int from = line.indexOf(" listen=") + 8, to = line.indexOf(" ", from);
        if (from < 8 || to < 0) {
            throw new AssertionError("runnel did not start: see runnel.stderr");
        }
        return line.substring(from, to);
    }

    private static void loadAndKill(Path data, int round) throws Exception {
        /* Now and then also while it recovers from the kill before. */
        for (int i = random.nextInt(5) == 0 ? 1 + random.nextInt(3) : 0; i > 0; i--) {
            Process broker = runnel(data);
            Thread.sleep(random.nextInt(120));
            broker.destroyForcibly().waitFor();
        }
        Process broker = runnel(data);
        try {
            String bootstrap = ready(broker);
            List<Throwable> early = new ArrayList<>();
            List<Thread> threads = new ArrayList<>();
            Map<String, KafkaProducer<byte[], byte[]>> producers = new HashMap<>();
            Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap));
            for (var topic : TOPICS.entrySet()) {
                try {
                    admin.createTopics(List.of(new NewTopic(topic.getKey(), PARTITIONS, (short) 1).configs(topic.getValue()))).all().get();
                } catch (ExecutionException e) {
                    if (!(e.getCause() instanceof TopicExistsException)) {
                        throw e;
                    }
                }
            }
            tidy(admin);
            if (round % 5 == 4) {
                List<String> faults = judge(bootstrap);
                if (!faults.isEmpty()) {
                    throw new AssertionError("runnel itself: " + faults.get(0));
                }
            }
            for (String codec : List.of("none", "lz4", "zstd", "gzip", "snappy")) {
                producers.put(codec, producer(bootstrap, codec));
            }
            isLoading = true;
            for (String codec : List.of("none", "lz4", "zstd")) {
                long seed = random.nextLong();
                threads.add(spawn("log-" + codec, early, () -> produce(producers.get(codec), "log-" + codec, false, 1200, seed)));
            }
            long seed = random.nextLong(), second = random.nextLong(), third = random.nextLong();
            threads.add(spawn("keys", early, () -> produce(producers.get("gzip"), "keys", true, 900, seed)));
            threads.add(spawn("kept", early, () -> produce(producers.get("snappy"), "kept", false, 20, second)));
            threads.add(spawn("commits", early, () -> commit(bootstrap)));
            threads.add(spawn("churn", early, () -> churn(admin, producers.get("snappy"), third)));
            /* Mostly once there is something to lose; on a machine that has other things to do that takes a while. */
            long ackedBefore = ackedCount.get(), deadline = System.currentTimeMillis() + DEADLINE_MS;
            while (round % 10 != 0 && ackedCount.get() == ackedBefore && System.currentTimeMillis() < deadline) {
                Thread.sleep(5);
            }
            Thread.sleep(random.nextInt(2500));
            isLoading = false;
            broker.destroyForcibly().waitFor();
            for (Thread thread : threads) {
                thread.interrupt();
            }
            /* What was answered before the kill may still be on its way to a callback; what was not never will be. */
            for (var one : producers.values()) {
                one.close(Duration.ofMillis(500));
            }
            admin.close(Duration.ZERO);
            for (Thread thread : threads) {
                thread.join(DEADLINE_MS);
            }
            if (!early.isEmpty()) {
                throw new AssertionError("before the kill: " + early.get(0), early.get(0));
            }
        } finally {
            broker.destroyForcibly().waitFor();
        }
    }

    // --- the judges ------------------------------------------------------------------------------------

    private interface Ask<T> {
        T get() throws Exception;
    }

    private static <T> T ask(Ask<T> ask) throws Exception {
        long deadline = System.currentTimeMillis() + DEADLINE_MS;
        while (true) {
            try {
                return ask.get();
            } catch (ExecutionException e) {
                if (!(e.getCause() instanceof RetriableException) || System.currentTimeMillis() > deadline) {
                    throw e;
                }
                Thread.sleep(50);
            }
        }
    }

    private static KafkaConsumer<byte[], byte[]> consumer(String bootstrap, Map<String, Object> more) {
        Map<String, Object> settings = new HashMap<>(Map.of("bootstrap.servers", bootstrap, "enable.auto.commit", "false",
                "auto.offset.reset", "earliest", "fetch.max.wait.ms", "20"));
        settings.putAll(more);
        return new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    private static void judgePartition(TopicPartition partition, TreeMap<Long, Sent> found, long start, List<String> faults) {
        acked.getOrDefault(partition, new ConcurrentSkipListMap<>()).headMap(start).clear(); /* retention took them */
        boolean isCompacted = partition.topic().equals("keys");
        Map<String, Long> newest = new HashMap<>();
        Set<Long> seen = new HashSet<>();
        found.forEach((offset, sent) -> {
            newest.put(sent.key, offset);
            if (!seen.add(sent.id)) {
                faults.add(partition + " offset " + offset + ": a second time");
            }
        });
        acked.getOrDefault(partition, new ConcurrentSkipListMap<>()).forEach((offset, sent) -> {
            Sent there = found.get(offset);
            boolean isThere = there != null && there.id == sent.id;
            boolean isReplaced = isCompacted && there == null && newest.getOrDefault(sent.key, -1L) > offset;
            if (!isThere && !isReplaced) {
                faults.add(partition + " offset " + offset + ": acknowledged and " + (there == null ? "not there" : "another record"));
            }
        });
    }

    /** What is missing of all that was acknowledged. */
    private static List<String> judge(String bootstrap) throws Exception {
        List<String> faults = new ArrayList<>();
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap)); var consumer = consumer(bootstrap, Map.of())) {
            Set<String> names = ask(() -> admin.listTopics().names().get());
            Map<String, TopicDescription> topics = ask(() -> admin.describeTopics(names).allTopicNames().get());
            alive.forEach((name, id) -> {
                TopicDescription topic = topics.get(name);
                if (topic == null || !topic.topicId().equals(id) || topic.partitions().size() != PARTITIONS) {
                    faults.add("topic " + name + ": created and " + (topic == null ? "not there" : "another one"));
                }
            });
            gone.keySet().stream().filter(names::contains).forEach(name -> faults.add("topic " + name + ": deleted and there"));
            Map<TopicPartition, TreeMap<Long, Sent>> found = new HashMap<>();
            for (String name : names) {
                for (int p = 0; !name.startsWith("__") && p < PARTITIONS; p++) {
                    found.put(new TopicPartition(name, p), new TreeMap<>());
                }
            }
            consumer.assign(found.keySet());
            consumer.seekToBeginning(found.keySet());
            Map<TopicPartition, Long> ends = consumer.endOffsets(found.keySet()), starts = consumer.beginningOffsets(found.keySet());
            long deadline = System.currentTimeMillis() + DEADLINE_MS;
            while (ends.entrySet().stream().anyMatch(e -> consumer.position(e.getKey()) < e.getValue())) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(200))) {
                    found.get(new TopicPartition(record.topic(), record.partition())).put(record.offset(),
                            new Sent(id(record), record.key() == null ? null : new String(record.key(), StandardCharsets.UTF_8)));
                }
                if (System.currentTimeMillis() > deadline) {
                    throw new AssertionError("reading stands still");
                }
            }
            found.forEach((partition, records) -> judgePartition(partition, records, starts.get(partition), faults));
            acked.keySet().stream().filter(p -> !found.containsKey(p) && alive.containsKey(p.topic()))
                    .forEach(p -> faults.add(p + ": not there"));
            for (String group : attempted.keySet()) {
                OffsetAndMetadata told = ask(() -> admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get())
                        .get(new TopicPartition("kept", 0));
                long offset = told == null ? 0 : told.offset();
                long least = committed.getOrDefault(group, 0L);
                if ((offset != least && offset != attempted.get(group)) || (told != null && !told.metadata().equals("m" + offset))) {
                    faults.add(group + ": committed " + least + ", found " + offset);
                }
                committed.put(group, offset);
            }
        }
        return faults;
    }

    /** Every file kind that Kafka's tool reads; what it finds wrong. */
    private static List<String> dump(Path data) throws Exception {
        List<String> files = new ArrayList<>(), faults = new ArrayList<>();
        try (Stream<Path> all = Files.walk(data, 2)) {
            all.filter(p -> p.getFileName().toString().matches("[0-9]{20}(-[0-9]{10})?[.](log|index|timeindex|txnindex|snapshot|checkpoint)"))
                    .filter(p -> !p.getParent().toString().matches(".*-(delete|stray)")).sorted() /* what goes is not closed */.map(Path::toString).forEach(files::add);
        }
        dumpedCount.addAndGet(files.size());
        PrintStream before = System.out, errorsBefore = System.err;
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        try (PrintStream all = new PrintStream(out)) {
            System.setOut(all); /* some it prints by Java, some by Scala; mismatches to standard error */
            System.setErr(all);
            scala.Console.withOut(all, () -> scala.Console.withErr(all, () -> {
                DumpLogSegments.main(new String[] {"--deep-iteration", "--files", String.join(",", files)});
                return null;
            }));
        } finally {
            System.setOut(before);
            System.setErr(errorsBefore);
        }
        String file = "";
        int listed = 0;
        List<String> mismatches = new ArrayList<>();
        Set<String> emptyBatches = new HashSet<>();
        for (String line : out.toString(StandardCharsets.UTF_8).split("\n")) {
            if (line.startsWith("Dumping ")) {
                file = line.substring(line.indexOf(data.toString()) + data.toString().length());
                listed++;
            } else if (line.startsWith("baseOffset: ") && line.contains(" count: 0 ")) {
                emptyBatches.add(file + line.replaceAll(".* CreateTime: ([0-9]+) .*", " $1"));
            }
            if (line.startsWith("| offset: ") || line.startsWith("Non-consecutive offsets in ") && line.matches(".*/(keys|__consumer_offsets)-.*")) {
                continue; /* what is compacted has gaps */
            }
            if (line.matches("Found [0-9]+ invalid bytes at the end of .*") && isNewest(data, files, file)) {
                tornCount.incrementAndGet(); /* the kill came in the middle of a write: nobody was told of it */
                continue;
            }
            if (line.startsWith("  Index ") || line.matches(".*([Mm]ismatch(es)? in|isvalid: false|out of order|onsecutive|Exception|invalid|corrupt).*")) {
                mismatches.add(line);
            }
        }
        judgeMismatches(data, mismatches, emptyBatches, faults);
        if (listed != files.size()) {
            faults.add("only " + listed + " of " + files.size() + " files were dumped");
        }
        return faults;
    }

    /**
     * Of a segment in which the cleaner left only batches without records the tool says that its time index is wrong, as it
     * looks for the timestamp of the entry among records; of those that Kafka cleaned as well.
     */
    private static void judgeMismatches(Path data, List<String> lines, Set<String> emptyBatches, List<String> faults) {
        String file = "";
        for (int i = 0; i < lines.size(); i++) {
            String line = lines.get(i);
            boolean isTime = line.startsWith("Found timestamp mismatch in ");
            if (line.contains(data.toString())) {
                file = line.substring(line.indexOf(data.toString()) + data.toString().length()).replace(".timeindex", ".log");
            }
            boolean isHead = isTime && i + 1 < lines.size() && lines.get(i + 1).startsWith("  Index timestamp: ");
            boolean isOfEmpty = line.matches("  Index timestamp: [0-9]+, log timestamp: -1")
                    && emptyBatches.contains(file + line.replaceAll(".*: ([0-9]+), .*", " $1"));
            if (!isHead && !isOfEmpty) {
                faults.add(file + ": " + line);
            }
        }
    }

    private static boolean isNewest(Path data, List<String> files, String log) {
        String path = data + log, partition = path.substring(0, path.lastIndexOf('/') + 1);
        return files.stream().filter(f -> f.startsWith(partition) && f.endsWith(".log")).max(Comparator.naturalOrder())
                .filter(path::equals).isPresent();
    }

    private static final AtomicLong dumpedCount = new AtomicLong(), tornCount = new AtomicLong();

    /** As Kafka's LeaderEpochCheckpointFile reads it: version 0, a count, epochs and offsets that rise. */
    private static void epochs(Path data, List<String> faults) throws IOException {
        List<Path> files;
        try (Stream<Path> all = Files.walk(data, 2)) {
            files = all.filter(p -> p.getFileName().toString().equals("leader-epoch-checkpoint")).toList();
        }
        for (Path file : files) {
            List<String> lines = Files.readAllLines(file);
            boolean isGood = lines.size() >= 2 && lines.get(0).equals("0") && lines.get(1).equals(String.valueOf(lines.size() - 2));
            long epoch = -1, offset = -1;
            for (int i = 2; isGood && i < lines.size(); i++) {
                String[] words = lines.get(i).split(" ");
                isGood = words.length == 2 && Long.parseLong(words[0]) > epoch && Long.parseLong(words[1]) > offset;
                epoch = isGood ? Long.parseLong(words[0]) : epoch;
                offset = isGood ? Long.parseLong(words[1]) : offset;
            }
            if (!isGood && Files.size(file) > 0) {
                faults.add(file + ": " + lines);
            }
        }
    }

    private static int freePort() throws IOException {
        try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            return socket.getLocalPort();
        }
    }

    private static List<String> judgeOfKafka(Path data) throws Exception {
        int port = freePort(), controller = freePort();
        Properties settings = new Properties();
        settings.putAll(Map.of("process.roles", "broker,controller", "node.id", "1", "controller.quorum.bootstrap.servers",
                "127.0.0.1:" + controller, "controller.listener.names", "CONTROLLER", "listeners",
                "PLAINTEXT://127.0.0.1:" + port + ",CONTROLLER://127.0.0.1:" + controller, "log.dirs", data.toString(),
                "offsets.topic.replication.factor", "1", "broker.session.timeout.ms", "1000", "broker.heartbeat.interval.ms", "100"));
        settings.putAll(Map.of("log.cleaner.dedupe.buffer.size", "8388608", "log.cleaner.io.buffer.size", "262144",
                "log.cleaner.backoff.ms", "500", "num.network.threads", "1", "num.io.threads", "2",
                "transaction.state.log.replication.factor", "1", "share.coordinator.state.topic.replication.factor", "1"));
        KafkaRaftServer server = new KafkaRaftServer(KafkaConfig.fromProps(settings, false), Time.SYSTEM);
        try {
            server.startup();
            return judge("127.0.0.1:" + port);
        } finally {
            server.shutdown();
            server.awaitShutdown();
        }
    }

    // --- rounds ----------------------------------------------------------------------------------------

    private static void remove(Path directory) throws IOException {
        if (Files.exists(directory)) {
            try (Stream<Path> all = Files.walk(directory)) {
                all.sorted(Comparator.reverseOrder()).map(Path::toFile).forEach(File::delete);
            }
        }
    }

    private static void copy(Path from, Path to) throws Exception {
        remove(to);
        if (new ProcessBuilder("cp", "-a", from.toString(), to.toString()).inheritIO().start().waitFor() != 0) {
            throw new IOException("cp failed");
        }
    }

    /** The controls: without a segment the same judge must find a loss, and one byte of an index the tool. */
    private static void control(Path killed, Path copy) throws Exception {
        copy(killed, copy);
        try (Stream<Path> files = Files.walk(copy, 2)) {
            Path index = files.filter(p -> p.toString().matches(".*/log-.*[.]index") && p.toFile().length() > 16).findFirst().orElseThrow();
            try (FileChannel channel = FileChannel.open(index, StandardOpenOption.WRITE)) {
                channel.write(ByteBuffer.wrap(new byte[] {77}), 14);
            }
        }
        List<String> mismatches;
        try {
            mismatches = dump(copy);
        } catch (Exception e) {
            mismatches = List.of(e.toString()); /* where the entry leads there is no batch */
        }
        System.out.println("control: " + (mismatches.isEmpty() ? "no mismatch" : mismatches.get(0)));
        if (mismatches.isEmpty()) {
            throw new AssertionError("the control: a damaged index was not noticed");
        }
        TopicPartition partition = new TopicPartition("log-none", 0);
        copy(killed, copy);
        try (Stream<Path> files = Files.list(copy.resolve(partition.toString()))) {
            Path log = files.filter(p -> p.toString().endsWith(".log") && p.toFile().length() > 0).max(Comparator.naturalOrder()).orElseThrow();
            try (FileChannel channel = FileChannel.open(log, StandardOpenOption.WRITE)) {
                channel.truncate(0);
            }
        }
        List<String> faults = judgeOfKafka(copy);
        System.out.println("control: " + faults.size() + " losses found: " + (faults.isEmpty() ? "" : faults.get(0)));
        if (faults.isEmpty()) {
            throw new AssertionError("the control: a loss was not noticed");
        }
    }

    private static void rounds(int count) throws Exception {
        Path data = place.resolve("data"), copy = place.resolve("copy"), killed = place.resolve("killed");
        for (int round = 1; round <= count; round++) {
            long begin = System.currentTimeMillis(), before = ackedCount.get();
            loadAndKill(data, round);
            copy(data, copy);
            if (round == count) {
                copy(data, killed);
            }
            List<String> faults = dump(copy);
            epochs(copy, faults);
            faults.addAll(judgeOfKafka(copy));
            boolean goesOnWithKafkas = random.nextBoolean();
            if (goesOnWithKafkas && faults.isEmpty()) {
                if (round % 5 == 0) {
                    faults.addAll(dump(copy)); /* of what Kafka has made of it */
                }
                remove(data);
                Files.move(copy, data);
            }
            System.out.printf("round %d: %d records acknowledged, %d faults, %d ms%s%n", round, ackedCount.get() - before, faults.size(),
                    System.currentTimeMillis() - begin, goesOnWithKafkas ? "; Kafka's directory is the next" : "");
            if (!faults.isEmpty()) {
                faults.stream().limit(20).forEach(System.out::println);
                throw new AssertionError(faults.get(0));
            }
        }
        System.out.printf("%d rounds: %d records, %d commits, %d topics made, %d files dumped, %d torn tails: nothing lost, no mismatch%n", count,
                ackedCount.get(), commitCount.get(), churnCount.get(), dumpedCount.get(), tornCount.get());
        control(killed, copy);
    }

    public static void main(String[] arguments) throws Exception {
        if (arguments[0].equals("dump")) {
            dumpAlone(List.of(arguments).subList(1, arguments.length));
            return;
        }
        binary = arguments[1];
        place = Path.of(arguments[2]);
        random = new Random(Long.parseLong(arguments[4]));
        /* Kafka ends the process when it loses faith in a directory. */
        Exit.setExitProcedure((status, message) -> Kills.end(status == 0 ? 70 : status, "Kafka: exit " + message));
        Exit.setHaltProcedure((status, message) -> Kills.end(status == 0 ? 70 : status, "Kafka: halt " + message));
        int status = 1;
        try {
            rounds(Integer.parseInt(arguments[3]));
            status = 0;
        } catch (Throwable e) {
            e.printStackTrace();
        }
        end(status, status == 0 ? "nothing lost" : "a fault was found");
    }

    private static void dumpAlone(List<String> directories) throws Exception {
        List<String> faults = new ArrayList<>();
        for (String directory : directories) {
            if (Files.exists(Path.of(directory))) {
                faults.addAll(dump(Path.of(directory)));
                epochs(Path.of(directory), faults);
            }
        }
        faults.forEach(System.out::println);
        end(faults.isEmpty() ? 0 : 1, faults.isEmpty() ? dumpedCount.get() + " files" : faults.get(0));
    }

    private static void end(int status, String why) {
        System.out.println(why);
        System.out.flush();
        Runtime.getRuntime().halt(status);
    }
}
