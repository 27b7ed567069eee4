"""Frees an I2C bus whose data line a chip holds low.

A chip that was interrupted while it sent a zero, or acknowledged, waits for clocks that never come: the node was reset
in between, a wire was touched, a glitch cost a clock. "Bus clear" (NXP UM10204, section 3.1.16) is nine clocks, within
which it gets to a bit that it lets go. Here each of the clocks ends in a STOP, data rising behind the clock: as soon as
the chip lets go it sees that STOP and forgets what it was about, and no clock too many becomes a byte for anybody.
"""


def free(scl, sda, pause):
    """Clock until the data line is free; returns whether it is.

    `scl` and `sda` are open-drain pins: `value(0)` pulls down, `value(1)` lets go, `value()` looks. `pause()` waits for
    half a clock, 5 us or longer.
    """
    sda.value(1)
    scl.value(1)
    pause()
    for _ in range(9):
        if not scl.value():
            return False  # the clock itself is held low: only the chip's power can help
        scl.value(0)
        pause()
        sda.value(0)
        pause()
        scl.value(1)
        pause()
        sda.value(1)
        pause()
        if sda.value():
            return True
    return False
