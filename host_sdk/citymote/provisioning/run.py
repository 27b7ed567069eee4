"""A run over many nodes: as many at a time as the adapter allows, each tried again with its reason, all of it reported.

A node holds the adapter only while it is talked to; during its trial, which takes minutes, others have their turn.
Cancelling a run ends every connection; what was reached is in the registry, and the next run goes on there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from citymote.answers import Refused
from citymote.errors import CitymoteError
from citymote.fleet.base import Stage
from citymote.label.code import Label
from citymote.nearby import State
from citymote.plan import Row
from citymote.session import NotTheNode, SessionError
from citymote.transports.base import TransportError

from .job import Job, Run, StageFailed
from .report import ALREADY, FAILED, PROVISIONED, Outcome, Report

if TYPE_CHECKING:
    from citymote.fleet import Fleet
    from citymote.owner import OwnerStore
    from citymote.plan import Plan
    from citymote.reach import Reach

ATTEMPTS = 3
_PAUSES = (2.0, 5.0, 10.0, 20.0)


class Progress(NamedTuple):
    """News of one node. `outcome` is empty until it has ended."""

    node: str
    stage: str
    text: str
    outcome: str = ""


async def provision(
    fleet: Fleet,
    store: OwnerStore,
    reach: Reach,
    plan: Plan,
    nodes: Sequence[Row | Label | str] | None = None,
    *,
    attempts: int = ATTEMPTS,
    progress: Callable[[Progress], None] | None = None,
    **options: Any,
) -> Report:
    """Provision nodes: by row, by label, by id (whose key the registry has), or None: all in range that it knows.

    `options`: `arrivals` (frames as they come) or `uplink` (the way to a node over its uplink), one of which has to be
    there to prove a node; `credentials`; `correct`, which mends settings after a failed trial; `find`, seconds that a
    node may take to be heard; `again`, also those that are provisioned with the same plan.
    """

    def tell(node: str, stage: str, text: str, outcome: str = "") -> None:
        if progress is not None:
            progress(Progress(node, stage, text, outcome))

    run = Run(fleet, store, reach, plan, on_stage=tell, **options)
    rows = await _in_range(run) if nodes is None else [_row(fleet, one) for one in nodes]
    turn = asyncio.Semaphore(max(1, reach.parallel))
    report = Report()

    async def one(row: Row) -> None:
        outcome = await _to_its_end(Job(run, row.node, row, turn), row, attempts, tell)
        report.outcomes.append(outcome)
        tell(row.node, outcome.stage, outcome.reason, outcome.outcome)

    async with asyncio.TaskGroup() as group:
        for row in rows:
            group.create_task(one(row))
    return report


def _row(fleet: Fleet, one: Row | Label | str) -> Row:
    """What a node is called by, as a row; what it brings along goes into the registry."""
    row = Row(one.node, one) if isinstance(one, Label) else Row(one) if isinstance(one, str) else one
    if row.label is not None:
        fleet.add(row.label)
    elif row.public is not None:
        fleet.add(row.public)
    fleet.get(row.node)
    return row


async def _in_range(run: Run) -> list[Row]:
    """Nodes of ours that are heard and have something to be done: all but those in service mode that work."""
    known = {record.node: record for record in run.fleet.nodes()}
    found: dict[str, Row] = {}
    async for sighting in run.reach.scan(run.find):
        record = known.get(sighting.node)
        if record is None or (record.stage == Stage.PROVISIONED and sighting.state == State.SERVICE and not run.again):
            continue
        found[sighting.node] = Row(sighting.node)
    return list(found.values())


async def _to_its_end(job: Job, row: Row, attempts: int, tell: Callable[..., None]) -> Outcome:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    fleet = job.fleet
    attempt = 0
    while True:
        attempt += 1
        at = ""
        try:
            did = await job.once()
            return Outcome(
                job.node, PROVISIONED if did else ALREADY, job.done, attempts=attempt, seconds=loop.time() - begun,
                given=row.given,
            )  # fmt: skip
        except StageFailed as error:
            at, reason, final = error.at, str(error), True
        except (Refused, NotTheNode) as error:
            at, reason, final = job.at, str(error), True
        except (TransportError, SessionError) as error:
            at, reason, final = job.at, str(error), False
        except CitymoteError as error:
            at, reason, final = job.at, str(error), True
        fleet.step(job.node, at, "failed", reason)
        if final or attempt >= attempts:
            fleet.note("provision", job.node, f"failed at {at}", reason)
            return Outcome(job.node, FAILED, job.done, at, reason, attempt, loop.time() - begun, row.given)
        tell(job.node, job.done, f"once more: {reason}")
        await asyncio.sleep(_PAUSES[min(attempt - 1, len(_PAUSES) - 1)])
