"""Which node stands at which pole: boards with chips for the first few stations, with the replay driver for the rest.

A station's dust, climate, light, wind and sound go through emulated chips where the node has them and can say every
value of the column; whatever the data has beyond that comes through the replay driver, so that every column of a file
reaches the wire. The first chip node also carries a second dust meter of another make, which is how a frame with two
sensors of one quantity looks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from citymote import boards, registry
from citymote.errors import UsageError
from citymote.simulate import Plan
from citymote.testing.emul.replay import LIMIT
from citymote.testing.world import World
from citymote_protocol import quantities as q
from citymote_protocol.limits import MAX_COLUMNS

from .compare import Expectation
from .dataset import Dataset, Station

# What each chip measures here, and the least and the most of it that come back exactly, at the registry's resolution:
# the data sheets' ranges; for light the chip's finest lux, for sound what the microphone hears without clipping.
CHIPS: dict[str, dict[int, tuple[int, int]]] = {
    "sps30": {q.PM2_5: (0, 10000), q.PM10: (0, 10000)},
    "sht4x": {q.TEMPERATURE: (-400, 1250), q.HUMIDITY: (0, 1000)},
    "bh1750": {q.ILLUMINANCE: (0, 54000)},
    "wind_vane": {q.WIND_DIRECTION: (0, 359)},
    "anemometer": {q.WIND_SPEED: (0, 600)},
    "sound_meter": {q.LAEQ: (250, 1000)},
}
# Seconds between two rows in which a chip has its reading: dust meters warm up for 30, pulses are counted for 20.
LEAST = {"sps30": 60, "pms5003": 60, "anemometer": 60}
OTHERS_LEAST = 5
# A pulse counter cannot tell a calm from a cut wire: a station with gaps in its wind plays it instead.
NO_GAPS = ("anemometer",)
SETTINGS = {"anemometer": {"calm_limit": 0}}  # nobody cuts this wire: a calm of the file is one, however long
SECOND = "pms5003"
SECOND_LIMITS = CHIPS["sps30"]
SECOND_GRID = 10  # it counts whole micrograms per cubic metre, the registry tenths
REPLAYED = 24  # quantities that one replay driver takes
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
        if (driver == "sound_meter" and not sound) or data.interval < LEAST.get(driver, OTHERS_LEAST):
            continue
        if driver in CHIPS and _fits(station, CHIPS[driver], driver not in NO_GAPS):
            settings = {**sensor.get("settings", {}), **SETTINGS.get(driver, {})}
            sensors.append({**sensor, "quantities": _names(driver, sensor, wanted), "settings": settings})
            columns.update({(number, 0): 1 for number in CHIPS[driver]})
        elif driver == SECOND and index == 0 and _fits(station, SECOND_LIMITS):
            sensors.append({**sensor, "quantities": ["pm2_5", "pm10"]})
            columns.update({(q.PM2_5, 1): SECOND_GRID, (q.PM10, 1): SECOND_GRID})
            # Its frame has no way to say that one of them is absent; the other chips have.
            partners.update({(q.PM2_5, 1): (q.PM10,), (q.PM10, 1): (q.PM2_5,)})
    rest = [number for number in wanted if (number, 0) not in columns]
    replay = next(sensor for sensor in virtual["sensors"] if sensor["driver"] == "replay")
    buses = dict(virtual["buses"])
    for turn, group in enumerate(_groups(station, rest)):
        names = [registry.quantity(number).name for number in group]
        bus = f"replay{turn}"
        buses[bus] = buses[replay["bus"]]
        sensors.append({**replay, "bus": bus, "quantities": names, "settings": {"quantities": names}})
    columns.update({(number, 0): 1 for number in rest})
    count = sum(len(sensor["quantities"]) for sensor in sensors)
    if count > MAX_COLUMNS:
        raise UsageError(
            f"the node of station {station.name} would report {count} quantities",
            f"a frame carries {MAX_COLUMNS}",
            "Take some columns out of the mapping.",
        )
    # Power comes on one second into the first interval, so that the first row the node makes is the file's first. Who
    # has to join a network does not know the time at once, and makes its first row an interval after power: `late` is 0
    # then, and it is the same instant.
    world = World(station.start - data.interval + late)
    world.table(station.start, data.interval, station.rows)
    plan = Plan(
        name=f"{index + 1:04d}",
        board={**virtual, "buses": buses, "flash": FLASH, "sensors": sensors, "heap": HEAP},
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


def _fits(station: Station, limits: Mapping[int, tuple[int, int]], gaps: bool = True) -> bool:
    """Whether a chip can say all that a station has of its quantities; one that the file does not have at all the chip
    would invent."""
    if not limits.keys() <= set(station.quantities()):
        return False
    return all(
        low <= row[number] <= high if number in row else gaps
        for row in station.rows
        for number, (low, high) in limits.items()
    )


def _names(driver: str, sensor: dict[str, Any], wanted: list[int]) -> list[str]:
    """The meter also reports its extremes and percentiles, but for those that the file has; the other chips report what
    the file has."""
    if driver == "sound_meter":
        names = list[str](sensor["settings"].get("quantities", ["laeq"]))
        return [name for name in names if name == "laeq" or registry.quantity(name).id not in wanted]
    return [registry.quantity(number).name for number in CHIPS[driver]]


def _groups(station: Station, rest: list[int]) -> list[list[int]]:
    """What one replay driver each takes: so many quantities, in answers of so many bytes."""
    groups: list[list[int]] = []
    room = 0
    for number in rest:
        longest = max(len(str(row[number])) for row in station.rows if number in row)
        need = len(f";{number}:") + longest
        if room < need or len(groups[-1]) == REPLAYED:
            groups.append([])
            room = LIMIT - len("=NN*CCCC\n")
        groups[-1].append(number)
        room -= need
    return groups
