"""Wind speed: a cup anemometer that closes a contact, counted by the chip's pulse counter.

Speed is pulses over a gate time: start() notes the count and returns the gate, read() looks again. A driver has no
clock, so the reading is as exact as the caller's sleep; at a gate of 20 s, 20 ms of delay are 0.1 %. IEC 61400-12-1
annex F gives a cup anemometer's calibration as v = slope x f + offset, which the two settings of that name are.

A cut wire looks like calm: the only chip here that cannot tell. After `calm_limit` readings of no pulse at all in a row
the reading is reported as frozen and absent, until a pulse comes.
"""

from citymote_protocol.quantities import WIND_SPEED

from .fault import FROZEN, OK, OUT_OF_RANGE, WARMING_UP, Fault


class Anemometer:
    """`slope` in mm/s for one pulse a second (667 for 2.4 km/h a hertz), `offset` in mm/s, added when the cups turn.

    `gate` in ms: at least slope / 50 ms x 1000 resolves 0.1 m/s. `calm_limit` in readings, 0 for no limit (720: a day
    of calm at two minutes). `maximum` in m/s: above it the instrument is not specified.
    """

    BUS = "counter"
    QUANTITIES = (WIND_SPEED,)

    def __init__(self, bus, slope=667, offset=0, gate=20000, calm_limit=720, maximum=60):
        if not 1 <= slope <= 3000:
            raise ValueError("slope is 1 to 3000 mm/s for one pulse a second")
        if not 0 <= offset <= 1000:
            raise ValueError("offset is 0 to 1000 mm/s")
        if not 1000 <= gate <= 600000:
            raise ValueError("gate is 1000 to 600000 ms")
        if not 0 <= calm_limit <= 100000:
            raise ValueError("calm_limit is 0 to 100000 readings")
        if not 1 <= maximum <= 75:
            raise ValueError("maximum is 1 to 75 m/s")
        self._bus = bus
        self._slope = slope
        self._offset = offset
        self._gate = gate
        self._calm_limit = calm_limit
        self._maximum = maximum * 10
        # more pulses than twice the registry's range are not wind but a bouncing contact; it also bounds the product
        # below
        self._most = 150 * gate // slope + 1
        self._calm = 0
        self._from = 0
        self._running = False
        self._done = False

    def start(self):
        if self._running:
            self._done = True
            return 0
        self._from = self._bus.value()
        self._running = True
        self._done = False
        return self._gate

    def read(self):
        done = self._done
        self._running = self._done = False
        if not done:
            raise Fault(WARMING_UP, "read before start had returned 0")
        pulses = self._bus.value() - self._from
        if pulses == 0 and self._calm_limit:
            if self._calm >= self._calm_limit:
                raise Fault(FROZEN, "no pulse in %d readings" % self._calm)
            self._calm += 1
        else:
            self._calm = 0
        if not 0 <= pulses <= self._most:
            return ((WIND_SPEED, None, OUT_OF_RANGE),)
        # mm/s = pulses x slope x 1000 / gate: at most 150 m/s x 600 s, then in tenths of m/s, rounded to nearest
        speed = self._rate(pulses)
        if pulses:
            speed += self._offset
        speed = (speed + 50) // 100
        return ((WIND_SPEED, speed, OK if speed <= self._maximum else OUT_OF_RANGE),)

    def stop(self):
        self._running = self._done = False
        return 0

    def _rate(self, pulses):
        """pulses x slope x 1000 / gate in mm/s without an integer above 2^30: product at most 1.5e8 / 1000 x gate."""
        product = pulses * self._slope
        whole = product // self._gate
        return whole * 1000 + (product - whole * self._gate) * 1000 // self._gate


DRIVER = Anemometer
