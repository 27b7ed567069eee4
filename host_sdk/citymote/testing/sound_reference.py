"""The sound level meter's arithmetic a second time: plain integers, one statement a step, slow and obvious.

It is the oracle for `firmware/node/sound` (kernel*.py and block.py): after every 5 ms both must hold the same state,
bit for bit. The coefficients are written down here again, so that a slip in the generator does not correct itself.
Every intermediate value is held to 32 bits with sign: an `OverflowError` here is a wrong number on a chip.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

LIMIT = 1 << 31
LOW = (1 << 22) - 1
NO_MINIMUM = 0x3FFFFFFF


@dataclass(frozen=True)
class Coefficients:
    """m / 2^n each; high passes have ten more fraction bits."""

    rate: int
    dc_shift: int
    pole: tuple[int, int]
    zero: tuple[int, int]
    high_passes: tuple[tuple[int, int], ...]
    """20.6 Hz twice, 107.7 Hz, 737.9 Hz."""


COEFFICIENTS = {
    48000: Coefficients(48000, 11, (5, 4), (25, 6), ((87, 5), (87, 5), (225, 4), (96, 0))),
    24000: Coefficients(24000, 10, (0, 0), (9, 5), ((343, 6), (343, 6), (455, 4), (360, 1))),
    16000: Coefficients(16000, 10, (-1, 4), (51, 8), ((261, 5), (261, 5), (340, 3), (258, 0))),
}


def int32(value: int) -> int:
    """The value, if 32 bits with sign hold it."""
    if not -LIMIT <= value < LIMIT:
        raise OverflowError(f"{value} does not fit 32 bits")
    return value


@dataclass
class Reference:
    """`feed` words; `state` is the node's `st`, `averages` its `q`, after each block, in the same order."""

    rate: int = 48000
    state: list[int] = field(default_factory=lambda: [0] * 17)
    averages: list[int] = field(default_factory=lambda: [0, -40, 0, -40] + [0] * 17)
    largest: int = 0
    """The largest magnitude that any intermediate value had."""

    def __post_init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Begin a new second: energies, extremes, peaks."""
        self.averages[6:21] = [0, NO_MINIMUM, 0, NO_MINIMUM] + [0] * 10 + [-1]
        self.state[15:17] = [0, 0]

    def _fits(self, value: int) -> int:
        self.largest = max(self.largest, abs(value))
        return int32(value)

    def kernel(self, words: Iterable[int]) -> None:
        """The sample loop: filters, squares, peaks."""
        fits, st = self._fits, self.state
        c = COEFFICIENTS[self.rate]
        for word in words:
            st[16] = max(st[16], abs(word >> 12))
            x = fits((word >> 12) - (st[0] >> c.dc_shift))
            st[0] = fits(st[0] + x)
            self._square(6, x)
            y = fits((fits(st[1] * c.pole[0]) >> c.pole[1]) + x)
            x = fits((fits(st[1] * c.zero[0]) >> c.zero[1]) + y)
            st[1] = y
            for k, (m, n) in enumerate(c.high_passes):
                if k == 2:
                    st[15] = max(st[15], abs(x))
                    self._square(9, x)
                x = fits(x - (st[2 + k] >> 10))
                st[2 + k] = fits(st[2 + k] + (fits(x * m) >> n))
            self._square(12, x)

    def _square(self, at: int, x: int) -> None:
        high, low = x >> 11, x & 2047
        for k, product in enumerate((high * high, high * low, low * low)):
            self.state[at + k] = self._fits(self.state[at + k] + product)

    def block(self, word: int) -> None:
        """What follows every 5 ms; `word` is the raw word that is looked at."""
        st, q = self.state, self.averages
        q[19] |= word
        q[20] &= word
        energy = 0
        for k in range(3):
            energy = (st[6 + 3 * k] << 22) + (st[7 + 3 * k] << 12) + st[8 + 3 * k]
            st[6 + 3 * k : 9 + 3 * k] = [0, 0, 0]
            total = energy + q[10 + 3 * k] + (q[11 + 3 * k] << 22) + (q[12 + 3 * k] << 44)
            q[10 + 3 * k : 13 + 3 * k] = [total & LOW, (total >> 22) & LOW, self._fits(total >> 44)]
        mantissa, exponent = self._mantissa(energy)
        q[4] = ((exponent + 64) >> 1) << 20 | mantissa >> 8
        for k, factor in ((0, 5217), (2, 654)):
            q[k], q[k + 1] = self._average(q[k], q[k + 1], mantissa, exponent, factor)
            key = ((q[k + 1] + 64) >> 1) << 20 | q[k] >> 8
            q[6 + k] = max(q[6 + k], key)
            q[7 + k] = min(q[7 + k], key)
            if k == 0:
                q[5] = key

    @staticmethod
    def _mantissa(energy: int) -> tuple[int, int]:
        # The low 22 bits are shifted out in steps of two, as the node does.
        if energy == 0:
            return 0, -40
        exponent = 0
        while energy >> 22:
            energy >>= 2
            exponent += 2
        while energy < 1 << 20:
            energy <<= 2
            exponent -= 2
        return energy << 7, exponent

    def _average(self, m: int, e: int, new: int, new_e: int, factor: int) -> tuple[int, int]:
        if new_e > e:
            m = 0 if new_e - e > 30 else m >> (new_e - e)
            e = new_e
        else:
            new = 0 if e - new_e > 30 else new >> (e - new_e)
        difference = self._fits(new - m)
        m = self._fits(m + (self._fits((difference >> 12) * factor) >> 5))
        if m > 0:
            while m < 1 << 26 and e >= -39:
                m <<= 2
                e -= 2
            while m >= 1 << 28:
                m >>= 2
                e += 2
        return m, e

    def feed(self, words: Sequence[int], first_block: int = 0) -> None:
        """Whole blocks; `first_block` is how many the node has seen since its last `clear`."""
        size = self.rate // 200
        for k in range(0, len(words) - size + 1, size):
            self.kernel(words[k : k + size])
            number = first_block + k // size
            self.block(words[k + size - 1 - (number * 7) % size])


@dataclass
class BandReference:
    """The same for octave and third-octave bands: `feed` it words; `state` is the node's after each 512 of them.

    `coefficients` are those of each octave's bands (a1, a2 of three sections each), from the highest octave down;
    `shifts` those of the sections' inputs. One octave's part of the state: six numbers of the common zeros, six of the
    decimator, six a band, then three words of 22 bits a band, its sum of squares.
    """

    coefficients: Sequence[Sequence[Sequence[int]]]
    shifts: Sequence[int]
    largest: int = 0
    """The largest magnitude that any intermediate value had."""

    def __post_init__(self) -> None:
        self.bands = len(self.coefficients[0])
        self.size = 12 + 9 * self.bands
        self.state = [0] * (self.size * len(self.coefficients))
        self._waiting: list[int] = []

    def _fits(self, value: int) -> int:
        self.largest = max(self.largest, abs(value))
        return int32(value)

    def feed(self, words: Iterable[int]) -> list[list[int]]:
        """The state after each block that became full."""
        rows: list[list[int]] = []
        for word in words:
            self._waiting.append(word)
            if len(self._waiting) == 512:
                # Two bits lower than they came: a decimator may overshoot.
                samples = [word >> 2 for word in self._waiting]
                self._waiting = []
                for level in range(len(self.coefficients)):
                    samples = self._octave(level, samples)
                rows.append(list(self.state))
        return rows

    def _octave(self, level: int, words: list[int]) -> list[int]:
        """One octave: its bands' sums, and what goes down to the next."""
        at = level * self.size
        st = self.state[at : at + self.size]
        sums = [[0, 0, 0] for _ in range(self.bands)]
        below: list[int] = []
        for k, word in enumerate(words):
            odd = k & 1
            x = word >> 10
            for stage in range(3 * odd, 3 * odd + 3):
                x, st[stage] = self._fits(x - st[stage]), x
            for band, row in enumerate(self.coefficients[level]):
                y = x
                for section in range(3):
                    # The even samples' outputs come first in the state, the odd ones' second.
                    first = 12 + 6 * band + 2 * section
                    mine, other = first + odd, first + 1 - odd
                    rest = self._fits((y << (9 + self.shifts[section])) - self._fits(st[mine] * row[2 * section + 1]))
                    y = self._fits(self._fits(st[other] * row[2 * section]) + rest) >> 9
                    st[mine] = y
                high, low = y >> 11, y & 2047
                for part, product in enumerate((high * high, low * high, low * low)):
                    sums[band][part] = self._fits(sums[band][part] + product)
            if odd:
                below.append(self._fits(self._halve(st) << 9))
        for band, (high, middle, low) in enumerate(sums):
            place = 12 + 6 * self.bands + 3 * band
            total = (high << 22) + (middle << 12) + low
            total += st[place] + (st[place + 1] << 22) + (st[place + 2] << 44)
            st[place : place + 3] = [total & LOW, (total >> 22) & LOW, self._fits(total >> 44)]
        self.state[at : at + self.size] = st
        return below

    def _halve(self, st: list[int]) -> int:
        """Two all-pass branches; what comes in are the last even and odd sample, which the zeros keep, too."""
        even, odd = st[0], st[3]
        p, q, r, s, t, u = st[6:12]
        first = (self._fits((even - q) * 17) >> 8) + p
        upper = (self._fits((first - r) * 174) >> 8) + q
        lower = (self._fits((t - u) * 71) >> 8) + s
        st[6:12] = [even, first, upper, t, odd, lower]
        return self._fits(upper + lower)
