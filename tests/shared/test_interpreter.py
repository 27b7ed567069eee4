"""What both interpreters must have in common before anything built on them can be believed."""

import binascii
import hashlib
import struct


def test_struct_is_big_endian_where_asked():
    assert struct.pack(">IHb", 0x01020304, 0x0506, -1) == b"\x01\x02\x03\x04\x05\x06\xff"


def test_integers_have_no_upper_bound():
    assert (1 << 256) % 1000000007 == 792845266


def test_sha256_gives_the_standard_value():
    digest = hashlib.sha256(b"abc").digest()
    assert binascii.hexlify(digest[:8]) == b"ba7816bf8f01cfea", digest
