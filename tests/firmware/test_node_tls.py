"""The whole node over TLS, against a real Mosquitto: whom it believes, and that a cut connection costs nothing.

The authority is the city's own, given as a setting: a broker that it has not signed gets no frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.host import brokers
from tests.support.certificates import certificate

from .collecting import Collector, expected, node, rows

pytestmark = pytest.mark.usefixtures("run_vm")
MINUTE = 60_000


@pytest.fixture
def secure(mosquitto: object, tmp_path: Path) -> Iterator[brokers.Broker]:
    folder = tmp_path / "tls"
    folder.mkdir()
    authority = certificate(folder, "authority")
    certificate(folder, "server", authority)
    certificate(folder, "stranger")
    for name in ("server.key", "server.pem", "authority.pem"):
        (folder / name).chmod(0o644)
    files = {"cafile": "authority.pem", "certfile": "server.pem", "keyfile": "server.key"}
    extra = "allow_anonymous true\n" + "".join(f"{word} {folder}/{name}\n" for word, name in files.items())
    with brokers.Broker(mosquitto.broker, tmp_path / "mosquitto", extra) as found:  # type: ignore[attr-defined]
        found.folder = folder  # type: ignore[attr-defined]
        yield found


def tls_settings(secure: brokers.Broker, authority: str) -> dict[str, object]:
    folder: Path = secure.folder  # type: ignore[attr-defined]
    return {"broker_tls": True, "broker_name": "localhost", "broker_ca": (folder / f"{authority}.pem").read_text()}


@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_tls_with_the_citys_own_authority(tmp_path: Path, secure: brokers.Broker, version: str) -> None:
    folder: Path = secure.folder  # type: ignore[attr-defined]
    with (
        Collector(secure.port, ca=folder / "authority.pem") as collector,
        node(tmp_path / "n", 2, secure.port, broker_version=version, **tls_settings(secure, "authority")) as n,
    ):
        n.start()
        messages = collector.wait(n.wait(60).report["frames"])
    assert rows(messages) == expected(1, 60)


def test_a_broker_that_asks_for_a_client_certificate_gets_it(tmp_path: Path, mosquitto: object) -> None:
    folder = tmp_path / "tls"
    folder.mkdir()
    authority = certificate(folder, "authority")
    certificate(folder, "server", authority)
    certificate(folder, "client", authority)
    certificate(folder, "forged")
    for path in folder.iterdir():
        path.chmod(0o644)
    files = {"cafile": "authority.pem", "certfile": "server.pem", "keyfile": "server.key"}
    extra = "require_certificate true\nallow_anonymous true\n"
    extra += "".join(f"{word} {folder}/{name}\n" for word, name in files.items())
    with brokers.Broker(mosquitto.broker, tmp_path / "mosquitto", extra) as broker:  # type: ignore[attr-defined]
        broker.folder = folder  # type: ignore[attr-defined]
        for who, welcome in (("client", True), ("forged", False), ("", False)):
            settings = tls_settings(broker, "authority")
            if who:
                settings |= {"broker_cert": (folder / f"{who}.pem").read_text()}
                settings |= {"broker_key": (folder / f"{who}.key").read_text()}
            with node(tmp_path / f"n{who}", 0.5, broker.port, drain=60, **settings) as n:
                n.start()
                report = n.wait(60, check=False).report
            assert (report["pending"] == 0, report["acked"] > 0) == (welcome, welcome), (who, report)


def test_a_broker_that_nobody_vouches_for_gets_nothing(tmp_path: Path, secure: brokers.Broker) -> None:
    with node(tmp_path / "n", 1, secure.port, drain=60, **tls_settings(secure, "stranger")) as n:
        n.start()
        ending = n.wait(60, check=False)
    assert ending.report["sent"] == 0
    assert ending.report["reason"] == "pending"
    assert any("certificate" in line.text.lower() for line in n.logs), [line.text for line in n.logs][-5:]


def test_tls_is_killed_in_the_middle_and_comes_back(tmp_path: Path, secure: brokers.Broker) -> None:
    folder: Path = secure.folder  # type: ignore[attr-defined]
    with (
        Collector(secure.port, ca=folder / "authority.pem") as collector,
        node(tmp_path / "n", 2, secure.port, grace=200, **tls_settings(secure, "authority")) as n,
    ):
        n.at(40 * MINUTE, secure.stop)
        n.at(50 * MINUTE, secure.start)
        n.start()
        messages = collector.wait(n.wait(100).report["frames"])
    assert rows(messages) == expected(1, 60)
