"""The cryptographic primitives that this package is given, not has: one small provider object.

A provider is a subclass of `Crypto` that supplies three things:

    sha256(data=b"")   a hash object with update() and digest(), like hashlib's
    aes_block(key)     a function that encrypts one 16-byte bytearray in place with AES (ECB of one block)
    random(n)          n bytes of cryptographic quality, or OSError while the machine has no entropy

Everything else here is built from them and may be overridden by something faster that gives the same bytes: the host
does (package `cryptography`), the node (`node.crypto`) does not need to. Providers hold no keys.
"""

from . import aesccm, hkdf


class Crypto:
    def hmac(self, key, *parts):
        return hkdf.hmac(self.sha256, key, *parts)

    def hkdf_extract(self, salt, secret):
        return hkdf.extract(self.sha256, salt, secret)

    def hkdf_expand(self, prk, info, length):
        return hkdf.expand(self.sha256, prk, info, length)

    def ccm_seal(self, key, nonce, plaintext, aad, tag):
        return aesccm.seal(self.aes_block(key), nonce, plaintext, aad, tag)

    def ccm_open(self, key, nonce, ciphertext, aad, tag):
        """Plaintext, or aesccm.TagError."""
        return aesccm.open_(self.aes_block(key), nonce, ciphertext, aad, tag)

    def key_pair_steps(self):
        """Generator; returns (32-byte private key, compressed public key)."""
        from . import p256

        return p256.key_pair_steps(self.random)

    def public_steps(self, private):
        """Generator; returns the compressed public key."""
        from . import p256

        return p256.public_steps(private, self.random)

    def ecdh_steps(self, private, public):
        """Generator; returns the 32-byte secret of a long-term private key and a peer's public key."""
        from . import p256

        return p256.ecdh_steps(private, public, self.random)
