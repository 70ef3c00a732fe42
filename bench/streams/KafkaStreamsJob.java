import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.JoinWindows;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.SessionWindows;
import org.apache.kafka.streams.kstream.StreamJoined;
import org.apache.kafka.streams.kstream.TimeWindows;

/**
 * The queries of queries.ts in Kafka Streams' own DSL, one thread, default settings. Counts what it reads, and prints one
 * JSON line when that is `records`: the seconds from the first record to the last.
 * Arguments: query, bootstrap, prefix of the topics, records, state directory, application.
 */
public final class KafkaStreamsJob {
    private static long seen = 0;
    private static long firstNs = 0;

    public static void main(String[] args) throws Exception {
        String query = args[0];
        String prefix = args[2];
        long records = Long.parseLong(args[3]);
        CountDownLatch done = new CountDownLatch(1);
        StreamsBuilder builder = new StreamsBuilder();
        build(query, prefix, builder, new Counter(records, done));

        Properties properties = new Properties();
        properties.put(StreamsConfig.APPLICATION_ID_CONFIG, args[5]);
        properties.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, args[1]);
        properties.put(StreamsConfig.STATE_DIR_CONFIG, args[4]);
        properties.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        properties.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        properties.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        properties.put("auto.offset.reset", "earliest");
        KafkaStreams streams = new KafkaStreams(builder.build(properties), properties);
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            Runtime.getRuntime().halt(1);
            return null;
        });
        streams.start();
        done.await();
        double seconds = (System.nanoTime() - firstNs) / 1e9;
        System.out.printf("{\"records\":%d,\"seconds\":%.6f,\"peakMegabytes\":%d}%n", records, seconds, peakMegabytes());
        System.out.flush();
        streams.close(Duration.ofSeconds(20));
        System.exit(0);
    }

    private record Counter(long records, CountDownLatch done) {
        <K, V> KStream<K, V> count(KStream<K, V> stream) {
            return stream.peek((key, value) -> {
                if (seen == 0) firstNs = System.nanoTime();
                seen += 1;
                if (seen == records) done.countDown();
            });
        }
    }

    private static void build(String query, String prefix, StreamsBuilder builder, Counter counter) {
        String out = prefix + query + "-java-out";
        Duration ten = Duration.ofSeconds(10);
        switch (query) {
            case "map" -> counter.count(builder.<String, String>stream(prefix + "events"))
                .filter((key, value) -> value.charAt(0) != 'z')
                .mapValues(value -> value.toUpperCase())
                .to(out);
            case "count" -> counter.count(builder.<String, String>stream(prefix + "events"))
                .groupByKey().count(Materialized.as("counts")).toStream().to(out, Produced.valueSerde(Serdes.Long()));
            case "windowed" -> counter.count(builder.<String, String>stream(prefix + "events"))
                .groupByKey().windowedBy(TimeWindows.ofSizeWithNoGrace(ten)).count(Materialized.as("windows"))
                .toStream((window, count) -> window.key() + "@" + window.window().start())
                .to(out, Produced.valueSerde(Serdes.Long()));
            case "words" -> counter.count(builder.<String, String>stream(prefix + "lines"))
                .flatMapValues(line -> Arrays.asList(line.split(" ")))
                .groupBy((key, word) -> word, Grouped.as("words")).count(Materialized.as("word-counts"))
                .toStream().to(out, Produced.valueSerde(Serdes.Long()));
            case "join" -> counter.count(builder.<String, String>stream(prefix + "left"))
                .join(counter.count(builder.<String, String>stream(prefix + "right")), (left, right) -> left + right,
                    JoinWindows.ofTimeDifferenceWithNoGrace(ten),
                    StreamJoined.with(Serdes.String(), Serdes.String(), Serdes.String()).withStoreName("joined"))
                .to(out);
            // Nexmark. A bid is `auction,bidder,price`, an auction `seller,category`, a person `city,state`.
            case "q0" -> bids(prefix, builder, counter).to(out);
            case "q1" -> bids(prefix, builder, counter).mapValues(bid -> {
                String[] field = bid.split(",");
                return field[0] + "," + field[1] + "," + Math.round(Integer.parseInt(field[2]) * 0.908);
            }).to(out);
            case "q2" -> bids(prefix, builder, counter)
                .filter((key, bid) -> Integer.parseInt(bid.substring(0, bid.indexOf(','))) % 123 == 0).to(out);
            case "q3" -> {
                KTable<String, String> auctions = counter.count(builder.<String, String>stream(prefix + "auctions"))
                    .filter((key, auction) -> auction.endsWith(",10")).toTable(Materialized.as("auctions"));
                KTable<String, String> persons = counter.count(builder.<String, String>stream(prefix + "persons"))
                    .filter((key, person) -> person.endsWith(",OR") || person.endsWith(",ID") || person.endsWith(",CA"))
                    .toTable(Materialized.as("persons"));
                auctions.join(persons, auction -> auction.substring(0, auction.indexOf(',')),
                    (auction, person) -> person + "," + auction, Materialized.as("local-items")).toStream().to(out);
            }
            case "q5" -> bids(prefix, builder, counter)
                .groupBy((key, bid) -> bid.substring(0, bid.indexOf(',')), Grouped.as("by-auction"))
                .windowedBy(TimeWindows.ofSizeWithNoGrace(ten).advanceBy(Duration.ofSeconds(2)))
                .count(Materialized.as("bids-by-auction")).toStream()
                .map((window, count) -> KeyValue.pair(Long.toString(window.window().start()), Long.toString(count)))
                .groupByKey(Grouped.as("by-window"))
                .reduce((most, count) -> Long.parseLong(count) > Long.parseLong(most) ? count : most, Materialized.as("hottest"))
                .toStream().to(out);
            case "q7" -> bids(prefix, builder, counter)
                .map((key, bid) -> KeyValue.pair("all", bid.substring(bid.lastIndexOf(',') + 1)))
                .groupByKey(Grouped.as("all-bids")).windowedBy(TimeWindows.ofSizeWithNoGrace(ten))
                .reduce((most, price) -> Integer.parseInt(price) > Integer.parseInt(most) ? price : most, Materialized.as("highest"))
                .toStream((window, price) -> Long.toString(window.window().start())).to(out);
            case "q8" -> counter.count(builder.<String, String>stream(prefix + "persons"))
                .join(counter.count(builder.<String, String>stream(prefix + "auctions"))
                    .selectKey((key, auction) -> auction.substring(0, auction.indexOf(','))),
                    (person, auction) -> person + "," + auction, JoinWindows.ofTimeDifferenceWithNoGrace(ten),
                    StreamJoined.with(Serdes.String(), Serdes.String(), Serdes.String()).withName("new-sellers").withStoreName("new-sellers"))
                .to(out);
            case "q11" -> bids(prefix, builder, counter)
                .groupBy((key, bid) -> bid.substring(bid.indexOf(',') + 1, bid.lastIndexOf(',')), Grouped.as("by-bidder"))
                .windowedBy(SessionWindows.ofInactivityGapWithNoGrace(ten)).count(Materialized.as("sessions"))
                .toStream((window, count) -> window.key() + "@" + window.window().start())
                .to(out, Produced.valueSerde(Serdes.Long()));
            default -> throw new IllegalArgumentException(query);
        }
    }

    private static KStream<String, String> bids(String prefix, StreamsBuilder builder, Counter counter) {
        return counter.count(builder.<String, String>stream(prefix + "bids"));
    }

    private static long peakMegabytes() throws IOException {
        return Files.readAllLines(Path.of("/proc/self/status")).stream().filter(line -> line.startsWith("VmHWM"))
            .mapToLong(line -> Long.parseLong(line.replaceAll("\\D", "")) / 1024).findFirst().orElse(-1);
    }
}
