import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RebalanceInProgressException;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.serialization.StringDeserializer;

/** A member of a group for compat/groups.sh, which says what it prints. */
public final class Member implements ConsumerRebalanceListener {
    private static final FileOutputStream OUT = new FileOutputStream(FileDescriptor.out);

    private final String name;
    private final KafkaConsumer<String, String> consumer;

    private Member(String name, Map<String, Object> settings) {
        this.name = name;
        this.consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer());
    }

    /** One write, so that the lines of several members in one file stay whole. */
    private synchronized void print(String what) {
        try {
            OUT.write((name + " " + what + "\n").getBytes(StandardCharsets.UTF_8));
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
    }

    private static String numbers(Collection<TopicPartition> partitions) {
        return partitions.stream().map(one -> " " + one.partition()).collect(Collectors.joining());
    }

    @Override
    public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
        print("assign " + consumer.groupMetadata().generationId() + numbers(partitions));
    }

    @Override
    public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
        print("revoke" + numbers(partitions));
    }

    @Override
    public void onPartitionsLost(Collection<TopicPartition> partitions) {
        print("lost" + numbers(partitions));
    }

    private void commit(ConsumerRecords<String, String> records) {
        Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
        records.forEach(record -> {
            print("read " + record.partition() + " " + record.offset() + " " + record.value());
            offsets.put(new TopicPartition(record.topic(), record.partition()), new OffsetAndMetadata(record.offset() + 1));
        });
        try {
            consumer.commitSync(offsets);
            offsets.forEach((partition, offset) -> print("commit " + partition.partition() + " " + offset.offset()));
        } catch (RebalanceInProgressException | CommitFailedException | RetriableException e) {
            print("note not committed: " + String.valueOf(e).replace('\n', ' '));
        }
    }

    private void run(String topic) {
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
        print("pid " + ProcessHandle.current().pid());
        try (consumer) {
            consumer.subscribe(List.of(topic), this);
            while (!ended.get()) {
                ConsumerRecords<String, String> records = consumer.poll(Duration.ofMillis(100));
                if (!records.isEmpty()) {
                    commit(records);
                }
            }
        } catch (RuntimeException e) {
            print("failed " + String.valueOf(e).replace('\n', ' '));
            throw e;
        }
    }

    /** range and cooperative are assignors of the classic protocol; consumer is the other protocol. */
    private static Map<String, Object> settings(String bootstrap, String style, String group) {
        Map<String, Object> settings = new HashMap<>(Map.of("bootstrap.servers", bootstrap, "group.id", group,
                "enable.auto.commit", "false", "auto.offset.reset", "earliest"));
        if (style.equals("consumer")) {
            settings.put("group.protocol", "consumer");
            return settings;
        }
        settings.put("group.protocol", "classic");
        settings.put("session.timeout.ms", System.getenv("GROUP_SESSION_MS"));
        settings.put("heartbeat.interval.ms", System.getenv("GROUP_HEARTBEAT_MS"));
        settings.put("partition.assignment.strategy", "org.apache.kafka.clients.consumer."
                + (style.equals("cooperative") ? "CooperativeStickyAssignor" : "RangeAssignor"));
        return settings;
    }

    public static void main(String[] arguments) {
        new Member(arguments[4], settings(arguments[0], arguments[1], arguments[2])).run(arguments[3]);
    }
}
