"""Calibrates a node's sound level meter from here: what to ask of the node, over what, and what it answered.

The work is the node's own (`firmware/node/sound/calibrate.py`): it listens, judges, refuses or stores. This is the
other end of the wire: a `Request` becomes the few lines that are run at a node's prompt, on a serial port or on a
virtual node, and the last line printed is the answer. A node that runs is asked with the same request over a protected
session; what it answers is read by `result_of`, too.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from citymote.errors import CitymoteError, UsageError

if TYPE_CHECKING:
    from citymote.testing.bridge import Wiring

_Y2000 = date(2000, 1, 1)
SECONDS = {"calibrator": 10, "reference": 60}
"""How long the node listens."""
_TEXT = 64
_SILENCE = 120.0


class CalibrationRefused(CitymoteError):
    """The node did not calibrate; the text is its reason. Nothing was changed."""


@dataclass(frozen=True)
class Request:
    """What the node needs to know. `level`: of the calibrator, or what the reference meter shows, dB."""

    level: float
    instrument: str
    operator: str
    kind: str = "calibrator"
    meter: int = 0
    """Which of the node's sound level meters."""
    day: date | None = None
    """Left out: today."""

    def __post_init__(self) -> None:
        if self.kind not in SECONDS:
            raise UsageError(f"a calibration is against a calibrator or a reference, not a {self.kind}")
        if not 30 <= self.level <= 130:
            raise UsageError(f"{self.level:g} dB is no level to calibrate at", "", "Calibrators have 94 or 114 dB.")
        for name, text in (("instrument", self.instrument), ("operator", self.operator)):
            if not text or len(text.encode()) > _TEXT:
                raise UsageError(f"{name}: a text of at most {_TEXT} bytes is needed", "it goes into the descriptor")

    def message(self) -> dict[str, str | int]:
        """The request as the node reads it: levels in 0.01 dB, the date in days since 2000."""
        day = self.day or datetime.now(UTC).date()
        return {
            "kind": self.kind,
            "level": round(self.level * 100),
            "day": (day - _Y2000).days,
            "instrument": self.instrument,
            "operator": self.operator,
            "number": self.meter,
        }

    def code(self) -> str:
        """What to run at the prompt of a node whose application does not run."""
        # JSON of texts and integers is Python, too.
        return (
            f"from node import hal\nfrom node.sound.calibrate import alone\nalone(hal, {json.dumps(self.message())})\n"
        )


@dataclass(frozen=True)
class Result:
    """What came of it, in dB."""

    microphone: str
    heard: float
    level: float
    before: float
    offset: float
    """What is added to every reading from now on."""


def result_of(answer: Any) -> Result:
    """The node's answer; CalibrationRefused with its reason."""
    if not isinstance(answer, dict):
        raise CalibrationRefused("the node's answer cannot be read")
    said = cast("dict[str, Any]", answer)
    if "refused" in said:
        raise CalibrationRefused("not calibrated", str(said["refused"]))
    try:
        levels = {name: int(said[name]) / 100 for name in ("heard", "level", "before", "offset")}
        return Result(str(said["microphone"]), **levels)
    except (KeyError, TypeError, ValueError):
        raise CalibrationRefused("the node's answer cannot be read") from None


def over_serial(port: str, request: Request) -> Result:
    """Calibrate the board on a serial port. Its application is stopped for it and started again afterwards."""
    from citymote.factory import wire

    with wire.connect(port) as session:
        try:
            return result_of(session.ask(request.code(), timeout=SECONDS[request.kind] + _SILENCE))
        finally:
            # The port may go away with the restart: that is what was asked for.
            with contextlib.suppress(wire.WireError):
                session.run("from node import hal\nhal.reset()\n", timeout=2)


def on_virtual(directory: Path, board: dict[str, Any], wiring: Wiring, request: Request) -> Result:
    """Calibrate the virtual node in a directory, whose application does not run now."""
    from citymote.testing.vm import VirtualNode

    node = VirtualNode(directory, board=board, wiring=wiring, heap="200k", entry=("-c", request.code()))
    with node:
        before = len(node.output())
        node.start()
        node.wait(_SILENCE)
        lines = node.output()[before:].strip().splitlines()
    try:
        return result_of(json.loads(lines[-1]))
    except (IndexError, ValueError):
        raise CalibrationRefused("the node's answer cannot be read") from None
