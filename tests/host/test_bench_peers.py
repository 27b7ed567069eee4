"""The formats that ours is compared with say what they are given: a peer that lost readings would look small."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.bench import bench_wire, gorilla, wire_data, wire_peers

COLUMNS = tuple((number, 0) for number in (1, 2, 3, 4, 7, 9, 13, 14, 58, 59))
# Within each column's decimals a double gives every integer back, and JSON every double.
VALUES = st.one_of(st.none(), st.integers(-100_000, 100_000))


@st.composite
def batches(draw: st.DrawFn) -> wire_data.Rows:
    count = draw(st.integers(1, 12))
    gaps = draw(st.lists(st.integers(1, 5000), min_size=count - 1, max_size=count - 1))
    times = [800_000_000]
    for gap in gaps:
        times.append(times[-1] + gap)
    rows = [[draw(VALUES) for _ in COLUMNS] for _ in range(count)]
    for row in rows:
        row[0] = row[0] or 7  # a row without any reading is no row to formats of rows
    return wire_data.Rows("any", 60, COLUMNS, times, rows)


@pytest.mark.parametrize("peer", wire_peers.peers(print), ids=lambda peer: peer.name)
@settings(max_examples=40, deadline=None)
@given(rows=batches())
def test_a_peer_gives_back_what_it_was_given(peer: wire_peers.Peer, rows: wire_data.Rows) -> None:
    assert peer.decode(peer.encode(rows, 1000), rows) == (rows.times, rows.values)


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=40))
def test_gorilla_keeps_every_bit_of_a_double(values: list[float]) -> None:
    bits = gorilla.Bits()
    gorilla.put_values(bits, values)
    got = gorilla.get_values(gorilla.Taking(bits.bytes()), len(values))
    assert [value.hex() for value in got] == [value.hex() for value in values]


def test_the_entropy_of_two_equally_frequent_differences_is_one_bit() -> None:
    line = [0, 1, 1, 2, 2, 3, 3, 4, 4]
    rows = wire_data.Rows("any", 60, ((1, 0),), list(range(9)), [[value] for value in line])
    assert bench_wire.entropy_bytes(rows) == pytest.approx(1 / 8)
