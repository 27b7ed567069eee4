"""A rollout goes its way: stages one after another, what ends it, whom nobody waits for, and a host that is killed.

A bad release must end with its first nodes, and a good one reach all of them whatever happens to the host in between.
Whom a rollout means is in `test_rollout_rules`, what is told of each node in `test_rollout_states`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.rollouts import KEYS, START, URGENT, City, bundle
from tests.support.sim_fleet import FAILED, GOOD, ROLLED_BACK, node_id

from citymote.errors import UsageError
from citymote.update import member, rollout
from citymote.update.book import Book
from citymote.update.plan import Amount, Plan, Window, stages
from citymote.update.publish import Publication

pytestmark = pytest.mark.usefixtures("quick_disk")

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
