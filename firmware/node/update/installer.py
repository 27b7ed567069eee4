"""Fills the slot that does not run with the files of an index, so that a cut at any instant costs at most a file.

What the slot holds already, or the running application under any name, is not fetched again. A file comes to its name
only whole and with the right digest; the mark that makes a slot startable goes first and comes last, after everything
has been read back once more. Each step is short, so the node goes on sampling. Where the bytes come from is the
caller's matter.
"""

import os
import struct
from binascii import crc32, hexlify
from hashlib import sha256

from citymote_protocol.file_index import entries

CHUNK = 512
SYNC = 4096  # bytes of a download between two that are durable


class Broken(Exception):
    """What was fetched is not what the index promised."""


def exists(path):
    try:
        os.stat(path)
    except OSError:
        return False
    return True


def remove(path):
    if exists(path):
        os.remove(path)


def digest_of(path):
    """SHA-256 of a file's bytes; b"" where it cannot be read."""
    found = sha256()
    try:
        for _ in digest_steps(path, found):
            pass
    except OSError:
        return b""
    return found.digest()


def take_index(path, source, size, digest):
    """Make an index the one that lies there: `size` bytes of an open file. OSError where the flash does not take it."""
    if digest_of(path) == digest:
        return
    with open(path + ".new", "wb") as f:
        while size:
            piece = source.read(min(size, CHUNK))
            if not piece:
                break
            size -= len(piece)
            f.write(piece)
    os.rename(path + ".new", path)


def index_of(path):
    """The entries of an index; none where there is none.

    Who does not take them all closes it: a file that is open when its filesystem goes brings the interpreter down.
    """
    try:
        total = os.stat(path)[6]
        f = open(path, "rb")
    except OSError:
        return
    with f:
        yield from entries(f.read, total)


def digest_steps(path, out):
    """Add a file's bytes to a hash, some at a time."""
    chunk = bytearray(CHUNK)
    view = memoryview(chunk)
    with open(path, "rb") as f:
        while True:
            n = f.readinto(chunk)
            if not n:
                return
            out.update(view[:n])
            yield


class Installer:
    """`root`: where the slot to fill is mounted; `running`: where the running application is."""

    def __init__(self, root, running):
        self._root = root
        self._running = running
        self.index = root + "/index"
        self.wanted = None  # (name, size, packed, digest) that `write` is for
        self.fetched = 0  # bytes of it that are durable, or will be with the next sync
        self._path = ""
        self._part = None
        self._unsynced = 0

    def items(self):
        """The entries of the index that is being installed."""
        return index_of(self.index)

    def begin(self, source, size, digest):
        """Take an index whose signature has been verified, `size` bytes of an open file; the slot is whole no more."""
        remove(self._root + "/whole")
        take_index(self.index, source, size, digest)

    def prepare(self):
        """Steps: find or copy files until one is missing; then `wanted` is that one, or None when none is missing."""
        self.wanted = None
        items = self.items()
        try:
            for item in items:
                name, size, _, digest = item
                if (yield from self._is(self._root + "/" + name, size, digest)):
                    continue
                if (yield from self._copy(name, size, digest)):
                    continue
                self.wanted = item
                break
        finally:
            items.close()
        if self.wanted:
            self._resume()

    def _resume(self):
        # A part bears its file's digest, because a cut may leave one behind whose file is whole already.
        self._path = self._root + "/part-" + hexlify(self.wanted[3][:8]).decode()
        for item in list(os.ilistdir(self._root)):
            path = self._root + "/" + item[0]
            if item[0].startswith("part-") and path != self._path:
                os.remove(path)
        try:
            self.fetched = os.stat(self._path)[6]
        except OSError:
            self.fetched = 0
        if self.fetched > (self.wanted[2] or self.wanted[1]):
            os.remove(self._path)
            self.fetched = 0

    def _is(self, path, size, digest):
        try:
            if os.stat(path)[6] != size:
                return False
            found = sha256()
            yield from digest_steps(path, found)
            return found.digest() == digest
        except OSError:
            return False

    def _copy(self, name, size, digest):
        source = None
        for theirs, _, _, found in index_of(self._running + "/index"):
            if found == digest:
                source = self._running + "/" + theirs
        if source is None or not exists(source):
            return False
        remove(self._root + "/unpacked")
        with open(source, "rb") as there, open(self._root + "/unpacked", "wb") as out:
            while True:
                chunk = there.read(CHUNK)
                if not chunk:
                    break
                out.write(chunk)
                yield
        return (yield from self._settle(name, size, digest))

    def write(self, data):
        """The next bytes of `wanted`, as they are fetched."""
        packed = self.wanted[2] or self.wanted[1]
        if self.fetched + len(data) > packed:
            raise Broken("more came than the index says")
        if self._part is None:
            self._part = open(self._path, "ab")
        self._part.write(data)
        self.fetched += len(data)
        self._unsynced += len(data)
        if self._unsynced >= SYNC or self.fetched == packed:
            self.sync()

    def sync(self):
        """Make what was written durable; also when the road ends in the middle."""
        part, self._part = self._part, None
        self._unsynced = 0
        if part is not None:
            part.close()

    @property
    def complete(self):
        """Whether all bytes of `wanted` are there."""
        return self.fetched == (self.wanted[2] or self.wanted[1])

    def settle(self):
        """Steps: what was fetched becomes the file if its digest is right; Broken if not, and it is fetched anew."""
        self.sync()
        name, size, packed, digest = self.wanted or ("", 0, 0, b"")
        part = self._path
        if not exists(part):
            open(part, "wb").close()  # a file of no bytes
        if packed:
            try:
                yield from self._unpack(part, size)
            except Broken:
                remove(part)
                raise
        else:
            remove(self._root + "/unpacked")
            os.rename(part, self._root + "/unpacked")
        whole = yield from self._settle(name, size, digest)
        remove(part)
        self.fetched = 0
        if not whole:
            raise Broken(name + " came with other content than was signed")

    def _unpack(self, part, size):
        import deflate

        left = size
        with open(part, "rb") as source, open(self._root + "/unpacked", "wb") as out:
            stream = deflate.DeflateIO(source, deflate.RAW, 10)
            while True:
                try:
                    chunk = stream.read(CHUNK)
                except (OSError, EOFError):
                    raise Broken("a file cannot be unpacked") from None
                if not chunk:
                    return
                left -= len(chunk)
                if left < 0:
                    raise Broken("a file is larger than the index says")
                out.write(chunk)
                yield

    def _settle(self, name, size, digest):
        temporary = self._root + "/unpacked"
        if not (yield from self._is(temporary, size, digest)):
            remove(temporary)
            return False
        folder = self._root
        for part in name.split("/")[:-1]:
            folder += "/" + part
            if not exists(folder):
                os.mkdir(folder)
        os.rename(temporary, self._root + "/" + name)
        return True

    def finish(self, sequence):
        """Steps: read everything back, remove what does not belong, and mark the slot as whole."""
        items = self.items()
        try:
            for name, size, _, digest in items:
                if not (yield from self._is(self._root + "/" + name, size, digest)):
                    raise Broken(name + " was damaged on flash")
        finally:
            items.close()
        yield from self._sweep(self._root, "")
        found = sha256()
        yield from digest_steps(self._root + "/index", found)
        mark = struct.pack("<I32s", sequence, found.digest())
        with open(self._root + "/whole", "wb") as f:
            f.write(mark)
            f.write(struct.pack("<I", crc32(mark)))

    def _sweep(self, folder, prefix):
        for item in list(os.ilistdir(folder)):
            name = prefix + item[0]
            path = folder + "/" + item[0]
            if item[1] == 0x4000:
                yield from self._sweep(path, name + "/")
                try:
                    os.rmdir(path)
                except OSError:
                    pass  # not empty
            elif name != "index" and not self._lists(name):
                os.remove(path)
            yield

    def _lists(self, name):
        found = False
        for item in self.items():
            found = found or item[0] == name
        return found
