"""Small pieces of state that survive a power cut at any instant: whole old or whole new, never between.

Two ways, both with a CRC so that a damaged file is told from a good one. `save` writes beside and renames, on any
filesystem; it is for what changes seldom (settings, the clock's last time, the store's epoch). `Pair` writes the
older of two files in place and bears a counter; one commit of littlefs instead of three, for what changes with every
acknowledgement. A file that cannot be read is an absent one: the caller has a default for that.
"""

import os
import struct
from binascii import crc32

_TAIL = "<I"  # CRC-32 of everything before it
_PAIR = "<I"  # counter of the writes, before the content


def _read(path, most):
    try:
        size = os.stat(path)[6]  # asked first: a read of at most n bytes takes n bytes of heap
        if not 4 <= size <= most:
            return None
        with open(path, "rb") as f:
            data = f.read(size)
    except OSError:
        return None
    if len(data) != size:
        return None
    if struct.unpack(_TAIL, data[-4:])[0] != crc32(data[:-4]):
        return None
    return data[:-4]


def _write(path, data):
    with open(path, "wb") as f:
        f.write(data)
        f.write(struct.pack(_TAIL, crc32(data)))


def load(path, most=4096):
    """The content that `save` wrote last, or None."""
    data = _read(path, most)
    # A cut between the two steps of `save` on a filesystem that cannot rename over a file leaves only the new one.
    return _read(path + ".new", most) if data is None else data


def exists(path):
    """Whether there is such a file."""
    try:
        os.stat(path)
        return True
    except OSError:
        return False


def save(path, data):
    """Replace the content of `path`; after a power cut it is the old or the new one, whole."""
    _write(path + ".new", data)
    os.rename(path + ".new", path)


def remove(path):
    """Remove a file that may be absent."""
    try:
        os.remove(path)
    except OSError:
        pass


def folder(path):
    """Make a folder that may be there."""
    try:
        os.mkdir(path)
    except OSError:
        os.stat(path)  # absent for another reason: say so


class Pair:
    """One record of at most a few dozen bytes, in two files that take turns."""

    def __init__(self, path):
        self._path = path
        self._turn = 0

    def load(self):
        """The newest content that is whole, or None."""
        best = None
        for name in ("a", "b"):
            data = _read(self._path + name, 1024)
            if data is None or len(data) < 4:
                continue
            turn = struct.unpack(_PAIR, data[:4])[0]
            if best is None or turn > self._turn:
                best = data[4:]
                self._turn = turn
        return best

    def save(self, data):
        """Durable on return; a cut leaves the content before this one."""
        turn = self._turn + 1
        _write(self._path + ("a" if turn & 1 else "b"), struct.pack(_PAIR, turn) + data)
        self._turn = turn
