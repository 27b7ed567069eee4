"""What every export format is: a writer that is fed frames and fills one binary stream.

A format gets each frame with the readings that were asked for, so that it can use what belongs to the frame
(interval, clock) and still be narrowed to some quantities. What a standard has no place for is left out and counted
in `left_out`, never bent into it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from citymote.errors import ExportError
from citymote.registry import Quantity, quantity

if TYPE_CHECKING:
    from citymote.decode import Frame
    from citymote.reading import Reading


@dataclass(frozen=True, slots=True)
class Station:
    """Where a node stands, for formats that ask."""

    latitude: float
    longitude: float
    altitude: float | None = None
    name: str = ""


@dataclass(slots=True)
class Options:
    """What a format may need besides the readings."""

    stations: dict[str, Station] = field(default_factory=dict[str, Station])


class Exporter(ABC):
    """One export into one stream. `left_out` counts readings by the reason why the format could not carry them."""

    def __init__(self, out: BinaryIO, options: Options | None = None) -> None:
        self.out = out
        self.options = options or Options()
        self.written = 0
        self.left_out: Counter[str] = Counter()

    @abstractmethod
    def add(self, frame: Frame, readings: list[Reading]) -> None:
        """Write the readings of one frame; `readings` are those of its own that were asked for."""

    def close(self) -> None:
        """Write what ends the document. The stream stays open: it is the caller's."""
        self.out.flush()

    def line(self, text: str) -> None:
        """Write one line of text."""
        self.out.write(text.encode() + b"\n")


def entry_of(name: str) -> Quantity:
    """The registry's entry behind a reading's quantity, also for the stand-in names of quantities that are newer than
    we are.
    """
    prefix, _, number = name.rpartition("_")
    return quantity(int(number) if prefix == "quantity" and number.isdecimal() else name)


def read_stations(path: str) -> dict[str, Station]:
    """Positions from a CSV file with the columns node, latitude, longitude and, if known, altitude and name."""
    import csv
    from pathlib import Path

    stations: dict[str, Station] = {}
    hint = "It needs the columns node, latitude, longitude; altitude and name are optional."
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            for number, row in enumerate(csv.DictReader(file), 2):
                try:
                    latitude, longitude = float(row["latitude"]), float(row["longitude"])
                    altitude = float(row["altitude"]) if row.get("altitude") else None
                    node = row["node"].strip().lower()
                except (KeyError, TypeError, ValueError) as error:
                    raise ExportError(f"{path}, line {number}, is no station", str(error), hint) from None
                if not (abs(latitude) <= 90 and abs(longitude) <= 180):
                    raise ExportError(
                        f"{path}, line {number}: no such place on Earth", f"{latitude}, {longitude}", hint
                    )
                stations[node] = Station(latitude, longitude, altitude, row.get("name") or "")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ExportError(f"cannot read the stations in {path}", str(error), hint) from error
    return stations
