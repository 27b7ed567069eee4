"""Bytes of frames written by hand, for vectors of what no encoder of ours writes: the heads of CBOR, and a bit stream.

Bad inputs must not hang on the code that they test, so what the protocol's own encoder does is written here once more.
"""


NODE = "010203040506"


def head(major: int, number: int) -> bytes:
    """A shortest CBOR head, written here once more so that the bad inputs do not hang on the code they test."""
    if number < 24:
        return bytes([major << 5 | number])
    for info, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 1 << 8 * size:
            return bytes([major << 5 | info]) + number.to_bytes(size, "big")
    raise ValueError(number)


def num(value: int) -> bytes:
    return head(0, value) if value >= 0 else head(1, -1 - value)


def arr(*items: bytes) -> bytes:
    return head(4, len(items)) + b"".join(items)


def dic(*pairs: tuple[int, bytes]) -> bytes:
    return head(5, len(pairs)) + b"".join(num(key) + value for key, value in pairs)


def bstr(data: bytes) -> bytes:
    return head(2, len(data)) + data


def tstr(text: str) -> bytes:
    return head(3, len(text.encode())) + text.encode()


def bits(*fields: tuple[int, int] | str) -> bytes:
    """A bit stream from (value, size) pairs and texts of bits, padded with zeros."""
    text = "".join(field if isinstance(field, str) else f"{field[0]:0{field[1]}b}" for field in fields)
    text += "0" * (-len(text) % 8)
    return bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8))
