"""A week of a whole node: all that S-DoT measures, sound rendered for one minute an hour, sealed, over TLS.

It runs in the heap that an ESP32 leaves an application, on a chip's memory: Wi-Fi, TLS and the microphone's buffers are
charged beside it, and refused where there is no room for them. With an owner, as every node at work has one, it was
seen to live in that too, and is given a little room. A few hours of it run always.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.e2e.city import Collecting
from tests.e2e.test_mosquitto import DURABLE, Mosquitto, authority
from tests.support import whole

from citymote import open_store
from citymote.keys import KeyFile
from citymote.storage.base import Query
from citymote.testing.vm import VirtualNode
from citymote.testing.wiring import wire
from citymote.testing.world import World

SETTLED = 2  # hours after which every buffer has its size
HEAPS = {"sdot": 100, "owned": 102}  # KB; an ESP32 leaves an application 100
SPREAD = 1024  # bytes of heap by which the last hours' figure may lie below the first ones'
PASSING = 8192  # bytes in use for a moment when a status looks: code loaded for a frame, a message under way


def live(folder: Path, broker: Mosquitto, name: str, hours: int) -> tuple[VirtualNode, list[float]]:
    """A node that has lived so long, and the free heap that its hourly statuses tell."""
    kind = whole.kinds()[name]
    if kind.owned:
        whole.claim(folder)
    board: dict[str, Any] = {"board": "virtual", "chip": "esp32", "sensors": list(kind.sensors)}
    world = World(whole.START)
    for quantity, value in whole.AIR.items():
        world.constant(quantity, value)
    keys = KeyFile.create(folder / "keys")
    settings: dict[str, Any] = {
        "interval": whole.INTERVAL, "until": whole.START + hours * 3600, "broker_host": "localhost",
        "broker_port": broker.port, "broker_tls": True, "broker_ca": (folder / "ca.pem").read_text(),
        "collector_key": keys.collectors[-1].public.hex(),
    }  # fmt: skip
    node = VirtualNode(
        folder / "node",
        board=board,
        settings=settings,
        wiring=wire(board, world, heard="minute"),
        start_time=whole.START,
        heap=f"{HEAPS[name]}k",
        deployed=not kind.owned,
        memory=True,
        wear=False,
        keep_events=False,
    )
    node.on_event(lambda event: keys.add_node(bytes.fromhex(event.data["public_key"])), "identity")
    collecting = Collecting(f"mqtts://localhost:{broker.port}", keys, folder / "store.db", folder / "ca.pem")
    try:
        collecting.subscribed()
        with node:
            node.start()
            ending = node.wait(120 + 30 * hours, check=False)
            report = dict(ending.report)
        assert (ending.code, report.get("rows"), report.get("pending")) == (0, hours * 3600 // whole.INTERVAL, 0), (
            f"{ending}\n{node.last_words()}"
        )
        collecting.settle(int(report["acked"]))
    finally:
        collecting.close()
    with open_store(folder / "store.db", create=False) as store:
        found = sorted((r.time, r.value) for r in store.iter_readings(Query(quantities=("heap_free",))))
    return node, [value for _, value in found if value is not None]


@pytest.mark.timeout(7200)
@pytest.mark.usefixtures("micropython32")
@pytest.mark.parametrize("name", HEAPS)
@pytest.mark.parametrize("hours", [4, pytest.param(7 * 24, marks=pytest.mark.slow)])
def test_a_whole_node_lives_for_a_week_in_its_heap(
    hours: int, name: str, tmp_path: Path, mosquitto: Any, request: pytest.FixtureRequest
) -> None:
    broker = Mosquitto(mosquitto.broker, tmp_path / "broker", authority(tmp_path)("localhost") + DURABLE)
    broker.start()
    request.addfinalizer(broker.stop)
    node, free = live(tmp_path, broker, name, hours)
    assert node.starts == 1, "in one piece"
    assert not [line.text for line in node.logs if "MemoryError" in line.text]
    assert node.ledger.refused == []
    assert {"wifi", "tls", "i2s"} == {kind for kind in ("wifi", "ble", "tls", "i2s") if node.ledger.holds(kind)}
    assert len(free) >= hours
    later = free[SETTLED:]
    day = max(2, len(later) // 7)
    # The most that was free: what is loaded for a moment when a status looks is not the node's.
    assert max(later[-day:]) >= max(later[:day]) - SPREAD, "the heap in use stays what it is"
    assert max(later) - min(later) <= PASSING, later
