"""The keys of an OSCORE context from a master secret (RFC 8613, section 3.2): needed once a session, then forgotten."""

from .cbor_bytes import byte_string
from .oscore import Context


def info(key_id, id_context, kind, length):
    """The `info` of section 3.2.1: [id, id_context, alg_aead, type, L] for AES-CCM-16-64-128."""
    about = b"\xf6" if id_context is None else byte_string(id_context)
    return b"\x85" + byte_string(key_id) + about + b"\x0a" + kind + bytes((length,))


def derive(crypto, secret, salt, sender_id, recipient_id, id_context=None):
    """A fresh Context."""
    prk = crypto.hkdf_extract(salt, secret)
    key = b"\x63Key"
    return Context(
        sender_id,
        recipient_id,
        crypto.hkdf_expand(prk, info(sender_id, id_context, key, 16), 16),
        crypto.hkdf_expand(prk, info(recipient_id, id_context, key, 16), 16),
        crypto.hkdf_expand(prk, info(b"", id_context, b"\x62IV", 13), 13),
        id_context,
    )
