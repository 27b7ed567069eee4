"""The CBOR that this protocol is written in: a strict, deterministic subset of RFC 8949.

Integers to 64 bits, byte and text strings, arrays, maps, false, true, null and a few tags; definite lengths, shortest
heads and sorted keys only (RFC 8949, 4.2.1), no floats.  What is outside of it is refused with its own code before
memory is taken for it: a library's defaults would let most of it pass.  The reader walks one item after the other,
because every grammar here is known in advance; `loads` and `dumps` are for the few places where it is not.  Heads and
integers are written by `cbor_write`, which is all that a node needs, and are handed on here.
"""

from .cbor_read import Heads
from .cbor_write import (  # noqa: F401 (handed on)
    ARRAY,
    BYTES,
    MAP,
    NINT,
    NULL,
    SIMPLES,
    TAGGED,
    TEXTS,
    UINT,
    head_size,
    put_bytes,
    put_head,
    put_int,
)
from .errors import (
    DEPTH,
    DUPLICATE_KEY,
    KEY_ORDER,
    NO_ROOM,
    TAG,
    TEXT,
    TRUNCATED,
    EncodeError,
    FrameError,
)
from .limits import MAX_DEPTH, MAX_TEXT

_ANY = 0xFFFFFFFFFFFFFFFF  # a length without a limit of its own: what bytes there are decides


class Reader(Heads):
    """Walks over one byte string; `argument` is what the last head carried."""

    def text(self, most=MAX_TEXT):
        length = self.length(TEXTS, most)
        start = self.pos
        self.pos = start + length
        raw = bytes(self.data[start : start + length])
        check_text(raw)
        return str(raw, "utf-8")

    def key(self, previous):
        """The next key of a map with unsigned keys, which must be over `previous` (start with -1)."""
        start = self.pos
        number = self.uint(0xFFFFFFFF)
        if number == previous:
            raise FrameError(DUPLICATE_KEY, "key %d at byte %d" % (number, start))
        if number < previous:
            raise FrameError(KEY_ORDER, "key %d after %d at byte %d" % (number, previous, start))
        return number

    def item(self, depth=MAX_DEPTH):
        """Any one item, as Python values; a map becomes a list of pairs, because node dicts have no order."""
        start = self.pos
        major = self.head()
        number = self.argument
        if major == UINT:
            return number
        if major == NINT:
            return -1 - number
        if major == SIMPLES:
            return None if number == 22 else number == 21
        if major == TAGGED:
            raise FrameError(TAG, "tag %d at byte %d" % (number, start))
        if major == BYTES or major == TEXTS:
            self.pos = start
            return self.bytes(_ANY) if major == BYTES else self.text(_ANY)
        if depth == 0:
            raise FrameError(DEPTH, "at byte %d" % start)
        if number * (2 if major == MAP else 1) > self.end - self.pos:
            raise FrameError(TRUNCATED, "%d items announced at byte %d" % (number, start))
        if major == ARRAY:
            return [self.item(depth - 1) for _ in range(number)]
        pairs = []
        last = None
        for _ in range(number):
            at = self.pos
            key = self.item(depth - 1)
            raw = bytes(self.data[at : self.pos])
            if last is not None:
                if raw == last:
                    raise FrameError(DUPLICATE_KEY, "at byte %d" % at)
                if raw < last:
                    raise FrameError(KEY_ORDER, "at byte %d" % at)
            last = raw
            pairs.append((key, self.item(depth - 1)))
        return pairs

    def raw(self, depth=MAX_DEPTH):
        """The bytes of one item, checked like every other."""
        start = self.pos
        self.item(depth)
        return bytes(self.data[start : self.pos])


def check_text(raw):
    """UTF-8 by RFC 3629 without control characters; spelled out, because MicroPython's own check is lenient."""
    i = 0
    end = len(raw)
    while i < end:
        c = raw[i]
        if c < 0x80:
            if c < 0x20 or c == 0x7F:
                raise FrameError(TEXT, "control character")
            i += 1
            continue
        if 0xC2 <= c <= 0xDF:
            more, low, high = 1, 0x80, 0xBF
        elif 0xE0 <= c <= 0xEF:
            more, low, high = 2, 0xA0 if c == 0xE0 else 0x80, 0x9F if c == 0xED else 0xBF
        elif 0xF0 <= c <= 0xF4:
            more, low, high = 3, 0x90 if c == 0xF0 else 0x80, 0x8F if c == 0xF4 else 0xBF
        else:
            raise FrameError(TEXT, "not UTF-8")
        if i + more >= end:
            raise FrameError(TEXT, "not UTF-8")
        if not low <= raw[i + 1] <= high:
            raise FrameError(TEXT, "not UTF-8")
        if c == 0xC2 and raw[i + 1] < 0xA0:
            raise FrameError(TEXT, "control character")
        for k in range(i + 2, i + more + 1):
            if not 0x80 <= raw[k] <= 0xBF:
                raise FrameError(TEXT, "not UTF-8")
        i += more + 1


def loads(data, depth=MAX_DEPTH):
    """The one item that `data` is."""
    reader = Reader(data)
    value = reader.item(depth)
    reader.finish()
    return value


class Writer:
    """Builds one item in a buffer made once; what does not fit raises EncodeError(NO_ROOM)."""

    def __init__(self, buf):
        self.buf = buf
        self.pos = 0

    def head(self, major, number):
        self.pos = put_head(self.buf, self.pos, major, number)

    def integer(self, number):
        self.pos = put_int(self.buf, self.pos, number)

    def bytes(self, data):
        self.pos = put_bytes(self.buf, put_head(self.buf, self.pos, BYTES, len(data)), data)

    def text(self, string):
        raw = string.encode()
        self.pos = put_bytes(self.buf, put_head(self.buf, self.pos, TEXTS, len(raw)), raw)

    def array(self, count):
        self.pos = put_head(self.buf, self.pos, ARRAY, count)

    def map(self, count):
        self.pos = put_head(self.buf, self.pos, MAP, count)

    def tag(self, number):
        self.pos = put_head(self.buf, self.pos, TAGGED, number)

    def null(self):
        self.pos = put_head(self.buf, self.pos, SIMPLES, 22)

    def raw(self, data):
        self.pos = put_bytes(self.buf, self.pos, data)

    def item(self, value):
        """Any value of the kinds that `Reader.item` gives; pairs are made with `pairs`."""
        if value is None:
            self.null()
        elif value is True or value is False:
            self.head(SIMPLES, 21 if value else 20)
        elif isinstance(value, int):
            self.integer(value)
        elif isinstance(value, str):
            self.text(value)
        elif isinstance(value, (bytes, bytearray, memoryview)):
            self.bytes(value)
        elif isinstance(value, Pairs):
            self.pairs(value)
        else:
            self.array(len(value))
            for each in value:
                self.item(each)

    def pairs(self, pairs):
        """A map from (key, value) pairs in any order; sorted here by the bytes of the keys."""
        keyed = [(dumps(key), value) for key, value in pairs]
        keyed.sort(key=_first)
        self.map(len(keyed))
        for key, value in keyed:
            self.raw(key)
            self.item(value)

    def view(self):
        return memoryview(self.buf)[: self.pos]


class Pairs(list):
    """A list of (key, value) that is written as a map."""


def _first(pair):
    return pair[0]


def dumps(value, size=64):
    """The bytes of a value; for small things outside the hot path, it grows its buffer until the value fits."""
    while True:
        writer = Writer(bytearray(size))
        try:
            writer.item(value)
            return bytes(writer.view())
        except EncodeError as error:
            if error.code != NO_ROOM or size > 65536:
                raise
        size *= 2
