"""Event and status frames: one row of readings, now (SPEC chapter 6), written; `read_event` reads them.

An event is said the moment it happens, with nothing in it that would have to wait for a second row; a status frame is
the node's own health, whose figures are quantities of the registry like any other.  Both have the same form.
"""

from .cbor_write import ARRAY, MAP, NULL, UINT, check_room, put_bytes, put_head, put_int
from .errors import ARGUMENT, EncodeError
from .header import EVENT, OPTION_QUALITY, STATUS, columns_bytes, node_bytes, put_header, put_time
from .limits import MAX_VALUE, MIN_VALUE
from .quality import MAX_CODE


def encode_event(node, epoch, seq, time, clock, columns, values, quality=None, kind=EVENT, size=512):
    """The bytes of an event frame; `quality` has one code a column, or is None."""
    if len(values) != len(columns) or (quality is not None and len(quality) != len(columns)):
        raise EncodeError(ARGUMENT, "%d values for %d columns" % (len(values), len(columns)))
    flags = []
    for index, code in enumerate(quality or ()):
        if not 0 <= code <= MAX_CODE:
            raise EncodeError(ARGUMENT, "quality code %d" % code)
        if code:
            flags += (index, code)
    buf = bytearray(size)
    pos = put_header(buf, 6 + len(values) + (1 if flags else 0), kind, clock, node_bytes(node), epoch, seq)
    pos = put_bytes(buf, put_time(buf, pos, time), columns_bytes(columns))
    for value in values:
        if value is None:
            check_room(buf, pos, 1)
            buf[pos] = NULL
            pos += 1
        elif MIN_VALUE <= value <= MAX_VALUE:
            pos = put_int(buf, pos, value)
        else:
            raise EncodeError(ARGUMENT, "%d does not fit 31 bits" % value)
    if flags:
        pos = put_head(buf, pos, MAP, 1)
        pos = put_head(buf, pos, UINT, OPTION_QUALITY)
        pos = put_head(buf, pos, ARRAY, len(flags))
        for number in flags:
            pos = put_head(buf, pos, UINT, number)
    return bytes(buf[:pos])


def encode_status(node, epoch, seq, time, clock, columns, values, quality=None, size=512):
    """The bytes of a status frame."""
    return encode_event(node, epoch, seq, time, clock, columns, values, quality, STATUS, size)
