"""CoAP over GATT's message layer (draft-ietf-core-coap-over-gatt-00, section 3.2; SPEC 15): four bits for each message.

One `Gatt` for all connections of a radio, in either role, with the same names as `coap_udp.Udp`, and like it without
socket or clock: `receive` takes the value of a characteristic, what has to be written or indicated lies in `take()`.
This is the draft's minimal use (3.2.2): every message is sent reliably, one at a time in each direction, and answered
by its acknowledgement in whatever comes next. The draft contradicts itself about the first Message ID; this sends 1
and takes either. GATT may lose a value between stack and application, so what is not acknowledged is sent again.

    bit 7 R  reserved: a value with it is ignored as a whole        bit 5 C  acknowledge this
    bit 6 M  Message ID of whoever sends it                         bit 4 A  the last M of the other that had C

What is done with a value (the first line that fits decides):

    1  no bytes, or R is set                 nothing
    2  A is the M that waits                 that message has arrived, the next one may go; go on
    3  the same as the one before, but for A acknowledge it again if C is set: the acknowledgement was lost
    4  C is set                              it will be acknowledged: at once, a request within 100 ms by its answer
    5  only one byte, or code 0.00 behind it nothing more: an acknowledgement
    6  not a message (any code of `coap`)    nothing more
    7  anything else                         pass it up
"""

from .coap import is_request, parse, write
from .errors import FrameError

R, M, C, A = 0x80, 0x40, 0x20, 0x10

SERVICE = "8df804b7-3300-496d-9dfa-f8fb40a236bc"
DOWN = "8bf52767-5625-43ca-a678-70883a366866"  # the central writes here
UP = "ab3720c8-7fc0-41f8-aa2a-9a45c2c01a4b"  # the peripheral indicates here

MAX_VALUE = 512  # bytes of an attribute's value, whatever the MTU (Core 5.4, volume 3, part F, 3.2.9)
MIN_MTU = 64  # SPEC 15.3

ACK_DELAY = 100  # ms in which an answer may carry the acknowledgement of its request
REPEAT = 2000  # ms without an acknowledgement after which a message is sent again; doubled each time
MAX_REPEATS = 3  # 30 s in all, GATT's own patience

TIMEOUT = "timeout"  # why something sent has come to nothing: the peer does not answer
CLOSED = "closed"  # or its connection has ended


class _Peer:
    """One connection. `waiting` is the message under way, as bytes; `queue` holds (token, message) behind it."""

    def __init__(self):
        self.mine = M  # our Message ID, in its place
        self.theirs = 0  # what they sent last with C, as our A
        self.used = False
        self.last = b""
        self.queue = []
        self.waiting = None
        self.token = None
        self.due = 0
        self.tries = 0
        self.owed = None  # when an acknowledgement is due


class Gatt:
    """The message layer of one radio; `most` bounds what may wait for a peer."""

    def __init__(self, most=4, room=MAX_VALUE - 1):
        self._most = most
        self._room = room
        self._peers = {}
        self._out = []
        self._lost = []
        self.silent = []  # peers that acknowledge nothing any more: the carrier hangs up on them, and takes them out

    def room(self, peer):
        """Bytes that a message's code, token, options and payload may take together."""
        return self._room

    def waiting(self):
        """Whether `take` would give something."""
        return bool(self._out)

    def take(self):
        """[(peer, value)] to be written or indicated now, in this order; forgotten here."""
        out, self._out = self._out, []
        return out

    def lost(self):
        """[(peer, token, reason)] of what was sent and came to nothing; forgotten here."""
        lost, self._lost = self._lost, []
        return lost

    def _peer(self, peer):
        found = self._peers.get(peer)
        if found is None:
            found = self._peers[peer] = _Peer()
        return found

    def close(self, peer, reason=CLOSED):
        """The connection has ended: a later one with this name begins anew."""
        p = self._peers.pop(peer, None)
        if p is None:
            return
        self._out = [item for item in self._out if item[0] != peer]
        if p.waiting is not None and p.token is not None:
            self._lost.append((peer, p.token, reason))
        for message in p.queue:
            self._lost.append((peer, message.token, reason))

    def receive(self, peer, data, now):
        """A Message to be worked on, or None; see the table above."""
        if not data or data[0] & R:
            return None
        p = self._peer(peer)
        head = data[0]
        # First of all: two acknowledgements in a row, of two notifications, differ in A alone.
        if p.waiting is not None and bool(head & A) == bool(p.mine):
            p.waiting = None
        last = p.last
        if last and head & ~A == last[0] & ~A and data[1:] == last[1:]:
            if head & C:
                p.owed = now
            self._next(peer, p, now)
            return None
        p.last = bytes(data)
        if head & C:
            p.theirs = A if head & M else 0
            p.owed = now
        message = None
        if len(data) > 1 and (len(data) > 2 or data[1]):
            try:
                message = parse(data[1], head & 15, data, 2)
            except FrameError:
                pass
        if p.owed is not None and message is not None and is_request(message.code):
            p.owed = now + ACK_DELAY
        self._next(peer, p, now)
        self._acknowledge(peer, p, now)
        return message

    def send(self, peer, message, now, confirmable=False):
        """Send a message, reliably in any case. A newer notification takes the place of one that still waits."""
        p = self._peer(peer)
        for i in range(len(p.queue)):
            if p.queue[i].token == message.token and not is_request(message.code):
                p.queue[i] = message
                return
        if len(p.queue) >= self._most:
            self._lost.append((peer, p.queue.pop(0).token, TIMEOUT))
        p.queue.append(message)
        self._next(peer, p, now)

    def _next(self, peer, p, now):
        if p.waiting is not None or not p.queue:
            return
        message = p.queue.pop(0)
        if p.used:
            p.mine ^= M
        p.used = True
        p.waiting = write(bytearray((len(message.token), message.code)), message)
        p.token = message.token
        p.tries = 0
        self._transmit(peer, p, now)

    def _transmit(self, peer, p, now):
        p.due = now + (REPEAT << p.tries)
        p.owed = None
        self._out.append((peer, bytes((p.waiting[0] | p.mine | C | p.theirs,)) + p.waiting[1:]))

    def _acknowledge(self, peer, p, now):
        if p.owed is not None and now >= p.owed:
            p.owed = None
            self._out.append((peer, bytes((p.mine | p.theirs,))))

    def forget(self, peer, token, now):
        """Send no more what waits with this token: nobody asks for it any longer."""
        p = self._peers.get(peer)
        if p is not None:
            p.queue = [message for message in p.queue if message.token != token]
            if p.token == token:
                p.token = None  # on its way; its fate interests nobody

    def tick(self, now):
        """Repeat, give up, and acknowledge what takes long."""
        for peer in list(self._peers):
            p = self._peers[peer]
            if p.waiting is not None and now >= p.due:
                if p.tries == MAX_REPEATS:
                    self.close(peer, TIMEOUT)
                    self.silent.append(peer)
                    continue
                p.tries += 1
                self._transmit(peer, p, now)
            self._acknowledge(peer, p, now)

    def wait(self, now):
        """Milliseconds until `tick` has something to do, or None."""
        first = None
        for p in self._peers.values():
            if p.waiting is not None and (first is None or p.due < first):
                first = p.due
            if p.owed is not None and (first is None or p.owed < first):
                first = p.owed
        return None if first is None else max(0, first - now)
