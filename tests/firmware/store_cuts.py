"""Runs in a MicroPython VM: a store at work on littlefs, whose power is cut at every operation on the flash.

arguments: seed, first operation, step, [stop]. At each chosen operation two images of the flash are made, one before
the operation and one with half of it done; a new store is opened on each, and what it holds is compared with
what the old one had promised up to then. Prints one line of JSON; a failure names its id, "seed:operation:torn", which
as the arguments `seed operation 0` runs alone.
"""

import json
import sys

import vfs
from node.store import Store

from citymote_protocol.frame import decode

NODE = b"\xc1\x7e\x00\x00\x00\x01"
COLUMNS = ((3, 0), (4, 0), (13, 1))
BLOCKS = 20
SEGMENTS = (500, 1100, 2500)  # the smallest stay inline in littlefs' metadata, the others are files with blocks
COLUMNS_WIDE = COLUMNS + tuple((100 + k, 0) for k in range(20))
TIME = 830000040
INTERVAL = 60
BOOT = 5
BLOCK = 4096


class Lcg:
    """Numbers that are the same everywhere."""

    def __init__(self, seed):
        self.state = seed * 2654435761 & 0xFFFFFFFF

    def __call__(self, n):
        self.state = (self.state * 1103515245 + 12345) & 0x7FFFFFFF
        return (self.state >> 8) % n


class Model:
    """What the store has promised: rows durable, frames sent, frames acknowledged."""

    def __init__(self):
        self.rows = 0  # rows whose append has returned: 0..rows-1 are durable
        self.adding = None  # the row being appended
        self.sent = {}  # sequence: bytes handed out
        self.acked = []  # sequences that have arrived at the other end
        self.discarded = 0


def row_of(index):
    """The values of row `index`: its number is in them, one column has gaps, the others are hard to compress."""
    values = [index, None if index % 3 == 0 else index * 7 - 40, -index]
    quality = [0, 8 if index % 3 == 0 else 0, 3 if index % 5 == 0 else 0]
    for k in range(20):
        values.append((index * 7919 + k * 104729) % 30011)
        quality.append(0)
    return values, quality


_decoded = {}


def rows_in(frame):
    """The numbers of the rows in a batch frame; checks that every value came back."""
    if frame not in _decoded:
        _decoded[frame] = _rows_in(frame)
    return _decoded[frame]


def _rows_in(frame):
    found = decode(frame)
    if found.kind != 0:
        return []
    out = []
    for r in range(found.count):
        index = found.values[0][r]
        assert [column[r] for column in found.values] == row_of(index)[0], "row %d came back changed" % index
        out.append(index)
    return out


def open_store(path, boot, seed):
    segment = SEGMENTS[seed % len(SEGMENTS)]
    return Store(
        path,
        1,
        NODE,
        COLUMNS_WIDE,
        3,
        6,
        INTERVAL,
        capacity=segment * 4,
        packed=seed % 2 == 1,
        boot=boot,
        segment=segment,
    )


def drain(store):
    """All pending frames, oldest first, not acknowledged."""
    store.rewind()
    out = []
    while True:
        found = store.next_pending()
        if found is None:
            return out
        out.append(found)


def work(store, model, rnd, steps):
    """Append, send, acknowledge, put, flush, in an order that the seed decides."""
    undated = rnd(3) == 0
    waiting = []
    quiet = 0  # steps for which nobody acknowledges
    for step in range(steps):
        if undated and step == steps // 2:
            store.date(TIME, 2)
            undated = False
        if quiet:
            quiet -= 1
        elif rnd(40) == 0:
            quiet = 60
        what = rnd(10)
        if what < 6:
            index = model.rows
            values, quality = row_of(index)
            if index % 11 == 10:
                quality[2] = 1
            model.adding = index
            at = index * INTERVAL + (INTERVAL * 10 if index > 40 else 0)
            store.append(at if undated else TIME + at, 0 if undated else 2, values, quality)
            model.rows = index + 1
            model.adding = None
        elif what < 8 and not quiet:
            found = store.next_pending()
            if found is None:
                store.rewind()
                waiting = []
            else:
                sequence, frame = found
                assert model.sent.get(sequence, frame) == frame, "sequence %d was sent with other bytes" % sequence
                model.sent[sequence] = frame
                waiting.append(sequence)
        elif what == 8 and waiting and not quiet:
            sequence = waiting.pop(rnd(len(waiting)))
            model.acked.append(sequence)  # it has arrived, whatever the store makes of that
            store.ack(sequence)
        elif rnd(8) == 0:
            store.put(lambda epoch, seq, number=step: status(epoch, seq, number))


def status(epoch, seq, step):
    from citymote_protocol.event import encode_status

    return encode_status(NODE, epoch, seq, TIME, 2, ((102, 0),), [step])


def check(store, model, where):
    """Hold what a store came back with to what was promised; returns its pending frames."""
    frames = drain(store)
    pending = {}
    seen = {}
    for sequence, frame in frames:
        assert sequence not in pending, where + ": sequence %d twice" % sequence
        pending[sequence] = frame
        for index in rows_in(frame):
            assert index not in seen, where + ": row %d in two frames" % index
            seen[index] = sequence
        assert model.sent.get(sequence, frame) == frame, where + ": sequence %d has other bytes now" % sequence
    for sequence in model.acked:
        # Sent again is fine while an older one is not acknowledged; lost is not possible.
        for index in rows_in(model.sent[sequence]):
            assert seen.get(index, sequence) == sequence, where + ": row %d under another sequence" % index
            seen[index] = sequence
    missing = [i for i in range(model.rows) if i not in seen]
    lost = store.discarded[1]
    assert len(missing) <= lost, where + ": durable rows %s are gone, %d were said to be discarded" % (
        missing[:9],
        lost,
    )
    waiting = [index for frame in pending.values() for index in rows_in(frame)]
    assert not missing or not waiting or max(missing) < min(waiting), where + ": discarded, but not the oldest first"
    known = model.rows + (0 if model.adding is None else 1)
    assert all(i < known for i in seen), where + ": a row that nobody wrote"
    assert store.damaged == 0, where + ": %d records damaged" % store.damaged
    return pending


def go_on(store, model, pending, where):
    """After the cut the node lives on: more rows, everything sent and acknowledged, no sequence used twice."""
    used = dict(model.sent)
    used.update(pending)
    highest = max(used) if used else -1
    for k in range(4):
        store.append(TIME + 500000 + k * INTERVAL, 2, *row_of(1000 + k))
    store.flush()
    store.release()
    for sequence, frame in drain(store):
        if sequence in used:
            assert used[sequence] == frame, where + ": sequence %d was used again" % sequence
        else:
            assert sequence > highest, where + ": new sequence %d below %d" % (sequence, highest)
            assert rows_in(frame)[0] >= 1000, where + ": an old row under a new sequence"
        assert store.ack(sequence), where + ": acknowledgement of %d refused" % sequence
    assert store.pending == 0, where + ": %d frames cannot be delivered" % store.pending


class Flash:
    """NOR flash in RAM for littlefs. Before each operation `probe(operation, address, bytes or None)` may look."""

    def __init__(self, blocks):
        self.cells = bytearray(blocks * BLOCK)
        self.blocks = blocks
        self.operations = 0
        self.probe = None

    def readblocks(self, block, buf, offset=0):
        at = block * BLOCK + offset
        buf[:] = memoryview(self.cells)[at : at + len(buf)]

    def writeblocks(self, block, buf, offset=0):
        self.operate(block * BLOCK + offset, bytes(buf))

    def ioctl(self, op, arg):
        if op == 6:
            self.operate(arg * BLOCK, None)
        return self.blocks if op == 4 else BLOCK if op == 5 else 0

    def operate(self, at, data):
        self.operations += 1
        if self.probe:
            self.probe(self.operations, at, data)
        self.do(at, data, 0)

    def do(self, at, data, torn):
        """Program `data`, or erase a block; half of it when `torn`."""
        if data is None:
            data = b"\xff" * BLOCK
        else:
            new = int.from_bytes(data, "little")
            old = int.from_bytes(self.cells[at : at + len(data)], "little")
            assert old & new == new, "programmed twice without an erasure"
        data = data[: len(data) // 2] if torn else data
        memoryview(self.cells)[at : at + len(data)] = data


def mount(flash, path):
    vfs.mount(vfs.VfsLfs2(flash, readsize=128, progsize=32), path)


def main(seed, first, step, stop):
    flash = Flash(BLOCKS)
    vfs.VfsLfs2.mkfs(flash, readsize=128, progsize=32)
    mount(flash, "/s")
    store = open_store("/s", BOOT, seed)
    model = Model()
    other = Flash(BLOCKS)
    tried = [0]
    flash.operations = 0

    def cut(operation, at, data, torn):
        where = "%d:%d:%d" % (seed, operation, torn)
        other.cells[:] = flash.cells
        if torn:
            other.do(at, data, torn)
        mount(other, "/t")
        try:
            again = open_store("/t", BOOT + 1, seed)
            pending = check(again, model, where)
            go_on(again, model, pending, where)
        finally:
            vfs.umount("/t")
        tried[0] += 1

    def probe(operation, at, data):
        if operation < first or (stop and operation > stop):
            return
        if (operation - first) % step == 0 if step else operation == first:
            cut(operation, at, data, 0)
            cut(operation, at, data, 1)

    flash.probe = probe
    work(store, model, Lcg(seed), 400)
    flash.probe = None
    print(
        json.dumps(
            {
                "tried": tried[0],
                "operations": flash.operations,
                "rows": model.rows,
                "acked": len(model.acked),
                "discarded": store.discarded[0],
                "discarded_rows": store.discarded[1],
            }
        )
    )


try:
    main(*[int(a) for a in (sys.argv[1:] + ["0"] * 4)[:4]])
except AssertionError as e:
    print(json.dumps({"failed": str(e)}))
    sys.exit(1)
