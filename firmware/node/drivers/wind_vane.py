"""Wind direction: any vane that gives a voltage, on an ADC pin.

Two kinds: a potentiometer whose voltage grows with the angle (most professional vanes with an analog output, and
home-made ones), and the stepped vane of eight reed switches that short sixteen combinations of resistors (Argent Data
Systems "Weather sensor assembly p/n 80422", sold under many names). A wire that is cut or shorted must be seen, not
read as north: so the linear kind needs a fixed resistor at each end of its track, and both need their limits set.
"""

from citymote_protocol.quantities import WIND_DIRECTION

from .fault import LIKELY_INVALID, NO_ANSWER, OK, SATURATED, WARMING_UP, Fault

# Argent 80422 data sheet, table "wind vane": resistance in ohms at each of sixteen directions, clockwise from north
_OHMS = (33000, 6570, 8200, 891, 1000, 688, 2200, 1410, 3900, 3140, 16000, 14120, 120000, 42120, 64900, 21880)


class WindVane:
    """`kind` linear: `minimum` and `maximum` are the voltages in mV at 0 and just before 360 degrees; `margin` mV
    beyond them still count as the end, farther out is a broken wire.

    `kind` stepped: `supply` in mV feeds the vane through `pull_up` ohms; the vane is between pin and ground.

    `offset` in degrees is added: the direction in which the vane's own zero points.
    """

    BUS = "adc"
    QUANTITIES = (WIND_DIRECTION,)

    def __init__(self, bus, kind="linear", minimum=250, maximum=2250, margin=100, supply=3300, pull_up=10000, offset=0):
        if kind not in ("linear", "stepped"):
            raise ValueError("kind is linear or stepped")
        if not 0 <= minimum < maximum <= 5000 or maximum - minimum < 360:
            raise ValueError("minimum and maximum are 0 to 5000 mV, at least 360 mV apart")
        if not 0 <= margin <= 500:
            raise ValueError("margin is 0 to 500 mV")
        if not 1000 <= supply <= 5000 or not 1000 <= pull_up <= 100000:
            raise ValueError("supply is 1000 to 5000 mV, pull_up 1000 to 100000 ohm")
        if not 0 <= offset <= 359:
            raise ValueError("offset is 0 to 359 degrees")
        self._bus = bus
        self._linear = kind == "linear"
        self._minimum = minimum * 1000
        self._maximum = maximum * 1000
        self._margin = margin * 1000
        self._top = supply * 1000
        self._offset = offset
        # the divider's voltage at each direction, in microvolts
        self._steps = tuple([supply * 1000 * ohms // (ohms + pull_up) for ohms in _OHMS])
        self._started = False

    def start(self):
        self._started = True
        return 0

    def read(self):
        if not self._started:
            raise Fault(WARMING_UP, "read before start had returned 0")
        self._started = False
        value = self._read_linear() if self._linear else self._read_stepped()
        return ((WIND_DIRECTION, (value + self._offset) % 360, OK),)

    def stop(self):
        self._started = False
        return 0

    def _read_linear(self):
        """The mean of samples would turn 359 and 1 degree into south: the middle one of three decides instead."""
        microvolts = self._median()
        if microvolts < self._minimum - self._margin:
            raise Fault(NO_ANSWER, "below the vane's lowest voltage: wire cut, or no supply")
        if microvolts > self._maximum + self._margin:
            raise Fault(SATURATED, "above the vane's highest voltage: wire shorted to the supply")
        span = (self._maximum - self._minimum) // 10  # tens of microvolts keep the product below 2^30
        return ((microvolts - self._minimum) // 10 * 360 + span // 2) // span % 360

    def _read_stepped(self):
        microvolts = self._median()
        if microvolts > (self._steps[12] + self._top) // 2:  # 120 kohm is the highest step
            raise Fault(NO_ANSWER, "no resistor closes the circuit: wire cut")
        if microvolts < self._steps[5] // 2:  # 688 ohm is the lowest step
            raise Fault(LIKELY_INVALID, "wire shorted to ground")
        best = 0
        for i in range(1, 16):
            if abs(self._steps[i] - microvolts) < abs(self._steps[best] - microvolts):
                best = i
        return (best * 45 + 1) // 2  # 22.5 degrees a step, the half rounded up

    def _median(self):
        a = self._bus.read_uv()
        b = self._bus.read_uv()
        c = self._bus.read_uv()
        return max(min(a, b), min(max(a, b), c))


DRIVER = WindVane
