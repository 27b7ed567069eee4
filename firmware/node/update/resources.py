"""The resources `update`, `update/keys` and `update/file` (SPEC 14.9, 16.5): an update over whatever carries requests.

An envelope and a key set are judged as those of a file server are; a file's bytes go straight to the flash, block by
block, at the offset that is due. So a download that another road began goes on here, and the other way round. `desk`
is whoever serves: `desk.door.node` the running node or None, `desk.server`, `desk.door.wake()`.
"""

import asyncio
from hashlib import sha256

from node.files import remove

from citymote_protocol import cbor
from citymote_protocol.coap import BAD_REQUEST, CHANGED, CONFLICT, CONTENT, SERVER_ERROR, TOO_LARGE_ENTITY, UNAVAILABLE
from citymote_protocol.coap_server import FRESH, OBSERVABLE, STREAM, Refused

from .state import ENVELOPE, MOST, State

CBOR = 60
_LEAST_PREFIX = 4  # bytes of a digest that name a file

# path, flags, methods with what they need
FLAGS = {"update": FRESH | OBSERVABLE | STREAM, "update/keys": 0, "update/file": STREAM}


def _node(desk):
    node = desk.door.node
    if node is None:
        raise Refused(UNAVAILABLE, "slots: nothing works here yet")
    if node.boot is None:
        raise Refused(UNAVAILABLE, "slots: this node has no slots")
    return node


def told(node):
    """[state, reason, sequence, progress, wanted digest or null, offset, total]."""
    made = node.updating
    found = made.state if made else State()
    want = made.wanted if made else None
    digest, offset, total = want or (None, 0, 0)
    return [found.state, found.reason, found.sequence, found.progress, digest, offset, total]


def state(desk, request):
    """GET update."""
    return CONTENT, cbor.dumps(told(_node(desk))), CBOR


def _done(desk, work):
    # Run a coroutine of the node beside everything else; nothing is answered meanwhile.
    came = []

    async def run():
        try:
            came.append((await work, None))
        except Exception as e:
            came.append((None, e))
        desk.server.paused = False
        desk.door.wake()

    desk.server.paused = True
    asyncio.create_task(run())
    while not came:
        yield
    result, error = came[0]
    if error is None:
        return result
    if isinstance(error, OSError):
        raise Refused(SERVER_ERROR, "storage")
    word = getattr(error, "word", None)
    if word is None:
        raise error
    raise Refused(SERVER_ERROR if word == "storage" else BAD_REQUEST, "%s: %s" % (word, error))


class _Offer:
    # An envelope on its way to the flash, where it is judged; its file is open until the last block has come.
    def __init__(self, who):
        self.who = who
        self.size = 0
        self.found = sha256()
        self.file = open(ENVELOPE, "wb")

    def add(self, piece):
        self.file.write(piece)
        self.found.update(piece)
        self.size += len(piece)


def _drop(desk):
    kept = getattr(desk, "envelope", None)
    desk.envelope = None
    if kept is not None:
        kept.file.close()
    return kept


def offer(desk, request):
    """POST update: an envelope, which may come in blocks."""
    node = _node(desk)
    who = request.session or request.peer
    try:
        if request.offset == 0:
            _drop(desk)
            desk.envelope = _Offer(who)
        kept = getattr(desk, "envelope", None)
        if kept is None or kept.who is not who and kept.who != who or kept.size != request.offset:
            raise Refused(BAD_REQUEST, "block: the envelope begins anew")
        if request.offset + len(request.payload) > MOST:
            _drop(desk)
            raise Refused(TOO_LARGE_ENTITY, "too_large")
        kept.add(request.payload)
        if request.more:
            return CHANGED
        _drop(desk)
    except OSError:
        raise Refused(SERVER_ERROR, "storage")
    yield from _done(desk, _offered(node, kept.found.digest()[:8]))
    return CHANGED


async def _offered(node, offer):
    from .state import take

    try:
        await take(node, node.boot, ENVELOPE, offer)
    finally:
        remove(ENVELOPE)


def keys(desk, request):
    """PUT update/keys: a key set of the root."""
    from .trust import take_keys

    node = _node(desk)
    yield from _done(desk, take_keys(node, request.payload, True))
    return CHANGED


def push(desk, request):
    """PUT update/file?d=PREFIX&o=OFFSET: bytes of the file that is due; the answer is the offset that is due next."""
    node = _node(desk)
    made = node.updating
    try:
        prefix = bytes.fromhex(request.query("d") or "")
        at = int(request.query("o") or "0") + request.offset
    except ValueError:
        raise Refused(BAD_REQUEST, "query: d=hexadecimal digits, o=number")
    if len(prefix) < _LEAST_PREFIX:
        raise Refused(BAD_REQUEST, "query: d has at least %d bytes" % _LEAST_PREFIX)
    want = made.wanted if made else None
    if want is None or not want[0].startswith(prefix):
        raise Refused(CONFLICT, "file: not the one that is due")
    due = made.push(prefix, at, request.payload)
    return CHANGED, cbor.dumps(due[1]), CBOR
