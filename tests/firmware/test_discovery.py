"""Home Assistant's discovery: off unless asked for, complete by its schema, and the readings beside the frames."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.host import brokers
from tests.support.vm import Result

from citymote.keys import KeyFile, generate_collector_key
from citymote.registry import quantity

from .collecting import Collector, expected, node

pytestmark = pytest.mark.usefixtures("run_vm")
NAMES = [quantity(number).name for number in range(1, 11)]

# Home Assistant: what each device class of a sensor may have for a unit (developers.home-assistant.io, sensor entity).
UNITS = {
    "pm25": {"µg/m³"},
    "pm10": {"µg/m³"},
    "temperature": {"°C", "°F", "K"},
    "humidity": {"%"},
    "wind_direction": {"°"},
    "wind_speed": {"m/s", "km/h", "mph", "kn", "ft/s", "Beaufort"},
    "illuminance": {"lx"},
    "sound_pressure": {"dB", "dBA"},
}


@pytest.fixture
def broker(mosquitto: Any, tmp_path: Path) -> Any:
    with brokers.Broker(mosquitto.broker, tmp_path / "mosquitto") as found:
        yield found


class Home(Collector):
    """Subscribes to everything, as Home Assistant does to its prefix."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self._client.subscribe("homeassistant/#", 0)

    def told(self, ending: str, count: int) -> list[tuple[str, dict[str, Any]]]:
        def found() -> list[tuple[str, bytes]]:
            return [(topic, payload) for topic, payload in self.others if topic.endswith(ending)]

        with self._news:
            assert self._news.wait_for(lambda: len(found()) >= count, 20), [topic for topic, _ in self.others]
            return [(topic, json.loads(payload)) for topic, payload in found()]


def test_every_quantity_has_a_document_that_the_schema_takes(tmp_path: Path, broker: brokers.Broker) -> None:
    with Home(broker.port) as home, node(tmp_path / "n", 0.2, broker.port, discovery="homeassistant") as n:
        n.start()
        n.wait(60)
        name = n.event_data("identity")[0]["node"]
        documents = home.told("/config", 10)
    assert [topic for topic, _ in documents] == [
        f"homeassistant/sensor/citymote_{name}/{quantity}/config" for quantity in NAMES
    ]
    assert len({told["unique_id"] for _, told in documents}) == 10
    for _, told in documents:
        assert told["state_topic"] == f"citymote/{name}/state"
        assert told["availability_topic"] == f"citymote/{name}/link"
        assert told["device"]["identifiers"] == [f"citymote_{name}"]
        assert told["origin"]["name"]
        assert told["state_class"] == ("measurement_angle" if "direction" in told["unique_id"] else "measurement")
        if "device_class" in told:
            assert told["unit_of_measurement"] in UNITS[told["device_class"]]
    classes = [told.get("device_class") for _, told in documents]
    assert classes == [
        "pm25", "pm10", "temperature", "humidity", "wind_direction", "wind_speed", "illuminance", None,
        "sound_pressure", None,
    ]  # fmt: skip


def test_a_row_is_said_in_its_own_units(tmp_path: Path, broker: brokers.Broker) -> None:
    with Home(broker.port) as home, node(tmp_path / "n", 0.5, broker.port, discovery="homeassistant") as n:
        n.start()
        n.wait(60)
        states = [told for _, told in home.told("/state", 15)]
    due = expected(1, 15)
    scale = [quantity(number).decimals for number in range(1, 11)]
    rows = {row: {n: v / 10**d for n, v, d in zip(NAMES, due[row], scale, strict=True)} for row in due}
    assert states == [rows[row] for row in sorted(rows)]


def test_documents_are_retained_and_states_are_not(tmp_path: Path, broker: brokers.Broker) -> None:
    with node(tmp_path / "n", 0.2, broker.port, discovery="ha/test") as n:
        n.start()
        n.wait(60)
    with Home(broker.port) as home:
        home._client.subscribe("ha/test/#", 0)  # pyright: ignore[reportPrivateUsage]
        documents = home.told("/config", 10)
        assert not [topic for topic, _ in home.others if topic.endswith("/state")]
    assert all(topic.startswith("ha/test/sensor/citymote_") for topic, _ in documents)


def test_nothing_goes_out_in_plain_words_unless_the_owner_says_so(tmp_path: Path, broker: brokers.Broker) -> None:
    keys = KeyFile(collectors=[generate_collector_key()])
    sealed = {"collector_key": keys.collectors[0].public.hex()}
    with Home(broker.port) as home, node(tmp_path / "n", 0.5, broker.port, **sealed) as n:
        n.start()
        home.wait(n.wait(60).report["frames"])
        topics = {topic.rsplit("/", 1)[1] for topic, _ in home.others}
    assert topics == {"link"}


def test_sealed_frames_and_plain_states_go_side_by_side(tmp_path: Path, broker: brokers.Broker) -> None:
    keys = KeyFile(collectors=[generate_collector_key()])
    sealed = {"collector_key": keys.collectors[0].public.hex(), "discovery": "homeassistant"}
    with Home(broker.port) as home, node(tmp_path / "n", 0.5, broker.port, **sealed) as n:
        n.start()
        messages = home.wait(n.wait(60).report["frames"])
        states = home.told("/state", 15)
    assert len(states) >= 15
    assert all(message[0] in (0x83, 0xD0) for message in messages)


def test_an_absent_reading_is_null(tmp_path: Path, broker: brokers.Broker) -> None:
    with Home(broker.port) as home, node(tmp_path / "n", 0.3, broker.port, discovery="homeassistant") as n:
        n.wiring.disconnect("i2c0")
        n.start()
        n.wait(60)
        states = [told for _, told in home.told("/state", 9)]
    assert {told["temperature"] for told in states} == {None}
    assert None not in {told["pm2_5"] for told in states}


def test_numbers_keep_their_digits(run_vm: Callable[..., Result]) -> None:
    code = "from node.discovery import decimal as d; print(d(0, 1), d(-4, 1), d(1234, 1), d(5, 2), d(-120, 2), d(7, 0))"
    assert run_vm(code).checked().stdout.strip() == "0.0 -0.4 123.4 0.05 -1.20 7"
