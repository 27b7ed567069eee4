"""Limits of IEC 61260-1:2014 (octave-band and fractional-octave-band filters) that the tests hold the bands to.

Facts only, in our own layout: table 1 (relative attenuation), formulas (9) to (11) for other bandwidths and between the
breakpoints, clauses 5.12, 5.13, 5.14 and 5.16. The standard's text is sold and was not read. Table 1 is what three
independent public transcriptions agree on (PyOctaveBand's compliance module, a test specification for a sound level
meter, a plotting class for octave filters); the clauses' limits are what two of them and a filter library's own checks
agree on; the mapped breakpoints are held to the standard's table F.1.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

G = 10**0.3
"""5.2: the octave ratio of base ten."""
REFERENCE = 1000.0
"""5.3, Hz."""


class Breakpoint(NamedTuple):
    """Table 1, upper half: at a normalised frequency of G^exponent, dB. The lower half is its mirror image."""

    exponent: float
    class1: float
    class2: float


PASS_BAND_LEAST = (-0.4, -0.6)
"""Table 1: the smallest relative attenuation within the band edges, class 1 and 2."""
PASS_BAND_MOST = (
    Breakpoint(0, 0.4, 0.6),
    Breakpoint(1 / 8, 0.5, 0.7),
    Breakpoint(1 / 4, 0.7, 0.9),
    Breakpoint(3 / 8, 1.4, 1.7),
    Breakpoint(1 / 2, 5.3, 5.8),
)
STOP_BAND_LEAST = (
    Breakpoint(1 / 2, 1.2, 0.8),
    Breakpoint(1, 16.6, 15.6),
    Breakpoint(2, 40.5, 39.5),
    Breakpoint(3, 60.0, 54.0),
    Breakpoint(4, 70.0, 60.0),
)

TABLE_F1 = {
    1 / 8: 1.02667,
    1 / 4: 1.05575,
    3 / 8: 1.08746,
    1 / 2: 1.12202,
    1: 1.29437,
    2: 1.88173,
    3: 3.05365,
    4: 5.39195,
}
"""Table F.1: where the breakpoints lie for third-octave bands."""

EFFECTIVE_BANDWIDTH = 0.4
"""5.12.2: class 1, dB."""
LINEARITY_UPPER, LINEARITY_BELOW, LINEARITY_RANGE = 0.5, 0.7, 60.0
"""5.13: class 1, dB: within the upper 40 dB of the linear operating range, below them, and how wide it has to be."""
TIME_INVARIANCE = 0.4
"""5.14.3: class 1, dB; a sweep of one decade in 2 to 5 s against formula (17)."""
SUMMATION = (-1.8, 0.8)
"""5.16: class 1, dB; input level less the level of the adjacent filters' summed outputs."""


def breakpoint_at(exponent: float, bands: int) -> float:
    """Formula (9): the normalised frequency of a breakpoint for bands of an octave / `bands`."""
    return 1 + (G ** (1 / (2 * bands)) - 1) / (G**0.5 - 1) * (G**exponent - 1)


def class1(omega: NDArray[np.float64], bands: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The least and the most relative attenuation at normalised frequencies: table 1 by formulas (9) to (11)."""
    omega = np.where(omega < 1, 1 / omega, omega)
    inside = omega < breakpoint_at(1 / 2, bands)

    def between(rows: tuple[Breakpoint, ...]) -> NDArray[np.float64]:
        places = np.log10([breakpoint_at(row.exponent, bands) for row in rows])
        return np.interp(np.log10(omega), places, [row.class1 for row in rows])

    least = np.where(inside, PASS_BAND_LEAST[0], between(STOP_BAND_LEAST))
    return least, np.where(inside, between(PASS_BAND_MOST), math.inf)


def swept_level(level: float, edges: tuple[float, float], sweep: tuple[float, float, float], averaged: float) -> float:
    """Formula (17): the average over `averaged` s of a band's output while a tone of `level` sweeps (from, to, s)."""
    start, end, seconds = sweep
    share = math.log10(edges[1] / edges[0]) / math.log10(end / start)
    return level + 10 * math.log10(seconds / averaged * share)
