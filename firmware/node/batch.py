"""The open batch: rows of readings that are not yet a frame, in RAM and, row by row, on flash.

Every row is durable when `add` returns. Rows lie in small chunk files, each short enough for littlefs to keep inside
its metadata (128 bytes with the caches of a stock image): writing one costs about 0.1 erases where appending to one
longer file costs one. The first chunk begins with all that is needed to make the frame later, by any version of the
settings. A row's CRC starts from its batch's sequence number and its place, so chunks left from an earlier batch are
told apart and need not be removed: they are written over.
"""

import struct
from array import array
from binascii import crc32

from citymote_protocol.quantities import ABSENT

from .files import folder, remove

CHUNK = 120  # bytes; below littlefs' cache of 128
_KEEP = 4  # chunk files that stay for the next batch; what an outage needed beyond them is removed
_HEAD = "<BBIIII"  # layout, clock state, sequence, boot, time of the first row, interval
_LAYOUT = 1


def _put_number(buf, n):
    # Zigzag, one up so that 0 means absent, seven bits a byte.
    n = 0 if n == ABSENT else ((n << 1 if n >= 0 else ~n << 1 | 1) + 1)
    while n > 127:
        buf.append(n & 127 | 128)
        n >>= 7
    buf.append(n)


def _numbers(data, position, count):
    out = []
    for _ in range(count):
        n = shift = 0
        while True:
            byte = data[position]
            position += 1
            n |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        out.append(ABSENT if n == 0 else ~((n - 1) >> 1) if (n - 1) & 1 else (n - 1) >> 1)
    return out, position


class OpenBatch:
    """Up to `most` rows of `columns`, regular at `interval` from `time`, all taken under one clock state."""

    def __init__(self, path, columns, most):
        self._path = path + "/open"
        self.most = most
        folder(self._path)
        self._shape(columns)

    def _shape(self, columns):
        self.columns = columns
        self.values = [array("i", [0] * self.most) for _ in columns]
        self.quality = [bytearray(self.most) for _ in columns]
        self.reset()

    def reset(self):
        """No rows, in RAM; on flash the next batch's sequence number says so."""
        self.count = 0
        self.time = self.interval = self.clock = self.boot = self.sequence = 0
        self._chunk = -1
        self._size = 0

    def _file(self, chunk):
        return "%s/%d" % (self._path, chunk)

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
        for i in range(len(self.columns)):
            value = values[i]
            self.values[i][row] = ABSENT if value is None else value
            self.quality[i][row] = quality[i]
        data = self._row(row)
        if row == 0:
            data = self._head() + data
        size = self._size + len(data)
        fresh = row == 0 or size > CHUNK
        chunk = self._chunk
        if fresh:
            chunk = chunk + 1 if row else 0
            size = len(data)
        self._size = CHUNK  # should the write fail, nothing is appended to what it left
        with open(self._file(chunk), "wb" if fresh else "ab") as f:
            f.write(data)
        self._chunk = chunk
        self._size = size
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
        return data + struct.pack("<I", crc32(data, self._seed(row)))

    def _seed(self, row):
        return (self.sequence + row * 0x9E3779B1) & 0xFFFFFFFF

    def _head(self):
        data = struct.pack(_HEAD, _LAYOUT, self.clock, self.sequence, self.boot, self.time, self.interval)
        data += bytes((len(self.columns),))
        for quantity, instance in self.columns:
            data += struct.pack("<HB", quantity, instance)
        return data + struct.pack("<I", crc32(data))

    def restore(self, after):
        """Read back what was on flash; rows of a batch that is frame `after - 1` or older already are not rows any
        more.

        Returns whether there are rows. The columns may then be other ones than those asked for: make the frame, then
        `reshape`.
        """
        data = self._read(0)
        size = struct.calcsize(_HEAD)
        if len(data) < size + 5 or data[0] != _LAYOUT:
            return False
        end = size + 1 + data[size] * 3
        if len(data) < end + 4 or struct.unpack("<I", data[end : end + 4])[0] != crc32(data[:end]):
            return False
        _, clock, sequence, boot, time, interval = struct.unpack(_HEAD, data[:size])
        if sequence < after:
            return False
        columns = tuple(struct.unpack("<HB", data[i : i + 3]) for i in range(size + 1, end, 3))
        if columns != self.columns:
            self._shape(columns)
        self.begin(sequence, clock, boot, time, interval)
        self._chunk = 0
        self._size = len(data)
        self._rows(data[end + 4 :])
        return self.count > 0

    def _read(self, chunk):
        try:
            with open(self._file(chunk), "rb") as f:
                return f.read()
        except OSError:
            return b""

    def _rows(self, data):
        while True:
            if not self._parse(data):
                data = self._read(self._chunk + 1)
                if not self._parse(data):
                    return
                self._chunk += 1
            data = data[2 + (data[0] | data[1] << 8) + 4 :]

    def _parse(self, data):
        # The row at the start of `data`, if it is the next one of this batch.
        if len(data) < 6:
            return False
        end = 2 + (data[0] | data[1] << 8)
        if len(data) < end + 4:
            return False
        row = self.count
        if crc32(data[:end], self._seed(row)) != struct.unpack("<I", data[end : end + 4])[0]:
            return False
        values, position = _numbers(data, 2, len(self.columns))
        for i, value in enumerate(values):
            if row == len(self.values[i]):  # more rows than a batch may have now
                self.values[i].append(value)
                self.quality[i].append(0)
            self.values[i][row] = value
            self.quality[i][row] = 0
        for i in range(position, end, 2):
            self.quality[data[i]][row] = data[i + 1]
        self.count = row + 1
        return True

    def clear(self):
        """The batch is a frame now. Its chunks stay for the next one, but for those that only a long one needs."""
        for chunk in range(self._chunk, _KEEP - 1, -1):
            remove(self._file(chunk))
        self.reset()

    def reshape(self, columns, most):
        """Take these columns from now on."""
        self.most = most
        if columns != self.columns or len(self.values[0]) != most:
            self._shape(columns)
