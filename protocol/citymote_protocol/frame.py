"""The one door to all frames: `decode` turns bytes into a Batch, Event, Status or Descriptor, or says what is wrong.

Encoders are where their kinds are and are handed on here.  A sealed envelope is not a frame: `is_envelope` tells them
apart by the first byte, `sealing` opens it, and what comes out is decoded here.
"""

from .batch import Encoder
from .body import Frame
from .descriptor import Descriptor, encode_descriptor
from .errors import EncodeError, FrameError
from .event import encode_event, encode_status
from .header import (
    BATCH,
    BLE,
    DESCRIPTOR,
    ESTIMATED,
    EVENT,
    NETWORK,
    NEVER,
    PACKED,
    SATELLITE,
    STATUS,
)
from .read_batch import Batch, read_batch, read_packed
from .read_descriptor import read_descriptor
from .read_event import Event, Status, read_event
from .read_header import CLOCKS, begin, is_envelope


def decode(data):
    """The frame that these bytes are; raises FrameError for anything else."""
    reader, kind, items, clock = begin(data)
    if kind == BATCH:
        frame = read_batch(reader, items, Batch())
    elif kind == EVENT:
        frame = read_event(reader, items, Event())
    elif kind == STATUS:
        frame = read_event(reader, items, Status())
    elif kind == PACKED:
        frame = read_packed(reader, items, Batch())
    else:
        frame = read_descriptor(reader, items, Descriptor())
    frame.clock = clock
    reader.finish()
    return frame
