"""The append-only log below the sample store: records in segment files, oldest acknowledged or discarded first.

A record is durable when `append` returns and carries a CRC, so that a torn or rotten one is recognised, counted and
never handed out; what lies behind it is found again. Records have consecutive sequence numbers. A segment is one
littlefs file of four blocks, named by the sequence of its first record: appending to a reopened file copies its last
block and erases one, so a record costs about one erase and an outage costs no rewriting. The cursor (what is
acknowledged, what was discarded) is a `files.Pair`. The last segment stays until there is a newer one, so that the
sequence goes on even if the cursor is lost. What a record means (batch, event, undated rows) is the store's business.
"""

import os
import struct
from binascii import crc32

from .files import Pair, folder, remove

SEGMENT = 4 * 4096 - 64  # content of four blocks: littlefs keeps 4 bytes of pointers and more in each
MAX_RECORD = 8192 + 64  # the longest frame and what the store puts before it
_HEAD = "<BBHI"  # mark and kind, rows, length, sequence; then the CRC-32 of these and the content
_HEAD_SIZE = 12
_MARK = 0xA0
_FAR = 5000  # more records than a segment holds: how far a sequence may lie ahead of the expected one
_CURSOR = "<IIIII"  # first unacknowledged, next sequence, discarded records and rows, damaged records


class Log:
    """Records on flash between `base` (the oldest that is not acknowledged) and `next` (the next sequence)."""

    def __init__(self, path, capacity, segment=SEGMENT):
        self._path = path + "/log"
        self._cursor = Pair(path + "/cursor.")
        self._limit = segment
        self.capacity = capacity
        self.discarded = 0
        self.discarded_rows = 0
        self.damaged = 0
        self._acked = []  # acknowledged out of turn, above base
        self._head = bytearray(_HEAD_SIZE)
        self._body = bytearray(256)
        folder(path)
        folder(self._path)
        self._load()

    def _file(self, name):
        return "%s/%08x" % (self._path, name)

    def _load(self):
        names = []
        for entry in os.ilistdir(self._path):
            try:
                names.append(int(entry[0], 16))
            except ValueError:
                continue  # not ours
        names.sort()
        self._names = names
        self._sizes = [os.stat(self._file(name))[6] for name in names]
        self.used = sum(self._sizes)
        self.base = self._expected = names[0] if names else 0
        after = whole = 0
        if names:
            after, whole = self._tail()
        # Behind a torn tail nothing may be appended: the next record opens a segment.
        self._closed = bool(names) and whole != self._sizes[-1]
        self.next = max(after, names[-1] if names else 0)
        data = self._cursor.load()
        if data is not None and len(data) == 20:
            base, following, self.discarded, self.discarded_rows, self.damaged = struct.unpack(_CURSOR, data)
            self.next = max(self.next, following)
            self.base = min(max(base, self.base), self.next)
        if self._closed and self.next == names[-1]:
            # Nothing whole in the newest segment: a name is given once.
            remove(self._file(self._names.pop()))
            self.used -= self._sizes.pop()
            self._closed = False
        self.rewind()
        self._drop_acknowledged()

    def _tail(self):
        # Of the last segment: the sequence after its last whole record, and where that record ends.
        index = len(self._names) - 1
        after = self._names[index]
        position = 0
        with open(self._file(after), "rb") as f:
            while True:
                found = self._find(f, position, self._sizes[index], after, after + _FAR)
                if found is None:
                    return after, position
                after = found[3] + 1
                position = found[4]

    def _find(self, f, position, size, low, high):
        """The next whole record at or behind `position`: (kind, rows, length, sequence, end), None where there is none.

        Its content is then in self._body. Behind damage every place is tried that looks like the head of a record with
        a sequence in low..high.
        """
        head = self._head
        while position + _HEAD_SIZE <= size:
            f.seek(position)
            f.readinto(head)
            mark, rows, length, sequence = struct.unpack(_HEAD, head)
            end = position + _HEAD_SIZE + length
            if mark & 0xF0 == _MARK and length <= MAX_RECORD and end <= size and low <= sequence < high:
                if len(self._body) < length:
                    self._body = bytearray(length)  # grows to the longest record seen, never shrinks
                body = memoryview(self._body)[:length]
                f.readinto(body)
                if crc32(body, crc32(memoryview(head)[:8])) == struct.unpack("<I", memoryview(head)[8:])[0]:
                    return mark & 15, rows, length, sequence, end
            position = self._look(f, position + 1, size)
        return None

    def _look(self, f, position, size):
        # The next byte that could begin a record.
        window = bytearray(64)
        while position < size:
            f.seek(position)
            for i in range(f.readinto(window)):
                if window[i] & 0xF0 == _MARK:
                    return position + i
            position += len(window)
        return size

    @property
    def pending(self):
        """Records that are neither acknowledged nor discarded."""
        return self.next - self.base - len(self._acked)

    def append(self, kind, rows, parts):
        """Write one record of these byte strings and return its sequence. Durable on return; the oldest make room."""
        length = sum(len(part) for part in parts)
        if length > MAX_RECORD:
            raise ValueError("a record of %d bytes" % length)
        while self.used + _HEAD_SIZE + length > self.capacity and self.discard():
            pass
        while True:
            try:
                self._write(kind, rows, parts, length)
                break
            except OSError as e:
                # No room, earlier than the capacity said. Anything else is for the caller to know.
                self._closed = bool(self._names)
                if e.errno != 28 or not self.discard():
                    raise
        sequence = self.next
        self.next += 1
        return sequence

    def _write(self, kind, rows, parts, length):
        head = struct.pack(_HEAD, _MARK | kind, rows, length, self.next)
        crc = crc32(head)
        for part in parts:
            crc = crc32(part, crc)
        need = _HEAD_SIZE + length
        fresh = self._closed or not self._names or self._sizes[-1] + need > self._limit
        name = self.next if fresh else self._names[-1]
        with open(self._file(name), "wb" if fresh else "ab") as f:
            f.write(head + struct.pack("<I", crc))
            for part in parts:
                f.write(part)
        self._closed = False
        self.used += need
        if fresh:
            self._names.append(name)
            self._sizes.append(need)
            self._drop_acknowledged()
        else:
            self._sizes[-1] += need

    def _end(self, index):
        # The sequence after the last record of a segment.
        return self._names[index + 1] if index + 1 < len(self._names) else self.next

    def discard(self):
        """Lose the oldest segment to make room, and count what was lost; False when there is none."""
        if not self._names:
            return False
        end = self._end(0)
        position = 0
        with open(self._file(self._names[0]), "rb") as f:
            while True:
                found = self._find(f, position, self._sizes[0], self._names[0], end)
                if found is None:
                    break
                position = found[4]
                if found[3] >= self.base and found[3] not in self._acked:
                    self.discarded += 1
                    self.discarded_rows += found[1]
        self._advance(end)
        self._save()  # before the file goes: a cut between the two is met at start
        self._remove_oldest()
        return True

    def _remove_oldest(self):
        remove(self._file(self._names.pop(0)))
        self.used -= self._sizes.pop(0)
        if self._segment:
            self._segment -= 1
        else:
            self._position = 0

    def _drop_acknowledged(self):
        while len(self._names) > 1 and self._names[1] <= self.base:
            self._remove_oldest()

    def _advance(self, base):
        self.base = max(self.base, base)
        self._acked = [s for s in self._acked if s >= self.base]
        while self.base in self._acked:
            self._acked.remove(self.base)
            self.base += 1

    def _save(self):
        self._cursor.save(struct.pack(_CURSOR, self.base, self.next, self.discarded, self.discarded_rows, self.damaged))

    def ack(self, sequence):
        """The record has arrived: forget it. Durable on return, once all older ones are acknowledged too."""
        if not self.base <= sequence < self.next or sequence in self._acked:
            return False
        self._acked.append(sequence)
        before = self.base
        self._advance(before)
        if self.base != before:
            self._save()
            self._drop_acknowledged()
        return True

    def rewind(self):
        """Hand out again from the oldest record that is not acknowledged."""
        self._segment = 0
        self._position = 0
        self._got = None
        self._expected = self.base

    def read(self):
        """The next record to hand out, (kind, rows, content, sequence), or None; `advance` passes it."""
        while self._segment < len(self._names):
            index = self._segment
            end = self._end(index)
            if end > self.base and self._position < self._sizes[index]:
                with open(self._file(self._names[index]), "rb") as f:
                    while True:
                        found = self._find(f, self._position, self._sizes[index], self._names[index], end)
                        if found is None:
                            break
                        if found[3] >= self.base and found[3] not in self._acked:
                            self._lost(found[3])
                            self._got = found
                            return found[0], found[1], memoryview(self._body)[: found[2]], found[3]
                        self._position = found[4]
                self._position = self._sizes[index]
                self._lost(end)
            if index + 1 >= len(self._names):
                return None
            self._segment += 1
            self._position = 0
        return None

    def advance(self):
        """The record that `read` gave has been handed out."""
        self._position = self._got[4]
        self._expected = self._got[3] + 1

    def _lost(self, sequence):
        # Records below this one that should have been handed out first and were not found: damaged, and said so.
        before = self.damaged
        for s in range(max(self._expected, self.base), sequence):
            if s not in self._acked:
                self._acked.append(s)
                self.damaged += 1
        self._expected = max(self._expected, sequence)
        if self.damaged != before:
            self._advance(self.base)
            self._save()
