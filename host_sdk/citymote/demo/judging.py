"""What a day came to: who spoke, what is stored, and what still lies in the stores of nodes that could not deliver it.

A node that was killed or lost its broker has not lost these readings, and the demo must not say so. They are read off
the node's flash by the node's own store, in a process that does nothing else, as the node's next start would find them.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from citymote import resources
from citymote.capture import Message
from citymote.decode import Frame, decode_open
from citymote.keys import KeyFile
from citymote.simulate import Plan, Result
from citymote.testing.vm import VirtualNode

from .city_nodes import Pole
from .compare import Expectation, Verdict, compare

if TYPE_CHECKING:
    from citymote.storage.base import Store
    from citymote.testing.bridge import Event

PATIENCE = 60.0
HEAP = "2m"  # it compiles what it imports
_READ = """
import asyncio
from binascii import hexlify, unhexlify
from node import hal
from node.recovery import store_epoch
from node.store import Store

async def main():
    hal.mount()
    store = Store("/store", store_epoch("/store", "/config/epoch"), unhexlify("%s"), ())
    store.release()
    found = store.next_pending()
    while found:
        hal.event("waits", str(hexlify(found[1]), "ascii"))
        found = store.next_pending()
    hal.exit(0, {})

hal.run(main())
"""


class Heard:
    """What the nodes themselves tell, each on a thread of its own: who they are, and what was acknowledged."""

    def __init__(self, keys: KeyFile) -> None:
        self.ids: dict[str, str] = {}
        self.acked = 0
        self._keys = keys
        self._lock = threading.Lock()

    def __call__(self, name: str, event: Event) -> None:
        with self._lock:
            if event.name == "identity":
                self._keys.add_node(bytes.fromhex(event.data["public_key"]))
                self.ids[name] = event.data["node"]
            elif event.name == "acked":
                self.acked += 1


@dataclass(frozen=True, slots=True)
class Judged:
    """What came of so many nodes' day. `sent`: readings that they measured; `waits`: frames that they still have."""

    nodes: int
    verdict: Verdict
    expectations: Mapping[str, Expectation]
    sent: int
    waits: list[Frame]

    @property
    def waiting(self) -> int:
        """How many readings they still have."""
        return sum(map(_readings, self.waits))

    def words(self) -> list[str]:
        """How many frames wait, and where."""
        if not self.waits:
            return []
        nodes = sorted({frame.node for frame in self.waits})
        shown = ", ".join(nodes[:5]) + (f" and {len(nodes) - 5} more" if len(nodes) > 5 else "")
        many = "1 frame" if len(self.waits) == 1 else f"{len(self.waits):,} frames"
        wait = "waits" if len(self.waits) == 1 else "wait"
        return [f"{many} with {self.waiting:,} readings {wait} in the node's store ({shown}), neither stored nor lost"]


def judge(line: list[Pole], results: list[Result], heard: Heard, store: Store, folder: Path) -> Judged:
    """Hold what the store has, and what nodes that did not end well have on their flash, against what was played."""
    ended = [(heard.ids.get(result.name, ""), pole, result) for result, pole in zip(results, line, strict=True)]
    expectations = {node: pole.expectation for node, pole, _ in ended if node}
    unwell = {node: pole.plan for node, pole, result in ended if node and result.error}
    stored = [frame for frame in store.iter_frames() if frame.node in unwell] if unwell else []
    there = {(frame.node, frame.epoch, frame.seq) for frame in stored}
    waits = [frame for frame in _waiting(unwell, folder) if (frame.node, frame.epoch, frame.seq) not in there]
    verdict = compare(expectations, chain(store.iter_frames(), waits))
    verdict.stored -= sum(map(_readings, waits))
    verdict.lost += sum(pole.expectation.present() for node, pole, _ in ended if not node)
    # A node that was killed has not said how much it had measured: all there is of it is in one of the two places.
    silent = {node for node, _, result in ended if "readings" not in result.report}
    sent = sum(_readings(frame) for frame in chain(stored, waits) if frame.node in silent)
    sent += sum(int(result.report.get("readings", 0)) for result in results)
    return Judged(len(results), verdict, expectations, sent, waits)


def _readings(frame: Frame) -> int:
    return sum(sample.value is not None for sample in frame.samples()) if frame.kind == "batch" else 0


def _waiting(plans: Mapping[str, Plan], folder: Path) -> list[Frame]:
    """The frames in the stores of these nodes (node id -> plan), whose flash is in `folder`.

    A frame may have reached the collector all the same: then its acknowledgement has not come back. NodeFailed where a
    store cannot be read.
    """

    # Not the application: its modules have other names and places once it is linked.
    sources = (resources.firmware(), resources.protocol_package().parent)

    def of(node: str) -> list[Frame]:
        plan = plans[node]
        with VirtualNode(
            folder / plan.name, board=plan.board, heap=HEAP, wear=False, path=sources, entry=("-c", _READ % node)
        ) as reader:  # fmt: skip
            reader.start()
            reader.wait(PATIENCE)
            bare = [bytes.fromhex(data) for data in reader.event_data("waits")]
        return [decode_open(Message(data, None, plan.name), data, node, sealed=False) for data in bare]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return [frame for frames in pool.map(of, plans) for frame in frames]
