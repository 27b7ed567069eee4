"""aiocoap and lakers against ours, each in a process and folder of its own (build/peers): CoAP, OSCORE and EDHOC.

aiocoap's EDHOC is lakers', its OSCORE and CoAP are its own. Where a folder is missing, its tests skip, saying so.
lakers writes exporter labels over 23 wrongly, so the private ones (from 32768) are not compared with it.
"""

from __future__ import annotations

import itertools
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.host.udp_node import KID, UdpClient, UdpNode

from citymote.crypto import HostCrypto
from citymote_protocol import ccs, coap, edhoc, p256
from citymote_protocol.coap_client import Watch, request, request_steps
from citymote_protocol.edhoc_initiator import Initiator
from citymote_protocol.edhoc_responder import Responder
from citymote_protocol.handshake_client import handshake_steps

TOP = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
CRYPTO: Any = HostCrypto()
run: Any = p256.run
PRIVATE, PUBLIC = run(CRYPTO.key_pair_steps())
OWN: bytes = ccs.write(b"host", PUBLIC)


def folder(name: str) -> Path:
    path = TOP / "build" / "peers" / name
    if not path.is_dir():
        pytest.skip(f"{name} is not at {path}: make setup could not install it")
    return path


# aiocoap as a client of our server


@pytest.mark.parametrize("style", ["by-value", "by-key-id"])
def test_aiocoap_as_a_client_of_ours(style: str) -> None:
    home = folder("aiocoap")
    with UdpNode({b"host": OWN}) as node:
        given = {
            "port": node.port,
            "private": PRIVATE.hex(),
            "own": OWN.hex(),
            "node": node.credential.hex(),
            "style": style,
            "body": 3000,
        }
        done = subprocess.run(
            [sys.executable, str(HERE / "aiocoap_client.py")],
            env={"PYTHONPATH": str(home)},
            input=json.dumps(given),
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        saw = json.loads(done.stdout)
        assert node.faults == []
    assert saw["plain"] == "plain" and saw["unprotected"] == "4.01 Unauthorized"
    # aiocoap sends a byte of EAD_1 that we pass over; message_1 went out once more, with its Echo
    assert saw["messages"] == [39, 51, 72 if style == "by-value" else 24, 9]
    assert saw["hello"] == "hello" and saw["missing"] == "4.04 Not Found" and saw["slow"] == "slow"
    assert saw["put"] == "2.04 Changed" and saw["got"] is True and node.puts == 1
    # aiocoap meets the demand for an Echo by itself
    assert saw["reset"] == "2.04 Changed" and node.resets == 1
    assert saw["observed"] == ["0", "1", "2", "3"]


# our client against aiocoap's server


@pytest.fixture(params=["by-value", "by-key-id"])
def aiocoap_server(request: pytest.FixtureRequest) -> Iterator[tuple[int, bytes]]:
    """(port, its credential)."""
    home = folder("aiocoap")
    private, public = run(CRYPTO.key_pair_steps())
    own = ccs.write(KID, public)
    process = subprocess.Popen(
        [sys.executable, str(HERE / "aiocoap_server.py")],
        env={"PYTHONPATH": str(home)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin and process.stdout and process.stderr
    given = {"private": private.hex(), "own": own.hex(), "peer": OWN.hex(), "style": request.param}
    try:
        process.stdin.write(json.dumps(given) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        assert line.strip().isdigit(), process.stderr.read()[-3000:]
        yield int(line), own
    finally:
        process.communicate("", timeout=20)


@pytest.mark.parametrize("by_value", [True, False])
def test_our_client_against_aiocoaps_server(aiocoap_server: tuple[int, bytes], by_value: bool) -> None:
    port, credential = aiocoap_server
    client = UdpClient(port)
    try:
        initiator = Initiator(CRYPTO, PRIVATE, OWN, b"host", run(CRYPTO.key_pair_steps()), b"\x17", by_value=by_value)
        keys = client.run(handshake_steps(initiator, lambda kid, value: credential))
        context = keys.oscore(True)

        def ask(message: Any) -> Any:
            return client.run(request_steps(CRYPTO, context, message, 1024))

        assert ask(request(coap.GET, "hello")).payload == b"hello"
        assert ask(request(coap.GET, "missing")).code == coap.NOT_FOUND
        body = bytes(i * 5 & 255 for i in range(5000))
        assert ask(request(coap.PUT, "store", body)).code == coap.CHANGED
        assert ask(request(coap.GET, "store")).payload == body
        assert ask(request(coap.POST, "store", body)).payload == body[::-1]
        watch: Any = Watch(CRYPTO, context, request(coap.GET, "live"), 1024)
        assert client.run(watch.begin(), b"obs").payload == b"0" and watch.active
        for number in (1, 2, 3):
            ask(request(coap.POST, "live"))
            told = watch.notification(client.wait(b"obs"), 0)
            assert told.payload == b"%d" % number
        assert client.run(watch.cancel(), b"obs").code == coap.CONTENT
    finally:
        client.close()


def test_our_client_over_a_real_socket_that_loses() -> None:
    with UdpNode({b"host": OWN}) as node:
        chance = random.Random(5)
        node.drop = lambda data: chance.random() < 0.1
        client = UdpClient(node.port)
        try:
            initiator = Initiator(CRYPTO, PRIVATE, OWN, b"host", run(CRYPTO.key_pair_steps()), b"\x17")
            keys = client.run(handshake_steps(initiator, lambda kid, value: node.credential))
            context = keys.oscore(True)
            body = bytes(3000)
            answer = client.run(request_steps(CRYPTO, context, request(coap.PUT, "store", body), 1024))
            assert answer.code == coap.CHANGED and node.stored == body and node.puts == 1
        finally:
            client.close()


# lakers


class Lakers:
    """One session of lakers in a process of its own; a call gives what lakers gave, or `Refused` with its error."""

    class Refused(Exception):
        pass

    def __init__(self, home: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "lakers_peer.py")],
            env={"PYTHONPATH": str(home)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # where its panics go
            text=True,
        )

    def __call__(self, name: str, *arguments: Any) -> Any:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps([name, *arguments]) + "\n")
        self._process.stdin.flush()
        said = json.loads(self._process.stdout.readline())
        if "error" in said:
            raise Lakers.Refused(said["error"])
        return said["result"]

    def close(self) -> None:
        self._process.communicate("", timeout=20)


@pytest.fixture
def lakers() -> Iterator[Lakers]:
    peer = Lakers(folder("lakers"))
    yield peer
    peer.close()


WAYS = list(itertools.product([True, False], [True, False]))


class Both:
    """Keys and credentials of two ends."""

    def __init__(self, subject: bytes = b"") -> None:
        self.i_private, i_public = run(CRYPTO.key_pair_steps())
        self.r_private, r_public = run(CRYPTO.key_pair_steps())
        self.cred_i: bytes = ccs.write(b"\x2b", i_public)
        self.cred_r: bytes = ccs.write(KID, r_public)

    def initiator(self, **more: Any) -> Any:
        return Initiator(CRYPTO, self.i_private, self.cred_i, b"\x2b", run(CRYPTO.key_pair_steps()), b"\x0e", **more)

    def responder(self, **more: Any) -> Any:
        find = {b"\x2b": self.cred_i}.get
        pair = run(CRYPTO.key_pair_steps())
        return Responder(CRYPTO, self.r_private, self.cred_r, KID, pair, (b"\x05", b"\x06"), find, **more)


@pytest.mark.parametrize(("i_value", "r_value"), WAYS)
def test_lakers_as_initiator(lakers: Lakers, i_value: bool, r_value: bool) -> None:
    both = Both()
    ours = both.responder(by_value=r_value)
    message_1 = bytes.fromhex(lakers("begin initiator", "0e", []))
    message_2 = run(ours.message_1_steps(message_1))
    c_r, id_cred, _ = lakers("parse 2", message_2.hex())
    assert bytes.fromhex(c_r) == ours.c_r
    assert bytes.fromhex(id_cred) == edhoc.credential_id(None if r_value else KID, both.cred_r)
    message_3 = lakers("verify 2", both.i_private.hex(), both.cred_i.hex(), both.cred_r.hex(), i_value, [])
    message_4 = run(ours.message_3_steps(bytes.fromhex(message_3)))
    lakers("process 4", message_4.hex())
    for label, context, length in ((0, b"", 16), (1, b"", 8), (23, b"context", 100)):
        theirs = lakers("export", label, context.hex(), length)
        assert theirs == ours.keys.exporter(label, context, length).hex()


@pytest.mark.parametrize(("i_value", "r_value"), WAYS)
def test_lakers_as_responder(lakers: Lakers, i_value: bool, r_value: bool) -> None:
    both = Both()
    ours = both.initiator(by_value=i_value)
    lakers("begin responder", both.r_private.hex(), both.cred_r.hex())
    lakers("process 1", ours.message_1().hex())
    message_2 = bytes.fromhex(lakers("prepare 2", r_value, "05", []))
    assert run(ours.message_2_steps(message_2)) == ((None, both.cred_r) if r_value else (KID, None))
    message_3 = run(ours.message_3_steps(both.cred_r))
    id_cred, _ = lakers("parse 3", message_3.hex())
    assert bytes.fromhex(id_cred) == edhoc.credential_id(None if i_value else b"\x2b", both.cred_i)
    lakers("verify 3", both.cred_i.hex())
    keys = ours.message_4(bytes.fromhex(lakers("prepare 4", [])))
    for label, context, length in ((0, b"", 16), (1, b"", 8), (23, b"", 32)):
        assert lakers("export", label, context.hex(), length) == keys.exporter(label, context, length).hex()


LABEL = 65001


def test_external_data_to_and_from_lakers(lakers: Lakers) -> None:
    both = Both()
    ours = both.responder(known=(LABEL,))
    message_1 = bytes.fromhex(lakers("begin initiator", "0e", [[LABEL, False, "6f6e65"]]))
    ours.ead_2 = b"\x19\xfd\xe9\x43two"
    message_2 = run(ours.message_1_steps(message_1))
    assert lakers("parse 2", message_2.hex())[2] == [[LABEL, False, "74776f"]]
    message_3 = lakers(
        "verify 2", both.i_private.hex(), both.cred_i.hex(), both.cred_r.hex(), True, [[LABEL, True, "7468726565"]]
    )
    ours.ead_4 = b"\x19\xfd\xe9\x44four"
    message_4 = run(ours.message_3_steps(bytes.fromhex(message_3)))
    assert ours.eads == [(LABEL, b"one"), (-LABEL, b"three")]
    assert lakers("process 4", message_4.hex()) == [[LABEL, False, "666f7572"]]
    assert lakers("export", 0, "", 16) == ours.keys.exporter(0, b"", 16).hex()


@pytest.mark.parametrize("number", [1, 3])
def test_a_critical_item_of_lakers_that_we_do_not_know_is_refused(lakers: Lakers, number: int) -> None:
    both = Both()
    ours = both.responder()
    message_1 = bytes.fromhex(lakers("begin initiator", "0e", [[LABEL, True, "00"]] if number == 1 else []))
    with pytest.raises(edhoc.EdhocError) as caught:
        message_2 = run(ours.message_1_steps(message_1))
        lakers("parse 2", message_2.hex())
        items = [[LABEL, True, "00"]]
        third = lakers("verify 2", both.i_private.hex(), both.cred_i.hex(), both.cred_r.hex(), True, items)
        run(ours.message_3_steps(bytes.fromhex(third)))
    assert caught.value.code == edhoc.EAD


def test_lakers_refuses_our_node_under_another_label(lakers: Lakers) -> None:
    both, other = Both(), Both()
    ours = both.responder()
    message_2 = run(ours.message_1_steps(bytes.fromhex(lakers("begin initiator", "0e", []))))
    lakers("parse 2", message_2.hex())
    with pytest.raises(Lakers.Refused, match="MacVerificationFailed"):
        lakers("verify 2", both.i_private.hex(), both.cred_i.hex(), other.cred_r.hex(), True, [])


def test_we_refuse_lakers_with_another_key_than_its_credential(lakers: Lakers) -> None:
    both, other = Both(), Both()
    ours = both.responder()
    message_2 = run(ours.message_1_steps(bytes.fromhex(lakers("begin initiator", "0e", []))))
    lakers("parse 2", message_2.hex())
    third = lakers("verify 2", other.i_private.hex(), both.cred_i.hex(), both.cred_r.hex(), True, [])
    with pytest.raises(edhoc.EdhocError) as caught:
        run(ours.message_3_steps(bytes.fromhex(third)))
    assert caught.value.code == edhoc.MAC and ours.keys is None
