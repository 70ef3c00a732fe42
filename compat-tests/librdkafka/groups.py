"""Consumer groups: rebalances of both kinds, static members, commits."""

import threading

from confluent_kafka import KafkaException, TopicPartition

from session import error_of, main, saw, values_of


class Member:
    """A consumer of a group that records what it was told and what it read. Polled by the theme, in one thread.

    It commits when partitions are taken from it and not after each record: a commit in the middle of a cooperative
    rebalance waits on the connection behind the join, which waits until the other members are polled.
    """

    def __init__(self, session, topic, **config):
        self.session = session
        self.is_leaving = False
        self.owned = set()
        self.calls = []
        self.consumer = session.consumer(enable_auto_offset_store=False, **config)
        self.consumer.subscribe([topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)

    def _assigned(self, consumer, partitions):
        self.calls.append(["assigned", len(partitions)])
        self.owned |= {partition.partition for partition in partitions}

    def _revoked(self, consumer, partitions):
        if not self.is_leaving:
            self.commit()
        self.calls.append(["revoked", len(partitions)])
        self.owned -= {partition.partition for partition in partitions}

    def _lost(self, consumer, partitions):
        self.calls.append(["lost", len(partitions)])
        self.owned -= {partition.partition for partition in partitions}

    def commit(self):
        """Commits what was read. The end of a rebalance may not have reached this member yet; then it tries again."""
        done = ("NONE", "_NO_OFFSET")
        self.session.until("commit", lambda: error_of(self.consumer.commit, asynchronous=False) in done)

    def leave(self):
        """Commits before it closes: a close in the last steps of a rebalance drops the offsets that wait for one."""
        self.commit()
        self.is_leaving = True
        self.consumer.close()


def rebalance(session, strategy):
    """Three members join and leave while a producer goes on."""
    topic = session.topic("rebalance", 6)
    produced, stop = [0], threading.Event()
    producer = session.producer(enable_idempotence=True)

    def produce():
        while not stop.wait(0.001):
            producer.produce(topic, str(produced[0] // 6), partition=produced[0] % 6)
            produced[0] += 1
            producer.poll(0)
        producer.flush(20)

    load = threading.Thread(target=produce)
    load.start()
    journal = {partition: [] for partition in range(6)}

    def poll(members):
        for member in members:
            message = member.consumer.poll(0.01)
            while message is not None:
                if message.error():
                    raise KafkaException(message.error())
                journal[message.partition()].append(message.value().decode())
                member.consumer.store_offsets(message)
                message = member.consumer.poll(0)

    def owned_by(members, counts):
        def reached():
            poll(members)
            return sorted(len(member.owned) for member in members) == counts

        session.until(f"assignment {counts}", reached)
        return sorted(partition for member in members for partition in member.owned)

    try:
        a = Member(session, topic, partition_assignment_strategy=strategy, client_id="a")
        saw("one member owns", owned_by([a], [6]))
        b = Member(session, topic, partition_assignment_strategy=strategy, client_id="b")
        saw("two members own", owned_by([a, b], [3, 3]))
        saw("the first gave up", [count for call, count in a.calls if call == "revoked"])
        c = Member(session, topic, partition_assignment_strategy=strategy, client_id="c")
        saw("three members own", owned_by([a, b, c], [2, 2, 2]))

        described = session.admin.describe_consumer_groups([session.name + "-group"])[session.name + "-group"].result()
        saw(
            "described",
            [described.state.name, described.partition_assignor, sorted(m.client_id for m in described.members)],
        )
        b.leave()
        saw("two remain and own", owned_by([a, c], [3, 3]))
        a.leave()
        saw("one remains and owns", owned_by([c], [6]))
    finally:
        stop.set()
        load.join()

    def all_read():
        poll([c])
        return sum(map(len, journal.values())) >= produced[0]

    session.until("all records", all_read)
    c.leave()
    wrong = {p: values for p, values in journal.items() if values != [str(i) for i in range(len(values))]}
    saw("out of order, missing or twice", wrong)
    saw("enough records to tell", produced[0] > 20)
    saw("lost", [count for member in (a, b, c) for call, count in member.calls if call == "lost"])


def static(session):
    """A member with an instance id comes back without the others noticing."""
    topic = session.topic("static", 4)

    def until_owned(what, wanted):
        """Polls members until each owns its number of partitions. The topic has no records."""

        def reached():
            for member in wanted:
                member.consumer.poll(0.01)
            return all(len(member.owned) == count for member, count in wanted.items())

        session.until(what, reached)

    a = Member(session, topic, group_instance_id="instance-a")
    until_owned("first assignment", {a: 4})
    b = Member(session, topic, group_instance_id="instance-b")
    until_owned("shared assignment", {a: 2, b: 2})
    before, old_id = len(a.calls), b.consumer.memberid()
    b.consumer.close()
    b = Member(session, topic, group_instance_id="instance-b")
    until_owned("assignment of the restarted", {a: 2, b: 2})
    saw("another member id", b.consumer.memberid() != old_id)
    saw("calls of the other meanwhile", len(a.calls) - before)

    # A second consumer with the same instance id takes over; the first is fenced.
    twin = Member(session, topic, group_instance_id="instance-b")
    until_owned("assignment of the twin", {twin: 2})
    fenced = lambda: next((m.error().name() for m in b.consumer.consume(1, 0.05) if m.error()), None)
    saw("the fenced one is told", session.until("fencing", fenced))
    for member in (a, b, twin):
        member.consumer.close()


def commits(session):
    """Commits by message, by offset with metadata, of stored offsets and in the background."""
    topic = session.topic("commits", 2)
    session.produce(topic, [str(i) for i in range(10)])
    committed = lambda consumer: [p.offset for p in consumer.committed([TopicPartition(topic, n) for n in (0, 1)], 5)]

    consumer = session.consumer()
    consumer.subscribe([topic])
    messages = session.take(consumer, 10)
    saw("nothing committed yet", committed(consumer))
    consumer.commit(messages[3], asynchronous=False)
    saw("by message", committed(consumer))
    consumer.commit(offsets=[TopicPartition(topic, 0, 6, "a note"), TopicPartition(topic, 1, 0)], asynchronous=False)
    saw("by offset", committed(consumer))
    saw("metadata", consumer.committed([TopicPartition(topic, 0)], 5)[0].metadata)
    absent = [TopicPartition(topic, 7, 1)]
    saw("absent partition", error_of(consumer.commit, offsets=absent, asynchronous=False))
    consumer.commit(asynchronous=False)
    saw("position", committed(consumer))
    consumer.close()

    consumer = session.consumer(enable_auto_offset_store=False)
    consumer.subscribe([topic])
    session.produce(topic, ["10", "11", "12"])
    messages = session.take(consumer, 3)
    saw("goes on at", messages[0].value().decode())
    consumer.store_offsets(messages[1])
    consumer.commit(asynchronous=False)
    saw("stored", committed(consumer))
    saw("nothing new to commit", error_of(consumer.commit, asynchronous=False))
    consumer.close()

    calls = []
    consumer = session.consumer(
        enable_auto_commit=True, auto_commit_interval_ms=50, on_commit=lambda error, partitions: calls.append(error)
    )
    consumer.subscribe([topic])
    session.take(consumer, 1)
    session.until("automatic commit", lambda: consumer.poll(0.01) or (calls and committed(consumer)[0] == 13))
    saw("automatic", [calls[0], committed(consumer)[0]])
    consumer.close()

    consumer = session.consumer(
        group_id=session.name + "-on-close", enable_auto_commit=True, auto_commit_interval_ms=60_000
    )
    consumer.subscribe([topic])
    session.take(consumer, 5)
    consumer.close()
    consumer = session.consumer(group_id=session.name + "-on-close")
    saw("on close", committed(consumer)[0])
    consumer.close()


def fencing(session):
    """A member that does not poll in time leaves; its commit comes too late."""
    topic = session.topic("fencing")
    session.produce(topic, ["0", "1", "2"])
    slow = Member(session, topic, session_timeout_ms=1000, max_poll_interval_ms=1000)
    message = session.take(slow.consumer, 1)[0]
    fast = Member(session, topic)
    session.until("takeover", lambda: fast.consumer.poll(0.01) or len(fast.owned) == 1)
    saw("commit of the slow one", error_of(slow.consumer.commit, message, asynchronous=False))
    first = None
    while first is None or first.error() is None or first.error().name() != "_MAX_POLL_EXCEEDED":
        session.check_time("notice of the slow one")
        first = slow.consumer.poll(0.1)
    saw("the slow one is told", first.error().name())
    fast.consumer.close()
    slow.consumer.close()


main(
    {
        "range": lambda session: rebalance(session, "range"),
        "cooperative": lambda session: rebalance(session, "cooperative-sticky"),
        "static": static,
        "commits": commits,
        "fencing": fencing,
    }
)
