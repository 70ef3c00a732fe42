import java.io.IOException;
import java.lang.management.ManagementFactory;
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
import org.apache.kafka.streams.kstream.JoinWindows;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.Repartitioned;
import org.apache.kafka.streams.kstream.SessionWindows;
import org.apache.kafka.streams.kstream.StreamJoined;
import org.apache.kafka.streams.kstream.TimeWindows;

/**
 * The queries of queries.ts in Kafka Streams' own DSL, one thread, default settings but for the guarantee and the
 * commit interval, which are those of all engines. Counts at the same stages, and prints the same line when it has ended, as progress.ts does.
 * Arguments: query, bootstrap, records, state directory, application, output topic, counted records, milliseconds of silence behind it,
 * commit interval, guarantee.
 */
public final class KafkaStreamsJob {
    private static volatile long touchedNs = 0;
    private static long seen = 0;
    private static long firstNs = 0;
    private static long middleNs = 0;
    private static long middleCpuNs = 0;
    private static long lastNs = 0;
    private static long lastCpuNs = 0;

    public static void main(String[] args) throws Exception {
        String query = args[0];
        long counted = Long.parseLong(args[6]);
        CountDownLatch done = new CountDownLatch(1);
        StreamsBuilder builder = new StreamsBuilder();
        build(query, new Inputs(builder, args[2], new Counter(counted, done)), args[5]);

        Properties properties = new Properties();
        properties.put(StreamsConfig.APPLICATION_ID_CONFIG, args[4]);
        properties.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, args[1]);
        properties.put(StreamsConfig.STATE_DIR_CONFIG, args[3]);
        properties.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        properties.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        properties.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        properties.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, Long.parseLong(args[8]));
        if (args[9].equals("exactly-once"))
            properties.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        properties.put("auto.offset.reset", "earliest");
        KafkaStreams streams = new KafkaStreams(builder.build(properties), properties);
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            Runtime.getRuntime().halt(1);
            return null;
        });
        streams.start();
        done.await();
        touchedNs = System.nanoTime();
        while (System.nanoTime() - touchedNs < Long.parseLong(args[7]) * 1_000_000) Thread.sleep(100);
        streams.close(Duration.ofSeconds(20));
        System.out.printf("{\"seconds\":%.6f,\"steadySeconds\":%.6f,\"cpuSeconds\":%.6f,\"steadyCpuSeconds\":%.6f,\"peakMegabytes\":%d}%n",
            (lastNs - firstNs) / 1e9, (lastNs - middleNs) / 1e9, cpuNs() / 1e9, (lastCpuNs - middleCpuNs) / 1e9, peakMegabytes());
        System.out.flush();
        System.exit(0);
    }

    /** Counts at the counted stages; only the stream thread calls it, and the latch makes what it wrote visible. */
    private record Counter(long counted, CountDownLatch done) {
        <K, V> KStream<K, V> count(KStream<K, V> stream) {
            return stream.peek((key, value) -> {
                if (seen == 0) firstNs = System.nanoTime();
                seen += 1;
                if (seen == counted / 2) {
                    middleNs = System.nanoTime();
                    middleCpuNs = cpuNs();
                }
                if (seen == counted) {
                    lastNs = System.nanoTime();
                    lastCpuNs = cpuNs();
                    done.countDown();
                }
            });
        }
    }

    private record Inputs(StreamsBuilder builder, String records, Counter counter) {
        KStream<String, String> of(String input) {
            return counter.count(builder.stream("in-" + input + "-" + records));
        }

        KStream<String, String> repartitioned(KStream<String, String> stream, String name) {
            return counter.count(stream.repartition(Repartitioned.as(name)));
        }
    }

    private static long cpuNs() {
        return ((com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime();
    }

    private static void build(String query, Inputs in, String out) {
        Duration ten = Duration.ofSeconds(10);
        switch (query) {
            case "map" -> in.of("events")
                .filter((key, value) -> value.charAt(0) != 'z')
                .mapValues(value -> value.toUpperCase())
                .to(out);
            case "count" -> in.of("events")
                .groupByKey().count(Materialized.as("counts")).toStream().to(out, Produced.valueSerde(Serdes.Long()));
            case "windowed" -> in.of("events")
                .groupByKey().windowedBy(TimeWindows.ofSizeWithNoGrace(ten)).count(Materialized.as("windows"))
                .toStream((window, count) -> window.key() + "@" + window.window().start())
                .to(out, Produced.valueSerde(Serdes.Long()));
            case "words" -> in.repartitioned(in.of("lines")
                .flatMapValues(line -> Arrays.asList(line.split(" ")))
                .selectKey((key, word) -> word), "words")
                .groupByKey().count(Materialized.as("word-counts"))
                .toStream().to(out, Produced.valueSerde(Serdes.Long()));
            case "join" -> in.of("left")
                .join(in.of("right"), (left, right) -> left + right,
                    JoinWindows.ofTimeDifferenceWithNoGrace(ten),
                    StreamJoined.with(Serdes.String(), Serdes.String(), Serdes.String()).withStoreName("joined"))
                .to(out);
            // Nexmark. A bid is `auction,bidder,price`, an auction `seller,category`, a person `city,state`.
            case "q0" -> in.of("bids").to(out);
            case "q1" -> in.of("bids").mapValues(bid -> {
                String[] field = bid.split(",");
                return field[0] + "," + field[1] + "," + Math.round(Integer.parseInt(field[2]) * 0.908);
            }).to(out);
            case "q2" -> in.of("bids")
                .filter((key, bid) -> Integer.parseInt(bid.substring(0, bid.indexOf(','))) % 123 == 0).to(out);
            case "q3" -> {
                KTable<String, String> auctions = in.of("auctions")
                    .filter((key, auction) -> auction.endsWith(",10")).toTable(Materialized.as("auctions"));
                KTable<String, String> persons = in.of("persons")
                    .filter((key, person) -> person.endsWith(",OR") || person.endsWith(",ID") || person.endsWith(",CA"))
                    .toTable(Materialized.as("persons"));
                auctions.join(persons, auction -> auction.substring(0, auction.indexOf(',')),
                    (auction, person) -> {
                        touchedNs = System.nanoTime();
                        return person + "," + auction;
                    }, Materialized.as("local-items")).toStream().to(out);
            }
            case "q5" -> in.repartitioned(in.of("bids").selectKey((key, bid) -> bid.substring(0, bid.indexOf(','))), "by-auction")
                .groupByKey()
                .windowedBy(TimeWindows.ofSizeWithNoGrace(ten).advanceBy(Duration.ofSeconds(2)))
                .count(Materialized.as("bids-by-auction")).toStream()
                .map((window, count) -> KeyValue.pair(Long.toString(window.window().start()), Long.toString(count)))
                .repartition(Repartitioned.as("by-window")).peek((window, count) -> touchedNs = System.nanoTime()).groupByKey()
                .reduce((most, count) -> Long.parseLong(count) > Long.parseLong(most) ? count : most, Materialized.as("hottest"))
                .toStream().to(out);
            case "q7" -> in.repartitioned(in.of("bids")
                .map((key, bid) -> KeyValue.pair("all", bid.substring(bid.lastIndexOf(',') + 1))), "all-bids")
                .groupByKey().windowedBy(TimeWindows.ofSizeWithNoGrace(ten))
                .reduce((most, price) -> Integer.parseInt(price) > Integer.parseInt(most) ? price : most, Materialized.as("highest"))
                .toStream((window, price) -> Long.toString(window.window().start())).to(out);
            case "q8" -> in.of("persons")
                .join(in.repartitioned(in.of("auctions").selectKey((key, auction) -> auction.substring(0, auction.indexOf(','))), "by-seller"),
                    (person, auction) -> person + "," + auction, JoinWindows.ofTimeDifferenceWithNoGrace(ten),
                    StreamJoined.with(Serdes.String(), Serdes.String(), Serdes.String()).withName("new-sellers").withStoreName("new-sellers"))
                .to(out);
            case "q11" -> in.repartitioned(in.of("bids")
                .selectKey((key, bid) -> bid.substring(bid.indexOf(',') + 1, bid.lastIndexOf(','))), "by-bidder")
                .groupByKey().windowedBy(SessionWindows.ofInactivityGapWithNoGrace(ten)).count(Materialized.as("sessions"))
                .toStream((window, count) -> window.key() + "@" + window.window().start() + "-" + window.window().end())
                .to(out, Produced.valueSerde(Serdes.Long()));
            default -> throw new IllegalArgumentException(query);
        }
    }

    private static long peakMegabytes() throws IOException {
        return Files.readAllLines(Path.of("/proc/self/status")).stream().filter(line -> line.startsWith("VmHWM"))
            .mapToLong(line -> Long.parseLong(line.replaceAll("\\D", "")) / 1024).findFirst().orElse(-1);
    }
}
