import com.fasterxml.jackson.databind.ObjectMapper;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * One run of a theme against the broker under test. Each thing looked at is printed as one JSON line,
 * {"what was looked at": what was seen}; what is right is known by the test file that runs the theme.
 */
final class Session implements AutoCloseable {
    interface Theme {
        void run(Session session) throws Exception;
    }

    private static final ObjectMapper JSON = new ObjectMapper();

    final String bootstrap;

    /** A prefix that no other run uses for topics and groups. */
    final String name;

    final Admin admin;
    private final long deadlineMs = System.currentTimeMillis() + 45_000;

    /** What the main class of a group of themes does: arguments are the theme, the bootstrap address and the name. */
    static void run(Map<String, Theme> themes, String[] args) throws Exception {
        try (Session session = new Session(args[1], args[2])) {
            themes.get(args[0]).run(session);
        }
    }

    private Session(String bootstrap, String name) {
        this.bootstrap = bootstrap;
        this.name = name;
        this.admin = Admin.create(config(Map.of()));
    }

    @Override
    public void close() {
        admin.close();
    }

    static void saw(String what, Object seen) throws Exception {
        Map<String, Object> line = new HashMap<>();
        line.put(what, seen);
        System.out.println(JSON.writeValueAsString(line));
    }

    /** Kafka's name of the error that the future ended with, or NONE. */
    static String outcome(KafkaFuture<?> future) throws InterruptedException {
        try {
            future.get();
            return "NONE";
        } catch (ExecutionException failed) {
            return Errors.forException(failed.getCause()).name();
        }
    }

    /** As outcome, for what a client throws at once or wraps. */
    static String errorOf(Callable<?> action) {
        try {
            action.call();
            return "NONE";
        } catch (Exception thrown) {
            Throwable cause = thrown instanceof ExecutionException ? thrown.getCause() : thrown;
            Errors error = Errors.forException(cause);
            return error == Errors.UNKNOWN_SERVER_ERROR ? cause.getClass().getSimpleName() : error.name();
        }
    }

    Map<String, Object> config(Map<String, Object> special) {
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", bootstrap);
        config.put("client.id", name);
        config.putAll(special);
        return config;
    }

    KafkaProducer<String, String> producer(Map<String, Object> special) {
        return new KafkaProducer<>(producerConfig(special), new StringSerializer(), new StringSerializer());
    }

    KafkaProducer<byte[], byte[]> bytesProducer(Map<String, Object> special) {
        return new KafkaProducer<>(producerConfig(special), new ByteArraySerializer(), new ByteArraySerializer());
    }

    private Map<String, Object> producerConfig(Map<String, Object> special) {
        Map<String, Object> config = config(Map.of());
        // A record that cannot be delivered fails while the theme can still tell.
        config.put("delivery.timeout.ms", "40000");
        config.put("request.timeout.ms", "20000");
        config.putAll(special);
        return config;
    }

    KafkaConsumer<String, String> consumer(Map<String, Object> special) {
        return new KafkaConsumer<>(consumerConfig(special), new StringDeserializer(), new StringDeserializer());
    }

    KafkaConsumer<byte[], byte[]> bytesConsumer(Map<String, Object> special) {
        return new KafkaConsumer<>(consumerConfig(special), new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    private Map<String, Object> consumerConfig(Map<String, Object> special) {
        Map<String, Object> config = config(Map.of());
        config.put("group.id", name + "-group");
        config.put("auto.offset.reset", "earliest");
        config.put("enable.auto.commit", "false");
        config.put("heartbeat.interval.ms", "100");
        config.put("session.timeout.ms", "10000");
        config.put("fetch.max.wait.ms", "50");
        config.putAll(special);
        return config;
    }

    String topic(String suffix, int partitions) throws Exception {
        return topic(suffix, partitions, Map.of());
    }

    /** Creates a topic of this session and waits until it can be used. */
    String topic(String suffix, int partitions, Map<String, String> configs) throws Exception {
        String topic = name + "-" + suffix;
        admin.createTopics(List.of(new NewTopic(topic, partitions, (short) 1).configs(configs))).all().get();
        visible(topic);
        // A broker of a cluster knows a topic a moment before it leads its partitions; until then it refuses records,
        // and a producer without idempotence may then send them again in another order.
        Map<TopicPartition, OffsetSpec> ends = new HashMap<>();
        for (int i = 0; i < partitions; i++) ends.put(new TopicPartition(topic, i), OffsetSpec.latest());
        admin.listOffsets(ends).all().get();
        return topic;
    }

    void visible(String topic) throws Exception {
        until("visible topic", () -> admin.listTopics().names().get().contains(topic));
    }

    /** Sends values to a partition and waits for their acknowledgement. */
    void produce(String topic, int partition, String... values) throws Exception {
        try (KafkaProducer<String, String> producer = producer(Map.of())) {
            for (String value : values) producer.send(new ProducerRecord<>(topic, partition, null, value)).get();
        }
    }

    /** Polls until there are that many records. */
    <K, V> List<ConsumerRecord<K, V>> take(KafkaConsumer<K, V> consumer, int count) {
        List<ConsumerRecord<K, V>> records = new ArrayList<>();
        while (records.size() < count) {
            checkTime("record");
            consumer.poll(Duration.ofMillis(100)).forEach(records::add);
        }
        return records;
    }

    void until(String what, Callable<Boolean> condition) throws Exception {
        while (!condition.call()) {
            checkTime(what);
            Thread.sleep(10);
        }
    }

    /** Acts, and returns what is seen once it differs: a change takes a moment to reach a broker of a cluster. */
    <T> T changed(Callable<T> look, Callable<?> action) throws Exception {
        T before = look.call();
        action.call();
        until("change", () -> !look.call().equals(before));
        return look.call();
    }

    void checkTime(String what) {
        if (System.currentTimeMillis() > deadlineMs) throw new IllegalStateException("no " + what + " in time");
    }

    static List<String> values(List<ConsumerRecord<String, String>> records) {
        return records.stream().map(ConsumerRecord::value).toList();
    }
}
