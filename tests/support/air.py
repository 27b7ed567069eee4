"""Virtual nodes in a test air, with a server that gives back what it is sent: for tests of links and transports."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from citymote.testing.air import Air
from citymote.testing.vm import VirtualNode

from . import vm
from .node import scripted

ECHO = """
from citymote_protocol.coap import Message

class Echo:
    # The server's interface, and no more than an echo behind it: what it takes and loses is told to the test.
    def submit(self, link, peer, message, now):
        hal.event("took", [peer, len(message.payload)])
        link.send(peer, Message(0x45, message.token, [], message.payload), now)

    def step(self, now):
        return False

    def lost(self, link):
        for peer, token, why in link.lost():
            hal.event("lost", [peer, why])

    def drop(self, link, peer):
        hal.event("dropped", peer)
"""

BLE = (
    ECHO
    + """
from node.links.ble import Ble
link = Ble(hal, bytes.fromhex("%(node)s"), Echo(), **%(options)r)
link.state(%(state)d, %(detail)d)
%(more)s
await link.run()
"""
)


def node_id(number: int) -> str:
    """The id of the test node of that number."""
    return f"{0xC17E00000000 + number:012x}"


def ble_node(
    folder: Path, air: Air, number: int = 1, *, state: int = 0, detail: int = 0, more: str = "", **options: Any
) -> VirtualNode:
    """A node that echoes over BLE; `more` is code of its main coroutine, `options` are the link's."""
    link = {"interval": options.pop("interval", 30000), "idle": options.pop("idle", 60000)}
    code = BLE % {"node": node_id(number), "options": link, "state": state, "detail": detail, "more": more}
    options.setdefault("heap", "60k")
    # with all its names: the script looks inside
    options.setdefault("path", [folder / "script", vm.application(vm.best(32).bits)])
    folder.mkdir(parents=True, exist_ok=True)
    return scripted(folder, code, air=air, name=f"n{number}", **options)


@contextmanager
def ble_nodes(folder: Path, air: Air, count: int, **options: Any) -> Iterator[list[VirtualNode]]:
    """Several, running."""
    with ExitStack() as stack:
        nodes = [
            stack.enter_context(ble_node(folder / str(number), air, number, **options))
            for number in range(1, count + 1)
        ]
        for node in nodes:
            node.start()
        yield nodes
