"""Ultraviolet index, and illuminance if wanted: Lite-On LTR-390UV-01 on I2C.

Lite-On data sheet "LTR-390UV-01", DS86-2015-0004 of 2016-02-03 (cited as DS). One diode counts either ultraviolet or
visible light; the driver switches it on for each reading and puts it back to standby. The chip has no checksum.
"""

from citymote_protocol.quantities import ILLUMINANCE, UV_INDEX

from .fault import FROZEN, OK, OUT_OF_RANGE, SATURATED, WARMING_UP, WRONG_CHIP, Fault

_ADDRESS = 0x53
# DS, register set
_MAIN_CTRL = 0x00
_MEAS_RATE = 0x04
_GAIN = 0x05
_PART_ID = 0x06
_MAIN_STATUS = 0x07
_ALS_DATA = 0x0D
_UVS_DATA = 0x10
_ENABLE_ALS = 0x02
_ENABLE_UVS = 0x0A
_RESOLUTION_20_BIT = 0x04  # 400 ms for a conversion, one every 500 ms
_GAIN_1 = 0x00
_GAIN_18 = 0x04
_FULL = 0xFFFFF
_CONVERSION = 450
_POLL = 100
_POLLS = 5

_NEW, _LOOKING, _READY = range(3)


class LTR390:
    """`window_factor` in percent is what the housing's window takes away (DS, calculating UVI: WFAC): 100 for none, 250
    for one that lets 40 % through. `ambient` measures illuminance as well.
    """

    BUS = "i2c"
    QUANTITIES = (UV_INDEX,)

    def __init__(self, bus, window_factor=100, ambient=False):
        if not 100 <= window_factor <= 500:
            raise ValueError("window_factor is 100 to 500 percent")
        if ambient not in (False, True):
            raise ValueError("ambient is true or false")
        self._bus = bus
        self._factor = window_factor
        self._ambient = ambient
        if ambient:
            self.QUANTITIES = (UV_INDEX, ILLUMINANCE)
        self._pair = bytearray(2)
        self._one = bytearray(1)
        self._three = bytearray(3)
        self._counts = 0
        self._light = 0
        self._reset()

    def start(self):
        state = self._state
        light = self._second
        polls = self._polls
        self._reset()  # until this step has succeeded
        if state == _READY:
            self._state = _READY
            return 0
        if state == _NEW:
            self._bus.readfrom_mem_into(_ADDRESS, _PART_ID, self._one)
            if self._one[0] >> 4 != 0xB:  # DS, PART_ID: part number 1011, then the revision
                raise Fault(WRONG_CHIP, "part id %02x is not an LTR-390's" % self._one[0])
            return self._trigger(False)
        self._bus.readfrom_mem_into(_ADDRESS, _MAIN_STATUS, self._one)
        if not self._one[0] & 0x08:  # DS, MAIN_STATUS: new data, cleared by reading this register
            if polls == _POLLS:
                raise Fault(FROZEN, "no new value within %d ms" % (_CONVERSION + _POLLS * _POLL))
            self._state = _LOOKING
            self._second = light
            self._polls = polls + 1
            return _POLL
        self._bus.readfrom_mem_into(_ADDRESS, _ALS_DATA if light else _UVS_DATA, self._three)
        counts = (self._three[2] & 0x0F) << 16 | self._three[1] << 8 | self._three[0]
        if light:
            self._light = counts
        else:
            self._counts = counts
            if self._ambient:
                return self._trigger(True)
        self._write(_MAIN_CTRL, 0)
        self._state = _READY
        return 0

    def read(self):
        state = self._state
        self._reset()
        if state != _READY:
            raise Fault(WARMING_UP, "read before start had returned 0")
        uv = self._uv()
        return (uv, self._lux()) if self._ambient else (uv,)

    def stop(self):
        self._reset()
        self._write(_MAIN_CTRL, 0)
        return 0

    def _uv(self):
        if self._counts == _FULL:
            return (UV_INDEX, None, SATURATED)
        # DS, calculating UVI = counts / 2300 x WFAC at 20 bit and gain 18; tenths, rounded to nearest
        value = (self._counts * self._factor + 11500) // 23000
        return (UV_INDEX, value, OK if value <= 200 else OUT_OF_RANGE)

    def _lux(self):
        if self._light == _FULL:
            return (ILLUMINANCE, None, SATURATED)
        # DS, calculating lux = 0.6 x counts / (gain x integration) x WFAC, integration 4 at 400 ms, gain 1
        return (ILLUMINANCE, (self._light * self._factor // 10 * 6 + 200) // 400, OK)

    def _trigger(self, light):
        self._write(_MAIN_CTRL, 0)
        self._write(_MEAS_RATE, _RESOLUTION_20_BIT)
        self._write(_GAIN, _GAIN_1 if light else _GAIN_18)
        self._write(_MAIN_CTRL, _ENABLE_ALS if light else _ENABLE_UVS)
        self._state = _LOOKING
        self._second = light
        return _CONVERSION

    def _reset(self):
        self._state = _NEW
        self._second = False
        self._polls = 0

    def _write(self, register, value):
        self._pair[0] = register
        self._pair[1] = value
        self._bus.writeto(_ADDRESS, self._pair)


DRIVER = LTR390
