import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.DescribeProducersResult;
import org.apache.kafka.clients.admin.ListOffsetsOptions;
import org.apache.kafka.clients.admin.ListTransactionsOptions;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.TransactionDescription;
import org.apache.kafka.clients.admin.TransactionListing;
import org.apache.kafka.clients.admin.TransactionState;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.InterruptException;
import org.apache.kafka.common.errors.TimeoutException;

/** Java's transactional producer, the consumer of committed records, and the administration of transactions. */
public final class TransactionThemes {
    public static void main(String[] args) throws Exception {
        Map<String, Session.Theme> themes = new TreeMap<>();
        themes.put("isolation", TransactionThemes::isolation);
        themes.put("many", TransactionThemes::many);
        themes.put("fencing", TransactionThemes::fencing);
        themes.put("offsets", TransactionThemes::offsets);
        themes.put("timeout", TransactionThemes::timeout);
        themes.put("admin", TransactionThemes::admin);
        themes.put("leave-open", TransactionThemes::leaveOpen);
        Session.run(themes, args);
    }

    private static KafkaProducer<String, String> producer(Session session, String id, Map<String, Object> special) {
        Map<String, Object> config = new HashMap<>(Map.of("transactional.id", session.name + "-" + id));
        config.putAll(special);
        KafkaProducer<String, String> producer = session.producer(config);
        producer.initTransactions();
        return producer;
    }

    private static KafkaConsumer<String, String> reader(Session session, String isolation, TopicPartition... partitions) {
        KafkaConsumer<String, String> reader = session.consumer(Map.of("isolation.level", isolation));
        reader.assign(List.of(partitions));
        reader.seekToBeginning(List.of(partitions));
        return reader;
    }

    private static List<String> all(Session session, String isolation, TopicPartition partition) {
        try (KafkaConsumer<String, String> reader = reader(session, isolation, partition)) {
            long end = reader.endOffsets(List.of(partition)).get(partition);
            List<ConsumerRecord<String, String>> records = new ArrayList<>();
            while (reader.position(partition) < end) {
                session.checkTime("record");
                reader.poll(Duration.ofMillis(100)).forEach(records::add);
            }
            return Session.values(records);
        }
    }

    private static void isolation(Session session) throws Exception {
        TopicPartition partition = new TopicPartition(session.topic("isolation", 1), 0);
        try (KafkaProducer<String, String> producer = producer(session, "isolation", Map.of())) {
            for (String outcome : List.of("committed", "aborted", "open")) {
                producer.beginTransaction();
                for (int i = 0; i < 3; i++) producer.send(new ProducerRecord<>(partition.topic(), outcome + " " + i));
                producer.flush();
                if (outcome.equals("committed")) producer.commitTransaction();
                if (outcome.equals("aborted")) producer.abortTransaction();
            }
            Session.saw("committed", all(session, "read_committed", partition));
            Session.saw("all", all(session, "read_uncommitted", partition));
            Map<TopicPartition, OffsetSpec> latest = Map.of(partition, OffsetSpec.latest());
            for (IsolationLevel level : IsolationLevel.values()) {
                long end = session.admin.listOffsets(latest, new ListOffsetsOptions(level)).all().get()
                        .get(partition).offset();
                Session.saw("end for " + level, end);
            }
            producer.commitTransaction();
            Session.saw("committed in the end", all(session, "read_committed", partition).size());
        }
    }

    /** Many transactions, of which every third is aborted, over several partitions. */
    private static void many(Session session) throws Exception {
        int partitions = 3;
        String topic = session.topic("many", partitions);
        List<List<String>> expected = new ArrayList<>();
        for (int i = 0; i < partitions; i++) expected.add(new ArrayList<>());
        try (KafkaProducer<String, String> producer = producer(session, "many", Map.of("linger.ms", "1"))) {
            for (int transaction = 0; transaction < 60; transaction++) {
                producer.beginTransaction();
                boolean commits = transaction % 3 != 0;
                for (int i = 0; i < 20; i++) {
                    int partition = (transaction + i) % partitions;
                    String value = transaction + "/" + i;
                    producer.send(new ProducerRecord<>(topic, partition, null, value));
                    if (commits) expected.get(partition).add(value);
                }
                if (commits) producer.commitTransaction();
                else producer.abortTransaction();
            }
        }
        for (int i = 0; i < partitions; i++) {
            List<String> seen = all(session, "read_committed", new TopicPartition(topic, i));
            Session.saw("partition " + i, seen.equals(expected.get(i)));
        }
    }

    private static void fencing(Session session) throws Exception {
        TopicPartition partition = new TopicPartition(session.topic("fencing", 1), 0);
        KafkaProducer<String, String> zombie = producer(session, "fencing", Map.of());
        zombie.beginTransaction();
        zombie.send(new ProducerRecord<>(partition.topic(), "of the zombie")).get();
        try (KafkaProducer<String, String> successor = producer(session, "fencing", Map.of())) {
            successor.beginTransaction();
            successor.send(new ProducerRecord<>(partition.topic(), "of its successor")).get();
            Session.saw("a commit of the zombie", Session.errorOf(commit(zombie)));
            Session.saw("its writes fail", !Session.errorOf(
                    () -> zombie.send(new ProducerRecord<>(partition.topic(), "late")).get()).equals("NONE"));
            successor.commitTransaction();
        }
        zombie.close(Duration.ZERO);
        Session.saw("committed", all(session, "read_committed", partition));

        KafkaProducer<String, String> fenced = producer(session, "by-admin", Map.of());
        fenced.beginTransaction();
        fenced.send(new ProducerRecord<>(partition.topic(), "of one that an administrator fences")).get();
        session.admin.fenceProducers(List.of(session.name + "-by-admin")).all().get();
        Session.saw("after fenceProducers", Session.errorOf(commit(fenced)));
        fenced.close(Duration.ZERO);
        Session.saw("committed after all", all(session, "read_committed", partition));
    }

    private static Callable<?> commit(KafkaProducer<String, String> producer) {
        return () -> {
            producer.commitTransaction();
            return null;
        };
    }

    private static void offsets(Session session) throws Exception {
        TopicPartition partition = new TopicPartition(session.topic("offsets", 1), 0);
        session.produce(partition.topic(), 0, "a", "b", "c", "d");
        try (KafkaProducer<String, String> producer = producer(session, "offsets", Map.of());
                KafkaConsumer<String, String> member = session.consumer(Map.of("isolation.level", "read_committed"))) {
            member.subscribe(List.of(partition.topic()));
            session.take(member, 4);
            producer.beginTransaction();
            producer.sendOffsetsToTransaction(Map.of(partition, new OffsetAndMetadata(2, "two")), member.groupMetadata());
            Session.saw("while it is open", committed(session, "read_committed", partition));
            producer.commitTransaction();
            Session.saw("committed", committed(session, "read_committed", partition));
            producer.beginTransaction();
            producer.sendOffsetsToTransaction(Map.of(partition, new OffsetAndMetadata(4)), member.groupMetadata());
            producer.abortTransaction();
            Session.saw("after an abort", committed(session, "read_committed", partition));

            // A member of a generation that is over may not commit.
            var old = member.groupMetadata();
            member.unsubscribe();
            producer.beginTransaction();
            Session.saw("of a member that has left", Session.errorOf(() -> {
                producer.sendOffsetsToTransaction(Map.of(partition, new OffsetAndMetadata(3)), old);
                producer.commitTransaction();
                return null;
            }));
            producer.abortTransaction();
            Session.saw("after that", committed(session, "read_committed", partition));
        }
    }

    private static Object committed(Session session, String isolation, TopicPartition partition) {
        try (KafkaConsumer<String, String> outsider = session.consumer(Map.of("isolation.level", isolation))) {
            OffsetAndMetadata offset = outsider.committed(Set.of(partition), Duration.ofSeconds(1)).get(partition);
            return offset == null ? "none" : List.of(offset.offset(), offset.metadata());
        } catch (TimeoutException unstable) {
            return "unstable";
        }
    }

    private static void timeout(Session session) throws Exception {
        TopicPartition partition = new TopicPartition(session.topic("timeout", 1), 0);
        KafkaProducer<String, String> slow = producer(session, "slow", Map.of("transaction.timeout.ms", "500"));
        slow.beginTransaction();
        slow.send(new ProducerRecord<>(partition.topic(), "slow")).get();
        String id = session.name + "-slow";
        session.until("abort", () -> describe(session, id).state() == TransactionState.COMPLETE_ABORT);
        Session.saw("committed", all(session, "read_committed", partition));
        Session.saw("its commit fails", !Session.errorOf(commit(slow)).equals("NONE"));
        slow.close(Duration.ZERO);
        try {
            producer(session, "too-long", Map.of("transaction.timeout.ms", "2000000000")).close();
        } catch (KafkaException refused) {
            Session.saw("too long", refused.getMessage().contains("transaction.max.timeout.ms"));
        }
    }

    private static TransactionDescription describe(Session session, String id)
            throws ExecutionException, InterruptedException {
        return session.admin.describeTransactions(List.of(id)).description(id).get();
    }

    private static void admin(Session session) throws Exception {
        TopicPartition partition = new TopicPartition(session.topic("admin", 2), 1);
        String id = session.name + "-admin";
        try (KafkaProducer<String, String> producer = producer(session, "admin", Map.of())) {
            producer.beginTransaction();
            producer.send(new ProducerRecord<>(partition.topic(), 1, null, "v")).get();
            TransactionDescription open = describe(session, id);
            Session.saw("open", List.of(open.state().toString(), open.topicPartitions().equals(Set.of(partition)),
                    open.transactionTimeoutMs(), open.transactionStartTimeMs().isPresent()));
            List<String> states = new ArrayList<>();
            for (TransactionListing listing : session.admin.listTransactions().all().get()) {
                if (listing.transactionalId().equals(id)) states.add(listing.state().toString());
            }
            Session.saw("listed", states);
            var byProducer = new ListTransactionsOptions().filterProducerIds(List.of(open.producerId()));
            Session.saw("listed by its producer id", session.admin.listTransactions(byProducer).all().get().size());
            var byPattern = new ListTransactionsOptions().filterOnTransactionalIdPattern(".*" + session.name + ".*");
            Session.saw("listed by a pattern", session.admin.listTransactions(byPattern).all().get().size());
            var byPart = new ListTransactionsOptions().filterOnTransactionalIdPattern(session.name);
            Session.saw("listed by a part of the name", session.admin.listTransactions(byPart).all().get().size());
            var longer = new ListTransactionsOptions().filterOnDuration(1000_000).filterStates(Set.of(TransactionState.ONGOING));
            Session.saw("listed if it took long", session.admin.listTransactions(longer).all().get().size());
            DescribeProducersResult.PartitionProducerState active =
                    session.admin.describeProducers(List.of(partition)).partitionResult(partition).get();
            Session.saw("producers", active.activeProducers().stream()
                    .map(state -> List.of(
                            state.producerId() == open.producerId(),
                            state.producerEpoch() == open.producerEpoch(),
                            state.currentTransactionStartOffset().getAsLong(),
                            state.lastSequence()))
                    .toList());
            producer.commitTransaction();
            // A broker of a cluster answers when it is certain that the transaction will be committed.
            session.until("end", () -> describe(session, id).state() != TransactionState.PREPARE_COMMIT);
            Session.saw("ended", describe(session, id).state().toString());
            Session.saw("producers after that", session.admin.describeProducers(List.of(partition))
                    .partitionResult(partition).get().activeProducers().stream()
                    .map(state -> state.currentTransactionStartOffset().isPresent()).toList());
        }
        Session.saw("absent", Session.errorOf(
                () -> session.admin.describeTransactions(List.of("nobody")).description("nobody").get()));
    }

    /** Leaves a transaction open whose producer is gone, for the tool that looks for such. */
    private static void leaveOpen(Session session) throws Exception {
        String topic = session.topic("open", 1);
        KafkaProducer<String, String> producer =
                producer(session, "gone", Map.of("transaction.timeout.ms", "600000"));
        producer.beginTransaction();
        producer.send(new ProducerRecord<>(topic, "left behind")).get();
        Session.saw("topic", topic);
        Session.saw("transactional id", session.name + "-gone");
        try {
            producer.close(Duration.ZERO);
        } catch (InterruptException ended) {
            throw new IllegalStateException(ended);
        }
    }
}
