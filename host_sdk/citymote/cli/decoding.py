"""The work behind `citymote decode`, apart from its options, so that `--help` need not load a decoder."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from citymote import Decoder, capture
from citymote.cli.common import output, say
from citymote.errors import FrameProblem, UsageError
from citymote.export import BINARY, exporter
from citymote.export.base import Options, read_stations

if TYPE_CHECKING:
    from citymote.export.base import Exporter

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
    decoder = Decoder(keys, "raise", node)
    options = Options(read_stations(str(stations)) if stations is not None else {})
    kept: capture.CaptureWriter | None = None
    with output(out, form in BINARY) as stream:
        writer = exporter(form, stream, options)
        for path in files or [Path("-")]:
            source = sys.stdin.buffer if str(path) == "-" else path
            for item in capture.read(source):
                try:
                    frame = decoder.decode(item)
                except FrameProblem as problem:
                    if on_error == "fail":
                        raise
                    decoder.tally.problems[problem.code] += 1
                    say(f"citymote: {problem}")
                    if on_error == "keep":
                        kept = kept or capture.CaptureWriter(aside)
                        kept.add(item.data, item.received if isinstance(item, capture.Message) else None)
                    continue
                decoder.tally.frames += 1
                writer.add(frame, list(frame.readings()))
        writer.close()
    if kept is not None:
        kept.close()
    tell(writer)
    problems = decoder.tally.problems
    if problems:
        by_code = ", ".join(f"{code} {count}" for code, count in sorted(problems.items()))
        where = f", kept in {aside}" if on_error == "keep" else ""
        say(f"citymote: {decoder.tally.frames} frames decoded, {decoder.tally.failed} not ({by_code}){where}")
    return 1 if problems else 0


def tell(writer: Exporter) -> None:
    """Say what a format had no place for."""
    for reason, count in sorted(writer.left_out.items()):
        say(f"citymote: left out of the export: {count} readings ({reason})")
