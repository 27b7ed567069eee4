"""The sound level meter: instructions a sample on chips, errors against standard and exact weighting, beside others.

Instructions are counted while interpreters execute the chips' machine code (tests/support/machine). Shares of a chip
are estimates from those counts and from stated cycles per instruction; copying by the I2S driver, interrupts and
contention are not in them. Errors are the largest magnitudes over the tables of IEC 61672-1:2013 and over noises, a
sweep, bursts, street sound and a recording; exact is the response of the standard's analogue filter, as scipy computes
it, applied to their spectrum. Others get the same signals as floats. Bands are held against ideal ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from tests.bench import sound_peers
from tests.bench.measuring import note
from tests.bench.recording import recording
from tests.support import iec61672 as iec
from tests.support import vm
from tests.support.machine.metering import Bands, Meter, copying
from tests.support.sound import Heard, Listener, Signal, dithered, periodic_noise, sine, words

import aptget
import make_bands
from citymote.testing.street import band_edges, band_levels, level, street

FAMILY = "sound"
RATE = 48000
CHIPS = {
    # architecture, clock in MHz, cycles an instruction: a range's middle, see docs/sound.md
    "esp32": ("xtensawin", 240, 1.3),
    "esp32c3": ("rv32imc", 160, 1.3),
}


def instructions() -> dict[str, float]:
    """Counted over 50 ms of street sound, after 5 ms in which the peaks are found."""
    sound = words(street(RATE).samples[: RATE // 20 + 240] * 1e-3).tolist()
    metrics: dict[str, float] = {}
    for architecture in ("rv32imc", "xtensawin"):
        meter = Meter(architecture, RATE)
        meter.feed(sound[:240])
        before = meter.instructions, meter.samples
        meter.feed(sound[240:])
        count = (meter.instructions - before[0]) / (meter.samples - before[1])
        metrics[f"sound.instructions_per_sample.{architecture}"] = round(count, 1)
        for bank in make_bands.BANKS:
            if bank.rate == RATE:
                bands = Bands(architecture, bank)
                bands.feed(sound[: 4 * 512])
                count = bands.instructions / bands.samples + copying(architecture)
                metrics[f"sound.instructions_per_sample.{architecture}.{bank.name[:-2]}_bands"] = round(count, 1)
    for chip, (architecture, megahertz, cycles) in CHIPS.items():
        levels = metrics[f"sound.instructions_per_sample.{architecture}"]
        for suffix in ("", ".octave_bands", ".third_bands"):
            count = levels + (metrics[f"sound.instructions_per_sample.{architecture}{suffix}"] if suffix else 0)
            share = count * cycles * RATE / megahertz / 1e4
            metrics[f"sound.share_percent_estimated.{chip}{suffix}"] = round(share, 1)
    return metrics


def listener() -> Listener:
    return Listener(vm.run, vm.application(vm.best(32).bits))


def _value(number: float | None) -> float:
    if number is None:
        raise AssertionError("the meter heard nothing")
    return number


def weightings(meter: Listener) -> dict[str, float]:
    rows = [row for row in iec.WEIGHTINGS if 16 <= row.nominal <= 16000]
    heard = meter.levels([dithered(sine(row.exact, 2.5)) for row in rows])
    one = next(h for row, h in zip(rows, heard, strict=True) if row.nominal == 1000)
    a = [_value(h.laeq) - _value(one.laeq) - row.a for row, h in zip(rows, heard, strict=True)]
    c = [_value(h.lceq) - _value(one.lceq) - row.c for row, h in zip(rows, heard, strict=True)]
    return {"weighting_a": max(map(abs, a)), "weighting_c": max(map(abs, c))}


def _burst(milliseconds: float, place: int) -> Signal:
    signal = np.zeros(round((0.72 + milliseconds / 1000) * RATE))
    burst = sine(4000, milliseconds / 1000, -10)
    signal[round(0.6 * RATE) + place :][: len(burst)] = burst
    return signal


def tonebursts(meter: Listener) -> dict[str, float]:
    steady = meter.levels([words(sine(4000, 9, -10))])[0]
    places = range(0, 240, 20)
    measures: tuple[tuple[tuple[iec.Burst, ...], Callable[[Heard], float]], ...] = (
        (iec.BURSTS_F, lambda h: h.laf_max - steady.laf_max),
        (iec.BURSTS_S, lambda h: h.las_max - steady.las_max),
        (iec.BURSTS_EXPOSURE, lambda h: _value(h.laeq) + 10 * math.log10(h.blocks * 0.005) - _value(steady.laeq)),
    )
    worst = 0.0
    for rows, measure in measures:
        heard = iter(meter.levels([dithered(_burst(row.milliseconds, p)) for row in rows for p in places]))
        for row in rows:
            worst = max(worst, *(abs(measure(next(heard)) - row.reference) for _ in places))
    return {"toneburst": worst}


def peaks(meter: Listener) -> dict[str, float]:
    worst = 0.0
    for row in iec.PEAKS:
        signals = [words(sine(row.frequency, 2, -10))]
        for k in range(16):
            t = (np.arange(RATE) - 30000 - k / 16) / RATE
            length = 1 / row.frequency if row.cycles == "one" else 0.5 / row.frequency
            sign = -1 if row.cycles.startswith("negative") else 1
            part = np.where((t >= 0) & (t < length), np.sin(2 * np.pi * row.frequency * t), 0)
            signals.append(dithered(sign * 10 ** (-10 / 20) * part))
        steady, *heard = meter.levels(signals)
        worst = max(worst, *(abs(h.lc_peak - _value(steady.lceq) - row.reference) for h in heard))
    return {"peak_c": worst}


def linearity(meter: Listener) -> dict[str, float]:
    wanted = [-1.0, *range(-5, -91, -5)]
    heard = meter.levels([dithered(sine(1000, 1.5, dbfs)) for dbfs in wanted])
    return {"linearity_90db": max(abs(_value(h.laeq) - dbfs) for dbfs, h in zip(wanted, heard, strict=True))}


def _sweep() -> Signal:
    """20 Hz to 20 kHz in two and a half seconds, and from the start again."""
    n = round(2.5 * RATE)
    t = np.arange(n) / RATE
    fade = np.minimum(1, np.minimum(np.arange(n), n - np.arange(n)) / 2400)
    return fade * np.sin(2 * np.pi * 20 * 2.5 / math.log(1000) * (1000 ** (t / 2.5) - 1))


def noises() -> dict[str, list[Signal]]:
    """Periodic in 2.5 s (the street in 10), so that their weighted level is exact."""
    pink = periodic_noise(2.5, 1.0)
    scaled = [pink * 10 ** ((dbfs - level(pink, RATE)) / 20) for dbfs in (-12, -20, -40, -60, -80, -90, -100)]
    kinds = {
        "pink": scaled,
        "white": [periodic_noise(2.5, 0.0) * 0.1],
        "brown": [periodic_noise(2.5, 2.0) * 0.1],
        "sweep": [_sweep() * 0.1],
        "bursts": [np.concatenate([_burst(100, 0), np.zeros(round(2.5 * RATE) - len(_burst(100, 0)))])],
        "street": [street(RATE).samples * 10 ** (-55 / 20)],
    }
    try:
        sound = recording()
    except (aptget.Unavailable, OSError) as error:
        note(f"no recording here ({error}): its error is left out")
    else:
        sound = sound[: len(sound) // 240 * 240]
        fade = np.minimum(1, np.minimum(np.arange(len(sound)), np.arange(len(sound))[::-1]) / 2400)
        kinds["recording"] = [sound * fade]
    return kinds


def against_exact(meter: Listener) -> dict[str, float]:
    """The largest error of LAeq per kind of sound: ours, and each other library that could be installed."""
    kinds = noises()
    names = [kind for kind, signals in kinds.items() for _ in signals]
    signals = [signal for of_kind in kinds.values() for signal in of_kind]
    ours = [level(s, RATE) for s in signals]
    # Half a second is discarded; then whole periods. Dithered: the meter takes digital silence for a missing chip.
    heard = meter.levels([dithered(np.concatenate([s[-RATE // 2 :], s, s])) for s in signals])
    found = {"": [_value(h.laeq) for h in heard]}
    pink = periodic_noise(5.0, 1.0, low=5.0) * 0.05
    others = sound_peers.levels([np.concatenate([s, s]) for s in signals], [np.concatenate([pink, pink])])
    if not others:
        note("scipy, pyfar and PyOctaveBand are not in build/peers/sound: exact is our own, theirs is left out")
    exact = others.pop("a.exact", ours)
    metrics = {"sound.max_abs_error_db.yardstick": max(abs(a - b) for a, b in zip(ours, exact, strict=True))}
    metrics.update(against_ideal_bands(meter, pink, others.pop("t.pyoctaveband", [])))
    found.update({name[1:]: values for name, values in others.items()})
    for suffix, values in found.items():
        for kind, value, wanted in zip(names, values, exact, strict=True):
            name = f"sound.max_abs_error_db.{kind}{suffix}"
            metrics[name] = max(metrics.get(name, 0.0), abs(value - wanted))
    return metrics


def against_ideal_bands(meter: Listener, pink: Signal, theirs: list[list[float]]) -> dict[str, float]:
    """Third octaves of pink noise from 100 Hz up: below, one noise's spectrum is too ragged to say whose skirts err."""
    (heard,) = meter.bands([dithered(np.concatenate([pink[-RATE // 2 :], pink, pink]))], 3)
    ideal = band_levels(pink, RATE, 3)
    high = [k for k, (low, _) in enumerate(band_edges(RATE, 3)) if low > 85]
    metrics = {"sound.max_abs_error_db.third_bands": max(abs(_value(heard[k]) - ideal[k]) for k in high)}
    for row in theirs:
        metrics["sound.max_abs_error_db.third_bands.pyoctaveband"] = max(abs(row[k] - ideal[k]) for k in high)
    return metrics


def speed(meter: Listener) -> dict[str, float]:
    """CPU milliseconds that the 32-bit VM of this machine needs for a second of sound."""
    sound = words(np.tile(street(RATE).samples, 4) * 1e-3)
    short = words(street(RATE).samples[: RATE * 2] * 1e-3)

    def seconds(signal: Any) -> float:
        best = math.inf
        for _ in range(5):
            began = _children()
            meter.levels([signal])
            best = min(best, _children() - began)
        return best

    spent = (seconds(sound) - seconds(short)) / 38
    return {"sound.vm32_ms_per_second": round(1000 * spent, 2)}


def _children() -> float:
    """CPU seconds of ended child processes."""
    import resource

    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def measure() -> dict[str, float]:
    metrics = instructions()
    meter = listener()
    errors = {**weightings(meter), **tonebursts(meter), **peaks(meter), **linearity(meter)}
    metrics.update({f"sound.max_abs_error_db.{name}": value for name, value in errors.items()})
    metrics.update(against_exact(meter))
    metrics.update(speed(meter))
    return {name: round(value, 3) for name, value in metrics.items()}
