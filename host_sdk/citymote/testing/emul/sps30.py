"""Sensirion SPS30: particulate matter on I2C (datasheet "SPS30", version 1.0 of March 2020, chapters 4 and 6).

Idle after power-up; in measurement mode a new set of values every second, announced by the data-ready flag, which
reading the values clears. Asleep, the first transfer is not acknowledged and opens the interface for 100 ms.
"""

from __future__ import annotations

import math
import struct

from .base import Nak, Source
from .sensirion import SensirionChip, with_crc, without_crc, words

_IDLE, _MEASURING, _SLEEPING = range(3)
_WEEK = 604800


def _none(now: int) -> float | None:
    return 0.0


class SPS30(SensirionChip):
    """Mass sources in ug/m3, `numbers` for counts in 1/cm3 up to 0.5, 1, 2.5, 4 and 10 um; `pm4` defaults to `pm10`.

    `status` is the device status register: bit 21 fan speed, bit 5 laser, bit 4 fan. `hang` stops new values from
    coming while everything else still answers. A source that is absent while another is not gives not-a-number.
    """

    address = 0x69

    def __init__(
        self,
        pm1: Source,
        pm2_5: Source,
        pm10: Source,
        pm4: Source | None = None,
        numbers: tuple[Source, Source, Source, Source, Source] | None = None,
        *,
        firmware: tuple[int, int] = (2, 3),
        serial: str = "0123456789ABCDEF",
        product: str = "00080000",
    ) -> None:
        super().__init__()
        self._sources: list[Source] = [pm1, pm2_5, pm4 or pm10, pm10, *(numbers or (_none,) * 5)]
        self.firmware = firmware
        self.serial = serial
        self.product = product
        self.status = 0
        self.hang = False
        self.cleaning_interval = _WEEK  # kept without power (4.2)
        self.cleanings = 0
        self.power_up()

    def power_up(self, now: int = 0) -> None:
        super().power_up(now)
        self._mode = _IDLE
        self._open_until = -1
        self._pointer: int | None = None
        self._as_float = True
        self._began = 0
        self._read_set = 0  # the number of the set that was read last
        self._frozen_set: int | None = None

    def present(self, now: int) -> bool:
        return any(source(now) is not None for source in self._sources[:4])

    def write(self, now: int, data: bytes) -> None:
        if self._mode == _SLEEPING and self.present(now):
            if now > self._open_until:
                self._open_until = now + 100  # 6.3.6: the start condition woke the interface only
                raise Nak
            if data != b"\x11\x03":
                raise Nak
            self._mode = _IDLE
            self._busy(now, 5)
            return
        super().write(now, data)

    def command(self, now: int, data: bytes) -> None:
        if len(data) < 2:
            raise Nak
        pointer = data[0] << 8 | data[1]
        argument = without_crc(data[2:])
        self._pointer = pointer
        if pointer == 0x0010:
            self._start(now, argument)
        elif pointer == 0x0104:
            self._mode = _IDLE
            self._busy(now, 20)
        elif pointer == 0x1001:
            self._from_idle()
            self._mode = _SLEEPING
            self._open_until = -1
        elif pointer == 0x1103:
            self._busy(now, 5)
        elif pointer == 0x5607:
            if self._mode != _MEASURING:
                raise Nak
            self.cleanings += 1
            self._busy(now, 5)
        elif pointer == 0x8004:
            if argument:
                self.cleaning_interval = int.from_bytes(argument, "big")
                self._busy(now, 20)
        elif pointer == 0xD210:
            self.status = 0
            self._busy(now, 5)
        elif pointer == 0xD304:
            self.power_up(now)
            self._busy(now, 100)
        elif pointer not in (0x0202, 0x0300, 0xD002, 0xD033, 0xD100, 0xD206) or (
            pointer == 0xD206 and self.firmware < (2, 2)
        ):
            raise Nak

    def answer(self, now: int) -> bytes | None:
        """The pointer stays set: a repeated read repeats the question."""
        match self._pointer:
            case 0x0202:
                return words((1 if self._set(now) > self._read_set else 0,))
            case 0x0300:
                return self._values(now)
            case 0x8004:
                return with_crc(self.cleaning_interval.to_bytes(4, "big"))
            case 0xD002:
                return with_crc(self.product.encode().ljust(8, b"\0"))
            case 0xD033:
                return with_crc(self.serial.encode().ljust(32, b"\0"))
            case 0xD100:
                return with_crc(bytes(self.firmware))
            case 0xD206:
                return with_crc(self.status.to_bytes(4, "big"))
            case _:
                return None

    def _start(self, now: int, argument: bytes) -> None:
        self._from_idle()
        if argument not in (b"\x03\x00", b"\x05\x00"):
            raise Nak
        self._as_float = argument[0] == 3
        self._mode = _MEASURING
        self._began = now
        self._read_set = 0
        self._busy(now, 20)

    def _from_idle(self) -> None:
        if self._mode != _IDLE:
            raise Nak

    def _set(self, now: int) -> int:
        """The number of the latest set of values; 0 before the first."""
        if self._mode != _MEASURING:
            return 0
        if self.hang:
            if self._frozen_set is None:
                self._frozen_set = (now - self._began) // 1000
            return self._frozen_set
        self._frozen_set = None
        return (now - self._began) // 1000

    def _values(self, now: int) -> bytes:
        latest = self._set(now)
        if not latest:
            raise Nak
        self._read_set = latest
        instant = self._began + 1000 * latest
        values = [math.nan if v is None else max(v, 0.0) for v in (source(instant) for source in self._sources)]
        mass, number = values[:4], values[4:]
        size = 0.5  # typical particle size in um; no source for it
        if self._as_float:
            return with_crc(struct.pack(">10f", *mass, *number, size))
        integers = [65535 if v != v else min(round(v), 65535) for v in (*mass, *number)] + [round(size * 1000)]
        return words(integers)
