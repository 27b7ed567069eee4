"""One column of a batch frame in each of its forms, written and read (SPEC 3.4).

Absent, constant, a list of deltas, a mask of the rows that change with their deltas, or deltas as an RFC 8746 typed
array, the last three also in steps of a common divisor, because many sensors are coarser than the registry.  The
smallest form wins, by a rule that looks at the values alone, so that the same readings are the same bytes everywhere.
The bit stream that replaces all columns is in `rice`.
"""

from .cbor import ARRAY, BYTES, TAGGED, UINT, head_size, put_head, put_int
from .errors import COLUMN_LENGTH, MASK, RANGE, TAG, TRUNCATED, TYPE, VALUE, FrameError
from .header import check_room
from .limits import MAX_COUNT, MAX_DELTA, MAX_FRAME, MAX_STEP, MAX_VALUE, MIN_VALUE
from .quantities import ABSENT

SINT8 = 72  # RFC 8746: array of signed bytes
SINT16 = 77  # RFC 8746: array of signed 16-bit integers, little endian
NO_FORM = 0xFFFFFF  # the cost of a form that cannot say the column

# What `scan` finds out about a column; an array and not a tuple, because a tuple would take memory on the node.
GAPS = 0  # absent rows
WIDTH = 1  # bytes a delta needs as a signed integer: 0 all equal, 1, 2, or 4
LIST = 2  # bytes of each form, array head included, step not
MASKED = 3
TYPED = 4
CHANGES = 5  # rows that differ from the row before
LAST = 6  # the last of them
FOUND = 7


def divisor(column, count):
    """The step of a column: what divides all its values, 1 where nothing worth the name does."""
    step = 0
    for row in range(count):
        value = column[row]
        if value == ABSENT:
            continue
        if value < 0:
            value = -value
        while value:
            step, value = value, step % value
        if step == 1:
            return 1
    return step if 1 < step <= MAX_STEP else 1


def scan(column, count, step, extra, found):
    """Look once over a column in these steps and note what each form would cost with `extra` more items."""
    gaps = 0
    size = 0  # of all elements
    changed = 0  # of those that change, behind the first
    changes = 0
    latest = 0
    width = 0
    last = 0
    absent = False
    start = True  # no value yet
    for row in range(count):
        value = column[row]
        if value == ABSENT:
            gaps += 1
            size += 1
            if row and not absent:
                changes += 1
                changed += 1
                latest = row
            absent = True
            continue
        if step > 1:
            value //= step
        delta = value - last
        last = value
        if delta and not start:
            if -128 <= delta <= 127:
                if width == 0:
                    width = 1
            elif -32768 <= delta <= 32767:
                if width < 2:
                    width = 2
            else:
                width = 4
        start = False
        cost = delta if delta >= 0 else -1 - delta
        cost = 1 if cost < 24 else 2 if cost < 0x100 else 3 if cost < 0x10000 else 5
        size += cost
        if row and (delta or absent):
            changes += 1
            changed += cost
            latest = row
        absent = False
    found[GAPS] = gaps
    found[WIDTH] = width
    found[CHANGES] = changes
    found[LAST] = latest
    found[LIST] = head_size(count + extra) + size
    first = column[0]
    if first == ABSENT:
        first = 0
    elif step > 1:
        first //= step
    first = head_size(first if first >= 0 else -1 - first)
    mask = (latest + 7) >> 3
    found[MASKED] = head_size(2 + changes + extra) + first + head_size(mask) + mask + changed
    if gaps or width == 0 or width == 4:
        found[TYPED] = NO_FORM
    else:
        size = (count - 1) * width
        found[TYPED] = 3 + first + head_size(size) + size


def _best(found):
    """The smallest form; of equal ones the one that is decoded fastest."""
    form = TYPED
    if found[MASKED] < found[form]:
        form = MASKED
    if found[LIST] < found[form]:
        form = LIST
    return form


def put_column(buf, pos, column, count, found):
    """Write one column in the form that table 3.4 of the specification gives it; returns the position behind."""
    scan(column, count, 1, 0, found)
    if found[GAPS] == count:
        check_room(buf, pos, 1)
        buf[pos] = 0xF6
        return pos + 1
    if found[GAPS] == 0 and found[WIDTH] == 0:
        return put_int(buf, pos, column[0])
    form = _best(found)
    step = divisor(column, count)
    if step > 1:
        cost = found[form]
        scan(column, count, step, 1, found)
        form = _best(found)
        if head_size(step) + found[form] >= cost:
            step = 1
            scan(column, count, 1, 0, found)
            form = _best(found)
    extra = 1 if step > 1 else 0
    check_room(buf, pos, found[form] + (head_size(step) if extra else 0))
    if form == LIST:
        items = count
    elif form == MASKED:
        items = 2 + found[CHANGES]
    else:
        items = 2
    pos = put_head(buf, pos, ARRAY, items + extra)
    if extra:
        pos = put_head(buf, pos, UINT, step)
    if form == LIST:
        return _put_list(buf, pos, column, count, step)
    if form == MASKED:
        return _put_masked(buf, pos, column, count, step, (found[LAST] + 7) >> 3)
    return _put_typed(buf, pos, column, count, step, found[WIDTH])


def _put_list(buf, pos, column, count, step):
    last = 0
    for row in range(count):
        value = column[row]
        if value == ABSENT:
            buf[pos] = 0xF6
            pos += 1
            continue
        if step > 1:
            value //= step
        delta = value - last
        last = value
        if delta >= 0:
            major = 0
        else:
            major = 0x20
            delta = -1 - delta
        if delta < 24:
            buf[pos] = major | delta
            pos += 1
        elif delta < 0x100:
            buf[pos] = major | 24
            buf[pos + 1] = delta
            pos += 2
        else:
            pos = put_head(buf, pos, major >> 5, delta)
    return pos


def _put_masked(buf, pos, column, count, step, size):
    """First element, mask (row 1 is the high bit of its first byte), then an element for each bit that is set."""
    last = 0
    absent = False
    mask = 0
    for row in range(count):
        value = column[row]
        if value == ABSENT:
            if absent:
                continue
            absent = True
            buf[pos] = 0xF6
            pos += 1
        else:
            if step > 1:
                value //= step
            if value == last and row and not absent:
                continue
            absent = False
            pos = put_int(buf, pos, value - last)
            last = value
        if row == 0:
            pos = put_head(buf, pos, BYTES, size)
            mask = pos
            for _ in range(size):
                buf[pos] = 0
                pos += 1
        else:
            buf[mask + ((row - 1) >> 3)] |= 0x80 >> ((row - 1) & 7)
    return pos


def _put_typed(buf, pos, column, count, step, width):
    """First value and typed array."""
    last = column[0]
    if step > 1:
        last //= step
    pos = put_int(buf, pos, last)
    pos = put_head(buf, pos, TAGGED, SINT8 if width == 1 else SINT16)
    pos = put_head(buf, pos, BYTES, (count - 1) * width)
    for row in range(1, count):
        value = column[row]
        if step > 1:
            value //= step
        delta = value - last
        last = value
        buf[pos] = delta & 255
        pos += 1
        if width == 2:
            buf[pos] = delta >> 8 & 255
            pos += 1
    return pos


def read_column(reader, count):
    """The `count` values of the next column, None where absent."""
    first = reader.peek()
    if first == 0xF6:
        reader.pos += 1
        return [None] * count
    if first >> 5 != ARRAY:
        return [reader.integer(MIN_VALUE, MAX_VALUE)] * count
    length = reader.array(MAX_FRAME)
    form, at = _form(reader, length)
    stepped = at == 2 if form else length == count + 1
    step = 1
    if stepped:
        step = reader.uint(MAX_STEP)
        if step < 2:
            raise FrameError(RANGE, "a step of %d" % step)
        length -= 1
    if form == TAGGED:
        if length != 2:
            raise FrameError(COLUMN_LENGTH, "%d items after a first value" % (length - 1))
        return _read_typed(reader, count, step)
    if form == BYTES:
        return _read_masked(reader, length - 2, count, step)
    if length != count:
        raise FrameError(COLUMN_LENGTH, "%d values for %d rows" % (length, count))
    values = []
    _read_deltas(reader, count, step, 0, values)
    return values


def _form(reader, length):
    """What stands second or third tells the forms apart: (BYTES or TAGGED or 0, index of it)."""
    start = reader.pos
    form = 0
    index = 0
    while index < 3 and index < length:
        major = reader.peek() >> 5
        if major == BYTES or major == TAGGED:
            form = major
            break
        if major < 0:
            raise FrameError(TRUNCATED, "column cut short")
        if major == ARRAY or major == 5 or major == 3:
            raise FrameError(TYPE, "neither integer nor null in a column")
        reader.head()
        index += 1
    reader.pos = start
    if form and index == 0:
        raise FrameError(TYPE, "a column begins with its first value")
    return form, index


def _read_deltas(reader, count, step, last, values):
    """Append `count` values from deltas; what most readings go through, therefore spelled out."""
    data = reader.data
    pos = reader.pos
    end = reader.end
    for _ in range(count):
        if pos >= end:
            raise FrameError(TRUNCATED, "column cut short")
        byte = data[pos]
        if byte < 24:
            last += byte * step
            pos += 1
        elif 0x20 <= byte < 0x38:
            last -= (byte - 0x1F) * step
            pos += 1
        elif byte == 0xF6:
            pos += 1
            values.append(None)
            continue
        else:
            reader.pos = pos
            last += reader.integer(-MAX_DELTA, MAX_DELTA) * step
            pos = reader.pos
        if not MIN_VALUE <= last <= MAX_VALUE:
            raise FrameError(VALUE, "%d does not fit 31 bits" % last)
        values.append(last)
    reader.pos = pos


def read_mask(reader, rows, elements):
    """A mask over `rows` rows with exactly `elements` bits set; no byte of zeros at its end."""
    mask = reader.bytes(MAX_COUNT)
    if not mask or len(mask) > (rows + 7) >> 3 or mask[-1] == 0:
        raise FrameError(MASK, "%d bytes of mask for %d rows" % (len(mask), rows))
    found = 0
    for index in range(len(mask) * 8):
        if mask[index >> 3] & 0x80 >> (index & 7):
            found += 1
            if index >= rows:
                raise FrameError(MASK, "a bit behind the last row")
    if found != elements:
        raise FrameError(COLUMN_LENGTH, "%d elements for %d bits" % (elements, found))
    return mask


def _read_masked(reader, changes, count, step):
    base = None
    last = 0
    if not reader.is_null():
        last = base = reader.integer(MIN_VALUE, MAX_VALUE) * step
        if not MIN_VALUE <= last <= MAX_VALUE:
            raise FrameError(VALUE, "%d does not fit 31 bits" % last)
    mask = read_mask(reader, count - 1, changes)
    changed = []
    _read_deltas(reader, changes, step, last, changed)
    values = [base]
    at = 0
    for index in range(count - 1):
        if index >> 3 < len(mask) and mask[index >> 3] & 0x80 >> (index & 7):
            if changed[at] == base:
                raise FrameError(MASK, "row %d does not change" % (index + 1))
            base = changed[at]
            at += 1
        values.append(base)
    return values


def _read_typed(reader, count, step):
    value = reader.integer(MIN_VALUE, MAX_VALUE) * step
    start = reader.pos
    tag = reader.expect(TAGGED)
    if tag != SINT8 and tag != SINT16:
        raise FrameError(TAG, "tag %d at byte %d" % (tag, start))
    raw = reader.bytes(MAX_FRAME)
    width = 1 if tag == SINT8 else 2
    if len(raw) != (count - 1) * width:
        raise FrameError(COLUMN_LENGTH, "%d bytes of deltas for %d rows" % (len(raw), count))
    values = []
    for pos in range(-width, len(raw), width):
        delta = 0
        if pos >= 0:
            delta = raw[pos]
            if width == 2:
                delta |= raw[pos + 1] << 8
                if delta & 0x8000:
                    delta -= 0x10000
            elif delta & 0x80:
                delta -= 0x100
        value += delta * step
        if not MIN_VALUE <= value <= MAX_VALUE:
            raise FrameError(VALUE, "%d does not fit 31 bits" % value)
        values.append(value)
    return values
