"""Holds what was stored against what was played, reading by reading, in integers at the registry's resolution.

A reading that was there and is not stored is lost. One that is stored twice is a duplicate. One that is stored with
another value, or stored where nothing was, is a mismatch: an invented reading is as bad as a changed one. Quantities
that only the chips know of (a second dust meter's PM1, a sound meter's L90) have nothing to be held against and are
counted, not judged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from citymote.decode import Frame

    from .dataset import Station

Column = tuple[int, int]  # quantity, instance


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a node's columns can bring back of a station.

    `grid` is the chip's own step in units of the registry's resolution (1: exact; 10: a dust meter that counts whole
    micrograms). `partners` are quantities whose absence silences a column, because its chip sends all or nothing.
    """

    station: Station
    interval: int
    columns: Mapping[Column, int]
    partners: Mapping[Column, tuple[int, ...]] = field(default_factory=dict[Column, tuple[int, ...]])

    def value(self, row: Mapping[int, int], column: Column) -> int | None:
        """What the sensor behind a column can say of a row."""
        if any(other not in row for other in self.partners.get(column, ())):
            return None
        return row.get(column[0])

    def present(self) -> int:
        """How many readings must come back."""
        return sum(self.value(row, column) is not None for row in self.station.rows for column in self.columns)


@dataclass(slots=True)
class Verdict:
    """Counts over all nodes; `examples` names the first few of what went wrong."""

    stored: int = 0
    lost: int = 0
    duplicates: int = 0
    mismatches: int = 0
    examples: list[str] = field(default_factory=list[str])

    def note(self, text: str) -> None:
        if len(self.examples) < 10:
            self.examples.append(text)


def compare(expectations: Mapping[str, Expectation], frames: Iterable[Frame]) -> Verdict:
    """Judge every stored frame of the nodes in `expectations` (by node id in hexadecimal)."""
    verdict = Verdict()
    seen: dict[str, Counter[tuple[int, int, int]]] = {node: Counter() for node in expectations}
    for frame in frames:
        expected = expectations.get(frame.node)
        if expected is None or frame.kind != "batch":
            continue
        found = seen[frame.node]
        for sample in frame.samples():
            if sample.value is not None:
                verdict.stored += 1
            index = (sample.time - expected.station.start) // expected.interval
            if (sample.time - expected.station.start) % expected.interval or not 0 <= index < len(
                expected.station.rows
            ):
                if sample.value is not None:
                    verdict.mismatches += 1
                    verdict.note(f"node {frame.node}: a reading at {sample.time}, where no row ends")
                continue
            grid = expected.columns.get((sample.quantity, sample.instance))
            if grid is None or sample.value is None:
                continue
            found[(index, sample.quantity, sample.instance)] += 1
            if found[(index, sample.quantity, sample.instance)] > 1:
                verdict.duplicates += 1
                continue
            wanted = expected.value(expected.station.rows[index], (sample.quantity, sample.instance))
            if wanted is None or abs(wanted - sample.value) * 2 > (grid if grid > 1 else 0):
                verdict.mismatches += 1
                verdict.note(
                    f"node {frame.node} row {index} quantity {sample.quantity}: {sample.value}, played {wanted}"
                )
    for node, expected in expectations.items():
        found = seen[node]
        for index, row in enumerate(expected.station.rows):
            for quantity, instance in expected.columns:
                if expected.value(row, (quantity, instance)) is not None and not found[(index, quantity, instance)]:
                    verdict.lost += 1
                    verdict.note(f"node {node} row {index} quantity {quantity} sensor {instance}: not stored")
    return verdict
