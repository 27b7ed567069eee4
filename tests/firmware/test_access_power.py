"""A node loses power at every operation on its flash while it is claimed, configured, tried, transferred and reset.

`access_cuts.py` tells the story inside a VM: the node's own start, requests and wipe over the real littlefs. A failure
prints the id of its cut, operation:torn, and the request that was under way: `cuts(run_vm, OPERATION, 1, 0, OPERATION)`
runs it alone, with 1 in place of 0 where the id names a second cut.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.claimable import START, transfer
from tests.support.owner import Key, plain
from tests.support.vm import TOP, Result

from citymote_protocol import cbor

SCRIPT = Path(__file__).with_name("access_cuts.py")
SOURCES = [TOP / "firmware", TOP / "protocol"]
NODE = "c17e00000001"
BOUND = bytes(range(32))
UPLINK = {"broker_host": "broker.city", "collector_key": "02" + "11" * 32, "broker_password": "a secret"}


def signed(old: Key, new: Key, large: int) -> dict[str, str]:
    """What goes into the VM: keys, statements, bodies."""

    def map_of(values: dict[str, Any]) -> str:
        return cbor.dumps(plain(values)).hex()

    certificate = {"broker_ca": bytes(range(256)) * (large // 256)} if large else {}
    return {
        "name": NODE,
        "secret": bytes(range(100, 116)).hex(),
        "old": old.public.hex(),
        "new": new.public.hex(),
        "configuration": map_of({**UPLINK, **certificate, "interval": 60, "station": "pole 7"}),
        "correction": map_of({"station": "pole 8"}),
        "time": cbor.dumps([START, old.statement(cbor.dumps(START), "citymote time 1")]).hex(),
        "offer": old.statement(transfer(NODE, new, 5), "citymote transfer 1").hex(),
        "confirmation": new.statement(cbor.dumps([bytes.fromhex(NODE), BOUND]), "citymote confirm 1").hex(),
    }


def cuts(run_vm: Callable[..., Result], *arguments: int, large: int = 0) -> dict[str, Any]:
    given = json.dumps(signed(Key(), Key(), large))
    found = run_vm(SCRIPT, *map(str, arguments), heap="48m", path=SOURCES, timeout=1500, stdin=given)
    assert found.stdout.strip(), found.stderr[-3000:]
    said: dict[str, Any] = json.loads(found.stdout.strip().splitlines()[-1])
    assert "failed" not in said, f"cut {said['failed']} while {said['request']}: {said['why']}"
    found.checked()
    return said


def changes(said: dict[str, Any]) -> list[tuple[str, set[str]]]:
    """What each request of the story has changed of what the node is."""
    found: list[tuple[str, set[str]]] = []
    for (_, name), before, after in zip(said["operations"], said["states"][:-1], said["states"][1:], strict=True):
        found.append((name, {key for key in after if before[key] != after[key]}))
    return found


@pytest.mark.parametrize("large", [0, 1536])
def test_every_cut_leaves_the_old_or_the_new_and_never_between(run_vm: Callable[..., Result], large: int) -> None:
    """`large`: bytes of a certificate in the configuration, which then has blocks of its own in the flash."""
    said = cuts(run_vm, 1, 1, 0, large=large)
    assert said["tried"] == 2 * sum(count for count, _ in said["operations"])
    assert all(count for count, _ in said["operations"]), "every request of the story writes"
    assert all(state["label"] for state in said["states"]), "identity and label outlive everything"
    told = changes(said)
    assert told[0] == ("claimed", {"owner", "purpose"})
    assert told[1] == ("configured", {"pending"})
    assert told[2] == ("begun", {"trial", "purpose", "in force"})
    assert told[4] == ("succeeded", {"trial", "purpose", "pending", "password"})
    assert told[8] == ("forgot", {"readings"})
    gone = {"owner", "purpose", "epoch", "pending", "trial", "in force", "offer", "time", "password"}
    assert told[11] == ("taken", gone)
    assert told[17] == ("reset", {"owner", "purpose", "pending", "recovery"})


@pytest.mark.parametrize("first", [1, 17])
def test_a_sample_of_cuts_that_are_followed_by_another(run_vm: Callable[..., Result], first: int) -> None:
    assert cuts(run_vm, first, 29, 1)["tried"] > 20


@pytest.mark.slow
@pytest.mark.parametrize("large", [0, 1536])
def test_every_cut_followed_by_another_at_every_operation(run_vm: Callable[..., Result], large: int) -> None:
    assert cuts(run_vm, 1, 1, 1, large=large)["tried"] > 1000


def test_the_id_of_a_cut_runs_it_alone(run_vm: Callable[..., Result]) -> None:
    assert cuts(run_vm, 20, 1, 0, 20)["tried"] == 2
