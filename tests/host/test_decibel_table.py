"""The meter works its logarithms out when it is loaded: with a chip's small floats, too, the table is the same."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

SOURCE = Path(__file__).parents[2] / "firmware/node/sound/decibel.py"
SCALE = 43429.4482


def test_single_precision_gives_the_table_of_double_precision() -> None:
    """A chip's float has 24 bits, and its logarithm is off by less than one unit in the last place."""
    exact = [math.floor(100000 * math.log10(1 + i / 64) + 0.5) for i in range(65)]
    for places in (-1, 0, 1):
        table: list[int] = []
        for i in range(65):
            log = np.float32(math.log(1 + i / 64))
            log = log + np.float32(places) * np.spacing(log) if i else log
            table.append(int(np.float32(np.float32(SCALE) * log) + np.float32(0.5)))
        assert table == exact
    assert str(SCALE) in SOURCE.read_text("utf-8"), "the factor that the node works with"
