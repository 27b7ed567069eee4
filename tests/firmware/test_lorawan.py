"""The LoRaWAN link, from rows to frames on the host, through an emulated modem and a network that comes and goes."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from citymote.decode import Decoder, Frame
from citymote.keys import KeyFile, Opener, generate_collector_key
from citymote.testing.emul.rak3172 import RAK3172, Network
from citymote.testing.emul.replay import Replay
from citymote.testing.vm import VirtualNode

from . import collecting
from .collecting import START, expected

pytestmark = pytest.mark.usefixtures("run_vm")
KEY = "2b7e151628aed2a6abf7158809cf4f3c"
JOIN = "70b3d57ed0000001"
HEAP = "160k"
MINUTE = 60_000
HOUR = 60 * MINUTE


def noise(quantity: int, row: int) -> int:
    """What a quantity is in a row of air that never rests."""
    return 200 + (row * row * 7919 + quantity * row * 104729) % 131


def restless(node: VirtualNode) -> dict[int, list[int]]:
    """Let the node measure that; what its first 720 rows must say."""
    quantities = (1, 2, 5, 6, 7, 8, 9, 10)
    node.wiring.connect("uart0", Replay(lambda now: {q: noise(q, collecting.row_of(now)) for q in quantities}))
    return {
        row: [noise(q, row) if q in quantities else collecting.value(q, row) for q in range(1, 11)]
        for row in range(1, 721)
    }


def air(**changes: Any) -> Network:
    return Network(KEY, time=START * 1000, **changes)


def pole(
    folder: Path, network: Network, hours: float, *, lorawan: dict[str, Any] | None = None, **changes: Any
) -> tuple[VirtualNode, RAK3172]:
    modem = RAK3172(network, **{key: changes.pop(key) for key in ("duty_cycle", "echo", "old_names") if key in changes})
    settings = {"join_eui": JOIN, "app_key": KEY, **(lorawan or {})}
    changes = {"batch": 255, "batch_backlog": 255, "drain": 7200, "status_interval": 0, "max_delay": 0} | changes
    node = collecting.node(
        folder, hours, board=collecting.BOARD | {"lorawan": "uart2"}, lorawan=settings, heap=HEAP, **changes
    )
    node.wiring.connect("uart2", modem)
    return node, modem


def frames(node: VirtualNode, network: Network, keys: Opener | None = None) -> list[Frame]:
    name = node.event_data("identity")[0]["node"]
    return list(
        Decoder(keys, node=None if keys else name).frames(
            uplink.payload for uplink in network.uplinks if uplink.port == 2
        )
    )


def rows(found: list[Frame]) -> dict[int, list[Any]]:
    """Row number: values; a frame that came twice counts once."""
    out: dict[int, list[Any]] = {}
    for frame in {(frame.epoch, frame.seq): frame for frame in found}.values():
        if frame.kind == "batch":
            for r in range(frame.body.count):  # type: ignore[union-attr]
                row, rest = divmod(frame.body.time_of(r) - START, collecting.INTERVAL)  # type: ignore[union-attr]
                assert rest == 0, "a row off the clock"
                assert row not in out, f"row {row} twice"
                out[row] = [column[r] for column in frame.body.values]  # type: ignore[union-attr]
    return out


def test_every_row_of_a_night_arrives_in_frames_that_fit_the_slowest_rate(tmp_path: Path) -> None:
    network = air()
    node, modem = pole(tmp_path / "n", network, 6)
    with node:
        node.start()
        report = node.wait(100).report
    found = frames(node, network)
    assert rows(found) == expected(1, 180)
    # The first row comes before the time, is not packed therefore, and longer than the slowest rate takes.
    assert max(len(uplink.payload) for uplink in network.uplinks[3:]) <= 51
    assert {uplink.dr for uplink in network.uplinks[3:]} == {0}
    assert all(uplink.confirmed for uplink in network.uplinks)
    assert report["pending"] == 0
    assert {frame.node for frame in found} == {node.event_data("identity")[0]["node"]}
    packed = [frame for frame in found if frame.body.packed and frame.kind == "batch"]  # type: ignore[union-attr]
    assert len(packed) >= len(found) - 3, "only rows from before the time was known are not"
    assert modem.commands.count("AT+CFM=1") == 1


@pytest.mark.parametrize(("rate", "size"), [(0, 51), (3, 115), (5, 222)])
def test_frames_fill_what_the_data_rate_carries(tmp_path: Path, rate: int, size: int) -> None:
    network = air(dr=rate)
    node, _ = pole(tmp_path / "n", network, 10, duty_cycle=0, lorawan={"payload": 0, "airtime": 3600})
    due = restless(node)
    with node:
        node.start()
        node.wait(100)
    assert rows(frames(node, network)) == {row: due[row] for row in range(1, 301)}
    sizes = [len(uplink.payload) for uplink in network.uplinks if uplink.dr == rate][2:-2]
    assert max(sizes) <= size
    assert sum(sizes) / len(sizes) > 0.75 * size, "no row more would have fitted"


def test_a_modem_that_resets_in_the_middle_loses_nothing(tmp_path: Path) -> None:
    network = air()
    node, modem = pole(tmp_path / "n", network, 6)
    for minutes in (47, 131, 132, 250):
        node.at(minutes * MINUTE, lambda at=minutes: modem.reset(at * MINUTE))
    with node:
        node.start()
        assert node.wait(100).report["pending"] == 0
    assert modem.resets == 4
    assert len(network.joins) >= 4, "a session is joined again"
    assert rows(frames(node, network)) == expected(1, 180)


def test_out_of_coverage_everything_waits_and_then_arrives(tmp_path: Path) -> None:
    network = air(covered=lambda now: not 40 * MINUTE < now < 200 * MINUTE)
    node, _ = pole(tmp_path / "n", network, 6, duty_cycle=0.0, lorawan={"airtime": 3600})
    with node:
        node.start()
        assert node.wait(100).report["pending"] == 0
    assert rows(frames(node, network)) == expected(1, 180)


def test_an_uplink_whose_acknowledgement_is_lost_is_sent_again_and_is_the_same(tmp_path: Path) -> None:
    network = air(acknowledges=lambda now: not 60 * MINUTE < now < 75 * MINUTE)
    node, _ = pole(tmp_path / "n", network, 3)
    with node:
        node.start()
        assert node.wait(100).report["pending"] == 0
    payloads = network.payloads()[1:]
    assert len(payloads) > len(set(payloads)), "sent more than once"
    assert rows(frames(node, network)) == expected(1, 90)


def test_the_budget_of_time_on_air_is_kept(tmp_path: Path) -> None:
    network = air()
    node, _ = pole(tmp_path / "n", network, 24, duty_cycle=0.0, lorawan={"airtime": 12}, drain=0)
    restless(node)
    with node:
        node.start()
        node.wait(100, check=False)
    starts = [(uplink.now, uplink.airtime) for uplink in network.uplinks]
    for at, _ in starts:
        within = sum(cost for other, cost in starts if at <= other < at + HOUR)
        assert within <= 2 * 12_000, f"{within / 1000:.1f} s on air in the hour from {at / MINUTE:.0f} min"
    assert sum(cost for _, cost in starts) <= 26 * 12_000


def test_the_modems_own_duty_cycle_is_heeded(tmp_path: Path) -> None:
    network = air()
    node, modem = pole(tmp_path / "n", network, 4, duty_cycle=0.006, lorawan={"airtime": 3600}, drain=36000)
    due = restless(node)
    with node:
        node.start()
        assert node.wait(100).report["pending"] == 0
    assert "AT+DUTYTIME=?" in modem.commands
    for one, other in pairwise(network.uplinks):
        assert other.now - one.now >= one.airtime / 0.006 - 1
    assert rows(frames(node, network)) == {row: due[row] for row in range(1, 121)}


def test_a_frame_that_is_too_long_for_the_rate_is_sent_at_one_that_takes_it(tmp_path: Path) -> None:
    network = air(dr=5)
    node, modem = pole(tmp_path / "n", network, 9, duty_cycle=0, lorawan={"payload": 222, "airtime": 3600})
    due = restless(node)
    with node:
        node.run_until(3 * HOUR)
        network.dr = 0
        assert node.wait(100).report["pending"] == 0
    late = [uplink for uplink in network.uplinks if uplink.now > 5 * HOUR]
    assert {uplink.dr for uplink in late if len(uplink.payload) > 115} == {4}
    assert modem.commands.count("AT+ADR=1") >= 2, "the choice goes back to the network"
    assert rows(frames(node, network)) == {row: due[row] for row in range(1, 271)}


def test_sealed_frames_go_where_the_rate_carries_the_seal(tmp_path: Path) -> None:
    network = air(dr=5)
    keys = KeyFile(collectors=[generate_collector_key()])
    node, _ = pole(tmp_path / "n", network, 4, lorawan={"payload": 115}, collector_key=keys.collectors[0].public.hex())
    with node:
        node.start()
        assert node.wait(100).report["pending"] == 0
    keys.add_node(bytes.fromhex(node.event_data("identity")[0]["public_key"]))
    found = frames(node, network, Opener(keys))
    assert all(frame.sealed for frame in found)
    assert max(len(payload) for payload in network.payloads()) <= 115
    assert rows(found) == expected(1, 120)


def test_time_comes_with_the_network_and_rows_before_it_are_dated(tmp_path: Path) -> None:
    network = air(covered=lambda now: now > 20 * MINUTE)
    node, modem = pole(tmp_path / "n", network, 2, network_time=False)
    with node:
        node.start()
        assert node.wait(100).report["pending"] == 0
    found = frames(node, network)
    assert "AT+TIMEREQ=1" in modem.commands
    batches = [frame for frame in found if frame.kind == "batch"]
    times = [frame.body.time_of(r) for frame in batches for r in range(frame.body.count)]  # type: ignore[union-attr]
    assert min(times) <= START + 122, "the first row is dated by what was learned twenty minutes later"
    assert {frame.body.clock for frame in batches} <= {0, 2}


def test_a_status_is_cut_into_frames_that_fit(tmp_path: Path) -> None:
    network = air()
    node, _ = pole(tmp_path / "n", network, 3, status_interval=3600)
    with node:
        node.start()
        node.wait(100)
    status = [frame for frame in frames(node, network) if frame.kind == "status"]
    assert len(status) >= 4
    named = {column for frame in status for column in frame.body.columns}  # type: ignore[union-attr]
    assert {(103, 0), (106, 0)} <= named
    assert max(len(uplink.payload) for uplink in network.uplinks[4:]) <= 51


def test_an_echoing_modem_and_the_older_spelling_are_understood(tmp_path: Path) -> None:
    network = air()
    node, _ = pole(tmp_path / "n", network, 1, echo=True, old_names=True)
    with node:
        node.start()
        assert node.wait(100).report["pending"] == 0
    assert rows(frames(node, network)) == expected(1, 30)


def test_a_wrong_key_is_said_and_never_shown(tmp_path: Path) -> None:
    network = air()
    wrong = "00112233445566778899aabbccddeeff"
    node, _ = pole(tmp_path / "n", network, 1, lorawan={"app_key": wrong})
    with node:
        node.run_until(HOUR)
        node.kill()
    said = " ".join(line.text for line in node.logs)
    assert network.payloads() == []
    assert "JOIN FAILED" in said
    assert wrong not in said + node.output()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"app_key": "12"}, "lorawan: app_key: 32 hexadecimal digits"),
        ({"band": 40}, "lorawan: band: a number from 0 to 11"),
        ({"colour": 1}, "lorawan: colour: no such setting"),
        ({"adr": 7}, "lorawan: adr: true or false"),
    ],
)
def test_settings_that_cannot_be_are_named(tmp_path: Path, change: dict[str, Any], sentence: str) -> None:
    node, _ = pole(tmp_path / "n", air(), 0.1, lorawan=change)
    with node:
        node.start()
        node.wait(60, check=False)
    assert any(sentence in line.text for line in node.logs)
