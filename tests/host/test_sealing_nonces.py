"""Tries to make a nonce repeat: thousands of boots with power cuts, lost counters and flash put back to old images.

The node's own identity and Sealer code runs here, over a dictionary that plays the flash. AES-CCM is broken by one
repetition of (key, nonce), so each pair that the Sealer used is kept and compared.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from citymote.crypto import HostCrypto
from citymote.keys import CollectorKey
from citymote_protocol import cose, sealing

TOP = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module", autouse=True)
def firmware_path() -> Iterator[None]:
    """The node's core also runs under CPython; nothing but this file imports it here."""
    sys.path.insert(0, str(TOP / "firmware"))
    yield
    sys.path.remove(str(TOP / "firmware"))


COLLECTOR = CollectorKey(sha256(b"collector").digest())


class Chip:
    """A chip's generator: never the same bytes twice, whatever happens to the flash. Seeded, so a failure repeats."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def random(self, count: int) -> bytes:
        return self._random.randbytes(count)


class World:
    """One node's life. Boots, seals, loses power, has its flash restored; keeps each (key, nonce) it ever used."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.chip = Chip(seed)
        self.pairs: set[bytes] = set()
        self.used = 0
        self.secrets: dict[bytes, bytes] = {}
        self.boot()

    def boot(self) -> None:
        from node import identity

        crypto = HostCrypto(self.chip.random)
        self.identity: Any = identity.open_identity(str(self.folder), crypto)
        self.crypto = crypto
        private = self.identity.private_key()
        self.sealer: Any = sealing.Sealer(
            crypto, self.identity.node_id, private, COLLECTOR.public, self.identity.boots, crypto.random(8)
        )

    def seal(self, frame: bytes) -> None:
        envelope: Any = sealing.parse(self.sealer.seal(frame))
        node = self.identity.public
        secret = self.secrets.setdefault(node, COLLECTOR.agree(node))
        key, base_iv = sealing.derive(self.crypto, secret, envelope.kid_context, envelope.kid, COLLECTOR.hash)
        self.pairs.add(key + cose.nonce(base_iv, envelope.partial_iv))
        self.used += 1

    def image(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.folder.iterdir()}

    def restore(self, image: dict[str, bytes]) -> None:
        for path in list(self.folder.iterdir()):
            path.unlink()
        for name, data in image.items():
            (self.folder / name).write_bytes(data)

    def check(self) -> None:
        assert len(self.pairs) == self.used, f"{self.used - len(self.pairs)} of {self.used} nonces repeat"


def test_three_thousand_boots_with_lost_counters_and_restored_images(tmp_path: Path) -> None:
    world = World(tmp_path, 1)
    choose = random.Random(2)
    images = [world.image()]
    for _ in range(3000):
        fate = choose.random()
        if fate < 0.3:
            world.restore(choose.choice(images))
        elif fate < 0.4:
            (tmp_path / "boot.bin").unlink()
        elif fate < 0.5:
            images.append(world.image())
        world.boot()
        for _ in range(choose.randrange(4)):
            world.seal(b"frame %d" % choose.randrange(5))
    world.check()
    assert world.used > 3000
    assert world.identity.boots < 3000, "no image was restored, so this showed nothing"


STEPS = st.lists(
    st.sampled_from(["seal", "again", "dated", "power", "lost counter", "image", "restore", "renew", "spent"]),
    max_size=40,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, seed=st.integers(0, 2**32))
def test_no_order_of_events_repeats_a_nonce(
    steps: list[str], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    world = World(tmp_path_factory.mktemp("node"), seed)
    image = world.image()
    for step in steps:
        if step == "seal":
            world.seal(b"a frame")
        elif step == "again":  # the acknowledgement was lost
            world.seal(b"a frame")
            world.seal(b"a frame")
        elif step == "dated":  # sent before, then dated anew when the clock was set
            world.seal(b"a frame at 0")
            world.seal(b"a frame at 1")
        elif step == "power":
            world.boot()
        elif step == "lost counter":
            (world.folder / "boot.bin").unlink()
            world.boot()
        elif step == "image":
            image = world.image()
        elif step == "restore":
            world.restore(image)
            world.boot()
        elif step == "renew":
            world.sealer.renew(world.crypto.random(8))
        else:
            world.sealer._next = max(world.sealer._next, sealing.MAX_PARTIAL_IV)
            world.seal(b"the last")
            with pytest.raises(ValueError, match="exhausted"):
                world.seal(b"one more")
            world.sealer.renew(world.crypto.random(8))
    world.check()


def test_the_test_itself_sees_a_repetition(tmp_path: Path) -> None:
    """With a generator that starts again at each boot and a restored counter there is nothing left to differ in."""
    world = World(tmp_path, 1)
    image = world.image()
    for _ in range(2):
        world.restore(image)
        world.chip = Chip(7)
        world.boot()
        world.seal(b"frame")
    with pytest.raises(AssertionError, match="1 of 2 nonces repeat"):
        world.check()
