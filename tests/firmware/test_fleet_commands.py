"""A fleet's commands against real nodes: a table provisioned in two runs, credentials, installers, a broker that moves.

Two nodes in one air, and a Mosquitto that lets each of them write its own topics alone. What is set up once for all
tests here is itself the first of them: `citymote provision` is killed in the middle, and the same command goes on.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion
from tests.host.brokers import Broker
from tests.support.claimable import NETWORK_HEAP, PACE, Street, neighbour, street
from tests.support.desk import Desk, private, table, until

import get_mosquitto
from citymote.credentials import MosquittoFile
from citymote.fleet import Stage
from citymote.keys import KeyFile
from citymote.label import Label

ACCESS = "user collector\ntopic readwrite citymote/#\npattern readwrite citymote/%u/#\n"


@dataclass
class City:
    """Two nodes at work, the desk that has provisioned them, and what it was told meanwhile."""

    first: Street
    second: Street
    desk: Desk
    mosquitto: Broker
    users: tuple[str, ...]
    via: tuple[str, ...]
    """The road to the second node."""
    runs: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    minted: list[dict[str, dict[str, str] | None]] = field(default_factory=list[dict[str, dict[str, str] | None]])

    def node(self, *words: object) -> list[Any]:
        return self.desk.told("node", self.second.id, *words, *self.via)


def label(node: Street) -> Label:
    return Label(node.public, node.secret)


def at_work(node: Street) -> None:
    """From its next start on, which is that of its uplink."""
    node.node.speed, node.node.heap, node.node.chip = PACE, NETWORK_HEAP, None


@pytest.fixture(scope="module")
def city(
    micropython32: str, mosquitto: get_mosquitto.Mosquitto, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[City]:
    folder = tmp_path_factory.mktemp("fleet")
    passwords = folder / "passwords"
    collector = asyncio.run(MosquittoFile(passwords).mint("collector"))
    (folder / "access").write_text(ACCESS)
    extra = f"allow_anonymous false\npassword_file {passwords}\nacl_file {folder / 'access'}\n"
    with ExitStack() as stack:
        broker = stack.enter_context(Broker(mosquitto.broker, folder / "broker", extra))
        assert broker._process is not None
        (folder / "pid").write_text(str(broker._process.pid))
        first = stack.enter_context(street(folder, speed=PACE))
        second = stack.enter_context(neighbour(first, seed=1))
        at_work(first)
        at_work(second)
        desk = Desk(folder)
        secret = private(folder / "password", collector["broker_password"])
        url = f"mqtt://collector@127.0.0.1:{broker.port}"
        road = ("--via", url, "--password-file", str(secret))
        made = City(first, second, desk, broker, ("--mosquitto", str(passwords), "--mosquitto-pid", "pid"), road)
        provision(made, url, secret)
        yield made


def provision(city: City, url: str, secret: Path) -> None:
    """The command, killed as soon as one of them is on trial; the same command; and once more."""
    nodes = (city.first, city.second)
    rows = [
        {"label": label(one).text(), "station": f"pole-{number}", "latitude": 37.5, "longitude": 127.0 + number / 1000}
        for number, one in enumerate(nodes, 1)
    ]
    plan = city.desk.plan(f"mqtt://127.0.0.1:{city.mosquitto.port}", interval=5, batch=1)
    words = [
        "provision", "--plan", plan, "--table", table(city.desk.folder / "nodes.csv", rows), "--uplink", url,
        "--password-file", secret, "--radio", city.first.air.transport, "--find", 60, *city.users,
    ]  # fmt: skip
    killed = subprocess.Popen(
        [sys.executable, "-m", "citymote", *map(str, words)], cwd=city.desk.folder, env=city.desk.env,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    with city.desk.fleet() as fleet:
        until(lambda: killed.poll() is not None or any(one.stage == Stage.TRIED for one in fleet.nodes()), 120)
        killed.kill()
        assert killed.wait(20) == -9, "it was killed before it was done"
        for _ in range(2):
            city.minted.append({one.id: fleet.credentials(one.id) for one in nodes})
            city.runs.append({one["node"]: one["outcome"] for one in city.desk.told(*words)})
        city.minted.append({one.id: fleet.credentials(one.id) for one in nodes})


def test_a_run_that_was_killed_is_gone_on_with_and_nothing_is_done_twice(city: City) -> None:
    nodes = {city.first.id, city.second.id}
    assert city.runs == [dict.fromkeys(nodes, "provisioned"), dict.fromkeys(nodes, "already")]
    for one in (city.first, city.second):
        assert len(one.node.event_data("claimed")) == 1
    kept = {node: minted for node, minted in city.minted[0].items() if minted is not None}
    assert kept and kept.items() <= (city.minted[1] or {}).items(), "what was minted before the kill is what it got"
    assert city.minted[1] == city.minted[2]
    with city.desk.fleet() as fleet:
        stations = {one.node: one.station for one in fleet.nodes()}
        assert stations == {city.first.id: "pole-1", city.second.id: "pole-2"}
        assert fleet.verify() > 10
    (info,) = city.node("info")
    assert (info["station"], info["configured"]) == ("pole-2", True)


def test_each_node_has_credentials_of_its_own_that_open_its_own_topics(city: City) -> None:
    minted = {node: one or {} for node, one in city.minted[2].items()}
    assert {node: one["broker_user"] for node, one in minted.items()} == {node: node for node in minted}
    assert len({one["broker_password"] for one in minted.values()}) == 2
    (config,) = city.node("config")
    assert (config["broker_user"], config["broker_password"]) == (city.second.id, True)
    seen: list[str] = []
    done = threading.Event()

    def heard(_: Client, __: object, message: MQTTMessage) -> None:
        if message.payload == b"probe":
            seen.append(message.topic.split("/")[1])
            if message.topic.endswith("/last"):
                done.set()

    password = (city.desk.folder / "password").read_text().strip()
    with Guest(city.mosquitto, "collector", password, heard) as collector:
        collector.subscribe("citymote/#", 1)
        with Guest(city.mosquitto, city.second.id, minted[city.second.id]["broker_password"], heard) as thief:
            for topic in (f"{city.first.id}/frames", f"{city.second.id}/probe", f"{city.second.id}/last"):
                thief.publish(f"citymote/{topic}", b"probe", 1)
            assert done.wait(20)
    assert set(seen) == {city.second.id}


class Guest:
    """A client of that broker for as long as it is needed."""

    def __init__(self, broker: Broker, user: str, password: str, heard: Any = None) -> None:
        self.refused: bool | None = None
        self._there = threading.Event()
        self.client = Client(CallbackAPIVersion.VERSION2)
        self.client.username_pw_set(user, password)
        self.client.on_connect = self._connected
        self.client.on_message = heard
        self._port = broker.port

    def _connected(self, _: Client, __: object, ___: object, reason: Any, ____: object) -> None:
        self.refused = reason.is_failure
        self._there.set()

    def __enter__(self) -> Client:
        self.client.connect("127.0.0.1", self._port)
        self.client.loop_start()
        assert self._there.wait(20)
        return self.client

    def __exit__(self, *_: object) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def test_an_installer_configures_the_owners_node_until_the_epoch_is_raised(city: City) -> None:
    kim = Desk(city.desk.folder, "kim", signing=False)
    kim.knows(label(city.second), site="harbour")
    (shown,) = kim.told("owner", "show")
    city.desk.run("owner", "delegate", shown["host"], "--site", "harbour", "--days", 7, "--out", "kim.delegation")
    kim.run("owner", "accept", "kim.delegation")
    node = ("node", city.second.id)
    (info,) = kim.told(*node, "info", *city.via)
    assert info["role"] == "installer"
    change = kim.plan("", name="change.toml", site=None, ssid="", log_level=3)
    tried = len(city.second.node.event_data("tried"))
    number = info["trial"]["number"] + 1
    (trial,) = kim.told(*node, "config", "--set", change, "--trial", number, *city.via)
    assert (trial["number"], trial["detail"]) == (number, None)
    until(lambda: city.second.node.event_data("tried")[tried:] == [{"number": number, "detail": 0}])
    assert kim.told(*node, "config", *city.via)[0]["log_level"] == 3
    elsewhere = kim.plan("", name="elsewhere.toml", site="quay", ssid="")
    assert "site" in kim.refused(*node, "config", "--set", elsewhere, *city.via)
    assert "is not enough" in kim.refused(*node, "reset", "factory", "--yes", *city.via)
    (raised,) = city.desk.told("owner", "epoch")
    assert city.node("epoch") == [{"node": city.second.id, "epoch": raised["epoch"]}]
    assert "the delegation has been revoked" in kim.refused(*node, "info", *city.via)


def test_a_broker_moves_and_a_node_that_cannot_follow_is_back_by_itself(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["citymote.provisioning.rotate"], "_ASK", 3.0)
    words = ("fleet", "rotate", "--node", city.second.id)
    nowhere = city.desk.plan("mqtt://127.0.0.1:1", name="nowhere.toml", site=None, ssid="")
    (failed,) = city.desk.told(*words, "--plan", nowhere, *city.via, status=1)
    assert failed["reason"] == "the broker does not answer; it is back on its old settings"
    port = city.first.broker.port
    moved = city.desk.plan(f"mqtt://127.0.0.1:{port}", name="moved.toml", site=None, ssid="")
    after = f"mqtt://127.0.0.1:{port}"
    (done,) = city.desk.told(*words, "--plan", moved, *city.via, "--after", after)
    city.via = ("--via", after)
    assert (done["outcome"], city.node("config")[0]["broker_port"]) == ("rotated", port)


def test_a_stolen_node_is_shut_out_at_the_broker_and_at_the_collector(city: City) -> None:
    stolen, minted = city.first.id, city.minted[2][city.first.id] or {}
    assert bytes.fromhex(stolen) in KeyFile.load(city.desk.keys).nodes
    (told,) = city.desk.told("fleet", "revoke", stolen, "--why", "stolen", *city.users)
    assert told == {"node": stolen, "why": "stolen", "broker_told": True}
    until(lambda: any("broker refuses" in line.text for line in city.first.node.logs))
    thief = Guest(city.mosquitto, stolen, minted["broker_password"])
    with thief:
        assert thief.refused
    assert set(KeyFile.load(city.desk.keys).nodes) == {bytes.fromhex(city.second.id)}
    with city.desk.fleet() as fleet:
        assert fleet.get(stolen).revoked is not None and fleet.credentials(stolen) is None
    assert "is revoked" in str(city.desk.told("provision", stolen, "--plan", "plan.toml", "--uplink", city.via[1],
                                              "--radio", city.first.air.transport, status=1))  # fmt: skip
