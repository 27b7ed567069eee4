"""Many virtual nodes: all run to their end, one that fails is one result, an interrupt leaves nothing behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from citymote.errors import UsageError
from citymote.simulate import Fleet, Plan, broker_settings
from citymote.testing import runtime
from citymote.testing.world import World

if TYPE_CHECKING:
    from citymote.testing.vm import VirtualNode

BOARD = {"board": "t", "sensors": []}
T0 = 820_454_400

MAIN = """
import asyncio
from node import hal

async def main():
    settings = hal.settings()
    hal.mount()
    hal.event("began", settings["number"])
    await asyncio.sleep(settings.get("sleep", 3600))
    if settings["number"] == settings.get("fails"):
        raise ValueError("as told")
    hal.exit(0, {"number": settings["number"], "now": await hal.network_time()})

hal.run(main())
"""


@pytest.fixture
def application(tmp_path: Path, app_tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few lines in place of the application's main, over the real hardware layer."""
    tree = tmp_path / "application"
    tree.mkdir()
    for entry in app_tree.iterdir():
        if entry.name != "main.py":
            (tree / entry.name).symlink_to(entry)
    (tree / "main.py").write_text(MAIN)
    monkeypatch.setattr(runtime, "application", lambda _: tree)


def plans(count: int, **settings: Any) -> list[Plan]:
    return [Plan(f"n{i}", BOARD, World(T0 + i), {"number": i, **settings}, seed=i) for i in range(count)]


def alive(node: VirtualNode) -> bool:
    """Whether its process is still there."""
    process = node._process
    return process is not None and process.poll() is None


@pytest.mark.usefixtures("application")
def test_every_node_runs_to_its_end_with_its_own_settings_and_world(tmp_path: Path) -> None:
    heard: list[tuple[str, Any]] = []
    progress: list[tuple[int, int]] = []
    fleet = Fleet(
        plans(5),
        tmp_path / "fleet",
        settings={"sleep": 7200},
        on_event=lambda name, event: heard.append((name, event.data)),
        progress=lambda _, done, total: progress.append((done, total)),
    )
    results = fleet.run()
    assert [(r.name, r.error, {k: r.report[k] for k in ("number", "now")}) for r in results] == [
        (f"n{i}", None, {"number": i, "now": T0 + i + 7200}) for i in range(5)
    ]
    assert sorted(heard) == [(f"n{i}", i) for i in range(5)]
    assert progress == [(i, 5) for i in range(1, 6)]


@pytest.mark.usefixtures("application")
def test_a_node_that_fails_is_one_result_and_says_why(tmp_path: Path) -> None:
    results = Fleet(plans(3, fails=1), tmp_path / "fleet").run()
    assert [r.error is None for r in results] == [True, False, True]
    assert "ValueError: as told" in str(results[1].error)


@pytest.mark.usefixtures("application")
def test_a_plan_may_cut_its_nodes_power(tmp_path: Path) -> None:
    plan = Plan("n0", BOARD, World(T0), {"number": 0}, restarts=(1_000_000, 3_000_000), off=60_000)
    nodes: list[VirtualNode] = []
    results = Fleet([plan], tmp_path / "fleet", prepare=lambda _, node: nodes.append(node)).run()
    assert results[0].error is None
    assert [(ending.code, ending.now) for ending in nodes[0].endings] == [
        (-9, 1_000_000),
        (-9, 3_000_000),
        (0, 3_060_000 + 3_600_000),
    ]


@pytest.mark.usefixtures("application")
def test_an_interrupt_stops_what_runs_and_starts_no_more(tmp_path: Path) -> None:
    nodes: list[VirtualNode] = []

    def keep(_: Plan, node: VirtualNode) -> None:
        nodes.append(node)
        if len(nodes) == 1:
            node.on_event(lambda _: node.kill())  # the first result, while another node runs

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    # in real time and a thousand times slower: these nodes never end by themselves
    fleet = Fleet(plans(5), tmp_path / "fleet", at_once=2, speed=0.001, prepare=keep, progress=interrupt)
    with pytest.raises(KeyboardInterrupt):
        fleet.run()
    assert 1 <= len(nodes) < 5
    assert not any(alive(node) for node in nodes)


def test_two_nodes_cannot_have_one_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="same name"):
        Fleet(plans(1) + plans(1), tmp_path)


@pytest.mark.parametrize(
    ("url", "settings"),
    [
        ("mqtt://broker.example", {"broker_host": "broker.example", "broker_port": 1883, "broker_tls": False}),
        ("mqtts://h", {"broker_host": "h", "broker_port": 8883, "broker_tls": True}),
        (
            "mqtt://us%40er:p%2Fw@[::1]:1234",
            {
                "broker_host": "::1",
                "broker_port": 1234,
                "broker_tls": False,
                "broker_user": "us@er",
                "broker_password": "p/w",
            },
        ),
    ],
)
def test_a_brokers_address_becomes_settings(url: str, settings: dict[str, Any]) -> None:
    assert broker_settings(url) == settings


@pytest.mark.parametrize("url", ["", "localhost", "http://h", "mqtt://", "mqtt://h:port", "mqtt://h/topic"])
def test_what_is_no_brokers_address_is_refused_without_repeating_a_password(url: str) -> None:
    with pytest.raises(UsageError, match="broker's address"):
        broker_settings(url)


@pytest.mark.usefixtures("application")
def test_settings_with_a_password_are_for_the_owner_only(tmp_path: Path) -> None:
    Fleet(plans(1), tmp_path / "fleet", broker="mqtt://user:secret@localhost").run()
    path = tmp_path / "fleet" / "n0" / "settings.json"
    assert json.loads(path.read_text())["broker_password"] == "secret"
    assert path.stat().st_mode & 0o077 == 0
