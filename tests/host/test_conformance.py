"""The conformance kit passes what is right and catches what is not, naming the clause that is broken."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import cbor2
import pytest
from tests.host import faulty_decoder
from tests.host.making import NODE, START, batch, batches, columns_of, event, status, write_capture

from citymote.conformance import clauses
from citymote.conformance.decoder import check_decoder, trials
from citymote.conformance.frames import FramesCheck
from citymote.errors import UsageError
from citymote_protocol.quantities import ABSENT

if TYPE_CHECKING:
    from citymote.conformance.report import Report

TOP = Path(__file__).resolve().parents[2]
PROGRAM = Path(faulty_decoder.__file__)


def command(fault: str = "") -> str:
    return shlex.join([sys.executable, str(PROGRAM), *([fault] if fault else [])])


@pytest.fixture(autouse=True)
def paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(TOP / "protocol"))


# -- decoders ----------------------------------------------------------------------------------------------------------


def test_our_own_decoder_conforms() -> None:
    report = check_decoder(command())
    assert report.passed, report.text()
    assert len(report.cases) > 300


FAULTS = {
    "null is zero": {"3.5", "6.1"},
    "values are floats": {"3.5"},
    "values are scaled": {"3.5"},
    "values wrap at 16 bits": {"3.5"},
    "irregular rows are regular": {"3.4.3"},
    "time is that of the last row": {"1.4"},
    "quality is one row late": {"3.6"},
    "quality is ignored": {"3.6"},
    "instances are ignored": {"3.3"},
    "epoch has 16 bits": {"3.2"},
    "clock state is forgotten": {"3.2.3"},
    "unknown fields are dropped": {"3.7.1"},
    "minor version is ignored": {"3.7"},
    "node is a number": {"3.2.4"},
    "columns are reversed": {"3.5"},
    "step is forgotten": {"3.5"},
    "words are big endian": {"3.5"},
    "zigzag is two's complement": {"4.5"},
    "one code for all": {"1.2.1", "3.5.1"},
    "dies on a long frame": set(),
    "prints a report": {"7.6"},
    **{f"{code} is not checked": {clauses.of_code(code)} for code in faulty_decoder.LEFT_OUT},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_decoder_is_caught(fault: str) -> None:
    report = check_decoder(command(fault))
    assert not report.passed, f"{fault!r} was not noticed"
    broken = {case.clause for case in report.failures}
    assert FAULTS[fault] <= broken, f"{fault!r} was blamed on {broken}"
    if fault.endswith("is not checked"):
        assert broken == FAULTS[fault], f"{fault!r} was blamed on others, too: {report.text()}"


def test_a_decoder_that_does_not_answer_is_caught() -> None:
    report = check_decoder(command("never answers a bad frame"), timeout=0.2)
    assert not report.passed
    assert any("no answer" in case.message for case in report.failures)
    assert any("given up" in case.message for case in report.failures)


def test_any_code_will_do_if_asked_for() -> None:
    assert check_decoder(command("one code for all"), any_code=True).passed


def test_a_command_that_is_none_is_said() -> None:
    with pytest.raises(UsageError, match="cannot start"):
        check_decoder("/nowhere/decoder")
    with pytest.raises(UsageError, match="empty"):
        check_decoder("  ")


def test_every_error_code_has_a_trial() -> None:
    asked = {trial.error for trial in trials()}
    codes = {case["code"] for case in clauses.vectors("errors")}
    assert codes <= asked


# -- frames ------------------------------------------------------------------------------------------------------------


def judged(frames: list[bytes], node: str | None = None) -> Report:
    return FramesCheck(node=node).check(frames)


def sound(count: int = 6) -> list[bytes]:
    """Frames within their ranges."""
    quantities = ((1, 0), (3, 0), (3, 1), (9, 0))
    values = [[120, 130, 121, ABSENT, 125], [200, 201, 199, 200, 205], [0, 0, 0, 0, 0], [500, 612, 555, 555, 555]]
    return [batch(seq, columns=quantities, values=values, packed=seq % 3 == 2) for seq in range(count)]


def test_what_our_encoder_writes_conforms() -> None:
    report = judged([*sound(), event(6), status(7)])
    assert report.passed, report.text()
    assert report.notes == []


def test_golden_frames_are_what_an_encoder_writes() -> None:
    from citymote.capture import Message
    from citymote.conformance.frames import written_otherwise
    from citymote.decode import open_and_decode

    for case in clauses.vectors("frames"):
        frame = open_and_decode(Message(bytes.fromhex(case["hex"]), None, case["name"]), None, NODE.hex())
        assert written_otherwise(frame) == ("", ""), case["name"]


def item(*values: object) -> bytes:
    """A batch frame as an encoder without our rules would write it: two rows of what is given behind the interval."""
    return cbor2.dumps([2, NODE, 1, 5, START, *values])


OTHER_FORMS = {
    "a list of quantities that a set has": ("3.3", item(1, 60, [1, 2, 3, 4], 10, 10, 200, 500)),
    "a list where all rows are equal": ("3.5", item(3, 60, [3], [200, 0, 0])),
    "null for every row": ("3.5", item(3, 60, [3], [None, None, None])),
    "no step where one is smaller": ("3.5", item(4, 60, [3], [200, 100, -100, 300])),
    "a step that is not the largest": ("3.5", item(3, 60, [3], [2, 100, 50, -50])),
    "bytes where a list is smaller": ("3.5", item(3, 60, [3], [200, cbor2.CBORTag(72, b"\x01\x02")])),
    "words where bytes do": (
        "3.5",
        item(20, 60, [3], [200, cbor2.CBORTag(77, b"\x01\x00\x20\x00" + b"\x01\x00\xff\xff" * 8 + b"\x05\x00")]),
    ),
    "a mask where a list is smaller": ("3.5", item(4, 60, [3], [201, b"\xe0", 1, 2, 3])),
    "deviations of a regular interval": ("3.4", item(3, [60, 0, 0], [3], [201, 1, 5])),
    "runs of quality in pieces": ("3.6", item(3, 60, [3], [201, 1, 5], {1: [0, 0, 1, 8, 0, 1, 1, 8]})),
    "an empty map of fields": ("3.7", item(3, 60, [3], [201, 1, 5], {})),
}


@pytest.mark.parametrize("fault", OTHER_FORMS)
def test_another_form_than_the_tables_is_caught(fault: str) -> None:
    clause, frame = OTHER_FORMS[fault]
    report = judged([frame])
    assert [case.clause for case in report.failures] == [clause], report.text()


def resealed(number: int) -> list[bytes]:
    from citymote.crypto import HostCrypto
    from citymote.keys import generate_collector_key
    from citymote_protocol import p256
    from citymote_protocol.sealing import Sealer, node_id

    crypto = HostCrypto()
    private, public = p256.run(crypto.key_pair_steps())
    made = []
    for index in range(number):
        name = node_id(crypto.sha256, public)
        sealer = Sealer(crypto, name, private, generate_collector_key().public, 1, bytes(range(8)))
        made.append(sealer.seal(sound()[index]))
    return made


FAULTY: dict[str, tuple[str, list[bytes]]] = {
    "a byte behind the frame": ("1.2.2", [sound()[0] + b"\x00"]),
    "a long form of a number": ("1.2.3", [sound()[0].replace(b"\x18\x78", b"\x19\x00\x78", 1)]),
    "a float": ("1.2.6", [cbor2.dumps([2, NODE, 1, 5, START, 1, 60, [3], 20.5])]),
    "a frame cut short": ("1.2.1", [sound()[0][:-1]]),
    "a node id of eight bytes": ("3.2.4", [cbor2.dumps([2, bytes(8), 1, 5, START, 1, 60, [3], 205])]),
    "a column too few": ("3.2.5", [item(2, 60, [3, 4], 200)]),
    "two rows too many": ("3.5.1", [item(2, 60, [3], [200, 1, 2, 3])]),
    "rows without an interval": ("3.4.2", [item(2, 0, [3], [200, 1])]),
    "another version": ("3.2.1", [cbor2.dumps([66, NODE, 1, 5, START, 1, 60, [3], 205])]),
    "one identity for two frames": (
        "7.3",
        [batch(0, columns=((3, 0),), values=[[1]]), batch(0, columns=((3, 0),), values=[[2]])],
    ),
    "no node at all": ("7.1", [batch(0, node=None, columns=((3, 0),), values=[[1]])]),
    "a humidity of 120 %": ("2", [batch(0, columns=((4, 0),), values=[[1200]])]),
    "one nonce for two messages": ("5.6.3", resealed(2)),
    "an envelope that is none": ("5", [b"\x83\x01\x02\x03"]),
}


@pytest.mark.parametrize("fault", FAULTY)
def test_a_faulty_encoder_is_caught(fault: str) -> None:
    clause, frames = FAULTY[fault]
    report = judged(frames)
    assert clause in {case.clause for case in report.failures}, report.text()


def test_a_marked_reading_outside_its_range_is_in_order() -> None:
    assert judged([batch(0, columns=((4, 0),), values=[[1200]], quality=[bytes((11,))])]).passed


def test_repetitions_are_no_failure_and_gaps_are_noted() -> None:
    frames = sound()
    report = judged([frames[0], frames[0], frames[1], frames[5]])
    assert report.passed
    assert report.notes == ["frame 4: 3 frames of node 0102030405aa are missing before it"]


def test_sealed_frames_without_keys_are_judged_by_their_envelope() -> None:
    report = judged(resealed(1))
    assert report.passed
    assert "were not opened" in report.notes[0]


def test_damage_is_a_failure(tmp_path: Path) -> None:
    path = write_capture(tmp_path / "x.cmcap", sound())
    data = bytearray(path.read_bytes())
    data[60] ^= 1
    path.write_bytes(data)
    assert [case.clause for case in FramesCheck().check(path).failures] == ["10.2"]


def test_random_frames_of_our_encoder_conform() -> None:
    import random

    rng = random.Random(5)
    frames = [
        batch(
            seq,
            columns=((50_000, 0), (50_001, 3)),
            values=columns_of(rng, 2, rng.choice((1, 3, 20, 60)), 0.1),
            packed=seq % 2 == 1,
        )
        for seq in range(60)
    ]
    report = judged(frames)
    assert report.passed, report.text()


# -- reports -----------------------------------------------------------------------------------------------------------


def cli(*arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": f"{TOP / 'protocol'}:{TOP / 'host_sdk'}", "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        [sys.executable, "-m", "citymote", "conformance", *map(str, arguments)],
        capture_output=True, text=True, timeout=120, check=False, env=environment,
    )  # fmt: skip


def test_reports_for_people_programs_and_continuous_integration(tmp_path: Path) -> None:
    good, bad = (
        write_capture(tmp_path / "good.cmcap", sound()),
        write_capture(tmp_path / "bad.cmcap", [sound()[0] + b"\x00"]),
    )
    done = cli("frames", good)
    assert done.returncode == 0, done.stdout
    assert "6 of 6 cases pass; it conforms" in done.stdout
    done = cli("frames", bad, "--junit", tmp_path / "report.xml")
    assert done.returncode == 1
    assert "FAIL 1.2.2" in done.stdout
    suite = ET.parse(tmp_path / "report.xml").getroot()
    assert (suite.tag, suite.get("tests"), suite.get("failures")) == ("testsuite", "1", "1")
    assert suite.find("testcase").get("classname") == "SPEC 1.2.2"
    document = json.loads(cli("frames", bad, "--json").stdout)
    assert document["passed"] is False
    assert document["clauses_broken"] == ["1.2.2"]


def test_nothing_tried_is_nothing_shown(tmp_path: Path) -> None:
    (tmp_path / "empty.cmcap").write_bytes(b"")
    done = cli("frames", tmp_path / "empty.cmcap")
    assert done.returncode == 1
    assert "no cases" in done.stdout


def test_the_command_line_runs_a_decoder() -> None:
    done = cli("decoder", command("float is not checked"), "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["clauses_broken"] == ["1.2.6"]


def test_frames_in_order_conform_over_files(tmp_path: Path) -> None:
    check = FramesCheck()
    check.check(write_capture(tmp_path / "a.cmcap", sound()[:3]))
    report = check.check(write_capture(tmp_path / "b.cmcap", [*sound()[3:], *batches(0)]))
    assert report.passed
    assert len(report.cases) == 6


# -- a live node -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("allow", [True, False])
def test_a_live_node_is_listened_to(mosquitto, tmp_path: Path, allow: bool) -> None:
    from tests.host.brokers import Broker, Publisher

    from citymote.conformance.live import check_node

    with Broker(mosquitto.broker, tmp_path / "broker") as broker, Publisher(broker) as publisher:
        stop = threading.Event()

        def speak() -> None:
            # A node goes on speaking; what the listener hears begins when its subscription stands.
            for frame in sound(200):
                publisher.send(NODE.hex(), frame)
                if stop.wait(0.1):
                    return

        talker = threading.Thread(target=speak)
        talker.start()
        try:
            report = check_node(broker.url, NODE.hex(), 4, 20.0, allow_unsealed=allow)
        finally:
            stop.set()
            talker.join()
    assert len([case for case in report.cases if case.clause != "7.1"]) == 4
    assert report.passed is allow, report.text()


def test_a_silent_node_does_not_conform(mosquitto, tmp_path: Path) -> None:
    from tests.host.brokers import Broker

    from citymote.conformance.live import check_node

    with Broker(mosquitto.broker, tmp_path / "broker") as broker:
        report = check_node(broker.url, NODE.hex(), 1, 1.0)
    assert not report.passed
    assert "0 of 1 messages" in report.text()
