"""Runs in a MicroPython VM: a node is claimed, configured, tried, transferred, recovered and reset, and its power is
cut at every operation on its flash.

arguments: first operation, step, again, [stop]; what the owners have signed comes as JSON. At each chosen operation two
images of the flash are made, one before the operation and one with half of it done; the node's own start runs on each,
and what it then is has to be what it was before the request under way, or what it is after it; the same request again
brings it to the latter. With `again` 1, power is lost once more at every operation of that. Prints one line of JSON; a
failure names its id, "operation:torn" (and those of the second cut), and the request.
"""

import gc
import json
import os
import sys

import vfs
from node import app, files, hal
from node.access import prove, record
from node.hal.unix_flash import PROGRAM_SIZE, READ_SIZE, PowerCut, RamFlash
from node.journal import Journal

from citymote_protocol import claim, coap
from citymote_protocol.coap_client import request as message_of
from citymote_protocol.coap_server import Request

BLOCKS = {"config": 16, "store": 8}
SIGNED = json.load(sys.stdin)
OLD, NEW, SECRET = [bytes.fromhex(SIGNED[name]) for name in ("old", "new", "secret")]
BOUND = bytes(range(32))  # the exporter value of every session here
hal.deployed = lambda: False


class Flash(RamFlash):
    """Remembers, before each operation, what both flashes held and what the operation was."""

    probe = None

    def _operate(self):
        return False if self.probe else super()._operate()

    def writeblocks(self, block, buf, offset=None):
        if self.probe:
            self.probe(self, block, bytes(buf), offset or 0)
        return super().writeblocks(block, buf, offset)

    def ioctl(self, op, arg):
        if op == 6 and self.probe:
            self.probe(self, arg, None, 0)
        return super().ioctl(op, arg)


class Keys:
    def exporter(self, label, context, length):
        return BOUND


class Session:
    recipient_id = b"\x01"
    recipient_key = b"k" * 16
    claims = None


class Store:
    """Of the trial's node: nothing waits."""

    def flush(self):
        pass


class Tried:
    store = Store()


def mount(flashes):
    for name in flashes:
        fs = vfs.VfsLfs2(flashes[name], readsize=READ_SIZE, progsize=PROGRAM_SIZE)
        vfs.mount(fs, "/" + name)


def unmount():
    for name in BLOCKS:
        vfs.umount("/" + name)


def quiet(level, text):
    pass


class Life:
    """A node from one start to the next."""

    def __init__(self):
        log = Journal(quiet, lambda: 0)
        self.settings, self.door = app._place(log, app._settings(log))
        self.door.name = bytes.fromhex(SIGNED["name"])
        self.door.held = lambda: True
        self.log = log

    def ask(self, role, code, path, body, query=None, want=coap.CHANGED):
        """A request in a session of its own; the code of the answer has to be `want`."""
        desk = self.door.open()
        session = Session()
        session.claims = (role, 0xFFFFFFFF, b"")
        desk.sessions.begin(session, Keys())
        if role:
            desk.sessions.admit(session)
        message = message_of(code, path, body)
        if query:
            coap.put_option(message.options, coap.URI_QUERY, query)
        asked = Request(None, None, message, session, 0)
        asked.path = path
        assert desk._permit(asked) is True, "not permitted"
        steps = desk.server.call(desk.server.resources[path][1][code - 1], asked)
        try:
            while True:
                next(steps)
        except StopIteration as done:
            answer = done.value
        assert answer.code == want, "%s: %s %s" % (path, coap_text(answer.code), bytes(answer.payload))

    def look(self):
        """What this node is, as far as it lasts."""
        owner, trial = self.door.owner, self.door.trial
        public = dict(self.settings.public())
        return {
            "owner": owner.key.hex(),
            "epoch": owner.epoch,
            "trial": (trial.number, trial.state, trial.detail, trial.proven),
            "purpose": self.door.purpose,
            "pending": record.pending(),
            "in force": (public["station"], public["interval"], public["broker_host"]),
            "password": files.load("/config/settings", 16384) is not None and self.settings["broker_password"],
            "offer": files.load(record.OFFER, 1400) is not None,
            "recovery": files.load(record.RECOVERY, 64) is not None,
            "time": (files.load(record.OWNER_TIME, 16) or b"").hex(),
            "readings": sorted(os.listdir("/store")),
            "label": self.door.open().secrets() == (bytes(range(32)), b"\x02" + bytes(range(32)), SECRET),
        }


def coap_text(code):
    return "%d.%02d" % (code >> 5, code & 31)


def tag(owner):
    crypto = Life.crypto
    return claim.write(owner, claim.claim_tag(crypto, claim.claim_key(crypto, SECRET), BOUND, owner))


def body(text):
    return bytes.fromhex(SIGNED[text])


def claimed(life):
    life.ask(0, coap.POST, "claim", tag(OLD))


def configured(life):
    life.ask(3, coap.IPATCH, "config", body("configuration"))


def begun(life):
    life.ask(3, coap.POST, "config/trial", b"\x82\x07\x18\x3c")


def started(life):
    pass  # a start is what every image has behind it


def succeeded(life):
    if life.door.trial.state == record.RUNNING:
        node = Tried()
        node.settings = life.settings
        prove._succeed(node, life.door.trial, hal, quiet, 3)


def corrected(life):
    life.ask(3, coap.IPATCH, "config", body("correction"), b"fresh")


def raised(life):
    life.ask(3, coap.PUT, "epoch", b"\x05")


def timed(life):
    life.ask(2, coap.PUT, "time", body("time"))


def forgot(life):
    life.ask(3, coap.POST, "reset", b"\x81\x01")


def offered(life):
    life.ask(3, coap.PUT, "owner", body("offer"))


def taken(life):
    if life.door.owner.key == OLD:
        life.ask(0, coap.POST, "owner", body("confirmation"))


def recovering(life):
    life.ask(0, coap.POST, "recovery", tag(OLD))


def vetoed(life):
    life.ask(3, coap.DELETE, "recovery", b"", None, coap.DELETED)


def reset(life):
    if life.door.owner.key:
        life.ask(3, coap.POST, "reset", b"\x81\x02")


# (request, whether the node restarts after it)
STORY = (
    (claimed, False), (configured, False), (begun, True), (started, False), (succeeded, False), (corrected, False),
    (raised, False), (timed, False), (forgot, True), (started, False), (offered, False), (taken, True),
    (started, False), (recovering, False), (vetoed, False), (configured, False), (recovering, False), (reset, True),
    (started, False), (claimed, False),
)  # fmt: skip


class Recorder:
    """Images of the flash at each operation, as lists of blocks that later ones share."""

    def __init__(self, flashes, request=0):
        self.flashes = flashes
        self.frozen = {name: [bytes(cells) for cells in flashes[name].cells] for name in flashes}
        self.operations = []  # (request's number, flash, block, bytes or None, offset, image before)
        self.request = request
        self.dirty = None
        for name in flashes:
            flashes[name].probe = self

    def settle(self):
        """The image of this moment."""
        if self.dirty:
            name, block = self.dirty
            self.frozen[name] = list(self.frozen[name])
            self.frozen[name][block] = bytes(self.flashes[name].cells[block])
            self.dirty = None
        return self.frozen

    def __call__(self, flash, block, data, offset):
        self.settle()
        name = "config" if flash is self.flashes["config"] else "store"
        self.operations.append((self.request, name, block, data, offset, dict(self.frozen)))
        self.dirty = (name, block)


def revived(image):
    made = {}
    for name in image:
        made[name] = RamFlash(BLOCKS[name], cells=[bytearray(cells) for cells in image[name]])
    return made


def look_at(image):
    """What a node with this flash is after its start."""
    mount(revived(image))
    try:
        return Life().look()
    finally:
        unmount()


def factory(flashes):
    for name in flashes:
        vfs.VfsLfs2.mkfs(flashes[name], readsize=READ_SIZE, progsize=PROGRAM_SIZE)
    mount(flashes)
    identity = b"cut\x01" + bytes(range(32)) + b"\x02" + bytes(range(32)) + SECRET
    files.save("/config/identity.bin", identity)
    for k in range(3):
        with open("/store/%d" % k, "wb") as f:
            f.write(bytes(700))


def tell(recorder):
    """The story without a cut; what the node is after each request, and the recorder has the images between."""
    states = [look_at(recorder.frozen)]
    life = None
    for number, (request, restarts) in enumerate(STORY):
        recorder.request = number
        mount(recorder.flashes)
        if life is None:
            life = Life()
        request(life)
        recorder.settle()
        if restarts:
            life = None
        unmount()
        states.append(look_at(recorder.frozen))
        gc.collect()
    return states


def cut(entry, torn, states, again):
    """One loss of power, and with `again` one more at every operation after it: what is wrong as (id, sentence)."""
    number, name, block, data, offset, image = entry
    flashes = revived(image)
    if torn:
        dying = RamFlash(BLOCKS[name], 1, True, flashes[name].cells)
        try:
            if data is None:
                dying.ioctl(6, block)
            else:
                dying.writeblocks(block, data, offset)
        except PowerCut:
            pass
    if again:
        flashes = {each: Flash(BLOCKS[each], cells=flashes[each].cells) for each in flashes}
        recorder = Recorder(flashes, number)
    mount(flashes)
    try:
        life = Life()
        found = life.look()
        if found not in (states[number], states[number + 1]):
            return "", "neither before nor after: %s" % found
        STORY[number][0](life)
    finally:
        unmount()
    if again:
        for at, second in enumerate(recorder.operations):
            for half in (0, 1):
                SAID["tried"] += 1
                wrong = cut(second, half, states, False)
                if wrong:
                    return ":%d:%d" % (at + 1, half), wrong[1]
        flashes = revived(recorder.settle())
    mount(flashes)
    try:
        found = Life().look()
        if found != states[number + 1]:
            return "", "not where it would have been: %s" % found
    finally:
        unmount()


SAID = {"tried": 0}


def main():
    first, step, again = [int(argument) for argument in sys.argv[1:4]]
    from node.crypto import NodeCrypto

    Life.crypto = NodeCrypto(hal.random)
    flashes = {name: Flash(BLOCKS[name]) for name in BLOCKS}
    factory(flashes)
    unmount()
    recorder = Recorder(flashes)
    states = tell(recorder)
    SAID["operations"] = [[0, request.__name__] for request, _ in STORY]
    for entry in recorder.operations:
        SAID["operations"][entry[0]][0] += 1
    SAID["states"] = states
    stop = int(sys.argv[4]) if len(sys.argv) > 4 else len(recorder.operations)
    for at in range(first - 1, stop, step):
        entry = recorder.operations[at]
        for torn in (0, 1):
            gc.collect()
            wrong = cut(entry, torn, states, again)
            SAID["tried"] += 1
            if wrong:
                SAID["failed"] = "%d:%d%s" % (at + 1, torn, wrong[0])
                SAID["request"], SAID["why"] = STORY[entry[0]][0].__name__, wrong[1]
                print(json.dumps(SAID))
                sys.exit(1)
    print(json.dumps(SAID))


main()
