"""EDHOC's responder (RFC 9528, sections 5.2.3 to 5.5.2): the node's side. One object for one session.

    responder = Responder(crypto, private, credential, kid, pair, c_rs, find)
    message_2 = yield from responder.message_1_steps(message_1)
    message_4 = yield from responder.message_3_steps(message_3)       then responder.keys, responder.peer

Both are generators that yield as the curve's arithmetic does (two multiplications for message_1, one for message_3).
`pair` is an ephemeral key pair made beforehand, good for this session only; `c_rs` are two connection identifiers, of
which the first is taken that is not the initiator's own. `find(kid)` gives the credential that a key
id names, or None; a credential that comes by value is taken as it is, for what its owner may do is not decided here.
Any failure raises `EdhocError` and leaves an object that does nothing more.

Decisions on message_1, in this order: its form; the method; the suites; EAD_1; the key's length; the point.
On message_3: its form; the tag; the plaintext's form; the credential; the point in it; the MAC; EAD_3.
"""

from .cbor_bytes import byte_string
from .cbor_read import Heads
from .edhoc import (
    HASH,
    IDENTIFIER,
    MAC,
    MAC_LENGTH,
    MAX_MESSAGE,
    METHOD,
    METHOD_3,
    STATE,
    SUITE,
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

_FRESH = 0
_WAITING = 1
_BUSY = 2
_DONE = 3
_DEAD = 4


class Responder:
    """`known` are labels of EAD items that the application understands: they come out in `eads`, sent ones go in as
    encoded sequences (`ead_2`, `ead_4`). `by_value` sends the credential itself instead of its key id."""

    def __init__(self, crypto, private, credential, kid, pair, c_rs, find, known=(), by_value=False):
        self._crypto = crypto
        self._private = private
        self._credential = credential
        self._kid = None if by_value else kid
        self._pair = pair
        self._find = find
        self._known = known
        self._state = _FRESH
        self._prk = self._th = None
        self.c_i = None
        self.c_r = None
        self._c_rs = c_rs
        self.ead_2 = self.ead_4 = b""
        self.eads = []
        self.peer = None  # the initiator's credential
        self.keys = None

    def message_1_steps(self, data):
        """Generator: message_1 to message_2."""
        return self._guarded(_FRESH, self._message_2, data, _WAITING)

    def message_3_steps(self, data):
        """Generator: message_3 to message_4."""
        return self._guarded(_WAITING, self._message_4, data, _DONE)

    def _guarded(self, due, work, data, then):
        if self._state != due:
            # Not a failure of the session that this is no part of: a repeated message must not end it.
            raise EdhocError(STATE, "not due", b"")
        self._state = _BUSY
        try:
            if len(data) > MAX_MESSAGE:
                raise FrameError(TOO_LARGE, "%d bytes" % len(data))
            made = yield from work(data)
            self._state = then
            return made
        except EdhocError:
            raise
        except FrameError as error:
            raise EdhocError(error.code, str(error)) from None
        finally:
            if self._state != then:
                self._state = _DEAD
                self._pair = self._private = self._prk = self.keys = None

    def _message_2(self, data):
        crypto = self._crypto
        reader = Heads(data)
        method = reader.integer(-0x8000, 0x7FFF)
        suites = read_suites(reader)
        g_x = reader.bytes(66)  # suite 25's is the longest
        self.c_i = read_identifier(reader)
        if method != METHOD_3:
            raise FrameError(METHOD, "%d" % method)
        if suites[-1] != SUITE_2 or SUITE_2 in suites[:-1]:
            raise EdhocError(SUITE, "selected %d" % suites[-1], error_message(2, None))
        self.eads += read_eads(reader, self._known)
        if len(g_x) != 32:
            raise FrameError(IDENTIFIER, "an ephemeral key of %d bytes" % len(g_x))
        self.c_r = self._c_rs[self._c_rs[0] == self.c_i]  # OSCORE needs them to differ (section 3.3.3)
        private, public = self._pair  # pyright: ignore[reportGeneralTypeIssues]
        g_y = public[1:]
        g_xy = yield from agree_steps(crypto, private, g_x)
        th_2 = transcript(crypto, byte_string(g_y), byte_string(transcript(crypto, data)))
        prk_2e = crypto.hkdf_extract(th_2, g_xy)
        yield
        g_rx = yield from agree_steps(crypto, self._private, g_x)
        prk_3e2m = crypto.hkdf_extract(kdf(crypto, prk_2e, 1, th_2, HASH), g_rx)
        yield
        c_r = write_identifier(self.c_r)
        context = c_r + credential_id(self._kid, self._credential) + byte_string(th_2) + self._credential + self.ead_2
        mac = kdf(crypto, prk_3e2m, 2, context, MAC_LENGTH)
        plain = c_r + compact(self._kid, self._credential) + byte_string(mac) + self.ead_2
        self._prk = prk_3e2m
        self._th = transcript(crypto, byte_string(th_2), plain, self._credential)
        self._private = None
        yield
        return byte_string(g_y + xor(plain, kdf(crypto, prk_2e, 0, th_2, len(plain))))

    def _message_4(self, data):
        crypto = self._crypto
        reader = Heads(data)
        ciphertext = reader.bytes(MAX_MESSAGE)
        reader.finish()
        if len(ciphertext) <= MAC_LENGTH:
            raise FrameError(MAC, "shorter than its tag")
        th_3 = self._th
        plain = open_(crypto, aead(crypto, self._prk, 3, th_3), ciphertext)
        yield
        reader = Heads(plain)
        kid, ccs = read_credential_id(reader)
        mac = reader.bytes(MAC_LENGTH)
        if len(mac) != MAC_LENGTH:
            raise FrameError(MAC, "%d bytes" % len(mac))
        at = reader.pos
        eads = read_eads(reader, self._known)
        peer = ccs if kid is None else self._find(kid)
        if peer is None:
            raise EdhocError(UNKNOWN, "", error_message(3, None))
        g_iy = yield from agree_steps(crypto, self._pair[0], public_x(peer))
        self._pair = None
        prk_4e3m = crypto.hkdf_extract(kdf(crypto, self._prk, 5, th_3, HASH), g_iy)
        context = credential_id(kid, peer) + byte_string(th_3) + peer + plain[at:]
        if not same(mac, kdf(crypto, prk_4e3m, 6, context, MAC_LENGTH)):
            raise FrameError(MAC, "the initiator's MAC does not match")
        yield
        th_4 = transcript(crypto, byte_string(th_3), plain, peer)
        self.keys = Keys(crypto, prk_4e3m, th_4, self.c_i, self.c_r)
        self.peer = peer
        self.eads += eads
        self._prk = None
        yield
        keys = aead(crypto, prk_4e3m, 8, th_4)
        return byte_string(crypto.ccm_seal(keys[0], keys[1], self.ead_4, keys[2], MAC_LENGTH))
