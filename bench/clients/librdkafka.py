"""librdkafka at work: one partition, records of one size, and one line of JSON about it.

    librdkafka.py produce BOOTSTRAP TOPIC RECORDS
    librdkafka.py hold    BOOTSTRAP TOPIC RECORDS_A_SECOND SECONDS
    librdkafka.py consume BOOTSTRAP TOPIC RECORDS

Producing goes through confluent-kafka, whose produce_batch() leaves the loop over records to C. Its consumer makes a
Python object of every record, which would be what is measured; so consuming calls the same library directly.
"""

import ctypes
import glob
import json
import os
import sys
import time

import confluent_kafka

RECORD_BYTES = 100
CHUNK_RECORDS = 10_000
PACE_SECONDS = 0.005
OTHER_EVENTS_MAX = 8


class Producing:
    def __init__(self, bootstrap, topic):
        self.topic = topic
        self.errors = []
        self.producer = confluent_kafka.Producer(
            {
                "bootstrap.servers": bootstrap,
                "acks": "all",
                "enable.idempotence": True,
                "linger.ms": 5,
                "batch.size": 65536,
                "batch.num.messages": 1_000_000,
                "queue.buffering.max.messages": 2_000_000,
                "error_cb": lambda error: self.errors.append(str(error)),
            }
        )
        self.producer.list_topics(topic)

    def send(self, messages, **callback):
        """Sends all of them, waiting where the queue is full."""
        while messages:
            try:
                count = self.producer.produce_batch(self.topic, messages, partition=0, **callback)
            except BufferError:
                count = 0
            if count < len(messages):
                self.producer.poll(0.005)
            messages = messages[count:]
        self.producer.poll(0)

    def finish(self):
        left = self.producer.flush(60)
        if left or self.errors:
            sys.exit(f"{left} records were not delivered; {self.errors}")


def messages(count):
    value = bytes(97 + index % 26 for index in range(RECORD_BYTES))
    return [{"value": value} for _ in range(count)]


def produce(bootstrap, topic, records):
    producing = Producing(bootstrap, topic)
    chunk = messages(CHUNK_RECORDS)
    start = time.monotonic()
    for sent in range(0, records, CHUNK_RECORDS):
        producing.send(chunk[: records - sent])
    producing.finish()
    return {"recordRate": records / (time.monotonic() - start)}


def hold(bootstrap, topic, rate, seconds):
    """Offers a rate, and takes the time of the first record of each chunk, from when it was due."""
    producing = Producing(bootstrap, topic)
    chunk_records = round(rate * PACE_SECONDS)
    chunk = messages(chunk_records)
    latencies = []
    start = time.monotonic()
    count = round(seconds / PACE_SECONDS)
    for index in range(count):
        due = start + index * PACE_SECONDS
        # A poll ends with the first event, so that one does not wait long enough.
        while (left := due - time.monotonic()) > 0:
            producing.producer.poll(left)

        def delivered(error, _, due=due):
            latencies.append(time.monotonic() - due)
            if error:
                producing.errors.append(str(error))

        producing.send(chunk[:1], on_delivery=delivered)
        producing.send(chunk[1:])
    producing.finish()
    elapsed = time.monotonic() - start
    latencies.sort()
    at = lambda quantile: latencies[min(len(latencies) - 1, int(quantile * len(latencies)))] * 1000
    return {
        "records": count * chunk_records,
        "heldShare": min(100, seconds / elapsed * 100),
        "ackP50": at(0.5),
        "ackP99": at(0.99),
        "ackP999": at(0.999),
    }


def consume(bootstrap, topic, records):
    library = load_library()
    errors = ctypes.create_string_buffer(512)
    conf = library.rd_kafka_conf_new()
    settings = {"bootstrap.servers": bootstrap, "queued.min.messages": "1000000", "enable.partition.eof": "false"}
    for name, value in settings.items():
        library.rd_kafka_conf_set(conf, name.encode(), value.encode(), errors, len(errors))
    consumer_kind, from_first, partition = 1, -2, 0
    handle = library.rd_kafka_new(consumer_kind, conf, errors, len(errors))
    if not handle:
        sys.exit(errors.value.decode())
    rkt = library.rd_kafka_topic_new(handle, topic.encode(), None)
    # Called for every record and does nothing to it; a callback of ours would measure Python.
    glance = ctypes.cast(library.rd_kafka_message_errstr, ctypes.c_void_p)

    start = time.monotonic()
    library.rd_kafka_consume_start(rkt, partition, from_first)
    count = 0
    last = start
    while count < records:
        came = library.rd_kafka_consume_callback(rkt, partition, 1000, glance, None)
        count += came
        if came:
            last = time.monotonic()
        elif time.monotonic() - last > 30:
            sys.exit(f"{count} of {records} records came")
    elapsed = time.monotonic() - start
    # The library also counts a few events that are no records, such as the answer to the start. Whatever records they
    # stood in for come now, and then nothing may be left.
    count += library.rd_kafka_consume_callback(rkt, partition, 200, glance, None)
    if count > records + OTHER_EVENTS_MAX:
        sys.exit(f"{count} records and other events came where {records} records are")
    return {"consumeRate": records / elapsed}


def load_library():
    package = os.path.dirname(confluent_kafka.__file__)
    (path,) = glob.glob(os.path.join(package + ".libs", "librdkafka-*.so*"))
    library = ctypes.CDLL(path)
    pointer, text = ctypes.c_void_p, ctypes.c_char_p
    library.rd_kafka_conf_new.restype = pointer
    library.rd_kafka_conf_set.argtypes = [pointer, text, text, text, ctypes.c_size_t]
    library.rd_kafka_new.restype = pointer
    library.rd_kafka_new.argtypes = [ctypes.c_int, pointer, text, ctypes.c_size_t]
    library.rd_kafka_topic_new.restype = pointer
    library.rd_kafka_topic_new.argtypes = [pointer, text, pointer]
    library.rd_kafka_consume_start.argtypes = [pointer, ctypes.c_int32, ctypes.c_int64]
    library.rd_kafka_consume_callback.argtypes = [pointer, ctypes.c_int32, ctypes.c_int, pointer, pointer]
    return library


def main():
    mode, bootstrap, topic, *numbers = sys.argv[1:]
    result = {"produce": produce, "hold": hold, "consume": consume}[mode](bootstrap, topic, *map(int, numbers))
    print(json.dumps(result), flush=True)
    # What is left open ends with the process: closing it can take longer than the measurement.
    os._exit(0)


main()
