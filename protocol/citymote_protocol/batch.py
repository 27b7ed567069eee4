"""Batch frames: columns of scaled integers over rows of time (SPEC chapter 3), written; `read_batch` reads them.

`Encoder` is made once per node and list of columns and writes every frame into its one buffer; on MicroPython a frame
takes no memory (tests/firmware measures it).  Sampling fills `array('i')` columns with ABSENT for missing; which form
a column takes follows from its values alone, so that the same readings are the same bytes everywhere.  The bit stream
of packed frames is in `rice`, sealing in `sealing`.
"""

from array import array

from .cbor_write import ARRAY, MAP, UINT, put_bytes, put_head
from .columns import FOUND, put_column
from .errors import ARGUMENT, EncodeError
from .header import BATCH, OPTION_QUALITY, PACKED, columns_bytes, node_bytes, put_header, put_time
from .limits import MAX_COUNT, MAX_FRAME, MAX_GAP, MAX_INTERVAL, MAX_RUNS, MAX_TIME
from .quality import MAX_CODE
from .times import put_interval


def _put_runs(buf, pos, codes, count):
    """Write the runs of quality codes that are not 0; without a buffer only count them from `pos` on."""
    for column in range(len(codes)):
        line = codes[column]
        if line is None:
            continue
        row = 0
        while row < count:
            code = line[row]
            start = row
            while row < count and line[row] == code:
                row += 1
            if not code:
                continue
            if not 0 <= code <= MAX_CODE:
                raise EncodeError(ARGUMENT, "quality code %d" % code)
            if buf is None:
                pos += 1
                continue
            pos = put_head(buf, pos, UINT, column)
            pos = put_head(buf, pos, UINT, start)
            pos = put_head(buf, pos, UINT, row - start)
            pos = put_head(buf, pos, UINT, code)
    return pos


class Encoder:
    """Writes the batch frames of one node, which has these columns, into one buffer of `size` bytes."""

    def __init__(self, node, columns, size=2048):
        self.columns = tuple(columns)
        self._node = node_bytes(node)
        self._columns = columns_bytes(self.columns)
        self._found = array("i", (0 for _ in range(FOUND)))
        self._packer = None  # loaded when a frame is first to be packed: nodes on wide links never need it
        self.buffer = bytearray(size)
        self._view = memoryview(self.buffer)

    def encode(self, epoch, seq, time, clock, interval, count, columns, quality=None, packed=False, times=None):
        """One frame as a view of the buffer, good until the next call.

        `columns` has one sequence of integers a column (ABSENT for missing), `quality` one sequence of codes a column
        or None, `times` the seconds of each row where they are not `interval` apart.  Raises EncodeError: NO_ROOM
        when the frame does not fit the buffer, ARGUMENT when it cannot be said.
        """
        return self._view[: self.encode_into(epoch, seq, time, clock, interval, count, columns, quality, packed, times)]

    def encode_into(self, epoch, seq, time, clock, interval, count, columns, quality=None, packed=False, times=None):
        """The same; returns the length of the frame in `buffer` and takes no memory."""
        self._check(time, interval, count, columns, times)
        runs = 0 if quality is None else _put_runs(None, 0, quality, count)
        if runs > MAX_RUNS:
            raise EncodeError(ARGUMENT, "%d quality runs" % runs)
        buf = self.buffer
        tail = 1 if runs else 0
        pos = 0
        if packed:
            # a frame that need not say its node says nothing at all about it: a byte is much on a narrow link
            node = None if len(self._node) == 1 else self._node
            items = (5 if node is None else 6) + tail
            pos = put_header(buf, items, PACKED, clock, node, epoch, seq)
            pos = put_bytes(buf, pos, self._columns)
            if self._packer is None:
                from .rice import Packer

                self._packer = Packer()
            # 0: a value that the bit stream cannot say (SPEC 4.7); plain columns can
            pos = self._packer.put(buf, pos, time, count, interval, columns, times)
        if pos == 0:
            width = len(self.columns)
            pos = put_header(buf, 8 + width + tail, BATCH, clock, self._node, epoch, seq)
            pos = put_time(buf, pos, time)
            pos = put_head(buf, pos, UINT, count)
            pos = put_interval(buf, pos, interval, count, times)
            pos = put_bytes(buf, pos, self._columns)
            for index in range(width):
                pos = put_column(buf, pos, columns[index], count, self._found)
        if runs:
            pos = put_head(buf, pos, MAP, 1)
            pos = put_head(buf, pos, UINT, OPTION_QUALITY)
            pos = put_head(buf, pos, ARRAY, runs * 4)
            pos = _put_runs(buf, pos, quality, count)
        if pos > MAX_FRAME:
            raise EncodeError(ARGUMENT, "%d bytes are over %d" % (pos, MAX_FRAME))
        return pos

    def _check(self, time, interval, count, columns, times):
        """Refuse what cannot be said."""
        if not (1 <= count <= MAX_COUNT and 0 <= interval <= MAX_INTERVAL and len(columns) == len(self.columns)):
            raise EncodeError(ARGUMENT, "count, interval or number of columns")
        if times is None:
            if count > 1 and interval == 0:
                raise EncodeError(ARGUMENT, "rows without an interval")
            last = time + (count - 1) * interval
        else:
            last = time
            if times[0] != time:
                raise EncodeError(ARGUMENT, "the first row is not at the frame's time")
            for row in range(1, count):
                gap = times[row] - last
                last = times[row]
                if not 1 <= gap <= MAX_GAP:
                    raise EncodeError(ARGUMENT, "rows not in ascending order, or too far apart")
        if last > MAX_TIME:
            raise EncodeError(ARGUMENT, "time out of range")
