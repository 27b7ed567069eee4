"""A virtual node as it leaves the factory: identity drawn, label read, no owner; air, broker and Wi-Fi around it."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion
from tests.firmware.collecting import Collector

from citymote.broker import Broker
from citymote.keys import generate_collector_key
from citymote.testing.air import Air
from citymote.testing.emul.base import Pin
from citymote.testing.serial_line import SerialLine
from citymote.testing.vm import GARBAGE, VirtualNode
from citymote.testing.wifi import WiFi
from citymote.testing.wiring import wire
from citymote.testing.world import World
from citymote.transports.base import Disconnected, Transport
from citymote_protocol import cbor
from citymote_protocol.coap_udp import Udp

from .node import said, scripted
from .owner import Key, Session, near, over

START = 850_000_080
BOARD: dict[str, Any] = {
    "board": "virtual",
    "sensors": [{"driver": "sht4x", "bus": "i2c0"}],
    "pins": {"button": {}, "led": {"out": True}},
}
HEAP = "150k"
"""KB that a C3 has for Python beside BLE (testing/ledger.py)."""
PACE = 4
"""Virtual seconds a real one from the trial on: freely running nodes live for weeks while a host says a word."""
NETWORK_HEAP = "180k"
"""What requests over the uplink take beside a working node: more than a C3 has (docs/limits.md)."""
DRAW = """
hal.mount()
from node.selftest import draw
say(await draw(hal))
"""


@dataclass
class Street:
    """One node and its surroundings. `adapter` is a laptop's radio; `line` what hangs at the console; `slotted`: it
    starts from the boot and a slot; `pace` and `heap` are those of the node at work."""

    folder: Path
    air: Air
    broker: Broker
    collector: Collector
    public: bytes
    secret: bytes
    id: str
    owner: Key = field(default_factory=Key)
    wifi: WiFi = field(default_factory=lambda: WiFi({"city": "correct horse"}))
    button: Pin = field(default_factory=Pin)
    light: Pin = field(default_factory=Pin)
    seed: int = 0
    adapter: Any = None
    slotted: bool = False
    line: SerialLine | None = None
    pace: float = PACE
    heap: str = ""
    node: VirtualNode = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        self.button.level = 1
        self.adapter = self.adapter or self.air.adapter()
        self.key = generate_collector_key()
        world = World(START)
        world.constant("temperature", 21.5)
        world.constant("humidity", 44.4)
        wiring = wire(BOARD, world, heard="never")
        wiring.connect("button", self.button)
        wiring.connect("led", self.light)
        board = BOARD
        if self.line:
            wiring.connect("console", self.line)
            board = BOARD | {"buses": {"console": {}}}
        self.node = VirtualNode(
            self.folder / "node", board=board, settings={}, wiring=wiring, start_time=START, heap=HEAP, air=self.air,
            chip="esp32c3", deployed=False, wifi=self.wifi, name=self.id, seed=self.seed, slotted=self.slotted,
        )  # fmt: skip

    @property
    def uplink(self) -> dict[str, Any]:
        """A configuration that works."""
        return {
            "network": {"networks": [{"ssid": "city", "key": "correct horse"}]},
            "broker_host": "127.0.0.1",
            "broker_port": self.broker.port,
            "collector_key": self.key.public.hex(),
        }

    def near(self, key: Key | None = None, state: int | None = None, adapter: Any = None) -> Any:
        """`async with street.near() as session`: over BLE, without a role."""
        return near(adapter or self.adapter, self.public, key, state)

    def far(self, client: str = "laptop", key: Key | None = None) -> Any:
        """The same through the broker."""
        return over(RpcTransport(self.broker.port, self.id, client), self.public, key)

    async def until(self, name: str, true: Callable[[Any], bool] = bool, seconds: float = 60) -> Any:
        """Wait for an event of the node with such data; each one counts once."""
        async with asyncio.timeout(seconds):
            while True:
                for event in self.node.events:
                    if event.name == name and true(event.data):
                        self.node.events.remove(event)
                        return event.data
                assert self.node.running, self.node.last_words()
                await asyncio.sleep(0.02)

    async def provision(self, session: Session | None = None, number: int = 1, **values: Any) -> None:
        """Claim, configure, and wait for the trial's success."""
        if session is None:
            async with self.near(state=0) as session:
                await self.provision(session, number, **values)
                return
        await session.claim(self.secret, self.owner)
        await session.config({**self.uplink, **values})
        self.node.speed, self.node.heap, self.node.chip = self.pace, self.heap or NETWORK_HEAP, None
        self.node.garbage = GARBAGE
        await session.trial(number)
        tried = await self.until("tried")
        assert tried == {"number": number, "detail": 0}

    def stored(self) -> dict[str, str]:
        """The files in /config and what is in them, of a node without power."""
        code = """
        import os
        hal.mount()
        from node import files
        for name in sorted(os.listdir("/config")):
            data = files.load("/config/" + name, 16384)
            say(name, (data or b"").hex())
        say("rows", str(len(os.listdir("/store"))))
        """
        with scripted(self.folder, code, board=BOARD) as node:
            node.start()
            node.wait(60)
            return dict(said(node))


@contextmanager
def street(folder: Path, *, speed: float = 1, seed: int = 1, start: bool = True, **made_with: Any) -> Iterator[Street]:
    """A node fresh from the factory, running. `made_with`: fields of the Street."""
    label = drawn(folder, 0)
    with (
        Air(seed=seed, speed=speed) as air,
        Broker() as broker,
        Collector(broker.port) as collector,
        _living(Street(folder, air, broker, collector, *label, **made_with), start) as made,
    ):
        yield made


@contextmanager
def neighbour(first: Street, seed: int) -> Iterator[Street]:
    """Another one at the same air, broker and Wi-Fi."""
    folder = first.folder / f"neighbour{seed}"
    folder.mkdir()
    made = Street(
        folder, first.air, first.broker, first.collector, *drawn(folder, seed), wifi=first.wifi, seed=seed,
        adapter=first.adapter,
    )  # fmt: skip
    with _living(made, True):
        yield made


def drawn(folder: Path, seed: int) -> tuple[bytes, bytes, str]:
    """What the factory's label says: public key, claim secret, id."""
    with scripted(folder, DRAW, board=BOARD, seed=seed) as factory:
        factory.start()
        factory.wait(60)
        (label,) = said(factory)
    return bytes.fromhex(label["public_key"]), bytes.fromhex(label["claim_secret"]), label["node"]


@contextmanager
def _living(made: Street, start: bool) -> Iterator[Street]:
    with made.node as node:
        if start:
            node.start()
        try:
            yield made
        finally:
            # What a failing test shows beside its traceback.
            print(
                *[f"{line.now} {line.level} {line.text}" for line in node.logs[-30:]], node.output()[-3000:], sep="\n"
            )


class RpcTransport(Transport):
    """CoAP through a broker (SPEC 16.12), as a test's client has it."""

    token_size = 4

    def __init__(self, port: int, node: str, client: str) -> None:
        self.peer = f"mqtt:{node}"
        self.mtu = 1152
        self.layer = Udp(secrets.token_bytes)
        self._port = port
        self._topic = f"citymote/{node}/rpc/{client}"
        self._heard: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._client: Client | None = None
        self.sent: list[bytes] = []
        self.passes: int | None = None  # so many of what was sent, from the first on, reach the broker; None: all

    async def connect(self) -> None:
        loop = asyncio.get_running_loop()
        client = Client(CallbackAPIVersion.VERSION2, client_id=self._topic.replace("/", "-"))
        there = asyncio.Event()

        def heard(_: Any, __: Any, message: MQTTMessage) -> None:
            loop.call_soon_threadsafe(self._heard.put_nowait, message.payload)

        client.on_message = heard
        client.on_subscribe = lambda *_: loop.call_soon_threadsafe(there.set)
        client.connect("127.0.0.1", self._port)
        client.loop_start()
        client.subscribe(self._topic + "/answer", 1)
        await asyncio.wait_for(there.wait(), 10)
        self._client = client

    async def send(self, data: bytes) -> None:
        if self._client is None:
            raise Disconnected("closed")
        self.sent.append(data)
        if self.passes is None or len(self.sent) <= self.passes:
            self._client.publish(self._topic, data, 1)

    def again(self, data: bytes) -> None:
        """As a broker that delivers twice."""
        assert self._client is not None
        self._client.publish(self._topic, data, 1)

    async def receive(self) -> bytes:
        data = await self._heard.get()
        if data is None:
            raise Disconnected("closed")
        return data

    async def close(self) -> None:
        if self._client is not None:
            self._client.disconnect()
            self._client.loop_stop()
            self._client = None


def transfer(node: str, new: Key, epoch: int) -> bytes:
    """The payload of an old owner's statement (SPEC 16.10.1)."""
    return cbor.dumps([bytes.fromhex(node), new.public, epoch])


def settings_of(stored: dict[str, str]) -> dict[str, Any]:
    """What the owner has changed, as `stored` has it."""
    return json.loads(bytes.fromhex(stored["settings"]))["values"]
