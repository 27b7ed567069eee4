"""Holds frames that a node has sent to the specification: not only that they can be read, but that they are what an
encoder writes.

Each message is decoded strictly, written again from what it says, and compared byte for byte: an encoder has no
choice (table 3.5, chapter 4.6), so another form is a failure even where every decoder reads it. Then come the rules
that only several frames show: identities that are used twice, nonces that are used twice, readings outside their
range that nobody marked.
"""

from __future__ import annotations

from typing import Any, cast

from citymote import wire
from citymote.capture import Damage, Message, Source, read, skip_item
from citymote.conformance import clauses
from citymote.conformance.report import Report
from citymote.decode import Frame, Keys, open_and_decode, open_keys
from citymote.errors import FrameProblem, UnopenableFrame
from citymote.registry import quantity
from citymote_protocol import plain as _plain

_to_plain: Any = cast("Any", _plain).to_plain
_from_plain: Any = cast("Any", _plain).from_plain

# Quality codes under which a reading outside its range has been marked: everything but unchecked and accepted.
_UNMARKED = (0, 4)
_MAP = 5  # the major type of optional fields


class FramesCheck:
    """One run over any number of sources."""

    def __init__(self, keys: Keys = None, node: str | None = None) -> None:
        self.report = Report("frames")
        self._opener = open_keys(keys)
        self._node = node
        self._seen: dict[tuple[str, int, int], bytes] = {}
        self._nonces: dict[tuple[bytes, bytes, bytes], bytes] = {}
        self._last: dict[tuple[str, int], int] = {}
        self._unopened = 0

    def check(self, source: Source) -> Report:
        """Judge one source; may be called for several."""
        for item in read(source):
            if isinstance(item, Damage):
                self.report.add(item.where, "10.2" if item.code.startswith("capture") else "10.5", False, item.why)
            else:
                self._message(item)
        if self._unopened:
            note = f"{self._unopened} sealed frames were not opened, only their envelopes were judged (--keys)"
            self.report.notes = [*[n for n in self.report.notes if "not opened" not in n], note]
        return self.report

    def _message(self, message: Message) -> None:
        name = message.where
        if wire.is_envelope(message.data) and not self._envelope(message):
            return
        try:
            frame = open_and_decode(message, self._opener, self._node)
        except UnopenableFrame as problem:
            if problem.code == "no_keys":
                self._unopened += 1
                self.report.add(name, "5", True)
            else:
                self.report.add(name, "5", False, f"{problem.code}: {problem.why}")
            return
        except FrameProblem as problem:
            clause = "7.1" if problem.code == "node_missing" else clauses.of_code(problem.code)
            self.report.add(name, clause, False, f"{problem.code}: {problem.why}")
            return
        clause, why = written_otherwise(frame)
        self.report.add(name, clause or "3", not why, why)
        self._identity(frame, name)
        self._ranges(frame, name)

    def _envelope(self, message: Message) -> bool:
        """Whether an envelope is one by its form, and its nonce has not been used for anything else."""
        try:
            envelope = wire.parse_envelope(message.data)
        except wire.ProtocolError as error:
            self.report.add(message.where, "5", False, f"{wire.code_of(error)}: {wire.words_of(error)}")
            return False
        key = (bytes(envelope.kid), bytes(envelope.kid_context), bytes(envelope.partial_iv))
        if self._nonces.setdefault(key, message.data) != message.data:
            why = "this node has sealed two messages with one nonce: whoever holds both can read and forge"
            self.report.add(f"{message.where} nonce", "5.6.3", False, why)
        return True

    def _identity(self, frame: Frame, name: str) -> None:
        key = (frame.node, frame.epoch, frame.seq)
        known = self._seen.setdefault(key, frame.data)
        if known != frame.data:
            why = f"node {frame.node} used epoch {frame.epoch}, sequence {frame.seq} for two different frames"
            self.report.add(f"{name} identity", "7.3", False, why)
        last = self._last.get(key[:2])
        if last is not None and frame.seq > last + 1:
            missing = frame.seq - last - 1
            self.report.notes.append(f"{name}: {missing} frames of node {frame.node} are missing before it")
        self._last[key[:2]] = max(frame.seq, last if last is not None else frame.seq)

    def _ranges(self, frame: Frame, name: str) -> None:
        for sample in frame.samples():
            entry = quantity(sample.quantity)
            if sample.value is None or not entry.known or sample.quality not in _UNMARKED:
                continue
            value = entry.value(sample.value)
            if not entry.minimum <= value <= entry.maximum:
                why = (
                    f"{entry.name} {value} {entry.unit} is outside {entry.minimum} to {entry.maximum} and not marked so"
                )
                self.report.add(f"{name} range", "2", False, why)
                return


def written_otherwise(frame: Frame) -> tuple[str, str]:
    """(clause, what) where an encoder of this version writes the frame in other bytes; ("", "") where not."""
    plain: dict[str, Any] = _to_plain(frame.body)
    if plain["minor"] or plain.get("options"):
        return "", ""  # a newer encoder's: what it may write, only it knows
    try:
        expected = bytes(_from_plain(plain))
    except wire.ProtocolError as error:
        return clauses.of_code(wire.code_of(error)), f"no encoder can say this: {wire.words_of(error)}"
    if expected == frame.data:
        return "", ""
    ours, theirs = _items(expected), _items(frame.data)
    index = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    kind = str(plain["kind"])
    # A packed frame that leaves its node out has no second item: count as if it had.
    place = index + 1 if kind == "packed" and plain["node"] is None and index else index
    clause = clauses.of_item(kind, place)
    if any(item[index : index + 1] and item[index][0] >> 5 == _MAP for item in (ours, theirs)):
        clause = "3.6" if plain.get("quality") else "3.7"
    a = ours[index].hex() if index < len(ours) else "nothing"
    b = theirs[index].hex() if index < len(theirs) else "nothing"
    return clause, f"item {index + 1} is written {b[:60]}, an encoder writes {a[:60]}"


def _items(data: bytes) -> list[bytes]:
    """The items of the array that a frame is, each as bytes."""
    at = 1 if data[0] & 0x1F < 24 else 1 + (1 << ((data[0] & 0x1F) - 24))
    items: list[bytes] = []
    while at < len(data):
        stop = skip_item(data, at)
        items.append(data[at:stop])
        at = stop
    return items
