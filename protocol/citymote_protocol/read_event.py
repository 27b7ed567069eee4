"""Event and status frames, read (SPEC chapter 6)."""

from .body import Frame
from .errors import ITEMS, QUALITY, FrameError
from .header import EVENT, STATUS
from .limits import MAX_COLUMNS, MAX_TIME, MAX_VALUE, MIN_VALUE
from .quality import MAX_CODE
from .read_header import read_columns, read_identity, read_options


class Event(Frame):
    """Readings of one instant."""

    kind = EVENT

    def __init__(self):
        Frame.__init__(self)
        self.columns = ()
        self.values = ()  # one integer or None a column
        self.quality = ()  # (column, code), nothing said: unchecked


class Status(Event):
    """The node's health at one instant."""

    kind = STATUS


def read_event(reader, items, frame):
    """The rest of an event or status frame, behind its head."""
    if items < 7:
        raise FrameError(ITEMS, "%d items" % items)
    read_identity(reader, frame)
    frame.time = reader.uint(MAX_TIME)
    frame.columns = read_columns(reader)
    width = len(frame.columns)
    left = items - 6 - width
    if not 0 <= left <= 1:
        raise FrameError(ITEMS, "%d items for %d columns" % (items, width))
    values = []
    for _ in range(width):
        values.append(None if reader.is_null() else reader.integer(MIN_VALUE, MAX_VALUE))
    frame.values = values
    if left:
        read_options(reader, frame, _read_flags)
    return frame


def _read_flags(reader, frame):
    """Pairs of column and quality code, in ascending order of the columns."""
    length = reader.array(MAX_COLUMNS * 2)
    if length == 0 or length & 1:
        raise FrameError(QUALITY, "%d numbers are no pairs" % length)
    flags = []
    last = -1
    for _ in range(length >> 1):
        column = reader.uint()
        code = reader.uint()
        if not last < column < len(frame.columns):
            raise FrameError(QUALITY, "column %d" % column)
        if not 1 <= code <= MAX_CODE:
            raise FrameError(QUALITY, "code %d" % code)
        last = column
        flags.append((column, code))
    frame.quality = tuple(flags)
