"""A hash-based signing key on disk, which never signs twice with one leaf, whatever happens to this machine.

The number of the next signature is raised and synced to disk before a signature is made: a crash in between costs a
leaf, and never uses one twice. A file restored from a backup would, so the signer asks for a record of what has been
published, kept in another place, and refuses to go behind the highest leaf in it. Two programs on one key take turns
(flock). The seed is sealed by a passphrase or the system's keyring (citymote.vault); NIST SP 800-208 has the reasons,
and asks for a hardware module where an approval counts.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from citymote import private_files
from citymote.errors import CitymoteError, UsageError
from citymote.vault import Ask, LockedError, Vault, ask_passphrase

from . import lms
from .keyring import key_id

FORMAT, VERSION = "citymote-hss", 1
_MOST = 1 << 20
LONGEST_SIGNATURE = 4096
"""Bytes that a node reads of one."""


class HssError(CitymoteError):
    """A hash-based key that cannot or must not sign."""


@dataclass(frozen=True)
class Record:
    """What has been published under hash-based keys: a line a signature, synced, only ever appended."""

    path: Path

    def highest(self, kid: str) -> int | None:
        """The highest signature number that was ever published under a key; None: none."""
        found: int | None = None
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise HssError(f"the record {self.path} cannot be read", str(error)) from None
        for line in lines:
            key, _, number = line.partition(" ")
            if key == kid and number.isascii() and number.isdecimal():
                found = max(found or 0, int(number))
        return found

    def append(self, kid: str, number: int) -> None:
        """Add a signature that is about to leave this machine; durable on return."""
        self._write(f"\n{kid} {number}\n")

    def begin(self) -> None:
        """Be there, empty."""
        self._write("")

    def _write(self, text: str) -> None:
        try:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                os.write(handle, text.encode())
                os.fsync(handle)
            finally:
                os.close(handle)
            private_files.sync_folder(self.path.parent)
        except OSError as error:
            why = error.strerror or str(error)
            raise HssError(f"the record {self.path} cannot be written", why, "Nothing was signed.") from None


class HssKey:
    """A key file. `public` has 60 bytes, `kid` is the key's name in an envelope; `left` signatures remain."""

    def __init__(self, path: Path, record: Record, ask: Ask = ask_passphrase) -> None:
        self.path = path
        self.record = record
        tree = _load(path)
        self.levels: tuple[int, ...] = tuple(tree["levels"])
        self.public = bytes.fromhex(tree["public"])
        self.kid = key_id(self.public)
        self._top = _top(tree, Vault.unlock(tree["lock"], ask))
        self._leaves: dict[bytes, list[bytes]] = {}

    def __repr__(self) -> str:
        return f"HssKey({self.kid.hex()})"

    @property
    def left(self) -> int:
        """How many signatures the key can still make."""
        return (1 << sum(self.levels)) - int(_load(self.path)["next"])

    def sign(self, message: bytes) -> bytes:
        """One signature, checked; the leaf is spent before it is used, and recorded as published before it is given."""
        number = self._reserve()
        trees, _ = lms.path_of(self._top, self.levels, number)
        for tree in trees:
            if tree.identifier not in self._leaves:
                self._leaves[tree.identifier] = _leaves(self.path, tree)
        signature = lms.sign_hss(self._top, self.levels, self._leaves, number, message)
        if not lms.verify(self.public, message, signature):
            cache = _cache(self.path, trees[-1])
            raise HssError(f"{self.path} makes signatures that do not hold", "", f"Remove {cache} and try again.")
        self.record.append(self.kid.hex(), number)
        return signature

    def _reserve(self) -> int:
        with _locked(self.path):
            tree = _load(self.path)
            number, kid = int(tree["next"]), self.kid.hex()
            highest = self.record.highest(kid)
            if number == 0:
                self.record.begin()
            elif not self.record.path.exists():
                why = f"it has signed before, and the record {self.record.path} is not there"
                raise HssError(f"{self.path} does not sign", why, "Name the record of what was published.")
            if highest is not None and number <= highest:
                why = f"its state says {number}, but signature {highest} has been published: the file is a copy of old"
                raise HssError(f"{self.path} does not sign", why, "Take the newest state, or make a new key.")
            if number >> sum(self.levels):
                raise HssError(f"{self.path} is used up", f"it has made all its {number} signatures", "Make a new key.")
            tree["next"] = number + 1
            private_files.write(self.path, _text(tree))
            return number


def create(path: Path, levels: Sequence[int] = (10,), ots: int = lms.W8, ask: Ask = ask_passphrase) -> bytes:
    """Make a key file with trees of these heights; its public key (60 bytes). An existing file is left alone."""
    if not 1 <= len(levels) <= 2 or not all(height in lms.heights()[:3] for height in levels):
        raise UsageError("a key has one or two levels of 5, 10 or 15")
    if path.exists():
        raise UsageError(f"{path}: not created", "there is a file already", "Choose another name.")
    vault, lock = Vault.create(ask)
    top = lms.Tree(levels[0], ots, secrets.token_bytes(lms.IDENTIFIER), secrets.token_bytes(lms.N))
    leaves = top.leaves()
    public = len(levels).to_bytes(4, "big") + top.public(leaves)
    tree = {
        "format": FORMAT, "version": VERSION, "levels": list(levels), "ots": ots, "public": public.hex(), "lock": lock,
        "identifier": top.identifier.hex(), "seed": vault.seal(top.seed, public.hex()).hex(), "next": 0,
    }  # fmt: skip
    try:
        _keep(path, top, leaves)
        private_files.write(path, _text(tree))
    except OSError as error:
        raise HssError(f"{path}: not created", error.strerror or str(error)) from None
    return public


def _text(tree: dict[str, Any]) -> bytes:
    return json.dumps(tree, indent=1).encode() + b"\n"


def _load(path: Path) -> dict[str, Any]:
    try:
        data = private_files.read(path, _MOST)
    except private_files.NotPrivate as error:
        raise HssError(f"{path}: not loaded", str(error), f"If nobody has read it: chmod 600 {path}") from None
    except OSError as error:
        raise HssError(f"{path}: not loaded", error.strerror or str(error)) from None
    try:
        tree = cast("dict[str, Any]", json.loads(data))
        levels, number = tree["levels"], tree["next"]
        good = tree["format"] == FORMAT and tree["version"] == VERSION and len(bytes.fromhex(tree["public"])) == 60
        good = good and 1 <= len(levels) <= 2 and all(height in lms.heights()[:3] for height in levels)
        good = good and isinstance(number, int) and number >= 0 and tree["ots"] in (lms.W4, lms.W8)
    except (ValueError, KeyError, TypeError, RecursionError):
        good, tree = False, {}
    if not good:
        raise HssError(f"{path} is no key file of this kind", "", "Make a new key; never restore an old one.")
    return tree


def _top(tree: dict[str, Any], vault: Vault) -> lms.Tree:
    try:
        seed = vault.open(bytes.fromhex(tree["seed"]), tree["public"])
        return lms.Tree(tree["levels"][0], tree["ots"], bytes.fromhex(tree["identifier"]), seed)
    except (KeyError, TypeError, ValueError):
        raise LockedError("the seed does not open", "the file is damaged") from None


def _cache(path: Path, tree: lms.Tree) -> Path:
    return path.with_name(f".{path.name}.{tree.identifier.hex()[:16]}")


def _keep(path: Path, tree: lms.Tree, leaves: Sequence[bytes]) -> None:
    # Hashes of leaves are public; they are kept because they take long to make, and checked by every signature.
    private_files.write(_cache(path, tree), b"".join(leaves))


def _leaves(path: Path, tree: lms.Tree) -> list[bytes]:
    try:
        data = _cache(path, tree).read_bytes()
    except OSError:
        data = b""
    if len(data) != lms.N << tree.height:
        leaves = tree.leaves()
        _keep(path, tree, leaves)
        return leaves
    return [data[at : at + lms.N] for at in range(0, len(data), lms.N)]


@contextlib.contextmanager
def _locked(path: Path) -> Generator[None]:
    handle = os.open(path.with_name(f".{path.name}.lock"), os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
