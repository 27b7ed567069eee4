"""What the registry tells: records of nodes and stations, steps of a provisioning, and how a node is named."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from citymote.errors import CitymoteError
from citymote.label.code import LabelError, is_payload, node_of_short_code


class FleetError(CitymoteError):
    """A registry that cannot be opened, or that does not hold what is asked of it."""

    whose = "machine"


class Stage(StrEnum):
    """How far the provisioning of a node has come; the order is that of the work."""

    KNOWN = "known"
    CLAIMED = "claimed"
    DELEGATED = "delegated"
    CONFIGURED = "configured"
    TRIED = "tried"
    PROVISIONED = "provisioned"

    @property
    def rank(self) -> int:
        """0 for the first."""
        return list(Stage).index(self)


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """What is known of a node. `state` and `detail` are what it last said of itself in the air (SPEC 15.4)."""

    node: str
    public: bytes
    site: str | None = None
    station: str | None = None
    tags: tuple[str, ...] = ()
    board: str | None = None
    firmware: str | None = None
    runtime: str | None = None
    owner: str | None = None
    """Id of the owner's signing key that it was claimed for."""
    stage: Stage = Stage.KNOWN
    state: int | None = None
    detail: int = 0
    seen: datetime | None = None
    revoked: datetime | None = None
    has_secret: bool = False
    """Whether the label's claim secret is here, sealed."""
    digest: str | None = None
    """Of the configuration that it proved, so that the same is not done twice."""
    trial: int = 0
    """Number of its last trial."""


@dataclass(frozen=True, slots=True)
class Station:
    """A place with a series of readings. Degrees (WGS 84), metres above ground."""

    station: str
    site: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    height: float | None = None


class Stay(NamedTuple):
    """A node at a station, from when until when (None: it is there)."""

    station: str
    node: str
    since: datetime
    until: datetime | None


class Step(NamedTuple):
    """One line of a provisioning's journal."""

    time: datetime
    node: str
    stage: str
    outcome: str
    detail: str


_HEX = frozenset("0123456789abcdef")


def node_of(text: str) -> str:
    """The node id that a person wrote: 12 hexadecimal digits, or the short code of the label."""
    plain = text.strip().lower().replace(":", "")
    if len(plain) == 12 and set(plain) <= _HEX:
        return plain
    if is_payload(text):
        raise FleetError("a label's text is a secret and names no node here", "", "Give the short code beside it.")
    try:
        return node_of_short_code(text)
    except LabelError:
        raise FleetError(
            f"{text!r} names no node", "", "A node is 12 hexadecimal digits, or a short code as 014D2-PF2DB-A."
        ) from None
