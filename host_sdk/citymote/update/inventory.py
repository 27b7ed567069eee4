"""Puts together what is known of each node, from the registry, its own frames, and the releases' SBOMs: for `--where`.

The registry says where a node hangs and what it is tagged; the node itself which board and runtime it has; the rollouts
which release it confirmed, and so what every module of it is. What the node said last wins over what was written down.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from citymote import boards
from citymote.errors import CitymoteError

from . import sbom, where
from .book import Book, Rule, Seen
from .listen import plain_runtime
from .member import State
from .version import Version

if TYPE_CHECKING:
    from datetime import datetime

ONLINE = 7200.0
"""Seconds since a node's last frame after which it no longer counts as online: some intervals of any profile."""


class Registered(Protocol):
    """A node as a registry has it; `citymote.fleet.NodeRecord` is one."""

    @property
    def node(self) -> str: ...
    @property
    def site(self) -> str | None: ...
    @property
    def tags(self) -> tuple[str, ...]: ...
    @property
    def board(self) -> str | None: ...
    @property
    def firmware(self) -> str | None: ...
    @property
    def runtime(self) -> str | None: ...
    @property
    def seen(self) -> datetime | None: ...


@dataclass(frozen=True)
class Listed:
    """A node of a list that is not a registry's."""

    node: str
    site: str | None = None
    tags: tuple[str, ...] = ()
    board: str | None = None
    firmware: str | None = None
    runtime: str | None = None
    seen: datetime | None = None


@dataclass
class Known:
    """One node, with all that is known of it. `seen` is in Unix seconds; `content`, `target` name its release."""

    facts: where.Facts
    seen: float | None = None
    content: str | None = None
    target: str | None = None
    confirmed: int = 0
    rule: Rule | None = None
    """The hold or pin that it is under."""
    reason: int = 0
    """Of its newest update event, as `facts` has its state."""


@dataclass(frozen=True)
class Standing:
    """What a rollout asks of a node at every step: what it said last, and the hold or pin that it is under."""

    seen: Seen
    rule: Rule | None = None


@dataclass
class Inventory:
    """See the module. `registered` None: the nodes that have been heard are all there are."""

    book: Book
    registered: Iterable[Registered] | None = None
    online: float = ONLINE
    _shared: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict[tuple[str, str], dict[str, str]])

    def standing(self) -> dict[str, Standing]:
        """Every node that has been heard or is under a rule, by its id."""
        found = {node: Standing(seen) for node, seen in self.book.nodes().items()}
        rules = {(rule.scope, rule.name): rule for rule in self.book.rules()}
        if not rules:
            return found
        sites = {record.node: record.site or "" for record in self.registered or ()}
        for node in found.keys() | sites.keys() | {name for scope, name in rules if scope == "node"}:
            rule = rules.get(("node", node)) or rules.get(("site", sites.get(node, "")))
            if rule is not None:
                found[node] = Standing(found[node].seen if node in found else Seen(node), rule)
        return found

    def nodes(self, now: float) -> dict[str, Known]:
        """Every node by its id."""
        heard = self.book.nodes()
        records: dict[str, Registered] = {node: Listed(node) for node in heard}
        if self.registered is not None:
            records = {record.node: record for record in self.registered}
        releases = self.book.releases()
        versions = dict(releases)
        newest = max((found for _, text in releases if (found := Version.read(text))), default=None)
        rules = {(rule.scope, rule.name): rule for rule in self.book.rules()}
        by_version = {text: content for content, text in releases}
        architectures: dict[str, str] = {}
        made: dict[str, Known] = {}
        for node, record in records.items():
            seen = heard.get(node) or Seen(node)
            board = seen.board or record.board or ""
            if board not in architectures:
                architectures[board] = architecture(board)
            content = seen.content
            version = versions.get(content or "", "") or seen.firmware or record.firmware or ""
            content = content or by_version.get(version)
            rule = rules.get(("node", node)) or rules.get(("site", record.site or ""))
            last = max(seen.seen or 0.0, record.seen.timestamp() if record.seen else 0.0) or None
            facts = where.Facts(
                node=node,
                site=record.site or "",
                tags=frozenset(record.tags),
                board=board,
                architecture=architectures[board],
                version=version,
                runtime=plain_runtime(seen.runtime or record.runtime or ""),
                state=_STATES[seen.state] if seen.state < len(_STATES) else str(seen.state),
                sequence=seen.sequence,
                progress=seen.progress,
                flags=_flags(seen, last, now, self.online, version, newest, rule),
                components=self._components(
                    content, seen, architectures[board], plain_runtime(seen.runtime or record.runtime or "")
                ),
            )
            made[node] = Known(facts, last, content, seen.target, seen.confirmed, rule, seen.reason)
        return made

    def _components(self, content: str | None, seen: Seen, arch: str, runtime: str) -> Mapping[str, str]:
        own = {sbom.MICROPYTHON: runtime} if runtime else {}
        if content is None:
            return own
        target = seen.target or arch
        if (content, target) not in self._shared:
            self._shared[content, target] = self.book.components(content, target)
        return ChainMap(own, self._shared[content, target])


_STATES = ("", "offered", *(str(state) for state in (State.DOWNLOADING, State.VERIFIED, State.TRIAL)), *(
    str(state) for state in (State.CONFIRMED, State.ROLLED_BACK, State.FAILED)
))  # fmt: skip


def _flags(
    seen: Seen, last: float | None, now: float, online: float, version: str, newest: Version | None, rule: Rule | None
) -> frozenset[str]:
    found: set[str] = set()
    if last is not None and now - last <= online:
        found.add("online")
    own = Version.read(version)
    if newest is not None and (own is None or own < newest):
        found.add("outdated")
    if seen.state in (6, 7):
        found.add("failed")
    if rule is not None:
        found.add("held" if rule.kind == "hold" else "pinned")
    return frozenset(found)


def architecture(board: str) -> str:
    """The architecture of a board's chip; "" where the board is not known here, or has none."""
    if not board:
        return ""
    try:
        chip = boards.describe(board).chip
    except CitymoteError:
        return ""
    return chip.architecture if chip else ""


def select(nodes: Mapping[str, Known], condition: str) -> dict[str, Known]:
    """Those that an expression means."""
    test = where.parse(condition)
    return {node: known for node, known in nodes.items() if test(known.facts)}
