"""Block-wise transfer on the server (RFC 7959; SPEC 12.4): bodies put together, and handed out in pieces.

One body comes in at a time and one goes out at a time, whoever's they are: a small heap holds no more. What a new
request needs takes the place of what nobody has asked for in `PATIENCE`; a transfer that is still going on is not
pushed aside, the newcomer is told to come back. Which request a block belongs to is told by everything that RFC 9175
(section 3.3) counts: who asks, the method, and all options but the Block options themselves, Request-Tag among them.
"""

from . import block
from .coap import (
    BAD_OPTION,
    BAD_REQUEST,
    BLOCK1,
    BLOCK2,
    CONTINUE,
    ECHO,
    ETAG,
    INCOMPLETE,
    MAX_AGE,
    OBSERVE,
    SIZE1,
    SIZE2,
    TOO_LARGE_ENTITY,
    UNAVAILABLE,
    Message,
    body_size,
    put_option,
    uint_bytes,
)
from .errors import FrameError

PATIENCE = 30_000  # ms without the next block: six times what a lost message over BLE costs

# The options that do not tell one transfer from another: they say where in it we are, or vary without meaning (Echo)
_PLACE = (OBSERVE, BLOCK1, BLOCK2, SIZE1, SIZE2, ECHO)

# What a piece has beside the answer's own options: ETag, Block2, Size2, Observe, the marker
_MORE = 18


def key_of(who, message):
    return [who, message.code] + [option for option in message.options if option[0] not in _PLACE]


class Blocks:
    """The transfers of one server."""

    def __init__(self, most, sha256):
        self._most = most  # bytes of a body
        self._sha256 = sha256
        self._key = None  # of the body that is coming in
        self._body = bytearray()
        self._until = 0
        self._sent_key = None  # of the body that is going out
        self._sent = None  # (code, options, payload, etag)

    def collect(self, who, message, now):
        """Take one block of a request's body. (answer, None) while more is due or where it does not fit in; then
        (None, body): the request is complete."""
        try:
            number, more, exponent = block.read(message.option(BLOCK1))
        except FrameError:
            return Message(BAD_OPTION), None
        payload = message.payload
        size = 16 << exponent
        # A block that is not the last is full (section 2.3); the last one has something in it or is the only one.
        if len(payload) > size or more and len(payload) != size:
            return Message(BAD_REQUEST), None
        key = key_of(who, message)
        at = number * size
        if at + len(payload) > self._most:
            self._forget(key)
            return Message(TOO_LARGE_ENTITY, b"", [(SIZE1, uint_bytes(self._most))]), None
        if number == 0:
            if not more:
                self._forget(key)
                return None, payload
            if self._key is not None and self._key != key and now < self._until:
                return Message(UNAVAILABLE, b"", [(MAX_AGE, b"\x05")]), None
            self._key = key
            self._body = bytearray()
        elif self._key != key or len(self._body) != at:
            self._forget(key)
            return Message(INCOMPLETE), None
        self._body.extend(payload)
        self._until = now + PATIENCE
        if more:
            return Message(CONTINUE, b"", [(BLOCK1, message.option(BLOCK1))]), None
        body = self._body
        self._forget(key)
        return None, bytes(body)

    def stream(self, request, partial):
        """Set `offset` and `more` of a request whose blocks go to the resource as they come; False if it is none."""
        try:
            number, request.more, exponent = block.read(partial)
        except FrameError:
            return False
        request.offset = number * (16 << exponent)
        return True

    def _forget(self, key):
        if self._key == key:
            self._key = None
            self._body = bytearray()

    def again(self, who, message):
        """The answer that the client is fetching piece by piece, if it is the one kept."""
        if self._sent_key is not None and self._sent_key == key_of(who, message):
            return self._sent
        return None

    def cut(self, who, request, answer, room):
        """The piece of an answer that was asked for, or the first that fits; what is left is kept for its sake."""
        wanted = request.option(BLOCK2)
        number = 0
        exponent = block.exponent_for(room - body_size(Message(answer.code, b"", answer.options)) - _MORE)
        if wanted is not None:
            try:
                number, _, asked = block.read(wanted)
            except FrameError:
                return Message(BAD_OPTION)
            if asked < exponent:
                exponent = asked
            elif asked > exponent:
                # The client counts in larger blocks than fit: the same place in smaller ones (section 2.4)
                number <<= asked - exponent
        size = 16 << exponent
        payload = answer.payload
        at = number * size
        if number and at >= len(payload):
            return Message(BAD_REQUEST, b"", [], b"no such block")
        more = at + size < len(payload)
        if number or more:
            self._sent_key = key_of(who, request)
            self._sent = answer
        if not more and self._sent is answer:
            self._sent_key = self._sent = None
        options = list(answer.options)
        if number or more:
            put_option(options, ETAG, self._sha256(payload).digest()[:4])
        put_option(options, BLOCK2, block.value(number, more, exponent))
        if not number and more:
            put_option(options, SIZE2, uint_bytes(len(payload)))
        return Message(answer.code, b"", options, bytes(payload[at : at + size]))
