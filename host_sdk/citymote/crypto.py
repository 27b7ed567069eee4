"""The host's crypto provider: package `cryptography` (OpenSSL) behind the contract of `citymote_protocol.crypto`.

It gives the same bytes as the pure code that the node runs, at OpenSSL's speed: AES-CCM, ECDH and key pairs come from
there. Frames reach `cryptography` through this module alone. Secrets stay out of every message raised here.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable, Generator

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from citymote_protocol.aesccm import TagError
from citymote_protocol.crypto import Crypto
from citymote_protocol.p256 import CurveError

Steps = Generator[None, None, bytes]

_CURVE = ec.SECP256R1()


def _private(private: bytes) -> ec.EllipticCurvePrivateKey:
    if len(private) != 32:
        raise CurveError("private_length", "a P-256 private key has 32 bytes")
    try:
        return ec.derive_private_key(int.from_bytes(private, "big"), _CURVE)
    except ValueError:
        # Not chained: what the library says about the value is none of a log's business.
        raise CurveError("private_range", "a P-256 private key lies between 1 and the order less 1") from None


def _point(public: bytes) -> ec.EllipticCurvePublicKey:
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, bytes(public))
    except ValueError:
        raise CurveError("point_off_curve", "the public key is not a point of P-256") from None


def sign(private: bytes, digest: bytes) -> bytes:
    """ESP256: r || s of a SHA-256 digest. Only hosts sign; a node verifies (`citymote_protocol.p256`)."""
    der = _private(private).sign(digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
    r, s = utils.decode_dss_signature(der)
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def gcm_seal(key: bytes, nonce: bytes, plaintext: bytes, aad: bytes) -> bytes:
    """AES-GCM with a tag of 16 bytes: for what this host keeps on its own disk."""
    return AESGCM(key).encrypt(nonce, plaintext, aad)


def gcm_open(key: bytes, nonce: bytes, ciphertext: bytes, aad: bytes) -> bytes:
    """The plaintext; TagError where key, nonce, ciphertext or aad is another."""
    try:
        return AESGCM(key).decrypt(nonce, ciphertext, aad)
    except InvalidTag:
        raise TagError("the tag does not match") from None


def new_pem(passphrase: bytes) -> tuple[bytes, bytes]:
    """A new private key as encrypted PEM (PKCS#8), and its compressed public key."""
    made = ec.generate_private_key(_CURVE)
    pem = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase))
    return pem, _compressed(made.public_key())


def private_of_pem(data: bytes, passphrase: bytes) -> bytes:
    """The 32 bytes of a P-256 private key in encrypted PEM; ValueError, with nothing of it, where it does not open."""
    try:
        found = load_pem_private_key(data, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("the key does not open") from None
    if not isinstance(found, ec.EllipticCurvePrivateKey) or found.curve.name != _CURVE.name:
        raise ValueError("the key is not of P-256")
    return found.private_numbers().private_value.to_bytes(32, "big")


def pair_of_der(signature: bytes) -> bytes:
    """r || s of an ECDSA signature of P-256 in DER; ValueError where it is none."""
    try:
        r, s = utils.decode_dss_signature(signature)
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")
    except (ValueError, OverflowError):
        raise ValueError("no signature of P-256 in DER") from None


def public_key(private: bytes) -> bytes:
    """The compressed public key of a private key."""
    return _compressed(_private(private).public_key())


def _compressed(public: ec.EllipticCurvePublicKey) -> bytes:
    return public.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)


class HostCrypto(Crypto):
    """OpenSSL's primitives. `random` can be replaced, so that a simulation or a vector can be made again."""

    def __init__(self, random: Callable[[int], bytes] = os.urandom) -> None:
        self.random = random
        self.sha256 = hashlib.sha256

    def hmac(self, key: bytes, *parts: bytes) -> bytes:
        return hmac.digest(key, b"".join(parts), "sha256")

    def hkdf_extract(self, salt: bytes, secret: bytes) -> bytes:
        return hmac.digest(salt or bytes(32), secret, "sha256")

    def hkdf_expand(self, prk: bytes, info: bytes, length: int) -> bytes:
        out = block = b""
        for i in range(1, (length + 31) // 32 + 1):
            block = hmac.digest(prk, block + info + bytes((i,)), "sha256")
            out += block
        return out[:length]

    def aes_block(self, key: bytes) -> Callable[[bytearray], None]:
        # ECB of single blocks is what CCM is made of; nothing is ever encrypted in this mode itself.
        encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305

        def block(buffer: bytearray) -> None:
            buffer[:] = encryptor.update(bytes(buffer))

        return block

    def ccm_seal(self, key: bytes, nonce: bytes, plaintext: bytes, aad: bytes, tag: int) -> bytes:
        return AESCCM(key, tag).encrypt(nonce, plaintext, aad)

    def ccm_open(self, key: bytes, nonce: bytes, ciphertext: bytes, aad: bytes, tag: int) -> bytes:
        try:
            return AESCCM(key, tag).decrypt(nonce, ciphertext, aad)
        except InvalidTag:
            raise TagError("the tag does not match") from None

    def key_pair_steps(self) -> Generator[None, None, tuple[bytes, bytes]]:
        for _ in range(16):
            private = self.random(32)
            try:
                public = yield from self.public_steps(private)
            except CurveError:
                continue  # out of range, once in 2^32 draws
            if len(set(private)) > 1:
                return private, public
        raise CurveError("no_entropy", "the random source gives no usable key")

    def public_steps(self, private: bytes) -> Steps:
        yield
        return _compressed(_private(private).public_key())

    def ecdh_steps(self, private: bytes, public: bytes) -> Steps:
        yield
        return _private(private).exchange(ec.ECDH(), _point(public))

    def compressed(self, public: bytes) -> bytes:
        """A public key in its compressed form, known to be on the curve; CurveError otherwise."""
        return _compressed(_point(public))
