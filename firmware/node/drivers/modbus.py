"""What devices on Modbus RTU share: requests with their CRC, and the search for the answer in what has arrived.

"MODBUS over Serial Line", V1.02 (2.5.1, frames and CRC) and "MODBUS Application Protocol", V1.1b3 (6.3 and 6.4, reading
registers; 7, exceptions). On RS-485 with a transceiver that must be switched, the direction pin is high while a request
leaves. Damage before, in and behind an answer is stepped over; what has a wrong CRC is no answer. Allocates nothing.
"""

from .fault import BAD_CHECKSUM, NO_ANSWER, OK, REJECTED, SHORT_READ, WARMING_UP, WRONG_CHIP, Fault

READ_HOLDING = 0x03
READ_INPUT = 0x04
WRITE = 0x06
_EXCEPTION = 0x80


class Modbus:
    """One device's line. `size` is the longest answer; `reply` holds the last one."""

    def __init__(self, bus, address, size, direction=None):
        if direction is not None and not hasattr(direction, "value"):
            raise ValueError("direction is a pin")
        self._bus = bus
        self._address = address
        self._direction = direction
        self._chunk = bytearray(32)
        self.reply = bytearray(size)

    def ask(self, frame):
        """Forget what came unasked, and send a request."""
        for _ in range(64):
            if not self._bus.any():
                break
            self._bus.readinto(self._chunk)
        else:
            raise Fault(WRONG_CHIP, "endless bytes: not the device or not its baud rate")
        if self._direction is None:
            self._bus.write(frame)
            return
        self._direction.value(1)
        try:
            self._bus.write(frame)
            self._bus.flush()  # the last bit must be out before the line is let go
        finally:
            self._direction.value(0)

    def answer(self, function, wanted):
        """Look for an answer of `wanted` bytes in what has arrived; OK, or what was found instead.

        An exception of the device is a Fault: of the addresses it knows (1 to 3), busy (5, 6), or its own failure.
        """
        reply = self.reply
        filled = 0
        damage = NO_ANSWER
        for _ in range(32):
            if not self._bus.any():
                break
            count = self._bus.readinto(self._chunk)
            if not count:
                break
            for i in range(count):
                reply[filled] = self._chunk[i]
                filled += 1
                refused = filled == 5 and reply[1] == function | _EXCEPTION
                if filled == wanted or refused:
                    if not crc16(reply, filled):  # over its own CRC it is 0
                        if refused:
                            raise Fault(meaning(reply[2]), "exception %d of function %d" % (reply[2], function))
                        return OK
                    damage = BAD_CHECKSUM
                    filled = self._shift(filled)
                while filled and not self._plausible(function, wanted, filled):
                    filled = self._shift(filled)
        return SHORT_READ if filled and damage == NO_ANSWER else damage

    def _plausible(self, function, wanted, filled):
        """Whether the bytes so far can begin the answer: address, function, byte count (or an exception's code)."""
        reply = self.reply
        if reply[0] != self._address:
            return False
        if filled < 2 or reply[1] == function | _EXCEPTION:
            return filled < 5
        return reply[1] == function and (filled < 3 or function == WRITE or reply[2] == wanted - 5)

    def _shift(self, filled):
        """Drop the first byte."""
        for i in range(1, filled):
            self.reply[i - 1] = self.reply[i]
        return filled - 1


def meaning(exception):
    """An exception's code as a quality."""
    if exception == 2 or exception == 3:
        return WRONG_CHIP
    return WARMING_UP if exception == 5 or exception == 6 else REJECTED


def crc16(data, count):
    """CRC-16: polynomial 0x8005 reflected, start 0xFFFF, sent low byte first."""
    crc = 0xFFFF
    for i in range(count):
        crc ^= data[i]
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return crc


def request(address, function, register, value):
    """A request with its CRC; `value` is the number of registers to read, or what to write."""
    out = bytearray((address, function, register >> 8, register & 0xFF, value >> 8, value & 0xFF, 0, 0))
    crc = crc16(out, 6)
    out[6] = crc & 0xFF
    out[7] = crc >> 8
    return bytes(out)
