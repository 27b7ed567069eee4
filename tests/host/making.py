"""Frames, captures and key files for the host's tests, made with the protocol's own encoder from a seed."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING, Any

from citymote import capture
from citymote.crypto import HostCrypto
from citymote.keys import node_id
from citymote_protocol import p256, sealing
from citymote_protocol.frame import Encoder, encode_event, encode_status
from citymote_protocol.quantities import ABSENT, quantity_set

if TYPE_CHECKING:
    from pathlib import Path

    from citymote.keys import CollectorKey

CRYPTO = HostCrypto()
NODE = bytes.fromhex("0102030405aa")
START = 847_767_840  # 2026-11-12T03:04:00Z, in seconds since 2000


def columns_of(rng: random.Random, width: int, count: int, gaps: float = 0.0) -> list[list[int]]:
    """Walks like a day's: some columns constant, some absent, some with gaps, some that jump."""
    made: list[list[int]] = []
    for _ in range(width):
        kind = rng.random()
        step = rng.choice((0, 1, 3, 20, 400, 70_000))
        value = rng.randrange(-400, 4000)
        column: list[int] = []
        for _ in range(count):
            value += rng.randrange(-step, step + 1)
            column.append(ABSENT if rng.random() < gaps else value)
        made.append([ABSENT] * count if kind < 0.05 and gaps else column)
    return made


def batch(
    seq: int = 0,
    *,
    node: bytes | None = NODE,
    epoch: int = 1,
    count: int = 5,
    time: int | None = None,
    interval: int = 120,
    columns: tuple[tuple[int, int], ...] | None = None,
    seed: int | None = None,
    gaps: float = 0.05,
    packed: bool = False,
    clock: int = 2,
    quality: list[bytes | None] | None = None,
    values: list[list[int]] | None = None,
    times: list[int] | None = None,
) -> bytes:
    """One batch frame; the same arguments are the same bytes."""
    names = quantity_set(1) if columns is None else columns
    rng = random.Random(seq if seed is None else seed)
    rows = columns_of(rng, len(names), count, gaps) if values is None else values
    at = START + seq * count * interval if time is None else time
    encoder = Encoder(node, names, 8192)
    made = encoder.encode(epoch, seq, at, clock, interval, len(rows[0]), rows, quality, packed, times)
    return bytes(made)


def batches(number: int, **how: object) -> list[bytes]:
    """Frames of one node, one after the other."""
    return [batch(seq, **how) for seq in range(number)]  # type: ignore[arg-type]


def event(seq: int = 0, node: bytes = NODE) -> bytes:
    """An event frame with one absent value and its reason."""
    return encode_event(node, 1, seq, START, 3, ((23, 0), (9, 1)), (4, None), (0, 8))


def status(seq: int = 0, node: bytes = NODE) -> bytes:
    """A status frame."""
    return encode_status(node, 1, seq, START, 0, ((100, 0), (102, 0)), (51_000, 86_400))


def write_capture(path: Path, frames: list[bytes], received: float = 1_700_000_000.0) -> Path:
    """A capture with a record for each frame, one second apart."""
    with capture.CaptureWriter(path) as writer:
        for index, frame in enumerate(frames):
            writer.add(frame, received + index)
    return path


class SealingNode:
    """A node that seals for one collector; `boot` is a fresh start."""

    def __init__(self, collector: CollectorKey) -> None:
        self.private, self.public = p256.run(CRYPTO.key_pair_steps())
        self.collector = collector
        self.id = node_id(self.public)
        self.boots = 0
        self.boot()

    def boot(self, form: int = sealing.MINIMAL) -> None:
        self.boots += 1
        self.sealer: Any = sealing.Sealer(
            CRYPTO, self.id, self.private, self.collector.public, self.boots, os.urandom(8), form
        )

    def seal(self, frame: bytes = b"frame") -> bytes:
        return self.sealer.seal(frame)
