"""CoAP messages of the golden vectors, right and refused: SPEC 12.2, with the figures of RFC 7252 among them.

Refused ones are written as bytes, since an encoder that could write them would be wrong.
"""

from __future__ import annotations

from typing import Any

from citymote_protocol import coap as _coap
from citymote_protocol import coap_udp as _coap_udp
from session_parties import Case

# Untyped, because the node runs them too.
coap: Any = _coap
coap_udp: Any = _coap_udp


def plain(message: Any) -> Case:
    return {
        "code": message.code,
        "token": message.token.hex(),
        "options": [[number, value.hex()] for number, value in message.options],
        "payload": message.payload.hex(),
    }


def messages() -> list[Case]:
    message = coap.Message
    path = coap.path_options
    made: list[tuple[str, int, int, Any]] = [
        ("RFC 7252, figure 16, request", 0, 0x7D34, message(1, b"", path("temperature"))),
        ("RFC 7252, figure 16, response", 2, 0x7D34, message(0x45, b"", [], b"22.3 C")),
        ("RFC 7252, figure 17, request", 0, 0x7D35, message(1, b"\x20", path("temperature"))),
        ("empty acknowledgement", 2, 0x7D38, message(0)),
        ("reset", 3, 1, message(0)),
        ("a handshake's first message, in outline", 0, 2, message(2, b"\x01", path(".well-known/edhoc"), b"\xf5")),
        ("an option in each form of delta", 1, 3, message(1, b"", [(12, b""), (25, b""), (294, b""), (700, b"")])),
        ("an option in each form of length", 1, 4, message(3, b"", [(11, bytes(n)) for n in (0, 12, 13, 268, 269)])),
        ("the highest option number", 1, 5, message(1, b"", [(65535, b"x")])),
        ("24 options", 1, 6, message(1, b"", [(11, b"")] * 24)),
        ("a token of 8 bytes", 0, 7, message(0x45, b"12345678", [(12, b"\x3c")], b"\xa0")),
        ("1152 bytes", 0, 8, message(0x45, b"", [], bytes(1147))),
        ("Block2 2/1/128 and Size2", 2, 9,
         message(0x45, b"t", [(4, b"etag"), (23, b"\x2b"), (28, b"\x01\x2c")], b"b" * 128)),
        ("Observe and Echo", 0, 10, message(1, b"t", [(6, b""), (252, b"0123456789ab")])),
    ]  # fmt: skip
    return [
        {"name": name, "hex": coap_udp.encode(kind, mid, each).hex(), "type": kind, "mid": mid, **plain(each)}
        for name, kind, mid, each in made
    ]


def bad_messages() -> list[Case]:
    head = "40010000"
    cases: list[tuple[str, str, str]] = [
        ("nothing", "", "truncated"),
        ("three bytes", "400100", "truncated"),
        ("version 0", "00010000", "coap_version"),
        ("version 2", "80010000", "coap_version"),
        ("a token of 9 bytes", "49010000" + "00" * 9, "token_length"),
        ("a token of 15 bytes", "4f010000" + "00" * 15, "token_length"),
        ("a token cut short", "44010000000000", "truncated"),
        ("an empty message with a token", "4100000000", "empty_message"),
        ("an empty message with a payload", "40000000ff00", "empty_message"),
        ("code 1.00", "40200000", "code_class"),
        ("code 6.00", "40c00000", "code_class"),
        ("code 7.31", "40ff0000", "code_class"),
        ("a marker and no payload", head + "ff", "marker"),
        ("a marker behind an option and no payload", head + "b161ff", "marker"),
        ("a delta of 15", head + "f0", "option_head"),
        ("a length of 15", head + "0f", "option_head"),
        ("a delta without its byte", head + "d0", "truncated"),
        ("a delta without its second byte", head + "e000", "truncated"),
        ("a length without its byte", head + "0d", "truncated"),
        ("a value cut short", head + "b261", "truncated"),
        ("65804 bytes announced", head + "beffff", "truncated"),
        ("option 65804", head + "e0ffff", "option_number"),
        ("option 65535 and one more", head + "e0fef210", "option_number"),
        ("25 options", head + "00" * 25, "options"),
    ]
    cases.append(("1153 bytes", head + "ff" + "00" * 1148, "too_large"))
    return [{"name": name, "hex": data, "error": error} for name, data, error in cases]
