"""A batch frame's date put right without decoding it: for rows that were taken before the node knew the time."""

from .cbor_write import UINT, put_bytes, put_head
from .limits import MAX_TIME


def _end(data, pos):
    """The position behind the head at `pos`."""
    info = data[pos] & 31
    return pos + 1 + (1 << info - 24 if info > 23 else 0)


def redate(frame, shift, clock):
    """The same batch frame with its time `shift` seconds later and another clock state (SPEC 3.2)."""
    start = _end(frame, 0)
    node = _end(frame, start)
    before = _end(frame, _end(frame, node + (7 if frame[node] == 0x46 else 1)))  # behind node, epoch and sequence
    after = _end(frame, before)
    time = int.from_bytes(frame[before + 1 : after], "big") if after > before + 1 else frame[before]
    out = bytearray(len(frame) + 8)
    pos = put_bytes(out, 0, frame[:start])
    pos = put_head(out, pos, UINT, frame[node - 1] & ~7 | clock)
    pos = put_bytes(out, pos, frame[node:before])
    pos = put_head(out, pos, UINT, min(time + shift, MAX_TIME))
    return bytes(out[:pos]) + frame[after:]
