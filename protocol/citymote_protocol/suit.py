"""SUIT manifests as an application's update carries them (draft-ietf-suit-manifest-37, profiled in SPEC 14.6).

    manifest = yield from open_steps(crypto, source, keys)     the signature holds, and only then it is parsed

`source` is the envelope as an open file: what comes before the index is read into memory, the index never is.

One component, whose image is the file index and rides in the envelope; one straight line of commands: vendor, class,
override parameters, fetch, image match. Nothing branches, nothing is looped, nothing is passed over: what is not this
profile is refused, before memory is taken. `keys` are (key, role) pairs of a key set; which role may do what, and which
sequence is accepted, is `judge`'s. Signing is the host's (citymote.update).
"""

from . import cbor
from .cbor_bytes import byte_string
from .cbor_write import BYTES
from .errors import TRAILING, FrameError

ENVELOPE = "envelope"  # not the form of this profile
SIGNATURE = "signature"  # by no key of the set, or over other bytes
DIGEST = "digest"  # the signed digest is not this manifest's, or the image's is not the index's
COMMANDS = "commands"  # another command, another order, a parameter too many or too few
VENDOR = "vendor"
CLASS = "class"
SEQUENCE = "sequence"  # not above the floor, or too far above it

MOST = 8192
MAX_BLOCKS = 4
JUMP = 1 << 16  # sequence numbers that one update may leave out: a stolen key cannot use them all up
RELEASE, EMERGENCY = 1, 2
INDEX = "#index"
COMPONENT = b"application"
ESP256 = -9
HSS_LMS = -46
SHA256 = -16

_TAG = 107
_HEADS = 24  # bytes that hold the heads, and the short text, between two long strings
_CHUNK = 512
_PROTECTED = b"\xa1\x01\x28"  # {1: -9}
_PROTECTED_HSS = b"\xa1\x01\x38\x2d"  # {1: -46}


class Manifest:
    """What was signed. `digest` and `size` are the index's, which has been compared; `role` is the signing key's and
    `signer` its id; the index begins `at` that byte of the source."""

    __slots__ = ("at", "class_id", "digest", "role", "sequence", "signer", "size", "source", "vendor_id")

    def index(self):
        """The source, where the index begins: `size` bytes of it follow."""
        self.source.seek(self.at)
        return self.source


def to_be_signed(digest, protected=_PROTECTED):
    """The Sig_structure over the encoded SUIT_Digest, which is the detached payload (section 8.3 there)."""
    return b"\x84\x6aSignature1" + byte_string(protected) + b"\x40" + byte_string(digest)


def _digest(data):
    # [-16, 32 bytes] in a byte string
    inner = cbor.Reader(data)
    if inner.array(2) != 2 or inner.integer(SHA256, SHA256) != SHA256:
        raise FrameError(ENVELOPE, "a digest is not SHA-256")
    found = inner.bytes(32)
    inner.finish()
    if len(found) != 32:
        raise FrameError(ENVELOPE, "a digest is not 32 bytes")
    return found


def _block(data):
    # (algorithm, kid, signature) of a COSE_Sign1 whose payload is detached
    inner = cbor.Reader(data)
    inner.tag(18)
    if inner.array(4) != 4:
        raise FrameError(ENVELOPE, "a signature is no COSE_Sign1")
    protected = cbor.Reader(inner.bytes(16))
    if protected.map(1) != 1 or protected.integer(0, 8) != 1:
        raise FrameError(ENVELOPE, "a protected header is not {1: algorithm}")
    algorithm = protected.integer(-65536, 65535)
    protected.finish()
    if inner.map(1) != 1 or inner.integer(0, 8) != 4:
        raise FrameError(ENVELOPE, "an unprotected header is not {4: key}")
    kid = inner.bytes(8)
    if not inner.is_null():
        raise FrameError(ENVELOPE, "the payload is not detached")
    signature = inner.bytes(4096 if algorithm == HSS_LMS else 64)
    inner.finish()
    return algorithm, kid, signature


def _heads(source, at, total):
    # A reader of the few heads at that place: what they announce is held against all that is there.
    source.seek(at)
    reader = cbor.Reader(source.read(_HEADS))
    reader.end = total - at
    return reader


def _taken(source, at, size):
    source.seek(at)
    return source.read(size)


def read_envelope(source):
    """(digest bytes as signed, blocks, manifest bytes, where the index begins, its size): nothing to be trusted yet."""
    total = source.seek(0, 2)
    if total > MOST:
        raise FrameError("too_large", "%d bytes of manifest" % total)
    outer = _heads(source, 0, total)
    outer.tag(_TAG)
    if outer.map(3) != 3 or outer.integer(0, 9) != 2:
        raise FrameError(ENVELOPE, "not {2: authentication, 3: manifest, %r: index}" % INDEX)
    size = outer.length(BYTES, MOST)
    at = outer.pos
    authentication = cbor.Reader(_taken(source, at, size))
    at += size
    outer = _heads(source, at, total)
    if outer.integer(0, 9) != 3:
        raise FrameError(ENVELOPE, "no manifest")
    size = outer.length(BYTES, MOST)
    at += outer.pos
    manifest = _taken(source, at, size)
    at += size
    outer = _heads(source, at, total)
    if outer.text(8) != INDEX:
        raise FrameError(ENVELOPE, "no index")
    size = outer.length(BYTES, MOST)
    at += outer.pos
    if at + size != total:
        raise FrameError(TRAILING, "%d bytes after the end" % (total - at - size))
    count = authentication.array(1 + MAX_BLOCKS)
    if count < 2:
        raise FrameError(ENVELOPE, "no signature")
    digest = authentication.bytes(64)
    blocks = [_block(authentication.bytes(MOST)) for _ in range(count - 1)]
    authentication.finish()
    return digest, blocks, manifest, at, size


def _image_steps(crypto, source, at, size):
    # The digest of what lies there, some at a time.
    found = crypto.sha256()
    source.seek(at)
    while size:
        piece = source.read(min(size, _CHUNK))
        if not piece:
            break
        size -= len(piece)
        found.update(piece)
        yield
    return found.digest()


def open_steps(crypto, source, keys, key_id, hss=b""):
    """Generator: the Manifest that one of `keys` ((compressed key, role), ...) has signed; `key_id(key)` names one.

    `hss`: the HSS-LMS public key (RFC 8554) that has to have signed as well, where the owner asks for that.
    """
    digest, blocks, manifest, at, size = read_envelope(source)
    role = signer = None
    for algorithm, kid, signature in blocks:
        if algorithm != ESP256:
            continue  # another signature over the same digest, for those who ask for it
        for key, its_role in keys:
            if key_id(key) == kid:
                from .p256 import verify_steps

                signed = crypto.sha256(to_be_signed(digest)).digest()
                if not (yield from verify_steps(key, signed, signature)):
                    raise FrameError(SIGNATURE, "another key, or altered bytes")
                role, signer = its_role, kid
        if role is not None:
            break
    if role is None:
        raise FrameError(SIGNATURE, "by no key that this node knows")
    if hss:
        yield from _second_steps(crypto, blocks, digest, hss, key_id(hss))
    if crypto.sha256(byte_string(manifest)).digest() != _digest(digest):
        raise FrameError(DIGEST, "the signature is another manifest's")
    made = _manifest(manifest)
    if made.size != size or made.digest != (yield from _image_steps(crypto, source, at, size)):
        raise FrameError(DIGEST, "the index is another manifest's")
    made.source, made.at = source, at
    made.role, made.signer = role, signer
    return made


def _second_steps(crypto, blocks, digest, hss, wanted):
    from .lms import verify_steps

    for algorithm, kid, signature in blocks:
        if algorithm == HSS_LMS and kid == wanted:
            signed = to_be_signed(digest, _PROTECTED_HSS)
            if not (yield from verify_steps(crypto.sha256, hss, signed, signature)):
                raise FrameError(SIGNATURE, "another HSS-LMS key, or altered bytes")
            return
    raise FrameError(SIGNATURE, "without the HSS-LMS signature that this node asks for")


def _manifest(data):
    made = Manifest()
    reader = cbor.Reader(data)
    if reader.map(5) != 5:
        raise FrameError(COMMANDS, "not the five elements of this profile")
    _key(reader, 1)
    if reader.uint() != 1:
        raise FrameError("version", "manifest version")
    _key(reader, 2)
    made.sequence = reader.uint()
    _key(reader, 3)
    made.vendor_id, made.class_id, made.digest, made.size = _common(reader.bytes(512))
    _key(reader, 7)
    _validate(reader.bytes(16))
    _key(reader, 20)
    _install(reader.bytes(64))
    reader.finish()
    return made


def _key(reader, wanted):
    if reader.integer(0, 31) != wanted:
        raise FrameError(COMMANDS, "element %d is not here" % wanted)


def _command(reader, wanted):
    if reader.integer(0, 64) != wanted:
        raise FrameError(COMMANDS, "command %d is not here" % wanted)


def _condition(reader, wanted):
    _command(reader, wanted)
    reader.integer(0, 15)  # which results are reported: this node reports them all


def _common(data):
    reader = cbor.Reader(data)
    if reader.map(2) != 2:
        raise FrameError(COMMANDS, "common is not {2: components, 4: sequence}")
    _key(reader, 2)
    if reader.array(1) != 1 or reader.array(1) != 1 or reader.bytes(16) != COMPONENT:
        raise FrameError(COMMANDS, "not the one component")
    _key(reader, 4)
    shared = cbor.Reader(reader.bytes(256))
    reader.finish()
    if shared.array(6) != 6:
        raise FrameError(COMMANDS, "not the shared sequence of this profile")
    _command(shared, 20)
    if shared.map(4) != 4:
        raise FrameError(COMMANDS, "not the four parameters")
    _key(shared, 1)
    vendor = shared.bytes(16)
    _key(shared, 2)
    class_ = shared.bytes(16)
    _key(shared, 3)
    image = _digest(shared.bytes(64))
    _key(shared, 14)
    size = shared.uint(MOST)
    _condition(shared, 1)
    _condition(shared, 2)
    shared.finish()
    return vendor, class_, image, size


def _validate(data):
    reader = cbor.Reader(data)
    if reader.array(2) != 2:
        raise FrameError(COMMANDS, "validation is not the image match alone")
    _condition(reader, 3)
    reader.finish()


def _install(data):
    reader = cbor.Reader(data)
    if reader.array(6) != 6:
        raise FrameError(COMMANDS, "not the install sequence of this profile")
    _command(reader, 20)
    if reader.map(1) != 1:
        raise FrameError(COMMANDS, "not the one parameter")
    _key(reader, 21)
    if reader.text(8) != INDEX:
        raise FrameError(COMMANDS, "fetches something else than the index")
    _condition(reader, 21)
    _condition(reader, 3)
    reader.finish()


def judge(manifest, vendor_id, class_id, floor):
    """FrameError unless this manifest is for this node and comes after the highest that was ever confirmed."""
    if manifest.vendor_id != vendor_id:
        raise FrameError(VENDOR, "for another maker's nodes")
    if manifest.class_id != class_id:
        raise FrameError(CLASS, "for another kind of chip")
    if not floor < manifest.sequence <= floor + JUMP:
        raise FrameError(SEQUENCE, "%d, after %d" % (manifest.sequence, floor))
