"""Octave and third-octave bands: the limits of IEC 61260-1:2014 class 1, and the same integers everywhere.

Measured through the node's own code in a MicroPython VM, tone by tone; and computed from the integers that the code
uses, on a grid far denser, with everything that the decimators fold down. Both have to be within the limits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support import iec61260 as iec
from tests.support import vm
from tests.support.machine.metering import Bands, copying
from tests.support.sound import Listener, Signal, dithered, periodic_noise, sine, words

import make_bands
from citymote.testing.sound_reference import BandReference
from citymote.testing.street import band_edges, band_levels

THIRDS, OCTAVES = 3, 1
BANKS = {(b.bands, b.rate): b for b in make_bands.BANKS}
Levels = list[list[float | None]]


@pytest.fixture(scope="module")
def listener(run_vm: Callable[..., object], app_tree: Path) -> Listener:
    return Listener(run_vm, app_tree)


def midbands(bands: int, rate: int) -> list[float]:
    return [math.sqrt(low * high) for low, high in band_edges(rate, bands)]


def faded(signal: Signal, rate: int = 48000) -> Signal:
    """Faded in over the time that the meter discards: the onset of a tone is not in the tone's band alone."""
    n = round(0.45 * rate)
    ramp = np.ones(len(signal))
    ramp[:n] = 0.5 - 0.5 * np.cos(np.pi * np.arange(n) / n)
    return signal * ramp


def tones(listener: Listener, frequencies: list[float], bands: int, rate: int, dbfs: float = -6.0) -> Levels:
    """Levels of tones in all bands, relative to the tones' own."""
    heard = listener.bands([dithered(faded(sine(f, 2.5, dbfs, rate), rate)) for f in frequencies], bands, rate)
    return [[None if level is None else level - dbfs for level in row] for row in heard]


def twelfths(lowest: float, highest: float) -> list[float]:
    steps = range(math.ceil(40 * math.log10(lowest / 1000)), math.floor(40 * math.log10(highest / 1000)) + 1)
    return [1000 * 10 ** (k / 40) for k in steps]


def response(bank: make_bands.Bank, level: int, number: int, frequency: NDArray[np.float64]) -> NDArray[np.float64]:
    """|H|^2 of a band, as `Bank.response` for many frequencies at once."""
    rate, seen = float(bank.rate), frequency.copy()
    total = np.ones(len(frequency), dtype=complex)
    for _ in range(level):
        d = np.exp(-2j * np.pi * seen / rate)
        first, second, other = ((c / 256 + d * d) / (1 + c / 256 * d * d) for c in make_bands.DECIMATOR)
        total *= (first * second + d * other) / 2
        rate /= 2
        seen = np.abs((seen + rate / 2) % rate - rate / 2)
    d = np.exp(-2j * np.pi * seen / rate)
    row = bank.coefficients()[level][number]
    for k in range(3):
        total *= (1 - d * d) / (1 - row[2 * k] / 512 * d + row[2 * k + 1] / 512 * d * d) * 2.0 ** bank.shifts[k]
    return np.abs(total) ** 2


def relative_attenuation(
    bank: make_bands.Bank, level: int, number: int, frequency: NDArray[np.float64]
) -> NDArray[np.float64]:
    middle = np.array([bank.midbands()[level][number]])
    power = response(bank, level, number, frequency) / response(bank, level, number, middle)
    return -10 * np.log10(np.maximum(power, 1e-20))


# -- the standard's requirements --------------------------------------------------------------------------------------


def test_the_limits_are_mapped_to_third_octaves_as_table_f1_says() -> None:
    for exponent, printed in iec.TABLE_F1.items():
        assert iec.breakpoint_at(exponent, 3) == pytest.approx(printed, abs=6e-6)


@pytest.mark.parametrize("bank", make_bands.BANKS, ids=lambda bank: bank.name)
def test_relative_attenuation_is_class_1_on_a_dense_grid(bank: make_bands.Bank) -> None:
    """Table 1 for every band, at 4000 frequencies up to half the rate and at the breakpoints themselves."""
    for level, octave in enumerate(bank.midbands()):
        for number, middle in enumerate(octave):
            points = [iec.breakpoint_at(row.exponent, bank.bands) for row in iec.PASS_BAND_MOST + iec.STOP_BAND_LEAST]
            edges = np.array([middle * p for p in points] + [middle / p for p in points])
            frequency = np.concatenate([np.geomspace(middle / 30, bank.rate / 2 * 0.9999, 4000), edges])
            frequency = frequency[frequency < bank.rate / 2]
            attenuation = relative_attenuation(bank, level, number, frequency)
            least, most = iec.class1(frequency / middle, bank.bands)
            margin = np.minimum(attenuation - least, most - attenuation)
            worst = int(np.argmin(margin))
            assert margin[worst] >= 0.3, f"{middle:.0f} Hz: {margin[worst]:+.2f} dB left at {frequency[worst]:.1f} Hz"


@pytest.mark.parametrize("bank", make_bands.BANKS, ids=lambda bank: bank.name)
def test_the_effective_bandwidth_is_the_references(bank: make_bands.Bank) -> None:
    """5.12: formula (13) by trapezia over a thousandth of a band, three octaves to each side."""
    for level, octave in enumerate(bank.midbands()):
        for number, middle in enumerate(octave):
            omega = iec.G ** (np.arange(-3000, 3001) / 1000)
            frequency = omega * middle
            inside = frequency < bank.rate / 2
            power = 10 ** (-relative_attenuation(bank, level, number, frequency[inside]) / 10)
            effective = np.trapezoid(power, np.log(omega[inside]))
            deviation = 10 * math.log10(float(effective) / (math.log(iec.G) / bank.bands))
            assert abs(deviation) <= iec.EFFECTIVE_BANDWIDTH
            assert abs(deviation) <= 0.1, f"{middle:.0f} Hz misses the goal: {deviation:+.3f} dB"


@cache
def _grid(listener: Listener, bands: int, rate: int) -> tuple[list[float], Levels]:
    middles = midbands(bands, rate)
    frequencies = twelfths(20 if rate == 48000 else 80, min(21000.0, 0.45 * rate))
    # and the breakpoints of table 1 themselves, around one band in the middle
    middle = middles[len(middles) // 2]
    points = [iec.breakpoint_at(row.exponent, bands) for row in iec.PASS_BAND_MOST + iec.STOP_BAND_LEAST[1:]]
    breakpoints = {f for p in points for f in (middle * p, middle / p) if 20 < f < 0.45 * rate}
    frequencies = sorted({*frequencies, *breakpoints, *(m for m in middles)})
    return frequencies, tones(listener, frequencies, bands, rate)


@pytest.mark.parametrize(("bands", "rate"), [(3, 48000), (1, 48000), (3, 24000), (1, 16000)])
def test_tones_are_attenuated_within_class_1_by_every_band(listener: Listener, bands: int, rate: int) -> None:
    """Table 1, measured: each of some hundred tones against every band at once, its own included."""
    frequencies, heard = _grid(listener, bands, rate)
    for k, middle in enumerate(midbands(bands, rate)):
        own = heard[frequencies.index(middle)][k]
        assert own == pytest.approx(0, abs=0.03), f"{middle:.0f} Hz: the level at midband is off by {own}"
        least, most = iec.class1(np.array(frequencies) / middle, bands)
        for f, row, low, high in zip(frequencies, heard, least, most, strict=True):
            level = row[k]
            attenuation = 200.0 if level is None else own - level
            assert low <= attenuation <= high, f"band {middle:.0f} Hz, tone {f:.1f} Hz: {attenuation:.2f} dB"


@pytest.mark.parametrize("bands", [3, 1])
def test_adjacent_bands_sum_to_the_input(listener: Listener, bands: int) -> None:
    """5.16: a tone between two midbands is in both together as in one alone."""
    frequencies, heard = _grid(listener, bands, 48000)
    middles = midbands(bands, 48000)
    for f, row in zip(frequencies, heard, strict=True):
        if not middles[-1] <= f <= middles[0]:
            continue
        total = 10 * math.log10(sum(10 ** (level / 10) for level in row if level is not None))
        assert iec.SUMMATION[0] <= -total <= iec.SUMMATION[1], f"{f:.1f} Hz: {-total:+.2f} dB"


@pytest.mark.parametrize(("bands", "middle"), [(3, 25.119), (3, 1000), (3, 7943.28), (1, 63.096), (1, 3981.07)])
def test_bands_are_linear_over_more_than_60_db(listener: Listener, bands: int, middle: float) -> None:
    """5.13: within 0.5 dB in the upper 40 dB, within 0.7 dB down to -80 dBFS; the goal is tighter."""
    wanted = [-0.5, *range(-5, -81, -5)]
    k = int(np.argmin([abs(m - middle) for m in midbands(bands, 48000)]))
    middle = midbands(bands, 48000)[k]
    heard = listener.bands([dithered(faded(sine(middle, 3.0, dbfs))) for dbfs in wanted], bands)
    for dbfs, row in zip(wanted, heard, strict=True):
        deviation = row[k] - dbfs  # type: ignore[operator]
        assert abs(deviation) <= (iec.LINEARITY_UPPER if dbfs >= -40 else iec.LINEARITY_BELOW), dbfs
        assert abs(deviation) <= (0.1 if dbfs >= -60 else 0.5), f"{dbfs} dBFS misses the goal: {deviation:+.3f} dB"
    assert wanted[0] - wanted[-1] >= iec.LINEARITY_RANGE


@pytest.mark.parametrize("bands", [3, 1])
def test_a_swept_tone_gives_every_band_its_share(listener: Listener, bands: int) -> None:
    """5.14: one decade in 3 s, 10 Hz to 20 kHz; what each band has heard on average against formula (17)."""
    start, end, decade = 10.0, 20000.0, 3.0
    seconds = decade * math.log10(end / start)
    t = np.arange(round(seconds * 48000)) / 48000
    rate = math.log(end / start) / seconds
    sweep = 10 ** (-10 / 20) * np.sin(2 * np.pi * start / rate * (np.exp(rate * t) - 1))
    # The discarded half second comes first, and half a second for the lowest bands to end.
    signal = np.concatenate([np.zeros(24000), sweep, np.zeros(24000)])
    (row,) = listener.bands([dithered(signal)], bands)
    blocks = (len(signal) - 24000) // 512
    for edges, level in zip(band_edges(48000, bands), row, strict=True):
        expected = iec.swept_level(-10, edges, (start, end, seconds), blocks * 512 / 48000)
        assert level == pytest.approx(expected, abs=min(iec.TIME_INVARIANCE, 0.2)), f"{edges[0]:.0f} Hz up"


@pytest.mark.parametrize("rate", [48000, 24000, 16000])
@pytest.mark.parametrize("bands", [3, 1])
def test_pink_noise_has_its_level_in_every_band(listener: Listener, bands: int, rate: int) -> None:
    noise = periodic_noise(5.0, 1.0, rate, low=5.0) * 0.05
    (row,) = listener.bands([words(np.concatenate([noise[-rate // 2 :], noise, noise]))], bands, rate)
    # A filter's skirts gather another part of one noise's ragged spectrum than an ideal band does.
    for wanted, level, (low, _) in zip(band_levels(noise, rate, bands), row, band_edges(rate, bands), strict=True):
        assert level == pytest.approx(wanted, abs=0.5 if low < 100 else 0.15), f"{low:.0f} Hz up"


# -- the same integers everywhere -------------------------------------------------------------------------------------


def hard(blocks: int) -> dict[str, Signal]:
    """What is hardest on fixed-point filters."""
    n = 512 * blocks
    t = np.arange(n) / 48000
    generator = np.random.default_rng(61260)
    return {
        "full-scale square of 20 Hz": np.sign(np.sin(2 * np.pi * 20 * t + 0.1)),
        "full-scale square of 7.9 kHz": np.sign(np.sin(2 * np.pi * 7943 * t + 0.1)),
        "steps between the rails": np.where(t < t[n // 3], -1.0, 1.0),
        "clipped noise": generator.standard_normal(n),
        "noise at -100 dBFS": generator.standard_normal(n) * 1e-5,
        "the lowest word": np.full(n, -1.0),
    }


def reference(bank: make_bands.Bank, samples: list[int], rate: int) -> list[list[int]]:
    skip = 1 if rate == 24000 else 0
    return BandReference(bank.coefficients()[skip:], bank.shifts).feed(samples)


def test_committed_filters_are_what_the_generator_writes() -> None:
    stale = [path.name for path, text in make_bands.outputs().items() if path.read_text(encoding="utf-8") != text]
    assert not stale, "run tools/make_bands.py"


@pytest.mark.parametrize("arch", [32, 64])
@pytest.mark.parametrize("rate", [48000, 24000, 16000])
@pytest.mark.parametrize("bands", [3, 1])
def test_the_virtual_machine_and_the_reference_agree_bit_for_bit(
    run_vm: Callable[..., object], app_tree: Path, bands: int, rate: int, arch: int
) -> None:
    listener = Listener(run_vm, app_tree if arch == 32 else vm.application(64))
    bank = BANKS[bands, 16000 if rate == 16000 else 48000]
    for name, signal in hard(6).items():
        got = listener.band_states(words(signal), bands, rate, arch)
        wanted = np.array(reference(bank, words(signal).tolist(), rate))
        different = np.argwhere(got != wanted)
        assert not len(different), f"{name}: block {different[0][0]}, word {different[0][1]}"


@pytest.mark.parametrize("architecture", ["xtensawin", "rv32imc"])
@pytest.mark.parametrize("bank", make_bands.BANKS, ids=lambda bank: bank.name)
def test_the_chips_machine_code_and_the_reference_agree_bit_for_bit(bank: make_bands.Bank, architecture: str) -> None:
    for name in ("steps between the rails", "clipped noise"):
        samples = words(hard(2)[name]).tolist()
        assert Bands(architecture, bank).feed(samples) == reference(bank, samples, bank.rate), name


@pytest.mark.parametrize("bank", make_bands.BANKS, ids=lambda bank: bank.name)
def test_no_signal_whatsoever_can_leave_32_bits(bank: make_bands.Bank) -> None:
    """As for the meter's own loop: the magnitudes of each impulse response, summed, times full scale.

    In front of every octave but the first stand decimators, which are not time-invariant: what they can make of full
    scale is the sum over the responses to impulses at every place between two of their outputs.
    """
    limit, full, rounding = 1 << 31, 1 << 19, 16
    n = 2048

    def filtered(x: NDArray[np.float64], a1: float, a2: float) -> NDArray[np.float64]:
        y = np.zeros(len(x))
        for k in range(len(x)):
            y[k] = x[k] + (a1 * y[k - 1] if k else 0) - (a2 * y[k - 2] if k > 1 else 0)
        return y

    def all_pass(x: NDArray[np.float64], c: int) -> NDArray[np.float64]:
        y = np.zeros(len(x))
        for k in range(len(x)):
            y[k] = c / 256 * (x[k] - (y[k - 1] if k else 0)) + (x[k - 1] if k else 0)
        return y

    def halved(x: NDArray[np.float64]) -> NDArray[np.float64]:
        first, second, other = make_bands.DECIMATOR
        late = np.concatenate([[0.0], x[1::2]])[: len(x) // 2]
        return (all_pass(all_pass(x[0::2], first), second) + all_pass(late, other)) / 2

    largest = 1.0
    for stages in range(1, 5):  # it does not grow from there
        total = 0.0
        for place in range(2**stages):
            x = np.zeros(64 * 2**stages)
            x[place] = 1.0
            for _ in range(stages):
                x = halved(x)
            total += float(np.sum(np.abs(x)))
        largest = max(largest, total)
    assert largest < 2.2
    assert largest * full * 2 * (1 << 9) < limit, "a decimated word"
    assert 2 * largest * full * make_bands.DECIMATOR[1] * 2 < limit, "a product of the decimator"
    for level, octave in enumerate(bank.coefficients()):
        scale = full * (largest if level else 1.0)
        for row in octave:
            x = np.zeros(n)
            x[[0, 2, 4, 6]] = 1, -3, 3, -1
            for k in range(3):
                a1, a2 = row[2 * k], row[2 * k + 1]
                shifted = np.abs(x).sum() * scale * 2.0 ** (9 + bank.shifts[k]) + rounding
                y = filtered(x, a1 / 512, a2 / 512) * 2.0 ** bank.shifts[k]
                bound = np.abs(y).sum() * scale + rounding
                partial = np.abs(y * 512 - np.concatenate([[0.0], y[:-1]]) * a1).sum() * scale + 512 * rounding
                for name, value in (
                    ("input", shifted), ("output", bound * 512), ("first product", bound * a2),
                    ("second product", bound * a1), ("what is left for the second product", partial),
                ):  # fmt: skip
                    assert value < limit, f"octave {level}, section {k}, {name}: {math.log2(value):.2f} bits"
                x = y
            high = bound / 2048 + 1
            samples = max(2, 512 >> level)
            for part, value in (("high", high * high), ("middle", high * 2047), ("low", 2047.0 * 2047)):
                assert value * samples < limit, f"octave {level}: {part} part of the squares"


@pytest.mark.parametrize("architecture", ["xtensawin", "rv32imc"])
@pytest.mark.parametrize(("bands", "most"), [(3, 850), (1, 400)])
def test_bands_cost_no_more_than_is_said(architecture: str, bands: int, most: int) -> None:
    """Instructions a sample, counted while the code runs, gathering the samples included."""
    code = Bands(architecture, BANKS[bands, 48000])
    code.feed(words(np.random.default_rng(7).standard_normal(1024) * 0.1).tolist())
    assert code.instructions / code.samples + copying(architecture) <= most
