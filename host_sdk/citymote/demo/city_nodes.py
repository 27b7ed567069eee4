"""Which node stands at which pole: boards with chips for the first few stations, with the replay driver for the rest.

A station's dust, climate, light, wind and sound go through emulated chips where the node has them; whatever the data
has beyond that comes through the replay driver, so that every column of a file reaches the wire. The first chip node
also carries a second dust meter of another make, which is how a frame with two sensors of one quantity looks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from citymote import boards, registry
from citymote.simulate import Plan
from citymote.testing.world import World
from citymote_protocol import quantities as q

from .compare import Expectation
from .dataset import Dataset, Station

CHIPS: dict[str, tuple[int, ...]] = {
    "sps30": (q.PM2_5, q.PM10),
    "sht4x": (q.TEMPERATURE, q.HUMIDITY),
    "bh1750": (q.ILLUMINANCE,),
    "wind_vane": (q.WIND_DIRECTION,),
    "anemometer": (q.WIND_SPEED,),
    "sound_meter": (q.LAEQ,),
}
# A pulse counter cannot tell a calm from a cut wire: a station with gaps in its wind plays it instead.
NO_GAPS = ("anemometer",)
SECOND = "pms5003"
SECOND_GRID = 10  # it counts whole micrograms per cubic metre, the registry tenths
FLASH = {"config": 16, "store": 64}
HEAP = 384  # KB: plenty, so that code stays where a small chip would load it again; they need a quarter


@dataclass(frozen=True, slots=True)
class Pole:
    """One node to run, and what must come back from it."""

    plan: Plan
    expectation: Expectation


def poles(data: Dataset, chips: int, seed: int, *, sound: bool = True, claimed: int = 0) -> list[Pole]:
    """A pole for each station, the first `chips` of them with chips, the first `claimed` for nodes that the demo's
    first act provisions."""
    return [
        _pole(data, station, index, index < chips, seed, sound, int(index >= claimed))
        for index, station in enumerate(data.stations)
    ]


def _pole(data: Dataset, station: Station, index: int, chips: bool, seed: int, sound: bool, late: int) -> Pole:
    virtual = boards.load("virtual")
    wanted = station.quantities()
    sensors: list[dict[str, Any]] = []
    columns: dict[tuple[int, int], int] = {}
    partners: dict[tuple[int, int], tuple[int, ...]] = {}
    for sensor in virtual["sensors"] if chips else ():
        driver = sensor["driver"]
        measures = [number for number in CHIPS.get(driver, ()) if number in wanted]
        if driver == "sound_meter" and not sound:
            continue
        if driver in NO_GAPS and any(number not in row for row in station.rows for number in measures):
            continue
        # A chip whose partner quantity the file does not have at all would invent it.
        if measures and len(measures) == len(CHIPS[driver]):
            sensors.append({**sensor, "quantities": _names(driver, sensor, measures)})
            columns.update({(number, 0): 1 for number in measures})
        elif driver == SECOND and index == 0 and {q.PM2_5, q.PM10} <= set(wanted):
            sensors.append({**sensor, "quantities": ["pm2_5", "pm10"]})
            columns.update({(q.PM2_5, 1): SECOND_GRID, (q.PM10, 1): SECOND_GRID})
            # Its frame has no way to say that one of them is absent; the other chips have.
            partners.update({(q.PM2_5, 1): (q.PM10,), (q.PM10, 1): (q.PM2_5,)})
    rest = [number for number in wanted if (number, 0) not in columns]
    if rest:
        replay = next(sensor for sensor in virtual["sensors"] if sensor["driver"] == "replay")
        names = [registry.quantity(number).name for number in rest]
        sensors.append({**replay, "settings": {**replay["settings"], "quantities": names}})
        columns.update({(number, 0): 1 for number in rest})
    # Power comes on one second into the first interval, so that the first row the node makes is the file's first. Who
    # has to join a network does not know the time at once, and makes its first row an interval after power: `late` is 0
    # then, and it is the same instant.
    world = World(station.start - data.interval + late)
    world.table(station.start, data.interval, station.rows)
    plan = Plan(
        name=f"{index + 1:04d}",
        board={**virtual, "flash": FLASH, "sensors": sensors, "heap": HEAP},
        world=world,
        settings={
            "interval": data.interval,
            "until": station.start + (len(station.rows) - 1) * data.interval,
            # A recorded year may lie before this firmware was written; there is no dishonest time server in this world.
            "time_earliest": 0,
        },
        seed=seed * 1_000_003 + index,
    )
    return Pole(plan, Expectation(station, data.interval, columns, partners))


def _names(driver: str, sensor: dict[str, Any], measures: list[int]) -> list[str]:
    """The meter also reports its extremes and percentiles; the other chips what the file has."""
    if driver == "sound_meter":
        return list(sensor["settings"].get("quantities", ["laeq"]))
    return [registry.quantity(number).name for number in measures]
