"""Carbon dioxide: Senseair S8 LP (004-0-0053) and its relatives of the S8 family on a UART, Modbus RTU.

Senseair "Modbus on Senseair S8", TDE2067 (sections cited as TD), and the product specification PSP 126, revision 8
(PS). One request brings status and concentration together; every frame carries Modbus' CRC-16. A new value every 4 s.
"""

from citymote_protocol.quantities import CO2

from .fault import OK, OUT_OF_RANGE, REJECTED, WARMING_UP, Fault
from .modbus import READ_HOLDING, READ_INPUT, WRITE, Modbus, request

_ANY = 0xFE  # TD 2: every S8 answers to this address; it must be alone on its line
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
        self._line = Modbus(bus, _ANY, 13)
        self._abc = abc_period
        self._read_abc = request(_ANY, READ_HOLDING, _ABC_PERIOD, 1)
        self._write_abc = None if abc_period is None else request(_ANY, WRITE, _ABC_PERIOD, abc_period)
        self._read_status = request(_ANY, READ_INPUT, 0, 4)  # TD 3: IR1 meter status ... IR4 space CO2
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
            holding = step == _ABC
            damage = self._line.answer(READ_HOLDING if holding else READ_INPUT, 7 if holding else 13)
            if damage:
                if repeats == _REPEATS:
                    raise Fault(damage, "no whole answer")
                return self._ask(step, repeats + 1, known)
            if step == _ABC:
                period = self._line.reply[3] << 8 | self._line.reply[4]
                if period != self._abc and not known:
                    self._line.ask(self._write_abc)
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
        reply = self._line.reply
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

    def _ask(self, step, repeats, known):
        self._line.ask(self._read_abc if step == _ABC else self._read_status)
        self._step = step
        self._asked = True
        self._repeats = repeats
        self._known = known
        return _TIME


DRIVER = S8
