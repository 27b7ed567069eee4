"""Comma-separated values (RFC 4180) with a header line, the columns of the JSON lines; an absent value is an empty
field.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, BinaryIO

from citymote.export.base import Exporter, Options
from citymote.reading import Reading, time_text

if TYPE_CHECKING:
    from citymote.decode import Frame

COLUMNS = ("node", "seq", "time", "time_quality", "quantity", "sensor", "value", "unit", "quality", "sealed")


class CsvExporter(Exporter):
    """One row a reading."""

    def __init__(self, out: BinaryIO, options: Options | None = None) -> None:
        super().__init__(out, options)
        self._text = io.StringIO()
        self._rows = csv.writer(self._text, lineterminator="\r\n")
        self._rows.writerow(COLUMNS)
        self._flush()

    def add(self, frame: Frame, readings: list[Reading]) -> None:
        self._rows.writerows(
            (
                r.node,
                r.seq,
                time_text(r.time),
                r.time_quality,
                r.quantity,
                r.sensor,
                "" if r.value is None else repr(r.value),
                r.unit,
                r.quality,
                "true" if r.sealed else "false",
            )
            for r in readings
        )
        self._flush()
        self.written += len(readings)

    def _flush(self) -> None:
        self.out.write(self._text.getvalue().encode())
        self._text.seek(0)
        self._text.truncate()
