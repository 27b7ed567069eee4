"""`citymote node NODE info|config|live|log|reset` to the real node over UDP and over a serial line.

One node at work has both: UDP because its owner says so, the line because its board has one for it. The same commands
over its broker and over BLE are in test_provisioning.py.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from tests.support.claimable import Street, street
from tests.support.desk import Desk, until

from citymote.label import Label
from citymote.testing.serial_line import SerialLine

pytestmark = pytest.mark.usefixtures("micropython32")
ROADS = ("udp", "serial")


@dataclass
class Working:
    """A provisioned node, and the words for the roads to it."""

    fresh: Street
    desk: Desk
    roads: dict[str, str]

    def told(self, road: str, *words: object) -> list[Any]:
        return self.desk.told("node", self.fresh.id, *words, "--via", self.roads[road])


@pytest.fixture(scope="module")
def working(micropython32: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Working]:
    folder = tmp_path_factory.mktemp("roads")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    with SerialLine() as line, street(folder, speed=4, line=line) as fresh:
        desk = Desk(folder)
        desk.knows(Label(fresh.public, fresh.secret))
        fresh.owner.public = desk.store.owner_public
        asyncio.run(fresh.provision(udp=True, udp_port=port, interval=5, batch=1, station="pole 7"))
        yield Working(fresh, desk, {"udp": f"udp:127.0.0.1:{port}", "serial": f"serial:{line.port}"})


@pytest.mark.parametrize("road", ROADS)
def test_a_node_tells_its_owner_over_that_road_what_it_is_and_does_what_it_is_told(working: Working, road: str) -> None:
    node = working.fresh.node
    (info,) = working.told(road, "info")
    assert (info["node"], info["role"], info["configured"]) == (working.fresh.id, "owner", True)
    (config,) = working.told(road, "config")
    assert (config["station"], config["interval"], config["network"], config["udp"]) == ("pole 7", 5, True, True)
    live = working.told(road, "live", "--rows", "1")
    assert [(one["quantity"], one["value"]) for one in live] == [("temperature", 21.5), ("humidity", 44.4)]
    (log,) = working.told(road, "log")
    assert log["log"] and not any("correct horse" in line for line in log["log"])
    starts = node.starts
    assert working.told(road, "reset", "restart") == [{"node": working.fresh.id, "reset": "restart"}]
    until(lambda: node.starts > starts)
    assert working.told(road, "info")[0]["boots"] == info["boots"] + 1


def test_the_prompt_is_shut_and_opened_by_the_owners_command_and_stays_so(working: Working) -> None:
    node = working.fresh.node
    marker = node.directory / "locked"  # what the boot switches Ctrl-C off by; test_prompt.py shows what that does

    def restarted() -> None:
        starts = node.starts
        working.told("udp", "reset", "restart")
        until(lambda: node.starts > starts)
        assert working.told("udp", "info")

    assert not marker.exists()
    for order, shut in (("shut-prompt", True), ("open-prompt", False)):
        working.told("udp", "reset", order)
        assert marker.exists() == shut
        restarted()
        assert marker.exists() == shut, "after a restart, too"
