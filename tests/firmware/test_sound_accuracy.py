"""The meter's signal processing against the class 1 limits of IEC 61672-1:2013, measured through the node's own code.

Every signal goes as 24-bit words through the precompiled firmware in a MicroPython VM; levels are relative to a
full-scale sine. The goals are the project's, tighter than the standard's limits. Some lists have few values on purpose:
the longer ones, marked slow, run with `make test-long`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.support import iec61672 as iec
from tests.support.sound import Heard, Listener, Signal, dithered, periodic_noise, sine, words

from citymote.testing.street import a_weighting, c_weighting, level, mean_power

TOP = {48000: 20000, 24000: 8000, 16000: 6300}
"""Highest nominal frequency that a rate answers for."""


@pytest.fixture(scope="module")
def listener(run_vm: Callable[..., object], app_tree: Path) -> Listener:
    return Listener(run_vm, app_tree)


def exact(signal: Signal, rate: int = 48000) -> tuple[float, float]:
    """LAeq and LCeq of a periodic signal by weighting its spectrum exactly."""
    return level(signal, rate, "A"), level(signal, rate, "C")


@pytest.fixture(scope="module")
def weightings(listener: Listener) -> dict[int, dict[float, tuple[float, float, float]]]:
    """rate -> nominal frequency -> measured A, C and Z relative to 1 kHz."""
    found: dict[int, dict[float, tuple[float, float, float]]] = {}
    for rate, top in TOP.items():
        rows = [row for row in iec.WEIGHTINGS if row.nominal <= top]
        # Whole 5 ms blocks cut a period off at low frequencies: two seconds make that small, no window is needed.
        heard = listener.levels([dithered(sine(row.exact, 2.5, -20, rate)) for row in rows], rate)
        one = next(h for row, h in zip(rows, heard, strict=True) if row.nominal == 1000)
        found[rate] = {
            row.nominal: (h.laeq - one.laeq, h.lceq - one.lceq, h.lzeq - one.lzeq)  # type: ignore[operator]
            for row, h in zip(rows, heard, strict=True)
        }
    return found


@pytest.mark.parametrize("rate", TOP)
@pytest.mark.parametrize("weighting", ["A", "C", "Z"])
def test_weightings_are_within_class_1_at_every_nominal_frequency(
    weightings: dict[int, dict[float, tuple[float, float, float]]], rate: int, weighting: str
) -> None:
    """Table 3, A, C and Z."""
    for row in iec.WEIGHTINGS:
        if row.nominal > TOP[rate]:
            continue
        goal = {"A": row.a, "C": row.c, "Z": 0.0}[weighting]
        deviation = weightings[rate][row.nominal]["ACZ".index(weighting)] - goal
        low, high = row.class1
        assert (low is None or deviation >= low) and deviation <= high, f"{row.nominal} Hz: {deviation:+.3f} dB"


@pytest.mark.parametrize("weighting", ["A", "C"])
def test_weightings_at_48_khz_keep_the_projects_goal(
    weightings: dict[int, dict[float, tuple[float, float, float]]], weighting: str
) -> None:
    deviations = {
        row.nominal: weightings[48000][row.nominal]["AC".index(weighting)] - (row.a if weighting == "A" else row.c)
        for row in iec.WEIGHTINGS
        if 16 <= row.nominal <= 16000
    }
    worst = max(deviations, key=lambda f: abs(deviations[f]))
    assert abs(deviations[worst]) <= 0.15, f"{worst} Hz: {deviations[worst]:+.3f} dB"


def test_a_c_and_z_agree_at_1_khz(listener: Listener) -> None:
    """5.5.9."""
    (heard,) = listener.levels([words(sine(1000, 2))])
    assert heard.laeq == pytest.approx(-20, abs=0.01)
    assert heard.lceq == pytest.approx(heard.laeq, abs=min(iec.C_OR_Z_AGAINST_A, 0.01))
    assert heard.lzeq == pytest.approx(heard.laeq, abs=min(iec.C_OR_Z_AGAINST_A, 0.01))


def test_s_and_time_average_agree_with_f_on_a_steady_tone(listener: Listener) -> None:
    """5.8.3; the goal is tighter."""
    (heard,) = listener.levels([words(sine(1000, 10))])
    assert heard.las_max == pytest.approx(heard.laf_max, abs=min(iec.S_AGAINST_F, 0.02))
    assert heard.laeq == pytest.approx(heard.laf_max, abs=0.02)
    assert heard.laf_min == pytest.approx(heard.laf_max, abs=0.02)


def bursts(milliseconds: float, count: int, seed: int = 3) -> list[Signal]:
    """A 4 kHz toneburst at several places relative to the meter's blocks, in silence."""
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        signal = np.zeros(round((0.7 + milliseconds / 1000 + 0.12) * 48000))
        burst = sine(4000, milliseconds / 1000, -10)
        start = round(0.6 * 48000) + int(generator.integers(0, 240))
        signal[start : start + len(burst)] = burst
        found.append(signal)
    return found


@pytest.fixture(scope="module")
def steady_4k(listener: Listener) -> Heard:
    return listener.levels([words(sine(4000, 9, -10))])[0]


def _burst_deviations(
    listener: Listener, rows: tuple[iec.Burst, ...], count: int, measure: Callable[[Heard], float]
) -> dict[float, tuple[float, float]]:
    """Duration -> the smallest and largest deviation from the reference response."""
    signals = [dithered(s) for row in rows for s in bursts(row.milliseconds, count)]
    heard = iter(listener.levels(signals))
    found = {}
    for row in rows:
        values = [measure(next(heard)) - row.reference for _ in range(count)]
        found[row.milliseconds] = (min(values), max(values))
    return found


def _within_class_1(rows: tuple[iec.Burst, ...], found: dict[float, tuple[float, float]], goal: float) -> None:
    for row in rows:
        low, high = found[row.milliseconds]
        assert row.class1[0] <= low and high <= row.class1[1], f"{row.milliseconds} ms: {low:+.3f} to {high:+.3f} dB"
        assert max(-low, high) <= goal, f"{row.milliseconds} ms misses the goal: {low:+.3f} to {high:+.3f} dB"


def test_tonebursts_with_f(listener: Listener, steady_4k: Heard) -> None:
    """Table 4, time weighting F."""
    found = _burst_deviations(listener, iec.BURSTS_F, 6, lambda h: h.laf_max - steady_4k.laf_max)
    _within_class_1(iec.BURSTS_F, found, 0.3)


def test_tonebursts_with_s(listener: Listener, steady_4k: Heard) -> None:
    """Table 4, time weighting S."""
    found = _burst_deviations(listener, iec.BURSTS_S, 4, lambda h: h.las_max - steady_4k.las_max)
    _within_class_1(iec.BURSTS_S, found, 0.3)


def test_tonebursts_as_exposure(listener: Listener, steady_4k: Heard) -> None:
    """Table 4, sound exposure level."""

    def exposure(heard: Heard) -> float:
        assert heard.laeq is not None and steady_4k.laeq is not None
        return heard.laeq + 10 * math.log10(heard.blocks * 0.005) - steady_4k.laeq

    found = _burst_deviations(listener, iec.BURSTS_EXPOSURE, 3, exposure)
    _within_class_1(iec.BURSTS_EXPOSURE, found, 0.3)


def test_levels_decay_at_the_rates_of_f_and_s(listener: Listener) -> None:
    """5.8.2."""
    signal = np.concatenate([sine(4000, 6, -10), np.zeros(3 * 48000)])
    (heard,) = listener.levels([dithered(signal)])
    first = next(k for k, v in enumerate(heard.fast) if v < heard.fast[k - 1] - 2)
    fast = [a - b for a, b in zip(heard.fast[first + 1 :], heard.fast[first + 2 : first + 9], strict=False)]
    slow = [a - b for a, b in zip(heard.slow[first + 1 :], heard.slow[first + 2 : first + 17], strict=False)]
    # Samples are taken every 120 or 140 ms, as 20 ms reads allow: 125 on average.
    rate_f, rate_s = sum(fast) / len(fast) / 0.125, sum(slow) / len(slow) / 0.125
    assert iec.DECAY_F[0] < rate_f < iec.DECAY_F[1]
    assert iec.DECAY_S[0] < rate_s < iec.DECAY_S[1]
    assert rate_f == pytest.approx(34.7, rel=0.06)
    assert rate_s == pytest.approx(4.34, rel=0.06)


@pytest.mark.parametrize("row", iec.PEAKS, ids=lambda row: f"{row.cycles} cycle of {row.frequency} Hz")
def test_c_weighted_peak(listener: Listener, row: iec.Peak) -> None:
    """Table 5."""
    steady = sine(row.frequency, 2, -10)
    signals = [words(steady)]
    for k in range(8):
        # The tone begins between two samples, at eight places.
        t = (np.arange(48000) - 30000 - k / 8) / 48000
        length = 1 / row.frequency if row.cycles == "one" else 0.5 / row.frequency
        sign = -1 if row.cycles.startswith("negative") else 1
        part = np.where((t >= 0) & (t < length), np.sin(2 * np.pi * row.frequency * t), 0)
        signals.append(dithered(sign * 10 ** (-10 / 20) * part))
    heard = listener.levels(signals)
    assert heard[0].lceq is not None
    deviations = [h.lc_peak - heard[0].lceq - row.reference for h in heard[1:]]
    assert max(map(abs, deviations)) <= row.class1, [round(d, 2) for d in deviations]
    # 8 kHz falls between two samples at 48 kHz: the crest of the only cycle may be up to half a sample away.
    assert max(map(abs, deviations)) <= (1.0 if row.frequency == 8000 else 0.5), [round(d, 2) for d in deviations]


def test_levels_are_linear_over_more_than_90_db(listener: Listener) -> None:
    """5.6.5 asks for 60 dB; the goal is 0.1 dB down to -90 dBFS."""
    wanted = [-0.5, -1.0, -2.0, *range(-5, -96, -5)]
    heard = listener.levels([dithered(sine(1000, 1.5, dbfs)) for dbfs in wanted])
    for dbfs, h in zip(wanted, heard, strict=True):
        for name, value in (("A", h.laeq), ("C", h.lceq), ("F", h.laf_max)):
            goal = 0.1 if dbfs >= -90 else iec.LINEARITY_TOTAL
            assert value == pytest.approx(dbfs, abs=goal), f"{name} of {dbfs} dBFS"


def test_small_steps_of_level_come_out_as_they_went_in(listener: Listener) -> None:
    """5.6.5: changes of 1 to 10 dB; the goal is tighter."""
    wanted = [-40 - k for k in range(11)]
    heard = listener.levels([dithered(sine(1000, 1.5, dbfs)) for dbfs in wanted])
    steps = [b.laeq - a.laeq for a, b in itertools.pairwise(heard)]  # type: ignore[operator]
    assert steps == pytest.approx([-1.0] * 10, abs=min(iec.LINEARITY_STEP, 0.02))
    assert heard[-1].laeq - heard[0].laeq == pytest.approx(-10, abs=min(iec.LINEARITY_STEP, 0.02))  # type: ignore[operator]


PINK = (-12, -20, -60, -90, -100)


@pytest.mark.parametrize("rate", TOP)
def test_pink_noise_agrees_with_exact_weighting(listener: Listener, rate: int) -> None:
    """From loud to near the converter's floor; A and C by exact frequency-domain weighting of the same samples."""
    noise = periodic_noise(2.5, 1.0, rate)
    a, c = exact(noise, rate)
    gains = [dbfs - a for dbfs in PINK]
    heard = listener.levels(
        [words(np.tile(noise, 3)[: len(noise) * 2 + rate // 2] * 10 ** (g / 20)) for g in gains], rate
    )
    # Half a second is discarded; what is left are two whole periods.
    for dbfs, gain, h in zip(PINK, gains, heard, strict=True):
        # At the lower rates the same rounding noise lies in a narrower band.
        goal = 0.05 if rate == 48000 or dbfs >= -90 else 0.2
        assert h.laeq == pytest.approx(dbfs, abs=goal), f"A of {dbfs} dBFS"
        assert h.lceq == pytest.approx(c + gain, abs=goal), f"C of {dbfs} dBFS"


def test_other_noises_agree_with_exact_weighting(listener: Listener) -> None:
    signals = {"white": periodic_noise(2.5, 0.0), "brown": periodic_noise(2.5, 2.0), "rumble": periodic_noise(2.5, 3.0)}
    scaled = {name: 0.1 * s / np.max(np.abs(s)) for name, s in signals.items()}
    heard = listener.levels([words(np.tile(s, 3)[: len(s) * 2 + 24000]) for s in scaled.values()])
    for (name, signal), h in zip(scaled.items(), heard, strict=True):
        a, c = exact(signal)
        assert h.laeq == pytest.approx(a, abs=0.06), name
        assert h.lceq == pytest.approx(c, abs=0.09), name


def test_overload_is_shown_before_a_sine_clips_and_not_far_below(listener: Listener) -> None:
    for frequency in (31.5, 1000, 4000, 12000):
        quiet, loud = listener.levels([words(sine(frequency, 1, -3)), words(sine(frequency, 1, 0.3))])
        assert not quiet.overload, frequency
        assert loud.overload, frequency


def test_positive_and_negative_half_cycles_overload_alike(listener: Listener) -> None:
    """5.11.3: the levels at which overload is first shown, with half cycles of either sign, differ by little."""
    for frequency in (31.5, 1000, 4000):
        first = []
        for sign in (1, -1):
            steps = np.arange(-3, 1.01, 0.25)
            signals = []
            for dbfs in steps:
                signal = np.zeros(48000)
                half = 10 ** (dbfs / 20) * np.sin(
                    np.pi * np.arange(round(24000 / frequency)) / round(24000 / frequency)
                )
                signal[36000 : 36000 + len(half)] = sign * half
                signals.append(dithered(signal))
            shown = [dbfs for dbfs, h in zip(steps, listener.levels(signals), strict=True) if h.overload]
            assert shown, f"{frequency} Hz, {sign:+d}: never shown"
            first.append(shown[0])
        assert abs(first[0] - first[1]) <= min(iec.OVERLOAD_HALF_CYCLES, 0.25), frequency


def test_percentiles_are_of_laf_at_125_ms(listener: Listener) -> None:
    """One quarter of the time 20 dB louder: L10 is the loud level, L50 and L90 the quiet one."""
    signal = np.concatenate([sine(1000, 9.5, -60), sine(1000, 3, -40)])
    (heard,) = listener.levels([words(signal)])
    assert heard.l10 == pytest.approx(-40, abs=0.1)
    assert heard.l50 == pytest.approx(-60, abs=0.1)
    assert heard.l90 == pytest.approx(-60, abs=0.1)


def test_the_first_half_second_is_not_heard(listener: Listener) -> None:
    signal = np.concatenate([sine(1000, 0.24, -3), sine(1000, 1.26, -60)])
    (heard,) = listener.levels([words(signal)])
    assert heard.blocks == 200
    assert heard.laeq == pytest.approx(-60, abs=0.1)
    assert heard.laf_max == pytest.approx(-60, abs=0.1)


@pytest.mark.slow
def test_tonebursts_at_many_places(listener: Listener, steady_4k: Heard) -> None:
    found = _burst_deviations(listener, iec.BURSTS_F, 48, lambda h: h.laf_max - steady_4k.laf_max)
    _within_class_1(iec.BURSTS_F, found, 0.3)


@pytest.mark.slow
@pytest.mark.parametrize("frequency", [31.5, 125, 1000, 4000, 8000])
def test_linearity_of_c_at_many_levels_and_frequencies(listener: Listener, frequency: float) -> None:
    wanted = list(range(-1, -81, -3))
    goal = next(row.c for row in iec.WEIGHTINGS if row.nominal == frequency)
    heard = listener.levels([dithered(sine(frequency, 2.5, dbfs)) for dbfs in wanted])
    for dbfs, h in zip(wanted, heard, strict=True):
        assert h.lceq == pytest.approx(dbfs + goal, abs=0.2), dbfs


def test_the_yardstick_itself_agrees_with_the_tables() -> None:
    """The exact weighting that the noises are held against, at every frequency of table 3."""
    frequency = np.array([row.exact for row in iec.WEIGHTINGS])
    assert 10 * np.log10(a_weighting(frequency)) == pytest.approx([row.a for row in iec.WEIGHTINGS], abs=0.005)
    assert 10 * np.log10(c_weighting(frequency)) == pytest.approx([row.c for row in iec.WEIGHTINGS], abs=0.005)
    tone = sine(1000, 1, 0)
    assert mean_power(tone, 48000) == pytest.approx(0.5)
