"""From words to seconds: feeds the sample loop, does the 5 ms arithmetic, closes a second and hands it to the interval.

Nothing here is float, and nothing is allocated while sound runs: buffers are made once, the second's result is an
array that the next second overwrites. The first half second after every start is thrown away: the microphone and the
filters settle, and what F and S begin with is the mean of that half second's second half.
"""

# pyright: reportArgumentType=false
# (the stubs do not know that viper's pointers take any buffer)

import sys
from array import array

from micropython import const

from . import block, decibel, signal

_FULL_SCALE = const(114391)  # 10 lg(2^38) in 0.001 dB: a sample has 20 bits
_SINE = const(3010)  # a full-scale sine is that much below a full-scale square
_SETTLE = const(100)  # blocks of 5 ms that are discarded
_SECOND = const(200)
_FAST_EVERY = const(25)  # LAF is noted every 125 ms for the percentiles
_ABSENT = const(-0x3FFFFFFF)

# The second's result
_LAEQ = const(0)
_LCEQ = const(1)
_LZEQ = const(2)
_LAF_MAX = const(3)
_LAF_MIN = const(4)
_LAS_MAX = const(5)
_LC_PEAK = const(6)
_OVERLOAD = const(7)
_UNDER_RANGE = const(8)
_LOST = const(9)
_FAULT = const(10)


def kernel_for(rate):
    """The generated module of a sample rate; imported here so that only one of them takes memory."""
    if sys.maxsize > 0x7FFFFFFF:
        if rate == 48000:
            from .wide import kernel48 as module
        elif rate == 24000:
            from .wide import kernel24 as module
        elif rate == 16000:
            from .wide import kernel16 as module
        else:
            raise ValueError("rate: 48000, 24000 or 16000")
    elif rate == 48000:
        from . import kernel48 as module
    elif rate == 24000:
        from . import kernel24 as module
    elif rate == 16000:
        from . import kernel16 as module
    else:
        raise ValueError("rate: 48000, 24000 or 16000")
    return module


class Engine:
    """`feed` it words; after each second `second` holds its result (0.01 dB) and `interval.add_second` is called.

    Numbers 0 to 6 are LAeq, LCeq, LZeq, LAFmax, LAFmin, LASmax, LCpeak, -0x3fffffff where there is none; 7 is 1 if the
    microphone or the converter was driven into its limit, 8 is 1 if LAeq is within 5 dB of the self-noise, 9 is how
    many samples were lost, 10 is signal.OK or what is wrong with the wires. Seconds with a fault do not enter the
    interval.
    """

    def __init__(self, interval, rate=48000, microphone="inmp441", calibration=0, bank=None, equaliser=None):
        """`calibration` in 0.01 dB is added to every level. The last two are `bands.Bank` and `equaliser.Equaliser`."""
        from .microphones import microphone as find_microphone

        module = kernel_for(rate)
        self.bank = bank
        self.equaliser = equaliser
        self._dc_limit = 65536 if equaliser is None else equaliser.dc_limit
        self.swapped = False  # the words are silent because the microphone speaks in the other channel
        self.interval = interval
        self.rate = rate
        self.bits, shift, sensitivity, clips, noise = find_microphone(microphone)
        self.noise = noise
        self._kernel = module.kernel
        self.block_size = rate // 200  # 5 ms
        self._dc_shift, *gains = module.DESIGN
        self._sl = 0 if sys.maxsize == 0x7FFFFFFF else 32
        self._gains = gains
        self._base = 94000 - sensitivity + _SINE - _FULL_SCALE + 6021 * shift
        self.calibrate(calibration)
        # Half a decibel below the sine that clips in the microphone or fills the word.
        clip = min(clips - 94000 + sensitivity, 0) - 500 - 6021 * shift
        m, e = decibel.energy((clip + _FULL_SCALE) // 2)
        self._clip = m >> -e
        self.second = array("i", [0] * 11)
        self.st = array("i", [0] * 17)
        self.q = array("i", [0] * block.SIZE)
        self.fast = array("i", [0] * 9)  # LAF at 125 ms in this second, as keys ...
        self.fasts = 0  # ... and how many
        self.restart()

    def calibrate(self, calibration):
        """From now on add so many 0.01 dB to every level."""
        self.calibration = calibration
        self.base = base = self._base + 10 * calibration  # level of a mean square of 1
        per_block = decibel.level(self.block_size)
        # Level of one block's energy 1, for Z, C and A.
        self.offsets = self.interval.offsets = tuple(base - gain - per_block for gain in self._gains)
        self._peak_offset = base - self._gains[1]

    def restart(self):
        """The words that follow do not continue what came before."""
        for i in range(17):
            self.st[i] = 0
        q = self.q
        for i in range(block.SIZE):
            q[i] = 0
        q[1] = q[3] = -40
        if self.bank:
            self.bank.restart()
        if self.equaliser:
            self.equaliser.restart()
        self._left = self.block_size
        self.settle = _SETTLE
        self._lost = 0
        self._verdict = signal.OK
        self.clear()

    def clear(self):
        """Begin a second; what is in the running one is dropped."""
        if self.bank:
            self.bank.second(False)
        q = self.q
        for i in range(6, 19):
            q[i] = 0
        q[7] = q[9] = block.NO_MINIMUM
        signal.clear(q)
        self.st[15] = self.st[16] = 0
        self.blocks = 0
        self.fasts = 0
        self._to_fast = _FAST_EVERY

    def lose(self, samples):
        """`samples` were lost before the next word that comes."""
        self._lost += samples

    def feed(self, words, count):
        """`count` words, a multiple of four, of an array or buffer of 32-bit words."""
        kernel = self._kernel
        bank = self.bank
        equaliser = self.equaliser
        st = self.st
        at = 0
        while at < count:
            n = self._left
            if n > count - at:
                n = count - at
            # Another place in the block each time, so that a tone is not met in the same phase.
            look = at + n - 1 - (self.blocks * 7) % n
            if equaliser:
                equaliser.flatten(words, at, n, look)
            kernel(0, 0, words, at, n, st)
            if bank:
                bank.feed(words, at, n)
            at += n
            self._left -= n
            if not self._left:
                self._left = self.block_size
                if equaliser:
                    block.block(0, 0, st, self.q, equaliser.st, 2, self._sl)  # the word as it came
                else:
                    block.block(0, 0, st, self.q, words, look, self._sl)
                self.tick()

    def tick(self):
        self.blocks += 1
        if self.settle:
            self.settle -= 1
            if self.settle == _SETTLE // 2:
                self.clear()
            elif not self.settle:
                self._begin_averages()
                self.clear()
            return
        self._to_fast -= 1
        if not self._to_fast:
            self._to_fast = _FAST_EVERY
            if self.fasts < 9:
                self.fast[self.fasts] = self.q[5]
                self.fasts += 1
        if self.blocks == _SECOND:
            self.close()

    def _begin_averages(self):
        q = self.q
        mean = decibel.level_of_words(q, 16)
        if mean is None:
            return
        m, e = decibel.energy(mean - decibel.level(self.blocks))
        # 21 bits become 27 or 28, and the exponent even, as block() keeps them.
        m <<= 6
        e -= 6
        if not e & 1:
            m <<= 1
            e -= 1
        q[0] = q[2] = m
        q[1] = q[3] = e + 7

    def key_level(self, key):
        """A key of `block` as a level in 0.001 dB."""
        mantissa = key & 0xFFFFF
        if not mantissa:
            return 0
        return decibel.level(mantissa, ((key >> 20) << 1) - 63) + self.offsets[2]

    def close(self):
        """End the running second, however long it is, and hand it over.

        Less than 0.5 s cannot be judged and has the faults of the second before.
        """
        if self.settle or not self.blocks:
            return
        second, q, st = self.second, self.q, self.st
        blocks = self.blocks
        length = decibel.level(blocks)
        for i in range(3):
            raw = decibel.level_of_words(q, 10 + 3 * i)
            second[2 - i] = _ABSENT if raw is None else (raw - length + self.offsets[i] + 5) // 10
        fast_max = self.key_level(q[6])
        fast_min = self.key_level(q[7])
        slow_max = self.key_level(q[8])
        peak = 2 * decibel.level(st[15]) + self._peak_offset if st[15] else 0
        second[_LAF_MAX] = (fast_max + 5) // 10
        second[_LAF_MIN] = (fast_min + 5) // 10
        second[_LAS_MAX] = (slow_max + 5) // 10
        second[_LC_PEAK] = (peak + 5) // 10
        second[_OVERLOAD] = 1 if st[16] >= self._clip else 0
        second[_UNDER_RANGE] = 1 if second[_LAEQ] * 10 < self.noise + 5000 else 0
        second[_LOST] = self._lost
        self._lost = 0
        if blocks >= _SECOND // 2:
            fault = signal.judge(q, self.bits, self._sl)
            if fault == signal.OK and abs(st[0] >> self._dc_shift) > self._dc_limit:
                fault = signal.DC
            if fault != signal.SILENT:
                self.swapped = False
            elif self.swapped:
                fault = signal.SWAPPED
            self._verdict = fault
        elif second[_LAEQ] == _ABSENT and self._verdict == signal.OK:
            self._verdict = signal.SILENT
        second[_FAULT] = self._verdict
        if self.bank:
            self.bank.second(self._verdict in (signal.OK, signal.DC))
        self.interval.add_second(self, q, blocks, fast_max, fast_min, slow_max, peak)
        self.clear()
