"""Carbon dioxide: Senseair S8 LP (004-0-0053) and its relatives of the S8 family on a UART, Modbus RTU.

Senseair "Modbus on Senseair S8", TDE2067 (sections cited as TD), and the product specification PSP 126, revision 8
(PS). One request brings status and concentration together; every frame carries Modbus' CRC-16. A new value every 4 s.
"""

from citymote_protocol.quantities import CO2

from .fault import BAD_CHECKSUM, NO_ANSWER, OK, OUT_OF_RANGE, REJECTED, SHORT_READ, WARMING_UP, WRONG_CHIP, Fault

_ANY = 0xFE  # TD 2: every S8 answers to this address; it must be alone on its line
_READ_HOLDING = 0x03
_READ_INPUT = 0x04
_WRITE = 0x06
_ABC_PERIOD = 0x1F  # TD 4: holding register 32, hours
_TIME = 100  # TD 6: the chip answers within 180 ms at worst; 13 bytes take 14 ms
_REPEATS = 8

_ABC, _STATUS = range(2)
_END = 2


class S8:
    """`abc_period` in hours, 0 off, 4 to 4800: how long the automatic baseline correction looks for fresh air (PS
    4.5; from the factory 180). None leaves what the chip has: it keeps the period in its EEPROM, so it is written
    only where it differs.
    """

    BUS = "uart"
    BAUDRATE = 9600
    QUANTITIES = (CO2,)
    LEAD = 1000  # ms: a reading whose question has to be repeated takes 900

    def __init__(self, bus, abc_period=None):
        if abc_period is not None and abc_period != 0 and not 4 <= abc_period <= 4800:
            raise ValueError("abc_period is 0 or 4 to 4800 hours")
        self._bus = bus
        self._abc = abc_period
        self._read_abc = request(_READ_HOLDING, _ABC_PERIOD, 1)
        self._write_abc = None if abc_period is None else request(_WRITE, _ABC_PERIOD, abc_period)
        self._read_status = request(_READ_INPUT, 0, 4)  # TD 3: IR1 meter status ... IR4 space CO2
        self._chunk = bytearray(32)
        self._reply = bytearray(16)
        self._reset()

    def start(self):
        step = self._step
        asked = self._asked
        repeats = self._repeats
        known = self._known
        self._reset()  # until this step has succeeded
        if step == _END:
            self._step = _END
            self._known = known
            return 0
        if asked:
            function = self._function(step)
            damage = self._receive(function)
            if damage:
                if repeats == _REPEATS:
                    raise Fault(damage, "no whole answer to function %02x" % function)
                return self._ask(step, repeats + 1, known)
            if step == _ABC:
                period = self._reply[3] << 8 | self._reply[4]
                if period != self._abc and not known:
                    self._bus.write(self._write_abc)
                    self._step = _ABC
                    self._known = True  # written; ask once more, next time round
                    self._repeats = repeats
                    return 2 * _TIME
                step = _STATUS
                known = True
            else:
                self._step = _END
                self._known = True
                return 0
        elif step == _ABC and (self._abc is None):
            step = _STATUS
        return self._ask(step, repeats, known)

    def read(self):
        step = self._step
        self._reset()
        if step != _END:
            raise Fault(WARMING_UP, "read before start had returned 0")
        self._step = _STATUS
        self._known = True
        reply = self._reply
        status = reply[4]
        co2 = reply[9] << 8 | reply[10]
        # TD 3, IR1: bit 0 fatal, 1 offset regulation, 2 algorithm, 3 output, 4 self-diagnostics, 5 out of range, 6
        # memory
        if status & 0x5F:
            return ((CO2, None, REJECTED),)
        if co2 == 0 or co2 > 32767:
            return ((CO2, None, OUT_OF_RANGE),)
        # PS 2: 400 to 2000 ppm, extended to 10,000
        return ((CO2, co2, OUT_OF_RANGE if status & 0x20 or co2 > 10000 else OK),)

    def stop(self):
        """The chip has no power-down: what feeds it must be switched."""
        self._reset()
        return 0

    def _reset(self):
        self._step = _ABC
        self._asked = False
        self._repeats = 0
        self._known = False

    def _function(self, step):
        return _READ_HOLDING if step == _ABC else _READ_INPUT

    def _ask(self, step, repeats, known):
        self._drain()
        self._bus.write(self._read_abc if step == _ABC else self._read_status)
        self._step = step
        self._asked = True
        self._repeats = repeats
        self._known = known
        return _TIME

    def _drain(self):
        for _ in range(64):
            if not self._bus.any():
                return
            self._bus.readinto(self._chunk)
        raise Fault(WRONG_CHIP, "endless bytes: not the chip or not its baud rate")

    def _receive(self, function):
        """Look for the answer in what has arrived; OK, or what was found instead."""
        reply = self._reply
        wanted = 7 if function == _READ_HOLDING else 13
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
                if filled == wanted:
                    if not crc16(reply, wanted):  # over its own CRC it is 0
                        return OK
                    damage = BAD_CHECKSUM
                    filled = self._shift(filled)
                while filled and not self._plausible(function, wanted, filled):
                    filled = self._shift(filled)
        return SHORT_READ if filled and damage == NO_ANSWER else damage

    def _plausible(self, function, wanted, filled):
        """Whether the bytes so far can begin the answer: address, function, byte count."""
        reply = self._reply
        return reply[0] == _ANY and (filled < 2 or reply[1] == function) and (filled < 3 or reply[2] == wanted - 5)

    def _shift(self, filled):
        """Drop the first byte."""
        for i in range(1, filled):
            self._reply[i - 1] = self._reply[i]
        return filled - 1


def crc16(data, count):
    """Modbus' CRC-16: polynomial 0x8005 reflected, start 0xFFFF, sent low byte first."""
    crc = 0xFFFF
    for i in range(count):
        crc ^= data[i]
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return crc


def request(function, register, value):
    """A request with its CRC."""
    out = bytearray((_ANY, function, register >> 8, register & 0xFF, value >> 8, value & 0xFF, 0, 0))
    crc = crc16(out, 6)
    out[6] = crc & 0xFF
    out[7] = crc >> 8
    return bytes(out)


DRIVER = S8
