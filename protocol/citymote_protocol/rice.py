"""The bit stream of packed frames, for links where every byte costs (SPEC chapter 4), written; `read_packed` reads it.

Each column is a series of integers: deltas, distances from a mean, or runs of no change, as Rice codes (Golomb's codes
with a power of two), by itself or minus the column before it, whichever takes fewest bits.  The encoder tries all of
them and takes no memory but scratch made once.  What the stream cannot say (a value or residual that is too wide)
makes `Packer.put` return 0, and the frame is sent as plain columns instead.
"""

from array import array

from .cbor_write import BYTES, head_size, put_head
from .columns import divisor
from .errors import (
    NO_ROOM,
    EncodeError,
)
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
    widest = MAX_RESIDUAL  # locals, here and below: looking up a global for every row is what would cost most
    about = form == MEAN
    start = 0 if about else 1
    if not about:
        base = series[0]
    for row in range(start, rows):
        value = series[row]
        delta = value - base
        if not about:
            base = value
        delta = delta << 1 if delta >= 0 else (-1 - delta) << 1 | 1
        if delta > widest:
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
    # the costs beyond what every code has in each: the zero and the low bits
    escape = ESCAPE
    a = count * (low + 1)
    b = a + count
    c = b + count
    for i in range(count):
        quotient = codes[i] >> low
        if quotient < escape:
            a += quotient
            quotient >>= 1
            b += quotient
            c += quotient >> 1
            continue
        a += escape + 23 - low
        quotient >>= 1
        b += quotient if quotient < escape else escape + 22 - low
        quotient >>= 1
        c += quotient if quotient < escape else escape + 21 - low
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
        self._buf = bytearray()
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
        if quotient + k < 22:
            if quotient < ESCAPE:
                # all in one: the ones, the zero, the low bits
                self._bits(((1 << (quotient + 1)) - 2) << k | code & ((1 << k) - 1), quotient + 1 + k)
                return
        elif quotient < ESCAPE:
            self._bits((1 << (quotient + 1)) - 2, quotient + 1)
            self._bits(code & ((1 << k) - 1), k)
            return
        self._bits((1 << ESCAPE) - 1, ESCAPE)
        self._bits(code >> 12, 12)
        self._bits(code & 0xFFF, 12)

    def put(self, buf, pos, time, count, interval, columns, times):
        """Write the byte string with rows and columns at `pos`; returns the position behind it, 0 if it cannot be."""
        self._prepare(count)
        # the stream's length is not known yet: leave room for the longest head that could be needed, close up later
        room = len(buf) - pos
        head = 1 if room <= 24 else 2 if room <= 258 else 3
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
        if head_size(size) > head:
            raise EncodeError(NO_ROOM)
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
            for kind in range(CONSTANT):  # deltas, mean, runs
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
