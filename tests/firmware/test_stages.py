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

BASE = ("node.hal", "node.files", "node.journal", "node.settings", "node.app", "node.stages")


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
    there = set(BASE)
    for stage in ("IDENTITY", "FIT", "STORE", "ABOUT", "LINK", "STATUS"):
        for name in stages[stage]:
            missing = {other for other in imports(name, modules) if other not in there}
            assert not missing, f"{stage}: {name} would load {sorted(missing)} inside its own import"
            there.add(name)
        there -= set(stages.get(f"{stage}_GONE", ()))


def test_what_is_let_go_exists(modules: dict[str, ast.Module], stages: dict[str, tuple[str, ...]]) -> None:
    for names in stages.values():
        assert set(names) <= set(modules), set(names) - set(modules)
