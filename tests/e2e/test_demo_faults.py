"""The demo with a broker that goes for good, and with a node that dies: its figures stay true, and it says why."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.city import COMMAND, PATIENCE, Found, Told
from tests.e2e.test_mosquitto import Mosquitto
from tests.host.test_collect import frames_in

from citymote.demo.options import Options
from citymote.demo.run import run
from citymote.errors import StoreError
from citymote.storage.ledger import LedgerStore

pytestmark = pytest.mark.usefixtures("run_vm")


class Running:
    """`citymote demo` under way, so that something can happen to it in the middle."""

    def __init__(self, out: Path, *arguments: object) -> None:
        self.out = out
        command = [str(COMMAND), "demo", "--json", "--out", str(out), *map(str, arguments)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def stored(self, frames: int) -> None:
        """Returns when so many frames are in its store: it cannot tell us, so that we look."""
        end = time.monotonic() + PATIENCE
        while frames_in(self.out / "readings.db") < frames:
            assert time.monotonic() < end, f"{frames} frames are not stored within {PATIENCE:g} s"
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = self._process.wait(0.01)
                raise AssertionError(f"it has ended with {code}: {self._process.communicate()}")

    def node(self, name: str) -> int:
        """The process of a node."""
        place = str(self.out / "nodes" / name)
        for entry in Path("/proc").glob("[0-9]*/cwd"):
            with contextlib.suppress(OSError):
                if str(entry.readlink()) == place:
                    return int(entry.parent.name)
        raise AssertionError(f"{name} does not run")

    def ended(self) -> Told:
        out, err = self._process.communicate(timeout=PATIENCE)
        return Told(self._process.returncode, out, err)


def waits(said: Told) -> int:
    """How many readings it says are in the nodes' stores."""
    found = re.search(r"([\d,]+) frames? with ([\d,]+) readings waits? in the node's store", said.err)
    assert found, said.err
    return int(found[2].replace(",", ""))


def accounted(said: Told, out: Path) -> dict[str, float]:
    """Its figures, once they are what the store has, and all that was measured is somewhere."""
    figures, waiting = said.figures, waits(said)
    assert said.code == 1
    assert figures["frames"] == frames_in(out / "readings.db")
    assert figures["readings_stored"] == len(Found.of(out / "readings.db").values) > 0
    missing = figures["readings_sent"] - figures["readings_stored"] - waiting
    assert missing >= 0 and waiting > 0
    return figures


def test_a_broker_that_vanishes_for_good_is_named_and_the_figures_stay_true(mosquitto, tmp_path: Path) -> None:
    with Mosquitto(mosquitto.broker, tmp_path / "broker", "allow_anonymous true\n") as broker:
        running = Running(tmp_path / "out", "--nodes", 2, "--hours", 12, "--claim", 0, "--broker", broker.url)
        running.stored(10)
        broker.kill()
        said = running.ended()
    figures = accounted(said, tmp_path / "out")
    assert f"the broker {broker.url} has gone, and did not come back" in said.err
    assert "node 0001: its run is over, and nobody has acknowledged" in said.err
    assert figures["readings_sent"] == 12 * 30 * (2 * 12 + 2 + 2 * 3), "they measured all day"
    # What Mosquitto had taken when it was killed is lost with it, and nothing else.
    missing = figures["readings_sent"] - figures["readings_stored"] - waits(said)
    assert figures["lost"] <= missing < figures["readings_sent"] / 4


def test_a_store_that_takes_no_more_ends_the_demo_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is acknowledged from then on, so that no node would come to its end by itself."""
    add = LedgerStore.add

    def full(store: LedgerStore, frames: Any, *more: Any) -> list[str]:
        if store.counts().frames > 5:
            raise StoreError("cannot write to the store", "database or disk is full")
        return add(store, frames, *more)

    monkeypatch.setattr(LedgerStore, "add", full)
    with pytest.raises(StoreError, match="disk is full"):
        run(Options(nodes=2, hours=24, claim=0, out=tmp_path / "out"))


def test_a_node_that_is_killed_keeps_what_was_stored_of_it(tmp_path: Path) -> None:
    out = tmp_path / "out"
    running = Running(out, "--nodes", 1, "--hours", 24, "--claim", 0)
    running.stored(8)
    os.kill(running.node("0001"), signal.SIGKILL)
    said = running.ended()
    figures = said.figures
    assert said.code == 1 and "node 0001: killed by signal 9" in said.err
    assert figures["readings_stored"] == len(Found.of(out / "readings.db").values) > 0
    # What it had measured is stored or on its flash; the rest of its day is what was lost. Three of the seventeen
    # readings in a row are levels that only the sound meter knows of.
    assert figures["readings_sent"] >= figures["readings_stored"]
    assert figures["lost"] == (24 * 30 - figures["readings_sent"] / 17) * 14
