"""The registry itself: what is kept of nodes and stations, in SQL that both engines of `database` understand.

Secrets (a label's claim secret, a node's credentials at the broker) are sealed by the vault of the owner store before
they get here; without one, the rest can be read all the same. Every deed is noted in the audit log by who does it
(`note`); times are UTC in ISO 8601.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self, cast

from citymote import keys
from citymote_protocol.p256 import CurveError

from . import audit
from .base import FleetError, NodeRecord, Stage, Station, Stay, Step
from .database import Database, open_database

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence
    from types import TracebackType

    from citymote.label import Label
    from citymote.owner import OwnerStore
    from citymote.vault import Vault

_COLUMNS = (
    "n.node, n.public, n.site, s.station, n.tags, n.board, n.firmware, n.runtime, n.owner, n.stage, n.state, n.detail, "
    "n.seen, n.revoked, n.secret IS NOT NULL, n.digest, n.trial"
)
_FROM = "FROM nodes n LEFT JOIN stays s ON s.node = n.node AND s.until IS NULL"
_FACTS = ("site", "board", "firmware", "runtime", "owner", "stage", "state", "detail", "digest", "trial")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def open_fleet(
    where: str | os.PathLike[str], store: OwnerStore | None = None, *, create: bool = True, who: str | None = None
) -> Fleet:
    """The registry in a file, or at a `postgresql://` URL. `store` seals its secrets, and is who acts, unless `who`
    says otherwise. `create` False: only one that is there."""
    vault = None if store is None else store.vault
    return Fleet(open_database(where, create=create), vault, who or (store.who if store is not None else "unnamed"))


class Fleet:
    """See the package. Methods are short and do not wait: async code may call them as they are."""

    def __init__(self, db: Database, vault: Vault | None, who: str) -> None:
        self._db = db
        self._vault = vault
        self.who = who

    def __repr__(self) -> str:
        return f"Fleet({self._db.name!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let the database go."""
        self._db.close()

    def _sealing(self) -> Vault:
        if self._vault is None:
            raise FleetError("the registry's secrets are sealed", "", "Open it with the owner store they belong to.")
        return self._vault

    # -- nodes --------------------------------------------------------------------------------------------------------

    def add(self, node: Label | bytes, *, tags: Sequence[str] = (), **facts: str | int | None) -> NodeRecord:
        """A node by its label, or by its public key alone (then it can be claimed by who has the secret). Adding it
        again adds what is new."""
        public: bytes = node if isinstance(node, bytes) else node.public
        try:
            name = keys.node_id(public).hex()
        except CurveError:
            raise FleetError("this is no node's public key", "it is no point of P-256") from None
        with self._db.transaction():
            known = self._db.rows("SELECT public FROM nodes WHERE node = ?", (name,))
            if known and bytes(known[0][0]) != public:
                raise FleetError(
                    f"node {name}: not added", "another public key with this id is registered", "Do not use this board."
                )
            if not known:
                self._db.run("INSERT INTO nodes (node, public) VALUES (?, ?)", (name, public))
            if not isinstance(node, bytes):
                sealed = self._sealing().seal(node.secret, f"secret {name}")
                self._db.run("UPDATE nodes SET secret = ? WHERE node = ? AND secret IS NULL", (sealed, name))
            if tags:
                self.tag(name, *tags)
            self.update(name, seen=None, **facts)
        return self.get(name)

    def update(self, node: str, *, seen: datetime | None = None, **facts: str | int | None) -> None:
        """Note facts of a node: site, board, firmware, runtime, owner, stage, state, detail, digest, trial."""
        wrong = sorted(set(facts) - set(_FACTS))
        if wrong:
            raise TypeError(f"{', '.join(wrong)}: not among {', '.join(_FACTS)}")
        for name, value in facts.items():
            stored = str(value) if isinstance(value, Stage) else value
            # the name is one of ours, see above
            if not self._db.run(f"UPDATE nodes SET {name} = ? WHERE node = ?", (stored, node)):
                raise _unknown(node)
        if seen is not None:
            self._db.run("UPDATE nodes SET seen = ? WHERE node = ?", (_text(seen), node))

    def tag(self, node: str, *tags: str) -> None:
        """Add words that nodes can be chosen by."""
        have = set(self.get(node).tags)
        self._db.run("UPDATE nodes SET tags = ? WHERE node = ?", (json.dumps(sorted(have | set(tags))), node))

    def get(self, node: str) -> NodeRecord:
        """One node; FleetError where it is not registered."""
        rows = self._db.rows(f"SELECT {_COLUMNS} {_FROM} WHERE n.node = ?", (node,))
        if not rows:
            raise _unknown(node)
        return _record(rows[0])

    def nodes(
        self,
        *,
        site: str | None = None,
        station: str | None = None,
        tag: str | None = None,
        stage: Stage | None = None,
        revoked: bool | None = False,
    ) -> list[NodeRecord]:
        """Nodes by id, those that fit; `revoked` None: whether they are revoked or not."""
        found = [_record(row) for row in self._db.rows(f"SELECT {_COLUMNS} {_FROM} ORDER BY n.node")]
        return [
            one
            for one in found
            if (site is None or one.site == site)
            and (station is None or one.station == station)
            and (tag is None or tag in one.tags)
            and (stage is None or one.stage == stage)
            and (revoked is None or (one.revoked is not None) == revoked)
        ]

    def secret(self, node: str) -> bytes | None:
        """The claim secret of its label, if it is here."""
        rows = self._db.rows("SELECT secret FROM nodes WHERE node = ?", (node,))
        if not rows:
            raise _unknown(node)
        return None if rows[0][0] is None else self._sealing().open(bytes(rows[0][0]), f"secret {node}")

    def credentials(self, node: str) -> dict[str, str] | None:
        """What was minted for it at the broker (settings by name), if anything."""
        rows = self._db.rows("SELECT credentials FROM nodes WHERE node = ?", (node,))
        if not rows:
            raise _unknown(node)
        if rows[0][0] is None:
            return None
        return json.loads(self._sealing().open(bytes(rows[0][0]), f"credentials {node}"))

    def keep_credentials(self, node: str, minted: Mapping[str, str] | None) -> None:
        """Keep what was minted, or forget it (None)."""
        sealed = None
        if minted is not None:
            sealed = self._sealing().seal(json.dumps(dict(minted)).encode(), f"credentials {node}")
        if not self._db.run("UPDATE nodes SET credentials = ? WHERE node = ?", (sealed, node)):
            raise _unknown(node)

    def revoke(self, node: str, why: str) -> None:
        """It is ours no more: stolen, sold, broken. It leaves its station; its record stays."""
        with self._db.transaction():
            if not self._db.run("UPDATE nodes SET revoked = ? WHERE node = ? AND revoked IS NULL", (_now(), node)):
                self.get(node)
                raise FleetError(f"node {node}: not revoked", "it is already")
            self._db.run("UPDATE stays SET until = ? WHERE node = ? AND until IS NULL", (_now(), node))
            self.keep_credentials(node, None)
            self.note("revoke", node, "ok", why)

    def fill(self, file: keys.KeyFile) -> tuple[int, int]:
        """Make a collector's key file open the frames of every node here, and of no revoked one: (added, removed)."""
        added = removed = 0
        for one in self.nodes(revoked=None):
            name = bytes.fromhex(one.node)
            if one.revoked is None and name not in file.nodes:
                file.add_node(one.public)
                added += 1
            elif one.revoked is not None and name in file.nodes:
                file.remove_node(name)
                removed += 1
        return added, removed

    # -- stations -----------------------------------------------------------------------------------------------------

    def station(self, station: str, **facts: float | str | None) -> Station:
        """A station by its name, made when it is new; `site`, `latitude`, `longitude`, `height` are noted if given."""
        if not station or len(station.encode()) > 64:
            raise FleetError("a station's name has 1 to 64 bytes")
        with self._db.transaction():
            if not self._db.rows("SELECT 1 FROM stations WHERE station = ?", (station,)):
                self._db.run("INSERT INTO stations (station) VALUES (?)", (station,))
            for name, value in facts.items():
                if name not in ("site", "latitude", "longitude", "height"):
                    raise TypeError(f"a station has no {name}")
                if value is not None:
                    self._db.run(f"UPDATE stations SET {name} = ? WHERE station = ?", (value, station))
        rows = self._db.rows("SELECT * FROM stations WHERE station = ?", (station,))
        return Station(*rows[0])

    def stations(self) -> list[Station]:
        """All of them."""
        return [Station(*row) for row in self._db.rows("SELECT * FROM stations ORDER BY station")]

    def place(self, node: str, station: str) -> None:
        """The node hangs at that station from now on. FleetError where another one does: that is `replace`."""
        self._place(node, station, _now())

    def _place(self, node: str, station: str, moment: str) -> None:
        with self._db.transaction():
            self.get(node)
            self.station(station)
            there = self._db.rows("SELECT node FROM stays WHERE station = ? AND until IS NULL", (station,))
            if there and there[0][0] == node:
                return
            if there:
                raise FleetError(
                    f"station {station} has node {there[0][0]}",
                    "two nodes would write one series",
                    f"Replace it: citymote fleet replace {there[0][0]} {node}",
                )
            self._db.run("UPDATE stays SET until = ? WHERE node = ? AND until IS NULL", (moment, node))
            self._db.run("INSERT INTO stays VALUES (?, ?, ?, NULL)", (station, node, moment))

    def replace(self, old: str, new: str) -> str:
        """The new node takes the old one's station, and with it its series; the station's name."""
        with self._db.transaction():
            station = self.get(old).station
            if station is None:
                raise FleetError(f"node {old}: not replaced", "it is at no station")
            if old == new:
                raise FleetError(f"node {old}: not replaced", "by itself")
            site = self.get(old).site
            moment = _now()  # one ends where the other begins: no reading falls between
            self._db.run("UPDATE stays SET until = ? WHERE node = ? AND until IS NULL", (moment, old))
            self._place(new, station, moment)
            if site is not None:
                self.update(new, site=site)
            self.note("replace", new, "ok", f"{station}: instead of {old}")
        return station

    def stays(self, station: str | None = None) -> list[Stay]:
        """Which node was at which station when: what joins a station's series."""
        rows = self._db.rows(
            "SELECT station, node, since, until FROM stays WHERE ? = '' OR station = ? ORDER BY station, since",
            (station or "", station or ""),
        )
        return [Stay(r[0], r[1], datetime.fromisoformat(r[2]), _moment(r[3])) for r in rows]

    # -- what was done ------------------------------------------------------------------------------------------------

    def note(self, what: str, node: str | None, outcome: str = "ok", detail: str = "") -> int:
        """An entry of the audit log. No secret belongs into it."""
        return audit.write(self._db, self.who, what, node, outcome, detail)

    def audit(self, node: str | None = None) -> Iterator[audit.Entry]:
        """The log, oldest entry first."""
        return audit.entries(self._db, node)

    def audit_head(self) -> tuple[int, bytes]:
        """Number and hash of the last entry."""
        return audit.head(self._db)

    def verify(self) -> int:
        """Check the log's chain; how many entries it has."""
        return audit.verify(self._db)

    def step(self, node: str, stage: str, outcome: str, detail: str = "") -> None:
        """A line of the journal of a node's provisioning, by which it is resumed."""
        with self._db.transaction():
            self._db.lock("journal")
            last = self._db.rows("SELECT max(number) FROM journal")[0][0] or 0
            self._db.run(
                "INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?)", (last + 1, _now(), node, stage, outcome, detail)
            )

    def steps(self, node: str) -> list[Step]:
        """The journal of one node, oldest first."""
        rows = self._db.rows(
            "SELECT time, node, stage, outcome, detail FROM journal WHERE node = ? ORDER BY number", (node,)
        )
        return [Step(datetime.fromisoformat(r[0]), *r[1:]) for r in rows]


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


def _unknown(node: str) -> FleetError:
    return FleetError(f"node {node} is not registered", "", "Add its label: citymote fleet add LABELS.")


def _record(row: tuple[Any, ...]) -> NodeRecord:
    (node, public, site, station, tags, board, firmware, runtime, owner, stage, state, detail, seen, revoked, secret,
     digest, trial) = row  # fmt: skip
    return NodeRecord(
        node, bytes(public), site, station, tuple(cast("list[str]", json.loads(tags))), board, firmware, runtime, owner,
        Stage(stage), state, detail, _moment(seen), _moment(revoked), bool(secret), digest, trial,
    )  # fmt: skip
