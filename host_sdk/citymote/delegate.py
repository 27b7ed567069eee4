"""An owner's signing key, and what is signed with it: delegations to installers and readers (SPEC 13.9).

The signing key is the root of what an owner may do to a node, and is used for nothing but signing: sessions have keys
of their own. It lives on the owner's server or in a token; `sign` may be any function that signs a digest, so that the
private key need not be here. A node verifies what this makes with `citymote_protocol.delegation`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from typing import Any

from citymote_protocol import cbor as _cbor
from citymote_protocol import delegation as _delegation
from citymote_protocol import sign1 as _sign1

from . import crypto

# Untyped, because the node runs them too.
cbor: Any = _cbor
delegation: Any = _delegation
sign1: Any = _sign1

Sign = Callable[[bytes], bytes]  # SHA-256 digest -> r || s


def key_id(public: bytes) -> str:
    """The name of a key: 12 hexadecimal digits, as a node's id is made from its key."""
    return sha256(public).digest()[:6].hex()


class OwnerKey:
    """A P-256 signing key. `public` is its compressed form, which a claim hands to a node; `id` is its name."""

    def __init__(self, public: bytes, sign: Sign) -> None:
        self.public = public
        self.id = key_id(public)
        self._sign = sign

    def __repr__(self) -> str:
        return f"OwnerKey({self.id})"

    @classmethod
    def from_private(cls, private: bytes) -> OwnerKey:
        """The key whose 32 bytes are at hand."""
        return cls(crypto.public_key(private), partial(crypto.sign, private))

    def statement(self, payload: bytes, purpose: bytes) -> bytes:
        """A COSE_Sign1 of this owner; `purpose` names the kind of statement."""
        digest = sha256(sign1.to_be_signed(payload, purpose)).digest()
        return bytes(sign1.write(payload, self._sign(digest)))


def site(name: str) -> str:
    """A site, as an audience names it."""
    return f"site:{name}"


def _numeric(moment: datetime) -> int:
    if moment.tzinfo is None:
        raise ValueError("a time without a zone says nothing")
    return int(moment.astimezone(UTC).timestamp())


def delegate(
    owner: OwnerKey,
    key: bytes,
    role: str,
    audience: Sequence[str],
    *,
    epoch: int,
    expires: datetime,
    not_before: datetime | None = None,
    nonce: bytes | None = None,
    identifier: bytes | None = None,
) -> bytes:
    """A delegation for the holder of a session key (compressed): `role` is owner, installer or reader, `audience` node
    ids and `site(...)`s, `nonce` the node's where it was asked for one."""
    if role not in delegation.ROLES:
        raise ValueError(f"{role!r} is no role: {', '.join(delegation.ROLES)}")
    if not 1 <= len(audience) <= delegation.MAX_AUDIENCE:
        raise ValueError(f"a delegation names 1 to {delegation.MAX_AUDIENCE} nodes and sites")
    if len(key) != 33:
        raise ValueError("a session key is 33 bytes")
    confirmation = cbor.Pairs([(1, cbor.Pairs([(1, 2), (-1, 1), (-2, key[1:])]))])
    claims: list[tuple[int, Any]] = [
        (1, owner.id),
        (3, audience[0] if len(audience) == 1 else list(audience)),
        (4, _numeric(expires)),
        (7, identifier if identifier is not None else os.urandom(8)),
        (8, confirmation),
        (9, role),
        (delegation.EPOCH_LABEL, epoch),
    ]
    if not_before is not None:
        claims.append((5, _numeric(not_before)))
    if nonce is not None:
        claims.append((39, nonce))
    return owner.statement(cbor.dumps(cbor.Pairs(claims)), delegation.PURPOSE)
