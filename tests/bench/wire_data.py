"""The readings whose bytes are counted: a Smart Citizen Kit's day at minute rate, or a generated pole where that is
absent.

Only integers at the registry's resolution leave this module, with the times of their rows to the second, jitter and
gaps included: what a format may not round away.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.bench import wire_sizes

from citymote import registry
from citymote.demo import city

NODE = bytes.fromhex("5e27c31a94f0")
EPOCH = 1
FIRST_SEQUENCE = 1000  # a node that has been running for a while
# The generated pole's ten quantities, and short keys for formats that name what they say, as kits' firmware has them:
# no peer pays for our registry's longer names.
_CITY = ("pm2_5", "pm10", "temperature", "humidity", "wind_direction", "wind_speed", "illuminance", "uv_index", "laeq",
         "acceleration_x")  # fmt: skip
_KEYS = {
    "pm1": "pm01", "pm2_5": "pm02", "temperature": "atmp", "humidity": "rhum", "illuminance": "lux", "laeq": "dba",
    "pressure": "pres", "voc": "tvoc", "eco2": "rco2", "wind_direction": "wdir", "wind_speed": "wspd",
    "uv_index": "uvi", "acceleration_x": "accx",
}  # fmt: skip

Row = list[int | None]


@dataclass(frozen=True)
class Rows:
    """Rows of one node: `values[i]` was sampled at `times[i]` (seconds since 2000), one integer or None a column."""

    name: str
    interval: int
    columns: tuple[tuple[int, int], ...]
    times: list[int]
    values: list[Row]

    @property
    def names(self) -> list[str]:
        found = [registry.quantity(quantity).name for quantity, _ in self.columns]
        return [_KEYS.get(name, name) for name in found]

    @property
    def decimals(self) -> list[int]:
        return [registry.quantity(quantity).decimals for quantity, _ in self.columns]

    def readings(self) -> int:
        return sum(value is not None for row in self.values for value in row)

    def batches(self, size: int) -> list[Rows]:
        """Cut without overlap; what does not fill a batch is left out."""
        return [self.cut(start, start + size) for start in range(0, len(self.times) - size + 1, size)]

    def cut(self, start: int, end: int) -> Rows:
        return Rows(self.name, self.interval, self.columns, self.times[start:end], self.values[start:end])


def kit(path: Path) -> Rows:
    """The rows of a Smart Citizen Kit's export that hold any of the ten quantities of set kit_ten."""
    rows = wire_sizes.load(path)
    values: list[Row] = [list(row.values) for row in rows]
    return Rows("sck01", wire_sizes.INTERVAL, wire_sizes.columns(), [row.time for row in rows], values)


def pole() -> Rows:
    """Ten quantities of a generated city pole, for machines without the real data."""
    data = city.generate(nodes=1, hours=24.0)
    station = data.stations[0]
    ids = [registry.quantity(name).id for name in _CITY]
    times = [station.start + index * data.interval for index in range(len(station.rows))]
    return Rows("city", data.interval, tuple((number, 0) for number in ids), times,
                [[row.get(number) for number in ids] for row in station.rows])  # fmt: skip
