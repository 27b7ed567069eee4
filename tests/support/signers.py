"""Keys that tests sign releases with, always the same ones, and a small release for them to sign.

A key's secret is made from its number, so that a signature can be made again by another process. None of them is worth
anything: whatever they sign is made by the test itself.
"""

from __future__ import annotations

import hashlib

from citymote import crypto
from citymote.factory import slot
from citymote.update import bundle as bundles
from citymote.update import signing
from citymote.update.bundle import Bundle, Target
from citymote.update.keyring import Key
from citymote.update.version import Version

PASSPHRASE = "a lantern in the fog"
DIGEST = hashlib.sha256(b"what is signed").digest()


def ask(new: bool) -> str:
    del new
    return PASSPHRASE


def private(number: int) -> signing.SigningKey:
    secret = hashlib.sha256(bytes((number,))).digest()
    return signing.SigningKey(crypto.public_key(secret), lambda digest: crypto.sign(secret, digest))


ROOT, ONE, TWO, URGENT = (private(number) for number in range(4))


def key(of: signing.SigningKey, role: str = "release") -> Key:
    return Key(of.public, role)


def bundle(version: str = "1.4.2", *targets: str) -> Bundle:
    made: list[tuple[Target, list[slot.File]]] = []
    for name in targets or ("rv32imc", "xtensawin"):
        files = [slot.file("core.mpy", f"{version} {name}".encode() * 40)]
        made.append((Target(name, name, (), slot.index(files)), files))
    return bundles.pack(Version.parse(version), "1.26", made, sbom=b"{}")
