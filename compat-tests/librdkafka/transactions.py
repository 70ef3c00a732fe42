"""Transactions: what readers see of them, what happens to offsets, and who is fenced."""

from confluent_kafka import KafkaException, TopicPartition

from session import main, saw


def transactional(session, suffix="id", **config):
    producer = session.producer(transactional_id=f"{session.name}-{suffix}", **config)
    producer.init_transactions(20)
    return producer


def send(producer, topic, values, partition=0):
    for value in values:
        producer.produce(topic, value, partition=partition)
    producer.flush(20)


def reader(session, topic, isolation="read_committed", partitions=1):
    consumer = session.consumer(isolation_level=isolation, enable_partition_eof=True)
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
    return consumer


def to_the_end(session, topic, isolation="read_committed", partitions=1):
    """The values up to the end of each partition, as the isolation level has it."""
    consumer = reader(session, topic, isolation, partitions)
    values, ends = [], set()
    while len(ends) < partitions:
        message = consumer.poll(0.2)
        session.check_time("end of the partition")
        if message is None:
            continue
        if message.error():
            ends.add(message.partition())
        else:
            values.append(message.value().decode())
    consumer.close()
    return sorted(values) if partitions > 1 else values


def failure(action, *args):
    """The name of the error, and what it allows: to abort, to try again, or neither."""
    try:
        action(*args)
        return "NONE"
    except KafkaException as exception:
        error = exception.args[0]
        kinds = {"abortable": error.txn_requires_abort(), "retriable": error.retriable(), "fatal": error.fatal()}
        return [error.name(), *(kind for kind, is_true in kinds.items() if is_true)]


def endings(session):
    """Commits and aborts one after the other, over partitions, with a transaction open at the end."""
    topic = session.topic("endings", partitions=3)
    producer = transactional(session)
    for round, commits in enumerate([True, False, True, False, False, True]):
        producer.begin_transaction()
        for partition in range(3):
            send(producer, topic, [f"{round}.{partition}"], partition)
        if commits:
            producer.commit_transaction(20)
        else:
            producer.abort_transaction(20)
    producer.begin_transaction()
    send(producer, topic, ["open"])
    committed = sorted(f"{round}.{partition}" for round in [0, 2, 5] for partition in range(3))
    saw("committed", to_the_end(session, topic, partitions=3) == committed)
    saw("everything", len(to_the_end(session, topic, "read_uncommitted", partitions=3)))
    producer.commit_transaction(20)
    session.until("commit", lambda: "open" in to_the_end(session, topic, partitions=3))
    saw("an empty one", [failure(producer.begin_transaction), failure(producer.commit_transaction, 20)])


def holding(session):
    """An open transaction holds back what comes behind it, also of others."""
    topic = session.topic("holding")
    slow, quick = transactional(session, "slow"), transactional(session, "quick")
    session.produce(topic, ["before"])
    slow.begin_transaction()
    send(slow, topic, ["slow"])
    quick.begin_transaction()
    send(quick, topic, ["quick"])
    quick.commit_transaction(20)
    session.produce(topic, ["behind"])
    saw("while it is open", to_the_end(session, topic))
    consumer = reader(session, topic)
    partition = TopicPartition(topic, 0)
    saw("its end", session.until("end", lambda: consumer.get_watermark_offsets(partition, 5)[1]))
    slow.abort_transaction(20)
    session.until("abort", lambda: to_the_end(session, topic) == ["before", "quick", "behind"])
    consumer.close()
    saw("when it is aborted", to_the_end(session, topic))


def offsets(session):
    """Offsets of a group count if the transaction is committed."""
    topic = session.topic("offsets")
    session.produce(topic, ["0", "1", "2", "3"])
    consumer = session.consumer()
    consumer.subscribe([topic])
    session.take(consumer, 4)
    group = consumer.consumer_group_metadata()
    producer = transactional(session)
    committed = lambda: consumer.committed([TopicPartition(topic, 0)], 10)[0].offset
    producer.begin_transaction()
    producer.send_offsets_to_transaction([TopicPartition(topic, 0, 2)], group, 20)
    producer.commit_transaction(20)
    saw("committed", session.until("committed offset", lambda: committed() == 2 and 2))
    producer.begin_transaction()
    producer.send_offsets_to_transaction([TopicPartition(topic, 0, 4)], group, 20)
    producer.abort_transaction(20)
    saw("aborted", session.until("aborted offset", lambda: committed() == 2 and 2))
    consumer.close()
    # The member is gone, and with it the generation that the metadata names.
    producer.begin_transaction()
    saw("of a member that left", failure(producer.send_offsets_to_transaction, [TopicPartition(topic, 0, 3)], group, 20))
    producer.abort_transaction(20)


def fencing(session):
    """A second producer of the same id ends what the first left open, and the first is refused."""
    topic = session.topic("fencing")
    zombie = transactional(session)
    zombie.begin_transaction()
    send(zombie, topic, ["left open"])
    successor = transactional(session)
    successor.begin_transaction()
    send(successor, topic, ["of the successor"])
    saw("commit of the zombie", failure(zombie.commit_transaction, 20))
    successor.commit_transaction(20)
    session.until("commit", lambda: to_the_end(session, topic) == ["of the successor"])
    saw("seen", to_the_end(session, topic))


def copying(session):
    """What is consumed is produced once, with aborts on the way."""
    source, target = session.topic("source"), session.topic("target")
    session.produce(source, [str(i) for i in range(200)])
    consumer = session.consumer(isolation_level="read_committed")
    consumer.subscribe([source])
    producer = transactional(session)
    attempt = done = 0
    while done < 200:
        messages = session.take(consumer, 1)
        while len(messages) < 20 and (more := consumer.poll(0.01)) is not None:
            messages.append(more)
        producer.begin_transaction()
        for message in messages:
            producer.produce(target, message.value())
        # An abort drops what was not sent.
        producer.flush(20)
        position = TopicPartition(source, 0, messages[-1].offset() + 1)
        producer.send_offsets_to_transaction([position], consumer.consumer_group_metadata(), 20)
        attempt += 1
        if attempt % 3 == 1:
            producer.abort_transaction(20)
            consumer.seek(TopicPartition(source, 0, messages[0].offset()))
        else:
            producer.commit_transaction(20)
            done = messages[-1].offset() + 1
    consumer.close()
    expected = [str(i) for i in range(200)]
    session.until("commit", lambda: to_the_end(session, target) == expected)
    saw("exactly once", to_the_end(session, target) == expected)
    saw("with aborted ones", len(to_the_end(session, target, "read_uncommitted")) > 200)


def timing_out(session):
    """A transaction that takes too long is aborted, and its producer cannot commit it."""
    topic = session.topic("late")
    producer = transactional(session, transaction_timeout_ms=1000)
    producer.begin_transaction()
    send(producer, topic, ["late"])
    session.produce(topic, ["behind"])
    session.until("abort by the broker", lambda: to_the_end(session, topic) == ["behind"])
    saw("commit", failure(producer.commit_transaction, 20)[0])


main(
    {
        "endings": endings,
        "holding": holding,
        "offsets": offsets,
        "fencing": fencing,
        "copying": copying,
        "timing_out": timing_out,
    }
)
