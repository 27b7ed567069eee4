"""What a board has to know of a driver: its buses, its I2C address, its settings. Read from the driver's source.

The drivers are MicroPython's; the host parses them and never runs them. So there is no second list of addresses that
could be wrong: a driver says them once, as `ADDRESS`, `_ADDRESS` or the default of its setting `address`
(firmware/node/drivers/README.md). What cannot be read off is left open, not guessed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from citymote import resources

METERS = {"sound_meter": ("sound", "meter")}
"""Drivers that live outside node/drivers."""


@dataclass(frozen=True)
class Driver:
    """One driver, as its source has it."""

    name: str
    buses: tuple[str, ...]
    """The kinds of bus that it takes, in order; one kind may stand for several buses."""
    settings: dict[str, Any]
    """Names of settings and their defaults; a default that is no plain value is None."""
    address: int | None
    """Its I2C address unless a setting says otherwise; None: not on I2C, or not said."""
    addresses: tuple[int, ...]
    """What the setting may be, where the source says so; empty: one fixed address, or any."""


def names() -> list[str]:
    """Every driver there is."""
    folder = resources.firmware() / "node" / "drivers"
    found = (path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))
    return sorted([*(name for name in found if driver(name) is not None), *METERS])


@cache
def driver(name: str) -> Driver | None:
    """The facts of one driver; None where there is no such driver."""
    home = resources.firmware() / "node"
    path = home.joinpath(*METERS[name]).with_suffix(".py") if name in METERS else home / "drivers" / f"{name}.py"
    if not name.isidentifier() or not path.is_file():
        return None
    module = _Module(path)
    made = module.values.get("DRIVER")
    if not isinstance(made, ast.Name) or made.id not in module.classes:
        return None
    lineage = list(module.lineage(made.id))
    constants: dict[str, Any] = {}
    for _, one in reversed(lineage):
        constants |= _constants(one.body)
    bus = constants.get("BUS")
    maker = next((function for _, one in lineage for function in one.body if _is_init(function)), None)
    settings = _settings(maker)
    default = settings.get("address")
    said = (_constants(home.body).get("_ADDRESS") for home, _ in lineage)
    fixed = constants.get("ADDRESS") or next((one for one in said if one), None)
    address = default if isinstance(default, int) else fixed if isinstance(fixed, int) and fixed else None
    buses = (bus,) if isinstance(bus, str) else tuple(str(kind) for kind in bus or ())
    return Driver(name, buses, settings, address, _allowed(maker) if isinstance(default, int) else ())


class _Module:
    """One source file: its classes, its values, and where its names were imported from."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.body = ast.parse(path.read_text(encoding="utf-8"), str(path)).body
        self.classes = {node.name: node for node in self.body if isinstance(node, ast.ClassDef)}
        self.values: dict[str, ast.expr] = {}
        self.imported: dict[str, str] = {}
        for node in self.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                self.values[node.targets[0].id] = node.value
            elif isinstance(node, ast.ImportFrom) and node.level == 1 and node.module:
                self.imported |= {alias.asname or alias.name: node.module for alias in node.names}

    def lineage(self, name: str) -> Iterator[tuple[_Module, ast.ClassDef]]:
        """A class and those that it is derived from, nearest first."""
        if name in self.classes:
            one = self.classes[name]
            yield self, one
            for base in one.bases:
                if isinstance(base, ast.Name):
                    yield from self.lineage(base.id)
        elif name in self.imported:
            path = self.path.with_name(f"{self.imported[name]}.py")
            if path.is_file():
                yield from _Module(path).lineage(name)


def _literal(node: ast.expr | None) -> Any:
    try:
        return ast.literal_eval(node) if node is not None else None
    except ValueError:
        return None


def _constants(body: list[ast.stmt]) -> dict[str, Any]:
    return {
        node.targets[0].id: _literal(
            node.value.args[0] if isinstance(node.value, ast.Call) and node.value.args else node.value
        )
        for node in body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }


def _is_init(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name == "__init__"


def _settings(maker: ast.stmt | None) -> dict[str, Any]:
    if not isinstance(maker, ast.FunctionDef):
        return {}
    arguments, defaults = maker.args.args, maker.args.defaults
    found = {a.arg: _literal(d) for a, d in zip(arguments[len(arguments) - len(defaults) :], defaults, strict=True)}
    return found | {a.arg: _literal(d) for a, d in zip(maker.args.kwonlyargs, maker.args.kw_defaults, strict=True)}


def _allowed(maker: ast.stmt | None) -> tuple[int, ...]:
    """The addresses that the constructor takes: `if address not in (..)`, or `if not low <= address <= high`."""
    for node in ast.walk(maker) if maker is not None else ():
        if not isinstance(node, ast.Compare):
            continue
        if isinstance(node.left, ast.Name) and node.left.id == "address" and isinstance(node.ops[0], ast.NotIn):
            found = _literal(node.comparators[0])
            if isinstance(found, tuple | list):
                return tuple(found)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        between = len(node.comparators) == 2 and isinstance(node.comparators[0], ast.Name)
        if between and isinstance(node.comparators[0], ast.Name) and node.comparators[0].id == "address":
            low, high = _literal(node.left), _literal(node.comparators[1])
            if isinstance(low, int) and isinstance(high, int):
                return tuple(range(low, high + 1))
    return ()
