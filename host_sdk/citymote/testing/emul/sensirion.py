"""What Sensirion's chips share on I2C: words with a CRC-8 behind each, commands that keep the chip busy, no clock
stretching.

While a command runs the chip acknowledges neither reads nor further commands; a read without a command before it is not
acknowledged. Which command means what, and how long it takes, is each chip's own file.
"""

from __future__ import annotations

from collections.abc import Iterable

from .base import I2CChip, Nak


def crc8(data: bytes) -> int:
    """Polynomial 0x31, start 0xFF, as in every one of these datasheets; BE EF gives 92."""
    crc = 0xFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1) ^ 0x31 if crc & 0x80 else crc << 1
            crc &= 0xFF
    return crc


def with_crc(data: bytes) -> bytes:
    """`data` cut into words, each followed by its CRC."""
    return b"".join(data[i : i + 2] + bytes([crc8(data[i : i + 2])]) for i in range(0, len(data), 2))


def words(values: Iterable[int]) -> bytes:
    """Words with their CRCs."""
    return with_crc(b"".join(value.to_bytes(2, "big") for value in values))


def without_crc(data: bytes) -> bytes:
    """The words of a command's argument; a wrong CRC is not acknowledged."""
    if len(data) % 3:
        raise Nak
    plain = b""
    for i in range(0, len(data), 3):
        if crc8(data[i : i + 2]) != data[i + 2]:
            raise Nak
        plain += data[i : i + 2]
    return plain


class SensirionChip(I2CChip):
    """A chip that is busy for a while after a command and then holds its answer until it is read or asked anew."""

    def __init__(self) -> None:
        self._busy_until = 0
        self._answer: bytes | None = None

    def power_up(self, now: int = 0) -> None:
        self._busy_until = 0
        self._answer = None

    def _busy(self, now: int, duration: int) -> None:
        self._busy_until = now + duration

    def present(self, now: int) -> bool:
        """Whether somebody is there to acknowledge."""
        return True

    def _require(self, now: int) -> None:
        if not self.present(now) or now < self._busy_until:
            raise Nak

    def write(self, now: int, data: bytes) -> None:
        self._require(now)
        if data:
            self._answer = None
            self.command(now, data)

    def read(self, now: int, count: int) -> bytes:
        self._require(now)
        answer = self.answer(now)
        if answer is None:
            raise Nak
        return answer[:count]

    def command(self, now: int, data: bytes) -> None:
        """Obey a command, or raise Nak."""
        raise Nak

    def answer(self, now: int) -> bytes | None:
        """What a read returns now."""
        answer, self._answer = self._answer, None
        return answer


class ContinuousChip(SensirionChip):
    """A chip that measures by itself once it has been started: a new set every `period` ms, announced by a flag.

    A chip's own class says which commands there are (`command`), and what a set consists of (`measured`).
    """

    def __init__(self) -> None:
        super().__init__()
        self.hang = False
        self.status = 0
        self.measuring = False
        self.period = 1000
        self._began = 0
        self._taken = 0

    def power_up(self, now: int = 0) -> None:
        super().power_up(now)
        self.measuring = False

    def begin(self, now: int, period: int) -> None:
        """Measurement mode, from now on."""
        self.measuring = True
        self.period = period
        self._began = now
        self._taken = 0

    def sets(self, now: int) -> int:
        """How many sets there have been."""
        if not self.measuring:
            return 0
        return self._taken if self.hang else (now - self._began) // self.period

    def fresh(self, now: int) -> bool:
        """The data-ready flag."""
        return self.sets(now) > self._taken

    def take(self, now: int) -> bytes | None:
        """Read the latest set, which clears the flag; None when there is none."""
        latest = self.sets(now)
        if not latest:
            return None
        self._taken = latest
        return self.measured(self._began + latest * self.period)

    def measured(self, instant: int) -> bytes:
        """The set measured at an instant, with its CRCs."""
        raise Nak


def text(value: str, length: int) -> bytes:
    """A name or serial number, filled up with zeros, with its CRCs."""
    return with_crc(value.encode().ljust(length, b"\0"))
