import java.time.Duration;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.FencedInstanceIdException;
import org.apache.kafka.common.errors.InvalidProducerEpochException;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Copies one topic to another, each record once: what it writes and how far it has read are one transaction. It runs until
 * it is killed, and prints a line for each transaction. Arguments: bootstrap, input, output, group, transactional id.
 */
public final class Copier {
    public static void main(String[] args) throws Exception {
        String bootstrap = args[0];
        String output = args[2];
        Map<String, Object> consuming = new HashMap<>();
        consuming.put("bootstrap.servers", bootstrap);
        consuming.put("group.id", args[3]);
        consuming.put("enable.auto.commit", "false");
        consuming.put("auto.offset.reset", "earliest");
        consuming.put("isolation.level", "read_committed");
        consuming.put("max.poll.records", "50");
        consuming.put("session.timeout.ms", "1500");
        consuming.put("heartbeat.interval.ms", "300");
        Map<String, Object> producing = new HashMap<>();
        producing.put("bootstrap.servers", bootstrap);
        producing.put("transactional.id", args[4]);
        producing.put("transaction.timeout.ms", "10000");
        // What was killed leaves a member behind that the group waits for; by then a broker that died is back as well.
        producing.put("max.block.ms", "60000");

        StringSerializer strings = new StringSerializer();
        try (KafkaConsumer<String, String> consumer =
                        new KafkaConsumer<>(consuming, new StringDeserializer(), new StringDeserializer());
                KafkaProducer<String, String> producer = new KafkaProducer<>(producing, strings, strings)) {
            producer.initTransactions();
            System.out.println("ready");
            consumer.subscribe(List.of(args[1]), new Positions(consumer));
            for (;;) copy(consumer, producer, output);
        }
    }

    private static void copy(
            KafkaConsumer<String, String> consumer, KafkaProducer<String, String> producer, String output) {
        ConsumerRecords<String, String> records = consumer.poll(Duration.ofMillis(200));
        if (records.isEmpty()) return;
        try {
            producer.beginTransaction();
            Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
            for (ConsumerRecord<String, String> record : records) {
                producer.send(new ProducerRecord<>(output, record.partition(), record.key(), record.value()));
                TopicPartition partition = new TopicPartition(record.topic(), record.partition());
                offsets.put(partition, new OffsetAndMetadata(record.offset() + 1));
            }
            producer.sendOffsetsToTransaction(offsets, consumer.groupMetadata());
            producer.commitTransaction();
            System.out.println("copied " + records.count());
        } catch (ProducerFencedException | InvalidProducerEpochException | FencedInstanceIdException replaced) {
            throw replaced;
        } catch (KafkaException failed) {
            System.out.println("aborted " + failed);
            producer.abortTransaction();
            new Positions(consumer).onPartitionsAssigned(consumer.assignment());
        }
    }

    /** Puts the consumer back to what is committed. */
    private record Positions(KafkaConsumer<String, String> consumer) implements ConsumerRebalanceListener {
        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {}

        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            Map<TopicPartition, OffsetAndMetadata> committed = consumer.committed(new HashSet<>(partitions));
            for (TopicPartition partition : partitions) {
                OffsetAndMetadata offset = committed.get(partition);
                if (offset == null) consumer.seekToBeginning(List.of(partition));
                else consumer.seek(partition, offset.offset());
            }
        }
    }
}
