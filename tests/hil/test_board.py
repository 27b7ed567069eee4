"""`citymote flash` on a real board, end to end.

`pytest tests/hil -m hil --port PORT --board NAME [--runtime IMAGE]`

The same functions run on a board of ours in tests/e2e/test_flash.py. Each begins with the board as the one before left
it, and none takes an identity away, unless --runtime meets a board with another partition table.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support import station
from tests.support.station import Station

pytestmark = [pytest.mark.hil, pytest.mark.timeout(900)]


@pytest.fixture
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Station:
    board, runtime = request.config.getoption("--board"), request.config.getoption("--runtime")
    if not board:
        pytest.fail("say with --board which board is on --port")
    return Station(tmp_path, board, [request.config.getoption("--port")], ["--runtime", runtime] if runtime else [])


def test_a_board_becomes_a_node(bench: Station) -> None:
    station.a_board_becomes_a_node(bench)


def test_no_secret_leaves_but_on_the_label(bench: Station) -> None:
    station.no_secret_leaves_but_on_the_label(bench)


def test_a_second_run_finds_everything_done_and_the_same_node(bench: Station) -> None:
    station.a_second_run_finds_everything_done_and_the_same_node(bench)


def test_a_board_beyond_its_limits_gets_no_label(bench: Station, tmp_path: Path) -> None:
    station.a_board_beyond_its_limits_gets_no_label(bench, station.strict(bench.board, tmp_path / "strict-boards"))
