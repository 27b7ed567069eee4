"""Another Wi-Fi key, broker or certificate for a whole site, with confirmation, and back by itself where it fails.

A node takes the change as pending, tries it for a bounded time, and keeps it only if a frame has got through; else it
is back on the old network by itself. Here this is told apart by asking it: over the new way when it works, over the
old one when it has returned.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from citymote.answers import Trial
from citymote.errors import CitymoteError
from citymote.nearby import DETAILS
from citymote.node import Node

from .report import FAILED, Outcome, Report

if TYPE_CHECKING:
    from citymote.fleet import Fleet
    from citymote.owner import OwnerStore

    from .job import Uplink

ROTATED = "rotated"
PARALLEL = 8
_ASK = 10.0
_GRACE = 120.0


async def rotate(
    fleet: Fleet,
    store: OwnerStore,
    nodes: Sequence[str],
    changes: Mapping[str, Any],
    way: Uplink,
    *,
    after: Uplink | None = None,
    seconds: int = 180,
    parallel: int = PARALLEL,
    progress: Callable[[Outcome], None] | None = None,
) -> Report:
    """Change settings of nodes that work. `way` leads to a node now, `after` once it has changed (left out: the same).
    A node that has returned to its old settings is reported as failed, with its reason."""
    turn = asyncio.Semaphore(parallel)
    report = Report()

    async def one(node: str) -> None:
        async with turn:
            outcome = await _rotate(fleet, store, node, changes, way, after or way, seconds)
        report.outcomes.append(outcome)
        fleet.note("rotate", node, outcome.reason or "ok", ", ".join(sorted(changes)))
        if progress is not None:
            progress(outcome)

    async with asyncio.TaskGroup() as group:
        for node in nodes:
            group.create_task(one(node))
    return report


async def _rotate(
    fleet: Fleet, store: OwnerStore, name: str, changes: Mapping[str, Any], way: Uplink, after: Uplink, seconds: int
) -> Outcome:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    record = fleet.get(name)

    def failed(at: str, reason: str) -> Outcome:
        return Outcome(name, FAILED, record.stage, at, reason, seconds=loop.time() - begun)

    try:
        async with Node(way(name), record.public, store, site=record.site) as node:
            info = await node.info()
            number = max(record.trial, info.trial.number if info.trial else 0) + 1
            await node.configure(changes, fresh=True)
            fleet.update(name, trial=number)
            await node.trial(number, seconds)
    except CitymoteError as error:
        return failed("configure", str(error))
    trial = await _outcome(store, record.public, record.site, number, (after(name), way(name)), seconds + _GRACE)
    if trial is None:
        return failed("trial", "it has answered neither over the new way nor over the old one")
    if trial.detail:
        return failed("trial", f"{DETAILS.get(trial.detail, 'another reason')}; it is back on its old settings")
    return Outcome(name, ROTATED, record.stage, seconds=loop.time() - begun)


async def _outcome(
    store: OwnerStore, public: bytes, site: str | None, number: int, ways: Sequence[Any], patience: float
) -> Trial | None:
    """What the node says of the trial, over whichever way it answers."""
    loop = asyncio.get_running_loop()
    end = loop.time() + patience
    while loop.time() < end:
        await asyncio.sleep(_ASK)
        for way in ways:
            try:
                async with asyncio.timeout(2 * _ASK), Node(way, public, store, site=site, patience=_ASK) as node:
                    trial = (await node.info()).trial
            except (CitymoteError, TimeoutError):
                continue
            if trial is not None and trial.number == number and trial.detail is not None:
                return trial
    return None
