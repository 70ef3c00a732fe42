import java.nio.charset.StandardCharsets;
import java.util.Properties;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Produces until its input is closed and says a line for each record that it sends, "s value partition", and for what came
 * of it, "a value partition offset" or "f value partition". Arguments: bootstrap, topic, partitions, name.
 */
public final class Producing {
    public static void main(String[] args) throws Exception {
        Properties config = new Properties();
        config.put("bootstrap.servers", args[0]);
        config.put("key.serializer", StringSerializer.class);
        config.put("value.serializer", StringSerializer.class);
        config.put("linger.ms", "1");
        config.put("reconnect.backoff.max.ms", "100");
        config.put("retry.backoff.max.ms", "100");
        config.put("delivery.timeout.ms", "300000");
        config.put("request.timeout.ms", "5000");
        int partitions = Integer.parseInt(args[2]);
        KafkaProducer<String, String> producer = new KafkaProducer<>(config);
        for (int count = 0; System.in.available() == 0; count++) {
            String value = args[3] + ":" + count;
            int partition = count % partitions;
            say("s " + value + " " + partition);
            producer.send(new ProducerRecord<>(args[1], partition, null, value), (metadata, failure) -> {
                if (failure == null) say("a " + value + " " + partition + " " + metadata.offset());
                else say("f " + value + " " + partition + " " + failure);
            });
            Thread.sleep(2);
        }
        producer.close();
    }

    private static synchronized void say(String line) {
        byte[] bytes = (line + "\n").getBytes(StandardCharsets.UTF_8);
        System.out.write(bytes, 0, bytes.length);
        System.out.flush();
    }
}
