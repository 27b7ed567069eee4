"""An update over requests, as BLE, a serial line, UDP and MQTT carry them, and over several roads one after another.

`update_roads.py` is the node, in a VM: its resources behind the real CoAP server, manager and installer on littlefs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.support.vm import TOP, Result

from citymote.delegate import OwnerKey
from citymote.factory import slot
from citymote.update.manifest import Signer, class_id, envelope
from citymote_protocol import keyset as _keyset

keyset: Any = _keyset
SCRIPT = Path(__file__).with_name("update_roads.py")
SOURCES = [TOP / "firmware", TOP / "protocol"]
ROOT = OwnerKey.from_private(bytes(range(1, 33)))
TRIAL, B = 1, 1
VERIFIED = 3


class Key:
    def __init__(self) -> None:
        self.private = ec.generate_private_key(ec.SECP256R1())
        self.public = self.private.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
        self.signer = Signer(hashlib.sha256(self.public).digest()[:6], self._sign)

    def _sign(self, digest: bytes) -> bytes:
        r, s = utils.decode_dss_signature(self.private.sign(digest, ec.ECDSA(utils.Prehashed(hashes.SHA256()))))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def noise(name: str, size: int) -> bytes:
    out = b""
    while len(out) < size:
        out += hashlib.sha256(name.encode() + len(out).to_bytes(4, "big")).digest()
    return out[:size]


def application(version: str, **changed: bytes) -> list[slot.File]:
    release = slot.Release(version, "x86").json()
    files = {
        "release.json": release, "node/app.mpy": noise("app", 3000), "node/same.mpy": noise("same", 5000),
        "node/text.mpy": b"the same again and again " * 200,
    }  # fmt: skip
    files |= {f"node/{name}.mpy": data for name, data in changed.items()}
    return [slot.file(name, files[name]) for name in sorted(files)]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    return publish(tmp_path_factory.mktemp("www"))


def publish(folder: Path) -> tuple[Path, int]:
    """A folder with everything, and how many bytes a node with the first application has to fetch for the second."""
    (folder / "files").mkdir()
    key, other = Key(), Key()
    one = application("1.0.0")
    two = application("1.0.1", app=noise("new", 7001), deep=b"many words " * 300)
    for file in (*one, *two):
        (folder / "files" / file.digest.hex()).write_bytes(file.packed or file.data)
    class_ = class_id("x86")
    (folder / "index1").write_bytes(slot.index(one))
    (folder / "envelope").write_bytes(envelope(slot.index(two), 7, class_, [key.signer]))
    (folder / "older").write_bytes(
        envelope(slot.index(application("1.0.2", app=noise("newer", 900))), 6, class_, [key.signer])
    )
    late = slot.file("node/app.mpy", noise("newer", 900))
    (folder / "files" / late.digest.hex()).write_bytes(late.packed or late.data)
    release = application("1.0.2")[-1]
    (folder / "files" / release.digest.hex()).write_bytes(release.packed or release.data)
    (folder / "unsigned").write_bytes(envelope(slot.index(two), 8, class_, [other.signer]))
    (folder / "root").write_bytes(ROOT.public)
    (folder / "keys").write_bytes(ROOT.statement(keyset.write(1, ((key.public, 1),)), keyset.PURPOSE))
    (folder / "keys_other").write_bytes(ROOT.statement(keyset.write(1, ((other.public, 1),)), keyset.PURPOSE))
    have = {file.digest for file in one}
    return folder, sum(len(file.packed or file.data) for file in two if file.digest not in have)


def run(run_vm: Callable[..., Result], case: str, published: tuple[Path, int], timeout: float = 120) -> Any:
    folder, size = published
    found = run_vm(SCRIPT, case, str(folder), str(size), heap="4m", path=SOURCES, timeout=timeout).checked()
    return json.loads(found.stdout.strip().splitlines()[-1])


def test_a_whole_update_comes_in_blocks_of_64_bytes(run_vm: Callable[..., Result], published: tuple[Path, int]) -> None:
    said = run(run_vm, "blocks", published)
    assert (said["slot"], said["state"], said["resets"]) == (B, TRIAL, 1)
    assert said["said"] == [VERIFIED, 0, 7, 100]
    assert said["sent"] == published[1], "what the node holds is not asked for"


def test_a_half_finished_download_goes_on_over_another_road(
    run_vm: Callable[..., Result], published: tuple[Path, int]
) -> None:
    said = run(run_vm, "roads", published)
    assert (said["slot"], said["state"]) == (B, TRIAL)
    assert said["first"] - 4096 <= said["resumed"] <= said["first"], "a reset costs 4 KB at most"
    assert said["offset"] == said["resumed"] + said["second"], "the server is asked for the rest of that file"


def test_a_download_goes_on_after_a_reset_anywhere(run_vm: Callable[..., Result], published: tuple[Path, int]) -> None:
    assert run(run_vm, "torn_prefixes", published, 300) >= 10


def test_a_newer_offer_takes_the_place_of_one_that_is_half_fetched(
    run_vm: Callable[..., Result], published: tuple[Path, int]
) -> None:
    said = run(run_vm, "replaced", published)
    assert (said["slot"], said["state"], said["resets"]) == (B, TRIAL, 1)
    assert said["said"][2] == 7


def test_who_may_not_and_what_is_not_due_is_answered_by_a_code(
    run_vm: Callable[..., Result], published: tuple[Path, int]
) -> None:
    assert run(run_vm, "refusals", published) == [
        "4.00 signature", "4.00 signature", "2.04 ", "4.00 epoch", "4.00 digest", "4.00 signature", "4.13 too_large",
        "4.09 file", "2.04 ", "4.09 file", "4.00 query", "4.00 query", "4.00 signature", "4.00 trial",
    ]  # fmt: skip
