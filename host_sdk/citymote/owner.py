"""An owner's keys, or an installer's, in one file: whom nodes belong to, and who this computer is to them.

    store = OwnerStore.create("city.owner")          signing key, this host's key, a vault for the registry's secrets
    store = OwnerStore.load("city.owner")            asks for the passphrase (or the keyring) once

The signing key is given to nodes at the claim and signs delegations, times and transfers, nothing else; sessions are
opened with the host's own key, which the signing key delegates for a day at a time. An installer's store has no
signing key: a host key, and the delegations that the owner has handed over (`accept`). Private keys are sealed in the
file (`citymote.vault`), which is its owner's alone and is replaced whole.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

from citymote import crypto, private_files
from citymote.delegate import OwnerKey, delegate, key_id, site
from citymote.errors import CitymoteError, UsageError
from citymote.vault import COST, Ask, Vault, ask_passphrase
from citymote_protocol import ccs as _ccs
from citymote_protocol import delegation as _delegation
from citymote_protocol import p256 as _p256
from citymote_protocol import sign1 as _sign1
from citymote_protocol.errors import ProtocolError

# Untyped, because the node runs them too.
ccs: Any = _ccs
delegation: Any = _delegation
p256: Any = _p256
sign1: Any = _sign1

FORMAT = "citymote-owner"
GRANT = "citymote-delegation"
VERSION = 1
OWN_DAYS = 1
"""Days for which an owner's host delegates to itself."""
_MOST = 1 << 20
_DELEGATIONS = 256

_crypto: Any = crypto.HostCrypto()


class OwnerError(CitymoteError):
    """An owner store that cannot be used, or that does not give the right that is needed."""


@dataclass(frozen=True, repr=False)
class HostKey:
    """The key that this host opens sessions with."""

    private: bytes
    public: bytes

    def __repr__(self) -> str:
        return f"HostKey({self.public.hex()})"

    @classmethod
    def generate(cls) -> HostKey:
        """A new one."""
        return cls(*p256.run(_crypto.key_pair_steps()))

    @property
    def kid(self) -> bytes:
        """The name of the key in its credential: 6 bytes."""
        return sha256(self.public).digest()[:6]

    @property
    def credential(self) -> bytes:
        """What a node is shown (SPEC 13.2)."""
        return ccs.write(self.kid, self.public)


@dataclass(frozen=True)
class Grant:
    """A delegation that was handed over: who may do what, where, until when."""

    owner: bytes
    data: bytes
    role: str
    audience: tuple[str, ...]
    expires: datetime
    epoch: int
    x: bytes

    @classmethod
    def read(cls, owner: bytes, data: bytes) -> Grant:
        """Verify and read; OwnerError where the owner has not signed it."""
        try:
            read: Any = p256.run(delegation.open_steps(_crypto, data, owner))
        except ProtocolError as error:
            raise OwnerError("this is no delegation of that owner", str(cast("Any", error).code)) from None
        expires = datetime.fromtimestamp(read.exp, UTC)
        return cls(owner, data, read.scope, tuple(read.audience), expires, read.epoch, read.x)

    def is_for(self, node: str, where: str | None) -> bool:
        """Whether it names this node or its site."""
        return node in self.audience or (where is not None and site(where) in self.audience)

    def text(self) -> str:
        """What is handed to the one it is for; no secret: it is of no use without their key."""
        tree = {"format": GRANT, "version": VERSION, "owner": self.owner.hex(), "delegation": self.data.hex()}
        return json.dumps(tree) + "\n"

    @classmethod
    def parse(cls, text: str) -> Grant:
        """A delegation as `text` has written it."""
        try:
            tree: Any = json.loads(text)
            if tree["format"] != GRANT or tree["version"] != VERSION:
                raise ValueError
            owner, data = bytes.fromhex(tree["owner"]), bytes.fromhex(tree["delegation"])
        except (ValueError, KeyError, TypeError, RecursionError):
            raise OwnerError(
                "this is no delegation", "", "It is the file that `citymote owner delegate` wrote."
            ) from None
        return cls.read(owner, data)


class OwnerStore:
    """See the module. `owner` is None where the signing key is elsewhere; `owner_public` is whose nodes these are."""

    def __init__(
        self, path: Path, vault: Vault, lock: Mapping[str, Any], host: HostKey, signing: bytes | None, epoch: int = 0
    ) -> None:
        self.path = path
        self.vault = vault
        self.host = host
        self.epoch = epoch
        self.grants: list[Grant] = []
        self.owner = None if signing is None else OwnerKey.from_private(signing)
        self._lock = lock
        self._signing = signing

    def __repr__(self) -> str:
        return f"OwnerStore({str(self.path)!r}, {'owner' if self.owner else 'delegate'})"

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        *,
        ask: Ask = ask_passphrase,
        keyring: bool = False,
        signing: bool = True,
        cost: int = COST,
    ) -> OwnerStore:
        """A new store. `signing` False: for an installer or a reader, to whom an owner delegates."""
        where = Path(path)
        if where.exists():
            raise OwnerError(f"{where}: not created", "there is a file already", "Load it, or choose another name.")
        vault, lock = Vault.create_in_keyring() if keyring else Vault.create(ask, cost=cost)
        private = p256.run(_crypto.key_pair_steps())[0] if signing else None
        made = cls(where, vault, lock, HostKey.generate(), private)
        made.save()
        return made

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, ask: Ask = ask_passphrase) -> OwnerStore:
        """Read and unlock one."""
        where = Path(path)
        try:
            data = private_files.read(where, _MOST)
        except private_files.NotPrivate as error:
            raise OwnerError(f"{where}: not loaded", str(error), f"If nobody has: chmod 600 {where}") from None
        except OSError as error:
            raise OwnerError(
                f"{where}: not loaded", error.strerror or "", "Make one with `citymote owner make`."
            ) from None
        damaged = OwnerError(f"{where}: not loaded", "it is no owner store of version 1, or it is damaged")
        try:
            tree: Any = json.loads(data) if len(data) <= _MOST else {}
            if tree["format"] != FORMAT or tree["version"] != VERSION:
                raise ValueError
            lock: Mapping[str, Any] = tree["lock"]
            sealed_host, host = bytes.fromhex(tree["host"]["private"]), bytes.fromhex(tree["host"]["public"])
            owner: Any = tree["owner"]
            grants = [(bytes.fromhex(g["owner"]), bytes.fromhex(g["delegation"])) for g in tree["delegations"]]
            epoch = int(tree["epoch"])
        except (ValueError, KeyError, TypeError, RecursionError):
            raise damaged from None
        vault = Vault.unlock(lock, ask)
        signing = None if owner is None else vault.open(bytes.fromhex(owner["private"]), "owner key")
        made = cls(where, vault, lock, HostKey(vault.open(sealed_host, "host key"), host), signing, epoch)
        if crypto.public_key(made.host.private) != host:
            raise damaged
        made.grants = [Grant.read(*grant) for grant in grants]
        return made

    def save(self) -> None:
        """Write the whole file anew in the old one's place."""
        tree: dict[str, Any] = {
            "format": FORMAT,
            "version": VERSION,
            "lock": dict(self._lock),
            "epoch": self.epoch,
            "host": {
                "public": self.host.public.hex(),
                "private": self.vault.seal(self.host.private, "host key").hex(),
            },
            "owner": None,
            "delegations": [{"owner": g.owner.hex(), "delegation": g.data.hex()} for g in self.grants],
        }
        if self.owner is not None and self._signing is not None:
            sealed = self.vault.seal(self._signing, "owner key").hex()
            tree["owner"] = {"public": self.owner.public.hex(), "private": sealed}
        try:
            private_files.write(self.path, json.dumps(tree, indent=1).encode() + b"\n")
        except OSError as error:
            why = error.strerror or "it cannot be written"
            raise OwnerError(f"{self.path}: not saved", why, "The old file, if any, is as it was.") from None

    # -- rights -------------------------------------------------------------------------------------------------------

    @property
    def owner_public(self) -> bytes:
        """The key that a claim hands to a node: this owner's, or that of the owner who has delegated to us."""
        if self.owner is not None:
            return self.owner.public
        owners = {grant.owner for grant in self.grants}
        if len(owners) != 1:
            raise OwnerError(
                "it is not known for whom to claim",
                "no owner has delegated to this host" if not owners else "several owners have",
                "Take the delegation in with `citymote owner accept`.",
            )
        return owners.pop()

    @property
    def who(self) -> str:
        """Who acts, for the audit log: the id of this host's key."""
        return key_id(self.host.public)

    def signer(self) -> OwnerKey:
        """The signing key, or OwnerError where it is not here."""
        if self.owner is None:
            raise OwnerError(
                "this needs the owner's signing key", f"{self.path} has none", "Do it where the owner's store is."
            )
        return self.owner

    def delegation(self, node: str, *, where: str | None = None, nonce: bytes | None = None) -> bytes:
        """What this host shows a node to get its rights: made on the spot, or the best that was handed over.

        `where` is the node's site, `nonce` what the node gave out: a delegation made on the spot is bound to it.
        """
        if self.owner is not None:
            expires = datetime.now(UTC) + timedelta(days=OWN_DAYS)
            return delegate(
                self.owner, self.host.public, "owner", [node], epoch=self.epoch, expires=expires, nonce=nonce
            )
        now = datetime.now(UTC)
        fitting = [grant for grant in self.grants if grant.is_for(node, where)]
        valid = [grant for grant in fitting if grant.expires > now]
        if not valid:
            why = "the one that was handed over has expired" if fitting else "none that was handed over names it"
            raise OwnerError(
                f"node {node}: no delegation for it", why, "Ask the owner for one: `citymote owner delegate`."
            )
        best = min(valid, key=lambda g: (delegation.ROLES.index(g.role), -g.epoch, -g.expires.timestamp()))
        return best.data

    def delegate(
        self, key: bytes, role: str, audience: Sequence[str], *, days: float, not_before: datetime | None = None
    ) -> Grant:
        """A delegation for somebody else's host key (compressed, 33 bytes), for so many days."""
        if not 0 < days <= 3660:
            raise UsageError("a delegation is for up to ten years", "", "Give --days.")
        signer = self.signer()
        expires = datetime.now(UTC) + timedelta(days=days)
        try:
            public = _crypto.compressed(key)
            data = delegate(signer, public, role, audience, epoch=self.epoch, expires=expires, not_before=not_before)
        except ValueError as error:
            raise UsageError("this delegation cannot be made", str(error)) from None
        return Grant.read(signer.public, data)

    def accept(self, grant: Grant) -> None:
        """Keep a delegation that is for this host."""
        if grant.x != self.host.public[1:]:
            raise OwnerError("this delegation is for another host", "", f"Ours is {self.host.public.hex()}.")
        now = datetime.now(UTC)
        kept = [old for old in self.grants if old.expires > now and old.data != grant.data]
        if len(kept) >= _DELEGATIONS:
            raise OwnerError("there are too many delegations", f"{_DELEGATIONS} at most")
        self.grants = [*kept, grant]

    def raise_epoch(self) -> int:
        """Revoke all that was delegated so far: nodes have to be told (`Node.raise_epoch`)."""
        self.signer()
        self.epoch += 1
        return self.epoch
