"""Runs in a MicroPython VM: cases of the MQTT 5 client against a scripted stream; argument: the case's name."""

import sys

from node import hal
from node.links.mqtt import MQTTError
from node.links.mqtt5 import Client5, properties


class Peer:
    """A stream whose other end is a script: bytes that arrive, and what was written."""

    def __init__(self, *arriving):
        self.arriving = b"".join(arriving)
        self.written = b""
        self.expected = 0

    async def readexactly(self, n):
        if len(self.arriving) < n:
            raise EOFError
        got, self.arriving = self.arriving[:n], self.arriving[n:]
        return got

    async def write(self, data):
        self.written += bytes(data)

    async def drain(self):
        pass

    def expect(self, n):
        self.expected += n


CONNACK = b"\x20\x03\x00\x00\x00"


def ends_with(coroutine):
    try:
        hal.run(coroutine)
    except MQTTError as e:
        return str(e)
    return None


async def heard(client):
    await client.connect("x")
    await client.run()


def connect_asks_for_a_session_and_says_its_limits():
    peer = Peer(CONNACK)
    client = Client5(peer, None)
    client.expiry = 3600
    hal.run(client.connect("citymote-x", "u", "pw", 300, False, ("w/t", b"off")))
    asked = b"\x11\x00\x00\x0e\x10\x21\x00\x04\x27\x00\x00\x08\x05"
    body = b"\x00\x04MQTT\x05\xec\x01\x2c" + bytes([len(asked)]) + asked
    body += b"\x00\x0acitymote-x\x00\x00\x03w/t\x00\x03off\x00\x01u\x00\x02pw"
    assert peer.written == b"\x10" + bytes([len(body)]) + body, peer.written
    assert peer.expected == 0 and client.window == 65535 and client.keepalive == 300


def without_a_will_there_are_no_properties_of_one():
    peer = Peer(CONNACK)
    hal.run(Client5(peer, None).connect("x"))
    assert peer.written.endswith(b"\x08\x05\x00\x01x"), peer.written


def what_the_broker_assigns_is_kept():
    told = b"\x21\x00\x03\x13\x00\x1e\x25\x00\x27\x00\x00\x04\x00"
    told += b"\x12\x00\x02ab\x26\x00\x01a\x00\x01b\x1f\x00\x02no\x2a\x00"
    peer = Peer(b"\x20" + bytes([3 + len(told)]) + b"\x01\x00" + bytes([len(told)]) + told)
    client = Client5(peer, None)

    async def main():
        await client.connect("x", keepalive=300)
        sent = len(peer.written)
        await client.say("t", b"x", True)
        assert peer.written[sent:] == b"\x30\x05\x00\x01t\x00x", "not retained: the broker retains nothing"
        await client.publish("t", b"p" * 900, 7)
        await client.publish("t", b"p" * 1100, 8)

    said = ends_with(main())
    assert client.session and client.window == 3 and client.keepalive == 30
    assert said and "1024 bytes at most" in said, said


def a_refusal_has_its_reason():
    for code, word in ((0x84, "MQTT 5"), (0x86, "password"), (0x87, "not authorized"), (0x97, "quota"), (0xFE, "0xfe")):
        said = ends_with(Client5(Peer(b"\x20\x03\x00" + bytes([code]) + b"\x00"), None).connect("x"))
        assert said and word in said, said
    said = ends_with(Client5(Peer(b"\x20\x02\x00\x01"), None).connect("x"))
    assert "does not speak MQTT 5" in said, said


def a_broker_without_acknowledgements_is_none():
    said = ends_with(Client5(Peer(b"\x20\x05\x00\x00\x02\x24\x00"), None).connect("x"))
    assert "QoS 0 only" in said, said


def every_form_of_puback_is_one_and_a_refusal_is_not():
    acked = []
    good = b"\x40\x02\x00\x01", b"\x40\x03\x00\x02\x00", b"\x40\x04\x00\x03\x10\x00"
    peer = Peer(CONNACK, good[0], good[1], good[2], b"\x40\x04\x00\x04\x97\x00")
    client = Client5(peer, acked.append)

    async def main():
        await client.connect("x")
        for pid in range(1, 5):
            await client.publish("a", b"x", pid)
        await client.run()

    said = ends_with(main())
    assert acked == [1, 2, 3], acked
    assert "refuses a message: quota exceeded" in said, said
    assert peer.written.endswith(b"\x32\x07\x00\x01a\x00\x04\x00x"), peer.written


def a_subscription_is_made_and_its_refusal_heard():
    peer = Peer(CONNACK, b"\x90\x04\x00\x01\x00\x01", b"\x90\x04\x00\x02\x00\x87")
    client = Client5(peer, None)

    async def main():
        await client.connect("x")
        await client.subscribe("c/d", 1)
        await client.subscribe("c/e", 2)
        await client.run()

    said = ends_with(main())
    assert "refuses a subscription: not authorized" in said, said
    assert b"\x82\x09\x00\x01\x00\x00\x03c/d\x01" in peer.written, peer.written


def a_message_with_properties_is_handed_on_without_them():
    got = []
    peer = Peer(CONNACK, b"\x32\x0e\x00\x03c/d\x00\x2a\x03\x23\x00\x05yoo", b"\x30\x08\x00\x03c/d\x00yo")
    client = Client5(peer, None, lambda topic, payload: got.append((topic, bytes(payload))))
    ends_with(heard(client))
    assert got == [("c/d", b"yoo"), ("c/d", b"yo")], got
    assert peer.written.endswith(b"\x40\x02\x00\x2a"), peer.written


def the_brokers_farewell_has_its_reason():
    said = ends_with(heard(Client5(Peer(CONNACK, b"\xe0\x02\x8e\x00"), None)))
    assert "another client has this id" in said, said


def what_no_broker_may_send_ends_the_connection():
    for bad in (
        b"\x20\x03\x02\x00\x00",
        b"\x20\x04\x00\x00\x05\x21",
        b"\x20\x04\x00\x00\x01\x21",
        b"\x20\x07\x00\x00\xff\xff\xff\xff\x01",
    ):
        said = ends_with(heard(Client5(Peer(bad), None)))
        assert said and "closed" not in said, (bad, said)
    for bad in (b"\x10\x00", b"\x30\x04\x00\x01a\x05", b"\x40\x01\x00"):
        said = ends_with(heard(Client5(Peer(CONNACK, bad), None, lambda topic, payload: None)))
        assert said and "closed the" not in said, (bad, said)


def every_kind_of_property_is_passed_over():
    data = b"\x01\x01\x0b\x05\x02\x00\x00\x00\x09\x23\x00\x07\x03\x00\x01x\x26\x00\x01a\x00\x01b"
    found, end = properties(bytes([len(data)]) + data + b"rest", 0)
    assert end == 1 + len(data) and found == {1: 1, 2: 9, 0x23: 7, 0x0B: 5}, (found, end)


globals()[sys.argv[1]]()
print("done")
