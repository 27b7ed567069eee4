"""The client's half of OSCORE (RFC 8613, sections 8.1 and 8.4): requests protected, answers opened.

`protect_request` gives the outer request and a `Question`, which opens the answers to it: one with the request's nonce,
and for an observation as many newer notifications as come. An answer without protection is not an answer: it raises
`oscore.UNPROTECTED` and carries its code, because anybody on the way could have said it.
"""

from .coap import FETCH, OBSERVE, OSCORE, POST, Message, put_option
from .errors import FrameError
from .oscore import (
    INNER,
    OPTION,
    REPLAY,
    UNPROTECTED,
    additional,
    nonce,
    open_,
    option_value,
    outside,
    piv_bytes,
    read_option,
    seal,
)


class Unprotected(FrameError):
    """An answer that nobody vouches for; `answer` is what it says."""

    def __init__(self, answer):
        FrameError.__init__(self, UNPROTECTED, "an unprotected %d.%02d" % (answer >> 5, answer & 31))
        self.answer = answer


class Question:
    """A protected request that waits for its answers."""

    __slots__ = ("answered", "context", "newest", "observing", "piv")

    def __init__(self, context, piv, observing):
        self.context = context
        self.piv = piv
        self.observing = observing
        self.answered = False  # an answer with the request's nonce has come
        self.newest = -1  # notification number (section 7.4.1)

    def open(self, crypto, message):
        """The inner answer."""
        value = message.option(OSCORE)
        if value is None:
            raise Unprotected(message.code)
        context = self.context
        piv, kid, _ = read_option(value)
        if kid is not None and kid != context.recipient_id:
            raise FrameError(OPTION, "another sender's key id")
        number = -1
        if piv is None:
            if self.answered:
                raise FrameError(REPLAY, "a second answer with the request's nonce")
            iv = nonce(context.common_iv, context.sender_id, self.piv)
        else:
            number = int.from_bytes(piv, "big")
            if number <= self.newest:
                raise FrameError(REPLAY, "an older notification")
            iv = nonce(context.common_iv, context.recipient_id, piv)
        aad = additional(context.sender_id, self.piv)
        code, options, payload = open_(crypto, context, iv, aad, message.payload)
        if code >> 5 not in (2, 4, 5):
            raise FrameError(INNER, "no response")
        inner = Message(code, message.token, outside(message.options), payload)
        for option, value in options:
            if option == OBSERVE:
                if not self.observing:
                    raise FrameError(INNER, "a notification nobody asked for")
                # What orders notifications is the Partial IV (section 4.1.3.5.2): its low 24 bits stand for Observe.
                value = piv[-3:] if piv is not None else b""
            put_option(inner.options, option, value)
        if piv is None:
            self.answered = True
        else:
            self.newest = number
        return inner


def protect_request(crypto, context, message, with_context=False):
    """(outer request, Question); `with_context` sends the ID context along (section 5.1)."""
    piv = piv_bytes(context.number())
    iv = nonce(context.common_iv, context.sender_id, piv)
    ciphertext = seal(crypto, context, iv, additional(context.sender_id, piv), message)
    observe = message.option(OBSERVE)
    options = outside(message.options)
    if observe is not None:
        put_option(options, OBSERVE, observe)
    put_option(options, OSCORE, option_value(piv, context.sender_id, context.id_context if with_context else None))
    outer = Message(POST if observe is None else FETCH, message.token, options, ciphertext)
    return outer, Question(context, piv, observe == b"")
