"""Temperature compensation of four-electrode gas cells, correction `cell-temperature/1`, the same on node and host.

Alphasense's application note AAN 803 ("Correcting for background currents in four electrode toxic gas sensors", issues
-04 and -05, cited as AN), tables 2 and 3: four algorithms, of which it names two for each cell, and for each nine
factors, at -30 to 50 degrees Celsius by 10. A cell's own labels go in with every call. The node's driver computes with
it, and so does `citymote.corrections.Cell`. Integers below 2^30 only, so that nothing is allocated.
"""

UNIT = 16000  # of voltages here, in a mV: an ADS1115's finest range has 125

# cell, algorithm, factors in tenths (algorithms 1 to 3) or background in mV (4); what the note suggests comes first
_TABLE = """
CO-A4 1 10 10 10 10 -2 -9 -15 -15 -15
CO-A4 4 13 12 16 11 4 0 -15 -18 -36
CO-B4 1 7 7 7 7 10 30 35 40 45
CO-B4 2 2 2 2 2 3 10 12 13 15
H2S-A4 2 -15 -15 -15 -5 5 10 8 5 3
H2S-A4 1 30 30 30 10 -10 -20 -15 -10 -5
H2S-B4 1 -6 -6 1 8 -7 -25 -25 -22 -18
H2S-B4 2 2 2 0 -3 3 10 10 9 7
NO-A4 3 7 7 7 7 8 10 12 14 16
NO-A4 4 -25 -25 -25 -25 -16 0 56 200 615
NO-B4 2 18 18 14 11 11 10 9 9 8
NO-B4 3 8 8 8 8 9 10 11 12 13
NO2-A43F 1 8 8 10 12 16 18 19 25 36
NO2-A43F 3 2 2 2 2 7 10 13 21 35
NO2-B43F 1 13 13 13 13 10 6 4 2 -15
NO2-B43F 3 10 10 10 10 10 10 4 -1 -40
OX-A431 3 1 1 2 3 7 10 17 30 40
OX-A431 1 10 12 12 16 17 20 21 34 46
OX-B431 1 9 9 10 13 15 17 20 25 37
OX-B431 3 5 5 5 6 6 10 28 50 53
SO2-A4 4 0 0 0 0 0 0 5 25 45
SO2-A4 1 13 13 13 12 9 4 4 4 4
SO2-B4 4 -4 -4 -4 -4 -4 0 20 140 450
SO2-B4 1 16 16 16 16 16 16 19 30 58
"""


def factors(cell, algorithm=None):
    """(algorithm, nine factors) of a cell, by the suggested algorithm or a given one; None where there are none."""
    at = _TABLE.find("\n%s %s" % (cell, "" if algorithm is None else "%d " % algorithm)) if cell else -1
    if at < 0:
        return None
    words = _TABLE[at + 1 : _TABLE.find("\n", at + 1)].split(" ")
    return int(words[1]), tuple([int(word) for word in words[2:]])


def plain(we, ae, zero_we, zero_ae):
    """The signal without regard to temperature: algorithm 3 with the factor 1 that it has where it was calibrated.

    `we` and `ae` are the electrodes' voltages less the board's offsets (AN: WEu - WEe, AEu - AEe), the zeros the cell's
    own (AN: WE0, AE0), all in UNITs, as is what comes back.
    """
    return we - zero_we + zero_ae - ae


def compensated(algorithm, table, we, ae, zero_we, zero_ae, celsius):
    """The same without the background that the table has for a temperature in 0.1 degrees; None outside the table."""
    if not -300 <= celsius <= 500:
        return None
    at = min((celsius + 300) // 100, 7)
    part = celsius + 300 - 100 * at
    factor = table[at] * (100 - part) + table[at + 1] * part  # thousandths; of algorithm 4 hundredths of a mV
    if algorithm == 4:
        return we - zero_we - factor * (UNIT // 100)
    if algorithm == 2:
        factor = _nearest(factor * (zero_we // UNIT), zero_ae // UNIT)
    elif algorithm == 3:
        we += zero_ae - zero_we
    return we - (ae // 1000 * factor + ae % 1000 * factor // 1000)


def ppb(signal, sensitivity):
    """The concentration behind a signal; `sensitivity` in uV for each ppb."""
    return _nearest(signal, sensitivity * (UNIT // 1000))


def _nearest(value, by):
    if by < 0:
        value, by = -value, -by
    return (value + by // 2) // by if value >= 0 else -((by // 2 - value) // by)
