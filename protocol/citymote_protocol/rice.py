"""The bit stream of packed frames, for links where every byte costs (SPEC chapter 4), written and read.

Each column is a series of integers: deltas, distances from a mean, or runs of no change, as Rice codes (Golomb's codes
with a power of two), by itself or minus the column before it, whichever takes fewest bits.  The encoder tries all of
them and takes no memory but scratch made once.  What the stream cannot say (a value or residual that is too wide)
makes `Packer.put` return 0, and the frame is sent as plain columns instead.
"""

from array import array

from .cbor import BYTES, put_head
from .columns import divisor
from .errors import (
    COUNT,
    INTERVAL,
    NO_ROOM,
    PACKED_END,
    PACKED_FORM,
    PACKED_REST,
    TIMES,
    VALUE,
    EncodeError,
    FrameError,
)
from .limits import MAX_COUNT, MAX_INTERVAL, MAX_STEP, MAX_VALUE, MIN_VALUE
from .quantities import ABSENT

# forms of a column; a form's prefix code is that many ones and a zero, absent has four ones
DELTAS = 0
MEAN = 1
RUNS = 2
CONSTANT = 3
EMPTY = 4

MAX_PLAIN = 0x1FFFFFFF  # series values, so that their zigzag has 30 bits
ESCAPE = 20  # ones in a row that say: 24 bits as they are
MAX_RESIDUAL = 0xFFFFFF  # zigzag residuals fit these 24 bits
MAX_K = 15
_NONE = 0xFFFFFF  # the cost of a form that cannot say the series


def _number_cost(number):
    """Bits of an unsigned number: four for its length, then what is below its highest bit."""
    if number < 0x4000:
        size = 0
        while number > 1:
            number >>= 1
            size += 1
        return 4 + size
    return 34


def _zigzag(value):
    return value << 1 if value >= 0 else (-1 - value) << 1 | 1


def _residuals(series, rows, form, base, out):
    """Zigzag residuals of a series into `out`; returns how many, or -1 where one is too wide."""
    if form == MEAN:
        start = 0
    else:
        base = series[0]
        start = 1
    for row in range(start, rows):
        value = series[row]
        delta = value - base
        if form != MEAN:
            base = value
        delta = delta << 1 if delta >= 0 else (-1 - delta) << 1 | 1
        if delta > MAX_RESIDUAL:
            return -1
        out[row - start] = delta
    return rows - start


def _split_runs(codes, count, runs):
    """Take the zeros out: their run lengths into `runs`, the others less one to the front of `codes`.

    Returns the number of others; the last run, where the series ends in one, is behind the others' runs, else -1.
    """
    others = 0
    run = 0
    for i in range(count):
        code = codes[i]
        if code:
            runs[others] = run
            codes[others] = code - 1
            others += 1
            run = 0
        else:
            run += 1
    runs[others] = run if run else -1
    return others


def _rice_cost(codes, count, found):
    """Bits of the codes with the best parameter among three around their mean; leaves the parameter in found[0]."""
    total = 0
    for i in range(count):
        total += codes[i]
    low = 0
    while low < MAX_K - 1 and count << (low + 1) <= total:
        low += 1
    if low:
        low -= 1
    a = b = c = 0
    for i in range(count):
        quotient = codes[i] >> low
        a += quotient + 1 + low if quotient < ESCAPE else ESCAPE + 24
        quotient >>= 1
        b += quotient + 2 + low if quotient < ESCAPE else ESCAPE + 24
        quotient >>= 1
        c += quotient + 3 + low if quotient < ESCAPE else ESCAPE + 24
    if low + 2 > MAX_K:
        c = _NONE
    found[0] = low
    if b < a:
        a = b
        found[0] = low + 1
    if c < a:
        a = c
        found[0] = low + 2
    return a + (3 if found[0] < 7 else 7)


def _worth(step, rows):
    """The step to use: ten, or one that saves more than the 17 bits it costs to say, or none."""
    if step == 1 or step == 10:
        return step
    size = -1
    rest = step
    while rest:
        rest >>= 1
        size += 1
    if (rows - 1) * size > 17:
        return step
    return 1 if step % 10 else 10


class Packer:
    """Writes bit streams; its scratch grows to the most rows it has seen and is then reused."""

    def __init__(self):
        self._room = 0
        self._own = self._cross = self._codes = self._runs = array("i")
        self._found = array("i", (0, 0))
        self._buf = None
        self._pos = self._acc = self._used = 0

    def _prepare(self, rows):
        if rows > self._room:
            self._room = rows
            self._own = array("i", (0 for _ in range(rows)))
            self._cross = array("i", (0 for _ in range(rows)))
            self._codes = array("i", (0 for _ in range(rows)))
            self._runs = array("i", (0 for _ in range(rows + 1)))

    def _bits(self, value, size):
        """Append up to 22 bits; more would leave the small integers of a 32-bit interpreter."""
        acc = self._acc << size | value
        used = self._used + size
        buf = self._buf
        pos = self._pos
        while used >= 8:
            used -= 8
            if pos >= len(buf):
                raise EncodeError(NO_ROOM)
            buf[pos] = acc >> used & 255
            pos += 1
        self._acc = acc & ((1 << used) - 1)
        self._used = used
        self._pos = pos

    def _number(self, number):
        size = 0
        rest = number
        while rest:
            rest >>= 1
            size += 1
        if size < 15:
            self._bits(size, 4)
            if size > 1:
                self._bits(number & ((1 << (size - 1)) - 1), size - 1)
        else:
            self._bits(15, 4)
            self._bits(number >> 15, 15)
            self._bits(number & 0x7FFF, 15)

    def _parameter(self, k):
        if k < 7:
            self._bits(k, 3)
        else:
            self._bits(7, 3)
            self._bits(k, 4)

    def _rice(self, code, k):
        quotient = code >> k
        if quotient < ESCAPE:
            self._bits((1 << (quotient + 1)) - 2, quotient + 1)
            if k:
                self._bits(code & ((1 << k) - 1), k)
        else:
            self._bits((1 << ESCAPE) - 1, ESCAPE)
            self._bits(code >> 12, 12)
            self._bits(code & 0xFFF, 12)

    def put(self, buf, pos, time, count, interval, columns, times):
        """Write the byte string with rows and columns at `pos`; returns the position behind it, 0 if it cannot be."""
        self._prepare(count)
        # the stream's length is not known yet: leave room for the longer head that could be needed, close up later
        head = 2 if len(buf) - pos < 258 else 3
        if pos + head > len(buf):
            raise EncodeError(NO_ROOM)
        self._buf = buf
        self._pos = pos + head
        self._acc = self._used = 0
        self._bits(time >> 16, 16)
        self._bits(time & 0xFFFF, 16)
        self._number(count)
        minutes = interval and interval % 60 == 0
        self._bits(1 if minutes else 0, 1)
        self._number(interval // 60 if minutes else interval)
        if not self._put_times(time, count, interval, times) or not self._put_columns(columns, count):
            return 0
        if self._used:
            self._bits(0, 8 - self._used)
        size = self._pos - pos - head
        start = put_head(buf, pos, BYTES, size)
        if start < pos + head:
            for i in range(size):
                buf[start + i] = buf[pos + head + i]
        return start + size

    def _put_times(self, time, count, interval, times):
        """A flag, and where the rows are not regular the series of what they are late."""
        regular = True
        if times is not None:
            late = 0
            for row in range(count):
                late = times[row] - time - row * interval
                if not -MAX_PLAIN <= late <= MAX_PLAIN:
                    return False
                if late:
                    regular = False
                self._own[row] = late
        self._bits(0 if regular else 1, 1)
        return regular or self._put_series(count, True, False, False, False, None, None)

    def _put_columns(self, columns, count):
        gaps = signed = False
        for column in columns:
            for row in range(count):
                value = column[row]
                if value == ABSENT:
                    gaps = True
                elif value < 0:
                    signed = True
        self._bits((2 if gaps else 0) | (1 if signed else 0), 2)
        before = None  # the column before this one, if it has a value in every row
        for column in columns:
            present = 0
            own = self._own
            for row in range(count):
                value = column[row]
                if value == ABSENT:
                    continue
                if not -MAX_PLAIN <= value <= MAX_PLAIN:
                    return False
                own[present] = value
                present += 1
            if present == 0:
                self._bits(15, 4)
                before = None
                continue
            full = present == count
            crossed = False
            if full and before is not None:
                crossed = True
                for row in range(count):
                    value = column[row] - before[row]
                    if not -MAX_PLAIN <= value <= MAX_PLAIN:
                        crossed = False
                        break
                    self._cross[row] = value
            if not self._put_series(present, signed, gaps, full and before is not None, crossed, column, count):
                return False
            before = column if full else None
        return True

    def _put_series(self, rows, signed, gaps, may_cross, crossed, column, count):
        """Choose form and series for `rows` values in self._own (and self._cross), and write them."""
        found = self._found
        best = _NONE
        form = k = runs_k = 0
        step = base = 0
        series = self._own
        for other in range(2 if crossed else 1):
            source = self._cross if other else self._own
            with_sign = signed or other
            first = source[0]
            row = 1
            while row < rows and source[row] == first:
                row += 1
            if row == rows:
                cost = _number_cost(_zigzag(first) if with_sign else first) + 4
                if cost < best:
                    best = cost
                    form = CONSTANT
                    series = source
                    base = first
                continue
            divide = _worth(divisor(source, rows), rows)
            total = 0
            for row in range(rows):
                if divide > 1:
                    source[row] //= divide
                total += source[row] - source[0]
            extra = 1 if divide == 1 else 2 if divide == 10 else 18
            first = source[0]
            start = _number_cost(_zigzag(first) if with_sign else first) + extra
            for kind in (DELTAS, MEAN, RUNS):
                if kind == MEAN:
                    middle = first + (2 * total + rows) // (2 * rows)
                    cost = _number_cost(_zigzag(middle) if with_sign else middle) + extra + 2
                else:
                    middle = first
                    cost = start + kind + 1
                # all forms share the scratch: what is kept of each is its cost and its parameters
                length = _residuals(source, rows, kind, middle, self._codes)
                if length < 0:
                    continue
                second = 0
                if kind == RUNS:
                    length = _split_runs(self._codes, length, self._runs)
                    cost += _rice_cost(self._runs, length + (1 if self._runs[length] >= 0 else 0), found)
                    second = found[0]
                cost += _rice_cost(self._codes, length, found)
                if cost < best:
                    best = cost
                    form = kind
                    series = source
                    step = divide
                    base = middle
                    k = found[0]
                    runs_k = second
        if best == _NONE:
            return False
        self._bits((1 << (form + 1)) - 2, form + 1)
        if gaps:
            self._bits(1 if rows < count else 0, 1)
            if rows < count:
                for row in range(count):
                    self._bits(0 if column[row] == ABSENT else 1, 1)
        if may_cross:
            self._bits(1 if series is self._cross else 0, 1)
        number = _zigzag(base) if signed or series is self._cross else base
        if form == CONSTANT:
            self._number(number)
            return True
        if step == 1:
            self._bits(0, 1)
        elif step == 10:
            self._bits(2, 2)
        else:
            self._bits(3, 2)
            self._bits(step, 16)
        self._number(number)
        codes = self._codes
        length = _residuals(series, rows, form, base, codes)
        if form != RUNS:
            self._parameter(k)
            for i in range(length):
                self._rice(codes[i], k)
            return True
        length = _split_runs(codes, length, self._runs)
        self._parameter(runs_k)
        self._parameter(k)
        for i in range(length):
            self._rice(self._runs[i], runs_k)
            self._rice(codes[i], k)
        if self._runs[length] >= 0:
            self._rice(self._runs[length], runs_k)
        return True


class _Bits:
    """A bit string as text: finding the end of a unary number is then one call on either interpreter."""

    def __init__(self, data):
        self.text = bin(int.from_bytes(b"\x01" + data, "big"))[3:]
        self.pos = 0

    def take(self, size):
        if size == 0:
            return 0
        end = self.pos + size
        if end > len(self.text):
            raise FrameError(PACKED_END, "after %d bits" % len(self.text))
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
        text = self.text
        pos = self.pos
        zero = text.find("0", pos, pos + ESCAPE)
        if zero < 0:
            if pos + ESCAPE > len(text):
                raise FrameError(PACKED_END, "after %d bits" % len(text))
            self.pos = pos + ESCAPE
            code = self.take(24)
            if code >> k < ESCAPE:
                raise FrameError(PACKED_FORM, "an escape without need")
            return code
        end = zero + 1 + k
        if end > len(text):
            raise FrameError(PACKED_END, "after %d bits" % len(text))
        self.pos = end
        return (zero - pos) << k | int(text[zero + 1 : end], 2) if k else zero - pos

    def finish(self):
        rest = len(self.text) - self.pos
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
    before = None
    for _ in range(width):
        form = 0
        while form < EMPTY and bits.take(1):
            form += 1
        if form == EMPTY:
            columns.append([None] * count)
            before = None
            continue
        present = None
        rows = count
        if gaps and bits.take(1):
            present = [bits.take(1) for _ in range(count)]
            rows = sum(present)
            if rows == 0 or rows == count:
                raise FrameError(PACKED_FORM, "a column with gaps needs both")
        crossed = present is None and before is not None and bits.take(1)
        values = _read_series(bits, form, rows, signed or crossed)
        if crossed:
            values = [a + b for a, b in zip(values, before)]
        for value in (min(values), max(values)):
            if not MIN_VALUE <= value <= MAX_VALUE:
                raise FrameError(VALUE, "%d does not fit 31 bits" % value)
        if present is None:
            before = values
        else:
            before = None
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
    return [b - a for a, b in zip(late, late[1:])]
