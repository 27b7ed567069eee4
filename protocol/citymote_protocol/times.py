"""When the rows of a batch were: an interval, and what deviates from it (SPEC 3.3).

Aligned sampling needs one number; a lost sample or a clock that was set needs a mask with one deviation; a source that
jitters in every row has one deviation a row.  The smaller form wins, like in a column.
"""

from .cbor import ARRAY, BYTES, UINT, head_size, put_head, put_int
from .columns import read_mask
from .errors import INTERVAL, TIMES, FrameError
from .header import check_room
from .limits import MAX_COUNT, MAX_GAP, MAX_INTERVAL, MAX_TIME


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


def read_interval(reader, count):
    """(interval, deviation of each gap from it); no deviations where the rows are regular."""
    if reader.peek() >> 5 != ARRAY:
        return reader.uint(MAX_INTERVAL), None
    length = reader.array(MAX_COUNT + 1)
    if length < 2:
        raise FrameError(INTERVAL, "[interval, deviations] with %d items" % length)
    interval = reader.uint(MAX_INTERVAL)
    if reader.peek() >> 5 != BYTES:
        if length != count:
            raise FrameError(INTERVAL, "%d deviations for %d rows" % (length - 1, count))
        return interval, [reader.integer(-MAX_GAP, MAX_GAP) for _ in range(count - 1)]
    mask = read_mask(reader, count - 1, length - 2)
    deviations = [0] * (count - 1)
    for row in range(count - 1):
        if row >> 3 < len(mask) and mask[row >> 3] & 0x80 >> (row & 7):
            deviations[row] = reader.integer(-MAX_GAP, MAX_GAP)
    return interval, deviations


def set_times(frame, deviations):
    """Give a frame the times of its rows, or hold a regular one against the end of time."""
    if deviations is None:
        if frame.count > 1 and frame.interval == 0:
            raise FrameError(INTERVAL, "rows without an interval")
        if frame.time + (frame.count - 1) * frame.interval > MAX_TIME:
            raise FrameError(TIMES, "past the end of time")
        return
    time = frame.time
    times = [time]
    for deviation in deviations:
        gap = frame.interval + deviation
        if not 1 <= gap <= MAX_GAP:
            raise FrameError(TIMES, "a gap of %d s" % gap)
        time += gap
        times.append(time)
    if time > MAX_TIME:
        raise FrameError(TIMES, "past the end of time")
    frame.times = times
