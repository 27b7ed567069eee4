"""`citymote update push --wait` and `rollout run` as programs that stay: over a simulated city, in simulated time."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import Result
from tests.support.rollouts import BOARD, KEYS, ROOT, START, bundle
from tests.support.sim_fleet import GOOD, ROLLED_BACK, SimFleet
from typer.testing import CliRunner

from citymote import crypto, keys, open_store
from citymote.cli import application, update_fleet, update_rollout
from citymote.fleet import open_fleet
from citymote.update import desk as desks
from citymote.update.bundle import Bundle
from citymote.update.desk import Desk
from citymote.update.publish import Publication

MINUTE = 60.0
STORE = ("--store", "city.db", "--fleet", "city.fleet")


def key_of(number: int) -> bytes:
    return crypto.public_key(bytes([number + 1] * 32))


def ident(number: int) -> str:
    return keys.node_id(key_of(number)).hex()


class City:
    """Simulated nodes, a folder that they poll, a store; the commands' clock: while a command sleeps they live."""

    def __init__(self, folder: Path, count: int, monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
        self.folder = folder
        self.now = START
        self.naps = 0
        self.actions: list[tuple[float, Callable[[], object]]] = []
        with open_fleet(folder / "city.fleet") as fleet:
            self.ids = [fleet.add(key_of(number), site="mapo", board=BOARD).node for number in range(count)]
        self.store = open_store(folder / "city.db")
        self.publication = Publication(folder / "www")
        self.publication.put_keys(KEYS.statement(ROOT.owner), KEYS, ROOT.public)
        self.fleet = SimFleet(self.ids, self.store, self.publication, START, interval=300, **options)
        clock = SimpleNamespace(sleep=self.sleep, time=lambda: self.now, monotonic=lambda: self.now)
        monkeypatch.setattr(update_fleet, "time", clock)
        monkeypatch.setattr(update_rollout, "time", clock)
        monkeypatch.setattr(desks, "time", clock)
        monkeypatch.chdir(folder)

    def sleep(self, seconds: float) -> None:
        self.naps += 1
        self.now += seconds
        self.fleet.run(self.now)
        for when, action in list(self.actions):
            if when <= self.now:
                self.actions.remove((when, action))
                action()

    def after(self, minutes: float, action: Callable[[], object]) -> None:
        """Let something happen while a command sleeps."""
        self.actions.append((START + minutes * MINUTE, action))

    def write(self, made: Bundle, name: str = "release.zip") -> Path:
        path = self.folder / name
        path.write_bytes(made.bytes())
        return path

    def run(self, *arguments: object, status: int = 0) -> Result:
        done = CliRunner().invoke(application(), ["update", *(str(each) for each in arguments)])
        assert done.exit_code == status, f"{done.exit_code}: {done.output}{done.exception!r}"
        return done

    def begin(self, path: Path, *options: object) -> None:
        self.run("rollout", "begin", path, "--publish", "www", "--root", ROOT.public.hex(), *STORE,
                 "--soak", "0", "--stages", "100%", "--allow-unsealed", *options)  # fmt: skip

    def push(self, path: Path, *options: object, status: int = 0) -> Result:
        return self.run("push", *self.ids, "--bundle", path, "--publish", "www", "--root", ROOT.public.hex(),
                        *STORE, *options, status=status)  # fmt: skip


Make = Callable[..., City]


@pytest.fixture
def city(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    made: list[City] = []

    def build(count: int = 6, **options: Any) -> City:
        made.append(City(tmp_path, count, monkeypatch, **options))
        return made[-1]

    yield build
    for one in made:
        one.store.close()


# -- what changes the book --------------------------------------------------------------------------------------------


def test_rules_and_changes_are_told_to_programs(city: Make) -> None:
    made = city(1)

    def told(*arguments: object) -> Any:
        return json.loads(made.run("rollout", *arguments, "--json").stdout)

    node = made.ids[0]
    assert told("hold", "--site", "mapo", "--why", "storm") == {"rule": "hold", "site": "mapo", "why": "storm"}
    assert told("unhold", "--site", "mapo") == {"dropped": "hold", "site": "mapo"}
    pinned = {"rule": "pin", "node": node, "why": "", "version": "1.4.1"}
    assert told("pin", "1.4.1", "--node", node) == pinned
    assert told("unpin", "--node", node) == {"dropped": "pin", "node": node}
    made.begin(made.write(bundle("1.4.2", 2)))
    assert told("pause", 1, "--why", "storm") == {"rollout": 1, "status": "paused", "why": "storm"}
    assert told("resume", 1) == {"rollout": 1, "status": "running", "why": ""}
    assert told("abort", 1) == {"rollout": 1, "status": "aborted", "why": ""}


# -- push --wait ------------------------------------------------------------------------------------------------------


def test_push_waits_until_all_have_it(city: Make) -> None:
    made = city()
    done = made.push(made.write(bundle("1.4.2", 2)), "--wait", "6h", "--json")
    said = json.loads(done.stdout)
    assert said["status"] == "finished"
    assert said["counts"] == {"confirmed": 6}
    assert {one["state"] for one in said["nodes"]} == {"confirmed"}
    assert list(made.publication.offers()) == []
    assert made.now - START < 3600, "it ends with the last of them, not with the time"


def test_push_says_who_did_not_take_it(city: Make) -> None:
    bad = ident(2)
    made = city(outcome=lambda node, sequence: (ROLLED_BACK, 1) if node == bad else GOOD)
    done = made.push(made.write(bundle("1.4.2", 2)), "--wait", "6h", status=1)
    (line,) = [line for line in done.output.splitlines() if line.startswith(bad)]
    assert "rolled back" in line
    assert "because" in line


def test_push_waits_no_longer_than_it_is_told_and_the_rollout_goes_on(city: Make) -> None:
    dead = ident(1)
    made = city(outcome=lambda node, sequence: "silent" if node == dead else GOOD)
    done = made.push(made.write(bundle("1.4.2", 2)), "--wait", "30min", status=1)
    assert made.now - START == pytest.approx(30 * MINUTE)
    assert "not over after 30min" in done.output
    (line,) = [line for line in done.output.splitlines() if line.startswith(dead)]
    assert "has not begun" in line
    assert list(made.publication.offers()) == [dead], "who comes back finds it"


def test_push_with_nobody_to_hear_them_is_refused_before_anything_is_offered(city: Make) -> None:
    made = city()
    path = made.write(bundle("1.4.2", 2))
    where = ("--publish", "www", "--root", ROOT.public.hex(), "--fleet", "city.fleet")
    done = made.run("push", made.ids[0], "--bundle", path, *where, "--wait", "1h", status=1)
    assert "--store" in done.output
    assert list(made.publication.offers()) == []
    assert not (made.folder / "updates.db").exists()


def test_push_leaves_the_rollouts_to_whoever_takes_them_forward(city: Make) -> None:
    made = city()
    with Desk(Path("updates.db"), "city.db", "city.fleet") as other, other.book.conducting():

        def step() -> None:
            other.step(made.now)
            made.after((made.now - START) / MINUTE + 0.5, step)

        made.after(0, step)
        done = made.push(made.write(bundle("1.4.2", 2)), "--wait", "6h", "--json")
    assert "another program" in done.stderr
    assert json.loads(done.stdout)["counts"] == {"confirmed": 6}


def test_push_takes_them_on_when_that_program_goes(city: Make) -> None:
    made = city()
    with contextlib.ExitStack() as stack:
        other = stack.enter_context(Desk(Path("updates.db"), "city.db", "city.fleet"))
        stack.enter_context(other.book.conducting())
        made.after(20, stack.close)
        done = made.push(made.write(bundle("1.4.2", 2)), "--wait", "6h", "--json")
    assert json.loads(done.stdout)["counts"] == {"confirmed": 6}
    assert made.now - START > 20 * MINUTE


# -- rollout run ------------------------------------------------------------------------------------------------------


def lines(done: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_run_goes_on_until_all_have_ended_and_says_what_happens(city: Make) -> None:
    made = city(20)
    made.begin(made.write(bundle("1.4.2", 2)), "--stages", "1,50%")
    done = made.run("rollout", "run", *STORE, "--every", "1min", "--json")
    said = [(line["rollout"], line["what"]) for line in lines(done)]
    assert said == [
        (1, "stage 2 of 3 begins"), (1, "stage 3 of 3 begins"), (1, "finished: 20 confirmed"),
    ]  # fmt: skip
    assert made.naps == pytest.approx((made.now - START) / MINUTE)


def test_run_takes_up_what_another_begins_meanwhile(city: Make) -> None:
    made = city(4)
    first, second = made.write(bundle("1.4.2", 2)), made.write(bundle("1.4.3", 3), "second.zip")
    made.begin(first)
    made.after(3, lambda: made.begin(second))
    done = made.run("rollout", "run", *STORE, "--every", "30s", "--json")
    assert {(1, "finished"), (2, "finished")} <= {
        (one["rollout"], one["what"].partition(":")[0]) for one in lines(done)
    }
    assert set(made.fleet.confirmed.values()) == {3}


@pytest.mark.parametrize("late", [False, True])
def test_run_fails_where_a_rollout_was_aborted(city: Make, late: bool) -> None:
    made = city(4, outcome=lambda node, sequence: (ROLLED_BACK, 1) if sequence == 3 else GOOD)
    bad = made.write(bundle("1.4.3", 3), "bad.zip")
    if late:
        made.begin(made.write(bundle("1.4.2", 2)))
        made.after(3, lambda: made.begin(bad))
    else:
        made.begin(bad)
    done = made.run("rollout", "run", *STORE, "--json", status=1)
    assert any(line["what"].startswith("aborted: ") for line in lines(done))
    assert list(made.publication.offers()) == []


def test_run_that_is_interrupted_goes_on_where_it_was(city: Make) -> None:
    made = city(10)
    made.begin(made.write(bundle("1.4.2", 2)), "--stages", "2,100%", "--soak", "30min")

    def interrupt() -> None:
        raise KeyboardInterrupt

    made.after(25, interrupt)
    made.run("rollout", "run", *STORE, status=130)
    begun = len(made.fleet.begun)
    assert 0 < begun < 10
    done = made.run("rollout", "run", *STORE, "--json")
    assert lines(done)[-1]["what"] == "finished: 10 confirmed"
    assert len(made.fleet.begun) == 10, "nobody was offered anything twice"


def test_run_without_anybody_to_hear_is_refused(city: Make) -> None:
    made = city(2)
    made.begin(made.write(bundle("1.4.2", 2)))
    assert "--store is needed" in made.run("rollout", "run", status=1).output
    made.run("rollout", "run", "--once", "--fleet", "city.fleet")
    assert len(list(made.publication.offers())) == 2


def test_only_one_run_at_a_time(city: Make) -> None:
    made = city(2)
    made.begin(made.write(bundle("1.4.2", 2)))
    said: list[str] = []
    made.after(
        1,
        lambda: said.append(made.run("rollout", "run", *STORE, status=1).output),
    )
    made.run("rollout", "run", *STORE)
    assert "another program" in said[0]
