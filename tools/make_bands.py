#!/usr/bin/env python3
"""Write the octave and third-octave filters of the sound level meter: firmware/node/sound/{third,octave}{48,16}.py.

One loop does all that one octave asks of a sample: it takes the band-pass filters' common zeros, runs the octave's
bands (three, or one), sums their squares and halves the sample rate for the octave below, in place. An outer loop goes
down the octaves, so that a block of 512 samples costs one call. This file is the readable form; the committed sources
are generated (`tools/make_bands.py`; `--check` says whether they are current, and a test asks).

Where the coefficients come from. Each band is a Butterworth band-pass filter of third order through the bilinear
transform, its edges those of IEC 61260-1:2014 (5.6, base ten) moved together by a few percent, so that the effective
bandwidth (5.11, 5.12) comes out right and pink noise is not counted twice. Coefficients have nine fraction bits and are
the octave's own: midbands of base ten drift against halved rates. What they leave is held to table 1 by the tests.

Structure. All zeros lie at plus and minus 1: the factor (1 - z^-2)^3 is common to the bands of an octave and exact, so
that a section is two products, one shift and no constant error. The shifts between the sections (`SHIFTS`) are as small
as full scale allows: a test computes the largest value that any signal can cause. The decimator is a half-band filter
of two all-pass branches (coefficients 17, 174 and 71 over 256; -75 dB from 0.383 of the rate on).
"""

from __future__ import annotations

import argparse
import cmath
import math
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "firmware" / "node" / "sound"
G = 10**0.3
FRACTION = 9  # fraction bits of the coefficients
DECIMATOR = (17, 174, 71)  # over 256
LOWEST = -15  # of the midbands 1000 * 10^(x / 10) Hz: 31.5 Hz
NARROWED = {3: 0.963, 1: 0.968}  # of the band edges' distance, in octaves
STATES = 6  # of a band: two a section
COMB = ("e1", "e2", "e3", "o1", "o2", "o3")  # the zeros, even and odd samples
HALF = ("p", "q", "r", "s", "t", "u")  # the decimator
ORDER = {3: (1, 0, -1), 1: (0,)}  # bands of an octave, as steps from its midband: highest first


@dataclass(frozen=True)
class Bank:
    """The filters of one rate (and of every rate that is a half, a quarter ... of it)."""

    rate: int
    bands: int  # in an octave
    top: int  # midband of the highest octave, as x of 1000 * 10^(x / 10) Hz
    shifts: tuple[int, int, int]  # of the input of each section, less FRACTION

    @property
    def name(self) -> str:
        return f"{'third' if self.bands == 3 else 'octave'}{self.rate // 1000}"

    @property
    def levels(self) -> int:
        return (self.top - LOWEST) // 3 + 1

    def midbands(self) -> list[list[float]]:
        """Exact midband frequencies, an octave a list, from the top."""
        return [
            [1000 * 10 ** ((self.top - 3 * level + step) / 10) for step in ORDER[self.bands]]
            for level in range(self.levels)
        ]

    def coefficients(self) -> list[list[tuple[int, ...]]]:
        """a1, a2 of the three sections of each band: y = (y1 * a1 - y2 * a2 + (x << shift)) >> FRACTION."""
        return [
            [_quantised(_poles(self.rate / 2**level, middle, self.bands)) for middle in octave]
            for level, octave in enumerate(self.midbands())
        ]

    def gains(self) -> list[list[int]]:
        """What each band makes of its midband, in 0.001 dB, decimators included."""
        return [
            [
                round(20000 * math.log10(abs(self.response(level, number, middle))))
                for number, middle in enumerate(octave)
            ]
            for level, octave in enumerate(self.midbands())
        ]

    def response(self, level: int, number: int, frequency: float) -> complex:
        """What a band makes of a tone at the bank's input, as it comes out after all decimators."""
        rate, seen, total = float(self.rate), frequency, complex(1)
        for _ in range(level):
            total *= half_band(seen / rate)
            rate /= 2
            seen = abs((seen + rate / 2) % rate - rate / 2)
        d = cmath.exp(-2j * math.pi * seen / rate)
        row = self.coefficients()[level][number]
        for k in range(3):
            a1, a2 = row[2 * k] / 2**FRACTION, row[2 * k + 1] / 2**FRACTION
            total *= (1 - d * d) / (1 - a1 * d + a2 * d * d) * 2.0 ** self.shifts[k]
        return total


BANKS = (
    Bank(48000, 3, 9, (-4, -3, -3)),
    Bank(16000, 3, 3, (-5, -3, -4)),
    Bank(48000, 1, 9, (-3, -1, -1)),
    Bank(16000, 1, 3, (-3, -2, -1)),
)


def half_band(frequency: float) -> complex:
    """The decimator's response at a frequency relative to its input's rate."""
    d = cmath.exp(-2j * math.pi * frequency)

    def all_pass(c: int) -> complex:
        return (c / 256 + d * d) / (1 + c / 256 * d * d)

    first, second, other = DECIMATOR
    return (all_pass(first) * all_pass(second) + d * all_pass(other)) / 2


def _poles(rate: float, middle: float, bands: int) -> list[complex]:
    half = math.log(G) / (2 * bands) * NARROWED[bands]
    low, high = (math.tan(math.pi * middle * math.exp(sign * half) / rate) for sign in (-1, 1))
    found: list[complex] = []
    for angle in (math.pi, 2 * math.pi / 3, 4 * math.pi / 3):
        p = cmath.exp(1j * angle) * (high - low) / 2
        root = cmath.sqrt(p * p - low * high)
        found += [(1 + s) / (1 - s) for s in (p + root, p - root)]
    # One of each conjugate pair; the most damped first, which keeps the sections in front small.
    return sorted((p for p in found if p.imag > 0), key=abs)


def _quantised(poles: list[complex]) -> tuple[int, ...]:
    row: list[int] = []
    for p in poles:
        row += [round(2 * p.real * 2**FRACTION), round(abs(p) ** 2 * 2**FRACTION)]
    return tuple(row)


def _names(bands: int) -> tuple[list[str], list[str], list[str]]:
    """States, coefficients and sums of all bands of an octave."""
    states = [f"{kind}{k}{b}" for b in range(bands) for k in range(3) for kind in ("e", "o")]
    states = [name.replace("e", "f").replace("o", "g") for name in states]
    coefficients = [f"{kind}{k}{b}" for b in range(bands) for k in range(3) for kind in ("a", "b")]
    sums = [f"{part}{b}" for b in range(bands) for part in ("h", "m", "l")]
    return states, coefficients, sums


def _sample(bank: Bank, load: str, odd: bool) -> list[str]:
    """One sample through the common zeros and all bands of the octave."""
    c = "o" if odd else "e"
    mine, other = ("g", "f") if odd else ("f", "g")
    lines = [f"x = {load}"]
    for k, (new, old) in enumerate((("y", "x"), ("x", "y"), ("y", "x")), 1):
        lines += [f"{new} = {old} - {c}{k}", f"{c}{k} = {old}"]
    if bank.bands > 1:
        lines.append("z = y")
    for b in range(bank.bands):
        if b:
            lines.append("y = z")
        # A product of two locals that are not in registers costs a spill: one operand goes through x or y.
        new, old = "x", "y"
        for k in range(3):
            lines += [
                f"{new} = {mine}{k}{b} * b{k}{b}",
                f"{old} = ({old} << {FRACTION + bank.shifts[k]}) - {new}",
                f"{new} = {other}{k}{b}",
                f"{new} = ({new} * a{k}{b} + {old}) >> {FRACTION}",
                f"{mine}{k}{b} = {new}",
            ]
            new, old = old, new
        lines += [
            "y = x >> 11",
            "x = x & 2047",
            f"m{b} = x * y + m{b}",
            f"h{b} = y * y + h{b}",
            f"l{b} = x * x + l{b}",
        ]
    return lines


def _halve() -> list[str]:
    """Two samples become one: e1 and o1 are the even and the odd one."""
    first, second, other = DECIMATOR
    return [
        f"y = (((e1 - q) * {first}) >> 8) + p",
        "p = e1",
        f"x = (((y - r) * {second}) >> 8) + q",
        "q = y",
        "r = x",
        f"y = (((t - u) * {other}) >> 8) + s",
        "s = t",
        "u = y",
        "t = o1",
    ]


def source(bank: Bank, wide: bool) -> str:
    """The MicroPython module of one bank; `wide` for virtual machines with 64-bit words."""

    def load(text: str) -> str:
        return f"({text} << 32) >> 32" if wide else text

    states, coefficients, sums = _names(bank.bands)
    kept = (*COMB, *HALF, *states)
    words = len(kept) + 3 * bank.bands
    # A sample has the upper 20 bits of a word, as in the meter's own loop. In the buffer its words are two bits lower:
    # a decimator may overshoot.
    copied = "(p[{}] << 32) >> 34" if wide else "p[{}] >> 2"
    shifted = "(p2[{}] << 32) >> 42" if wide else "p2[{}] >> 10"
    inner = [
        "p2 = ptr32(a)",
        *_sample(bank, shifted.format(0), odd=False),
        *_sample(bank, shifted.format(1), odd=True),
        *_halve(),
        "p2 = ptr32(d)",
        "p2[0] = (x + y) << 9",
        "d += 4",
        "a += 8",
    ]
    fold: list[str] = []
    for b in range(bank.bands):
        at = len(kept) + 3 * b
        # h * 2^22 + m * 2^12 + l, and what is there, into words of 22 bits
        fold += [
            f"x = k[{at}] + ((m{b} & 1023) << 12)",
            f"y = (m{b} >> 10) + (l{b} >> 22) + (x >> 22)",
            f"x = (x & 4194303) + (l{b} & 4194303)",
            f"k[{at}] = x & 4194303",
            f"y = y + (x >> 22) + k[{at + 1}] + (h{b} & 4194303)",
            f"k[{at + 1}] = y & 4194303",
            f"k[{at + 2}] = k[{at + 2}] + (h{b} >> 22) + (y >> 22)",
        ]
    body = [
        "k = ptr32(b)",
        "c = ptr16(w)",
        *(f"{name} = {load(f'k[{i}]')}" for i, name in enumerate(kept)),
        *(f"{name} = c[{i}]" for i, name in enumerate(coefficients)),
        *(f"{name} = 0" for name in sums),
        "a = int(buf)",
        "d = a",
        "end = a + 4 * count",
        "while a < end:",
        *("    " + line for line in inner),
        "k = ptr32(b)",
        *(f"k[{i}] = {name}" for i, name in enumerate(kept)),
        *fold,
        f"b += {4 * words}",
        f"w += {2 * len(coefficients)}",
        "count = count >> 1",
        "levels -= 1",
    ]
    rows = [row for octave in bank.coefficients() for row in octave]
    gains = [gain for octave in bank.gains() for gain in octave]
    kind = "Third-octave" if bank.bands == 3 else "Octave"
    lowest, highest = ("25 Hz", "10 kHz") if bank.bands == 3 else ("31.5 Hz", "8 kHz")
    if bank.rate == 16000:
        highest = "2.5 kHz" if bank.bands == 3 else "2 kHz"
    lines = [
        f'"""{kind} bands from {lowest} to {highest}, at {bank.rate // 1000} kHz'
        + (" and, without the octave on top, at 24 kHz." if bank.rate == 48000 else "."),
        "",
        "Generated by tools/make_bands.py, which says how; edit that file."
        + (" This is the form for 64-bit virtual machines." if wide else ""),
        '"""',
        "",
        "import micropython",
        "",
        "# bands an octave, octaves, words of state an octave, of which so many in front of the sums",
        f"SHAPE = ({bank.bands}, {bank.levels}, {words}, {len(kept)})",
        "# gain at midband in 0.001 dB, 16 bits each, from the highest band down",
        *_assigned("GAINS", [gains]),
        "# a1, a2 of three sections a band, over 512, 16 bits each",
        *_assigned("COEFFICIENTS", rows),
        "",
        "",
        "@micropython.viper",
        "def cascade(x: int, y: int, buf: ptr32, count: int, st: ptr32, coefficients: ptr16, levels: int):",
        "    b = int(st)",
        "    w = int(coefficients)",
        "    while levels:",
        *("        " + line for line in body),
        "",
        "",
        "@micropython.viper",
        "def take(x: int, y: int, words: ptr32, at: int, count: int, buf: ptr32, fill: int):",
        "    # Words, a multiple of four, behind what the buffer holds.",
        "    x = int(words) + 4 * at",
        "    y = int(buf) + 4 * fill",
        "    end = x + 4 * count",
        "    while x < end:",
        "        p = ptr32(x)",
        "        q = ptr32(y)",
        *(f"        q[{i}] = {copied.format(i)}" for i in range(4)),
        "        x += 16",
        "        y += 16",
    ]
    return "\n".join(lines) + "\n"


def _assigned(name: str, rows: list[tuple[int, ...]] | list[list[int]]) -> list[str]:
    """Numbers of 16 bits as a bytes literal: on the node that is nothing but its bytes."""
    data = b"".join(struct.pack("<h", number) for row in rows for number in row)
    parts = ['b"' + "".join(f"\\x{byte:02x}" for byte in data[k : k + 24]) + '"' for k in range(0, len(data), 24)]
    return [f"{name} = {parts[0]}"] if len(parts) == 1 else [f"{name} = (", *("    " + part for part in parts), ")"]


def outputs() -> dict[Path, str]:
    """Every generated file and what belongs in it."""
    files: dict[Path, str] = {}
    for bank in BANKS:
        files[FOLDER / f"{bank.name}.py"] = source(bank, wide=False)
        files[FOLDER / "wide" / f"{bank.name}.py"] = source(bank, wide=True)
    return files


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the octave and third-octave filters of the sound level meter.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is not current")
    arguments = parser.parse_args()
    wanted = outputs()
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        print(("not current: " if arguments.check else "wrote ") + str(path.relative_to(FOLDER.parent.parent.parent)))
        if not arguments.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path], encoding="utf-8")
    return 1 if stale and arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
