"""An owner's delegation: a CWT (RFC 8392) that says who may do what, to which nodes, until when (SPEC 13.9).

    delegation = yield from open_steps(crypto, data, owner)              the owner's signature holds
    role = judge(delegation, node, site, epoch, x, now, nonce)           and it is for this node, this peer, this time

Claims: iss (the owner's id), aud (nodes and sites), exp, nbf, cti, cnf (the delegate's EDHOC key), scope (a role),
cnonce where the node's nonce was fetched for it, and the epoch (a private claim) that the owner raises to revoke all
that was delegated before. A node judges calendar limits only if it knows the time from its owner: pass None for `now`
otherwise. Signing is the host's (`citymote.delegate`).

Decided in this order: signature, form, issuer, epoch, audience, key, role, nonce, time.
"""

from . import cbor, sign1
from .errors import MISSING, RANGE, FrameError
from .limits import MAX_TEXT

ISSUER = "issuer"  # another owner
EPOCH = "epoch"  # revoked: the owner has raised the epoch since
AUDIENCE = "audience"  # for other nodes and sites
CONFIRMATION = "confirmation"  # for somebody else than this session's peer
SCOPE = "scope"  # a role that is none
NONCE = "nonce"  # not for the nonce that was given out
EXPIRED = "expired"
EARLY = "early"

PURPOSE = b"citymote delegation 1"
ROLES = ("owner", "installer", "reader")
EPOCH_LABEL = -65537  # CWT claims below -65536 are private
MAX_AUDIENCE = 16
UNIX_2000 = 946_684_800  # NumericDate of 2000-01-01T00:00:00Z

_ISS = 1
_AUD = 3
_EXP = 4
_NBF = 5
_CTI = 7
_CNF = 8
_SCOPE = 9
_CNONCE = 39


class Delegation:
    __slots__ = ("audience", "cti", "epoch", "exp", "issuer", "nbf", "nonce", "scope", "x")


def _key(reader):
    """The x coordinate in a cnf claim: {1: {1: 2, -1: 1, -2: x}}."""
    if reader.map(1) != 1 or reader.uint() != 1 or reader.map(3) != 3:
        raise FrameError(RANGE, "not a key")
    wanted = ((1, 2), (-1, 1), (-2, None))
    x = b""
    for label, value in wanted:
        if reader.integer(-2, 1) != label:
            raise FrameError(RANGE, "not a key of P-256")
        if value is None:
            x = reader.bytes(32)
        elif reader.uint() != value:
            raise FrameError(RANGE, "not a key of P-256")
    if len(x) != 32:
        raise FrameError(RANGE, "%d bytes of a key" % len(x))
    return x


def read(payload):
    """Delegation of a CWT's claims."""
    made = Delegation()
    made.issuer = made.audience = made.exp = made.cti = made.x = made.scope = made.epoch = None
    made.nbf = made.nonce = None
    reader = cbor.Reader(payload)
    last = -1
    for _ in range(reader.map(9)):
        label = reader.integer(EPOCH_LABEL, 0xFFFF)
        order = label if label >= 0 else 0x10000 - label
        if order <= last:
            raise FrameError("key_order", "claim %d" % label)
        last = order
        if label == _ISS:
            made.issuer = reader.text(MAX_TEXT)
        elif label == _AUD:
            if reader.peek() >> 5 == cbor.ARRAY:
                made.audience = [reader.text(MAX_TEXT) for _ in range(reader.array(MAX_AUDIENCE))]
            else:
                made.audience = [reader.text(MAX_TEXT)]
        elif label == _EXP:
            made.exp = reader.uint(0xFFFFFFFFFF)
        elif label == _NBF:
            made.nbf = reader.uint(0xFFFFFFFFFF)
        elif label == _CTI:
            made.cti = reader.bytes(16)
        elif label == _CNF:
            made.x = _key(reader)
        elif label == _SCOPE:
            made.scope = reader.text(MAX_TEXT)
        elif label == _CNONCE:
            made.nonce = reader.bytes(16)
        elif label == EPOCH_LABEL:
            made.epoch = reader.uint()
        else:
            # An unknown claim may be a limit: what is not understood is not granted.
            raise FrameError("critical", "claim %d" % label)
    reader.finish()
    for value in (made.issuer, made.audience, made.exp, made.cti, made.x, made.scope, made.epoch):
        if value is None:
            raise FrameError(MISSING, "a claim is missing")
    return made


def open_steps(crypto, data, owner):
    """Generator: the Delegation that `owner` (compressed signing key) has signed."""
    return read((yield from sign1.open_steps(crypto, data, owner, PURPOSE)))


def judge(delegation, issuer, node, site, epoch, x, now=None, nonce=None):
    """The role that this delegation gives the peer with key `x` on this node; FrameError says what it lacks.

    `issuer` and `node` are ids in text, `site` the node's site or None, `epoch` the owner's as the node has it, `now`
    seconds since 2000 as the owner signed them, `nonce` what the node has given out for this, if it has."""
    if delegation.issuer != issuer:
        raise FrameError(ISSUER, "another owner's")
    if delegation.epoch < epoch:
        raise FrameError(EPOCH, "epoch %d, %d is due" % (delegation.epoch, epoch))
    if node not in delegation.audience and (site is None or "site:" + site not in delegation.audience):
        raise FrameError(AUDIENCE, "for other nodes")
    if delegation.x != x:
        raise FrameError(CONFIRMATION, "for another key than this session's")
    if delegation.scope not in ROLES:
        raise FrameError(SCOPE, "no such role")
    if delegation.nonce is not None and delegation.nonce != nonce:
        raise FrameError(NONCE, "not the nonce of this session")
    if now is not None:
        if now + UNIX_2000 >= delegation.exp:
            raise FrameError(EXPIRED, "")
        if delegation.nbf is not None and now + UNIX_2000 < delegation.nbf:
            raise FrameError(EARLY, "")
    return delegation.scope
