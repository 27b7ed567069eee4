"""One column of a batch frame in each of its forms, read (SPEC 3.5).

Every form is recognised by what stands second or third in its array, and each says exactly as many rows as the frame
has: a column that is too short or too long is refused, never filled up.
"""

from .cbor_write import ARRAY, BYTES, TAGGED
from .columns import SINT8, SINT16
from .errors import COLUMN_LENGTH, MASK, RANGE, TAG, TRUNCATED, TYPE, VALUE, FrameError
from .limits import MAX_COUNT, MAX_DELTA, MAX_FRAME, MAX_STEP, MAX_VALUE, MIN_VALUE


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
