"""Visitors: a passive infrared detector or a light beam, one pulse for each passage, on a pulse counter.

What is counted is events, not people: two who walk side by side are one, one who stands and moves is several.
`factor` turns events into visitors as calibrated by counting on the spot; the registry's method for visitors must be
quoted with it. Nothing that could identify anyone is seen at all. A cut wire looks like an empty street.
"""

from citymote_protocol.quantities import VISITORS

from .fault import OK, OUT_OF_RANGE, WARMING_UP, Fault


class Motion:
    """`factor` in percent, visitors for a hundred events. `maximum` in events a minute: more is a detector that
    chatters.

    What is less than one visitor is carried to the next reading.
    """

    BUS = "counter"
    QUANTITIES = (VISITORS,)
    ACCUMULATES = True

    def __init__(self, bus, factor=100, maximum=120):
        if not 1 <= factor <= 1000:
            raise ValueError("factor is 1 to 1000 percent")
        if not 1 <= maximum <= 600:
            raise ValueError("maximum is 1 to 600 events a minute")
        self._bus = bus
        self._factor = factor
        self._most = maximum * 60 * 24  # nobody reads less often than once a day
        self._from = -1
        self._rest = 0  # hundredths of a visitor carried on
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
        events = now - self._from
        self._from = now
        if not 0 <= events <= self._most:
            self._rest = 0
            return ((VISITORS, None, OUT_OF_RANGE),)
        amount = events * self._factor + self._rest  # at most 864,000 x 1000
        self._rest = amount % 100
        return ((VISITORS, amount // 100, OK),)

    def stop(self):
        self._running = False
        self._from = -1
        self._rest = 0
        return 0


DRIVER = Motion
