"""Readings as aligned lines, for a person at a terminal; nothing should parse them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from citymote.descriptor import descriptor_of
from citymote.export.base import Exporter
from citymote.reading import Reading, time_text

if TYPE_CHECKING:
    from citymote.decode import Frame


class TextExporter(Exporter):
    """One line a reading: node, time, quantity, value, unit, and what is unusual about it; one for each descriptor."""

    def add(self, frame: Frame, readings: list[Reading]) -> None:
        for r in readings:
            name = r.quantity if r.sensor == 0 else f"{r.quantity}[{r.sensor}]"
            value = "absent" if r.value is None else f"{r.value:g}" if abs(r.value) < 1e6 else f"{r.value:.0f}"
            notes = [r.quality] if r.quality != "unchecked" else []
            if r.time_quality not in ("network", "satellite"):
                notes.append(f"clock {r.time_quality}")
            if not r.sealed:
                notes.append("not sealed")
            self.line(f"{r.node} {time_text(r.time)} {name:<24} {value:>10} {r.unit:<6} {', '.join(notes)}".rstrip())
        about = descriptor_of(frame)
        if about is not None:
            drivers = ", ".join(sensor.driver for sensor in about.sensors) or "no sensors"
            self.line(f"{about.node} {time_text(about.time)} is {about.model}, firmware {about.firmware}: {drivers}")
        self.written += len(readings)
