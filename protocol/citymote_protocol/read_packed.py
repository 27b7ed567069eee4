"""The bit stream of packed frames, read (SPEC chapter 4).

The stream is turned into text of zeros and ones, a window at a time: finding the end of a unary number is then one call
on either interpreter.  Whatever no encoder may write is refused, so that a frame that was damaged and still decodes is
rare even where nothing else protects it.
"""

from .errors import COUNT, INTERVAL, PACKED_END, PACKED_FORM, PACKED_REST, TIMES, VALUE, FrameError
from .limits import MAX_COUNT, MAX_INTERVAL, MAX_STEP, MAX_VALUE, MIN_VALUE
from .rice import CONSTANT, EMPTY, ESCAPE, MEAN, RUNS

_CHUNK = 128  # bytes that are text at a time: a kilobyte, whatever the stream's length
_AHEAD = 64  # bits that every read may rely on; the longest code has 44


class _Bits:
    """A bit string as text, a window at a time, and how much of it has been read."""

    def __init__(self, data):
        self.data = data
        self.next = 0  # first byte that is not text yet
        self.text = ""
        self.pos = 0
        self.low = 0  # behind this position, more text is wanted
        self.fill()

    def fill(self):
        chunk = self.data[self.next : self.next + _CHUNK]
        self.next += len(chunk)
        self.text = self.text[self.pos :] + bin(int.from_bytes(b"\x01" + chunk, "big"))[3:]
        self.pos = 0
        self.low = len(self.text) - _AHEAD if self.next < len(self.data) else len(self.text)

    def take(self, size):
        if size == 0:
            return 0
        if self.pos > self.low:
            self.fill()
        end = self.pos + size
        if end > len(self.text):
            raise FrameError(PACKED_END, "after %d bytes" % len(self.data))
        value = int(self.text[self.pos : end], 2)
        self.pos = end
        return value

    def number(self):
        size = self.take(4)
        if size == 15:
            value = self.take(30)
            if value < 0x4000:
                raise FrameError(PACKED_FORM, "a long number that is short")
            return value
        return 1 << (size - 1) | self.take(size - 1) if size else 0

    def parameter(self):
        k = self.take(3)
        if k == 7:
            k = self.take(4)
            if k < 7:
                raise FrameError(PACKED_FORM, "a long parameter that is short")
        return k

    def rice(self, k):
        """One Rice code."""
        if self.pos > self.low:
            self.fill()
        text = self.text
        pos = self.pos
        zero = text.find("0", pos, pos + ESCAPE)
        if zero < 0:
            if pos + ESCAPE > len(text):
                raise FrameError(PACKED_END, "after %d bytes" % len(self.data))
            self.pos = pos + ESCAPE
            code = self.take(24)
            if code >> k < ESCAPE:
                raise FrameError(PACKED_FORM, "an escape without need")
            return code
        end = zero + 1 + k
        if end > len(text):
            raise FrameError(PACKED_END, "after %d bytes" % len(self.data))
        self.pos = end
        return (zero - pos) << k | int(text[zero + 1 : end], 2) if k else zero - pos

    def finish(self):
        rest = len(self.text) - self.pos + 8 * (len(self.data) - self.next)
        if rest > 7 or "1" in self.text[self.pos :]:
            raise FrameError(PACKED_REST, "%d bits are left" % rest)


def _unzigzag(code):
    return -1 - (code >> 1) if code & 1 else code >> 1


def _read_series(bits, form, rows, signed):
    """The `rows` values of one series."""
    step = 1 if form == CONSTANT else _read_step(bits)
    base = bits.number()
    if signed:
        base = _unzigzag(base)
    if form == CONSTANT:
        return [base] * rows
    if form == RUNS:
        values = _read_runs(bits, rows, base)
    else:
        k = bits.parameter()
        if form == MEAN:
            values = [base + _unzigzag(bits.rice(k)) for _ in range(rows)]
        else:
            values = [base]
            for _ in range(rows - 1):
                base += _unzigzag(bits.rice(k))
                values.append(base)
    return values if step == 1 else [value * step for value in values]


def _read_runs(bits, rows, base):
    runs_k = bits.parameter()
    k = bits.parameter()
    values = [base]
    while len(values) < rows:
        run = bits.rice(runs_k)
        if run > rows - len(values):
            raise FrameError(PACKED_FORM, "a run of %d rows" % run)
        values.extend([base] * run)
        if len(values) < rows:
            base += _unzigzag(bits.rice(k) + 1)
            values.append(base)
    return values


def _read_step(bits):
    if not bits.take(1):
        return 1
    if not bits.take(1):
        return 10
    step = bits.take(16)
    if step < 2 or step == 10 or step > MAX_STEP:
        raise FrameError(PACKED_FORM, "a step of %d" % step)
    return step


def unpack(data, frame, width):
    """Fill a frame's time, count, interval, times and the values of its `width` columns from a bit stream."""
    bits = _Bits(data)
    frame.time = bits.take(32)
    count = frame.count = bits.number()
    if not 1 <= count <= MAX_COUNT:
        raise FrameError(COUNT, "%d rows" % count)
    minutes = bits.take(1)
    frame.interval = bits.number()
    if minutes:
        frame.interval *= 60
        if not frame.interval:
            raise FrameError(PACKED_FORM, "no interval, in minutes")
    elif frame.interval and frame.interval % 60 == 0:
        raise FrameError(PACKED_FORM, "whole minutes, in seconds")
    if frame.interval > MAX_INTERVAL:
        raise FrameError(INTERVAL, "%d s" % frame.interval)
    deviations = None
    if bits.take(1):
        deviations = _read_times(bits, count, frame.interval)
    gaps = bits.take(1)
    signed = bits.take(1)
    columns = []
    before = ()
    for _ in range(width):
        form = 0
        while form < EMPTY and bits.take(1):
            form += 1
        if form == EMPTY:
            columns.append([None] * count)
            before = ()
            continue
        present = None
        rows = count
        if gaps and bits.take(1):
            present = [bits.take(1) for _ in range(count)]
            rows = sum(present)
            if rows == 0 or rows == count:
                raise FrameError(PACKED_FORM, "a column with gaps needs both")
        crossed = present is None and before and bits.take(1)
        values = _read_series(bits, form, rows, signed or crossed)
        if crossed:
            values = [a + b for a, b in zip(values, before)]
        for value in (min(values), max(values)):
            if not MIN_VALUE <= value <= MAX_VALUE:
                raise FrameError(VALUE, "%d does not fit 31 bits" % value)
        if present is None:
            before = values
        else:
            before = ()
            rest = iter(values)
            values = [next(rest) if each else None for each in present]
        columns.append(values)
    bits.finish()
    if gaps and all(None not in values for values in columns):
        raise FrameError(PACKED_FORM, "gaps announced, none there")
    return columns, deviations


def _read_times(bits, count, interval):
    """The gaps' deviations from the interval."""
    form = 0
    while form < EMPTY and bits.take(1):
        form += 1
    if form == EMPTY:
        raise FrameError(PACKED_FORM, "no times")
    late = _read_series(bits, form, count, True)
    if late[0] or max(late) == 0 == min(late):
        raise FrameError(PACKED_FORM, "irregular rows that are regular")
    for value in late:
        if not -MAX_VALUE <= value <= MAX_VALUE:
            raise FrameError(TIMES, "a row %d s late" % value)
    return [late[i] - late[i - 1] for i in range(1, count)]
