"""A node under wrong messages: no crash, no hang, no acceptance, memory flat. The short form runs with every change.

The long form is a million messages that end before the curve arithmetic and ten thousand that reach it. The same on
MicroPython, where memory is what a node has, is in tests/firmware/test_session_attacks.py.
"""

from __future__ import annotations

import pytest
from tests.fuzz.fuzz_sessions import Attack


def attack(seed: int, messages: int, handshakes: int) -> Attack:
    made = Attack(seed)
    for _ in range(messages):
        made.step()
    assert made.node.shakes.count * 20 < messages + 200, "most were meant to end before the arithmetic"
    before = made.node.shakes.count
    for _ in range(handshakes):
        made.arithmetic()
    assert made.node.shakes.count == before + handshakes, "a handshake did not reach the arithmetic"
    made.check()
    return made


@pytest.mark.parametrize("seed", range(4))
def test_wrong_messages_have_no_effect(seed: int) -> None:
    assert attack(seed, 2000, 40).answers > 500


def flat(made: Attack, messages: int, handshakes: int) -> None:
    """The node holds no more after all these than before."""
    before = made.held()
    for _ in range(messages):
        made.step()
    count = made.node.shakes.count
    for _ in range(handshakes):
        made.arithmetic()
    assert made.node.shakes.count == count + handshakes, "a handshake did not reach the arithmetic"
    bytes_, blocks = (later - first for later, first in zip(made.held(), before, strict=True))
    assert bytes_ < 1000, f"the node holds {bytes_} bytes more"
    assert blocks < 300, f"the process holds {blocks} blocks of memory more"


def test_memory_is_flat() -> None:
    made = attack(7, 2000, 40)
    flat(made, 10_000, 100)
    made.check()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_million_wrong_messages_and_ten_thousand_handshakes() -> None:
    made = attack(1, 10_000, 100)
    flat(made, 990_000, 9_900)
    made.check()
    assert made.answers > 250_000
