"""Produces until its input is closed and says a line for each record that it sends, "s value partition", and for what
came of it, "a value partition offset" or "f value partition". Arguments: bootstrap, topic, partitions, name.
"""

import select
import sys

from confluent_kafka import Producer

bootstrap, topic, partitions, name = sys.argv[1:]
producer = Producer(
    {
        "bootstrap.servers": bootstrap,
        "enable.idempotence": True,
        "linger.ms": 1,
        "reconnect.backoff.max.ms": 100,
        "retry.backoff.max.ms": 100,
        "message.timeout.ms": 300000,
        "socket.timeout.ms": 5000,
    }
)


def say(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def delivered(value):
    def report(error, message):
        if error is None:
            say(f"a {value} {message.partition()} {message.offset()}")
        else:
            say(f"f {value} {message.partition()} {error}")

    return report


count = 0
while not select.select([sys.stdin], [], [], 0)[0]:
    value = f"{name}:{count}"
    say(f"s {value} {count % int(partitions)}")
    producer.produce(topic, value, partition=count % int(partitions), on_delivery=delivered(value))
    count += 1
    producer.poll(0.002)
producer.flush(60)
