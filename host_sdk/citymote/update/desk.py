"""Everything that a rollout needs, together: the book, the collector's store, the registry, the folder that nodes poll.

    with Desk(Path("updates.db"), store="city.db", fleet="city.fleet") as desk:
        desk.begin(bundle, root, "site=mapo and outdated", Publication(Path("www")), Plan())
        while desk.step(time.time()):
            time.sleep(30)
        for node in desk.status("not version=1.4.2"): print(node.facts.node, node.text)

`citymote update` is a thin face of this; what it shows, a program of one's own may ask for.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from citymote.storage.base import open_store

from . import rollout, where
from .book import Book, Rollout
from .bundle import Bundle
from .inventory import Inventory, Known, select
from .keyring import KeySet, load
from .listen import listen
from .member import Member, State, explain, explain_told
from .plan import Plan
from .publish import Publication

if TYPE_CHECKING:
    from citymote.storage.base import Store


@dataclass(frozen=True)
class NodeStatus:
    """One node: what is known of it, its part in the newest rollout that it is in, and a sentence about that."""

    facts: where.Facts
    seen: float | None
    rollout: Rollout | None
    member: Member | None
    text: str
    state: State | None = None
    """Its part's, or, where it is in no rollout, what it tells by itself."""
    progress: int = 0
    reason: int = 0

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        facts, told = self.facts, self.state is not None
        return {
            "node": facts.node, "site": facts.site, "tags": sorted(facts.tags), "board": facts.board,
            "version": facts.version, "runtime": facts.runtime, "flags": sorted(facts.flags), "seen": self.seen,
            "rollout": self.rollout.number if self.rollout else None,
            "offered_version": self.rollout.version if self.rollout else None,
            "state": str(self.state) if told else None, "progress": self.progress if told else None,
            "reason": self.reason if told else None, "text": self.text,
        }  # fmt: skip


class Desk:
    """See the module. Without a store nothing is heard; without a registry the nodes that were heard are all."""

    def __init__(
        self,
        book: Path,
        store: str | Path | None = None,
        fleet: str | Path | None = None,
        *,
        allow_unsealed: bool = False,
    ) -> None:
        with ExitStack() as stack:
            self.book = stack.enter_context(Book(book))
            self._store: Store | None = stack.enter_context(open_store(store, create=False)) if store else None
            self._fleet: Any = None
            if fleet:
                from citymote.fleet import open_fleet

                self._fleet = stack.enter_context(open_fleet(fleet, create=False))
            self._stack = stack.pop_all()
        self._allow_unsealed = allow_unsealed
        self._publications: dict[str, Publication] = {}
        self._conductor: rollout.Conductor | None = None
        self._inventory = Inventory(self.book)

    def close(self) -> None:
        """Let go of everything."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def inventory(self) -> Inventory:
        """What is known of the nodes, as of now."""
        self._inventory.registered = self._fleet.nodes() if self._fleet is not None else None
        return self._inventory

    def hear(self) -> None:
        """Take in what the collector has stored since."""
        if self._store is not None:
            listen(self.book, self._store, allow_unsealed=self._allow_unsealed)

    def begin(
        self,
        bundle: Bundle,
        root: bytes,
        condition: str,
        publication: Publication,
        plan: Plan,
        *,
        options: rollout.Options | None = None,
        now: float | None = None,
    ) -> Rollout:
        """Begin a rollout to the nodes that an expression means; `root` has signed the key set in the publication."""
        now = time.time() if now is None else now
        keys: KeySet = load(publication.folder / "keys", root)
        self.hear()
        chosen = select(self.inventory.nodes(now), condition)
        return rollout.begin(
            self.book, bundle, keys, chosen, publication, plan, now, condition=condition,
            options=options or rollout.Options(),
        )  # fmt: skip

    def step(self, now: float | None = None) -> list[Rollout]:
        """Hear, decide, publish; the rollouts that go on."""
        now = time.time() if now is None else now
        self.hear()
        for made in self.book.active():
            if made.publication not in self._publications:
                self._publications[made.publication] = Publication(Path(made.publication))
        if self._conductor is None:
            self._conductor = rollout.Conductor(self.book, self._publications, self._inventory)
        _ = self.inventory
        return self._conductor.step(now)

    def status(self, condition: str = "", number: int | None = None, now: float | None = None) -> Iterator[NodeStatus]:
        """The nodes that an expression means, by id; with a rollout's number, those that are in it."""
        now = time.time() if now is None else now
        rollouts = [self.book.rollout(number)] if number is not None else self.book.rollouts()[::-1]
        members = {made.number: self.book.members(made.number) for made in rollouts}
        known = self.inventory.nodes(now)
        for one in select(known, condition).values() if condition else known.values():
            found = next((made for made in rollouts if one.facts.node in members[made.number]), None)
            if found is None and number is not None:
                continue
            yield _status(one, found, members[found.number] if found else {}, now)

    def counts(self, number: int) -> dict[str, int]:
        """State -> how many nodes of a rollout are in it."""
        found = Counter(str(one.state) for one in self.book.members(number).values())
        return {str(state): found[str(state)] for state in State if found[str(state)]}

    def running(self, name: str, version: str | None = None) -> list[tuple[str, str]]:
        """(node, version) of the nodes that run a component."""
        return self.book.running(name, version)


def _status(one: Known, made: Rollout | None, members: dict[str, Member], now: float) -> NodeStatus:
    if made is None:
        told = State(one.facts.state) if one.facts.state in set(State) else None
        text = explain_told(told, one.facts.progress, one.reason) if told else "in no rollout yet"
        return NodeStatus(one.facts, one.seen, None, None, text, told, one.facts.progress, one.reason)
    part = members[one.facts.node]
    text = explain(part, rollout.scene(made, members, one, now), now)
    return NodeStatus(one.facts, one.seen, made, part, text, part.state, part.progress, part.reason)
