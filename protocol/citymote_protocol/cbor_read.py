"""CBOR read one head after the other (SPEC 1.2): what suffices where the form of every item is known in advance.

Each method reads one item of its type and refuses everything else with its own code, before memory is taken for it.
`cbor.Reader` adds text, map keys and items of any form, which take more code than a node has room for beside a session.
"""

from .cbor_write import ARRAY, BYTES, MAP, NULL, SIMPLES, TAGGED, UINT
from .errors import (
    FLOAT,
    INDEFINITE,
    NOT_SHORTEST,
    RANGE,
    RESERVED,
    SIMPLE,
    TAG,
    TOO_LONG,
    TRAILING,
    TRUNCATED,
    TYPE,
    FrameError,
)
from .limits import MAX_BYTES

_NAMES = ("unsigned integer", "negative integer", "byte string", "text", "array", "map", "tag", "simple value")


class Heads:
    """Walks over one byte string; `argument` is what the last head carried."""

    def __init__(self, data, start=0):
        self.data = data
        self.pos = start
        self.end = len(data)
        self.argument = 0

    def head(self):
        """Read one head: returns the major type, leaves its number in `argument`."""
        data = self.data
        pos = self.pos
        if pos >= self.end:
            raise FrameError(TRUNCATED, "item missing at byte %d" % pos)
        first = data[pos]
        major = first >> 5
        info = first & 31
        pos += 1
        if info < 24:
            if major == 7 and not 20 <= info <= 22:
                raise FrameError(SIMPLE, "simple value %d at byte %d" % (info, pos - 1))
            self.argument = info
            self.pos = pos
            return major
        if info > 27:
            if info == 31 and (2 <= major <= 5 or major == 7):
                raise FrameError(INDEFINITE, "at byte %d" % (pos - 1))
            raise FrameError(RESERVED, "head %02x at byte %d" % (first, pos - 1))
        size = 1 << (info - 24)
        if pos + size > self.end:
            raise FrameError(TRUNCATED, "head cut short at byte %d" % (pos - 1))
        if major == 7:
            if info == 24:
                raise FrameError(SIMPLE, "two-byte simple value at byte %d" % (pos - 1))
            raise FrameError(FLOAT, "at byte %d" % (pos - 1))
        number = 0
        for i in range(pos, pos + size):
            number = number << 8 | data[i]
        if number < 24 or (size > 1 and number >> (size << 2) == 0):
            raise FrameError(NOT_SHORTEST, "at byte %d" % (pos - 1))
        self.argument = number
        self.pos = pos + size
        return major

    def peek(self):
        """The first byte of the next item, without reading it; -1 at the end."""
        return self.data[self.pos] if self.pos < self.end else -1

    def expect(self, wanted):
        """Read a head that must be of this major type; returns its number."""
        start = self.pos
        major = self.head()
        if major != wanted:
            self.pos = start
            raise FrameError(TYPE, "%s instead of %s at byte %d" % (_NAMES[major], _NAMES[wanted], start))
        return self.argument

    def uint(self, most=0xFFFFFFFF):
        number = self.expect(UINT)
        if number > most:
            raise FrameError(RANGE, "%d is over %d at byte %d" % (number, most, self.pos))
        return number

    def integer(self, least, most):
        start = self.pos
        major = self.head()
        if major > 1:
            raise FrameError(TYPE, "%s instead of an integer at byte %d" % (_NAMES[major], start))
        number = -1 - self.argument if major else self.argument
        if not least <= number <= most:
            raise FrameError(RANGE, "%d is not in %d..%d at byte %d" % (number, least, most, start))
        return number

    def is_null(self):
        """Read null if it comes next; says whether it did."""
        if self.peek() == NULL:
            self.pos += 1
            return True
        return False

    def boolean(self):
        start = self.pos
        if self.head() != SIMPLES or self.argument == 22:
            raise FrameError(TYPE, "false or true expected at byte %d" % start)
        return self.argument == 21

    def length(self, major, most):
        """Read the head of a string, array or map that announces at most `most`, all of which is there."""
        length = self.expect(major)
        # the claim is held against the limit before it is held against the bytes: both before memory is taken
        if length > most:
            raise FrameError(TOO_LONG, "%d is over %d at byte %d" % (length, most, self.pos))
        if length > self.end - self.pos:
            raise FrameError(TRUNCATED, "%d announced at byte %d, %d left" % (length, self.pos, self.end - self.pos))
        return length

    def bytes(self, most=MAX_BYTES):
        length = self.length(BYTES, most)
        start = self.pos
        self.pos = start + length
        return bytes(self.data[start : start + length])

    def array(self, most):
        """Number of items that follow; never more than bytes are left."""
        return self.length(ARRAY, most)

    def map(self, most):
        """Number of pairs that follow; never more than half the bytes that are left."""
        start = self.pos
        length = self.length(MAP, most)
        if length * 2 > self.end - self.pos:
            raise FrameError(TRUNCATED, "%d pairs announced at byte %d" % (length, start))
        return length

    def tag(self, wanted):
        start = self.pos
        if self.expect(TAGGED) != wanted:
            raise FrameError(TAG, "tag %d instead of %d at byte %d" % (self.argument, wanted, start))

    def finish(self):
        if self.pos != self.end:
            raise FrameError(TRAILING, "%d bytes after the end" % (self.end - self.pos))
