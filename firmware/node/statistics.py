"""From several readings in an interval to the one integer of a row, as the registry says for each quantity.

Everything is integers. A mean is rounded to the nearest, halves away from zero, as the registry's resolution wants
it: no float is involved, so node and host agree to the digit. A direction's mean is the direction of the sum of unit
vectors; where the vectors cancel (a resultant under a tenth) there is no direction, and none is reported.
"""

MEAN, MAX, MIN, SUM, LAST, VECTOR, RMS = range(7)

# Ids of what is not a mean; a test holds them to the registry. Sound levels come from the meter as what they are: read
# several times, the last one stands; so do states, positions and percentiles, and the bands from 128 on.
_OTHERS = (
    (MAX, b"\x10\x12\x18\x19\x1a\x1f\x20\x21\x3d\x45\x46\x49\x4a\x4b\x4c"),
    (MIN, b"\x44\x48\x60\x62\x65"),
    (SUM, b"\x17\x3c\x4d\x4e\x75\x76\x77"),
    (RMS, b"\x1c\x1d\x1e"),
    (VECTOR, b"\x05"),
    (LAST, b"\x09\x11\x13\x14\x42\x43\x47\x50\x52\x53\x54\x55\x56\x57\x61"),
)

# Extremes that follow from the readings of another quantity where the driver does not give them itself: pairs of ids,
# of gust, acceleration, vibration, temperature, illuminance and dust.
_EXTREMES = b"\x10\x06\x18\x0a\x19\x0b\x1a\x0c\x1f\x1c\x20\x1d\x21\x1e\x48\x03\x49\x03\x4a\x07\x4b\x01\x4c\x02"

# sin of 0..90 degrees in 1/16384
_SINE = (
    b"\x00\x00\x1e\x01\x3c\x02\x59\x03\x77\x04\x94\x05\xb1\x06\xcd\x07\xe8\x08\x03\x0a\x1d\x0b\x36\x0c\x4e\x0d\x66\x0e\x7c\x0f\x90\x10"
    b"\xa4\x11\xb6\x12\xc7\x13\xd6\x14\xe4\x15\xf0\x16\xfa\x17\x02\x19\x08\x1a\x0c\x1b\x0e\x1c\x0e\x1d\x0c\x1e\x07\x1f\x00\x20\xf6\x20"
    b"\xea\x21\xdb\x22\xca\x23\xb5\x24\x9e\x25\x84\x26\x67\x27\x47\x28\x23\x29\xfd\x29\xd3\x2a\xa6\x2b\x75\x2c\x41\x2d\x0a\x2e\xce\x2e"
    b"\x90\x2f\x4d\x30\x07\x31\xbd\x31\x6f\x32\x1d\x33\xc7\x33\x6d\x34\x0f\x35\xad\x35\x46\x36\xdc\x36\x6d\x37\xfa\x37\x82\x38\x06\x39"
    b"\x86\x39\x01\x3a\x78\x3a\xea\x3a\x57\x3b\xc0\x3b\x24\x3c\x83\x3c\xde\x3c\x34\x3d\x85\x3d\xd2\x3d\x19\x3e\x5c\x3e\x9a\x3e\xd3\x3e"
    b"\x07\x3f\x36\x3f\x61\x3f\x86\x3f\xa6\x3f\xc2\x3f\xd8\x3f\xea\x3f\xf6\x3f\xfe\x3f\x00\x40"
)


def kind(quantity):
    """One of the statistics above."""
    if quantity > 127:
        return LAST
    for statistic, members in _OTHERS:
        if quantity in members:
            return statistic
    return MEAN


def source(quantity):
    """The quantity whose readings this extreme is taken of, or None."""
    for i in range(0, len(_EXTREMES), 2):
        if _EXTREMES[i] == quantity:
            return _EXTREMES[i + 1]
    return None


def divide(total, count):
    """total / count to the nearest integer, halves away from zero."""
    if total < 0:
        return -((-total * 2 + count) // (2 * count))
    return (total * 2 + count) // (2 * count)


def root(squares, count):
    """The square root of squares / count to the nearest integer."""
    guess = 1
    while guess * guess * count < squares:
        guess *= 2
    low = guess // 2
    while guess - low > 1:
        middle = (low + guess) // 2
        if middle * middle * count <= squares:
            low = middle
        else:
            guess = middle
    if guess * guess * count <= squares:
        return guess
    return low + 1 if (2 * low + 1) ** 2 * count <= 4 * squares else low


def sine(degrees):
    """sin in 1/16384 of whole degrees."""
    degrees %= 360
    if degrees > 180:
        return -sine(degrees - 180)
    if degrees > 90:
        degrees = 180 - degrees
    return _SINE[2 * degrees] | _SINE[2 * degrees + 1] << 8


def direction(x, y):
    """The whole degree, 0..359, that (x, y) points to, x being the cosine's sum; ties go to the larger angle."""
    base = 0
    while not (x > 0 and y >= 0):  # turn by quarters into the first one
        x, y = y, -x
        base += 90
    low, high = 0, 90
    while high - low > 1:
        middle = (low + high) // 2
        if y * sine(middle + 90) >= x * sine(middle):
            low = middle
        else:
            high = middle
    over = y * sine(low + 90) - x * sine(low)  # proportional to the sine of the angle beyond `low`
    under = x * sine(high) - y * sine(high + 90)
    return (base + (low if over < under else high)) % 360


class Gather:
    """The readings of one quantity within an interval."""

    def __init__(self, quantity):
        self.kind = kind(quantity)
        self.clear()

    def clear(self):
        self.count = 0
        self.code = None  # the reason for the last reading that was not there
        self._value = 0
        self._y = 0
        self.quality = 0

    def empty(self):
        """Whether nothing was heard of a reading, not even a failure."""
        return self.count == 0 and self.code is None

    def add(self, value, quality):
        """A reading, or None and why."""
        if value is None:
            self.code = quality
            return
        kind = self.kind
        if kind == VECTOR:
            self._value += sine(value + 90)
            self._y += sine(value)
        elif kind == LAST or (self.count == 0 and kind != RMS):
            self._value = value
        elif kind == MAX:
            self._value = max(self._value, value)
        elif kind == MIN:
            self._value = min(self._value, value)
        else:
            self._value += value * value if kind == RMS else value
        self.count += 1
        # The gravest thing said about any reading that went in; a reason stands above a judgement.
        self.quality = max(self.quality, quality)

    def result(self, missing):
        """(integer or None, quality) for the row; `missing` is the reason where nothing was read at all."""
        if self.count == 0:
            return None, missing if self.code is None else self.code
        value = self._value
        if self.kind == MEAN:
            value = divide(value, self.count)
        elif self.kind == RMS:
            value = root(value, self.count)
        elif self.kind == VECTOR:
            if value * value + self._y * self._y < (1638 * self.count) ** 2:
                return None, 2  # readings that cancel: likely invalid, quality.LIKELY_INVALID
            value = direction(value, self._y)
        return value, self.quality
