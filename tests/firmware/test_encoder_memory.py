"""On the 32-bit VM the batch encoder takes no memory a frame, and what it costs to make one is bounded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

MEASURE = """
import gc
from array import array
from citymote_protocol.batch import Encoder
from citymote_protocol.quantities import ABSENT

ROWS = 60
state = 12345
def below(most):
    global state
    state = (state * 75 + 74) % 65537
    return state % most

columns = []
for index in range(10):
    value = below(1000)
    column = array("i", [0] * ROWS)
    for row in range(ROWS):
        if index < 6 or row % (index + 1) == 0:
            value += below(21) - 10
        column[row] = value * 10 if index == 3 else value
    columns.append(column)
for row in range(ROWS):
    columns[8][row] = ABSENT
columns[9][7] = ABSENT
quality = [None] * 10
quality[8] = bytearray([8] * ROWS)
quality[9] = bytearray(ROWS)
quality[9][7] = 9
times = array("i", [848000000 + 60 * row + (5 if row > 30 else 0) for row in range(ROWS)])

gc.collect()
before = gc.mem_alloc()
encoder = Encoder(b"abcdef", tuple((q, 0) for q in (1, 2, 3, 4, 7, 9, 13, 14, 58, 59)), 1024)
gc.collect()
made = gc.mem_alloc() - before
taken = size = view = start = 0
for packed in (False, True):
    encoder.encode_into(1, 1000, 848000000, 2, 60, ROWS, columns, quality, packed, times)
    gc.collect()
    gc.disable()
    start = gc.mem_alloc()
    size = encoder.encode_into(1, 1000, 848000000, 2, 60, ROWS, columns, quality, packed, times)
    taken = gc.mem_alloc() - start
    start = gc.mem_alloc()
    view = encoder.encode(1, 1000, 848000000, 2, 60, ROWS, columns, quality, packed, times)
    view = gc.mem_alloc() - start
    gc.enable()
    print("packed" if packed else "cbor", size, taken, view)
print("made", 0, made, 0)
"""


@pytest.fixture(scope="module")
def measured(request: pytest.FixtureRequest) -> dict[str, tuple[int, int, int]]:
    run_vm: Callable[..., Any] = request.getfixturevalue("run_vm")
    request.getfixturevalue("micropython32")
    out = run_vm(MEASURE, path=[request.getfixturevalue("app_tree")]).stdout
    return {words[0]: (int(words[1]), int(words[2]), int(words[3])) for words in map(str.split, out.splitlines())}


@pytest.mark.parametrize("form", ["cbor", "packed"])
def test_a_frame_takes_no_memory(measured: dict[str, tuple[int, int, int]], form: str) -> None:
    size, taken, view = measured[form]
    assert size > 200
    assert taken == 0
    assert view <= 32, "the view and the slice that `encode` returns"


def test_an_encoder_is_its_buffer_and_little_more(measured: dict[str, tuple[int, int, int]]) -> None:
    assert measured["made"][1] < 1024 + 1024
