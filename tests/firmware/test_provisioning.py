"""`citymote.provision` against the node's own firmware: real MicroPython, Bumble's link layer under bleak, a broker."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.support.claimable import NETWORK_HEAP, PACE, Street, neighbour, street
from tests.support.claiming import claimed

from citymote.answers import Refused, Role, Trial
from citymote.calibration import Request
from citymote.fleet import Fleet, NodeRecord, Stage, open_fleet
from citymote.keys import KeyFile, Opener
from citymote.label import Label
from citymote.nearby import State
from citymote.node import Node, Reset, claim_with
from citymote.owner import OwnerStore
from citymote.plan import Plan
from citymote.provisioning import MqttArrivals, Report, provision, rotate
from citymote.reach import BleReach, way_to
from citymote.session import Way
from citymote.testing.air import Conditions
from citymote.testing.emul.microphone import I2SMicrophone
from citymote.vault import VARIABLE

pytestmark = pytest.mark.usefixtures("micropython32")


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Street]:
    with street(tmp_path, speed=2) as made:
        made.node.speed = PACE
        yield made


@pytest.fixture
def store(tmp_path: Path) -> OwnerStore:
    return OwnerStore.create(tmp_path / "owner", ask=lambda new: "correct horse battery", cost=2)


@pytest.fixture
def fleet(tmp_path: Path, store: OwnerStore, fresh: Street) -> Iterator[Fleet]:
    with open_fleet(tmp_path / "city.fleet", store) as fleet:
        fleet.add(Label(fresh.public, fresh.secret))
        yield fleet


async def run(fresh: Street, fleet: Fleet, store: OwnerStore, nodes: Sequence[str] = (), **options: Any) -> Report:
    keys = KeyFile(collectors=[fresh.key])
    fleet.fill(keys)
    plan = Plan(
        {**fresh.uplink, "interval": 10, "batch": 1, **options.pop("settings", {})}, "harbour", trial_seconds=30
    )
    url = f"mqtt://127.0.0.1:{fresh.broker.port}"
    reach = BleReach(fresh.adapter)
    async with MqttArrivals(url, Opener(keys)) as arrivals:
        return await provision(fleet, store, reach, plan, nodes or [fresh.id], arrivals=arrivals, **options)


def test_a_node_from_its_box_to_its_first_frame_and_then_over_the_broker(
    fresh: Street, fleet: Fleet, store: OwnerStore
) -> None:
    fresh.node.heap, fresh.node.chip = NETWORK_HEAP, None  # from its next start on, which is that of its uplink

    async def main() -> None:
        report = await run(fresh, fleet, store)
        assert report.failed == []
        record = fleet.get(fresh.id)
        assert (record.stage, record.board) == (Stage.PROVISIONED, "virtual")
        way = way_to(f"mqtt://127.0.0.1:{fresh.broker.port}", fresh.id)
        async with Node(way, fresh.public, store, site="harbour") as node:
            info = await node.info()
            assert (info.node, info.role, info.configured) == (fresh.id, Role.OWNER, True)
            assert info.trial is not None and info.trial.detail == 0
            await asks_everything(node)
            await node.identify(5)
            await node.reset(Reset.ENTER_SERVICE, minutes=5)
        async with Node(BleReach(fresh.adapter).way(fresh.id), fresh.public, store, site="harbour") as node:
            assert (await node.info()).state == State.SERVICE
            await asks_everything(node)

    asyncio.run(main())


async def asks_everything(node: Node) -> None:
    """What a node tells, the same over any link."""
    config = await node.config()
    assert (config["site"], config["interval"], config["network"]) == ("harbour", 10, True)
    log = await node.log()
    assert "trial 1 has succeeded" in log and "correct horse" not in log
    async for readings in node.live():
        assert [(one.quantity, one.value) for one in readings] == [("temperature", 21.5), ("humidity", 44.4)]
        assert {one.node for one in readings} == {node.id}
        break


def test_a_wrong_password_is_told_and_corrected_without_touching_the_node(
    fresh: Street, fleet: Fleet, store: OwnerStore
) -> None:
    told: list[int | None] = []

    async def mend(record: NodeRecord, trial: Trial) -> Mapping[str, Any]:
        told.append(trial.detail)
        return {"network": fresh.uplink["network"]}

    wrong = {"network": {"networks": [{"ssid": "city", "key": "correct house"}]}}
    report = asyncio.run(run(fresh, fleet, store, settings=wrong, correct=mend, find=60))
    assert (report.failed, told) == ([], [2])


def test_three_nodes_at_once_on_one_adapter(fresh: Street, fleet: Fleet, store: OwnerStore) -> None:
    connected: set[int] = set()
    with ExitStack() as street:
        others = [street.enter_context(neighbour(fresh, seed)) for seed in (1, 2)]
        for one in others:
            one.node.speed = PACE
            fleet.add(Label(one.public, one.secret))
        nodes = [fresh.id, *(one.id for one in others)]
        assert len(set(nodes)) == 3
        report = asyncio.run(
            run(
                fresh, fleet, store, nodes=nodes, find=60,
                progress=lambda one: connected.add(len(fresh.air.connected())),
            )
        )  # fmt: skip
    assert report.failed == []
    assert {record.stage for record in fleet.nodes()} == {Stage.PROVISIONED}
    assert max(connected) > 1, "their sessions overlap"


def test_a_node_is_claimed_and_configured_in_less_heap_than_a_c3_has_beside_ble() -> None:
    took = claimed(140)
    assert took is not None
    assert 0 < took[0] < took[1]


def test_a_sites_network_changes_and_who_cannot_follow_is_back_by_itself(
    fresh: Street, fleet: Fleet, store: OwnerStore
) -> None:
    fresh.node.heap, fresh.node.chip = NETWORK_HEAP, None
    fresh.wifi.keys["town"] = "battery staple"

    def uplink(node: str) -> Way:
        return way_to(f"mqtt://127.0.0.1:{fresh.broker.port}", node)

    async def change(key: str) -> Report:
        network = {"networks": [{"ssid": "town", "key": key}]}
        return await rotate(fleet, store, [fresh.id], {"network": network}, uplink, seconds=30)

    async def main() -> None:
        assert (await run(fresh, fleet, store)).failed == []
        (failed,) = (await change("battery stable")).outcomes
        assert failed.reason == "the network refuses the key; it is back on its old settings"
        (done,) = (await change("battery staple")).outcomes
        assert (done.outcome, done.reason) == ("rotated", "")

    asyncio.run(main())


def test_a_node_goes_to_another_owner_and_a_lost_one_is_recovered_unless_somebody_says_no(
    fresh: Street, store: OwnerStore, tmp_path: Path
) -> None:
    buyer = OwnerStore.create(tmp_path / "buyer", ask=lambda new: "correct horse battery", cost=2)
    reach = BleReach(fresh.adapter)

    def node(rights: OwnerStore, **how: Any) -> Node:
        return Node(reach.way(fresh.id), fresh.public, rights, **how)

    async def main() -> None:
        async with node(store, claim=claim_with(fresh.secret)) as ours:
            await ours.transfer(store.signer(), buyer.owner_public, epoch=store.epoch)
        async with node(buyer, stranger=True) as theirs:
            await theirs.take_over(buyer.signer())
        await fresh.until("identity", lambda _: fresh.node.starts > 1)
        async with node(buyer) as theirs:
            assert (await theirs.info()).role == Role.OWNER
        async with node(store, stranger=True) as lost:
            with pytest.raises(Refused, match="nobody holds the button"):
                await lost.recover(fresh.secret, store.owner_public)
            fresh.button.level = 0
            assert await lost.recover(fresh.secret, store.owner_public) == 24
            fresh.button.level = 1
        async with node(buyer) as theirs:
            assert (await theirs.info()).recovery_hours == 24
            await theirs.veto()
            assert (await theirs.info()).recovery_hours is None

    asyncio.run(main())


def test_a_meter_is_calibrated_in_a_session_over_the_broker(tmp_path: Path, store: OwnerStore) -> None:
    meter = {"driver": "sound_meter", "bus": "i2s0", "settings": {"microphone": "inmp441", "quantities": ["laeq"]}}
    heard = I2SMicrophone(lambda now: 60.0, heard="always", error=1.7)
    heard.calibrator = 94.0
    with street(tmp_path, speed=2, start=False) as fresh, open_fleet(tmp_path / "city.fleet", store) as fleet:
        board = {**fresh.node.board, "sensors": [meter]}
        (fresh.node.directory / "board.json").write_text(json.dumps(board))
        fresh.node.wiring.connect("i2s0", heard)
        fresh.node.speed, fresh.node.heap, fresh.node.chip = PACE, "280k", None
        fresh.node.start()
        fleet.add(Label(fresh.public, fresh.secret))

        async def main() -> None:
            assert (await run(fresh, fleet, store)).failed == []
            way = way_to(f"mqtt://127.0.0.1:{fresh.broker.port}", fresh.id)
            async with Node(way, fresh.public, store, site="harbour") as node:
                told = await node.calibrate(Request(94, "Type 4231 no. 31", "hk"))
                assert (told.microphone, told.level, told.before) == ("inmp441", 94, 0)
                assert (told.heard, told.offset) == (pytest.approx(95.7, abs=0.02), pytest.approx(-1.7, abs=0.02))
                with pytest.raises(Refused, match="1 sound level meters"):
                    await node.calibrate(Request(94, "Type 4231 no. 31", "hk", meter=1))

        asyncio.run(main())


def test_a_fifth_of_all_packets_lost_and_up_to_a_tenth_of_a_second_late(
    fresh: Street, fleet: Fleet, store: OwnerStore
) -> None:
    fresh.air.conditions = Conditions(latency=(0.015, 0.1), loss=0.2, supervision=4)
    report = asyncio.run(run(fresh, fleet, store, find=60, attempts=5))
    assert report.failed == []
    counts = fresh.air.counts()
    assert counts["repeats"] > counts["packets"] / 20, "packets were lost, and came again"


def test_the_command_from_a_label_to_a_provisioned_node(tmp_path: Path, fresh: Street, store: OwnerStore) -> None:
    fresh.node.heap, fresh.node.chip = NETWORK_HEAP, None
    (tmp_path / "label.txt").write_text(Label(fresh.public, fresh.secret).text() + "\n")
    for name, text in (("wifi.key", "correct horse\n"), ("passphrase", "correct horse battery\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    url = f"mqtt://127.0.0.1:{fresh.broker.port}"
    plan = '[[network]]\nssid = "city"\nkey_file = "wifi.key"\n[settings]\nbatch = 1\ninterval = 10\n'
    (tmp_path / "plan.toml").write_text(f'site = "harbour"\ntrial_seconds = 60\n[uplink]\nurl = "{url}"\n{plan}')
    KeyFile.create(tmp_path / "city.keys")
    open_fleet(tmp_path / "city.fleet", store).close()

    def citymote(*arguments: str) -> list[Any]:
        told = () if "reset" in arguments else ("--json",)
        done = subprocess.run(
            [sys.executable, "-m", "citymote", *arguments, "--owner", str(store.path), *told], cwd=tmp_path,
            env={**os.environ, VARIABLE: str(tmp_path / "passphrase")}, capture_output=True, text=True, timeout=200,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    given = ("--plan", "plan.toml", "--uplink", url, "--label", "label.txt", "--radio", fresh.air.transport)
    assert citymote("provision", *given)[-1]["outcome"] == "provisioned"

    def who(*via: str) -> None:
        (info,) = citymote("node", fresh.id, "info", *via)
        assert (info["node"], info["role"], info["configured"]) == (fresh.id, "owner", True)
        live = citymote("node", fresh.id, "live", "--rows", "1", *via)
        assert [(one["quantity"], one["value"]) for one in live] == [("temperature", 21.5), ("humidity", 44.4)]

    who("--via", url)
    (config,) = citymote("node", fresh.id, "config", "--via", url)
    assert (config["site"], config["interval"], config["network"]) == ("harbour", 10, True)
    citymote("node", fresh.id, "reset", "enter-service", "--minutes", "30", "--via", url)
    who("--radio", fresh.air.transport)
    (log,) = citymote("node", fresh.id, "log", "--radio", fresh.air.transport)
    assert any("trial 1 has succeeded" in line for line in log["log"])
    assert citymote("provision", *given)[-1]["outcome"] == "already"
