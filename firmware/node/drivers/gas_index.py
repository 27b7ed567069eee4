"""Sensirion's Gas Index Algorithm: the VOC and NOx index out of the raw signals of SGP40 and SGP41.

After the published algorithm, version 3.2 (github.com/Sensirion/gas-index-algorithm, BSD-3), written anew: it learns
mean and spread of a signal over the past half day, tells how far the signal is from them, and smooths that. 100 is the
mean of the VOC signal, 1 the usual NOx. It wants one raw value every `interval` seconds, without gaps; it was tested by
its makers at 1 and at 10 s. The first 45 s give nothing, the first hours (VOC 1, NOx 6) are a quick first learning.

Integers below 2^30 only, so that nothing is allocated: comments say where the binary point is. What moves by parts of a
millionth a second (mean and standard deviation) has 26 fractional bits, in two halves. Against the makers' own program
the index is the same in more than 99 of 100 seconds, and never off by more than 1, as long as the standard deviation
stays below 16384 ticks, half of the signal's whole range, where it is held.
"""

from .fixed import scaled

_ONE = 1 << 29  # sigmoids, exponentials and filters' factors have 29 fractional bits
_BLACKOUT = 45  # s
_GATING_INITIAL = 510 << 10


class GasIndex:
    """`nox`: the NOx index, else the VOC index. `interval` in s between values: 1 to 10.

    `learning_time_offset_hours` and `learning_time_gain_hours` as the makers call them: after about twice that time a
    past event is forgotten in the mean, and in the spread (which the NOx index does not use).
    """

    def __init__(self, nox, interval, learning_time_offset_hours=12, learning_time_gain_hours=12):
        self._nox = nox
        self._interval = interval
        self._slow = part(interval, 3600 * learning_time_offset_hours, 30)
        self._quick = part(interval, 1200 if nox else 20, 30) - self._slow
        self._wide = part(interval, 3600 * learning_time_gain_hours, 32)
        self._narrow = part(interval, 2500, 32) - self._wide
        self._fast = part(interval, 20, 29)
        self._lazy = part(interval, 500, 29)
        self._known = False  # the first value after the blackout is the first mean
        self._uptime = 0
        self._signal = 0
        self._mean = 0  # 14 fractional bits, and 12 more
        self._mean_rest = 0
        self._deviation = 50 << 14
        self._deviation_rest = 0
        self._learning = 0  # s
        self._gating = 0  # s
        self._gated = 0  # min, 20 fractional bits
        self._x1 = self._x2 = self._x3 = None  # the low-pass filters, 20 fractional bits

    def process(self, raw):
        """Take the next raw value; the index, or None while it is too early."""
        if self._uptime <= _BLACKOUT:
            self._uptime += self._interval
            return None
        lowest = 10000 if self._nox else 20000
        if 0 < raw < 65000:
            self._signal = min(max(raw - lowest, 1), 32767)
        away = (self._signal << 14) - self._mean
        if self._nox and not self._known:
            index = 1 << 20
        else:
            index = scaled(sigmoid(self._model(away)), 500, 9)
        index = max(self._smooth(index), 1 << 19)
        if self._signal:
            if self._known:
                self._learn(away, index >> 10)
            else:
                self._known = True
                self._mean = self._signal << 14
        return (index + (1 << 19)) >> 20

    def states(self):
        """(mean, deviation) with 14 fractional bits each, to `restore` after an interruption of at most 10 min; None
        before 3 h of operation. The makers provide for this with the VOC index only.
        """
        if self._nox or self._learning < 10800:
            return None
        return self._mean, self._deviation

    def restore(self, mean, deviation):
        """Go on from `states`, after a short interruption."""
        self._mean = mean
        self._deviation = deviation
        self._learning = 10800
        self._signal = mean >> 14
        self._known = True

    def _model(self, away):
        """How far the signal is from its mean, as the argument of the sigmoid (20 fractional bits).

        VOC: 230 spreads, the spread widened by 220 ticks, and the signal falls with more gas; NOx: 230 in 2000 ticks.
        """
        if self._nox:
            sample = scaled(away, 120586, 24)
            return scaled((614 << 10) - sample, 10844792, 20)  # 0.0101
        sample = -scaled(ratio(away, self._deviation + (220 << 14), 17), 230, 7)
        return scaled((213 << 10) - sample, 6979322, 20)  # 0.0065

    def _smooth(self, index):
        """A low-pass filter that is quick (20 s) where quick and slow (500 s) means differ, and slow otherwise."""
        if self._x3 is None:
            self._x1 = self._x2 = self._x3 = index
        self._x1 += scaled(index - self._x1, self._fast, 29)
        self._x2 += scaled(index - self._x2, self._lazy, 29)
        tau = scaled(exponential(abs(self._x1 - self._x2) // 5), 480, 19) + (20 << 10)
        interval = self._interval << 10
        self._x3 += scaled(index - self._x3, ratio(interval, interval + tau, 29), 29)
        return self._x3

    def _learn(self, away, index):
        """Mean and standard deviation take in a signal; both slower while the index says that it is no background."""
        limit = 32767 - self._interval
        if self._learning < limit:
            self._learning += self._interval
        if self._gating < limit:
            self._gating += self._interval
        if self._nox:
            first, second, threshold = 17100, 20520, 30 << 10
        else:
            first, second, threshold = 2700, 5220, 340 << 10
        # how much of the first learning is left (K 0.01), for the mean and for the deviation
        early = fading(self._learning, first)
        gate = self._gate(first, threshold, index)
        weight = scaled(self._slow + scaled(self._quick, early, 29), gate, 29)
        later = fading(self._learning, second) - early
        spread = scaled(self._wide + scaled(self._narrow, later, 29), self._gate(second, threshold, index), 29)
        # minutes behind a closed gate count fully, those behind an open one by -0.3
        self._gated += self._interval * ((_ONE - gate >> 9) * 13 // 10 - 314573) // 60
        self._gated = max(self._gated, 0)
        if self._gated > (720 if self._nox else 180) << 20:
            self._gating = 0
        self._widen(away, spread)
        step = scaled(weight, away, 30)
        if abs(step) < 1 << 17:
            rest = self._mean_rest + scaled(weight, away, 18)
            self._mean += rest >> 12
            self._mean_rest = rest & 0xFFF
        else:
            self._mean += step

    def _gate(self, first, threshold, index):
        """How open the gate of learning is: shut above a threshold on the index (K 0.09), which begins at 510."""
        threshold += scaled(_GATING_INITIAL - threshold, fading(self._gating, first), 29)
        return sigmoid(scaled(index - threshold, 96636764, 20))

    def _widen(self, away, weight):
        """deviation^2 = (1 - weight) (deviation^2 + weight away^2), weight with 32 fractional bits.

        A small change by the first two terms of the root's series, with 26 fractional bits; a large one by the root.
        """
        s = self._deviation
        d = abs(away)
        r = ratio(d, s, 14)
        gain = scaled((r >> 14) * (d >> 14), weight, 30)  # 2 fractional bits
        loss = scaled(s, weight, 30)  # 16
        if gain < 32 and loss < 8 << 16:
            change = scaled(scaled(r, d, 19), weight, 15)
            change = change - (scaled(change, weight, 30) >> 2) - scaled(s, weight, 20) >> 1
            if abs(change) >> 12 < s >> 5:
                half = change >> 6
                change -= (scaled(half, half, 20) // (s >> 8)) << 11
                rest = self._deviation_rest + change
                self._deviation = s + (rest >> 12)
                self._deviation_rest = rest & 0xFFF
                return
        d >>= 14
        d = scaled(d * d, weight, 30)  # 2 fractional bits
        square = scaled(s, s, 26) + d
        square -= scaled(square, weight, 30) >> 2
        self._deviation = root(square)
        self._deviation_rest = 0


def part(interval, tau, bits):
    """interval / (interval + tau) in 2^-bits: what a low-pass filter takes of a new value."""
    return (interval << bits) // (interval + tau)


def fading(seconds, middle):
    """The sigmoid that falls from 1 to 0 around `middle` s, by e in 100 s."""
    return sigmoid(scaled(seconds - middle, 10737418, 10))


def sigmoid(x):
    """1 / (1 + e^x), of 20 fractional bits, in 2^-29."""
    e = exponential(abs(x)) >> 1
    small = ratio(e, (_ONE >> 1) + e, 29)
    return small if x >= 0 else _ONE - small


def exponential(x):
    """e^-x for x of 20 fractional bits, at least 0, in 2^-29: 2^-n times a polynomial of half a power of two."""
    if x > 20 << 20:
        return 0
    x = scaled(x, 24204406, 20)  # x / ln 2, 24 fractional bits
    n = (x + 0x800000) >> 24
    x -= n << 24
    y = scaled(x, -715867, 24) + 5163677
    y = scaled(x, y, 24) - 29798559
    y = scaled(x, y, 24) + 128970559
    y = scaled(x, y, 24) - 372130559
    return (scaled(x, y, 24) + _ONE) >> n


def ratio(a, b, bits):
    """a / b in 2^-bits, digit by digit; b below 2^29, the result below 2^30."""
    q = a // b
    a -= q * b
    for _ in range(bits):
        a <<= 1
        q <<= 1
        if a >= b:
            a -= b
            q += 1
    return q


def root(square):
    """The square root of an integer of 2 fractional bits, with 14 fractional bits, by Heron's method."""
    out = 1 << 28
    while True:
        better = out + ratio(square, out, 26) >> 1
        if better >= out:
            return out
        out = better
