"""What the virtual city's air is like: for each node a table of integers at the registry's resolution, one row an
interval.

A row stamped T holds the world's values in (T - interval, T], which is what a node's sample with time T must bring
back. Published files come in through a mapping; lines that fall into the same interval are merged and counted, cells
with a text that the mapping names are absent, and what cannot be read or said is an error with file, line and column.
"""

from __future__ import annotations

import csv
import itertools
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from citymote.errors import SourceError, UsageError
from citymote.reading import moment

from . import mapping as mappings
from . import merging

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_ROWS = 20_000_000  # a year of 2,500 nodes every half hour; beyond it the file belongs into a database
MIN_INTERVAL = 3  # seconds; a node that asks its sensors more often has not heard them when the next row begins
MAX_EMPTY = 100_000  # intervals of one node without a line, 69 days of minutes: it lives through each
MAX_EMPTIES = 10_000_000  # of all nodes


@dataclass(slots=True)
class Station:
    """One node's place in the city and its day: `rows[i]` belongs to time `start + i * interval`."""

    name: str
    start: int
    rows: list[dict[int, int]]

    def present(self) -> int:
        """Number of readings that are there."""
        return sum(len(row) for row in self.rows)

    def quantities(self) -> list[int]:
        """Ids that occur anywhere in this station's rows, ascending."""
        return sorted({quantity for row in self.rows for quantity in row})


@dataclass(slots=True)
class Dataset:
    """Stations that share one interval (seconds), and what the reader noticed on the way."""

    title: str
    interval: int
    stations: list[Station]
    merged: int = 0
    notes: list[str] = field(default_factory=list[str])

    def head(self, nodes: int | None = None, hours: float | None = None) -> Dataset:
        """The first `nodes` stations, each cut to its first `hours`; repeated under new names when more are asked for
        than exist."""
        stations = self.stations
        if nodes is not None:
            if nodes < 1:
                raise UsageError("nodes must be 1 or more")
            copies = [
                Station(f"{station.name}{'' if turn == 0 else f'+{turn}'}", station.start, station.rows)
                for turn in range(-(-nodes // len(stations)))
                for station in stations
            ]
            stations = copies[:nodes]
        if hours is not None:
            count = int(hours * 3600 // self.interval)
            if count < 1:
                raise UsageError(f"{hours} hours hold no interval of {self.interval} s")
            stations = [Station(station.name, station.start, station.rows[:count]) for station in stations]
        return Dataset(self.title, self.interval, stations, self.merged, list(self.notes))


def read_csv(path: str | Path, mapping: str | Path | None = None) -> Dataset:
    """Read a data file; without `mapping` the built-in one whose headers it has. SourceError says what is wrong and
    where."""
    file = Path(path)
    chosen = mappings.load(mapping) if mapping is not None else detect(file)
    notes: list[str] = []
    return _assemble(file, chosen, _cells(file, chosen, notes), notes)


def detect(path: Path) -> mappings.Mapping:
    """The built-in mapping whose `detect` headers the file's first line has."""
    for name in mappings.built_in():
        candidate = mappings.load(name)
        if not candidate.detect:
            continue
        try:
            with path.open(encoding=candidate.encoding, newline="") as file:
                header: list[str] = next(csv.reader([file.readline()], delimiter=candidate.delimiter), list[str]())
        except (UnicodeError, csv.Error):
            continue
        except OSError as error:
            raise SourceError(f"{path} cannot be read", error.strerror or str(error)) from None
        if set(candidate.detect) <= {cell.strip() for cell in header}:
            return candidate
    raise SourceError(
        f"{path} has none of the known headers",
        f"known are {', '.join(mappings.built_in())}",
        "Describe its columns in a mapping file and name it with --mapping.",
    )


def _cells(path: Path, mapping: mappings.Mapping, notes: list[str]) -> Iterator[tuple[str, int, dict[int, float]]]:
    """(node, time, values) of every usable line; `notes` hears what was left out."""
    try:
        with path.open(encoding=mapping.encoding, newline="") as file:
            lines = _numbered(path, file, mapping.delimiter)
            header = [cell.strip() for cell in next(lines, (0, list[str]()))[1]]
            vital = (*mapping.time_columns, *([mapping.node] if mapping.node else []))
            missing = [name for name in mapping.columns if name not in header]
            # Another export of the same make may lack a column; who wrote a mapping for this file has misspelt one.
            needed = missing if mapping.own or len(missing) == len(mapping.columns) else []
            for name in (*vital, *needed):
                if name not in header:
                    raise SourceError(
                        f"{path} has no column {name!r}",
                        f"the mapping {mapping.name} asks for it, and the header is {', '.join(header)[:200]!r}",
                        "Check the mapping or the delimiter.",
                    )
            if missing:
                notes.append(f"{path} has no column {', '.join(map(repr, missing))}; what it would fill is not played")
            at = {name: header.index(name) for name in header}
            time_at = [at[name] for name in mapping.time_columns]
            node_at = at[mapping.node] if mapping.node else None
            value_at = [(at[name], name, column) for name, column in mapping.columns.items() if name in at]
            yield from _lines(path, mapping, lines, time_at, node_at, value_at, len(header), notes)
    except UnicodeError as error:
        raise SourceError(
            f"{path} is not {mapping.encoding} text", str(error), "Name its encoding in a mapping file."
        ) from None
    except OSError as error:
        raise SourceError(f"{path} cannot be read", error.strerror or str(error)) from None


def _numbered(path: Path, file: Iterable[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV file, with the number of the line in which each ends: a cell may hold several."""
    reader = csv.reader(file, delimiter=delimiter, strict=True)
    try:
        for line in reader:
            yield reader.line_num, line
    except csv.Error as error:
        raise SourceError(f"{path} is not a CSV file", f"line {reader.line_num}: {error}") from None


def _lines(
    path: Path,
    mapping: mappings.Mapping,
    lines: Iterable[tuple[int, list[str]]],
    time_at: list[int],
    node_at: int | None,
    value_at: list[tuple[int, str, mappings.Column]],
    width: int,
    notes: list[str],
) -> Iterator[tuple[str, int, dict[int, float]]]:
    preamble: list[str] | None = []
    for number, line in lines:
        if number > MAX_ROWS:
            raise SourceError(f"{path} has more than {MAX_ROWS} lines", "", "Cut it, or load it into a database.")
        if not line:
            continue
        if len(line) != width:
            raise SourceError(
                f"{path} line {number}", f"{len(line)} cells where the header has {width}", "The file may be truncated."
            )
        told = " ".join(line[index] for index in time_at)
        try:
            time = mapping.time([line[index] for index in time_at])
        except (ValueError, OverflowError):
            # Some makes put lines of units and titles under the header; after the first good line a bad time is an
            # error.
            if preamble is None:
                raise SourceError(f"{path} line {number}", f"no time in {told!r}") from None
            preamble.append(f"{told!r} in line {number}")
            continue
        if not mappings.EARLIEST <= time < mappings.LATEST:
            mend = 'Milliseconds? Say so with format = "unix_ms" in the mapping\'s [time].'
            raise SourceError(
                f"{path} line {number}",
                f"the time {told!r} is not from 2000-01-03 to 2135-12-31, which is all that a node knows",
                mend if mapping.time_format == "unix" and time >= mappings.LATEST else "",
            )
        if preamble:
            more = f" and {len(preamble) - 3} more" if len(preamble) > 3 else ""
            notes.append(f"{path} begins with lines that hold no time: {', '.join(preamble[:3])}{more}; not played")
        preamble = None
        values: dict[int, float] = {}
        for index, name, column in value_at:
            text = line[index].strip()
            if text.lower() in mapping.absent or text.lower() in column.absent:
                continue
            try:
                value = mappings.number(text) * column.factor + column.offset
                merging.integer(column.quantity, value)
            except ValueError as error:
                raise SourceError(
                    f"{path} line {number}, column {name!r}",
                    f"{text!r} {error}",
                    "Name texts that mean absent in the mapping's `absent`.",
                ) from None
            values[column.quantity.id] = value
        yield (line[node_at].strip() if node_at is not None else path.stem), time, values
    if preamble:
        raise SourceError(f"{path} has no readings", f"no time in {preamble[0]}", "Check the mapping's [time].")


def _assemble(
    path: Path, mapping: mappings.Mapping, cells: Iterator[tuple[str, int, dict[int, float]]], notes: list[str]
) -> Dataset:
    by_node: dict[str, list[tuple[int, dict[int, float]]]] = {}
    for node, time, values in cells:
        if values or mapping.interval is not None:
            by_node.setdefault(node, []).append((time, values))
    if not by_node:
        raise SourceError(f"{path} has no readings", "not one line with a time and a value", "Check the mapping.")
    step = mapping.interval or _median_step(by_node)
    interval = mappings.day_part(step)
    if interval != step:
        notes.append(f"{path} has a line every {step} s, which does not divide a day: it is played every {interval} s")
    if interval < MIN_INTERVAL:
        raise SourceError(
            f"{path} has a row every {interval} s",
            f"a node makes one every {MIN_INTERVAL} s at most",
            "Set a longer interval in a mapping file: its lines become one.",
        )
    merged = 0
    lasts: set[str] = set()
    stations: list[Station] = []
    for node, lines in by_node.items():
        slots: dict[int, list[dict[int, float]]] = {}
        for time, values in sorted(lines, key=itemgetter(0)):
            slots.setdefault(-(-time // interval), []).append(values)
        merged += sum(len(found) - 1 for found in slots.values())
        first, last = min(slots), max(slots)
        if last - first + 1 - len(slots) > min(MAX_EMPTY, MAX_EMPTIES // len(by_node)):
            before, after = max(itertools.pairwise(slots), key=lambda pair: pair[1] - pair[0])
            raise SourceError(
                f"{path}: node {node} has no line between {moment(before * interval)} and {moment(after * interval)}",
                f"that would be {after - before - 1} empty intervals of {interval} s",
                "Correct the line that lies so far away, cut the file there, or set a longer interval in a mapping.",
            )
        try:
            rows = [merging.row(slots.get(slot, ()), lasts) for slot in range(first, last + 1)]
        except ValueError as error:
            raise SourceError(f"{path}: node {node}, lines of one interval together", str(error)) from None
        for quantity, dead in mapping.dead.items():
            present = [row[quantity] for row in rows if quantity in row]
            if present and all(value == dead for value in present):
                for row in rows:
                    row.pop(quantity, None)
        stations.append(Station(node, first * interval, rows))
    if merged:
        notes.append(
            f"{merged} lines fell into an interval of {interval} s that already had one and were merged with it"
        )
    if lasts:
        notes.append(f"the last of an interval's lines stands for {', '.join(sorted(lasts))}, which cannot be merged")
    return Dataset(mapping.title, interval, stations, merged, notes)


def _median_step(by_node: dict[str, list[tuple[int, dict[int, float]]]]) -> int:
    steps: list[int] = []
    for lines in by_node.values():
        times = sorted({time for time, _ in lines})
        steps += [later - earlier for earlier, later in itertools.pairwise(times)]
    return min(86400, max(1, round(median(steps)))) if steps else 3600
