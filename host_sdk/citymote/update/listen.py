"""Learns how nodes are doing from the frames that the collector has stored: their own sealed events and descriptors.

Frames are read in the order of their arrival, each once; how far is part of the same transaction as what was learnt. An
event that comes late, or once more, changes nothing. What came unsealed is believed only where the caller says so: any
client of a broker could have made it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from citymote.descriptor import descriptor_of
from citymote.registry import quantity

from .book import Book, Seen

if TYPE_CHECKING:
    from citymote.decode import Frame
    from citymote.storage.base import Store

STATE, PROGRESS, SEQUENCE, REASON = (
    quantity(name).id for name in ("update_state", "update_progress", "update_sequence", "update_reason")
)
CONFIRMED = 5
_MARK = "frames"
_KINDS = ("event", "descriptor")


def listen(book: Book, store: Store, *, allow_unsealed: bool = False) -> list[Seen]:
    """Take in what has arrived since the last time; the nodes whose update events were news, each as of the last."""
    mark = book.mark(_MARK)
    nodes = book.nodes()
    changed: dict[str, Seen] = {}
    news: dict[str, Seen] = {}
    for arrival in store.arrivals(mark, _KINDS):
        mark = arrival.mark
        seen = changed.get(arrival.node) or nodes.get(arrival.node) or Seen(arrival.node)
        if arrival.received is not None and (arrival.sealed or allow_unsealed):
            seen = seen._replace(seen=max(seen.seen or 0.0, arrival.received))
        frame = arrival.frame
        if frame is not None and (frame.sealed or allow_unsealed):
            described = _described(seen, frame)
            told = update_event(described, frame)
            seen = told or described
            if told is not None:
                news[arrival.node] = told
        changed[arrival.node] = seen
    with book.transaction():
        book.keep_nodes(changed.values())
        book.set_mark(_MARK, mark)
    return [changed[node] for node in news]


def _described(seen: Seen, frame: Frame) -> Seen:
    found = descriptor_of(frame)
    if found is None:
        return seen
    return seen._replace(
        board=found.model, firmware=found.firmware, runtime=plain_runtime(found.runtime) or seen.runtime
    )


def plain_runtime(said: str) -> str:
    """The version in what a node calls its runtime, such as `micropython 1.26.0`."""
    return said.rpartition(" ")[2].removeprefix("v")


def update_event(seen: Seen, frame: Frame) -> Seen | None:
    """What a frame tells of the node's update, where it does and is newer than what is known."""
    if frame.kind != "event" or (frame.epoch, frame.seq) <= (seen.epoch, seen.seq):
        return None
    values = {sample.quantity: sample.value for sample in frame.samples()}
    state = values.get(STATE)
    if state is None:
        return None
    sequence = values.get(SEQUENCE) or 0
    return seen._replace(
        state=state,
        progress=values.get(PROGRESS) or 0,
        sequence=sequence,
        reason=values.get(REASON) or 0,
        confirmed=max(seen.confirmed, sequence) if state == CONFIRMED else seen.confirmed,
        epoch=frame.epoch,
        seq=frame.seq,
    )
