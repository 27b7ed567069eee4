"""EDHOC (RFC 9528; SPEC 13.1): what initiator and responder compute and read alike.

Method 3 (static Diffie-Hellman on both sides) and cipher suite 2 (AES-CCM-16-64-128, SHA-256, P-256, 8-byte MACs), and
nothing else. Messages are CBOR sequences in the deterministic CBOR of SPEC 1.2, read strictly. `EdhocError` carries the
error message that the RFC wants sent (section 6); a message that fails in any way ends its session, for good.
"""

from .cbor_bytes import byte_string, integer
from .cbor_write import ARRAY, BYTES, MAP
from .ccs import KCCS, KID, MAX_KID, read, read_from
from .errors import FrameError

METHOD = "method"  # another method than 3
SUITE = "suite"  # another cipher suite than 2, or one that is preferred to it
POINT = "point"  # an ephemeral key that is not a point of P-256
IDENTIFIER = "identifier"  # a connection or key identifier in the wrong form
EAD = "ead"  # a critical item of external authorisation data that is not known
UNKNOWN = "unknown_credential"  # a key id that names nobody here
MAC = "mac"  # a MAC or tag that does not match
STATE = "state"  # a message that is not due
REFUSED = "refused"  # the other side has sent an error

SUITE_2 = 2
METHOD_3 = 3
HASH = 32
MAC_LENGTH = 8

MAX_CONNECTION = 7  # bytes of a connection identifier: OSCORE's limit for its nonce (RFC 8613, 3.3)
MAX_SUITES = 8
MAX_EADS = 4  # items a message
MAX_EAD = 64  # bytes of an item's value; nothing of ours travels there
MAX_MESSAGE = 512  # a GATT attribute, and a credential by value with four items behind it


class EdhocError(FrameError):
    """What is wrong with a message, and what has to be sent about it (`message`, b"" for nothing)."""

    def __init__(self, code, text="", message=None):
        FrameError.__init__(self, code, text)
        self.message = error_message(1, code) if message is None else message


def error_message(number, info):
    """An error message (section 6): number 1 with text, 2 with our suites, 3 with true."""
    if number == 1:
        info = info.encode()
        return b"\x01" + bytes((0x60 | len(info),) if len(info) < 24 else (0x78, len(info))) + info
    return b"\x02\x02" if number == 2 else b"\x03\xf5"


def read_suites(reader):
    """The suites of a message_1 or an error: one number, or an array of two and more (section 3.6)."""
    if reader.peek() >> 5 != ARRAY:
        return [reader.integer(-0x8000, 0x7FFF)]
    count = reader.array(MAX_SUITES)
    if count < 2:
        raise FrameError(SUITE, "an array of less than two")
    return [reader.integer(-0x8000, 0x7FFF) for _ in range(count)]


# Identifiers: a byte string that is one byte of CBOR integer travels as that integer (section 3.3.2)


def is_short(data):
    return len(data) == 1 and (data[0] < 0x18 or 0x20 <= data[0] < 0x38)


def write_identifier(data):
    return bytes(data) if is_short(data) else byte_string(data)


def read_identifier(reader, most=MAX_CONNECTION):
    first = reader.peek()
    if first >= 0 and first >> 5 < 2:
        number = reader.integer(-24, 23)
        return bytes((number if number >= 0 else 0x1F - number,))
    data = reader.bytes(most)
    if is_short(data):
        raise FrameError(IDENTIFIER, "a byte string for what is an integer")
    return data


def read_credential_id(reader):
    """(kid, None) or (None, CCS) of an ID_CRED as it stands in a plaintext (section 3.5.3)."""
    if reader.peek() >> 5 != MAP:
        return read_identifier(reader, MAX_KID), None
    start = reader.pos
    if reader.map(1) != 1 or reader.uint() != KCCS:
        raise FrameError(IDENTIFIER, "neither a key id nor a claims set at byte %d" % start)
    start = reader.pos
    read_from(reader)
    return None, bytes(reader.data[start : reader.pos])


def credential_id(kid, ccs):
    """ID_CRED as a map, for the transcript: by reference, or by value where `kid` is None."""
    if kid is None:
        return b"\xa1" + integer(KCCS) + ccs
    return b"\xa1" + integer(KID) + byte_string(kid)


def compact(kid, ccs):
    """The same as it travels."""
    return credential_id(None, ccs) if kid is None else write_identifier(kid)


def read_eads(reader, known=()):
    """[(label, value or None)] of the known items that follow (section 3.8); padding, and what is neither known nor
    critical, is passed over."""
    items = []
    count = 0
    while reader.pos < reader.end:
        count += 1
        if count > MAX_EADS:
            raise FrameError(EAD, "more than %d items" % MAX_EADS)
        label = reader.integer(-0xFFFF, 0xFFFF)
        value = reader.bytes(MAX_EAD) if reader.peek() >> 5 == BYTES else None
        if abs(label) in known:
            items.append((label, value))
        elif label < 0:
            raise FrameError(EAD, "critical item %d" % label)
    return items


# Keys (section 4.1)


def kdf(crypto, prk, label, context, length):
    return crypto.hkdf_expand(prk, integer(label) + byte_string(context) + integer(length), length)


def transcript(crypto, *parts):
    """A transcript hash over a CBOR sequence."""
    return crypto.sha256(b"".join(parts)).digest()


def xor(a, b):
    out = bytearray(a)
    for i in range(len(out)):
        out[i] ^= b[i]
    return bytes(out)


def aead(crypto, prk, label, th):
    """(key, nonce, additional data) of message_3 (label 3) and message_4 (label 8)."""
    key = kdf(crypto, prk, label, th, 16)
    return key, kdf(crypto, prk, label + 1, th, 13), b"\x83\x68Encrypt0\x40" + byte_string(th)


def open_(crypto, keys, ciphertext):
    from .aesccm import TagError

    try:
        return crypto.ccm_open(keys[0], keys[1], ciphertext, keys[2], MAC_LENGTH)
    except TagError:
        pass
    raise FrameError(MAC, "the tag does not match")


def agree_steps(crypto, private, x):
    """ECDH with the point whose x coordinate this is; which of its two points does not matter (Appendix B)."""
    from .p256 import CurveError

    try:
        return (yield from crypto.ecdh_steps(private, b"\x02" + x))
    except CurveError:
        pass
    raise FrameError(POINT, "not a point of P-256")


class Keys:
    """What a completed session leaves: `exporter` gives keys to applications (section 4.2)."""

    def __init__(self, crypto, prk_4e3m, th_4, c_i, c_r):
        self._crypto = crypto
        self._prk = kdf(crypto, kdf(crypto, prk_4e3m, 7, th_4, HASH), 10, b"", HASH)
        self.c_i = c_i
        self.c_r = c_r

    def exporter(self, label, context, length):
        """Labels from 32768 on are private (section 10.1): SPEC 13.5 has those in use."""
        return kdf(self._crypto, self._prk, label, context, length)

    def oscore(self, initiator):
        """The OSCORE context of this side (Appendix A.1)."""
        from .oscore_derive import derive

        secret, salt = self.exporter(0, b"", 16), self.exporter(1, b"", 8)
        mine, other = (self.c_r, self.c_i) if initiator else (self.c_i, self.c_r)
        return derive(self._crypto, secret, salt, mine, other)


def public_x(ccs):
    """The key in a credential."""
    return read(ccs)[0]
