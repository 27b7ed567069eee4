"""What the pins of each chip can do, from `boards/chips/<chip>.toml`, which names the maker's documents.

Data and nothing else: what follows from it for a board is `boards.pins`'s business. A further chip of the family is a
further file.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from citymote import resources

from . import toml
from .toml import BoardError

COUNTED = ("i2c", "uart", "i2s", "counter")
_KEYS = {
    "name", "sources", "image_id", "architecture", "bootloader", "radios", "consoles", "gpio", "input_only", "adc1",
    "adc2", "adc2_wifi", "adc2_always", "counts", "console", "flash", "psram", "usb", "strapping", "caution",
}  # fmt: skip


@dataclass(frozen=True)
class Strap:
    """A pin that the chip looks at when it comes out of reset: which level it needs to start, and to be flashed."""

    pull: str
    boot: int | None
    flashing: int | None
    why: str


@dataclass(frozen=True)
class Chip:
    """One chip, as its data sheet has it."""

    key: str
    name: str
    sources: tuple[str, ...]
    image_id: int
    """The chip's number in the header of an image (ESP-IDF: esp_chip_id_t)."""
    architecture: str
    """Of native code in .mpy, as mpy-cross spells it."""
    bootloader: int
    """Where in flash the second-stage bootloader lies."""
    radios: tuple[str, ...]
    consoles: tuple[str, ...]
    gpio: frozenset[int]
    input_only: frozenset[int]
    adc1: frozenset[int]
    adc2: frozenset[int]
    adc2_wifi: str
    """Why ADC2 does not go with Wi-Fi; empty where it does."""
    adc2_always: str
    """Why ADC2 is not to be used at all; empty where it is."""
    counts: dict[str, int]
    console: dict[str, int]
    """Pins of UART 0, where ROM and bootloader speak."""
    flash_pins: frozenset[int]
    octal_flash: frozenset[int]
    psram_pins: dict[str, frozenset[int]]
    """By kind: quad, octal."""
    usb: frozenset[int]
    usb_why: str
    strapping: dict[int, Strap]
    caution: dict[int, str]


def names() -> list[str]:
    """The chips that there is a table of."""
    return sorted(path.stem for path in (resources.boards() / "chips").glob("*.toml"))


@cache
def chip(key: str) -> Chip:
    """One chip by the name of its file; BoardError names the known ones."""
    if key not in names():
        raise BoardError(f"chip {key!r}", f"known are {', '.join(names())}")
    path = resources.boards() / "chips" / f"{key}.toml"
    values, where = toml.read(path), str(path)
    toml.known(values, _KEYS, where)
    usb, flash = toml.table(values, "usb", where), toml.table(values, "flash", where)
    counts = toml.table(values, "counts", where)
    console = toml.table(values, "console", where)
    toml.known(counts, COUNTED, f"{where}: counts")
    return Chip(
        key,
        toml.text(values, "name", where),
        tuple(toml.texts(values, "sources", where)),
        toml.number(values.get("image_id"), f"{where}: image_id", 0, 65535),
        toml.text(values, "architecture", where),
        toml.number(values.get("bootloader"), f"{where}: bootloader", 0, 0x8000),
        tuple(toml.texts(values, "radios", where)),
        tuple(toml.texts(values, "consoles", where)),
        _set(values, "gpio", where),
        _set(values, "input_only", where),
        _set(values, "adc1", where),
        _set(values, "adc2", where),
        toml.text(values, "adc2_wifi", where, ""),
        toml.text(values, "adc2_always", where, ""),
        {kind: toml.number(counts.get(kind), f"{where}: counts.{kind}", 0, 16) for kind in COUNTED},
        {line: toml.number(console.get(line), f"{where}: console.{line}", 0, 63) for line in ("tx", "rx")},
        _set(flash, "pins", where),
        _set(flash, "octal", where),
        {kind: frozenset(toml.pins(value, f"{where}: psram.{kind}")) for kind, value in _psram(values, where)},
        _set(usb, "pins", where),
        toml.text(usb, "why", where, ""),
        {toml.pin_key(key, where): _strap(toml.table(straps, key, where), where) for straps, key in _straps(values)},
        {
            toml.pin_key(key, where): toml.text({key: why}, key, where)
            for key, why in toml.table(values, "caution", where).items()
        },
    )


def _set(values: dict[str, Any], key: str, where: str) -> frozenset[int]:
    return frozenset(toml.pins(values.get(key, []), f"{where}: {key}"))


def _psram(values: dict[str, Any], where: str) -> list[tuple[str, Any]]:
    return list(toml.table(values, "psram", where).items())


def _straps(values: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    straps = toml.table(values, "strapping", "strapping")
    return [(straps, key) for key in straps]


def _strap(values: dict[str, Any], where: str) -> Strap:
    toml.known(values, ("pull", "boot", "flashing", "why"), f"{where}: strapping")
    levels = [values.get(key) for key in ("boot", "flashing")]
    for level in levels:
        if level is not None:
            toml.number(level, f"{where}: strapping level", 0, 1)
    pull = toml.choice(values, "pull", where, ("up", "down", "none"))
    return Strap(pull, levels[0], levels[1], toml.text(values, "why", where))
