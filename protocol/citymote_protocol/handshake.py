"""EDHOC over CoAP on the node (RFC 9528, Appendix A.2; SPEC 13.4): the resource at /.well-known/edhoc.

    shakes = Handshakes(crypto, server, sessions, private, public, kid, find)
    server.add(PATH, OPEN, post=shakes.post)
    await climb(shakes.prepare_steps())          an ephemeral pair, made while nobody waits for it

A POST of true and message_1 is answered with message_2, one of C_R and message_3 with message_4; then `sessions` has
the OSCORE context. The responder is loaded when a handshake begins and let go when it ends. Which credential a key id
names is `find`'s matter, what a session may do the application's: `admitted(context, credential)` may admit it at once.

What is done with a POST (the first line that fits decides):

    1  neither true nor a connection identifier in front        4.00
    2  a first message, and the link's addresses are forgeable  4.01 with an Echo, unless a valid one came along
    3  a first message that the limiter refuses                 5.03, with the seconds to wait
    4  a first message, and no ephemeral pair is ready          made now, in steps
    5  an identifier that is not that of the pending handshake  4.00: the client starts over
    6  an error message                                         2.04; the handshake is gone
    7  a message that fails                                     4.00 with the EDHOC error; the handshake is gone
    8  otherwise                                                2.04 with the next message
"""

from .coap import BAD_REQUEST, CHANGED, ECHO, EDHOC, MAX_AGE, UNAUTHORIZED, UNAVAILABLE, Message, uint_bytes
from .errors import FrameError

PATH = ".well-known/edhoc"

# What a handshake has loaded and nothing needs once it has ended: for an application that forgets modules
GONE = tuple(
    ["citymote_protocol." + name for name in ("edhoc_responder", "edhoc", "ccs", "oscore_derive", "p256", "cbor_read")]
)


class Handshakes:
    """`private` is a function that gives the long-term private key, so that it is nowhere else meanwhile."""

    def __init__(self, crypto, server, sessions, private, public, kid, find, admitted=None):
        self._crypto = crypto
        self._server = server
        self._sessions = sessions
        self._private = private
        self._public = public
        self._kid = kid
        self._find = find
        self._admitted = admitted
        self._pair = None
        self._responder = None
        self._peer = None
        self.count = 0  # handshakes that reached the curve arithmetic
        self.failed = 0

    def prepare_steps(self):
        """Make the pair for the next handshake, if there is none."""
        if self._pair is None:
            self._pair = yield from self._crypto.key_pair_steps()

    @property
    def pending(self):
        """Whether a handshake is under way."""
        return self._responder is not None

    def tick(self, now):
        """Drop a handshake whose time is over."""
        sessions = self._sessions
        if sessions.limiter.expired(now):
            self._responder = None
        sessions.tick(now)

    def gone(self, link, peer):
        """A connection has ended: a handshake, or a session without rights, that was begun over it has failed."""
        if self._peer is None or self._peer != (link, peer):
            return
        self._responder = self._peer = None
        for context in self._sessions.all():
            if self._sessions.is_stranger(context):
                self._sessions.remove(context)
        self._sessions.limiter.end()

    def post(self, request):
        """The resource's function: a generator."""
        from . import edhoc
        from .cbor_read import Heads

        payload = request.payload
        self.tick(request.now)
        who = (request.link, request.peer)
        try:
            if payload[:1] == b"\xf5":
                answer = self._may_begin(request, who)
                if answer is not None:
                    return answer
                message = yield from self._first(payload[1:])
            else:
                reader = Heads(payload)
                c_r = edhoc.read_identifier(reader)
                responder = self._responder
                if responder is None or responder.c_r != c_r or self._peer != who:
                    raise edhoc.EdhocError(edhoc.STATE, "no such handshake")
                rest = payload[reader.pos :]
                if rest[:1] and rest[0] >> 5 < 2:  # a number in front: the initiator gives up, with an error message
                    self._end()
                    return CHANGED
                message = yield from self._third(responder, rest)
        except edhoc.EdhocError as error:
            self._fail(error)
            return BAD_REQUEST, error.message, EDHOC
        except FrameError as error:
            return BAD_REQUEST, edhoc.error_message(1, error.code), EDHOC
        return CHANGED, message, EDHOC

    def _may_begin(self, request, who):
        """None, or the answer to a first message that is not worked on."""
        limiter = self._sessions.limiter
        if getattr(request.link, "needs_echo", False):
            from .coap_server import who_of

            address = who_of(request)
            echo = self._server.echo()
            if not echo.fresh(request.message.option(ECHO), address, request.now):
                return Message(UNAUTHORIZED, b"", [(ECHO, echo.value(address, request.now))])
        wait = limiter.wait(who, request.now)
        if wait:
            return Message(UNAVAILABLE, b"", [(MAX_AGE, uint_bytes((wait + 999) // 1000))])
        limiter.first(who, request.now)
        self._peer = who
        return None

    def _first(self, data):
        from .ccs import write
        from .edhoc_responder import Responder

        yield from self.prepare_steps()
        pair, self._pair = self._pair, None
        self.count += 1
        c_rs = self._sessions.free_ids(self._crypto.random)
        responder = Responder(
            self._crypto, self._private(), write(self._kid, self._public), self._kid, pair, c_rs, self._find
        )
        self._responder = responder
        return (yield from responder.message_1_steps(data))

    def _third(self, responder, data):
        sessions = self._sessions
        message = yield from responder.message_3_steps(data)
        context = responder.keys.oscore(False)
        sessions.begin(context, responder.keys)
        self._responder = None
        if self._admitted is not None:
            self._admitted(context, responder.peer)
        return message

    def _fail(self, error):
        if error.code == "state":
            return
        self._end()

    def _end(self):
        self.failed += 1
        self._responder = self._peer = None
        self._sessions.limiter.end()
