"""Is that a microphone at all? Looks at one raw word in 5 ms and says what is wrong with the wires.

All zeros: nothing drives the data line in this channel's half of the frame, so the microphone is not there or has no
power; or its L/R pin selects the other channel, which `channels` finds out. One word for ever: a line held high, or a
chip that is not clocked. A bit that never changes between two that do: a bad joint or a wrong bit alignment. DC: the
mean is more than an eighth of full scale. A clock that is missing altogether shows in the meter, which then gets no
words.
"""

import micropython

OK = 0
SILENT = 1  # all zeros: no microphone or no power
FROZEN = 2  # one word for ever
STUCK_BIT = 3
DC = 4
NO_CLOCK = 5  # no words at all
SWAPPED = 6  # all zeros, while the other channel is not


@micropython.viper
def clear(q: ptr32):
    """Begin a stretch: nothing or'ed, everything and'ed."""
    i = 19
    q[i] = 0
    i = 20
    q[i] = -1


@micropython.viper
def judge(q: ptr32, bits: int, sl: int) -> int:
    """What the words or'ed and and'ed over a stretch of at least 0.5 s say; `bits` are significant, from the top."""
    ones = (q[19] << sl) >> sl
    both = (q[20] << sl) >> sl
    if ones == 0:
        return 1
    if ones == both:
        return 2
    # Below the significant bits a floating data line may do what it likes.
    changed = ((ones ^ both) >> (32 - bits)) << (32 - bits)
    # From the lowest significant bit up to the highest that changed, all have to change.
    i = 32 - bits
    gap = 0
    while i < 31:
        if changed & (1 << i):
            if gap:
                return 3
        elif changed & ((1 << i) - 1):
            gap = 1
        i += 1
    return 0
