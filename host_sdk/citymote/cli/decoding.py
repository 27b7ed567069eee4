"""The work behind `citymote decode`, apart from its options, so that `--help` need not load a decoder."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

from citymote import Decoder, capture
from citymote.cli.common import Status, output, say
from citymote.errors import UsageError
from citymote.export import BINARY, exporter
from citymote.export.base import Options, read_stations

if TYPE_CHECKING:
    from citymote.capture import Source
    from citymote.errors import FrameProblem
    from citymote.export.base import Exporter
    from citymote.export.parquet import ParquetExporter

ON_ERROR = ("skip", "keep", "fail")


def run(
    files: list[Path],
    form: str,
    keys: Path | None,
    on_error: str,
    aside: Path,
    out: Path | None,
    node: str | None,
    stations: Path | None,
) -> int:
    """Decode every file into one output; returns the exit status."""
    if on_error not in ON_ERROR:
        raise UsageError(f"--on-error {on_error} means nothing", "", f"It is one of {', '.join(ON_ERROR)}.")
    if node is not None and (len(node) != 12 or set(node) - set("0123456789abcdef")):
        raise UsageError(f"{node!r} is no node id", "", "A node id has 12 hexadecimal digits in lower case.")
    if on_error == "keep":
        capture.missing_magic(aside)  # a file that is no capture is refused before the work, not in the middle of it
    work = _Decoding(keys, on_error, aside, node)
    options = Options(read_stations(str(stations)) if stations is not None else {})
    try:
        with output(out, form in BINARY) as stream:
            writer = exporter(form, stream, options)
            for path in files or [Path("-")]:
                work.decode(sys.stdin.buffer if str(path) == "-" else path, writer)
            writer.close()
    finally:
        work.close()
    tell(writer)
    return work.summary()


class _Decoding:
    """One run over all files: a decoder, and what becomes of the frames that it cannot read."""

    def __init__(self, keys: Path | None, on_error: str, aside: Path, node: str | None) -> None:
        self._on_error = on_error
        self._aside = aside
        self._kept: capture.CaptureWriter | None = None
        self._item: capture.Item | None = None
        self._status = Status()
        self.decoder = Decoder(keys, self._problem, node)

    def decode(self, source: Source, writer: Exporter) -> None:
        """Decode one source into the writer."""
        if hasattr(writer, "add_table"):
            from citymote.arrow import iter_tables

            for table in iter_tables(source, self.decoder):
                cast("ParquetExporter", writer).add_table(table)
                self._status(self._far)
            return
        for frame in self.decoder.frames(source):
            writer.add(frame, list(frame.readings()))
            self._status(self._far)

    def _far(self) -> str:
        return f"{self.decoder.tally.frames:,} frames decoded"

    def _problem(self, problem: FrameProblem, item: capture.Item) -> None:
        if self._on_error == "fail":
            raise problem
        say(f"citymote: {problem}")
        if self._on_error == "keep":
            self._kept = self._kept or capture.CaptureWriter(self._aside)
            self._kept.add(item.data, item.received if isinstance(item, capture.Message) else None)

    def summary(self) -> int:
        """Say how it went; returns the exit status."""
        tally = self.decoder.tally
        if not tally.problems:
            return 0
        by_code = ", ".join(f"{code} {count}" for code, count in sorted(tally.problems.items()))
        where = f", kept in {self._aside}" if self._on_error == "keep" else ""
        say(f"citymote: {tally.frames} frames decoded, {tally.failed} not ({by_code}){where}")
        return 1

    def close(self) -> None:
        self._status.clear()
        if self._kept is not None:
            self._kept.close()


def tell(writer: Exporter) -> None:
    """Say what a format had no place for."""
    for reason, count in sorted(writer.left_out.items()):
        say(f"citymote: left out of the export: {count} readings ({reason})")
