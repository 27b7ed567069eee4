"""Microphones as data: how a chip shifts its bits, how loud full scale is, where it clips, what it hears in silence.

Figures are the data sheets' typical values; a single microphone deviates by its sensitivity tolerance (+-1 dB, or +-3
dB for the SPH0645 and the INMP441), which calibration takes away. What is published of their frequency responses is a
correction of its own, which a board switches on: `equaliser`, and docs/sound.md for how far to trust it.
"""

# name, significant bits, bits that a sample sits lower than left-justified; then in 0.001 dB: level of a 1 kHz tone of
# 94 dB relative to a full-scale sine, acoustic overload point, self-noise (94 dB less the signal-to-noise ratio, A)
_ROWS = (
    # InvenSense INMP441 data sheet rev 1.1, tables 1 and 2
    ("inmp441", 24, 0, -26000, 120000, 33000),
    # InvenSense ICS-43434 data sheet rev 1.2, tables 1 and 2
    ("ics43434", 24, 0, -26000, 120000, 29000),
    # Knowles SPH0645LM4H-B data sheet rev B: 18 bits in a frame of 24, the rest zero
    ("sph0645", 18, 0, -26000, 120000, 29000),
    # Infineon IM69D130 data sheet V1.0 (PDM), through a PDM to I2S converter with 20 bits
    ("im69d130", 20, 0, -36000, 130000, 25000),
)


def microphone(name):
    """(bits, shift, sensitivity, overload, noise) of that microphone; ValueError names those that there are."""
    for row in _ROWS:
        if row[0] == name:
            return row[1:]
    raise ValueError("microphone: %s" % ", ".join([row[0] for row in _ROWS]))
