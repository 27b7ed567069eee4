"""Fills the place of the runtime that does not run with a new MicroPython image, part by part (SPEC 14.13).

The same interface as `installer`. A part is 16 KB, fetched as it is and written block by block straight into the
partition, because no slot holds an image; a part that a reset has cut short is fetched again. The chip's bootloader
starts the image once and comes back by itself unless the application calls it good.
"""

from hashlib import sha256

from citymote_protocol.file_index import entries

from .installer import Broken, index_of, take_index

PART = 16384
BLOCK = 4096


def names_a_runtime(manifest, vendor, build):
    """Whether the manifest's class is that of runtimes for this kind of chip: a UUID of version 5 (RFC 9562)."""
    from hashlib import sha1

    made = bytearray(sha1(vendor + b"runtime " + build.encode()).digest()[:16])
    made[6] = made[6] & 0x0F | 0x50
    made[8] = made[8] & 0x3F | 0x80
    return manifest.class_id == bytes(made)


class ImageInstaller:
    """`place`: the partition, as esp32.Partition has it."""

    index = "/config/image"

    def __init__(self, place):
        self._place = place
        self._at = 0  # of the wanted part in the partition
        self._good = 0  # bytes from the beginning that have been read back right
        self._block = bytearray(BLOCK)
        self.wanted = None
        self.fetched = 0

    def begin(self, source, size, digest):
        """Take an index whose signature has been verified; Broken where it is none of an image that fits."""
        begin = source.tell()
        at = 0
        last = PART
        for number, (name, length, packed, _) in enumerate(entries(source.read, size)):
            if name != "image/%03d" % number or packed or last != PART or not 0 < length <= PART:
                raise Broken("not the parts of an image")
            last = length
            at += length
        if at > self._place.info()[3]:
            raise Broken("the image has %d bytes, its place %d" % (at, self._place.info()[3]))
        source.seek(begin)
        take_index(self.index, source, size, digest)

    def items(self):
        """The entries of the index."""
        return index_of(self.index)

    def _is(self, at, size, digest):
        found = sha256()
        block = self._block
        for k in range(0, size, BLOCK):
            self._place.readblocks((at + k) // BLOCK, block, 0)
            found.update(memoryview(block)[: min(BLOCK, size - k)])
            yield
        return found.digest() == digest

    def prepare(self):
        """Steps: `wanted` is the first part that is not there, None when all are."""
        self.wanted = None
        self.fetched = 0
        at = 0
        items = self.items()
        try:
            for item in items:
                if at >= self._good:
                    if not (yield from self._is(at, item[1], item[3])):
                        self.wanted = item
                        self._at = at
                        return
                    self._good = at + item[1]
                at += item[1]
        finally:
            items.close()

    def write(self, data):
        """The next bytes of `wanted`."""
        size = self.wanted[1]
        if self.fetched + len(data) > size:
            raise Broken("more came than the index says")
        done = 0
        while done < len(data):
            into = self.fetched % BLOCK
            n = min(BLOCK - into, len(data) - done)
            self._block[into : into + n] = data[done : done + n]
            done += n
            self.fetched += n
            if self.fetched % BLOCK == 0 or self.fetched == size:
                block = (self._at + self.fetched - 1) // BLOCK
                self._place.ioctl(6, block)
                self._place.writeblocks(block, memoryview(self._block)[: (self.fetched - 1) % BLOCK + 1], 0)

    def sync(self):
        """Whole blocks are durable already; the rest is fetched again after a reset."""

    @property
    def complete(self):
        """Whether all bytes of `wanted` are there."""
        return self.fetched == self.wanted[1]

    def settle(self):
        """Steps: Broken if the part is not what was signed."""
        if not (yield from self._is(self._at, self.wanted[1], self.wanted[3])):
            raise Broken("a part came with other content than was signed")

    def finish(self, sequence):
        """Steps: everything is read back once more."""
        at = 0
        items = self.items()
        try:
            for _, size, _, digest in items:
                if not (yield from self._is(at, size, digest)):
                    raise Broken("the image was damaged on flash")
                at += size
        finally:
            items.close()


async def watch_runtime(node, state):
    """A start with a runtime that nobody has called good yet, or after one: decided here."""
    from node.journal import INFO, WARNING

    from .state import CONFIRMED, ROLLED_BACK, TRIAL, tell
    from .trial import prove

    hal = node.hal
    if hal.images().running() != state.turn:
        state.state = ROLLED_BACK
        state.reason = 1
        state.save()
        node.log(WARNING, "update %d: the runtime before is back" % state.sequence)
        tell(node, state)
        return
    state.state = TRIAL
    state.save()
    tell(node, state)
    why = await prove(node, state)
    if why:
        node.log(WARNING, "trial of the runtime failed: " + why)
        hal.reset()  # the bootloader starts the one before
        return
    hal.images().good()
    node.boot.floor = max(node.boot.floor, state.sequence)
    node.boot.save()
    state.state, state.reason = CONFIRMED, 0
    state.save()
    node.log(INFO, "trial passed: the runtime of update %d is confirmed" % state.sequence)
    hal.event("confirmed", {"sequence": state.sequence})
    tell(node, state)
