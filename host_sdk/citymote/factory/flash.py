"""From a bare board to a node with a label: runtime, application, identity, self-test, label, record, lock. In order.

Each step finds out for itself whether it is done, so that a run that was interrupted (a cable pulled, a station without
power) is repeated with the same command and goes on where it was. A board that fails a step gets no label, and says
which step and why. Boards do not know of each other: any number are worked on at a time, each in a thread of its own.
The claim secret is read over the wire, becomes the label, and is kept nowhere else.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from citymote import __version__, label
from citymote.boards import Description
from citymote.errors import CitymoteError

from . import build, deploy, image, partitions, verdict
from .esptool import BAUDRATE, Esptool
from .record import Log
from .wire import Occupied, Wire, WireError, connect

STEPS = ("connect", "runtime", "deploy", "identity", "selftest", "label", "lock", "record")
OLDEST = {"esp32": image.OLDEST, "linux": (1, 25)}
"""The oldest MicroPython that will do, by sys.platform."""
_Y2000 = datetime(2000, 1, 1, tzinfo=UTC)
_APPEARS = 15.0
"""Seconds in which a port comes back after a reset: USB on the chip is enumerated anew."""

Told = Callable[[str, str, float], None]
"""Called with port, step and how much of the step is done (0 to 1)."""


class FlashError(CitymoteError):
    """A board that cannot be made a node of this kind."""

    whose = "machine"


@dataclass(frozen=True)
class Job:
    """What is done to each board."""

    board: Description
    runtime: image.Runtime | None = None
    settings: dict[str, Any] | None = None
    labels: Path | None = None
    """Folder of labels; None: none is drawn."""
    form: str = "svg"
    log: Log = field(default_factory=lambda: Log(None, ""))
    erase: bool = False
    """Begin from blank flash: another identity, another label."""
    lock: bool = True
    baudrate: int = BAUDRATE
    esptool: tuple[str, ...] = ()
    """Further options of esptool's own."""

    @property
    def partitions(self) -> tuple[partitions.Partition, ...]:
        """How the board's flash is divided."""
        return partitions.layout(self.board.flash_size, self.board.node["flash"])


@dataclass
class Outcome:
    """What became of one board. `step` is the last one that was begun."""

    port: str
    passed: bool = False
    step: str = STEPS[0]
    error: str = ""
    node: str = ""
    faults: list[str] = field(default_factory=list[str])
    label: str = ""
    sent: int = 0
    """Files that had to be sent."""
    versions: dict[str, str] = field(default_factory=dict[str, str])
    results: dict[str, Any] = field(default_factory=dict[str, Any])
    """What the self-test read: sensors, flash, clock, radio, heap."""
    seconds: float = 0.0

    def facts(self) -> dict[str, Any]:
        """For JSON; nothing in it is secret."""
        short = label.short_code(self.node) if self.node else ""
        return {
            "port": self.port, "passed": self.passed, "step": self.step, "error": self.error, "node": self.node,
            "short_code": short, "faults": self.faults, "label": self.label, "sent": self.sent,
            "versions": self.versions, "results": self.results, "seconds": round(self.seconds, 1),
        }  # fmt: skip


def flash_all(ports: Sequence[str], job: Job, told: Told | None = None) -> list[Outcome]:
    """Work on the boards of all these ports at the same time; one outcome each, in their order."""
    with ThreadPoolExecutor(max(1, len(ports)), thread_name_prefix="flash") as pool:
        return [future.result() for future in [pool.submit(flash, port, job, told) for port in ports]]


def flash(port: str, job: Job, told: Told | None = None) -> Outcome:
    """Work on one board. What fails is in the outcome, whatever it is; only a programming error raises."""
    outcome = Outcome(port)
    begun = time.monotonic()

    def step(name: str, share: float = 0.0) -> None:
        outcome.step = name
        if told:
            told(port, name, share)

    try:
        _flash(port, job, outcome, step)
    except (CitymoteError, build.BuildError) as error:
        outcome.passed = False
        outcome.error = str(error)
        _withdraw(outcome)
    outcome.seconds = time.monotonic() - begun
    if outcome.error or outcome.faults:
        try:
            job.log.append("failed", _record(job, outcome))
        except CitymoteError as error:
            outcome.error = outcome.error or str(error)
    return outcome


def _flash(port: str, job: Job, outcome: Outcome, step: Callable[..., None]) -> None:
    step("connect")
    with _ready(port, job, step) as wire:
        runs = _right(wire, job)
        outcome.versions = {"citymote": __version__, "runtime": runs.version_text, "architecture": runs.architecture}
        step("deploy")
        what = deploy.payload(runs.architecture, job.board.node, job.settings)
        outcome.versions["application"] = what.digest
        outcome.sent = deploy.deploy(wire, what, lambda sent, of: step("deploy", sent / of if of else 1.0))
        step("identity")
        identity = _label(_on_node(wire, "draw(hal)", timeout=60))
        outcome.node = identity.node
        job.log.append("begun", _record(job, outcome))
        step("selftest")
        seconds = job.board.selftest.seconds
        now = int((datetime.now(UTC) - _Y2000).total_seconds())
        measured: dict[str, Any] = _on_node(wire, f"test(hal, {now}, {seconds})", timeout=seconds + 60)
        outcome.results = _results(measured)
        outcome.faults = verdict.faults(measured, job.board)
        if outcome.faults:
            outcome.error = f"{port}: the board fails its self-test: {'; '.join(outcome.faults)}"
            return
        if job.labels is not None:
            step("label")
            path = job.labels / f"{identity.node}.{job.form}"
            label.write(path, [label.draw(identity, title=job.board.title)])
            outcome.label = str(path)
        step("lock")
        _finish(wire, job)
    step("record")
    outcome.passed = True
    job.log.append("passed", _record(job, outcome))
    step("record", 1.0)


def _ready(port: str, job: Job, step: Callable[..., None]) -> Wire:
    """The board with the right runtime on it, written if it has to be."""
    chip = job.board.chip
    if job.runtime is None or chip is None:
        return connect(port)
    if not job.erase:
        try:
            wire = connect(port)
            runs = deploy.who(wire)
            if _divided(runs, job) and runs.program == job.runtime.fingerprint:
                return wire
            wire.close()
        except Occupied:
            raise
        except WireError as error:
            if error.unplugged or "may not" in error.what:
                raise
    step("runtime")
    parts = job.partitions
    tool = Esptool(port, chip, job.baudrate, options=job.esptool)
    size = tool.flash_size()
    if size < job.board.flash_size:
        why = f"it has {size >> 20} MB, the board is said to have {job.board.flash_size >> 20} MB"
        raise FlashError(f"{port}: the flash is smaller than the board says", why, "Name the right --board.")
    if job.erase or tool.read(partitions.TABLE_AT, partitions.TABLE_SIZE) != partitions.binary(parts):
        # what another table left would be taken for damaged filesystems
        tool.erase()
    for part in parts:
        if part.label == "otadata":
            tool.erase_region(part.offset, part.size)  # the first place of the runtime is the one that starts
    step("runtime", 0.2)
    tool.write(image.pieces(job.runtime, chip, job.board.flash_size, parts))
    step("runtime", 1.0)
    return connect(port, wait=_APPEARS)


def _divided(runs: deploy.Runs, job: Job) -> bool:
    return all(runs.partitions.get(part.label) == (part.offset, part.size) for part in job.partitions)


def _right(wire: Wire, job: Job) -> deploy.Runs:
    """What runs on the board, when it is what this board is to have."""
    runs = deploy.who(wire)
    chip = job.board.chip
    name = wire.port
    if chip is not None:
        found = re.search(r"with (ESP32[A-Z0-9-]*)", runs.machine)
        if runs.platform != "esp32" or (found and found[1].replace("-", "").lower() != chip.key):
            why = f"it says {runs.machine!r}, the board has {chip.name}"
            raise FlashError(f"{name}: another chip is there", why, "Name the right --board.")
        if not _divided(runs, job):
            raise FlashError(
                f"{name}: the board's flash is not divided as a node needs it", "", "Give --runtime IMAGE to do that."
            )
    elif runs.platform == "esp32":
        raise FlashError(f"{name}: a real board is there", f"{job.board.name} is not one", "Name the right --board.")
    oldest = OLDEST.get(runs.platform, (1, 26))
    if runs.version[:2] < oldest:
        why = f"{oldest[0]}.{oldest[1]} or later is needed"
        raise FlashError(f"{name}: the board runs MicroPython {runs.version_text}", why, "Give --runtime IMAGE.")
    if not runs.architecture:
        raise FlashError(f"{name}: the board's MicroPython loads no precompiled code")
    return runs


# The node's own code, out of the slot that was just filled; without the node itself.
_NODE = """
import sys, json, asyncio, vfs
from esp32 import Partition
vfs.mount(vfs.VfsLfs2(Partition.find(Partition.TYPE_DATA, label="slot_a")[0], readsize=128, progsize=32), "/app")
sys.path.insert(0, "/app")
from node import hal, selftest
hal.mount()
"""


def _on_node(wire: Wire, call: str, timeout: float) -> Any:
    """What one of the node's factory functions returns, in a fresh interpreter."""
    wire.restart()
    wire.run(_NODE)
    return wire.ask(f"print(json.dumps(asyncio.run(selftest.{call})))", timeout=timeout)


def _label(identity: dict[str, Any]) -> label.Label:
    """The identity that the board told; its id has to be the hash of its key, or the wire garbled it."""
    try:
        made = label.Label(bytes.fromhex(identity["public_key"]), bytes.fromhex(identity["claim_secret"]))
    except (KeyError, ValueError, TypeError):
        raise FlashError("the board's identity came garbled", "", "Run the same command again.") from None
    if made.node != identity.get("node"):
        raise FlashError("the board's identity came garbled", "its id is not its key's", "Run the same command again.")
    return made


def _finish(wire: Wire, job: Job) -> None:
    """Lock the board if it is to be, and let it start as a node."""
    wire.restart()
    wire.run(_NODE)
    if job.lock:
        wire.run("selftest.lock()")
    wire.leave("hal.reset()")


def _withdraw(outcome: Outcome) -> None:
    """A board that fails has no label."""
    if outcome.label:
        Path(outcome.label).unlink(missing_ok=True)
        outcome.label = ""


def _results(measured: dict[str, Any]) -> dict[str, Any]:
    """The self-test's record with names in place of numbers, for people and for the log."""
    sensors: list[dict[str, Any]] = []
    for entry in cast("list[dict[str, Any]]", measured.get("sensors") or []):
        one: dict[str, Any] = {
            key: entry[key] for key in ("sensor", "driver", "instance", "ms", "error") if key in entry
        }
        one["readings"] = {name: [value, verdict.quality_name(code)] for name, value, code in verdict.readings(entry)}
        sensors.append(one)
    return {**measured, "sensors": sensors}


def _record(job: Job, outcome: Outcome) -> dict[str, Any]:
    facts = outcome.facts()
    return {"node": facts.pop("node"), "board": job.board.name, "title": job.board.title, **facts}
