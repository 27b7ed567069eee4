"""Holds a board against its chip: can each pin do what the board asks of it, and does nothing ask twice.

The facts are the chip's (`boards/chips/*.toml`) and the drivers' (`drivers`); the rules are here. A finding is an error
where no board of this kind can work, or not every time; a warning where it can, and somebody should have thought of it.
A board's `[accepted]` table turns a pin's errors into warnings, with its reason: a maker knows what hangs on the line.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from . import drivers
from .chips import COUNTED, Chip, Strap

if TYPE_CHECKING:
    from .description import Description

ERROR = "error"
WARNING = "warning"
_ON_USB = 'say console = "usb" where the board has it on USB'

# What a line does: drives, listens, is pulled to a level (and which) while the chip comes out of reset.
_OUT, _IN, _BOTH, _ANALOG = "output", "input", "open-drain line", "analog input"
_LINES: dict[str, dict[str, tuple[str, int | None, bool]]] = {
    # line: (direction, level at reset as the far end holds it, does the chip's own pull-up have to be there)
    "i2c": {"scl": (_BOTH, 1, False), "sda": (_BOTH, 1, False)},
    "uart": {"tx": (_OUT, None, False), "rx": (_IN, 1, False)},
    "adc": {"pin": (_ANALOG, None, False)},
    "counter": {"pin": (_IN, None, True)},
    "i2s": {"sck": (_OUT, None, False), "ws": (_OUT, None, False), "sd": (_IN, None, False)},
}


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong or doubtful: where (file), the key there, and the reason, which names the pin."""

    level: str
    where: str
    key: str
    reason: str

    def __str__(self) -> str:
        return f"{self.level}: {self.where}: {self.key}: {self.reason}"


@dataclass(frozen=True)
class _Use:
    key: str
    pin: int
    direction: str
    idle: int | None = None
    pulled: bool = False
    kind: str = ""
    unit: int = -1


def check(board: Description) -> list[Finding]:
    """All findings, errors first."""
    found = [*_sensors(board), *_addresses(board), *_lines(board)]
    if board.chip is not None:
        uses = list(_uses(board))
        found += [*_peripherals(board, board.chip), *_duplicates(board, uses)]
        for use in uses:
            found += _pin(board, board.chip, use)
        found += _reserved(board, board.chip)
        if not board.sources:
            found.append(Finding(WARNING, board.path, "sources", "nobody can check pins whose origin is not said"))
    return sorted(dict.fromkeys(found), key=lambda finding: finding.level != ERROR)


def _uses(board: Description) -> Iterator[_Use]:
    for name, bus in board.buses.items():
        for line, (direction, idle, pulled) in _LINES[bus["kind"]].items():
            yield _Use(f"buses.{name}.{line}", bus[line], direction, idle, pulled, bus["kind"], bus.get("id", -1))
    for name, entry in board.pins.items():
        pulled = bool(entry.get("pull_up"))
        yield _Use(f"pins.{name}", entry["pin"], _OUT if entry.get("out") else _IN, None, pulled)


def _pin(board: Description, chip: Chip, use: _Use) -> Iterator[Finding]:
    """What is to be said about one line on one pin."""
    pin, name = use.pin, f"GPIO{use.pin}"

    def finding(level: str, reason: str) -> Finding:
        accepted = board.accepted.get(pin)
        if accepted:
            return Finding(WARNING, board.path, use.key, f"{name}: {reason}; accepted: {accepted}")
        return Finding(level, board.path, use.key, f"{name}: {reason}")

    if pin not in chip.gpio:
        # There is nothing to accept about a pin that is not there.
        yield Finding(ERROR, board.path, use.key, f"{name}: {chip.name} has no such pin")
        return
    if pin in chip.flash_pins or (board.octal_flash and pin in chip.octal_flash):
        yield Finding(ERROR, board.path, use.key, f"{name}: the flash is connected there")
        return
    if board.psram and pin in chip.psram_pins.get(board.psram, ()):
        yield Finding(ERROR, board.path, use.key, f"{name}: the board's {board.psram} PSRAM is connected there")
        return
    if pin in chip.input_only:
        if use.direction in (_OUT, _BOTH):
            yield Finding(ERROR, board.path, use.key, f"{name}: it is input-only and cannot be an {use.direction}")
        elif use.pulled:
            yield Finding(ERROR, board.path, use.key, f"{name}: it is input-only and has no pull-up of its own")
    if use.direction == _ANALOG:
        yield from _analog(board, chip, use)
    if pin in chip.usb:
        if board.console == "usb":
            yield finding(ERROR, f"{chip.usb_why} is there, and the board's console is on USB")
        else:
            yield finding(WARNING, f"{chip.usb_why} is there; using it as a pin switches that off")
    if pin in chip.console.values():
        if board.console == "uart":
            yield finding(ERROR, f"the console is there (UART 0); {_ON_USB}")
        elif pin == chip.console["tx"]:
            yield finding(WARNING, "ROM and bootloader write their log there at each start (UART 0)")
    if pin in chip.strapping:
        level, reason = _strapping(chip.strapping[pin], use)
        if level:
            yield finding(level, reason)
    if pin in chip.caution:
        yield finding(WARNING, chip.caution[pin])


def _analog(board: Description, chip: Chip, use: _Use) -> Iterator[Finding]:
    name = f"GPIO{use.pin}"
    if use.pin in chip.adc1:
        return
    if use.pin not in chip.adc2:
        yield Finding(ERROR, board.path, use.key, f"{name}: no ADC is there")
    elif chip.adc2_always:
        yield Finding(ERROR, board.path, use.key, f"{name}: {chip.adc2_always}")
    elif "wifi" in board.radios:
        yield Finding(ERROR, board.path, use.key, f"{name}: {chip.adc2_wifi}")


def _strapping(strap: Strap, use: _Use) -> tuple[str, str]:
    """What the line does to a pin that the chip looks at when it comes out of reset; an empty level: nothing."""
    needed = "" if strap.boot is None else f", needs {'high' if strap.boot else 'low'} at reset"
    reason = f"it is a strapping pin{needed}: {strap.why}"
    wanted = strap.flashing if strap.boot is None else strap.boot
    if wanted is None:
        return "", ""
    if use.idle is None:
        return WARNING, f"{reason}; what is connected must not hold it otherwise"
    if use.idle != wanted:
        return ERROR, f"{reason}; an idle {use.kind} line holds it {'high' if use.idle else 'low'}"
    return "", ""


def _duplicates(board: Description, uses: list[_Use]) -> Iterator[Finding]:
    taken: defaultdict[int, list[str]] = defaultdict(list)
    for use in uses:
        taken[use.pin].append(use.key)
    for name, pins in board.reserved.items():
        for pin in pins:
            taken[pin].append(f"reserved.{name}")
    for pin, keys in sorted(taken.items()):
        for key in keys[1:]:
            yield Finding(ERROR, board.path, key, f"GPIO{pin}: {keys[0]} has it already")


def _reserved(board: Description, chip: Chip) -> Iterator[Finding]:
    for name, pins in board.reserved.items():
        for pin in pins:
            if pin not in chip.gpio:
                yield Finding(ERROR, board.path, f"reserved.{name}", f"GPIO{pin}: {chip.name} has no such pin")


def _peripherals(board: Description, chip: Chip) -> Iterator[Finding]:
    for kind in COUNTED:
        has = chip.counts[kind]
        seen: dict[int, str] = {}
        for name, bus in board.buses.items():
            if bus["kind"] != kind:
                continue
            key, unit = f"buses.{name}.id", bus["id"]
            if unit >= has:
                which = f"0 to {has - 1}" if has > 1 else "0 alone" if has else "none"
                yield Finding(ERROR, board.path, key, f"{kind} {unit}: {chip.name} has {has} ({which})")
            elif unit in seen:
                yield Finding(ERROR, board.path, key, f"{kind} {unit}: bus {seen[unit]} has it already")
            elif kind == "uart" and unit == 0 and board.console == "uart":
                yield Finding(ERROR, board.path, key, f"uart 0: the console is there; take another, or {_ON_USB}")
            seen.setdefault(unit, name)


def _kind(board: Description, bus: str) -> str:
    return str(board.buses[bus]["kind"]) if bus in board.buses else "pin"


def _bus_names(sensor: dict[str, Any]) -> list[str]:
    return cast("list[str]", sensor["bus"]) if isinstance(sensor["bus"], list) else [sensor["bus"]]


def _sensors(board: Description) -> Iterator[Finding]:
    """Sensors whose driver does not exist, wants another bus, or knows no such setting."""
    seen: dict[tuple[str, int], int] = {}
    for number, sensor in enumerate(board.node["sensors"], 1):
        name, at = sensor["driver"], f"sensors[{number}]"
        facts = drivers.driver(name)
        if facts is None:
            yield Finding(ERROR, board.path, f"{at}.driver", f"there is no driver {name}")
            continue
        kinds = [_kind(board, bus) for bus in _bus_names(sensor)]
        wanted = list(facts.buses) * len(kinds) if len(facts.buses) == 1 else list(facts.buses)
        if kinds != wanted and wanted:
            reason = f"{name} wants {' and '.join(facts.buses)}, {sensor['bus']} is {' and '.join(kinds)}"
            yield Finding(ERROR, board.path, f"{at}.bus", reason)
        unknown = sorted(set(sensor["settings"]) - set(facts.settings))
        if unknown:
            known = ", ".join(sorted(facts.settings)) or "none"
            yield Finding(
                ERROR, board.path, f"{at}.settings.{unknown[0]}", f"{name} has no such setting, it has {known}"
            )
        address = sensor["settings"].get("address")
        if address is not None and facts.addresses and address not in facts.addresses:
            known = ", ".join(f"0x{one:02X}" for one in facts.addresses)
            yield Finding(ERROR, board.path, f"{at}.address", f"0x{address:02X}: {name} can have {known}")
        key = (name, sensor["instance"])
        if key in seen and "quantities" not in sensor:
            reason = f"sensor {seen[key]} is a {name} of instance {sensor['instance']} already: number them"
            yield Finding(ERROR, board.path, f"{at}.instance", reason)
        seen.setdefault(key, number)


def _addresses(board: Description) -> Iterator[Finding]:
    """Two chips with one address on one I2C bus."""
    taken: dict[tuple[str, int], str] = {
        (name, address): f"buses.{name}.others.{other}"
        for name, bus in board.buses.items()
        for other, address in bus.get("others", {}).items()
    }
    for number, sensor in enumerate(board.node["sensors"], 1):
        facts = drivers.driver(sensor["driver"])
        address = sensor["settings"].get("address", facts.address if facts else None)
        for bus in _bus_names(sensor):
            if address is None or _kind(board, bus) != "i2c":
                continue
            if (bus, address) in taken:
                reason = f"0x{address:02X}: {taken[bus, address]} has that address on {bus} already"
                yield Finding(ERROR, board.path, f"sensors[{number}].address", reason)
            taken.setdefault((bus, address), f"sensors[{number}] ({sensor['driver']})")


def _lines(board: Description) -> Iterator[Finding]:
    """A serial line, a converter, a counter or a microphone has one sensor; an I2C bus has many."""
    taken: dict[str, int] = {}
    for number, sensor in enumerate(board.node["sensors"], 1):
        for bus in _bus_names(sensor):
            if _kind(board, bus) == "i2c" or board.buses.get(bus, {}).get("shared"):
                continue
            if bus in taken:
                reason = f"{bus} has sensor {taken[bus]} already; only a bus with shared = true takes several"
                yield Finding(ERROR, board.path, f"sensors[{number}].bus", reason)
            taken.setdefault(bus, number)
