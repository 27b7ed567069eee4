"""`citymote owner`, `fleet`, `node` and `provision` as a user meets them: files, output, status, no secrets shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from tests.host import making
from typer.testing import CliRunner

from citymote import Decoder, open_store
from citymote.cli import application
from citymote.crypto import public_key
from citymote.fleet import open_fleet
from citymote.keys import KeyFile
from citymote.owner import OwnerStore
from citymote.testing.fake_port import FakePort
from citymote.vault import VARIABLE

Run = Callable[..., Result]
Y2000 = 946_684_800  # seconds since 1970


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    (tmp_path / "passphrase").write_text("correct horse battery\n")
    (tmp_path / "passphrase").chmod(0o600)
    return tmp_path


@pytest.fixture
def run(desk: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """In this process, because a start takes a second and there are dozens; `test_cli` has the process itself."""
    monkeypatch.chdir(desk)
    monkeypatch.setenv(VARIABLE, str(desk / "passphrase"))

    def run(*arguments: object, status: int = 0) -> Result:
        done = CliRunner().invoke(application(), [str(each) for each in arguments])
        assert done.exit_code == status, done.output + repr(done.exception)
        return done

    return run


@pytest.fixture
def store(desk: Path) -> OwnerStore:
    """One whose passphrase is cheap to check: each command asks for it anew."""
    return OwnerStore.create(desk / "city.owner", ask=lambda new: "correct horse battery", cost=2)


@pytest.fixture
def port(store: OwnerStore, desk: Path) -> Iterator[FakePort]:
    with FakePort(store.owner_public) as port:
        with open_fleet(desk / "city.fleet", store) as fleet:
            fleet.add(port.node.label, site="harbour")
        yield port


def labels(port: FakePort, desk: Path) -> Path:
    path = desk / "labels.txt"
    path.write_text(port.node.label.text() + "\n")
    return path


def told(done: Result) -> Any:
    return json.loads(done.stdout)


def test_an_owner_an_installer_and_what_is_delegated(run: Run, desk: Path) -> None:
    made = told(run("owner", "make", "--json"))
    assert (desk / "city.owner").stat().st_mode & 0o777 == 0o600
    again = run("owner", "make", status=1)
    assert "there is a file already" in again.stderr
    host = told(run("owner", "make", "--delegate-only", "--owner", "kim.owner", "--json"))["host"]
    given = told(
        run("owner", "delegate", host, "--site", "harbour", "--days", "7", "--out", "kim.delegation", "--json")
    )
    assert (given["role"], given["audience"], given["file"]) == ("installer", ["site:harbour"], "kim.delegation")
    taken = run("owner", "accept", "kim.delegation", "--owner", "kim.owner", "--json")
    assert "installer of site:harbour" in taken.stderr
    assert told(taken) == {key: given[key] for key in ("role", "audience", "expires", "epoch")}
    shown = told(run("owner", "show", "--owner", "kim.owner", "--json"))
    assert (shown["owner"], shown["delegations"][0]["role"]) == (None, "installer")
    assert told(run("owner", "show", "--json"))["owner"] == made["owner"]
    assert "it is not said where" in run("owner", "delegate", host, status=1).stderr
    assert told(run("owner", "epoch", "--json")) == {"epoch": 1}
    (desk / "passphrase").write_text("wrong horse battery\n")
    assert "not the passphrase" in run("owner", "epoch", status=1).stderr


def test_the_registry_from_labels_to_revocation(run: Run, desk: Path, port: FakePort) -> None:
    one = port.node.label
    assert "citymote fleet make" in run("fleet", "list", "--fleet", "none", status=1).stderr
    assert told(run("fleet", "make", "--fleet", "other.fleet", "--json")) == {"fleet": "other.fleet"}
    added = run(
        "fleet", "add", labels(port, desk), "--site", "quay", "--tag", "north", "--fleet", "other.fleet", "--json"
    )
    assert told(added) == {"node": one.node, "short_code": one.short_code}
    listed = told(run("fleet", "list", "--fleet", "other.fleet", "--site", "quay", "--json"))
    assert (listed["node"], listed["stage"], listed["tags"]) == (one.node, "known", ["north"])
    assert one.secret.hex() not in added.stdout + added.stderr
    KeyFile.create(desk / "city.keys")
    assert told(run("fleet", "keys", "--json")) == {"added": 1, "removed": 0}
    done = run("fleet", "revoke", one.short_code, "--why", "stolen", "--json")
    assert told(done) == {"node": one.node, "why": "stolen", "broker_told": False}
    assert "the broker has not been told" in done.stderr
    assert KeyFile.load(desk / "city.keys").nodes == {}
    assert told(run("fleet", "show", one.node, "--json"))["revoked"]
    assert "revoke: ok stolen" in run("fleet", "audit").stdout
    assert told(run("fleet", "audit", "--head", "--json"))["number"] == 1


def test_a_station_goes_on_with_another_node(run: Run, desk: Path, port: FakePort, store: OwnerStore) -> None:
    old = port.node.id
    with FakePort() as other, open_fleet(desk / "city.fleet", store) as fleet:
        new = other.node.id
        fleet.add(other.node.label)
        fleet.place(old, "pole-17")
    assert run("fleet", "replace", old, new).stdout == "pole-17\n"
    shown = told(run("fleet", "show", new, "--json"))
    assert (shown["station"], shown["site"]) == ("pole-17", "harbour")
    assert "it is at no station" in run("fleet", "replace", old, new, status=1).stderr


def test_a_stations_series_is_exported_whichever_nodes_have_hung_there(run: Run, desk: Path, store: OwnerStore) -> None:
    hours = [datetime.fromtimestamp(making.START + Y2000 + 3600 * hour, UTC) for hour in range(4)]
    with open_fleet(desk / "city.fleet", store) as fleet:
        old, new, other = (fleet.add(public_key(bytes([number]) * 32)).node for number in (1, 2, 3))
        fleet.place(old, "pole-17")
        fleet.replace(old, new)
        fleet.place(other, "pole-18")
        for node, since, until in ((old, hours[0], hours[1]), (new, hours[1], None), (other, hours[0], None)):
            ends = (since.isoformat(), until and until.isoformat(), node)
            fleet._db.run("UPDATE stays SET since = ?, until = ? WHERE node = ?", ends)
    with open_store(desk / "city.db") as kept:
        for node in (old, new, other):  # all of them measure all the time: on a bench, or at another pole
            for hour in range(3):
                at = {"count": 12, "interval": 300, "time": making.START + 3600 * hour}
                kept.add(Decoder().frames([making.batch(hour, node=bytes.fromhex(node), **at)]))

    def exported(*more: str) -> list[tuple[str, datetime]]:
        lines = run("export", "city.db", "--station", "pole-17", "--quantity", "pm2_5", "--json", *more).stdout
        found = [json.loads(line) for line in lines.splitlines()]
        return [(one["node"], datetime.fromisoformat(one["time"])) for one in found]

    series = exported()
    times = [time for _, time in series]
    assert len(times) == 36 and times == sorted(set(times)), "each instant once, in order"
    assert {node for node, time in series if time < hours[1]} == {old}
    assert {node for node, time in series if time >= hours[1]} == {new}
    later = exported("--since", hours[2].isoformat())
    assert later == [one for one in series if one[1] >= hours[2]] and later
    assert "no node has been at" in run("export", "city.db", "--station", "pole-19", status=1).stderr
    assert "Give --station or --node" in run("export", "city.db", "--station", "x", "--node", old, status=1).stderr


def test_a_node_is_talked_to_in_the_order_in_which_people_say_it(run: Run, desk: Path, port: FakePort) -> None:
    via = ("--via", f"udp:127.0.0.1:{port.number}")
    info = told(run("node", port.node.label.short_code, "info", *via, "--json"))
    assert (info["node"], info["role"], info["board"]) == (port.node.id, "owner", "virtual")
    assert told(run("node", "info", port.node.id, *via, "--json"))["node"] == port.node.id
    (desk / "new.toml").write_text("[settings]\ninterval = 60\n")
    assert told(run("node", port.node.id, "config", "--set", "new.toml", *via, "--json")) == {"interval": 60}
    assert told(run("node", port.node.id, "config", *via, "--json")) == {}
    assert "started" in run("node", port.node.id, "log", *via).stdout
    assert told(run("node", port.node.id, "identify", "--seconds", "9", *via, "--json"))["identify"] == 9
    assert port.node.blinking == 9
    port.call(port.node.resources.measure)
    row = told(run("node", port.node.id, "live", "--rows", "1", *via, "--json"))
    assert (row["node"], row["quantity"]) == (port.node.id, "visitors")
    set_to = told(run("node", port.node.id, "time", *via, "--json"))
    assert (set_to["node"], set_to["signed"]) == (port.node.id, True)
    assert set_to["time"].endswith("+00:00") and port.node.flash.owner_time
    assert "Say --yes" in run("node", port.node.id, "reset", "factory", *via, status=1).stderr
    done = run("node", port.node.id, "reset", "enter-service", "--minutes", "5", *via, "--json")
    assert told(done) == {"node": port.node.id, "reset": "enter-service"}
    assert port.node.state == 1
    assert told(run("node", port.node.id, "epoch", *via, "--json")) == {"node": port.node.id, "epoch": 0}
    hears = ("calibrate-sound", "--instrument", "Type 4231", "--operator", "hk")
    assert told(run("node", port.node.id, *hears, *via, "--json"))["offset"] == 0.42
    assert "which node is meant" in run("node", *hears, status=1).stderr
    assert "which node is meant" in run("node", port.node.id, *hears, "--port", "/dev/null", status=1).stderr
    deeds = [json.loads(line)["what"] for line in run("fleet", "audit", "--json").stdout.splitlines()]
    assert deeds == ["configure", "time", "reset enter-service", "epoch", "calibrate sound"]


def test_a_node_goes_to_another_owner_and_a_lost_owner_is_recovered(run: Run, desk: Path, port: FakePort) -> None:
    via = ("--via", f"udp:127.0.0.1:{port.number}")
    OwnerStore.create(desk / "buyer.owner", ask=lambda new: "correct horse battery", cost=2)
    key = told(run("owner", "show", "--owner", "buyer.owner", "--json"))["owner"]
    buyer = ("--owner", "buyer.owner", "--fleet", "buyer.fleet", *via)
    run("fleet", "make", "--owner", "buyer.owner", "--fleet", "buyer.fleet")
    run("fleet", "add", labels(port, desk), "--owner", "buyer.owner", "--fleet", "buyer.fleet")
    assert "nobody has offered it" in run("node", port.node.id, "take", *buyer, status=1).stderr
    assert "no owner's key" in run("node", port.node.id, "transfer", "--to", "02ab", *via, status=1).stderr
    assert "nobody holds the button" in run("node", port.node.id, "recover", *buyer, status=1).stderr
    port.node.button = True
    assert told(run("node", port.node.id, "recover", *buyer, "--json")) == {"node": port.node.id, "hours": 24}
    ended = told(run("node", port.node.id, "veto", *via, "--json"))
    assert ended == {"node": port.node.id, "recovery_hours": None}
    assert port.node.flash.recovery is None
    offered = told(run("node", port.node.id, "transfer", "--to", key, *via, "--json"))
    assert offered == {"node": port.node.id, "offered_to": key}
    assert told(run("node", port.node.id, "take", *buyer, "--json")) == {"node": port.node.id, "owner": key}
    assert port.node.flash.owner is not None
    assert port.node.flash.owner.hex() == key


def test_what_a_node_refuses_or_nobody_answers_is_a_sentence(run: Run, port: FakePort) -> None:
    via = ("--via", f"udp:127.0.0.1:{port.number}")
    assert "no way to a node" in run("node", port.node.id, "info", "--via", "wifi", status=1).stderr
    assert "names no node" in run("node", "nobody", "info", *via, status=1).stderr
    assert "is not registered" in run("node", "0123456789ab", "info", *via, status=1).stderr
    assert "names no uplink" in run("node", port.node.id, "config", "--trial", "1", *via, status=1).stderr
    run("node", port.node.id, "reset", "nonsense", status=2)


def test_what_provision_is_told_wrongly(run: Run, desk: Path, port: FakePort) -> None:
    plan = desk / "plan.toml"
    plan.write_text('site = "harbour"\n[uplink]\nurl = "mqtt://broker.city"\n')
    base = ("provision", "--plan", "plan.toml", "--uplink", "mqtt://127.0.0.1:1")
    assert "which nodes are meant" in run(*base, status=1).stderr
    assert "Create one with" in run(*base, port.node.id, status=1).stderr
    KeyFile.create(desk / "city.keys")
    assert "is not registered" in run(*base, "0123456789ab", status=1).stderr
    assert "Give --mint or --mosquitto" in run(*base, port.node.id, "--mint", "x", "--mosquitto", "y", status=1).stderr
    assert "there is no radio at" in run(*base, port.node.id, "--radio", "tcp-client:127.0.0.1:1", status=1).stderr
    plan.write_text("site = [")
    assert "is no TOML" in run(*base, port.node.id, status=1).stderr
