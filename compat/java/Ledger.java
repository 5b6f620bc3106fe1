import java.io.IOException;
import java.io.PrintStream;
import java.io.FileOutputStream;
import java.io.FileDescriptor;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** The writer and the reader of compat/ledger.sh, which says what they print; with the defaults of both clients. */
public final class Ledger {
    /** Records without an answer: enough for several batches in flight, few enough to notice a restart. */
    private static final int UNANSWERED_MAX = 1000;

    private static final PrintStream OUT = new PrintStream(new FileOutputStream(FileDescriptor.out), true);

    private Ledger() {
    }

    /** Is set once standard input has ended. */
    private static AtomicBoolean inputEnds() {
        AtomicBoolean ended = new AtomicBoolean();
        Thread thread = new Thread(() -> {
            try {
                while (System.in.read() >= 0) {
                    continue;
                }
            } catch (IOException e) {
                System.err.println(e);
            }
            ended.set(true);
        });
        thread.setDaemon(true);
        thread.start();
        return ended;
    }

    /** The value of a record: its partition and number, and a size that depends on them. */
    private static String value(int partition, long number) {
        int padding = number % 997 == 996 ? 100_000 : (int) (number * 7919 % 1000);
        return partition + ":" + number + ":" + "x".repeat(padding);
    }

    private static void write(Map<String, Object> settings, String topic, int partitions) throws Exception {
        AtomicBoolean ended = inputEnds();
        Semaphore room = new Semaphore(UNANSWERED_MAX);
        Random random = new Random();
        long[] next = new long[partitions];
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(settings, new StringSerializer(),
                new StringSerializer())) {
            while (!ended.get()) {
                int partition = random.nextInt(partitions);
                long number = next[partition]++;
                room.acquire();
                producer.send(new ProducerRecord<>(topic, partition, null, value(partition, number)), (answer, error) -> {
                    String record = partition + " " + number + " ";
                    OUT.println(error == null ? "acked " + record + answer.offset()
                            : "failed " + record + error.toString().replace('\n', ' '));
                    room.release();
                });
            }
            producer.flush();
        }
        for (int i = 0; i < partitions; i++) {
            OUT.println("sent " + i + " " + next[i]);
        }
    }

    private static void print(ConsumerRecord<String, String> record) {
        String[] parts = record.value().split(":", 3);
        boolean intact = record.value().equals(value(record.partition(), Long.parseLong(parts[1])));
        OUT.println((intact ? "read " : "corrupt ") + record.partition() + " " + record.offset() + " " + parts[1]);
    }

    /** A reader that finds no offset must not hide it by starting again: that is all that is not by default. */
    private static void read(Map<String, Object> settings, String topic, int partitions) {
        AtomicBoolean ended = inputEnds();
        List<TopicPartition> all = new ArrayList<>();
        for (int i = 0; i < partitions; i++) {
            all.add(new TopicPartition(topic, i));
        }
        try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(settings, new StringDeserializer(),
                new StringDeserializer())) {
            Map<TopicPartition, Long> ends = null;
            consumer.assign(all);
            for (TopicPartition partition : all) {
                consumer.seek(partition, 0);
            }
            while (ends == null || ends.entrySet().stream().anyMatch(e -> consumer.position(e.getKey()) < e.getValue())) {
                consumer.poll(Duration.ofMillis(200)).forEach(Ledger::print);
                if (ends == null && ended.get()) {
                    ends = consumer.endOffsets(all);
                }
            }
        }
    }

    public static void main(String[] arguments) throws Exception {
        String topic = arguments[2];
        int partitions = Integer.parseInt(arguments[3]);
        if (arguments[0].equals("write")) {
            boolean impatient = "1".equals(System.getenv("LEDGER_IMPATIENT"));
            write(impatient ? Map.of("bootstrap.servers", arguments[1], "request.timeout.ms", "1000", "linger.ms", "0",
                    "delivery.timeout.ms", "2000") : Map.of("bootstrap.servers", arguments[1]), topic, partitions);
        } else {
            read(Map.of("bootstrap.servers", arguments[1], "auto.offset.reset", "none"), topic, partitions);
        }
    }
}
