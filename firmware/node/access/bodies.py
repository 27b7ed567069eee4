"""Bodies of requests and answers: CBOR to the values that settings have, and back (SPEC 16.1); refusals by code."""

from binascii import hexlify
from hashlib import sha256

from citymote_protocol.cbor import MAP, Pairs, dumps, loads
from citymote_protocol.coap import CBOR, CHANGED, CONTENT
from citymote_protocol.coap_server import Refused
from citymote_protocol.errors import RANGE, TYPE, FrameError

_DEPTH = 5
_SHOWN = 200  # characters of a text; of a longer one its digest is told


def refuse(code, text):
    """Refuse with a code of SPEC 16.11, alone or with a sentence."""
    raise Refused(code, text)


def content(value):
    """An answer with a body."""
    return CONTENT, dumps(value), CBOR


def changed(value):
    """An answer to what has changed something."""
    return CHANGED, dumps(value), CBOR


def numbers(data, *limits):
    """A body that is an array of unsigned integers, each within (least, most)."""
    found = loads(data, 1)
    if type(found) is not list or len(found) != len(limits):
        raise FrameError(TYPE, "an array of %d" % len(limits))
    for number, (least, most) in zip(found, limits):
        integer(number, least, most)
    return found


def integer(number, least, most):
    if type(number) is not int:
        raise FrameError(TYPE, "a number")
    if not least <= number <= most:
        raise FrameError(RANGE, "%d is not between %d and %d" % (number, least, most))
    return number


def table(data):
    """A body that is a map of texts: a dict."""
    if not data or data[0] >> 5 != MAP:
        raise FrameError(TYPE, "a map")
    found = plain(loads(data, _DEPTH))
    return found if found else {}


def plain(value):
    """Pairs become a dict, bytes hexadecimal text: what JSON can keep."""
    if type(value) is list:
        if value and type(value[0]) is tuple:
            found = {}
            for key, each in value:
                if type(key) is not str:
                    raise FrameError(TYPE, "a key that is no text")
                found[key] = plain(each)
            return found
        return [plain(each) for each in value]
    if type(value) is bytes:
        return str(hexlify(value), "ascii")
    return value


def pairs(values):
    """A dict, or (key, value) pairs, as what is written as a map."""
    if type(values) is dict:
        values = [(key, values[key]) for key in values]
    return Pairs([(key, shown(value)) for key, value in values])


def shown(value):
    """A value of a setting as it is told."""
    if type(value) is dict:
        return pairs(value)
    if type(value) is list or type(value) is tuple:
        return [shown(each) for each in value]
    if type(value) is str and len(value) > _SHOWN:
        return sha256(value.encode()).digest()
    return value
