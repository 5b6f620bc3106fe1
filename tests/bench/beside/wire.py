"""The few requests that the orchestrator sends itself: make and delete a topic, ask for Metadata."""
import socket
import struct
import time

LIST_OFFSETS, METADATA, CREATE_TOPICS, DELETE_TOPICS = 2, 3, 19, 20


class Refused(Exception):
    """The broker answered an error."""


def _string(text):
    data = text.encode()
    return struct.pack(">h", len(data)) + data


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, layout):
        values = struct.unpack_from(">" + layout, self.data, self.at)
        self.at += struct.calcsize(">" + layout)
        return values if len(values) > 1 else values[0]

    def string(self):
        length = self.take("h")
        if length < 0:
            return None
        self.at += length
        return self.data[self.at - length:self.at].decode()


def _receive(connection, count):
    data = bytearray()
    while len(data) < count:
        piece = connection.recv(count - len(data))
        if not piece:
            raise ConnectionError("the broker hung up")
        data += piece
    return bytes(data)


def call(address, api, version, body, seconds=120):
    """One request on a connection of its own; returns a reader of the answer behind its header."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=seconds) as connection:
        header = struct.pack(">hhi", api, version, 1) + _string("bench")
        connection.sendall(struct.pack(">i", len(header) + len(body)) + header + body)
        length = struct.unpack(">i", _receive(connection, 4))[0]
        reader = Reader(_receive(connection, length))
    if reader.take("i") != 1:
        raise Refused("an answer to another request")
    return reader


def create_topic(address, name, partitions, configs=()):
    """CreateTopics v4, then waits until every partition has a leader that answers."""
    body = struct.pack(">i", 1) + _string(name) + struct.pack(">ihi", partitions, 1, 0)
    body += struct.pack(">i", len(configs)) + b"".join(_string(key) + _string(value) for key, value in configs)
    body += struct.pack(">i?", 120000, False)
    reader = call(address, CREATE_TOPICS, 4, body)
    reader.take("ii")
    reader.string()
    error, message = reader.take("h"), reader.string()
    if error:
        raise Refused(f"CreateTopics of {name}: error {error} {message or ''}")
    await_leaders(address, name, partitions)


def await_leaders(address, name, partitions):
    """Waits until every partition of a topic answers."""
    end = time.monotonic() + 300
    while leaders(address, name) < partitions or not all_answer(address, name, partitions):
        if time.monotonic() > end:
            raise Refused(f"{name} has no leader for each partition after 300 s")
        time.sleep(0.05)


def all_answer(address, topic, partitions):
    """Does every partition answer ListOffsets v2? Kafka's may not yet lead what its Metadata says they lead."""
    body = struct.pack(">ibi", -1, 0, 1) + _string(topic) + struct.pack(">i", partitions)
    body += b"".join(struct.pack(">iq", index, -1) for index in range(partitions))
    reader = call(address, LIST_OFFSETS, 2, body)
    reader.take("ii")
    reader.string()
    return all(reader.take("ihqq")[1] == 0 for _ in range(reader.take("i")))


def leaders(address, topic):
    """How many partitions of a topic have a leader, by Metadata v4."""
    reader = call(address, METADATA, 4, struct.pack(">i", 1) + _string(topic) + b"\0")
    reader.take("i")
    for _ in range(reader.take("i")):
        reader.take("i"), reader.string(), reader.take("i"), reader.string()
    reader.string(), reader.take("i")
    found = 0
    for _ in range(reader.take("i")):
        reader.take("h"), reader.string(), reader.take("?")
        for _ in range(reader.take("i")):
            error, _, leader = reader.take("hii")
            for _ in range(2):  # replicas, those in sync
                count = reader.take("i")
                reader.at += 4 * count
            found += error == 0 and leader >= 0
    return found


def ask_metadata(address, seconds=5):
    """Metadata of no topic: the first answer that a client waits for."""
    call(address, METADATA, 4, struct.pack(">i?", 0, False), seconds)


def delete_topic(address, name):
    reader = call(address, DELETE_TOPICS, 3, struct.pack(">i", 1) + _string(name) + struct.pack(">i", 60000))
    reader.take("ii")
    reader.string()
    error = reader.take("h")
    if error:
        raise Refused(f"DeleteTopics of {name}: error {error}")
