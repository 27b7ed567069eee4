"""Volatile organic compounds and nitrogen oxides, relative: Sensirion SGP41 on I2C.

Data sheet "SGP41", version 1.0 (sections cited as DS). Two layers, each in ticks of the logarithm of its resistance;
what they mean is told by the gas index (`gas_index.py`), which relates them to the past half day. Every word carries a
CRC. The NOx layer is conditioned for 10 s whenever the heater was off, which must not last longer (DS 3.1).
"""

from citymote_protocol.quantities import NOX_INDEX, NOX_SIGNAL, VOC_INDEX, VOC_SIGNAL

from .sgp4x import SGP4x


class SGP41(SGP4x):
    """`index` computes the VOC and the NOx index beside the raw signals; then the sensor must be read every
    `sampling_interval` s (1 or 10, as its makers tested), and `learning_time` in hours is how long it remembers (12).
    """

    ADDRESS = 0x59
    QUANTITIES = (VOC_SIGNAL, NOX_SIGNAL)
    INDICES = (VOC_INDEX, NOX_INDEX)
    MEASURE = 0x2619  # DS 3.2, sgp41_measure_raw_signals
    DURATION = 50
    CONDITIONING = b"\x26\x12\x80\x00\xa2\x66\x66\x93"  # DS 3.1, sgp41_execute_conditioning at 50 %RH and 25 degrees
    CONDITIONING_TIME = 10000

    def __init__(self, bus, index=False, sampling_interval=1, learning_time=12):
        SGP4x.__init__(self, bus, index, sampling_interval, learning_time)

    def _passed(self, result):
        return not result & 0x0F  # DS 3.3: a bit for each layer that failed


DRIVER = SGP41
