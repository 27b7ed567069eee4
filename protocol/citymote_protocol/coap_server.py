"""A CoAP server (RFC 7252, section 5; SPEC 12.4) for a small machine: resources by path, one request at a time.

A resource is added with a function for each method that it has:

    def get_config(request): return CONTENT, payload, CBOR        # code, payload, content format; or just a code
    def put_config(request):                                      # long work: a generator that yields every 20 ms
        yield from verify_steps(...)
        return CHANGED
    server.add("config", FRESH, get=get_config, put=put_config)

What a function gets: `request.payload` is the whole body, `request.message` the message (options), `request.session`
the OSCORE context or None, `request.query("name")`; a refusal is `raise Refused(FORBIDDEN, "why")`. Links, block-wise
transfer, observation, Echo and OSCORE are seen to here and not by resources; what a request needs of them is loaded
when it comes. Requests wait in a short queue; `step` works on the first of them and sends its answer over its link.

What is done with a request (the first line that fits decides):

    1  the queue is full                                         5.03, come back in 2 s
    2  it has an OSCORE option and cannot be opened              the unprotected answers of `oscore_server`
    3  a critical option that is not known, or more than once    4.02; a Proxy option 5.05
    4  unprotected, and the resource is not OPEN or not there    4.01: an outsider does not learn what there is
    5  no such resource                                          4.04
    6  a method that it does not have                            4.05
    7  it is not OPEN, and `permit` says no                      4.03
    8  a FRESH resource, a method that changes, no valid Echo    4.01 with an Echo to repeat
    9  a block of a body, and more of it is due                  2.31; 4.08, 4.13 or 5.03 where it does not fit
   10  a further block of an answer that is kept                 that block
   11  a further block of an answer that is gone, not GET        4.08: nothing is executed twice
   12  otherwise                                                 the resource's function answers
"""

from .coap import (
    BAD_OPTION,
    BAD_REQUEST,
    BLOCK1,
    BLOCK2,
    CONTENT_FORMAT,
    CONTINUE,
    ECHO,
    FETCH,
    FORBIDDEN,
    GET,
    INCOMPLETE,
    MAX_AGE,
    METHOD_NOT_ALLOWED,
    NOT_ACCEPTABLE,
    NOT_FOUND,
    OBSERVE,
    OSCORE,
    PROXY_SCHEME,
    PROXY_URI,
    PROXYING,
    SERVER_ERROR,
    UNAUTHORIZED,
    UNAVAILABLE,
    URI_QUERY,
    Message,
    body_size,
    put_option,
    uint_bytes,
)
from .errors import EncodeError, FrameError

OPEN = 1  # answers unprotected requests
FRESH = 2  # methods that change something ask for Echo
STREAM = 4  # gets each block as it comes (`offset`, `more`), for bodies that no heap holds
OBSERVABLE = 8

MAX_BODY = 4096  # bytes of one body: a configuration with a certificate of 2 KB in it
MAX_WAITING = 2  # requests behind the one that is worked on

# What an OSCORE answer adds to the plain one: option, marker, inner code, tag, and a Partial IV in notifications
_PROTECTION = 18
_METHODS = ("get", "post", "put", "delete", "fetch", "patch", "ipatch")
# Critical options that a server knows; those that may not be repeated (section 5.4.5) are below 256
_KNOWN = (3, 7, 9, 11, 15, 17, 23, 27)
_ONCE = (3, 7, 9, 17, 23, 27)


class Refused(Exception):
    """What a resource raises to answer with an error; the text is for people."""

    def __init__(self, code, text=""):
        super().__init__(text)
        self.code = code
        self.text = text


class Request:
    """What a resource's function is given."""

    def __init__(self, link, peer, message, session, now):
        self.link = link
        self.peer = peer
        self.message = message
        self.session = session
        self.now = now
        self.payload = message.payload
        self.path = ""
        self.offset = 0
        self.more = False

    def query(self, name):
        """The value of the query's `name=value`, "" for a bare `name`, None where there is none."""
        for number, value in self.message.options:
            if number == URI_QUERY:
                key, _, rest = str(value, "utf-8").partition("=")
                if key == name:
                    return rest
        return None


class Server:
    """`sessions` (`sessions.Sessions`) has the OSCORE contexts; None: a server without protection. `permit(request)`
    may be set to a function that says whether this session may do this (not asked about resources that are OPEN); bytes
    instead of True are why not. `report(error)` to one that hears of faults in resources (answered 5.00)."""

    def __init__(self, crypto, sessions=None, most=MAX_BODY):
        self._crypto = crypto
        self._sessions = sessions
        self._most = most
        self.resources = {}  # path -> (flags, functions by method)
        self._queue = []
        self._job = None
        self.paused = False  # the job waits for something that no step brings nearer
        self._now = 0
        self._blocks = None
        self._echo = None
        self.observations = None
        self.permit = None
        self.report = None

    def add(self, path, flags=0, **methods):
        """Add a resource; `get=`, `post=`, `put=`, `delete=`, `fetch=`, `patch=`, `ipatch=` are its functions."""
        self.resources[path] = (flags, [methods.pop(name, None) for name in _METHODS])
        if methods:
            raise ValueError("no such method")

    def echo(self):
        """The maker of Echo values, made when it is first needed."""
        if self._echo is None:
            from .echo import Echo

            self._echo = Echo(self._crypto)
        return self._echo

    # The queue

    def submit(self, link, peer, message, now):
        """Take a request from a link; its answer goes out over the same. What is no request is passed over."""
        if not 0 < message.code < 0x20:
            return
        if len(self._queue) > MAX_WAITING:
            link.send(peer, Message(UNAVAILABLE, message.token, [(MAX_AGE, b"\x02")]), now)
            return
        self._queue.append(self._work(link, peer, message))

    def notify(self, path):
        """Tell all who observe this path that it has changed."""
        if self.observations is not None:
            self._queue += self.observations.changed(path)

    def step(self, now):
        """Work for at most some 20 ms; True while there is more to do."""
        self._now = now
        if self.paused:
            return False
        if self._job is None:
            if not self._queue:
                return False
            self._job = self._queue.pop(0)
        try:
            next(self._job)
        except StopIteration:
            self._job = None
        except Exception as error:
            # EncodeError: the context is worn, or the answer larger than any message. The client hears nothing and
            # starts anew; the next request is not concerned.
            self._job = None
            if self.report is not None and not isinstance(error, EncodeError):
                self.report(error)
        return self._job is not None or bool(self._queue)

    def drop(self, link=None, peer=None, session=None):
        """Forget what belongs to a peer that is gone, or to a session that has ended."""
        if self.observations is not None:
            self.observations.drop(link, peer, session)

    def lost(self, link):
        """Take note of what a link could not deliver: who does not want or get notifications observes no more."""
        for peer, token, _ in link.lost():
            if self.observations is not None:
                self.observations.cancel(link, peer, token)

    # One request

    def _work(self, link, peer, message):
        binding = session = None
        if message.option(OSCORE) is not None:
            from . import oscore_server

            find = self._sessions.find if self._sessions else lambda kid, context: None
            try:
                message, binding = oscore_server.open_request(self._crypto, find, message)
                session = binding.context
                self._sessions.used(session)
            except FrameError as error:
                link.send(peer, oscore_server.refusal(error.code, message.token), self._now)
                return
            yield
        request = Request(link, peer, message, session, self._now)
        answer = yield from self._answer(request, binding, self.room(request, binding))
        self.send(request, answer, binding)

    def room(self, request, binding):
        """Bytes that an answer to this request may have, before it is protected."""
        return request.link.room(request.peer) - len(request.message.token) - (_PROTECTION if binding else 0)

    def send(self, request, answer, binding, confirmable=False):
        answer.token = request.message.token
        if binding is not None:
            answer = binding.protect(self._crypto, answer)
        return request.link.send(request.peer, answer, self._now, confirmable)

    def _answer(self, request, binding, room):
        """Lines 3 to 12 of the table."""
        message = request.message
        bad = _bad_option(message.options)
        if bad:
            proxy = bad in (PROXY_URI, PROXY_SCHEME)
            return Message(PROXYING if proxy else BAD_OPTION, b"", [], b"option %d" % bad)
        try:
            path = message.path()
        except ValueError:  # not UTF-8
            path = None
        flags, functions = self.resources.get(path, (0, None))
        if request.session is None and not flags & OPEN:
            return Message(UNAUTHORIZED)
        if functions is None:
            return Message(NOT_FOUND)
        code = message.code
        function = functions[code - 1] if code <= len(functions) else None
        if function is None:
            return Message(METHOD_NOT_ALLOWED)
        request.path = path
        if self.permit is not None and not flags & OPEN:
            may = self.permit(request)
            if may is not True:
                return Message(FORBIDDEN, b"", [], may or b"")
        if flags & FRESH and code != GET and code != FETCH:
            who = who_of(request)
            if not self.echo().fresh(message.option(ECHO), who, self._now):
                return Message(UNAUTHORIZED, b"", [(ECHO, self.echo().value(who, self._now))])
        partial = message.option(BLOCK1)
        wanted = message.uint(BLOCK2)
        key = request.session or request.peer
        blocks = None
        if partial is not None and not flags & STREAM:
            blocks = self.transfers()
            answer, body = blocks.collect(key, message, self._now)
            if answer is not None:
                return answer
            request.payload = body
        elif partial is not None and not self.transfers().stream(request, partial):
            return Message(BAD_OPTION)
        answer = None
        if wanted is not None and wanted >> 4:  # beyond the first block
            blocks = self.transfers()
            answer = blocks.again(key, message)
            if answer is None and code != GET and code != FETCH:
                return Message(INCOMPLETE)
        if answer is None:
            answer = yield from self.call(function, request)
            if request.more and answer.code >> 5 == 2:
                answer = Message(CONTINUE)
        if wanted is not None or body_size(answer) > room:
            answer = self.transfers().cut(key, message, answer, room)
        if (
            flags & OBSERVABLE
            and code in (GET, FETCH)
            and answer.code >> 5 == 2
            and message.option(OBSERVE) is not None
        ):
            if self.observations is None:
                from .observe import Observations

                self.observations = Observations(self)
            self.observations.wish(request, binding, answer)
        if partial is not None:
            put_option(answer.options, BLOCK1, partial)
        return answer

    def call(self, function, request):
        """The answer of a resource's function, which may be a generator."""
        try:
            result = function(request)
            if hasattr(result, "send"):
                result = yield from result
        except Refused as refused:
            return Message(refused.code, b"", [], refused.text.encode())
        except FrameError as error:
            # A resource reads what the peer has sent: what it cannot read is the peer's fault, named by its code.
            return Message(BAD_REQUEST, b"", [], str(error.code).encode())
        except Exception as error:
            # One resource's fault must not end the server: the node has no other way in.
            if self.report is not None:
                self.report(error)
            return Message(SERVER_ERROR)
        if isinstance(result, Message):
            return result
        if isinstance(result, int):
            return Message(result)
        options = [(CONTENT_FORMAT, uint_bytes(result[2]))] if len(result) > 2 else []
        accept = request.message.option(17)
        if accept is not None and options and options[0][1] != accept and result[0] >> 5 == 2:
            return Message(NOT_ACCEPTABLE)
        return Message(result[0], b"", options, result[1])

    def transfers(self):
        if self._blocks is None:
            from .block_server import Blocks

            self._blocks = Blocks(self._most, self._crypto.sha256)
        return self._blocks


def who_of(request):
    """Bytes that name whom an Echo value is for: the session's key, or the address."""
    if request.session is not None:
        return request.session.recipient_key
    return repr(request.peer).encode()


def _bad_option(options):
    """The first critical option that has to be refused (section 5.4.1), or 0."""
    last = 0
    for number, _ in options:
        if number & 1 and (number not in _KNOWN or number == last and number in _ONCE):
            return number
        last = number
    return 0
