"""The sampler, the supervisor and the MQTT client in a real MicroPython, each case of core_vm.py in a VM of its own."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.vm import Result

SCRIPT = Path(__file__).with_name("core_vm.py")
HELPERS = {"log", "make", "sampled", "constant", "ends_with", "heard"}
CASES = [
    node.name
    for node in ast.parse(SCRIPT.read_text()).body
    if isinstance(node, ast.FunctionDef) and node.name not in HELPERS
]


@pytest.mark.parametrize("case", CASES)
def test_in_the_vm(run_vm: Callable[..., Result], case: str) -> None:
    found = run_vm(SCRIPT, case, heap="500k", timeout=60)
    assert found.stdout.endswith("done\n"), found.stdout + found.stderr
