"""Vibration velocity out of accelerations: one axis, integers, no memory but its own few numbers.

Integration and high-pass are one filter, s / (s^2 + 2 z w s + w^2): above its corner it integrates, below it gravity
and the drift of an accelerometer's zero come to nothing. Corner 10^-0.1 Hz, second order Butterworth, which is how the
band of building vibration from 1 Hz on is limited (DIN 45669-1, DIN 4150-3: 40 dB a decade; ISO 8041-1). The
integrator weights a sample and the one before 7 to 1 (Al-Alaoui): within 5 % of the ideal up to four tenths of the data
rate, where Euler's is 30 % high and the trapezium's 60 % low. What lies above the band is the chip's own filter's to
remove.
"""

# data rate in Hz: binary places of the state, 1 / (w T)^2, 2 z w T in 1 / 4096; so all stays below 2^30 at full scale
_RATES = {100: (8, 401, 289), 200: (8, 1606, 145), 400: (6, 6423, 72)}
_MOST = 32767  # hundredths of a mm/s: a square below 2^30


class Velocity:
    """`digit` in mg; samples come as signed digits, at `rate`."""

    def __init__(self, rate, digit):
        self._places, self._stiffness, self._damping = _RATES[rate]
        # One unit of the state in hundredths of a mm/s, in 1 / 32768: 1 mg is 980.665 hundredths of a mm/s2. Damping by
        # the speed before lifts the middle of the band by half of itself against its lower end: the scale takes half.
        scale = digit * 980665 * (32768 >> self._places) // 1000
        self._scale = scale // rate * (16384 - self._damping) // 16384
        self._limit = _MOST * 32768 // self._scale
        self.begin(0, 1)

    def begin(self, total, count):
        """Rest at the mean of some samples, which is gravity; `count` is a power of two up to 16."""
        self._place = (total << self._places) // count * self._stiffness
        self._before = total // count
        self._speed = 0
        self.measure()

    def measure(self):
        """From here on it counts."""
        self.count = 0
        self._peak = 0
        self._high = 0  # the sum of squares, in 65536 and the rest
        self._low = 0

    def put(self, digits):
        """The next sample."""
        speed = self._speed
        speed += (
            (7 * digits + self._before << self._places - 3)
            - (speed * self._damping >> 12)
            - self._place // self._stiffness
        )
        self._before = digits
        self._speed = speed
        self._place += speed
        if speed < 0:
            speed = -speed
        # beyond the limit the peak says so, and nobody asks for the rest
        size = speed * self._scale >> 15 if speed < self._limit else _MOST
        if size > self._peak:
            self._peak = size
        size *= size
        self._high += size >> 16
        self._low += size & 0xFFFF
        self.count += 1

    def peak(self):
        """The greatest speed in hundredths of a mm/s; None beyond 327 mm/s."""
        return None if self._peak == _MOST else self._peak

    def rms(self):
        """The root of the mean square; None where there is no peak."""
        if self._peak == _MOST:
            return None
        high = self._high + (self._low >> 16)
        mean = high // self.count
        mean = (mean << 16) + ((high - mean * self.count << 16) + (self._low & 0xFFFF)) // self.count
        root = 0
        bit = 1 << 14
        while bit:
            if (root + bit) * (root + bit) <= mean:
                root += bit
            bit >>= 1
        return root + 1 if mean - root * root > root else root
