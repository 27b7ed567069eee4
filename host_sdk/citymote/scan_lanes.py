"""CBOR heads and integers of many frames in lockstep: the ground under `scan_frames`.

A lane is one frame: a position in a common buffer, and whether all is well so far. Every read moves each lane over
one item; what is not of the strict profile (SPEC 2: shortest heads, definite lengths, no floats, no 64-bit numbers
here) marks the lane, which then goes on over nonsense without harm until it is dropped. Positions are held against
the frames' ends by the caller.
"""

from __future__ import annotations

from typing import Any

from citymote.errors import need

np: Any = need("numpy", "arrow", "making tables")

NULL = 0xF6
UINT, NINT, BYTES, TEXT, ARRAY, MAP, TAG, SIMPLE = range(8)


def _item_tables() -> tuple[Any, Any]:
    """Value and size of the item that a byte begins: one-byte integers and null; size 0 where it is neither integer
    nor null.
    """
    value, size = np.zeros(256, np.int64), np.zeros(256, np.int64)
    for number in range(24):
        value[number], value[0x20 + number] = number, -1 - number
        size[number] = size[0x20 + number] = 1
    for info, length in ((24, 2), (25, 3), (26, 5)):
        size[info] = size[0x20 + info] = length
    size[NULL] = 1
    return value, size


VALUE, SIZE = _item_tables()


class Lanes:
    """Positions of many frames in one buffer."""

    def __init__(self, buffer: Any, pos: Any) -> None:
        self.buffer = buffer
        self.pos = pos
        self.ok = np.ones(len(pos), bool)

    def __len__(self) -> int:
        return len(self.pos)

    def some(self, index: Any) -> Lanes:
        """A copy of some lanes."""
        chosen = Lanes(self.buffer, self.pos[index])
        chosen.ok = self.ok[index]
        return chosen

    def back(self, index: Any, chosen: Lanes) -> None:
        """What became of some lanes that were copied out."""
        self.pos[index] = chosen.pos
        self.ok[index] = chosen.ok

    def check(self, good: Any) -> None:
        """Mark the lanes where something is not so."""
        self.ok &= good

    def peek(self) -> Any:
        """The byte at each position."""
        return self.buffer[self.pos]

    def head(self) -> tuple[Any, Any]:
        """Read one head: major types and arguments."""
        first = self.peek()
        argument = (first & 31).astype(np.int64)
        long = np.flatnonzero(argument >= 24)
        self.pos += 1
        if len(long):
            argument[long] = self._argument(long, argument[long])
        return first >> 5, argument

    def _argument(self, long: Any, info: Any) -> Any:
        """The arguments behind the heads of some lanes; the lanes are past the first byte."""
        at, buffer = self.pos[long], self.buffer
        number = buffer[at].astype(np.int64)
        good = number >= 24
        wide = np.flatnonzero(info != 24)
        if len(wide):
            place, more = at[wide], info[wide]
            two = number[wide] << 8 | buffer[place + 1]
            four = two << 16 | buffer[place + 2].astype(np.int64) << 8 | buffer[place + 3]
            number[wide] = np.where(more == 25, two, four)
            good[wide] = ((more == 25) & (two >= 0x100)) | ((more == 26) & (four >= 0x10000))
        self.pos[long] = at + np.where(info == 24, 1, np.where(info == 25, 2, 4))
        self.ok[long] &= good
        return number

    def uint(self, most: int) -> Any:
        """Read one unsigned integer of at most `most`."""
        major, number = self.head()
        self.check((major == UINT) & (number <= most))
        return number

    def length(self, major: int, most: int) -> Any:
        """Read the head of an array or byte string of at most `most`."""
        found, number = self.head()
        self.check((found == major) & (number <= most))
        # A lane that is wrong goes on, and must not jump out of the buffer.
        return np.where(self.ok, number, 0)

    def integer(self, least: int, most: int) -> Any:
        """Read one integer."""
        major, number = self.head()
        value = np.where(major == NINT, -1 - number, number)
        self.check((major <= NINT) & (value >= least) & (value <= most))
        return value

    def integers(self, counts: Any, limit: int, nullable: bool) -> tuple[Any, Any | None]:
        """Read `counts` integers of each lane: (item, lane) values, 0 where there is none, and which are null."""
        most = int(counts.max(initial=0))
        values = np.zeros((most, len(self)), np.int64)
        absent: Any = None
        even = bool((counts == most).all())
        for row in range(most):
            if even:
                null = self._row(values[row], limit, nullable)
                where: Any = slice(None)
            else:
                where = np.flatnonzero(counts > row)
                part = self.some(where)
                line = np.empty(len(where), np.int64)
                null = part._row(line, limit, nullable)
                values[row, where] = line
                self.back(where, part)
            if null is not None:
                if absent is None:
                    absent = np.zeros((most, len(self)), bool)
                absent[row, where] = null
        return values, absent

    def _row(self, out: Any, limit: int, nullable: bool) -> Any:
        """Read one integer or null of each lane into `out`; which were null, if any."""
        first = self.peek()
        np.take(VALUE, first, out=out)
        size = SIZE[first]
        long = np.flatnonzero(size != 1)
        if len(long):
            part = self.some(long)
            part.check(size[long] != 0)
            out[long] = part.integer(-limit, limit)
            self.pos += 1
            self.back(long, part)
        else:
            self.pos += 1
        null = first == NULL
        if not null.any():
            return None
        if not nullable:
            self.ok &= ~null
        return null
