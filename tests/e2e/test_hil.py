"""What tests/hil runs on a real board, run as a person runs it, on a board of ours: a pseudo-terminal named by --port.

So a real board meets tests that work. The cases themselves are in tests/support/station.py.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.test_flash import SMALL, table, world

from citymote import boards
from citymote.testing.pty_board import PtyBoard
from citymote.testing.wiring import wire

pytest.importorskip("mpremote")
pytest.importorskip("segno")
pytest.importorskip("zxingcpp")
TOP = Path(__file__).resolve().parents[2]


def hil(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/hil", "-m", "hil", *options]
    return subprocess.run(command, cwd=TOP, capture_output=True, text=True, timeout=280, check=False)


@pytest.mark.usefixtures("micropython32")
def test_every_case_for_a_real_board_passes_on_the_one_that_port_names(tmp_path: Path) -> None:
    path = tmp_path / "boards" / "small" / "board.toml"
    path.parent.mkdir(parents=True)
    path.write_text(SMALL)
    wiring = wire(boards.load(path.parent), world())
    with PtyBoard(tmp_path / "board", wiring=wiring, partitions=table()) as board:
        done = hil("--port", str(board.port), "--board", str(path.parent))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout
    assert "skipped" not in done.stdout


def test_without_a_port_they_are_skipped_and_say_what_they_want() -> None:
    done = hil("-rs")
    assert "4 skipped" in done.stdout
    assert "needs a real board: name it with --port" in done.stdout


def test_a_port_without_a_board_fails_with_what_is_missing(tmp_path: Path) -> None:
    done = hil("--port", str(tmp_path / "nothing"), "-x")
    assert done.returncode == 1
    assert "say with --board which board is on --port" in done.stdout
