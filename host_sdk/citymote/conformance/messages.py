"""Holds a live node to chapter 12: what it does with messages that are none, and with requests that nobody vouches for.

Every vector of `coap-bad.json` is sent to it as it stands. A node must not answer most of them, and that nothing comes
is seen without waiting: behind each one goes a ping, and what comes in front of its reset is the answer.
"""

from __future__ import annotations

import asyncio
from typing import Any

from citymote.conformance.asking import Asker, Silent, Target, coap, coap_udp, oscore, request
from citymote.conformance.clauses import of_code, vectors
from citymote.conformance.report import Report
from citymote_protocol.coap_udp import ACK, CON, NON, RST

Message: Any = coap.Message
UNKNOWN = 65001
"""An option that is critical, for private use, and unknown to everybody (RFC 7252, 12.2)."""
ELECTIVE = 65002
NOBODY = b"\x18\x18"
"""A key id that no node gives out: its own are a single byte (13.3.1)."""
_PINGS = 3

# What a node has (table 16.2); none of it may answer, or be told apart from nothing, without protection.
GUARDED = (
    (coap.POST, "claim"), (coap.GET, "access"), (coap.POST, "access"), (coap.GET, "info"), (coap.GET, "live"),
    (coap.GET, "log"), (coap.POST, "identify"), (coap.GET, "config"), (coap.POST, "config/trial"),
    (coap.POST, "reset"), (coap.POST, "owner"), (coap.POST, "recovery"), (coap.GET, "update"),
    (coap.POST, "update"), (coap.GET, "nothing-of-the-kind"),
)  # fmt: skip


class Datagrams:
    """Raw datagrams on a connection of their own."""

    def __init__(self, target: Target) -> None:
        self.transport = target.open()
        self.target = target
        self.mid = 0x5A00

    def number(self) -> int:
        """A message id that was not used yet."""
        self.mid = self.mid + 1 & 0xFFFF
        return self.mid

    async def answers(self, data: bytes) -> list[bytes]:
        """What comes in answer to a datagram, in front of the answer to the ping behind it."""
        await self.transport.send(data)
        heard: list[bytes] = []
        for _ in range(_PINGS):
            mid = self.number()
            await self.transport.send(coap_udp.encode(CON, mid, Message(0)))
            pong = coap_udp.encode(RST, mid, Message(0))
            try:
                async with asyncio.timeout(self.target.patience / _PINGS):
                    while (said := await self.transport.receive()) != pong:
                        heard.append(said)
                    return heard
            except TimeoutError:
                continue
        raise Silent(f"{self.target.name} does not answer a ping", "", "Is it there, and does it speak CoAP?")


async def check_datagrams(target: Target, report: Report) -> None:
    """Chapter 12.2 and 12.3, on links whose messages have RFC 7252's header."""
    wire = Datagrams(target)
    await wire.transport.connect()
    try:
        for case in vectors("coap-bad"):
            await _bad(wire, report, case["name"], bytes.fromhex(case["hex"]), case["error"])
        await _duplicates(wire, report)
        mid = wire.number()
        said = await wire.answers(coap_udp.encode(CON, mid, Message(coap.CONTENT, b"\x77")))
        _tell(report, "an answer that nobody waits for", "12.3", said, [coap_udp.encode(ACK, mid, Message(0))])
        said = await wire.answers(coap_udp.encode(NON, wire.number(), Message(0)))
        _tell(report, "an empty message, not confirmable", "12.3", said, [])
        said = await wire.answers(coap_udp.encode(ACK, wire.number(), Message(0)))
        _tell(report, "an acknowledgement of nothing", "12.3", said, [])
    finally:
        await wire.transport.close()


async def _bad(wire: Datagrams, report: Report, name: str, data: bytes, error: str) -> None:
    """Confirmable it is reset, not confirmable it is passed over; what has no header of ours is passed over always."""
    clause = of_code(error, asked=True)
    for kind, word in ((CON, ""), (NON, ", not confirmable")):
        sent, wanted = data, list[bytes]()
        if len(data) >= 4 and data[0] >> 6 == 1:
            mid = wire.number()
            sent = bytes((data[0] & 0xCF | kind << 4, data[1], mid >> 8, mid & 255)) + data[4:]
            wanted = [coap_udp.encode(RST, mid, Message(0))] if kind == CON else []
        elif kind == NON:
            continue
        _tell(report, f"message: {name}{word}", clause, await wire.answers(sent), wanted)


def _tell(report: Report, name: str, clause: str, said: list[bytes], wanted: list[bytes]) -> None:
    def words(all_: list[bytes]) -> str:
        return " and ".join(one.hex() for one in all_) or "nothing"

    report.add(name, clause, said == wanted, f"answered by {words(said)}, not by {words(wanted)}")


async def _duplicates(wire: Datagrams, report: Report) -> None:
    """The same message again is the same question: it has the same answer (12.3, lines 6 and 7)."""
    data = coap_udp.encode(CON, wire.number(), Message(coap.GET, b"\x01\x02", coap.path_options("nothing-of-the-kind")))
    first = await wire.answers(data)
    sent = 1
    while sent <= _PINGS and not any(len(said) > 4 for said in first):
        first = await wire.answers(data)
        sent += 1
    again = await wire.answers(data)
    answers = [said for said in first if len(said) > 4]
    # A slow node's answers to what was sent again may come together; they are the same, or it did the work twice.
    one = 1 <= len(answers) <= sent and len(set(answers)) == 1
    report.add("a request is answered", "12.3", one, f"{len(answers)} answers")
    token = bool(answers) and answers[0][4:6] == b"\x01\x02"
    report.add("an answer has its request's token", "12.2", token, "another token")
    same = bool(again) and set(again) == set(answers) and len(again) <= sent
    report.add("a request sent twice", "12.3", same, "it was not answered by the same bytes")


async def check_strangers(asker: Asker) -> None:
    """What an outsider is told: nothing (12.4, lines 3 and 4)."""
    judge = asker.judge
    for method, path in GUARDED:
        name = f"unprotected {_METHODS[method]} {path}"
        judge(name, "12.4", await asker.one(request(method, path)), coap.UNAUTHORIZED, b"")
    message = request(coap.GET, "nothing-of-the-kind", options=[(ELECTIVE, b"x")])
    judge("an option that need not be known", "12.4", await asker.one(message), coap.UNAUTHORIZED)
    for name, options, code in _OPTIONS:
        message = Message(coap.GET, b"", coap.path_options("nothing-of-the-kind"))
        for number, value in options:
            coap.put_option(message.options, number, value)
        judge(name, "12.4", await asker.one(message), code)
    for case in vectors("oscore-bad"):
        if case["error"] == "oscore_option":
            _, _, message = coap_udp.decode(bytes.fromhex(case["request"]))
            await unopened(asker, f"OSCORE: {case['name']}", message, "oscore_option")
    for name, context in (("of nobody", None), ("with a kid context", b"\x00")):
        message = Message(coap.POST, b"", [(coap.OSCORE, oscore.option_value(b"\x00", NOBODY, context))], bytes(24))
        await unopened(asker, f"OSCORE: a request {name}", message, "no_context")


async def unopened(asker: Asker, name: str, message: Any, error: str) -> bool:
    """A protected request that has to be refused, unprotected and by the table of 12.5."""
    code, text = UNOPENED[error]
    return asker.judge(name, of_code(error, asked=True), await asker.one(message), code, text, uncached=True)


_METHODS = {1: "GET", 2: "POST", 3: "PUT", 4: "DELETE", 5: "FETCH"}
_OPTIONS = (
    ("a critical option that nobody knows", [(UNKNOWN, b"x")], coap.BAD_OPTION),
    ("a critical option twice that may be there once", [(coap.URI_PORT, b"\x16\x33")] * 2, coap.BAD_OPTION),
    ("a proxy's option", [(coap.PROXY_URI, b"coap://elsewhere/x")], coap.PROXYING),
    ("a proxy's scheme", [(coap.PROXY_SCHEME, b"coap")], coap.PROXYING),
)
# The unprotected answers of 12.5
UNOPENED = {
    "oscore_option": (coap.BAD_OPTION, b"Failed to decode COSE"),
    "no_context": (coap.UNAUTHORIZED, b"Security context not found"),
    "replay": (coap.UNAUTHORIZED, b"Replay detected"),
    "decryption": (coap.BAD_REQUEST, b"Decryption failed"),
    "inner_message": (coap.BAD_REQUEST, b""),
}
