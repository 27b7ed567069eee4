"""What is loaded for a moment leaves the heap again: nobody keeps a function of such a unit, which keeps all of it.

Found in the linked application itself: a function that is handed on instead of called, and one that is made inside
another, may both outlive the call. The few that do are listed here, each with who keeps it and how long.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from citymote.factory import build, layout

KEPT = {
    "about": 1,  # makes a descriptor for the store, within the call
    "attend": 1,  # the trial of an uplink, whose start ends with it
    "status": 2,  # make frames for the store, within the call
}
PASSING = sorted((set(layout.SELDOM) | set(layout.PASSING)) - set(layout.LASTING) - set(layout.LATER))


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ast.Module]:
    found: dict[str, Path] = build.linked_sources(tmp_path_factory.mktemp("app"))
    return {name.removesuffix(".py"): ast.parse(path.read_bytes()) for name, path in found.items()}


def maker(core: ast.Module) -> str:
    """The helper that makes an object with a constructor that has left its class; it keeps neither."""
    (found,) = [
        node.name for node in core.body if isinstance(node, ast.FunctionDef) and "object.__new__" in ast.unparse(node)
    ]
    return found


def left_behind(tree: ast.Module, maker: str) -> Iterator[str]:
    """Functions of a unit that may outlive a call into it."""
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    makers = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "core"
        for alias in node.names
        if alias.name == maker
    }
    called: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called.add(id(node.func))
            if isinstance(node.func, ast.Name) and node.func.id in makers:
                called.add(id(node.args[1]))
    for top in tree.body:
        if isinstance(top, ast.ClassDef):  # its methods are an instance's
            continue
        for node in ast.walk(top):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                if node.id in functions and id(node) not in called:
                    yield node.id
            elif node is not top and isinstance(node, ast.Lambda | ast.FunctionDef | ast.AsyncFunctionDef):
                yield ast.unparse(node)


def test_nobody_keeps_what_is_loaded_for_a_moment(sources: dict[str, ast.Module]) -> None:
    made = maker(sources["core"])
    found = {unit: list(left_behind(sources[unit], made)) for unit in PASSING if unit in sources}
    assert Counter({unit: len(kept) for unit, kept in found.items() if kept}) == KEPT, found


def test_a_function_that_is_kept_is_found() -> None:
    tree = ast.parse(
        "from core import made as m, bind\n"
        "def one(a): return a\n"
        "def two(a): return one(a)\n"
        "def three(log): log.keep(two)\n"
        "def four(log): log.keep(lambda: two(1))\n"
        "def five(cls): return m(cls, one, 2)\n"
    )
    assert list(left_behind(tree, "made")) == ["two", "lambda: two(1)"]
