import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.regex.Pattern;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.consumer.RangeAssignor;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.FencedInstanceIdException;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.header.Header;

/** The Java producer and consumer with their own defaults, as applications use them. */
public final class ClientThemes {
    public static void main(String[] args) throws Exception {
        Map<String, Session.Theme> themes = new TreeMap<>();
        themes.put("codecs", ClientThemes::codecs);
        themes.put("acks", ClientThemes::acks);
        themes.put("many", ClientThemes::many);
        themes.put("refusals", ClientThemes::refusals);
        themes.put("append-time", ClientThemes::appendTime);
        themes.put("large", ClientThemes::large);
        themes.put("positions", ClientThemes::positions);
        themes.put("resets", ClientThemes::resets);
        themes.put("commits", ClientThemes::commits);
        themes.put("eager", session -> rebalance(session, RangeAssignor.class));
        themes.put("cooperative", session -> rebalance(session, CooperativeStickyAssignor.class));
        themes.put("static-member", ClientThemes::staticMember);
        themes.put("fencing", ClientThemes::fencing);
        themes.put("pattern", ClientThemes::pattern);
        themes.put("committed-group", ClientThemes::committedGroup);
        Session.run(themes, args);
    }

    private static void codecs(Session session) throws Exception {
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            String topic = session.topic(codec, 1);
            List<Future<RecordMetadata>> answers = new ArrayList<>();
            List<ProducerRecord<byte[], byte[]>> sent = new ArrayList<>();
            try (KafkaProducer<byte[], byte[]> producer =
                session.bytesProducer(Map.of("compression.type", codec, "linger.ms", 50))) {
                for (int i = 0; i < 50; i++) {
                    byte[] key = i == 48 ? null : bytes("key-" + i % 7);
                    byte[] value = i == 49 ? null : i == 47 ? new byte[0] : bytes(("value-" + i + " ").repeat(20));
                    ProducerRecord<byte[], byte[]> record =
                        new ProducerRecord<>(topic, 0, 1_700_000_000_000L + i, key, value);
                    record.headers().add("codec", bytes(codec)).add("codec", bytes("again")).add("nothing", null);
                    sent.add(record);
                    answers.add(producer.send(record));
                }
            }
            try (KafkaConsumer<byte[], byte[]> consumer = session.bytesConsumer(Map.of())) {
                consumer.assign(List.of(new TopicPartition(topic, 0)));
                List<ConsumerRecord<byte[], byte[]>> received = session.take(consumer, 50);
                int same = 0;
                for (int i = 0; i < 50; i++) {
                    ConsumerRecord<byte[], byte[]> record = received.get(i);
                    RecordMetadata answer = answers.get(i).get();
                    boolean isSame = Arrays.equals(record.key(), sent.get(i).key())
                        && Arrays.equals(record.value(), sent.get(i).value())
                        && record.timestamp() == sent.get(i).timestamp() && record.timestamp() == answer.timestamp()
                        && record.offset() == answer.offset()
                        && text(record.headers()).equals("[codec=" + codec + ", codec=again, nothing=null]");
                    if (isSame) same++;
                }
                Session.saw(codec, List.of(same, received.get(0).leaderEpoch().orElse(-1),
                    received.get(0).timestampType().toString()));
            }
        }
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private static String text(Iterable<Header> headers) {
        List<String> seen = new ArrayList<>();
        for (Header header : headers) {
            String value = header.value() == null ? null : new String(header.value(), StandardCharsets.UTF_8);
            seen.add(header.key() + "=" + value);
        }
        return seen.toString();
    }

    private static void acks(Session session) throws Exception {
        String topic = session.topic("acks", 1);
        TopicPartition partition = new TopicPartition(topic, 0);
        try (KafkaConsumer<String, String> consumer = session.consumer(Map.of())) {
            long stored = 0;
            for (String acks : List.of("0", "1", "all")) {
                Map<String, Object> config = Map.of("acks", acks, "enable.idempotence", acks.equals("all"));
                try (KafkaProducer<String, String> producer = session.producer(config)) {
                    RecordMetadata answer = producer.send(new ProducerRecord<>(topic, "acks " + acks)).get();
                    Session.saw("offset with acks " + acks, answer.offset());
                }
                long expected = ++stored;
                session.until("record with acks " + acks,
                    () -> consumer.endOffsets(Set.of(partition)).get(partition) == expected);
            }
            consumer.assign(Set.of(partition));
            Session.saw("stored", Session.values(session.take(consumer, 3)));
        }
    }

    /** Many records by key, with the five requests in flight that the default producer has. */
    private static void many(Session session) throws Exception {
        String topic = session.topic("many", 4);
        Map<String, Long> placed = new ConcurrentHashMap<>();
        Set<String> failures = ConcurrentHashMap.newKeySet();
        int count = 20_000;
        try (KafkaProducer<String, String> producer =
            session.producer(Map.of("compression.type", "lz4", "linger.ms", 0, "batch.size", 2000))) {
            Session.saw("partitions",
                producer.partitionsFor(topic).stream().map(PartitionInfo::partition).sorted().toList());
            for (int i = 0; i < count; i++) {
                String value = Integer.toString(i);
                producer.send(new ProducerRecord<>(topic, "key-" + i % 100, value), (answer, error) -> {
                    if (error == null) placed.put(answer.partition() + " " + value, answer.offset());
                    else failures.add(error.toString());
                });
            }
        }
        Session.saw("failures", failures);
        try (KafkaConsumer<String, String> consumer = session.consumer(Map.of("isolation.level", "read_committed"))) {
            consumer.assign(consumer.partitionsFor(topic).stream()
                .map(info -> new TopicPartition(topic, info.partition())).toList());
            int found = 0;
            boolean isInOrder = true;
            Map<String, Integer> last = new TreeMap<>();
            for (ConsumerRecord<String, String> record : session.take(consumer, count)) {
                Long offset = placed.get(record.partition() + " " + record.value());
                if (offset != null && offset == record.offset()) found++;
                Integer before = last.put(record.key(), Integer.valueOf(record.value()));
                isInOrder &= before == null || before < Integer.parseInt(record.value());
            }
            Session.saw("found where acknowledged", found);
            Session.saw("in order for each key", isInOrder);
        }
    }

    private static void refusals(Session session) throws Exception {
        String small = session.topic("small", 1, Map.of("max.message.bytes", "1000"));
        String compacted = session.topic("compacted", 1, Map.of("cleanup.policy", "compact"));
        String late = session.topic("late", 1, Map.of("message.timestamp.before.max.ms", "60000"));
        try (KafkaProducer<String, String> producer = session.producer(Map.of("max.block.ms", 1000))) {
            Session.saw("2000 bytes where 1000 are allowed",
                send(producer, new ProducerRecord<>(small, "x".repeat(2000))));
            Session.saw("800 bytes where 1000 are allowed",
                send(producer, new ProducerRecord<>(small, "x".repeat(800))));
            Session.saw("no key on a compacted topic", send(producer, new ProducerRecord<>(compacted, "x")));
            Session.saw("a key on a compacted topic", send(producer, new ProducerRecord<>(compacted, "key", "x")));
            Session.saw("a timestamp before the allowed", send(producer, new ProducerRecord<>(late, 0, 1L, null, "x")));
            Session.saw("an absent partition", send(producer, new ProducerRecord<>(small, 7, null, "x")));
            Session.saw("an invalid topic", send(producer, new ProducerRecord<>("not/valid", "x")));
            Session.saw("a topic that is created by it",
                send(producer, new ProducerRecord<>(session.name + "-automatic", "x")));
            Session.saw("a good record after all that", send(producer, new ProducerRecord<>(small, "good")));
        }
    }

    private static String send(KafkaProducer<String, String> producer, ProducerRecord<String, String> record) {
        return Session.errorOf(() -> producer.send(record).get());
    }

    private static void appendTime(Session session) throws Exception {
        String topic = session.topic("append-time", 1, Map.of("message.timestamp.type", "LogAppendTime"));
        long beforeMs = System.currentTimeMillis();
        RecordMetadata answer;
        try (KafkaProducer<String, String> producer = session.producer(Map.of())) {
            answer = producer.send(new ProducerRecord<>(topic, 0, 1_700_000_000_000L, null, "x")).get();
        }
        try (KafkaConsumer<String, String> consumer = session.consumer(Map.of())) {
            consumer.assign(List.of(new TopicPartition(topic, 0)));
            ConsumerRecord<String, String> record = session.take(consumer, 1).get(0);
            Session.saw("type", record.timestampType().toString());
            Session.saw("time of the broker",
                record.timestamp() >= beforeMs - 1000 && record.timestamp() < beforeMs + 60_000);
            Session.saw("as acknowledged", record.timestamp() == answer.timestamp());
        }
    }

    /** Batches near the default limits with fetches that are smaller. */
    private static void large(Session session) throws Exception {
        String topic = session.topic("large", 2);
        try (KafkaProducer<byte[], byte[]> producer = session.bytesProducer(Map.of())) {
            for (int i = 0; i < 6; i++) {
                byte[] value = new byte[900_000];
                Arrays.fill(value, (byte) i);
                producer.send(new ProducerRecord<>(topic, i % 2, null, value)).get();
            }
        }
        Map<String, Object> smaller = Map.of("max.partition.fetch.bytes", 1000, "fetch.max.bytes", 1000);
        try (KafkaConsumer<byte[], byte[]> consumer = session.bytesConsumer(smaller)) {
            consumer.assign(List.of(new TopicPartition(topic, 0), new TopicPartition(topic, 1)));
            int intact = 0;
            for (ConsumerRecord<byte[], byte[]> record : session.take(consumer, 6)) {
                byte[] expected = new byte[900_000];
                Arrays.fill(expected, (byte) (record.offset() * 2 + record.partition()));
                if (Arrays.equals(record.value(), expected)) intact++;
            }
            Session.saw("intact", intact);
        }
    }

    private static void positions(Session session) throws Exception {
        String topic = session.topic("positions", 2);
        TopicPartition zero = new TopicPartition(topic, 0);
        TopicPartition one = new TopicPartition(topic, 1);
        try (KafkaProducer<String, String> producer = session.producer(Map.of())) {
            for (int i = 0; i < 10; i++) {
                producer.send(new ProducerRecord<>(topic, 0, 1_000_000L + i * 1000, null, "" + i)).get();
            }
        }
        try (KafkaConsumer<String, String> consumer = session.consumer(Map.of("max.poll.records", 3))) {
            consumer.assign(List.of(zero, one));
            Session.saw("beginnings and ends", List.of(
                consumer.beginningOffsets(List.of(zero, one)).get(zero),
                consumer.endOffsets(List.of(zero, one)).get(zero),
                consumer.endOffsets(List.of(zero, one)).get(one)));
            consumer.seek(zero, 7);
            Session.saw("sought", first(session, consumer));
            consumer.seek(zero, new OffsetAndMetadata(5, Optional.of(0), ""));
            Session.saw("sought with the leader's epoch", first(session, consumer));
            consumer.seekToBeginning(List.of(zero));
            Session.saw("beginning", first(session, consumer));
            Session.saw("position after a poll of 3", consumer.position(zero));
            session.until("lag", () -> consumer.currentLag(zero).isPresent());
            Session.saw("lag", consumer.currentLag(zero).getAsLong());
            consumer.seekToEnd(List.of(zero));
            Session.saw("position at the end", consumer.position(zero));

            Map<TopicPartition, OffsetAndTimestamp> found =
                consumer.offsetsForTimes(Map.of(zero, 1_003_500L, one, 1_003_500L));
            Session.saw("for a time", List.of(
                found.get(zero).offset(), found.get(zero).timestamp(), found.get(zero).leaderEpoch().orElse(-1),
                found.get(one) == null));
            Session.saw("for a time after all", consumer.offsetsForTimes(Map.of(zero, 2_000_000L)).get(zero) == null);
            consumer.seek(zero, found.get(zero).offset());
            Session.saw("read from the time on", first(session, consumer));

            consumer.pause(List.of(zero));
            consumer.seek(zero, 0);
            Session.saw("while paused", consumer.poll(Duration.ofMillis(200)).count());
            Session.saw("paused", consumer.paused().size());
            consumer.resume(List.of(zero));
            Session.saw("resumed", first(session, consumer));
        }
    }

    private static String first(Session session, KafkaConsumer<String, String> consumer) {
        return session.take(consumer, 1).get(0).value();
    }

    private static void resets(Session session) throws Exception {
        String topic = session.topic("resets", 1);
        TopicPartition zero = new TopicPartition(topic, 0);
        try (KafkaProducer<String, String> producer = session.producer(Map.of())) {
            long nowMs = System.currentTimeMillis();
            // The first two are older than the hour that one of the policies below goes back.
            for (int i = 0; i < 4; i++) {
                long timestampMs = i < 2 ? nowMs - 7_200_000 : nowMs - 60_000;
                producer.send(new ProducerRecord<>(topic, 0, timestampMs, null, "" + i)).get();
            }
        }
        for (String policy : List.of("earliest", "by_duration:PT1H", "none", "latest")) {
            try (KafkaConsumer<String, String> consumer =
                session.consumer(Map.of("auto.offset.reset", policy, "group.id", session.name + policy.charAt(0)))) {
                consumer.assign(List.of(zero));
                Session.saw(policy, policy.equals("latest") ? "" + consumer.position(zero)
                    : firstOrError(session, consumer));
                consumer.seek(zero, 500);
                Session.saw(policy + ", from beyond the end",
                    policy.equals("latest") ? "no record" : firstOrError(session, consumer));
            }
        }
    }

    private static String firstOrError(Session session, KafkaConsumer<String, String> consumer) {
        String[] value = new String[1];
        String error = Session.errorOf(() -> value[0] = first(session, consumer));
        return error.equals("NONE") ? value[0] : error;
    }

    private static void commits(Session session) throws Exception {
        String topic = session.topic("commits", 2);
        TopicPartition zero = new TopicPartition(topic, 0);
        TopicPartition one = new TopicPartition(topic, 1);
        session.produce(topic, 0, "0", "1", "2", "3", "4", "5", "6", "7", "8", "9");
        try (KafkaConsumer<String, String> consumer = session.consumer(Map.of())) {
            consumer.subscribe(List.of(topic));
            session.take(consumer, 10);
            Session.saw("none yet", consumer.committed(Set.of(zero, one)).get(zero) == null);
            consumer.commitSync(Map.of(zero, new OffsetAndMetadata(4, Optional.of(0), "a note")));
            OffsetAndMetadata committed = consumer.committed(Set.of(zero)).get(zero);
            Session.saw("sync", List.of(committed.offset(), committed.leaderEpoch().orElse(-1), committed.metadata()));
            ConcurrentLinkedQueue<String> callbacks = new ConcurrentLinkedQueue<>();
            consumer.commitAsync(Map.of(zero, new OffsetAndMetadata(6)), (offsets, error) -> callbacks.add("" + error));
            session.until("callback", () -> {
                consumer.poll(Duration.ofMillis(20));
                return !callbacks.isEmpty();
            });
            Session.saw("async", List.of(callbacks.peek(), consumer.committed(Set.of(zero)).get(zero).offset()));
            Session.saw("absent partition", Session.errorOf(() -> {
                consumer.commitSync(Map.of(new TopicPartition(topic, 7), new OffsetAndMetadata(1)),
                    Duration.ofMillis(300));
                return null;
            }));
            Session.saw("member", List.of(
                consumer.groupMetadata().generationId() > 0,
                consumer.groupMetadata().memberId().startsWith(session.name)));
        }
        try (KafkaConsumer<String, String> consumer =
            session.consumer(Map.of("enable.auto.commit", true, "auto.commit.interval.ms", 50))) {
            consumer.subscribe(List.of(topic));
            Session.saw("goes on at", session.take(consumer, 4).get(0).value());
            session.until("automatic commit", () -> {
                consumer.poll(Duration.ofMillis(20));
                return consumer.committed(Set.of(zero)).get(zero).offset() == 10;
            });
            session.produce(topic, 0, "10");
            session.take(consumer, 1);
        }
        try (KafkaConsumer<String, String> consumer = session.consumer(Map.of())) {
            Session.saw("on close", consumer.committed(Set.of(zero)).get(zero).offset());
        }
    }

    /** A consumer in a thread of its own. It commits what it has processed when partitions are taken from it. */
    private static final class Member implements ConsumerRebalanceListener {
        private final KafkaConsumer<String, String> consumer;
        private final Map<Integer, List<String>> journal;
        private final Thread thread;
        private final AtomicBoolean isLeaving = new AtomicBoolean();
        private final Set<Integer> owned = ConcurrentHashMap.newKeySet();
        private final List<Integer> revoked = new ArrayList<>();
        private final List<String> problems = new ArrayList<>();

        Member(Session session, String topic, Map<Integer, List<String>> journal, Map<String, Object> config) {
            this.consumer = session.consumer(config);
            this.journal = journal;
            this.thread = new Thread(() -> {
                consumer.subscribe(List.of(topic), this);
                try (consumer) {
                    while (!isLeaving.get()) poll();
                } catch (WakeupException leaving) {
                    // The consumer is closed, which commits by way of the listener.
                } catch (FencedInstanceIdException fenced) {
                    problems.add("fenced");
                }
            });
            thread.start();
        }

        private void poll() {
            for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(100))) {
                List<String> values = journal.get(record.partition());
                synchronized (values) {
                    values.add(record.value());
                }
            }
        }

        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            partitions.forEach(partition -> owned.add(partition.partition()));
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            consumer.commitSync();
            partitions.forEach(partition -> owned.remove(partition.partition()));
            synchronized (revoked) {
                revoked.add(partitions.size());
            }
        }

        @Override
        public void onPartitionsLost(Collection<TopicPartition> partitions) {
            problems.add("lost " + partitions.size());
            partitions.forEach(partition -> owned.remove(partition.partition()));
        }

        List<Integer> revoked() {
            synchronized (revoked) {
                return new ArrayList<>(revoked);
            }
        }

        void leave() throws InterruptedException {
            isLeaving.set(true);
            thread.join();
        }
    }

    private static Map<Integer, List<String>> journal(int partitions) {
        Map<Integer, List<String>> journal = new TreeMap<>();
        for (int i = 0; i < partitions; i++) journal.put(i, new ArrayList<>());
        return journal;
    }

    private static void owns(Session session, List<Member> members, List<Integer> counts) throws Exception {
        int total = counts.stream().mapToInt(count -> count).sum();
        session.until("assignment " + counts, () ->
            members.stream().map(member -> member.owned.size()).sorted().toList().equals(counts)
                && members.stream().flatMap(member -> member.owned.stream()).distinct().count() == total);
    }

    /** Three members join and leave while records keep coming. */
    private static void rebalance(Session session, Class<?> assignor) throws Exception {
        String topic = session.topic("rebalance", 6);
        Map<Integer, List<String>> journal = journal(6);
        AtomicBoolean isOver = new AtomicBoolean();
        AtomicInteger sent = new AtomicInteger();
        Thread load = new Thread(() -> {
            try (KafkaProducer<String, String> producer = session.producer(Map.of())) {
                while (!isOver.get()) {
                    int i = sent.getAndIncrement();
                    producer.send(new ProducerRecord<>(topic, i % 6, null, "" + i / 6));
                    if (i % 100 == 99) producer.flush();
                }
            }
        });
        load.start();

        Map<String, Object> config = Map.of("partition.assignment.strategy", assignor.getName());
        Member a = new Member(session, topic, journal, config);
        owns(session, List.of(a), List.of(6));
        Member b = new Member(session, topic, journal, config);
        owns(session, List.of(a, b), List.of(3, 3));
        Session.saw("given up by the first when the second came", a.revoked());
        Member c = new Member(session, topic, journal, config);
        owns(session, List.of(a, b, c), List.of(2, 2, 2));
        b.leave();
        owns(session, List.of(a, c), List.of(3, 3));
        a.leave();
        owns(session, List.of(c), List.of(6));
        isOver.set(true);
        load.join();
        session.until("all records", () -> {
            int count = 0;
            for (List<String> values : journal.values()) {
                synchronized (values) {
                    count += values.size();
                }
            }
            return count >= sent.get();
        });
        c.leave();

        List<String> wrong = new ArrayList<>();
        journal.forEach((partition, values) -> {
            for (int i = 0; i < values.size(); i++) {
                if (!values.get(i).equals("" + i)) {
                    wrong.add("partition " + partition + " record " + i + " is " + values.get(i));
                    break;
                }
            }
        });
        Session.saw("out of order, missing or twice", wrong);
        Session.saw("enough records to tell", sent.get() > 100);
        List<String> problems = new ArrayList<>();
        for (Member member : List.of(a, b, c)) problems.addAll(member.problems);
        Session.saw("problems", problems);
    }

    private static void staticMember(Session session) throws Exception {
        String topic = session.topic("static", 4);
        Map<Integer, List<String>> journal = journal(4);
        Member a = new Member(session, topic, journal, Map.of("group.instance.id", "a"));
        owns(session, List.of(a), List.of(4));
        Member b = new Member(session, topic, journal, Map.of("group.instance.id", "b"));
        owns(session, List.of(a, b), List.of(2, 2));
        int revocations = a.revoked().size();
        Set<Integer> ownedBefore = new TreeSet<>(b.owned);
        b.leave();
        Member restarted = new Member(session, topic, journal, Map.of("group.instance.id", "b"));
        owns(session, List.of(restarted), List.of(2));
        Session.saw("gets its partitions back", new TreeSet<>(restarted.owned).equals(ownedBefore));
        Session.saw("revocations of the other", a.revoked().size() - revocations);

        Member twin = new Member(session, topic, journal, Map.of("group.instance.id", "b"));
        owns(session, List.of(twin), List.of(2));
        restarted.thread.join();
        Session.saw("the one with a twin", restarted.problems);
        a.leave();
        twin.leave();
    }

    /** A consumer that does not poll for longer than it may leaves its group, and its commit is refused. */
    private static void fencing(Session session) throws Exception {
        String topic = session.topic("fencing", 1);
        session.produce(topic, 0, "0");
        Map<String, Object> impatient =
            Map.of("max.poll.interval.ms", 1000, "session.timeout.ms", 900, "heartbeat.interval.ms", 100);
        try (KafkaConsumer<String, String> slow = session.consumer(impatient);
            KafkaConsumer<String, String> fast = session.consumer(Map.of())) {
            slow.subscribe(List.of(topic));
            session.take(slow, 1);
            fast.subscribe(List.of(topic));
            Session.saw("taken over", Session.values(session.take(fast, 1)));
            try {
                slow.commitSync();
                Session.saw("late commit", "accepted");
            } catch (CommitFailedException refused) {
                Session.saw("late commit", "refused");
            }
            fast.commitSync();
            Session.saw("commit of the new owner",
                fast.committed(Set.of(new TopicPartition(topic, 0))).values().iterator().next().offset());
        }
    }

    private static void pattern(Session session) throws Exception {
        String first = session.topic("match-1", 1);
        session.produce(session.topic("other", 1), 0, "not wanted");
        session.produce(first, 0, "first");
        try (KafkaConsumer<String, String> consumer = session.consumer(Map.of("metadata.max.age.ms", 200))) {
            consumer.subscribe(Pattern.compile(session.name + "-match-.*"));
            // Nothing is committed, so the rebalance for the new topic may make it read the first again.
            Set<String> seen = new TreeSet<>(Session.values(session.take(consumer, 1)));
            session.produce(session.topic("match-2", 1), 0, "second");
            while (!seen.contains("second")) seen.addAll(Session.values(session.take(consumer, 1)));
            Session.saw("values", seen);
        }
    }

    /** Leaves a group behind whose records in __consumer_offsets are known. */
    private static void committedGroup(Session session) throws Exception {
        String topic = session.topic("known", 2);
        session.produce(topic, 0, "0", "1", "2");
        try (KafkaConsumer<String, String> consumer =
            session.consumer(Map.of("client.id", "known-client", "group.instance.id", "known-instance"))) {
            consumer.subscribe(List.of(topic));
            session.take(consumer, 3);
            consumer.commitSync(Map.of(
                new TopicPartition(topic, 0), new OffsetAndMetadata(3, Optional.of(0), "a note"),
                new TopicPartition(topic, 1), new OffsetAndMetadata(0)));
        }
        Session.saw("group", session.name + "-group");
        Session.saw("topic", topic);
    }
}
