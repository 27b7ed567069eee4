"""Flash for the virtual node: block devices under the real littlefs that behave, wear and fail as NOR flash does.

`FileFlash` keeps its cells in an image file and writes straight through, so that what a killed process had
programmed is there for the next one; a sidecar file `<image>.wear` counts erasures and programmed bytes of each
block (u32 pairs), for figures of wear that cost the node no heap. `RamFlash` does the same in RAM, for tests that
cut the power at every operation and mount again in the same process.

Both lose power at a chosen operation: erasures and programs are counted from 1, and the k-th is either not done
at all or torn, half of it done, before the lights go out. Both refuse what flash cannot do: setting a bit that
was cleared without erasing the block.
"""

# pyright: reportAttributeAccessIssue=false
import struct

BLOCK = 4096

READ_SIZE = 128  # MicroPython gives littlefs a cache of four reads: files up to 512 bytes stay in their directory
PROGRAM_SIZE = 32


class PowerCut(BaseException):
    """The power is gone. Not an Exception, so that no code under test can outlive it by handling errors."""


class _Flash:
    def __init__(self, blocks, cut_at=0, torn=False):
        self.blocks = blocks
        self.cut_at = cut_at
        self.torn = torn
        self.operations = 0
        self.dead = False

    def _operate(self):
        # True: do half of it and die; counts towards the cut
        if self.dead:
            raise PowerCut
        self.operations += 1
        if self.operations != self.cut_at:
            return False
        if not self.torn:
            self._die()
        return True

    def _die(self):
        self.dead = True
        raise PowerCut

    def readblocks(self, block, buf, offset=0):
        if self.dead:
            raise PowerCut
        self._read(block * BLOCK + offset, buf)

    def writeblocks(self, block, buf, offset=None):
        if offset is None:
            # the simple protocol: whole blocks, erased by the device
            for i in range(len(buf) // BLOCK):
                self.ioctl(6, block + i)
            offset = 0
        at = block * BLOCK + offset
        torn = self._operate()
        if torn:
            buf = memoryview(buf)[: len(buf) // 2]
        self._program(at, buf)
        self._worn(block, 0, len(buf))
        if torn:
            self._die()

    def ioctl(self, op, arg):
        if op == 4:
            return self.blocks
        if op == 5:
            return BLOCK
        if op == 6:
            torn = self._operate()
            self._erase(arg, BLOCK // 2 if torn else BLOCK)
            self._worn(arg, 1, 0)
            if torn:
                self._die()
            return 0
        return 0

    def _worn(self, block, erased, programmed):
        pass


class RamFlash(_Flash):
    """Cells in RAM. `revive()` puts the power back; mount again to see what survived."""

    def __init__(self, blocks, cut_at=0, torn=False):
        super().__init__(blocks, cut_at, torn)
        self.cells = bytearray(b"\xff" * BLOCK) * blocks

    def revive(self, cut_at=0, torn=False):
        self.dead = False
        self.operations = 0
        self.cut_at = cut_at
        self.torn = torn

    def _read(self, at, buf):
        mv = memoryview(buf)
        mv[:] = memoryview(self.cells)[at : at + len(mv)]

    def _program(self, at, buf):
        cells = self.cells
        for b in memoryview(buf):
            if cells[at] & b != b:
                raise RuntimeError("flash: byte %d programmed twice without an erasure" % at)
            cells[at] = b
            at += 1

    def _erase(self, block, n):
        at = block * BLOCK
        blank = b"\xff" * 256
        for i in range(at, at + n, 256):
            self.cells[i : i + 256] = blank


class FileFlash(_Flash):
    """Cells in an image file of whole blocks; a new one may be sparse (zeros), littlefs erases before it programs.

    `died` is called when the power fails; it does not return when it ends the process.
    """

    def __init__(self, path, cut_at=0, torn=False, wear=True, died=None):
        self._f = open(path, "r+b")
        super().__init__(self._f.seek(0, 2) // BLOCK, cut_at, torn)
        self._died = died
        self._wear = self._sidecar(path + ".wear") if wear else None
        self._count = bytearray(8)

    def _sidecar(self, path):
        try:
            return open(path, "r+b")
        except OSError:
            with open(path, "wb") as f:
                for _ in range(self.blocks):
                    f.write(bytes(8))
            return open(path, "r+b")

    def _die(self):
        self.dead = True
        if self._died:
            self._died()
        raise PowerCut

    def blank(self):
        """True if block 0 and 1 were never programmed: neither erased nor sparse cells hold anything."""
        buf = bytearray(256)
        for at in range(0, 2 * BLOCK, 256):
            self._read(at, buf)
            first = buf[0]
            if first not in (0, 0xFF) or buf != bytes([first]) * 256:
                return False
        return True

    def _read(self, at, buf):
        f = self._f
        f.seek(at)
        f.readinto(buf)

    def _program(self, at, buf):
        f = self._f
        f.seek(at)
        f.write(buf)

    def _erase(self, block, n):
        f = self._f
        f.seek(block * BLOCK)
        blank = b"\xff" * 512
        for _ in range(n // 512):
            f.write(blank)

    def _worn(self, block, erased, programmed):
        f = self._wear
        if f is None:
            return
        count = self._count
        f.seek(block * 8)
        f.readinto(count)
        e, p = struct.unpack("<II", count)
        struct.pack_into("<II", count, 0, e + erased, p + programmed)
        f.seek(block * 8)
        f.write(count)
