"""Runs in a MicroPython VM: the boot record and the choice of the slot. Argument: the name of a case; prints JSON."""

import json
import sys

import slots
from node.hal.unix_flash import PowerCut, RamFlash


class Saves:
    """A record that only remembers; `works` False: the flash takes no entry."""

    def __init__(self, slot, state, starts, works):
        self.slot, self.state, self.starts, self.why = slot, state, starts, 0
        self.works = works
        self.saved = None

    def save(self):
        if not self.works:
            raise OSError(5)
        self.saved = (self.slot, self.state, self.starts, self.why)


def table():
    """Every state there is, and what the boot does in it."""
    out = []
    for slot in (0, 1):
        for state in (slots.CONFIRMED, slots.TRIAL):
            for starts in range(slots.STARTS + 2):
                for mine in (False, True):
                    for theirs in (False, True):
                        for works in (False, True):
                            record = Saves(slot, state, starts, works)
                            whole = {slot: mine, slot ^ 1: theirs}
                            chosen = slots.choose(record, whole.get)
                            out.append((slot, state, starts, mine, theirs, works, chosen, record.saved))
    return out


def log():
    """Saves and reads back over many turns of both blocks; the newest entry is always the one that was saved last."""
    flash = RamFlash(2)
    record = slots.Record(flash)
    assert not record.found and (record.slot, record.state) == (0, slots.CONFIRMED)
    for n in range(700):
        record.slot, record.starts, record.floor = n & 1, n % 4, n
        record.save()
        if n % 7 == 0:
            record = slots.Record(flash)
        assert record.floor == n
    found = slots.Record(flash)
    return [found.found, found.slot, found.starts, found.floor]


def torn():
    """The power fails at every operation around both changes of the block: the entry before or the new one is there."""
    tried = 0
    for before in (0, 122, 250):
        first = RamFlash(2)
        record = slots.Record(first)
        for n in range(before):
            record.floor = n + 1
            record.save()
        for cut_at in range(1, 14):
            for half in (False, True):
                flash = RamFlash(2, cut_at, half, [bytearray(block) for block in first.cells])
                record = slots.Record(flash)
                done = before
                try:
                    for n in range(before + 1, before + 20):
                        record.floor = n
                        record.save()
                        done = n
                except PowerCut:
                    pass
                flash = flash.revive()
                found = slots.Record(flash)
                assert found.floor in (done, done + 1), (before, cut_at, half, done, found.floor)
                found.floor = 1000
                found.save()
                assert slots.Record(flash).floor == 1000
                tried += 1
    return tried


class Worn(RamFlash):
    """Cells that no longer take what is written, from one entry on."""

    bad = ()

    def _program(self, block, offset, buf):
        if (block, offset) in self.bad:
            return
        super()._program(block, offset, buf)


def worn():
    """Entries that do not take are passed over; when none takes any more, that is an error and nothing is lost."""
    flash = Worn(2)
    flash.bad = tuple((0, k * 32) for k in range(3)) + tuple((1, k * 32) for k in range(2, 5))
    record = slots.Record(flash)
    for n in range(200):
        record.floor = n
        record.save()
        assert slots.Record(flash).floor == n
    flash.bad = tuple((b, k * 32) for b in (0, 1) for k in range(128))
    record.floor = 999
    try:
        record.save()
        return "saved"
    except OSError:
        return slots.Record(flash).floor


def garbage():
    """A record of random bytes is no record."""
    flash = RamFlash(2)
    n = 12345
    for block in flash.cells:
        for at in range(len(block)):
            n = (n * 1103515245 + 12345) & 0x7FFFFFFF
            block[at] = n >> 16 & 255
    record = slots.Record(flash)
    found = record.found
    record.slot = 1
    record.save()
    return [found, slots.Record(flash).slot]


print(json.dumps(globals()[sys.argv[1]]()))
