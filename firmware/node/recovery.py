"""What a start finds on the store's flash: its size, its epoch, and the rows of a batch that was open.

Needed once, when the node starts, and forgotten then. The numbered states that it meets are in `store`.
"""

import os
import struct
from binascii import crc32

from citymote_protocol.quantities import ABSENT

from .batch import CHUNK, HEAD, LAYOUT, seed
from .files import load, save
from .log import SEGMENT

_SPARE = 20  # blocks littlefs needs for itself: superblock, three folders, copies while it writes


def capacity_of(path):
    """Bytes of records that the filesystem at `path` takes, less what littlefs itself needs."""
    status = os.statvfs(path)
    return max(0, status[2] - _SPARE) * status[0] // (4 * 4096) * SEGMENT


def store_epoch(path, keep):
    """The store's epoch: a new one whenever the store has been made anew or does not match what `keep` remembers.

    `keep` is a file on another filesystem. Sequence numbers start again in an empty store, so the pair (epoch,
    sequence) must not: the epoch is on `keep` before it is in the store.
    """
    here = load(path + "/epoch")
    there = load(keep)
    here = None if here is None else struct.unpack("<I", here)[0]
    there = 0 if there is None else struct.unpack("<I", there)[0]
    if here is not None and here == there:
        return here
    epoch = max(here or 0, there) + 1
    save(keep, struct.pack("<I", epoch))
    save(path + "/epoch", struct.pack("<I", epoch))
    return epoch


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


def _read(batch, chunk):
    try:
        with open(batch.file(chunk), "rb") as f:
            return f.read()
    except OSError:
        return b""


def restore(batch, after):
    """Read back what was on flash; rows of a batch that is frame `after - 1` or older already are not rows any more.

    Returns whether there are rows. The columns may then be other ones than those asked for: make the frame, then
    `reshape`.
    """
    data = _read(batch, 0)
    size = struct.calcsize(HEAD)
    if len(data) < size + 5 or data[0] != LAYOUT:
        return False
    end = size + 1 + data[size] * 3
    if len(data) < end + 4 or struct.unpack("<I", data[end : end + 4])[0] != crc32(data[:end]):
        return False
    _, clock, sequence, boot, time, interval = struct.unpack(HEAD, data[:size])
    if sequence < after:
        return False
    columns = tuple(struct.unpack("<HB", data[i : i + 3]) for i in range(size + 1, end, 3))
    if columns != batch.columns:
        batch.shape(columns)
    batch.begin(sequence, clock, boot, time, interval)
    batch.chunk = 0
    batch.size = len(data)
    _rows(batch, data[end + 4 :])
    return batch.count > 0


def _rows(batch, data):
    while True:
        if not _parse(batch, data):
            if data:
                batch.size = CHUNK  # a torn row: nothing is appended to it
            data = _read(batch, batch.chunk + 1)
            if not _parse(batch, data):
                return
            batch.chunk += 1
            batch.size = len(data)
        data = data[2 + (data[0] | data[1] << 8) + 4 :]


def _parse(batch, data):
    # The row at the start of `data`, if it is the next one of this batch.
    if len(data) < 6:
        return False
    end = 2 + (data[0] | data[1] << 8)
    if len(data) < end + 4:
        return False
    row = batch.count
    if crc32(data[:end], seed(batch.sequence, row)) != struct.unpack("<I", data[end : end + 4])[0]:
        return False
    values, position = _numbers(data, 2, len(batch.columns))
    batch.room()
    for i, value in enumerate(values):
        batch.values[i][row] = value
        batch.quality[i][row] = 0
    for i in range(position, end, 2):
        batch.quality[data[i]][row] = data[i + 1]
    batch.count = row + 1
    return True
