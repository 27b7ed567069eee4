"""EDHOC over CoAP on the host (RFC 9528, Appendix A.2), and when to run it again (SPEC 13.4, 13.7).

`handshake_steps` is driven like `coap_client.request_steps` and gives the session's `Keys`; `keys.oscore(True)` is the
context for what follows. `Renewal` decides what an unprotected "context not found" may bring about: anybody can forge
one, and each handshake costs a node seconds.
"""

from .coap import ECHO, MAX_AGE, POST, UNAUTHORIZED, UNAVAILABLE, Message, path_options, put_option
from .edhoc import REFUSED, UNKNOWN, EdhocError, error_message, write_identifier
from .edhoc_initiator import read_error
from .errors import FrameError
from .handshake import PATH
from .p256 import run

BUSY = "busy"  # the node takes no handshake now


class Busy(FrameError):
    """The node takes no handshake for `seconds`."""

    def __init__(self, seconds):
        FrameError.__init__(self, BUSY, "the node takes no handshake for %d s" % seconds)
        self.seconds = seconds


def _post(payload, options=()):
    message = Message(POST, b"", path_options(PATH), payload)
    for number, value in options:
        put_option(message.options, number, value)
    return message


def _answered(answer):
    """The EDHOC message in an answer; EdhocError or Busy where there is none."""
    if answer.code == UNAVAILABLE:
        raise Busy(answer.uint(MAX_AGE) or 0)
    if answer.code >> 5 != 2:
        said = read_error(answer.payload)
        raise EdhocError(REFUSED, "%d.%02d %s" % (answer.code >> 5, answer.code & 31, said and said[1] or ""), b"")
    return answer.payload


def handshake_steps(initiator, expected):
    """Generator: the Keys of a session with the holder of the credential that `expected(kid, ccs)` gives for what the
    node says it is (None: with nobody else). Curve arithmetic is quick on a host: it is done between two messages."""
    first = b"\xf5" + initiator.message_1()
    answer = yield _post(first)
    echo = answer.option(ECHO)
    if answer.code == UNAUTHORIZED and echo is not None:
        answer = yield _post(first, [(ECHO, echo)])
    try:
        kid, ccs = run(initiator.message_2_steps(_answered(answer)))
        credential = expected(kid, ccs)
        if credential is None:
            raise EdhocError(UNKNOWN, "", error_message(3, None))
        message_3 = run(initiator.message_3_steps(credential))
    except EdhocError as error:
        # The node is told, so that it need not wait for us (section 6); what it answers is of no interest.
        if error.message and initiator.c_r is not None:
            yield _post(write_identifier(initiator.c_r) + error.message)
        raise
    answer = yield _post(write_identifier(initiator.c_r) + message_3)
    return initiator.message_4(_answered(answer))


class Renewal:
    """Whether to believe an unprotected 4.01 (one object a node).

    What is done when one comes in answer to a protected request (the first line that fits decides):

        1  the first since a protected answer                      repeat the request: REPEAT
        2  CAPACITY renewals at once, one more each REFILL, spent  report it, keep the context: GIVE_UP
        3  otherwise                                               run EDHOC, keep the context until then: RENEW
    """

    REPEAT, RENEW, GIVE_UP = 1, 2, 3
    CAPACITY = 5
    REFILL = 600_000  # ms

    def __init__(self):
        self._doubts = 0
        self._spent = 0

    def answered(self):
        """A protected answer has come: the context is good."""
        self._doubts = 0

    def unprotected(self, now):
        """An unprotected error has come in its place: what to do."""
        self._doubts += 1
        if self._doubts == 1:
            return self.REPEAT
        if self.wait(now):
            return self.GIVE_UP
        self._spent = max(self._spent, now) + self.REFILL
        self._doubts = 0
        return self.RENEW

    def wait(self, now):
        """Milliseconds until a renewal would be allowed."""
        return max(0, self._spent - (self.CAPACITY - 1) * self.REFILL - now)
