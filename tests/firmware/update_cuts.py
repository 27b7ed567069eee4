"""Runs in a MicroPython VM: a whole update whose power is cut at every operation on the flash, and again in recovery.

arguments: seed, first operation, step (negative: that far, but every second cut), depth (1 or 2), and for one alone
torn, second operation, its torn. A failure names its id, "seed:operation:torn[:operation:torn]", which as the arguments
`seed operation 0 2 torn operation torn` runs alone. Flash is slot_a and slot_b with real littlefs, and the boot record.
"""

import io
import json
import sys
from binascii import unhexlify
from hashlib import sha256

import slots
import vfs
from node.hal.unix_flash import PowerCut, RamFlash
from node.update.installer import Installer

from citymote_protocol.file_index import entries, entry

BLOCKS = {"slot_a": 20, "slot_b": 20, "boot": 2}


class Power:
    """What all flash of the node shares: one count of operations, one instant without power."""

    def __init__(self, cut_at=0, torn=False):
        self.cut_at = cut_at
        self.torn = torn
        self.operations = 0
        self.devices = {}

    def _operate(self):
        self.operations += 1
        return self.operations == self.cut_at


class Shared(RamFlash):
    def __init__(self, blocks, power, cells=None):
        super().__init__(blocks, 0, False, cells)
        self.power = power

    def _operate(self):
        if self.power._operate():
            if not self.power.torn:
                self._die()
            return True
        return False

    def _die(self):
        for device in self.power.devices.values():
            device.dead = True
        raise PowerCut


def supply(cells=None, cut_at=0, torn=False):
    power = Power(cut_at, torn)
    for name, blocks in BLOCKS.items():
        power.devices[name] = Shared(blocks, power, cells and cells[name])
    return power


def blob(seed, size):
    out = b""
    n = 0
    while len(out) < size:
        out += sha256(b"%d %d" % (seed, n)).digest()
        n += 1
    return out[:size]


def version(seed, number):
    """name: content. Of version 2 one file is new, one changed, one the same, one renamed, one gone."""
    files = {
        "node/app.mpy": blob(seed + number, 2300),
        "node/same.mpy": blob(seed, 700),
        "node/drivers/old.mpy" if number == 1 else "node/drivers/renamed.mpy": blob(seed + 7, 5000),
        "small.mpy": blob(seed + 10 * number, 90),
    }
    if number == 1:
        files["gone.mpy"] = blob(seed + 3, 200)
    else:
        files["node/new/deep.mpy"] = DEEP
    return files


# DEEP as a raw deflate stream with a window of 1 KB, by zlib: the node's own deflate only reads
DEEP = b"city" * 1500 + bytes(range(100))
DEEP_PACKED = unhexlify(
    "edc33512c25000054020b8bb3b24c1dddddddded57f434dc9e43d0be9d59f2fe7c092222222222222222222222fe95c3e551"
    "7c815024964865728552a5d668757a83d164b6586d7687d3e5f6787d7e9a6103c15038128dc513c9543a93cde50bc552b952"
    "add51bcd56bbd3edf507c3d178329dcd17cbd57ab3dded0fc7d3f972bddd1fcf17f901"
)


def packed(data):
    """(what is fetched, its length where that is not the file itself)."""
    return (DEEP_PACKED, len(DEEP_PACKED)) if data == DEEP else (data, 0)


def index(files):
    out = b""
    for name in sorted(files):
        data = files[name]
        out += entry(name, len(data), packed(data)[1], sha256(data).digest())
    return out


def drain(steps):
    for _ in steps:
        pass


def mounted(power, label, at):
    """The slot at a mount point; formatted where it cannot be mounted, which only a slot that does not run may be."""
    device = power.devices[label]
    try:
        fs = vfs.VfsLfs2(device, readsize=128, progsize=32)
    except OSError:
        vfs.VfsLfs2.mkfs(device, readsize=128, progsize=32)
        fs = vfs.VfsLfs2(device, readsize=128, progsize=32)
    vfs.mount(fs, at)


def install(files, sequence, running, at):
    """What the node does, with the files for a road."""
    made = Installer(at, running)
    data = index(files)
    made.begin(io.BytesIO(data), len(data), sha256(data).digest())
    while True:
        drain(made.prepare())
        if made.wanted is None:
            break
        data = packed(files[made.wanted[0]])[0]
        while not made.complete:
            made.write(data[made.fetched : made.fetched + 700])
        drain(made.settle())
    drain(made.finish(sequence))


def content(at):
    """The files of a slot's index, every digest checked."""
    with open(at + "/index", "rb") as f:
        data = f.read()
    found = {}
    for name, size, _, digest in entries(io.BytesIO(data).read, len(data)):
        with open(at + "/" + name, "rb") as f:
            found[name] = f.read()
        assert len(found[name]) == size and sha256(found[name]).digest() == digest, name
    return found


def umount_all():
    for at in ("/app", "/next"):
        try:  # noqa: SIM105
            vfs.umount(at)
        except OSError:
            pass
    while "/app" in sys.path:
        sys.path.remove("/app")


def life(power, one, two, seen):
    """From power on until the node has nothing left to do; returns what it runs then."""
    for _ in range(6):
        umount_all()
        record = slots.start(lambda label: power.devices[label], vfs)
        assert record.started is not None, "nothing can be started"
        found = content("/app")
        assert found in (one, two), "neither the old nor the new application"
        seen.append(1 if found == one else 2)
        if found == two:
            if record.state == slots.CONFIRMED:
                return record
            record.state = slots.CONFIRMED
            record.floor = 2
            record.save()
            continue
        mounted(power, slots.LABELS[record.started ^ 1], "/next")
        install(two, 2, "/app", "/next")
        record.slot = record.started ^ 1
        record.state, record.starts, record.why = slots.TRIAL, 0, slots.NOTHING
        record.save()
    raise AssertionError("the update does not come to an end")


def factory(seed):
    """Flash as it leaves the factory: version 1 in slot a, nothing else."""
    power = supply()
    umount_all()
    mounted(power, "slot_a", "/next")
    install(version(seed, 1), 1, "/nowhere", "/next")
    umount_all()
    return {name: device.cells for name, device in power.devices.items()}


def copied(cells):
    return {name: [bytearray(block) for block in blocks] for name, blocks in cells.items()}


def cut(cells, cut_at, torn, one, two):
    """One life that ends with the power at that operation; False when it came to its end before."""
    power = supply(cells, cut_at, torn)
    try:
        life(power, one, two, [])
    except PowerCut:
        return True
    finally:
        umount_all()
    return False


def survive(cells, one, two, name):
    power = supply(cells)
    seen = []
    try:
        record = life(power, one, two, seen)
    except Exception as e:  # noqa: BLE001 - whatever it was, its permutation is named
        sys.print_exception(e)
        raise AssertionError("permutation %s: %s" % (name, e))
    assert record.floor == 2 and seen[-1] == 2, "permutation %s: not updated when left alone" % name
    return power.operations


def main(seed, first, step, depth, only=()):
    one, two = version(seed, 1), version(seed, 2)
    new = factory(seed)
    whole = survive(copied(new), one, two, "%d:0" % seed)
    tried = 0
    at = first
    while at <= whole:
        for torn in (False, True) if not only else (bool(only[0]),):
            cells = copied(new)
            assert cut(cells, at, torn, one, two), "operation %d did not come" % at
            name = "%d:%d:%d" % (seed, at, torn)
            if not only:
                survive(copied(cells), one, two, name)
                tried += 1
            if depth == 2:
                second = only[1] if only else 1 if step < 0 else 1 + (at * 7 + torn) % 11
                while True:
                    for torn2 in (False, True) if not only else (bool(only[2]),):
                        again = copied(cells)
                        came = cut(again, second, torn2, one, two)
                        survive(again, one, two, "%s:%d:%d" % (name, second, torn2))
                        tried += 1
                    if only or not came:
                        break
                    second += max(step, 1)
        if only:
            break
        at += abs(step)
    print(json.dumps({"operations": whole, "tried": tried}))


if __name__ == "__main__":
    arguments = [int(a) for a in sys.argv[1:]]
    main(*arguments[:4], only=arguments[4:])
