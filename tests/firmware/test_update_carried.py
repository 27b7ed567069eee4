"""A release carried to a real node with an owner, in protected sessions: over BLE, a serial line and a broker.

The node starts from the boot and a slot, is claimed and proves its uplink as every node does; then comes
`citymote update push --over`, and `push --publish` for a file server where one road takes over from another.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.claimable import BOARD, Street, street
from tests.support.file_server import FileServer
from tests.support.release import PASSPHRASE, Maker, desk
from typer.testing import CliRunner

from citymote.cli import application
from citymote.factory import slot
from citymote.node import Node, Reset
from citymote.owner import OwnerStore
from citymote.reach import way_to
from citymote.testing import slots
from citymote.testing.bridge import Event
from citymote.testing.serial_line import SerialLine
from citymote.update import bundle as bundles
from citymote.update.carry import carry
from citymote.update.rollout import envelope_for
from citymote.vault import VARIABLE

pytestmark = [pytest.mark.usefixtures("micropython32"), pytest.mark.timeout(300)]
DOWNLOADING, VERIFIED, TRIAL, CONFIRMED = range(2, 6)
HEAP = "230k"
"""What two sessions and an update over the uplink take beside a working node (docs/limits.md)."""
NEW = {"node/extra.py": "NOISE = %r\n" % "".join(hashlib.sha256(bytes([k])).hexdigest() for k in range(250))}
UPDATED = slots.BootRecord(1, trial=False, starts=0, why=0, floor=2)


class Interrupted(Exception):
    """The road breaks here."""


def push(node: Street, maker: Maker, bundle: Path, over: str) -> dict[str, Any]:
    """`citymote update push --over`."""
    radio = ("--radio", node.air.transport) if over == "ble" else ()
    return update(
        "push", node, bundle, "--over", over, "--keys", maker.keys, "--owner", node.folder / "city.owner", *radio
    )


def update(verb: str, node: Street, bundle: Path, *options: object) -> dict[str, Any]:
    """`citymote update` with the registry that knows the node; what it says last."""
    arguments = ["update", verb, node.id, "--bundle", bundle, "--fleet", node.folder / "city.fleet", *options, "--json"]
    done = CliRunner().invoke(application(), [str(each) for each in arguments])
    assert done.exit_code == 0, done.output + repr(done.exception)
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


@pytest.fixture
def maker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Maker:
    passphrase = tmp_path / "passphrase"
    passphrase.write_text(PASSPHRASE)
    passphrase.chmod(0o600)
    monkeypatch.setenv(VARIABLE, str(passphrase))
    return Maker(tmp_path / "maker", BOARD)


def connected(node: Street, store: OwnerStore, over: str) -> Road:
    return Road(way_to(over, node.id, radio=node.adapter), node.public, store)


class Road(Node):
    """One that breaks when it has carried so many bytes."""

    left = 1 << 30

    async def put_update_file(self, digest: bytes, offset: int, data: bytes) -> int:
        if self.left <= 0:
            raise Interrupted
        self.left -= len(data)
        return await super().put_update_file(digest, offset, data)


async def carried(session: Road, maker: Maker, bundle: Path) -> int:
    found = bundles.read(bundle)
    return await carry(session, found, envelope_for(found, "virtual"), keys=maker.keys.read_bytes())


async def half(session: Road, maker: Maker, bundle: Path) -> list[Any]:
    """Carry some of it; the state of the update then."""
    session.left = 4000
    with pytest.raises(Interrupted):
        await carried(session, maker, bundle)
    told = await session.update_state()
    assert (await session.info()).update == tuple(told)
    return told


def settled(node: Street, maker: Maker, **settings: Any) -> OwnerStore:
    """The node has an owner and works."""
    asyncio.run(node.provision(update_root=maker.root.public.hex(), interval=10, **settings))
    return desk(node)


def finished(node: Street) -> None:
    """The new application has proved itself."""
    asyncio.run(node.until("confirmed"))
    node.node.kill()
    assert slots.boot_record(node.node.directory) == UPDATED


def test_a_broker_carries_it_and_who_watches_the_state_sees_each_one(tmp_path: Path, maker: Maker) -> None:
    bundle = maker.release("1.0.2", NEW, 2)
    with street(tmp_path, slotted=True, heap=HEAP, pace=2) as node:
        store = settled(node, maker)
        over = f"mqtt://127.0.0.1:{node.broker.port}"
        chips = node.node.wiring

        def unplugged(event: Event) -> None:
            if event.data["state"] == TRIAL:  # it lasts until it has been seen
                chips.fault("i2c0", errno.EIO)

        node.node.on_event(unplugged, "update")

        async def watched() -> list[int]:
            seen: list[int] = []
            pushing: asyncio.Task[Any] | None = None
            async with connected(node, store, over) as session:
                async for told in session.watch_update(quiet=5):
                    seen.append(told[0])
                    if pushing is None:
                        pushing = asyncio.create_task(asyncio.to_thread(push, node, maker, bundle, over))
                    if told[0] == TRIAL:
                        chips.fault("i2c0", None)
                    if told[0] == CONFIRMED:
                        break
                assert pushing is not None
                said = await pushing
                assert said["sent"] > 8_000
            return seen

        seen = asyncio.run(watched())
        assert list(dict.fromkeys(seen)) == [0, DOWNLOADING, VERIFIED, TRIAL, CONFIRMED]
        assert seen.count(DOWNLOADING) > 1, "how far it is, too"
        finished(node)


def pressed(node: Street) -> None:
    """Somebody presses the button as soon as the uplink is proved: service mode (SPEC 16.8)."""

    def press(_: object) -> None:
        node.button.level = 0
        node.node.at(node.node.now + 1000, release)

    def release() -> None:
        node.button.level = 1

    node.node.on_event(press, "tried")


def test_a_file_server_goes_on_with_what_ble_has_begun(tmp_path: Path, maker: Maker) -> None:
    bundle = maker.release("1.0.2", NEW, 2)
    with street(tmp_path, slotted=True, heap=HEAP, pace=0) as node:
        pressed(node)
        with FileServer(maker.folder / "www") as server:
            store = settled(node, maker, update_url=server.url, update_interval=100)

            async def begun() -> list[Any]:
                async with connected(node, store, "ble") as session:
                    told = await half(session, maker, bundle)
                    await session.reset(Reset.LEAVE_SERVICE)
                    return told

            state, _, _, _, digest, offset, total = asyncio.run(begun())
            offered = ("--publish", maker.folder / "www", "--root", maker.root.public.hex(), "--keys", maker.keys)
            said = update("push", node, bundle, *offered, "--book", tmp_path / "updates.db")
            assert said["counts"] == {"offered": 1}
            assert state == DOWNLOADING
            assert 4096 <= offset < total
            finished(node)
            asked = [(path, int(wanted[6:-1])) for path, wanted in server.requests if wanted]
            assert asked == [(f"/files/{digest.hex()}", offset)], "the server is asked for the rest"


def test_ble_goes_on_with_what_a_serial_line_has_begun(tmp_path: Path, maker: Maker) -> None:
    bundle = maker.release("1.0.2", NEW, 2)
    with SerialLine() as line, street(tmp_path, slotted=True, heap=HEAP, line=line, pace=2, speed=2) as node:
        store = settled(node, maker)

        async def both() -> tuple[int, int]:
            async with connected(node, store, f"serial:{line.port}") as session:
                told = await half(session, maker, bundle)
                await session.reset(Reset.ENTER_SERVICE, minutes=15)
            async with connected(node, store, "ble") as session:
                begun = await session.update_state()
                assert begun[:6] == told[:6], "where the serial line has left it"
            said = await asyncio.to_thread(push, node, maker, bundle, "ble")
            return told[5], said["sent"]

        offset, sent = asyncio.run(both())
        assert offset >= 4000
        found = bundles.read(bundle)
        before = slot.files(slots.application(maker.machine, BOARD), slots.release(maker.machine))
        held = {file.digest for file in before}
        lacking = [entry for entry in found.targets[0].entries() if entry.digest not in held]
        assert offset + sent == sum(entry.fetched for entry in lacking), "no byte twice"
        finished(node)


@pytest.mark.slow
@pytest.mark.parametrize("road", ["serial", "ble"])
def test_one_road_carries_all_of_it(tmp_path: Path, maker: Maker, road: str) -> None:
    bundle = maker.release("1.0.2", NEW, 2)
    with SerialLine() as line, street(tmp_path, slotted=True, heap=HEAP, line=line, pace=2, speed=2) as node:
        if road == "ble":
            pressed(node)
        settled(node, maker)
        said = push(node, maker, bundle, road if road == "ble" else f"serial:{line.port}")
        assert said["sent"] > 8_000
        finished(node)
