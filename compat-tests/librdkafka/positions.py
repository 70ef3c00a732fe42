"""Where a consumer reads: watermarks, seeks, times, pauses, and the topics it can list."""

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, KafkaError, KafkaException, TopicPartition

from session import error_of, main, saw, values_of


def timed_topic(session, suffix, partitions=1):
    """Ten records 0..9 in partition 0, one second apart from 1,000,000 on."""
    topic = session.topic(suffix, partitions)
    producer = session.producer()
    for i in range(10):
        producer.produce(topic, str(i), partition=0, timestamp=1_000_000 + i * 1000)
    producer.flush(20)
    return topic


def watermarks(session):
    topic = timed_topic(session, "watermarks", 2)
    consumer = session.consumer()
    asked = lambda partition, **how: list(consumer.get_watermark_offsets(TopicPartition(topic, partition), **how))
    saw("asked", [asked(0, timeout=5), asked(1, timeout=5)])
    consumer.assign([TopicPartition(topic, 0, 5)])
    session.take(consumer, 1)
    saw("remembered from the fetch", asked(0, cached=True)[1])
    saw("of an absent partition", error_of(asked, 7, timeout=5))
    consumer.close()


def seek(session):
    topic = timed_topic(session, "seek")
    consumer = session.consumer(enable_partition_eof=True, auto_offset_reset="error")
    first = lambda: consumer_value(session, consumer)
    consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    saw("beginning", first())
    for offset in [7, 3]:
        consumer.seek(TopicPartition(topic, 0, offset))
        saw(f"offset {offset}", first())
    saw("position", consumer.position([TopicPartition(topic, 0)])[0].offset)
    consumer.seek(TopicPartition(topic, 0, OFFSET_END))
    saw("end", first())
    consumer.seek(TopicPartition(topic, 0, -2000 - 3))  # RD_KAFKA_OFFSET_TAIL(3)
    saw("3 before the end", first())
    consumer.seek(TopicPartition(topic, 0, 500))
    saw("beyond the end", first())
    consumer.close()

    for reset in ["earliest", "latest"]:
        consumer = session.consumer(enable_partition_eof=True, auto_offset_reset=reset)
        consumer.assign([TopicPartition(topic, 0, 500)])
        saw(f"beyond the end, reset to {reset}", consumer_value(session, consumer))
        consumer.close()


def consumer_value(session, consumer):
    """The next record's value, or the name of the error or event that came instead."""
    while True:
        session.check_time("record or event")
        message = consumer.poll(0.2)
        if message is not None:
            return message.error().name() if message.error() else message.value().decode()


def pause(session):
    topics = [timed_topic(session, "paused"), timed_topic(session, "running")]
    consumer = session.consumer(fetch_message_max_bytes=100)
    consumer.assign([TopicPartition(topic, 0, 0) for topic in topics])
    consumer.pause([TopicPartition(topics[0], 0)])
    while_paused = session.take(consumer, 10)
    saw("while one is paused", sorted({message.topic() == topics[1] for message in while_paused}))
    saw("nothing more", consumer.poll(0.3) is None)
    consumer.resume([TopicPartition(topics[0], 0)])
    saw("after resume", values_of(session.take(consumer, 10)))
    consumer.close()


def times(session):
    topic = timed_topic(session, "times", 2)
    consumer = session.consumer()
    for name, timestamp in [("before all", 1), ("exact", 1_003_000), ("between", 1_003_001), ("after all", 2_000_000)]:
        asked = [TopicPartition(topic, partition, timestamp) for partition in (0, 1)]
        saw(name, [partition.offset for partition in consumer.offsets_for_times(asked, 5)])
    start = consumer.offsets_for_times([TopicPartition(topic, 0, 1_005_500)], 5)
    consumer.assign(start)
    saw("read from a time", values_of(session.take(consumer, 4)))
    consumer.close()


def topics(session):
    """The request for all topics carries three bytes too many; the connection must go on working after it."""
    topic = session.topic("listed", 3)
    consumer = session.consumer()
    for attempt in range(3):
        everything = consumer.list_topics(timeout=5)
        saw(
            f"all, {attempt}",
            {
                "listed": len(everything.topics[topic].partitions),
                "error": everything.topics[topic].error,
                "brokers": len(everything.brokers),
                "cluster id": len(everything.cluster_id) > 0,
                "controller": everything.controller_id in everything.brokers,
            },
        )
        one = consumer.list_topics(topic, 5)
        saw(f"one, {attempt}", [len(one.topics), one.topics[topic].partitions[2].leader in one.brokers])
    absent = session.name + "-absent"
    saw("an absent one", consumer.list_topics(absent, 5).topics[absent].error.name())
    saw("not created by asking", absent in consumer.list_topics(timeout=5).topics)
    consumer.close()


main({"watermarks": watermarks, "seek": seek, "pause": pause, "times": times, "topics": topics})
