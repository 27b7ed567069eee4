"""Quality codes of single readings: what is known about a value, or why there is none.

The first five are the codes of OMA LwM2M resource 6042 (measurement quality indicator); from 8 on they are reasons of
our own, which mostly stand beside an absent value.  In memory a column has one byte of code a row; on the wire only
runs that are not 0 appear (SPEC 3.6).  Append-only, and never above 23, where a code would need a second byte.
"""

UNCHECKED = 0
REJECTED = 1
LIKELY_INVALID = 2
SUSPICIOUS = 3
ACCEPTED = 4
NO_ANSWER = 8  # the chip did not acknowledge or stayed silent
BAD_CHECKSUM = 9
WARMING_UP = 10
OUT_OF_RANGE = 11
WRONG_CHIP = 12  # another chip answered at this address
SHORT_READ = 13
STUCK_BUS = 14
FROZEN = 15  # the value has not moved for longer than nature stands still
SATURATED = 16

MAX_CODE = 23

NAMES = (
    (UNCHECKED, "unchecked"),
    (REJECTED, "rejected"),
    (LIKELY_INVALID, "likely_invalid"),
    (SUSPICIOUS, "suspicious"),
    (ACCEPTED, "accepted"),
    (NO_ANSWER, "no_answer"),
    (BAD_CHECKSUM, "bad_checksum"),
    (WARMING_UP, "warming_up"),
    (OUT_OF_RANGE, "out_of_range"),
    (WRONG_CHIP, "wrong_chip"),
    (SHORT_READ, "short_read"),
    (STUCK_BUS, "stuck_bus"),
    (FROZEN, "frozen"),
    (SATURATED, "saturated"),
)


def name(code):
    """The word for a code; codes of a newer registry keep their number."""
    for known, word in NAMES:
        if known == code:
            return word
    return "quality_" + str(code)


def by_name(word):
    """The code for a word, or None."""
    for code, known in NAMES:
        if known == word:
            return code
    return None


def expand(runs, columns, count):
    """One bytearray of codes a column (None where all are unchecked) from (column, start, length, code) runs."""
    out = [None] * columns
    for column, start, length, code in runs:
        if out[column] is None:
            out[column] = bytearray(count)
        for row in range(start, start + length):
            out[column][row] = code
    return out


def runs(codes, count):
    """The maximal (column, start, length, code) runs of columns of codes, in the order of the wire."""
    out = []
    for column in range(len(codes)):
        line = codes[column]
        if line is None:
            continue
        row = 0
        while row < count:
            code = line[row]
            start = row
            while row < count and line[row] == code:
                row += 1
            if code:
                out.append((column, start, row - start, code))
    return out
