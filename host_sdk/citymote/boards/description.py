"""Reads `board.toml`: what is on a board, for the node that runs on it and for the workshop that makes it.

A board is named parts on named buses: `[[sensors]]` names a driver, a bus, settings and the sensor's instance;
`[buses]` says what each bus is and, on real boards, at which pins; `[pins]` names switches and inputs, `[reserved]`
what else on the board holds pins. `[flash]` says how large it is and how many 4096-byte blocks each littlefs gets,
`heap` how many KB of Python heap the application has. `[about]`, and `about` of a sensor, is what no chip knows and
the node's descriptor says (SPEC 6.3). `[selftest]` says what the workshop holds a finished board to. What a node is
given of all this is `Description.node`, its board.json. All is checked before anything is returned; an error names
file, key and reason. Whether the pins can do what is asked of them is `pins`'s business, and asked for here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, cast

from citymote import registry
from citymote_protocol import corrections
from citymote_protocol.limits import MAX_DAYS, MAX_TEXT

from . import drivers, pins, places, toml
from .chips import Chip, chip
from .toml import BoardError, known, number

KINDS = ("i2c", "uart", "adc", "counter", "i2s")
PLATFORMS = ("unix", "esp32")
FLASH = ("config", "store")
HEAP = 100
"""KB of Python heap that a board leaves its application when it says nothing else: an ESP32 with Wi-Fi and TLS."""
MAX_SENSORS = 32
"""Sensors of one node; a column's instance number and the frame's column count bound it in practice."""
MEGABYTE = 1 << 20
OTHER_RADIOS = ("lora", "ethernet")
"""What a board may have beside its chip's own."""

_BUS_KEYS = {
    "i2c": {"id", "scl", "sda", "frequency", "others"},
    "uart": {"id", "tx", "rx", "shared"},
    "adc": {"pin"},
    "counter": {"id", "pin"},
    "i2s": {"id", "sck", "ws", "sd"},
}
_OPTIONAL = {"frequency", "others", "shared"}
_SENSOR_KEYS = {
    "driver", "bus", "address", "settings", "instance", "quantities", "power", "reads", "every", "limits", "alarms",
    "about",
}  # fmt: skip
_TOP_KEYS = {
    "name", "title", "platform", "chip", "module", "sources", "console", "radio", "heap", "flash", "psram", "buses",
    "pins", "reserved", "accepted", "sensors", "corrections", "site", "selftest", "notes", "about",
}  # fmt: skip
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


@dataclass(frozen=True)
class SelfTest:
    """What a finished board is held to (`[selftest]`)."""

    seconds: int = 90
    """The longest that any sensor may take to its first reading."""
    rssi: int | None = None
    """The strongest network in the workshop has to be heard at least so well, in dBm; None: not asked."""
    optional: tuple[str, ...] = ()
    """Drivers that may be without a reading: a satellite receiver under a roof."""
    limits: dict[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])
    """Quantity -> lowest and highest that a good board reads in the workshop, in the registry's unit."""


@dataclass(frozen=True)
class Description:
    """All that a board.toml says. `node` is what the node is given: its board.json."""

    path: str
    name: str
    title: str
    platform: str
    chip: Chip | None
    module: str
    sources: tuple[str, ...]
    console: str
    radios: tuple[str, ...]
    flash_size: int
    """Bytes; 0: no flash of its own, a virtual board."""
    octal_flash: bool
    psram: str
    """quad, octal, or empty."""
    psram_size: int
    buses: dict[str, dict[str, Any]]
    pins: dict[str, dict[str, Any]]
    reserved: dict[str, tuple[int, ...]]
    accepted: dict[int, str]
    """Pins whose finding is known and meant, with the reason."""
    selftest: SelfTest
    notes: str
    node: dict[str, Any]


def describe(board: str | Path) -> Description:
    """A board by name or path; BoardError where its file says something that cannot be meant."""
    path = places.find(board)
    return parse(toml.read(path), str(path))


def check(board: str | Path) -> list[pins.Finding]:
    """Everything that is wrong or doubtful about what the board asks of its chip, its drivers and its buses."""
    return pins.check(describe(board))


def load(board: str | Path) -> dict[str, Any]:
    """The board.json of a board, by name or path; BoardError says why not."""
    return _sound(describe(board))


def make(description: dict[str, Any], where: str = "board") -> dict[str, Any]:
    """The board.json of a description that is at hand as tables."""
    return _sound(parse(description, where))


def _sound(description: Description) -> dict[str, Any]:
    wrong = [finding for finding in pins.check(description) if finding.level == pins.ERROR]
    if wrong:
        more = f" (and {len(wrong) - 1} more: citymote boards check)" if len(wrong) > 1 else ""
        raise BoardError(f"{wrong[0].where}: {wrong[0].key}", wrong[0].reason + more)
    return description.node


def parse(values: dict[str, Any], where: str) -> Description:
    """Read every table of a description."""
    known(values, _TOP_KEYS, where)
    name = toml.text(values, "name", where)
    platform = toml.choice(values, "platform", where, PLATFORMS)
    real = platform != "unix"
    the_chip = _chip(values, where) if real else None
    flash, psram = toml.table(values, "flash", where), toml.table(values, "psram", where)
    size = flash.get("size", 4) if real else 0
    if real and size not in (4, 8, 16, 32):
        raise BoardError(f"{where}: flash.size", "megabytes are expected: 4, 8, 16 or 32")
    buses = _buses(toml.table(values, "buses", where), real, where)
    named = _pins(toml.table(values, "pins", where), where)
    kind = toml.choice(psram, "kind", f"{where}: psram", ("quad", "octal")) if psram else ""
    known(psram, ("kind", "size"), f"{where}: psram")
    node: dict[str, Any] = {
        "board": name,
        "heap": number(values.get("heap", HEAP), f"{where}: heap", 40, 16384),
        "flash": _blocks(flash, real, where),
        "buses": {key: {k: v for k, v in bus.items() if k not in ("others", "shared")} for key, bus in buses.items()},
        "pins": named,
        "sensors": _sensors(values, buses, named, where),
    }
    if the_chip:
        node["chip"] = the_chip.key
    node |= _corrections(values, where) | _about(values, _ABOUT, where)
    return Description(
        where,
        name,
        toml.text(values, "title", where, name),
        platform,
        the_chip,
        toml.text(values, "module", where, ""),
        tuple(toml.texts(values, "sources", where)),
        toml.choice(values, "console", where, the_chip.consoles, the_chip.consoles[0]) if the_chip else "",
        _radios(values, the_chip, where),
        size * MEGABYTE,
        toml.flag(flash, "octal", f"{where}: flash"),
        kind,
        number(psram.get("size", 0), f"{where}: psram.size", 1, 32) * MEGABYTE if psram else 0,
        buses,
        named,
        {
            key: toml.pins(value, f"{where}: reserved.{key}")
            for key, value in toml.table(values, "reserved", where).items()
        },
        {
            toml.pin_key(key, f"{where}: accepted"): toml.text({key: why}, key, f"{where}: accepted")
            for key, why in toml.table(values, "accepted", where).items()
        },
        _selftest(toml.table(values, "selftest", where), f"{where}: selftest"),
        toml.text(values, "notes", where, ""),
        node,
    )


def _chip(values: dict[str, Any], where: str) -> Chip:
    name = toml.text(values, "chip", where)
    try:
        return chip(name)
    except BoardError as error:
        raise BoardError(f"{where}: {error.what}", error.why) from None


def _radios(values: dict[str, Any], the_chip: Chip | None, where: str) -> tuple[str, ...]:
    wanted = toml.texts(values, "radio", where)
    if the_chip is None:
        return tuple(wanted)
    for radio in wanted:
        if radio not in (*the_chip.radios, *OTHER_RADIOS):
            has = ", ".join((*the_chip.radios, *OTHER_RADIOS))
            raise BoardError(f"{where}: radio {radio!r}", f"a board with {the_chip.name} may have {has}")
    return tuple(wanted or the_chip.radios)


def _blocks(table: dict[str, Any], real: bool, where: str) -> dict[str, int]:
    known(table, {*FLASH, *(("size", "octal") if real else ())}, f"{where}: flash")
    # littlefs needs two blocks for its root and some to move: eight is where it stops being a squeeze
    return {name: number(table[name], f"{where}: flash.{name}", 8, 65536) for name in FLASH if name in table}


def _buses(table: dict[str, Any], real: bool, where: str) -> dict[str, dict[str, Any]]:
    buses: dict[str, dict[str, Any]] = {}
    for name in table:
        at = f"{where}: bus {name}"
        bus = toml.table(table, name, where)
        kind = toml.choice(bus, "kind", at, KINDS)
        known(bus, {"kind", *_BUS_KEYS[kind]}, at)
        if real:
            missing = sorted(_BUS_KEYS[kind] - _OPTIONAL - set(bus))
            if missing:
                raise BoardError(f"{at}: {missing[0]} is missing", "a real board has to name it")
        for key in (_BUS_KEYS[kind] - {"others", "shared"}) & set(bus):
            number(bus[key], f"{at}: {key}", 0, 1_000_000 if key == "frequency" else toml.HIGHEST_PIN)
        for other, address in toml.table(bus, "others", at).items():
            number(address, f"{at}: others.{other}", 0x08, 0x77)
        toml.flag(bus, "shared", at)
        buses[name] = dict(bus)
    return buses


def _pins(table: dict[str, Any], where: str) -> dict[str, dict[str, Any]]:
    made: dict[str, dict[str, Any]] = {}
    for name in table:
        at = f"{where}: pins.{name}"
        entry = toml.table(table, name, f"{where}: pins")
        known(entry, ("pin", "out", "pull_up"), at)
        number(entry.get("pin"), f"{at}: pin", 0, toml.HIGHEST_PIN)
        if toml.flag(entry, "out", at) and toml.flag(entry, "pull_up", at):
            raise BoardError(f"{at}: pull_up", "an output has no pull-up")
        made[name] = dict(entry)
    return made


def _sensors(
    values: dict[str, Any], buses: dict[str, dict[str, Any]], named: dict[str, dict[str, Any]], where: str
) -> list[dict[str, Any]]:
    sensors = values.get("sensors", [])
    if not isinstance(sensors, list) or len(cast("list[Any]", sensors)) > MAX_SENSORS:
        raise BoardError(f"{where}: sensors", f"a list of at most {MAX_SENSORS} tables is expected")
    return [
        _sensor(sensor, buses, named, f"{where}: sensor {index}")
        for index, sensor in enumerate(cast("list[Any]", sensors), 1)
    ]


def _sensor(
    value: Any, buses: dict[str, dict[str, Any]], named: dict[str, dict[str, Any]], where: str
) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BoardError(where, "a table is expected")
    sensor = cast("dict[str, Any]", value)
    known(sensor, _SENSOR_KEYS, where)
    driver, bus = toml.text(sensor, "driver", where), sensor.get("bus")
    if not driver.isidentifier():
        raise BoardError(f"{where}: driver {driver!r}", "the name of a file in node/drivers is expected")
    # a driver on two wires (a serial line and the pin that turns its transceiver) names both, in its own order
    for one in cast("list[Any]", bus) if isinstance(bus, list) else [bus]:
        if one not in buses and one not in named:
            raise BoardError(f"{where}: bus {one!r}", f"the board has {', '.join((*buses, *named)) or 'none'}")
    made: dict[str, Any] = {
        "driver": driver,
        "bus": bus,
        "settings": dict(toml.table(sensor, "settings", where)),
        "instance": number(sensor.get("instance", 0), f"{where}: instance", 0, 255),
    }
    if "address" in sensor:
        _address(made, sensor["address"], where)
    if "quantities" in sensor:
        made["quantities"] = [
            _quantity(name, f"{where}: quantities") for name in toml.texts(sensor, "quantities", where)
        ]
    if "reads" in sensor:
        made["reads"] = number(sensor["reads"], f"{where}: reads", 1, 600)
    if "every" in sensor:
        every = sensor["every"]
        made["every"] = (
            {
                _quantity(name, f"{where}: every"): _rows(every[name], where)
                for name in toml.table(sensor, "every", where)
            }
            if isinstance(every, dict)
            else _rows(every, where)
        )
    if "limits" in sensor:
        made["limits"] = toml.table(sensor, "limits", where)
    if "alarms" in sensor:
        made["alarms"] = _ranges(toml.table(sensor, "alarms", where), f"{where}: alarms", int)
    if "power" in sensor:
        power = sensor["power"]
        if power not in named:
            raise BoardError(f"{where}: power {power!r}", f"the board's pins are {', '.join(named) or 'none'}")
        if not named[power].get("out"):
            raise BoardError(f"{where}: power {power!r}", f"pins.{power} is no output: out = true is missing there")
        made["power"] = power
    return made | _about(sensor, _ABOUT_SENSOR, where)


def _address(made: dict[str, Any], address: Any, where: str) -> None:
    """A sensor's address, said beside its driver: it becomes the setting, or has to be what the driver knows."""
    number(address, f"{where}: address", 0x08, 0x77)
    facts = drivers.driver(made["driver"])
    if "address" in made["settings"]:
        raise BoardError(f"{where}: address", "it is said twice: here and in settings")
    if facts is None or "address" in facts.settings:
        made["settings"]["address"] = address
    elif facts.address != address:
        said = "none: it is not on I2C" if facts.address is None else f"always 0x{facts.address:02X}"
        raise BoardError(f"{where}: address 0x{address:02X}", f"the address of {made['driver']} is {said}")


def _rows(value: Any, where: str) -> int:
    return number(value, f"{where}: every", 1, 86400)


def _quantity(name: str, where: str) -> str:
    if name not in {entry.name for entry in registry.quantities()}:
        raise BoardError(f"{where}: {name}", "the registry has no such quantity")
    return name


def _ranges(table: dict[str, Any], where: str, kind: Callable[[Any], Any]) -> dict[str, list[Any]]:
    """Quantity -> lowest and highest: integers at the registry's resolution, or numbers in its unit."""
    made: dict[str, list[Any]] = {}
    for name, pair in table.items():
        numbers: list[Any] = cast("list[Any]", pair) if isinstance(pair, list) else []
        types = (int,) if kind is int else (int, float)
        if len(numbers) != 2 or not all(type(one) in types for one in numbers) or numbers[0] > numbers[1]:
            unit = "units of the quantity's resolution" if kind is int else "the quantity's unit"
            raise BoardError(f"{where}: {name}", f"[lowest, highest] is expected, in {unit}")
        made[_quantity(name, where)] = [kind(one) for one in numbers]
    return made


def _selftest(table: dict[str, Any], where: str) -> SelfTest:
    known(table, ("seconds", "rssi", "optional", "limits"), where)
    limits = _ranges(toml.table(table, "limits", where), f"{where}: limits", float)
    return SelfTest(
        number(table.get("seconds", SelfTest.seconds), f"{where}: seconds", 1, 3600),
        number(table["rssi"], f"{where}: rssi", -120, 0) if "rssi" in table else None,
        tuple(toml.texts(table, "optional", where)),
        {name: (low, high) for name, (low, high) in limits.items()},
    )


def _corrections(values: dict[str, Any], where: str) -> dict[str, Any]:
    """Which corrected quantities the node computes, and what of its place they need."""
    made: dict[str, Any] = {}
    if "corrections" in values:
        names = toml.texts(values, "corrections", where)
        for name in names:
            if cast("Any", corrections).needs(registry.quantity(_quantity(name, f"{where}: corrections")).id) is None:
                raise BoardError(f"{where}: corrections: {name}", "the node computes no such correction")
        made["corrections"] = names
    site = toml.table(values, "site", where)
    known(site, ("altitude",), f"{where}: site")
    if site:
        height = site.get("altitude")
        if not isinstance(height, int | float) or isinstance(height, bool) or not -500 <= height <= 9000:
            raise BoardError(f"{where}: site.altitude", "metres above the sea are expected, -500 to 9000")
        made["site"] = dict(site)
    return made


def _about(table: dict[str, Any], kinds: dict[str, type], where: str) -> dict[str, dict[str, Any]]:
    """The facts for the descriptor frame, as it has them: dates are days since 2000. Nothing where nothing is said."""
    if "about" not in table:
        return {}
    where += ": about"
    facts = toml.table(table, "about", where)
    known(facts, set(kinds), where)
    made: dict[str, Any] = {}
    for key, value in facts.items():
        at = f"{where}.{key}"
        if kinds[key] is int:
            made[key] = number(value, at, 0, 65535)
        elif kinds[key] is date:
            if type(value) is not date:
                raise BoardError(at, "a date such as 2036-01-01 is expected")
            made[key] = number((value - _Y2000).days, at, 0, MAX_DAYS)
        elif not isinstance(value, str) or len(value.encode()) > MAX_TEXT or not value.isprintable():
            raise BoardError(at, f"a text of at most {MAX_TEXT} bytes without control characters is expected")
        else:
            made[key] = value
    return {"about": made}
