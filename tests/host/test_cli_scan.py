"""`citymote scan`, as a process of its own whose radio is in the test's air."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.air import ble_node, node_id

from citymote.testing.air import Air


@pytest.fixture
def air(tmp_path: Path) -> Iterator[Air]:
    with (
        Air(seed=2) as air,
        ble_node(tmp_path / "1", air, 1) as first,
        ble_node(tmp_path / "2", air, 2, state=2, detail=2) as second,
    ):
        air.place("n2", 30)
        first.start()
        second.start()
        yield air


def scan(air: Air, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "citymote", "scan", "--radio", air.transport, "--seconds", "3", *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_one_line_of_json_for_each_node(air: Air) -> None:
    done = scan(air, "--json")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    seen = {line["node"]: line for line in lines}
    assert sorted(seen) == [node_id(1), node_id(2)]
    assert seen[node_id(1)]["state"] == "unowned"
    assert "reason" not in seen[node_id(1)]
    assert (seen[node_id(2)]["state"], seen[node_id(2)]["reason"]) == ("trial_failed", "the network refuses the key")
    assert seen[node_id(2)]["rssi"] < seen[node_id(1)]["rssi"] < 0


def test_for_people_the_nearest_first_and_by_state(air: Air) -> None:
    done = scan(air)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first.startswith(node_id(1))
    assert second.endswith("trial failed: the network refuses the key")
    assert scan(air, "--state", "trial-failed").stdout.startswith(node_id(2))


def test_only_those_whose_label_is_at_hand(air: Air, tmp_path: Path) -> None:
    other = "CM1:0DNHFMFJW4P44HZRQKKEARX483S7E0VXG4PYPCX0YJGKJHERK319C001081G81860W40J2GB1G6GW3SG3XW0"
    (tmp_path / "labels.txt").write_text(other + "\n")
    done = scan(air, "--json", "--label", str(tmp_path / "labels.txt"))
    assert (done.returncode, done.stdout) == (0, "")
    assert other not in done.stderr


def test_nobody_there_and_nothing_to_listen_with() -> None:
    with Air() as air:
        done = scan(air)
        assert (done.returncode, done.stdout) == (0, "")
        assert "no node was heard" in done.stderr
        gone = air.transport
    command = [sys.executable, "-m", "citymote", "scan", "--radio", gone]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert f"there is no radio at {gone}" in done.stderr
    done = subprocess.run(
        [sys.executable, "-m", "citymote", "scan", "--state", "sold"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2


def test_a_computer_without_bluetooth_says_so() -> None:
    from os import environ

    done = subprocess.run(
        [sys.executable, "-m", "citymote", "scan", "--seconds", "1"],
        env={**environ, "DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nowhere"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "there is no Bluetooth to scan with" in done.stderr
    assert "Traceback" not in done.stderr
