"""Writes golden.json: what the serializers of Confluent's Python client make of some values.

    pip install "confluent-kafka[avro,json,protobuf,schemaregistry]==2.16.1"
    python golden.py <url of an empty registry> > golden.json
"""
import base64
import json
import sys

from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

client = SchemaRegistryClient({"url": sys.argv[1]})

ORDER = {
    "type": "record",
    "name": "Order",
    "namespace": "shop",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "cents", "type": "long"},
        {"name": "note", "type": ["null", "string"], "default": None},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
        {"name": "state", "type": {"type": "enum", "name": "State", "symbols": ["OPEN", "PAID"]}},
        {"name": "raw", "type": "bytes"},
        {"name": "weight", "type": "double"},
    ],
}
ORDER_JSON = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "title": "Order",
    "type": "object",
    "properties": {"id": {"type": "string"}, "cents": {"type": "integer"}},
    "required": ["id", "cents"],
}


def to_hex(serializer, value, topic, part):
    field = MessageField.KEY if part == "key" else MessageField.VALUE
    return serializer(value, SerializationContext(topic, field)).hex()


def avro(schema, topic, part, values):
    serializer = AvroSerializer(client, json.dumps(schema))
    made = []
    for value in values:
        shown = {k: (v.decode("latin1") if isinstance(v, bytes) else v) for k, v in value.items()} if isinstance(value, dict) else value
        made.append({"value": shown, "hex": to_hex(serializer, value, topic, part)})
    return {"topic": topic, "part": part, "schema": schema, "values": made}


def proto_file():
    file = descriptor_pb2.FileDescriptorProto(name="shop/orders.proto", package="shop", syntax="proto3")
    for name in ["Order", "Payment", "Parcel"]:
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate([("id", "STRING"), ("cents", "INT64"), ("raw", "BYTES")], start=1):
            message.field.add(name=field, number=number, label="LABEL_OPTIONAL", type="TYPE_" + kind)
    nested = file.message_type[2].nested_type.add(name="Address")
    nested.field.add(name="city", number=1, label="LABEL_OPTIONAL", type="TYPE_STRING")
    return file


def protobuf():
    pool = descriptor_pool.DescriptorPool()
    file = proto_file()
    pool.AddSerializedFile(file.SerializeToString())
    cases = []
    for name, fields in [
        ("shop.Order", {"id": "o-1", "cents": 1999, "raw": "\x00\xff"}),
        ("shop.Payment", {"id": "p-1", "cents": -5, "raw": ""}),
        ("shop.Parcel.Address", {"city": "Köln"}),
    ]:
        kind = message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
        message = kind(**{k: v.encode("latin1") if k == "raw" else v for k, v in fields.items()})
        serializer = ProtobufSerializer(kind, client, {"use.deprecated.format": False})
        cases.append({"message": name, "value": fields, "hex": to_hex(serializer, message, name, "value")})
    return {"file": base64.b64encode(file.SerializeToString()).decode(), "values": cases}


json.dump(
    {
        "avro": [
            avro(ORDER, "orders", "value", [
                {"id": "o-1", "cents": 1999, "note": None, "tags": ["a", "bc"], "state": "PAID", "raw": b"\x00\xff", "weight": 1.5},
                {"id": "", "cents": -(2**40), "note": "größer", "tags": [], "state": "OPEN", "raw": b"", "weight": -0.25},
            ]),
            avro("string", "orders", "key", ["o-1", ""]),
        ],
        "json": {
            "schema": ORDER_JSON,
            "values": [
                {"value": value, "hex": to_hex(JSONSerializer(json.dumps(ORDER_JSON), client), value, "orders-json", "value")}
                for value in [{"id": "o-1", "cents": 1999}]
            ],
        },
        "protobuf": protobuf(),
    },
    sys.stdout,
    indent=1,
    ensure_ascii=False,
)
