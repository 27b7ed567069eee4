"""The cryptographic primitives that this package is given, not has: one small provider object.

A provider is a subclass of `Crypto` that supplies three things:

    sha256(data=b"")   a hash object with update() and digest(), like hashlib's
    aes_block(key)     a function that encrypts one 16-byte bytearray in place with AES (ECB of one block)
    random(n)          n bytes of cryptographic quality, or OSError while the machine has no entropy

Everything else is built from them in `primitives` and may be overridden by something faster that gives the same bytes:
the host does (package `cryptography`), the node (`node.crypto`) does not need to. Providers hold no keys.
"""


class Crypto:
    """All functions of `primitives` are its methods; a node has them in memory only while it uses them."""

    def __getattr__(self, name):
        from . import primitives

        function = getattr(primitives, name)
        return lambda *arguments: function(self, *arguments)
