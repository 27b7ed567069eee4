"""What is known of each node in a rollout: the events that are believed, the state they make, and the sentence it is.

Events come late, twice, in the clear or about something else; an operator who asks why a node has not got its release
reads one sentence that must be true.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.support.rollouts import City, bundle
from tests.support.sim_fleet import CONFIRMED, DOWNLOADING, FAILED

from citymote.update import member
from citymote.update.member import Member, Scene, State, explain
from citymote.update.plan import Plan, stages

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
