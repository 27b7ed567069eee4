"""A release goes to real virtual nodes, signed and in stages; one is cut off, and a bad one rolls back.

The nodes are the real firmware on real littlefs, each in a process of its own with its own time; they find releases in
a folder behind a file server, and tell of them through a broker, a collector and a store. The desk sees nothing else of
them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from citymote.demo.updating import GOOD, INTERVAL, OFF, City, key_of, run
from citymote.testing import slots
from citymote.update.keyring import Key
from citymote.update.plan import Amount, Plan, stages

pytestmark = [pytest.mark.usefixtures("run_vm"), pytest.mark.timeout(600)]
ROOT, FIRST, SECOND = key_of(1), key_of(2), key_of(3)


def test_a_release_reaches_all_one_is_cut_off_and_comes_back_and_a_bad_one_rolls_back(tmp_path: Path) -> None:
    lines: list[str] = []
    story = run(tmp_path, lines.append)
    assert story.as_dict() | {"cut_off": "", "rolled_back": ""} == {
        "nodes": 3, "updated": 3, "cut_off": "", "rolled_back": "", "unharmed": 2, "rows_lost": 0, "rows_wrong": 0,
        "rows_without_power": story.without_power, "good": True,
    }, lines  # fmt: skip
    assert story.cut_off
    assert story.rolled_back
    assert story.without_power <= OFF // INTERVAL + 2
    assert any("rolled back" in line and "because" in line for line in lines), "a state explains itself"
    for number in range(3):
        record = slots.boot_record(tmp_path / f"node{number + 1}")
        assert record is not None
        assert (record.slot, record.trial, record.floor) == (1, False, 2), "all run what they ran"


def test_a_rotated_key_signs_the_next_release_and_a_revoked_one_nothing(tmp_path: Path) -> None:
    plan = Plan(stages=stages("100%"), soak=0, abort_at=Amount.parse("100%"))
    with City(tmp_path, 1, 4.0, ROOT, FIRST) as city:

        def over(number: int) -> Callable[[], bool]:
            return lambda: city.status(number) != "running"

        city.go(over(city.begin(city.release("2.0.0", GOOD, 2, FIRST), plan)))
        assert city.desk.counts(1) == {"confirmed": 1}
        runtimes = city.desk.running("micropython")
        assert [(node, version.startswith("1.")) for node, version in runtimes] == [(city.ids[0], True)]
        assert city.desk.running("node.app", "2.0.0") == [(city.ids[0], "2.0.0")]
        city.keys = city.keys.changed([Key(SECOND.public, "release")], [FIRST.kid])
        city.publish_keys()
        city.go(over(city.begin(city.release("2.1.0", {"node/extra.py": "NEW = 3\n"}, 3, SECOND), plan)))
        assert city.desk.counts(2) == {"confirmed": 1}
        # what the revoked key signs is refused by the node itself, whatever the host would say
        revoked = city.release("2.2.0", {"node/extra.py": "NEW = 4\n"}, 4, FIRST)
        city.publication.put_files(revoked)
        city.publication.offer(city.ids[0], next(iter(revoked.envelopes.values())))
        city.move(0.75)
        city.finish()
        failed = [event for event in city.nodes[0].event_data("update") if event["state"] == 7]
        assert {event["reason"] for event in failed} == {5}
        record = slots.boot_record(city.nodes[0].directory)
        assert record is not None
        assert record.floor == 3
