"""A GNSS receiver that sends NMEA 0183 sentences once a second on a UART: RMC, GGA, and some that nobody asked for.

Without a position it goes on sending, with empty fields, as receivers do; it knows the time `acquisition` ms after
its power came on and the position whenever its sources have one.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from .base import Source, UARTChip

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


def sentence(body: str) -> bytes:
    """Dollar sign, checksum and line end around a sentence."""
    total = 0
    for byte in body.encode("ascii"):
        total ^= byte
    return f"${body}*{total:02X}\r\n".encode("ascii")


def _angle(value: float, digits: int) -> str:
    minutes = round(abs(value) * 60 * 100_000)
    degrees, minutes = divmod(minutes, 6_000_000)
    return f"{degrees:0{digits}d}{minutes / 100_000:08.5f}"


class GNSS(UARTChip):
    """Sources in degrees (north and east positive) and metres above sea level; `start` is the true time at 0 in
    s2000.
    """

    baudrate = 9600

    def __init__(
        self,
        latitude: Source,
        longitude: Source,
        altitude: Source,
        *,
        start: int = 846_000_000,
        satellites: int = 8,
        acquisition: int = 0,
        plugged: Source | None = None,
    ) -> None:
        self._sources = (latitude, longitude, altitude)
        self._start = start
        self.satellites = satellites
        self._acquisition = acquisition
        self._plugged = plugged
        self.power_up()

    def power_up(self, now: int = 0) -> None:
        self._since = now
        self._next = now // 1000 * 1000 + 1100

    def transmit(self, now: int) -> bytes:
        if self._plugged is not None and self._plugged(now) is None:
            return b""
        if now - self._next > 5000:  # a full buffer keeps no more anyway
            self._next = (now - 4000) // 1000 * 1000 + 100
        out = b""
        while self._next <= now:
            out += self.epoch(self._next - 100)
            self._next += 1000
        return out

    def epoch(self, instant: int) -> bytes:
        """What is sent about one second."""
        moment = _EPOCH + timedelta(seconds=self._start + instant // 1000)
        known = instant - self._since >= self._acquisition
        clock = moment.strftime("%H%M%S.00") if known else ""
        date = moment.strftime("%d%m%y") if known else ""
        latitude, longitude, altitude = (source(instant) for source in self._sources)
        if not known or latitude is None or longitude is None or altitude is None:
            rmc = f"GNRMC,{clock},V,,,,,,,{date},,,N"
            gga = f"GNGGA,{clock},,,,,0,00,99.99,,,,,,"
        else:
            place = f"{_angle(latitude, 2)},{'S' if latitude < 0 else 'N'},"
            place += f"{_angle(longitude, 3)},{'W' if longitude < 0 else 'E'}"
            rmc = f"GNRMC,{clock},A,{place},0.004,,{date},,,A"
            gga = f"GNGGA,{clock},{place},1,{self.satellites:02d},1.01,{altitude:.1f},M,19.0,M,,"
        return sentence(rmc) + sentence(gga) + sentence("GNGLL,,,,,,V,N")
