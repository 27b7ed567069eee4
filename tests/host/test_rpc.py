"""Requests through a real broker and over real sockets, and credentials in Mosquitto's own file."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
from tests.host.brokers import Broker

from citymote.answers import Role
from citymote.credentials import MosquittoFile
from citymote.errors import BrokerError, UsageError
from citymote.node import Node
from citymote.owner import OwnerStore
from citymote.reach import way_to
from citymote.testing.fake_node import FakeNode
from citymote.testing.fake_port import FakePort
from citymote.testing.fake_wire import FakeTransport
from citymote.transports.base import NoAnswer, Unreachable
from citymote.transports.rpc import MqttTransport


@pytest.fixture
def store(tmp_path: Path) -> OwnerStore:
    return OwnerStore.create(tmp_path / "owner", ask=lambda new: "correct horse battery", cost=2)


@pytest.fixture
def broker(mosquitto: Any, tmp_path: Path) -> Iterator[Broker]:
    with Broker(mosquitto.broker, tmp_path / "broker") as running:
        yield running


@asynccontextmanager
async def node_at(broker: Broker, store: OwnerStore, repeat: int = 1) -> AsyncGenerator[FakeNode, None]:
    """A fake node behind a real broker (16.12); each request is delivered `repeat` times."""
    node = FakeNode()
    node.start()
    node.flash.owner, node.online = store.owner_public, True
    loop = asyncio.get_running_loop()
    wires: dict[str, FakeTransport] = {}
    client = Client(CallbackAPIVersion.VERSION2, f"node-{node.id}")

    async def take(topic: str, payload: bytes) -> None:
        if topic not in wires:
            wire = wires[topic] = node.connect("mqtt")
            await wire.connect()
            pumps.append(asyncio.create_task(answer(topic, wire)))
        for _ in range(repeat):
            await wires[topic].send(payload)

    async def answer(topic: str, wire: FakeTransport) -> None:
        while True:
            client.publish(f"{topic}/answer", await wire.receive())

    pumps: list[asyncio.Task[None]] = []
    ready = asyncio.Event()
    client.on_connect = lambda c, *_: c.subscribe(f"citymote/{node.id}/rpc/+", qos=1)
    client.on_subscribe = lambda *_: loop.call_soon_threadsafe(ready.set)
    client.on_message = lambda _c, _d, m: asyncio.run_coroutine_threadsafe(take(m.topic, bytes(m.payload)), loop)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    await asyncio.wait_for(ready.wait(), 20)
    try:
        yield node
        assert node.faults == []
    finally:
        client.disconnect()
        client.loop_stop()
        for pump in pumps:
            pump.cancel()
        await node.stop()


@pytest.mark.parametrize("repeat", [1, 3])
def test_the_same_node_through_somebody_elses_broker(broker: Broker, store: OwnerStore, repeat: int) -> None:
    async def main() -> None:
        async with node_at(broker, store, repeat) as fake:
            way = way_to(broker.url, fake.id, client="test-1")
            async with Node(way, fake.label.public, store) as node:
                assert node.role == Role.OWNER
                assert (await node.info()).node == fake.id
                await node.configure({"broker_ca": "ab" * 1500, "interval": 60})
                await node.identify(7)
            assert fake.blinking == 7
            assert fake.flash.pending["interval"] == 60
            assert node.session.handshakes == 1

    asyncio.run(main())


def test_a_node_that_is_not_there_and_a_broker_that_is_not(broker: Broker, store: OwnerStore) -> None:
    async def main() -> None:
        label = FakeNode().label
        with pytest.raises(NoAnswer):
            async with Node(way_to(broker.url, label.node), label.public, store, patience=1, timeout=1):
                pass
        broker.stop()
        with pytest.raises((BrokerError, Unreachable)):
            async with Node(way_to(broker.url, label.node), label.public, store, patience=1):
                pass

    asyncio.run(main())


def test_over_a_real_socket(store: OwnerStore) -> None:
    async def main(port: FakePort) -> None:
        way = way_to(f"udp:127.0.0.1:{port.number}", port.node.id)
        async with Node(way, port.node.label.public, store) as node:
            assert (await node.info()).node == port.node.id
            await node.configure({"broker_ca": "ab" * 1500})

    with FakePort(store.owner_public) as port:
        asyncio.run(main(port))
        assert port.node.flash.pending == {"broker_ca": "ab" * 1500}


def test_a_node_has_credentials_of_its_own_until_they_are_revoked(mosquitto: Any, tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    passwords.touch(mode=0o600)
    extra = f"allow_anonymous false\npassword_file {passwords}\n"
    one, two = "0123456789ab", "ba9876543210"

    def may(port: int, user: str, password: str) -> bool:
        told: list[bool] = []
        client = Client(CallbackAPIVersion.VERSION2, f"try-{os.urandom(4).hex()}", reconnect_on_failure=False)
        client.username_pw_set(user, password)
        client.on_connect = lambda _c, _d, _f, reason, _p: told.append(not reason.is_failure)
        client.connect("127.0.0.1", port)
        while not told:
            client.loop(0.1)
        client.disconnect()
        return told[0]

    async def mint() -> tuple[dict[str, str], dict[str, str]]:
        keeper = MosquittoFile(passwords)
        first, second = await keeper.mint(one), await keeper.mint(two)
        assert first["broker_password"] != second["broker_password"]
        assert passwords.stat().st_mode & 0o777 == 0o600
        assert first["broker_password"] not in passwords.read_text()
        return first, second

    first, second = asyncio.run(mint())
    with Broker(mosquitto.broker, tmp_path / "b", extra) as broker:
        assert may(broker.port, one, first["broker_password"])
        assert may(broker.port, two, second["broker_password"])
        assert not may(broker.port, one, second["broker_password"])
        assert broker._process is not None
        asyncio.run(MosquittoFile(passwords, pid=broker._process.pid).revoke(one))
        for _ in range(100):
            if not may(broker.port, one, first["broker_password"]):
                break
        else:
            raise AssertionError("it is still let in")
        assert may(broker.port, two, second["broker_password"])


@pytest.mark.parametrize("via", ["", "wifi", "udp:", "udp:a/b", "mqtt://me:secret@x", "serial:"])
def test_a_word_that_is_no_way_says_which_are(via: str) -> None:
    with pytest.raises(UsageError, match=r"mqtt|password"):
        way_to(via, "0123456789ab")


def test_a_clients_name_is_short_and_plain() -> None:
    with pytest.raises(UsageError, match="no name of a client"):
        MqttTransport("mqtt://x", "0123456789ab", client="Über")
    with contextlib.suppress(RuntimeError):
        assert MqttTransport("mqtt://x", "0123456789ab").peer == "mqtt://x:1883/0123456789ab"
