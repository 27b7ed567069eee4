"""Runs in a MicroPython VM: an update on flash that is full, worn or damaged. Argument: a case and a seed; prints JSON.

Cases: `worn` (each block in turn, and pairs of them, no longer takes what is written, or says so), `full` (the new
application does not fit), `corrupt` (random bytes anywhere in the slot that does not run), `record` (random bytes in
the boot record), `running` (the slot that runs is damaged after an update). Whatever it is, the node starts exactly the
old or exactly the new application.
"""

import json
import sys

import slots
import update_cuts as cuts
import vfs
from node.update.installer import Broken


class Tired(cuts.Shared):
    """Blocks that no longer take what is written: silently, or with an error of the driver."""

    bad = ()
    loud = False

    def _program(self, block, offset, buf):
        if block in self.bad:
            if self.loud:
                raise OSError(5)
            return
        super()._program(block, offset, buf)


def supply(cells, bad, loud):
    power = cuts.Power()
    for name, blocks in cuts.BLOCKS.items():
        device = power.devices[name] = Tired(blocks, power, cells[name])
        device.bad = bad.get(name, ())
        device.loud = loud
    return power


def fresh(power, label):
    device = power.devices[label]
    vfs.VfsLfs2.mkfs(device, readsize=128, progsize=32)
    vfs.mount(vfs.VfsLfs2(device, readsize=128, progsize=32), "/next")


def attempt(power, record, two):
    """What the manager does: install, and when the flash does not take it, once more on a fresh filesystem."""
    other = slots.LABELS[record.started ^ 1]
    for again in (False, True):
        try:
            if again:
                try:  # noqa: SIM105
                    vfs.umount("/next")
                except OSError:
                    pass
                fresh(power, other)
            else:
                cuts.mounted(power, other, "/next")
            cuts.install(two, 2, "/app", "/next")
            return True
        except (OSError, Broken):
            pass
    return False


def live(power, one, two, name):
    """Starts until nothing changes any more: 1 or 2, the version that runs then."""
    for _ in range(8):
        cuts.umount_all()
        record = slots.start(lambda label: power.devices[label], vfs)
        assert record.started is not None, name + ": nothing can be started"
        found = cuts.content("/app")
        assert found in (one, two), name + ": neither the old nor the new application"
        try:
            if found == two:
                if record.state == slots.TRIAL:
                    record.state = slots.CONFIRMED
                    record.floor = 2
                    record.save()
                return 2
            if not attempt(power, record, two):
                return 1
            record.slot = record.started ^ 1
            record.state, record.starts, record.why = slots.TRIAL, 0, slots.NOTHING
            record.save()
        except OSError:
            return 1  # the boot record cannot be written: the old application goes on
    raise AssertionError(name + ": no end")


def run(seed, one, two, cells, bad, loud, name):
    ended = live(supply(cells, bad, loud), one, two, name)
    again = live(supply(cells, bad, loud), one, two, name + " again")
    assert again >= ended, name + ": the new application was lost again"
    return ended


def noise(seed, n):
    return cuts.blob(seed, n)


def worn(seed, one, two, new):
    tried = updated = 0
    choices = [{"slot_b": (b,)} for b in range(cuts.BLOCKS["slot_b"])]
    choices += [{"slot_b": (b, (b * 7 + seed) % cuts.BLOCKS["slot_b"])} for b in range(cuts.BLOCKS["slot_b"])]
    choices += [{"boot": (0,)}, {"boot": (1,)}, {"boot": (0, 1)}]
    for bad in choices:
        for loud in (False, True):
            name = "worn %d %r %r" % (seed, bad, loud)
            updated += run(seed, one, two, cuts.copied(new), bad, loud, name) == 2
            tried += 1
    return tried, updated


def full(seed, one, two, new):
    two = dict(two)
    for k in range(9):
        two["node/big%d.mpy" % k] = noise(seed + k, 9000)
    return 1, int(run(seed, one, two, cuts.copied(new), {}, False, "full %d" % seed) == 2)


def corrupt(seed, one, two, new):
    tried = updated = 0
    for k in range(24):
        cells = cuts.copied(new)
        draw = noise(seed * 100 + k, 40)
        for n in range(1 + k % 4):
            at = draw[2 * n] % cuts.BLOCKS["slot_b"] if k % 2 else n % 2  # every other time where littlefs begins
            cells["slot_b"][at][:] = bytearray(noise(seed * 1000 + k * 10 + n, 4096))
        updated += run(seed, one, two, cells, {}, False, "corrupt %d %d" % (seed, k)) == 2
        tried += 1
    return tried, updated


def record(seed, one, two, new):
    tried = updated = 0
    for k in range(12):
        cells = cuts.copied(new)
        if k % 2:
            live(supply(cells, {}, False), one, two, "first")
        for block in (0, 1)[: 1 + k % 3 % 2]:
            cells["boot"][block][:] = bytearray(noise(seed * 50 + k, 4096))
        updated += run(seed, one, two, cells, {}, False, "record %d %d" % (seed, k)) == 2
        tried += 1
    return tried, updated


def running(seed, one, two, new):
    tried = updated = 0
    for k in range(8):
        cells = cuts.copied(new)
        assert live(supply(cells, {}, False), one, two, "first") == 2
        for block in (0, 1):  # both superblocks: it does not mount any more
            cells["slot_b"][block][:] = bytearray(noise(seed * 70 + k, 4096))
        updated += run(seed, one, two, cells, {}, False, "running %d %d" % (seed, k)) == 2
        tried += 1
    return tried, updated


def main(case, seed):
    one, two = cuts.version(seed, 1), cuts.version(seed, 2)
    tried, updated = globals()[case](seed, one, two, cuts.factory(seed))
    print(json.dumps({"tried": tried, "updated": updated}))


main(sys.argv[1], int(sys.argv[2]))
