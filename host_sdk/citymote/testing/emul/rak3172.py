"""RAKwireless RAK3172 and its kin: a LoRaWAN modem that is talked to in AT commands (RUI3 AT Command Manual).

A reply is `name=value` where a value was asked for, an empty line and a status, each with CR LF; `+EVT:` lines follow
when something happens on the air. The modem keeps its parameters without power and loses its session. Behind it
stands a `Network`: who hears it, which data rate it asks for, what arrived, and what it sends down. An uplink takes
its time on air (Semtech AN1200.13), the receive windows open one and two seconds later, and a confirmed one is repeated
as often as AT+RETY says.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from .base import UARTChip

_REPLY_MS = 15  # from the end of a command to its status
_BOOT_MS = 250
_JOIN_ACCEPT_MS = 5000  # JOIN_ACCEPT_DELAY1
_WINDOW_MS = 1000  # RECEIVE_DELAY1
_ACK_TIMEOUT_MS = 2500  # ACK_TIMEOUT is 1 to 3 s; the second window is open meanwhile
_Y2000 = datetime(2000, 1, 1, tzinfo=UTC)
_BANNER = b"RAKwireless RAK3172-E\r\n" + b"-" * 54 + b"\r\nCurrent Work Mode: LoRaWAN.\r\n"

PAYLOADS = {
    "standard": (51, 51, 51, 115, 222, 222),
    "US915": (11, 53, 125, 242, 242),
    "AS923": (0, 0, 11, 53, 125, 222),
}
"""Largest payload by data rate (LoRaWAN Regional Parameters, with the MAC commands' room left free)."""
_DUTY_CYCLE_BANDS = {0, 2, 4}  # EU433, RU864, EU868


@dataclass(slots=True)
class Uplink:
    """What a gateway heard."""

    now: int
    port: int
    payload: bytes
    confirmed: bool
    dr: int
    counter: int
    airtime: float
    """Milliseconds on air, the repetitions that nobody acknowledged included."""


def _everywhere(now: int) -> bool:
    return True


@dataclass
class Network:
    """The other side of the air. `covered` says whether a gateway hears the modem at an instant.

    `acknowledges`: whether its answers reach the modem; an uplink may arrive though its acknowledgement does not. `dr`
    is what it asks an adaptive modem for, `time` what it says the time is at story time 0 (ms since 2000), None when it
    does not say.
    """

    app_key: str
    covered: Callable[[int], bool] = _everywhere
    acknowledges: Callable[[int], bool] = _everywhere
    dr: int | None = None
    time: int | None = None
    uplinks: list[Uplink] = field(default_factory=list[Uplink])
    joins: list[int] = field(default_factory=list[int])
    downlinks: list[tuple[int, bytes]] = field(default_factory=list[tuple[int, bytes]])

    def payloads(self) -> list[bytes]:
        """What arrived, each repetition once: a network server drops a counter that it has seen."""
        return [uplink.payload for uplink in self.uplinks]


class RAK3172(UARTChip):
    """`duty_cycle` is the share of time that the law leaves it, in the bands that have such a law."""

    baudrate = 115200

    def __init__(
        self, network: Network, *, duty_cycle: float = 0.01, echo: bool = False, old_names: bool = False
    ) -> None:
        self.network = network
        self.duty_cycle = duty_cycle
        self.old_names = old_names  # events with blanks, as firmware before RUI3 4.0 has them
        self.commands: list[str] = []
        self.resets = 0
        self._echo = echo
        self._set: dict[str, str] = {
            "NWM": "1", "NJM": "1", "CLASS": "A", "BAND": "4", "DEVEUI": "AC1F09FFFE000000", "APPEUI": "0" * 16,
            "APPKEY": "0" * 32, "CFM": "0", "RETY": "0", "ADR": "1", "DR": "0", "DCS": "1", "TIMEREQ": "0",
        }  # fmt: skip
        self._counter = 0
        self.power_up()

    def power_up(self, now: int = 0) -> None:
        self._out: list[tuple[int, bytes]] = [(now + _BOOT_MS, _BANNER)]
        self._heard = b""
        self.joined = False
        self._busy_until = now
        self._free_at = now  # by the duty cycle
        self._clock: int | None = None
        self._epoch = now  # what happened before a reset is not said after it

    def reset(self, now: int) -> None:
        """A watchdog, a brown-out, ATZ: the session is gone, and whatever was being sent or said."""
        self.resets += 1
        self.power_up(now)

    # -- the line -----------------------------------------------------------------------------------------------------

    def receive(self, now: int, data: bytes) -> None:
        if now < self._epoch + _BOOT_MS:
            return  # it starts, and hears nothing
        self._heard += data.replace(b"\n", b"\r")
        while b"\r" in self._heard:
            line, self._heard = self._heard.split(b"\r", 1)
            if line:
                self._command(now, line.decode("ascii", "replace").strip())

    def transmit(self, now: int) -> bytes:
        due = [text for at, text in self._out if at <= now]
        self._out = [(at, text) for at, text in self._out if at > now]
        return b"".join(due)

    def _say(self, at: int, text: str) -> None:
        self._out.append((at, text.encode()))
        self._out.sort(key=lambda entry: entry[0])

    def _event(self, at: int, text: str) -> None:
        self._say(at, f"+EVT:{text.replace('_', ' ') if self.old_names else text}\r\n")

    def _command(self, now: int, line: str) -> None:
        self.commands.append(line)
        at = now + _REPLY_MS
        if self._echo:
            self._say(now, line + "\r\n")
        if line.upper() == "ATZ":
            self.reset(now)
            return
        status, value = self._obey(now, line)
        if value is not None:
            self._say(at, value + "\r\n")
        self._say(at, f"\r\n{status}\r\n")

    def _obey(self, now: int, line: str) -> tuple[str, str | None]:
        if line.upper() == "AT":
            return "OK", None
        if not line.upper().startswith("AT+"):
            return "AT_ERROR", None
        name, equals, argument = line[3:].partition("=")
        name = name.upper()
        if not equals:
            return ("OK", None) if name == "JOIN" and self._join(now) else ("AT_ERROR", None)
        if argument == "?":
            return self._get(now, name)
        if name == "JOIN":
            return ("OK", None) if self._join(now) else ("AT_BUSY_ERROR", None)
        if name == "SEND":
            return self._send(now, argument), None
        return self._put(name, argument), None

    def _get(self, now: int, name: str) -> tuple[str, str | None]:
        match name:
            case "NJS":
                value = str(int(self.joined))
            case "DUTYTIME":
                value = str(math.ceil(max(0, self._free_at - now) / 1000))
            case "LTIME":
                return "OK", f"AT+LTIME={self._local_time(now)}"
            case _:
                if name not in self._set:
                    return "AT_ERROR", None
                value = self._set[name]
        return "OK", f"AT+{name}={value}"

    def _local_time(self, now: int) -> str:
        # UTC; what an unset clock shows counts from 1970
        if self._clock is None:
            moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=now - self._epoch)
        else:
            moment = _Y2000 + timedelta(milliseconds=self._clock + now)
        return f"{moment:%Hh%Mm%Ss on %m/%d/%Y}"

    def _put(self, name: str, value: str) -> str:
        lengths = {"DEVEUI": 16, "APPEUI": 16, "APPKEY": 32}
        choices = {"NWM": 2, "NJM": 2, "CFM": 2, "ADR": 2, "RETY": 8, "BAND": 13, "DCS": 2, "TIMEREQ": 2}
        if name in lengths:
            if len(value) != lengths[name] or set(value.lower()) - set("0123456789abcdef"):
                return "AT_PARAM_ERROR"
        elif name in choices:
            if not value.isdigit() or int(value) >= choices[name]:
                return "AT_PARAM_ERROR"
        elif name == "CLASS":
            if value not in ("A", "B", "C"):
                return "AT_PARAM_ERROR"
        elif name == "DR":
            if self._set["ADR"] == "1":
                return "AT_ERROR"  # the network's to choose
            if not value.isdigit() or not int(value) < len(self._payloads()) or not self._payloads()[int(value)]:
                return "AT_PARAM_ERROR"
        else:
            return "AT_ERROR"
        self._set[name] = value
        return "OK"

    # -- the air ------------------------------------------------------------------------------------------------------

    def _payloads(self) -> tuple[int, ...]:
        band = int(self._set["BAND"])
        return PAYLOADS["US915" if band == 5 else "AS923" if band >= 8 else "standard"]

    @property
    def dr(self) -> int:
        """The data rate of the next uplink."""
        return int(self._set["DR"])

    def airtime(self, size: int, dr: int) -> float:
        """Milliseconds on air of `size` bytes of application payload."""
        american = self._set["BAND"] == "5"
        wide = american and dr == 4
        spreading = 8 if wide else (10 if american else 12) - dr
        symbol = 2**spreading / (500 if wide else 125)
        slow = spreading > 10 and not wide
        length = 8 * (size + 13) - 4 * spreading + 28 + 16
        symbols = 8 + max(math.ceil(length / (4 * (spreading - 2 * slow))) * 5, 0)
        return (8 + 4.25 + symbols) * symbol

    def _join(self, now: int) -> bool:
        if now < self._busy_until:
            return False
        self.joined = False
        self._busy_until = now + _JOIN_ACCEPT_MS
        known = self._set["APPKEY"].lower() == self.network.app_key.lower()
        if known and self.network.covered(now) and self.network.acknowledges(now):
            self.network.joins.append(now)
            self._counter = 0
            self.joined = True
            if self._set["BAND"] != "5" and int(self._set["BAND"]) >= 8:
                self._set["DR"] = max(self._set["DR"], "2")
            self._event(now + _JOIN_ACCEPT_MS, "JOINED")
        else:
            self._busy_until = now + 2 * _JOIN_ACCEPT_MS
            self._event(now + 2 * _JOIN_ACCEPT_MS, "JOIN_FAILED_RX_TIMEOUT")
        return True

    def _send(self, now: int, argument: str) -> str:
        port, colon, text = argument.partition(":")
        try:
            payload = bytes.fromhex(text)
        except ValueError:
            return "AT_PARAM_ERROR"
        if not colon or not port.isdigit() or not 1 <= int(port) <= 233 or not payload:
            return "AT_PARAM_ERROR"
        if now < self._busy_until:
            return "AT_BUSY_ERROR"
        if not self.joined:
            return "AT_NO_NETWORK_JOINED"
        if len(payload) > self._payloads()[self.dr]:
            return "AT_PARAM_ERROR"
        restricted = self._set["DCS"] == "1" and int(self._set["BAND"]) in _DUTY_CYCLE_BANDS
        if restricted and now < self._free_at:
            return "AT_DUTYCYCLE_RESTRICTED"
        self._transmit(now, int(port), payload)
        return "OK"

    def _transmit(self, now: int, port: int, payload: bytes) -> None:
        confirmed = self._set["CFM"] == "1"
        cost = self.airtime(len(payload), self.dr)
        uplink = Uplink(now, port, payload, confirmed, self.dr, self._counter, 0.0)
        self._counter += 1
        at, heard, answered = float(now), False, False
        for _ in range(1 + (int(self._set["RETY"]) if confirmed else 0)):
            at += cost
            uplink.airtime += cost
            if self.network.covered(int(at)):
                if not heard:
                    heard = True
                    self.network.uplinks.append(uplink)
                answered = self.network.acknowledges(int(at))
            if answered or not confirmed:
                break
            at += _ACK_TIMEOUT_MS
        done = int(at) + _WINDOW_MS
        self._busy_until = done
        self._free_at = int(now + uplink.airtime / self.duty_cycle) if self.duty_cycle else now
        if answered:
            self._answer(done)
        if confirmed:
            self._event(done, "SEND_CONFIRMED_OK" if answered else "SEND_CONFIRMED_FAILED(4)")
        else:
            self._event(int(at), "TX_DONE")

    def _answer(self, now: int) -> None:
        network = self.network
        if self._set["ADR"] == "1" and network.dr is not None:
            self._set["DR"] = str(network.dr)
        if self._set["TIMEREQ"] == "1":
            self._set["TIMEREQ"] = "0"
            if network.time is not None:
                self._clock = network.time
            self._event(now, "TIMEREQ_OK" if network.time is not None else "TIMEREQ_FAILED")
        if network.downlinks:
            port, payload = network.downlinks.pop(0)
            self._event(now, f"RX_1:-87:9:UNICAST:{port}:{payload.hex().upper()}")
