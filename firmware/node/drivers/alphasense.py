"""Temperature factors of Alphasense's four-electrode cells, of the two algorithms that their application note AAN 803
("Correcting for background currents in four electrode toxic gas sensors", issues -04 and -05, tables 2 and 3) names for
each: nine, at -30 to 50 degrees Celsius by 10. Loaded when a cell is named, and by nothing else.
"""

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
