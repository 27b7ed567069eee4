"""Gorilla's compression of time series, as a peer: delta of deltas for times, XOR with the value before for doubles.

After T. Pelkonen et al., Gorilla: A Fast, Scalable, In-Memory Time Series Database (VLDB 2015), section 4.1. One
stream of times and one of values a column share one bit string. The paper has no absent values: a column with gaps
carries a bit a row here, one without gaps a single bit.
"""

from __future__ import annotations

import itertools
import struct

# Prefix, its length, bits of the delta of deltas, and the least value these bits stand for.
_STEPS = ((0b10, 2, 7, -63), (0b110, 3, 9, -255), (0b1110, 4, 12, -2047), (0b1111, 4, 32, -(1 << 31)))


class Bits:
    """A string of bits, written; highest bit first."""

    def __init__(self) -> None:
        self.value = 1  # a leading one keeps leading zeros

    def put(self, value: int, size: int) -> None:
        self.value = self.value << size | value

    def bytes(self) -> bytes:
        size = self.value.bit_length() - 1
        pad = -size % 8
        return ((self.value ^ 1 << size) << pad).to_bytes((size + pad) // 8, "big")


class Taking:
    """The same, read."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = len(data) * 8

    def get(self, size: int) -> int:
        self._left -= size
        return self._value >> self._left & (1 << size) - 1


def _word(value: float) -> int:
    return int(struct.unpack(">Q", struct.pack(">d", value))[0])


def _double(word: int) -> float:
    return float(struct.unpack(">d", struct.pack(">Q", word))[0])


def put_times(bits: Bits, times: list[int]) -> None:
    bits.put(times[0], 32)
    delta = 0
    for before, now in itertools.pairwise(times):
        change = now - before - delta
        delta = now - before
        if change == 0:
            bits.put(0, 1)
            continue
        for prefix, length, size, low in _STEPS:
            if low <= change < low + (1 << size):
                bits.put(prefix, length)
                bits.put(change - low, size)
                break


def get_times(bits: Taking, count: int) -> list[int]:
    times = [bits.get(32)]
    delta = 0
    while len(times) < count:
        ones = 0
        while ones < 4 and bits.get(1):
            ones += 1
        if ones:
            _, _, size, low = _STEPS[ones - 1]
            delta += bits.get(size) + low
        times.append(times[-1] + delta)
    return times


def put_values(bits: Bits, values: list[float]) -> None:
    last = _word(values[0])
    bits.put(last, 64)
    leading = meaningful = 0  # of the last value that named its window; 0 bits: none has
    for value in values[1:]:
        word = _word(value)
        change = word ^ last
        last = word
        if change == 0:
            bits.put(0, 1)
            continue
        zeros = min(31, 64 - change.bit_length())
        trailing = (change & -change).bit_length() - 1
        if meaningful and zeros >= leading and trailing >= 64 - leading - meaningful:
            bits.put(0b10, 2)
        else:
            bits.put(0b11, 2)
            leading, meaningful = zeros, 64 - zeros - trailing
            bits.put(leading, 5)
            bits.put(meaningful - 1, 6)
        bits.put(change >> (64 - leading - meaningful), meaningful)


def get_values(bits: Taking, count: int) -> list[float]:
    words = [bits.get(64)]
    leading = meaningful = 0
    while len(words) < count:
        change = 0
        if bits.get(1):
            if bits.get(1):
                leading = bits.get(5)
                meaningful = bits.get(6) + 1
            change = bits.get(meaningful) << (64 - leading - meaningful)
        words.append(words[-1] ^ change)
    return [_double(word) for word in words]
