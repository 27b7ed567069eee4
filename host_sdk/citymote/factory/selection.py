"""Which of the application's sources a board needs: its platform's HAL, its sensors' drivers, and what these import.

A slot is small, the index of its files has to fit a manifest, and each name costs the node heap; so nobody else's
drivers, the other platform's hardware and the host's half of the protocol stay at home. What is imported is read off
the sources (also inside functions); what is loaded by name is what the board description names, and what a linked
source (`factory.link`) names in a text.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from .trees import walk

ROOTS = ("node.app", "node.selftest")
BOOT = ("boot.py", "main.py", "slots.py")
_UNIX = ("x86", "x64", "armv6", "armv7m", "armv7em", "aarch64")
_WIDE = ("x64", "aarch64")
"""Architectures with integers of 64 bits: the sound meter has kernels of its own for them."""
SOUND = ("sound", "listen")  # what the sound meter is linked into
_SHAPES = {"kernel": (16, 24, 48), "octave": (16, 48), "third": (16, 48)}
NARROW = ("narrow", "node.narrow", "node.links.lorawan", "node.lorawan_settings")
"""What only a board with a LoRaWAN modem runs, linked or not."""
_TEXTS = re.compile(r"t\d+")  # texts that linked sources ask for by number


def module_of(name: str) -> str:
    """The module that a file of the tree is: `node/drivers/__init__.py` is node.drivers."""
    return name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


@lru_cache(1024)  # several boards' applications, and a release after another, have most sources in common
def imported(module: str, is_package: bool, text: bytes) -> frozenset[str]:
    """Every module that a source may ask for; names that may be a module's or a thing in it, or a text, are all.

    A text that says where a class's moved methods are (`factory.calls`) has the unit of each as its second word.
    """
    package = module if is_package else module.rpartition(".")[0]
    found: set[str] = set()
    for node in walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")
                above = above[: len(above) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            found.add(base)
            found.update(f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
            found.update(entry.split(" ")[1] for entry in node.value.split(";") if entry.count(" ") == 2)
    return frozenset(found)


def roots(architecture: str, board: Mapping[str, Any] | None) -> tuple[set[str], set[str]]:
    """(what is loaded by name, prefixes of modules that this node never asks for)."""
    unix = architecture in _UNIX
    wanted = {*ROOTS, "node.hal.unix_main" if unix else "node.hal.esp32"}
    never = {"node.hal.esp32"} if unix else {"node.hal.unix"}
    if not unix:
        never.add("node.hal.stand_in")
    never.update(
        {"node.sound.kernel", "node.sound.third", "node.sound.octave"} if architecture in _WIDE else {"node.sound.wide"}
    )
    if board is not None:
        drivers = {str(sensor["driver"]) for sensor in board.get("sensors", ())}
        wanted.update(f"node.drivers.{driver}" for driver in drivers - {"sound_meter"})
        if "sound_meter" not in drivers:
            never.update({"node.sound", *SOUND})
        never.update(f"node.sound.{wide}{name}" for name in _unheard(board) for wide in ("", "wide."))
        if "lorawan" not in board:
            never.update(NARROW)
    wanted.add("node.sound.calibrate")  # asked for by name: at the prompt, or by a session
    return wanted, never


def _unheard(board: Mapping[str, Any]) -> set[str]:
    """The sound meter's generated code for rates and bands that no meter of this board is set to."""
    found = {f"{kind}{rate}" for kind, rates in _SHAPES.items() for rate in rates} | {"bands"}
    for sensor in board.get("sensors", ()):
        if sensor["driver"] == "sound_meter":
            said: Mapping[str, Any] = sensor.get("settings") or {}
            rate, bands = said.get("rate", 48000) // 1000, said.get("bands")
            found.discard(f"kernel{rate}")
            if bands is not None:
                found -= {"bands", f"{bands}{16 if rate == 16 else 48}"}
    return found


def select(sources: Mapping[str, bytes], architecture: str, board: Mapping[str, Any] | None = None) -> set[str]:
    """The names of the sources that such a board needs; without a board, those of every board of that architecture."""
    modules = {module_of(name): name for name in sources if name not in BOOT}
    wanted, never = roots(architecture, board)
    if board is None:
        wanted.update(module for module in modules if module.startswith("node.drivers."))
    wanted.update(filter(_TEXTS.fullmatch, modules))
    todo = sorted(wanted & modules.keys())
    kept: set[str] = set()
    while todo:
        module = todo.pop()
        if module in kept or any(module.startswith(prefix) for prefix in never):
            continue
        kept.add(module)
        name = modules[module]
        asked = imported(module, name.endswith("/__init__.py"), sources[name])
        parents = {module.rpartition(".")[0]} - {""}
        todo.extend(sorted(_known({*asked, *parents}, modules) - kept))
    return {modules[module] for module in kept} | {name for name in BOOT if name in sources}


def _known(asked: Iterable[str], modules: Mapping[str, str]) -> set[str]:
    return {module for module in asked if module in modules}
