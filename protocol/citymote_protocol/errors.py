"""Every way in which bytes can be wrong, one code for each.

A code is a short word: it is what vectors, counters, the command line and the conformance kit name, and the key of
the error table in SPEC chapter 8, where each code has its clause.  `FrameError` is the peer's fault (what came in is
not what the specification allows), `EncodeError` is ours (what should go out cannot be said); neither ever carries the
bytes themselves, so that logging one gives nothing away.
"""

# CBOR (SPEC 1.2): the profile of RFC 8949 that everything here is written in
TRUNCATED = "truncated"  # the item wants more bytes than there are
TRAILING = "trailing"  # bytes after the one item
NOT_SHORTEST = "not_shortest"  # an integer, length or tag number that would fit a shorter head
INDEFINITE = "indefinite"  # indefinite length, or a break outside of one
RESERVED = "reserved"  # additional information 28..30
FLOAT = "float"  # any float: half, single, double, NaN
SIMPLE = "simple"  # a simple value other than false, true, null
TAG = "tag"  # a tag where none, or another one, is allowed
TYPE = "type"  # another type than the grammar has in this place
TOO_LONG = "too_long"  # a length or a number of items over its named limit
RANGE = "range"  # an integer outside its limits
DEPTH = "depth"  # nested deeper than the limit
DUPLICATE_KEY = "duplicate_key"
KEY_ORDER = "key_order"  # map keys not in bytewise order
TEXT = "text"  # not UTF-8, or control characters

# Frames (SPEC 3, 4 and 6)
TOO_LARGE = "too_large"  # the whole frame is over its limit
SEALED = "sealed"  # an envelope where a bare frame was asked for: open it first
VERSION = "version"
KIND = "kind"
CLOCK = "clock"
NODE = "node"
SET = "set"  # a set id that this registry does not define
COLUMNS = "columns"  # no columns at all, or too many
DUPLICATE_COLUMN = "duplicate_column"
ITEMS = "items"  # the frame's array has not the number of items its kind and columns ask for
COUNT = "count"
INTERVAL = "interval"
TIMES = "times"  # rows not in ascending order, or past the end of time
COLUMN_LENGTH = "column_length"  # a column is longer or shorter than the count of rows
MASK = "mask"  # a mask of changes that does not fit its rows, or marks a row that does not change
VALUE = "value"  # a reading outside 31 bits (or equal to the node's own mark for absent)
QUALITY = "quality"
CRITICAL = "critical"  # an optional field that must be understood and is not
MISSING = "missing"  # a field without which the item says nothing
PACKED_END = "packed_end"  # the bit stream stops before the last row
PACKED_REST = "packed_rest"  # bits left over, or padding that is not zero
PACKED_FORM = "packed_form"  # a bit pattern that no encoder may write

# Encoding (ours)
NO_ROOM = "no_room"  # the frame does not fit the buffer: take fewer rows
ARGUMENT = "argument"  # what was asked for cannot be said in a frame


class ProtocolError(ValueError):
    """Something that this protocol does not allow; `code` says which."""

    def __init__(self, code, message=""):
        super().__init__(code + ": " + message if message else code)
        self.code = code


class FrameError(ProtocolError):
    """Bytes from a peer break the specification."""


class EncodeError(ProtocolError):
    """We were asked to write what the specification cannot say."""
