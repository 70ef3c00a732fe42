"""Producing records and reading them back."""

from confluent_kafka import KafkaException, TopicPartition

from session import main, saw, values_of


def codecs(session):
    """Each compression, with keys, headers, timestamps and tombstones."""
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"]:
        topic = session.topic(codec)
        headers = [("codec", codec.encode()), ("codec", b"again"), ("nothing", None), ("empty", b"")]
        sent = [(f"key-{i % 7}".encode(), f"value-{i} ".encode() * 20, 1_700_000_000_000 + i) for i in range(50)]
        sent[47] = (b"key", b"", 1_700_000_000_047)
        sent[48] = (None, b"no key", 1_700_000_000_048)
        sent[49] = (b"gone", None, 1_700_000_000_049)
        reports = []
        producer = session.producer(compression_type=codec, linger_ms=50)
        for key, value, timestamp in sent:
            producer.produce(
                topic, value, key, timestamp=timestamp, headers=headers, on_delivery=lambda *r: reports.append(r)
            )
        producer.flush(20)

        consumer = session.consumer()
        consumer.assign([TopicPartition(topic, 0, 0)])
        received = session.take(consumer, 50)
        consumer.close()
        saw(
            codec,
            {
                "errors": [str(error) for error, _ in reports if error],
                "equal": [(m.key(), m.value(), m.timestamp()[1]) for m in received] == sent,
                "headers": all(m.headers() == headers for m in received),
                "offsets": [m.offset() for _, m in reports] == list(range(50)) == [m.offset() for m in received],
            },
        )


def acks(session):
    """Each level of acknowledgement; the first is answered by nothing."""
    topic = session.topic("acks")
    consumer = session.consumer()
    for acks in ["0", "1", "all"]:
        session.produce(topic, [f"acks {acks}"], acks=acks)
        partition = TopicPartition(topic, 0)
        before = {"0": 0, "1": 1, "all": 2}[acks]
        session.until("stored record", lambda: consumer.get_watermark_offsets(partition, 2)[1] == before + 1)
    consumer.assign([TopicPartition(topic, 0, 0)])
    saw("stored", values_of(session.take(consumer, 3)))
    consumer.close()


def idempotence(session):
    """Two idempotent producers with many requests in flight keep their order and lose nothing."""
    topic = session.topic("idempotent")
    reports = {"a": [], "b": []}
    producers = {
        name: session.producer(enable_idempotence=True, linger_ms=0, batch_num_messages=10) for name in reports
    }
    for i in range(500):
        for name, producer in producers.items():
            producer.produce(topic, f"{name}-{i}", partition=0, on_delivery=lambda *r, n=name: reports[n].append(r))
            producer.poll(0)
    for producer in producers.values():
        producer.flush(20)

    consumer = session.consumer()
    consumer.assign([TopicPartition(topic, 0, 0)])
    values = values_of(session.take(consumer, 1000))
    consumer.close()
    for name in reports:
        saw(
            name,
            {
                "errors": [str(error) for error, _ in reports[name] if error],
                "in order": [v for v in values if v.startswith(name)] == [f"{name}-{i}" for i in range(500)],
                "offsets as acknowledged": all(values[m.offset()] == m.value().decode() for _, m in reports[name]),
            },
        )


def reports(session):
    """What a delivery report says, about success and about each refusal."""
    creation, append = session.topic("create-time", 2), session.topic(
        "append-time", message_timestamp_type="LogAppendTime"
    )
    small = session.topic("small", max_message_bytes="1000")
    compacted = session.topic("compacted", cleanup_policy="compact")

    def report(topic, value=b"value", *, config={}, **record):
        seen = []
        producer = session.producer(**config)
        try:
            producer.produce(topic, value, on_delivery=lambda error, message: seen.append((error, message)), **record)
        except KafkaException as exception:
            return exception.args[0].name(), None
        producer.flush(20)
        error, message = seen[0]
        return ("NONE" if error is None else error.name()), message

    error, message = report(creation, timestamp=1_700_000_000_000, partition=1)
    saw("create time", [error, message.partition(), message.offset(), list(message.timestamp())])
    saw("latency and topic", [message.latency() > 0, message.topic() == creation])
    error, message = report(append, timestamp=1_700_000_000_000)
    saw("append time", [error, message.timestamp()[0], message.timestamp()[1] > 1_700_000_000_000])
    consumer = session.consumer()
    consumer.assign([TopicPartition(append, 0, 0)])
    saw("append time as acknowledged", session.take(consumer, 1)[0].timestamp() == message.timestamp())
    consumer.close()

    saw("2000 bytes where 1000 are allowed", report(small, b"x" * 2000)[0])
    saw("900 bytes where 1000 are allowed", report(small, b"x" * 900)[0])
    saw("no key on a compacted topic", report(compacted)[0])
    saw("a key on a compacted topic", report(compacted, key=b"key")[0])
    saw("a partition that is not there", report(creation, partition=7)[0])
    absent = {"allow_auto_create_topics": False}
    saw("a topic that is not there", report(session.name + "-absent", config=absent)[0])
    saw("a topic that is not there, with automatic creation", report(session.name + "-automatic")[0])
    saw("an invalid topic name", report("not/valid")[0])


def large(session):
    """Batches near the default limits, with fetches smaller than a batch."""
    topic = session.topic("large")
    values = [bytes([i]) * 900_000 for i in range(6)]
    session.produce(topic, values)
    consumer = session.consumer(fetch_message_max_bytes=10_000, fetch_max_bytes=1_000_000, message_max_bytes=1_000_000)
    consumer.assign([TopicPartition(topic, 0, 0)])
    saw("intact", [m.value() for m in session.take(consumer, 6)] == values)
    consumer.close()


def many(session):
    """Enough records for many batches and fetches, over several partitions by key."""
    topic, count = session.topic("many", 4), 20_000
    producer = session.producer(compression_type="lz4", partitioner="murmur2_random")
    placed, errors = {}, []

    def delivered(error, message):
        errors.append(error) if error else placed.__setitem__(message.value(), (message.partition(), message.offset()))

    for i in range(count):
        producer.produce(topic, str(i), f"key-{i % 100}", on_delivery=delivered)
        if i % 100 == 0:
            producer.poll(0)
    producer.flush(20)

    consumer = session.consumer()
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(4)])
    found = {m.value(): (m.partition(), m.offset()) for m in session.take(consumer, count)}
    ends = [consumer.get_watermark_offsets(TopicPartition(topic, partition), 5)[1] for partition in range(4)]
    consumer.close()
    saw("errors", len(errors))
    saw("found where acknowledged", found == placed and len(found) == count)
    saw("sum of the ends", sum(ends))
    saw("partitions used", len({partition for partition, _ in placed.values()}))


main({"codecs": codecs, "acks": acks, "idempotence": idempotence, "reports": reports, "large": large, "many": many})
