"""The server's half of OSCORE (RFC 8613, sections 8.2 and 8.3): requests opened, answers protected.

`open_request` gives the inner request and a `Binding`, which protects every answer to that request: the first with the
request's nonce, later ones (notifications) with numbers of their own. What it refuses it refuses with the codes of
`oscore`; `refusal` has the unprotected answer that goes out for each.
"""

from .coap import (
    BAD_OPTION,
    BAD_REQUEST,
    CHANGED,
    CONTENT,
    MAX_AGE,
    OBSERVE,
    OSCORE,
    UNAUTHORIZED,
    URI_HOST,
    URI_PORT,
    Message,
    put_option,
)
from .errors import FrameError
from .oscore import (
    DECRYPTION,
    INNER,
    NO_CONTEXT,
    OPTION,
    REPLAY,
    WORN,
    additional,
    nonce,
    open_,
    option_value,
    outside,
    piv_bytes,
    read_option,
    seal,
)

# code -> (answer, its diagnostic text); the texts of the first four are the RFC's
_REFUSALS = (
    (OPTION, BAD_OPTION, "Failed to decode COSE"),
    (NO_CONTEXT, UNAUTHORIZED, "Security context not found"),
    (REPLAY, UNAUTHORIZED, "Replay detected"),
    (DECRYPTION, BAD_REQUEST, "Decryption failed"),
    (WORN, UNAUTHORIZED, "Security context not found"),
)


def refusal(code, token):
    """The unprotected answer to a request that could not be opened (section 8.2); never stored by a cache."""
    for known, answer, text in _REFUSALS:
        if known == code:
            return Message(answer, token, [(MAX_AGE, b"")], text.encode())
    return Message(BAD_REQUEST, token, [(MAX_AGE, b"")], b"")


class Binding:
    """What ties answers to one request: its context, its key id and Partial IV, its token."""

    def __init__(self, context, piv, token):
        self.context = context
        self.piv = piv
        self.token = token
        self.first = True  # the request's nonce has not been used for an answer

    def protect(self, crypto, message):
        """The OSCORE message that carries this answer (code, options, payload)."""
        context = self.context
        if self.first:
            self.first = False
            piv = b""
            iv = nonce(context.common_iv, context.recipient_id, self.piv)
        else:
            piv = piv_bytes(context.number())
            iv = nonce(context.common_iv, context.sender_id, piv)
        aad = additional(context.recipient_id, self.piv)
        ciphertext = seal(crypto, context, iv, aad, message, b"")
        options = outside(message.options)
        observe = message.option(OBSERVE)
        if observe is not None:
            put_option(options, OBSERVE, observe)
        put_option(options, OSCORE, option_value(piv))
        return Message(CONTENT if observe is not None else CHANGED, self.token, options, ciphertext)


def open_request(crypto, find, message):
    """(inner request, Binding) of a message with an OSCORE option; `find(kid, kid context)` gives a Context or None."""
    piv, kid, kid_context = read_option(message.option(OSCORE))
    if piv is None or kid is None or not message.payload:
        raise FrameError(OPTION, "a request names its key and its number")
    context = find(kid, kid_context)
    if context is None:
        raise FrameError(NO_CONTEXT, "")
    number = int.from_bytes(piv, "big")
    if context.worn():
        raise FrameError(WORN, "")
    if context.is_replay(number):
        raise FrameError(REPLAY, "number %d" % number)
    iv = nonce(context.common_iv, context.recipient_id, piv)
    code, options, payload = open_(crypto, context, iv, additional(kid, piv), message.payload)
    context.received(number)
    if not 0 < code < 0x20:
        raise FrameError(INNER, "no request")
    # What is class U stays what it was outside; the rest of the outer options never existed (section 8.2, step 1).
    merged = outside(message.options)
    for option, value in options:
        if option not in (URI_HOST, URI_PORT, OSCORE):
            put_option(merged, option, value)
    return Message(code, message.token, merged, payload), Binding(context, piv, message.token)
