"""The chain over a real Mosquitto, which acknowledges when it holds a frame and not when somebody has stored it.

So what was acknowledged is the broker's to keep, and these tests give it a disk. It is stopped, killed and away in the
middle of a stream, with TLS and with a password; certificates and passwords are made here.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.e2e.city import City, demo, told
from tests.host.brokers import Broker

from citymote.demo import city as made

if TYPE_CHECKING:
    from citymote.testing.bridge import Event
    from citymote.testing.vm import VirtualNode

pytestmark = pytest.mark.usefixtures("run_vm")
MINUTE, HOUR = 60_000, 3_600_000
# Everything on disk at once: a broker that may be killed has to be told so.
DURABLE = "allow_anonymous true\nautosave_on_changes true\nautosave_interval 1\n"


class Mosquitto(Broker):
    """A Mosquitto that can be killed, too."""

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)
        self._process = None


def authority(folder: Path, days: int = 0) -> Callable[[str], str]:
    """A certificate authority: `ca.pem` in the folder, and a function that writes a server's files and their lines. All
    are valid for a day before and after now, or so many `days` later."""
    now = dt.datetime.now(dt.UTC) + dt.timedelta(days)
    root_key = ec.generate_private_key(ec.SECP256R1())
    root = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Authority of a test")])

    def built(subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(root).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number())
        return builder.not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=1))

    key_usage = x509.KeyUsage(
        digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    identifier = x509.SubjectKeyIdentifier.from_public_key(root_key.public_key())
    certificate = (
        built(root, root_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(key_usage, critical=True)
        .add_extension(identifier, critical=False)
        .sign(root_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(certificate.public_bytes(pem))

    def issue(host: str) -> str:
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.DNSName(host), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        issuer = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
        server = (
            built(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)]), key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(issuer, critical=False)
            .sign(root_key, hashes.SHA256())
        )
        (folder / "server.pem").write_bytes(server.public_bytes(pem))
        plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        (folder / "server.key").write_bytes(key.private_bytes(pem, *plain))
        return f"cafile {folder / 'ca.pem'}\ncertfile {folder / 'server.pem'}\nkeyfile {folder / 'server.key'}\n"

    return issue


@pytest.fixture
def start(mosquitto, tmp_path: Path):  # type: ignore[no-untyped-def]
    """`start(lines)`: a running Mosquitto with these lines in its configuration."""
    running: list[Mosquitto] = []

    def begin(extra: str = DURABLE) -> Mosquitto:
        broker = Mosquitto(mosquitto.broker, tmp_path / "broker", extra)
        broker.start()
        running.append(broker)
        return broker

    yield begin
    for broker in running:
        broker.stop()


def test_the_demo_over_mosquitto_loses_nothing(start: Callable[..., Mosquitto], tmp_path: Path) -> None:
    broker = start()
    demo(tmp_path / "out", "--nodes", 2, "--hours", 1, "--claim", 0, "--broker", broker.url).good()


def test_the_demo_over_tls_with_a_password(start: Callable[..., Mosquitto], mosquitto, tmp_path: Path) -> None:
    lines = authority(tmp_path)("localhost")
    users = tmp_path / "users"
    # A blank at its end and a quotation mark: nothing on the way may strip or escape.
    secret = 'pole "17" '
    subprocess.run([mosquitto.passwd, "-b", "-c", users, "city", secret], check=True, timeout=30, capture_output=True)
    users.chmod(0o600)
    broker = start(f"{lines}allow_anonymous false\npassword_file {users}\n")
    url = f"mqtts://city@localhost:{broker.port}"
    out = tmp_path / "out"
    told = demo(
        out,
        "--nodes",
        1,
        "--hours",
        0.5,
        "--broker",
        url,
        "--ca-file",
        tmp_path / "ca.pem",
        CITYMOTE_MQTT_PASSWORD=secret,
    )
    told.good()
    assert secret not in told.err
    for path in out.rglob("*"):
        if path.is_file() and path.stat().st_mode & 0o077:
            assert secret.encode() not in path.read_bytes(), f"{path} is readable by others and has the password"


def test_tls_without_an_authority_is_refused_before_anything_starts(tmp_path: Path) -> None:
    said = told(tmp_path / "out", "--nodes", 1, "--broker", "mqtts://localhost")
    said.refused("who vouches for the broker", "--ca-file")
    assert not (tmp_path / "out").exists()


def test_a_ca_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("not a certificate")
    said = told(tmp_path / "out", "--nodes", 1, "--broker", "mqtts://localhost", "--ca-file", tmp_path / "ca.pem")
    said.refused(str(tmp_path / "ca.pem"), "certificate")


def test_nodes_tell_nothing_to_a_broker_of_another_authority(start: Callable[..., Mosquitto], tmp_path: Path) -> None:
    broker = start(authority(tmp_path)("localhost") + "allow_anonymous true\n")
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    authority(stranger)
    settings = {
        "broker_tls": True, "broker_host": "localhost", "broker_port": broker.port,
        "broker_ca": (stranger / "ca.pem").read_text(), "drain": 60,
    }  # fmt: skip
    city = City(tmp_path / "city", made.generate(1, 0.5, seed=7), settings=settings)
    city.run(f"mqtts://localhost:{broker.port}")
    ending = city.nodes["0001"].endings[-1]
    assert ending.code != 0
    assert ending.report["acked"] == ending.report["sent"] == 0
    assert ending.report["pending"] > 0, "and keep it"


def away(broker: Mosquitto, how: str) -> Callable[[VirtualNode], None]:
    """Lets the broker go in the middle and come back: at once, or ten virtual minutes later."""

    def prepare(node: VirtualNode) -> None:
        node.at(HOUR, broker.stop)
        node.at(HOUR + (10 * MINUTE if how == "away" else 1), broker.start)

    return prepare


@pytest.mark.parametrize("how", ["restarted", "away"])
def test_a_mosquitto_that_ends_in_order_and_comes_back_costs_nothing(
    start: Callable[..., Mosquitto], tmp_path: Path, how: str
) -> None:
    broker = start()
    city = City(tmp_path / "city", made.generate(1, 3, seed=7))
    collecting = city.collect(broker.url)
    try:
        collecting.subscribed()
        city.run(broker.url, away(broker, how))
        city.ended_well()
        collecting.settle(int(city.results[0].report["acked"]))
    finally:
        collecting.close()
    city.judge()


def test_a_mosquitto_killed_in_mid_stream_costs_nothing(start: Callable[..., Mosquitto], tmp_path: Path) -> None:
    broker = start()
    city = City(tmp_path / "city", made.generate(1, 3, seed=7), settings={"batch": 2})
    collecting = city.collect(broker.url)
    acked = 0

    def prepare(node: VirtualNode) -> None:
        def count(_: Event) -> None:
            nonlocal acked
            acked += 1

        def kill() -> None:
            # What the broker took and has not written when it dies is lost, with any broker and any node. That is not
            # what this test is about: here all that was acknowledged has reached the collector.
            collecting.settle(acked)
            broker.kill()
            broker.start()

        node.on_event(count, "acked")
        for minutes in (40, 41, 100):
            node.at(minutes * MINUTE, kill)

    try:
        collecting.subscribed()
        city.run(broker.url, prepare)
        city.ended_well()
        collecting.settle(acked)
    finally:
        collecting.close()
    assert acked >= 3 * 30 // 2
    city.judge()
