"""Limits of IEC 61672-1:2013 (electroacoustics, sound level meters: specifications) that the tests hold the meter to.

Facts only, in our own layout: table 3 (weightings A, C, Z), table 4 (toneburst responses), table 5 (C-weighted peak),
and clauses 5.5.9, 5.6.5, 5.8, 5.11. The standard's text is sold and was not read: the numbers are those on which two
independent public transcriptions agree (phonometry's tables; a public test specification), and the design goals and
toneburst references were recomputed from the standard's equations. None is "no limit".
"""

from __future__ import annotations

import math
from typing import NamedTuple


class Weighting(NamedTuple):
    """Table 3: design goals in dB at a nominal frequency, and the limits around them."""

    nominal: float
    a: float
    c: float
    class1: tuple[float | None, float]
    class2: tuple[float | None, float]

    @property
    def exact(self) -> float:
        """The frequency of the base-ten series that the nominal one stands for."""
        return 1000 * 10 ** (round(10 * math.log10(self.nominal / 1000)) / 10)


# The goals are the unrounded ones, so that no measured deviation contains the table's rounding.
WEIGHTINGS = (
    Weighting(10, -70.4304, -14.33, (None, 3), (None, 5)),
    Weighting(12.5, -63.3711, -11.2486, (None, 2.5), (None, 5)),
    Weighting(16, -56.6881, -8.5307, (-4, 2), (None, 5)),
    Weighting(20, -50.4522, -6.2401, (-2, 2), (-3, 3)),
    Weighting(25, -44.703, -4.4055, (-1.5, 2), (-3, 3)),
    Weighting(31.5, -39.44, -3.0103, (-1.5, 1.5), (-3, 3)),
    Weighting(40, -34.6303, -1.9987, (-1, 1), (-2, 2)),
    Weighting(50, -30.2282, -1.294, (-1, 1), (-2, 2)),
    Weighting(63, -26.1943, -0.818, (-1, 1), (-2, 2)),
    Weighting(80, -22.5038, -0.5038, (-1, 1), (-2, 2)),
    Weighting(100, -19.1428, -0.2996, (-1, 1), (-1.5, 1.5)),
    Weighting(125, -16.0984, -0.1685, (-1, 1), (-1.5, 1.5)),
    Weighting(160, -13.3503, -0.0851, (-1, 1), (-1.5, 1.5)),
    Weighting(200, -10.8704, -0.0325, (-1, 1), (-1.5, 1.5)),
    Weighting(250, -8.6303, 0.0, (-1, 1), (-1.5, 1.5)),
    Weighting(315, -6.611, 0.0193, (-1, 1), (-1.5, 1.5)),
    Weighting(400, -4.8084, 0.0294, (-1, 1), (-1.5, 1.5)),
    Weighting(500, -3.2327, 0.0326, (-1, 1), (-1.5, 1.5)),
    Weighting(630, -1.9005, 0.0294, (-1, 1), (-1.5, 1.5)),
    Weighting(800, -0.8239, 0.0193, (-1, 1), (-1.5, 1.5)),
    Weighting(1000, 0.0, 0.0, (-0.7, 0.7), (-1, 1)),
    Weighting(1250, 0.5912, -0.0325, (-1, 1), (-1.5, 1.5)),
    Weighting(1600, 0.9807, -0.0851, (-1, 1), (-2, 2)),
    Weighting(2000, 1.1999, -0.1685, (-1, 1), (-2, 2)),
    Weighting(2500, 1.2707, -0.2996, (-1, 1), (-2.5, 2.5)),
    Weighting(3150, 1.1987, -0.5038, (-1, 1), (-2.5, 2.5)),
    Weighting(4000, 0.9699, -0.818, (-1, 1), (-3, 3)),
    Weighting(5000, 0.5487, -1.294, (-1.5, 1.5), (-3.5, 3.5)),
    Weighting(6300, -0.1212, -1.9987, (-2, 1.5), (-4.5, 4.5)),
    Weighting(8000, -1.1107, -3.0103, (-2.5, 1.5), (-5, 5)),
    Weighting(10000, -2.4918, -4.4055, (-3, 2), (None, 5)),
    Weighting(12500, -4.3175, -6.2401, (-5, 2), (None, 5)),
    Weighting(16000, -6.6026, -8.5307, (-16, 2.5), (None, 5)),
    Weighting(20000, -9.3169, -11.2486, (None, 3), (None, 5)),
)


class Burst(NamedTuple):
    """Table 4: the response to a 4 kHz toneburst relative to the steady tone, and its class 1 limits, in dB."""

    milliseconds: float
    reference: float
    class1: tuple[float, float]


BURSTS_F = (
    Burst(1000, -0.001, (-0.5, 0.5)),
    Burst(500, -0.08, (-0.5, 0.5)),
    Burst(200, -0.979, (-0.5, 0.5)),
    Burst(100, -2.591, (-1, 1)),
    Burst(50, -4.819, (-1, 1)),
    Burst(20, -8.302, (-1, 1)),
    Burst(10, -11.142, (-1, 1)),
    Burst(5, -14.066, (-1, 1)),
    Burst(2, -17.993, (-1.5, 1)),
    Burst(1, -20.986, (-2, 1)),
    Burst(0.5, -23.988, (-2.5, 1)),
    Burst(0.25, -26.994, (-3, 1)),
)
BURSTS_S = (
    Burst(1000, -1.992, (-0.5, 0.5)),
    Burst(500, -4.051, (-0.5, 0.5)),
    Burst(200, -7.417, (-0.5, 0.5)),
    Burst(100, -10.215, (-1, 1)),
    Burst(50, -13.118, (-1, 1)),
    Burst(20, -17.033, (-1.5, 1)),
    Burst(10, -20.022, (-2, 1)),
    Burst(5, -23.021, (-2.5, 1)),
    Burst(2, -26.994, (-3, 1)),
)
BURSTS_EXPOSURE = (
    Burst(1000, 0.0, (-0.5, 0.5)),
    Burst(500, -3.01, (-0.5, 0.5)),
    Burst(200, -6.99, (-0.5, 0.5)),
    Burst(100, -10.0, (-1, 1)),
    Burst(50, -13.01, (-1, 1)),
    Burst(20, -16.99, (-1, 1)),
    Burst(10, -20.0, (-1, 1)),
    Burst(5, -23.01, (-1, 1)),
    Burst(2, -26.99, (-1.5, 1)),
    Burst(1, -30.0, (-2, 1)),
    Burst(0.5, -33.01, (-2.5, 1)),
    Burst(0.25, -36.021, (-3, 1)),
)


class Peak(NamedTuple):
    """Table 5: LCpeak of cycles of a tone less LC of the steady tone, in dB, and how far from it class 1 may be."""

    cycles: str
    frequency: float
    reference: float
    class1: float


PEAKS = (
    Peak("one", 31.5, 2.5, 2),
    Peak("one", 500, 3.5, 1),
    Peak("one", 8000, 3.4, 2),
    Peak("positive half", 500, 2.4, 1),
    Peak("negative half", 500, 2.4, 1),
)

C_OR_Z_AGAINST_A = 0.2
"""5.5.9: at 1 kHz, dB."""
LINEARITY_TOTAL = 0.8
LINEARITY_STEP = 0.3
"""5.6.5: class 1, over the range and for changes of 1 to 10 dB."""
TAU_F, TAU_S = 0.125, 1.0
DECAY_F = (31.0, 38.5)
DECAY_S = (3.6, 5.1)
"""5.8.2: dB/s after a steady 4 kHz tone stops; design goals 34.7 and 4.3."""
S_AGAINST_F = 0.1
"""5.8.3: at 1 kHz, also of time-averaged against F, dB."""
OVERLOAD_HALF_CYCLES = 1.5
"""5.11.3: how far the levels of positive and negative half cycles may differ when overload is first shown, dB."""
