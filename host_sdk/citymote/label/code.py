"""What a label says: the payload of its QR code and the short code for people (SPEC, chapter 11). No pictures here.

The payload is "CM1:" and 84 symbols of Crockford's base 32: compressed public key, claim secret, CRC-24 (RFC 9580,
6.1). The short code is the node id in the same alphabet with Crockford's check symbol. Both are forgiving where a
person types (small letters, O for 0, I or L for 1, spaces and hyphens) and strict in everything else: a wrong symbol
is never read as another label.
"""

from __future__ import annotations

from dataclasses import dataclass

from citymote import keys
from citymote.errors import CitymoteError
from citymote_protocol.p256 import CurveError

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32: no I, L, O, U."""
CHECK = ALPHABET + "*~$=U"
"""His check symbols: the value modulo 37, a prime, so that no wrong digit and no exchange of two goes unnoticed."""
PREFIX = "CM1:"
PUBLIC, SECRET = 33, 16
_CRC = 3
_SYMBOLS = 84  # for 52 bytes: four bits are left over, zero
_DIGITS = 10  # for 6 bytes: two bits are left over, zero
_ALIKE = str.maketrans({"O": "0", "I": "1", "L": "1"})
_SEPARATORS = str.maketrans("", "", " -\t\r\n\u00a0\u2010\u2011")


class LabelError(CitymoteError):
    """A text that is no label. The text itself is not repeated: it may be most of a secret."""


def crc24(data: bytes) -> int:
    """CRC-24 as OpenPGP has it (RFC 9580, 6.1): every burst of up to 24 bits is caught, so every wrong symbol."""
    crc = 0xB704CE
    for byte in data:
        crc ^= byte << 16
        for _ in range(8):
            crc <<= 1
            if crc & 0x1000000:
                crc ^= 0x1864CFB
    return crc & 0xFFFFFF


@dataclass(frozen=True)
class Label:
    """A node's public key (33 bytes, compressed) and its claim secret (16 bytes)."""

    public: bytes
    secret: bytes

    def __post_init__(self) -> None:
        if len(self.public) != PUBLIC or len(self.secret) != SECRET:
            raise LabelError("a label has a public key of 33 bytes and a claim secret of 16")
        try:
            keys.node_id(self.public)
        except CurveError:
            raise LabelError("this is no label of a node", "its public key is no point of P-256") from None

    def __repr__(self) -> str:
        return f"Label({self.node})"

    @property
    def node(self) -> str:
        """The node's id, 12 hexadecimal digits: what the public key hashes to."""
        return keys.node_id(self.public).hex()

    @property
    def short_code(self) -> str:
        """The node's id for people, with a check symbol."""
        return short_code(self.node)

    def text(self) -> str:
        """What the QR code says. Whoever knows it can claim the node as long as nobody owns it."""
        data = self.public + self.secret
        data += crc24(PREFIX[:3].encode() + data).to_bytes(_CRC, "big")
        return PREFIX + _symbols(int.from_bytes(data, "big") << 4, _SYMBOLS)

    @classmethod
    def parse(cls, text: str) -> Label:
        """The label that a QR code says, or that somebody typed."""
        plain = text.upper().translate(_SEPARATORS)
        if not plain.startswith(PREFIX):
            raise LabelError(
                "this is no citymote label", f"a label begins with {PREFIX}", "Scan the QR code of the node's label."
            )
        digits = plain.removeprefix(PREFIX).translate(_ALIKE)
        if len(digits) != _SYMBOLS:
            raise LabelError(f"this label has {len(digits)} symbols", f"{_SYMBOLS} are expected", _SCAN)
        value = _value(digits)
        data = (value >> 4).to_bytes(PUBLIC + SECRET + _CRC, "big")
        body, crc = data[:-_CRC], int.from_bytes(data[-_CRC:], "big")
        if value & 15 or crc24(PREFIX[:3].encode() + body) != crc:
            raise LabelError("this label is misread", "its checksum is wrong", _SCAN)
        return cls(body[:PUBLIC], body[PUBLIC:])


_SCAN = "Scan it again, or compare it symbol by symbol."


def is_payload(text: str) -> bool:
    """Whether a text looks like a label's payload, right or wrong: then it must not be shown."""
    return text.upper().translate(_SEPARATORS).startswith(PREFIX)


def short_code(node: str) -> str:
    """A node id (12 hexadecimal digits) as people read and type it: XXXXX-XXXXX-C."""
    value = int(node, 16)
    digits = _symbols(value, _DIGITS)
    return f"{digits[:5]}-{digits[5:]}-{CHECK[value % len(CHECK)]}"


def node_of_short_code(text: str) -> str:
    """The node id that a short code says; LabelError where it is mistyped."""
    plain = text.upper().translate(_SEPARATORS)
    if len(plain) != _DIGITS + 1:
        raise LabelError(f"{text!r} is no short code", f"it has {_DIGITS + 1} symbols, as 014D2-PF2DB-A")
    digits, check = plain[:-1].translate(_ALIKE), plain[-1]
    value = _value(digits)
    # U is a check symbol, O, I and L are none: they are what they look like
    if value >> 48 or CHECK.find(check.translate(_ALIKE)) != value % len(CHECK):
        raise LabelError(f"{text!r} is mistyped", "its check symbol is wrong", "Compare it with the label.")
    return f"{value:012x}"


def _symbols(value: int, count: int) -> str:
    return "".join(ALPHABET[value >> shift & 31] for shift in range(5 * (count - 1), -1, -5))


def _value(digits: str) -> int:
    value = 0
    for digit in digits:
        index = ALPHABET.find(digit)
        if index < 0:
            raise LabelError(f"{digit!r} is no symbol of a label", "digits and letters are, but for U", _SCAN)
        value = value << 5 | index
    return value
