"""One column of a batch frame in each of its forms, written (SPEC 3.5); `read_columns` reads them.

Absent, constant, a list of deltas, a mask of the rows that change with their deltas, or deltas as an RFC 8746 typed
array, the last three also in steps of a common divisor, because many sensors are coarser than the registry.  The
smallest form wins, by a rule that looks at the values alone, so that the same readings are the same bytes everywhere.
The bit stream that replaces all columns is in `rice`.
"""

from .cbor_write import ARRAY, BYTES, TAGGED, UINT, check_room, head_size, put_head, put_int
from .limits import MAX_STEP
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
    nothing = ABSENT  # a local: looking up a global for every row is what would cost most
    for row in range(count):
        value = column[row]
        if value == nothing:
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
    changes = 0  # rows that differ from the row before
    latest = 0
    more = 0  # bytes of elements beyond one each, behind the first
    most = 0  # the widest delta, as CBOR counts: -1 - delta below zero
    last = 0
    nothing = ABSENT
    first = column[0]
    absent = first == nothing
    if absent:
        gaps = 1
        first = 0
    else:
        if step > 1:
            first //= step
        last = first
    for row in range(1, count):
        value = column[row]
        if value == nothing:
            gaps += 1
            if not absent:
                absent = True
                changes += 1
                latest = row
            continue
        if step > 1:
            value //= step
        if value == last and not absent:
            continue
        delta = value - last
        absent = False
        last = value
        changes += 1
        latest = row
        if delta < 0:
            delta = -1 - delta
        if delta > most:
            most = delta
        if delta >= 24:
            more += 1 if delta < 0x100 else 2 if delta < 0x10000 else 4
    start = head_size(first if first >= 0 else -1 - first)
    found[GAPS] = gaps
    found[CHANGES] = changes
    found[LAST] = latest
    found[LIST] = head_size(count + extra) + start + count - 1 + more
    mask = (latest + 7) >> 3
    found[MASKED] = head_size(2 + changes + extra) + start + head_size(mask) + mask + changes + more
    width = 0 if changes == 0 else 1 if most < 0x80 else 2 if most < 0x8000 else 4
    found[WIDTH] = width
    if gaps or width == 0 or width == 4:
        found[TYPED] = NO_FORM
    else:
        size = (count - 1) * width
        found[TYPED] = 3 + start + head_size(size) + size


def _best(found):
    """The smallest form; of equal ones the one that is decoded fastest."""
    form = TYPED
    if found[MASKED] < found[form]:
        form = MASKED
    if found[LIST] < found[form]:
        form = LIST
    return form


def put_column(buf, pos, column, count, found):
    """Write one column in the form that table 3.5 of the specification gives it; returns the position behind."""
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
    nothing = ABSENT
    for row in range(count):
        value = column[row]
        if value == nothing:
            buf[pos] = 0xF6
            pos += 1
            continue
        if step > 1:
            value //= step
        delta = value - last
        last = value
        if -24 <= delta < 24:
            buf[pos] = delta if delta >= 0 else 0x1F - delta
            pos += 1
        else:
            pos = put_int(buf, pos, delta)
    return pos


def _put_masked(buf, pos, column, count, step, size):
    """First element, mask (row 1 is the high bit of its first byte), then an element for each bit that is set."""
    nothing = ABSENT
    last = column[0]
    absent = last == nothing
    if absent:
        last = 0
        buf[pos] = 0xF6
        pos += 1
    else:
        if step > 1:
            last //= step
        pos = put_int(buf, pos, last)
    mask = pos = put_head(buf, pos, BYTES, size)
    for _ in range(size):
        buf[pos] = 0
        pos += 1
    bit = 0x80
    for row in range(1, count):
        value = column[row]
        if value == nothing:
            if not absent:
                absent = True
                buf[mask] |= bit
                buf[pos] = 0xF6
                pos += 1
        else:
            if step > 1:
                value //= step
            if value != last or absent:
                absent = False
                buf[mask] |= bit
                delta = value - last
                last = value
                if -24 <= delta < 24:
                    buf[pos] = delta if delta >= 0 else 0x1F - delta
                    pos += 1
                else:
                    pos = put_int(buf, pos, delta)
        bit >>= 1
        if bit == 0:
            bit = 0x80
            mask += 1
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
