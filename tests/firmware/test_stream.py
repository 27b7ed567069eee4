"""The node's connections: whole and piecewise reads, a peer that closes, TLS with its refusals."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.support.node import ran

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.usefixtures("run_vm")


def certificate(folder: Path, name: str) -> tuple[Path, bytes]:
    """A self-signed certificate for a host: the file with key and certificate, and the certificate's DER."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = built.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / f"{name}.pem"
    path.write_bytes(private + pem)
    return path, built.public_bytes(serialization.Encoding.DER)


@contextmanager
def server(talk: Callable[[Any], None], pem: Path | None = None) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            peer, _ = listener.accept()
            with suppress(OSError):
                if pem is not None:
                    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                    context.load_cert_chain(pem)
                    peer = context.wrap_socket(peer, server_side=True)
                talk(peer)
            peer.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(10)


def echo(peer: Any) -> None:
    while data := peer.recv(4096):
        peer.sendall(data)


def test_reads_whole_piecewise_and_to_the_end(tmp_path: Path) -> None:
    def talk(peer: socket.socket) -> None:
        for byte in b"0123456789":
            peer.sendall(bytes([byte]))
        peer.recv(1)
        peer.sendall(b"rest")

    with server(talk) as port:
        said = ran(
            tmp_path,
            f"""
            s = await hal.connect("127.0.0.1", {port})
            say((await s.readexactly(10)).decode())
            await s.write(b"x")
            s.expect(1)
            try:
                await s.readexactly(5)
            except EOFError:
                say("closed")
            say(len(await s.read(1)))
            s.close()
            """,
        )
    assert said == ["0123456789", "closed", 0]


def test_a_large_write_waits_for_a_slow_reader(tmp_path: Path) -> None:
    taken: list[int] = []

    def talk(peer: socket.socket) -> None:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        while len_ := len(peer.recv(10_000)):
            taken.append(len_)

    with server(talk) as port:
        code = f"""
        s = await hal.connect("127.0.0.1", {port})
        for i in range(400):
            await s.write(bytes(20000))
        s.close()
        say(hal.uptime_ms())
        """
        assert ran(tmp_path, code) == [0]
    assert sum(taken) == 8_000_000


def test_tls_carries_more_than_one_record_and_knows_its_peer(tmp_path: Path) -> None:
    pem, der = certificate(tmp_path, "broker.test")
    with server(echo, pem) as port:
        said = ran(
            tmp_path,
            f"""
            tls = {{"ca": {der!r}, "hostname": "broker.test"}}
            s = await hal.connect("127.0.0.1", {port}, tls)
            for size in (1, 40, 5000):
                await s.write(b"z" * size)
                s.expect(1)
                # in pieces: what one record holds more than was asked for is not visible on the socket
                got = await s.readexactly(1)
                while len(got) < size:
                    got += await s.read(7)
                s.expect(-1)
                say(len(got), hal.uptime_ms())
            s.close()
            """,
        )
    assert said == [(1, 0), (40, 0), (5000, 0)]


@pytest.mark.parametrize("wrong", ["authority", "hostname"])
def test_tls_refuses_a_peer_that_is_not_who_it_should_be(tmp_path: Path, wrong: str) -> None:
    pem, der = certificate(tmp_path, "broker.test")
    other = certificate(tmp_path, "other.test")[1]
    ca, host = (other, "broker.test") if wrong == "authority" else (der, "elsewhere.test")
    with server(echo, pem) as port:
        said = ran(
            tmp_path,
            f"""
            try:
                await hal.connect("127.0.0.1", {port}, {{"ca": {ca!r}, "hostname": {host!r}}})
                say("connected")
            except OSError as e:
                say("refused", hal.uptime_ms())
            """,
        )
    assert said == [("refused", 0)]


def test_a_name_with_an_address_that_refuses_is_tried_at_its_next(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        refused = closed.getsockname()[1]
    with server(lambda peer: peer.sendall(b"here")) as port:
        said = ran(
            tmp_path,
            f"""
            import node.hal.stream as stream
            real = stream.socket

            class Names:
                SOCK_STREAM = real.SOCK_STREAM
                socket = real.socket

                @staticmethod
                def getaddrinfo(host, port, *rest):
                    known = [real.getaddrinfo("127.0.0.1", each, *rest)[0] for each in ({refused}, port)]
                    return known if host == "twice" else known[:1]

            stream.socket = Names
            s = await hal.connect("twice", {port})
            s.expect(1)
            say((await s.readexactly(4)).decode())
            s.close()
            try:
                await hal.connect("once", {port})
            except OSError as e:
                say(e.errno)
            """,
        )
    assert said == ["here", 111]
