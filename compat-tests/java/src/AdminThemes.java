import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.AlterConfigOp.OpType;
import org.apache.kafka.clients.admin.AlterConfigsOptions;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.CreatePartitionsOptions;
import org.apache.kafka.clients.admin.CreateTopicsOptions;
import org.apache.kafka.clients.admin.CreateTopicsResult;
import org.apache.kafka.clients.admin.DescribeClusterOptions;
import org.apache.kafka.clients.admin.DescribeConfigsOptions;
import org.apache.kafka.clients.admin.DescribeTopicsOptions;
import org.apache.kafka.clients.admin.ListConsumerGroupOffsetsSpec;
import org.apache.kafka.clients.admin.ListGroupsOptions;
import org.apache.kafka.clients.admin.ListOffsetsOptions;
import org.apache.kafka.clients.admin.ListOffsetsResult.ListOffsetsResultInfo;
import org.apache.kafka.clients.admin.ListTopicsOptions;
import org.apache.kafka.clients.admin.LogDirDescription;
import org.apache.kafka.clients.admin.MemberDescription;
import org.apache.kafka.clients.admin.MemberToRemove;
import org.apache.kafka.clients.admin.NewPartitionReassignment;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.RemoveMembersFromConsumerGroupOptions;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.admin.TopicListing;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.GroupType;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicCollection;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionInfo;
import org.apache.kafka.common.TopicPartitionReplica;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.config.ConfigResource;

/** The calls of the Admin client that need no transactions, ACLs, credentials or quorum. */
public final class AdminThemes {
    public static void main(String[] args) throws Exception {
        Map<String, Session.Theme> themes = Map.of(
            "topics", AdminThemes::topics,
            "describe-topics", AdminThemes::describeTopics,
            "configs", AdminThemes::configs,
            "list-offsets", AdminThemes::listOffsets,
            "delete-records", AdminThemes::deleteRecords,
            "groups", AdminThemes::groups,
            "members", AdminThemes::members,
            "group-offsets", AdminThemes::groupOffsets,
            "cluster", AdminThemes::cluster,
            "reassignments", AdminThemes::reassignments);
        Session.run(themes, args);
    }

    private static void topics(Session session) throws Exception {
        String topic = session.name + "-topic";
        NewTopic wanted = new NewTopic(topic, 3, (short) 1).configs(Map.of("retention.ms", "1000"));
        Session.saw("validate only", create(session, wanted, true));
        CreateTopicsResult created = session.admin.createTopics(List.of(wanted));
        Config config = created.config(topic).get();
        Session.saw("create", Session.outcome(created.all()));
        Session.saw("created", List.of(
            created.numPartitions(topic).get(), created.replicationFactor(topic).get(),
            config.get("retention.ms").value(),
            config.get("retention.ms").source().name(), config.get("segment.bytes").source().name()));
        Uuid id = created.topicId(topic).get();
        Session.saw("has an id", !id.equals(Uuid.ZERO_UUID));
        Session.saw("with defaults", create(
            session, new NewTopic(session.name + "-defaults", Optional.empty(), Optional.empty()), false));
        Session.saw("with an assignment",
            create(session, new NewTopic(session.name + "-assigned", Map.of(0, List.of(1), 1, List.of(1))), false));
        Map<String, NewTopic> refused = new TreeMap<>(Map.of(
            "again", wanted,
            "no partitions", new NewTopic(session.name + "-none", 0, (short) 1),
            "3 replicas", new NewTopic(session.name + "-replicated", 1, (short) 3),
            "invalid name", new NewTopic("not/valid", 1, (short) 1),
            "dots only", new NewTopic("..", 1, (short) 1),
            "long name", new NewTopic("x".repeat(250), 1, (short) 1),
            "bad value", new NewTopic(session.name + "-value", 1, (short) 1).configs(Map.of("retention.ms", "soon")),
            "unknown setting", new NewTopic(session.name + "-setting", 1, (short) 1)
                .configs(Map.of("no.such.setting", "1")),
            "no such broker", new NewTopic(session.name + "-broker", Map.of(0, List.of(77))),
            "a gap", new NewTopic(session.name + "-gap", Map.of(0, List.of(1), 2, List.of(1)))));
        Map<String, String> refusals = new TreeMap<>();
        for (Map.Entry<String, NewTopic> each : refused.entrySet()) {
            refusals.put(each.getKey(), create(session, each.getValue(), false));
        }
        Session.saw("refused", refusals);

        session.visible(topic);
        TopicListing listed = session.admin.listTopics().namesToListings().get().get(topic);
        Session.saw("listed", List.of(listed.topicId().equals(id), listed.isInternal()));

        Session.saw("more partitions, validate only", grow(session, topic, NewPartitions.increaseTo(5), true));
        Session.saw("more partitions", grow(session, topic, NewPartitions.increaseTo(5), false));
        session.until("more partitions", () -> describe(session, topic).partitions().size() == 5);
        Session.saw("one more, assigned",
            grow(session, topic, NewPartitions.increaseTo(6, List.of(List.of(1))), false));
        session.until("one more", () -> describe(session, topic).partitions().size() == 6);
        Session.saw("partitions refused", List.of(
            grow(session, topic, NewPartitions.increaseTo(2), false),
            grow(session, topic, NewPartitions.increaseTo(6), false),
            grow(session, topic, NewPartitions.increaseTo(7, List.of(List.of(77))), false),
            grow(session, session.name + "-absent", NewPartitions.increaseTo(2), false)));

        Session.saw("delete by id", Session.outcome(
            session.admin.deleteTopics(TopicCollection.ofTopicIds(List.of(id))).all()));
        session.until("deletion", () -> !session.admin.listTopics().names().get().contains(topic));
        Session.saw("delete by an absent id",
            Session.outcome(session.admin.deleteTopics(TopicCollection.ofTopicIds(List.of(id))).all()));
        Session.saw("delete by an absent name", Session.outcome(session.admin.deleteTopics(List.of(topic)).all()));
        CreateTopicsResult again = session.admin.createTopics(List.of(wanted));
        Session.saw("created again with another id", !again.topicId(topic).get().equals(id));
    }

    private static String create(Session session, NewTopic topic, boolean validateOnly) throws Exception {
        CreateTopicsOptions options = new CreateTopicsOptions().validateOnly(validateOnly);
        return Session.outcome(session.admin.createTopics(List.of(topic), options).all());
    }

    private static String grow(Session session, String topic, NewPartitions partitions,
        boolean validateOnly) throws Exception {
        CreatePartitionsOptions options = new CreatePartitionsOptions().validateOnly(validateOnly);
        return Session.outcome(session.admin.createPartitions(Map.of(topic, partitions), options).all());
    }

    private static TopicDescription describe(Session session, String topic) throws Exception {
        return session.admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic);
    }

    /** By name, by id, and in several answers when there are more partitions than one may hold. */
    private static void describeTopics(Session session) throws Exception {
        List<String> topics = List.of(session.topic("a", 3), session.topic("b", 3), session.topic("c", 3));
        String absent = session.name + "-absent";
        Map<String, KafkaFuture<TopicDescription>> described =
            session.admin.describeTopics(List.of(topics.get(0), absent)).topicNameValues();
        TopicDescription one = described.get(topics.get(0)).get();
        TopicPartitionInfo last = one.partitions().get(2);
        Session.saw("by name", List.of(
            one.partitions().size(), one.isInternal(), last.partition(), last.leader().id(), ids(last.replicas()),
            ids(last.isr()),
            last.elr().size(), last.lastKnownElr().size()));
        Session.saw("absent name", Session.outcome(described.get(absent)));
        DescribeTopicsOptions withOperations = new DescribeTopicsOptions().includeAuthorizedOperations(true);
        TopicDescription allowed = session.admin.describeTopics(List.of(topics.get(0)), withOperations)
            .allTopicNames().get().get(topics.get(0));
        Session.saw("operations", allowed.authorizedOperations().stream().map(Enum::name).sorted().toList());

        List<Uuid> uuids = List.of(one.topicId(), Uuid.randomUuid());
        Map<Uuid, KafkaFuture<TopicDescription>> byId =
            session.admin.describeTopics(TopicCollection.ofTopicIds(uuids)).topicIdValues();
        Session.saw("by id", byId.get(uuids.get(0)).get().name().equals(topics.get(0)));
        Session.saw("absent id", Session.outcome(byId.get(uuids.get(1))));

        DescribeTopicsOptions few = new DescribeTopicsOptions().partitionSizeLimitPerResponse(2);
        Session.saw("two partitions at a time", session.admin.describeTopics(topics, few).allTopicNames().get().values()
            .stream().map(topic -> topic.partitions().stream().map(TopicPartitionInfo::partition).toList()).toList());
    }

    private static List<Integer> ids(Collection<Node> nodes) {
        return nodes.stream().map(Node::id).toList();
    }

    private static void configs(Session session) throws Exception {
        ConfigResource topic = new ConfigResource(
            ConfigResource.Type.TOPIC, session.topic("configs", 1, Map.of("retention.ms", "1000")));
        ConfigResource broker = new ConfigResource(ConfigResource.Type.BROKER, "1");
        ConfigResource everyBroker = new ConfigResource(ConfigResource.Type.BROKER, "");
        ConfigResource absent = new ConfigResource(ConfigResource.Type.TOPIC, session.name + "-absent");

        DescribeConfigsOptions everything = new DescribeConfigsOptions()
            .includeSynonyms(true).includeDocumentation(true);
        Map<ConfigResource, Config> described =
            session.admin.describeConfigs(List.of(topic, broker), everything).all().get();
        ConfigEntry retention = described.get(topic).get("retention.ms");
        Session.saw("retention.ms", List.of(
            retention.value(), retention.source().name(), retention.type().name(), retention.isReadOnly(),
            retention.isSensitive(), !retention.documentation().isEmpty()));
        Session.saw("synonyms of segment.bytes", described.get(topic).get("segment.bytes").synonyms().stream()
            .map(synonym -> synonym.name() + "=" + synonym.value() + " " + synonym.source()).toList());
        Map<String, String> types = new TreeMap<>();
        for (String name : List.of("cleanup.policy", "min.cleanable.dirty.ratio", "preallocate", "segment.bytes")) {
            types.put(name, described.get(topic).get(name).type().name());
        }
        Session.saw("types", types);
        for (String name : List.of("node.id", "offsets.topic.num.partitions")) {
            ConfigEntry entry = described.get(broker).get(name);
            Session.saw(name, List.of(entry.value(), entry.type().name(), entry.isReadOnly()));
        }
        Session.saw("set at the start", described.get(broker).get("offsets.topic.num.partitions").source().name());
        Session.saw("absent topic", Session.outcome(session.admin.describeConfigs(List.of(absent)).all()));

        Session.saw("several at once", session.changed(
            () -> read(session, topic, "retention.ms", "cleanup.policy", "segment.bytes"),
            () -> apply(session, topic,
                op("retention.ms", null, OpType.DELETE),
                op("cleanup.policy", "compact", OpType.APPEND),
                op("segment.bytes", "1048576", OpType.SET))));
        Session.saw("subtracted", session.changed(
            () -> read(session, topic, "cleanup.policy"),
            () -> apply(session, topic, op("cleanup.policy", "delete", OpType.SUBTRACT))));
        Session.saw("refused", List.of(
            alter(session, topic, op("retention.ms", "soon", OpType.SET), false),
            alter(session, topic, op("no.such.setting", "1", OpType.SET), false),
            alter(session, topic, op("retention.ms", "1", OpType.APPEND), false),
            alter(session, absent, op("retention.ms", "1", OpType.SET), false),
            alter(session, broker, op("node.id", "2", OpType.SET), false)));
        Session.saw("validated only", List.of(
            alter(session, topic, op("segment.bytes", "2097152", OpType.SET), true),
            alter(session, topic, op("segment.bytes", "none", OpType.SET), true)));
        AlterConfigOp retentionBytes = op("retention.bytes", "5000000", OpType.SET);
        Map<ConfigResource, KafkaFuture<Void>> both = session.admin.incrementalAlterConfigs(
            Map.of(topic, List.of(retentionBytes), absent, List.of(retentionBytes))).values();
        Session.saw("one good, one bad", List.of(Session.outcome(both.get(topic)), Session.outcome(both.get(absent))));

        String name = "log.retention.ms";
        Callable<List<String>> ofBroker = () -> read(session, broker, name);
        Session.saw("of every broker", session.changed(
            ofBroker, () -> apply(session, everyBroker, op(name, "70000000", OpType.SET))));
        Session.saw("of one broker", session.changed(
            ofBroker, () -> apply(session, broker, op(name, "80000000", OpType.SET))));
        Session.saw("inherited by the topic", read(session, topic, "retention.ms"));
        Session.saw("only the dynamic ones", read(session, everyBroker, name));
        Session.saw("back to every broker's", session.changed(
            ofBroker, () -> apply(session, broker, op(name, null, OpType.DELETE))));
        Session.saw("back to the default", session.changed(
            ofBroker, () -> apply(session, everyBroker, op(name, null, OpType.DELETE))));
    }

    private static Void apply(Session session, ConfigResource resource, AlterConfigOp... ops) throws Exception {
        return session.admin.incrementalAlterConfigs(Map.of(resource, List.of(ops))).all().get();
    }

    private static AlterConfigOp op(String name, String value, OpType type) {
        return new AlterConfigOp(new ConfigEntry(name, value), type);
    }

    private static String alter(Session session, ConfigResource resource, AlterConfigOp op,
        boolean validateOnly) throws Exception {
        AlterConfigsOptions options = new AlterConfigsOptions().validateOnly(validateOnly);
        return Session.outcome(session.admin.incrementalAlterConfigs(Map.of(resource, List.of(op)), options).all());
    }

    private static List<String> read(Session session, ConfigResource resource, String... names) throws Exception {
        Config config = session.admin.describeConfigs(List.of(resource)).all().get().get(resource);
        List<String> seen = new ArrayList<>();
        for (String name : names) seen.add(config.get(name).value() + " " + config.get(name).source());
        return seen;
    }

    private static void listOffsets(Session session) throws Exception {
        String topic = session.topic("offsets", 2);
        try (KafkaProducer<String, String> producer = session.producer(Map.of())) {
            long[] seconds = {10, 20, 50, 40, 30};
            for (long second : seconds) {
                producer.send(new ProducerRecord<>(topic, 0, 1_000_000 + second * 1000, null, "at " + second)).get();
            }
        }
        Map<String, OffsetSpec> specs = new TreeMap<>(Map.of(
            "earliest", OffsetSpec.earliest(),
            "latest", OffsetSpec.latest(),
            "max timestamp", OffsetSpec.maxTimestamp(),
            "between two records", OffsetSpec.forTimestamp(1_015_000),
            "exact time", OffsetSpec.forTimestamp(1_050_000),
            "after all", OffsetSpec.forTimestamp(1_050_001),
            "earliest local", OffsetSpec.earliestLocal(),
            "latest tiered", OffsetSpec.latestTiered(),
            "earliest pending upload", OffsetSpec.earliestPendingUpload()));
        for (Map.Entry<String, OffsetSpec> spec : specs.entrySet()) {
            Session.saw(spec.getKey(), List.of(
                at(session, topic, 0, spec.getValue()), at(session, topic, 1, spec.getValue())));
        }
        ListOffsetsOptions committed = new ListOffsetsOptions(IsolationLevel.READ_COMMITTED);
        TopicPartition partition = new TopicPartition(topic, 0);
        Session.saw("latest committed", session.admin.listOffsets(Map.of(partition, OffsetSpec.latest()), committed)
            .partitionResult(partition).get().offset());
        // The client asks again until its time is up, as the topic may be about to come.
        ListOffsetsOptions soon = new ListOffsetsOptions();
        soon.timeoutMs(500);
        TopicPartition absent = new TopicPartition(session.name + "-absent", 0);
        Session.saw("absent topic", Session.errorOf(() ->
            session.admin.listOffsets(Map.of(absent, OffsetSpec.latest()), soon).partitionResult(absent).get()));
    }

    private static List<Object> at(Session session, String topic, int number, OffsetSpec spec) throws Exception {
        TopicPartition partition = new TopicPartition(topic, number);
        ListOffsetsResultInfo info =
            session.admin.listOffsets(Map.of(partition, spec)).partitionResult(partition).get();
        return List.of(info.offset(), info.timestamp(), info.leaderEpoch().orElse(-1));
    }

    private static void deleteRecords(Session session) throws Exception {
        String topic = session.topic("records", 2);
        session.produce(topic, 0, "0", "1", "2", "3", "4");
        session.produce(topic, 1, "0");
        TopicPartition zero = new TopicPartition(topic, 0);
        TopicPartition one = new TopicPartition(topic, 1);
        var both = session.admin.deleteRecords(
            Map.of(zero, RecordsToDelete.beforeOffset(3), one, RecordsToDelete.beforeOffset(9))).lowWatermarks();
        Session.saw("before 3 of 5", both.get(zero).get().lowWatermark());
        Session.saw("before 9 of 1", Session.outcome(both.get(one)));
        Session.saw("earliest", at(session, topic, 0, OffsetSpec.earliest()));
        Session.saw("all", session.admin.deleteRecords(Map.of(zero, RecordsToDelete.beforeOffset(-1)))
            .lowWatermarks().get(zero).get().lowWatermark());
        Session.saw("earliest and latest", List.of(
            at(session, topic, 0, OffsetSpec.earliest()), at(session, topic, 0, OffsetSpec.latest())));
    }

    private static void groups(Session session) throws Exception {
        String topic = session.topic("groups", 2);
        String active = session.name + "-active";
        String empty = session.name + "-empty";
        String absent = session.name + "-absent";
        TopicPartition zero = new TopicPartition(topic, 0);
        session.admin.alterConsumerGroupOffsets(empty, Map.of(zero, new OffsetAndMetadata(0))).all().get();
        try (KafkaConsumer<String, String> consumer =
            session.consumer(Map.of("group.id", active, "client.id", "member"))) {
            consumer.subscribe(List.of(topic));
            session.until("assignment", () -> {
                consumer.poll(Duration.ofMillis(50));
                return consumer.assignment().size() == 2;
            });
            Map<String, ListGroupsOptions> filters = new TreeMap<>(Map.of(
                "all", new ListGroupsOptions(),
                "stable", new ListGroupsOptions().inGroupStates(Set.of(GroupState.STABLE)),
                "empty", new ListGroupsOptions().inGroupStates(Set.of(GroupState.EMPTY)),
                "classic", new ListGroupsOptions().withTypes(Set.of(GroupType.CLASSIC)),
                "of the new type", new ListGroupsOptions().withTypes(Set.of(GroupType.CONSUMER)),
                "of consumers", ListGroupsOptions.forConsumerGroups()));
            for (Map.Entry<String, ListGroupsOptions> filter : filters.entrySet()) {
                Session.saw("listed, " + filter.getKey(),
                    session.admin.listGroups(filter.getValue()).valid().get().stream()
                    .filter(group -> group.groupId().startsWith(session.name))
                    .map(group -> String.join(" ", group.groupId().substring(session.name.length() + 1),
                        group.groupState().orElseThrow().toString(), group.type().orElseThrow().toString(),
                        group.protocol()).trim())
                    .sorted().toList());
            }

            var described = session.admin.describeConsumerGroups(List.of(active, empty, absent)).describedGroups();
            ConsumerGroupDescription group = described.get(active).get();
            MemberDescription member = group.members().iterator().next();
            Session.saw("described", List.of(
                group.groupState().toString(), group.type().toString(), group.partitionAssignor(),
                group.isSimpleConsumerGroup(),
                group.coordinator().id(), group.members().size()));
            Session.saw("member", List.of(
                member.clientId(), member.host(), member.consumerId().startsWith("member-"),
                member.groupInstanceId().isPresent(),
                member.assignment().topicPartitions().size()));
            ConsumerGroupDescription simple = described.get(empty).get();
            Session.saw("described, empty", List.of(simple.groupState().toString(), simple.isSimpleConsumerGroup()));
            Session.saw("described, absent", Session.outcome(described.get(absent)));
            Session.saw("described as classic", session.admin.describeClassicGroups(List.of(active)).describedGroups()
                .get(active).get().state().toString());

            var deleted = session.admin.deleteConsumerGroups(List.of(active, empty, absent)).deletedGroups();
            Session.saw("deleted", List.of(
                Session.outcome(deleted.get(active)), Session.outcome(deleted.get(empty)),
                Session.outcome(deleted.get(absent))));
            var offsets = session.admin.deleteConsumerGroupOffsets(active, Set.of(zero));
            Session.saw("offsets deleted of a topic in use", Session.outcome(offsets.partitionResult(zero)));
        }
        Session.saw("deleted when empty", Session.outcome(session.admin.deleteConsumerGroups(List.of(active)).all()));
    }

    private static void members(Session session) throws Exception {
        String topic = session.topic("members", 2);
        String group = session.name + "-group";
        try (KafkaConsumer<String, String> a = session.consumer(Map.of("group.instance.id", "a"));
                KafkaConsumer<String, String> b = session.consumer(Map.of())) {
            List<KafkaConsumer<String, String>> both = List.of(a, b);
            for (KafkaConsumer<String, String> consumer : both) consumer.subscribe(List.of(topic));
            session.until("assignment of one partition each", () -> {
                for (KafkaConsumer<String, String> consumer : both) consumer.poll(Duration.ofMillis(20));
                return both.stream().allMatch(consumer -> consumer.assignment().size() == 1);
            });
            RemoveMembersFromConsumerGroupOptions named =
                new RemoveMembersFromConsumerGroupOptions(Set.of(new MemberToRemove("a"), new MemberToRemove("x")));
            var removed = session.admin.removeMembersFromConsumerGroup(group, named);
            Session.saw("by instance", List.of(
                Session.outcome(removed.memberResult(new MemberToRemove("a"))),
                Session.outcome(removed.memberResult(new MemberToRemove("x")))));
            Session.saw("left", members(session, group));
            var all = session.admin.removeMembersFromConsumerGroup(group, new RemoveMembersFromConsumerGroupOptions());
            Session.saw("all", Session.outcome(all.all()));
            Session.saw("left after that", members(session, group));
        }
    }

    private static int members(Session session, String group) throws Exception {
        return session.admin.describeConsumerGroups(List.of(group)).describedGroups().get(group).get().members().size();
    }

    private static void groupOffsets(Session session) throws Exception {
        String topic = session.topic("committed", 2);
        String group = session.name + "-group";
        String other = session.name + "-other";
        TopicPartition zero = new TopicPartition(topic, 0);
        TopicPartition one = new TopicPartition(topic, 1);
        TopicPartition absent = new TopicPartition(session.name + "-absent", 0);
        Map<TopicPartition, OffsetAndMetadata> wanted = Map.of(
            zero, new OffsetAndMetadata(5, Optional.of(0), "a note"),
            one, new OffsetAndMetadata(7),
            absent, new OffsetAndMetadata(1));
        var altered = session.admin.alterConsumerGroupOffsets(group, wanted);
        Session.saw("altered", List.of(
            Session.outcome(altered.partitionResult(zero)), Session.outcome(altered.partitionResult(one)),
            Session.outcome(altered.partitionResult(absent))));
        session.admin.alterConsumerGroupOffsets(other, Map.of(zero, new OffsetAndMetadata(1))).all().get();

        Map<String, ListConsumerGroupOffsetsSpec> specs = Map.of(
            group, new ListConsumerGroupOffsetsSpec(),
            other, new ListConsumerGroupOffsetsSpec().topicPartitions(List.of(zero, one)),
            session.name + "-unused", new ListConsumerGroupOffsetsSpec());
        var listed = session.admin.listConsumerGroupOffsets(specs);
        Map<TopicPartition, OffsetAndMetadata> all = listed.partitionsToOffsetAndMetadata(group).get();
        Session.saw("all of one group", List.of(
            all.size(), all.get(zero).offset(), all.get(zero).leaderEpoch().orElse(-1), all.get(zero).metadata(),
            all.get(one).offset(), all.get(one).leaderEpoch().orElse(-1), all.get(one).metadata()));
        Map<TopicPartition, OffsetAndMetadata> some = listed.partitionsToOffsetAndMetadata(other).get();
        Session.saw("some of another", List.of(some.get(zero).offset(), some.get(one) == null));
        Session.saw("of an unused group", listed.partitionsToOffsetAndMetadata(session.name + "-unused").get().size());

        var deleted = session.admin.deleteConsumerGroupOffsets(group, Set.of(zero));
        Session.saw("deleted", Session.outcome(deleted.partitionResult(zero)));
        Session.saw("left", session.admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get().keySet()
            .stream().map(TopicPartition::partition).toList());
        Session.saw("of an absent group", Session.errorOf(() ->
            session.admin.deleteConsumerGroupOffsets(session.name + "-unused", Set.of(zero))
                .partitionResult(zero).get()));
    }

    private static void cluster(Session session) throws Exception {
        var described = session.admin.describeCluster(new DescribeClusterOptions().includeAuthorizedOperations(true));
        Node node = described.nodes().get().iterator().next();
        Session.saw("described", List.of(
            described.nodes().get().size(), (node.host() + ":" + node.port()).equals(session.bootstrap),
            described.controller().get().id(),
            described.clusterId().get().length()));
        Session.saw("operations", described.authorizedOperations().get().stream().map(Enum::name).sorted().toList());

        String topic = session.topic("cluster", 2);
        session.produce(topic, 0, "0", "1", "2");
        Map<String, LogDirDescription> dirs = session.admin.describeLogDirs(List.of(1)).allDescriptions().get().get(1);
        LogDirDescription dir = dirs.values().iterator().next();
        Set<Integer> partitions = new TreeSet<>();
        dir.replicaInfos().forEach((partition, info) -> {
            if (partition.topic().equals(topic)) partitions.add(partition.partition());
        });
        Session.saw("log directory", List.of(dirs.size(), dir.error() == null, partitions));
        Session.saw("sizes", List.of(
            dir.replicaInfos().get(new TopicPartition(topic, 0)).size() > 0,
            dir.replicaInfos().get(new TopicPartition(topic, 1)).size()));
        TopicPartitionReplica replica = new TopicPartitionReplica(topic, 0, 1);
        Session.saw("directory of a replica", session.admin.describeReplicaLogDirs(List.of(replica)).all().get()
            .get(replica).getCurrentReplicaLogDir().equals(dirs.keySet().iterator().next()));

        session.admin.alterConsumerGroupOffsets(
            session.name + "-group", Map.of(new TopicPartition(topic, 0), new OffsetAndMetadata(1))).all().get();
        session.until("internal topic", () -> session.admin.listTopics(new ListTopicsOptions().listInternal(true))
            .names().get().contains("__consumer_offsets"));
        Session.saw("hidden unless asked for",
            !session.admin.listTopics().names().get().contains("__consumer_offsets"));
        Session.saw("is internal", describe(session, "__consumer_offsets").isInternal());
        Session.saw("features", Session.outcome(session.admin.describeFeatures().featureMetadata()));
    }

    private static void reassignments(Session session) throws Exception {
        String topic = session.topic("reassigned", 1);
        TopicPartition zero = new TopicPartition(topic, 0);
        Session.saw("listed", session.admin.listPartitionReassignments().reassignments().get().size());
        Session.saw("listed of one",
            session.admin.listPartitionReassignments(Set.of(zero)).reassignments().get().size());
        Map<String, Optional<NewPartitionReassignment>> wanted = new TreeMap<>(Map.of(
            "to where it is", Optional.of(new NewPartitionReassignment(List.of(1))),
            "to no such broker", Optional.of(new NewPartitionReassignment(List.of(77))),
            "cancel", Optional.empty()));
        for (Map.Entry<String, Optional<NewPartitionReassignment>> each : wanted.entrySet()) {
            var altered = session.admin.alterPartitionReassignments(Map.of(zero, each.getValue()));
            Session.saw(each.getKey(), Session.outcome(altered.values().get(zero)));
        }
        TopicPartition absent = new TopicPartition(session.name + "-absent", 0);
        var altered = session.admin.alterPartitionReassignments(
            Map.of(absent, Optional.of(new NewPartitionReassignment(List.of(1)))));
        Session.saw("of an absent topic", Session.outcome(altered.values().get(absent)));
        Session.saw("replicas", describe(session, topic).partitions().stream()
            .map(partition -> ids(partition.replicas())).collect(Collectors.toList()));
    }
}
