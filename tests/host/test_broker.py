"""The embedded broker: MQTT 3.1.1 as an independent client sees it, and an acknowledgement that means "stored"."""

import random
import socket
import threading
from collections.abc import Callable, Iterator
from queue import Queue

import paho.mqtt.client as paho
import pytest

from citymote.broker import Broker
from citymote.errors import BrokerError

WAIT = 20.0


class Peer:
    """A paho client with what arrives in queues; acknowledges by hand when told to."""

    def __init__(
        self, broker: Broker, name: str, *, clean: bool = True, manual: bool = False, user: str = "", password: str = ""
    ) -> None:
        self.messages: Queue[paho.MQTTMessage] = Queue()
        self.published: Queue[int] = Queue()
        self.connected: Queue[int] = Queue()
        self.client = paho.Client(
            paho.CallbackAPIVersion.VERSION2, client_id=name, clean_session=clean, manual_ack=manual
        )
        self.client.on_message = lambda *got: self.messages.put(got[2])
        self.client.on_publish = lambda *got: self.published.put(got[2])
        self.client.on_connect = lambda *got: self.connected.put(got[3].value)
        self.subscribed = threading.Event()
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        if user:
            self.client.username_pw_set(user, password)
        self.client.connect(broker.host, broker.port)
        self.client.loop_start()
        self.code = self.connected.get(timeout=WAIT)

    def subscribe(self, *filters: str) -> "Peer":
        self.subscribed.clear()
        self.client.subscribe([(wanted, 1) for wanted in filters])
        assert self.subscribed.wait(WAIT)
        return self

    def vanish(self) -> None:
        """Lose the connection without a DISCONNECT, as a killed process does."""
        self.client.loop_stop()
        sock = self.client.socket()
        assert isinstance(sock, socket.socket)
        sock.close()

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker() as running:
        yield running


@pytest.fixture
def peer(broker: Broker) -> Iterator[Callable[..., Peer]]:
    peers: list[Peer] = []

    def make(name: str, **options: object) -> Peer:
        peers.append(Peer(broker, name, **options))  # type: ignore[arg-type]
        return peers[-1]

    yield make
    for one in peers:
        one.close()


def test_a_message_arrives_whole_and_is_acknowledged(peer: Callable[..., Peer]) -> None:
    collector = peer("collector").subscribe("citymote/+/frames")
    node = peer("node")
    for size in (0, 1, 127, 128, 20_000):
        node.client.publish("citymote/a/frames", bytes(size), qos=1)
        assert len(collector.messages.get(timeout=WAIT).payload) == size
        node.published.get(timeout=WAIT)


def test_the_publisher_is_acknowledged_only_after_the_subscriber_has_acknowledged(peer: Callable[..., Peer]) -> None:
    collector = peer("collector", manual=True).subscribe("t")
    node = peer("node")
    node.client.publish("t", b"frame", qos=1)
    message = collector.messages.get(timeout=WAIT)
    node.client.publish("other", b"", qos=0)
    assert node.published.get(timeout=WAIT) == 2, "the QoS 0 publish passes the one that is still owed"
    assert node.published.empty()
    collector.client.ack(message.mid, message.qos)
    assert node.published.get(timeout=WAIT) == 1


def test_a_killed_collector_finds_what_it_had_not_acknowledged(peer: Callable[..., Peer]) -> None:
    first = peer("collector", clean=False, manual=True).subscribe("t")
    node = peer("node")
    for number in range(100):
        node.client.publish("t", bytes([number]), qos=1)
    seen = first.messages.get(timeout=WAIT)
    first.client.ack(seen.mid, seen.qos)
    node.published.get(timeout=WAIT)
    first.vanish()
    second = peer("collector", clean=False)
    assert sorted({second.messages.get(timeout=WAIT).payload[0] for _ in range(99)}) == list(range(1, 100))
    for _ in range(99):
        node.published.get(timeout=WAIT)


def test_a_message_without_a_taker_waits_for_one(peer: Callable[..., Peer]) -> None:
    node = peer("node")
    node.client.publish("t", b"early", qos=1)
    collector = peer("collector").subscribe("t")
    assert collector.messages.get(timeout=WAIT).payload == b"early"
    node.published.get(timeout=WAIT)


def test_a_broker_that_comes_back_knows_its_sessions(broker: Broker, peer: Callable[..., Peer]) -> None:
    collector = peer("collector", clean=False).subscribe("t")
    broker.stop()
    broker.start()
    assert collector.connected.get(timeout=WAIT) == 0
    node = peer("node")
    node.client.publish("t", b"after", qos=1)
    assert collector.messages.get(timeout=WAIT).payload == b"after"


def test_retained_messages_and_wills(peer: Callable[..., Peer], broker: Broker) -> None:
    peer("node").client.publish("state", b"on", qos=1, retain=True)
    watcher = peer("watcher").subscribe("state", "will")
    assert watcher.messages.get(timeout=WAIT).payload == b"on"
    doomed = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="doomed")
    doomed.will_set("will", b"gone", qos=1)
    up = threading.Event()
    doomed.on_connect = lambda *_: up.set()
    doomed.connect(broker.host, broker.port)
    doomed.loop_start()
    assert up.wait(WAIT)
    doomed.loop_stop()
    sock = doomed.socket()
    assert isinstance(sock, socket.socket)
    sock.close()
    assert watcher.messages.get(timeout=WAIT).payload == b"gone"


@pytest.mark.parametrize(
    ("wanted", "topic", "match"),
    [
        ("a/+/c", "a/b/c", True),
        ("a/+/c", "a/b/d", False),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("#", "a/b", True),
        ("#", "$SYS/x", False),
        ("+/b", "a/b/c", False),
        ("a", "a/b", False),
    ],
)
def test_wildcards(peer: Callable[..., Peer], wanted: str, topic: str, match: bool) -> None:
    watcher = peer("watcher").subscribe(wanted, "end")
    node = peer("node")
    node.client.publish(topic, b"x", qos=0)
    node.client.publish("end", b"end", qos=0)
    got = [watcher.messages.get(timeout=WAIT).payload]
    if got == [b"x"]:
        got.append(watcher.messages.get(timeout=WAIT).payload)
    assert got == ([b"x", b"end"] if match else [b"end"])


def test_wrong_credentials_are_refused() -> None:
    with Broker(users={"node": "right"}) as broker:
        good = Peer(broker, "a", user="node", password="right")
        bad = Peer(broker, "b", user="node", password="wrong")
        nobody = Peer(broker, "c")
        assert [one.code == 0 for one in (good, bad, nobody)] == [True, False, False]
        for one in (good, bad, nobody):
            one.close()


def test_a_taken_port_says_so(broker: Broker) -> None:
    with pytest.raises(BrokerError, match="cannot listen"):
        Broker(port=broker.port).start()


BAD_PACKETS = {
    "not a CONNECT": b"\xc0\x00",
    "oversized": b"\x10\xff\xff\xff\x7f",
    "length of five bytes": b"\x10\xff\xff\xff\xff\x01",
    "field past its packet": b"\x10\x04\xff\xffMQ",
    "QoS 2": b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01a" + b"\x34\x05\x00\x01t\x00\x01",
    "server packet": b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01a" + b"\x20\x02\x00\x00",
}


@pytest.mark.parametrize("data", BAD_PACKETS.values(), ids=BAD_PACKETS.keys())
def test_a_bad_packet_ends_only_its_own_connection(broker: Broker, peer: Callable[..., Peer], data: bytes) -> None:
    bystander = peer("bystander").subscribe("t")
    with socket.create_connection((broker.host, broker.port), WAIT) as raw:
        raw.sendall(data)
        while raw.recv(100):
            pass  # the CONNACK where there is one, then the end
    bystander.client.publish("t", b"still here", qos=1)
    assert bystander.messages.get(timeout=WAIT).payload == b"still here"


def test_random_bytes_never_stop_the_broker(broker: Broker, peer: Callable[..., Peer]) -> None:
    source = random.Random(1)
    for _ in range(200):
        with socket.create_connection((broker.host, broker.port), WAIT) as raw:
            raw.sendall(
                b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01a" * source.randint(0, 1)
                + source.randbytes(source.randint(0, 60))
            )
    bystander = peer("bystander").subscribe("t")
    bystander.client.publish("t", b"still here", qos=1)
    assert bystander.messages.get(timeout=WAIT).payload == b"still here"
