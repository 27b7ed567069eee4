"""Volatile organic compounds, relative: Sensirion SGP40 on I2C.

Data sheet "SGP40", version 1.2 (sections cited as DS). The chip gives the logarithm of its layer's resistance in ticks;
what that means is told by the gas index (`gas_index.py`), which relates it to the past half day. Every word carries
a CRC. The layer needs no conditioning; low power switches its heater off between readings.
"""

from citymote_protocol.quantities import VOC_INDEX, VOC_SIGNAL

from .sgp4x import SGP4x


class SGP40(SGP4x):
    """`index` computes the VOC index beside the raw signal; then the sensor must be read every `sampling_interval` s
    (1 or 10, as its makers tested), and `learning_time` in hours is how long it remembers (12).

    `low_power` turns the heater off after each reading and on 170 ms before the next, as the makers do it with the
    index (README of their gas-index-algorithm): 2 mW at 1 s, 0.2 mW at 10 s.
    """

    ADDRESS = 0x59
    QUANTITIES = (VOC_SIGNAL,)
    INDICES = (VOC_INDEX,)
    MEASURE = 0x260F  # DS 3.1, sgp40_measure_raw_signal
    DURATION = 30

    def __init__(self, bus, index=False, sampling_interval=1, learning_time=12, low_power=False):
        SGP4x.__init__(self, bus, index, sampling_interval, learning_time, low_power)

    def _passed(self, result):
        return result == 0xD400  # DS 3.2; 0x4B00 when one or more tests have failed


DRIVER = SGP40
