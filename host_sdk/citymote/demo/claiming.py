"""The demo's first act: nodes come out of their boxes, are found in the air, claimed with their labels, configured.

The factory draws a node's identity and prints its label; the node knows nobody then and measures nothing. Over a
virtual air, Bumble's link layer under bleak, `citymote.scan` hears it and `citymote.provision` takes it, with real
EDHOC and OSCORE on both sides, as an integrator's laptop does. Radios cannot be wound forward, so this takes real
seconds. The act ends with the nodes' restart into the trial of their uplink. That restart waits for all of them, since
the demo's day begins for every node at one instant, the same in every run; there the trial succeeds and the first frame
arrives, which is what counts as provisioned.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from citymote import private_files
from citymote.errors import CitymoteError
from citymote.fleet import Fleet, Stage, open_fleet
from citymote.keys import KeyFile, Opener
from citymote.label import Label
from citymote.nearby import State, scan
from citymote.owner import OwnerStore
from citymote.plan import Plan, Row
from citymote.provisioning import MqttArrivals, Progress, provision
from citymote.reach import BleReach
from citymote.simulate import Plan as NodePlan
from citymote.testing.vm import VirtualNode
from citymote.testing.wifi import WiFi

SPEED = 2
"""Virtual ms of a node a real one while its radio is on."""
HEAP = "200k"
FIND = 60.0
LATE = 10.0
"""Real seconds after the nodes' day in which a first frame may still be on its way through the broker."""
SITE, NETWORK = "demo", "city"
OF_THE_STORY = ("until", "time_earliest")
"""Settings that belong to the virtual world and not to a city: whoever makes the node gives it these."""
_FACTORY = """
import asyncio
from node import hal, selftest

async def main():
    hal.mount()
    hal.event("label", await selftest.draw(hal))

hal.run(main())
"""


@dataclass(slots=True)
class Claimed:
    """What came of it. `seconds`: until the last node was configured; `first_frame`: node -> seconds, from the
    beginning as well."""

    nodes: list[str] = field(default_factory=list[str])
    seconds: float = 0.0
    first_frame: dict[str, float] = field(default_factory=dict[str, float])
    failed: list[str] = field(default_factory=list[str])


class FirstAct:
    """`configure` returns when every node is about to begin its trial; its plan says then how it goes on. `proved`
    waits for their first frames. `settings` are what they are told, `url` where frames arrive.
    """

    def __init__(
        self, plans: Sequence[NodePlan], folder: Path, settings: Mapping[str, Any], keys: KeyFile, url: str,
        told: Callable[[str], None], *, ca_file: Path | None = None, password: str | None = None,
    ) -> None:  # fmt: skip
        self.claimed = Claimed()
        self._plans = plans
        self._folder = folder
        self._settings = dict(settings)
        if self._settings.get("broker_ca"):  # a session carries a certificate's bytes, a deployed file its text
            self._settings["broker_ca"] = ssl.PEM_cert_to_DER_cert(self._settings["broker_ca"])
        self._keys = keys
        self._url = url
        self._ca_file = None if ca_file is None else str(ca_file)
        self._password = password
        self._told = told
        self._wifi = WiFi({NETWORK: secrets.token_urlsafe(12)})
        self._nodes: dict[str, VirtualNode] = {}
        self._heard: set[str] = set()
        self._begun = time.monotonic()
        self._configured = threading.Event()
        self._error: Exception | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name="citymote-first-act", daemon=True)

    def configure(self) -> None:
        """CitymoteError where a node did not come so far."""
        self._thread.start()
        self._configured.wait()
        for node in self._nodes.values():
            if self._error is None and node.running:
                node.wait(60, check=False)  # it restarts two of its seconds after its answer
            node.kill()
        if self._error is not None:
            self._thread.join()
            raise self._error
        for plan in self._plans:
            plan.settings = {name: plan.settings[name] for name in OF_THE_STORY if name in plan.settings}
            plan.owned, plan.wifi = True, self._wifi

    def proved(self) -> Claimed:
        """After the nodes' day: what came of their trials."""
        self._thread.join(LATE)
        if self._loop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._end)
        self._thread.join()
        if self._error is not None:
            raise self._error
        missing = sorted(set(self._nodes) - set(self.claimed.first_frame))
        self.claimed.failed = [f"node {node}: no frame of it has arrived through its uplink" for node in missing]
        return self.claimed

    def _end(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _run(self) -> None:
        async def act() -> None:
            self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
            with contextlib.suppress(asyncio.CancelledError):
                await self._act()

        try:
            asyncio.run(act())
        except Exception as error:  # noqa: BLE001 - raised again where somebody waits
            self._error = error
        finally:
            self._configured.set()

    def _label(self, plan: NodePlan) -> Label:
        """The factory: the node draws its identity, the label is printed."""
        with VirtualNode(
            self._folder / "nodes" / plan.name, board=plan.board, settings={}, seed=plan.seed, heap=HEAP, wear=False,
            entry=("-c", _FACTORY),
        ) as node:  # fmt: skip
            node.start()
            node.wait(60)
            (drawn,) = node.event_data("label")
        return Label(bytes.fromhex(drawn["public_key"]), bytes.fromhex(drawn["claim_secret"]))

    def _store(self) -> OwnerStore:
        """An owner's store whose passphrase lies beside it: it is for looking at, and worth nothing after the demo."""
        passphrase = secrets.token_urlsafe(24)
        private_files.write(self._folder / "city.passphrase", passphrase.encode() + b"\n")
        return OwnerStore.create(self._folder / "city.owner", ask=lambda new: passphrase)

    async def _act(self) -> None:
        from citymote.testing.air import Air  # Bumble takes half a second to load: not where the demo refuses its data

        logging.getLogger("bumble").setLevel(logging.ERROR)  # it remarks on each connection that has just ended
        store = self._store()
        with (
            Air(speed=SPEED) as air,
            open_fleet(self._folder / "city.fleet", store) as fleet,
            ExitStack() as running,
        ):
            rows: list[Row] = []
            for plan in self._plans:
                label = self._label(plan)
                own = {name: value for name, value in plan.settings.items() if name not in OF_THE_STORY}
                rows.append(Row(label.node, label, station=f"pole {int(plan.name)}", settings=own))
                self._keys.add_node(label.public)
                node = VirtualNode(
                    self._folder / "nodes" / plan.name, board=plan.board, settings={}, seed=plan.seed, heap=HEAP,
                    wear=False, air=air, name=plan.name, deployed=False, wifi=self._wifi, resets=False,
                )  # fmt: skip
                self._nodes[label.node] = running.enter_context(node)
            self._begun = time.monotonic()
            for node in self._nodes.values():
                node.start()
            adapter = air.adapter()
            await self._hear(adapter)
            await self._provision(fleet, store, BleReach(adapter), rows)

    async def _hear(self, adapter: Any) -> None:
        found: set[str] = set()
        async for one in scan(FIND, radio=adapter):
            if one.state == State.UNOWNED and one.node in self._nodes:
                found.add(one.node)
            if len(found) == len(self._nodes):
                break
        count = "one node is" if len(found) == 1 else f"{len(found)} nodes are"
        self._told(f"{count} in the air, without an owner: {', '.join(sorted(found))}")

    async def _provision(self, fleet: Fleet, store: OwnerStore, reach: BleReach, rows: list[Row]) -> None:
        network = {"networks": [{"ssid": NETWORK, "key": self._wifi.keys[NETWORK]}]}
        plan = Plan({**self._settings, "network": network}, SITE)
        opener = Opener(self._keys)
        async with MqttArrivals(self._url, opener, password=self._password, ca_file=self._ca_file) as arrivals:
            await provision(fleet, store, reach, plan, rows, arrivals=arrivals, find=FIND, progress=self._news)

    def _news(self, one: Progress) -> None:
        claimed, seconds = self.claimed, round(time.monotonic() - self._begun, 1)
        if one.outcome and one.stage != Stage.PROVISIONED and one.node not in claimed.nodes:
            raise CitymoteError(f"node {one.node} could not be provisioned", one.text)
        if one.stage == Stage.CLAIMED:
            self._heard.add(one.node)
            if len(self._heard) == len(self._nodes):
                self._heard.clear()
                self._told(f"all are claimed with their labels after {seconds} s")
        elif one.stage == Stage.TRIED and one.node not in claimed.nodes:
            claimed.nodes.append(one.node)
            if len(claimed.nodes) == len(self._nodes):
                claimed.seconds = seconds
                self._told(f"all are configured after {seconds} s, and restart into the trial of their uplink")
                self._configured.set()
        elif one.stage == Stage.PROVISIONED and one.node not in claimed.first_frame:
            claimed.first_frame[one.node] = seconds
            if len(claimed.first_frame) == len(self._nodes):
                self._told(f"the first frame of each has arrived after {seconds} s")
