"""What every frame begins with, and what may follow behind it, read (SPEC chapter 3); `header` writes it."""

from .cbor import ARRAY, MAP, Reader
from .errors import (
    CLOCK,
    COLUMNS,
    CRITICAL,
    DUPLICATE_COLUMN,
    ITEMS,
    KIND,
    NODE,
    RANGE,
    SEALED,
    SET,
    TOO_LARGE,
    TOO_LONG,
    TRUNCATED,
    TYPE,
    FrameError,
)
from .errors import (
    VERSION as BAD_VERSION,
)
from .header import DESCRIPTOR, ESTIMATED, OPTION_MINOR, OPTION_QUALITY
from .limits import (
    MAX_COLUMNS,
    MAX_EPOCH,
    MAX_FRAME,
    MAX_INSTANCE,
    MAX_OPTIONS,
    MAX_QUANTITY,
    MAX_SEQ,
    MAX_SET,
    VERSION,
)
from .quantities import quantity_set

CLOCKS = ("never", "ble", "network", "satellite", "estimated")

ENVELOPES = (0xD0, 0x83)  # COSE_Encrypt0 with its tag 16, and without


def is_envelope(data):
    """Whether a message is a sealed envelope (SPEC 3.1); everything else has to be a bare frame."""
    return len(data) > 0 and data[0] in ENVELOPES


def begin(data):
    """Read what all kinds share: (reader, kind, items of the array, (node, epoch, seq), clock)."""
    if len(data) > MAX_FRAME:
        raise FrameError(TOO_LARGE, "%d bytes are over %d" % (len(data), MAX_FRAME))
    if is_envelope(data):
        raise FrameError(SEALED, "a sealed envelope: open it first")
    reader = Reader(data)
    items = reader.array(MAX_FRAME)
    head = reader.uint(0xFFFFFFFF)
    if head >> 6 != VERSION - 1:
        raise FrameError(BAD_VERSION, "version %d, this is %d" % ((head >> 6) + 1, VERSION))
    kind = head >> 3 & 7
    if kind > DESCRIPTOR:
        raise FrameError(KIND, "kind %d" % kind)
    clock = head & 7
    if clock > ESTIMATED:
        raise FrameError(CLOCK, "clock state %d" % clock)
    if items < 5:
        raise FrameError(ITEMS, "%d items" % items)
    return reader, kind, items, clock


def read_node(reader):
    if reader.is_null():
        return None
    try:
        node = reader.bytes(6)
    except FrameError as error:
        if error.code != TOO_LONG:
            raise
        node = b""
    if len(node) != 6:
        raise FrameError(NODE, "a node id has six bytes")
    return node


def read_identity(reader, frame):
    frame.node = read_node(reader)
    read_sequence(reader, frame)


def read_sequence(reader, frame):
    frame.epoch = reader.uint(MAX_EPOCH)
    frame.seq = reader.uint(MAX_SEQ)


def read_columns(reader):
    """A set id, or a list of quantities, each a number or [number, instance]."""
    if reader.peek() >> 5 != ARRAY:
        number = reader.uint(MAX_SET)
        columns = quantity_set(number)
        if columns is None:
            raise FrameError(SET, "set %d is not in this registry" % number)
        return columns
    length = reader.array(MAX_FRAME)
    if not 1 <= length <= MAX_COLUMNS:
        raise FrameError(COLUMNS, "%d columns" % length)
    columns = []
    for _ in range(length):
        instance = 0
        if reader.peek() >> 5 == ARRAY:
            if reader.array(2) != 2:
                raise FrameError(TYPE, "a column is a quantity or [quantity, instance]")
            quantity = reader.uint(MAX_QUANTITY)
            instance = reader.uint(MAX_INSTANCE)
            if instance == 0:
                raise FrameError(RANGE, "instance 0 is written without brackets")
        else:
            quantity = reader.uint(MAX_QUANTITY)
        if quantity == 0:
            raise FrameError(RANGE, "quantity 0")
        column = (quantity, instance)
        if column in columns:
            raise FrameError(DUPLICATE_COLUMN, "quantity %d, instance %d" % column)
        columns.append(column)
    return tuple(columns)


def read_options(reader, frame, quality):
    """The map of optional fields: even keys may be passed over, odd ones may not (SPEC 3.7).

    `quality` reads field 1, or is None where the kind has no such field.
    """
    if reader.peek() >> 5 != MAP:
        if reader.peek() < 0:
            raise FrameError(TRUNCATED, "optional fields missing")
        raise FrameError(TYPE, "optional fields are a map")
    kept = []
    last = -1
    for _ in range(reader.map(MAX_OPTIONS)):
        last = reader.key(last)
        if last == OPTION_MINOR:
            frame.minor = reader.uint(0xFFFF)
        elif last == OPTION_QUALITY and quality is not None:
            quality(reader, frame)
        elif last & 1:
            raise FrameError(CRITICAL, "field %d must be understood" % last)
        else:
            kept.append((last, reader.raw()))
    frame.options = tuple(kept)
