"""What a node answers, in a host's types: what it says of itself, how a trial went, and why it refuses.

A refusal carries the specification's word for it (SPEC 16.1.2) and a sentence for a person: the node's own where it
says one. What a node says to people comes to a terminal, so no control character of it passes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Any, cast

from citymote.session import SessionError
from citymote_protocol.coap import Message


class Role(IntEnum):
    """What a session may do; each may do what the one before it may."""

    NONE = 0
    READER = 1
    INSTALLER = 2
    OWNER = 3

    def __str__(self) -> str:
        return self.name.lower()


class Refused(SessionError):
    """A node's no. `answer` is the CoAP code ("4.03"), `code` the specification's word, "" where there is none."""

    def __init__(self, node: str, what: str, answer: int, code: str, sentence: str) -> None:
        self.node = node
        self.answer = f"{answer >> 5}.{answer & 31:02d}"
        self.code = code
        self.sentence = sentence
        why = sentence or _MEANINGS.get(code) or (code or _ANSWERS.get(answer, self.answer))
        super().__init__(f"node {node} refuses {what}", why, _NEXT.get(code, ""))


_ANSWERS = {0x81: "it has no right to it", 0x83: "the role of this session is not enough", 0x84: "it has no such thing",
            0x85: "it has no such thing", 0x8D: "it is too large", 0xA3: "not now"}  # fmt: skip
_MEANINGS = {
    "unowned": "it has no owner",
    "owned": "it has another owner",
    "claim": "the secret is not that of its label",
    "owner": "only its owner may",
    "storage": "its flash does not take it",
    "trial": "another trial runs",
    "incomplete": "its configuration names no uplink",
    "no_row": "it has not measured yet",
    "time": "this time cannot be",
    "signature": "its owner has not signed it",
    "issuer": "the delegation is another owner's",
    "epoch": "the delegation has been revoked",
    "audience": "the delegation is for other nodes",
    "confirmation": "the delegation is for another host",
    "expired": "the delegation has expired",
    "early": "the delegation is not valid yet",
    "offer": "nobody has offered it to this owner",
    "disabled": "its owner has disabled recovery",
    "hands": "nobody holds the button inside of its case",
    "part": "it has no such part",
}
_NEXT = {
    "unowned": "Claim it with its label: citymote provision.",
    "owned": "Its owner can transfer it; recovery takes hours and hands (docs/provision.md).",
    "claim": "Is it the label of this very node?",
    "epoch": "Ask the owner for a new one.",
    "expired": "Ask the owner for a new one.",
    "confirmation": "Use the store that it was made for.",
}


@dataclass(frozen=True, slots=True)
class Trial:
    """A trial of a configuration. `detail`: 0 it succeeded, None not known yet, else why it failed (SPEC 15.4)."""

    number: int
    detail: int | None
    seconds: int


@dataclass(frozen=True, slots=True)
class Info:
    """What a node says of itself (SPEC 16.5). Counts and seconds; None is what it does not know."""

    node: str
    public: bytes
    board: str
    firmware: str
    runtime: str
    boots: int
    uptime: int
    time: datetime | None
    clock: int
    reset_cause: str
    role: Role
    epoch: int
    configured: bool
    """A configuration is in force: a trial has succeeded since the claim."""
    pending: bool
    state: int | None
    detail: int
    station: str | None
    rows_waiting: int | None
    frames_waiting: int | None
    update: tuple[Any, ...] | None
    trial: Trial | None
    recovery_hours: int | None


def text_of(data: bytes) -> str:
    """What a node says to people: it comes to a terminal, which obeys control characters, so none of them passes."""
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in data.decode(errors="replace"))


def reason_of(answer: Message) -> tuple[str, str]:
    """(code, sentence) of an answer that is an error; ("", "") where it says neither."""
    if answer.code >> 5 == 2:
        return "", ""
    text = text_of(bytes(answer.payload))[:200]
    code, _, sentence = text.partition(":")
    return (code.strip(), sentence.strip()) if code.replace("_", "").isalnum() else ("", text)


def trial_of(told: Any) -> Trial:
    """A trial out of its three numbers."""
    number, detail, seconds = told
    return Trial(number, None if detail == 255 else detail, seconds)


def plain(value: Any) -> Any:
    """A setting out of CBOR, as far as it can be told: a list of pairs is a map."""
    if isinstance(value, list):
        items = cast("list[Any]", value)
        if items and all(isinstance(each, tuple) for each in items):
            return {key: plain(each) for key, each in items}
        return [plain(each) for each in items]
    return value
