"""`citymote flash` from end to end: real mpremote, real MicroPython, real littlefs; a board on a pseudo-terminal.

The cases that a real board can show as well are in tests/support/station.py and run in tests/hil on one. Here is also
what needs a board of ours: a cable pulled in the middle, a wire that is off, Espressif's bootloader before esptool.
"""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support import images, rom, station
from tests.support.station import Station

from citymote import boards, label
from citymote.factory import deploy, flash, image, partitions, wire
from citymote.factory.record import Log
from citymote.testing.pty_board import PtyBoard
from citymote.testing.wiring import wire as wired
from citymote.testing.world import World

pytest.importorskip("mpremote")
pytest.importorskip("segno")
pytest.importorskip("zxingcpp")

AIR = {
    "pm1": 5.0, "pm2_5": 12.3, "pm10": 20.1, "temperature": 21.5, "humidity": 44.4, "wind_direction": 120.0,
    "wind_speed": 3.2, "illuminance": 120.0, "uv_index": 1.1, "laeq": 61.3, "acceleration_x": 0.01,
    "acceleration_y": 0.02, "acceleration_z": 9.81, "visitors": 3.0,
}  # fmt: skip
# Two sensors are enough of a board for most of this, and half the time.
SMALL = """
name = "small"
title = "Small node"
platform = "unix"
[flash]
config = 16
store = 64
[buses]
i2c0 = { kind = "i2c" }
uart0 = { kind = "uart" }
[pins]
fan = { pin = 4, out = true }
[[sensors]]
driver = "sht4x"
bus = "i2c0"
[[sensors]]
driver = "pms5003"
bus = "uart0"
power = "fan"
[selftest]
seconds = 60
[selftest.limits]
temperature = [10, 40]
humidity = [5, 90]
pm2_5 = [0, 500]
"""


def table(slot: int = 1 << 20) -> list[tuple[str, int, int, int, int]]:
    """Our table for 4 MB, with slots that hold an application of the unix port, which has more in it than a chip's."""
    parts = partitions.layout(4 << 20, {"config": 16, "store": 64})
    return [(p.label, p.type, p.subtype, p.offset, slot if p.label.startswith("slot") else p.size) for p in parts]


def world() -> World:
    made = World(820_454_400)
    for quantity, value in AIR.items():
        made.constant(quantity, value)
    return made


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("boards") / "small" / "board.toml"
    path.parent.mkdir()
    path.write_text(SMALL)
    return str(path.parent)


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory, small: str) -> Path:
    """A board's flash with the application on it and nothing else, to be copied: sending it takes a while."""
    folder = tmp_path_factory.mktemp("filled")
    with PtyBoard(folder, partitions=table()) as board, wire.connect(str(board.port)) as port:
        deploy.deploy(port, deploy.payload(board.architecture, boards.load(Path(small))))
    return folder / "flash"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is slow here but who is silent for good."""
    monkeypatch.setattr(wire, "_ANSWERS", 6.0)
    monkeypatch.setattr(wire, "_QUIET", 2.0)


Made = Callable[..., PtyBoard]


@pytest.fixture
def board(tmp_path: Path, filled: Path, small: str) -> Iterator[Made]:
    """Makes boards that are switched on; `blank`: without the application."""
    made: list[PtyBoard] = []

    def make(name: str = "a", *, of: str = small, blank: bool = False) -> PtyBoard:
        folder = tmp_path / name
        if not blank:
            shutil.copytree(filled, folder / "flash")
        one = PtyBoard(folder, wiring=wired(boards.load(Path(of) if "/" in of else of), world()), partitions=table())
        one.start()
        made.append(one)
        return one

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def bench(tmp_path: Path, board: Made, small: str) -> Station:
    """A station with one board that has the application."""
    return Station(tmp_path, small, [str(board().port)])


# -- what a real board shows as well ----------------------------------------------------------------------------------


def test_a_blank_board_becomes_a_node(tmp_path: Path, board: Made) -> None:
    made = board(of="virtual", blank=True)
    station.a_board_becomes_a_node(Station(tmp_path, "virtual", [str(made.port)]))
    assert {"boot.py", "main.py", "slots.mpy", "board.json"} <= set(made.files())


def test_no_secret_leaves_but_on_the_label(bench: Station) -> None:
    station.no_secret_leaves_but_on_the_label(bench)


def test_a_second_run_finds_everything_done_and_the_same_node(bench: Station) -> None:
    station.a_second_run_finds_everything_done_and_the_same_node(bench)


def test_a_board_beyond_its_limits_gets_no_label(bench: Station, tmp_path: Path, small: str) -> None:
    station.a_board_beyond_its_limits_gets_no_label(bench, station.strict(small, tmp_path / "strict-boards"))


# -- what needs a board of ours ---------------------------------------------------------------------------------------


def test_the_node_starts_by_itself_afterwards_as_who_it_is(bench: Station, board: Made, tmp_path: Path) -> None:
    made = board("b")
    node = bench.flash("--unlocked", ports=[str(made.port)]).passed()["node"]
    runs(made)
    with wire.connect(str(made.port)) as port:
        assert port.ask("print(6 * 7)") == 42, "nothing is locked: the prompt is there for whoever wants it"
    said = [line.text for line in made.logs]
    assert any(text.startswith(f"node {node}, boot ") for text in said), said
    assert any(text.startswith("sampling 5 columns") for text in said), said


def runs(made: PtyBoard) -> None:
    """Returns when the node on that board samples."""
    for _ in range(400):
        if any("sampling" in line.text for line in made.logs):
            return
        made._stopping.wait(0.05)
    raise AssertionError([line.text for line in made.logs])


def test_a_locked_node_gives_its_prompt_to_nobody(bench: Station, board: Made) -> None:
    made = board("b")
    bench.flash(ports=[str(made.port)]).passed()
    runs(made)
    starts = made.starts
    with pytest.raises(wire.WireError, match="no MicroPython answers"):
        wire.connect(str(made.port))
    assert made.starts == starts, "and no Ctrl-C or Ctrl-D ends what it does"
    again = bench.flash(ports=[str(made.port)]).failed()
    assert "one without an owner is begun anew with `citymote flash --erase`" in again["error"]


def test_a_wire_that_is_off_fails_the_board_and_names_the_sensor(bench: Station, board: Made) -> None:
    made = board("b")
    made.wiring.disconnect("i2c0")
    found = bench.flash(ports=[str(made.port)]).failed()
    assert found["step"] == "selftest"
    assert any(fault.startswith("sensor 1 (sht4x): OSError") for fault in found["faults"])
    assert not any("pms5003" in fault for fault in found["faults"])
    assert list(bench.labels.iterdir()) == []


def test_a_locked_board_has_the_lock_where_the_node_looks_for_it(bench: Station, board: Made) -> None:
    made = board("b")
    bench.flash(ports=[str(made.port)]).passed()
    made.stop()
    made.root.joinpath("boot.py").unlink()  # so that the prompt is there, whatever the node thinks of the lock
    made.root.joinpath("main.py").unlink()
    made.start()
    with wire.connect(str(made.port)) as port:
        port.run("import os, vfs; from esp32 import Partition")
        port.run("p = Partition.find(Partition.TYPE_DATA, label='config')[0]")
        port.run("vfs.mount(vfs.VfsLfs2(p, readsize=128, progsize=32), '/config')")
        assert "locked" in port.run("print(os.listdir('/config'))")


def test_a_bench_of_boards_is_worked_on_at_once_and_each_has_its_own_outcome(bench: Station, board: Made) -> None:
    made = [board(name) for name in ("b", "c", "d")]
    made[1].wiring.disconnect("uart0")
    ports = [str(one.port) for one in made]
    run = bench.flash("--unlocked", ports=[*ports, str(bench.folder / "nothing")])
    assert run.status == 1
    assert [one["port"] for one in run.boards] == [*ports, str(bench.folder / "nothing")]
    assert [one["passed"] for one in run.boards] == [True, False, True, False]
    assert len({one["node"] for one in run.boards[:3]}) == 3
    assert run.boards[3]["error"].startswith(f"{bench.folder / 'nothing'} is not there")
    assert {path.stem for path in bench.labels.iterdir()} == {run.boards[0]["node"], run.boards[2]["node"]}


@pytest.mark.parametrize(
    "count", [40_000, *(pytest.param(one, marks=pytest.mark.slow) for one in (40, 700, 6_000, 80_000))]
)
def test_a_cable_pulled_in_the_middle_costs_nothing_but_the_time(
    count: int, tmp_path: Path, board: Made, small: str
) -> None:
    made = board(blank=True)
    bench = Station(tmp_path, small, [str(made.port)])
    made.unplug_after(count)
    found = bench.flash("--unlocked").failed()
    assert "Check the cable" in found["error"], found
    assert list(bench.labels.iterdir()) == []
    made.plug()
    again = bench.flash("--unlocked").passed()
    if count >= 40_000:
        assert again["sent"] < len(deploy.payload(made.architecture, boards.load(Path(small))).application)


def test_a_board_that_loses_power_while_it_is_filled_goes_on(tmp_path: Path, board: Made, small: str) -> None:
    made = board(blank=True)
    with wire.connect(str(made.port)) as port:
        what = deploy.payload(made.architecture, boards.load(Path(small)))

        def cut(sent: int, of: int) -> None:
            if sent > of // 3:
                made.cut_power()

        with pytest.raises(wire.WireError):
            deploy.deploy(port, what, cut)
    made.start()
    with wire.connect(str(made.port)) as port:
        assert 0 < deploy.deploy(port, what) < len(what.application)
        assert deploy.deploy(port, what) == 0


def test_a_file_that_changed_on_the_board_is_sent_again_and_one_too_many_removed(board: Made, small: str) -> None:
    made = board()
    what = deploy.payload(made.architecture, boards.load(Path(small)))
    with wire.connect(str(made.port)) as port:
        assert deploy.deploy(port, what) == 0
        port.run("f = open('/app/node/app.mpy', 'wb'); f.write(b'x'); f.close()")
        port.run("f = open('/app/node/old.mpy', 'wb'); f.write(b'x'); f.close()")
        assert deploy.deploy(port, what) == 1
        assert "old.mpy" not in port.run("print(os.listdir('/app/node'))")


def test_an_application_that_does_not_fit_is_refused_with_the_figures(tmp_path: Path, small: str) -> None:
    with PtyBoard(tmp_path, partitions=table(slot=64 << 10)) as made, wire.connect(str(made.port)) as port:
        what = deploy.payload(made.architecture, boards.load(Path(small)))
        with pytest.raises(deploy.DeployError, match=r"does not fit: it takes \d+ blocks of 4096 bytes, \d+ are free"):
            deploy.deploy(port, what)


def test_a_board_without_our_partitions_says_what_to_do(tmp_path: Path, small: str) -> None:
    with PtyBoard(tmp_path / "b") as made:
        found = Station(tmp_path, small, [str(made.port)]).flash().failed()
    assert "not divided as a node needs it" in found["error"]
    assert "--runtime" in found["error"]


def test_a_port_that_is_in_use_or_silent_says_so(bench: Station, tmp_path: Path, small: str) -> None:
    with wire.connect(bench.ports[0]):
        assert f"{bench.ports[0]} is busy: another program has it open" in bench.flash().failed()["error"]
    bench.flash("--unlocked").passed()


def test_a_port_that_somebody_lets_go_of_is_waited_for_a_moment(bench: Station) -> None:
    held = wire.connect(bench.ports[0])
    release = threading.Timer(0.7, held.close)
    release.start()
    with wire.connect(bench.ports[0]) as taken:
        assert taken.ask("print(1)") == 1
    release.join()


def test_the_wrong_board_is_not_written_to(bench: Station) -> None:
    found = replace(bench, board="xiao-esp32c3").flash().failed()
    assert "another chip is there" in found["error"]
    assert "the board has ESP32-C3" in found["error"]


# -- Espressif's bootloader and real esptool --------------------------------------------------------------------------


class Asked:
    """A unix MicroPython that says of itself what a chip's would: its own esp32 module knows the partitions."""

    def __init__(self, chip: str, program: bytes) -> None:
        self.name, self.program = chip, program
        self._who = deploy.who

    def __call__(self, port: wire.Wire) -> deploy.Runs:
        machine = f"{self.name} module with {boards.chip(self.name).name.upper()}"
        return replace(self._who(port), platform="esp32", machine=machine, version=(1, 27, 0))


def esp(tmp_path: Path, size: int = 16 << 20, chip: str = "esp32c3") -> tuple[boards.Description, rom.EspBoard]:
    """A board of that chip with blank flash, and its description."""
    path = tmp_path / "made" / "board.toml"
    path.parent.mkdir()
    path.write_text(
        SMALL.replace('platform = "unix"', f'platform = "esp32"\nchip = "{chip}"\nsources = ["ours"]\nconsole = "usb"')
        .replace("[flash]", "[flash]\nsize = 16")
        .replace('kind = "i2c"', 'kind = "i2c", id = 0, scl = 6, sda = 7')
        .replace('kind = "uart"', 'kind = "uart", id = 1, tx = 1, rx = 0')
    )
    description = boards.describe(path)
    return description, rom.EspBoard(tmp_path / "esp", chip, size, wiring=wired(description.node, world()))


@pytest.mark.usefixtures("esptool_is_there")
def test_a_chip_with_blank_flash_becomes_a_node_with_real_esptool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    description, made = esp(tmp_path)
    chip = boards.chip("esp32c3")
    runtime = image.read(images.written(tmp_path, "esp32c3"), chip)
    monkeypatch.setattr(deploy, "who", Asked("esp32c3", runtime.fingerprint))
    job = flash.Job(description, runtime, labels=tmp_path, log=Log(tmp_path / "log.jsonl", "kim"), lock=False)
    with made:
        first = flash.flash(str(made.port), job)
        assert first.passed, first.error
        assert bytes(made.flash[0x8000:0x8C00]) == partitions.binary(
            partitions.layout(16 << 20, {"config": 16, "store": 64})
        )
        assert bytes(made.flash[0x10000 : 0x10000 + len(runtime.program.data)]) == runtime.program.data
        assert made.flash[3] >> 4 == 4  # the bootloader knows of 16 MB
        wrote = len(made.commands)
        second = flash.flash(str(made.port), job)
        assert (second.passed, second.node, second.sent) == (True, first.node, 0), second.error
        assert len(made.commands) == wrote  # what runs already is not written again
        third = flash.flash(str(made.port), replace(job, erase=True))
        assert third.passed, third.error
        assert third.node != first.node
    assert {path.stem for path in tmp_path.glob("*.svg")} == {first.node, third.node}
    assert [json.loads(line)["event"] for line in (tmp_path / "log.jsonl").read_text().splitlines()] == [
        "begun", "passed", "begun", "passed", "begun", "passed",
    ]  # fmt: skip


@pytest.fixture(scope="session")
def esptool_is_there() -> None:
    import importlib.util

    if importlib.util.find_spec("esptool") is None:
        pytest.skip("esptool is not installed")


@pytest.mark.usefixtures("esptool_is_there")
@pytest.mark.parametrize("count", [20_000, *(pytest.param(one, marks=pytest.mark.slow) for one in (3_000, 40_000))])
def test_a_cable_pulled_while_the_runtime_is_written_is_mended_by_the_next_run(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    description, made = esp(tmp_path)
    runtime = image.read(images.written(tmp_path, "esp32c3"), boards.chip("esp32c3"))
    monkeypatch.setattr(deploy, "who", Asked("esp32c3", runtime.fingerprint))
    job = flash.Job(description, runtime, labels=tmp_path, lock=False)
    with made:
        made.unplug_after(count)
        assert not flash.flash(str(made.port), job).passed
        made.plug()
        again = flash.flash(str(made.port), job)
        assert again.passed, again.error
    assert (tmp_path / f"{again.node}.svg").exists()


@pytest.mark.usefixtures("esptool_is_there")
def test_esptool_says_which_chip_is_there_and_how_large_its_flash_is(tmp_path: Path) -> None:
    description, made = esp(tmp_path, size=4 << 20)
    runtime = image.read(images.written(tmp_path, "esp32c3"), boards.chip("esp32c3"))
    with made:
        found = flash.flash(str(made.port), flash.Job(description, runtime))
        assert "the flash is smaller than the board says: it has 4 MB, the board is said to have 16 MB" in found.error
        assert found.step == "runtime"
        assert bytes(made.flash) == b"\xff" * len(made.flash)
        other = replace(description, chip=boards.chip("esp32c6"))
        theirs = image.read(images.written(tmp_path, "esp32c6"), boards.chip("esp32c6"))
        found = flash.flash(str(made.port), flash.Job(other, theirs))
        assert "another chip is there: it has ESP32-C3, the board has ESP32-C6" in found.error


def test_a_board_without_a_runtime_says_so(tmp_path: Path) -> None:
    description, made = esp(tmp_path)
    with made:
        found = flash.flash(str(made.port), flash.Job(description))
    assert "no MicroPython answers" in found.error
    assert "--runtime" in found.error


def test_an_identity_that_came_garbled_makes_no_label() -> None:
    public = bytes.fromhex("036b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296")
    good: dict[str, Any] = {"node": "5baff89de7de", "public_key": public.hex(), "claim_secret": "00" * 16}
    assert flash._label(good) == label.Label(public, bytes(16))
    for garbled in (
        {"node": "5baff89de7df"},
        {"claim_secret": "0"},
        {"public_key": "04" + "00" * 32},
        {"claim_secret": None},
    ):
        with pytest.raises(Exception, match=r"came garbled|no label of a node"):
            flash._label({**good, **garbled})
