"""Rollouts: who is offered what when, what ends them, what each node's state says, and that a killed host goes on."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.sim_fleet import CONFIRMED, DOWNLOADING, FAILED, GOOD, ROLLED_BACK, SimFleet, node_id

from citymote import crypto, open_store
from citymote.errors import CitymoteError, UsageError
from citymote.factory import slot
from citymote.storage.ledger import LedgerStore
from citymote.update import bundle as bundles
from citymote.update import member, rollout, signing, where
from citymote.update.book import Book, Rule
from citymote.update.bundle import Bundle, Target
from citymote.update.desk import Desk
from citymote.update.inventory import Listed, select
from citymote.update.keyring import Key, KeySet
from citymote.update.member import Member, Scene, State, explain
from citymote.update.plan import Amount, Plan, Window, span, stages
from citymote.update.publish import Publication
from citymote.update.version import Version
from citymote.update.where import Facts, parse

START = datetime(2026, 11, 28, 1, 0, tzinfo=UTC).timestamp()
BOARD = "xiao-esp32c3"  # rv32imc


def private(number: int) -> signing.SigningKey:
    secret = hashlib.sha256(bytes((number,))).digest()
    return signing.SigningKey(crypto.public_key(secret), lambda digest: crypto.sign(secret, digest))


ROOT, RELEASE, URGENT = (private(number) for number in range(3))
KEYS = KeySet(0, ()).changed([Key(RELEASE.public, "release"), Key(URGENT.public, "emergency")])


def sbom(version: str, driver: str) -> bytes:
    parts = [{"type": "library", "name": "node.drivers.sht4x", "version": driver}]
    top = {"type": "firmware", "name": "citymote-firmware", "version": version}
    return json.dumps({"bomFormat": "CycloneDX", "metadata": {"component": top}, "components": parts}).encode()


def bundle(
    version: str,
    sequence: int,
    by: signing.SigningKey = RELEASE,
    *,
    boards: tuple[str, ...] = (),
    runtime: str = "1.26",
    driver: str = "1.0.0",
) -> Bundle:
    files = [slot.file("core.mpy", version.encode() * 40)]
    target = Target("rv32imc", "rv32imc", boards, slot.index(files))
    made = bundles.pack(Version.parse(version), runtime, [(target, files)], sbom=sbom(version, driver))
    return signing.sign_bundle(made, sequence, [signing.signer(by)])


class City:
    """Nodes, a store, a folder, and a desk that steps every simulated minute."""

    def __init__(self, folder: Path, count: int, **options: Any) -> None:
        self.folder = folder
        self.now = START
        self.ids = [node_id(number) for number in range(count)]
        self.store = open_store(folder / "city.db")
        self.publication = Publication(folder / "www")
        self.publication.put_keys(KEYS.statement(ROOT.owner), KEYS, ROOT.public)
        self.fleet = SimFleet(self.ids, self.store, self.publication, START, **options)
        self.sites = {node: ("mapo" if number % 2 else "jongno") for number, node in enumerate(self.ids)}
        self.desk = self.open()

    def open(self) -> Desk:
        made = Desk(self.folder / "updates.db", self.folder / "city.db")
        made._fleet = self
        return made

    def nodes(self) -> list[Listed]:
        """As a registry lists them."""
        return [
            Listed(
                node,
                site,
                ("canary",) if k < 2 else (),
                BOARD,
                "1.0.0",
                "1.26.1",
                datetime.fromtimestamp(self.now, UTC),
            )
            for k, (node, site) in enumerate(self.sites.items())
        ]

    def begin(self, release: Bundle, condition: str = "", plan: Plan | None = None, **options: Any) -> int:
        plan = plan or Plan(stages=stages("100%"), soak=0)
        made = self.desk.begin(
            release, ROOT.public, condition, self.publication, plan, now=self.now, options=rollout.Options(**options)
        )
        return made.number

    def go(self, minutes: float, until: Callable[[], bool] | None = None, every: int = 1) -> None:
        end = self.now + minutes * 60
        while self.now < end:
            self.now += 60 * every
            self.fleet.run(self.now)
            self.desk.step(self.now)
            if until is not None and until():
                return

    def restart(self) -> None:
        self.desk.close()
        self.desk = self.open()

    def counts(self, number: int = 1) -> dict[str, int]:
        return self.desk.counts(number)

    def texts(self, condition: str = "", number: int | None = None) -> dict[str, str]:
        return {one.facts.node: one.text for one in self.desk.status(condition, number, self.now)}

    def rollout(self, number: int = 1) -> Any:
        return self.desk.book.rollout(number)


@pytest.fixture
def city(tmp_path: Path) -> Iterator[Callable[..., City]]:
    made: list[City] = []

    def build(count: int = 10, **options: Any) -> City:
        made.append(City(tmp_path / str(len(made)), count, **options))
        return made[-1]

    yield build
    for one in made:
        one.desk.close()
        one.store.close()


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is told here is logic: a disk that syncs at every simulated minute would be all of its time."""
    for owner in (Book, LedgerStore):
        real = owner._open

        def open_(self: Any, *arguments: Any, real: Any = real) -> None:
            real(self, *arguments)
            self._db.execute("PRAGMA synchronous = OFF")

        monkeypatch.setattr(owner, "_open", open_)


# -- the way of a release ---------------------------------------------------------------------------------------------


def test_every_node_takes_it_and_the_rollout_ends(city: Callable[..., City]) -> None:
    made = city(20)
    made.begin(bundle("1.4.2", 2))
    made.go(120)
    assert made.counts() == {"confirmed": 20}
    assert made.rollout().status == "finished"
    assert list(made.publication.offers()) == [], "who has it finds nothing any more"
    assert set(made.fleet.confirmed) == set(made.ids)


def test_nothing_is_offered_before_the_first_step(city: Callable[..., City]) -> None:
    made = city(3)
    made.begin(bundle("1.4.2", 2))
    assert list(made.publication.offers()) == []
    made.desk.step(made.now)
    assert len(list(made.publication.offers())) == 3


def test_stages_follow_each_other_and_each_rests(city: Callable[..., City]) -> None:
    made = city(40)
    made.begin(bundle("1.4.2", 2), plan=Plan(stages=stages("1,10%,50%"), soak=1800))
    sizes: list[int] = []
    moments: list[float] = []

    def watch() -> bool:
        begun = len(made.fleet.begun)
        if not sizes or begun > sizes[-1]:
            sizes.append(begun)
            moments.append(made.now)
        return made.rollout().status == "finished"

    made.go(600, watch)
    stage_of = {one.node: one.stage for one in made.desk.book.members(1).values()}
    assert Counter(stage_of.values()) == {0: 1, 1: 3, 2: 16, 3: 20}
    first = {stage: min(when for when, node, _ in made.fleet.begun if stage_of[node] == stage) for stage in range(4)}
    last = {stage: max(when for when, node, _ in made.fleet.begun if stage_of[node] == stage) for stage in range(4)}
    assert first[1] >= last[0] + 1800
    assert first[2] > last[1]
    assert first[3] > first[2] + 1800
    assert made.counts() == {"confirmed": 40}


def test_the_canary_is_a_node_that_is_there(city: Callable[..., City]) -> None:
    made = city(10)
    made.go(1)
    nodes = made.desk.inventory.nodes(made.now)
    alive = made.ids[7]
    chosen = {
        node: known if node == alive else replace(known, facts=replace(known.facts, flags=frozenset()))
        for node, known in nodes.items()
    }
    plan = Plan(stages=stages("1,100%"))
    rollout.begin(made.desk.book, bundle("1.4.2", 2), KEYS, chosen, made.publication, plan, made.now)
    (canary,) = [one.node for one in made.desk.book.members(1).values() if one.stage == 0]
    assert canary == alive


def test_only_so_many_are_under_way_at_a_time(city: Callable[..., City]) -> None:
    made = city(20)
    made.begin(bundle("1.4.2", 2), plan=Plan(stages=stages("100%"), parallel=4, soak=0))
    most = 0

    def watch() -> bool:
        nonlocal most
        under = sum(one.state in member.UNDER_WAY for one in made.desk.book.members(1).values())
        most = max(most, under)
        return made.rollout().status == "finished"

    made.go(600, watch)
    assert most == 4
    assert made.counts() == {"confirmed": 20}


# -- what ends it -----------------------------------------------------------------------------------------------------


def test_a_bad_release_ends_with_its_canary(city: Callable[..., City]) -> None:
    made = city(50, outcome=lambda node, sequence: (ROLLED_BACK, 3))
    made.begin(bundle("1.4.2", 2), plan=Plan(stages=stages("1,10%"), soak=60))
    made.go(300)
    assert made.rollout().status == "aborted"
    assert "1 of 1 nodes failed or rolled back" in made.rollout().why
    assert made.counts() == {"waiting": 49, "rolled_back": 1}
    assert len(made.fleet.begun) == 1
    assert list(made.publication.offers()) == []


def test_some_failures_are_fewer_than_too_many(city: Callable[..., City]) -> None:
    unlucky = {node_id(3), node_id(11)}
    made = city(50, outcome=lambda node, sequence: (ROLLED_BACK, 1) if node in unlucky else GOOD)
    made.begin(bundle("1.4.2", 2), plan=Plan(stages=stages("100%"), soak=0, abort_at=Amount.parse("5%")))
    made.go(300)
    assert made.rollout().status == "finished"
    assert made.counts() == {"confirmed": 48, "rolled_back": 2}


def test_too_many_end_it_and_what_has_not_begun_is_called_back(city: Callable[..., City]) -> None:
    made = city(60, outcome=lambda node, sequence: (ROLLED_BACK, 1), interval=7200)
    made.begin(bundle("1.4.2", 2), plan=Plan(stages=stages("100%"), soak=0, abort_at=Amount.parse("3")))
    made.go(600)
    assert made.rollout().status == "aborted"
    bad = made.counts()["rolled_back"]
    assert 3 <= bad < 30
    assert made.counts()["waiting"] == 60 - bad


def test_a_node_that_fails_tries_again_a_few_times_and_no_more(city: Callable[..., City]) -> None:
    made = city(1, outcome=lambda node, sequence: (FAILED, member.FLASH))
    made.begin(bundle("1.4.2", 2), plan=Plan(stages=stages("100%"), abort_at=Amount.parse("100%")))
    made.go(300)
    assert len(made.fleet.begun) == 3
    assert made.rollout().status == "finished"
    (text,) = made.texts().values()
    assert "its flash does not take the files" in text
    assert "does not try again" in text


def test_a_node_that_recovers_is_no_failure(city: Callable[..., City]) -> None:
    seen: Counter[str] = Counter()

    def outcome(node: str, sequence: int) -> Any:
        seen[node] += 1
        return (FAILED, member.BROKEN) if seen[node] == 1 else GOOD

    made = city(4, outcome=outcome)
    made.begin(bundle("1.4.2", 2), plan=Plan(stages=stages("100%"), abort_at=Amount.parse("100%")))
    made.go(300)
    assert made.counts() == {"confirmed": 4}


def test_a_refusal_counts_though_it_names_no_sequence(city: Callable[..., City]) -> None:
    made = city(1)
    made.fleet.confirmed[made.ids[0]] = 9  # by somebody else's hand
    made.begin(bundle("1.4.2", 2), plan=Plan(stages=stages("100%"), abort_at=Amount.parse("100%")))
    made.go(60)
    assert made.counts() == {"failed": 1}
    assert "the node refused what it was offered" in next(iter(made.texts().values()))
    assert list(made.publication.offers()) == []


# -- whom nobody waits for --------------------------------------------------------------------------------------------


def test_nodes_that_are_not_heard_hold_up_no_stage_for_ever(city: Callable[..., City]) -> None:
    dead = {node_id(number) for number in range(0, 20, 2)}
    made = city(20, outcome=lambda node, sequence: "silent" if node in dead else GOOD)
    made.begin(bundle("1.4.2", 2), plan=Plan(stages=stages("10,100%"), soak=0, patience=7200))
    made.go(100)
    assert made.rollout().stage == 0
    made.go(200)
    assert made.rollout().stage == 1
    assert made.counts() == {"offered": 10, "confirmed": 10}
    assert made.rollout().status == "running", "who comes back in a week is updated then"


def test_windows_bound_what_is_offered_and_an_emergency_does_not_wait(city: Callable[..., City]) -> None:
    made = city(6, interval=60)
    plan = Plan(stages=stages("100%"), soak=0, windows=(Window.parse("02:00-02:10"),))
    made.begin(bundle("1.4.2", 2), plan=plan)
    made.go(55)
    assert made.fleet.begun == []
    assert set(made.texts().values()) == {"waits: no maintenance window is open"}
    made.go(60)
    assert {1 for when, _, _ in made.fleet.begun if not START + 3600 <= when <= START + 4260} == set()
    assert made.counts() == {"confirmed": 6}
    made.begin(bundle("1.4.3", 3, URGENT), plan=plan)
    made.go(30)
    assert made.counts(2) == {"confirmed": 6}
    assert made.rollout(2).emergency


def test_a_window_that_closes_calls_back_what_has_not_begun(city: Callable[..., City]) -> None:
    made = city(30, interval=3600)
    made.begin(bundle("1.4.2", 2), plan=Plan(stages=stages("100%"), soak=0, windows=(Window.parse("01:05-01:30"),)))
    made.go(120)
    assert 0 < len(made.fleet.begun) < 30
    assert all(when <= START + 31 * 60 for when, _, _ in made.fleet.begun)
    assert made.counts()["waiting"] == 30 - len(made.fleet.begun)
    assert list(made.publication.offers()) == []


# -- holds, pins, pauses ----------------------------------------------------------------------------------------------


def test_who_is_held_is_offered_nothing_until_it_is_let_go(city: Callable[..., City]) -> None:
    made = city(10)
    made.desk.book.set_rule(Rule("hold", "site", "mapo", "", "measuring campaign"))
    made.desk.book.set_rule(Rule("hold", "node", made.ids[0], "", ""))
    made.begin(bundle("1.4.2", 2), plan=Plan(stages=stages("100%"), soak=0))
    made.go(30)
    assert made.texts(f"node={made.ids[1]}")[made.ids[1]] == "waits: the site is held (measuring campaign)"
    assert "is held" in made.texts("held")[made.ids[0]]
    assert len(made.texts("held")) == 6
    made.desk.book.drop_rule("hold", "site", "mapo")
    made.go(90)
    assert made.counts() == {"waiting": 1, "confirmed": 9}
    assert made.rollout().status == "running"
    made.desk.book.drop_rule("hold", "node", made.ids[0])
    made.go(30)
    assert made.counts() == {"confirmed": 10}
    assert made.rollout().status == "finished"


def test_who_is_pinned_gets_that_version_and_no_other(city: Callable[..., City]) -> None:
    made = city(4)
    made.desk.book.set_rule(Rule("pin", "node", made.ids[0], "1.4.1", "its display"))
    made.begin(bundle("1.4.2", 2))
    made.go(90)
    assert made.counts() == {"waiting": 1, "confirmed": 3}
    assert made.texts()[made.ids[0]] == "waits: the node is pinned to 1.4.1 (its display)"
    made.begin(bundle("1.4.1", 3), f"node={made.ids[0]}")
    made.go(60)
    assert made.counts(2) == {"confirmed": 1}
    with pytest.raises(UsageError, match="has no pin"):
        made.desk.book.drop_rule("pin", "node", made.ids[1])


def test_a_pause_calls_back_what_has_not_begun_and_what_has_goes_on(city: Callable[..., City]) -> None:
    made = city(20, interval=1200)
    made.begin(bundle("1.4.2", 2))
    made.go(10)
    begun = len(made.fleet.begun)
    assert 0 < begun < 20
    rollout.change(made.desk.book, 1, "paused", made.now, "storm")
    made.desk.step(made.now)
    made.go(60)
    assert made.counts() == {"waiting": 20 - begun, "confirmed": begun}
    assert "waits: the rollout is paused" in made.texts("not state=confirmed").values()
    rollout.change(made.desk.book, 1, "running", made.now)
    made.go(120)
    assert made.counts() == {"confirmed": 20}
    assert [what for _, what in made.desk.book.history(1)][1:4] == [
        "paused: storm",
        "running",
        "finished: 20 confirmed",
    ]


def test_only_what_runs_can_be_paused(city: Callable[..., City]) -> None:
    made = city(1)
    made.begin(bundle("1.4.2", 2))
    rollout.change(made.desk.book, 1, "aborted", made.now)
    for status in ("paused", "running", "aborted"):
        with pytest.raises(UsageError, match="is aborted"):
            rollout.change(made.desk.book, 1, status, made.now)
    with pytest.raises(UsageError, match="no rollout 7"):
        rollout.change(made.desk.book, 7, "paused", made.now)


# -- who is meant -----------------------------------------------------------------------------------------------------


def test_who_has_it_has_a_newer_one_or_cannot_have_it_is_left_out_with_the_reason(city: Callable[..., City]) -> None:
    made = city(4)
    made.begin(bundle("2.0.0", 2), f"node={made.ids[0]}")
    made.go(60)
    made.begin(bundle("1.4.2", 5))
    assert made.texts(number=2)[made.ids[0]] == "left out: it has 2.0.0, which is newer"
    made.go(60)
    made.begin(bundle("1.4.2", 6))
    assert {text for node, text in made.texts(number=3).items() if node != made.ids[0]} == {
        "left out: it has 1.4.2 already"
    }
    made.begin(bundle("1.5.0", 7, boards=("airgradient-one",)))
    assert set(made.texts(number=4).values()) == {f"left out: the release has nothing for the board {BOARD}"}
    made.begin(bundle("1.5.0", 8, runtime="1.27"))
    assert set(list(made.texts(number=5).values())[1:]) == {"left out: its MicroPython 1.26.1 is older than 1.27"}


def test_a_downgrade_is_meant_or_not_at_all_and_is_a_higher_sequence(city: Callable[..., City]) -> None:
    made = city(2)
    made.begin(bundle("2.0.0", 2))
    made.go(60)
    with pytest.raises(UsageError, match="confirmed sequence 2 already"):
        made.begin(bundle("1.4.2", 2), downgrade=True)
    made.begin(bundle("1.4.2", 3), downgrade=True)
    made.go(60)
    assert made.counts(2) == {"confirmed": 2}
    assert {one.facts.version for one in made.desk.status(now=made.now)} == {"1.4.2"}


def test_a_sequence_that_leaves_out_too_many_is_not_tried(city: Callable[..., City]) -> None:
    with pytest.raises(UsageError, match="65536"):
        city(1).begin(bundle("1.4.2", 1 << 17))


def test_a_bundle_that_nodes_would_refuse_is_not_rolled_out(city: Callable[..., City]) -> None:
    made = city(1)
    with pytest.raises(CitymoteError, match="would refuse"):
        made.begin(bundle("1.4.2", 2, private(9)))
    with pytest.raises(UsageError, match="is not signed"):
        made.begin(bundle("1.4.2", 2).with_envelopes({}))
    with pytest.raises(UsageError, match="no node is meant"):
        made.begin(bundle("1.4.2", 2), "site=nowhere")


def test_a_newer_rollout_takes_what_an_older_has_not_finished(city: Callable[..., City]) -> None:
    made = city(6, outcome=lambda node, sequence: "silent" if sequence == 2 else GOOD)
    made.begin(bundle("1.4.2", 2))
    made.go(60)
    assert made.counts(1) == {"offered": 6}
    made.begin(bundle("1.4.3", 3), "site=mapo")
    made.go(90)
    assert made.counts(2) == {"confirmed": 3}
    assert made.counts(1) == {"offered": 3, "left_out": 3}
    assert "left out: a newer rollout has it" in made.texts(number=1).values()


# -- hearing ----------------------------------------------------------------------------------------------------------


def test_a_state_explains_itself_on_its_way(city: Callable[..., City]) -> None:
    made = city(1, interval=60)
    made.begin(bundle("1.4.2", 2))
    said: list[str] = []

    def watch() -> bool:
        text = next(iter(made.texts().values()))
        if not said or said[-1] != text:
            said.append(text)
        return made.rollout().status == "finished"

    made.go(60, watch)
    order = ["offered", "downloading, 0 %", "downloading, 43 %", "verified", "on trial", "confirmed"]
    found = [next((k for k, start in enumerate(order) if text.startswith(start)), None) for text in said]
    assert None not in found
    assert found == sorted(found)
    assert {1, 2, 4, 5} <= set(found)


def test_unsealed_events_are_believed_only_where_that_was_said(city: Callable[..., City]) -> None:
    made = city(2, sealed=False)
    made.begin(bundle("1.4.2", 2))
    made.go(60)
    assert made.counts() == {"offered": 2}
    made.restart()
    made.desk._allow_unsealed = True
    made.fleet.tell(made.ids[0], made.now, CONFIRMED, 100, 2)
    made.go(1)
    assert made.counts() == {"offered": 1, "confirmed": 1}


def test_an_event_that_comes_late_or_twice_changes_nothing(city: Callable[..., City]) -> None:
    made = city(1)
    made.begin(bundle("1.4.2", 2), plan=Plan(stages=stages("1,100%"), soak=0))
    made.go(60)
    assert made.counts() == {"confirmed": 1}
    node = made.ids[0]
    made.fleet._told[node] -= 4  # numbers that are taken
    made.fleet.tell(node, made.now, DOWNLOADING, 10, 2)
    made.go(2)
    assert made.counts() == {"confirmed": 1}
    assert next(made.desk.status(now=made.now)).facts.state == "confirmed"


def test_events_of_another_update_are_not_about_this_one(city: Callable[..., City]) -> None:
    made = city(1, outcome=lambda node, sequence: "silent")
    made.fleet.tell(made.ids[0], made.now, FAILED, 0, 0, member.REFUSED)
    made.go(1)
    made.begin(bundle("1.4.2", 7))
    made.go(5)
    assert made.counts() == {"offered": 1}, "what it said before it could know of this is about something else"
    made.fleet.tell(made.ids[0], made.now, CONFIRMED, 100, 6)
    made.go(1)
    assert made.counts() == {"offered": 1}


# -- a host that dies -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cuts", [(7, 40, 66, 90), pytest.param(range(1, 200), marks=pytest.mark.slow)])
def test_a_host_that_is_killed_at_any_write_goes_on_where_it_was(
    cuts: Iterable[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def lived_through(at: int, made: City) -> None:
        count = 0

        def cut(real: Any) -> Any:
            def step(*arguments: Any, **named: Any) -> Any:
                nonlocal count
                count += 1
                if count == at:
                    raise Killed
                return real(*arguments, **named)

            return step

        def over() -> bool:
            return made.rollout().status == "finished"

        made.begin(bundle("1.4.2", 2), plan=Plan(stages=stages("2,100%"), soak=0))
        with monkeypatch.context() as patch:
            for owner, name in (
                (Book, "keep_members"), (Book, "keep_nodes"), (Book, "keep_rollout"), (Book, "set_mark"),
                (Publication, "offer"), (Publication, "withdraw"),
            ):  # fmt: skip
                patch.setattr(owner, name, cut(getattr(owner, name)))
            try:
                made.go(60, over)
            except Killed:
                made.restart()
        made.go(60, over)
        assert made.counts() == {"confirmed": 8}, at
        assert over()
        assert list(made.publication.offers()) == []
        assert len(made.fleet.begun) == 8, "nobody was offered anything twice"

    for at in cuts:
        made = City(tmp_path / str(at), 8, interval=120)
        lived_through(at, made)
        made.desk.close()
        made.store.close()


def test_only_one_program_takes_them_forward(tmp_path: Path) -> None:
    with (
        Book(tmp_path / "b.db") as one,
        Book(tmp_path / "b.db") as other,
        one.conducting(),
        pytest.raises(UsageError, match="another program"),
        other.conducting(),
    ):
        pass


# -- which nodes run what ---------------------------------------------------------------------------------------------


def test_which_nodes_run_a_component_at_a_version_is_one_query(city: Callable[..., City]) -> None:
    made = city(6)
    made.begin(bundle("1.4.1", 2, driver="1.0.0"))
    made.go(60)
    made.begin(bundle("1.4.2", 3, driver="1.0.1"), "site=mapo")
    made.go(60)
    mapo = sorted(node for node, site in made.sites.items() if site == "mapo")
    jongno = sorted(node for node, site in made.sites.items() if site == "jongno")
    running = made.desk.running
    assert [node for node, _ in running("node.drivers.sht4x", "1.0.0")] == jongno
    assert [node for node, _ in running("node.drivers.sht4x", "1.0.1")] == mapo
    assert len(running("node.drivers.sht4x")) == 6
    assert running("node.drivers.sht4x", "9") == []
    assert sorted(made.texts("component:node.drivers.sht4x<1.0.1")) == jongno
    assert sorted(made.texts("component:citymote-firmware=1.4.2")) == mapo
    assert sorted(made.texts("outdated")) == jongno
    assert len(made.texts("component:micropython>=1.26")) == 6


# -- the plan ---------------------------------------------------------------------------------------------------------


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("window", "moment", "is_open"),
    [
        ("02:00-04:00", "2026-11-28T02:00", True),
        ("02:00-04:00", "2026-11-28T03:59", True),
        ("02:00-04:00", "2026-11-28T04:00", False),
        ("22:00-05:00", "2026-11-28T23:00", True),
        ("22:00-05:00", "2026-11-28T04:59", True),
        ("22:00-05:00", "2026-11-28T12:00", False),
        ("fri 22:00-05:00", "2026-11-28T04:00", True),  # Saturday's early hours are Friday's night
        ("sat 22:00-05:00", "2026-11-28T04:00", False),
        ("mon-fri 02:00-04:00", "2026-11-28T03:00", False),
        ("fri-mon 02:00-04:00", "2026-11-28T03:00", True),
        ("sat,sun 00:00-24:00", "2026-11-28T23:59", True),
        ("02:00-04:00 Asia/Seoul", "2026-11-27T17:30", True),
        ("02:00-04:00 Asia/Seoul", "2026-11-28T02:30", False),
    ],
)
def test_windows_are_open_when_they_say(window: str, moment: str, is_open: bool) -> None:
    assert Window.parse(window).open(at(moment)) is is_open


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2-4",
        "25:00-26:00",
        "02:00-02:00",
        "02:60-03:00",
        "day 02:00-04:00",
        "02:00-04:00 Seoul/Asia",
        "mon-x 02:00-04:00",
    ],
)
def test_what_is_no_window_is_said(text: str) -> None:
    with pytest.raises(UsageError, match="is no window"):
        Window.parse(text)


def test_stages_are_numbers_and_shares_and_end_with_all() -> None:
    assert Plan(stages=stages("1,5%,50%")).sizes(1000) == [1, 50, 500, 1000]
    assert Plan(stages=stages("10,1%")).sizes(100) == [10, 10, 100], "a stage never takes back"
    assert Plan(stages=stages("1%")).sizes(3) == [1, 3]
    for wrong in ("x", "1,200%", "1,,2", "-1"):
        with pytest.raises(UsageError):
            stages(wrong)


def test_a_plan_comes_back_from_the_database_as_it_was() -> None:
    plan = Plan(stages("3,20%"), Amount.parse("7"), 80, 60, 120, 5, (Window.parse("sat 22:00-05:00 Asia/Seoul"),), 2)
    assert Plan.from_json(json.loads(json.dumps(plan.as_json()))) == plan


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30min", 1800), ("6h", 21600), ("2d", 172800), ("45", 45)])
def test_spans_of_time(text: str, seconds: float) -> None:
    assert span(text) == seconds
    with pytest.raises(UsageError):
        span(text + " ago")


# -- the expressions --------------------------------------------------------------------------------------------------

NODE = Facts(
    "0123456789ab", "mapo", frozenset({"canary", "school"}), "airgradient-one", "rv32imc", "1.1.10", "1.26.1",
    "downloading", 7, 43, frozenset({"online", "outdated"}), {"micropython": "1.26.1", "node.drivers.sht4x": "1.1.10"},
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("", True),
        ("site=mapo", True),
        ("site!=mapo", False),
        ("tag=canary and tag=school", True),
        ("tag!=canary", False),
        ("version>1.1.9", True),
        ("version<1.1.9", False),
        ("version!=1.4.2", True),
        ("version=1.1.10+build", True),
        ("runtime>=1.26 and runtime<1.27", True),
        ("node~0123*", True),
        ("board~*-two", False),
        ("online and outdated and not failed", True),
        ("failed or online", True),
        ("failed or site=mapo and version>2.0.0", False),
        ("(failed or site=mapo) and version<2.0.0", True),
        ("not (site=mapo and online)", False),
        ("not not online", True),
        ("progress>=43 and progress<=43 and sequence>6 and sequence!=8", True),
        ("state=downloading", True),
        ("component:micropython<1.27", True),
        ("component:node.drivers.sht4x=1.1.10", True),
        ("component:node.drivers.sgp41=1.0.0", False),
        ("component:node.drivers.sgp41<9.0.0", False),
        ("component:node.drivers.sgp41!=1.0.0", True),
        ("site='mapo'", True),
        ('site="a b"', False),
        ("component:micropython~1.26.*", True),
    ],
)
def test_expressions_mean_what_they_say(text: str, meant: bool) -> None:
    assert parse(text)(NODE) is meant


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("site", "no word"),
        ("colour=red", "no field"),
        ("site<mapo", "no order"),
        ("progress=much", "with a number"),
        ("version<new", "no version"),
        ("(online", "not closed"),
        ("online)", "not expected"),
        ("online online", "not expected"),
        ("site=", "a value is missing"),
        ("and online", "no word"),
        ("not", "a test is missing"),
        ("site=mapo or", "missing"),
        ("component:=1", "no field"),
        ("'online'", "a test is expected"),
        ("online;", "no word"),
        ("site='x", "cannot be read"),
        ("__class__=x", "no field"),
        ("value=1", "no field"),
        ("(" * 100 + "online" + ")" * 100, "brackets"),
        ("online or " * 300 + "online", "at most"),
        ("not " * 100 + "online", "brackets"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_place(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        parse(text)


@given(st.text(max_size=200) | st.text("()= <>!~not andorsite'\"", max_size=200))
def test_any_text_is_an_expression_or_an_error(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert parse(text)(NODE) in (True, False)


def test_selection_keeps_who_is_meant(city: Callable[..., City]) -> None:
    made = city(5)
    assert set(select(made.desk.inventory.nodes(made.now), "site=mapo and tag=canary")) == {made.ids[1]}
    assert where.COMPONENT


# -- sentences --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "scene", "text"),
    [
        (Member("n", "t", 2), Scene(stage=0, stages=4), "waits: for stage 3 of 4, now is stage 1"),
        (Member("n", "t", 0), Scene(full=True), "waits: as many nodes as may be are under way"),
        (Member("n", "t", 0), Scene(), "waits: its turn has come"),
        (Member("n", "t", 0, State.OFFERED, 940, 940), Scene(), "offered 1 min ago, has not begun; not heard of yet"),
        (
            Member("n", "t", 0, State.OFFERED, 990, 990),
            Scene(seen=995),
            "offered 10 s ago, has not begun; last heard 5 s ago",
        ),
        (Member("n", "t", 0, State.TRIAL, 400), Scene(), "on trial for 10 min"),
        (
            Member("n", "t", 0, State.FAILED, 900, reason=7, failures=1),
            Scene(),
            "failed 1 min ago because its flash does not take the files; it tries again",
        ),
        (
            Member("n", "t", 0, State.FAILED, 900, reason=9, failures=1),
            Scene(),
            "failed 1 min ago because the release is not for its board; it does not try again by itself",
        ),
        (
            Member("n", "t", 0, State.ROLLED_BACK, 900, reason=14),
            Scene(),
            "rolled back 1 min ago because reason 14, which this program does not know",
        ),
    ],
)
def test_every_state_is_a_sentence(one: Member, scene: Scene, text: str) -> None:
    assert explain(one, scene, 1000) == text
