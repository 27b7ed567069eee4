"""Dates for readings that were taken before the node knew the time.

Such rows are stored with the uptime of their boot. When the boot learns the time, or ends without, the table here
says by how much its rows are to be shifted and what the date is worth; the shift is made when a frame is handed out
for the first time, and the entry is on flash before that, so that a frame sent twice is the same bytes twice.
"""

import struct

from citymote_protocol.limits import MAX_TIME

from .files import Pair

_ENTRY = "<IIB"  # boot, shift in seconds, clock state with the settled bit
_NEVER = 0
_SETTLED = 0x80
_MOST = 16  # boots that wait for a date; of an older one only the order is known, and it is sent as "never"


class Dates:
    """Which boot's uptime 0 was when, for as long as rows of that boot are stored undated."""

    def __init__(self, path):
        self._file = Pair(path + "/dates.")
        self._entries = []  # (boot, shift, state), oldest first
        data = self._file.load() or b""
        for i in range(0, len(data) - len(data) % 9, 9):
            self._entries.append(struct.unpack(_ENTRY, data[i : i + 9]))

    def get(self, boot):
        """(shift, clock state, whether it may still change)."""
        for entry in self._entries:
            if entry[0] == boot:
                return entry[1], entry[2] & ~_SETTLED, not entry[2] & _SETTLED
        return 0, _NEVER, False

    def known(self, boot):
        return any(entry[0] == boot for entry in self._entries)

    def put(self, boot, shift, state, settled):
        """Set or improve a boot's entry, on flash; a settled one stays as it is."""
        if self.known(boot) and not self.get(boot)[2]:
            return
        entry = (boot, max(0, min(shift, MAX_TIME)), state | (_SETTLED if settled else 0))
        if entry in self._entries:
            return
        kept = [e for e in self._entries if e[0] != boot]
        self._entries = kept[1 - _MOST :] + [entry]
        self._save()

    def settle(self, boot):
        """What is known now is what will be sent."""
        shift, state, open_ = self.get(boot)
        if open_:
            self.put(boot, shift, state, True)

    def forget(self, boot):
        """No undated row of a boot before this one is stored any more."""
        kept = [e for e in self._entries if e[0] >= boot]
        if len(kept) != len(self._entries):
            self._entries = kept
            self._save()

    def _save(self):
        self._file.save(b"".join(struct.pack(_ENTRY, *entry) for entry in self._entries))
