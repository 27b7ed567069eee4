"""Makes the folder of a new board: from one that exists, or from scratch for a chip, and checks what it made.

A board from scratch has an I2C bus with nothing on it, at pins that are free for it; its owner goes on from there with
an editor and `citymote boards check`. What is copied keeps its comments and its order, with its name and title changed.
"""

from __future__ import annotations

import re
from pathlib import Path

from . import description, pins, places, toml
from .chips import Chip, chip
from .toml import BoardError

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,40}")


def add(
    name: str,
    folder: Path,
    *,
    like: str | Path | None = None,
    chip_name: str | None = None,
    title: str | None = None,
    flash: int = 4,
    psram: str | None = None,
    console: str | None = None,
) -> tuple[Path, list[pins.Finding]]:
    """Make `folder/<name>/board.toml`; returns it and what a check says of it. Nothing is ever overwritten."""
    if not _NAME.fullmatch(name):
        raise BoardError(f"{name!r} is no name for a board", "small letters, digits and - are expected")
    if (like is None) == (chip_name is None):
        raise BoardError("a new board comes from another board or from a chip", "", "Say --like BOARD or --chip CHIP.")
    title = title or name
    if like is not None:
        text = _copy(places.find(like).read_text(encoding="utf-8"), name, title)
    else:
        text = _fresh(name, title, chip(str(chip_name)), flash, psram, console)
    path = folder / name / places.FILE
    if path.exists():
        raise BoardError(f"{path} is there already", "", "Choose another name, or edit that file.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BoardError(f"{path} cannot be written", error.strerror or str(error)) from None
    return path, description.check(path)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _copy(text: str, name: str, title: str) -> str:
    """The same board under another name; only the first `name` and `title`, which stand before any table."""
    head, bracket, rest = text.partition("\n[")
    head, names = re.subn(r"^name *=.*$", lambda _: f"name = {_quoted(name)}", head, count=1, flags=re.MULTILINE)
    head, titles = re.subn(r"^title *=.*$", lambda _: f"title = {_quoted(title)}", head, count=1, flags=re.MULTILINE)
    if not names:
        raise BoardError("the board to copy has no name of its own before its tables")
    if not titles:
        head = head.replace(f"name = {_quoted(name)}", f"name = {_quoted(name)}\ntitle = {_quoted(title)}", 1)
    return head + bracket + rest


def _fresh(name: str, title: str, the_chip: Chip, flash: int, psram: str | None, console: str | None) -> str:
    toml.choice({"console": console or the_chip.consoles[0]}, "console", "console", the_chip.consoles)
    scl, sda = _free(the_chip, psram)
    lines = [
        f"# {title}. What the keys mean: docs/add-a-board.md. `citymote boards check` holds the pins against the chip.",
        "",
        f"name = {_quoted(name)}",
        f"title = {_quoted(title)}",
        'platform = "esp32"',
        f"chip = {_quoted(the_chip.key)}",
        f"console = {_quoted(console or the_chip.consoles[0])}",
        "# Where these pins come from: the maker's schematic, with its version.",
        "sources = []",
        "",
        "[flash]",
        f"size = {flash}",
        "",
    ]
    if psram:
        lines += ["[psram]", f"kind = {_quoted(psram)}", "size = 8", ""]
    lines += [
        "[buses]",
        f'i2c0 = {{ kind = "i2c", id = 0, scl = {scl}, sda = {sda}, frequency = 100000 }}',
        "",
        "# One of these for each sensor:",
        "# [[sensors]]",
        '# driver = "sht4x"',
        '# bus = "i2c0"',
        "# address = 0x44",
        "",
        "# What a good board reads in the workshop:",
        "# [selftest.limits]",
        "# temperature = [15, 35]",
        "",
    ]
    return "\n".join(lines)


def _free(the_chip: Chip, psram: str | None) -> tuple[int, int]:
    """Two pins about which there is nothing to say."""
    barred = the_chip.flash_pins | the_chip.octal_flash | the_chip.input_only | the_chip.usb | set(the_chip.strapping)
    barred |= set(the_chip.caution) | set(the_chip.console.values()) | the_chip.psram_pins.get(psram or "", frozenset())
    first, second, *_ = sorted(the_chip.gpio - barred)
    return second, first
