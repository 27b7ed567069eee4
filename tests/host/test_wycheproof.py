"""Every Wycheproof vector for what we take holds, on CPython and in the 32-bit VM, where the folder of them is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.host import wycheproof

# file -> vectors in the published set; AES-CCM without its 192-bit keys.
COUNTS = {"ecdh": 355, "ecdsa": 262, "aes_ccm": 368, "hkdf": 86}
SUITES = {name: (file, suite) for name, file, suite in wycheproof.SUITES}


def expected(name: str) -> int:
    return next(count for start, count in COUNTS.items() if name.startswith(start))


@pytest.fixture
def folder(data_file: Callable[[str], Path]) -> Path:
    return data_file("vectors/wycheproof")


@pytest.mark.parametrize("name", SUITES)
def test_cpython(name: str, folder: Path) -> None:
    file, suite = SUITES[name]
    ran, failed = suite(json.loads((folder / file).read_text()))
    assert failed == [], f"test cases {failed} of {file}"
    assert ran == expected(name)


@pytest.mark.parametrize("name", ["ecdh_blinded", "ecdsa", "aes_ccm", "hkdf"])
def test_micropython(name: str, folder: Path, run_vm: Callable[..., Any]) -> None:
    # The vectors themselves need the heap; test_sealing_footprint.py holds the code to a node's.
    said = run_vm(Path(wycheproof.__file__), str(folder), name, heap="8m", timeout=120).checked().stdout
    assert said.strip() == f"{name} {expected(name)} []"
