"""What Sensirion's chips share: two-byte words, each followed by a CRC-8.

CRC-8 as every one of their I2C datasheets gives it (for example SHT4x section 4.4, SPS30 section 6.2): polynomial
0x31, start value 0xFF, no reflection, no final xor; the bytes BE EF give 92. Nothing here allocates.
"""

from .fault import BAD_CHECKSUM, SHORT_READ, STUCK_BUS, Fault

# crc of one nibble shifted through the polynomial
_NIBBLE = b"\x00\x31\x62\x53\xc4\xf5\xa6\x97\xb9\x88\xdb\xea\x7d\x4c\x1f\x2e"


def crc8(data, start, end):
    """CRC-8 over data[start:end]."""
    crc = 0xFF
    for i in range(start, end):
        crc ^= data[i]
        crc = ((crc << 4) & 0xFF) ^ _NIBBLE[crc >> 4]
        crc = ((crc << 4) & 0xFF) ^ _NIBBLE[crc >> 4]
    return crc


def check(data, count):
    """Refuse the first `count` bytes unless each word's CRC is right, saying which kind of damage it looks like."""
    for i in range(0, count, 3):
        if not intact(data, i):
            break
    else:
        return
    # A released line reads ones, a line held low reads zeros; neither can carry a right CRC.
    if _all(data, count - 3, count, 0xFF):
        raise Fault(SHORT_READ, "the chip stopped sending before the end")
    if _all(data, 0, count, 0x00):
        raise Fault(STUCK_BUS, "only zeros: the data line is held low")
    raise Fault(BAD_CHECKSUM, "wrong CRC in word %d" % (i // 3))


def intact(data, at):
    """Whether the word at byte `at` has its right CRC."""
    return crc8(data, at, at + 2) == data[at + 2]


def _all(data, start, end, value):
    for i in range(start, end):
        if data[i] != value:
            return False
    return True


def word(data, at):
    """The word that starts at byte `at` of a reply."""
    return data[at] << 8 | data[at + 1]


def put_word(data, at, value):
    """Write a word and its CRC into a command."""
    data[at] = value >> 8
    data[at + 1] = value & 0xFF
    data[at + 2] = crc8(data, at, at + 2)
