#!/usr/bin/env python3
"""Write the sample loops of the sound level meter: firmware/node/sound/kernel{48,24,16}.py and their 64-bit twins.

Viper keeps two variables in registers, re-loads every constant and has no unrolling, so that the fast form of the
loop is not one to write by hand. This file is the readable form: first-order sections with integer coefficients, from
which the committed sources are generated (`tools/make_sound.py`; `--check` says whether they are current, and a test
asks).

Where the coefficients come from. The analogue A and C curves of IEC 61672-1:2013 (5.5, annex E) have only real poles
(20.6 Hz twice, 107.7 Hz, 737.9 Hz, 12.194 kHz twice), so the digital ones do, too: a DC blocker 1 - k0 = 1 -
2^-shift, one pole and one zero in place of the double 12.2 kHz pole, and four high passes (1 - z^-1) / (1 - (1 - k)
z^-1). The five free numbers (three k, the pole, the zero) minimise the largest deviation of A and C, relative to 1
kHz, over the standard's frequencies from 16 Hz up to what the rate can carry, each deviation divided by the class 1
limit there; then the best neighbours among numbers of at most nine bits were searched for all five together.
`--responses` prints what came of it; tests/firmware holds it to the tables.
"""

from __future__ import annotations

import argparse
import cmath
import math
import sys
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "firmware" / "node" / "sound"
UNROLL = 4  # samples a turn of the loop: more saves little and costs code memory
FRACTION = 10  # fraction bits of the high passes' states
Ratio = tuple[int, int]  # numerator, right shift


@dataclass(frozen=True)
class Design:
    """The integers of one sample rate; a `Ratio` (m, n) stands for m / 2^n."""

    rate: int
    dc_shift: int
    pole: Ratio
    zero: Ratio
    low: Ratio  # both 20.6 Hz high passes; k = m / 2^(n + FRACTION)
    middle: Ratio  # 107.7 Hz
    high: Ratio  # 737.9 Hz
    top: int  # the highest frequency that the rate is answerable for, Hz

    @property
    def name(self) -> str:
        return f"kernel{self.rate // 1000}"

    @property
    def block(self) -> int:
        return self.rate // 200

    def response(self, frequency: float) -> tuple[complex, complex, complex]:
        """Z, C and A of this design at a frequency, not normalised."""
        d = cmath.exp(-2j * math.pi * frequency / self.rate)

        def high_pass(ratio: Ratio) -> complex:
            return (1 - d) / (1 - (1 - ratio[0] / 2 ** (ratio[1] + FRACTION)) * d)

        z = (1 - d) / (1 - (1 - 2.0**-self.dc_shift) * d)
        c = z * (1 + self.zero[0] / 2 ** self.zero[1] * d) / (1 - self.pole[0] / 2 ** self.pole[1] * d)
        c *= high_pass(self.low) ** 2
        return z, c, c * high_pass(self.middle) * high_pass(self.high)

    def gain(self, weighting: int) -> int:
        """The gain at 1 kHz in 0.001 dB, which the level has to lose again."""
        return round(20000 * math.log10(abs(self.response(1000.0)[weighting])))


DESIGNS = (
    Design(48000, 11, (5, 4), (25, 6), (87, 5), (225, 4), (96, 0), 20000),
    Design(24000, 10, (0, 0), (9, 5), (343, 6), (455, 4), (360, 1), 10000),
    Design(16000, 10, (-1, 4), (51, 8), (261, 5), (340, 3), (258, 0), 6300),
)

STATE = ("dc", "hf", "l1", "l2", "mid", "high")  # what the filters remember
SUMS = ("zh", "zm", "zl", "ch", "cm", "cl", "ah", "am", "al")  # squares, in three parts each
PEAKS = ("cp", "raw")


def _scaled(value: str, ratio: Ratio) -> str:
    product = f"{value} * {ratio[0]}"
    return f"(({product}) >> {ratio[1]})" if ratio[1] else product


def _square(h: str, m: str, low: str) -> list[str]:
    return [
        "y = x >> 11",
        f"{h} = y * y + {h}",
        f"{m} = (x & 2047) * y + {m}",
        "y = x & 2047",
        f"{low} = y * y + {low}",
    ]


def _high_pass(state: str, ratio: Ratio) -> list[str]:
    return [f"x = x - ({state} >> {FRACTION})", f"{state} = {_scaled('x', ratio)} + {state}"]


def _peak(held: str, twice: str) -> list[str]:
    # One unsigned comparison finds |x| > held on both sides.
    return [
        f"y = x + {held}",
        f"if uint(y) > uint({twice}):",
        f"    {held} = x",
        "    if x < 0:",
        f"        {held} = 0 - x",
        f"    {twice} = {held} + {held}",
    ]


def _sample(design: Design, load: str) -> list[str]:
    return [
        f"x = {load}",
        *_peak("raw", "rt"),  # the word as it came: what touches full scale is overload
        f"x = x - (dc >> {design.dc_shift})",
        "dc += x",
        *_square("zh", "zm", "zl"),
        f"y = {_scaled('hf', design.pole)} + x" if design.pole[0] else "y = x",
        f"x = {_scaled('hf', design.zero)} + y",
        "hf = y",
        *_high_pass("l1", design.low),
        *_high_pass("l2", design.low),
        *_peak("cp", "ct"),
        *_square("ch", "cm", "cl"),
        *_high_pass("mid", design.middle),
        *_high_pass("high", design.high),
        *_square("ah", "am", "al"),
    ]


NOTES = {
    48000: "A, C and Z from 10 Hz to 20 kHz.",
    24000: "The eco rate: half the work; nothing above 10 kHz is heard.",
    16000: "Indicative only: nothing above 6.3 kHz is heard, so that no class of the standard can be met.",
}


def source(design: Design, wide: bool) -> str:
    """The MicroPython module with one design's loop; `wide` for virtual machines with 64-bit words."""
    narrow = "(({}) << 32) >> 32" if wide else "{}"
    unroll = 1 if wide else UNROLL
    names = (*STATE, *SUMS, *PEAKS)
    body = ["p = ptr32(a)"]
    for k in range(unroll):
        body += _sample(design, f"(p[{k}] << 32) >> 44" if wide else f"p[{k}] >> 12")
    body.append(f"a += {4 * unroll}")
    lines = [
        f'"""{design.rate // 1000} kHz sample loop of the sound level meter.',
        "",
        NOTES[design.rate],
        "",
        "Generated by tools/make_sound.py, which says how; edit that file."
        + (" This is the form for 64-bit virtual machines." if wide else ""),
        '"""',
        "",
        "import micropython",
        "",
        "# What `st[0]` is shifted by to give the mean of the words; gain at 1 kHz of Z, C and A in 0.001 dB, which",
        "# the level has to lose again.",
        f"DESIGN = ({', '.join(str(v) for v in (design.dc_shift, *(design.gain(k) for k in range(3))))})",
        "",
        "",
        "@micropython.viper",
        "def kernel(x: int, y: int, buf: ptr32, start: int, count: int, st: ptr32):",
        *(f"    {name} = {narrow.format(f'st[{k}]')}" for k, name in enumerate(names)),
        "    ct = cp + cp",
        "    rt = raw + raw",
        "    a = int(buf) + 4 * start",
        "    end = a + 4 * count",
        "    while a < end:",
        *("        " + line for line in body),
        *(f"    st[{k}] = {name}" for k, name in enumerate(names)),
    ]
    return "\n".join(lines) + "\n"


def outputs() -> dict[Path, str]:
    """Every generated file and what belongs in it."""
    files: dict[Path, str] = {}
    for design in DESIGNS:
        files[FOLDER / f"{design.name}.py"] = source(design, wide=False)
        files[FOLDER / "wide" / f"{design.name}.py"] = source(design, wide=True)
    return files


def analogue(frequency: float) -> tuple[float, float]:
    """A and C weighting in dB by the standard's poles (IEC 61672-1:2013, 5.5.6 and annex E)."""
    f2 = frequency * frequency
    p1, p2, p3, p4 = (f * f for f in (20.598997, 107.65265, 737.86223, 12194.217))
    c = p4 * f2 / ((f2 + p1) * (f2 + p4))
    a = c * f2 / math.sqrt((f2 + p2) * (f2 + p3))
    return 20 * math.log10(a) + 1.9997, 20 * math.log10(c) + 0.0619


def _print_responses() -> None:
    for design in DESIGNS:
        print(f"{design.rate} Hz: deviation from the design goal in dB, at Hz: A, C, Z")
        reference = design.response(1000.0)
        for n in range(-20, 14):
            frequency = 1000 * 10 ** (n / 10)
            if frequency > design.top * 1.01:
                break
            z, c, a = (20 * math.log10(abs(v / r)) for v, r in zip(design.response(frequency), reference, strict=True))
            goal_a, goal_c = analogue(frequency)
            print(f"{frequency:9.1f} {a - goal_a:+7.3f} {c - goal_c:+7.3f} {z:+7.3f}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the sample loops of the sound level meter.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is not current")
    parser.add_argument("--responses", action="store_true", help="print the deviations from the design goal")
    arguments = parser.parse_args()
    if arguments.responses:
        _print_responses()
        return 0
    stale = [path for path, text in outputs().items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        print(("not current: " if arguments.check else "wrote ") + str(path.relative_to(FOLDER.parent.parent.parent)))
        if not arguments.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(outputs()[path], encoding="utf-8")
    return 1 if stale and arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
