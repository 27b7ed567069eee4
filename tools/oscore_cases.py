"""What the vectors have of EDHOC and OSCORE: messages that a responder refuses, and requests under a session's keys.

Each altered message is of a session that held (`session_parties`), so that nothing but the alteration is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from citymote_protocol import ccs as _ccs
from citymote_protocol import coap as _coap
from citymote_protocol import coap_client as _coap_client
from citymote_protocol import coap_udp as _coap_udp
from citymote_protocol import edhoc as _edhoc
from citymote_protocol import oscore as _oscore
from citymote_protocol import oscore_client as _oscore_client
from citymote_protocol import oscore_server as _oscore_server
from citymote_protocol import p256 as _p256
from session_parties import CRYPTO, HOST_KID, SESSIONS, Case, secret

# Untyped, because the node runs them too.
ccs: Any = _ccs
coap: Any = _coap
coap_client: Any = _coap_client
coap_udp: Any = _coap_udp
edhoc: Any = _edhoc
oscore: Any = _oscore
oscore_client: Any = _oscore_client
oscore_server: Any = _oscore_server
p256: Any = _p256
request: Any = coap_client.request
protect_request: Any = oscore_client.protect_request
open_request: Any = oscore_server.open_request


def refused(steps: Any) -> tuple[str, bytes]:
    try:
        p256.run(steps)
    except edhoc.EdhocError as error:
        return error.code, error.message
    raise AssertionError("a bad message was taken")


def bad_edhoc() -> list[Case]:
    session = SESSIONS[0]
    said, _, _ = session.run()
    first, third = said[0], said[2]
    g_x = first[2:36]
    ones: list[tuple[str, bytes]] = [
        ("nothing", b""),
        ("an array around it", b"\x84" + first),
        ("cut in G_X", first[:20]),
        ("without C_I", first[:-1]),
        ("method 0", b"\x00" + first[1:]),
        ("method 4", b"\x04" + first[1:]),
        ("suite 0", b"\x03\x00" + first[2:]),
        ("suite 3", b"\x03\x03" + first[2:]),
        ("suite 2 preferred to 6", b"\x03\x82\x02\x06" + first[2:]),
        ("suite 2 twice", b"\x03\x82\x02\x02" + first[2:]),
        ("an array of one suite", b"\x03\x81\x02" + first[2:]),
        ("nine suites", b"\x03\x89" + bytes(8) + b"\x02" + first[2:]),
        ("G_X of 31 bytes", b"\x03\x02\x58\x1f" + g_x[3:] + b"\x0e"),
        ("G_X over the prime", b"\x03\x02\x58\x20" + b"\xff" * 32 + b"\x0e"),
        ("G_X off the curve", b"\x03\x02\x58\x20" + bytes(31) + b"\x01\x0e"),
        ("C_I as a byte string", first[:-1] + b"\x41\x0e"),
        ("C_I of 8 bytes", first[:-1] + b"\x48" + bytes(8)),
        ("a long form of METHOD", b"\x18\x03" + first[1:]),
        ("a critical item that nobody knows", first + b"\x39\xfd\xe8"),
        ("five items", first + bytes(5)),
        ("text for an item", first + b"\x60"),
        ("an item of 65 bytes", first + b"\x00\x58\x41" + bytes(65)),
        ("513 bytes", first + bytes(513 - len(first))),
    ]
    made: list[Case] = []
    for name, data in ones:
        code, message = refused(session.responder().message_1_steps(data))
        made.append({"name": name, "message_1": data.hex(), "error": code, "answer": message.hex()})

    def flip(data: bytes, place: int) -> bytes:
        return data[:place] + bytes((data[place] ^ 1,)) + data[place + 1 :]

    threes: list[tuple[str, bytes]] = [
        ("no message_3", b""),
        ("message_3 with a byte behind it", third + b"\x00"),
        ("message_3 without ciphertext", b"\x48" + bytes(8)),
        ("message_3 altered", flip(third, 10)),
        ("the tag of message_3 altered", flip(third, len(third) - 1)),
    ]

    def inside(name: str, change: Callable[[Any], None]) -> None:
        initiator = session.initiator()
        initiator.message_1()
        p256.run(initiator.message_2_steps(said[1]))
        change(initiator)
        threes.append((name, p256.run(initiator.message_3_steps(session.cred_r))))

    def other_key(initiator: Any) -> None:
        initiator._private = secret("another key")

    def stranger(initiator: Any) -> None:
        initiator._kid = b"\x2c"

    def no_point(initiator: Any) -> None:
        initiator._credential = ccs.write(HOST_KID, bytes(31) + b"\x01")

    def no_key(initiator: Any) -> None:
        initiator._credential = b"\xa1\x02\x61a"

    def critical(initiator: Any) -> None:
        initiator.ead_3 = b"\x24"

    inside("the key of somebody else", other_key)
    inside("a kid that nobody knows", stranger)
    inside("a credential off the curve", no_point)
    inside("a credential without a key", no_key)
    inside("a critical item in EAD_3", critical)
    for name, data in threes:
        responder = session.responder()
        p256.run(responder.message_1_steps(first))
        code, message = refused(responder.message_3_steps(data))
        case = {"name": name, "session": 0, "message_3": data.hex(), "error": code, "answer": message.hex()}
        made.append(case)
    return made


def only(context: Any) -> Callable[[Any, Any], Any]:
    """A server's look-up of contexts, where there is one."""

    def find(_kid: Any, _about: Any) -> Any:
        return context

    return find


def oscore_messages() -> list[Case]:
    _, keys, responder = SESSIONS[0].run()
    client, server = keys.oscore(True), responder.keys.oscore(False)
    made: list[Case] = []
    asked: list[tuple[str, int, Any, Any]] = [
        ("a claim", 0, request(2, "claim", b"body"), coap.Message(0x44)),
        ("a configuration, with Uri-Host outside", 1, request(3, "config", b"{}", [(3, b"node"), (12, b"\x3c")]),
         coap.Message(0x44)),
        ("an error answer", 0xFF, request(1, "nothing"), coap.Message(0x84, b"", [(14, b"")], b"no such thing")),
        ("a block of an answer", 0x100, request(1, "log", b"", [(23, b"\x12")]),
         coap.Message(0x45, b"", [(4, b"etag"), (23, b"\x1a")], b"l" * 64)),
        ("a demand for Echo", 0x0FFFFE, request(2, "reset"), coap.Message(0x81, b"", [(252, b"0123456789ab")])),
        ("the last number", 0x0FFFFF, request(2, "reset", b"", [(252, b"0123456789ab")]), coap.Message(0x44)),
    ]  # fmt: skip
    for mid, (name, number, message, answer) in enumerate(asked, 1):
        client.sequence = number
        message.token = answer.token = bytes((mid,))
        outer, _ = protect_request(CRYPTO, client, message)
        _, binding = open_request(CRYPTO, only(server), outer)
        made.append(
            {
                "name": name,
                "session": 0,
                "number": number,
                "request": coap_udp.encode(0, mid, message).hex(),
                "protected_request": coap_udp.encode(0, mid, outer).hex(),
                "response": coap_udp.encode(2, mid, answer).hex(),
                "protected_response": coap_udp.encode(2, mid, binding.protect(CRYPTO, answer)).hex(),
            }
        )
    client.sequence = 7
    server.newest, server.seen = -1, 0
    message = request(1, "live", b"", [(6, b"")])
    message.token = b"o"
    outer, _ = protect_request(CRYPTO, client, message)
    _, binding = open_request(CRYPTO, only(server), outer)
    told: list[Case] = []
    for count in range(3):
        answer = coap.Message(0x45, b"o", [(6, coap.uint_bytes(count))], b"%d" % count)
        told.append(
            {
                "notification": coap_udp.encode(1, 100 + count, answer).hex(),
                "protected": coap_udp.encode(1, 100 + count, binding.protect(CRYPTO, answer)).hex(),
            }
        )
    made.append(
        {
            "name": "an observation",
            "session": 0,
            "number": 7,
            "request": coap_udp.encode(0, 99, message).hex(),
            "protected_request": coap_udp.encode(0, 99, outer).hex(),
            "notifications": told,
        }
    )
    return made


def bad_oscore() -> list[Case]:
    _, keys, _ = SESSIONS[0].run()
    client = keys.oscore(True)
    good, _ = protect_request(CRYPTO, client, request(2, "claim", b"body"))
    kid = client.sender_id
    flipped = bytes((good.payload[0] ^ 1,)) + good.payload[1:]
    cases: list[tuple[str, bytes, bytes, str]] = [
        ("a reserved flag", b"\x29\x00" + kid, good.payload, oscore.OPTION),
        ("a Partial IV of 6 bytes", b"\x0e" + bytes(6) + kid, good.payload, oscore.OPTION),
        ("a Partial IV with a leading zero", b"\x0a\x00\x01" + kid, good.payload, oscore.OPTION),
        ("a Partial IV cut short", b"\x0b\x01", good.payload, oscore.OPTION),
        ("a kid context cut short", b"\x19\x00\x05" + kid, good.payload, oscore.OPTION),
        ("flags of zero, spelled out", b"\x00", good.payload, oscore.OPTION),
        ("no kid", b"\x01\x00", good.payload, oscore.OPTION),
        ("no Partial IV", b"\x08" + kid, good.payload, oscore.OPTION),
        ("no payload", b"\x09\x00" + kid, b"", oscore.OPTION),
        ("another kid", b"\x09\x00\x05", good.payload, oscore.NO_CONTEXT),
        ("a kid context", b"\x19\x00\x01\x00" + kid, good.payload, oscore.NO_CONTEXT),
        ("an altered ciphertext", b"\x09\x00" + kid, flipped, oscore.DECRYPTION),
        ("another number", b"\x09\x01" + kid, good.payload, oscore.DECRYPTION),
        ("a tag around nothing", b"\x09\x00" + kid, bytes(8), oscore.DECRYPTION),
    ]
    return [
        {
            "name": name,
            "session": 0,
            "request": coap_udp.encode(0, 1, coap.Message(2, b"t", [(9, option)], payload)).hex(),
            "error": error,
        }
        for name, option, payload, error in cases
    ]
