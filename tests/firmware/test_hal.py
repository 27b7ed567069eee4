"""A board and the virtual node offer the same hardware: names, signatures, and which of them are coroutines."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest
from tests.support import vm

from citymote import resources
from citymote.testing import runtime

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ONLY_VIRTUAL = {"exit", "threshold"}
WITHIN = {"claim", "release"}  # for the virtual hardware itself


def functions(name: str) -> dict[str, str]:
    """Public functions of a module of node/hal, with their signatures."""
    path = resources.firmware() / "node" / "hal" / f"{name}.py"
    return {
        f.name: ("async " if isinstance(f, ast.AsyncFunctionDef) else "") + ast.unparse(f.args)
        for f in ast.parse(path.read_text()).body
        if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef) and f.name not in WITHIN and f.name[0] != "_"
    }


def exported() -> dict[str, set[str]]:
    """What node/hal/__init__.py takes from each platform's module."""
    tree = ast.parse((resources.firmware() / "node" / "hal" / "__init__.py").read_text())
    return {
        node.module: {alias.name for alias in node.names}
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module
    }


def test_both_platforms_have_the_same_names_and_signatures() -> None:
    unix = {name: signature for name, signature in functions("unix").items() if name not in ONLY_VIRTUAL}
    assert functions("esp32") == unix


def test_all_of_them_are_exported_on_both_platforms() -> None:
    assert exported() == {"esp32": set(functions("esp32")), "unix": set(functions("unix"))}


def test_both_mount_their_flash_alike() -> None:
    def sizes(path: Path) -> dict[str, int]:
        return {
            ast.unparse(node.targets[0]): ast.literal_eval(node.value)
            for node in ast.parse(path.read_text()).body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in ("READ_SIZE", "PROGRAM_SIZE")
        }

    folder = resources.firmware() / "node" / "hal"
    assert sizes(folder / "esp32.py") == sizes(folder / "unix_flash.py") == {"READ_SIZE": 32, "PROGRAM_SIZE": 32}


IMPORT = """
import gc, sys
import asyncio, binascii, errno, hashlib, json, os, socket, struct, time, vfs
from asyncio import core
import hal.stream
gc.collect()
before = gc.mem_alloc()
import hal.{0}
gc.collect()
print(gc.mem_alloc() - before)
"""


def test_the_heap_given_for_the_virtual_hardware_is_what_it_takes_more_than_a_boards(
    tmp_path: Path, run_vm: Callable[..., vm.Result]
) -> None:
    machine = vm.best(32)
    if machine.bits != 32:
        pytest.skip("the figure is one of 32-bit objects")
    (tmp_path / "hal").mkdir()
    for compiled in (vm.application(32) / "node" / "hal").glob("*.mpy"):
        if compiled.stem != "__init__":
            (tmp_path / "hal" / compiled.name).write_bytes(compiled.read_bytes())
    for builtin in ("machine", "esp32", "network"):
        (tmp_path / f"{builtin}.py").write_text("")
    taken = {
        name: int(run_vm(IMPORT.format(name), heap="300k", path=[tmp_path]).checked().stdout)
        for name in ("unix", "esp32")
    }
    assert runtime.STAND_IN <= taken["unix"] - taken["esp32"] <= runtime.STAND_IN + 1024, taken
