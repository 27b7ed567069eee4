"""The node's crypto provider: AES and SHA-256 of the MicroPython image, random bytes of the HAL.

See `citymote_protocol.crypto` for the contract. The random function is injected (`hal.random`), because it refuses
while no radio has fed the chip's generator, and because tests bring their own.
"""

from hashlib import sha256

from cryptolib import aes

from citymote_protocol.crypto import Crypto

_ECB = 1


class NodeCrypto(Crypto):
    def __init__(self, random):
        self.random = random
        self.sha256 = sha256

    def aes_block(self, key):
        encrypt = aes(key, _ECB).encrypt

        def block(buffer):
            encrypt(buffer, buffer)

        return block
