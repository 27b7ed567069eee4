"""Flash for the virtual node: block devices under the real littlefs that behave, wear and fail as NOR flash does.

`FileFlash` keeps its cells in an image file and writes straight through, so that what a killed process had
programmed is there for the next one; a sidecar file `<image>.wear` counts erasures and programmed bytes of each
block (u32 pairs), for figures of wear that cost the node no heap. `RamFlash` does the same in RAM, for tests that
cut the power at every operation and mount again in the same process.

Both lose power at a chosen operation: erasures and programs are counted from 1, and the k-th is either not done
at all or torn, half of it done and some bits of what comes next, before the lights go out. Both refuse what flash
cannot do: setting a bit that was cleared without erasing the block.
"""

# pyright: reportAttributeAccessIssue=false
from array import array

BLOCK = 4096

READ_SIZE = 32
PROGRAM_SIZE = 32
_BLANK = b"\xff" * 128  # made once: what fails for want of memory in here fails in the midst of littlefs
_FRINGE = 64  # bytes behind what was done whose bits are neither as before nor as wanted


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
        self.operations += 1
        if self.operations != self.cut_at:
            return False
        if not self.torn:
            self._die()
        return True

    def _die(self):
        self.dead = True
        raise PowerCut

    def _gone(self):
        # A file that nobody closed is closed by the garbage collector; it must not raise there, nor write to cells
        # that have power again under another device.
        try:
            bytearray(16)
        except MemoryError:
            return -5  # the collector's heap is locked; MicroPython prints the OSError that this becomes, no more
        raise PowerCut

    def readblocks(self, block, buf, offset=0):
        if self.dead:
            return self._gone()
        self._read(block, offset, buf)
        return 0

    def writeblocks(self, block, buf, offset=None):
        if offset is None:
            # the simple protocol: whole blocks, erased by the device
            for i in range(len(buf) // BLOCK):
                self.ioctl(6, block + i)
            offset = 0
        if self.dead:
            return self._gone()
        torn = self._operate()
        if torn:
            half = len(buf) // 2
            rest = bytes(memoryview(buf)[half : half + _FRINGE])
            buf = memoryview(buf)[:half]
        self._program(block, offset, buf)
        self._worn(block, 0, len(buf))
        if torn:
            self._tear(block, offset + half, rest, False)
            self._die()
        return 0

    def ioctl(self, op, arg):
        if op == 4:
            return self.blocks
        if op == 5:
            return BLOCK
        if op == 6:
            if self.dead:
                return self._gone()
            torn = self._operate()
            self._erase(arg, BLOCK // 2 if torn else BLOCK)
            self._worn(arg, 1, 0)
            if torn:
                self._tear(arg, BLOCK // 2, bytes(_FRINGE), True)
                self._die()
            return 0
        return 0

    def _tear(self, block, offset, wanted, erased):
        # Cells whose charge was under way: some bits have changed already, others have not.
        cells = bytearray(len(wanted))
        self.readblocks(block, cells, offset)
        seed = self.operations * 40503 + block * 30011 + 1
        for i in range(len(cells)):
            seed = (seed * 20077 + 12345) & 0x7FFFFFFF
            noise = seed >> 16 & 0xFF
            cells[i] = cells[i] | noise if erased else cells[i] & (wanted[i] | noise)
        self._put(block, offset, cells)

    def _worn(self, block, erased, programmed):
        pass


class RamFlash(_Flash):
    """Cells in RAM. `revive()` gives a device with power over the same cells: mount that to see what survived."""

    def __init__(self, blocks, cut_at=0, torn=False, cells=None):
        super().__init__(blocks, cut_at, torn)
        self.cells = cells
        if cells is None:
            self.cells = [bytearray(BLOCK) for _ in range(blocks)]
            for block in range(blocks):
                self._erase(block, BLOCK)

    def revive(self, cut_at=0, torn=False):
        self.dead = True
        return RamFlash(self.blocks, cut_at, torn, self.cells)

    def _read(self, block, offset, buf):
        mv = memoryview(buf)
        mv[:] = memoryview(self.cells[block])[offset : offset + len(mv)]

    def _program(self, block, offset, buf):
        cells = self.cells[block]
        for b in memoryview(buf):
            if cells[offset] & b != b:
                raise RuntimeError("flash: byte %d of block %d programmed twice without an erasure" % (offset, block))
            cells[offset] = b
            offset += 1

    def _put(self, block, offset, cells):
        self.cells[block][offset : offset + len(cells)] = cells

    def _erase(self, block, n):
        cells = self.cells[block]
        blank = b"\xff" * 256
        for i in range(0, n, 256):
            cells[i : i + 256] = blank


class FileFlash(_Flash):
    """Cells in an image file of whole blocks; a new one may be sparse (zeros), littlefs erases before it programs.

    `died` is called when the power fails; it does not return when it ends the process.
    """

    def __init__(self, path, cut_at=0, torn=False, wear=True, died=None):
        self._f = open(path, "r+b")
        super().__init__(self._f.seek(0, 2) // BLOCK, cut_at, torn)
        self._died = died
        self._wear = self._sidecar(path + ".wear") if wear else None
        self._count = array("I", (0, 0))

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
            self.readblocks(at // BLOCK, buf, at % BLOCK)
            first = buf[0]
            if first not in (0, 0xFF) or buf != bytes([first]) * 256:
                return False
        return True

    def readblocks(self, block, buf, offset=0):
        # in one piece: littlefs reads some five hundred times for a sample
        if self.dead:
            return self._gone()
        f = self._f
        f.seek(block * BLOCK + offset)
        f.readinto(buf)
        return 0

    def _program(self, block, offset, buf):
        f = self._f
        f.seek(block * BLOCK + offset)
        f.write(buf)

    _put = _program

    def _erase(self, block, n):
        f = self._f
        f.seek(block * BLOCK)
        for _ in range(n // len(_BLANK)):
            f.write(_BLANK)

    def _worn(self, block, erased, programmed):
        f = self._wear
        if f is None:
            return
        count = self._count
        f.seek(block * 8)
        f.readinto(count)
        count[0] += erased
        count[1] += programmed
        f.seek(block * 8)
        f.write(count)
