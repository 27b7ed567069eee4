"""The open batch: rows of readings that are not yet a frame, in RAM and, row by row, on flash.

Every row is durable when `add` returns. Rows lie in small chunk files, each short enough for littlefs to keep inside
its metadata (128 bytes with the caches of a stock image): writing one costs about 0.1 erases where appending to one
longer file costs one. The first chunk begins with all that is needed to make the frame later, by any version of the
settings. A row's CRC starts from its batch's sequence number and its place, so chunks left from an earlier batch are
told apart and need not be removed: they are written over. Reading them back is `recovery`'s, once at each start.
RAM is held for the rows of a usual batch; the longer ones of an outage take more, and give it back.
"""

import struct
from array import array
from binascii import crc32

from citymote_protocol.quantities import ABSENT

from .files import folder, remove

CHUNK = 120  # bytes; below littlefs' cache of 128
_MORE = 8  # rows for which RAM is taken at a time, beyond the usual
_KEEP = 4  # chunk files that stay for the next batch; what an outage needed beyond them is removed
HEAD = "<BBIIII"  # layout, clock state, sequence, boot, time of the first row, interval
LAYOUT = 1


def _put_number(buf, n):
    # Zigzag, one up so that 0 means absent, seven bits a byte.
    n = 0 if n == ABSENT else ((n << 1 if n >= 0 else ~n << 1 | 1) + 1)
    while n > 127:
        buf.append(n & 127 | 128)
        n >>= 7
    buf.append(n)


def seed(sequence, row):
    """What a row's CRC starts from."""
    return (sequence + row * 0x9E3779B1) & 0xFFFFFFFF


class OpenBatch:
    """Up to `most` rows of `columns`, regular at `interval` from `time`, all taken under one clock state.

    `usual` rows are what most batches have.
    """

    def __init__(self, path, columns, most, usual):
        self.path = path + "/open"
        self.most = most
        self.usual = usual
        folder(self.path)
        self.shape(columns)

    def shape(self, columns):
        """Have these columns, and no rows."""
        self.columns = columns
        self.values = self.quality = []  # what there was goes before the new is made
        self.values = [array("i", (0 for _ in range(self.usual))) for _ in columns]
        self.quality = [bytearray(self.usual) for _ in columns]
        self.reset()

    def room(self):
        """RAM for one row more."""
        if self.count == len(self.values[0]):
            more = array("i", (0 for _ in range(_MORE)))
            for values in self.values:
                values.extend(more)
            more = bytes(_MORE)
            for codes in self.quality:
                codes.extend(more)

    def reset(self):
        """No rows, in RAM; on flash the next batch's sequence number says so."""
        self.count = 0
        self.time = self.interval = self.clock = self.boot = self.sequence = 0
        self.chunk = -1
        self.size = 0

    def file(self, chunk):
        """The path of a chunk."""
        return "%s/%d" % (self.path, chunk)

    def begin(self, sequence, clock, boot, time, interval):
        """The next row is the first of a batch that will be frame `sequence`."""
        self.reset()
        self.sequence = sequence
        self.clock = clock
        self.boot = boot
        self.time = time
        self.interval = interval

    def add(self, values, quality):
        """Append a row: integers or None, and a quality code each. Durable on return."""
        row = self.count
        self.room()
        for i in range(len(self.columns)):
            value = values[i]
            self.values[i][row] = ABSENT if value is None else value
            self.quality[i][row] = quality[i]
        data = self._row(row)
        if row == 0:
            data = self._head() + data
        size = self.size + len(data)
        fresh = row == 0 or size > CHUNK
        chunk = self.chunk
        if fresh:
            chunk = chunk + 1 if row else 0
            size = len(data)
        self.size = CHUNK  # should the write fail, nothing is appended to what it left
        with open(self.file(chunk), "wb" if fresh else "ab") as f:
            f.write(data)
        self.chunk = chunk
        self.size = size
        self.count = row + 1

    def _row(self, row):
        data = bytearray(2)
        for column in self.values:
            _put_number(data, column[row])
        for i, codes in enumerate(self.quality):
            if codes[row]:
                data.append(i)
                data.append(codes[row])
        data[0] = len(data) - 2 & 255
        data[1] = len(data) - 2 >> 8
        return data + struct.pack("<I", crc32(data, seed(self.sequence, row)))

    def _head(self):
        data = struct.pack(HEAD, LAYOUT, self.clock, self.sequence, self.boot, self.time, self.interval)
        data += bytes((len(self.columns),))
        for quantity, instance in self.columns:
            data += struct.pack("<HB", quantity, instance)
        return data + struct.pack("<I", crc32(data))

    def clear(self):
        """The batch is a frame now. Its chunks stay for the next one, but for those that only a long one needs."""
        for chunk in range(self.chunk, _KEEP - 1, -1):
            remove(self.file(chunk))
        if len(self.values[0]) > self.usual:
            self.shape(self.columns)
        self.reset()

    def reshape(self, columns):
        """Take these columns from now on."""
        if columns != self.columns:
            self.shape(columns)
