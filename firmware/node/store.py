"""What a node has measured and not yet delivered: durable row by row, sent frame by frame, oldest first.

A row is safe on flash when `append` returns. Full batches become frames, committed to the log before anyone can send
them, and leave it when they are acknowledged. While the link keeps up, a frame has `batch` rows; while frames queue
up, `backlog` rows, because fewer heads let an outage of ninety days fit one megabyte. Rows without a known time are
kept apart and dated when they are handed out (`dating`). The numbered states that a power cut can leave, and what the
next start makes of each:

  1  chunk of the open batch not written       the row in progress is lost, nothing else
  2  rows in chunks, no frame                  rows become a (short) frame at start
  3  frame in the log, chunks still there      the batch's sequence is below the log's next: chunks are void
  4  frame sent, acknowledgement not written   it is sent again, the same bytes under the same sequence
  5  cursor written, segment still there       the segment is removed at start
"""

import struct

from citymote_protocol.batch import Encoder
from citymote_protocol.errors import NO_ROOM, EncodeError
from citymote_protocol.limits import MAX_FRAME

from .batch import OpenBatch
from .dating import Dates
from .log import SEGMENT, Log

FRAME = 0  # record kinds: ready to be sent
UNDATED = 1  # four bytes of boot number, then a batch frame whose time is an uptime
_QUEUED = 4  # frames that may wait before the link counts as not keeping up
_READINGS = 600  # in a batch of an outage: what RAM is worth for it
_KNOWN = (1, 2, 3)  # clock states under which a row has its date; never (0) and estimated (4) may be improved


def _size(columns, rows):
    # What a frame of so many rows needs: two bytes a reading nearly always do.
    return len(columns) * (12 + 2 * rows) + 64


class Store:
    """Rows in, frames out."""

    def __init__(
        self,
        path,
        epoch,
        node,
        columns,
        batch=5,
        backlog=60,
        interval=120,
        capacity=0,
        packed=False,
        boot=0,
        segment=SEGMENT,
    ):
        self.epoch = epoch
        self.node = node
        self.boot = boot
        self.batch = batch
        self.interval = interval
        self.packed = packed
        self.changed = None  # called when a frame has been committed
        self.fits = None  # on a narrow link: may this row still join the open batch?
        self.frames = 0  # committed since boot, and rows and readings in them
        self.rows = 0
        self.readings = 0
        columns = tuple(columns)
        # So that no batch is longer than a frame may be: ten bytes are the most that a reading and its quality take.
        width = max(1, len(columns))  # a node may have none
        backlog = min(backlog, _READINGS // width)
        most = max(1, min(max(batch, backlog), 255, (MAX_FRAME - 100) // (10 * width)))
        usual = min(batch, most)
        self._held = True  # undated rows of this boot wait for a date
        self._shift = self._state = 0
        self._encoder = None
        from .recovery import capacity_of, restore

        self._log = Log(path, capacity or capacity_of(path), segment)
        self._dates = Dates(path)
        self._open = OpenBatch(path, columns, most, usual)
        if restore(self._open, self._log.next):
            was = self._open
            if was.boot != boot or was.columns != columns or was.count >= most or was.interval != interval:
                self.flush()  # of an earlier boot: it cannot grow any more; after a mere sleep it can
        self._open.reshape(columns)
        if columns:
            self._encoder = Encoder(node, columns, min(max(512, _size(columns, usual)), MAX_FRAME))

    @property
    def pending(self):
        """Frames that wait for delivery or acknowledgement."""
        return self._log.pending

    @property
    def oldest(self):
        """The oldest sequence that is neither acknowledged nor discarded."""
        return self._log.base

    @property
    def open_rows(self):
        """Rows that are not yet a frame."""
        return self._open.count

    @property
    def discarded(self):
        """(frames, rows) lost to make room, over the store's life."""
        return self._log.discarded, self._log.discarded_rows

    @property
    def damaged(self):
        return self._log.damaged

    @property
    def used(self):
        return self._log.used

    @property
    def capacity(self):
        return self._log.capacity

    @property
    def next_seq(self):
        return self._log.next

    def append(self, time, clock, values, quality):
        """Keep a row: integers or None, one a column. `time` is s2000 where the clock is known, else uptime."""
        if self._add(time, clock, values, quality):
            self.flush()

    def _add(self, time, clock, values, quality):
        # A row more; whether the batch is full with it.
        batch = self._open
        if batch.count and (clock != batch.clock or time != batch.time + batch.count * batch.interval):
            self.flush()
        elif batch.count and self.fits and not self.fits(batch, values, quality):
            self.flush()
        if not batch.count:
            if clock not in _KNOWN and not self._dates.known(self.boot):
                self._dates.put(self.boot, self._shift, self._state, False)
            batch.begin(self._log.next, clock, self.boot, time, self.interval)
        try:
            batch.add(values, quality)
        except OSError as e:
            if e.errno != 28 or not self._log.discard():
                raise
            batch.add(values, quality)
        self.rows += 1
        self.readings += sum(1 for value in values if value is not None)
        return batch.count >= (batch.most if self._log.pending >= _QUEUED else min(self.batch, batch.most))

    def flush(self):
        """Make a frame of the rows there are. Returns whether there were any."""
        batch = self._open
        if not batch.count:
            return False
        encoder = self._encoder
        if encoder is None or encoder.columns != batch.columns:
            encoder = Encoder(self.node, batch.columns, min(_size(batch.columns, batch.count), MAX_FRAME))
        length = 0
        while not length:
            try:
                length = self._encode(encoder, batch)
            except EncodeError as e:
                size = len(encoder.buffer)
                if e.code != NO_ROOM or size == MAX_FRAME:
                    raise
                # a buffer for this one frame: of an outage's size, or then whatever a frame may have
                usual = _size(batch.columns, batch.count)
                encoder = Encoder(self.node, batch.columns, usual if size < usual < MAX_FRAME else MAX_FRAME)
        frame = memoryview(encoder.buffer)[:length]
        if batch.clock in _KNOWN:
            self._log.append(FRAME, batch.count, (frame,))
        else:
            self._log.append(UNDATED, batch.count, (struct.pack("<I", batch.boot), frame))
        batch.clear()
        self._committed()
        return True

    def _encode(self, encoder, batch):
        quality = batch.quality if any(any(codes) for codes in batch.quality) else None
        return encoder.encode_into(
            self.epoch,
            self._log.next,
            batch.time,
            batch.clock,
            batch.interval,
            batch.count,
            batch.values,
            quality,
            self.packed and batch.clock in _KNOWN,  # the time in a bit stream cannot be improved later
        )

    def _committed(self):
        self.frames += 1
        if self.changed:
            self.changed()

    def put(self, make):
        """Commit a frame of another kind: `make(epoch, seq)` gives its bytes."""
        if self._open.count:
            self.flush()  # the open batch was promised this sequence number
        self._log.append(FRAME, 0, (make(self.epoch, self._log.next),))
        self._committed()

    def date(self, shift, clock):
        """Uptime 0 of this boot was `shift` (s2000), as far as clock state `clock` says. Dates the rows so far."""
        self._shift = shift
        self._state = clock
        if self._open.count and self._open.clock not in _KNOWN:
            self.flush()
        if self._dates.known(self.boot):
            self._dates.put(self.boot, shift, clock, clock in _KNOWN)
            if self.changed:
                self.changed()

    def release(self):
        """Do not wait any longer for a date: send what is undated with what is known about its time."""
        self._held = False

    def next_pending(self):
        """The oldest frame that has not been handed out since `rewind`: (sequence, bytes), or None."""
        while True:
            found = self._log.read()
            if found is None:
                return None
            kind, _, content, sequence = found
            if kind == UNDATED:
                boot = struct.unpack("<I", content[:4])[0]
                content = self._dated(boot, content[4:])
                if content is None:
                    return None
            self._log.advance()
            return sequence, bytes(content)

    def _dated(self, boot, frame):
        _, _, may_change = self._dates.get(boot)
        if may_change:
            if boot == self.boot and self._held:
                return None
            self._dates.settle(boot)
        shift, clock, _ = self._dates.get(boot)
        from citymote_protocol.redate import redate

        return redate(bytes(frame), shift, clock)

    def rewind(self):
        """The link was lost: hand out again from the oldest frame that is not acknowledged."""
        self._log.rewind()

    def ack(self, sequence):
        """The other end has the frame. Durable on return, but for a gap below it."""
        done = self._log.ack(sequence)
        if done and not self._log.pending:
            self._dates.forget(self.boot)
        return done
