"""Whether a reading can be: range, step, standing still, and what a second sensor of the same kind says.

A judgement is a quality code beside the value; the value itself is never changed or dropped, because the one who is
wrong may be the rule. Ranges are those of the registry for the quantities that a city node carries (tests hold the
table below to it); steps and spreads depend on place and sensor and hold only where the board description gives them.
"""

import struct

OK = 0
LIKELY_INVALID = 2
SUSPICIOUS = 3
ACCEPTED = 4
FROZEN = 15

STILL_SECONDS = 86400  # air that does not change in its last digit for a day is a dead sensor
# Where standing still is a matter of course, as with calm, night, or nothing to count, it says nothing.
_MOVES = b"\x01\x02\x03\x04\x09\x0d\x0e\x0f"  # dust, temperature, humidity, sound, pressure, carbon dioxide

_ENTRY = "<Bii"  # id, lowest, highest as integers at the registry's resolution
_RANGES = (
    b"\x01\x00\x00\x00\x00\x98\x3a\x00\x00\x02\x00\x00\x00\x00\x98\x3a\x00\x00\x03\x0c\xfe\xff\xff\x52\x03\x00\x00"
    b"\x04\x00\x00\x00\x00\xe8\x03\x00\x00\x05\x00\x00\x00\x00\x67\x01\x00\x00\x06\x00\x00\x00\x00\xee\x02\x00\x00"
    b"\x07\x00\x00\x00\x00\x40\x0d\x03\x00\x08\x00\x00\x00\x00\xc8\x00\x00\x00\x09\xc8\x00\x00\x00\x78\x05\x00\x00"
    b"\x0a\x80\xc1\xff\xff\x80\x3e\x00\x00\x0b\x80\xc1\xff\xff\x80\x3e\x00\x00\x0c\x80\xc1\xff\xff\x80\x3e\x00\x00"
    b"\x0d\x00\x00\x00\x00\x98\x3a\x00\x00\x0e\xb8\x0b\x00\x00\xf8\x2a\x00\x00\x0f\x00\x00\x00\x00\x40\x9c\x00\x00"
    b"\x10\x00\x00\x00\x00\xee\x02\x00\x00\x11\x00\x00\x00\x00\x67\x01\x00\x00\x12\xc8\x00\x00\x00\x78\x05\x00\x00"
    b"\x13\xc8\x00\x00\x00\x78\x05\x00\x00\x14\xc8\x00\x00\x00\x78\x05\x00\x00\x15\x18\xfc\xff\xff\x98\x3a\x00\x00"
    b"\x16\x18\xfc\xff\xff\x98\x3a\x00\x00\x17\x00\x00\x00\x00\xa0\x86\x01\x00\x18\x80\xc1\xff\xff\x80\x3e\x00\x00"
    b"\x19\x80\xc1\xff\xff\x80\x3e\x00\x00\x1a\x80\xc1\xff\xff\x80\x3e\x00\x00\x1b\x0c\xfe\xff\xff\xb0\x04\x00\x00"
    b"\x1c\x00\x00\x00\x00\xa0\x86\x01\x00\x1d\x00\x00\x00\x00\xa0\x86\x01\x00\x1e\x00\x00\x00\x00\xa0\x86\x01\x00"
    b"\x3c\x00\x00\x00\x00\x88\x13\x00\x00\x3d\x00\x00\x00\x00\x88\x13\x00\x00\x3e\x40\x1f\x00\x00\xf8\x2a\x00\x00"
    b"\x42\x64\x00\x00\x00\x78\x05\x00\x00\x43\x64\x00\x00\x00\x78\x05\x00\x00\x44\x64\x00\x00\x00\x78\x05\x00\x00"
    b"\x45\x64\x00\x00\x00\x78\x05\x00\x00\x46\x64\x00\x00\x00\xdc\x05\x00\x00\x47\xc8\x00\x00\x00\x78\x05\x00\x00"
)


def limits(quantity):
    """(lowest, highest) integer of a sound sensor, or None where there is no rule."""
    for i in range(0, len(_RANGES), 9):
        if _RANGES[i] == quantity:
            return struct.unpack(_ENTRY, _RANGES[i : i + 9])[1:]
    return None


class Judge:
    """Judges the rows of these columns, which come every `interval` seconds.

    `rules` maps a column to what its board says instead of the default: (lowest, highest, largest step, largest
    spread between two sensors), None for no rule.
    """

    def __init__(self, columns, interval, rules=None):
        self._columns = columns
        self._still = max(2, STILL_SECONDS // interval)
        self._last = [None] * len(columns)
        self._same = [0] * len(columns)
        self._rules = []
        for column in columns:
            low_high = limits(column[0]) or (None, None)
            rule = (rules or {}).get(column, ())
            self._rules.append(tuple(rule) + (low_high + (None, None))[len(rule) :])
        # pairs of columns that measure the same thing, with the larger spread of the two
        self._pairs = []
        for i, column in enumerate(columns):
            for k in range(i + 1, len(columns)):
                if columns[k][0] == column[0]:
                    spread = self._rules[i][3] if self._rules[i][3] is not None else self._rules[k][3]
                    if spread is not None:
                        self._pairs.append((i, k, spread))

    def judge(self, values, quality):
        """Set the codes of a row where the driver had nothing to say (unchecked or accepted)."""
        for i, value in enumerate(values):
            if value is None:
                continue
            code = self._one(i, value)
            if code and quality[i] in (OK, ACCEPTED):
                quality[i] = code
        for i, k, spread in self._pairs:
            if values[i] is not None and values[k] is not None and abs(values[i] - values[k]) > spread:
                for which in (i, k):
                    if quality[which] in (OK, ACCEPTED):
                        quality[which] = SUSPICIOUS

    def _one(self, i, value):
        low, high, step, _ = self._rules[i]
        last = self._last[i]
        self._last[i] = value
        self._same[i] = self._same[i] + 1 if value == last else 1
        if (low is not None and value < low) or (high is not None and value > high):
            return LIKELY_INVALID
        if step is not None and last is not None and abs(value - last) > step:
            return SUSPICIOUS
        if self._same[i] > self._still and self._columns[i][0] in _MOVES:
            return FROZEN
        return OK
