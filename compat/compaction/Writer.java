// Fills a compacted topic: keys that come again, tombstones, every codec; with transactions, of which some are aborted.
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;

public class Writer {
    static final String[] CODECS = { "none", "gzip", "snappy", "lz4", "zstd" };
    static final String SERIALIZER = "org.apache.kafka.common.serialization.ByteArraySerializer";

    static KafkaProducer<byte[], byte[]> producer(String bootstrap, int number, boolean transactional) {
        Map<String, Object> settings = new HashMap<>(Map.of("bootstrap.servers", bootstrap, "compression.type",
                CODECS[number], "batch.size", "16384", "linger.ms", "5", "key.serializer", SERIALIZER,
                "value.serializer", SERIALIZER));
        if (transactional)
            settings.put("transactional.id", "compaction-" + number);
        KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(settings);
        if (transactional)
            producer.initTransactions();
        return producer;
    }

    // BOOTSTRAP TOPIC COUNT KEYS VALUE_SIZE SEGMENT_BYTES plain|transactions
    public static void main(String[] arguments) throws Exception {
        String bootstrap = arguments[0], topic = arguments[1];
        int count = Integer.parseInt(arguments[2]), keys = Integer.parseInt(arguments[3]);
        byte[] value = new byte[Integer.parseInt(arguments[4])];
        boolean transactional = arguments[6].equals("transactions");
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            NewTopic made = new NewTopic(topic, 1, (short) 1);
            made.configs(Map.of("cleanup.policy", "compact", "segment.bytes", arguments[5],
                    "min.cleanable.dirty.ratio", "0.01", "delete.retention.ms", "3600000"));
            admin.createTopics(List.of(made)).all().get();
        }
        List<KafkaProducer<byte[], byte[]>> producers = new ArrayList<>();
        for (int i = 0; i < CODECS.length; i++)
            producers.add(producer(bootstrap, i, transactional));
        Random random = new Random(7);
        for (int written = 0; written < count;) {
            KafkaProducer<byte[], byte[]> producer = producers.get(random.nextInt(producers.size()));
            if (transactional)
                producer.beginTransaction();
            for (int left = 1 + random.nextInt(300); left > 0 && written < count; left--, written++) {
                random.nextBytes(value);
                for (int i = 0; i < value.length; i++)
                    value[i] = (byte) ('a' + (value[i] & 15));
                byte[] key = ("key-" + random.nextInt(keys)).getBytes("UTF-8");
                producer.send(new ProducerRecord<>(topic, 0, key, random.nextInt(20) == 0 ? null : value.clone()));
            }
            producer.flush();
            if (transactional && random.nextInt(3) == 0)
                producer.abortTransaction();
            else if (transactional)
                producer.commitTransaction();
        }
        producers.forEach(KafkaProducer::close);
    }
}
