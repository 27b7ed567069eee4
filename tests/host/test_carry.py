"""A release carried over sessions: only what the node lacks, from where it is, over whatever road comes next."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from citymote.answers import Refused
from citymote.factory import slot
from citymote.update import bundle as bundles
from citymote.update import carry as carrying
from citymote.update.bundle import Bundle, Target
from citymote.update.carry import CarryError, Progress, carry
from citymote.update.member import State
from citymote.update.version import Version

DOWNLOADING, VERIFIED, TRIAL, CONFIRMED, ROLLED_BACK, FAILED = range(2, 8)


class RoadBroke(Exception):
    """The session is gone."""


def release() -> Bundle:
    noise = random.Random(1)
    files = [slot.file(f"node/m{k}.mpy", noise.randbytes(5000 + 700 * k)) for k in range(4)]
    return bundles.pack(Version.parse("1.4.2"), "1.26", [(Target("rv32imc", "rv32imc", (), slot.index(files)), files)])


class FakeNode:
    """The update resources as SPEC 16.5 has them. `breaks`: after so many bytes the road is gone."""

    id = "0123456789ab"

    def __init__(self, made: Bundle, held: tuple[int, ...] = ()) -> None:
        self.entries = made.targets[0].entries()
        self.flash: dict[bytes, bytes] = {
            self.entries[k].digest: made.blobs[self.entries[k].digest.hex()] for k in held
        }
        self.part = b""
        self.state = [0, 0]
        self.offers: list[bytes] = []
        self.keys: list[bytes] = []
        self.came = 0
        self.breaks: int | None = None
        self.end = VERIFIED

    def _wanted(self) -> Any:
        return next((entry for entry in self.entries if entry.digest not in self.flash), None)

    async def update_state(self) -> list[Any]:
        entry = self._wanted()
        if entry is None and self.state[0] == DOWNLOADING:
            self.state[0] = self.end
        wanted = entry if self.state[0] == DOWNLOADING else None
        percent = 100 * len(self.flash) // len(self.entries)
        tail = [wanted.digest, len(self.part), wanted.fetched] if wanted else [None, 0, 0]
        return [*self.state, 2, percent, *tail]

    async def offer_update(self, envelope: bytes) -> None:
        self.offers.append(envelope)
        if self.state[0] == 0:
            self.state[0] = DOWNLOADING

    async def put_update_keys(self, statement: bytes) -> None:
        self.keys.append(statement)

    async def put_update_file(self, digest: bytes, offset: int, data: bytes) -> int:
        entry = self._wanted()
        if entry is None or entry.digest != digest:
            raise Refused(self.id, "a piece", 0x89, "file", "not the one that is due")
        if self.breaks is not None and self.came + len(data) > self.breaks:
            self.breaks = None
            raise RoadBroke
        if offset == len(self.part):
            self.part += data
            self.came += len(data)
        due = len(self.part)
        if due == entry.fetched:
            self.flash[digest], self.part = self.part, b""
        return due


def carried(node: FakeNode, made: Bundle, **options: Any) -> int:
    async def no_sleep(seconds: float) -> None:
        del seconds

    return asyncio.run(carry(node, made, b"envelope", sleep=no_sleep, **options))


def test_everything_that_the_node_lacks_is_sent_and_nothing_else() -> None:
    made = release()
    node = FakeNode(made, held=(0, 2))
    sent = carried(node, made, keys=b"set")
    assert node.flash == {entry.digest: made.blobs[entry.digest.hex()] for entry in node.entries}
    assert sent == node.came == sum(node.entries[k].fetched for k in (1, 3))
    assert (node.offers, node.keys) == ([b"envelope"], [b"set"])


@pytest.mark.parametrize("at", [0, 1, 2048, 5000, 9000, 14_000])
def test_a_road_that_breaks_is_gone_on_from_another(at: int) -> None:
    made = release()
    node = FakeNode(made)
    node.breaks = at
    with pytest.raises(RoadBroke):
        carried(node, made)
    before = node.came
    assert carried(node, made) == sum(entry.fetched for entry in node.entries) - before
    assert node.came == sum(entry.fetched for entry in node.entries), "no byte twice"


def test_what_came_over_another_road_meanwhile_is_not_sent_again() -> None:
    made = release()
    node = FakeNode(made)
    real = node.put_update_file

    async def beside(digest: bytes, offset: int, data: bytes) -> int:
        if offset >= 4096 and digest not in node.flash:  # a file server was quicker
            node.flash[digest], node.part = made.blobs[digest.hex()], b""
        return await real(digest, offset, data)

    node.put_update_file = beside  # type: ignore[method-assign]
    assert carried(node, made) < sum(entry.fetched for entry in node.entries)
    assert len(node.flash) == 4


def test_progress_is_told() -> None:
    made = release()
    told: list[Progress] = []
    carried(FakeNode(made), made, told=told.append)
    assert [one.percent for one in told] == sorted(one.percent for one in told)
    assert {one.state for one in told} == {State.DOWNLOADING, State.VERIFIED}


@pytest.mark.parametrize("state", [VERIFIED, TRIAL, CONFIRMED])
def test_a_node_that_has_it_already_is_sent_nothing(state: int) -> None:
    made = release()
    node = FakeNode(made)
    node.state[0] = state
    assert carried(node, made) == 0


def test_a_node_that_fails_says_why() -> None:
    made = release()
    node = FakeNode(made)
    node.state, node.end = [FAILED, 7], FAILED
    with pytest.raises(CarryError, match="its flash does not take the files"):
        carried(node, made)


def test_a_node_that_wants_a_file_of_another_release_gets_nothing() -> None:
    made = release()
    node = FakeNode(made)
    node.entries = [node.entries[0]._replace(digest=bytes(32))]
    with pytest.raises(CarryError, match="does not have"):
        carried(node, made)


def test_a_node_that_never_says_anything_is_given_up() -> None:
    made = release()
    node = FakeNode(made, held=(0, 1, 2, 3))
    node.end = DOWNLOADING
    with pytest.raises(CarryError, match="wants nothing"):
        carried(node, made)


@pytest.mark.parametrize("told", [[], [1] * 6, ["x"] * 7, [2, 0, 2, 0, None, None, 0]])
def test_a_state_that_cannot_be_read_is_said(told: list[Any]) -> None:
    made = release()
    node = FakeNode(made)

    async def state() -> list[Any]:
        return told

    node.update_state = state  # type: ignore[method-assign]
    with pytest.raises(CarryError, match="cannot be read"):
        carried(node, made)
    assert carrying.CHUNK <= 4096, "a body has 4096 bytes at most (SPEC 12.8)"
