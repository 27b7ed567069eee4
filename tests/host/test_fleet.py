"""The fleet registry, on each of its engines: nodes, stations that outlive nodes, secrets, the log that only grows."""

from __future__ import annotations

import multiprocessing
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.support import postgres

from citymote.crypto import HostCrypto
from citymote.errors import MissingExtra, UsageError
from citymote.fleet import Fleet, FleetError, Stage, node_of, open_fleet
from citymote.keys import KeyFile
from citymote.label import Label
from citymote.owner import OwnerStore
from citymote.vault import LockedError
from citymote_protocol import p256

LABEL = "CM1:0DNHFMFJW4P44HZRQKKEARX483S7E0VXG4PYPCX0YJGKJHERK319C001081G81860W40J2GB1G6GW3SG3XW0"


def words(new: bool) -> str:
    return "correct horse battery"


def label() -> Label:
    return Label(p256.run(HostCrypto().key_pair_steps())[1], HostCrypto().random(16))


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    why = postgres.missing()
    if why is not None:
        pytest.skip(why)
    with postgres.server() as url:
        yield url


@pytest.fixture
def store(tmp_path: Path) -> OwnerStore:
    return OwnerStore.create(tmp_path / "owner", ask=words, cost=2)


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "city.fleet")
    url: str = request.getfixturevalue("url")
    import psycopg  # pyright: ignore[reportMissingImports]

    with psycopg.connect(url, autocommit=True) as db:
        for sql in ("DROP SCHEMA public CASCADE", "CREATE SCHEMA public"):
            db.execute(sql)
    return url


@pytest.fixture
def fleet(place: str, store: OwnerStore) -> Iterator[Fleet]:
    with open_fleet(place, store) as fleet:
        yield fleet


def test_a_node_by_its_label_and_what_is_noted_of_it(fleet: Fleet) -> None:
    one = label()
    fleet.add(one, tags=["pole", "north"], site="harbour", board="esp32-c3-devkitm")
    fleet.update(one.node, stage=Stage.CLAIMED, state=1, seen=datetime(2026, 11, 28, tzinfo=UTC))
    found = fleet.get(one.node)
    assert (found.public, found.site, found.tags) == (one.public, "harbour", ("north", "pole"))
    assert (found.stage, found.state, found.seen) == (Stage.CLAIMED, 1, datetime(2026, 11, 28, tzinfo=UTC))
    assert fleet.secret(one.node) == one.secret
    assert [n.node for n in fleet.nodes(site="harbour", tag="pole", stage=Stage.CLAIMED)] == [one.node]
    assert fleet.nodes(site="airport") == []
    fleet.add(one)
    fleet.add(one.public)
    assert fleet.get(one.node) == found, "adding it again takes nothing away"


def test_a_node_without_its_secret(fleet: Fleet) -> None:
    one = label()
    assert not fleet.add(one.public).has_secret
    assert fleet.secret(one.node) is None
    assert fleet.add(one).has_secret


def test_what_is_not_there_is_said(fleet: Fleet) -> None:
    for ask in (fleet.get, fleet.secret, fleet.credentials, lambda node: fleet.update(node, board="x")):
        with pytest.raises(FleetError, match=r"0123456789ab is not registered.*citymote fleet add"):
            ask("0123456789ab")
    with pytest.raises(FleetError, match="no point of P-256"):
        fleet.add(bytes(33))
    with pytest.raises(TypeError, match="colour"):
        fleet.update("0123456789ab", colour="red")


def test_two_keys_with_one_id_are_not_taken_for_one(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = label(), label()
    fleet.add(first)
    name = bytes.fromhex(first.node)
    monkeypatch.setattr("citymote.keys.node_id", lambda public: name)
    with pytest.raises(FleetError, match="another public key"):
        fleet.add(second.public)


def test_secrets_are_sealed_and_open_with_their_store_alone(place: str, fleet: Fleet, tmp_path: Path) -> None:
    one = label()
    fleet.add(one)
    fleet.keep_credentials(one.node, {"broker_user": one.node, "broker_password": "very secret indeed"})
    assert fleet.credentials(one.node) == {"broker_user": one.node, "broker_password": "very secret indeed"}
    kept = [bytes(x) for row in fleet._db.rows("SELECT secret, credentials FROM nodes") for x in row]
    assert not any(one.secret in x or b"very secret" in x for x in kept)
    other = OwnerStore.create(tmp_path / "other", ask=words, cost=2)
    with open_fleet(place, other) as stranger, pytest.raises(LockedError):
        stranger.secret(one.node)
    with open_fleet(place) as reader:
        assert reader.get(one.node).has_secret
        with pytest.raises(FleetError, match="sealed"):
            reader.secret(one.node)


def test_a_station_keeps_its_series_when_its_node_is_replaced(fleet: Fleet) -> None:
    old, new = label(), label()
    fleet.add(old, site="harbour")
    fleet.add(new)
    fleet.station("pole-17", latitude=37.5665, longitude=126.978, height=3.5, site="harbour")
    fleet.place(old.node, "pole-17")
    fleet.place(old.node, "pole-17")
    with pytest.raises(FleetError, match="two nodes would write one series"):
        fleet.place(new.node, "pole-17")
    assert fleet.replace(old.node, new.node) == "pole-17"
    assert (fleet.get(old.node).station, fleet.get(new.node).station) == (None, "pole-17")
    assert fleet.get(new.node).site == "harbour"
    first, second = fleet.stays("pole-17")
    assert (first.node, second.node, second.until) == (old.node, new.node, None)
    assert first.since <= second.since == first.until, "no reading falls between"
    assert fleet.stations()[0].height == 3.5
    with pytest.raises(FleetError, match="at no station"):
        fleet.replace(old.node, new.node)
    assert [e.what for e in fleet.audit(new.node)] == ["replace"]


def test_a_failed_change_changes_nothing(fleet: Fleet) -> None:
    old = label()
    fleet.add(old)
    fleet.place(old.node, "pole-1")
    with pytest.raises(FleetError):
        fleet.replace(old.node, "0123456789ab")
    assert fleet.get(old.node).station == "pole-1"
    assert fleet.audit_head()[0] == 0


def test_a_revoked_node_is_out_of_lists_and_of_the_collectors_keys(fleet: Fleet, tmp_path: Path) -> None:
    kept, stolen = label(), label()
    for one in (kept, stolen):
        fleet.add(one)
    fleet.place(stolen.node, "pole-2")
    fleet.keep_credentials(stolen.node, {"broker_user": "x"})
    keys = KeyFile.create(tmp_path / "city.keys")
    assert fleet.fill(keys) == (2, 0)
    fleet.revoke(stolen.node, "stolen from its pole")
    assert fleet.fill(keys) == (0, 1)
    assert list(keys.nodes) == [bytes.fromhex(kept.node)]
    assert [n.node for n in fleet.nodes()] == [kept.node]
    assert fleet.get(stolen.node).station is None
    assert fleet.credentials(stolen.node) is None
    (entry,) = fleet.audit(stolen.node)
    assert (entry.what, entry.outcome, entry.detail, entry.who) == ("revoke", "ok", "stolen from its pole", fleet.who)
    with pytest.raises(FleetError, match="it is already"):
        fleet.revoke(stolen.node, "again")


def test_the_log_only_grows_and_shows_what_was_altered(fleet: Fleet) -> None:
    assert fleet.verify() == 0
    for i in range(5):
        fleet.note("configure", f"{i:012x}", "ok", "ein Wörtchen")
    number, digest = fleet.audit_head()
    assert (number, fleet.verify()) == (5, 5)
    assert list(fleet.audit())[-1].digest == digest
    for sql in ("UPDATE audit SET who = 'x' WHERE number = 3", "DELETE FROM audit WHERE number = 3"):
        with pytest.raises(FleetError, match="only grows"):
            fleet._db.run(sql)
    trigger = "audit_stays" + (" ON audit" if fleet._db.name.startswith("postgres") else "")
    fleet._db.run(f"DROP TRIGGER {trigger}")
    fleet._db.run("UPDATE audit SET outcome = 'failed' WHERE number = 3")
    with pytest.raises(FleetError, match="from entry 3 on"):
        fleet.verify()


def _note(place: str, count: int) -> None:
    with open_fleet(place, who="another") as fleet:
        for _ in range(count):
            fleet.note("scan", None)
            fleet.step("0123456789ab", "claim", "ok")


def test_several_hosts_write_one_chain(place: str, fleet: Fleet) -> None:
    context = multiprocessing.get_context("spawn")
    hosts = [context.Process(target=_note, args=(place, 20)) for _ in range(3)]
    for host in hosts:
        host.start()
    for host in hosts:
        host.join(60)
        assert host.exitcode == 0
    assert fleet.verify() == 60
    assert len(fleet.steps("0123456789ab")) == 60


def test_a_registry_of_its_owners_alone_that_does_not_come_by_itself(tmp_path: Path) -> None:
    with pytest.raises(FleetError, match="citymote fleet make"):
        open_fleet(tmp_path / "none", create=False)
    assert not (tmp_path / "none").exists()
    open_fleet(tmp_path / "a").close()
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600
    (tmp_path / "text").write_text("this is no database")
    with pytest.raises(FleetError, match="cannot be opened"):
        open_fleet(tmp_path / "text")
    with closing(sqlite3.connect(tmp_path / "a", isolation_level=None)) as db:
        db.execute("UPDATE meta SET value = '2'")
    with pytest.raises(FleetError, match="another version"):
        open_fleet(tmp_path / "a")


def test_a_database_of_something_else_is_left_as_it_is(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "city.db", isolation_level=None)) as db:
        db.execute("CREATE TABLE readings (value)")
        with pytest.raises(FleetError, match="is no registry of a fleet"):
            open_fleet(tmp_path / "city.db")
        assert db.execute("SELECT name FROM sqlite_master").fetchall() == [("readings",)]


def test_a_password_in_a_url_is_refused() -> None:
    with pytest.raises(UsageError, match="PGPASSFILE"):
        open_fleet("postgresql://me:secret@localhost/city")


@pytest.mark.parametrize(
    ("text", "node"),
    [("5baff89de7de", "5baff89de7de"), ("5BAFF89DE7DE", "5baff89de7de"), ("2VNZW-9VSYY-=", "5baff89de7de")],
)
def test_how_a_node_is_named(text: str, node: str) -> None:
    assert node_of(text) == node


@pytest.mark.parametrize("text", ["", "5baff89de7d", "2VNZW-9VSYY-0", LABEL])
def test_what_names_no_node_is_refused_without_repeating_a_secret(text: str) -> None:
    with pytest.raises(FleetError) as told:
        node_of(text)
    assert len(text) < 20 or text not in str(told.value)


def test_an_engine_that_is_not_installed_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtra, match=r"citymote\[postgres\]"):
        open_fleet("postgresql://localhost/city")
