"""Whom a rollout means: an operator's holds, pins and pauses are kept, and who is left out is told why.

A city has nodes that must not be touched now, or that must not get this release at all: these rules, and not the
nodes' good luck, keep it from them. How a rollout goes on among those that are left is in `test_rollout`.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.support.rollouts import BOARD, City, bundle
from tests.support.signers import private
from tests.support.sim_fleet import GOOD

from citymote.errors import CitymoteError, UsageError
from citymote.update import rollout, where
from citymote.update.book import Rule
from citymote.update.inventory import select
from citymote.update.plan import Plan, stages

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


# -- the expressions --------------------------------------------------------------------------------------------------


def test_selection_keeps_who_is_meant(city: Callable[..., City]) -> None:
    made = city(5)
    assert set(select(made.desk.inventory.nodes(made.now), "site=mapo and tag=canary")) == {made.ids[1]}
    assert where.COMPONENT
