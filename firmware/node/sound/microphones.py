"""Microphones as data: how a chip shifts its bits, how loud full scale is, where it clips, what it hears in silence.

Figures are the data sheets' typical values; a single microphone deviates by its sensitivity tolerance (+-1 dB, or +-3
dB for the SPH0645 and the INMP441), which calibration takes away. No chip's published frequency response is flat
below 50 Hz and above 10 kHz, and what a housing adds is larger: `response` names a published correction, always an
estimate read from a plot, with its version; none is applied to the levels (docs/sound.md, "Uncertainty").
"""


class Microphone:
    """One row of the table; levels in 0.001 dB.

    name         as in board descriptions
    bits         significant bits of a sample
    shift        by how many bits a sample sits lower in the 32-bit word than left-justified
    sensitivity  level of a 1 kHz tone of 94 dB, relative to a full-scale sine
    overload     acoustic overload point, dB
    noise        self-noise (94 dB less the signal-to-noise ratio), dB(A)
    response     (version, text) of what is known of the frequency response
    """

    def __init__(self, name, bits, shift, sensitivity, overload, noise, response):
        self.name = name
        self.bits = bits
        self.shift = shift
        self.sensitivity = sensitivity
        self.overload = overload
        self.noise = noise
        self.response = response


_ROWS = (
    # InvenSense INMP441 data sheet rev 1.1, tables 1 and 2
    ("inmp441", 24, 0, -26000, 120000, 33000, (1, "estimated: -3 dB at 60 Hz, 2nd order below; +2 dB at 12 kHz")),
    # InvenSense ICS-43434 data sheet rev 1.2, tables 1 and 2
    ("ics43434", 24, 0, -26000, 120000, 29000, (1, "estimated: -3 dB at 24 Hz; +2 dB at 13 kHz")),
    # Knowles SPH0645LM4H-B data sheet rev B: 18 bits in a frame of 24, the rest zero
    ("sph0645", 18, 0, -26000, 120000, 29000, (1, "estimated: -3 dB at 30 Hz; +3 dB at 12 kHz")),
    # Infineon IM69D130 data sheet V1.0 (PDM), through a PDM to I2S converter with 20 bits
    ("im69d130", 20, 0, -36000, 130000, 25000, (1, "estimated: -3 dB at 28 Hz; +2 dB at 12 kHz")),
)


def microphone(name):
    """The row of that name; ValueError names those that there are."""
    for row in _ROWS:
        if row[0] == name:
            return Microphone(*row)
    raise ValueError("no microphone %r; there are %s" % (name, ", ".join(row[0] for row in _ROWS)))


def names():
    return tuple(row[0] for row in _ROWS)
