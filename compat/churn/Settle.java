import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** How long three of Apache Kafka's consumers take until each has one of three partitions. Prints a line per group. */
public final class Settle {
    private static final int MEMBERS = 3;
    private static final int GROUPS = 6;

    private static void live(String bootstrap, String group, String protocol, CountDownLatch ready, CountDownLatch start,
            CountDownLatch settled, CountDownLatch end) {
        Map<String, Object> settings = new HashMap<>(Map.of("bootstrap.servers", bootstrap, "group.id", group,
                "group.protocol", protocol, "auto.offset.reset", "earliest", "enable.auto.commit", "false"));
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(settings, new ByteArrayDeserializer(),
                new ByteArrayDeserializer())) {
            ready.countDown();
            start.await();
            consumer.subscribe(List.of("settle"));
            boolean counted = false;
            while (end.getCount() > 0) {
                consumer.poll(Duration.ofMillis(5));
                if (!counted && consumer.assignment().size() == 1) {
                    counted = true;
                    settled.countDown();
                }
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private static double settle(String bootstrap, String protocol) throws Exception {
        String group = "settle-" + UUID.randomUUID();
        CountDownLatch ready = new CountDownLatch(MEMBERS);
        CountDownLatch start = new CountDownLatch(1);
        CountDownLatch settled = new CountDownLatch(MEMBERS);
        CountDownLatch end = new CountDownLatch(1);
        List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < MEMBERS; i++) {
            threads.add(new Thread(() -> live(bootstrap, group, protocol, ready, start, settled, end)));
        }
        threads.forEach(Thread::start);
        ready.await();
        long begin = System.nanoTime();
        start.countDown();
        if (!settled.await(60, TimeUnit.SECONDS)) {
            throw new IllegalStateException("not at rest after 60 s");
        }
        double ms = (System.nanoTime() - begin) / 1e6;
        end.countDown();
        for (Thread thread : threads) {
            thread.join();
        }
        return ms;
    }

    public static void main(String[] arguments) throws Exception {
        String bootstrap = arguments[0];
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            admin.createTopics(List.of(new NewTopic("settle", 3, (short) 1))).all().get();
        }
        for (String protocol : List.of("classic", "consumer")) {
            double first = settle(bootstrap, protocol);
            double[] later = new double[GROUPS - 1];
            for (int i = 0; i < later.length; i++) {
                later[i] = settle(bootstrap, protocol);
            }
            java.util.Arrays.sort(later);
            System.out.printf("  3 of Java, %-8s first %6.0f ms, later %6.0f ms (%.0f-%.0f)%n", protocol, first,
                    later[later.length / 2], later[0], later[later.length - 1]);
        }
    }
}
