"""A city of nodes that update, as far as the host can see them: they ask the folder at random times and tell events.

Each has the state machine of the firmware's update (SPEC 14.8) and nothing else of a node; what it tells are the real
event frames, put into a real store as the collector does. What becomes of an offer is the test's choice.
"""

from __future__ import annotations

import hashlib
import heapq
import random
from collections.abc import Callable, Iterable
from typing import Any

from citymote.decode import Frame, decode_bare
from citymote.storage.base import Store
from citymote.update.manifest import parts, sequence_of
from citymote.update.publish import Publication
from citymote_protocol import event as _event

encode_event: Any = _event.encode_event
EPOCH_2000 = 946684800
DOWNLOADING, VERIFIED, TRIAL, CONFIRMED, ROLLED_BACK, FAILED = range(2, 8)
COLUMNS = tuple((quantity, 0) for quantity in (120, 121, 122, 123))
GOOD = "good"

Outcome = Callable[[str, int], str | tuple[int, int]]
"""(node, sequence) -> "good", "silent" (it never asks), or the (state, reason) that it ends with."""


def node_id(number: int) -> str:
    """Ids as nodes have them."""
    return hashlib.sha256(f"node {number}".encode()).hexdigest()[:12]


class SimFleet:
    """See the module. Times are Unix seconds; `interval`: between two questions, on average."""

    def __init__(
        self, nodes: Iterable[str], store: Store, publication: Publication, start: float, *,
        outcome: Outcome = lambda node, sequence: GOOD, interval: float = 600, seed: int = 1, sealed: bool = True,
    ) -> None:  # fmt: skip
        self.random = random.Random(seed)
        self.store = store
        self.publication = publication
        self.outcome = outcome
        self.interval = interval
        self.sealed = sealed
        self.confirmed: dict[str, int] = {}
        self.asked = 0
        self.begun: list[tuple[float, str, int]] = []
        """(when, node, sequence) of every download."""
        self._told: dict[str, int] = {}
        self._seen: dict[str, bytes] = {}
        self._busy: set[str] = set()
        self._queue: list[tuple[float, int, Callable[[float], None]]] = []
        self._count = 0
        self._frames: list[Frame] = []
        for node in nodes:
            self.after(start, self.random.uniform(0, interval), lambda now, node=node: self._ask(node, now))

    def after(self, now: float, seconds: float, what: Callable[[float], None]) -> None:
        """Let something happen later."""
        self._count += 1
        heapq.heappush(self._queue, (now + seconds, self._count, what))

    def run(self, until: float) -> None:
        """Everything that happens up to a moment; what was told is in the store then."""
        while self._queue and self._queue[0][0] <= until:
            now, _, what = heapq.heappop(self._queue)
            what(now)
        self.store.add(self._frames)
        self._frames = []

    def tell(self, node: str, now: float, state: int, progress: int, sequence: int, reason: int = 0) -> None:
        """An event, as a node makes it."""
        seq = self._told[node] = self._told.get(node, -1) + 1
        values = (state, progress, sequence, reason)
        data = bytes(encode_event(bytes.fromhex(node), 1, seq, int(now) - EPOCH_2000, 2, COLUMNS, values, bytes(4)))
        self._frames.append(Frame(node, self.sealed, data, decode_bare(data), now))

    def _ask(self, node: str, now: float) -> None:
        self.after(now, self.random.uniform(0.5, 1.5) * self.interval, lambda then: self._ask(node, then))
        self.asked += 1
        envelope = self.publication.offered(node)
        if envelope is None or node in self._busy or self._seen.get(node) == envelope:
            return
        sequence = sequence_of(parts(envelope)[2])
        outcome = self.outcome(node, sequence)
        if outcome == "silent":
            return
        self._seen[node] = envelope
        if sequence <= self.confirmed.get(node, 0):
            self.tell(node, now, FAILED, 0, 0, 5)
            return
        self._busy.add(node)
        self.begun.append((now, node, sequence))
        self.tell(node, now, DOWNLOADING, 0, sequence)
        self.after(now, 60, lambda then: self.tell(node, then, DOWNLOADING, 43, sequence))
        self.after(now, 120, lambda then: self._end(node, then, sequence, outcome))

    def _end(self, node: str, now: float, sequence: int, outcome: str | tuple[int, int]) -> None:
        if not isinstance(outcome, str) and outcome[0] == FAILED:
            self.tell(node, now, FAILED, 43, sequence, outcome[1])
            self._busy.discard(node)
            self._seen.pop(node)  # a failed download is tried again
            return
        self.tell(node, now, VERIFIED, 100, sequence)
        self.after(now, 30, lambda then: self.tell(node, then, TRIAL, 100, sequence))
        self.after(now, 300, lambda then: self._decided(node, then, sequence, outcome))

    def _decided(self, node: str, now: float, sequence: int, outcome: str | tuple[int, int]) -> None:
        self._busy.discard(node)
        if isinstance(outcome, str):
            self.confirmed[node] = sequence
            self.tell(node, now, CONFIRMED, 100, sequence)
        else:
            self.tell(node, now, outcome[0], 100, sequence, outcome[1])
