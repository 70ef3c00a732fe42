"""Every call of the admin client that needs no transactions, ACLs or credentials."""

from confluent_kafka import ConsumerGroupState, ConsumerGroupTopicPartitions, TopicCollection, TopicPartition
from confluent_kafka.admin import (
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from session import main, outcome, saw


def topics(session):
    admin, topic = session.admin, session.name + "-topic"
    create = lambda *new, **how: outcome(admin.create_topics([NewTopic(*new)], **how)[new[0]])
    saw("validate only", create(topic, 3, 1, validate_only=True))
    saw("create", create(topic, 3, 1))
    saw("again", create(topic, 3, 1))
    saw("with 3 replicas", create(session.name + "-replicated", 1, 3))
    saw("with an invalid name", create("not/valid", 1, 1))
    assigned = NewTopic(session.name + "-assigned", 2, replica_assignment=[[1], [1]])
    saw("with an assignment", outcome(admin.create_topics([assigned])[assigned.topic]))
    to_nowhere = NewTopic(session.name + "-nowhere", 1, replica_assignment=[[77]])
    saw("with an assignment to no broker", outcome(admin.create_topics([to_nowhere])[to_nowhere.topic]))
    bad = NewTopic(session.name + "-bad", 1, 1, config={"retention.ms": "soon"})
    saw("with a bad setting", outcome(admin.create_topics([bad])[bad.topic]))

    grow = lambda count, **how: outcome(admin.create_partitions([NewPartitions(topic, count)], **how)[topic])
    saw("more partitions, validate only", grow(5, validate_only=True))
    saw("more partitions", grow(5))
    count = lambda: len(admin.list_topics(topic, 5).topics[topic].partitions)
    session.until("more partitions", lambda: count() == 5)
    saw("fewer partitions", grow(2))
    absent = session.name + "-absent"
    saw("partitions of an absent topic", outcome(admin.create_partitions([NewPartitions(absent, 2)])[absent]))

    described = admin.describe_topics(TopicCollection([topic, absent]))
    one = described[topic].result()
    saw(
        "described",
        {
            "name": one.name == topic,
            "internal": one.is_internal,
            "partitions": [partition.id for partition in one.partitions],
            "leader": one.partitions[4].leader.id,
            "replicas": [node.id for node in one.partitions[4].replicas],
            "isr": [node.id for node in one.partitions[4].isr],
            "has an id": str(one.topic_id) != "AAAAAAAAAAAAAAAAAAAAAA",
        },
    )
    saw("described, absent", outcome(described[absent]))

    deleted = admin.delete_topics([topic, absent])
    saw("delete", [outcome(deleted[topic]), outcome(deleted[absent])])
    session.until("deleted topic", lambda: topic not in admin.list_topics(timeout=5).topics)
    saw("created again", create(topic, 1, 1))
    session.until("new topic", lambda: topic in admin.list_topics(timeout=5).topics)
    again = admin.describe_topics(TopicCollection([topic]))[topic].result()
    saw("has another id", str(again.topic_id) != str(one.topic_id))


def configs(session):
    admin, topic = session.admin, session.topic("configs", retention_ms="1000")

    def described(resource, *names):
        entries = admin.describe_configs([resource])[resource].result()
        return {n: [entries[n].value, ConfigSource(entries[n].source).name, entries[n].is_read_only] for n in names}

    of_topic = ConfigResource(ResourceType.TOPIC, topic)
    of_broker = ConfigResource(ResourceType.BROKER, "1")
    saw("of the topic", described(of_topic, "retention.ms", "cleanup.policy", "segment.bytes"))
    saw(
        "of the broker",
        described(of_broker, "offsets.topic.num.partitions", "log.retention.hours", "auto.create.topics.enable"),
    )
    synonyms = admin.describe_configs([of_topic])[of_topic].result()["retention.ms"].synonyms
    saw("synonyms", {name: entry.value for name, entry in synonyms.items()})

    def change(name, operation, value, resource=ResourceType.TOPIC, resource_name=topic, **how):
        entry = ConfigEntry(name, value, incremental_operation=operation)
        wanted = ConfigResource(resource, resource_name, incremental_configs=[entry])
        return outcome(admin.incremental_alter_configs([wanted], **how)[wanted])

    op = AlterConfigOpType
    all_three = lambda: described(of_topic, "retention.ms", "cleanup.policy", "segment.bytes")
    saw("validate only", change("retention.ms", op.SET, "7", validate_only=True))
    for name, operation, value in [
        ("segment.bytes", op.SET, "1048576"),
        ("cleanup.policy", op.APPEND, "compact"),
        ("retention.ms", op.DELETE, None),
        ("cleanup.policy", op.SUBTRACT, "delete"),
    ]:
        apply = lambda: saw(f"{operation.name} {name}", change(name, operation, value))
        saw(f"after {operation.name} {name}", session.changed(all_three, apply)[name])
    saw(
        "refused",
        [
            change("retention.ms", op.SET, "soon"),
            change("no.such.setting", op.SET, "1"),
            change("retention.ms", op.APPEND, "1"),
            change("retention.ms", op.SET, "1", resource_name=session.name + "-absent"),
            change("node.id", op.SET, "2", ResourceType.BROKER, "1"),
        ],
    )

    replacement = ConfigResource(ResourceType.TOPIC, topic, set_config={"max.message.bytes": "2000"})
    replace = lambda: saw("replace", outcome(admin.alter_configs([replacement])[replacement]))
    some = lambda: described(of_topic, "max.message.bytes", "cleanup.policy", "segment.bytes")
    saw("after the replacement", session.changed(some, replace))

    two = lambda: described(of_broker, "log.retention.bytes", "log.retention.ms")
    dynamic = ("log.retention.bytes", op.SET, "1000000", ResourceType.BROKER, "1")
    saw("of the broker after that", session.changed(two, lambda: saw("set of the broker", change(*dynamic))))
    saw("inherited by the topic", described(of_topic, "retention.bytes"))
    restored = ("log.retention.bytes", op.DELETE, None, ResourceType.BROKER, "1")
    saw("of the broker as before", session.changed(two, lambda: saw("delete of the broker", change(*restored))))


def groups(session):
    admin, topic = session.admin, session.topic("groups", 2)
    active, empty, absent = (f"{session.name}-{suffix}" for suffix in ("active", "empty", "absent"))
    commit = ConsumerGroupTopicPartitions(empty, [TopicPartition(topic, 0, 0)])
    admin.alter_consumer_group_offsets([commit])[empty].result()
    consumer = session.consumer(group_id=active, client_id="member")
    consumer.subscribe([topic])
    session.until("assignment", lambda: consumer.poll(0.05) or len(consumer.assignment()) == 2)

    def listed(**filters):
        result = admin.list_consumer_groups(**filters).result()
        mine = {group.group_id: group for group in result.valid}
        names = {active: "active", empty: "empty", absent: "absent"}
        return {names[g]: [mine[g].state.name, mine[g].is_simple_consumer_group] for g in names if g in mine}

    saw("listed", listed())
    saw("listed as stable", listed(states={ConsumerGroupState.STABLE}))
    saw("listed as empty", listed(states={ConsumerGroupState.EMPTY}))

    described = admin.describe_consumer_groups([active, empty, absent])
    one = described[active].result()
    member = one.members[0]
    saw(
        "described",
        {
            "state": one.state.name,
            "type": one.type.name,
            "assignor": one.partition_assignor,
            "coordinator": one.coordinator.id,
            "client": member.client_id,
            "member": member.member_id == consumer.memberid(),
            "host": member.host.lstrip("/"),
            "instance": member.group_instance_id,
            "assigned": sorted(p.partition for p in member.assignment.topic_partitions),
        },
    )
    saw("described, empty", described[empty].result().state.name)
    saw("described, absent", described[absent].result().state.name)
    old = {group.id: group for group in admin.list_groups(timeout=5)}
    saw("by the older call", [old[active].state, old[active].protocol, old[empty].state, len(old[active].members)])

    deleted = admin.delete_consumer_groups([active, empty, absent])
    saw("deleted", [outcome(deleted[group]) for group in (active, empty, absent)])
    consumer.close()
    saw("deleted when empty", outcome(admin.delete_consumer_groups([active])[active]))
    saw("listed after that", listed())


def offsets(session):
    admin, topic = session.admin, session.topic("offsets", 2)
    group, unused = session.name + "-group", session.name + "-unused"

    def alter(group, *partitions):
        return admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, list(partitions))])[group]

    def listed(group, partitions=None):
        result = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group, partitions)])[group].result()
        return sorted([p.partition, p.offset, p.error and p.error.name()] for p in result.topic_partitions)

    saw("altered", outcome(alter(group, TopicPartition(topic, 0, 5), TopicPartition(topic, 1, 7))))
    saw("all", listed(group))
    saw("some", listed(group, [TopicPartition(topic, 1), TopicPartition(topic, 9)]))
    saw("of a group that has none", listed(unused))
    refused = alter(group, TopicPartition(session.name + "-absent", 0, 1)).result()
    saw("for an absent topic", refused.topic_partitions[0].error.name())

    consumer = session.consumer(group_id=group)
    consumer.subscribe([topic])
    session.until("assignment", lambda: consumer.poll(0.05) or len(consumer.assignment()) == 2)
    in_use = alter(group, TopicPartition(topic, 0, 1))
    saw("while the group has members", in_use.result().topic_partitions[0].error.name())
    consumer.close()
    saw("left as they were", listed(group))


def records(session):
    admin, topic = session.admin, session.topic("records", 2)
    producer = session.producer()
    for i, second in enumerate([10, 20, 50, 40, 30]):
        producer.produce(topic, str(i), partition=0, timestamp=1_000_000 + second * 1000)
        producer.flush(20)

    def at(spec):
        wanted = {TopicPartition(topic, partition): spec for partition in (0, 1)}
        answers = admin.list_offsets(wanted)
        found = {p.partition: future.result() for p, future in answers.items()}
        return [[found[p].offset, found[p].timestamp, found[p].leader_epoch] for p in (0, 1)]

    saw("earliest", at(OffsetSpec.earliest()))
    saw("latest", at(OffsetSpec.latest()))
    saw("largest timestamp", at(OffsetSpec.max_timestamp()))
    saw("by time", at(OffsetSpec.for_timestamp(1_015_000)))
    saw("after all", at(OffsetSpec.for_timestamp(2_000_000)))
    absent = TopicPartition(session.name + "-absent", 0)
    saw("of an absent topic", outcome(admin.list_offsets({absent: OffsetSpec.latest()})[absent]))

    def delete(offset):
        partition = TopicPartition(topic, 0, offset)
        future = admin.delete_records([partition])[partition]
        return [outcome(future), future.exception() is None and future.result().low_watermark]

    saw("delete before 2", delete(2))
    saw("delete before 1", delete(1))
    saw("delete beyond the end", delete(9))
    saw("earliest after that", at(OffsetSpec.earliest()))
    saw("delete all", delete(-1))
    saw("earliest after all", at(OffsetSpec.earliest()))


def cluster(session):
    admin = session.admin
    described = admin.describe_cluster(include_authorized_operations=True).result()
    saw(
        "described",
        {
            "cluster id": described.cluster_id == admin.list_topics(timeout=5).cluster_id == admin.cluster_id(5),
            "nodes": [node.id for node in described.nodes],
            "controller": described.controller.id,
            "address": f"{described.nodes[0].host}:{described.nodes[0].port}" == session.bootstrap,
            "operations": sorted(operation.name for operation in described.authorized_operations),
        },
    )


main(
    {"topics": topics, "configs": configs, "groups": groups, "offsets": offsets, "records": records, "cluster": cluster}
)
