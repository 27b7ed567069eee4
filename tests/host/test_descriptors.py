"""What a node says it is arrives whole: from the frame to typed records, JSON lines, the command line and the store."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from tests.host.making import NODE, batch, status

import citymote
from citymote import Decoder, open_store
from citymote.descriptor import Correction, Position, Sense, as_dict, descriptor_of
from citymote.export import exporter
from citymote_protocol import plain

TOP = Path(__file__).resolve().parents[2]
CASES: dict[str, dict[str, Any]] = {
    case["name"]: case
    for case in json.loads((TOP / "protocol" / "vectors" / "frames.json").read_text(encoding="utf-8"))["cases"]
}
FULL = bytes.fromhex(CASES["descriptor, all fields"]["hex"])
SMALL = bytes.fromhex(CASES["descriptor, smallest"]["hex"])
NEWER = next(
    bytes.fromhex(case["hex"])
    for case in json.loads((TOP / "protocol" / "vectors" / "frames-other.json").read_text(encoding="utf-8"))["cases"]
    if case["name"] == "descriptor with fields of a newer version"
)


def test_every_field_of_the_chapter_has_a_typed_place() -> None:
    (found,) = citymote.descriptors([FULL])
    assert (found.node, found.model, found.firmware) == ("010203040506", "citymote pole", "1.2.3")
    assert (found.runtime, found.maker, found.hardware) == ("MicroPython 1.28.0", "citymote", "rev C")
    assert (found.support_until, found.station) == (date(2036, 1, 1), "종로구-17")
    assert found.position == Position(37.5665, 126.978, 32)
    assert found.corrections[0] == Correction("pm2_5_corrected", "humidity", 1)
    assert [sense.quantity for sense in found.batch_columns] == ["pm2_5", "pm10", "temperature", "humidity"]
    dust, sound = found.sensors
    assert (dust.driver, dust.model, dust.serial, dust.batch) == ("sps30", "SPS30", "A1B2C3D4", "2026-W07")
    assert (dust.calibrated, dust.pm_class) == (date(2026, 1, 4), 1)
    assert dust.senses == (Sense("pm1", 0), Sense("pm2_5", 0), Sense("pm10", 0))
    assert sound.sound_method == "IEC 61672-1, electrical"
    assert (sound.calibrated, sound.pm_class) == (None, None)


def test_what_a_node_does_not_say_is_not_made_up() -> None:
    (found,) = citymote.descriptors([SMALL])
    assert set(as_dict(found)) == {"node", "seq", "time", "time_quality", "sealed", "model", "firmware", "sensors"}
    assert as_dict(found)["sensors"] == [
        {"driver": "sht4x", "senses": [{"quantity": "temperature", "sensor": 0}, {"quantity": "humidity", "sensor": 0}]}
    ]


def test_class_0_is_said_because_it_means_not_certified() -> None:
    case = json.loads(json.dumps(CASES["descriptor, smallest"]["frame"]))
    case["fields"]["sensors"][0]["pm_class"] = 0
    (found,) = citymote.descriptors([bytes(plain.from_plain(case))])  # type: ignore[arg-type]
    assert as_dict(found)["sensors"][0]["pm_class"] == 0


def test_fields_of_a_newer_version_are_counted_and_cost_nothing_else() -> None:
    (found,) = citymote.descriptors([NEWER])
    assert (found.model, found.firmware, found.more) == ("m", "f", 2)


def test_other_frames_are_none() -> None:
    frames = list(Decoder().frames([batch(0), status(1), FULL]))
    assert [descriptor_of(frame) is None for frame in frames] == [True, True, False]


def test_the_export_is_one_object_a_descriptor() -> None:
    out = io.BytesIO()
    writer = exporter("descriptors", out)
    for frame in Decoder().frames([batch(0), FULL, SMALL]):
        writer.add(frame, list(frame.readings()))
    writer.close()
    lines = [json.loads(line) for line in out.getvalue().decode().splitlines()]
    assert [line["model"] for line in lines] == ["citymote pole", "citymote virtual"]
    assert lines[0]["support_until"] == "2036-01-01"
    assert lines[0]["sensors"][0]["calibrated"] == "2026-01-04"
    assert writer.written == 2


def test_people_see_a_line_about_the_node_between_the_readings() -> None:
    out = io.BytesIO()
    writer = exporter("text", out)
    for frame in Decoder().frames([FULL]):
        writer.add(frame, list(frame.readings()))
    assert out.getvalue().decode().endswith(" is citymote pole, firmware 1.2.3: sps30, microphone\n")


def test_the_command_line_decodes_and_the_store_gives_them_back(tmp_path: Path) -> None:
    (tmp_path / "x.hex").write_text("\n".join(data.hex() for data in (batch(0), FULL)))
    verb = [sys.executable, "-m", "citymote"]
    shown = subprocess.run(
        [*verb, "decode", "--format", "descriptors", "x.hex"], cwd=tmp_path, capture_output=True, timeout=60, check=True
    )
    with open_store(str(tmp_path / "s.db")) as store:
        store.add(list(Decoder().frames([batch(0), FULL])))
    kept = subprocess.run(
        [*verb, "export", "s.db", "--format", "descriptors"], cwd=tmp_path, capture_output=True, timeout=60, check=True
    )
    assert json.loads(shown.stdout)["model"] == "citymote pole"
    assert kept.stdout == shown.stdout


@pytest.mark.parametrize("kind", ["s.db", "parquet:store"])
def test_a_store_gives_descriptors_of_the_nodes_asked_for(kind: str, tmp_path: Path) -> None:
    place = kind.replace("store", str(tmp_path / "store")) if ":" in kind else str(tmp_path / kind)
    with open_store(place) as store:
        store.add(list(Decoder().frames([batch(0), FULL])))
        assert [frame.data for frame in store.iter_descriptors()] == [FULL]
        assert [frame.data for frame in store.iter_descriptors(("010203040506",))] == [FULL]
        assert list(store.iter_descriptors((NODE.hex(),))) == []
