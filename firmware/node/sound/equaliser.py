"""Takes a microphone's published loss of low frequencies out, if the meter is asked to; not loaded otherwise.

MEMS microphones fall off below some tens of hertz. The corners below are read from other people's fits to the plots of
data sheets (the esp32-i2s-slm project's filters, as of 2021), not measured on a microphone: estimated, and therefore
versioned. What a microphone does above some kilohertz is left alone, because the port and the housing in front of it
do more there than the chip, and nobody has published theirs.

Two shelves, each y = x + g * low(x) with one pole: a zero at the frequency where the response begins to fall, a pole
where the fall ends. Words are changed in place, before anything else sees them, all but the one that is looked at for
broken wires. At 1 kHz the level changes by less than 0.05 dB (0.12 dB at 16 kHz), so that a calibration holds with and
without.
"""

# pyright: reportArgumentType=false
# (the stubs do not know that viper's pointers take any buffer)

import sys
from array import array

import micropython

VERSION = 1
# Where the response begins to fall and where the fall ends, both shelves, in 0.1 Hz
_CORNERS = (
    ("inmp441", 501, 184, 501, 184),
    ("ics43434", 418, 108, 418, 78),
    ("sph0645", 493, 235, 355, 235),
    ("im69d130", 212, 89, 212, 89),
)


@micropython.viper
def flatten(x: int, y: int, words: ptr32, start: int, count: int, st: ptr32, look: int, sl: int):
    # st: two poles' states with ten fraction bits, the word that is looked at; k * 2^16, (1 + g) * 2^7 of each shelf
    i = 2
    st[i] = words[look]
    i = 0
    s = (st[i] << sl) >> sl
    i = 1
    t = (st[i] << sl) >> sl
    k = st[3]
    g = st[4]
    m = st[5]
    h = st[6]
    a = int(words) + 4 * start
    end = a + 4 * count
    while a < end:
        p = ptr32(a)
        x = p[0] >> 12
        if x > 524287:  # where a word has 64 bits a load has no sign
            x -= 1048576
        y = s >> 10
        x = x - y
        s = ((x * k) >> 6) + s
        x = ((y * g) >> 7) + x
        y = t >> 10
        x = x - y
        t = ((x * m) >> 6) + t
        x = ((y * h) >> 7) + x
        if uint(x + 524288) > uint(1048575):
            if x > 0:
                x = 524287
            else:
                x = -524288
        p[0] = x << 12
        a += 4
    i = 0
    st[i] = s
    i = 1
    st[i] = t


class Equaliser:
    """`flatten(words, start, count, look)` in place; `st[2]` is then the word number `look` as it came."""

    def __init__(self, microphone, rate):
        for row in _CORNERS:
            if row[0] == microphone:
                break
        else:
            raise ValueError("equaliser: nothing is published of %s" % microphone)
        self._sl = 32 if sys.maxsize > 0x7FFFFFFF else 0
        self.st = st = array("i", bytes(28))
        limit = 65536
        for i in (0, 1):
            zero, pole = row[1 + 2 * i], row[2 + 2 * i]
            # 1 - exp(-2 pi f / rate) is x - x^2 / 2 to 0.002 %, where x * 2^16 is 41177.5 * f / rate for 0.1 Hz.
            x = (41178 * pole + rate // 2) // rate
            st[3 + 2 * i] = x - (x * x >> 17)
            y = (41178 * zero + rate // 2) // rate
            y -= y * y >> 17
            x = st[3 + 2 * i]
            g = ((y - x) * 256 // x + 1) // 2
            st[4 + 2 * i] = 128 + g
            limit += limit * g >> 7
        self.dc_limit = limit  # a mean of an eighth of full scale, as it comes out

    def restart(self):
        """The words that follow do not continue what came before."""
        self.st[0] = self.st[1] = 0

    def flatten(self, words, start, count, look):
        flatten(0, 0, words, start, count, self.st, look, self._sl)
