# Runs inside the VM for test_identity.py: the node's identity on a real littlefs whose flash loses power.
#
# `identity_vm.py CASE` prints what it saw, one fact a line; the pytest half judges.
# ruff: noqa: SIM105
import os
import sys

import vfs
from node import identity
from node.crypto import NodeCrypto

from citymote_protocol.p256 import CurveError

SIZE = 512
BLOCKS = 64


class Flash:
    """NOR flash in RAM. At operation `fail_at` the power goes: that write is torn, everything after it fails."""

    def __init__(self):
        self.data = bytearray(b"\xff" * (SIZE * BLOCKS))
        self.operations = 0
        self.fail_at = None
        self.torn = True  # what is being written when the power goes is half there; else not at all

    def _power(self):
        self.operations += 1
        return self.fail_at is None or self.operations < self.fail_at

    def readblocks(self, block, buf, offset=0):
        start = block * SIZE + offset
        buf[:] = memoryview(self.data)[start : start + len(buf)]

    def writeblocks(self, block, buf, offset=0):
        start = block * SIZE + offset
        if self._power():
            self.data[start : start + len(buf)] = buf
            return
        if self.operations == self.fail_at and self.torn:
            half = len(buf) // 2
            self.data[start : start + half] = memoryview(buf)[:half]
        raise OSError(5)

    def ioctl(self, operation, argument):
        if operation == 4:
            return BLOCKS
        if operation == 5:
            return SIZE
        if operation == 6:
            start = argument * SIZE
            if self._power():
                self.data[start : start + SIZE] = b"\xff" * SIZE
                return 0
            if self.operations == self.fail_at and self.torn:
                self.data[start : start + SIZE // 2] = b"\xff" * (SIZE // 2)
            raise OSError(5)
        return 0


class FastCrypto(NodeCrypto):
    """Key pairs without the curve: hundreds of boots are about files. `real` cases use NodeCrypto itself."""

    def key_pair_steps(self):
        private = self.random(32)
        yield
        return private, b"\x02" + self.sha256(private).digest()


def mount(flash):
    try:
        vfs.umount("/config")
    except OSError:
        pass
    vfs.mount(vfs.VfsLfs2(flash), "/config")


def fresh():
    flash = Flash()
    vfs.VfsLfs2.mkfs(flash)
    mount(flash)
    return flash


def boot(crypto=FastCrypto, random=os.urandom):
    made = crypto(random)
    return identity.open_identity("/config", made), made


def refusal(random=os.urandom):
    try:
        boot(random=random)
    except identity.IdentityError as error:
        return error.code
    return None


def real():
    fresh()
    first, crypto = boot(NodeCrypto)
    again, _ = boot(NodeCrypto)
    from citymote_protocol import p256, sealing

    print("id", first.node_id == again.node_id == sealing.node_id(crypto.sha256, first.public))
    print("public", p256.public_key(first.private_key(), None) == first.public)
    print("boots", first.boots, again.boots)
    print("claim", len(first.claim_secret()), first.claim_secret() == again.claim_secret())
    shown = repr(first) + str(first) + repr(vars_of(first))
    print("shown", first.private_key().hex() in shown, repr(first.private_key()) in shown, repr(first))


def vars_of(thing):
    return [name for name in dir(thing) if not name.startswith("_")]


def first_boot_cuts():
    """The power goes at every operation of the first boot; then the node boots again."""
    cut = complete = changed = 0
    while True:
        flash = fresh()
        start = flash.operations
        flash.fail_at = start + cut + 1
        shown = None
        try:
            node, _ = boot()
            if node.persisted:
                shown = node
        except (identity.IdentityError, OSError):
            pass
        done = flash.operations < flash.fail_at
        flash.fail_at = None
        mount(flash)
        second, _ = boot()
        # What open_identity returned may be on a label already: it must be the same for ever.
        if shown is not None:
            complete += 1
            changed += shown.node_id != second.node_id
        third, _ = boot()
        changed += second.node_id != third.node_id or third.boots != second.boots + 1
        if done:
            break
        cut += 1
    print("cuts", cut, "complete", complete, "changed", changed)


def later_boot_cuts():
    """The power goes at every operation of a later boot: same identity, and the counter never goes back."""
    flash = fresh()
    node, _ = boot()
    before, _ = boot()
    image = bytes(flash.data)
    cut = changed = backwards = 0
    while True:
        flash.data[:] = image
        mount(flash)
        flash.operations = 0
        flash.fail_at = cut + 1
        try:
            boot()
        except (identity.IdentityError, OSError):
            pass
        done = flash.operations < flash.fail_at
        flash.fail_at = None
        mount(flash)
        after, _ = boot()
        changed += after.node_id != node.node_id or after.private_key() != node.private_key()
        backwards += after.boots <= before.boots
        if done:
            break
        cut += 1
    print("cuts", cut, "changed", changed, "backwards", backwards)


def small_files_cuts():
    """The power goes at every operation, whole and torn, of a change of settings, of the crash counter and of a note of
    the time: each is afterwards what it was or what it should become, and nothing else."""
    from node.files import Pair, load, save
    from node.settings import Settings

    flash = fresh()
    old = {"interval": 600, "broker_host": "a.example", "broker_password": "x" * 200}
    new = {"interval": 900, "broker_host": "b.example", "broker_password": "y" * 200}

    def pair():
        made = Pair("/config/pair.")
        return made, made.load()

    def state():
        settings = Settings("/config/settings")
        told = tuple(settings[key] for key in sorted(old)), tuple(settings.problems)
        return told, load("/config/crashes"), load("/config/clock"), pair()[1]

    def write(settings, crashes, clock, cursor):
        for _ in range(2):
            Settings("/config/settings").change(settings)
            save("/config/crashes", crashes)
            save("/config/clock", clock)
            pair()[0].save(cursor)
            yield

    for _ in write(old, b"\x01", b"1111", b"first"):
        pass
    before = state()
    image = bytes(flash.data)
    for _ in write(new, b"\x02", b"2222", b"second"):
        break
    after = state()
    cut = between = 0
    for flash.torn in (True, False):
        at = 0
        while True:
            flash.data[:] = image
            mount(flash)
            flash.operations = 0
            flash.fail_at = at + 1
            try:
                for _ in write(new, b"\x02", b"2222", b"second"):
                    break
            except OSError:
                pass
            done = flash.operations < flash.fail_at
            flash.fail_at = None
            mount(flash)
            now = state()
            # in the order of writing: once one is the old one, so are those behind it
            fresh_ones = [found == wanted for found, wanted in zip(now, after)]
            for found, one, other in zip(now, before, after):
                between += found not in (one, other)
            between += fresh_ones != sorted(fresh_ones, reverse=True)
            if done:
                break
            at += 1
        cut += at
    print("cuts", cut, "between", between, "differ", before != after)


def restored_images():
    """Flash put back to an old image at random: boot ids (counter and random bytes) stay different all the same."""
    images = [bytearray(SIZE * BLOCKS) for _ in range(3)]  # before the heap is in pieces
    flash = fresh()
    boot()
    images[0][:] = flash.data
    taken = 1
    seen = set()
    boots = 0
    for turn in range(300):
        if turn % 3 == 0:
            flash.data[:] = images[turn // 3 % taken]
            mount(flash)
        node, crypto = boot()
        seen.add((node.boots, crypto.random(8)))
        boots += 1
        if turn % 50 == 49 and taken < 3:
            images[taken][:] = flash.data
            taken += 1
    print("boots", boots, "different", len(seen), "counters", len({counter for counter, _ in seen}))


def refusals():
    fresh()

    def not_ready(count):
        raise OSError(11)

    print("no radio", refusal(not_ready), os.listdir("/config"))
    print("dead", refusal(bytes), os.listdir("/config"))

    class Dead(NodeCrypto):
        pass

    try:
        boot(Dead, lambda count: b"\x55" * count)
        print("dead, real curve: taken")
    except (identity.IdentityError, CurveError) as error:
        print("dead, real curve", error.code)
    boot()
    node, crypto = boot(random=not_ready)
    try:
        crypto.random(8)
        print("hedge gave bytes")
    except OSError:
        print("hedge refuses", node.boots)


def _spoil(name):
    with open("/config/" + name, "r+b") as file:
        file.seek(10)
        byte = file.read(1)
        file.seek(10)
        file.write(bytes((byte[0] ^ 0xFF,)))


def damage():
    fresh()
    node, _ = boot()
    for name in ("identity.bin", "identity.bak"):
        _spoil(name)
        again, _ = boot()
        print(name, "spoiled", again.node_id == node.node_id)
        os.remove("/config/" + name)
        again, _ = boot()
        print(name, "removed", again.node_id == node.node_id)
    _spoil("boot.bin")
    again, _ = boot()
    print("boot.bin spoiled", again.node_id == node.node_id, again.boots)
    _spoil("identity.bin")
    _spoil("identity.bak")
    print("both spoiled", refusal())
    os.remove("/config/identity.bin")
    print("one removed", refusal())
    os.remove("/config/identity.bak")
    print("both removed", refusal())


def worn():
    """Flash that no longer takes a write: the node still knows who it is, and says that its counter is not kept."""
    flash = fresh()
    node, _ = boot()
    flash.fail_at = flash.operations + 1
    again, crypto = boot()
    print("worn", again.node_id == node.node_id, again.boots, again.persisted, len(crypto.random(8)))
    flash = fresh()
    flash.fail_at = flash.operations + 1
    print("worn at first", refusal())


def hedged():
    """A generator that gives the same bytes on every boot: the stored seed keeps the draws apart."""
    fresh()
    state = [0]

    def weak(count):
        state[0] += 1
        return NodeCrypto(None).sha256(b"%d" % state[0]).digest()[:count]

    draws = []
    for _ in range(20):
        state[0] = 0
        _, crypto = boot(random=weak)
        draws.append(crypto.random(8))
        draws.append(crypto.random(8))
    print("draws", len(draws), "different", len(set(draws)))


globals()[sys.argv[1]]()
