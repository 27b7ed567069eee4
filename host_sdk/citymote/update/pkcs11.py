"""Signs with a key in a PKCS#11 token or HSM, through the library of its maker; the package python-pkcs11 calls it.

    pkcs11:token=city;object=release?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=/run/pin

The URI is RFC 7512's: `token` or `serial`, `object` or `id` choose the key. The PIN is asked for or read from the file
of `pin-source`; `pin-value` is refused, because a process list would show it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

from citymote import private_files
from citymote.crypto import HostCrypto
from citymote.errors import UsageError, need
from citymote.vault import Ask

_MODULE = "PKCS11_MODULE"
_HINT = "Write pkcs11:token=NAME;object=NAME?module-path=/path/of/the/library.so"


def open_key(uri: str, ask: Ask) -> tuple[bytes, Callable[[bytes], bytes]]:
    """(compressed public key, what signs a SHA-256 digest); each signature is a session of its own."""
    from .signing import SigningError

    library: Any = need("pkcs11", "pkcs11", "a key in a token")
    path, query = _parsed(uri)
    module = query.get("module-path") or os.environ.get(_MODULE)
    if not module:
        raise UsageError("the token's library is not named", "", f"{_HINT}, or set {_MODULE}.")
    pin = _pin(query, ask)

    def with_key(what: Callable[[Any, Any], bytes]) -> bytes:
        try:
            token = library.lib(module).get_token(
                token_label=path.get("token"), token_serial=path.get("serial", "").encode() or None
            )
            with token.open(user_pin=pin) as session:
                chosen: dict[str, Any] = {"label": path.get("object")}
                if "id" in path:
                    chosen["id"] = unquote_to_bytes(path["id"])
                return what(session, chosen)
        except library.PKCS11Error as error:
            why = type(error).__name__
        except (RuntimeError, OSError) as error:
            why = str(error)
        raise SigningError(f"the token {path.get('token') or path.get('serial')} does not answer as it should", why)

    def public(session: Any, chosen: dict[str, Any]) -> bytes:
        key = session.get_key(object_class=library.ObjectClass.PUBLIC_KEY, key_type=library.KeyType.EC, **chosen)
        point = bytes(key[library.Attribute.EC_POINT])
        # An OCTET STRING around the point, as the standard has it; some libraries leave it out.
        return point[2:] if point[:2] == b"\x04\x41" else point

    def sign(digest: bytes) -> bytes:
        def run(session: Any, chosen: dict[str, Any]) -> bytes:
            key = session.get_key(object_class=library.ObjectClass.PRIVATE_KEY, key_type=library.KeyType.EC, **chosen)
            return bytes(key.sign(digest, mechanism=library.Mechanism.ECDSA))

        return with_key(run)

    try:
        compressed = HostCrypto().compressed(with_key(public))
    except ValueError:
        raise SigningError("the token's key is not of P-256") from None
    return compressed, sign


def _parsed(uri: str) -> tuple[dict[str, str], dict[str, str]]:
    path, _, query = uri.removeprefix("pkcs11:").partition("?")
    found = [_pairs(path, ";"), _pairs(query, "&")]
    if "pin-value" in found[0] or "pin-value" in found[1]:
        raise UsageError(
            "a PIN has no place in a command", "every process list shows it", "Use pin-source, or be asked."
        )
    if not {"token", "serial"} & found[0].keys() or not {"object", "id"} & found[0].keys():
        raise UsageError("this names no key in a token", "", f"{_HINT}.")
    return found[0], found[1]


def _pairs(text: str, separator: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in text.split(separator) if part]
    return {name: value if name == "id" else unquote(value) for name, _, value in pairs}


def _pin(query: dict[str, str], ask: Ask) -> str:
    source = query.get("pin-source", "").removeprefix("file:")
    if not source:
        return ask(False)
    from .signing import SigningError

    try:
        return private_files.read(Path(source), 256).decode().splitlines()[0]
    except private_files.NotPrivate as error:
        raise SigningError(f"the PIN in {source} is not used", str(error), f"chmod 600 {source}") from None
    except (OSError, UnicodeDecodeError, IndexError):
        raise SigningError(f"there is no PIN in {source}") from None
