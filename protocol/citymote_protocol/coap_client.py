"""A CoAP client (RFC 7252, section 5; SPEC 12.7): a request from beginning to end, a generator without link or clock.

    steps = request_steps(crypto, context, request(PUT, "config", body), room)
    message = next(steps)                  send this over a link, with a token of your own
    message = steps.send(answer)           hand back the answer with that token, until StopIteration: its value
                                           is the whole answer (code, options, payload), whatever its code

`context` is an OSCORE context, or None for a request without protection. Block-wise transfer in both directions, Echo
and changes of a body under way are seen to here; what is raised is an answer that cannot be used (FrameError), one that
nobody vouches for (`oscore_client.Unprotected`), or a body that grows without end. `Watch` is an observation.
"""

from . import block
from .coap import (
    BLOCK1,
    BLOCK2,
    CONTINUE,
    ECHO,
    ETAG,
    INCOMPLETE,
    OBSERVE,
    REQUEST_TAG,
    SIZE1,
    SIZE2,
    TOO_LARGE_ENTITY,
    UNAUTHORIZED,
    Message,
    body_size,
    path_options,
    put_option,
    uint_bytes,
)
from .errors import TOO_LARGE, FrameError

ANSWER = "answer"  # an answer that does not belong to what was asked
CHANGED_UNDER_WAY = "changed"  # the body changes faster than it can be fetched

MOST = 1 << 20  # bytes of an answer's body: a diagnostic log, ten times over
_PROTECTION = 24  # what OSCORE adds to a request: option with number and id, marker, inner code, tag
_ATTEMPTS = 3  # times a transfer is begun anew


def request(code, path, payload=b"", options=()):
    """A request by its path."""
    message = Message(code, b"", path_options(path), payload)
    for number, value in options:
        put_option(message.options, number, value)
    return message


def _without(options, numbers):
    return [option for option in options if option[0] not in numbers]


class _Exchange:
    """What the requests of one transfer share: how they are protected, and their Echo."""

    def __init__(self, crypto, context, options, room):
        self._crypto = crypto
        self._context = context
        self.options = options
        self.room = room - (_PROTECTION if context is not None else 0)
        self.question = None

    def ask(self, code, extra, payload):
        """Generator: one request, one answer; a demand for Echo is met once."""
        tries = 0
        while True:
            tries += 1
            message = Message(code, b"", list(self.options), payload)
            for number, value in extra:
                put_option(message.options, number, value)
            if self._context is None:
                answer = yield message
                if answer.option(9) is not None:
                    raise FrameError(ANSWER, "a protected answer to an open request")
            else:
                from .oscore_client import protect_request

                outer, self.question = protect_request(self._crypto, self._context, message)
                answer = self.question.open(self._crypto, (yield outer))
            echo = answer.option(ECHO)
            if answer.code != UNAUTHORIZED or echo is None or tries == 2:
                break
            self.options = _without(self.options, (ECHO,))
            put_option(self.options, ECHO, echo)
        _check(answer)
        return answer


def _check(answer):
    """A critical option of an answer that is not known refuses it (section 5.4.1)."""
    for number, _ in answer.options:
        if number & 1 and number not in (9, BLOCK1, BLOCK2):
            raise FrameError(ANSWER, "option %d" % number)


def request_steps(crypto, context, message, room, most=MOST):
    """Generator: the whole answer to a request. `room` is what the link takes of code, token, options and payload."""
    exchange = _Exchange(crypto, context, message.options, room - 8)
    answer = yield from _put(exchange, message)
    if answer.option(BLOCK2) is None or answer.code >> 5 != 2:
        return answer
    return (yield from _get(exchange, message.code, answer, most))


def _put(exchange, message):
    """The request, in blocks where it does not fit."""
    payload = message.payload
    if body_size(message) <= exchange.room:
        return (yield from exchange.ask(message.code, (), payload))
    exponent = block.exponent_for(exchange.room - body_size(Message(message.code, b"", message.options)) - 16)
    answer = None
    for _ in range(_ATTEMPTS):
        _tag(exchange)
        answer = yield from _send_blocks(exchange, message.code, payload, exponent)
        if answer.code == TOO_LARGE_ENTITY and answer.option(BLOCK1) is not None:
            smaller = block.read(answer.option(BLOCK1))[2]
            if smaller >= exponent:
                return answer
            exponent = smaller
        elif answer.code != INCOMPLETE:
            return answer
    return answer


def _tag(exchange):
    """Under protection each transfer has a tag of its own, so that blocks held back from another do not fit into it
    (RFC 9175, section 3.5.1): the context's sequence number does not come again."""
    if exchange._context is not None:
        exchange.options = _without(exchange.options, (REQUEST_TAG,))
        put_option(exchange.options, REQUEST_TAG, uint_bytes(exchange._context.sequence))


def _send_blocks(exchange, code, payload, exponent):
    at = 0
    while True:
        size = 16 << exponent
        more = at + size < len(payload)
        number = at // size
        extra = [(BLOCK1, block.value(number, more, exponent))]
        if at == 0:
            extra.append((SIZE1, uint_bytes(len(payload))))
        answer = yield from exchange.ask(code, extra, payload[at : at + size])
        said = answer.option(BLOCK1)
        if not more or answer.code != CONTINUE:
            return answer
        if said is None:
            raise FrameError(ANSWER, "2.31 without Block1")
        theirs, _, smaller = block.read(said)
        if theirs != number or smaller > exponent:
            raise FrameError(ANSWER, "another block acknowledged than was sent")
        at += size
        # The server may ask for smaller blocks (RFC 7959, section 2.5); what has been taken stays taken.
        exponent = smaller


def _get(exchange, code, answer, most):
    """The rest of an answer that came in blocks; begun anew when it changes under way."""
    options = _without(exchange.options, (OBSERVE, SIZE1))
    exchange.options = options
    for _ in range(_ATTEMPTS):
        tag = answer.option(ETAG)
        body = bytearray()
        number, more, exponent = block.read(answer.option(BLOCK2))
        if number or more and len(answer.payload) != 16 << exponent:
            raise FrameError(ANSWER, "not the first block, or not a full one")
        body.extend(answer.payload)
        while more:
            number = len(body) >> 4 + exponent
            following = yield from exchange.ask(code, [(BLOCK2, block.value(number, False, exponent))], b"")
            if following.code == INCOMPLETE or following.code == answer.code and following.option(ETAG) != tag:
                break
            said = following.option(BLOCK2)
            if following.code != answer.code or said is None:
                return following
            theirs, more, smaller = block.read(said)
            if theirs << 4 + smaller != len(body) or more and len(following.payload) != 16 << smaller:
                raise FrameError(ANSWER, "another block than was asked for")
            exponent = smaller
            if len(body) + len(following.payload) > most:
                raise FrameError(TOO_LARGE, "a body of more than %d bytes" % most)
            body.extend(following.payload)
        else:
            whole = Message(answer.code, b"", _without(answer.options, (BLOCK2, SIZE2)), bytes(body))
            return whole
        answer = yield from exchange.ask(code, [(BLOCK2, block.value(0, False, exponent))], b"")
        if answer.option(BLOCK2) is None or answer.code >> 5 != 2:
            return answer
    raise FrameError(CHANGED_UNDER_WAY, "the body changed %d times while it was fetched" % _ATTEMPTS)


class Watch:
    """An observation (RFC 7641). Drive `begin()` like `request_steps`; the token of its *first* message is the
    observation's. Then give every message with that token to `notification`, and drive `rest` for the whole of it."""

    def __init__(self, crypto, context, message, room):
        self._crypto = crypto
        self._context = context
        self._message = message
        self._room = room
        self._exchange = None
        self._question = None
        self._sequence = 0
        self._at = 0
        self.active = False

    def begin(self):
        """Generator: the first answer, whole; `active` says whether the server will tell of changes."""
        message = self._message
        put_option(message.options, OBSERVE, b"")
        exchange = self._exchange = _Exchange(self._crypto, self._context, message.options, self._room - 8)
        answer = yield from exchange.ask(message.code, (), message.payload)
        self._question = exchange.question
        observe = answer.option(OBSERVE)
        self.active = observe is not None and answer.code >> 5 == 2
        self._sequence = int.from_bytes(observe or b"", "big")
        return (yield from self.rest(answer))

    def notification(self, message, now):
        """The inner notification, or None where it is older than the last; FrameError where it is none of ours."""
        if self._question is not None:
            answer = self._question.open(self._crypto, message)
        else:
            answer = message
        observe = answer.option(OBSERVE)
        if observe is None or answer.code >> 5 != 2:
            self.active = False
            return answer
        number = int.from_bytes(observe, "big")
        # Section 3.4: newer by less than half of 24 bits, or the last one is over 128 s old. Protected notifications
        # were put in order by their Partial IVs already.
        if self._question is None:
            ahead = number - self._sequence & 0xFFFFFF
            if not 0 < ahead < 1 << 23 and now - self._at <= 128_000:
                return None
        self._sequence = number
        self._at = now
        return answer

    def rest(self, answer):
        """Generator: the whole of an answer of which the first block has come."""
        if answer.option(BLOCK2) is None or answer.code >> 5 != 2:
            return answer
        return (yield from _get(self._exchange, self._message.code, answer, MOST))

    def cancel(self):
        """Generator: end it. Its message goes out under the observation's token."""
        self.active = False
        options = _without(self._message.options, (OBSERVE,))
        put_option(options, OBSERVE, b"\x01")
        exchange = _Exchange(self._crypto, self._context, options, self._room)
        return (yield from exchange.ask(self._message.code, (), b""))
