"""`citymote demo` as a user runs it: the figures, what it leaves in its folder, its words when it cannot."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.city import COMMAND, FIGURES, Found, Told, bare_frames, demo, told
from tests.host.brokers import free_port
from typer.testing import CliRunner

from citymote import OwnerStore, open_fleet, open_store
from citymote.broker import Broker
from citymote.cli import application
from citymote.demo import city
from citymote.demo.city_nodes import poles
from citymote.demo.claiming import FirstAct
from citymote.demo.options import MARK, empty_folder
from citymote.fleet import Stage
from citymote.keys import KeyFile
from citymote.simulate import Fleet, broker_settings
from citymote.testing import runtime

HEADER = "time,where,dust\n"
MAPPING = '[time]\ncolumns = ["time"]\n[columns]\ndust = "pm2_5"\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, run_vm: object) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def first(folder: Path) -> tuple[Told, Path]:
    """Two generated poles for two hours."""
    return demo(folder / "first", "--nodes", 2, "--hours", 2), folder / "first"


@pytest.fixture(scope="module")
def again(folder: Path) -> tuple[Told, Path]:
    """The same city once more, into Parquet."""
    return demo(folder / "again", "--nodes", 2, "--hours", 2, "--parquet"), folder / "again"


def test_the_document_has_the_promised_figures_and_no_others(first: tuple[Told, Path]) -> None:
    assert tuple(first[0].figures) == FIGURES


def test_every_reading_of_a_generated_city_comes_back_once_and_equal(first: tuple[Told, Path]) -> None:
    figures = first[0].good()
    # 60 rows of two nodes; 12 quantities each, the first node's second dust meter, the sound meters' other levels
    assert figures["nodes"] == 2
    assert figures["readings_stored"] == 60 * (2 * 12 + 2 + 2 * 3)
    assert figures["frames"] >= 2 * 60 // 10
    wire = figures["bytes_on_wire"] / figures["readings_sent"]
    assert 0 < figures["bytes_per_reading"] == pytest.approx(wire, abs=0.001)


def test_its_nodes_begin_in_their_boxes_and_are_claimed_configured_and_heard_of(first: tuple[Told, Path]) -> None:
    told, out = first
    assert told.figures["provisioned"] == 2
    assert 0 < told.figures["provision_seconds"] < told.figures["seconds"]
    for words in ("2 nodes are in the air", "claimed with their labels", "are configured", "first frame of each"):
        assert words in told.err
    passphrase = (out / "city.passphrase").read_text().strip()
    store = OwnerStore.load(out / "city.owner", ask=lambda new: passphrase)
    with open_fleet(out / "city.fleet", store, create=False) as fleet, open_store(out / "readings.db") as readings:
        nodes = {record.node: record for record in fleet.nodes()}
        assert {(one.stage, one.board, one.site) for one in nodes.values()} == {(Stage.PROVISIONED, "virtual", "demo")}
        assert {frame.node for frame in readings.iter_frames()} == set(nodes)


def test_without_the_first_act_the_same_nodes_measure_as_often(folder: Path, first: tuple[Told, Path]) -> None:
    told = demo(folder / "plain", "--nodes", 2, "--hours", 2, "--claim", 0)
    assert (told.good()["provisioned"], told.err) == (0, "")
    plain, whole = (Found.of(out / "readings.db").values for out in (folder / "plain", first[1]))
    assert plain.keys() == whole.keys()


def test_a_node_whose_trial_fails_ends_with_its_reason(tmp_path: Path) -> None:
    told: list[str] = []
    keys = KeyFile.create(tmp_path / "city.keys")
    with Broker() as broker:
        link = {**broker_settings(broker.url), "collector_key": keys.collectors[-1].public.hex()}
        (pole,) = poles(city.generate(1, 0.2), 1, 1, sound=False, claimed=1)
        act = FirstAct([pole.plan], tmp_path, link, keys, broker.url, told.append)
        act.configure()
        assert pole.plan.wifi is not None
        pole.plan.wifi.keys.clear()  # the network is gone before the node is there
        with Fleet([pole.plan], tmp_path / "nodes", timeout=120) as fleet:
            (result,) = fleet.run()
        assert "trial 1 has failed: reason 1" in str(result.error)
        assert act.proved().failed == [f"node {act.claimed.nodes[0]}: no frame of it has arrived through its uplink"]


def test_the_page_needs_nothing_from_elsewhere(first: tuple[Told, Path]) -> None:
    page = (first[1] / "report.html").read_text("utf-8")
    assert "<svg" in page, "the page has plots"
    links = re.findall(r"""(?:src|href)\s*=\s*["']?(?!#|data:)[^"'\s>]+|url\((?!#|data:)[^)]*\)|@import""", page)
    assert links == [], "the page is one file without links to others"


def test_on_a_terminal_it_shows_how_far_it_is_and_then_a_table_and_where_the_page_lies(
    tmp_path: Path, run_vm: object
) -> None:
    """Both streams on a terminal, as with a person before it."""
    inside, outside = pty.openpty()
    command = [COMMAND, "demo", "--nodes", "2", "--hours", "0.5", "--claim", "0", "--out", tmp_path / "out"]
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"}
    with subprocess.Popen(command, stdin=outside, stdout=outside, stderr=outside, env=environment) as process:
        os.close(outside)
        said = b""
        with contextlib.suppress(OSError):  # how a terminal ends
            while data := os.read(inside, 65536):
                said += data
    os.close(inside)
    assert process.returncode == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said.decode())
    progress = list(re.finditer(r"nodes .*? (\d)/2 +[\d,]+ frames, [\d,]+ readings stored", text))
    shown = [int(each[1]) for each in progress]
    assert shown == sorted(shown) and shown[-1] == 2, "how many nodes are done, and what is stored"
    table, _, end = text[progress[-1].end() :].partition("lost 0, duplicates 0, mismatches 0")
    assert all(word in table for word in ("quantity", "unit", "median", "pm2_5", "µg/m³", "wind_direction"))
    assert str(tmp_path / "out" / "report.html") in end


def test_the_key_file_is_for_its_owner_only(first: tuple[Told, Path]) -> None:
    assert (first[1] / "city.keys").stat().st_mode & 0o077 == 0


def test_a_parquet_store_has_the_same_readings(first: tuple[Told, Path], again: tuple[Told, Path]) -> None:
    again[0].good()
    assert list((again[1] / "readings").rglob("*.parquet")), "there are Parquet files"
    with open_store(first[1] / "readings.db") as one, open_store(f"parquet:{again[1] / 'readings'}") as other:
        # Nodes are listed in the order in which they were first heard, which is chance.
        assert sorted(other.iter_readings(), key=repr) == sorted(one.iter_readings(), key=repr)


def test_the_same_seed_gives_the_same_frames_byte_for_byte(first: tuple[Told, Path], again: tuple[Told, Path]) -> None:
    frames = bare_frames(first[1] / "readings.db")
    assert frames
    assert bare_frames(again[1] / "readings") == frames


def test_another_seed_is_another_city_of_other_nodes(folder: Path, first: tuple[Told, Path]) -> None:
    demo(folder / "other", "--nodes", 2, "--hours", 0.5, "--claim", 0, "--seed", 2).good()
    ours, others = Found.of(first[1] / "readings.db"), Found.of(folder / "other" / "readings.db")
    assert not {key[0] for key in ours.values} & {key[0] for key in others.values}, "the nodes have keys of their own"
    assert set(bare_frames(folder / "other" / "readings.db")).isdisjoint(bare_frames(first[1] / "readings.db"))


def test_a_run_replaces_an_earlier_ones_folder(folder: Path) -> None:
    out = folder / "replaced"
    demo(out, "--nodes", 1, "--hours", 0.2, "--claim", 0).good()
    (out / "nodes" / "leftover").touch()
    before = Found.of(out / "readings.db").values
    demo(out, "--nodes", 1, "--hours", 0.2, "--claim", 0).good()
    assert not (out / "nodes" / "leftover").exists()
    assert Found.of(out / "readings.db").values == before, "the store is the second run's alone"


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """What an earlier run has left."""
    out = tmp_path / "out"
    empty_folder(out)
    (out / "readings.db").write_text("of the earlier run")
    return out


@pytest.mark.parametrize(
    "wrong",
    [("--broker", "mqtt://127.0.0.1:1"), ("--data", "no.csv"), ("--broker", "mqtts://localhost")],
    ids=lambda wrong: wrong[1].partition(":")[0],
)
def test_a_start_that_fails_leaves_what_an_earlier_run_has_made(earlier: Path, wrong: tuple[str, str]) -> None:
    assert told(earlier, "--nodes", 1, *wrong).code == 1
    assert (earlier / "readings.db").read_text() == "of the earlier run"


@pytest.mark.parametrize("package", ["bleak", "bumble", "numpy"])
@pytest.mark.parametrize("act", [["--nodes", "1"], ["--update"]], ids=["day", "update"])
def test_a_package_that_is_missing_is_named_with_its_extra_before_anything_is_replaced(
    earlier: Path, package: str, act: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    told(earlier, *act).refused(f"the demo needs the package {package}", "pip install 'citymote[sim]'")
    assert (earlier / "readings.db").read_text() == "of the earlier run"


def test_a_parquet_store_that_cannot_be_is_no_reason_to_replace_anything(
    earlier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    told(earlier, "--nodes", "1", "--parquet").refused("needs the package pyarrow", "pip install 'citymote[arrow]'")
    assert (earlier / "readings.db").read_text() == "of the earlier run"


def test_a_link_to_a_folder_is_written_through_again_and_again(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("real", target_is_directory=True)
    for content in ("one", "two"):
        (empty_folder(tmp_path / "link") / content).write_text(content)
        assert sorted(path.name for path in (tmp_path / "real").iterdir()) == sorted([MARK, content])
    assert (tmp_path / "link").is_symlink()


def test_the_simulator_names_the_extra_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    done = CliRunner().invoke(application(), ["simulate", "mqtt://localhost", "--out", str(tmp_path / "nodes")])
    assert done.exit_code == 1
    assert "a virtual node needs the package numpy" in done.stderr and "citymote[sim]" in done.stderr


@pytest.mark.parametrize("act", [["--nodes", "1"], ["--update"]], ids=["day", "update"])
def test_without_a_micropython_nothing_is_replaced(
    earlier: Path, act: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(bits: int = 32) -> None:
        raise runtime.RuntimeMissing("no MicroPython for virtual nodes")

    monkeypatch.setattr(runtime, "micropython", missing)
    told(earlier, *act).refused("no MicroPython for virtual nodes")
    assert (earlier / "readings.db").read_text() == "of the earlier run"


@pytest.mark.parametrize("option", ["--data", "--mapping", "--ca-file", "--password-file"])
def test_a_file_that_is_read_is_not_deleted_with_the_folder(earlier: Path, option: str) -> None:
    own = earlier / "deeper" / "own.file"
    own.parent.mkdir()
    own.write_text("ten years of work")
    told(earlier, option, own).refused(f"{own} lies in {earlier}", "Choose another --out")
    assert own.read_text() == "ten years of work"


@pytest.mark.parametrize(
    ("hours", "words"),
    [
        ("0.02", ("0.02 hours hold no row: one comes every 120 s", "--hours 0.04 or more")),
        ("inf", ("inf hours are too many", "--hours 744 or less")),
        ("1e9", ("1e+09 hours are too many", "--hours 744 or less")),
    ],
)
def test_hours_that_cannot_be_made_are_refused_and_nothing_is_replaced(
    earlier: Path, hours: str, words: tuple[str, ...]
) -> None:
    told(earlier, "--nodes", 1, "--claim", 0, "--hours", hours).refused(*words)
    assert (earlier / "readings.db").read_text() == "of the earlier run"


def test_hours_of_a_file_have_an_end(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text(HEADER + "2026-05-01T00:00:00Z,a,1.0\n")
    said = told(tmp_path / "out", "--data", tmp_path / "own.csv", "--hours", "inf")
    said.refused("inf hours cannot be played", "Leave --hours out")


@pytest.mark.parametrize(
    ("interval", "words"),
    [
        ("7200", "1 hours hold no row: one comes every 7200 s. Give --hours 2 or more"),
        ("61", "a node's interval divides a day. The next shorter one is 60"),
    ],
)
def test_the_simulator_refuses_an_interval_that_gives_no_row_in_its_hours_or_not_its_own_rows(
    tmp_path: Path, interval: str, words: str
) -> None:
    command = ["simulate", "mqtt://localhost", "--hours", "1", "--interval", interval, "--out", str(tmp_path / "nodes")]
    done = CliRunner().invoke(application(), command)
    assert done.exit_code == 1
    assert words in done.stderr


def test_the_second_act_refuses_options_that_it_would_not_hear(earlier: Path) -> None:
    said = told(earlier, "--update", "--data", "no.csv", "--nodes", 50, "--broker", "mqtt://localhost", "--parquet")
    said.refused("--update goes without --data, --nodes, --broker, --parquet", "--out and --json")
    assert (earlier / "readings.db").read_text() == "of the earlier run"


def test_somebody_elses_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("ten years of work")
    demo(tmp_path, "--nodes", 1).refused(str(tmp_path), "not empty", "Choose another --out")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_missing_data_file_is_named(tmp_path: Path) -> None:
    told(tmp_path / "out", "--data", tmp_path / "no.csv").refused(str(tmp_path / "no.csv"), "No such file")


def test_a_folder_in_place_of_a_data_file_is_named(tmp_path: Path) -> None:
    told(tmp_path / "out", "--data", tmp_path).refused(str(tmp_path), "cannot be read")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("2026-05-01T00:00:00Z,a,1.0\n2026-05-01T01:00:00Z,a,none\n", ("line 3", "dust", "'none' is no number")),
        ("2026-05-01T00:00:00Z,a,1.0\n2026-05-01T01:00:00Z,a\n", ("line 3", "2 cells where the header has 3")),
        ("2026-05-01T00:00:00Z,a,1.0\nyesterday,a,1.0\n", ("line 3", "no time in 'yesterday'")),
        ("", ("no readings", "Check the mapping")),
    ],
    ids=["value", "cells", "time", "empty"],
)
def test_a_malformed_line_is_named_with_its_place(tmp_path: Path, lines: str, words: tuple[str, ...]) -> None:
    (tmp_path / "own.csv").write_text(HEADER + lines)
    (tmp_path / "own.toml").write_text(MAPPING)
    said = told(tmp_path / "out", "--data", tmp_path / "own.csv", "--mapping", tmp_path / "own.toml")
    said.refused(str(tmp_path / "own.csv"), *words)


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_bytes(HEADER.encode() + b"\xff\xfe\x00,a,1.0\n")
    (tmp_path / "own.toml").write_text(MAPPING)
    said = told(tmp_path / "out", "--data", tmp_path / "own.csv", "--mapping", tmp_path / "own.toml")
    said.refused(str(tmp_path / "own.csv"), "Name its encoding")


def test_a_file_of_an_unknown_make_asks_for_a_mapping(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text(HEADER + "2026-05-01T00:00:00Z,a,1.0\n")
    told(tmp_path / "out", "--data", tmp_path / "own.csv").refused("sdot", "smartcitizen", "--mapping")


def test_an_unknown_mapping_is_answered_with_those_that_are_known(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text(HEADER)
    said = told(tmp_path / "out", "--data", tmp_path / "own.csv", "--mapping", "londonair")
    said.refused("londonair", "sdot", "smartcitizen")


def test_a_mapping_of_an_unknown_quantity_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text(HEADER)
    (tmp_path / "own.toml").write_text(MAPPING.replace("pm2_5", "happiness"))
    said = told(tmp_path / "out", "--data", tmp_path / "own.csv", "--mapping", tmp_path / "own.toml")
    said.refused(str(tmp_path / "own.toml"), "happiness")


def test_an_unreachable_broker_is_named(tmp_path: Path) -> None:
    url = f"mqtt://127.0.0.1:{free_port()}"
    demo(tmp_path / "out", "--nodes", 1, "--broker", url).refused(url, "Is a broker running there?")


def test_a_broker_that_refuses_the_password_says_where_to_mend_it(tmp_path: Path) -> None:
    with Broker(users={"city": "right"}) as broker:
        url = broker.url.replace("mqtt://", "mqtt://city@")
        told = demo(tmp_path / "out", "--nodes", 1, "--broker", url, CITYMOTE_MQTT_PASSWORD="wr0ng-secret")
    told.refused("refuses the connection", "CITYMOTE_MQTT_PASSWORD")
    assert "wr0ng-secret" not in told.err


def test_the_password_may_come_from_a_file(tmp_path: Path, run_vm: object) -> None:
    file = tmp_path / "password"
    file.write_text("right\n")
    file.chmod(0o600)
    with Broker(users={"city": "right"}) as broker:
        url = broker.url.replace("mqtt://", "mqtt://city@")
        options = ("--nodes", 2, "--hours", 0.4, "--claim", 1, "--broker", url, "--password-file", file)
        assert demo(tmp_path / "out", *options).good()["provisioned"] == 1


def test_a_password_without_a_user_is_refused(tmp_path: Path) -> None:
    said = told(tmp_path / "out", "--broker", "mqtt://localhost", "--password-file", tmp_path / "password")
    said.refused("a password needs a user", "USER@HOST")


def test_a_brokers_address_that_is_none_is_refused(tmp_path: Path) -> None:
    told(tmp_path / "out", "--nodes", 1, "--broker", "http://example.org").refused("broker", "mqtt")
