"""How long a node takes to be well again after each fault, in seconds of its own time.

Well is: a row that was taken after the fault, with everything in it, has been acknowledged. The node takes one every
ten seconds and sends each by itself, so that up to ten of these seconds are the wait for the next row. Of a broker that
was away, and of a LoRaWAN network, it is the first acknowledgement that counts; frames wait there for one another. A
start spends no virtual time; what it costs a chip is unknown.
"""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.firmware import collecting, test_lorawan

from citymote.broker import Broker
from citymote.testing.bridge import Wiring
from citymote.testing.emul.lines import StuckLines
from citymote.testing.emul.sht4x import SHT4x
from citymote.testing.vm import VirtualNode
from citymote.testing.wifi import WiFi

FAMILY = "node"
INTERVAL = 10
MINUTE, HOUR = 60_000, 3_600_000
BEGIN = HOUR + 3_000  # of every fault, three seconds after a row
NETWORK = {"ssid": "city", "key": "a long key"}


def pole(folder: Path, broker: Broker, end: int, **made_with: Any) -> VirtualNode:
    """A climate sensor, a row each ten seconds, until a while after `end`."""
    settings = {
        "interval": INTERVAL, "batch": 1, "batch_backlog": 60, "status_interval": 0, "publish_rate": 0, "drain": 7200,
        "until": collecting.START + (end + HOUR) // 1000, "unsealed": True, "network": NETWORK,
        "broker_host": "127.0.0.1", "broker_port": broker.port,
    }  # fmt: skip
    return VirtualNode(
        folder, settings=settings, board={"board": "virtual", "sensors": [{"driver": "sht4x", "bus": "i2c0"}]},
        wiring=Wiring({"i2c0": SHT4x(lambda now: 21.5, lambda now: 45.0)}), start_time=collecting.START,
        heap=collecting.HEAP, **made_with,
    )  # fmt: skip


def well_again(node: VirtualNode, collector: collecting.Collector, end: int) -> float:
    """Seconds from `end` to the acknowledgement of the first whole row that was taken after it."""
    with node:
        if not node.running:
            node.start()
        frames = collecting.stored(collector.all_of(node.wait(280)))
    after = {
        frame.seq
        for frame in frames.values()
        if frame.kind == 0
        for row in range(frame.count)
        if frame.time_of(row) > collecting.START + end / 1000
        and all(column[row] is not None for column in frame.values)
    }
    acked = [event.now for event in node.events if event.name == "acked" and event.data["seq"] in after]
    return (min(acked) - end) / 1000


def faults(folder: Path) -> dict[str, float]:
    """A node with an uplink over Wi-Fi and MQTT. A router that is off takes the way to the broker with it."""
    wifi = WiFi({"city": "a long key"})
    broker = Broker()

    def bus(error: int | None) -> Callable[[VirtualNode], None]:
        return lambda node: node.wiring.fault("i2c0", error)

    def stick(node: VirtualNode) -> None:
        node.wiring.stick("i2c0", StuckLines(0, 3))

    def gone(_: VirtualNode) -> None:
        wifi.keys.clear()
        broker.stop()

    def back(_: VirtualNode) -> None:
        wifi.keys.update(city="a long key")
        broker.start()

    def nothing(_: VirtualNode) -> None:
        pass

    # name, minutes that it lasts, what is done and undone; a stuck bus the node frees itself
    told: tuple[tuple[str, int, Callable[[VirtualNode], None], Callable[[VirtualNode], None]], ...] = (
        ("router_away_minute", 1, gone, back),
        ("router_away_hour", 60, gone, back),
        ("sensor_unplugged", 10, bus(errno.ENODEV), bus(None)),
        ("bus_stuck", 0, stick, nothing),
    )
    metrics: dict[str, float] = {}
    for name, minutes, begin, ended in told:
        end = BEGIN + minutes * MINUTE
        with broker, collecting.Collector(broker.port) as collector:
            node = pole(folder / name, broker, end, wifi=wifi)
            node.at(BEGIN, lambda node=node, begin=begin: begin(node))
            node.at(end, lambda node=node, ended=ended: ended(node))
            metrics[f"node.recovery_seconds.{name}"] = well_again(node, collector, end)
    return metrics


def power(folder: Path) -> dict[str, float]:
    """Gone for a minute: between two writes to flash, and in the middle of one."""
    metrics: dict[str, float] = {}
    for name, torn in (("power", False), ("power_in_a_write", True)):
        with Broker() as broker, collecting.Collector(broker.port) as collector:
            node = pole(folder / name, broker, BEGIN + MINUTE)
            if torn:
                node.cut_power("store", 1000, torn=True)
                node.start()
                node.wait(280, check=False)
            else:
                node.run_until(BEGIN)
                node.kill()
            end = node.now + MINUTE
            node.start(off=MINUTE)
            metrics[f"node.recovery_seconds.{name}"] = well_again(node, collector, end)
    return metrics


def broker_away(folder: Path) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for name, minutes in (("minute", 1), ("hour", 60), ("day", 24 * 60)):
        with Broker() as broker, collecting.Collector(broker.port):
            end = HOUR + minutes * MINUTE
            hours = (end + HOUR) / HOUR
            with collecting.node(folder / name, hours, broker.port, heap="400k", garbage=0) as node:
                node.at(HOUR, lambda broker=broker: broker.stop())
                node.at(end, lambda broker=broker: broker.start())
                node.start()
                node.wait(280)
                metrics[f"node.recovery_seconds.broker_away_{name}"] = first_acked(node, end)
    return metrics


def lorawan(folder: Path) -> dict[str, float]:
    """A modem that loses its session, and a network out of reach."""
    end = 2 * HOUR
    metrics: dict[str, float] = {}
    network = test_lorawan.air()
    node, modem = test_lorawan.pole(folder / "reset", network, 4)
    node.at(end, lambda: modem.reset(end))
    apart = test_lorawan.air(covered=lambda now: not HOUR < now < end)
    away, _ = test_lorawan.pole(folder / "away", apart, 4, duty_cycle=0.0, lorawan={"airtime": 3600})
    for name, one in (("modem_reset", node), ("coverage_lost_hour", away)):
        with one:
            one.start()
            one.wait(280)
        metrics[f"node.recovery_seconds.{name}"] = first_acked(one, end)
    return metrics


def first_acked(node: VirtualNode, end: int) -> float:
    return (min(event.now for event in node.events if event.name == "acked" and event.now >= end) - end) / 1000


def measure() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return faults(folder) | power(folder) | broker_away(folder) | lorawan(folder)
