import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;

/** Fills the log of a broker with every kind of batch, many small segments and the records of the internal topics. */
public final class LogThemes {
    private static final long FIRST_TIMESTAMP_MS = 1_000_000_000_000L;

    public static void main(String[] args) throws Exception {
        Session.run(Map.of("fill", LogThemes::fill, "send-for-a-while", LogThemes::sendForAWhile), args);
    }

    private static void fill(Session session) throws Exception {
        Map<String, Integer> counts = new TreeMap<>();
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) timedSegments(session, codec, counts);
        sizedSegments(session, counts);
        withoutProducerId(session, counts);
        groups(session, counts);
        metadata(session);
        Session.saw("counts", counts);
        Session.saw("groups", List.of(session.name + "-group", session.name + "-altered"));
    }

    /** Batches of five records, 20 seconds apart; a segment holds a minute, so a new one starts with each fourth. */
    private static void timedSegments(Session session, String codec, Map<String, Integer> counts) throws Exception {
        String topic = session.topic(codec, 2,
            Map.of("segment.ms", "60000", "index.interval.bytes", "200", "retention.ms", "-1"));
        int batches = 30;
        try (KafkaProducer<String, String> producer =
            session.producer(Map.of("compression.type", codec, "linger.ms", 10_000))) {
            for (int batch = 0; batch < batches; batch++) {
                for (int partition = 0; partition < 2; partition++) {
                    for (int i = 0; i < 5; i++) {
                        // The third record of a batch has its largest timestamp.
                        long timestampMs = FIRST_TIMESTAMP_MS + batch * 20_000L + (i == 2 ? 500 : i);
                        String value = i == 3 ? null : ("value " + batch + " " + i + " ").repeat(10);
                        ProducerRecord<String, String> record =
                            new ProducerRecord<>(topic, partition, timestampMs, i == 4 ? null : "key-" + i, value);
                        record.headers().add("codec", codec.getBytes(StandardCharsets.UTF_8)).add("nothing", null);
                        producer.send(record);
                    }
                }
                producer.flush();
            }
        }
        for (int partition = 0; partition < 2; partition++) counts.put(topic + "-" + partition, batches * 5);
    }

    /** More than two of the smallest segments that a topic may ask for, of values that no codec could shrink. */
    private static void sizedSegments(Session session, Map<String, Integer> counts) throws Exception {
        String topic = session.topic("sized", 1, Map.of("segment.bytes", "1048576"));
        Random random = new Random(1);
        int records = 160;
        try (KafkaProducer<byte[], byte[]> producer = session.bytesProducer(Map.of())) {
            for (int i = 0; i < records; i++) {
                byte[] value = new byte[16_000];
                // Letters only, because the values are printed.
                for (int at = 0; at < value.length; at++) value[at] = (byte) ('a' + random.nextInt(26));
                producer.send(new ProducerRecord<>(topic, value));
            }
        }
        counts.put(topic + "-0", records);
    }

    private static void withoutProducerId(Session session, Map<String, Integer> counts) throws Exception {
        String topic = session.topic("append-time", 1, Map.of("message.timestamp.type", "LogAppendTime"));
        try (KafkaProducer<String, String> producer =
            session.producer(Map.of("enable.idempotence", false, "acks", "1"))) {
            for (int i = 0; i < 20; i++) producer.send(new ProducerRecord<>(topic, "" + i)).get();
        }
        counts.put(topic + "-0", 20);
    }

    private static void groups(Session session, Map<String, Integer> counts) throws Exception {
        String topic = session.topic("consumed", 2);
        TopicPartition zero = new TopicPartition(topic, 0);
        session.produce(topic, 0, "0", "1", "2", "3", "4");
        counts.put(topic + "-0", 5);
        try (KafkaConsumer<String, String> consumer = session.consumer(Map.of("max.poll.records", 1))) {
            consumer.subscribe(List.of(topic));
            for (int i = 1; i <= 5; i++) {
                session.take(consumer, 1);
                consumer.commitSync(Map.of(zero, new OffsetAndMetadata(i, "after " + i)));
            }
            try (KafkaConsumer<String, String> other = session.consumer(Map.of())) {
                other.subscribe(List.of(topic));
                session.until("two members", () -> {
                    consumer.poll(Duration.ofMillis(20));
                    other.poll(Duration.ofMillis(20));
                    return consumer.assignment().size() == 1 && other.assignment().size() == 1;
                });
            }
        }
        Map<TopicPartition, OffsetAndMetadata> third = Map.of(zero, new OffsetAndMetadata(3));
        session.admin.alterConsumerGroupOffsets(session.name + "-altered", third).all().get();
        session.admin.alterConsumerGroupOffsets(session.name + "-deleted", third).all().get();
        session.admin.deleteConsumerGroups(List.of(session.name + "-deleted")).all().get();
        Set<TopicPartition> one = Set.of(new TopicPartition(topic, 1));
        session.admin.deleteConsumerGroupOffsets(session.name + "-group", one).all().get();
    }

    private static void metadata(Session session) throws Exception {
        String topic = session.topic("changed", 1);
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        for (String value : new String[] {"1000", null}) {
            AlterConfigOp.OpType type = value == null ? AlterConfigOp.OpType.DELETE : AlterConfigOp.OpType.SET;
            AlterConfigOp op = new AlterConfigOp(new ConfigEntry("retention.bytes", value), type);
            session.admin.incrementalAlterConfigs(Map.of(resource, List.of(op))).all().get();
        }
        session.admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(3))).all().get();
        session.admin.deleteTopics(List.of(session.topic("removed", 2))).all().get();
    }

    /** Thousands of small acknowledged batches, however often the broker goes away and comes back meanwhile. */
    private static void sendForAWhile(Session session) throws Exception {
        String topic = session.topic("crash", 1,
            Map.of("segment.ms", "60000", "index.interval.bytes", "200", "retention.ms", "-1"));
        int records = 3000;
        List<Future<RecordMetadata>> answers = new ArrayList<>();
        try (KafkaProducer<String, String> producer =
            session.producer(Map.of("linger.ms", 0, "retry.backoff.ms", 20, "reconnect.backoff.max.ms", 100))) {
            for (int i = 0; i < records; i++) {
                long timestampMs = FIRST_TIMESTAMP_MS + i * 500L;
                answers.add(producer.send(new ProducerRecord<>(topic, 0, timestampMs, "" + i, "value " + i)));
                // Long enough for the broker to be stopped in the middle of it.
                Thread.sleep(1);
            }
            for (int i = 0; i < records; i++) {
                long offset = answers.get(i).get().offset();
                if (offset != i) throw new IllegalStateException("record " + i + " is at " + offset);
            }
        }
        Session.saw("counts", Map.of(topic + "-0", records));
    }
}
