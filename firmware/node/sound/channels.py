"""Is the microphone in the other channel? Asked once when its own is silent, and then forgotten.

An I2S frame has two halves, and a pin of the microphone (L/R, SEL) says in which it speaks. With that pin the wrong way
round, words are all zero, exactly as if there were no microphone at all; a look at both halves tells the two apart.
"""

import asyncio

_FRAMES = 480
_LOOKS = 10  # of 10 ms at 48 kHz: a microphone takes up to 85 ms to wake up


async def other(port, rate):
    """Whether the second half of the frames says something while the first one says nothing. Opens the bus itself."""
    buf = bytearray(8 * _FRAMES)
    stream = port.open(rate, True)
    try:
        left = right = 0
        for _ in range(_LOOKS):
            got = await stream.readinto(buf)
            for i in range(0, got & ~7, 8):
                left |= buf[i + 2] | buf[i + 3]
                right |= buf[i + 6] | buf[i + 7]
            await asyncio.sleep_ms(0)
        return right != 0 and left == 0
    finally:
        stream.deinit()
