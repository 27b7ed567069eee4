"""The two wires of the virtual node's I2C buses, for clocking a stuck one free as a board does."""

from . import unix_bridge as wire


class Line:
    """One wire, as an open-drain machine.Pin; `both` is what is driven on the two."""

    def __init__(self, call, handle, bit, both):
        self._call = call
        self._h = handle
        self._bit = bit
        self._both = both

    def value(self, x=None):
        if x is not None:
            self._both[0] = self._both[0] | self._bit if x else self._both[0] & ~self._bit
        levels = self._call(wire.I2C_LINES, self._h, self._both[0])[0]
        return 1 if levels & self._bit else 0


def lines(bridge, name):
    """Clock and data of a bus."""
    handle = bridge.open("i2c", name)
    both = bytearray((3,))
    return Line(bridge.call, handle, 1, both), Line(bridge.call, handle, 2, both)
