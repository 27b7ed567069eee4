"""Levels in octave or third-octave bands (IEC 61260-1:2014), if the meter is asked for them; not loaded otherwise.

Samples are gathered to blocks of 512, which one call of the generated filters (`third*`, `octave*`) takes down all
octaves. Their sums of squares are kept apart for the running second, because a second with broken wires does not enter
the interval; a block belongs to the second in which it is full.
"""

# pyright: reportArgumentType=false
# (the stubs do not know that viper's pointers take any buffer)

import sys
from array import array
from struct import unpack_from

import micropython

from .decibel import add_to_words, energy, level_of_words
from .decibel import level as decibels

_BLOCK = 512
_LOWEST = {3: 144, 1: 128}  # leq_third_25, leq_octave_31_5; the others follow with their frequency


def _filters(rate, bands):
    wide = sys.maxsize > 0x7FFFFFFF
    if bands == 3:
        if rate == 16000:
            if wide:
                from .wide import third16 as module
            else:
                from . import third16 as module
        elif wide:
            from .wide import third48 as module
        else:
            from . import third48 as module
    elif rate == 16000:
        if wide:
            from .wide import octave16 as module
        else:
            from . import octave16 as module
    elif wide:
        from .wide import octave48 as module
    else:
        from . import octave48 as module
    return module


@micropython.viper
def settle(x: int, i: int, st: ptr32, sums: ptr32, shape: int, keep: int):
    """Clear the second's sums; `keep`: add them to the interval's before. `shape` is the Bank's."""
    words = shape & 255
    at = (shape >> 8) & 255
    each = (shape >> 16) & 255
    levels = shape >> 24
    to = 0
    while levels:
        i = 0
        while i < each:
            if keep:
                x = sums[to] + st[at]
                sums[to] = x & 4194303
                x = sums[to + 1] + st[at + 1] + (x >> 22)
                sums[to + 1] = x & 4194303
                sums[to + 2] = sums[to + 2] + st[at + 2] + (x >> 22)
            st[at] = 0
            st[at + 1] = 0
            st[at + 2] = 0
            at += 3
            to += 3
            i += 3
        at += words - each
        levels -= 1


class Bank:
    """`feed` it words; `second(keep)` ends a second; `level(k, base)` is band k's; `clear` begins an interval.

    Bands are numbered from the highest down; `quantities` are theirs. Energies are three words of 22 bits, as in
    `decibel`.
    """

    def __init__(self, rate, bands):
        module = _filters(rate, bands)
        _, levels, words, first = module.SHAPE
        skip = 1 if rate == 24000 else 0  # the filters of 48 kHz without their first octave
        levels -= skip
        self._cascade = module.cascade
        self._take = module.take
        self._gains = unpack_from("<%dh" % (bands * levels), module.GAINS, 2 * bands * skip)
        self._coefficients = memoryview(module.COEFFICIENTS)[12 * bands * skip :]
        self._bands = bands
        self._levels = levels
        # of each octave: words of state, where the second's sums are in them, how many; and how many octaves
        self._shape = words | first << 8 | 3 * bands << 16 | levels << 24
        self.state = array("i", bytes(4 * words * levels))
        self._sums = array("i", bytes(12 * bands * levels))
        self._buf = bytearray(4 * _BLOCK)
        lowest = _LOWEST[bands]
        self.quantities = tuple(range(lowest + bands * levels - 1, lowest - 1, -1))
        self.restart()
        self.clear()

    def restart(self):
        """The words that follow do not continue what came before."""
        st = self.state
        for i in range(len(st)):
            st[i] = 0
        self._fill = 0
        self._fresh = 0  # blocks in the second's sums

    def clear(self):
        sums = self._sums
        for i in range(len(sums)):
            sums[i] = 0
        self.blocks = 0  # in the interval's sums

    def feed(self, words, at, count):
        """`count` words, from number `at` on."""
        fill = self._fill
        while count:
            n = _BLOCK - fill
            if n > count:
                n = count
            self._take(0, 0, words, at, n, self._buf, fill)
            at += n
            count -= n
            fill += n
            if fill == _BLOCK:
                fill = 0
                self._fresh += 1
                self._cascade(0, 0, self._buf, _BLOCK, self.state, self._coefficients, self._levels)
        self._fill = fill

    def second(self, keep):
        """End the running second; its sums enter the interval only if `keep`."""
        settle(0, 0, self.state, self._sums, self._shape, 1 if keep else 0)
        if keep:
            self.blocks += self._fresh
        self._fresh = 0

    def add_stretch(self, blocks, levels, base):
        """So many blocks of which only the bands' levels are known (0.001 dB, from the highest down)."""
        for k in range(len(levels)):
            m, e = energy(levels[k] - base + self._gains[k] + decibels(self._samples(k, blocks)))
            add_to_words(self._sums, 3 * k, m, e)
        self.blocks += blocks

    def _samples(self, k, blocks):
        return blocks * (_BLOCK >> (k // self._bands))

    def level(self, k, base):
        """The energy mean of band k in 0.001 dB, or None; `base` is the level of a mean square of 1."""
        raw = level_of_words(self._sums, 3 * k) if self.blocks else None
        return None if raw is None else raw - decibels(self._samples(k, self.blocks)) + base - self._gains[k]
