"""What the checks of a live node have in common: a way to it, what it is asked, and how an answer is judged.

A `Target` says where the node is and what is known of it; `Asker` holds one connection and writes what it finds into a
report. Wrong messages go out as they stand, so the client of the SDK, which makes right ones only, is used where right
ones are wanted. Whoever does not answer three times in a row is not asked on: silence is told once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Self

from citymote.conformance.report import Report
from citymote.crypto import HostCrypto
from citymote.errors import CitymoteError
from citymote.transports.base import Channel, NoAnswer, Transport
from citymote_protocol import ccs as _ccs
from citymote_protocol import claim as _claim
from citymote_protocol import coap as _coap
from citymote_protocol import coap_client as _coap_client
from citymote_protocol import coap_udp as _coap_udp
from citymote_protocol import edhoc as _edhoc
from citymote_protocol import edhoc_initiator as _edhoc_initiator
from citymote_protocol import oscore as _oscore
from citymote_protocol import oscore_client as _oscore_client
from citymote_protocol import p256 as _p256
from citymote_protocol.errors import FrameError

# Untyped, because the node runs them too; a message is a `coap.Message`.
ccs: Any = _ccs
claim: Any = _claim
coap: Any = _coap
coap_client: Any = _coap_client
coap_udp: Any = _coap_udp
edhoc: Any = _edhoc
oscore: Any = _oscore
oscore_client: Any = _oscore_client
initiator: Any = _edhoc_initiator
p256: Any = _p256
Message: Any = coap.Message
request: Any = coap_client.request

PATIENCE = 10.0  # s; 13.6 lets a chip work for a second or two
LONGEST_REFUSAL = 20  # s; clause 13.6: nobody is ever told to wait longer
_SILENCES = 3

crypto: Any = HostCrypto()


class Silent(CitymoteError):
    """The node answers nothing any more."""

    whose = "peer"


@dataclass(frozen=True)
class Target:
    """A node: `open` makes a new connection to it. `public` is its public key as its label has it, 33 bytes."""

    name: str
    open: Callable[[], Transport]
    datagrams: bool
    """Messages have RFC 7252's own header there: UDP and serial lines."""
    forgeable: bool
    """Anybody can put another's address on a message there, so that a first message has to bring an Echo."""
    public: bytes | None = None
    patience: float = PATIENCE
    pause: Callable[[float], Any] = asyncio.sleep
    """How to wait for a node that asks for it."""


def dotted(code: int) -> str:
    """A code as people write it: 4.03."""
    return f"{code >> 5}.{code & 31:02d}"


class Asker:
    """`async with Asker(target, report) as asker:`, then requests; each gets its own token."""

    def __init__(self, target: Target, report: Report) -> None:
        self.target = target
        self.report = report
        self.channel = Channel(target.open(), timeout=target.patience)
        self._silences = 0

    async def __aenter__(self) -> Self:
        await self.channel.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.channel.close()

    async def one(self, message: Any) -> Any:
        """The answer to a message as it stands, or None when there is none."""
        message = Message(message.code, b"", list(message.options), message.payload)
        try:
            answer = await self.channel.request(message)
        except NoAnswer:
            self._silences += 1
            if self._silences == _SILENCES:
                raise Silent(f"{self.target.name} does not answer any more") from None
            return None
        self._silences = 0
        return answer

    async def steps(self, steps: Generator[Any, Any, Any]) -> Any:
        """Drive one of the SDK's generators to its value; None where the node does not answer."""
        try:
            message = next(steps)
            while True:
                answer = await self.one(message)
                if answer is None:
                    return None
                message = steps.send(answer)
        except StopIteration as done:
            return done.value
        finally:
            steps.close()

    async def whole(self, message: Any) -> Any:
        """The whole answer to an unprotected request, Echo and blocks included."""
        return await self.steps(coap_client.request_steps(crypto, None, message, self.channel.room))

    # -- judging ------------------------------------------------------------------------------------------------------

    def judge(
        self,
        name: str,
        clause: str,
        answer: Any,
        code: int | None = None,
        payload: bytes | None = None,
        uncached: bool = False,
    ) -> bool:
        """Note whether an answer is the one that the clause asks for: its code, its payload, its Max-Age of 0."""
        wrong = ""
        if answer is None:
            wrong = "no answer"
        elif code is not None and answer.code != code:
            wrong = f"{dotted(answer.code)}{_said(answer)}, not {dotted(code)}"
        elif payload is not None and answer.payload != payload:
            wrong = f"the payload is {_shown(answer.payload)}, not {_shown(payload)}"
        elif uncached and answer.uint(coap.MAX_AGE) != 0:
            wrong = "Max-Age is not 0"
        self.report.add(name, clause, not wrong, wrong)
        return not wrong


def _said(answer: Any) -> str:
    return f" ({_shown(answer.payload)})" if answer.payload else ""


def _shown(payload: bytes) -> str:
    error = initiator.read_error(payload)
    if error is not None:
        return f"EDHOC error {error[0]} {error[1]!r}"
    try:
        return repr(payload.decode()) if payload else "empty"
    except UnicodeDecodeError:
        return payload.hex()


def refusal_code(answer: Any) -> str:
    """The code in front of a diagnostic payload (16.1.2)."""
    return answer.payload.decode("utf-8", "replace").partition(":")[0]


async def tried(report: Report, name: str, clause: str, steps: Any) -> Any:
    """The value of an awaitable whose answers our own client has to understand; a FrameError is the node's failure."""
    try:
        return await steps
    except FrameError as error:
        code: Any = error.code
        report.add(name, clause, False, f"{code}: {error}")
        return None
