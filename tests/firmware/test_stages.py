"""The lists of a start's stages hold: every module is there before those that import it."""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Iterator

import pytest

from citymote import resources
from citymote.factory import build as building
from citymote.factory import layout
from citymote.factory.shrink import shrink

BASE = ("node.hal", "node.memory", "node.files", "node.journal", "node.settings", "node.app", "node.stages")


@pytest.fixture(scope="module")
def modules() -> dict[str, ast.Module]:
    sources = {name: path.read_bytes() for name, path in building.application_sources()}
    shrunk = shrink(sources, keep=layout.APPLICATION.public)
    return {
        name.removesuffix(".py").removesuffix("/__init__").replace("/", "."): ast.parse(t) for name, t in shrunk.items()
    }


@pytest.fixture(scope="module")
def stages() -> Iterator[dict[str, tuple[str, ...]]]:
    sys.path.append(str(resources.firmware()))
    try:
        found = importlib.import_module("node.stages")
        yield {name: getattr(found, name) for name in dir(found) if name.isupper()}
    finally:
        sys.path.remove(str(resources.firmware()))


def imports(name: str, modules: dict[str, ast.Module]) -> Iterator[str]:
    """The application's modules that this one imports when it is loaded."""
    for node in modules[name].body:
        if isinstance(node, ast.ImportFrom):
            parts = name.split(".")
            package = ".".join(parts[: len(parts) - node.level]) if node.level else ""
            source = ".".join(p for p in (package, node.module or "") if p)
            for alias in node.names:
                if f"{source}.{alias.name}" in modules:
                    yield f"{source}.{alias.name}"
                elif source in modules:
                    yield source


def test_every_module_finds_what_it_imports_loaded(
    modules: dict[str, ast.Module], stages: dict[str, tuple[str, ...]]
) -> None:
    there: set[str] = set(BASE)
    for stage in ("LASTING", "LINK", "IDENTITY", "FIT", "STORE", "ABOUT", "STATUS"):
        for name in stages[stage]:
            missing = {other for other in imports(name, modules) if other not in there}
            assert not missing, f"{stage}: {name} would load {sorted(missing)} inside its own import"
            there.add(name)
        there -= set(stages.get(f"{stage}_GONE", ()))


def called_for(name: str, modules: dict[str, ast.Module]) -> Iterator[str]:
    """The application's modules that this one imports at any time."""
    for node in ast.walk(modules[name]):
        if isinstance(node, ast.ImportFrom):
            yield from imports("", {"": ast.Module([_absolute(node, name)], [])} | modules)


def _absolute(node: ast.ImportFrom, name: str) -> ast.ImportFrom:
    package = ".".join(name.split(".")[: -node.level]) if node.level else ""
    return ast.ImportFrom(".".join(p for p in (package, node.module or "") if p), node.names, 0)


@pytest.fixture(scope="module")
def opening() -> dict[str, tuple[str, ...]]:
    """The lists of node.access.opening."""
    tree = ast.parse((resources.firmware() / "node" / "access" / "opening.py").read_text())
    assigned = (node for node in tree.body if isinstance(node, ast.Assign))
    return {ast.unparse(node.targets[0]): ast.literal_eval(node.value) for node in assigned}


STAYS: set[str] = {name for unit in (*layout.LASTING, "door") for name in layout.APPLICATION.units[unit]}


def test_what_a_desk_loads_first_finds_what_it_imports_loaded(
    modules: dict[str, ast.Module], opening: dict[str, tuple[str, ...]]
) -> None:
    there = STAYS.union(BASE)
    for name in opening["SERVE"]:
        missing = {other for other in imports(name, modules) if other not in there and other != "node.access.opening"}
        assert not missing, f"{name} would load {sorted(missing)} inside its own import"
        there.add(name)


def test_what_requests_load_goes_with_the_desk(
    modules: dict[str, ast.Module], opening: dict[str, tuple[str, ...]]
) -> None:
    gone = {name for names in opening.values() for name in names}
    assert gone <= set(modules), gone - set(modules)
    kept = STAYS.union(BASE, ["node.version"])
    # Updates and calibrations have ends of their own; the table of settings looks closer at what few nodes are given.
    apart = {"node.update.resources", "node.sound.calibrate", "node.settings_table"}
    for name in sorted(gone - apart):
        left = {other for other in called_for(name, modules) if other not in gone | kept}
        assert not left - {"node.console"}, f"{name} leaves {sorted(left)} behind"


def test_a_unit_is_let_go_whole(opening: dict[str, tuple[str, ...]], stages: dict[str, tuple[str, ...]]) -> None:
    lists = {name: set(names) for name, names in {**opening, **stages}.items() if "GONE" in name or name == "PASSING"}
    lists["a closed desk"] = {name for names in opening.values() for name in names}
    for name, names in lists.items():
        for unit in layout.LATER:
            members = set(layout.APPLICATION.units[unit])
            assert not members & names or members <= names, f"{name} lets go of a part of {unit}: {members - names}"


def test_what_is_let_go_exists(modules: dict[str, ast.Module], stages: dict[str, tuple[str, ...]]) -> None:
    for names in stages.values():
        assert set(names) <= set(modules), set(names) - set(modules)
