"""Rain: a tipping bucket whose contact closes once for each full bucket, on a pulse counter.

WMO-No. 8, chapter 6.4: tipping-bucket gauges. The amount since the last reading is pulses times the bucket's size;
what is too small for the registry's 0.1 mm is carried to the next reading, so that the readings of a storm add up to
its buckets. Like every bare contact it cannot tell a cut wire from dry weather.
"""

from citymote_protocol.quantities import RAIN

from .fault import OK, OUT_OF_RANGE, WARMING_UP, Fault


class RainGauge:
    """`bucket` in micrometres of rain for one tip: 200 for 0.2 mm, 279 for 0.011 inch (Argent Data Systems 80422).

    `maximum` in tips a minute: more is not rain but a bouncing contact or somebody cleaning the gauge.
    """

    BUS = "counter"
    QUANTITIES = (RAIN,)
    ACCUMULATES = True

    def __init__(self, bus, bucket=279, maximum=100):
        if not 10 <= bucket <= 2000:
            raise ValueError("bucket is 10 to 2000 micrometres")
        if not 1 <= maximum <= 1000:
            raise ValueError("maximum is 1 to 1000 tips a minute")
        self._bus = bus
        self._bucket = bucket
        # nobody reads less often than once a day; and the product below stays under 2^30
        self._most = min(maximum * 60 * 24, 1000000000 // bucket)
        self._from = -1  # the count up to which rain has been reported
        self._rest = 0  # micrometres carried on
        self._running = False

    def start(self):
        if self._from < 0:
            self._from = self._bus.value()
        self._running = True
        return 0

    def read(self):
        if not self._running:
            raise Fault(WARMING_UP, "read before start had returned 0")
        self._running = False
        now = self._bus.value()
        tips = now - self._from
        self._from = now
        if not 0 <= tips <= self._most:
            self._rest = 0
            return ((RAIN, None, OUT_OF_RANGE),)
        amount = tips * self._bucket + self._rest
        self._rest = amount % 100
        return ((RAIN, amount // 100, OK),)

    def stop(self):
        self._running = False
        self._from = -1
        self._rest = 0
        return 0


DRIVER = RainGauge
