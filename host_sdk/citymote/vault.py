"""Secrets at rest: a vault seals small secrets under one random key, and a lock keeps that key.

A lock is a passphrase (scrypt, RFC 7914) or the operating system's keyring (package `keyring`). The passphrase is
asked for at the terminal, or comes from a file that the variable CITYMOTE_PASSPHRASE_FILE names; it is never an
argument, because every process list would show that. Sealing is AES-256-GCM (NIST SP 800-38D) with a random nonce of
96 bits, bound to the name of what is sealed, so that no sealed secret stands for another.
"""

from __future__ import annotations

import getpass
import hashlib
import hmac
import os
import secrets
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from citymote import crypto, private_files
from citymote.errors import CitymoteError, UsageError, need
from citymote_protocol.aesccm import TagError

VARIABLE = "CITYMOTE_PASSPHRASE_FILE"
COST = 1 << 17
"""scrypt's N with r = 8, p = 1: 128 MB and some tenths of a second for each guess."""
_MOST_COST = 1 << 20
_KEY, _NONCE, _SALT = 32, 12, 16
_LONGEST = 1024
_SERVICE = "citymote"

Ask = Callable[[bool], str]
"""Gives a passphrase; True asks for a new one, twice."""


class LockedError(CitymoteError):
    """A vault that does not open: the wrong passphrase, no keyring, or altered bytes. No secret is in the text."""


def ask_passphrase(new: bool) -> str:
    """The passphrase from the file that CITYMOTE_PASSPHRASE_FILE names, else from the terminal."""
    named = os.environ.get(VARIABLE)
    if named:
        return _first_line(Path(named))
    if not sys.stdin.isatty():
        raise LockedError("a passphrase is needed and there is nobody to ask", "", f"Name its file in {VARIABLE}.")
    first = getpass.getpass("Passphrase: ")
    if new and getpass.getpass("Once more: ") != first:
        raise UsageError("the two passphrases differ")
    return first


def _first_line(path: Path) -> str:
    try:
        data = private_files.read(path, _LONGEST)
    except private_files.NotPrivate as error:
        raise LockedError(f"the passphrase file {path} is not used", str(error), f"chmod 600 {path}") from None
    except OSError as error:
        raise LockedError(f"the passphrase file {path} cannot be read", error.strerror or "") from None
    try:
        return data.decode().splitlines()[0]
    except (UnicodeDecodeError, IndexError):
        raise LockedError(f"the passphrase file {path} has no text in its first line") from None


class Vault:
    """Seals and opens. `Vault.create` makes one and says how it is locked, `Vault.unlock` opens it again."""

    def __init__(self, key: bytes) -> None:
        if len(key) != _KEY:
            raise ValueError("a vault's key has 32 bytes")
        self._key = key

    def __repr__(self) -> str:
        return "Vault()"

    def seal(self, secret: bytes, name: str) -> bytes:
        """The secret, sealed under its name."""
        nonce = secrets.token_bytes(_NONCE)
        return nonce + crypto.gcm_seal(self._key, nonce, secret, name.encode())

    def open(self, sealed: bytes, name: str) -> bytes:
        """The secret again; LockedError where it was sealed by another vault, under another name, or altered."""
        try:
            return crypto.gcm_open(self._key, sealed[:_NONCE], sealed[_NONCE:], name.encode())
        except (TagError, ValueError):
            why = "it was sealed by another vault, or it is damaged"
            raise LockedError(f"{name}: does not open", why, "Use the owner store that belongs to it.") from None

    def fingerprint(self, data: bytes) -> str:
        """A name for data with secrets in it that tells nothing about them to who has not this vault."""
        key = hashlib.sha256(b"fingerprint" + self._key).digest()
        return hmac.digest(key, data, "sha256").hex()[:32]

    @classmethod
    def create(cls, ask: Ask = ask_passphrase, *, cost: int = COST) -> tuple[Vault, dict[str, Any]]:
        """A new vault locked with a passphrase, and its lock as JSON can hold it."""
        passphrase = ask(True)
        if len(passphrase) < 8:
            raise UsageError("this passphrase is too short", "it has fewer than 8 characters", "Take several words.")
        key, salt = secrets.token_bytes(_KEY), secrets.token_bytes(_SALT)
        wrapped = Vault(_stretch(passphrase, salt, cost)).seal(key, "vault")
        return cls(key), {"kind": "passphrase", "cost": cost, "salt": salt.hex(), "key": wrapped.hex()}

    @classmethod
    def create_in_keyring(cls) -> tuple[Vault, dict[str, Any]]:
        """A new vault whose key lies in the operating system's keyring."""
        key, name = secrets.token_bytes(_KEY), secrets.token_hex(8)
        keyring = _keyring()
        try:
            keyring.set_password(_SERVICE, name, key.hex())
        except Exception as error:  # noqa: BLE001 - each backend has its own, and what they say may be the secret
            raise _no_keyring(error) from None
        return cls(key), {"kind": "keyring", "name": name}

    @classmethod
    def unlock(cls, lock: Mapping[str, Any], ask: Ask = ask_passphrase) -> Vault:
        """The vault behind a lock."""
        if lock.get("kind") == "keyring":
            return cls(_from_keyring(str(lock.get("name"))))
        try:
            cost, salt, wrapped = int(lock["cost"]), bytes.fromhex(lock["salt"]), bytes.fromhex(lock["key"])
        except (KeyError, TypeError, ValueError):
            raise LockedError("the lock cannot be read", "the file is damaged", "Take it from a backup.") from None
        if lock.get("kind") != "passphrase" or cost > _MOST_COST or cost < 2 or cost & (cost - 1):
            raise LockedError("the lock cannot be read", "it is of a later version or damaged")
        try:
            return cls(Vault(_stretch(ask(False), salt, cost)).open(wrapped, "vault"))
        except LockedError as error:
            if error.what != "vault: does not open":
                raise
            raise LockedError("this is not the passphrase") from None


def _stretch(passphrase: str, salt: bytes, cost: int) -> bytes:
    memory = 128 * 8 * cost + (1 << 20)
    return hashlib.scrypt(passphrase.encode(), salt=salt, n=cost, r=8, p=1, maxmem=memory, dklen=_KEY)


def _keyring() -> Any:
    return cast("Any", need("keyring", "keyring", "keeping secrets in the system's keyring"))


def _no_keyring(error: Exception) -> LockedError:
    why = f"the system's keyring refuses ({type(error).__name__})"
    return LockedError("the keyring cannot be used", why, "Use a passphrase, or log in to the desktop.")


def _from_keyring(name: str) -> bytes:
    keyring = _keyring()
    try:
        found = keyring.get_password(_SERVICE, name)
    except Exception as error:  # noqa: BLE001
        raise _no_keyring(error) from None
    try:
        key = bytes.fromhex(found)
    except (TypeError, ValueError):
        key = b""
    if len(key) != _KEY:
        raise LockedError("the keyring has not the key", f"there is no {name} of {_SERVICE} in it", "Same user?")
    return key
