"""What a node knows of its update from start to start, and how it says so (SPEC 14.8).

One small file in /config: state, reason, sequence, progress, the digest of the index that the other slot is being
filled with, the digest of the envelope that brought it, and where its files are; then what the trial is held against.
It is told as an event, sealed and acknowledged like a reading, so that whoever rolls out learns it from the node's key.
"""

import asyncio
import gc
import struct

from node.files import load, save
from node.journal import WARNING
from node.memory import drop

NONE, OFFERED, DOWNLOADING, VERIFIED, TRIAL, CONFIRMED, ROLLED_BACK, FAILED = range(8)
# Reasons 1 to 3 are the boot record's (slots.py): unconfirmed, damaged, given back.
NO_ROOT, REFUSED, BROKEN, FLASH, RUNTIME, BOARD, GONE, NO_PLACE = range(4, 12)
APPLICATION, IMAGE = 0, 1  # what is updated
EMERGENCY = 2  # role of a key whose updates do not wait (SPEC 14.7.1)
QUANTITIES = (120, 121, 122, 123)  # update_state, update_progress, update_sequence, update_reason
MENDABLE = (BROKEN, FLASH, GONE)  # what the same offer may overcome another time
ENVELOPE = "/config/envelope"  # the one that is looked at
KEYS = "/config/updatekeys"  # the set that is trusted
MOST = 8192  # bytes of an envelope (SPEC 14.6.1)
_PATH = "/config/update"
_FORM = "<BBBBBHII32s8s6s"
# What judging an offer loads, and what fetching it does. Whoever is still at work with one of them has it in hand.
_JUDGING = (
    "node.update.judge",
    "node.update.trust",
    "citymote_protocol.cbor",
    "citymote_protocol.cbor_read",
    "citymote_protocol.suit",
    "citymote_protocol.keyset",
    "citymote_protocol.sign1",
    "citymote_protocol.lms",
    "citymote_protocol.p256",
)
_FETCHING = (
    "node.update.manager",
    "node.update.installer",
    "node.links.http",
    "citymote_protocol.file_index",
)


class Refused(Exception):
    """Not for this node. `code`: a reason as above; `word`: the code of an answer (SPEC 14.10); the text says more."""

    def __init__(self, code, text, word="signature"):
        super().__init__(text)
        self.code = code
        self.word = word


class State:
    """`index`: digest of the index that is being installed; `offer`: of the envelope, 8 bytes; `url`: of the files;
    `role` and `signer` (id): of the key that signed; `turn`: the boot record's when all was verified, so that a start
    knows whether the switch has been (of an image: 0 or 1, its place); `readings`: values in the last row of the
    application before."""

    def __init__(self):
        self.state = self.reason = self.progress = self.role = self.kind = self.readings = 0
        self.sequence = self.turn = 0
        self.index = bytes(32)
        self.offer = bytes(8)
        self.signer = bytes(6)
        self.url = ""
        data = load(_PATH)
        if data and len(data) >= struct.calcsize(_FORM):
            found = struct.unpack_from(_FORM, data)
            self.state, self.reason, self.progress, self.role, self.kind, self.readings = found[:6]
            self.sequence, self.turn, self.index, self.offer, self.signer = found[6:]
            self.url = str(data[struct.calcsize(_FORM) :], "utf-8")

    def save(self):
        """Durable on return."""
        numbers = (
            self.state,
            self.reason,
            self.progress,
            self.role,
            self.kind,
            self.readings,
            self.sequence,
            self.turn,
        )
        save(_PATH, struct.pack(_FORM, *numbers, self.index, self.offer, self.signer) + self.url.encode())

    def again(self):
        """Whether the same offer may be taken once more."""
        return self.state == FAILED and self.reason in MENDABLE

    def also(self, url):
        """The files can be had there, too; whether that is news."""
        if self.state != DOWNLOADING or url == self.url:
            return False
        self.url = url
        self.save()
        return True

    def values(self):
        """In the order of QUANTITIES."""
        return (self.state, self.progress, self.sequence, self.reason)


async def in_steps(steps):
    """What a generator of short steps returns; the rest of the node goes on between them."""
    try:
        while True:
            try:
                next(steps)
            except StopIteration as e:
                return e.value
            await asyncio.sleep_ms(0)
    finally:
        steps.close()  # what is cancelled leaves no file open on a filesystem that goes


def clear(node):
    """Let go of what a question or a judgement has loaded; what an update that is under way works with stays."""
    for name in _JUDGING if node.updating is not None else _JUDGING + _FETCHING:
        drop(name)
    gc.collect()


def server(node, url):
    """A connection to a file server, yet to be made."""
    from node.links.http import Http

    ca = node.settings["broker_ca"]
    if not ca:
        return Http(node.hal.connect, url)
    return Http(node.hal.connect, url, {"ca": ca})


def no_trial(record, state):
    """Refused in a trial: the other slot has what comes back when this application fails."""
    if record.state or state.state == TRIAL:
        raise Refused(REFUSED, "the application that runs is on trial itself", "trial")


async def take(node, record, path, offer, url="", later=False):
    """Judge the envelope that lies there, and set to work on it; `offer`: 8 bytes of its digest. Refused says why not.

    `later`: a server offers it, of which there may be several: only a higher sequence takes the place of another. What
    judges is gone before what works is loaded.
    """
    made = node.updating
    state = made.state if made is not None else State()
    if offer == state.offer and not state.again():
        no_trial(record, state)
        if url:
            state.also(url)
        if made is None and state.state in (DOWNLOADING, VERIFIED):
            from .begin import resume

            resume(node, record)
        return
    from .judge import judged

    keys = load(KEYS)
    found = await judged(node, record, path)
    judged = None
    clear(node)
    made = node.updating
    state = made.state if made is not None else State()
    if load(KEYS) != keys:
        raise Refused(REFUSED, "the keys have changed meanwhile", "trial")
    if later and state.state in (DOWNLOADING, VERIFIED) and found[1] <= state.sequence:
        raise Refused(REFUSED, "%d is not above what is under way" % found[1], "trial")
    if made is None:
        from .manager import Manager

        made = Manager(node, record)
    with open(path, "rb") as source:
        await made.take(found, source, offer, url)


def fail(node, state, code, text):
    """That is the end of it: said, kept and told once, however often it comes."""
    node.log(WARNING, "update: %s" % text)
    if (state.state, state.reason) != (FAILED, code):
        state.state, state.reason = FAILED, code
        state.save()
        tell(node, state)


def tell(node, found):
    """An event with all four, now; whoever observes the resource hears it as well."""
    from citymote_protocol.event import encode_event

    time, clock = node.moment()
    columns = tuple([(quantity, 0) for quantity in QUANTITIES])
    values = found.values()

    def make(epoch, seq):
        return encode_event(node.name, epoch, seq, time, clock, columns, values, bytes(4))

    try:
        node.store.put(make)
    except OSError as e:
        node.supervisor.failed("store", e)
    if node.door is not None:
        node.door.notify("update")
    node.hal.event("update", {"state": found.state, "progress": found.progress, "reason": found.reason})
