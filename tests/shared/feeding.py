"""Feeds a decoder the three ways that every decoder here is fed: whole, cut at every byte, with something behind."""

from citymote_protocol.errors import FrameError


def refusal(decode, data):
    """The code with which a decoder refuses these bytes, or None where it takes them."""
    try:
        decode(data)
    except FrameError as error:
        return error.code
    return None


def three_ways(decode, data, name=""):
    """Decode `data`; every prefix of it has to be called truncated, anything behind it trailing."""
    result = decode(data)
    for end in range(len(data)):
        code = refusal(decode, data[:end])
        assert code == "truncated", "%s: the first %d of %d bytes gave %s" % (name, end, len(data), code)
    for more in (b"\x00", b"\xf6", b"\xff", data[:1]):
        code = refusal(decode, data + more)
        assert code == "trailing", "%s: with %d more byte(s) gave %s" % (name, len(more), code)
    return result


class Chance:
    """A small generator of numbers that are the same on both interpreters."""

    def __init__(self, seed):
        self.state = seed

    def below(self, most):
        self.state = (self.state * 1103515245 + 12345) & 0x7FFFFFFF
        return (self.state >> 8) % most
