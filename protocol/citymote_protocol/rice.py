"""The bit stream of packed frames; without it, a packed frame is what the specification falls back to: columns."""

from .errors import PACKED_FORM, FrameError


class Packer:
    def __init__(self, columns):
        self.columns = columns

    def put(self, buf, pos, count, columns):
        return 0


def unpack(data, count, columns):
    raise FrameError(PACKED_FORM)
