"""Batch frames, plain and packed, read (SPEC chapters 3 and 4)."""

from .body import Frame
from .cbor_write import ARRAY, BYTES, UINT
from .errors import COUNT, INTERVAL, ITEMS, NODE, QUALITY, TIMES, FrameError
from .header import BATCH
from .limits import MAX_COUNT, MAX_FRAME, MAX_GAP, MAX_INTERVAL, MAX_RUNS, MAX_TIME
from .quality import MAX_CODE
from .read_columns import read_column, read_mask
from .read_header import read_columns, read_identity, read_options, read_sequence
from .read_packed import unpack


class Batch(Frame):
    """Rows of readings at a regular interval, or at `times` of their own."""

    kind = BATCH

    def __init__(self):
        Frame.__init__(self)
        self.interval = 0
        self.count = 0
        self.columns = ()  # ((quantity, instance), ...)
        self.values = ()  # one list a column: integers at the registry's resolution, None where absent
        self.quality = ()  # (column, start, length, code), nothing said: unchecked
        self.times = None  # seconds of each row, or None where regular
        self.packed = False

    def time_of(self, row):
        return self.time + row * self.interval if self.times is None else self.times[row]


def read_batch(reader, items, frame):
    """The rest of a batch frame, behind its head."""
    if items < 9:
        raise FrameError(ITEMS, "%d items" % items)
    read_identity(reader, frame)
    frame.time = reader.uint(MAX_TIME)
    frame.count = reader.uint()
    if not 1 <= frame.count <= MAX_COUNT:
        raise FrameError(COUNT, "%d rows" % frame.count)
    frame.interval, deviations = read_interval(reader, frame.count)
    set_times(frame, deviations)
    frame.columns = read_columns(reader)
    width = len(frame.columns)
    left = items - 8 - width
    if not 0 <= left <= 1:
        raise FrameError(ITEMS, "%d items for %d columns" % (items, width))
    frame.values = [read_column(reader, frame.count) for _ in range(width)]
    if left:
        read_options(reader, frame, read_quality)
    return frame


def read_packed(reader, items, frame):
    """The rest of a packed batch frame, behind its head."""
    if reader.peek() >> 5 == UINT:
        items += 1  # no node: the link or the envelope names it
        read_sequence(reader, frame)
    else:
        read_identity(reader, frame)
        if frame.node is None:
            raise FrameError(NODE, "a packed frame without a node has no item for it")
    if not 6 <= items <= 7:
        raise FrameError(ITEMS, "%d items" % items)
    frame.columns = read_columns(reader)
    frame.packed = True
    frame.values, deviations = unpack(reader.bytes(MAX_FRAME), frame, len(frame.columns))
    set_times(frame, deviations)
    if items == 7:
        read_options(reader, frame, read_quality)
    return frame


def read_quality(reader, frame):
    """Runs of quality codes, four numbers each, in ascending order and apart from each other."""
    length = reader.array(MAX_RUNS * 4)
    if length == 0 or length & 3:
        raise FrameError(QUALITY, "%d numbers are no runs" % length)
    runs = []
    width = len(frame.columns)
    column = 0
    free = 0  # first row of the column that no run has covered
    for _ in range(length >> 2):
        number = reader.uint()
        start = reader.uint()
        rows = reader.uint()
        code = reader.uint()
        if number > column:
            column = number
            free = 0
        if number < column or number >= width or start < free or rows == 0 or start + rows > frame.count:
            raise FrameError(QUALITY, "run of column %d at row %d" % (number, start))
        if not 1 <= code <= MAX_CODE:
            raise FrameError(QUALITY, "code %d" % code)
        free = start + rows
        runs.append((number, start, rows, code))
    frame.quality = tuple(runs)


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
