"""A node that has just left the factory, on a UDP socket: closed to everybody, and right unless told to be wrong.

Not a test itself. `TalkingNode(fault)` makes one of the mistakes that an implementer makes; `FAULTS` has them all, each
with the clause of the specification that it breaks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.host.udp_node import UdpNode

from citymote.keys import node_id
from citymote_protocol import ccs, claim, coap, coap_server, edhoc, edhoc_responder, oscore_server, p256
from citymote_protocol.coap import Message
from citymote_protocol.coap_server import Refused
from citymote_protocol.coap_udp import decode
from citymote_protocol.errors import FrameError

run: Any = p256.run
SECRET = bytes(range(16))
UNKNOWN = b"Security context not found"
GUARDED = {
    "info": ("get",), "live": ("get",), "log": ("get",), "config": ("get",), "reset": ("post",),
    "access": ("get", "post"), "update": ("get", "post"), "owner": ("post", "put"),
    "recovery": ("post",), "identify": ("post",),
}  # fmt: skip


class TalkingNode(UdpNode):
    """`with TalkingNode() as node:`; `node.port`, `node.public`. `owned`: somebody has claimed it before."""

    def __init__(self, fault: str = "", owned: bool = False) -> None:
        super().__init__({})
        self.owned = owned
        self.fault = fault
        self.attempts = 0
        kid = node_id(self.public)
        self.shakes._kid = kid
        self.credential = ccs.write(kid, self.public)
        self.server.resources = {".well-known/edhoc": self.server.resources[".well-known/edhoc"]}
        for path, methods in GUARDED.items():
            self.server.add(path, **dict.fromkeys(methods, self.refuse))
        self.server.add("claim", post=self.claim)
        self.undo: list[Callable[[], None]] = []
        if fault:
            FAULTS[fault][1](self)

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        for undo in self.undo:
            undo()

    def refuse(self, request: Any) -> int:
        raise Refused(coap.FORBIDDEN, "" if self.owned else "unowned")

    def claim(self, request: Any) -> int:
        try:
            claim.check(self.crypto, SECRET, claim.exported(self.sessions.keys(request.session)), request.payload)
        except FrameError:
            self.attempts += 1
            if self.attempts % 3 == 0:
                self.sessions.remove(request.session)
            raise
        self.owned = True
        return coap.CHANGED


# -- mistakes ---------------------------------------------------------------------------------------------------------


def link(change: Callable[[Any, bytes], bytes | None]) -> Callable[[TalkingNode], None]:
    """A message layer in which `change` sees each datagram first: what it gives is passed on, None is dropped."""

    def apply(node: TalkingNode) -> None:
        receive = node.link.receive

        def other(peer: Any, data: bytes, now: int) -> Any:
            changed = change((node.link, peer), data)
            return None if changed is None else receive(peer, changed, now)

        node.link.receive = other

    return apply


def message(test: Callable[[Message], bool], code: int | None = None, payload: bytes | None = None) -> Any:
    """A node that answers some answers otherwise."""

    def apply(node: TalkingNode) -> None:
        send = node.link.send

        def other(peer: Any, answer: Message, now: int, confirmable: bool = False) -> Any:
            if test(answer):
                answer.code = answer.code if code is None else code
                answer.payload = answer.payload if payload is None else payload
            return send(peer, answer, now, confirmable)

        node.link.send = other

    return apply


def patch(place: Any, name: str, make: Callable[[Any], Any]) -> Callable[[TalkingNode], None]:
    """A part of the protocol that is wrong in one function, as long as the node runs; only the server's half has it."""

    def apply(node: TalkingNode) -> None:
        old = getattr(place, name)
        setattr(place, name, make(old))
        node.undo.append(lambda: setattr(place, name, old))

    return apply


def _ids(node: TalkingNode) -> None:
    node.shakes._kid = b"\x01\x02\x03\x04\x05\x06"


def _another_key(node: TalkingNode) -> None:
    private, _ = run(node.crypto.key_pair_steps())
    node.shakes._private = lambda: private


def _one_ephemeral(node: TalkingNode) -> None:
    pair = run(node.crypto.key_pair_steps())

    def same() -> Any:
        node.shakes._pair = pair
        yield

    node.shakes.prepare_steps = same


def _no_end(node: TalkingNode) -> None:
    node.sessions.remove = lambda context: None


def _open(node: TalkingNode) -> None:
    node.server.add("info", coap_server.OPEN, get=lambda request: (coap.CONTENT, b"\xa0", coap.CBOR))


def _lets_in(node: TalkingNode) -> None:
    node.server.add("info", get=lambda request: (coap.CONTENT, b"\xa0", coap.CBOR))


def _tells_owner(node: TalkingNode) -> None:
    def refuse(request: Any) -> int:
        raise Refused(coap.FORBIDDEN, "unowned" if request.path == "info" else "")

    for path, methods in GUARDED.items():
        node.server.add(path, **dict.fromkeys(methods, refuse))


def _any_claim(node: TalkingNode) -> None:
    def take(request: Any) -> int:
        claim.read(request.payload)
        return coap.CHANGED

    node.server.add("claim", post=take)


def _one_code(node: TalkingNode) -> None:
    def refuse(request: Any) -> int:
        try:
            return node.claim(request)
        except FrameError:
            raise Refused(coap.BAD_REQUEST, "no") from None

    node.server.add("claim", post=refuse)


def _no_window(node: TalkingNode) -> None:
    begin = node.sessions.begin

    def other(context: Any, keys: Any = None) -> None:
        context.is_replay = lambda number: False
        begin(context, keys)

    node.sessions.begin = other


def _strict_window(node: TalkingNode) -> None:
    begin = node.sessions.begin

    def other(context: Any, keys: Any = None) -> None:
        context.is_replay = lambda number: number <= context.newest
        begin(context, keys)

    node.sessions.begin = other


def _forgets_nothing(third: Callable[..., Any]) -> Callable[..., Any]:
    def other(self: Any, data: bytes) -> Any:
        before = dict(self.__dict__)
        try:
            return (yield from third(self, data))
        except FrameError:
            self.__dict__.update(before)
            raise edhoc.EdhocError("state", "", edhoc.error_message(1, "mac")) from None

    return other


def _no_token(node: TalkingNode) -> None:
    take = node.link.take
    node.link.take = lambda: [
        (peer, data[:4] + bytes(2) + data[6:] if data[4:6] == b"\x01\x02" else data) for peer, data in take()
    ]


def _always_busy(node: TalkingNode) -> None:
    node.sessions.limiter.wait = lambda peer, now: 3_600_000


def _dies(node: TalkingNode) -> None:
    heard = []

    def count(place: Any, data: bytes) -> bytes | None:
        heard.append(data)
        return data if len(heard) < 60 else None

    link(count)(node)


def _no_repeat(node: TalkingNode) -> None:
    node.link._remember = lambda seen: node.link._seen.__setitem__(slice(None), [seen]) if seen.token else None
    node.link._again = lambda seen: None


def _old_message(place: Any, data: bytes) -> bytes | None:
    return bytes((data[0] & 0x3F | 0x40,)) + data[1:] if data else data


def _lenient_option(read: Callable[..., Any]) -> Callable[..., Any]:
    def lenient(value: bytes) -> Any:
        try:
            return read(value)
        except FrameError:
            return b"\x00", b"\x17", None

    return lenient


def _lenient_mac(check: Callable[..., Any]) -> Callable[..., Any]:
    return lambda a, b: True


def _any_method(process: Callable[..., Any]) -> Callable[..., Any]:
    def lenient(self: Any, data: bytes) -> Any:
        return process(self, b"\x03" + data[1:] if data[:1] in (b"\x00", b"\x04") else data)

    return lenient


def _no_point_check(process: Callable[..., Any]) -> Callable[..., Any]:
    def lenient(crypto: Any, private: bytes, x: bytes) -> Any:
        try:
            return (yield from process(crypto, private, x))
        except FrameError:
            return bytes(32)

    return lenient


def _critical_passed_over(read: Callable[..., Any]) -> Callable[..., Any]:
    def lenient(reader: Any, known: Any = ()) -> Any:
        try:
            return read(reader, known)
        except FrameError as error:
            if error.code != edhoc.EAD:
                raise
            reader.pos = reader.end
            return []

    return lenient


def _own_nonce(protect: Callable[..., Any]) -> Callable[..., Any]:
    def other(self: Any, crypto: Any, answer: Message) -> Any:
        self.first = False
        return protect(self, crypto, answer)

    return other


def _unprotected(protect: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, crypto, answer: Message(answer.code, self.token, answer.options, answer.payload)


def _is(code: int, text: bytes | None = None) -> Callable[[Message], bool]:
    return lambda answer: answer.code == code and (text is None or answer.payload == text)


def _max_age(answer: Message) -> bool:
    answer.options = [(number, b"\x3c" if number == coap.MAX_AGE else value) for number, value in answer.options]
    return False


def _no_reset(place: Any, data: bytes) -> bytes | None:
    try:
        decode(data)
    except FrameError:
        return None
    return data


def _reset_non(place: Any, data: bytes) -> bytes:
    """Resets a bad message that is not confirmable, as if it were."""
    if len(data) > 3 and data[0] >> 4 == 5:
        try:
            decode(data)
        except FrameError:
            return bytes((data[0] & 0xCF,)) + data[1:]
    return data


FAULTS: dict[str, tuple[str, Callable[[TalkingNode], None]]] = {
    # messages
    "other versions are read": ("12.2.3", link(_old_message)),
    "bad messages are not reset": ("12.2.8", link(_no_reset)),
    "bad messages are reset, confirmable or not": ("12.2.8", link(_reset_non)),
    "tokens are forgotten": ("12.2", _no_token),
    "a repeated request is ignored": ("12.3", _no_repeat),
    # requests
    "an open resource": ("12.4", _open),
    "404 to outsiders": ("12.4", message(_is(coap.UNAUTHORIZED, b""), coap.NOT_FOUND)),
    "critical options are passed over": ("12.4", patch(coap_server, "_bad_option", lambda old: lambda options: 0)),
    "a proxy in spite of itself": ("12.4", message(_is(coap.PROXYING), coap.BAD_OPTION)),
    "OSCORE's option is read loosely": ("12.5.1", patch(oscore_server, "read_option", _lenient_option)),
    "refusals are kept by caches": ("12.5.1", message(_max_age)),
    "no context, another word": (
        "12.5.2",
        message(_is(coap.UNAUTHORIZED, UNKNOWN), None, b"who?"),
    ),
    # handshakes
    "any method": ("13.3", patch(edhoc_responder.Responder, "message_1_steps", _any_method)),
    "points are not checked": ("13.3", patch(edhoc_responder, "agree_steps", _no_point_check)),
    "critical items are passed over": ("13.3", patch(edhoc_responder, "read_eads", _critical_passed_over)),
    "MACs are not compared": ("13.3", patch(edhoc_responder, "same", _lenient_mac)),
    "EDHOC errors are silent": ("13.3", message(_is(coap.BAD_REQUEST), None, b"")),
    "one ephemeral key for all": ("13.1.13", _one_ephemeral),
    "another node's id": ("13.1.6", _ids),
    "another node's key": ("13.1.5", _another_key),
    "a failed handshake goes on": ("13.4", patch(edhoc_responder.Responder, "message_3_steps", _forgets_nothing)),
    "handshakes are put off for an hour": ("13.6", _always_busy),
    "no Echo": ("13.4", lambda node: setattr(node.link, "needs_echo", False)),
    # sessions
    "no replay window": ("12.5.4", _no_window),
    "a replay window of one": ("12.5.4", _strict_window),
    "answers have numbers of their own": ("12.5.9", patch(oscore_server.Binding, "protect", _own_nonce)),
    "answers are not protected": ("12.5.8", patch(oscore_server.Binding, "protect", _unprotected)),
    "decryption failed, and why": ("12.5.5", message(_is(coap.BAD_REQUEST, b"Decryption failed"), None, b"bad tag")),
    "whoever has a session reads": ("16.2", _lets_in),
    "some say unowned": ("16.2.1", _tells_owner),
    "every claim is taken": ("13.8.3", _any_claim),
    "one code for every claim": ("13.8.3", _one_code),
    "claims without end": ("16.3", _no_end),
    "it falls silent": ("15", _dies),
}
