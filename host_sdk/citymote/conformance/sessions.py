"""Holds a live node to chapters 13 and 16: handshakes that go wrong at every place, a session that nobody has let in,
messages under its keys that were altered, repeated or made up, and claims that have to be refused.

A session needs the node's public key, as its label has it; without one only first messages are tried. Nothing that is
sent here can claim, change or restart a node: every claim is wrong, and no delegation is shown.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from citymote.conformance.asking import (
    LONGEST_REFUSAL,
    Asker,
    Message,
    ccs,
    claim,
    coap,
    coap_client,
    crypto,
    dotted,
    edhoc,
    oscore,
    oscore_client,
    p256,
    refusal_code,
    request,
    tried,
)
from citymote.conformance.asking import (
    initiator as edhoc_initiator,
)
from citymote.conformance.clauses import of_code, vectors
from citymote.conformance.messages import UNOPENED, unopened
from citymote.keys import node_id
from citymote_protocol.coap import GET, POST
from citymote_protocol.edhoc import EdhocError
from citymote_protocol.handshake import PATH

_ATTEMPTS = 40
_CLAIMS = 3
"""Claims that one session may get wrong (16.3)."""
_GUARDED = ((GET, "info"), (GET, "live"), (GET, "log"), (GET, "config"), (POST, "reset"), (GET, "update"))


@dataclass
class Shake:
    """One handshake, as far as it has come."""

    initiator: Any
    message_2: bytes = b""
    node: bytes = b""
    """The key id that the node says it has."""
    keys: Any = None

    @property
    def g_y(self) -> bytes:
        return self.message_2[2:34]


@dataclass
class Ours:
    """A key of our own for one handshake. `credential` may say something else than `private` can prove."""

    private: bytes
    credential: bytes
    kid: bytes
    by_value: bool = True
    ead_3: bytes = b""


def ours(**changed: Any) -> Ours:
    """A new key with its credential."""
    private, public = p256.run(crypto.key_pair_steps())
    kid = os.urandom(6)
    return replace(Ours(private, ccs.write(kid, public), kid), **changed)


class Sessions:
    """The checks of one node; `unowned` is known once a session has asked."""

    def __init__(self, asker: Asker) -> None:
        self.asker = asker
        self.report = asker.report
        self.public = asker.target.public
        self.unowned: bool | None = None

    # -- handshakes ---------------------------------------------------------------------------------------------------

    async def post(self, payload: bytes) -> Any:
        """A POST of EDHOC, again as long as the node asks for patience."""
        for _ in range(_ATTEMPTS):
            answer = await self.asker.whole(request(POST, PATH, payload))
            if answer is None or answer.code != coap.UNAVAILABLE:
                return answer
            wait = answer.uint(coap.MAX_AGE)
            if wait is None or not 1 <= wait <= LONGEST_REFUSAL:
                self.report.add("a first message that is put off", "13.6", False, f"Max-Age is {wait}")
                return None
            await self.asker.target.pause(wait)
        self.report.add("a first message", "13.6", False, f"it was put off {_ATTEMPTS} times")
        return None

    async def begin(self, who: Ours | None = None) -> Shake | None:
        """As far as message_2 has been read."""
        who = who or ours()
        initiator: Any = edhoc_initiator.Initiator(
            crypto,
            who.private,
            who.credential,
            who.kid,
            p256.run(crypto.key_pair_steps()),
            b"\x0e",
            by_value=who.by_value,
        )
        initiator.ead_3 = who.ead_3
        answer = await self.post(b"\xf5" + initiator.message_1())
        if not self.asker.judge("message_1 is answered", "13.4", answer, coap.CHANGED) or answer is None:
            return None
        shake = Shake(initiator, answer.payload)
        try:
            kid, credential = p256.run(initiator.message_2_steps(answer.payload))
        except EdhocError as error:
            code: Any = error.code
            self.report.add("message_2", of_code(code, asked=True), False, f"{code}: {error}")
            return None
        if credential is not None or len(kid) != 6 or (self.public is not None and kid != node_id(self.public)):
            self.report.add("message_2 names the node", "13.1.6", False, "ID_CRED_R is not the id of its key")
            return None
        if len(initiator.c_r) != 1:
            self.report.add("C_R", "13.3.1", False, f"an identifier of {len(initiator.c_r)} bytes")
        shake.node = kid
        return shake

    def third(self, shake: Shake) -> bytes | None:
        """message_3, or None where the node has not proved to hold the label's key."""
        assert self.public is not None  # noqa: S101 - asked for before
        try:
            return p256.run(shake.initiator.message_3_steps(ccs.write(shake.node, self.public)))
        except EdhocError:
            text = "the node does not prove to hold the key that its label names"
            self.report.add("message_2 is by the label's key", "13.1.5", False, text)
            return None

    async def complete(self) -> Shake | None:
        """A whole handshake, whose keys both ends have."""
        shake = await self.begin()
        if shake is None:
            return None
        message_3 = self.third(shake)
        if message_3 is None:
            return None
        answer = await self.post(edhoc.write_identifier(shake.initiator.c_r) + message_3)
        if not self.asker.judge("message_3 is answered", "13.1.11", answer, coap.CHANGED) or answer is None:
            return None
        try:
            shake.keys = shake.initiator.message_4(answer.payload)
        except EdhocError as error:
            self.report.add("message_4", "13.1.11", False, f"{error.code}: {error}")
            return None
        return shake

    async def first_messages(self) -> None:
        """Every bad message_1 of the vectors, Echo, and identifiers of no handshake."""
        judge = self.asker.judge
        judge("EDHOC: neither true nor an identifier", "13.4", await self.post(b"\xf6"), coap.BAD_REQUEST)
        judge("EDHOC: of no handshake", "13.4", await self.post(b"\x2b" + bytes((0x49,)) + bytes(9)), coap.BAD_REQUEST)
        if self.asker.target.forgeable:
            initiator: Any = edhoc_initiator.Initiator(crypto, *_pair(), p256.run(crypto.key_pair_steps()), b"\x0e")
            answer = await self.asker.one(request(POST, PATH, b"\xf5" + initiator.message_1()))
            if judge("a first message without an Echo", "13.4", answer, coap.UNAUTHORIZED) and answer is not None:
                echo = answer.option(coap.ECHO)
                self.report.add("its Echo", "12.6", echo is not None and len(echo) == 12, "no Echo of 12 bytes")
        for case in vectors("edhoc-bad"):
            if "message_1" in case:
                answer = await self.post(b"\xf5" + bytes.fromhex(case["message_1"]))
                clause = of_code(case["error"], asked=True)
                judge(f"message_1: {case['name']}", clause, answer, coap.BAD_REQUEST, bytes.fromhex(case["answer"]))

    async def third_messages(self) -> None:
        """message_3 gone wrong in each way of 13.3, behind a message_1 that is right."""
        for name, error, who, change in _THIRD:
            shake = await self.begin(who())
            right = shake and self.third(shake)
            if shake is None or right is None:
                return
            c_r = edhoc.write_identifier(shake.initiator.c_r)
            answer = await self.post(c_r + change(right))
            wanted = edhoc.error_message(3, None) if error == edhoc.UNKNOWN else edhoc.error_message(1, error)
            name = f"message_3: {name}"
            self.asker.judge(name, of_code(error, asked=True), answer, coap.BAD_REQUEST, wanted)
            answer = await self.post(c_r + right)
            self.asker.judge(f"{name}; the handshake is gone", "13.4", answer, coap.BAD_REQUEST)
        shake = await self.begin()
        right = shake and self.third(shake)
        if shake is not None and right is not None:
            c_r = edhoc.write_identifier(shake.initiator.c_r)
            answer = await self.post(c_r + edhoc.error_message(1, "why not"))
            self.asker.judge("an EDHOC error message", "13.4", answer, coap.CHANGED, b"")
            answer = await self.post(c_r + right)
            self.asker.judge("message_3 behind an error message", "13.4", answer, coap.BAD_REQUEST)

    # -- sessions -----------------------------------------------------------------------------------------------------

    async def ask(self, context: Any, message: Any) -> Any:
        """The whole answer to a request under a session's keys."""
        return await self.asker.steps(coap_client.request_steps(crypto, context, message, self.asker.channel.room))

    async def sessions(self) -> None:
        """What a session that nobody has let in may do: nothing, and what is refused changes nothing."""
        shake = await self.complete()
        if shake is None:
            return
        other = await self.complete()
        if other is None:
            return
        fresh = shake.g_y != other.g_y
        self.report.add("each handshake has a key of its own", "13.1.13", fresh, "the same G_Y came twice")
        context = other.keys.oscore(True)
        old = await self.asker.one(
            oscore_client.protect_request(crypto, shake.keys.oscore(True), request(GET, "info"))[0]
        )
        self.asker.judge("one session without rights, the latest", "13.7.2", old, *UNOPENED["no_context"])
        await self._without_rights(context)
        await self._protection(context)
        await self._claims(context, other.keys)

    async def _without_rights(self, context: Any) -> None:
        for method, path in _GUARDED:
            name = f"{path} without a role"
            answer = await tried(self.report, name, "12.5", self.ask(context, request(method, path)))
            if not self.asker.judge(name, "16.2", answer, coap.FORBIDDEN) or answer is None:
                continue
            unowned = refusal_code(answer) == "unowned"
            if self.unowned is None:
                self.unowned = unowned
            alike = unowned == self.unowned and (unowned or not answer.payload)
            clause = "16.2.1" if self.unowned else "16.1.2"
            self.report.add(f"{path} without a role: why", clause, alike, f"payload {answer.payload!r}")

    async def _protection(self, context: Any) -> None:
        """Messages under the session's keys, altered, repeated, made up (12.5); it lives on."""
        for name, error, change in _OPENED:
            message, _ = oscore_client.protect_request(crypto, context, request(GET, "info"))
            await unopened(self.asker, f"OSCORE: {name}", change(message), error)
        message, question = oscore_client.protect_request(crypto, context, request(GET, "info"))
        answer = await self.asker.one(message)
        if self.asker.judge("a protected request", "12.5.8", answer, coap.CHANGED) and answer is not None:
            plain = answer.option(oscore.OSCORE) == b""
            self.report.add("its answer has the request's nonce", "12.5.9", plain, "a Partial IV of its own")
            outside = [number for number, _ in answer.options if number != oscore.OSCORE]
            self.report.add("its answer says nothing outside", "12.5.8", not outside, f"options {outside}")
            inner = await tried(self.report, "its answer opens", "12.5", _opened(question, answer))
            if inner is not None:
                self.asker.judge("its answer inside", "16.2", inner, coap.FORBIDDEN)
        await unopened(self.asker, "OSCORE: the same again", message, "replay")
        skipped, context.sequence = context.sequence, context.sequence + 40
        await tried(self.report, "a jump in numbers", "12.5.4", self.ask(context, request(GET, "info")))
        newest = context.sequence - 1
        for number, name, error in (
            (skipped, "older than the window", "replay"),
            (newest - 31, "the oldest in the window", None),
            (newest - 31, "the oldest in the window, again", "replay"),
        ):
            message = _numbered(context, number)
            if error is not None:
                await unopened(self.asker, f"OSCORE: {name}", message, error)
            else:
                self.asker.judge(f"OSCORE: {name}", "12.5.4", await self.asker.one(message), coap.CHANGED)
        message = _numbered(context, context.number(), Message(coap.CONTENT))
        await unopened(self.asker, "OSCORE: no request inside", message, "inner_message")
        answer = await tried(
            self.report, "a session that was attacked", "12.5.10", self.ask(context, request(GET, "info"))
        )
        self.asker.judge("a session that was attacked lives on", "12.5.10", answer, coap.FORBIDDEN)

    async def _claims(self, context: Any, keys: Any) -> None:
        """Claims by one who has not the label's secret; the third ends the session (16.3)."""
        owner = p256.run(crypto.key_pair_steps())[1]
        wrong = claim.claim_tag(crypto, claim.claim_key(crypto, os.urandom(16)), claim.exported(keys), owner)
        body: bytes = claim.write(owner, wrong)
        bad = [
            ("a secret that is not the label's", body, "claim"),
            ("version 2", b"\x83\x02" + body[2:], "range"),
            ("a key with 04 in front", body[:4] + b"\x04" + body[5:], "owner_key"),
            ("an array of two", b"\x82\x01" + body[2 : 2 + 35], "range"),
            ("T of 31 bytes", claim.write(owner, wrong[:31]), "range"),
            ("a byte behind it", body + b"\x00", "trailing"),
            ("cut short", body[:-1], "truncated"),
            ("nothing", b"", "truncated"),
            ("T of another session", body, "claim"),
        ]
        for at, (name, data, error) in enumerate(bad):
            if at and at % _CLAIMS == 0:
                await self._ended(context)
                shake = await self.complete()
                if shake is None:
                    return
                context = shake.keys.oscore(True)
            name = f"claim: {name}"
            answer = await tried(self.report, name, "12.5", self.ask(context, request(POST, "claim", data)))
            code = refusal_code(answer) if answer is not None else ""
            right = answer is not None and answer.code == coap.BAD_REQUEST and code == error
            text = f"{dotted(answer.code)} {code!r}, not 4.00 {error!r}" if answer is not None else "no answer"
            self.report.add(name, of_code(error, asked=True), right, text)
        await self._ended(context)

    async def _ended(self, context: Any) -> None:
        message, _ = oscore_client.protect_request(crypto, context, request(GET, "info"))
        answer = await self.asker.one(message)
        self.asker.judge("three refused claims end the session", "16.3", answer, *UNOPENED["no_context"])


async def _opened(question: Any, answer: Any) -> Any:
    return question.open(crypto, answer)


def _pair() -> tuple[bytes, bytes, bytes]:
    one = ours()
    return one.private, one.credential, one.kid


# -- what is wrong with a message -------------------------------------------------------------------------------------


def _same(data: bytes) -> bytes:
    return data


def _flip(at: int) -> Callable[[bytes], bytes]:
    def flip(data: bytes) -> bytes:
        out = bytearray(data)
        out[at] ^= 1
        return bytes(out)

    return flip


def _off_the_curve() -> Ours:
    kid = os.urandom(6)
    return ours(credential=ccs.write(kid, bytes(31) + b"\x01"), kid=kid)


def _keyless() -> Ours:
    return ours(credential=b"\xa1\x08\xa1\x01\xa3\x01\x02\x02\x46" + bytes(6) + b"\x20\x01")


_THIRD: tuple[tuple[str, str, Callable[[], Ours], Callable[[bytes], bytes]], ...] = (
    ("nothing", "truncated", ours, lambda data: b""),
    ("a byte behind it", "trailing", ours, lambda data: data + b"\x00"),
    ("no ciphertext", "mac", ours, lambda data: b"\x48" + bytes(8)),
    ("altered", "mac", ours, _flip(10)),
    ("its tag altered", "mac", ours, _flip(-1)),
    ("the key of somebody else", "mac", lambda: ours(credential=_pair()[1]), _same),
    ("a kid that nobody knows", "unknown_credential", lambda: ours(by_value=False), _same),
    ("a credential off the curve", "point", _off_the_curve, _same),
    ("a credential without a key", "credential", _keyless, _same),
    ("a critical item in EAD_3", "ead", lambda: ours(ead_3=b"\x39\xfd\xe8"), _same),
)


def _option(change: Callable[[bytes], bytes]) -> Callable[[Any], Any]:
    def changed(message: Any) -> Any:
        options = [(n, change(value) if n == oscore.OSCORE else value) for n, value in message.options]
        return Message(message.code, b"", options, message.payload)

    return changed


def _payload(change: Callable[[bytes], bytes]) -> Callable[[Any], Any]:
    return lambda message: Message(message.code, b"", message.options, change(message.payload))


_OPENED = (
    ("a reserved flag", "oscore_option", _option(lambda value: bytes((value[0] | 0x20,)) + value[1:])),
    ("no kid", "oscore_option", _option(lambda value: bytes((value[0] & ~8,)) + value[1:-1])),
    ("no Partial IV", "oscore_option", _option(lambda value: b"\x08" + value[-1:])),
    ("a Partial IV with a leading zero", "oscore_option", _option(lambda value: b"\x0a\x00" + value[-2:])),
    ("no payload", "oscore_option", _payload(lambda data: b"")),
    (
        "a kid context",
        "no_context",
        _option(lambda value: bytes((value[0] | 16,)) + value[1:-1] + b"\x00" + value[-1:]),
    ),
    ("an altered ciphertext", "decryption", _payload(_flip(0))),
    ("its tag altered", "decryption", _payload(_flip(-1))),
    ("another number", "decryption", _option(lambda value: value[:1] + bytes((value[1] + 1,)) + value[2:])),
    ("nothing but a tag", "decryption", _payload(lambda data: bytes(8))),
)


def _numbered(context: Any, number: int, message: Any = None) -> Any:
    """A request with a number of our choosing."""
    kept, context.sequence = context.sequence, number
    outer, _ = oscore_client.protect_request(crypto, context, message or request(GET, "info"))
    context.sequence = kept
    return outer
