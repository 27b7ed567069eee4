"""The second run of make's targets: what the first one set up is found, nothing is made anew or put elsewhere.

The first run is what continuous integration begins with, in a fresh clone; what decides that there is nothing to do
is in test_bootstrap.py.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import aptget

TOP = Path(__file__).resolve().parents[2]
STAMPED = """
import sys
sys.path.insert(0, "tools")
import bootstrap
base = getattr(sys, "_base_executable", sys.executable)
bootstrap.stamp_file("tests").write_text(bootstrap.wanted_stamp(f"{base} {sys.version}"))
"""


@pytest.fixture
def checkout(tmp_path: Path, micropython64: str) -> Path:
    """A checkout whose environment and runtimes have been set up: here, those that this test runs in."""
    del micropython64
    made = tmp_path / "checkout"
    shutil.copytree(TOP / "tools", made / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(TOP / name, made)
    python = made / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    (made / "build" / "stubs").mkdir(parents=True)
    subprocess.run([sys.executable, "-B", "-c", STAMPED], cwd=made, capture_output=True, timeout=30, check=True)
    return made


def files(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_it_begins_within_seconds_and_leaves_everything_as_it_is(checkout: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    env = {**os.environ, "HOME": str(home), "CITYMOTE_CACHE": str(aptget.cache_folder())}
    env |= {"PYTHONDONTWRITEBYTECODE": "1"}
    before = files(checkout)
    began = time.monotonic()
    done = subprocess.run(
        ["make", "runtimes", f"PYTHON={sys.executable} -B"], cwd=checkout, env=env, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert time.monotonic() - began < 15
    assert {name for name, when in files(checkout).items() if before.get(name) != when and ".pyc" not in name} == set()
    assert list(home.iterdir()) == [], "nothing outside of the checkout"
