"""Exports held against the standards they claim: schemas of the standards, and the readings they came from."""

from __future__ import annotations

import csv
import io
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import cbor2
import jsonschema
import polars as pl
import pytest
from tests.host.making import NODE, START, batch, batches, event, status

from citymote import Decoder, Reading, readings
from citymote.errors import ExportError, UsageError
from citymote.export import FORMATS, exporter
from citymote.export.base import Options, Station, read_stations
from citymote.export.senml import LABELS
from citymote.reading import as_json, moment, time_text
from citymote.registry import quantities, quantity
from citymote_protocol.quantities import ABSENT

NAME = NODE.hex()
SCHEMAS = Path(__file__).parent / "schemas"
OPTIONS = Options({NAME: Station(37.5665, 126.978, 38.0, "City Hall")})
AIR = tuple((quantity(name).id, 0) for name in ("pm2_5", "pm10", "temperature", "humidity", "wind_direction", "no2"))
ROWS = [[82, 90], [121, ABSENT], [-105, 3], [421, 1000], [270, 180], [-7, 12]]
FRAMES = [*batches(4), batch(4, columns=AIR, values=ROWS), event(5), status(6)]


def check(name: str, document: object) -> None:
    schema = json.loads((SCHEMAS / f"{name}.json").read_text())
    checker = jsonschema.Draft202012Validator
    checker.check_schema(schema)
    checker(schema, format_checker=checker.FORMAT_CHECKER).validate(document)


def export(form: str, frames: list[bytes] = FRAMES, options: Options = OPTIONS) -> tuple[bytes, Any]:
    out = io.BytesIO()
    writer = exporter(form, out, options)
    for frame in Decoder().frames(frames):
        writer.add(frame, list(frame.readings()))
    writer.close()
    return out.getvalue(), writer


def test_json_lines_are_the_readings() -> None:
    data, _ = export("jsonl")
    assert data.decode().splitlines() == [as_json(reading) for reading in readings(FRAMES)]


def test_csv_can_be_read_back() -> None:
    data, _ = export("csv")
    rows = list(csv.DictReader(io.StringIO(data.decode(), newline="")))
    expected = list(readings(FRAMES))
    assert len(rows) == len(expected)
    for row, reading in zip(rows, expected, strict=True):
        assert (row["node"], int(row["seq"]), row["time"]) == (reading.node, reading.seq, time_text(reading.time))
        assert (None if row["value"] == "" else float(row["value"])) == reading.value
        assert row["sealed"] == "false"


def test_parquet_can_be_read_back(tmp_path: Path) -> None:
    data, _ = export("parquet")
    table = pl.read_parquet(io.BytesIO(data))
    assert table["value"].to_list() == [reading.value for reading in readings(FRAMES)]
    assert table["quantity"].to_list() == [reading.quantity for reading in readings(FRAMES)]


def test_text_says_what_is_unusual() -> None:
    data, _ = export("text", [batch(0, columns=((3, 1),), values=[[ABSENT]], clock=4, quality=[bytes((8,))])])
    (line,) = data.decode().splitlines()
    assert "temperature[1]" in line
    assert "absent" in line
    assert "no_answer, clock estimated, not sealed" in line


# -- SenML -------------------------------------------------------------------------------------------------------------


def resolve(pack: list[dict[str, Any]]) -> dict[tuple[str, float], Any]:
    """RFC 8428, section 4.6: every record by its full name and absolute time."""
    base: dict[str, Any] = {}
    found: dict[tuple[str, float], Any] = {}
    for record in pack:
        base.update({key: value for key, value in record.items() if key.startswith("b")})
        name = base.get("bn", "") + record.get("n", "")
        assert name[0].isalnum(), name
        when = base.get("bt", 0) + record.get("t", 0)
        assert when >= 2**28, "a time below 2**28 would be relative to now"
        if "v" in record:
            found[name, when] = (float(record["v"]) + base.get("bv", 0), record.get("u", base.get("bu")))
        else:
            found[name, when] = record["vs"]
    return found


def expected_senml(reading: Reading) -> tuple[str, float]:
    suffix = f":{reading.sensor}" if reading.sensor else ""
    return f"citymote:{reading.node}:{reading.quantity}{suffix}", reading.time.timestamp()


def test_senml_json_holds_every_value() -> None:
    data, _ = export("senml")
    pack = json.loads(data)
    check("senml", pack)
    assert pack[0]["bver"] == 26, "secondary units need feature 4 of RFC 9100"
    assert all("bver" not in record for record in pack[1:])
    found = resolve(pack)
    for reading in readings(FRAMES):
        key = expected_senml(reading)
        if reading.value is None:
            assert key not in found
        else:
            unit, factor = quantity(reading.quantity).senml
            value, named = found[key]
            assert named == unit
            assert value == pytest.approx(reading.value * factor, rel=1e-12)
        if reading.quality != "unchecked":
            assert found[key[0] + ":quality", key[1]] == reading.quality


def test_senml_cbor_is_the_same_pack() -> None:
    names = {label: name for name, label in LABELS.items()}
    data, _ = export("senml-cbor")
    stream = io.BytesIO(data)
    pack = [{names[label]: value for label, value in record.items()} for record in cbor2.load(stream)]
    assert stream.read() == b""
    check("senml", [{k: float(v) if k == "v" else v for k, v in record.items()} for record in pack])
    assert resolve(pack) == resolve(json.loads(export("senml")[0]))


@pytest.mark.parametrize("count", [0, 5, 23, 24, 255, 256])
def test_senml_cbor_arrays_of_any_length(count: int) -> None:
    frames = [batch(0, columns=((3, 0),), values=[[1] * (count - 1)])] if 1 < count <= 256 else []
    assert len(cbor2.loads(export("senml-cbor", frames)[0])) == (count if frames else 0)


def test_senml_units_are_registered() -> None:
    # SenML Units and Secondary Units registries at IANA, those that the registry uses.
    primary = {
        "m",
        "kg",
        "g",
        "s",
        "A",
        "K",
        "cd",
        "mol",
        "Hz",
        "rad",
        "sr",
        "N",
        "Pa",
        "J",
        "W",
        "C",
        "F",
        "V",
        "Ohm",
        "S",
        "Wb",
        "T",
        "H",
        "Cel",
        "lm",
        "lx",
        "Bq",
        "Gy",
        "Sv",
        "kat",
        "m2",
        "m3",
        "l",
        "m/s",
        "m/s2",
        "m3/s",
        "l/s",
        "W/m2",
        "cd/m2",
        "bit",
        "bit/s",
        "lat",
        "lon",
        "pH",
        "dB",
        "dBW",
        "Bspl",
        "count",
        "/",
        "%",
        "%RH",
        "%EL",
        "EL",
        "1/s",
        "1/min",
        "beat/min",
        "beats",
        "S/m",
        "B",
        "VA",
        "VAs",
        "var",
        "vars",
        "J/m",
        "kg/m3",
        "deg",
        "NTU",
    }
    secondary = {
        "ms",
        "min",
        "h",
        "MHz",
        "kW",
        "kVA",
        "kvar",
        "Ah",
        "Wh",
        "kWh",
        "varh",
        "kvarh",
        "kVAh",
        "Wh/km",
        "KiB",
        "GB",
        "Mbit/s",
        "B/s",
        "MB/s",
        "mV",
        "mA",
        "dBm",
        "ug/m3",
        "mm/h",
        "m/h",
        "ppm",
        "/100",
        "/1000",
        "hPa",
        "mm",
        "cm",
        "km",
        "km/h",
        "gravity",
        "ppb",
        "ppt",
    }
    unknown = {entry.senml[0] for entry in quantities() if entry.senml[0]} - primary - secondary
    assert unknown == set(), f"units that no SenML registry has: {unknown}"


# -- SensorThings ------------------------------------------------------------------------------------------------------


def test_data_arrays_hold_every_present_value() -> None:
    data, writer = export("sensorthings")
    body = json.loads(data)
    check("sensorthings-create-observations", body)
    found: dict[tuple[str, str], float] = {}
    for element in body:
        assert element["dataArray@iot.count"] == len(element["dataArray"])
        for row in element["dataArray"]:
            assert len(row) == len(element["components"])
            cells = dict(zip(element["components"], row, strict=True))
            begin, _, end = cells["phenomenonTime"].rpartition("/")
            assert end == cells["resultTime"]
            assert not begin or datetime.fromisoformat(begin) < datetime.fromisoformat(end)
            found[element["Datastream"]["@iot.id"], end] = cells["result"]
    present = [reading for reading in readings(FRAMES) if reading.value is not None]
    assert found == {(f"{r.node}:{r.quantity}:{r.sensor}", time_text(r.time)): r.value for r in present}
    assert writer.left_out["absent"] == len(list(readings(FRAMES))) - len(present)


def test_things_have_every_datastream_of_the_data_arrays() -> None:
    things = [json.loads(line) for line in export("sensorthings-things")[0].splitlines()]
    for thing in things:
        check("sensorthings-thing", thing)
    streams = {stream["@iot.id"] for thing in things for stream in thing["Datastreams"]}
    assert {element["Datastream"]["@iot.id"] for element in json.loads(export("sensorthings")[0])} <= streams
    assert things[0]["Locations"][0]["location"]["coordinates"] == [126.978, 37.5665, 38.0]


def test_no_readings_are_an_empty_document() -> None:
    assert json.loads(export("sensorthings", [])[0]) == []
    assert json.loads(export("senml", [])[0]) == []


# -- NGSI-LD -----------------------------------------------------------------------------------------------------------


def entities(frames: list[bytes], options: Options = OPTIONS) -> tuple[list[dict[str, Any]], Any]:
    data, writer = export("ngsi-ld", frames, options)
    found = [json.loads(line) for line in data.splitlines()]
    for entity in found:
        check("ngsi-ld-normalized", entity)
        name = "air-quality-observed" if entity["type"] == "AirQualityObserved" else "noise-level-observed"
        check(name, simplified(entity))
    return found, writer


def simplified(entity: dict[str, Any]) -> dict[str, Any]:
    """ETSI GS CIM 009, section 4.5.4: values only; of several, the one without datasetId."""
    plain: dict[str, Any] = {}
    for key, value in entity.items():
        if key in ("id", "type"):
            plain[key] = value
        elif key != "@context":
            chosen = [each for each in value if "datasetId" not in each] if isinstance(value, list) else [value]
            if chosen:
                plain[key] = chosen[0].get("value", chosen[0].get("object"))
    return plain


def test_air_quality_is_converted_to_the_models_units() -> None:
    found, writer = entities([batch(4, columns=AIR, values=ROWS)])
    first, second = (simplified(entity) for entity in found)
    assert first["pm25"] == 8.2
    assert first["pm10"] == 12.1
    assert first["temperature"] == -10.5
    assert first["relativeHumidity"] == 0.421
    assert first["windDirection"] == -90
    assert second["windDirection"] == 180
    assert second["no2"] == 12
    assert "pm10" not in second, "an absent value became an attribute"
    assert "no2" not in first, "the model allows no negative gas"
    assert writer.left_out == {"absent": 1, "negative no2, which the model does not allow": 1}
    assert found[0]["pm25"]["unitCode"] == "GQ"
    assert first["location"]["coordinates"] == [126.978, 37.5665, 38.0]
    assert first["dateObserved"] == time_text(moment(START + 4 * 5 * 120))


def test_noise_says_its_interval() -> None:
    columns = tuple((quantity(name).id, 0) for name in ("laeq", "laf_max", "las_max"))
    found, _ = entities([batch(0, columns=columns, values=[[612], [801], [744]], time=START, interval=60)])
    (entity,) = (simplified(each) for each in found)
    assert entity["type"] == "NoiseLevelObserved"
    assert entity["LAeq"] == 61.2
    begin, end = (datetime.fromisoformat(entity[key]) for key in ("dateObservedFrom", "dateObservedTo"))
    assert (end - begin).total_seconds() == 60
    assert end == moment(START)


def test_raw_and_corrected_and_second_sensors_stand_side_by_side() -> None:
    columns = ((1, 0), (1, 1), (21, 0))
    found, _ = entities([batch(0, columns=columns, values=[[100], [110], [95]])])
    (entity,) = found
    by_set = {each.get("datasetId"): each["value"] for each in entity["pm25"]}
    assert by_set == {
        None: 10.0,
        "urn:ngsi-ld:Dataset:citymote:pm2_5:1": 11.0,
        "urn:ngsi-ld:Dataset:citymote:pm2_5_corrected:0": 9.5,
    }


def test_the_place_may_come_from_the_node_itself() -> None:
    columns = tuple((quantity(name).id, 0) for name in ("pm2_5", "latitude", "longitude"))
    found, _ = entities([batch(0, columns=columns, values=[[100], [37_500_000], [127_000_000]])], Options())
    assert simplified(found[0])["location"]["coordinates"] == [127.0, 37.5]


def test_without_a_place_the_node_is_named() -> None:
    with pytest.raises(ExportError, match=f"node {NAME}.*--stations"):
        entities([batch(0)], Options())


def test_quantities_outside_the_models_are_counted() -> None:
    _, writer = entities([batch(0, columns=((7, 0),), values=[[5, 6]])])
    assert writer.left_out == {"illuminance is in neither model": 2}


# -- all formats -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS)
def test_unknown_quantities_do_not_stop_an_export(form: str) -> None:
    data, _ = export(form, [batch(0, columns=((60_000, 3), (3, 0)), values=[[5, ABSENT], [1, 2]])])
    assert data or form in ("ngsi-ld", "descriptors")


def test_an_unknown_format_is_named_with_the_others() -> None:
    with pytest.raises(UsageError, match="jsonl"):
        exporter("xml", io.BytesIO())


def test_stations_are_read_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "stations.csv"
    path.write_text("node,latitude,longitude,name\n0102030405AA,37.5,127,Pole 7\n")
    assert read_stations(str(path)) == {NAME: Station(37.5, 127.0, None, "Pole 7")}
    path.write_text("node,latitude,longitude\n0102030405aa,95,127\n")
    with pytest.raises(ExportError, match="line 2"):
        read_stations(str(path))
    path.write_text("node,lat\n0102030405aa,95\n")
    with pytest.raises(ExportError, match="columns node, latitude, longitude"):
        read_stations(str(path))
    with pytest.raises(ExportError, match="cannot read"):
        read_stations(str(tmp_path / "none.csv"))
