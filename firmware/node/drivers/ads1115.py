"""The analog-to-digital converter ADS1115 of Texas Instruments on I2C, as drivers of analog cells use it.

Data sheet "ADS111x", SBAS444D (sections cited as DS). One conversion for each question (single-shot mode), powered down
in between. It has neither an identification nor a checksum; that the configuration reads back stands in for the first.
Voltages are in sixteenths of a microvolt: so a digit is a whole number of them in every range.
"""

from .fault import FROZEN, WRONG_CHIP, Fault

# DS 9.6.1: registers of 16 bits, high byte first
_CONVERSION = 0
_CONFIGURATION = 1
# DS 9.6.3: start, single-shot, comparator off
_START = 0x8000
_SINGLE = 0x0100
_NO_COMPARATOR = 0x0003
_RATES = (8, 16, 32, 64, 128, 250, 475, 860)
_RANGES = (6144, 4096, 2048, 1024, 512, 256)  # mV
_POLLS = 5
_PATIENCE = 4  # conversions' times that another cell's conversion is waited for; then whoever began it is gone
_at_work = {}  # address -> the converter object whose conversion runs: two cells share one chip


class ADS1115:
    """`address` 0x48 to 0x4B. `full_scale` in mV: 6144, 4096, 2048, 1024, 512 or 256 (DS 9.3.3, PGA; the inputs must
    stay below the supply all the same). `data_rate` in samples a second: 8 to 860 (DS 9.3.6).
    """

    def __init__(self, bus, address, full_scale, data_rate):
        if not 0x48 <= address <= 0x4B:
            raise ValueError("address is 0x48 to 0x4B")
        if full_scale not in _RANGES:
            raise ValueError("full_scale is 6144, 4096, 2048, 1024, 512 or 256 mV")
        if data_rate not in _RATES:
            raise ValueError("data_rate is 8, 16, 32, 64, 128, 250, 475 or 860")
        self._bus = bus
        self._address = address
        self._mode = _RANGES.index(full_scale) << 9 | _SINGLE | _RATES.index(data_rate) << 5 | _NO_COMPARATOR
        self._digit = full_scale * 125 // 256  # full_scale / 32768, in sixteenths of a microvolt
        # DS 7.5: the rate is 10 % off at most; waking up takes some 0.1 ms
        self._duration = 1100 // data_rate + 2
        self._asked = 0
        self._polls = 0
        self._waited = 0
        self._triple = bytearray(3)
        self._word = bytearray(2)

    def convert(self, channel):
        """Start the conversion of input 0 to 3 against ground; returns ms to wait until `done` is asked.

        Negative: another cell's conversion runs; so many ms later try again.
        """
        other = _at_work.get(self._address)
        if other is not None and other is not self and self._waited < _PATIENCE:
            self._waited += 1
            return -self._duration
        self._waited = 0
        _at_work[self._address] = self
        self._asked = self._mode | (4 + channel) << 12
        self._polls = 0
        value = self._asked | _START
        self._triple[0] = _CONFIGURATION
        self._triple[1] = value >> 8
        self._triple[2] = value & 0xFF
        self._bus.writeto(self._address, self._triple)
        return self._duration

    def done(self):
        """Whether the conversion has ended; a Fault if it never does, or if the chip is another or was reset."""
        value = self._read(_CONFIGURATION)
        if value & 0x7FFF != self._asked:
            self.release()
            raise Fault(WRONG_CHIP, "the configuration does not read back: not an ADS1115, or it was reset")
        if value & _START:  # DS 9.6.3: OS reads 1 when no conversion runs
            return True
        self._polls += 1
        if self._polls > _POLLS:
            self.release()
            raise Fault(FROZEN, "the conversion does not end")
        return False

    def voltage(self):
        """The result in sixteenths of a microvolt; None at the converter's ends (DS 9.5.4: it clips there)."""
        value = self._read(_CONVERSION)
        self.release()
        if value == 0x7FFF or value == 0x8000:
            return None
        return (value - 0x10000 if value & 0x8000 else value) * self._digit

    def release(self):
        """Another cell may use the converter."""
        if _at_work.get(self._address) is self:
            _at_work[self._address] = None

    def _read(self, register):
        self._bus.readfrom_mem_into(self._address, register, self._word)
        return self._word[0] << 8 | self._word[1]
