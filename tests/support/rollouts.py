"""A city that is brought a release: simulated nodes, a store, a folder that they poll, a desk, and releases to bring.

Tests of rollouts and the bench of them need the same city, and differ in what goes wrong in it. Time is simulated:
`City.go` lets the nodes and the desk live through minutes, and the disk is a real one.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.support.signers import private
from tests.support.sim_fleet import SimFleet, node_id

from citymote import open_store
from citymote.factory import slot
from citymote.update import bundle as bundles
from citymote.update import rollout, signing
from citymote.update.bundle import Bundle, Target
from citymote.update.desk import Desk
from citymote.update.inventory import Listed
from citymote.update.keyring import Key, KeySet
from citymote.update.plan import Plan, stages
from citymote.update.publish import Publication
from citymote.update.version import Version

START = datetime(2026, 11, 28, 1, 0, tzinfo=UTC).timestamp()
BOARD = "xiao-esp32c3"  # rv32imc
ROOT, RELEASE, URGENT = (private(number) for number in range(3))
KEYS = KeySet(0, ()).changed([Key(RELEASE.public, "release"), Key(URGENT.public, "emergency")])


def sbom(version: str, driver: str) -> bytes:
    parts = [{"type": "library", "name": "node.drivers.sht4x", "version": driver}]
    top = {"type": "firmware", "name": "citymote-firmware", "version": version}
    return json.dumps({"bomFormat": "CycloneDX", "metadata": {"component": top}, "components": parts}).encode()


def bundle(
    version: str,
    sequence: int,
    by: signing.SigningKey = RELEASE,
    *,
    boards: tuple[str, ...] = (),
    runtime: str = "1.26",
    driver: str = "1.0.0",
) -> Bundle:
    files = [slot.file("core.mpy", version.encode() * 40)]
    target = Target("rv32imc", "rv32imc", boards, slot.index(files))
    made = bundles.pack(Version.parse(version), runtime, [(target, files)], sbom=sbom(version, driver))
    return signing.sign_bundle(made, sequence, [signing.signer(by)])


class City:
    """Nodes, a store, a folder, and a desk that steps every simulated minute."""

    def __init__(self, folder: Path, count: int, **options: Any) -> None:
        self.folder = folder
        self.now = START
        self.ids = [node_id(number) for number in range(count)]
        self.store = open_store(folder / "city.db")
        self.publication = Publication(folder / "www")
        self.publication.put_keys(KEYS.statement(ROOT.owner), KEYS, ROOT.public)
        self.fleet = SimFleet(self.ids, self.store, self.publication, START, **options)
        self.sites = {node: ("mapo" if number % 2 else "jongno") for number, node in enumerate(self.ids)}
        self.desk = self.open()

    def open(self) -> Desk:
        made = Desk(self.folder / "updates.db", self.folder / "city.db")
        made._fleet = self
        return made

    def nodes(self) -> list[Listed]:
        """As a registry lists them."""
        return [
            Listed(
                node,
                site,
                ("canary",) if k < 2 else (),
                BOARD,
                "1.0.0",
                "1.26.1",
                datetime.fromtimestamp(self.now, UTC),
            )
            for k, (node, site) in enumerate(self.sites.items())
        ]

    def begin(self, release: Bundle, condition: str = "", plan: Plan | None = None, **options: Any) -> int:
        plan = plan or Plan(stages=stages("100%"), soak=0)
        made = self.desk.begin(
            release, ROOT.public, condition, self.publication, plan, now=self.now, options=rollout.Options(**options)
        )
        return made.number

    def go(self, minutes: float, until: Callable[[], bool] | None = None, every: int = 1) -> None:
        end = self.now + minutes * 60
        while self.now < end:
            self.now += 60 * every
            self.fleet.run(self.now)
            self.desk.step(self.now)
            if until is not None and until():
                return

    def restart(self) -> None:
        self.desk.close()
        self.desk = self.open()

    def counts(self, number: int = 1) -> dict[str, int]:
        return self.desk.counts(number)

    def texts(self, condition: str = "", number: int | None = None) -> dict[str, str]:
        return {one.facts.node: one.text for one in self.desk.status(condition, number, self.now)}

    def rollout(self, number: int = 1) -> Any:
        return self.desk.book.rollout(number)
