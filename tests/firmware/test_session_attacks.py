"""A node on MicroPython under wrong messages, in a chip's heap: no fault, no acceptance, memory flat."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.bench import bench_session
from tests.support import vm

SCRIPT = Path(__file__).with_name("session_attack_vm.py")


def attack(messages: int, seed: int, timeout: float) -> dict[str, int]:
    recorded = bench_session.Recorded()
    done = vm.execute(
        [str(SCRIPT), str(messages), str(seed)],
        heap="100k",
        path=[bench_session.tree()],
        stdin=recorded.lines(),
        timeout=timeout,
    ).checked()
    return {name: int(value) for name, value in (line.split() for line in done.stdout.splitlines() if line)}


@pytest.mark.parametrize("seed", [1, 2])
def test_memory_is_flat_and_nothing_is_accepted(seed: int) -> None:
    said = attack(600, seed, 60)
    assert said["answers"] > 100 and said["begun"] > 0
    # Requests that are remembered for repetitions, and their answers, come and go: eight of at most 100 bytes.
    assert said["most"] - said["least"] < 4096, said


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_memory_is_flat_over_fifty_thousand() -> None:
    said = attack(50_000, 3, 1700)
    assert said["most"] - said["least"] < 6144, said
