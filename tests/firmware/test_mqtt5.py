"""MQTT 5: the client against a scripted broker in a VM, and the whole node against Mosquitto, beside 3.1.1."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.host import brokers
from tests.support.vm import Result

from .collecting import Collector, expected, node, rows

pytestmark = pytest.mark.usefixtures("run_vm")
SCRIPT = Path(__file__).with_name("mqtt5_vm.py")
CASES = [
    found.name
    for found in ast.parse(SCRIPT.read_text()).body
    if isinstance(found, ast.FunctionDef) and found.name != "ends_with"
]
MINUTE = 60_000
BOTH = pytest.mark.parametrize("version", ["3.1.1", "5"])


@pytest.mark.parametrize("case", CASES)
def test_in_the_vm(run_vm: Callable[..., Result], case: str) -> None:
    found = run_vm(SCRIPT, case, heap="500k", timeout=60)
    assert found.stdout.endswith("done\n"), found.stdout + found.stderr


@contextmanager
def mosquitto_with(mosquitto: Any, folder: Path, extra: str = "") -> Iterator[brokers.Broker]:
    with brokers.Broker(mosquitto.broker, folder / "mosquitto", "allow_anonymous true\n" + extra) as found:
        yield found


@BOTH
def test_every_row_arrives_over_a_broker_that_dies_and_comes_back(
    tmp_path: Path, mosquitto: object, version: str
) -> None:
    with (
        mosquitto_with(mosquitto, tmp_path) as broker,
        Collector(broker.port) as collector,
        node(tmp_path / "n", 2, broker.port, grace=200, broker_version=version) as n,
    ):
        n.at(40 * MINUTE, broker.stop)
        n.at(50 * MINUTE, broker.start)
        n.start()
        report = n.wait(100).report
        messages = collector.wait(report["frames"])
    assert rows(messages) == expected(1, 60)
    assert report["pending"] == 0


@BOTH
def test_the_link_state_is_retained(tmp_path: Path, mosquitto: object, version: str) -> None:
    with mosquitto_with(mosquitto, tmp_path) as broker:
        with node(tmp_path / "n", 0.2, broker.port, broker_version=version) as n:
            n.start()
            n.wait(60)
        with Collector(broker.port) as collector:
            collector.wait(0)
            with collector._news:  # pyright: ignore[reportPrivateUsage]
                collector._news.wait_for(lambda: bool(collector.others), 10)  # pyright: ignore[reportPrivateUsage]
        assert collector.others[0][0].endswith("/link")


def test_the_brokers_receive_maximum_is_honoured(tmp_path: Path, mosquitto: object) -> None:
    # Mosquitto closes the connection of a client that has more under way than it was told.
    with (
        mosquitto_with(mosquitto, tmp_path, "max_inflight_messages 1\n") as broker,
        Collector(broker.port) as collector,
        node(tmp_path / "n", 10, broker.port, broker_version="5", batch=1, publish_rate=0, status_interval=0) as n,
    ):
        broker.stop()
        n.at(8 * 60 * MINUTE, broker.start)
        n.start()
        report = n.wait(100).report
        messages = collector.wait(report["frames"])
        lost = [line.text for line in n.logs if "more under way" in line.text]
    assert rows(messages) == expected(1, 300)
    assert not lost


def test_the_brokers_keep_alive_is_kept(tmp_path: Path, mosquitto: object) -> None:
    """60 s instead of 600: 160 pings in two hours, not 16. Whether Mosquitto 2.0.21 then keeps its word is its own
    affair: it lets a connection go, now and then, that it lowered to 60 and that spoke a second ago."""
    said = tmp_path / "broker.log"
    with (
        mosquitto_with(mosquitto, tmp_path, f"max_keepalive 60\nlog_type debug\nlog_dest file {said}\n") as broker,
        Collector(broker.port),
        node(tmp_path / "n", 2, broker.port, grace=2000, broker_version="5", broker_keepalive=600, batch=30) as n,
    ):
        n.start()
        report = n.wait(60).report
    assert report["pending"] == 0
    assert 120 < said.read_text().count("Received PINGREQ from citymote-") < 200


def test_a_packet_that_is_too_large_for_the_broker_stays_and_is_named(tmp_path: Path, mosquitto: object) -> None:
    with (
        mosquitto_with(mosquitto, tmp_path, "max_packet_size 200\n") as broker,
        node(tmp_path / "n", 1, broker.port, broker_version="5", batch=30, drain=60) as n,
    ):
        n.start()
        ending = n.wait(60, check=False)
    assert ending.report["pending"] > 0
    assert any("packets of 200 bytes at most" in line.text for line in n.logs)


def test_a_refused_login_has_its_reason(tmp_path: Path, mosquitto: object) -> None:
    extra = "allow_anonymous false\n"
    with (
        brokers_without_guests(mosquitto, tmp_path, extra) as broker,
        node(tmp_path / "n", 0.5, broker.port, broker_version="5", drain=60) as n,
    ):
        n.start()
        ending = n.wait(60, check=False)
    assert ending.report["acked"] == 0
    assert any("not authorized" in line.text for line in n.logs)


@contextmanager
def brokers_without_guests(mosquitto: Any, folder: Path, extra: str) -> Iterator[brokers.Broker]:
    broker = brokers.Broker(mosquitto.broker, folder / "mosquitto", extra)
    with broker as found:
        yield found


def test_a_broker_of_version_3_only_is_told_apart(tmp_path: Path) -> None:
    from citymote.broker import Broker

    with Broker() as broker, node(tmp_path / "n", 0.2, broker.port, broker_version="5", drain=60) as n:
        n.start()
        n.wait(60, check=False)
    assert any("MQTT 5" in line.text or "closed the connection" in line.text for line in n.logs)
