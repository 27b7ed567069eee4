"""What the node's end-to-end tests share: chips that say which row it is, a subscriber, and the rows that arrived."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Self

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from citymote.testing.bridge import Wiring
from citymote.testing.emul.replay import Replay
from citymote.testing.emul.sht4x import SHT4x
from citymote.testing.vm import GARBAGE, Ending, VirtualNode
from citymote_protocol.frame import decode

START = 850000080  # s2000, a multiple of 120
INTERVAL = 120
HEAP = "130k"
REPLAYED = ("pm2_5", "pm10", "wind_direction", "wind_speed", "illuminance", "uv_index", "laeq", "acceleration_x")
BOARD: dict[str, Any] = {
    "board": "virtual",
    "sensors": [
        {"driver": "sht4x", "bus": "i2c0"},
        {"driver": "replay", "bus": "uart0", "settings": {"quantities": list(REPLAYED)}},
    ],
}


def row_of(now: int) -> int:
    """Which row the story time `now` (ms) belongs to: (t - interval, t]."""
    return -(-now // (INTERVAL * 1000))


def value(quantity: int, row: int) -> int:
    """What quantity `quantity` is in row `row`, as the integer on the wire."""
    if quantity == 3:
        return 100 + row % 150
    if quantity == 4:
        return 300 + row % 200
    return quantity * 10 + row % 97


def wiring() -> Wiring:
    return Wiring(
        {
            "i2c0": [SHT4x(lambda now: value(3, row_of(now)) / 10, lambda now: value(4, row_of(now)) / 10)],
            "uart0": Replay(lambda now: {q: value(q, row_of(now)) for q in (1, 2, 5, 6, 7, 8, 9, 10)}),
        }
    )  # fmt: skip


def node(folder: Path, hours: float, port: int = 0, **changes: Any) -> VirtualNode:
    """A node that samples ten quantities for some hours; `changes` are settings or VirtualNode's options."""
    options = {
        key: changes.pop(key)
        for key in ("network_time", "seed", "heap", "garbage", "grace", "memory", "board")
        if key in changes
    }
    settings: dict[str, Any] = {"until": START + int(hours * 3600)}
    if port:
        settings |= {"broker_host": "127.0.0.1", "broker_port": port, "unsealed": "collector_key" not in changes}
    options.setdefault("heap", HEAP)
    options.setdefault("garbage", 0 if options.get("memory") else GARBAGE)
    options.setdefault("board", BOARD)
    return VirtualNode(folder, settings=settings | changes, wiring=wiring(), start_time=START, **options)


class Collector:
    """Subscribes to all nodes' frames and keeps every message that arrives."""

    def __init__(self, port: int, user: str = "", password: str = "", ca: Path | None = None) -> None:
        self.messages: list[bytes] = []
        self.others: list[tuple[str, bytes]] = []
        self._news = threading.Condition()
        self._ready = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, client_id="collector", clean_session=False)
        if user:
            self._client.username_pw_set(user, password)
        if ca:
            self._client.tls_set(str(ca))
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe("citymote/#", 1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._heard
        self._client.connect("localhost" if ca else "127.0.0.1", port)
        self._client.loop_start()
        assert self._ready.wait(20)

    def _heard(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        with self._news:
            if message.topic.endswith("/frames"):
                self.messages.append(message.payload)
            else:
                self.others.append((message.topic, message.payload))
            self._news.notify_all()

    def wait(self, count: int) -> list[bytes]:
        """The messages, once there are `count` different ones."""
        with self._news:
            assert self._news.wait_for(lambda: len(set(self.messages)) >= count, 30), (
                f"{len(set(self.messages))} of {count} frames arrived"
            )
            return list(self.messages)

    def all_of(self, ending: Ending) -> list[bytes]:
        """The messages, once every frame that the node has ever made and not discarded is among them."""
        return self.wait(ending.report["next_seq"] - ending.report["discarded_frames"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def stored(messages: list[bytes]) -> dict[tuple[int, int], Any]:
    """The frames as a collector keeps them, by epoch and sequence; fails when one identity has two contents."""
    out: dict[tuple[int, int], Any] = {}
    seen: dict[tuple[int, int], bytes] = {}
    for message in messages:
        frame = decode(message)
        key = (frame.epoch, frame.seq)
        assert seen.setdefault(key, message) == message, f"two contents under {key}"
        out[key] = frame
    return out


def rows(messages: list[bytes]) -> dict[int, list[Any]]:
    """Row number: values, of all batch frames; fails when a row is in two frames, or at a time of its own."""
    out: dict[int, list[Any]] = {}
    for frame in stored(messages).values():
        if frame.kind == 0:
            for r in range(frame.count):
                row, rest = divmod(frame.time_of(r) - START, INTERVAL)
                assert rest == 0, "a row off the clock"
                assert row not in out, f"row {row} twice"
                out[row] = [column[r] for column in frame.values]
    return out


def expected(first: int, last: int) -> dict[int, list[int]]:
    """What the rows first..last have to be."""
    return {row: [value(quantity, row) for quantity in range(1, 11)] for row in range(first, last + 1)}


def answer_for_time(node: VirtualNode) -> None:
    """From now on a time server answers that node."""
    node.network_time = True
    bridge = node._bridge  # pyright: ignore[reportPrivateUsage] - the one thing that no start decides
    assert bridge is not None
    bridge.wall = node.start_time * 1000
