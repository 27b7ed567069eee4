"""The boot: which of the two applications, slot a or slot b, starts. Written in the factory and never updated.

It lies with boot.py and main.py on a filesystem of its own that nobody writes to again; each slot is a littlefs in a
partition of its own, so that writing one never touches the other, and neither touches the readings. What has to be
remembered from start to start is the boot record: a log in two erase blocks of raw flash, whose newest whole entry
counts, so that one programmed entry of 32 bytes is the switch. SPEC 14.4 has the same table as `choose`.
"""

import struct
import sys
from binascii import crc32

CONFIRMED, TRIAL = 0, 1
STARTS = 3  # of a trial that nobody confirmed; then the other application comes back
NOTHING, UNCONFIRMED, DAMAGED, GIVEN_BACK = 0, 1, 2, 3  # why a slot was left
BLOCK, ENTRY = 4096, 32
LABELS = ("slot_a", "slot_b")
_FORM = "<IBBBBI16s"  # turn, slot, state, starts, why, floor, spare; then CRC-32
_BLANK = b"\xff" * ENTRY


class Record:
    """What the next start has to know. `floor`: the highest manifest sequence that was ever confirmed."""

    def __init__(self, device):
        self.slot = self.state = self.starts = self.why = self.floor = self.turn = 0
        self.started = None  # the slot that was chosen
        self._device = device
        self._block = 1  # where the newest entry is, and the entry after the last that was ever begun there
        self._next = BLOCK // ENTRY
        self.found = False
        entry = bytearray(ENTRY)
        for block in (0, 1):
            used = 0
            newest = False
            for at in range(BLOCK // ENTRY):
                device.readblocks(block, entry, at * ENTRY)
                if entry == _BLANK:
                    continue
                used = at + 1
                if struct.unpack_from("<I", entry, 28)[0] != crc32(memoryview(entry)[:28]):
                    continue
                if not self.found or struct.unpack_from("<I", entry)[0] > self.turn:
                    self.turn, self.slot, self.state, self.starts, self.why, self.floor, _ = struct.unpack(
                        _FORM, entry[:28]
                    )
                    self.found = newest = True
            if newest:
                self._block, self._next = block, used

    def save(self):
        """Durable on return; OSError when the flash takes no entry. A cut leaves the entry before this one."""
        self.turn += 1
        data = struct.pack(_FORM, self.turn, self.slot, self.state, self.starts, self.why, self.floor, bytes(16))
        data += struct.pack("<I", crc32(data))
        back = bytearray(ENTRY)
        for _ in range(8):  # entries that did not take are passed over
            if self._next == BLOCK // ENTRY:
                self._block ^= 1
                self._device.ioctl(6, self._block)
                self._next = 0
            at = self._next * ENTRY
            self._next += 1
            try:
                self._device.writeblocks(self._block, data, at)
                self._device.readblocks(self._block, back, at)
            except OSError:
                continue
            if back == data:
                return
        raise OSError(5, "the boot record cannot be written")


def choose(record, whole):
    """The slot to start, or None: SPEC 14.4, line by line. `whole(slot)` tells if it holds an application, whole."""
    slot, other = record.slot, record.slot ^ 1  # 1: without an entry they are a and b, confirmed
    if record.state == TRIAL:
        if record.starts < STARTS and whole(slot):  # 2
            record.starts += 1
            try:
                record.save()
                return slot
            except OSError:
                pass
        if whole(other):  # 3
            return _leave(record, UNCONFIRMED)
    elif whole(slot):  # 4
        return slot
    elif whole(other):  # 5
        return _leave(record, DAMAGED)
    return slot if whole(slot) else None  # 6, 7


def _leave(record, why):
    record.slot ^= 1
    record.state, record.starts, record.why = CONFIRMED, 0, why
    try:
        record.save()
    except OSError:
        pass  # the next start comes to the same decision
    return record.slot


def is_whole(root):
    """Whether the folder holds an application that its installer has verified: the mark is written last."""
    try:
        with open(root + "/whole", "rb") as f:
            mark = f.read(64)
        return len(mark) == 40 and struct.unpack_from("<I", mark, 36)[0] == crc32(mark[:36])
    except OSError:
        return False


def start(find, vfs, mount="/app"):
    """Mount the application that `choose` names; the record, with `started` set (None: nothing can be started)."""
    record = Record(find("boot"))
    mounted = [None]

    def whole(slot):
        if mounted[0] != slot:
            if mounted[0] is not None:
                vfs.umount(mount)
                mounted[0] = None
            try:
                vfs.mount(vfs.VfsLfs2(find(LABELS[slot]), readsize=128, progsize=32), mount)
            except OSError:
                return False
            mounted[0] = slot
        return is_whole(mount)

    record.started = choose(record, whole)
    if record.started is not None and whole(record.started):
        sys.path.insert(0, mount)
    return record


def gave_up(record):
    """The application that was started does not even load: line 8, as though it were not whole."""
    if record.state == TRIAL:
        record.starts = STARTS
    _leave(record, DAMAGED)
