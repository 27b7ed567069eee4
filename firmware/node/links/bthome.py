"""Readings for phones and displays nearby, in the clear, where the owner's setting `nearby` names them (SPEC 15.7).

BTHome version 2 (bthome.io/format): service data of UUID fcd2 in advertisements that nobody can connect to, made anew
after each row. Nothing of it is protected: who hears it reads it, and anybody can say the same. Where the radio cannot
be had, because the chip has no room for it beside Wi-Fi, the node says so once and goes on without.
"""

from citymote_protocol import quantities

_WARNING = 1  # the journal's
_INTERVAL = 1000000  # us between advertisements
_FLAGS = b"\x02\x01\x06"  # general discoverable, no classic Bluetooth
_HEAD = b"\x16\xd2\xfc\x40"  # service data of fcd2; version 2, not encrypted, sent regularly
_MOST = 31 - len(_FLAGS) - 1 - len(_HEAD)  # bytes of objects
# quantity, BTHome's object id, its bytes (below zero: signed), and what makes its integer of the registry's
_OBJECTS = (
    (3, 0x02, -2, 10, 1),  # temperature, 0.01 degrees
    (4, 0x03, 2, 10, 1),  # humidity, 0.01 %
    (14, 0x04, 3, 10, 1),  # pressure, 0.01 hPa
    (7, 0x05, 3, 100, 1),  # illuminance, 0.01 lx
    (1, 0x0D, 2, 1, 10),  # PM2.5, whole ug/m3
    (2, 0x0E, 2, 1, 10),  # PM10
    (15, 0x12, 2, 1, 1),  # carbon dioxide, ppm
    (6, 0x44, 2, 10, 1),  # wind speed, 0.01 m/s
    (8, 0x46, 1, 1, 1),  # UV index, 0.1
    (5, 0x5E, 2, 100, 1),  # wind direction, 0.01 degrees
)


def known(quantity):
    """How a quantity is said, or None where BTHome has no word for it."""
    for row in _OBJECTS:
        if row[0] == quantity:
            return row
    return None


def integer(value, form):
    """The object's bytes for a registry's integer, or None where it cannot be said."""
    _, number, size, times, by = form
    value *= times
    value = (2 * value + by) // (2 * by)
    most = 1 << 8 * abs(size)
    low, high = (-most // 2, most // 2) if size < 0 else (0, most)
    if not low <= value < high:
        return None
    return bytes((number,)) + (value % most).to_bytes(abs(size), "little")


def advertisement(said):
    """The 31 bytes at most of an advertisement: `said` is (quantity, integer or None), the most wanted first."""
    objects = []
    size = 0
    for quantity, value in said:
        data = None if value is None else integer(value, known(quantity))
        if data and size + len(data) <= _MOST:
            objects.append(data)
            size += len(data)
    return _FLAGS + bytes((len(_HEAD) + size,)) + _HEAD + b"".join(sorted(objects))


class Nearby:
    """Broadcasts of the rows of `columns` what `wanted`, a text of names with commas, asks for.

    `quiet` is set while somebody else uses the radio: a link that can be connected to.
    """

    def __init__(self, hal, log, columns, wanted):
        self._hal = hal
        self._log = log
        self._places = []
        self._told = False
        self.quiet = False
        for name in wanted.split(","):
            column = (quantities.by_name(name.strip()), 0)
            if column in columns and known(column[0]):
                self._places.append((column[0], columns.index(column)))
            else:
                log(_WARNING, "nearby: %s is not measured or has no object in BTHome" % name.strip())

    def row(self, values):
        """There is a new row."""
        if self.quiet or not self._places:
            return
        try:
            ble = self._hal.bluetooth().BLE()
            if not ble.active():
                ble.active(True)
            said = [(quantity, values[at]) for quantity, at in self._places]
            ble.gap_advertise(_INTERVAL, advertisement(said), connectable=False)
        except OSError as e:
            if not self._told:
                self._log(_WARNING, "nearby: no radio: %s" % e)
            self._told = True
