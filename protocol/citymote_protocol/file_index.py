"""The image of an update: the list of an application's files, as a CBOR sequence (SPEC 14.2).

One entry a file, sorted by name: [name, size, packed, SHA-256]. It is read entry by entry from wherever it lies, so
that a node never has the whole list on its heap. The signature over its digest is the manifest's matter; what an entry
may say is checked here, because a name becomes a path on the node. Shared by node and host.
"""

from .errors import ProtocolError

LONGEST_NAME = 64
LARGEST_FILE = 1 << 20
MOST_FILES = 256
RESERVED = ("index", "whole", "unpacked")  # the installer's own, at the top of a slot

_PLAIN = "abcdefghijklmnopqrstuvwxyz0123456789_"


def check_name(name):
    """The name if it is a path that may be written below a slot: parts of a-z, 0-9 and _, with one ending."""
    if not 0 < len(name) <= LONGEST_NAME or name in RESERVED:
        raise ProtocolError("index", "a file's name is empty, too long or reserved")
    for part in name.split("/"):
        stem, _, ending = part.partition(".")
        if not stem or (_ and not ending):
            raise ProtocolError("index", "a file's name has an empty part")
        for c in stem + ending:
            if c not in _PLAIN:
                raise ProtocolError("index", "a file's name has a character that is not allowed")
    return name


def _head(read, major):
    # One CBOR head of the given major type, its argument below 2^32 and in its shortest form.
    first = read(1)
    if len(first) != 1 or first[0] >> 5 != major:
        raise ProtocolError("index", "an entry is not [name, size, packed, digest]")
    info = first[0] & 31
    if info < 24:
        return info
    if info > 26:
        raise ProtocolError("index", "a number is too large")
    size = 1 << (info - 24)
    data = read(size)
    value = int.from_bytes(data, "big")
    if len(data) != size or value < (24, 256, 65536)[info - 24]:
        raise ProtocolError("index", "a number is cut short or not in its shortest form")
    return value


def _bytes(read, major, most):
    size = _head(read, major)
    if size > most:
        raise ProtocolError("index", "a text is too long")
    data = read(size)
    if len(data) != size:
        raise ProtocolError("index", "an entry is cut short")
    return data


def entries(read, total):
    """(name, size, packed, digest) of each file; `read(n)` gives the next at most n bytes of `total`.

    `size` is the file's; `packed` the length of the raw deflate stream fetched for it, 0 where it comes as it is.
    ProtocolError("index") where the list is not exactly as SPEC 14.2 has it.
    """
    position = [0]

    def counted(n):
        data = read(n)
        position[0] += len(data)
        return data

    last = ""
    count = 0
    while position[0] < total:
        count += 1
        if count > MOST_FILES:
            raise ProtocolError("index", "too many files")
        if _head(counted, 4) != 4:
            raise ProtocolError("index", "an entry is not [name, size, packed, digest]")
        try:
            name = check_name(str(_bytes(counted, 3, LONGEST_NAME), "utf-8"))
        except UnicodeError:
            raise ProtocolError("index", "a file's name is no text")
        if name <= last:
            raise ProtocolError("index", "files are not sorted by name, each once")
        last = name
        size = _head(counted, 0)
        packed = _head(counted, 0)
        if size > LARGEST_FILE or packed and packed >= size:
            raise ProtocolError("index", "a file is too large, or larger packed than plain")
        digest = _bytes(counted, 2, 32)
        if len(digest) != 32:
            raise ProtocolError("index", "a digest is not 32 bytes")
        yield name, size, packed, digest
    if not count:
        raise ProtocolError("index", "no files")


def _encoded(major, value):
    if value < 24:
        return bytes((major << 5 | value,))
    for info, size in ((24, 1), (25, 2), (26, 4)):
        if value < 1 << 8 * size:
            return bytes((major << 5 | info,)) + value.to_bytes(size, "big")
    raise ProtocolError("index", "a number is too large")


def entry(name, size, packed, digest):
    """One entry, encoded."""
    text = check_name(name).encode()
    return (
        b"\x84" + _encoded(3, len(text)) + text + _encoded(0, size) + _encoded(0, packed) + b"\x58\x20" + bytes(digest)
    )
