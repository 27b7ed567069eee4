"""What the specification promises about size, on real data (issue 3.9): a change that costs bytes fails here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.bench import wire_sizes

from citymote_protocol.frame import decode

PROMISED = {
    "wire.bytes_per_reading.sck01.batch10.cbor": 1.38,
    "wire.bytes_per_reading.sck01.batch60.cbor": 1.20,
    "wire.bytes_per_reading.sck01.batch10.packed": 0.89,
    "wire.bytes_per_reading.sck01.batch60.packed": 0.65,
}
FITTING = {"wire.samples_in.51.packed": 4, "wire.samples_in.115.packed": 17, "wire.samples_in.222.packed": 36}


@pytest.fixture(scope="module")
def rows(request: pytest.FixtureRequest) -> list[wire_sizes.Row]:
    find: Callable[[str], Path] = request.getfixturevalue("data_file")
    return wire_sizes.load(find("sck_1min_geo.csv"))


def test_sizes_are_at_most_what_is_promised(data_file: Callable[[str], Path]) -> None:
    found = wire_sizes.measure(data_file("sck_1min_geo.csv"))
    assert {name: found[name] for name in PROMISED if found[name] > PROMISED[name]} == {}
    assert {name: found[name] for name in FITTING if found[name] < FITTING[name]} == {}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("batch", [1, 10, 60])
def test_every_real_reading_and_its_time_come_back(rows: list[wire_sizes.Row], batch: int, packed: bool) -> None:
    start = 0
    for raw in wire_sizes.frames(rows, batch, packed):
        got = decode(raw)
        part = rows[start : start + batch]
        assert [got.time_of(row) for row in range(batch)] == [row.time for row in part]
        assert [tuple(line[row] for line in got.values) for row in range(batch)] == [row.values for row in part]
        start += batch
    assert start > len(rows) - batch
