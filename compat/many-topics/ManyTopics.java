import java.io.IOException;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.Future;
import java.util.stream.Stream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Many topics at once: made, described, listed, written to and deleted, several times over. Prints a line per check, with its
 * time and the broker's memory and descriptors after it. Arguments: bootstrap, topics, topics per call, the broker's
 * process, its directory.
 */
public final class ManyTopics {
    private static final int ROUNDS = 4;
    /** Of our own clients, which open and close them as they like. */
    private static final int CONNECTIONS = 8;
    private static final int SAMPLE = 200;
    private static final long DEADLINE_MS = 30_000;
    /** What may stay for good: the allocator keeps some of it, pools stay as large as they were. */
    private static final long KEPT_KIB = 4096;

    private final Admin admin;
    private final String bootstrap;
    private final long process;
    private final Path data;
    private final List<String> names = new ArrayList<>();
    private final List<List<String>> calls = new ArrayList<>();

    private ManyTopics(String[] arguments) {
        bootstrap = arguments[0];
        /* One call may take longer than the 30 s that the client grants by default, on a slow disk. */
        admin = Admin.create(Map.of("bootstrap.servers", bootstrap, "request.timeout.ms", "120000",
                "default.api.timeout.ms", "120000"));
        process = Long.parseLong(arguments[3]);
        data = Path.of(arguments[4]);
        int perCall = Integer.parseInt(arguments[2]);
        for (int i = 0; i < Integer.parseInt(arguments[1]); i++) {
            names.add(String.format("many-%05d", i));
        }
        for (int i = 0; i < names.size(); i += perCall) {
            calls.add(names.subList(i, Math.min(i + perCall, names.size())));
        }
    }

    private interface Check {
        void run() throws Exception;
    }

    private void check(String name, Check body) {
        long start = System.nanoTime();
        try {
            body.run();
            System.out.printf(Locale.ROOT, "pass %s %.2f s, then VmRSS %d KiB, %d descriptors%n", name,
                    (System.nanoTime() - start) / 1e9, memoryKib(), descriptors());
        } catch (Throwable e) {
            System.out.println("fail " + name + " " + String.valueOf(e).replace('\n', ' '));
        }
    }

    private static void expect(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    private long memoryKib() throws IOException {
        for (String line : Files.readAllLines(Path.of("/proc/" + process + "/status"))) {
            if (line.startsWith("VmRSS:")) {
                return Long.parseLong(line.replaceAll("[^0-9]", ""));
            }
        }
        throw new IOException("no VmRSS");
    }

    private long descriptors() throws IOException {
        try (Stream<Path> all = Files.list(Path.of("/proc/" + process + "/fd"))) {
            return all.count();
        }
    }

    /** Files and directories of our topics, also of those that wait for their deletion. */
    private long files() throws IOException {
        long[] count = {0};
        Files.walkFileTree(data, new SimpleFileVisitor<>() {
            @Override
            public FileVisitResult preVisitDirectory(Path directory, BasicFileAttributes attributes) {
                return seen(directory);
            }

            @Override
            public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) {
                return seen(file);
            }

            @Override
            public FileVisitResult visitFileFailed(Path file, IOException error) {
                return FileVisitResult.CONTINUE; // it was there, and is not any more
            }

            @Override
            public FileVisitResult postVisitDirectory(Path directory, IOException error) {
                return FileVisitResult.CONTINUE;
            }

            private FileVisitResult seen(Path path) {
                count[0] += data.relativize(path).toString().contains("many-") ? 1 : 0;
                return FileVisitResult.CONTINUE;
            }
        });
        return count[0];
    }

    private void create() throws Exception {
        for (List<String> call : calls) {
            List<NewTopic> topics = new ArrayList<>();
            for (String name : call) {
                topics.add(new NewTopic(name, Optional.of(1), Optional.empty()));
            }
            admin.createTopics(topics).all().get();
        }
    }

    private void describe() throws Exception {
        Map<String, TopicDescription> described = admin.describeTopics(names).allTopicNames().get();
        Set<Object> ids = new HashSet<>();
        for (String name : names) {
            TopicDescription topic = described.get(name);
            expect(topic.partitions().size() == 1 && topic.partitions().get(0).leader() != null, name);
            ids.add(topic.topicId());
        }
        expect(ids.size() == names.size(), ids.size() + " topic ids");
    }

    private List<String> sample() {
        List<String> sample = new ArrayList<>();
        for (int i = 0; i < SAMPLE; i++) {
            sample.add(names.get((int) ((long) i * names.size() / SAMPLE)));
        }
        return sample;
    }

    private void configs() throws Exception {
        List<ConfigResource> resources = new ArrayList<>();
        sample().forEach(name -> resources.add(new ConfigResource(ConfigResource.Type.TOPIC, name)));
        Map<ConfigResource, Collection<AlterConfigOp>> changes = new HashMap<>();
        for (ConfigResource resource : resources) {
            changes.put(resource, List.of(new AlterConfigOp(new ConfigEntry("retention.ms", "1234567"),
                    AlterConfigOp.OpType.SET)));
        }
        admin.incrementalAlterConfigs(changes).all().get();
        Map<ConfigResource, Config> described = admin.describeConfigs(resources).all().get();
        for (ConfigResource resource : resources) {
            expect(described.get(resource).get("retention.ms").value().equals("1234567"), resource.name());
        }
    }

    private void list() throws Exception {
        Set<String> listed = admin.listTopics().names().get();
        expect(listed.containsAll(names), "only " + listed.size() + " are listed");
    }

    private void write() throws Exception {
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(Map.of("bootstrap.servers", bootstrap),
                new StringSerializer(), new StringSerializer())) {
            for (String name : sample()) {
                sent.add(producer.send(new ProducerRecord<>(name, "key", "value")));
            }
        }
        for (Future<RecordMetadata> one : sent) {
            expect(one.get().offset() == 0, "offset " + one.get().offset());
        }
    }

    private void delete() throws Exception {
        for (List<String> call : calls) {
            admin.deleteTopics(call).all().get();
        }
        expect(admin.listTopics().names().get().stream().noneMatch(name -> name.startsWith("many-")), "some are left");
    }

    /** Files and descriptors may go a moment after the answer. */
    private void returned(long descriptorsBefore) throws Exception {
        long deadline = System.currentTimeMillis() + DEADLINE_MS;
        while (files() > 0 || descriptors() > descriptorsBefore) {
            expect(System.currentTimeMillis() < deadline, files() + " files and " + descriptors()
                    + " descriptors are left of " + descriptorsBefore);
            Thread.sleep(50);
        }
    }

    private void round(String suffix, long descriptorsBefore) {
        check("create" + suffix, this::create);
        check("describe" + suffix, this::describe);
        check("configs" + suffix, this::configs);
        check("list" + suffix, this::list);
        check("write" + suffix, this::write);
        check("delete" + suffix, this::delete);
        check("files-and-descriptors-returned" + suffix, () -> returned(descriptorsBefore));
    }

    private void run() throws Exception {
        admin.listTopics().names().get();
        long descriptors = descriptors() + CONNECTIONS;
        List<Long> memory = new ArrayList<>(List.of(memoryKib()));
        System.err.printf("before: VmRSS %d KiB, %d descriptors%n", memory.get(0), descriptors);
        for (int i = 1; i <= ROUNDS; i++) {
            round(i == 1 ? "" : "-" + i, descriptors);
            memory.add(memoryKib());
        }
        /* What the first rounds have asked for must do for the later ones. */
        check("memory-returned", () -> expect(memory.get(ROUNDS) <= memory.get(ROUNDS / 2) + KEPT_KIB,
                "KiB after each round: " + memory));
        System.err.println("KiB after each round: " + memory);
        admin.close();
    }

    public static void main(String[] arguments) throws Exception {
        new ManyTopics(arguments).run();
    }
}
