"""Event and status frames: one row of readings, now (SPEC chapter 6).

An event is said the moment it happens, with nothing in it that would have to wait for a second row; a status frame is
the node's own health, whose figures are quantities of the registry like any other.  Both have the same form.
"""

from .cbor import Writer, put_bytes
from .errors import ARGUMENT, ITEMS, QUALITY, EncodeError, FrameError
from .header import (
    EVENT,
    OPTION_QUALITY,
    STATUS,
    Frame,
    columns_bytes,
    node_bytes,
    put_header,
    put_time,
    read_columns,
    read_identity,
    read_options,
)
from .limits import MAX_COLUMNS, MAX_TIME, MAX_VALUE, MIN_VALUE
from .quality import MAX_CODE


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


def encode_event(node, epoch, seq, time, clock, columns, values, quality=None, kind=EVENT, size=512):
    """The bytes of an event frame; `quality` has one code a column, or is None."""
    if len(values) != len(columns) or (quality is not None and len(quality) != len(columns)):
        raise EncodeError(ARGUMENT, "%d values for %d columns" % (len(values), len(columns)))
    buf = bytearray(size)
    flags = []
    for index, code in enumerate(quality or ()):
        if not 0 <= code <= MAX_CODE:
            raise EncodeError(ARGUMENT, "quality code %d" % code)
        if code:
            flags.append(index)
            flags.append(code)
    pos = put_header(buf, 6 + len(values) + (1 if flags else 0), kind, clock, node_bytes(node), epoch, seq)
    pos = put_time(buf, pos, time)
    pos = put_bytes(buf, pos, columns_bytes(columns))
    writer = Writer(buf)
    writer.pos = pos
    for value in values:
        if value is None:
            writer.null()
        elif MIN_VALUE <= value <= MAX_VALUE:
            writer.integer(value)
        else:
            raise EncodeError(ARGUMENT, "%d does not fit 31 bits" % value)
    if flags:
        writer.map(1)
        writer.integer(OPTION_QUALITY)
        writer.item(flags)
    return bytes(writer.view())


def encode_status(node, epoch, seq, time, clock, columns, values, quality=None, size=512):
    """The bytes of a status frame."""
    return encode_event(node, epoch, seq, time, clock, columns, values, quality, STATUS, size)


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
