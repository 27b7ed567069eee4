"""The keys that may sign updates: the set that the root signs, and how it changes (SPEC 14.7).

A set only ever gets a higher epoch. A key is revoked by a set without it; a new one is added before the old one goes,
so that nodes which poll seldom are never without. The root signs nothing but sets, and is best kept where nothing else
is done. The file is the statement itself, as nodes fetch it.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from citymote.crypto import HostCrypto
from citymote.delegate import OwnerKey
from citymote.errors import CitymoteError, UsageError
from citymote_protocol import keyset as _keyset
from citymote_protocol import p256 as _p256
from citymote_protocol import suit as _suit
from citymote_protocol.errors import ProtocolError

from .manifest import parts

keyset: Any = _keyset
p256: Any = _p256
suit: Any = _suit
ROLES = {"release": suit.RELEASE, "emergency": suit.EMERGENCY}
_NAMES = {number: name for name, number in ROLES.items()}


def key_id(public: bytes) -> bytes:
    """What names a key in an envelope (SPEC 14.6.3)."""
    return hashlib.sha256(public).digest()[:6]


class KeySetError(CitymoteError):
    """A key set that nobody should trust, or a change that would lock everybody out."""


@dataclass(frozen=True)
class Key:
    """One key of a set: compressed P-256, and what it may do."""

    public: bytes
    role: str

    @property
    def kid(self) -> bytes:
        """Its name in an envelope."""
        return key_id(self.public)


@dataclass(frozen=True)
class KeySet:
    """An epoch and its keys, as the root has signed them."""

    epoch: int
    keys: tuple[Key, ...]

    def find(self, kid: bytes) -> Key | None:
        """The key of that name."""
        return next((key for key in self.keys if key.kid == kid), None)

    def statement(self, root: OwnerKey) -> bytes:
        """What the root signs, and a node takes."""
        if len(self.keys) > keyset.MAX_KEYS:
            raise UsageError(f"a key set has at most {keyset.MAX_KEYS} keys", f"this has {len(self.keys)}")
        if not any(key.role == "release" for key in self.keys):
            raise KeySetError("a key set without a release key ends all updates", "", "Add one first.")
        pairs = [(key.public, ROLES[key.role]) for key in self.keys]
        return root.statement(keyset.write(self.epoch, pairs), keyset.PURPOSE)

    def changed(self, add: Iterable[Key] = (), remove: Sequence[bytes] = ()) -> KeySet:
        """The next epoch: with these keys, and without those of these names."""
        for kid in remove:
            if self.find(kid) is None:
                raise UsageError(f"the set has no key {kid.hex()}", "", "See `citymote update keys show`.")
        kept = [key for key in self.keys if key.kid not in remove]
        for key in add:
            if any(key.public == other.public for other in kept):
                raise UsageError(f"the set has the key {key.kid.hex()} already")
            kept.append(key)
        return KeySet(self.epoch + 1, tuple(kept))


def public_key(text: str) -> bytes:
    """A compressed public key written as hexadecimal; UsageError where it is none."""
    try:
        return HostCrypto().compressed(bytes.fromhex(text.strip()))
    except ValueError:  # CurveError is one
        raise UsageError(
            f"{text[:12]!r}... is no public key of P-256", "", "Write its 66 hexadecimal digits."
        ) from None


def open_set(statement: bytes, root: bytes) -> KeySet:
    """A set that this root has signed; KeySetError for anything else."""
    try:
        found = p256.run(keyset.open_steps(_Hashing, statement, root))
    except ProtocolError as error:
        raise KeySetError("this is no key set of that root", str(error)) from None
    return KeySet(found.epoch, tuple(Key(bytes(key), _NAMES[role]) for key, role in found.keys))


def load(path: Path, root: bytes) -> KeySet:
    """The same from a file."""
    try:
        with path.open("rb") as file:
            return open_set(file.read(4096), root)
    except OSError as error:
        raise UsageError(f"the key set {path} cannot be read", error.strerror or str(error)) from None


class _Hashing:
    sha256 = staticmethod(hashlib.sha256)


@dataclass(frozen=True)
class Checked:
    """An envelope whose signature has held: by which key of the set, and what it says."""

    sequence: int
    key: Key
    class_id: bytes
    vendor_id: bytes


def check(envelope: bytes, keys: KeySet) -> Checked:
    """What a node would find that has this set: KeySetError where it would refuse."""
    pairs = [(key.public, ROLES[key.role]) for key in keys.keys]
    try:
        found = p256.run(suit.open_steps(_Hashing, io.BytesIO(envelope), pairs, key_id))
        kids = [kid for algorithm, kid, _ in parts(envelope)[1] if algorithm == suit.ESP256]
    except ProtocolError as error:
        raise KeySetError("nodes with this key set would refuse the envelope", str(error)) from None
    key = next(key for kid in kids if (key := keys.find(kid)) is not None)
    return Checked(found.sequence, key, found.class_id, found.vendor_id)
