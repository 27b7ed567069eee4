"""Fans and heaters run when they are needed: off between far readings, on through near ones, back in time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from citymote.testing.bridge import Wiring
from citymote.testing.emul.base import Pin
from citymote.testing.emul.sps30 import SPS30
from citymote.testing.vm import VirtualNode

from .collecting import HEAP

pytestmark = pytest.mark.usefixtures("run_vm")
START = 850_003_200  # s2000, a multiple of half an hour
HOURS = 4
START_UP = 30_000  # ms that the driver gives the fan before a reading counts (datasheet 1.1)


class Switch(Pin):
    """A load switch that remembers when it was thrown."""

    def __init__(self) -> None:
        self.thrown: list[tuple[int, int]] = []

    def set(self, now: int, level: int) -> None:
        if level != self.level:
            self.thrown.append((now, level))
        super().set(now, level)


class Metered(SPS30):
    """Knows for how long its fan ran."""

    running = 0
    since: int | None = None

    def command(self, now: int, data: bytes) -> None:
        super().command(now, data)
        pointer = data[0] << 8 | data[1]
        if pointer == 0x0010 and self.since is None:
            self.since = now
        elif pointer == 0x0104 and self.since is not None:
            self.running += now - self.since
            self.since = None


def air(_now: int) -> float | None:
    return 10.0


def lived(folder: Path, interval: int, reads: int = 1) -> tuple[VirtualNode, Switch, Metered]:
    switch, dust = Switch(), Metered(air, air, air)
    board: dict[str, Any] = {
        "board": "virtual",
        "sensors": [{"driver": "sps30", "bus": "i2c0", "power": "dust", "reads": reads}],
    }
    wiring = Wiring({"i2c0": [dust], "dust": switch})
    settings = {"interval": interval, "until": START + HOURS * 3600}
    node = VirtualNode(folder, board=board, settings=settings, wiring=wiring, start_time=START, heap=HEAP)
    with node:
        node.start()
        report = node.wait(60, check=False).report
    assert report["rows"] == HOURS * 3600 // interval
    assert report["readings"] == report["rows"] * 4, "no row without its dust"
    return node, switch, dust


def test_a_fan_rests_between_readings_half_an_hour_apart(tmp_path: Path) -> None:
    _, switch, dust = lived(tmp_path / "n", 1800)
    cycles = HOURS * 3600 // 1800
    assert dust.since is None
    # The first reading, which only teaches the node how long the chip takes, is the one more.
    assert dust.running < (cycles + 1) * (START_UP + 5000), f"the fan ran {dust.running / 1000:.0f} s"
    assert [level for _, level in switch.thrown] == [1, 0] * (cycles + 1), "the supply is cut as well"
    assert all((now // 1000) % 1800 in range(1800 - 40, 1800) for now, level in switch.thrown[2:] if level)


def test_a_fan_rests_between_the_readings_of_one_row_too(tmp_path: Path) -> None:
    _, switch, dust = lived(tmp_path / "n", 3600, reads=4)
    readings = HOURS * 4
    assert dust.running < (readings + 1) * (START_UP + 5000), f"the fan ran {dust.running / 1000:.0f} s"
    assert len(switch.thrown) == 2 * (readings + 1)


def test_a_fan_runs_on_where_readings_are_near(tmp_path: Path) -> None:
    _, switch, dust = lived(tmp_path / "n", 120)
    assert [level for _, level in switch.thrown] == [1]
    assert dust.since is not None
    assert dust.running == 0
