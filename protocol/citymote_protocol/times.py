"""When the rows of a batch were: an interval, and what deviates from it (SPEC 3.4).

Aligned sampling needs one number; a lost sample or a clock that was set needs a mask with one deviation; a source that
jitters in every row has one deviation a row.  The smaller form wins, like in a column.
"""

from .cbor_write import ARRAY, BYTES, UINT, check_room, head_size, put_head, put_int


def put_interval(buf, pos, interval, count, times):
    """Write the interval, with deviations where `times` has them; returns the position behind."""
    changes = 0
    latest = 0
    every = head_size(count)
    masked = 0
    if times is not None:
        for row in range(1, count):
            deviation = times[row] - times[row - 1] - interval
            cost = head_size(deviation if deviation >= 0 else -1 - deviation)
            every += cost
            if deviation:
                changes += 1
                masked += cost
                latest = row
    if changes == 0:
        return put_head(buf, pos, UINT, interval)
    size = (latest + 7) >> 3
    masked += head_size(2 + changes) + head_size(size) + size
    if every < masked:
        pos = put_head(buf, pos, ARRAY, count)
        pos = put_head(buf, pos, UINT, interval)
        size = 0
    else:
        pos = put_head(buf, pos, ARRAY, 2 + changes)
        pos = put_head(buf, pos, UINT, interval)
        pos = put_head(buf, pos, BYTES, size)
    mask = pos
    check_room(buf, pos, size)
    for _ in range(size):
        buf[pos] = 0
        pos += 1
    for row in range(1, count):
        deviation = times[row] - times[row - 1] - interval
        if size:
            if deviation == 0:
                continue
            buf[mask + ((row - 1) >> 3)] |= 0x80 >> ((row - 1) & 7)
        pos = put_int(buf, pos, deviation)
    return pos
