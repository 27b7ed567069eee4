"""Writes the SUIT envelopes that nodes accept, and reads anyone's (SPEC 14.6).

The bytes are the profile's only ones: same index, sequence and class, same manifest. Signatures are over the manifest's
digest alone, so a second one (another key, or HSS-LMS for a city that plans for quantum computers) is added later
without touching the first.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from citymote.factory.slot import VENDOR_ID, class_id
from citymote_protocol import cbor as _cbor
from citymote_protocol import cbor_bytes as _cbor_bytes
from citymote_protocol import suit as _suit

# Untyped, because the node runs them too.
cbor: Any = _cbor
cbor_bytes: Any = _cbor_bytes
suit: Any = _suit


@dataclass(frozen=True)
class Signer:
    """A key that signs manifests: `kid` names it, `sign` makes r || s of a SHA-256 digest (HSS-LMS: of the bytes)."""

    kid: bytes
    sign: Callable[[bytes], bytes]
    algorithm: int = suit.ESP256


__all__ = ["VENDOR_ID", "Signer", "class_id", "envelope", "manifest", "parts", "sequence_of", "with_signatures"]


def parts(data: bytes) -> tuple[bytes, list[tuple[int, bytes, bytes]], bytes, bytes]:
    """(digest as signed, blocks of (algorithm, kid, signature), manifest, index) of an envelope that nobody need have
    signed; FrameError where it is none."""
    digest, blocks, made, at, size = suit.read_envelope(io.BytesIO(data))
    return bytes(digest), blocks, made, data[at : at + size]


def with_signatures(of: bytes, signers: Sequence[Signer]) -> bytes:
    """The same envelope with these signatures beside those that it has; a key that signs again replaces its own."""
    digest, blocks, made, index = parts(of)
    mine = {signer.kid for signer in signers}
    kept = [_encoded(*block) for block in blocks if block[1] not in mine]
    return _whole(digest, [*kept, *[_block(signer, digest) for signer in signers]], made, index)


def _digest(data: bytes) -> bytes:
    return bytes(cbor.dumps([suit.SHA256, sha256(data).digest()]))


def manifest(index: bytes, sequence: int, class_: bytes, vendor_id: bytes = VENDOR_ID) -> bytes:
    """The manifest's own bytes (SPEC 14.6.2)."""
    pairs, dumps = cbor.Pairs, cbor.dumps
    parameters = pairs([(1, vendor_id), (2, class_), (3, _digest(index)), (14, len(index))])
    shared = dumps([20, parameters, 1, 15, 2, 15])
    common = dumps(pairs([(2, [[suit.COMPONENT]]), (4, shared)]))
    install = dumps([20, pairs([(21, suit.INDEX)]), 21, 2, 3, 15])
    return bytes(dumps(pairs([(1, 1), (2, sequence), (3, common), (7, dumps([3, 15])), (20, install)])))


def sequence_of(made: bytes) -> int:
    """The sequence number in a manifest's bytes, which nobody need have signed; FrameError where it has none."""
    reader = cbor.Reader(made)
    reader.map(8)
    for key in (1, 2):
        reader.integer(key, key)
        found = reader.uint()
    return int(found)


def _block(signer: Signer, digest: bytes) -> bytes:
    signed = bytes(suit.to_be_signed(digest, _protected(signer.algorithm)))
    signature = signer.sign(sha256(signed).digest() if signer.algorithm == suit.ESP256 else signed)
    return _encoded(signer.algorithm, signer.kid, signature)


def _protected(algorithm: int) -> bytes:
    return bytes(cbor.dumps(cbor.Pairs([(1, algorithm)])))


def _encoded(algorithm: int, kid: bytes, signature: bytes) -> bytes:
    parts = [_protected(algorithm), cbor.Pairs([(4, kid)]), None, signature]
    return bytes(cbor_bytes.head(cbor.TAGGED, 18) + cbor.dumps(parts))


def envelope(
    index: bytes, sequence: int, class_: bytes, signers: Sequence[Signer], vendor_id: bytes = VENDOR_ID
) -> bytes:
    """A signed envelope with the index inside; ValueError where a node would find it too large."""
    made = manifest(index, sequence, class_, vendor_id)
    digest = _digest(bytes(cbor.dumps(made)))
    return _whole(digest, [_block(signer, digest) for signer in signers], made, index)


def _whole(digest: bytes, blocks: list[bytes], made: bytes, index: bytes) -> bytes:
    parts = cbor.Pairs([(2, cbor.dumps([digest, *blocks])), (3, made), (suit.INDEX, index)])
    out = bytes(cbor_bytes.head(cbor.TAGGED, 107) + cbor.dumps(parts))
    if not 1 <= len(blocks) <= suit.MAX_BLOCKS:
        raise ValueError(f"a manifest has 1 to {suit.MAX_BLOCKS} signatures")
    if len(out) > suit.MOST:
        raise ValueError(f"the manifest has {len(out)} bytes, a node takes {suit.MOST}: make fewer, larger files")
    return out
