"""CoAP messages (RFC 7252, section 3; SPEC 12.2): code, token, options and payload, as bytes and back.

A `Message` is what passes between the layers: links know how to carry one (`coap_udp` with the header of section 3, the
GATT link with its own), the server and the client know what it means, OSCORE turns one into another. What stands in
front of the token differs from link to link, so `parse` and `write` leave it out. Every length is held against the
bytes that are there before anything is copied; each way in which bytes can be wrong has a code of its own.
"""

from .errors import TOO_LARGE, TRUNCATED, EncodeError, FrameError

# How a message can be wrong (SPEC 12.2); TRUNCATED and TOO_LARGE as in frames
TOKEN = "token_length"  # a token of more than 8 bytes
CODE = "code_class"  # a reserved class: 1, 6 or 7
EMPTY = "empty_message"  # code 0.00 with a token, options or a payload
HEAD = "option_head"  # a delta or length of 15 that is no payload marker
NUMBER = "option_number"  # over 65535
MARKER = "marker"  # a payload marker with no payload behind it
OPTIONS = "options"  # more options than the limit

MAX_MESSAGE = 1152  # RFC 7252, 4.6: what goes through an IPv6 network whole, with a payload of 1024 bytes
MAX_OPTIONS = 24  # options of one message: a path of eight segments, and each of the others twice
MAX_TOKEN = 8

GET = 1
POST = 2
PUT = 3
DELETE = 4
FETCH = 5
IPATCH = 7  # RFC 8132
CREATED = 0x41
DELETED = 0x42
VALID = 0x43
CHANGED = 0x44
CONTENT = 0x45
CONTINUE = 0x5F
BAD_REQUEST = 0x80
UNAUTHORIZED = 0x81
BAD_OPTION = 0x82
FORBIDDEN = 0x83
NOT_FOUND = 0x84
METHOD_NOT_ALLOWED = 0x85
NOT_ACCEPTABLE = 0x86
INCOMPLETE = 0x88
CONFLICT = 0x89
PRECONDITION = 0x8C
TOO_LARGE_ENTITY = 0x8D
FORMAT = 0x8F
UNPROCESSABLE = 0x96
TOO_MANY = 0x9D
SERVER_ERROR = 0xA0
NOT_IMPLEMENTED = 0xA1
UNAVAILABLE = 0xA3
PROXYING = 0xA5

URI_HOST = 3
ETAG = 4
OBSERVE = 6
URI_PORT = 7
OSCORE = 9
URI_PATH = 11
CONTENT_FORMAT = 12
MAX_AGE = 14
URI_QUERY = 15
ACCEPT = 17
BLOCK2 = 23
BLOCK1 = 27
SIZE2 = 28
PROXY_URI = 35
PROXY_SCHEME = 39
SIZE1 = 60
ECHO = 252
REQUEST_TAG = 292

TEXT = 0  # content formats
LINKS = 40
CBOR = 60
EDHOC = 64
CID_EDHOC = 65

_MARK = 0xFF


class Message:
    """`options` is a list of (number, bytes) in ascending order of their numbers."""

    def __init__(self, code, token=b"", options=None, payload=b""):
        self.code = code
        self.token = token
        self.options = [] if options is None else options
        self.payload = payload

    def option(self, number):
        """The first option of this number, or None."""
        for found, value in self.options:
            if found == number:
                return value
        return None

    def uint(self, number):
        """The same as an unsigned integer, or None."""
        value = self.option(number)
        return None if value is None else int.from_bytes(value, "big")

    def path(self):
        """The segments of the path, joined by slashes; segments that are not text do not name a resource."""
        return "/".join([str(value, "utf-8") for number, value in self.options if number == URI_PATH])


def is_request(code):
    return 0 < code < 0x20


def uint_bytes(number):
    """An option's unsigned integer: big-endian without leading zeros, nothing for 0 (section 3.2)."""
    size = 0
    while number >> 8 * size:
        size += 1
    return number.to_bytes(size, "big")


def put_option(options, number, value):
    """Insert an option into a list in its place, behind those of the same number."""
    at = len(options)
    while at and options[at - 1][0] > number:
        at -= 1
    options.insert(at, (number, value))


def path_options(path):
    """The options of a path like "a/b"."""
    return [(URI_PATH, segment.encode()) for segment in path.split("/")] if path else []


def _extended(data, pos, end, nibble):
    """(value, position behind) of a delta or length whose nibble was read (section 3.1)."""
    if nibble < 13:
        return nibble, pos
    if nibble == 15:
        raise FrameError(HEAD, "at byte %d" % (pos - 1))
    size = nibble - 12
    if pos + size > end:
        raise FrameError(TRUNCATED, "option cut short at byte %d" % pos)
    if size == 1:
        return data[pos] + 13, pos + 1
    return (data[pos] << 8 | data[pos + 1]) + 269, pos + 2


def parse_options(data, pos):
    """(options, payload) of what stands from `pos` on to the end."""
    end = len(data)
    options = []
    number = 0
    while pos < end:
        head = data[pos]
        pos += 1
        if head == _MARK:
            if pos == end:
                raise FrameError(MARKER, "no payload behind its marker")
            return options, bytes(data[pos:])
        delta, pos = _extended(data, pos, end, head >> 4)
        length, pos = _extended(data, pos, end, head & 15)
        number += delta
        if number > 0xFFFF:
            raise FrameError(NUMBER, "%d" % number)
        if len(options) == MAX_OPTIONS:
            raise FrameError(OPTIONS, "more than %d" % MAX_OPTIONS)
        if pos + length > end:
            raise FrameError(TRUNCATED, "option %d wants %d bytes, %d are left" % (number, length, end - pos))
        options.append((number, bytes(data[pos : pos + length])))
        pos += length
    return options, b""


def parse(code, token_size, data, pos):
    """The message whose code and token length a link's header told, and whose token begins at `pos`."""
    if len(data) > MAX_MESSAGE:
        raise FrameError(TOO_LARGE, "%d bytes" % len(data))
    if token_size > MAX_TOKEN:
        raise FrameError(TOKEN, "%d" % token_size)
    if code == 0:
        if token_size or pos != len(data):
            raise FrameError(EMPTY, "an empty message with something in it")
        return Message(0)
    if code >> 5 in (1, 6, 7):
        raise FrameError(CODE, "%d" % (code >> 5))
    if pos + token_size > len(data):
        raise FrameError(TRUNCATED, "the token is cut short")
    options, payload = parse_options(data, pos + token_size)
    return Message(code, bytes(data[pos : pos + token_size]), options, payload)


def _put(out, value):
    """What stands behind a nibble for an option's delta or length."""
    if value >= 269:
        value -= 269
        out.append(value >> 8)
        out.append(value & 255)
    elif value >= 13:
        out.append(value - 13)


def write_options(out, options, payload):
    """Append options and payload to a bytearray."""
    last = 0
    for number, value in options:
        delta = number - last
        length = len(value)
        if delta < 0:
            raise EncodeError(NUMBER, "options out of order")
        last = number
        out.append(
            (delta if delta < 13 else 13 if delta < 269 else 14) << 4
            | (length if length < 13 else 13 if length < 269 else 14)
        )
        _put(out, delta)
        _put(out, length)
        out.extend(value)
    if payload:
        out.append(_MARK)
        out.extend(payload)


def write(out, message):
    """Append token, options and payload to a bytearray that holds a link's header."""
    out.extend(message.token)
    write_options(out, message.options, message.payload)
    if len(out) > MAX_MESSAGE:
        raise EncodeError(TOO_LARGE, "%d bytes" % len(out))
    return bytes(out)


def body_size(message):
    """How many bytes `write` would append, less the token: what a link's room is compared with."""
    size = len(message.payload) + 1 if message.payload else 0
    last = 0
    for number, value in message.options:
        delta = number - last
        last = number
        length = len(value)
        size += 1 + length + (delta > 12) + (delta > 268) + (length > 12) + (length > 268)
    return size
