"""What the themes share: clients of the broker under test, waiting, and the report of what was seen.

Each thing looked at is printed as one JSON line, {"what was looked at": what was seen}; what is right is known by the
test file that runs these scripts.
"""

import json
import os
import sys
import time
import traceback

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec


class Session:
    """One run of a theme. Its name is a prefix that no other run uses for topics and groups."""

    def __init__(self, bootstrap, name):
        self.bootstrap = bootstrap
        self.name = name
        self.admin = AdminClient(self._config({}))
        self.deadline = time.monotonic() + 45

    def _config(self, config):
        # Short intervals, so that a test need not wait for the defaults of a long-running client.
        common = {
            "bootstrap.servers": self.bootstrap,
            "client.id": self.name,
            "topic.metadata.refresh.interval.ms": 500,
            "topic.metadata.refresh.fast.interval.ms": 50,
            "topic.metadata.propagation.max.ms": 2000,
        }
        return common | config

    def producer(self, **config):
        return Producer(self._config({"linger.ms": 5} | dotted(config)))

    def consumer(self, **config):
        defaults = {
            "group.id": self.name + "-group",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "heartbeat.interval.ms": 100,
            "session.timeout.ms": 10000,
            "fetch.wait.max.ms": 50,
            "fetch.error.backoff.ms": 20,
        }
        return Consumer(self._config(defaults | dotted(config)))

    def topic(self, suffix, partitions=1, **config):
        topic = f"{self.name}-{suffix}"
        self.admin.create_topics([NewTopic(topic, partitions, 1, config=dotted(config))])[topic].result()
        self.until("visible topic", lambda: topic in self.admin.list_topics(timeout=5).topics)
        # A broker of a cluster knows a topic a moment before it leads its partitions; until then it refuses records,
        # and a producer without idempotence may then send them again in another order.
        ends = {TopicPartition(topic, partition): OffsetSpec.latest() for partition in range(partitions)}
        led = lambda: all(outcome(future) == "NONE" for future in self.admin.list_offsets(ends).values())
        self.until("leader of each partition", led)
        return topic

    def produce(self, topic, values, partition=0, **config):
        """Sends values and waits until all are acknowledged."""
        reports = []
        producer = self.producer(**config)
        for value in values:
            producer.produce(topic, value, partition=partition, on_delivery=lambda *report: reports.append(report))
        producer.flush(20)
        failed = [error for error, _ in reports if error]
        if failed or len(reports) != len(values):
            raise RuntimeError(f"{len(reports)} of {len(values)} reports, failed: {failed}")

    def take(self, consumer, count):
        """Polls until there are that many records."""
        messages = []
        while len(messages) < count:
            message = consumer.poll(0.2)
            self.check_time("record")
            if message is None:
                continue
            if message.error():
                raise KafkaException(message.error())
            messages.append(message)
        return messages

    def until(self, what, condition):
        while True:
            value = condition()
            if value:
                return value
            self.check_time(what)
            time.sleep(0.01)

    def changed(self, look, action):
        """Acts, and returns what is seen once it differs: a change takes a moment to reach a broker of a cluster."""
        before = look()
        action()
        return self.until("change", lambda: look() != before and look())

    def check_time(self, what):
        if time.monotonic() > self.deadline:
            raise TimeoutError(f"no {what} in time")


def dotted(config):
    """Keyword arguments as settings: fetch_max_bytes is fetch.max.bytes. Callbacks keep their names."""
    return {name if callable(value) else name.replace("_", "."): value for name, value in config.items()}


def values_of(messages):
    return [message.value().decode() for message in messages]


def outcome(future):
    """The name of the error a future ended with, or NONE."""
    try:
        future.result()
        return "NONE"
    except KafkaException as exception:
        return exception.args[0].name()


def error_of(action, *args, **kwargs):
    """The name of the error an immediate call raised, or NONE."""
    try:
        action(*args, **kwargs)
        return "NONE"
    except KafkaException as exception:
        return exception.args[0].name()


def saw(what, seen):
    print(json.dumps({what: seen}), flush=True)


def main(themes):
    if len(sys.argv) != 4 or sys.argv[1] not in themes:
        sys.exit(f"usage: {sys.argv[0]} {'|'.join(themes)} BOOTSTRAP NAME")
    try:
        themes[sys.argv[1]](Session(sys.argv[2], sys.argv[3]))
    except Exception:
        # An ordinary exit would first close the clients that the failure left open, which can take minutes.
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
