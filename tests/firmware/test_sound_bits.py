"""The meter's integers: every implementation gives the same bits, none of them can leave 32 bits, and what it costs."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from tests.support.machine.metering import Meter
from tests.support.sound import Listener, Signal, words

import make_sound
from citymote.testing.sound_reference import COEFFICIENTS, Reference

RATES = (48000, 24000, 16000)
BLOCKS = 24
NATIVE_BLOCKS = 3


def signals(rate: int, blocks: int) -> dict[str, Signal]:
    """What is hardest on fixed-point filters, and what is commonest."""
    n = blocks * rate // 200
    t = np.arange(n) / rate
    generator = np.random.default_rng(rate)
    return {
        "full-scale square of 20 Hz": np.sign(np.sin(2 * np.pi * 20 * t + 0.1)),
        "full-scale square of 1 kHz": np.sign(np.sin(2 * np.pi * 1000 * t + 0.1)),
        "steps between the rails": np.where(t < t[n // 3], -1.0, np.where(t < t[2 * n // 3], 1.0, -1.0)),
        "clipped noise": generator.standard_normal(n),
        "noise at -100 dBFS": generator.standard_normal(n) * 1e-5,
        "impulses in near silence": np.where(generator.random(n) < 0.01, 0.9, 0) + generator.standard_normal(n) * 1e-6,
        "silence": np.zeros(n),
        "the lowest word": np.full(n, -1.0),
    }


@cache
def expected(rate: int, name: str, blocks: int) -> np.ndarray:
    """The reference's state after each block; computed once."""
    samples = words(signals(rate, blocks)[name]).tolist()
    reference, size, rows = Reference(rate), rate // 200, []
    for k in range(blocks):
        reference.feed(samples[k * size : (k + 1) * size], k)
        rows.append(reference.state + reference.averages)
    return np.array(rows, dtype=np.int64)


def first_difference(got: np.ndarray, wanted: np.ndarray) -> str:
    """Which number of which block differs first; empty if none does."""
    different = np.argwhere(got != wanted)
    if not len(different):
        return ""
    row, column = different[0]
    what = f"st[{column}]" if column < 17 else f"q[{column - 17}]"
    return f"block {row}: {what} is {got[row, column]}, not {wanted[row, column]}"


def test_committed_kernels_are_what_the_generator_writes() -> None:
    stale = [path.name for path, text in make_sound.outputs().items() if path.read_text(encoding="utf-8") != text]
    assert not stale, "run tools/make_sound.py"


def test_the_references_coefficients_are_the_generators() -> None:
    """They are written down twice; the accuracy tests measure the code, this one keeps the oracle the same thing."""
    for design in make_sound.DESIGNS:
        c = COEFFICIENTS[design.rate]
        assert (c.dc_shift, c.pole, c.zero) == (design.dc_shift, design.pole, design.zero)
        assert c.high_passes == (design.low, design.low, design.middle, design.high)


@pytest.mark.parametrize("arch", [32, 64])
@pytest.mark.parametrize("rate", RATES)
def test_the_virtual_machine_and_the_reference_agree_bit_for_bit(
    run_vm: Callable[..., object], app_tree: Path, rate: int, arch: int
) -> None:
    listener = Listener(run_vm, make_tree(arch, app_tree))
    for name, signal in signals(rate, BLOCKS).items():
        got = listener.states(words(signal), rate, arch)
        assert not first_difference(got, expected(rate, name, BLOCKS)), name


def make_tree(arch: int, tree32: Path) -> Path:
    from tests.support import vm

    return tree32 if arch == 32 else vm.application(64)


@pytest.mark.parametrize("architecture", ["xtensawin", "rv32imc"])
@pytest.mark.parametrize("rate", RATES)
def test_the_chips_machine_code_and_the_reference_agree_bit_for_bit(rate: int, architecture: str) -> None:
    """The code that runs on an ESP32, C3 or C6, interpreted instruction by instruction."""
    for name in ("steps between the rails", "clipped noise", "impulses in near silence")[: 3 if rate == 48000 else 1]:
        meter = Meter(architecture, rate)
        samples = words(signals(rate, NATIVE_BLOCKS)[name]).tolist()
        got = np.array(meter.feed(samples))
        assert not first_difference(got, expected(rate, name, NATIVE_BLOCKS)), name


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["xtensawin", "rv32imc"])
def test_the_chips_machine_code_agrees_on_every_signal(architecture: str) -> None:
    for name in signals(48000, BLOCKS):
        meter = Meter(architecture, 48000)
        samples = words(signals(48000, BLOCKS)[name]).tolist()
        assert not first_difference(np.array(meter.feed(samples)), expected(48000, name, BLOCKS)), name


@pytest.mark.parametrize("design", make_sound.DESIGNS, ids=lambda d: f"{d.rate} Hz")
def test_no_signal_whatsoever_can_leave_32_bits(design: make_sound.Design) -> None:
    """The largest value that any bounded input can cause is the sum of the magnitudes of the impulse response.

    Taken for every intermediate product and state of the filters, with 1 added for each rounding on the way; the sums
    of squares follow from the bounds of what is squared.
    """
    n = design.rate // 2  # the slowest state has died away by then
    full = 1 << 19
    rounding = 16
    limit = 1 << 31

    def section(x: np.ndarray, pole: float) -> np.ndarray:
        # (1 - z^-1) / (1 - pole z^-1), run as it is written
        y, last, out = 0.0, 0.0, np.empty_like(x)
        for k, value in enumerate(x):
            y = value - last + pole * y
            last, out[k] = value, y
        return out

    def bound(x: np.ndarray) -> float:
        return float(np.sum(np.abs(x))) * full + rounding

    def squares_fit(x: np.ndarray, name: str) -> None:
        high = bound(x) / 2048 + 1
        for part, value in (("high", high * high), ("middle", high * 2047), ("low", 2047.0 * 2047)):
            assert value * (design.rate // 200) < limit, f"{part} part of the square of {name}"

    def ratio(r: tuple[int, int]) -> float:
        return r[0] / 2 ** r[1]

    impulse = np.zeros(n)
    impulse[0] = 1.0
    assert 2 * full <= limit
    x = section(impulse, 1 - 2.0**-design.dc_shift)
    assert bound(np.cumsum(x)) < limit, "state of the DC blocker"
    squares_fit(x, "Z")
    y = np.zeros(n)
    for k in range(n):
        y[k] = x[k] + (ratio(design.pole) * y[k - 1] if k else 0)
    for name, r in (("pole", design.pole), ("zero", design.zero)):
        assert bound(y) * abs(r[0]) < limit, f"product of the {name}"
    x = y + ratio(design.zero) * np.concatenate([[0.0], y[:-1]])
    for name, r in (("first", design.low), ("second", design.low), ("middle", design.middle), ("high", design.high)):
        k = ratio(r) / 1024
        x = section(x, 1 - k)
        assert bound(x) * r[0] < limit, f"product of the {name} high pass"
        assert bound(np.cumsum(x) * k * 1024) < limit, f"state of the {name} high pass"
        if name == "second":
            squares_fit(x, "C")
    squares_fit(x, "A")


@pytest.mark.parametrize("architecture", ["xtensawin", "rv32imc"])
def test_a_sample_costs_no_more_than_260_instructions(architecture: str) -> None:
    """Z, C, A, both peaks, F and S, exact sums: counted while the code runs, 25 ms of noise."""
    meter = Meter(architecture, 48000)
    noise = np.random.default_rng(7).standard_normal(1200) * 0.1
    meter.feed(words(noise).tolist())
    assert meter.instructions / meter.samples <= 260


def test_an_unknown_instruction_is_refused_not_guessed() -> None:
    from tests.support.machine.core import Unknown
    from tests.support.machine.riscv import RiscV
    from tests.support.machine.xtensa import Xtensa

    for machine in (RiscV, Xtensa):
        with pytest.raises(Unknown):
            machine(b"\x00\x00\x00\x00").call()
