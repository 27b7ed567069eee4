"""Which sensor is wired to which pins of which board: for pages that tell somebody how to wire it.

One `Wire` a sensor and bus. The text is for people: a bus and its pins as the board's maker numbers them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from . import description, places
from .drivers import driver as facts

_ORDER = ("sda", "scl", "tx", "rx", "sck", "ws", "sd", "pin")


@dataclass(frozen=True)
class Wire:
    """One sensor of one board."""

    board: str
    """The board's name."""
    title: str
    driver: str
    bus: str
    """The bus's name in the board's file; several joined by +."""
    pins: tuple[tuple[str, int], ...]
    """(line, GPIO number); none on a virtual board."""
    address: int | None
    """On I2C."""
    power: str
    """The switch of its supply, such as "GPIO4"; empty where it always has power."""

    @property
    def text(self) -> str:
        """For a page: "i2c0: SDA GPIO8, SCL GPIO9, address 0x44"."""
        parts = [f"{line.upper()} GPIO{pin}" for line, pin in self.pins] or ["no pins: virtual"]
        if self.address is not None:
            parts.append(f"address 0x{self.address:02X}")
        if self.power:
            parts.append(f"supply switched by {self.power}")
        return f"{self.bus}: {', '.join(parts)}"


def wires(boards: Iterable[str | Path] | None = None) -> list[Wire]:
    """The wiring of every sensor of these boards (all that have a name here), in the boards' order."""
    found: list[Wire] = []
    for board in places.names() if boards is None else boards:
        one = description.describe(board)
        for sensor in one.node["sensors"]:
            buses: list[str] = cast("list[str]", sensor["bus"]) if isinstance(sensor["bus"], list) else [sensor["bus"]]
            known = facts(sensor["driver"])
            address = sensor["settings"].get("address", known.address if known else None)
            switch = one.pins.get(sensor.get("power", ""), {})
            lines = tuple(line for name in buses for line in _lines(one, name))
            on_i2c = any(one.buses.get(name, {}).get("kind") == "i2c" for name in buses)
            found.append(
                Wire(
                    one.name,
                    one.title,
                    sensor["driver"],
                    "+".join(buses),
                    lines,
                    address if on_i2c else None,
                    f"GPIO{switch['pin']}" if switch else "",
                )
            )
    return found


def _lines(one: description.Description, name: str) -> list[tuple[str, int]]:
    if name in one.pins:
        return [(name, one.pins[name]["pin"])]
    return [(key, one.buses[name][key]) for key in _ORDER if key in one.buses[name]]
