"""JSON lines (RFC 8259, one object a line): the format of `citymote decode --json`, its keys in a fixed order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from citymote.export.base import Exporter
from citymote.reading import Reading, as_json

if TYPE_CHECKING:
    from citymote.decode import Frame


class JsonLinesExporter(Exporter):
    """One JSON object a reading; `value` is null where absent."""

    def add(self, frame: Frame, readings: list[Reading]) -> None:
        self.out.write("".join(as_json(reading) + "\n" for reading in readings).encode())
        self.written += len(readings)
