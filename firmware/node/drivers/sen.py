"""What the SEN5x and SEN6x share: words that may be unknown yet."""

from .fault import OK, OUT_OF_RANGE, REJECTED, WARMING_UP


def signed(data, at):
    """The word at byte `at` as a two's complement number."""
    value = data[at] << 8 | data[at + 1]
    return value - 0x10000 if value & 0x8000 else value


def rounded(value, by):
    """value / by to the nearest integer, ties away from zero."""
    return (value + by // 2) // by if value >= 0 else -((by // 2 - value) // by)


def reading(quantity, raw, unknown, limit, quality, by=1):
    """A word as a reading: unknown is absent, a failed part rejects, beyond its specified range it is marked."""
    if quality == REJECTED:
        return (quantity, None, REJECTED)
    if raw == unknown:
        return (quantity, None, WARMING_UP)
    value = rounded(raw, by) if by > 1 else raw
    if value > limit and quality == OK:
        quality = OUT_OF_RANGE
    return (quantity, value, quality)
