"""Echo values (RFC 9175, section 2; SPEC 12.6): proof that a request is fresh, or that its sender has its address.

A value is the second in which it was made and a MAC over it and whom it was made for, so nothing is stored a request.
The key is drawn when the server starts: a value from before a restart is not fresh.
"""

from .hkdf import same

LIFE = 60  # s; a block-wise request over a slow link repeats its Echo with each block
_SIZE = 8  # bytes of MAC


class Echo:
    def __init__(self, crypto):
        self._crypto = crypto
        self._key = crypto.random(32)

    def _value(self, who, second):
        stamp = second.to_bytes(4, "big")
        return stamp + self._crypto.hmac(self._key, stamp, who)[:_SIZE]

    def value(self, who, now):
        """A value for `who` (bytes that name a context or an address)."""
        return self._value(who, now // 1000)

    def fresh(self, value, who, now):
        """Whether this is a value that we gave to `who` within its life."""
        if value is None or len(value) != 4 + _SIZE:
            return False
        second = int.from_bytes(value[:4], "big")
        return same(value, self._value(who, second)) and 0 <= now // 1000 - second <= LIFE
