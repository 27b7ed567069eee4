"""Key agreement, verification and sealing fit beside everything else on a chip: a limit on heap for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.bench import bench_sealing


@pytest.fixture(scope="module")
def base(run_vm: Callable[..., Any]) -> int:
    """The least heap that the loaded code itself takes."""
    return bench_sealing.smallest_heap("nothing")


@pytest.mark.parametrize(("case", "limit"), [("agree", 8 << 10), ("key_pair", 8 << 10), ("verify", 9 << 10)])
def test_curve_arithmetic_needs_little_heap(case: str, limit: int, base: int) -> None:
    needed = bench_sealing.smallest_heap(case) - base
    assert needed <= limit, f"{case} takes {needed} bytes beyond its code"


@pytest.mark.usefixtures("micropython32")
def test_sealing_a_frame_allocates_little() -> None:
    said = bench_sealing.node()
    for form in ("minimal", "standard"):
        assert said[f"sealing.node_heap_bytes.seal150.{form}"] <= 2048
    assert said["sealing.node_heap_bytes.resident"] <= 1024
