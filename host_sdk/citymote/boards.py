"""Boards are data: reads `boards/<name>/board.toml` and makes the `board.json` that a node of that board carries.

A board is named parts on named buses: `[[sensors]]` names a driver, a bus, settings and the sensor's instance;
`[buses]` says what each bus is and, on real boards, at which pins; `[flash]` how many 4096-byte blocks each littlefs
has; `heap` how many KB of Python heap the application gets. `[about]`, and `about` of a sensor, is what no chip knows
and the node's descriptor says (SPEC 6.3): maker, serial, production batch, date of calibration, class. The firmware
finds everything else out from the chips. What is checked here is what no node could work with; everything is checked
before anything is returned, and an error names file, entry and reason.
"""

from __future__ import annotations

import tomllib
from datetime import date
from pathlib import Path
from typing import Any, cast

from citymote import registry, resources
from citymote.errors import CitymoteError
from citymote_protocol.limits import MAX_DAYS, MAX_TEXT

KINDS = ("i2c", "uart", "adc", "counter", "i2s")
PLATFORMS = ("unix", "esp32")
FLASH = ("config", "store")
HEAP = 100
"""KB of Python heap that a board leaves its application when it says nothing else: an ESP32 with Wi-Fi and TLS."""
MAX_SENSORS = 32
"""Sensors of one node; a column's instance number and the frame's column count bound it in practice."""

_BUS_KEYS = {
    "i2c": {"id", "scl", "sda", "frequency"},
    "uart": {"id", "tx", "rx"},
    "adc": {"pin"},
    "counter": {"id", "pin"},
    "i2s": {"id", "sck", "ws", "sd"},
}
_SENSOR_KEYS = {"driver", "bus", "settings", "instance", "quantities", "power", "reads", "limits", "alarms", "about"}
_TOP_KEYS = {"name", "title", "platform", "chip", "heap", "flash", "buses", "pins", "sensors", "notes", "about"}
_ABOUT = {"maker": str, "hardware": str, "support_until": date}
_ABOUT_SENSOR = {
    "model": str,
    "serial": str,
    "batch": str,
    "calibrated": date,
    "pm_class": int,
    "sound_method": str,
}
_Y2000 = date(2000, 1, 1)


class BoardError(CitymoteError):
    """A board description that no node could work with."""


def names() -> list[str]:
    """The boards that citymote brings along."""
    return sorted(path.parent.name for path in resources.boards().glob("*/board.toml"))


def load(board: str | Path) -> dict[str, Any]:
    """The board.json of a board, by name or by the path of a board.toml or its folder; BoardError says why not."""
    path = Path(board) if isinstance(board, Path) or "/" in board else resources.boards() / board / "board.toml"
    if path.is_dir():
        path /= "board.toml"
    try:
        with path.open("rb") as file:
            description = tomllib.load(file)
    except FileNotFoundError:
        raise BoardError(f"there is no board {board}", f"known are {', '.join(names())}") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BoardError(f"{path} cannot be read", str(error)) from None
    return make(description, str(path))


def make(description: dict[str, Any], where: str = "board") -> dict[str, Any]:
    """Check a description and return what the node is given: {"board", "heap", "flash", "buses", "pins", "sensors"}."""
    _known(description, _TOP_KEYS, where)
    name = _text(description, "name", where)
    platform = _text(description, "platform", where)
    if platform not in PLATFORMS:
        raise BoardError(f"{where}: platform {platform!r}", f"known are {', '.join(PLATFORMS)}")
    buses = _buses(_table(description, "buses", where), platform, where)
    pins = _table(description, "pins", where)
    sensors = description.get("sensors", [])
    if not isinstance(sensors, list) or len(cast("list[Any]", sensors)) > MAX_SENSORS:
        raise BoardError(f"{where}: sensors", f"a list of at most {MAX_SENSORS} tables is expected")
    return {
        "board": name,
        "heap": _number(description.get("heap", HEAP), f"{where}: heap", 40, 16384),
        "flash": _flash(_table(description, "flash", where), where),
        "buses": buses,
        "pins": pins,
        "sensors": [
            _sensor(sensor, buses, pins, f"{where}: sensor {number}")
            for number, sensor in enumerate(cast("list[Any]", sensors), 1)
        ],
    } | _about(description, _ABOUT, where)


def _known(table: dict[str, Any], keys: set[str], where: str) -> None:
    unknown = sorted(set(table) - keys)
    if unknown:
        raise BoardError(f"{where}: {unknown[0]!r} means nothing here", f"known are {', '.join(sorted(keys))}")


def _text(table: dict[str, Any], key: str, where: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value:
        raise BoardError(f"{where}: {key}", "a text is expected")
    return value


def _table(table: dict[str, Any], key: str, where: str) -> dict[str, Any]:
    value = table.get(key, {})
    if not isinstance(value, dict):
        raise BoardError(f"{where}: {key}", "a table is expected")
    return cast("dict[str, Any]", value)


def _number(value: Any, what: str, low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise BoardError(what, f"a number from {low} to {high} is expected")
    return value


def _about(table: dict[str, Any], kinds: dict[str, type], where: str) -> dict[str, dict[str, Any]]:
    """The facts for the descriptor frame, as it has them: dates are days since 2000. Nothing where nothing is said."""
    if "about" not in table:
        return {}
    where += ": about"
    facts = _table(table, "about", where)
    _known(facts, set(kinds), where)
    made: dict[str, Any] = {}
    for key, value in facts.items():
        at = f"{where}.{key}"
        if kinds[key] is int:
            made[key] = _number(value, at, 0, 65535)
        elif kinds[key] is date:
            if type(value) is not date:
                raise BoardError(at, "a date such as 2036-01-01 is expected")
            made[key] = _number((value - _Y2000).days, at, 0, MAX_DAYS)
        elif not isinstance(value, str) or len(value.encode()) > MAX_TEXT or not value.isprintable():
            raise BoardError(at, f"a text of at most {MAX_TEXT} bytes without control characters is expected")
        else:
            made[key] = value
    return {"about": made}


def _flash(table: dict[str, Any], where: str) -> dict[str, int]:
    _known(table, set(FLASH), f"{where}: flash")
    # littlefs needs two blocks for its root and some to move: eight is where it stops being a squeeze
    return {name: _number(blocks, f"{where}: flash.{name}", 8, 65536) for name, blocks in table.items()}


def _buses(table: dict[str, Any], platform: str, where: str) -> dict[str, dict[str, Any]]:
    buses: dict[str, dict[str, Any]] = {}
    for name in table:
        at = f"{where}: bus {name}"
        bus = _table(table, name, where)
        kind = _text(bus, "kind", at)
        if kind not in KINDS:
            raise BoardError(f"{at}: kind {kind!r}", f"known are {', '.join(KINDS)}")
        _known(bus, {"kind", *_BUS_KEYS[kind]}, at)
        if platform != "unix":
            missing = sorted(_BUS_KEYS[kind] - {"frequency"} - set(bus))
            if missing:
                raise BoardError(f"{at}: {missing[0]} is missing", "a real board has to name it")
        for key in _BUS_KEYS[kind] & set(bus):
            _number(bus[key], f"{at}: {key}", 0, 1_000_000 if key == "frequency" else 63)
        buses[name] = dict(bus)
    return buses


def _alarms(table: dict[str, Any], where: str) -> dict[str, list[int]]:
    """Quantity -> lowest and highest of what is usual, in integers at the registry's resolution."""
    made: dict[str, list[int]] = {}
    for name, pair in table.items():
        numbers: list[Any] = cast("list[Any]", pair) if isinstance(pair, list) else []
        if len(numbers) != 2 or not all(type(number) is int for number in numbers) or numbers[0] > numbers[1]:
            raise BoardError(f"{where}: {name}", "[lowest, highest] is expected, in units of the quantity's resolution")
        if name not in {entry.name for entry in registry.quantities()}:
            raise BoardError(f"{where}: {name}", "the registry has no such quantity")
        made[name] = numbers
    return made


def _sensor(value: Any, buses: dict[str, dict[str, Any]], pins: dict[str, Any], where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BoardError(where, "a table is expected")
    sensor = cast("dict[str, Any]", value)
    _known(sensor, _SENSOR_KEYS, where)
    driver, bus = _text(sensor, "driver", where), sensor.get("bus")
    if not driver.isidentifier():
        raise BoardError(f"{where}: driver {driver!r}", "the name of a file in node/drivers is expected")
    # a driver that watches two wires (a vane and its cups) names both, in its own order
    for one in cast("list[Any]", bus) if isinstance(bus, list) else [bus]:
        if one not in buses:
            raise BoardError(f"{where}: bus {one!r}", f"the board has {', '.join(buses) or 'none'}")
    made: dict[str, Any] = {
        "driver": driver,
        "bus": bus,
        "settings": _table(sensor, "settings", where),
        "instance": _number(sensor.get("instance", 0), f"{where}: instance", 0, 255),
    }
    if "quantities" in sensor:
        wanted = sensor["quantities"]
        if not isinstance(wanted, list) or not all(isinstance(q, str) for q in cast("list[Any]", wanted)):
            raise BoardError(f"{where}: quantities", "a list of quantity names is expected")
        made["quantities"] = wanted
    if "reads" in sensor:
        made["reads"] = _number(sensor["reads"], f"{where}: reads", 1, 600)
    if "limits" in sensor:
        made["limits"] = _table(sensor, "limits", where)
    if "alarms" in sensor:
        made["alarms"] = _alarms(_table(sensor, "alarms", where), f"{where}: alarms")
    if "power" in sensor:
        if sensor["power"] not in pins:
            raise BoardError(f"{where}: power {sensor['power']!r}", f"the board's pins are {', '.join(pins) or 'none'}")
        made["power"] = sensor["power"]
    return made | _about(sensor, _ABOUT_SENSOR, where)
