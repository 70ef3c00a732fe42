import java.util.HashMap;
import java.util.Map;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Sends transactions of so many records, one after the other, for so many seconds, and prints what came of it as a line of
 * JSON. Arguments: bootstrap, topic, records of a transaction, bytes of a record, seconds.
 */
public final class Transactions {
    public static void main(String[] args) {
        int size = Integer.parseInt(args[2]);
        byte[] value = new byte[Integer.parseInt(args[3])];
        long durationNs = Long.parseLong(args[4]) * 1_000_000_000L;
        Map<String, Object> settings = new HashMap<>();
        settings.put("bootstrap.servers", args[0]);
        settings.put("transactional.id", "transactions-of-" + args[1]);
        settings.put("batch.size", "65536");
        long[] tookNs = new long[1 << 20];
        int count = 0;
        double seconds;
        try (KafkaProducer<byte[], byte[]> producer =
                new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer())) {
            producer.initTransactions();
            long startNs = System.nanoTime();
            long atNs = startNs;
            while (atNs - startNs < durationNs && count < tookNs.length) {
                producer.beginTransaction();
                for (int n = 0; n < size; n++) producer.send(new ProducerRecord<>(args[1], value));
                producer.commitTransaction();
                long endNs = System.nanoTime();
                tookNs[count++] = endNs - atNs;
                atNs = endNs;
            }
            seconds = (atNs - startNs) / 1e9;
        }
        long[] sorted = java.util.Arrays.copyOf(tookNs, count);
        java.util.Arrays.sort(sorted);
        System.out.printf(
                java.util.Locale.ROOT,
                "{\"records\":%d,\"recordRate\":%.1f,\"transactionRate\":%.1f,\"transactionP50\":%.3f,\"transactionP99\":%.3f}%n",
                (long) count * size,
                (long) count * size / seconds,
                count / seconds,
                sorted[count / 2] / 1e6,
                sorted[(int) (count * 0.99)] / 1e6);
    }
}
