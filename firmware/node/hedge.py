"""Random bytes that are good if either the chip's generator or the node's secret state is.

Apart from `identity`, which makes it, because it lives on in the hands of whoever seals, and identity should not.
"""


class Hedge:
    """Random bytes from the chip's generator and a secret state: either being good is enough.

    Each draw mixes 32 fresh bytes of the generator, so a state restored from a flash image repeats nothing; while the
    generator refuses (OSError), so does this.
    """

    def __init__(self, crypto, seed):
        self._crypto = crypto  # asked anew at each draw, so that HKDF is not kept loaded
        self._draw = crypto.random
        self._state = seed

    def random(self, count):
        crypto = self._crypto
        fresh = self._draw(32)
        out = crypto.hkdf_expand(crypto.hmac(self._state, b"draw", fresh), b"citymote random", count)
        self._state = crypto.hmac(self._state, b"next", fresh)
        return out
