"""CoAP's message layer (RFC 7252, sections 3 and 4; SPEC 12.3): acknowledgements, repetitions, duplicates.

One `Udp` for one socket, in either role, without socket or clock: `receive` takes a datagram, `send` a message, `tick`
the time in milliseconds; what has to go out then lies in `take()`. A confirmable request that is answered within a
second carries its answer in the acknowledgement, a slower one is acknowledged first and answered apart. Each answer is
kept as long as its request may be repeated, so a repeated request is answered again and not executed again; how many
are kept is bounded, the oldest go first (what must not be executed twice is protected by OSCORE's replay window).

What is done with a datagram (the first line that fits decides):

    1  shorter than 4 bytes, or another version    nothing
    2  not a message (any code of `coap`)          reset it if it is confirmable, else nothing
    3  acknowledgement or reset                    ends the repetition of what it names; a response in it is passed up
    4  empty, confirmable                          reset it: this is a ping (section 4.3)
    5  empty, not confirmable                      nothing
    6  seen before, still being worked on          acknowledge it if confirmable
    7  seen before, answered                       send the same again
    8  a request                                   remember it, pass it up
    9  a response                                  acknowledge it if confirmable, remember it, pass it up
"""

from .coap import is_request, parse, write
from .errors import FrameError

CON = 0
NON = 1
ACK = 2
RST = 3

ACK_TIMEOUT = 2000  # ms; section 4.8
MAX_RETRANSMIT = 4
EXCHANGE_LIFETIME = 247_000  # ms in which a confirmable message may be repeated; section 4.8.2
ACK_DELAY = 1000  # ms an answer may take before the request is acknowledged on its own: half of the peer's patience

RESET = "reset"  # why something sent has come to nothing: the peer knows nothing about it
TIMEOUT = "timeout"  # or does not answer


def decode(data):
    """(type, message id, Message) of a datagram; FrameError says what is wrong with it."""
    if len(data) < 4:
        raise FrameError("truncated", "%d bytes" % len(data))
    if data[0] >> 6 != 1:
        raise FrameError("coap_version", "%d" % (data[0] >> 6))
    return data[0] >> 4 & 3, data[2] << 8 | data[3], parse(data[1], data[0] & 15, data, 4)


def encode(kind, mid, message):
    return write(bytearray((0x40 | kind << 4 | len(message.token), message.code, mid >> 8, mid & 255)), message)


def _empty(kind, mid):
    return bytes((0x40 | kind << 4, 0, mid >> 8, mid & 255))


class _Seen:
    """A message that came in: its answer once there is one, so that a repetition is recognised."""

    def __init__(self, peer, mid, token, confirmable, at):
        self.peer = peer
        self.mid = mid
        self.token = token  # None once it is answered
        self.confirmable = confirmable
        self.acknowledged = not confirmable
        self.answer = b""  # none yet
        self.at = at


class _Sent:
    """A confirmable message that waits for its acknowledgement; `due` is None while it waits for its turn."""

    def __init__(self, peer, mid, token, data):
        self.peer = peer
        self.mid = mid
        self.token = token
        self.data = data
        self.due = None
        self.timeout = 0
        self.tries = 0


class Udp:
    """The message layer of one socket. `random(n)` gives n bytes; `most` bounds what is remembered either way."""

    needs_echo = False  # True where addresses can be forged: a first message is worked on when Echo came back

    def __init__(self, random, most=8, room=1024):
        self._random = random
        self._most = most
        self._room = room
        self._mid = int.from_bytes(random(2), "big")
        self._seen = []
        self._sent = []
        self._out = []
        self._lost = []

    def room(self, peer):
        """Bytes that a message's code, token, options and payload may take together on the way to this peer."""
        return self._room

    def waiting(self):
        """Whether `take` would give something."""
        return bool(self._out)

    def take(self):
        """[(peer, datagram)] to be sent now; forgotten here."""
        out, self._out = self._out, []
        return out

    def lost(self):
        """[(peer, token, reason)] of what was sent and came to nothing (RESET, TIMEOUT); forgotten here."""
        lost, self._lost = self._lost, []
        return lost

    def receive(self, peer, data, now):
        """A Message to be worked on, or None; see the table above."""
        try:
            kind, mid, message = decode(data)
        except FrameError:
            if len(data) > 3 and data[0] >> 4 == 4:  # version 1, confirmable
                self._out.append((peer, _empty(RST, data[2] << 8 | data[3])))
            return None
        if kind == ACK or kind == RST:
            return self._ended(peer, kind, mid, message, now)
        if message.code == 0:
            if kind == CON:
                self._out.append((peer, _empty(RST, mid)))
            return None
        self._expire(now)
        for seen in self._seen:
            if seen.mid == mid and seen.peer == peer:
                self._again(seen)
                return None
        request = is_request(message.code)
        if not request:
            self.forget(peer, message.token, now)  # the answer says that the request has arrived (section 5.2.2)
        seen = _Seen(peer, mid, message.token if request else None, kind == CON, now)
        if not request and kind == CON:
            seen.answer = _empty(ACK, mid)
            seen.acknowledged = True
            self._out.append((peer, seen.answer))
        self._remember(seen)
        return message

    def _again(self, seen):
        if seen.answer:
            self._out.append((seen.peer, seen.answer))
        elif seen.confirmable:
            seen.acknowledged = True
            self._out.append((seen.peer, _empty(ACK, seen.mid)))

    def _remember(self, seen):
        if len(self._seen) >= self._most:
            del self._seen[0]
        self._seen.append(seen)

    def _expire(self, now):
        while self._seen and now - self._seen[0].at >= EXCHANGE_LIFETIME:
            del self._seen[0]

    def _ended(self, peer, kind, mid, message, now):
        found = None
        for sent in self._sent:
            if sent.mid == mid and sent.peer == peer and sent.due is not None:
                found = sent
                break
        if found is not None:
            self._sent.remove(found)
            self._next(peer, now)
        if kind == RST:
            # What a reset names may also be a notification that was not confirmable: whoever sent it knows its token.
            if found or len(self._lost) < self._most:
                self._lost.append((peer, found.token if found else mid, RESET))
            return None
        if found is None or message.code == 0 or is_request(message.code):
            return None
        return message

    def _next(self, peer, now):
        """At most one confirmable message is under way to a peer (NSTART, section 4.7): start the next."""
        for sent in self._sent:
            if sent.peer == peer:
                if sent.due is None:
                    self._start(sent, now)
                return

    def _start(self, sent, now):
        # ACK_TIMEOUT to 1.5 times that, so that many peers do not repeat in step
        sent.timeout = ACK_TIMEOUT + (ACK_TIMEOUT // 2) * self._random(1)[0] // 255
        sent.due = now + sent.timeout
        self._out.append((sent.peer, sent.data))

    def _number(self):
        self._mid = self._mid + 1 & 0xFFFF
        return self._mid

    def send(self, peer, message, now, confirmable=False):
        """Send a message: as the answer to the request with its token where there is one, else on its own. Returns the
        message id, by which a reset of a message that is not confirmable is told (`lost`)."""
        if not is_request(message.code):
            for seen in self._seen:
                if seen.token == message.token and seen.peer == peer:
                    seen.token = None
                    if not seen.acknowledged:
                        seen.acknowledged = True
                        seen.answer = encode(ACK, seen.mid, message)
                        self._out.append((peer, seen.answer))
                        return seen.mid
                    confirmable = seen.confirmable
                    if confirmable:
                        seen.answer = _empty(ACK, seen.mid)
                    else:
                        mid = self._number()
                        seen.answer = encode(NON, mid, message)
                        self._out.append((peer, seen.answer))
                        return mid
                    break
        mid = self._number()
        data = encode(CON if confirmable else NON, mid, message)
        if not confirmable:
            self._out.append((peer, data))
            return mid
        if len(self._sent) >= self._most:
            gone = self._sent.pop()
            self._lost.append((gone.peer, gone.token, TIMEOUT))
        self._sent.append(_Sent(peer, mid, message.token, data))
        self._next(peer, now)
        return mid

    def forget(self, peer, token, now):
        """Repeat no more what was sent with this token: its answer has come, or nobody waits for it."""
        self._sent = [sent for sent in self._sent if sent.peer != peer or sent.token != token]
        self._next(peer, now)

    def tick(self, now):
        """Repeat, give up, and acknowledge what takes long."""
        for seen in self._seen:
            if not seen.acknowledged and not seen.answer and now - seen.at >= ACK_DELAY:
                seen.acknowledged = True
                self._out.append((seen.peer, _empty(ACK, seen.mid)))
        for sent in list(self._sent):
            if sent.due is None or now < sent.due:
                continue
            if sent.tries == MAX_RETRANSMIT:
                self._sent.remove(sent)
                self._lost.append((sent.peer, sent.token, TIMEOUT))
                self._next(sent.peer, now)
                continue
            sent.tries += 1
            sent.timeout *= 2
            sent.due = now + sent.timeout
            self._out.append((sent.peer, sent.data))

    def wait(self, now):
        """Milliseconds until `tick` has something to do, or None."""
        first = None
        for sent in self._sent:
            if sent.due is not None and (first is None or sent.due < first):
                first = sent.due
        for seen in self._seen:
            if not seen.acknowledged and not seen.answer:
                due = seen.at + ACK_DELAY
                if first is None or due < first:
                    first = due
        return None if first is None else max(0, first - now)
