"""Faults at every place of the chain: each ends in recovery, with nothing lost that a node had stored, nothing twice.

Faults of the broker and the collector cost nothing at all. A power cut costs at most the row in the making; the tests
know its time from the instant of the cut and excuse no other. Every random instant comes from a seed that is part of
the test's name, and a failure prints the instants.
"""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.e2e.city import City, rows_around
from tests.host.brokers import free_port

from citymote import open_store
from citymote.broker import Broker
from citymote.demo import city as made
from citymote.simulate import broker_settings
from citymote.testing.vm import VirtualNode

if TYPE_CHECKING:
    from citymote.testing.bridge import Event

pytestmark = pytest.mark.usefixtures("run_vm")
MINUTE, HOUR = 60_000, 3_600_000


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker() as running:
        yield running


def small_city(folder: Path, hours: float = 3, nodes: int = 1, **options: object) -> City:
    """Poles of the generated city, a row every two minutes; the first has chips."""
    return City(folder, made.generate(nodes, hours, seed=7), **options)  # type: ignore[arg-type]


# -- the broker -------------------------------------------------------------------------------------------------------


def test_a_broker_that_refuses_connections_at_first_gets_everything_later(tmp_path: Path) -> None:
    city = small_city(tmp_path, nodes=2)
    broker = Broker(port=free_port())
    collecting = city.collect(broker.url)
    last = city.poles[-1].plan.name

    def prepare(node: VirtualNode) -> None:
        # both nodes know an hour without a broker; the second to come to it opens the doors
        node.at(HOUR, lambda: broker.start() if node.directory.name == last else None)

    try:
        for pole in city.poles:
            pole.plan.settings = {**pole.plan.settings, "drain": 86400}
        city.run(broker.url, prepare)
        collecting.close()
    finally:
        broker.stop()
    city.ended_well()
    city.judge()


def broker_that_vanishes(tmp_path: Path, broker: Broker, heap: int | None = None) -> City:
    city = small_city(tmp_path, heap=heap)
    collecting = city.collect(broker.url)

    def prepare(node: VirtualNode) -> None:
        node.at(HOUR, broker.stop)
        node.at(HOUR + 10 * MINUTE, broker.start)

    city.run(broker.url, prepare)
    collecting.close()
    city.ended_well()
    said = city.nodes["0001"].logs
    assert any("broker" in line.text for line in said if line.level <= 1), "the node noticed"
    city.judge()
    return city


def test_a_broker_that_vanishes_for_ten_minutes_costs_nothing(tmp_path: Path, broker: Broker) -> None:
    broker_that_vanishes(tmp_path, broker)


@pytest.mark.usefixtures("micropython32")
def test_a_broker_that_vanishes_costs_nothing_in_what_an_esp32_leaves_an_application(
    tmp_path: Path, broker: Broker
) -> None:
    node = broker_that_vanishes(tmp_path, broker, heap=100).nodes["0001"]
    assert (node.heap, node.garbage) == ("100k", 0)
    assert not [line.text for line in node.logs if "MemoryError" in line.text]


def test_a_broker_that_is_gone_at_the_end_leaves_the_rows_in_the_nodes_store(tmp_path: Path, broker: Broker) -> None:
    city = small_city(tmp_path, hours=2, settings={"drain": 600})
    collecting = city.collect(broker.url)
    city.run(broker.url, lambda node: node.at(HOUR, broker.stop))
    node = city.nodes["0001"]
    ending = node.endings[-1]
    assert ending.code != 0, "a run that could not deliver does not claim that it did"
    assert ending.report["pending"] > 0
    broker.start()
    with node:
        node.start(off=HOUR)  # the same flash, an hour later; the run's last row is long past
        node.wait(120)
    collecting.close()
    city.judge()


# -- the collector ----------------------------------------------------------------------------------------------------


class CollectorProcess:
    """`citymote collect` in a process of its own, to be killed."""

    def __init__(self, url: str, city: City) -> None:
        self._command = [sys.executable, "-m", "citymote", "collect", url, "--store", str(city.store)]
        self._command += ["--keys", str(city.keys.path), "--json"]
        self._process: subprocess.Popen[bytes] | None = None
        self.kills = 0

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        assert self._process is not None
        self._process.send_signal(how)
        return self._process.wait(60)

    def end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def replace(self) -> None:
        assert self.stop(signal.SIGKILL) == -signal.SIGKILL, "it ran until it was killed"
        self.kills += 1
        self.start()


class Tapped(Broker):
    """A broker that tells of each frame: just handed to the collector, or just acknowledged by it.

    It tells in the middle of its work, so that nothing goes on before the answer; `heard` returning True loses the
    acknowledgement, as if the collector had not come to send it.
    """

    def __init__(self, heard: Callable[[str, int], bool]) -> None:
        super().__init__()
        self._heard = heard
        self._open = 0

    def publish(self, message: Any) -> None:
        super().publish(message)
        if message.topic.endswith("/frames"):
            self._open += 1
            self._heard("handed", self._open)

    def acknowledged(self, session: Any, packet_id: int) -> None:
        if session.name == "citymote-collector" and self._heard("acknowledged", self._open):
            return
        super().acknowledged(session, packet_id)
        self._open -= session.name == "citymote-collector"


def test_a_collector_killed_in_mid_stream_and_started_again_misses_nothing(tmp_path: Path) -> None:
    city = small_city(tmp_path, settings={"batch": 1})
    # When each collector dies: at the first frame handed out after so many of its acknowledgements, or at the last of
    # these itself: what it has stored is not acknowledged then, and comes again.
    deaths = [("handed", 20), ("acknowledged", 10), ("handed", 1), ("acknowledged", 1)]
    in_flight: list[int] = []
    acknowledged = 0

    def heard(what: str, open_frames: int) -> bool:
        nonlocal acknowledged
        acknowledged += what == "acknowledged"
        if not deaths or what != deaths[0][0] or acknowledged < deaths[0][1]:
            return False
        collector.replace()
        in_flight.append(open_frames)
        deaths.pop(0)
        acknowledged = 0
        return True

    def begin() -> None:
        city.keys.save()  # the node has told its key; the collector reads the file when it starts
        collector.start()

    with Tapped(heard) as broker:
        collector = CollectorProcess(broker.url, city)
        try:
            city.run(broker.url, lambda node: node.at(30_000, begin))
            assert collector.stop() == 0, "a collector that was asked to stop stops in order"
        finally:
            collector.end()
    assert len(in_flight) == collector.kills == 4
    assert all(in_flight), f"frames without an acknowledgement at each kill: {in_flight}"
    with open_store(city.store, create=False) as place:
        assert place.counts().duplicates >= 2, "what was stored and not acknowledged came again"
    city.ended_well()
    city.judge()


# -- the node ---------------------------------------------------------------------------------------------------------


def lived(city: City, broker: Broker, instants: list[int]) -> None:
    """Judge a city whose nodes lost power at these instants."""
    city.ended_well()
    gaps = city.judge(excused=rows_around(city, instants))
    assert len(gaps) <= len(instants), f"at most the row in the making: {gaps} of cuts at {instants}"


@pytest.mark.parametrize("seed", range(3))
def test_a_node_killed_at_random_instants_loses_at_most_the_row_in_the_making(
    tmp_path: Path, broker: Broker, seed: int
) -> None:
    rng = random.Random(seed)
    instants = sorted(rng.randrange(5000, 3 * HOUR) for _ in range(5))
    city = small_city(tmp_path, restarts=tuple(instants))
    collecting = city.collect(broker.url)
    city.run(broker.url)
    collecting.close()
    assert [ending.code for ending in city.nodes["0001"].endings] == [-signal.SIGKILL] * 5 + [0], instants
    lived(city, broker, instants)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 130))
def test_a_node_killed_at_many_more_random_instants(tmp_path: Path, broker: Broker, seed: int) -> None:
    rng = random.Random(seed)
    instants = sorted(rng.randrange(0, 6 * HOUR) for _ in range(rng.randrange(1, 25)))
    city = small_city(tmp_path, hours=6, restarts=tuple(instants))
    collecting = city.collect(broker.url)
    city.run(broker.url)
    collecting.close()
    lived(city, broker, instants)


def test_a_node_killed_twice_in_every_minute_of_a_quarter_of_an_hour_goes_on(tmp_path: Path, broker: Broker) -> None:
    instants = [HOUR + second * 1000 for second in range(0, 900, 30)]
    city = small_city(tmp_path, hours=2, restarts=tuple(instants))
    collecting = city.collect(broker.url)
    city.run(broker.url)
    collecting.close()
    lived(city, broker, instants)


@pytest.mark.parametrize("seed", range(3))
def test_a_node_killed_as_it_hears_an_acknowledgement_repeats_itself_at_most(
    tmp_path: Path, broker: Broker, seed: int
) -> None:
    rng = random.Random(seed)
    wanted = sorted(rng.sample(range(2, 30), 4))
    # one row a frame, so that there is an acknowledgement for each row
    city = small_city(tmp_path, hours=2, settings={"batch": 1}, restarts=(1 << 50,) * len(wanted))
    collecting = city.collect(broker.url)
    heard = 0

    def prepare(node: VirtualNode) -> None:
        def kill(_: Event) -> None:
            nonlocal heard
            heard += 1
            if heard in wanted:
                node.kill()

        node.on_event(kill, "acked")

    city.run(broker.url, prepare)
    collecting.close()
    node = city.nodes["0001"]
    cuts = [ending.now for ending in node.endings[:-1]]
    assert len(cuts) == len(wanted)
    lived(city, broker, cuts)


@pytest.mark.parametrize("torn", [False, True], ids=["before", "halfway"])
def test_power_that_fails_during_a_write_costs_at_most_that_row(tmp_path: Path, broker: Broker, torn: bool) -> None:
    rng = random.Random(20 + torn)
    operations = [rng.randrange(4, 24) for _ in range(6)]  # a row takes two or three
    city = small_city(tmp_path, hours=2, restarts=(1 << 50,) * len(operations))
    collecting = city.collect(broker.url)

    left = list(operations)

    def before_start(node: VirtualNode) -> None:
        if left:
            node.cut_power("store", left.pop(0), torn=torn)

    city.run(broker.url, before_start=before_start)
    collecting.close()
    cuts = [ending.now for ending in city.nodes["0001"].endings[:-1]]
    assert len(cuts) == len(operations), f"power failed at every wanted operation of {operations}"
    lived(city, broker, cuts)


# -- the host ---------------------------------------------------------------------------------------------------------

HOST = """
import json, sys, threading
from citymote.testing.vm import VirtualNode
folder, options, held = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3] == "held"
node = VirtualNode(folder, **options)
if held:
    node.run_until(60_000)
else:
    began = threading.Event()
    node.on_event(lambda _: began.set(), "identity")
    node.start()
    began.wait()
print(node._process.pid, flush=True)
threading.Event().wait()
"""


@pytest.mark.parametrize("state", ["held", "running", "real-time", "silent-broker"])
def test_a_node_whose_host_dies_ends(tmp_path: Path, state: str) -> None:
    import json
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and never says a word
        settings: dict[str, object] = {"time_earliest": 0}
        if state == "silent-broker":
            settings |= broker_settings(f"mqtt://127.0.0.1:{silent.getsockname()[1]}")
        options = {"settings": settings, "speed": 1 if state == "real-time" else 0}
        command = [sys.executable, "-c", HOST, str(tmp_path / "node"), json.dumps(options), state]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as host:
            assert host.stdout is not None
            pid = int(host.stdout.readline())
            handle = os.pidfd_open(pid)
            try:
                host.kill()
                poller = select.poll()
                poller.register(handle, select.POLLIN)
                ended = bool(poller.poll(60_000))
                if not ended:
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
                assert ended, f"the node goes on without its host ({state})"
            finally:
                os.close(handle)
