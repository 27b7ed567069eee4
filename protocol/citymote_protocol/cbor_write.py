"""The heads, integers and byte strings of our CBOR (SPEC 1.2), written: all of `cbor` that a node keeps in memory.

Functions over a buffer and a position that return the position behind what they wrote and take no memory themselves.
Reading, and values whose form is not known in advance, are in `cbor`.
"""

from .errors import NO_ROOM, EncodeError

UINT = 0
NINT = 1
BYTES = 2
TEXTS = 3
ARRAY = 4
MAP = 5
TAGGED = 6
SIMPLES = 7

NULL = 0xF6


def head_size(number):
    """Bytes of a head that carries this number."""
    if number < 24:
        return 1
    if number < 0x100:
        return 2
    if number < 0x10000:
        return 3
    return 5 if number <= 0xFFFFFFFF else 9


def check_room(buf, pos, size):
    if pos + size > len(buf):
        raise EncodeError(NO_ROOM, "%d bytes are not enough" % len(buf))


def put_head(buf, pos, major, number):
    """Write one shortest head."""
    size = head_size(number)
    check_room(buf, pos, size)
    major <<= 5
    if size == 1:
        buf[pos] = major | number
        return pos + 1
    buf[pos] = major | (22 + size if size < 5 else 26 if size == 5 else 27)
    for i in range(pos + size - 1, pos, -1):
        buf[i] = number & 255
        number >>= 8
    return pos + size


def put_int(buf, pos, number):
    """Write an integer."""
    if number < 0:
        return put_head(buf, pos, NINT, -1 - number)
    return put_head(buf, pos, UINT, number)


def put_bytes(buf, pos, data):
    """Copy bytes as they are; a loop, because a slice would take memory on the node."""
    check_room(buf, pos, len(data))
    for byte in data:
        buf[pos] = byte
        pos += 1
    return pos
