"""OSCORE (RFC 8613; SPEC 12.5): one security context, and what both of its sides compute alike.

AES-CCM-16-64-128 and HKDF SHA-256, nothing else. A `Context` lives in RAM and is made by an EDHOC session
(`oscore_derive`); the server's half of the protocol is in `oscore_server`, the client's in `oscore_client`. Sequence
numbers are spent before they are used, the replay window is 32 wide, and a context is worn out after 2^20 messages or
2^20 failed attempts to forge one, which is where AES-CCM's 8-byte tag stops being worth its name.
"""

from .cbor_bytes import byte_string
from .coap import OSCORE, parse_options, write_options
from .errors import EncodeError, FrameError

OPTION = "oscore_option"  # an OSCORE option that is not what section 6.1 allows
NO_CONTEXT = "no_context"  # no security context for this key id
REPLAY = "replay"  # this number was used before, or is too old to tell
DECRYPTION = "decryption"  # the tag does not match
INNER = "inner_message"  # what was protected is not a CoAP message
UNPROTECTED = "unprotected"  # an answer without protection where one with it was due
WORN = "worn"  # the context has protected, or refused, as much as it may

LIMIT = 1 << 20  # messages, and failures: draft-ietf-core-oscore-key-limits, 2.1
WINDOW = 32
TAG = 8

# Class U (section 4.1, figure 5): left outside, because links and proxies need it
_OUTER = (3, 7, 35, 39)  # Uri-Host, Uri-Port, Proxy-Uri, Proxy-Scheme


class Context:
    """Keys and numbers of both directions. `claims` is the application's: what this peer may do."""

    def __init__(self, sender_id, recipient_id, sender_key, recipient_key, common_iv, id_context=None):
        self.sender_id = sender_id
        self.recipient_id = recipient_id
        self.sender_key = sender_key
        self.recipient_key = recipient_key
        self.common_iv = common_iv
        self.id_context = id_context
        self.sequence = 0
        self.newest = -1  # the highest number received
        self.seen = 0  # bit i: newest - i was received
        self.failures = 0
        self.claims = None

    def __repr__(self):
        return "Context()"

    def number(self):
        """The next sender sequence number, spent."""
        if self.sequence >= LIMIT:
            raise EncodeError(WORN, "sequence numbers are used up: begin a new session")
        self.sequence += 1
        return self.sequence - 1

    def is_replay(self, number):
        """Whether this number was received, or is too old to tell (section 7.4)."""
        if number > self.newest:
            return False
        age = self.newest - number
        return age >= WINDOW or bool(self.seen >> age & 1)

    def received(self, number):
        """Take note of a number whose message was genuine."""
        if number > self.newest:
            self.seen = (self.seen << min(number - self.newest, WINDOW) | 1) & 0xFFFFFFFF
            self.newest = number
        else:
            self.seen |= 1 << self.newest - number

    def worn(self):
        """Whether it is time for a new session: the peer is told so by the errors of this one."""
        return self.sequence >= LIMIT or self.failures >= LIMIT or self.newest >= LIMIT


def piv_bytes(number):
    """A Partial IV: the number without leading zeros, one byte for 0."""
    size = 1
    while number >> 8 * size:
        size += 1
    return number.to_bytes(size, "big")


def nonce(common_iv, piv_id, piv):
    """Section 5.2: the size of the id, the id and the Partial IV, each padded, over the Common IV."""
    out = bytearray(common_iv)
    out[0] ^= len(piv_id)
    at = 8 - len(piv_id)
    for byte in piv_id:
        out[at] ^= byte
        at += 1
    at = 13 - len(piv)
    for byte in piv:
        out[at] ^= byte
        at += 1
    return bytes(out)


def additional(kid, piv):
    """The additional data of section 5.4: always of the request's key id and Partial IV."""
    external = b"\x85\x01\x81\x0a" + byte_string(kid) + byte_string(piv) + b"\x40"
    return b"\x83\x68Encrypt0\x40" + byte_string(external)


def option_value(piv=b"", kid=None, kid_context=None):
    """The value of the OSCORE option (section 6.1)."""
    flags = len(piv)
    tail = piv
    if kid_context is not None:
        flags |= 0x10
        tail += bytes((len(kid_context),)) + kid_context
    if kid is not None:
        flags |= 0x08
        tail += kid
    return bytes((flags,)) + tail if flags else b""


def read_option(value):
    """(Partial IV, kid, kid context) of the option's value; what is absent is None."""
    if not value:
        return None, None, None
    flags = value[0]
    size = flags & 7
    # A first byte of zero has to be left out; sizes 6 and 7 and the upper bits are reserved.
    if not flags or flags & 0xE0 or size > 5 or len(value) < 1 + size:
        raise FrameError(OPTION, "flags %02x" % flags)
    pos = 1 + size
    piv = value[1:pos] if size else None
    if piv and size > 1 and not piv[0]:
        raise FrameError(OPTION, "a Partial IV with a leading zero")
    kid_context = None
    if flags & 0x10:
        if pos >= len(value) or pos + 1 + value[pos] > len(value):
            raise FrameError(OPTION, "the kid context is cut short")
        kid_context = value[pos + 1 : pos + 1 + value[pos]]
        pos += 1 + value[pos]
    if flags & 0x08:
        return piv, value[pos:], kid_context
    if pos != len(value):
        raise FrameError(OPTION, "bytes behind the last field")
    return piv, None, kid_context


def seal(crypto, context, iv, aad, message, observe=None):
    """The ciphertext of a message's protected part; a notification's inner Observe is empty (section 4.1.3.5.2)."""
    plain = bytearray((message.code,))
    inner = []
    for number, value in message.options:
        if number == 6 and observe is not None:
            value = observe
        if number not in _OUTER and number != OSCORE:
            inner.append((number, value))
    write_options(plain, inner, message.payload)
    return crypto.ccm_seal(context.sender_key, iv, plain, aad, TAG)


def open_(crypto, context, iv, aad, ciphertext):
    """(code, options, payload) of what the other side protected."""
    from .aesccm import TagError

    if len(ciphertext) <= TAG:
        raise FrameError(DECRYPTION, "shorter than its tag")
    plain = None
    try:
        plain = crypto.ccm_open(context.recipient_key, iv, ciphertext, aad, TAG)
    except TagError:
        pass
    if plain is None:
        context.failures += 1
        raise FrameError(DECRYPTION, "another key, or altered bytes")
    options, payload = parse_options(plain, 1)
    return plain[0], options, payload


def outside(options):
    """Those options of a message that stay outside its protection."""
    return [option for option in options if option[0] in _OUTER]
