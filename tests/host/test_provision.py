"""Provisioning over a fake air, in virtual time: from nodes in range to proved frames, and what is said where it ends.

What the uplink refuses comes back as itself and can be corrected; what has been minted, delegated and reported is
looked at. Links, hosts and power that fail are in `test_provision_faults`.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.bench import bench_provision
from tests.support.box import NETWORK, WRONG, Minting, boxes, virtually
from tests.support.fake import words

from citymote.answers import Trial
from citymote.credentials import CredentialsError
from citymote.fleet import NodeRecord, Stage, open_fleet
from citymote.keys import generate_collector_key
from citymote.owner import OwnerStore
from citymote.plan import Row
from citymote.provisioning import Progress, provision, rotate
from citymote.testing import clockwork
from citymote.testing.fake_node import FakeNode


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Any]:
    return boxes(tmp_path)


def test_a_node_in_a_box_becomes_one_that_reports(make: Any) -> None:
    async def main() -> None:
        async with make() as city:
            (node,) = city.nodes
            report = await city.run()
            (one,) = report.outcomes
            assert (one.outcome, one.stage, report.failed) == ("provisioned", "provisioned", [])
            assert node.flash.owner == city.store.owner_public
            in_force = node.flash.effective()
            assert (in_force["site"], in_force["broker_user"]) == ("harbour", node.id)
            assert node.state is None, "BLE is silent"
            known = city.fleet.get(node.id)
            assert (known.stage, known.site, known.firmware) == (Stage.PROVISIONED, "harbour", "citymote 0.1.0")
            deeds = [entry.what for entry in city.fleet.audit(node.id)]
            assert deeds == ["claimed", "delegated", "mint credentials", "configured", "tried", "provisioned"]
            assert city.fleet.verify() == 6

    virtually(main)


def test_the_same_again_does_nothing_and_another_plan_does(make: Any) -> None:
    async def main() -> None:
        async with make() as city:
            await city.run()
            boots = city.nodes[0].boots
            assert (await city.run()).outcomes[0].outcome == "already"
            assert city.nodes[0].boots == boots
            city.nodes[0].say(1)  # its button
            changed = replace(city.plan, settings={**city.plan.settings, "interval": 60})
            assert (await city.run(plan=changed)).outcomes[0].outcome == "provisioned"
            assert city.nodes[0].flash.effective()["interval"] == 60
            assert city.minting.minted == [city.nodes[0].id], "credentials are minted once"

    virtually(main)


def test_no_node_has_anothers_credentials(make: Any) -> None:
    async def main() -> None:
        async with make(8) as city:
            assert (await city.run()).failed == []
            users = [(n.flash.forced["broker_user"], n.flash.forced["broker_password"]) for n in city.nodes]
            assert len({user for user, _ in users}) == len({password for _, password in users}) == 8

    virtually(main)


FAULTS: list[tuple[str, dict[str, Any], str]] = [
    ("key", {"network": WRONG}, "the network refuses the key"),
    ("ssid", {"network": {"networks": [{"ssid": "town", "key": "x"}]}}, "no such network"),
    ("name", {"broker_host": "broker.town"}, "the broker's name is unknown"),
    ("certificate", {"broker_ca": "00"}, "the broker's certificate is not trusted"),
]


@pytest.mark.parametrize(("settings", "reason"), [(s, r) for _, s, r in FAULTS], ids=[name for name, _, _ in FAULTS])
def test_each_fault_of_the_uplink_comes_back_as_itself(make: Any, settings: dict[str, Any], reason: str) -> None:
    async def main() -> None:
        async with make() as city:
            city.uplink.ca = "ff" if "broker_ca" in settings else ""
            wrong = replace(city.plan, settings={**city.plan.settings, **settings})
            (one,) = (await city.run(plan=wrong)).outcomes
            assert (one.outcome, one.failed_at) == ("failed", "trial")
            assert reason in one.reason
            assert city.nodes[0].state == 2

    virtually(main)


def test_a_broker_that_is_down_or_refuses_or_hands_on_nothing(make: Any) -> None:
    async def main() -> None:
        async with make(1) as city:
            city.uplink.up = False
            assert "does not answer" in (await city.run()).outcomes[0].reason
            city.uplink.up = True
            city.uplink.users = {}
            assert "refuses the credentials" in (await city.run()).outcomes[0].reason
            city.uplink.users = None
            city.uplink.drops = True
            (one,) = (await city.run()).outcomes
            assert (one.outcome, one.stage, one.failed_at) == ("failed", "tried", "frame")
            assert "no frame of it has arrived" in one.reason
            assert city.fleet.get(city.nodes[0].id).stage == Stage.TRIED, "not provisioned by its own word alone"

    virtually(main)


def test_a_wrong_password_is_corrected_without_touching_the_node(make: Any) -> None:
    told: list[int | None] = []

    async def mend(record: NodeRecord, trial: Trial) -> Mapping[str, Any]:
        told.append(trial.detail)
        return {"network": NETWORK}

    async def main() -> None:
        async with make() as city:
            wrong = replace(city.plan, settings={**city.plan.settings, "network": WRONG})
            report = await city.run(plan=wrong, correct=mend)
            assert (report.outcomes[0].outcome, told) == ("provisioned", [2])
            assert city.nodes[0].flash.forced["network"] == NETWORK

    virtually(main)


def test_or_by_a_second_run_that_finds_it_where_the_first_one_left_it(make: Any) -> None:
    async def main() -> None:
        async with make(3) as city:
            wrong = replace(city.plan, settings={**city.plan.settings, "network": WRONG})
            first = await city.run(plan=wrong)
            assert len(first.failed) == 3
            rows = list(csv.DictReader(io.StringIO(first.csv())))
            assert {row["node"] for row in rows} == {node.id for node in city.nodes}
            assert all("refuses the key" in row["_reason"] for row in rows)
            second = await city.run(nodes=[Row(row["node"]) for row in rows])
            assert second.failed == []

    virtually(main)


def test_a_correction_that_is_none_ends_after_a_few(make: Any) -> None:
    async def mend(record: NodeRecord, trial: Trial) -> Mapping[str, Any]:
        return {"network": WRONG}

    async def main() -> None:
        async with make() as city:
            wrong = replace(city.plan, settings={**city.plan.settings, "network": WRONG})
            assert (await city.run(plan=wrong, correct=mend)).outcomes[0].failed_at == "trial"
            assert city.nodes[0].flash.trial.number == 4

    virtually(main)


def test_everything_in_range_that_is_known_and_nothing_else(make: Any) -> None:
    async def main() -> None:
        async with make(3) as city:
            stranger = FakeNode(city.uplink)
            city.air.nodes[stranger.id] = stranger
            stranger.start()
            report = await city.run(nodes=None, find=3)
            assert sorted(one.node for one in report.outcomes) == sorted(node.id for node in city.nodes)
            assert stranger.flash.owner is None
            assert (await city.run(nodes=None, find=3)).outcomes == []

    virtually(main)


def test_what_cannot_be_is_said_with_its_stage(make: Any) -> None:
    async def main() -> None:
        async with make(4) as city:
            absent, unknown, revoked, sold = city.nodes
            await absent.stop()
            city.fleet._db.run("UPDATE nodes SET secret = NULL WHERE node = ?", (unknown.id,))
            city.fleet.revoke(revoked.id, "stolen")
            sold.flash.owner = FakeNode().label.public
            report = await city.run(attempts=1)
            said = {one.node: (one.failed_at, one.reason) for one in report.outcomes}
            assert said[absent.id][0] == "find" and "is not heard" in said[absent.id][1]
            assert said[unknown.id][0] == "claim" and "secret is not known here" in said[unknown.id][1]
            assert said[revoked.id][0] == "find" and "is revoked" in said[revoked.id][1]
            assert said[sold.id][0] == "claim" and "another owner" in said[sold.id][1]

    virtually(main)


def test_credentials_that_cannot_be_minted_are_the_reason(make: Any) -> None:
    class Broken(Minting):
        async def mint(self, node: str) -> dict[str, str]:
            raise CredentialsError("the broker's operator is on holiday")

    async def main() -> None:
        async with make() as city:
            (one,) = (await city.run(credentials=Broken(city.uplink))).outcomes
            assert (one.failed_at, one.stage) == ("configure", "delegated")
            assert "on holiday" in one.reason

    virtually(main)


def test_without_anybody_who_listens_no_node_counts(make: Any) -> None:
    async def main() -> None:
        async with make() as city:
            (one,) = (await city.run(arrivals=None)).outcomes
            assert "nobody listens" in one.reason
            report = await city.run(arrivals=None, uplink=lambda name: city.air.nodes[name].way("mqtt"))
            assert report.failed == [], "its own answer over the uplink is a proof, too"

    virtually(main)


def test_frames_that_do_not_open_prove_nothing(make: Any) -> None:
    async def main() -> None:
        async with make() as city:
            other = generate_collector_key().public.hex()
            wrong = replace(city.plan, settings={**city.plan.settings, "collector_key": other})
            (one,) = (await city.run(plan=wrong)).outcomes
            assert (one.failed_at, city.arrivals.refused) == ("frame", 1)

    virtually(main)


def test_rows_say_where_a_node_hangs(make: Any) -> None:
    async def main() -> None:
        async with make() as city:
            (node,) = city.nodes
            row = Row(
                node.id, station="pole-17", place=(37566500, 126978000, 4), tags=("north",), settings={"batch": 3}
            )
            assert (await city.run(nodes=[row])).failed == []
            in_force = node.flash.forced
            assert (in_force["station"], in_force["place"], in_force["batch"]) == (
                "pole-17",
                [37566500, 126978000, 4],
                3,
            )
            assert city.fleet.get(node.id).station == "pole-17"
            (station,) = city.fleet.stations()
            assert (station.latitude, station.height) == (37.5665, 4.0)

    virtually(main)


def test_an_installer_without_the_signing_key_provisions_for_the_owner(make: Any, tmp_path: Path) -> None:
    async def main() -> None:
        async with make(2) as city:
            installer = OwnerStore.create(tmp_path / "i.owner", ask=words, cost=2, signing=False)
            installer.accept(
                city.store.delegate(installer.host.public, "installer", [n.id for n in city.nodes], days=1)
            )
            with open_fleet(tmp_path / "i.fleet", installer) as fleet:
                for node in city.nodes:
                    fleet.add(node.label)
                report = await provision(
                    fleet, installer, city.air, city.plan, [n.id for n in city.nodes], arrivals=city.arrivals,
                    credentials=city.minting,
                )  # fmt: skip
            assert report.failed == []
            assert all(node.flash.owner == city.store.owner_public for node in city.nodes)

    virtually(main)


def test_progress_and_report_without_any_secret(make: Any) -> None:
    news: list[Progress] = []

    async def main() -> None:
        async with make(2) as city:
            city.nodes[1].flash.owner = FakeNode().label.public
            report = await city.run(progress=news.append, attempts=1)
            texts = report.json() + report.csv() + report.html() + "".join(map(str, news)) + repr(city.plan)
            texts += "".join(str(step) for node in city.nodes for step in city.fleet.steps(node.id))
            texts += "".join(str(entry) for entry in city.fleet.audit())
            for secret in (
                "correct horse",
                *(n.label.secret.hex() for n in city.nodes),
                *(city.uplink.users or {}).values(),
            ):
                assert secret not in texts
            told = json.loads(report.json())["nodes"]
            assert {one["outcome"] for one in told} == {"provisioned", "failed"}
            assert report.html().count("<tr") == 3
            assert [n.outcome for n in news if n.outcome].count("provisioned") == 1

    virtually(main)


def test_a_sites_network_changes_and_who_cannot_follow_is_back_by_itself(make: Any) -> None:
    async def main() -> None:
        async with make(3) as city:
            await city.run()
            names = [node.id for node in city.nodes]
            new = {"network": {"networks": [{"ssid": "new", "key": "battery staple"}]}}
            ways = {name: city.air.nodes[name].way("mqtt") for name in names}
            failed = await rotate(city.fleet, city.store, names, new, ways.__getitem__, seconds=60)
            assert all("no such network; it is back on its old settings" in one.reason for one in failed.failed)
            assert all(node.flash.forced["network"] == NETWORK and node.online for node in city.nodes)
            city.uplink.networks["new"] = "battery staple"
            done = await rotate(city.fleet, city.store, names, new, ways.__getitem__, seconds=60)
            assert [one.outcome for one in done.outcomes] == ["rotated"] * 3
            assert all(node.flash.forced["network"] == new["network"] for node in city.nodes)

    virtually(main)


def test_a_slow_chip_over_a_slow_radio_is_configured_within_ten_seconds(tmp_path: Path) -> None:
    """As `make bench ONLY=provision` measures it."""
    reached = clockwork.run(bench_provision.run_to_the_end(tmp_path, 1, 0.0))
    order = [reached[stage] for stage in (Stage.CLAIMED, Stage.DELEGATED, Stage.CONFIGURED, Stage.TRIED)]
    assert order == sorted(order) and all(len(each) == 1 for each in order)
    assert bench_provision.ARITHMETIC + bench_provision.CONNECTING < order[0][0] < order[-1][0] < 10
