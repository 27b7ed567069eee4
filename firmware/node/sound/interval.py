"""From seconds to a reading: energy means, extremes and percentiles between two calls of `clear`.

Fed by the engine's seconds and, on a virtual node only, by stretches for which no sound was rendered: both enter the
same sums. Percentiles are of LAF every 125 ms (the registry's `base`), in classes of 0.1 dB from 20 to 140 dB.
"""

from array import array

from . import decibel, signal

BOTTOM = 200  # 20.0 dB
CLASSES = 1200
LONGEST = 2 * 3600 * 200  # blocks: beyond two hours a class of the histogram could overflow


class Interval:
    """Sums since `clear`; levels in 0.001 dB, None where nothing was heard."""

    def __init__(self, percentiles=True):
        """Without percentiles there is no histogram: 2.4 KB that a node which reports none is not to have."""
        self.offsets = (0, 0, 0)
        self._words = array("i", [0] * 10)
        self._classes = array("H", bytes(2 * CLASSES)) if percentiles else None
        self.clear()

    def clear(self):
        for i in range(10):
            self._words[i] = 0
        classes = self._classes
        if classes:
            for i in range(CLASSES):
                classes[i] = 0
        self.blocks = 0  # 5 ms each, that are in the sums
        self.fasts = 0
        self.laf_max = self.las_max = self.lc_peak = None
        self.laf_min = None
        self.overloads = 0  # seconds in which the microphone or the converter touched its limit
        self.lost = 0
        self.faulty = 0  # blocks left out because something was wrong with the wires ...
        self.fault = signal.OK  # ... and what, last

    def add_second(self, engine, q, blocks, fast_max, fast_min, slow_max, peak):
        """A second of the engine's: its energies are in q[10..18], its LAF values in engine.fast."""
        second = engine.second
        self.lost += second[9]
        fault = second[10]
        if fault:
            self.fault = fault
            if fault != signal.DC:
                self.faulty += blocks
                return
        words = self._words
        for at in (0, 3, 6):
            carry = words[at] + q[10 + at]
            words[at] = carry & 4194303
            carry = words[at + 1] + q[11 + at] + (carry >> 22)
            words[at + 1] = carry & 4194303
            words[at + 2] += q[12 + at] + (carry >> 22)
        self.blocks += blocks
        if second[7]:
            self.overloads += 1
        for i in range(engine.fasts):
            self._count(engine.key_level(engine.fast[i]), 1)
        self._extremes(fast_max, fast_min, slow_max, peak)

    def add_stretch(self, milliseconds, levels):
        """A stretch of which only levels are known.

        LAeq, LCeq, LZeq, LAFmax, LAFmin, LASmax, LCpeak, then ten deciles of LAF, loudest first.
        """
        blocks = milliseconds // 5
        if not blocks:
            return
        length = decibel.level(blocks)
        for i in range(3):
            m, e = decibel.energy(levels[2 - i] - self.offsets[i] + length)
            decibel.add_to_words(self._words, 3 * i, m, e)
        self.blocks += blocks
        fasts = blocks // 25
        for i in range(10):
            self._count(levels[7 + i], fasts * (i + 1) // 10 - fasts * i // 10)
        self._extremes(levels[3], levels[4], levels[5], levels[6])

    def miss(self, milliseconds, fault):
        """For so long there was no microphone."""
        self.faulty += milliseconds // 5
        self.fault = fault

    def _extremes(self, fast_max, fast_min, slow_max, peak):
        if self.laf_max is None or fast_max > self.laf_max:
            self.laf_max = fast_max
        if self.laf_min is None or fast_min < self.laf_min:
            self.laf_min = fast_min
        if self.las_max is None or slow_max > self.las_max:
            self.las_max = slow_max
        if self.lc_peak is None or peak > self.lc_peak:
            self.lc_peak = peak

    def _count(self, level, times):
        if not self._classes:
            return
        i = (level + 50) // 100 - BOTTOM
        if i < 0:
            i = 0
        elif i >= CLASSES:
            i = CLASSES - 1
        self._classes[i] = min(self._classes[i] + times, 65535)
        self.fasts += times

    def mean(self, weighting):
        """Energy mean of Z (0), C (1) or A (2)."""
        if not self.blocks:
            return None
        raw = decibel.level_of_words(self._words, 3 * weighting)
        return None if raw is None else raw - decibel.level(self.blocks) + self.offsets[weighting]

    def exceeded(self, percent):
        """The LAF that was reached in `percent` of the time: 10 gives L10."""
        if not self.fasts:
            return None
        wanted = (self.fasts * percent + 50) // 100 or 1
        classes = self._classes
        i = CLASSES
        while wanted > 0:
            i -= 1
            wanted -= classes[i]
        return (BOTTOM + i) * 100
