"""What is said of a broker that cannot be talked to: where on the way to it things end, and whether waiting helps."""

from __future__ import annotations

import gc
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.city import demo
from tests.e2e.test_mosquitto import authority
from tests.host.brokers import Broker, free_port
from typer.testing import CliRunner

from citymote.cli import application
from citymote.errors import BrokerError, UsageError
from citymote.transports import mqtt
from citymote.transports.mqtt import Subscriber, Trouble, parse_url, trouble

# paho-mqtt leaves the socket of a handshake that failed to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def swept() -> Iterator[None]:
    """Its warning belongs to the test that it comes from."""
    yield
    gc.collect()


@pytest.fixture
def plain(mosquitto: Any, tmp_path: Path) -> Iterator[Broker]:
    with Broker(mosquitto.broker, tmp_path / "plain") as running:
        yield running


@pytest.fixture
def secure(mosquitto: Any, tmp_path: Path) -> Iterator[Callable[[str], Broker]]:
    """`secure(name)`: a broker whose certificate is for that name, and for 127.0.0.1; `ca.pem` vouches for it."""
    running: list[Broker] = []

    def start(name: str) -> Broker:
        lines = authority(tmp_path)(name)
        running.append(Broker(mosquitto.broker, tmp_path / "secure", f"allow_anonymous true\n{lines}").start())
        return running[-1]

    yield start
    for broker in running:
        broker.stop()


def found(url: str, ca: Path | None = None) -> Trouble:
    return trouble(parse_url(url), None if ca is None else ssl.create_default_context(cafile=str(ca)))


def failure(url: str, ca: Path | None = None) -> str:
    """What a subscriber says that does not wait for better times."""
    subscriber = Subscriber(url, client_id="impatient", ca_file=None if ca is None else str(ca))
    subscriber.start()
    try:
        assert not subscriber.wait(30, patient=False)
        return str(subscriber.no_answer())
    except BrokerError as error:
        return str(error)
    finally:
        subscriber.stop()


def test_a_port_where_nobody_listens() -> None:
    url = f"mqtt://127.0.0.1:{free_port()}"
    assert failure(url) == f"no answer from {url}: Connection refused. Is a broker running there?"


def test_a_name_that_nobody_has() -> None:
    # Reserved for this by RFC 6761.
    assert "the name nobody.invalid leads nowhere" in failure("mqtt://nobody.invalid")


def test_a_plain_address_of_a_port_with_tls(secure: Callable[[str], Broker]) -> None:
    said = failure(f"mqtt://localhost:{secure('localhost').port}")
    assert "no answer of MQTT" in said and "mqtts://" in said


def test_a_tls_address_of_a_plain_port(plain: Broker) -> None:
    said = failure(f"mqtts://localhost:{plain.port}")
    assert "TLS does not come about" in said and "Then write mqtt://" in said


def test_a_certificate_of_another_authority(secure: Callable[[str], Broker], tmp_path: Path) -> None:
    broker = secure("localhost")
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    authority(stranger)
    said = failure(f"mqtts://localhost:{broker.port}", stranger / "ca.pem")
    assert said.startswith(f"no connection to mqtts://localhost:{broker.port}: its certificate is not accepted (")
    assert "Check the CA file" in said


def test_a_certificate_for_another_name(secure: Callable[[str], Broker], tmp_path: Path) -> None:
    said = failure(f"mqtts://localhost:{secure('broker.example').port}", tmp_path / "ca.pem")
    assert "localhost" in said and "Write a name into the URL that is in its certificate" in said


@pytest.mark.parametrize("days", [-3, 3], ids=["expired", "not yet valid"])
def test_a_certificates_dates_are_waited_for(mosquitto: Any, tmp_path: Path, days: int) -> None:
    """A clock that is not set yet, or a renewal that is under way."""
    lines = authority(tmp_path, days)("localhost")
    with Broker(mosquitto.broker, tmp_path / "secure", f"allow_anonymous true\n{lines}") as broker:
        told = found(f"mqtts://localhost:{broker.port}", tmp_path / "ca.pem")
    assert "its certificate is not accepted" in told.why and "this machine's clock" in told.then
    assert not told.lasting


def test_who_was_not_given_the_time_to_answer_is_not_suspected(plain: Broker, tmp_path: Path) -> None:
    code, said = collect(tmp_path, plain.url, "--seconds", 0)
    assert code == 1
    assert "were not enough. Give it longer" in said


def test_somebody_who_listens_and_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "PROBE", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"mqtt://127.0.0.1:{silent.getsockname()[1]}"
        subscriber = Subscriber(url, client_id="impatient")
        subscriber.start()
        try:
            assert not subscriber.wait(0.2)
            assert f"no answer from {url}: who listens there gives no answer of MQTT" in str(subscriber.no_answer())
        finally:
            subscriber.stop()


def test_only_what_is_wrong_with_a_certificate_is_not_waited_for(
    plain: Broker, secure: Callable[[str], Broker], tmp_path: Path
) -> None:
    port = secure("broker.example").port
    assert found(f"mqtts://localhost:{port}", tmp_path / "ca.pem").lasting
    assert not found(f"mqtt://localhost:{port}").lasting
    assert not found(f"mqtts://localhost:{plain.port}", tmp_path / "ca.pem").lasting
    assert not found(f"mqtt://127.0.0.1:{free_port()}").lasting


def test_a_host_that_there_cannot_be_is_no_url() -> None:
    with pytest.raises(UsageError, match="no host that there can be"):
        parse_url(f"mqtt://{'a' * 64}.example")


def collect(tmp_path: Path, *arguments: object) -> tuple[int, str]:
    options = ["--store", str(tmp_path / "s.db"), "--allow-unsealed", "--json"]
    done = CliRunner().invoke(application(), ["collect", *options, *map(str, arguments)])
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done.exit_code, done.stderr


def test_a_collector_ends_at_once_where_the_certificate_is_for_another_name(
    secure: Callable[[str], Broker], tmp_path: Path
) -> None:
    url = f"mqtts://localhost:{secure('broker.example').port}"
    code, said = collect(tmp_path, url, "--ca-file", tmp_path / "ca.pem")  # without an end of its own
    assert code == 1 and "its certificate is not accepted" in said


def test_a_collector_whose_time_is_over_and_that_never_met_its_broker_has_failed(tmp_path: Path) -> None:
    url = f"mqtt://127.0.0.1:{free_port()}"
    code, said = collect(tmp_path, url, "--seconds", 1)
    assert code == 1
    assert f"no answer from {url}: Connection refused" in said


def test_a_broker_whose_certificate_becomes_another_ones_ends_a_waiting_collector(
    mosquitto: Any, tmp_path: Path
) -> None:
    """It is away, is waited for, and comes back with a certificate that is not for its name."""
    issue = authority(tmp_path)
    broker = Broker(mosquitto.broker, tmp_path / "secure", f"allow_anonymous true\n{issue('localhost')}")
    away = threading.Event()
    url = f"mqtts://localhost:{broker.port}"
    subscriber = Subscriber(url, client_id="waits", ca_file=str(tmp_path / "ca.pem"), log=lambda _: away.set())
    subscriber.start()
    try:
        assert away.wait(30)
        issue("broker.example")
        with broker, pytest.raises(BrokerError, match="certificate is not accepted"):
            subscriber.wait(30)
    finally:
        subscriber.stop()


@pytest.mark.usefixtures("run_vm")
def test_the_demo_says_what_is_wrong_with_the_certificate(secure: Callable[[str], Broker], tmp_path: Path) -> None:
    url = f"mqtts://localhost:{secure('broker.example').port}"
    demo(tmp_path / "out", "--nodes", 1, "--broker", url, "--ca-file", tmp_path / "ca.pem").refused(url, "certificate")
