"""What every crypto provider can do: the pure code of this package, over the three things that a provider supplies.

Each function here is a method of providers (`crypto` says how), which are the first argument. The curve is loaded
apart from the rest, for it is the largest.
"""

from . import hkdf


def hmac(crypto, key, *parts):
    return hkdf.hmac(crypto.sha256, key, *parts)


def hkdf_extract(crypto, salt, secret):
    return hkdf.extract(crypto.sha256, salt, secret)


def hkdf_expand(crypto, prk, info, length):
    return hkdf.expand(crypto.sha256, prk, info, length)


def ccm_seal(crypto, key, nonce, plaintext, aad, tag):
    from . import aesccm

    return aesccm.seal(crypto.aes_block(key), nonce, plaintext, aad, tag)


def ccm_open(crypto, key, nonce, ciphertext, aad, tag):
    """Plaintext, or aesccm.TagError."""
    from . import aesccm

    return aesccm.open_(crypto.aes_block(key), nonce, ciphertext, aad, tag)


def key_pair_steps(crypto):
    """Generator; returns (32-byte private key, compressed public key)."""
    from . import p256

    return p256.key_pair_steps(crypto.random)


def public_steps(crypto, private):
    """Generator; returns the compressed public key."""
    from . import p256

    return p256.public_steps(private, crypto.random)


def ecdh_steps(crypto, private, public):
    """Generator; returns the 32-byte secret of a long-term private key and a peer's public key."""
    from . import p256

    return p256.ecdh_steps(private, public, crypto.random)
