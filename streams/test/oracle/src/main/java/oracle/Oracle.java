package oracle;

import com.fasterxml.jackson.databind.*;
import com.fasterxml.jackson.databind.node.*;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.serialization.*;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.*;
import org.apache.kafka.streams.kstream.*;
import org.apache.kafka.streams.processor.StateStore;
import org.apache.kafka.streams.processor.api.*;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.*;
import org.apache.kafka.streams.test.TestRecord;

import java.io.*;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.time.*;
import java.util.*;

/** Reads one JSON spec per line, runs it on TopologyTestDriver, prints one JSON result per line. */
public final class Oracle {
    static final ObjectMapper M = new ObjectMapper().configure(SerializationFeature.ORDER_MAP_ENTRIES_BY_KEYS, true);
    static final Serde<String> S = Serdes.String();

    public static void main(String[] a) throws Exception {
        BufferedReader in = a.length > 0 ? Files.newBufferedReader(Path.of(a[0])) : new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), false, "UTF-8");
        String line;
        while ((line = in.readLine()) != null) {
            if (line.isBlank() || line.startsWith("#")) continue;
            JsonNode spec = M.readTree(line);
            ObjectNode res;
            try { res = run(spec); }
            catch (Throwable t) { res = M.createObjectNode(); res.put("name", spec.path("name").asText()); res.put("error", t.getClass().getName() + ": " + t.getMessage()); }
            out.println(M.writeValueAsString(res));
            out.flush();
        }
    }

    // ---- the pure function library, implemented identically on the TypeScript side -------------
    static KeyValue<String, String> kv(String fn, String k, String v) {
        switch (fn) {
            case "upper": return KeyValue.pair(k, v == null ? null : v.toUpperCase(Locale.ROOT));
            case "keyFirst": return KeyValue.pair(v == null || v.isEmpty() ? null : v.substring(0, 1), v);
            case "swap": return KeyValue.pair(v, k);
            case "nullValue": return KeyValue.pair(k, null);
            case "nullKey": return KeyValue.pair(null, v);
            default: return KeyValue.pair(k, v);
        }
    }
    static boolean pred(String fn, String k, String v) {
        switch (fn) {
            case "vNotEmpty": return v != null && !v.isEmpty();
            case "vLenOdd": return v != null && v.length() % 2 == 1;
            case "kA": return k != null && k.startsWith("a");
            default: return true;
        }
    }
    static final ValueJoiner<String, String, String> CAT = (l, r) -> l + "+" + r;

    @SuppressWarnings("unchecked")
    static ObjectNode run(JsonNode spec) throws Exception {
        Map<String, Object> n = new HashMap<>();
        Map<String, String> outTopics = new LinkedHashMap<>();
        StreamsBuilder b = new StreamsBuilder();
        Properties p = new Properties();
        Path dir = Files.createTempDirectory("oracle-");
        p.put(StreamsConfig.APPLICATION_ID_CONFIG, "oracle");
        p.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, "127.0.0.1:1");
        p.put(StreamsConfig.STATE_DIR_CONFIG, dir.toString());
        p.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        p.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        p.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, "0");
        spec.path("config").fields().forEachRemaining(e -> p.put(e.getKey(), e.getValue().asText()));
        boolean mem = spec.path("stores").asText("memory").equals("memory");
        Materialized.StoreType st = mem ? Materialized.StoreType.IN_MEMORY : Materialized.StoreType.ROCKS_DB;

        for (JsonNode o : spec.get("nodes")) {
            String op = o.get("op").asText(), id = o.path("id").asText();
            JsonNode in = o.path("in");
            Object src = in.isTextual() ? n.get(in.asText()) : in.isArray() ? n.get(in.get(0).asText()) : null;
            Object rhs = in.isArray() && in.size() > 1 ? n.get(in.get(1).asText()) : null;
            String fn = o.path("fn").asText("id");
            switch (op) {
                case "stream": n.put(id, b.stream(o.get("topic").asText(), Consumed.with(S, S))); break;
                case "table":
                    if (o.has("versioned")) n.put(id, b.table(o.get("topic").asText(), Consumed.with(S, S),
                        Materialized.<String, String>as(Stores.persistentVersionedKeyValueStore(id, Duration.ofMillis(o.get("versioned").asLong()))).withKeySerde(S).withValueSerde(S)));
                    else n.put(id, b.table(o.get("topic").asText(), Consumed.with(S, S), Materialized.<String, String, KeyValueStore<Bytes, byte[]>>as(id).withStoreType(st).withKeySerde(S).withValueSerde(S)));
                    break;
                case "globalTable": n.put(id, b.globalTable(o.get("topic").asText(), Consumed.with(S, S), Materialized.<String, String, KeyValueStore<Bytes, byte[]>>as(id).withStoreType(st))); break;
                case "map": n.put(id, ((KStream<String, String>) src).map((k, v) -> kv(fn, k, v))); break;
                case "mapValues":
                    if (src instanceof KTable) n.put(id, ((KTable<String, String>) src).mapValues(v -> kv(fn, "", v).value));
                    else n.put(id, ((KStream<String, String>) src).mapValues(v -> kv(fn, "", v).value)); break;
                case "filter":
                    if (src instanceof KTable) n.put(id, ((KTable<String, String>) src).filter((k, v) -> pred(fn, k, v)));
                    else n.put(id, ((KStream<String, String>) src).filter((k, v) -> pred(fn, k, v))); break;
                case "flatChars": n.put(id, ((KStream<String, String>) src).flatMapValues(v -> v == null ? List.<String>of() : Arrays.asList(v.split("")))); break;
                case "flatPairs": n.put(id, ((KStream<String, String>) src).flatMap((k, v) -> v == null ? List.<KeyValue<String, String>>of() : Arrays.stream(v.split("")).map(c -> KeyValue.pair(c, k + c)).toList())); break;
                case "tick": n.put(id, ((KStream<String, String>) src).process(() -> new Ticker(o.get("every").asLong()))); break;
                case "selectKey": n.put(id, ((KStream<String, String>) src).selectKey((k, v) -> kv(fn, k, v).key)); break;
                case "merge": n.put(id, ((KStream<String, String>) src).merge((KStream<String, String>) rhs)); break;
                case "repartition": n.put(id, ((KStream<String, String>) src).repartition(Repartitioned.<String, String>as(id).withKeySerde(S).withValueSerde(S))); break;
                case "toStream": n.put(id, ((KTable<String, String>) src).toStream()); break;
                case "toTable": n.put(id, ((KStream<String, String>) src).toTable(Materialized.<String, String, KeyValueStore<Bytes, byte[]>>as(id).withStoreType(st).withKeySerde(S).withValueSerde(S))); break;
                case "groupByKey": n.put(id, ((KStream<String, String>) src).groupByKey(Grouped.with(S, S))); break;
                case "groupBy":
                    if (src instanceof KTable) n.put(id, ((KTable<String, String>) src).groupBy((k, v) -> kv(fn, k, v), Grouped.with(S, S)));
                    else n.put(id, ((KStream<String, String>) src).groupBy((k, v) -> kv(fn, k, v).key, Grouped.with(S, S))); break;
                case "windowedBy": n.put(id, windowed((KGroupedStream<String, String>) src, o)); break;
                case "count": case "concat": n.put(id, agg(op, src, id, st, o)); break;
                case "suppress": {
                    KTable<Object, String> t = (KTable<Object, String>) src;
                    JsonNode mr = o.path("maxRecords");
                    if (o.get("until").asText().equals("windowClose"))
                        n.put(id, ((KTable<Windowed<String>, String>) (KTable<?, ?>) t).suppress(Suppressed.untilWindowCloses(mr.isInt() ? Suppressed.BufferConfig.maxRecords(mr.asLong()).shutDownWhenFull() : Suppressed.BufferConfig.unbounded())));
                    else
                        n.put(id, t.suppress(Suppressed.untilTimeLimit(Duration.ofMillis(o.get("ms").asLong()), mr.isInt() ? Suppressed.BufferConfig.maxRecords(mr.asLong()).emitEarlyWhenFull() : Suppressed.BufferConfig.maxRecords(Long.MAX_VALUE).emitEarlyWhenFull())));
                    break;
                }
                case "join": {
                    String kind = o.path("kind").asText("inner");
                    if (src instanceof KStream && rhs instanceof KStream) {
                        JsonNode w = o.get("window");
                        JoinWindows jw = (w.has("grace") ? JoinWindows.ofTimeDifferenceAndGrace(Duration.ofMillis(w.get("before").asLong()), Duration.ofMillis(w.get("grace").asLong()))
                            : JoinWindows.ofTimeDifferenceWithNoGrace(Duration.ofMillis(w.get("before").asLong())))
                            .before(Duration.ofMillis(w.get("before").asLong())).after(Duration.ofMillis(w.get("after").asLong()));
                        StreamJoined<String, String, String> sj = StreamJoined.with(S, S, S).withStoreName(id);
                        long keep = jw.beforeMs + jw.afterMs + jw.gracePeriodMs();
                        if (mem) sj = sj.withThisStoreSupplier(Stores.inMemoryWindowStore(id + "-l", Duration.ofMillis(keep), Duration.ofMillis(jw.size()), true))
                                        .withOtherStoreSupplier(Stores.inMemoryWindowStore(id + "-r", Duration.ofMillis(keep), Duration.ofMillis(jw.size()), true));
                        KStream<String, String> l = (KStream<String, String>) src, r = (KStream<String, String>) rhs;
                        n.put(id, kind.equals("inner") ? l.join(r, CAT, jw, sj) : kind.equals("left") ? l.leftJoin(r, CAT, jw, sj) : l.outerJoin(r, CAT, jw, sj));
                    } else if (src instanceof KStream && rhs instanceof GlobalKTable) {
                        KStream<String, String> l = (KStream<String, String>) src; GlobalKTable<String, String> g = (GlobalKTable<String, String>) rhs;
                        n.put(id, kind.equals("inner") ? l.join(g, (k, v) -> kv(fn, k, v).key, CAT) : l.leftJoin(g, (k, v) -> kv(fn, k, v).key, CAT));
                    } else if (src instanceof KStream) {
                        KStream<String, String> l = (KStream<String, String>) src; KTable<String, String> t = (KTable<String, String>) rhs;
                        Joined<String, String, String> j = Joined.<String, String, String>with(S, S, S).withName(id);
                        if (o.has("grace")) j = j.withGracePeriod(Duration.ofMillis(o.get("grace").asLong()));
                        n.put(id, kind.equals("inner") ? l.join(t, CAT, j) : l.leftJoin(t, CAT, j));
                    } else {
                        KTable<String, String> l = (KTable<String, String>) src, r = (KTable<String, String>) rhs;
                        if (kind.startsWith("fk")) n.put(id, kind.equals("fk") ? l.join(r, v -> v == null || v.isEmpty() ? null : v.substring(0, 1), CAT) : l.leftJoin(r, v -> v == null || v.isEmpty() ? null : v.substring(0, 1), CAT));
                        else n.put(id, kind.equals("inner") ? l.join(r, CAT) : kind.equals("left") ? l.leftJoin(r, CAT) : l.outerJoin(r, CAT));
                    }
                    break;
                }
                case "to": {
                    String t = o.get("topic").asText();
                    KStream<Object, String> s = src instanceof KTable ? ((KTable<Object, String>) src).toStream() : (KStream<Object, String>) src;
                    s.map((k, v) -> KeyValue.pair(key(k), v)).to(t, Produced.with(S, S));
                    outTopics.put(t, t);
                    break;
                }
                default: throw new IllegalArgumentException("op " + op);
            }
        }
        Properties opt = new Properties(); opt.putAll(p);
        Topology topo = b.build(opt);
        ObjectNode res = M.createObjectNode();
        res.put("name", spec.path("name").asText());
        ArrayNode steps = res.putArray("steps");
        try (TopologyTestDriver d = new TopologyTestDriver(topo, p, Instant.ofEpochMilli(spec.path("wallClock").asLong(0)))) {
            Map<String, TestInputTopic<String, String>> ins = new HashMap<>();
            Map<String, TestOutputTopic<String, String>> outs = new LinkedHashMap<>();
            for (String t : outTopics.keySet()) outs.put(t, d.createOutputTopic(t, new StringDeserializer(), new StringDeserializer()));
            for (JsonNode i : spec.get("input")) {
                ObjectNode step = steps.addObject();
                try {
                    if (i.has("advanceWallClock")) d.advanceWallClockTime(Duration.ofMillis(i.get("advanceWallClock").asLong()));
                    else ins.computeIfAbsent(i.get("topic").asText(), t -> d.createInputTopic(t, new StringSerializer(), new StringSerializer()))
                        .pipeInput(new TestRecord<>(i.path("key").isTextual() ? i.get("key").asText() : null, i.path("value").isTextual() ? i.get("value").asText() : null, new RecordHeaders(), i.get("ts").asLong()));
                } catch (RuntimeException e) {
                    Throwable c = e; while (c.getCause() != null) c = c.getCause();
                    step.put("error", c.getClass().getSimpleName() + ": " + c.getMessage());
                }
                ArrayNode ro = step.putArray("out");
                for (var e : outs.entrySet()) while (!e.getValue().isEmpty()) {
                    TestRecord<String, String> r = e.getValue().readRecord();
                    ro.addObject().put("topic", e.getKey()).put("key", r.key()).put("value", r.value()).put("ts", r.timestamp());
                }
            }
            double dropped = 0;
            for (var e : d.metrics().entrySet()) if (e.getKey().name().equals("dropped-records-total")) dropped += ((Number) e.getValue().metricValue()).doubleValue();
            res.put("dropped", (long) dropped);
            if (spec.path("describe").asBoolean()) res.put("topology", topo.describe().toString());
            if (spec.path("topics").asBoolean(true)) {
                ArrayNode tn = res.putArray("internalTopics");
                new TreeSet<>(d.producedTopicNames()).stream().filter(t -> t.endsWith("-changelog") || t.endsWith("-repartition") || t.contains("-topic")).forEach(tn::add);
            }
            ObjectNode ss = res.putObject("stores");
            for (Map.Entry<String, StateStore> e : d.getAllStateStores().entrySet()) {
                if (!(e.getValue() instanceof ReadOnlyKeyValueStore) || e.getValue() instanceof VersionedKeyValueStore) continue;
                try (KeyValueIterator<Object, Object> it = ((ReadOnlyKeyValueStore<Object, Object>) e.getValue()).all()) {
                    ArrayNode an = ss.putArray(e.getKey());
                    while (it.hasNext()) { KeyValue<Object, Object> x = it.next(); an.add(x.key + "=" + x.value); }
                } catch (RuntimeException ignored) { }
            }
        } finally { try (var w = Files.walk(dir)) { w.sorted(Comparator.reverseOrder()).forEach(f -> f.toFile().delete()); } }
        return res;
    }

    /** Counts the records of each key and forwards the counts, by key, at each interval of the wall clock. */
    static final class Ticker implements Processor<String, String, String, String> {
        private final long every;
        private final TreeMap<String, Integer> seen = new TreeMap<>();

        Ticker(long every) { this.every = every; }

        @Override public void init(ProcessorContext<String, String> context) {
            context.schedule(Duration.ofMillis(every), org.apache.kafka.streams.processor.PunctuationType.WALL_CLOCK_TIME,
                t -> seen.forEach((k, c) -> context.forward(new Record<>(k, Integer.toString(c), t))));
        }

        @Override public void process(Record<String, String> r) { if (r.key() != null) seen.merge(r.key(), 1, Integer::sum); }
    }

    static String key(Object k) {
        if (k instanceof Windowed) { Windowed<?> w = (Windowed<?>) k; return w.key() + "@" + w.window().start() + "/" + w.window().end(); }
        return (String) k;
    }

    static Object windowed(KGroupedStream<String, String> g, JsonNode o) {
        JsonNode w = o.get("window");
        Duration grace = Duration.ofMillis(w.path("grace").asLong(0));
        boolean close = o.path("emit").asText("update").equals("close");
        switch (w.get("type").asText()) {
            case "tumbling": case "hopping": {
                TimeWindows tw = TimeWindows.ofSizeAndGrace(Duration.ofMillis(w.get("size").asLong()), grace);
                if (w.has("advance")) tw = tw.advanceBy(Duration.ofMillis(w.get("advance").asLong()));
                TimeWindowedKStream<String, String> t = g.windowedBy(tw);
                return close ? t.emitStrategy(EmitStrategy.onWindowClose()) : t;
            }
            case "sliding": {
                TimeWindowedKStream<String, String> t = g.windowedBy(SlidingWindows.ofTimeDifferenceAndGrace(Duration.ofMillis(w.get("size").asLong()), grace));
                return close ? t.emitStrategy(EmitStrategy.onWindowClose()) : t;
            }
            case "session": {
                SessionWindowedKStream<String, String> t = g.windowedBy(SessionWindows.ofInactivityGapAndGrace(Duration.ofMillis(w.get("gap").asLong()), grace));
                return close ? t.emitStrategy(EmitStrategy.onWindowClose()) : t;
            }
            default: throw new IllegalArgumentException();
        }
    }

    static Object agg(String op, Object src, String id, Materialized.StoreType st, JsonNode o) {
        boolean count = op.equals("count");
        Initializer<String> init = () -> count ? "0" : "";
        Aggregator<String, String, String> add = (k, v, a) -> count ? Long.toString(Long.parseLong(a) + 1) : a + "+" + v;
        Aggregator<String, String, String> sub = (k, v, a) -> count ? Long.toString(Long.parseLong(a) - 1) : a + "-" + v;
        if (src instanceof KGroupedStream) return ((KGroupedStream<String, String>) src).aggregate(init, add, Materialized.<String, String, KeyValueStore<Bytes, byte[]>>as(id).withStoreType(st).withKeySerde(S).withValueSerde(S));
        if (src instanceof KGroupedTable) return ((KGroupedTable<String, String>) src).aggregate(init, add, sub, Materialized.<String, String, KeyValueStore<Bytes, byte[]>>as(id).withStoreType(st).withKeySerde(S).withValueSerde(S));
        if (src instanceof TimeWindowedKStream) {
            Materialized<String, String, WindowStore<Bytes, byte[]>> m = Materialized.<String, String, WindowStore<Bytes, byte[]>>as(id).withStoreType(st).withKeySerde(S).withValueSerde(S);
            if (o.has("retention")) m = m.withRetention(Duration.ofMillis(o.get("retention").asLong()));
            return ((TimeWindowedKStream<String, String>) src).aggregate(init, add, m);
        }
        Merger<String, String> mg = (k, x, y) -> count ? Long.toString(Long.parseLong(x) + Long.parseLong(y)) : x + "&" + y;
        Materialized<String, String, SessionStore<Bytes, byte[]>> m = Materialized.<String, String, SessionStore<Bytes, byte[]>>as(id).withStoreType(st).withKeySerde(S).withValueSerde(S);
        return ((SessionWindowedKStream<String, String>) src).aggregate(init, add, mg, m);
    }
}
