"""EDHOC's initiator (RFC 9528, sections 5.2.2 to 5.5.3): the host's side. One object for one session.

    initiator = Initiator(crypto, private, credential, kid, pair, c_i)
    message_1 = initiator.message_1()
    kid, ccs  = run(initiator.message_2_steps(message_2))         whom the other side says it is
    message_3 = run(initiator.message_3_steps(expected))          EdhocError unless it is `expected`
    keys      = initiator.message_4(message_4)

The responder is verified against the credential that the caller expects (a label's key) before message_3 is made, so
nobody but the holder of that key learns who the initiator is. Curve arithmetic comes in steps here too.
"""

from . import cbor
from .cbor_bytes import byte_string, integer
from .edhoc import (
    HASH,
    IDENTIFIER,
    MAC,
    MAC_LENGTH,
    MAX_MESSAGE,
    METHOD_3,
    REFUSED,
    STATE,
    SUITE_2,
    UNKNOWN,
    EdhocError,
    Keys,
    aead,
    agree_steps,
    compact,
    credential_id,
    error_message,
    kdf,
    open_,
    public_x,
    read_credential_id,
    read_eads,
    read_identifier,
    read_suites,
    transcript,
    write_identifier,
    xor,
)
from .errors import TOO_LARGE, FrameError
from .hkdf import same


def read_error(data):
    """(number, text) of an error message, or None where this is none."""
    try:
        reader = cbor.Reader(data)
        number = reader.integer(-0x7FFFFFFF, 0x7FFFFFFF)
        if number == 1:
            info = reader.text(0xFF)
        elif number == 2:
            info = "suites " + repr(read_suites(reader))
        else:
            info = "unknown credential" if reader.item() is True and number == 3 else ""
        reader.finish()
        return number, info
    except FrameError:
        return None


class Initiator:
    """`suites` are those preferred to suite 2, if any; `by_value` sends the credential itself."""

    def __init__(self, crypto, private, credential, kid, pair, c_i, known=(), by_value=True, suites=()):
        self._crypto = crypto
        self._private = private
        self._credential = credential
        self._kid = None if by_value else kid
        self._pair = pair
        self._known = known
        self._suites = suites
        self._due = 1
        self._message_1 = self._th = self._prk = self._prk_2e = self._g_y = b""
        self._plain = (b"", None, b"", b"")
        self.c_i = c_i
        self.c_r = None
        self.ead_1 = self.ead_3 = b""
        self.eads = []
        self.keys = None

    def _begin(self, due):
        if self._due != due:
            raise EdhocError(STATE, "not due", b"")
        self._due = 0  # what fails here does not go on

    def message_1(self):
        self._begin(1)
        suites = integer(SUITE_2)
        if self._suites:
            suites = bytes((0x81 + len(self._suites),)) + b"".join([integer(s) for s in self._suites]) + suites
        g_x = byte_string(self._pair[1][1:])
        self._message_1 = integer(METHOD_3) + suites + g_x + write_identifier(self.c_i) + self.ead_1
        self._due = 2
        return self._message_1

    def message_2_steps(self, data):
        """Generator; (kid, None) or (None, CCS): whom the responder says it is."""
        self._begin(2)
        try:
            return (yield from self._read_2(data))
        except EdhocError:
            raise
        except FrameError as error:
            raise EdhocError(error.code, str(error)) from None

    def _read_2(self, data):
        crypto = self._crypto
        self._refused(data)
        reader = cbor.Reader(data)
        both = reader.bytes(MAX_MESSAGE)
        reader.finish()
        if len(both) <= 32:
            raise FrameError(IDENTIFIER, "no room for an ephemeral key")
        g_y = both[:32]
        g_xy = yield from agree_steps(crypto, self._pair[0], g_y)
        th_2 = transcript(crypto, byte_string(g_y), byte_string(transcript(crypto, self._message_1)))
        prk_2e = crypto.hkdf_extract(th_2, g_xy)
        plain = xor(both[32:], kdf(crypto, prk_2e, 0, th_2, len(both) - 32))
        reader = cbor.Reader(plain)
        self.c_r = read_identifier(reader)
        kid, ccs = read_credential_id(reader)
        mac = reader.bytes(MAC_LENGTH)
        if len(mac) != MAC_LENGTH:
            raise FrameError(MAC, "%d bytes" % len(mac))
        at = reader.pos
        self.eads += read_eads(reader, self._known)
        if self.c_r == self.c_i:
            raise FrameError(IDENTIFIER, "both ends would have one identifier")
        self._plain = (plain, kid, mac, plain[at:])
        self._prk_2e = prk_2e
        self._th = th_2
        self._g_y = g_y
        self._due = 3
        return kid, ccs

    def message_3_steps(self, expected):
        """Generator; message_3, once the responder has proved to hold the key of the credential `expected`."""
        self._begin(3)
        if expected is None:
            raise EdhocError(UNKNOWN, "", error_message(3, None))
        try:
            return (yield from self._write_3(expected))
        except EdhocError:
            raise
        except FrameError as error:
            raise EdhocError(error.code, str(error)) from None

    def _write_3(self, expected):
        crypto = self._crypto
        plain, kid, mac, ead_2 = self._plain
        th_2 = self._th
        g_rx = yield from agree_steps(crypto, self._pair[0], public_x(expected))
        prk_3e2m = crypto.hkdf_extract(kdf(crypto, self._prk_2e, 1, th_2, HASH), g_rx)
        context = write_identifier(self.c_r) + credential_id(kid, expected) + byte_string(th_2) + expected + ead_2
        if not same(mac, kdf(crypto, prk_3e2m, 2, context, MAC_LENGTH)):
            raise FrameError(MAC, "the responder's MAC does not match: this is not whom the label names")
        th_3 = transcript(crypto, byte_string(th_2), plain, expected)
        g_iy = yield from agree_steps(crypto, self._private, self._g_y)
        prk_4e3m = crypto.hkdf_extract(kdf(crypto, prk_3e2m, 5, th_3, HASH), g_iy)
        mine = self._credential
        context = credential_id(self._kid, mine) + byte_string(th_3) + mine + self.ead_3
        mac = kdf(crypto, prk_4e3m, 6, context, MAC_LENGTH)
        plain = compact(self._kid, mine) + byte_string(mac) + self.ead_3
        keys = aead(crypto, prk_3e2m, 3, th_3)
        message = byte_string(crypto.ccm_seal(keys[0], keys[1], plain, keys[2], MAC_LENGTH))
        if len(message) > MAX_MESSAGE:
            raise FrameError(TOO_LARGE, "%d bytes" % len(message))
        th_4 = transcript(crypto, byte_string(th_3), plain, mine)
        self.keys = Keys(crypto, prk_4e3m, th_4, self.c_i, self.c_r)
        self._th = th_4
        self._prk = prk_4e3m
        self._pair = self._private = None
        self._prk_2e = b""
        self._due = 4
        return message

    def message_4(self, data):
        """The session's Keys: the responder has them too."""
        self._begin(4)
        try:
            self._refused(data)
            reader = cbor.Reader(data)
            ciphertext = reader.bytes(MAX_MESSAGE)
            reader.finish()
            if len(ciphertext) < MAC_LENGTH:
                raise FrameError(MAC, "shorter than its tag")
            keys = aead(self._crypto, self._prk, 8, self._th)
            self.eads += read_eads(cbor.Reader(open_(self._crypto, keys, ciphertext)), self._known)
        except EdhocError:
            raise
        except FrameError as error:
            raise EdhocError(error.code, str(error)) from None
        self._prk = b""
        return self.keys

    def _refused(self, data):
        error = read_error(data)
        if error is not None:
            # Errors are answered by nothing (section 6), and anybody may have sent this one.
            raise EdhocError(REFUSED, "error %d: %s" % error, b"")
