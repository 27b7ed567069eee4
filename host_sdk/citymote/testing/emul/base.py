"""What an emulated chip is: the far end of a wire, byte for byte.

The virtual node's drivers run in a MicroPython process and talk to buses; these classes are what hangs on
those buses, in the host's Python, so that the node's heap holds the node and nothing else. A chip answers
from its datasheet's tables and from `Source`s, physical quantities over time; it knows nothing of drivers,
frames or the bridge that carries its bytes (`citymote.testing.bridge`).

Every method is given `now`, integer milliseconds since the virtual node's story began: for its first start that
is its uptime. It never runs backwards, may jump by hours, and goes on over restarts of the node; `power_up` says
that the power was off in between. A chip gives the same bytes for the same sources, seed and calls: no wall clock,
no global random state.
"""

from __future__ import annotations

from collections.abc import Callable

Source = Callable[[int], "float | None"]
"""A physical quantity over time: `now` in ms -> value in the registry's unit, or None when the sensor is not there."""


class Nak(Exception):
    """Nobody acknowledged the address or the byte; the node's driver gets OSError(ENODEV)."""


class Timeout(Exception):
    """The chip held the clock low, or never finished; the node's driver gets OSError(ETIMEDOUT)."""


class BusFault(Exception):
    """The wire itself is broken (a line stuck low, arbitration lost); the node's driver gets OSError(EIO)."""


class Emulator:
    """What all emulated parts share: they lose power together with the node, and come back as from the box."""

    def power_up(self, now: int = 0) -> None:
        """The power came on at `now`: forget volatile registers, warm up, count from 0. Not called for a mere reset."""


class I2CChip(Emulator):
    """A target on an I2C bus. One call is one transfer between a (repeated) start and the next start or stop."""

    address: int
    """The 7-bit address it answers to."""

    def write(self, now: int, data: bytes) -> None:
        """The controller wrote `data` after the address byte; empty for a bare address probe. May raise `Nak`."""

    def stretch(self, now: int) -> int:
        """For how many ms it holds the clock in a transfer that begins now; beyond the bus's timeout it fails."""
        return 0

    def read(self, now: int, count: int) -> bytes:
        """The controller reads `count` bytes; what is missing reads 0xFF, as a released line does. May raise `Nak`."""
        return b"\xff" * count


class UARTChip(Emulator):
    """A chip on a serial line. `transmit` is asked before every look that the node takes at its receive buffer."""

    baudrate: int = 9600
    """The line speed the chip uses; a node that opened the line at another speed receives framing garbage."""

    def receive(self, now: int, data: bytes) -> None:
        """The node sent `data`."""

    def transmit(self, now: int) -> bytes:
        """The bytes that the chip has sent since the last call, up to `now`.

        The host keeps only what the node's UART driver would, the oldest 256 bytes that were not read (`RX_BUFFER`
        in the bridge). After a long jump of time a chip that streams by itself may therefore stop after the first
        few hundred bytes, as long as the next call continues with what it sends then.
        """
        return b""


class AnalogInput(Emulator):
    """A voltage on an ADC pin."""

    def microvolts(self, now: int) -> int:
        """The voltage at this instant, against ground."""
        return 0


class PulseInput(Emulator):
    """Pulses on a counter pin."""

    def count(self, now: int) -> int:
        """Pulses since power-up; never decreases."""
        return 0


class Microphone(Emulator):
    """A digital microphone on I2S."""

    def samples(self, now: int, count: int) -> bytes:
        """The `count` words that end at `now`, as the chip shifts them out: 32 bits each, little endian."""
        return bytes(4 * count)

    def frames(self, now: int, count: int) -> bytes:
        """The same with both halves of each I2S frame, left and right; this chip's words are in the left one."""
        words = self.samples(now, count)
        return b"".join(words[k : k + 4] + b"\0\0\0\0" for k in range(0, len(words), 4))

    def schedule(self, now: int) -> tuple[bool, int]:
        """Whether sound is to be listened to now (or nothing is rendered), and until when that stays so."""
        return True, now + 3_600_000

    def between(self, now: int, start: int, end: int) -> tuple[int, ...] | None:
        """The levels of a time that is not rendered, which enter behind the microphone: integers in 0.001 dB.

        LAeq LCeq LZeq LAFmax LAFmin LASmax LCpeak, then ten deciles of LAF, loudest first, then the bands that the
        meter was asked for, highest first; None: no microphone.
        """
        return None


class Pin(Emulator):
    """A pin that the node drives, such as a load switch of a sensor's supply, or an input such as a button."""

    level: int = 0
    """What the node reads back, and the last level it drove."""

    def set(self, now: int, level: int) -> None:
        """The node drove the pin to `level` (0 or 1)."""
        self.level = level


Part = I2CChip | UARTChip | AnalogInput | PulseInput | Microphone | Pin
"""Anything that can be connected to a name in a board description."""
