"""Radios take turns: the virtual node refuses what a small chip could not hold, and the firmware lives with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.support.node import said, scripted

from citymote.testing.ledger import COSTS, Ledger

pytestmark = pytest.mark.usefixtures("run_vm")


def heard(folder: Path, code: str, **options: Any) -> tuple[list[Any], Ledger]:
    with scripted(folder, code, **options) as node:
        node.start()
        node.wait(60)
        return said(node), node.ledger


RADIOS = """
from node.hal import unix
def turn(what, kind):
    try:
        getattr(unix, what)(kind)
        say(kind, "yes")
    except OSError as e:
        say(kind, e.errno)
await hal.join(None)
turn("claim", "ble")
hal.leave()
turn("claim", "ble")
try:
    await hal.join({"ssid": "x"})
    say("wifi", "yes")
except OSError as e:
    say("wifi", e.errno)
turn("release", "ble")
await hal.join({"ssid": "x"})
say("wifi", "yes")
"""


def test_a_c3_has_one_radio_at_a_time(tmp_path: Path) -> None:
    answers, ledger = heard(tmp_path, RADIOS, chip="esp32c3", heap="80k")
    assert answers == [("ble", 12), ("ble", "yes"), ("wifi", 12), ("ble", "yes"), ("wifi", "yes")]
    assert ledger.refused == ["ble", "wifi"]


def test_an_esp32_has_both_while_the_heap_leaves_room(tmp_path: Path) -> None:
    answers, _ = heard(tmp_path, RADIOS, chip="esp32", heap="100k")
    assert [answer[1] for answer in answers] == ["yes"] * 5
    (tmp_path / "second").mkdir()
    answers, ledger = heard(tmp_path / "second", RADIOS, chip="esp32", heap="180k")
    assert answers[0] == ("ble", 12)
    assert ledger.total is not None
    assert 180 * 1024 + COSTS["wifi"] + COSTS["ble"] > ledger.total


def test_without_a_chip_nothing_is_refused_and_all_is_counted(tmp_path: Path) -> None:
    answers, ledger = heard(tmp_path, RADIOS, heap="100k")
    assert [answer[1] for answer in answers] == ["yes"] * 5
    assert ledger.peak == 100 * 1024 + COSTS["wifi"] + COSTS["ble"]


def test_sound_and_one_tls_connection_fit_a_c3_beside_100_kb_of_heap_and_no_second_one(tmp_path: Path) -> None:
    code = """
    from node.hal import unix
    await hal.join({"ssid": "x"})
    stream = hal.i2s("i2s0", 48000)
    for _ in range(2):
        try:
            unix.claim("tls")
            say("tls", "yes")
        except OSError as e:
            say("tls", e.errno)
    unix.release("tls")
    stream.deinit()
    unix.claim("tls")
    unix.claim("tls")
    say("tls", "both, without the microphone")
    """
    answers, ledger = heard(tmp_path, code, chip="esp32c3", heap="100k")
    assert answers == [("tls", "yes"), ("tls", 12), ("tls", "both, without the microphone")]
    assert ledger.total is not None
    assert ledger.peak <= ledger.total


def test_a_connection_that_fails_or_ends_gives_its_memory_back(tmp_path: Path) -> None:
    code = """
    for _ in range(5):
        try:
            await hal.connect("127.0.0.1", 1, {"insecure": True})
        except OSError:
            say("refused")
    """
    _, ledger = heard(tmp_path, code, chip="esp32c3", heap="100k")
    assert ledger.holds("tls") == 0
    assert ledger.refused == []
    assert ledger.peak == 100 * 1024 + COSTS["tls"]


def test_a_restart_starts_with_nothing_held(tmp_path: Path) -> None:
    code = """
    await hal.join({"ssid": "x"})
    say("on", hal.reset_cause())
    if hal.reset_cause() == "power":
        hal.reset()
    """
    answers, ledger = heard(tmp_path, code, chip="esp32c3", heap="100k")
    assert [answer[1] for answer in answers] == ["power", "reset"]
    assert ledger.used == 100 * 1024 + COSTS["wifi"]
