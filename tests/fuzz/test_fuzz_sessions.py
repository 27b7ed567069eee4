"""A node under wrong messages: no crash, no hang, no acceptance, memory flat. The short form runs with every change.

The long form is a million messages that end before the curve arithmetic and ten thousand that reach it. The same on
MicroPython, where memory is what a node has, is in tests/firmware/test_session_attacks.py.
"""

from __future__ import annotations

import gc
import tracemalloc

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


def test_memory_is_flat() -> None:
    made = Attack(7)

    def kept(messages: int) -> int:
        for _ in range(messages):
            made.step()
        for _ in range(messages // 50):
            made.arithmetic()
        made.now += 300_000
        made.send(b"")
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        kept(1500)
        first = kept(500)
        later = kept(3000)
    finally:
        tracemalloc.stop()
    # What is remembered for repetitions varies with the length of what came last.
    assert later - first < 16_000, f"{later - first} bytes more after 3000 messages"


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_million_wrong_messages_and_ten_thousand_handshakes() -> None:
    made = Attack(1)

    def kept() -> int:
        made.now += 300_000
        made.send(b"")
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        for _ in range(50_000):
            made.step()
        first = kept()
        for _ in range(950_000):
            made.step()
        before = made.node.shakes.count
        for _ in range(10_000):
            made.arithmetic()
        assert made.node.shakes.count == before + 10_000
        later = kept()
    finally:
        tracemalloc.stop()
    made.check()
    assert later - first < 16_000, f"{later - first} bytes more after a million messages"
    assert made.answers > 250_000
