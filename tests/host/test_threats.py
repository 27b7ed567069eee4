"""What the threat model says and no other test shows: who listens or repeats, an installer, a hostile node."""

from __future__ import annotations

import asyncio
import re
import threading
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
from tests.host.brokers import Broker
from tests.support.fake import running, talk

from citymote.answers import Refused, Role
from citymote.credentials import MosquittoFile
from citymote.keys import CollectorKey
from citymote.node import claim_with
from citymote.owner import HostKey, OwnerStore
from citymote.session import Session, SessionError
from citymote.testing.clockwork import run as virtually
from citymote.testing.fake_uplink import FakeUplink
from citymote.testing.fake_wire import Conditions
from citymote_protocol.coap import BAD_REQUEST, CONTENT, FORBIDDEN, GET, POST, TEXT

TOP = Path(__file__).resolve().parents[2]
WIFI, PASSWORD = "correct horse", "battery staple"
SETTINGS = {
    "network": {"networks": [{"ssid": "city", "key": WIFI}]},
    "broker_host": "broker.city",
    "broker_user": "node",
    "broker_password": PASSWORD,
}


@pytest.mark.parametrize("over", ["ble", "udp", "mqtt"])
def test_who_hears_every_byte_of_a_claim_and_a_configuration_hears_no_secret(store: OwnerStore, over: str) -> None:
    air: list[bytes] = []

    def hear(up: bool, data: bytes) -> bytes:
        air.append(data)
        return data

    async def main() -> None:
        async with running(conditions=Conditions(change=hear)) as fake:
            fake.online = over != "ble"
            async with talk(fake, store, over, claim=claim_with(fake.label.secret)) as node:
                await node.configure(SETTINGS)
                assert (await node.config(pending=True))["broker_password"] is True
            assert (fake.flash.owner, fake.flash.pending) == (store.owner_public, SETTINGS)
            heard = b"".join(air)
            assert b".well-known" in heard, "this listener hears nothing at all"
            words = (WIFI.encode(), PASSWORD.encode(), b"broker.city", b"network", b"claim", b"config")
            for word in (*words, fake.label.secret, store.owner_public, store.host.public[1:]):
                assert word not in heard, word

    virtually(main())


def test_a_claim_that_was_recorded_is_worth_nothing_at_the_same_node_again(store: OwnerStore) -> None:
    """The node is wiped and stands there without an owner; all that was sent to it the first time is sent again."""
    sent: list[bytes] = []

    def keep(up: bool, data: bytes) -> bytes:
        if up:
            sent.append(data)
        return data

    async def main() -> None:
        conditions = Conditions(change=keep)
        async with running(conditions=conditions) as fake:
            fake.online = True
            async with talk(fake, store, "udp", claim=claim_with(fake.label.secret)):
                assert fake.flash.owner == store.owner_public
            conditions.change = None
            fake.power_cut()
            fake.flash.owner = None
            fake.start()
            fake.online = True
            await asyncio.sleep(5)
            wire = fake.connect("udp")
            await wire.connect()
            before = len(fake.faults)
            for data in sent:
                await wire.send(data)
                await asyncio.sleep(3)
            assert len(sent) >= 3 and fake.shakes.count >= 1, "not even a handshake was begun"
            assert fake.flash.owner is None and len(fake.faults) == before
            await wire.close()

    virtually(main())


def test_sessions_of_those_whom_the_epoch_has_put_out_end_at_once(store: OwnerStore, installer: OwnerStore) -> None:
    async def main() -> None:
        async with running() as fake:
            fake.flash.owner, fake.online = store.owner_public, True
            installer.accept(store.delegate(installer.host.public, "installer", [fake.id], days=1))
            async with talk(fake, installer, "udp") as theirs:
                await theirs.identify(1)
                await asyncio.sleep(5)
                async with talk(fake, store, "udp") as ours:
                    await ours.raise_epoch(store.raise_epoch())
                    assert (await ours.info()).role == Role.OWNER, "whose word it was may go on"
                with pytest.raises(SessionError, match="has been revoked"):
                    await theirs.identify(2)
            assert fake.blinking == 1

    virtually(main())


@pytest.mark.parametrize(
    "values", [{"unsealed": True}, {"discovery": "homeassistant"}, {"nearby": "pm2_5"}, {"collector_key": "02" * 33}]
)
def test_an_installer_cannot_have_readings_said_to_others(
    store: OwnerStore, installer: OwnerStore, values: dict[str, Any]
) -> None:
    async def main() -> None:
        async with running() as fake:
            fake.flash.owner = store.owner_public
            fake.say(1)
            installer.accept(store.delegate(installer.host.public, "installer", [fake.id], days=1))
            async with talk(fake, installer) as node:
                with pytest.raises(Refused) as told:
                    await node.configure(values | {"interval": 60})
                assert (told.value.answer, told.value.code) == ("4.03", "owner")
            assert fake.flash.pending == {}
            async with talk(fake, store) as node:
                await node.configure(values)
            assert fake.flash.pending == values

    virtually(main())


def test_whoever_keeps_the_list_of_what_wants_the_owner_keeps_the_chapters() -> None:
    clause = re.search(r"^16\.6\.3 .*$", (TOP / "protocol/spec/16-resources.md").read_text("utf-8"), re.MULTILINE)
    assert clause
    wanted = set(re.findall(r"`(\w+)`", clause[0]))
    lists: dict[str, set[str]] = {}
    for folder in ("firmware", "host_sdk"):
        for path in sorted((TOP / folder).rglob("*.py")):
            for found in re.findall(r"^_?OWNERS = \(([^)]*)\)", path.read_text("utf-8"), re.MULTILINE):
                lists[path.relative_to(TOP).as_posix()] = set(re.findall(r'"(\w+)"', found))
    assert "host_sdk/citymote/testing/fake_resources.py" in lists
    assert {name: found ^ wanted for name, found in lists.items() if found != wanted} == {}


def test_what_a_node_says_cannot_write_on_the_terminal_of_who_asks(store: OwnerStore) -> None:
    """A node whose key was stolen may say anything: no control character of it passes."""
    evil = b"0 2 \x1b]0;owned\x07\x1b[2J\xc2\x9b31m\xe2\x80\xaestarted\r\n"

    async def main() -> None:
        async with running(uplink=FakeUplink()) as fake:
            fake.flash.owner = store.owner_public
            fake.say(1)
            fake.server.add("log", 0, get=lambda request: (CONTENT, evil, TEXT))
            fake.server.add("identify", 0, post=lambda request: (BAD_REQUEST, b"setting: " + evil, TEXT))
            async with talk(fake, store) as node:
                said = await node.log()
                assert said.startswith("0 2 ") and said.endswith("\n") and "started" in said
                assert all(c.isprintable() or c == "\n" for c in said)
                with pytest.raises(Refused) as told:
                    await node.identify(1)
                assert "started" in str(told.value) and str(told.value).isprintable()

    virtually(main())


def test_the_key_that_opens_readings_opens_no_node(store: OwnerStore) -> None:
    host = HostKey.generate()
    collector = CollectorKey(host.private)

    async def main() -> None:
        async with running() as fake:
            fake.flash.owner = store.owner_public
            fake.flash.forced = {"collector_key": collector.public.hex()}
            fake.say(1)
            async with Session(fake.way(), fake.label.public, host) as session:
                for method, path in ((GET, "info"), (GET, "config"), (POST, "reset")):
                    assert (await session.request(method, path)).code == FORBIDDEN, path

    virtually(main())


def test_a_nodes_account_reaches_its_own_topics_alone(mosquitto: Any, tmp_path: Path) -> None:
    """With the line for the broker's access list that docs/provision.md gives."""
    (line,) = re.findall(r"`(pattern \S+ \S+)`", (TOP / "docs/provision.md").read_text("utf-8"))
    one, two = "0123456789ab", "ba9876543210"
    passwords, rules = tmp_path / "passwords", tmp_path / "rules"
    passwords.touch(mode=0o600)
    rules.write_text(f"user city\ntopic readwrite citymote/#\n{line}\n")
    rules.chmod(0o600)
    keeper = MosquittoFile(passwords)
    accounts = {name: asyncio.run(keeper.mint(name))["broker_password"] for name in (one, two, "city")}
    heard: dict[str, Queue[str]] = {name: Queue() for name in accounts}
    # With a queue without end, as the other tests have it, Mosquitto 2.0 hangs up on who publishes what is denied.
    extra = f"allow_anonymous false\npassword_file {passwords}\nacl_file {rules}\nmax_queued_messages 1000\n"
    with Broker(mosquitto.broker, tmp_path / "b", extra) as broker:
        clients: dict[str, Client] = {}
        for name, password in accounts.items():
            client = clients[name] = Client(CallbackAPIVersion.VERSION2, f"test-{name}")
            client.username_pw_set(name, password)
            ready = threading.Event()
            client.on_connect = lambda c, *_: c.subscribe("citymote/#", qos=1)
            client.on_subscribe = lambda *_, ready=ready: ready.set()
            client.on_message = lambda _c, _d, m, name=name: heard[name].put(f"{m.topic} {m.payload.decode()}")
            client.connect("127.0.0.1", broker.port)
            client.loop_start()
            assert ready.wait(20)
        for name, other in ((one, two), (two, one)):
            clients[name].publish(f"citymote/{other}/frames", f"by {name}")
            # On the same connection, so that the one before has been judged when this one is acknowledged.
            clients[name].publish(f"citymote/{name}/frames", f"by {name}", qos=1).wait_for_publish(20)
        for topic in (one, two, "end"):
            clients["city"].publish(f"citymote/{topic}/rpc/x", "by the city", qos=1).wait_for_publish(20)
        # What was published before has been delivered, or never is, when the last message arrives.
        last = {one: f"citymote/{one}/rpc/x", two: f"citymote/{two}/rpc/x", "city": "citymote/end/rpc/x"}
        said = {
            name: list(iter(lambda name=name: heard[name].get(timeout=20), f"{last[name]} by the city"))
            for name in last
        }
        for client in clients.values():
            client.disconnect()
            client.loop_stop()
    assert {name: said[name] for name in (one, two)} == {
        name: [f"citymote/{name}/frames by {name}"] for name in (one, two)
    }
    by_nodes = [line for line in said["city"] if line.endswith((one, two))]
    assert sorted(by_nodes) == sorted([*said[one], *said[two]]), "nothing under another's name reaches the collector"
