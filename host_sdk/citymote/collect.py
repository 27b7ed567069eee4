"""From broker to store: every frame that the broker still holds ends in the store exactly once.

The loop is short on purpose: take what has come, open and decode it, commit frames, readings and misfits in one
transaction, and only then acknowledge. A kill between any two of these steps costs nothing: what was not acknowledged
comes again, and the store knows it by (node, store epoch, sequence). Messages that give no readings are kept in the
store with their reason and acknowledged, for the broker would send them for ever. A key file that is replaced is taken
up before the next frame, and what had been kept aside for want of a key is opened then. What a node may say without a
seal, and under which topic, is decided here as well.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from citymote.capture import CaptureWriter, Message
from citymote.decode import Frame, Keys, open_and_decode, open_keys
from citymote.errors import FrameProblem, KeyFileError, RefusedFrame, UsageError
from citymote.storage.base import CONFLICT, DUPLICATE, STORED, Store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from citymote.keys import Opener
    from citymote.storage.base import Kept
    from citymote.transports.mqtt import Incoming

# Messages in one transaction at most. A commit costs one wait for the disk, so a batch multiplies the rate by its
# length until decoding dominates; beyond this number nothing is gained and a kill makes the broker send more again.
BATCH = 500

# Why a frame is kept aside that another key may open (SPEC 5.9, and our own word for having no keys at all).
WANTS_A_KEY = ("authentication", "no_keys", "unknown_node")


class Source(Protocol):
    """What the collector needs of a transport: `transports.mqtt.Subscriber` is one."""

    def take(self, timeout: float, most: int = ...) -> list[Incoming]: ...

    def ack(self, messages: Sequence[Incoming]) -> None: ...


@dataclass(slots=True)
class Report:
    """What a collector has done since it started."""

    received: int = 0
    stored: int = 0
    readings: int = 0
    duplicates: int = 0
    conflicts: int = 0
    aside: int = 0
    reopened: int = 0
    bytes: int = 0
    aside_by_code: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def failed(self) -> int:
        """Messages that did not become readings and are no repetitions."""
        return self.aside + self.conflicts

    def as_dict(self) -> dict[str, object]:
        """For `--json`."""
        return {
            "received": self.received,
            "stored": self.stored,
            "readings": self.readings,
            "duplicates": self.duplicates,
            "conflicts": self.conflicts,
            "aside": self.aside,
            "reopened": self.reopened,
            "aside_by_code": dict(sorted(self.aside_by_code.items())),
            "bytes": self.bytes,
        }


class Collector:
    """Moves messages from a source to a store until told to stop.

    Without keys nothing sealed can be opened; then `allow_unsealed` must be given. With both, a bare frame is
    accepted only from nodes of which no key is known: otherwise any client of the broker could speak for a node that
    seals.
    """

    def __init__(
        self,
        source: Source,
        store: Store,
        keys: Keys = None,
        allow_unsealed: bool = False,
        capture: CaptureWriter | None = None,
        on_problem: Callable[[str], None] | None = None,
        on_progress: Callable[[Report], None] | None = None,
    ) -> None:
        self.opener: Opener | None = open_keys(keys)
        if self.opener is None and not allow_unsealed:
            raise UsageError(
                "the collector has no keys",
                "sealed frames could not be opened, and unsealed ones are not accepted by default",
                "Give a key file (--keys FILE), or, where each link authenticates its node, --allow-unsealed.",
            )
        self.source = source
        self.store = store
        self.allow_unsealed = allow_unsealed
        self.capture = capture
        self.report = Report()
        self._on_problem = on_problem or _silent
        self._on_progress = on_progress or _silent
        self._stop = threading.Event()
        self._begun = time.time()
        # Behind which of the messages kept aside the next are tried with the keys; None: all have been.
        self._untried: int | None = None if self.opener is None else 0

    def stop(self) -> None:
        """Ask `run` to return after the transaction at hand; safe from a signal handler or another thread."""
        self._stop.set()

    @property
    def stopped(self) -> bool:
        """Whether `run` has been asked to return."""
        return self._stop.is_set()

    def run(self, seconds: float | None = None, frames: int | None = None, idle: float | None = None) -> Report:
        """Collect until stopped, for so many seconds, until so many messages have come, or until none came for `idle`
        seconds.
        """
        begun = heard = time.monotonic()
        while not self._stop.is_set():
            now = time.monotonic()
            if seconds is not None and now - begun >= seconds:
                break
            if idle is not None and now - heard >= idle:
                break
            if frames is not None and self.report.received >= frames:
                break
            if self.step(0.2):
                heard = time.monotonic()
        return self.report

    def step(self, timeout: float) -> int:
        """One round: take, decode, commit, acknowledge. Returns how many messages it moved."""
        messages = self.source.take(timeout if self._untried is None else 0, BATCH)
        self._follow_keys()
        moved = self._reopen() + len(messages)
        if messages:
            self._collect(messages)
        if moved:
            self._on_progress(self.report)
        return moved

    def _collect(self, messages: list[Incoming]) -> None:
        report = self.report
        frames: list[Frame] = []
        misfits: list[tuple[FrameProblem, bytes, float | None]] = []
        for incoming in messages:
            if self.capture is not None:
                self.capture.add(incoming.payload, incoming.received)
            try:
                frames.append(self._decode(Message(incoming.payload, incoming.received, incoming.topic)))
            except FrameProblem as problem:
                misfits.append((problem, incoming.payload, incoming.received))
        outcomes = self.store.add(frames, misfits)
        # From here on every message is on disk, with its readings or with its reason.
        self.source.ack(messages)
        report.received += len(messages)
        report.bytes += sum(len(incoming.payload) for incoming in messages)
        self._count(frames, outcomes)
        self._count_aside(misfits)

    def _count_aside(self, misfits: list[tuple[FrameProblem, bytes, float | None]]) -> None:
        report = self.report
        for problem, _, _ in misfits:
            report.aside += 1
            report.aside_by_code[problem.code] = report.aside_by_code.get(problem.code, 0) + 1
            self._on_problem(f"kept aside: {problem}")

    def _count(self, frames: list[Frame], outcomes: list[str]) -> None:
        report = self.report
        for frame, outcome in zip(frames, outcomes, strict=True):
            if outcome == STORED:
                report.stored += 1
                report.readings += frame.size
            elif outcome == DUPLICATE:
                report.duplicates += 1
            elif outcome == CONFLICT:
                report.conflicts += 1
                self._on_problem(
                    f"conflict: node {frame.node} sent other bytes as epoch {frame.epoch}, sequence {frame.seq}, "
                    "which is stored already. Both are kept; look for a cloned node or a store restored from a copy."
                )

    def _follow_keys(self) -> None:
        """Nodes come and go while this runs: each frame is judged by the key file as it is now."""
        try:
            if self.opener is not None and self.opener.refresh():
                self._untried = 0
        except KeyFileError as error:
            self._on_problem(f"the keys stay as they were: {error}")

    def _reopen(self) -> int:
        """Try the next messages that were kept aside for want of a key; returns how many were tried."""
        if self._untried is None:
            return 0
        kept = list(self.store.aside(self._untried, WANTS_A_KEY, BATCH))
        frames: list[Frame] = []
        misfits: list[tuple[FrameProblem, bytes, float | None]] = []
        marks: list[int] = []
        for each in kept:
            try:
                frames.append(self._decode(Message(each.data, each.received, each.source)))
            except FrameProblem as problem:
                if problem.code in WANTS_A_KEY:
                    continue
                misfits.append((problem, each.data, each.received))
            marks.append(each.mark)
            self._taken_from_aside(each)
        if marks:
            self._count(frames, self.store.add(frames, misfits, marks))
            self.report.reopened += len(frames)
            self._count_aside(misfits)
        self._untried = kept[-1].mark if len(kept) == BATCH else None
        return len(kept)

    def _taken_from_aside(self, kept: Kept) -> None:
        # What this run put there is no failure of it any more. Another collector of this store, or a clock that was
        # ahead, may have put it there as well: then there may be nothing to take back.
        report = self.report
        if (kept.received or 0) >= self._begun and report.aside_by_code.get(kept.code):
            report.aside -= 1
            report.aside_by_code[kept.code] -= 1

    def _decode(self, message: Message) -> Frame:
        topic = message.where
        named = topic_node(topic)
        frame = open_and_decode(message, self.opener, named)
        if not frame.sealed:
            if self.opener is not None and bytes.fromhex(frame.node) in self.opener.keys.nodes:
                why = "this node seals its frames, and this one is bare: anybody on the broker could have written it"
                raise RefusedFrame(topic, "unsealed", why, "Find out who published it.", node=frame.node)
            if not self.allow_unsealed:
                why = "the frame is not sealed"
                next_ = "Add the node's key to the key file, or accept unsealed frames (--allow-unsealed)."
                raise RefusedFrame(topic, "unsealed", why, next_, node=frame.node)
        if named is not None and named != frame.node:
            why = f"the topic is of node {named}, the frame of node {frame.node}"
            raise RefusedFrame(
                topic,
                "topic",
                why,
                "The broker's access list should tie each node to its topic.",
                node=frame.node,
            )
        return frame


def _silent(_: object) -> None:
    """What happens to news nobody asked for."""


def topic_node(topic: str) -> str | None:
    """The node id in a topic `.../<12 hexadecimal digits>/frames`, if it has one there."""
    parts = topic.rsplit("/", 2)
    if len(parts) >= 2 and parts[-1] == "frames":
        name = parts[-2]
        if len(name) == 12 and all(digit in "0123456789abcdef" for digit in name):
            return name
    return None


def collect_from(
    broker: str,
    store: str,
    *,
    keys: Keys = None,
    allow_unsealed: bool = False,
    topic: str = "citymote/+/frames",
    client_id: str = "citymote-collector",
    password_file: Path | None = None,
    ca_file: Path | None = None,
    capture: Path | None = None,
    seconds: float | None = None,
    frames: int | None = None,
    idle: float | None = None,
    log: Callable[[str], None] | None = None,
    on_progress: Callable[[Report], None] | None = None,
    on_start: Callable[[Callable[[], None]], None] | None = None,
) -> Report:
    """The whole job of `citymote collect`: connect, collect until told to stop, disconnect.

    `on_start` is given the function that ends it; `log` hears of connections and of every message that gave no
    readings. BrokerError where the time is over and the broker was never reached.
    """
    from citymote.storage.base import open_store
    from citymote.transports.mqtt import Subscriber

    password: str | None = None
    if password_file is not None:
        try:
            password = password_file.read_text(encoding="utf-8").rstrip("\r\n")
        except OSError as error:
            raise UsageError(f"cannot read the password file {password_file}", error.strerror or "") from error
        except UnicodeDecodeError:
            # The decoder's error holds the bytes, which are a secret.
            raise UsageError(
                f"cannot read the password file {password_file}", "it is no UTF-8 text", "Write the password as UTF-8."
            ) from None
    opener = open_keys(keys)
    subscriber = Subscriber(broker, topic, client_id, password, str(ca_file) if ca_file else None, log)
    writer = CaptureWriter(capture) if capture is not None else None
    try:
        with open_store(store) as place:
            collector = Collector(subscriber, place, opener, allow_unsealed, writer, log, on_progress)
            if on_start is not None:
                on_start(collector.stop)
            subscriber.start()
            try:
                report = collector.run(seconds, frames, idle)
                if not subscriber.reached and not collector.stopped:
                    raise subscriber.no_answer()
                return report
            finally:
                subscriber.stop()
    finally:
        if writer is not None:
            writer.close()
