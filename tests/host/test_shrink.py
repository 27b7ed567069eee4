"""Shrinking changes what sources cost, never what they do."""

from __future__ import annotations

import ast
import builtins
import subprocess
import sys
from pathlib import Path

import pytest

from citymote.factory import build as building
from citymote.factory.shrink import shrink

PROGRAM = {
    "limits.py": b"""
MOST = 7
LEAST = MOST - 9
WORD = "abc"
A, B, C = range(3)
_TABLE = (MOST, LEAST)

def table():
    return _TABLE
""",
    "whole.py": b"LONE = 11\n",
    "handed.py": b"from limits import MOST  # handed on\n",
    "base.py": b"""
class Base:
    def __init__(self):
        self._kept = 'base'

    def _say(self):
        return self._kept
""",
    "derived.py": b"""
from base import Base

class Derived(Base):
    def __init__(self):
        super().__init__()
        self._own = 'derived'

    def both(self):
        return self._say() + self._own
""",
    "app.py": b"""
import whole
from derived import Derived
from handed import MOST as most
from limits import (
    LEAST,
    WORD,
    B,
    C,
    table,
)

_count = 0

def shadow(LEAST):
    return LEAST

def local():
    WORD = 'local'
    return WORD

def count(_by=2):
    global _count
    _count += _by
    return _count

def text():
    return f'{WORD} {most}'

def where():
    raise ValueError(str(-LEAST ** 2))

print(most, LEAST, WORD, B, C, whole.LONE, table(), shadow(1), local(), count(_by=3), count())
print(text(), Derived().both(), -LEAST ** 2, [MOST for MOST in (1, 2)])
try:
    where()
except ValueError as e:
    print(e, e.__traceback__.tb_next.tb_lineno)
""",
}


def run(folder: Path, sources: dict[str, bytes]) -> str:
    folder.mkdir()
    for name, text in sources.items():
        (folder / name).write_bytes(text)
    done = subprocess.run(
        [sys.executable, "app.py"], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_shrunk_program_says_the_same_down_to_the_line_of_an_error(tmp_path: Path) -> None:
    assert run(tmp_path / "after", shrink(PROGRAM)) == run(tmp_path / "before", PROGRAM)


def test_constants_are_written_in_and_their_definitions_are_gone() -> None:
    after = shrink(PROGRAM)
    assert b"LEAST" not in after["limits.py"]
    assert b"print(most, (-2), WORD, 1, 2, " in after["app.py"], (
        "`most` and WORD are in an f-string, the others are not"
    )


def test_a_name_that_an_f_string_uses_stays() -> None:
    after = shrink(PROGRAM)
    assert b"WORD = " in after["limits.py"]
    assert b"{WORD}" in after["app.py"]


def test_kept_files_keep_their_constants() -> None:
    assert b"MOST = 7" in shrink(PROGRAM, keep=("limits.py",))["limits.py"]


def test_private_names_of_a_class_and_its_base_never_meet() -> None:
    after = shrink(PROGRAM)
    own = after["derived.py"].split(b"self.")[1].split(b" ")[0]
    assert own.startswith(b"_")
    assert own + b" =" not in after["base.py"]


@pytest.fixture(scope="module")
def application() -> dict[str, bytes]:
    return {name: path.read_bytes() for name, path in building.application_sources()}


@pytest.fixture(scope="module")
def shrunk(application: dict[str, bytes]) -> dict[str, bytes]:
    return shrink(application)


def test_every_file_of_the_node_keeps_its_lines_and_its_public_definitions(
    application: dict[str, bytes], shrunk: dict[str, bytes]
) -> None:
    def shape(text: bytes) -> list[tuple[str, int]]:
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, kinds)]
        return [(node.name, node.lineno) for node in nodes if not node.name.startswith("_")]

    for name, text in application.items():
        assert shape(shrunk[name]) == shape(text), name
        assert shrunk[name].count(b"\n") == text.count(b"\n"), name


def test_no_global_of_the_node_is_lost(shrunk: dict[str, bytes]) -> None:
    """Every name that a shrunk file reads is one that it defines, imports or has built in."""
    known = {*dir(builtins), "ptr8", "ptr16", "ptr32", "uint", "const", "__path__"}
    for name, text in shrunk.items():
        nodes = list(ast.walk(ast.parse(text)))
        bound = {n.id for n in nodes if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
        bound |= {n.arg for n in nodes if isinstance(n, ast.arg)}
        bound |= {n.name for n in nodes if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
        bound |= {n.name for n in nodes if isinstance(n, ast.ExceptHandler) and n.name}
        for node in nodes:
            if isinstance(node, ast.Import | ast.ImportFrom):
                bound |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        read = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
        assert read <= bound | known, f"{name}: {sorted(read - bound - known)}"


ARGUMENTS = {
    "a.py": b"""
def plain(first, second):
    third = [first for first in (second,)]
    return third, (lambda inner: inner + second)(1)

def named(level, setting=2):
    return level, setting

class Thing:
    def __init__(self, width, *rest, **more):
        self.width = width
        self.rest = rest, sorted(more)

def outer(depth):
    def closure(extra):
        return depth + extra
    return closure
""",
    "app.py": b"""
from a import Thing, named, outer, plain
print(plain(1, 2), named(3, setting=4), named(level=5), Thing(6, 7, colour=8).rest, outer(9)(10))
""",
}


def test_arguments_passed_by_position_get_one_letter_and_the_program_says_the_same(tmp_path: Path) -> None:
    after = shrink(ARGUMENTS)
    assert run(tmp_path / "after", after) == run(tmp_path / "before", ARGUMENTS)
    assert b"def plain(a, b):" in after["a.py"]
    assert b"def closure(" in after["a.py"]
    assert b"extra" not in after["a.py"]


def test_an_argument_that_somebody_may_name_keeps_its_name() -> None:
    after = shrink(ARGUMENTS)["a.py"]
    assert b"def named(level, setting=2):" in after, "level is used as a keyword, setting has a default"
    assert b"self, width, *rest, **more" in after, "width is an attribute too, the others are not positional"
