"""A whole session fits beside BLE on a small chip, and says the same bytes on MicroPython as on CPython."""

from __future__ import annotations

import pytest
from tests.bench import bench_session


@pytest.fixture(scope="module")
def recorded() -> bench_session.Recorded:
    return bench_session.Recorded()


@pytest.mark.usefixtures("micropython32")
def test_handshake_claim_and_configuration_fit_beside_ble(recorded: bench_session.Recorded) -> None:
    """58 to 64 KB, by where objects lie when the collector looks; 4 of them are the script and its input."""
    done = bench_session.execute(recorded, "whole", 66 << 10)
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_node_says_the_same_on_both_interpreters(recorded: bench_session.Recorded) -> None:
    done = bench_session.execute(recorded, "whole", 200_000).checked()
    answers = [bytes.fromhex(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("out ")]
    assert answers == recorded.down


def test_what_a_handshake_loaded_is_let_go(recorded: bench_session.Recorded) -> None:
    done = bench_session.execute(recorded, "whole", 200_000).checked()
    said = dict(line.split() for line in done.stdout.splitlines() if line and not line.startswith("out "))
    assert int(said["after"]) < 50_000 * (2 if done.machine.bits == 64 else 1), "in use once the handshake has ended"


def test_a_handshake_is_four_messages_and_four_multiplications(recorded: bench_session.Recorded) -> None:
    assert recorded.handshake == 2
    assert bench_session.work(recorded)["session.node_multiplications"] == 4
    assert bench_session.wire(recorded)["session.handshake.bytes"] <= 240


def test_a_handshake_over_a_slow_radio_takes_two_seconds_and_hardly_more_than_the_chips_arithmetic() -> None:
    seconds = bench_session.timed()["session.handshake.seconds"]
    assert bench_session.ARITHMETIC + 4 * bench_session.LATENCY <= seconds < 2
