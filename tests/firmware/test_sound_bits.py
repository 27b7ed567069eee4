"""The meter's integers: every implementation gives the same bits, none of them can leave 32 bits, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.machine.metering import Meter, flatten
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


# -- the equaliser ----------------------------------------------------------------------------------------------------

EQUALISED = ("inmp441", "ics43434", "sph0645", "im69d130")
CORNERS = {
    "inmp441": ((50.1, 18.4), (50.1, 18.4)),
    "ics43434": ((41.8, 10.8), (41.8, 7.8)),
    "sph0645": ((49.3, 23.5), (35.5, 23.5)),
    "im69d130": ((21.2, 8.9), (21.2, 8.9)),
}


def equalised(samples: list[int], numbers: list[int]) -> list[int]:
    """The same in plain integers; `numbers`: k and 1 + g of both shelves."""
    states = [0, 0]
    out = []
    for word in samples:
        x = word >> 12
        for shelf in (0, 1):
            low = states[shelf] >> 10
            states[shelf] += ((x - low) * numbers[2 * shelf]) >> 6
            x += (low * (numbers[2 * shelf + 1] - 128)) >> 7
        out.append(max(-524288, min(524287, x)) << 12)
    return out


FLATTEN = """
from node.sound.equaliser import Equaliser
from array import array
import sys
for name in {names}:
    for rate in (48000, 24000, 16000):
        print(name, rate, *Equaliser(name, rate).st)
eq = Equaliser("inmp441", 48000)
with open({path!r}, "rb") as f:
    words = bytearray(f.read())
eq.flatten(words, 0, len(words) // 4, 7)
with open({path!r}, "wb") as f:
    f.write(words)
"""


@pytest.fixture(scope="module", params=[32, 64])
def flattened(
    request: pytest.FixtureRequest, run_vm: Callable[..., Any], app_tree: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[tuple[str, int], list[int]], list[int], list[int]]:
    """The node's numbers for every microphone and rate, and hard signals before and after."""
    path = tmp_path_factory.mktemp("flat") / "words"
    hard = np.concatenate([words(s) for s in signals(48000, 8).values()])
    path.write_bytes(hard.astype("<i4").tobytes())
    done = run_vm(
        FLATTEN.format(names=EQUALISED, path=str(path)), path=[make_tree(request.param, app_tree), ".frozen"],
        heap="300k", arch=request.param,
    ).checked()  # fmt: skip
    rows = [line.split() for line in done.stdout.splitlines()]
    numbers = {(row[0], int(row[1])): [int(v) for v in row[5:9]] for row in rows}
    return numbers, hard.tolist(), np.frombuffer(path.read_bytes(), dtype="<i4").tolist()


def test_the_equaliser_and_its_reference_agree_bit_for_bit(
    flattened: tuple[dict[tuple[str, int], list[int]], list[int], list[int]],
) -> None:
    numbers, before, after = flattened
    assert after == equalised(before, numbers["inmp441", 48000])


def test_the_equaliser_is_the_inverse_of_what_is_published(
    flattened: tuple[dict[tuple[str, int], list[int]], list[int], list[int]],
) -> None:
    """From 10 Hz up, relative to 1 kHz, at every rate."""
    numbers, _, _ = flattened
    frequency = np.array([10, 16, 20, 31.5, 63, 125, 250, 1000.0])
    for (name, rate), (k, g, m, h) in numbers.items():
        d = np.exp(-2j * np.pi * frequency / rate)
        ours = np.ones(len(d), dtype=complex)
        for factor, gain in ((k, g), (m, h)):
            ours *= 1 + (gain / 128 - 1) * factor / 65536 * d / (1 - (1 - factor / 65536) * d)
        wanted = np.ones(len(d))
        for zero, pole in CORNERS[name]:
            wanted *= np.sqrt((frequency**2 + zero**2) / (frequency**2 + pole**2))
        deviation = 20 * np.log10(np.abs(ours) / wanted)
        assert np.max(np.abs(deviation - deviation[-1])) < 0.1, (name, rate)
        assert abs(20 * math.log10(abs(ours[-1]))) < 0.13, f"{name} at {rate}: the calibrator's tone is moved"


def test_no_signal_can_make_the_equaliser_leave_32_bits(
    flattened: tuple[dict[tuple[str, int], list[int]], list[int], list[int]],
) -> None:
    """A low pass never exceeds its input: what follows is the worst of each product."""
    for row in flattened[0].values():
        x = float(1 << 19)
        for factor, gain in ((row[0], row[1]), (row[2], row[3])):
            assert x * 1024 < 1 << 31, "state"
            assert 2 * x * factor < 1 << 31, "first product"
            assert x * gain < 1 << 31, "second product"
            x *= gain / 128


@pytest.mark.parametrize("architecture", ["xtensawin", "rv32imc"])
def test_the_equaliser_costs_what_is_said(architecture: str) -> None:
    """Instructions a sample, and the same words as the reference."""
    samples = words(np.random.default_rng(3).standard_normal(480) * 0.3).tolist()
    numbers = [158, 347, 158, 347]
    got, count = flatten(architecture, samples, numbers)
    assert got == equalised(samples, numbers)
    assert count <= 115
