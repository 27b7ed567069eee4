"""What the virtual city's air is like: for each node a table of integers at the registry's resolution, one row an
interval.

A row stamped T holds the world's values in (T - interval, T], which is what a node's sample with time T must bring
back. Published files come in through a mapping; rows that fall into the same interval are averaged and counted, cells
that hold no number are absent, and what cannot be read at all is an error that names file, line and column.
"""

from __future__ import annotations

import csv
import itertools
import math
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from citymote import registry
from citymote.errors import SourceError, UsageError

from . import mapping as mappings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_ROWS = 20_000_000  # a year of 2,500 nodes every half hour; beyond it the file belongs into a database


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
    return _assemble(file, chosen, _cells(file, chosen))


def detect(path: Path) -> mappings.Mapping:
    """The built-in mapping whose `detect` headers the file's first line has."""
    for name in mappings.built_in():
        candidate = mappings.load(name)
        if not candidate.detect:
            continue
        try:
            with path.open(encoding=candidate.encoding, newline="") as file:
                header: list[str] = next(csv.reader([file.readline()], delimiter=candidate.delimiter), list[str]())
        except UnicodeError:
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


def _cells(path: Path, mapping: mappings.Mapping) -> Iterator[tuple[str, int, dict[int, float]]]:
    """(node, time, values) of every usable line."""
    try:
        with path.open(encoding=mapping.encoding, newline="") as file:
            reader = csv.reader(file, delimiter=mapping.delimiter, strict=True)
            header = [cell.strip() for cell in next(reader, list[str]())]
            missing = [
                name
                for name in (*mapping.time_columns, *mapping.columns, *([mapping.node] if mapping.node else []))
                if name not in header
            ]
            # A mapped column may be missing (another export of the same make); time and node may not.
            vital = [name for name in missing if name in mapping.time_columns or name == mapping.node]
            if vital or len([name for name in missing if name in mapping.columns]) == len(mapping.columns):
                raise SourceError(
                    f"{path} has no column {(vital or missing)[0]!r}",
                    f"the mapping {mapping.name} asks for it",
                    "Check the mapping or the delimiter.",
                )
            at = {name: header.index(name) for name in header if name in header}
            time_at = [at[name] for name in mapping.time_columns]
            node_at = at[mapping.node] if mapping.node else None
            value_at = [(at[name], name, column) for name, column in mapping.columns.items() if name in at]
            yield from _lines(path, mapping, reader, time_at, node_at, value_at, len(header))
    except UnicodeError as error:
        raise SourceError(
            f"{path} is not {mapping.encoding} text", str(error), "Name its encoding in a mapping file."
        ) from None
    except csv.Error as error:
        raise SourceError(f"{path} is not a CSV file", str(error)) from None
    except OSError as error:
        raise SourceError(f"{path} cannot be read", error.strerror or str(error)) from None


def _lines(
    path: Path,
    mapping: mappings.Mapping,
    reader: Iterable[list[str]],
    time_at: list[int],
    node_at: int | None,
    value_at: list[tuple[int, str, mappings.Column]],
    width: int,
) -> Iterator[tuple[str, int, dict[int, float]]]:
    preamble = True
    for number, line in enumerate(reader, 2):
        if number > MAX_ROWS:
            raise SourceError(f"{path} has more than {MAX_ROWS} lines", "", "Cut it, or load it into a database.")
        if not line:
            continue
        if len(line) != width:
            raise SourceError(
                f"{path} line {number}", f"{len(line)} cells where the header has {width}", "The file may be truncated."
            )
        try:
            time = mapping.time([line[index] for index in time_at])
        except ValueError:
            # Some makes put lines of units and titles under the header; after the first good line a bad time is an
            # error.
            if preamble:
                continue
            raise SourceError(
                f"{path} line {number}", f"no time in {' '.join(line[index] for index in time_at)!r}"
            ) from None
        preamble = False
        values: dict[int, float] = {}
        for index, name, column in value_at:
            text = line[index].strip()
            if text.lower() in mapping.absent or text in column.absent:
                continue
            try:
                value = float(text) * column.factor + column.offset
            except ValueError:
                raise SourceError(
                    f"{path} line {number}, column {name!r}",
                    f"{text!r} is no number",
                    "Name texts that mean absent in the mapping's `absent`.",
                ) from None
            if not math.isfinite(value) or abs(value) * 10**column.quantity.decimals >= 2**31:
                raise SourceError(f"{path} line {number}, column {name!r}", f"{text!r} is out of any range")
            values[column.quantity.id] = value
        yield (line[node_at].strip() if node_at is not None else path.stem), time, values


def _assemble(path: Path, mapping: mappings.Mapping, cells: Iterator[tuple[str, int, dict[int, float]]]) -> Dataset:
    by_node: dict[str, list[tuple[int, dict[int, float]]]] = {}
    for node, time, values in cells:
        if values or mapping.interval is not None:
            by_node.setdefault(node, []).append((time, values))
    if not by_node:
        raise SourceError(f"{path} has no readings", "not one line with a time and a value", "Check the mapping.")
    interval = mapping.interval or _median_step(by_node)
    merged = 0
    stations: list[Station] = []
    notes: list[str] = []
    for node, lines in by_node.items():
        slots: dict[int, list[dict[int, float]]] = {}
        for time, values in lines:
            slots.setdefault(-(-time // interval), []).append(values)
        merged += sum(len(found) - 1 for found in slots.values())
        first, last = min(slots), max(slots)
        if last - first >= 10_000_000 // max(1, len(by_node)):
            raise SourceError(
                f"{path}: node {node} spans {last - first} intervals of {interval} s",
                "its times are far apart",
                "Set the interval in a mapping file.",
            )
        rows = [_row(slots.get(slot, [])) for slot in range(first, last + 1)]
        for quantity, dead in mapping.dead.items():
            present = [row[quantity] for row in rows if quantity in row]
            if present and all(value == dead for value in present):
                for row in rows:
                    row.pop(quantity, None)
        stations.append(Station(node, first * interval, rows))
    if merged:
        notes.append(f"{merged} lines fell into an interval that already had one and were averaged with it")
    return Dataset(mapping.title, interval, stations, merged, notes)


def _row(lines: list[dict[int, float]]) -> dict[int, int]:
    row: dict[int, int] = {}
    for quantity in sorted({quantity for line in lines for quantity in line}):
        values = [line[quantity] for line in lines if quantity in line]
        row[quantity] = registry.quantity(quantity).integer(
            values[0] if len(values) == 1 else sum(values) / len(values)
        )
    return row


def _median_step(by_node: dict[str, list[tuple[int, dict[int, float]]]]) -> int:
    steps: list[int] = []
    for lines in by_node.values():
        times = sorted({time for time, _ in lines})
        steps += [later - earlier for earlier, later in itertools.pairwise(times)]
    return min(86400, max(1, round(median(steps)))) if steps else 3600
