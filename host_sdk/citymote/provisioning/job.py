"""One node's way through provisioning: heard, claimed, given rights, configured, tried, proved.

Every stage is written to the registry before the next one begins, and every stage may be done again: a claim by the
same owner succeeds, credentials that were minted are kept, a trial with a new number replaces the last one. So whoever
comes later, after a crash here or a power cut there, goes on with what is still to be done.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from citymote.answers import Info, Trial
from citymote.delegate import key_id
from citymote.errors import CitymoteError
from citymote.fleet.base import NodeRecord, Stage
from citymote.nearby import DETAILS, Sighting, State
from citymote.node import Node, claim_with
from citymote.plan import place_of
from citymote.reach import FIND
from citymote.session import SessionError, Way
from citymote.transports.base import TransportError

if TYPE_CHECKING:
    from citymote.credentials import Credentials
    from citymote.fleet import Fleet
    from citymote.owner import OwnerStore
    from citymote.plan import Plan, Row
    from citymote.reach import Reach

    from .arrivals import Arrivals

T = TypeVar("T")

Uplink = Callable[[str], Way]
"""The way to a node over its uplink."""
Correct = Callable[[NodeRecord, Trial], Awaitable[Mapping[str, Any] | None]]
"""Settings that mend what a trial has told, or None: somebody who knows the right password, for example."""

CORRECTIONS = 3
UNTRUE = 10.0
"""Seconds after a trial was asked for in which a node may still say in the air what was true before."""
GRACE = 60.0
"""Seconds beyond a trial's own in which its outcome may come: a restart, an advertisement, a frame's way."""
ASK = 15.0
"""Seconds between two questions over the uplink."""
PATIENCE = 45.0


class StageFailed(CitymoteError):
    """A stage that did not succeed, and would not by doing the same again."""

    whose = "peer"

    def __init__(self, at: str, what: str, why: str = "", then: str = "") -> None:
        self.at = at
        super().__init__(what, why, then)


@dataclass
class Run:
    """What all jobs of a run share."""

    fleet: Fleet
    store: OwnerStore
    reach: Reach
    plan: Plan
    arrivals: Arrivals | None = None
    uplink: Uplink | None = None
    credentials: Credentials | None = None
    correct: Correct | None = None
    find: float = FIND
    again: bool = False
    on_stage: Callable[[str, Stage, str], None] = lambda node, stage, text: None


class Job:
    """See the module. `at` says what is being done; `done` is the last stage that was reached."""

    def __init__(self, run: Run, node: str, row: Row | None, turn: asyncio.Semaphore) -> None:
        self.node = node
        self.row = row
        self.at = "find"
        self.done = run.fleet.get(node).stage
        self.fleet = run.fleet
        self._run = run
        self._turn = turn
        self._settings: dict[str, Any] = {}
        self._digest = ""

    async def once(self) -> bool:
        """Do all that is left to be done; False where nothing was."""
        run, fleet = self._run, self._run.fleet
        record = fleet.get(self.node)
        if record.revoked is not None:
            raise StageFailed("find", f"node {self.node} is revoked", "it is not ours any more")
        if run.arrivals is None and run.uplink is None:
            raise StageFailed(
                "find", "nobody listens at the uplink", "", "Give the broker, so that a node's first frame is seen."
            )
        self._prepare(record)
        if record.stage == Stage.PROVISIONED and record.digest == self._digest and not run.again:
            self.done = Stage.PROVISIONED
            return False
        # The digest is noted before the trial is asked for, the stage when it was: a run may have ended between.
        begun = record.stage in (Stage.CONFIGURED, Stage.TRIED) and record.digest == self._digest
        if begun and await self._resumed(record.trial):
            self._reached(Stage.PROVISIONED, "its trial had been begun before")
            return True
        async with self._turn:
            self.at = "find"
            sighting = await self._find()
            number, begun = await self._over_ble(sighting, None)
        for corrections in range(CORRECTIONS + 1):
            self.at = "trial"
            failed = await self._outcome(number, begun)
            if failed is None:
                self._reached(Stage.PROVISIONED, "its first frame has arrived")
                return True
            reason = DETAILS.get(failed.detail or 0, "another reason")
            fleet.step(self.node, "trial", "failed", f"trial {failed.number}: {reason}")
            mended = None
            if run.correct is not None and corrections < CORRECTIONS:
                mended = await run.correct(fleet.get(self.node), failed)
            if mended is None:
                raise StageFailed(
                    "trial",
                    f"node {self.node}: its uplink does not work",
                    reason,
                    "It waits in the air: correct the plan and run again.",
                )
            run.on_stage(self.node, self.done, f"corrected: {reason}")
            self._settings |= mended
            self._sign()
            async with self._turn:
                self.at = "find"
                number, begun = await self._over_ble(await self._find(), mended)
        raise AssertionError

    # -- what it is to become -----------------------------------------------------------------------------------------

    def _prepare(self, record: NodeRecord) -> None:
        fleet, row = self._run.fleet, self.row
        if row is not None:
            if row.station is not None:
                latitude, longitude, height = row.coordinates
                fleet.station(
                    row.station, site=self._run.plan.site, latitude=latitude, longitude=longitude, height=height
                )
                fleet.place(self.node, row.station)
            if row.tags:
                fleet.tag(self.node, *row.tags)
            if row.board is not None:
                fleet.update(self.node, board=row.board)
        if self._run.plan.site is not None and record.site != self._run.plan.site:
            fleet.update(self.node, site=self._run.plan.site)
        self._settings = self._at_station() | self._run.plan.for_node(row, None)
        self._sign()

    def _at_station(self) -> dict[str, Any]:
        """What the registry says of the place where it hangs: a node that has replaced another one is told so, too."""
        name = self._run.fleet.get(self.node).station
        if name is None:
            return {}
        (found,) = [one for one in self._run.fleet.stations() if one.station == name]
        place = place_of(found.latitude, found.longitude, found.height)
        return {"station": name} | ({} if place is None else {"place": list(place)})

    def _sign(self) -> None:
        said = json.dumps(self._settings, sort_keys=True, default=str).encode()
        self._digest = self._run.store.vault.fingerprint(said)

    def _reached(self, stage: Stage, text: str = "") -> None:
        fleet = self._run.fleet
        if stage.rank > self.done.rank or stage in (Stage.TRIED, Stage.PROVISIONED):
            fleet.update(self.node, stage=stage)
        self.done = stage
        fleet.step(self.node, stage, "ok", text)
        fleet.note(stage, self.node, "ok", text)
        self._run.on_stage(self.node, stage, text)

    # -- over BLE -----------------------------------------------------------------------------------------------------

    async def _find(self) -> Sighting:
        try:
            async with asyncio.timeout(self._run.find):
                found = await self._run.reach.hear(self.node)
        except TimeoutError:
            raise TransportError(
                f"node {self.node} is not heard", f"for {self._run.find:g} s", "Is it on, in range, in service mode?"
            ) from None
        self._run.fleet.update(self.node, state=int(found.state), detail=found.detail, seen=datetime.now(UTC))
        return found

    def _node(self, sighting: Sighting) -> Node:
        run, record = self._run, self._run.fleet.get(self.node)
        secret = run.fleet.secret(self.node) if record.has_secret else None
        claim = None
        if sighting.state == State.UNOWNED or run.store.owner is None:
            claim = None if secret is None else claim_with(secret)
        if sighting.state == State.UNOWNED and claim is None:
            raise StageFailed(
                "claim", f"node {self.node} has no owner", "its label's secret is not known here", "Add its label."
            )
        way = run.reach.way(self.node, seconds=run.find)
        return Node(way, record.public, run.store, site=record.site, claim=claim, patience=PATIENCE)

    async def _over_ble(self, sighting: Sighting, only: Mapping[str, Any] | None) -> tuple[int, float]:
        """Everything up to the trial; `only`: what has to be corrected. (number, when it was asked for)."""
        run, fleet = self._run, self._run.fleet
        self.at = "claim"
        async with self._node(sighting) as node:
            owner = key_id(run.store.owner_public)
            if fleet.get(self.node).owner != owner or sighting.state == State.UNOWNED:
                fleet.update(self.node, owner=owner, stage=Stage.CLAIMED)
                self.done = Stage.KNOWN
                self._reached(Stage.CLAIMED)
            self.at = "delegate"
            if run.store.owner is not None:  # who claims for an owner has the claim's rights, which are more
                await node.show()
            if self.done.rank < Stage.DELEGATED.rank:
                self._reached(Stage.DELEGATED, f"role {node.role}")
            self.at = "configure"
            info = await node.info()
            fleet.update(
                self.node, board=info.board, firmware=info.firmware, runtime=info.runtime, seen=datetime.now(UTC)
            )
            await node.set_time(signer=run.store.owner)
            if only is None:
                await node.configure(self._settings | await self._credentials(), fresh=True)
            else:
                await node.configure(only)
            self._reached(Stage.CONFIGURED)
            self.at = "trial"
            return await self._try(node, info)

    async def _credentials(self) -> dict[str, str]:
        """Minted once for each node, and kept before they are used: a run that ends here leaves none behind."""
        if self._run.credentials is None:
            return {}
        known = self._run.fleet.credentials(self.node)
        if known is None:
            known = await self._run.credentials.mint(self.node)
            self._run.fleet.keep_credentials(self.node, known)
            self._run.fleet.note("mint credentials", self.node, "ok", ", ".join(sorted(known)))
        return known

    async def _try(self, node: Node, info: Info) -> tuple[int, float]:
        fleet = self._run.fleet
        number = max(fleet.get(self.node).trial, info.trial.number if info.trial else 0) + 1
        fleet.update(self.node, trial=number, digest=self._digest)
        begun = asyncio.get_running_loop().time()
        await node.trial(number, self._run.plan.trial_seconds)
        self._reached(Stage.TRIED, f"trial {number}")
        return number, begun

    # -- what came of it ----------------------------------------------------------------------------------------------

    async def _resumed(self, number: int) -> bool:
        """A run before this one has begun the trial: whether it has succeeded, or the node is there to go on with."""
        self.at = "trial"

        async def heard() -> bool:
            while True:
                try:
                    await self._run.reach.hear(self.node)
                except TransportError:
                    await asyncio.sleep(1)
                    continue
                return False

        return await self._first(heard(), number, asyncio.get_running_loop().time(), True)

    async def _outcome(self, number: int, begun: float) -> Trial | None:
        """None when it works; the trial that failed; StageFailed where nobody can say."""
        return await self._first(self._came_back(number, begun), number, begun, None)

    async def _first(self, back: Coroutine[Any, Any, T], number: int, begun: float, proved: T) -> T:
        """Whatever comes first: it is back in the air, its frame arrives, or it answers over its uplink."""
        run = self._run
        tasks: list[asyncio.Task[Any]] = [asyncio.create_task(back)]
        if run.arrivals is not None:
            tasks.append(asyncio.create_task(self._arrived(run.arrivals, begun)))
        if run.uplink is not None:
            tasks.append(asyncio.create_task(self._asked(number)))
        try:
            done, _ = await asyncio.wait(
                tasks, timeout=run.plan.trial_seconds + GRACE, return_when=asyncio.FIRST_COMPLETED
            )
            results = [task.result() for task in done]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if not results:
            raise StageFailed(
                "frame",
                f"node {self.node}: no frame of it has arrived",
                "and it is not back in the air: its uplink may work, and something behind it does not",
                "Look at the broker and at the collector's key, then run again.",
            )
        return proved if None in results else results[0]

    async def _arrived(self, arrivals: Arrivals, begun: float) -> None:
        await arrivals.of(self.node, begun)

    async def _asked(self, number: int) -> None:
        while True:
            await asyncio.sleep(ASK)
            if await self._is_proved(number):
                return

    async def _is_proved(self, number: int) -> bool:
        """Whether the node itself says so, over its uplink."""
        run = self._run
        if run.uplink is None:
            return False
        record = run.fleet.get(self.node)
        try:
            node = Node(run.uplink(self.node), record.public, run.store, site=record.site, patience=ASK)
            async with asyncio.timeout(2 * ASK), node:
                trial = (await node.info()).trial
        except (CitymoteError, TimeoutError):
            return False
        return trial is not None and trial.number == number and trial.detail == 0

    async def _came_back(self, number: int, begun: float) -> Trial | None:
        """It is in the air again, and tells what came of the trial. A connection that fails is tried again."""
        run = self._run
        while True:
            try:
                sighting = await run.reach.hear(self.node, after=begun + UNTRUE, wanted=_is_back)
                fleet = run.fleet
                fleet.update(self.node, state=int(sighting.state), detail=sighting.detail, seen=datetime.now(UTC))
                async with self._turn, self._node(sighting) as node:
                    trial = (await node.info()).trial
            except (SessionError, TransportError):
                await asyncio.sleep(1)
                continue
            if trial is None or trial.number != number or trial.detail is None:
                raise StageFailed(
                    "trial", f"node {self.node} knows nothing of trial {number}", "somebody else works on it"
                )
            if trial.detail == 0:
                await asyncio.sleep(GRACE)  # it works, and is in the air for another reason: its frame will come
                continue
            return trial


def _is_back(one: Sighting) -> bool:
    return one.state in (State.TRIAL_FAILED, State.SAFE_MODE)
