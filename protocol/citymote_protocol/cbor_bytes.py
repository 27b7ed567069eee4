"""Single CBOR heads and items as bytes: what the structures of COSE, OSCORE and EDHOC are put together from.

They are written once, for a hash or a key derivation, so they are joined from pieces and not put into a buffer.
"""

from .cbor_write import BYTES, NINT, UINT, head_size, put_head


def head(major, value):
    """A head in its shortest form."""
    out = bytearray(head_size(value))
    put_head(out, 0, major, value)
    return bytes(out)


def byte_string(data):
    return head(BYTES, len(data)) + bytes(data)


def integer(number):
    return head(NINT, -1 - number) if number < 0 else head(UINT, number)
