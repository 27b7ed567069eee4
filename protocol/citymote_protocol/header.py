"""What every frame begins with (SPEC chapter 3), written; `read_header` reads it, and what may follow behind it.

One array: head, node, store epoch, sequence, time, then what its kind carries, then at most one map of optional
fields.  This module has the parts that all kinds share; batch, event and descriptor have their own modules.
"""

from .cbor_write import ARRAY, UINT, put_bytes, put_head
from .errors import ARGUMENT, EncodeError
from .limits import (
    MAX_COLUMNS,
    MAX_EPOCH,
    MAX_INSTANCE,
    MAX_QUANTITY,
    MAX_SEQ,
    MAX_TIME,
    VERSION,
)
from .quantities import set_id_for

BATCH = 0
EVENT = 1
PACKED = 2
STATUS = 3
DESCRIPTOR = 4

NEVER = 0
BLE = 1
NETWORK = 2
SATELLITE = 3
ESTIMATED = 4

OPTION_MINOR = 0
OPTION_QUALITY = 1


def columns_bytes(columns):
    """How a frame names its columns: the set id where there is one, else the list."""
    if not 1 <= len(columns) <= MAX_COLUMNS:
        raise EncodeError(ARGUMENT, "%d columns" % len(columns))
    buf = bytearray(2 + 6 * len(columns))
    number = set_id_for(columns)
    if number is not None:
        return bytes(buf[: put_head(buf, 0, UINT, number)])
    pos = put_head(buf, 0, ARRAY, len(columns))
    for i, (quantity, instance) in enumerate(columns):
        if not (1 <= quantity <= MAX_QUANTITY and 0 <= instance <= MAX_INSTANCE):
            raise EncodeError(ARGUMENT, "column %d, %d" % (quantity, instance))
        if (quantity, instance) in columns[:i]:
            raise EncodeError(ARGUMENT, "column %d, %d twice" % (quantity, instance))
        if instance:
            pos = put_head(buf, pos, ARRAY, 2)
        pos = put_head(buf, pos, UINT, quantity)
        if instance:
            pos = put_head(buf, pos, UINT, instance)
    return bytes(buf[:pos])


def node_bytes(node):
    """A node id as it stands in a frame."""
    if node is None:
        return b"\xf6"
    if len(node) != 6:
        raise EncodeError(ARGUMENT, "a node id has six bytes")
    return b"\x46" + node


def put_header(buf, items, kind, clock, node, epoch, seq):
    """Write array head, head, node (as `node_bytes` made it), epoch and sequence; returns the position behind."""
    if not (0 <= clock <= ESTIMATED and 0 <= epoch <= MAX_EPOCH and 0 <= seq <= MAX_SEQ):
        raise EncodeError(ARGUMENT, "clock, epoch or sequence out of range")
    pos = put_head(buf, 0, ARRAY, items)
    pos = put_head(buf, pos, UINT, (VERSION - 1) << 6 | kind << 3 | clock)
    if node is not None:
        pos = put_bytes(buf, pos, node)
    pos = put_head(buf, pos, UINT, epoch)
    return put_head(buf, pos, UINT, seq)


def put_time(buf, pos, time):
    if not 0 <= time <= MAX_TIME:
        raise EncodeError(ARGUMENT, "time out of range")
    return put_head(buf, pos, UINT, time)
