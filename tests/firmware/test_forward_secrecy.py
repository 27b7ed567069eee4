"""A session's keys are gone with it: what was recorded stays shut to who gets the long-term keys of both sides later.

Its keys come from two ephemeral keys beside the long-term ones (RFC 9528, section 9.1). Shown twice: in the protocol,
by a thief who has all but these; and on the real node, whose whole flash and whose owner's files have neither of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from tests.support.claimable import street
from tests.support.desk import Desk

from citymote.crypto import HostCrypto
from citymote.label import Label
from citymote.node import Node, claim_with
from citymote.reach import BleReach
from citymote_protocol import ccs, edhoc_initiator, p256
from citymote_protocol.edhoc import EdhocError
from citymote_protocol.edhoc_initiator import Initiator
from citymote_protocol.edhoc_responder import Responder

CRYPTO: Any = HostCrypto()
CURVE = ec.SECP256R1()
UNKNOWN = b"an ephemeral key, long forgotten"


def pair() -> tuple[bytes, bytes]:
    return p256.run(CRYPTO.key_pair_steps())


def shared(private: bytes, public: bytes) -> bytes:
    return p256.run(CRYPTO.ecdh_steps(private, public))


class Thief(HostCrypto):
    """Does what the host did, with the host's and the node's long-term keys. Where the host's ephemeral key is needed
    for what the node's long-term key gives as well, that is taken; where nothing helps, a guess."""

    def __init__(self, node: tuple[bytes, bytes], g_x: bytes, guess: bytes) -> None:
        super().__init__()
        self._node = node
        self._g_x = g_x
        self._guess = guess

    def ecdh_steps(self, private: bytes, public: bytes) -> Generator[None, None, bytes]:
        if private != UNKNOWN:
            return (yield from super().ecdh_steps(private, public))
        if public[1:] == self._node[1][1:]:
            return (yield from super().ecdh_steps(self._node[0], self._g_x))
        return self._guess


def test_both_long_term_keys_and_a_recording_do_not_give_a_sessions_keys() -> None:
    host, node, x, y = (pair() for _ in range(4))
    mine, theirs = ccs.write(b"host", host[1]), ccs.write(b"node", node[1])
    initiator: Any = Initiator(CRYPTO, host[0], mine, None, x, b"\x00")
    responder: Any = Responder(CRYPTO, node[0], theirs, b"node", y, (b"\x01", b"\x02"), lambda kid: None)
    first = initiator.message_1()
    second = p256.run(responder.message_1_steps(first))
    p256.run(initiator.message_2_steps(second))
    third = p256.run(initiator.message_3_steps(theirs))
    keys = initiator.message_4(p256.run(responder.message_3_steps(third)))
    assert initiator._pair is None and responder._pair is None, "nobody has them any more"
    g_x, g_y = x[1], second[2:34]

    def opened(guess: bytes) -> Any:
        """The keys that the thief comes to from a recording of the session."""
        thief: Any = Thief(node, g_x, guess)
        again: Any = Initiator(thief, host[0], mine, None, (UNKNOWN, g_x), b"\x00")
        assert again.message_1() == first
        p256.run(again.message_2_steps(second))
        assert p256.run(again.message_3_steps(theirs)) == third
        return again.keys

    missing = shared(x[0], b"\x02" + g_y)
    assert opened(missing).exporter(0, b"", 16) == keys.exporter(0, b"", 16), "it is only this that is missing"
    have = [shared(node[0], g_x), shared(host[0], b"\x02" + g_y), shared(host[0], node[1]), node[0], host[0]]
    assert missing not in have
    for guess in have:
        with pytest.raises(EdhocError):
            opened(guess)


def windows(data: bytes) -> Iterator[bytes]:
    """Every 32 bytes that could be a key, in either order: fewer than 20 differ in one of a billion random ones."""
    for at in range(len(data) - 31):
        one = data[at : at + 32]
        if len(set(one)) >= 20:
            yield one
            yield one[::-1]


def privates(data: bytes, wanted: set[bytes]) -> set[bytes]:
    """Which of these public keys' x coordinates have their private key in the data."""
    found: set[bytes] = set()
    for one in set(windows(data)):
        number = int.from_bytes(one, "big")
        if 0 < number < p256.N:
            public = ec.derive_private_key(number, CURVE).public_key().public_numbers()
            x = public.x.to_bytes(32, "big")
            if x in wanted:
                found.add(x)
    return found


@pytest.mark.usefixtures("micropython32")
def test_neither_the_nodes_flash_nor_its_owners_files_have_a_sessions_ephemeral_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours: set[bytes] = set()
    points: set[bytes] = set()
    agree = edhoc_initiator.agree_steps

    def agreed(crypto: Any, private: bytes, x: bytes) -> Any:
        ours.add(private)
        points.add(bytes(x))
        return agree(crypto, private, x)

    monkeypatch.setattr(edhoc_initiator, "agree_steps", agreed)
    city = tmp_path / "city"
    city.mkdir()
    with street(city, speed=4) as fresh:
        desk = Desk(tmp_path)
        desk.knows(Label(fresh.public, fresh.secret))
        way = BleReach(fresh.adapter).way(fresh.id)

        async def talk() -> None:
            for claim in (claim_with(fresh.secret), None):
                async with Node(way, fresh.public, desk.store, claim=claim) as node:
                    await node.configure({**fresh.uplink, "station": "pole 7"})

        asyncio.run(talk())
        fresh.node.kill()
        ephemeral = ours - {desk.store.host.private}
        theirs = points - {fresh.public[1:]}
        assert (len(ephemeral), len(theirs)) == (2, 2), "two sessions, each with keys of its own on both sides"
        flash = b"".join(path.read_bytes() for path in sorted(fresh.node.directory.glob("*.img")))
        assert privates(flash, theirs | {fresh.public[1:]}) == {fresh.public[1:]}, "its long-term key, and no other"
        kept = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
        assert desk.store.host.public.hex().encode() in kept
        for private in ephemeral:
            assert private not in kept and private.hex().encode() not in kept
