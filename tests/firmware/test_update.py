"""A node updates itself from a file server: verified, fetched, checked, started, confirmed, and no row is lost."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.support.file_server import FileServer

from citymote import resources
from citymote.broker import Broker
from citymote.delegate import OwnerKey
from citymote.factory import slot
from citymote.testing import runtime, slots
from citymote.testing.vm import GARBAGE, VirtualNode
from citymote.update.manifest import Signer, class_id, envelope
from citymote_protocol import keyset as _keyset
from citymote_protocol.descriptor import Descriptor
from citymote_protocol.frame import decode

from .collecting import BOARD, START, Collector, expected, rows, wiring

pytestmark = pytest.mark.usefixtures("run_vm")
keyset: Any = _keyset
A, B = 0, 1
RELEASE, EMERGENCY = 1, 2
HSS_LMS = -46
GIVEN_BACK = 3
DOWNLOADING, VERIFIED, TRIAL, CONFIRMED, ROLLED_BACK, FAILED = range(2, 8)
ROOT = OwnerKey.from_private(bytes(range(1, 33)))


class Publisher:
    """Whoever makes releases: a release key, a folder for a file server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.machine = runtime.micropython(32)
        (folder / "nodes").mkdir(parents=True)
        (folder / "files").mkdir()
        self.private = ec.generate_private_key(ec.SECP256R1())
        self.public = self.private.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
        self.signer = Signer(hashlib.sha256(self.public).digest()[:6], self._sign)
        self.keys(1)

    def _sign(self, digest: bytes) -> bytes:
        r, s = utils.decode_dss_signature(self.private.sign(digest, ec.ECDSA(utils.Prehashed(hashes.SHA256()))))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def keys(self, epoch: int, role: int = 1) -> None:
        statement = ROOT.statement(keyset.write(epoch, ((self.public, role),)), keyset.PURPOSE)
        (self.folder / "keys").write_bytes(statement)

    def publish(
        self,
        node: str,
        files: dict[str, str],
        sequence: int = 2,
        release: slot.Release | None = None,
        *others: Signer,
        **changes: bytes,
    ) -> list[slot.File]:
        """Put a release for that node on the server: the application with some files replaced by these sources."""
        tree = self.folder.parent / f"tree{sequence}"
        shutil.copytree(slots.application(self.machine, BOARD), tree)
        for name, source in files.items():
            (tree / name).with_suffix(".mpy").unlink(missing_ok=True)
            (tree / name).write_text(source)
        made = slot.files(tree, release or slots.release(self.machine, f"1.0.{sequence}"))
        for file in made:
            (self.folder / "files" / file.digest.hex()).write_bytes(changes.get("content", file.packed or file.data))
        envelope_ = envelope(slot.index(made), sequence, class_id(self.machine.architecture), [self.signer, *others])
        (self.folder / "nodes" / f"{node}.suit").write_bytes(envelope_)
        return made


def slotted(
    folder: Path, hours: float, broker: Broker | None, server: FileServer | None, **settings: Any
) -> VirtualNode:
    """A node with slots; without a broker, rows are all that a new application has to prove."""
    settings = {
        "until": START + int(hours * 3600), "unsealed": True, "update_root": ROOT.public.hex(), "update_interval": 600
    } | settings  # fmt: skip
    if broker:
        settings |= {"broker_host": "127.0.0.1", "broker_port": broker.port}
    if server:
        settings["update_url"] = server.url
    return VirtualNode(
        folder, settings=settings, board=BOARD, wiring=wiring(), start_time=START, heap="300k", garbage=GARBAGE,
        slotted=True,
    )  # fmt: skip


def identify(node: VirtualNode) -> str:
    """The node's id, once it has drawn it; it waits then."""
    node.run_until(30_000)
    return str(node.event_data("identity")[0]["node"])


def states(node: VirtualNode) -> list[int]:
    return [event["state"] for event in node.event_data("update")]


NEW = {"node/extra.py": "NEW = 1\n"}


def test_a_node_updates_itself_and_no_row_is_lost(tmp_path: Path, broker: Broker) -> None:
    publisher = Publisher(tmp_path / "www")
    with (
        Collector(broker.port) as collector,
        FileServer(publisher.folder) as server,
        slotted(tmp_path / "n", 2, broker, server) as node,
    ):
        files = publisher.publish(identify(node), NEW)
        messages = collector.all_of(node.wait(120))
        said = node.last_words()
    assert slots.boot_record(node.directory) == slots.BootRecord(B, trial=False, starts=0, why=0, floor=2), said
    assert states(node)[-3:] == [VERIFIED, TRIAL, CONFIRMED]
    assert rows(messages).keys() == expected(1, 60).keys(), "no row is lost, none is there twice"
    said_to_run = [frame.firmware for frame in map(decode, messages) if isinstance(frame, Descriptor)]
    assert said_to_run == ["1.0.0", "1.0.2"], "each start says which release runs"
    asked = [path for path, _ in server.requests if path.startswith("/files/")]
    new = {file.digest.hex() for file in files if file.name in ("node/extra.py", "release.json")}
    assert {path.removeprefix("/files/") for path in asked} == new, "only what the node did not hold is fetched"


def test_two_updates_follow_one_another_through_both_slots(tmp_path: Path) -> None:
    publisher = Publisher(tmp_path / "www")
    with FileServer(publisher.folder) as server, slotted(tmp_path / "n", 5, None, server) as node:
        name = identify(node)
        publisher.publish(name, NEW, 2)
        node.run_until(hours=2.5)
        publisher.publish(name, {"node/extra.py": "NEW = 2\n"}, 3)
        node.wait(120, check=False)
    assert slots.boot_record(node.directory) == slots.BootRecord(A, trial=False, starts=0, why=0, floor=3)


def test_a_downgrade_is_a_higher_sequence_over_older_files_and_stays(tmp_path: Path) -> None:
    publisher = Publisher(tmp_path / "www")
    with FileServer(publisher.folder) as server, slotted(tmp_path / "n", 6, None, server) as node:
        name = identify(node)
        newer = publisher.publish(name, NEW, 2, slot.Release("1.1.0", publisher.machine.architecture))
        signed = (publisher.folder / "nodes" / f"{name}.suit").read_bytes()
        node.run_until(hours=2)
        assert slots.boot_record(node.directory) == slots.BootRecord(B, trial=False, starts=0, why=0, floor=2)
        asked = len(server.requests)
        older = publisher.publish(name, {}, 3, slots.release(publisher.machine))
        says = {file.digest for file in older if file.name == "release.json"}
        assert {file.digest for file in older} < {file.digest for file in newer} | says
        node.run_until(hours=4)
        assert slots.boot_record(node.directory) == slots.BootRecord(A, trial=False, starts=0, why=0, floor=3)
        assert not [path for path, _ in server.requests[asked:] if path.startswith("/files/")], "the slot has them all"
        (publisher.folder / "nodes" / f"{name}.suit").write_bytes(signed)
        node.wait(120, check=False)
    assert slots.boot_record(node.directory) == slots.BootRecord(A, trial=False, starts=0, why=0, floor=3)
    assert any("sequence" in line.text for line in node.logs if "updates:" in line.text), "the newer one is refused"


@pytest.mark.parametrize("ranges", [True, False])
def test_a_server_that_goes_in_the_middle_of_a_file_is_asked_for_the_rest(tmp_path: Path, ranges: bool) -> None:
    publisher = Publisher(tmp_path / "www")
    with (
        FileServer(publisher.folder, ranges=ranges) as server,
        slotted(tmp_path / "n", 3, None, server) as node,
    ):
        big = "TEXT = (%s)\n" % "".join(f"'{k * k * 7919 % 99991:05x}'\n" for k in range(4000))
        name = identify(node)
        made = publisher.publish(name, {"node/extra.py": big})
        assert next(len(file.packed) for file in made if file.name == "node/extra.py") > 10_000
        again = (publisher.folder / "nodes" / f"{name}.suit").stat().st_size  # the envelope comes twice: it is news
        server.cut = server.sent + again + 12_000
        node.wait(120, check=False)
    assert slots.boot_record(node.directory) == slots.BootRecord(B, trial=False, starts=0, why=0, floor=2)
    offsets = [int(wanted.removeprefix("bytes=").rstrip("-")) for _, wanted in server.requests if wanted]
    assert len(offsets) == 1
    assert 4096 <= offsets[0] < 12_000


def test_a_download_goes_on_after_a_loss_of_power(tmp_path: Path, broker: Broker) -> None:
    publisher = Publisher(tmp_path / "www")
    with (
        Collector(broker.port) as collector,
        FileServer(publisher.folder) as server,
        slotted(tmp_path / "n", 3, broker, server) as node,
    ):
        publisher.publish(identify(node), NEW)
        node.cut_power("slot_b", 150)
        node.restart(off=1000)
        assert node.wait(120, check=False).reason == "power cut"
        node.start(off=1000)
        collector.all_of(node.wait(120))
    assert slots.boot_record(node.directory) == slots.BootRecord(B, trial=False, starts=0, why=0, floor=2)


def test_a_bad_release_is_rolled_back_and_says_so(tmp_path: Path, broker: Broker) -> None:
    publisher = Publisher(tmp_path / "www")
    with (
        Collector(broker.port) as collector,
        FileServer(publisher.folder) as server,
        slotted(tmp_path / "n", 3, broker, server) as node,
    ):
        publisher.publish(identify(node), {"fit.py": "raise ValueError('nothing fits')\n"})
        messages = collector.all_of(node.wait(120))
    record = slots.boot_record(node.directory)
    assert record is not None
    assert (record.slot, record.trial, record.floor) == (A, False, 0)
    assert states(node)[-1] == ROLLED_BACK
    assert rows(messages).keys() == expected(1, 90).keys()


def test_a_rolled_back_release_is_not_taken_again(tmp_path: Path) -> None:
    publisher = Publisher(tmp_path / "www")
    with FileServer(publisher.folder) as server, slotted(tmp_path / "n", 6, None, server) as node:
        publisher.publish(identify(node), {"fit.py": "raise ValueError('nothing fits')\n"})
        node.wait(120, check=False)
    assert states(node).count(VERIFIED) == 1


def refused(tmp_path: Path, spoil: Any, **settings: Any) -> VirtualNode:
    """A node that was offered something that `spoil(publisher, node id)` has made, two hours later."""
    publisher = Publisher(tmp_path / "www")
    with (
        FileServer(publisher.folder) as server,
        slotted(tmp_path / "n", 2, None, server, **settings) as node,
    ):
        spoil(publisher, identify(node))
        node.wait(120, check=False)
    record = slots.boot_record(node.directory)
    assert record is None or record.slot == A
    return node


def reasons(node: VirtualNode) -> set[int]:
    return {event["reason"] for event in node.event_data("update") if event["state"] == FAILED}


NO_ROOT, REFUSED, BROKEN, FLASH, RUNTIME, BOARD_REASON = range(4, 10)


def test_nothing_is_taken_without_a_root(tmp_path: Path) -> None:
    node = refused(tmp_path, lambda publisher, name: publisher.publish(name, NEW), update_root="")
    assert reasons(node) == {NO_ROOT}


def test_nothing_is_taken_from_a_key_that_the_root_has_not_named(tmp_path: Path) -> None:
    def spoil(publisher: Publisher, name: str) -> None:
        publisher.private = ec.generate_private_key(ec.SECP256R1())
        publisher.publish(name, NEW)

    assert reasons(refused(tmp_path, spoil)) == {REFUSED}


def test_files_with_other_content_than_was_signed_are_never_started(tmp_path: Path) -> None:
    node = refused(tmp_path, lambda publisher, name: publisher.publish(name, NEW, content=b"x"))
    assert VERIFIED not in states(node)


def test_an_application_for_a_newer_runtime_is_not_started(tmp_path: Path) -> None:
    def spoil(publisher: Publisher, name: str) -> None:
        newer = slot.Release("2.0.0", publisher.machine.architecture, runtime="9.0")
        publisher.publish(name, NEW, release=newer)

    assert reasons(refused(tmp_path, spoil)) == {RUNTIME}


def test_an_application_for_other_boards_is_not_started(tmp_path: Path) -> None:
    def spoil(publisher: Publisher, name: str) -> None:
        other = slot.Release("2.0.0", publisher.machine.architecture, boards=("another",))
        publisher.publish(name, NEW, release=other)

    assert reasons(refused(tmp_path, spoil)) == {BOARD_REASON}


def test_an_application_that_does_not_fit_its_slot_is_given_up(tmp_path: Path) -> None:
    def spoil(publisher: Publisher, name: str) -> None:
        publisher.publish(
            name,
            {
                f"node/big{k}.py": "".join(
                    f"V{k}_{n} = {hashlib.sha256(bytes([k, n % 256, n >> 8])).hexdigest()!r}\n" for n in range(4000)
                )
                for k in range(3)
            },
        )

    assert reasons(refused(tmp_path, spoil)) == {FLASH}


def confirmed_at(node: VirtualNode) -> int | None:
    """Seconds of the node's story until the update was confirmed."""
    found = [event.now for event in node.events if event.name == "confirmed"]
    return found[0] // 1000 if found else None


# an hour, from two hours after the start of the story on
WINDOW = "-".join(f"{at // 3600 % 24:02d}:{at // 60 % 60:02d}" for at in (START + 7200, START + 10800))


def windowed(tmp_path: Path, role: int) -> VirtualNode:
    publisher = Publisher(tmp_path / "www")
    publisher.keys(2, role)
    settings = {"update_window": WINDOW}
    with FileServer(publisher.folder) as server, slotted(tmp_path / "n", 4, None, server, **settings) as node:
        publisher.publish(identify(node), NEW)
        node.wait(120, check=False)
    assert slots.boot_record(node.directory) == slots.BootRecord(B, trial=False, starts=0, why=0, floor=2)
    return node


def test_a_new_application_starts_in_the_window_of_the_owner(tmp_path: Path) -> None:
    confirmed = confirmed_at(windowed(tmp_path, RELEASE))
    assert confirmed is not None
    assert 7200 <= confirmed < 10800


def test_an_emergency_does_not_wait_for_the_window(tmp_path: Path) -> None:
    confirmed = confirmed_at(windowed(tmp_path, EMERGENCY))
    assert confirmed is not None
    assert confirmed < 3600


def test_a_reset_while_the_window_is_waited_for_costs_nothing(tmp_path: Path) -> None:
    publisher = Publisher(tmp_path / "www")
    settings = {"update_window": WINDOW}
    with FileServer(publisher.folder) as server, slotted(tmp_path / "n", 4, None, server, **settings) as node:
        publisher.publish(identify(node), NEW)
        node.run_until(hours=1.5)
        asked = len(server.requests)
        record = slots.boot_record(node.directory)
        assert record is None or not record.trial
        node.restart(off=1000)
        node.wait(120, check=False)
    assert slots.boot_record(node.directory) == slots.BootRecord(B, trial=False, starts=0, why=0, floor=2)
    assert not [path for path, _ in server.requests[asked:] if path.startswith("/files/")], "nothing is fetched twice"


def test_an_emergency_ends_what_came_before_even_where_its_own_application_fails(tmp_path: Path) -> None:
    publisher = Publisher(tmp_path / "www")
    publisher.keys(2, EMERGENCY)
    with FileServer(publisher.folder) as server, slotted(tmp_path / "n", 3, None, server) as node:
        publisher.publish(identify(node), {"fit.py": "raise ValueError('nothing fits')\n"}, 9)
        node.wait(120, check=False)
    record = slots.boot_record(node.directory)
    assert record is not None
    assert (record.slot, record.trial, record.floor) == (A, False, 8)


FAULT = "from core import Fault\n"
"""What a driver that is not linked imports."""


def test_a_release_that_cannot_make_a_sensor_is_given_back(tmp_path: Path) -> None:
    publisher = Publisher(tmp_path / "www")
    with FileServer(publisher.folder) as server, slotted(tmp_path / "n", 3, None, server) as node:
        publisher.publish(identify(node), {"node/drivers/sht4x.py": "import nothing_of_the_kind\n"})
        node.wait(120, check=False)
    record = slots.boot_record(node.directory)
    assert record is not None
    assert (record.slot, record.trial, record.floor, record.why) == (A, False, 0, GIVEN_BACK)
    assert any("trial failed" in line.text and "values of 10" in line.text for line in node.logs)


def test_a_release_that_breaks_a_driver_is_given_back(tmp_path: Path) -> None:
    publisher = Publisher(tmp_path / "www")
    with FileServer(publisher.folder) as server, slotted(tmp_path / "n", 3, None, server) as node:
        name = identify(node)
        source = (resources.firmware() / "node" / "drivers" / "sht4x.py").read_text()
        broken = source.replace(
            "    def read(self", "    def read(self, *_):\n        raise OSError(5)\n\n    def unread(self"
        )
        assert broken != source
        publisher.publish(name, {"node/drivers/sht4x.py": broken, "node/drivers/fault.py": FAULT})
        node.wait(120, check=False)
    record = slots.boot_record(node.directory)
    assert record is not None
    assert (record.slot, record.trial, record.floor, record.why) == (A, False, 0, GIVEN_BACK)
    assert any("trial failed" in line.text and "values of 10" in line.text for line in node.logs)


class Hash:
    """A key of hashes (RFC 8554), of a library that is not ours."""

    def __init__(self) -> None:
        pyhsslms = pytest.importorskip("pyhsslms")
        self.private = pyhsslms.HssPrivateKey(
            levels=1, lms_type=pyhsslms.lms_sha256_m32_h5, lmots_type=pyhsslms.lmots_sha256_n32_w8
        )
        self.public = bytes(self.private.publicKey().serialize())
        self.signer = Signer(hashlib.sha256(self.public).digest()[:6], self.private.sign, HSS_LMS)


@pytest.fixture(scope="module")
def hashing() -> Hash:
    return Hash()


def test_where_the_owner_asks_for_a_second_signature_one_is_not_enough(tmp_path: Path, hashing: Hash) -> None:
    node = refused(tmp_path, lambda publisher, name: publisher.publish(name, NEW), update_hss=hashing.public.hex())
    assert reasons(node) == {REFUSED}
    assert any("HSS-LMS" in line.text for line in node.logs)


def test_a_second_signature_by_hashes_is_verified_on_the_node(tmp_path: Path, hashing: Hash) -> None:
    publisher = Publisher(tmp_path / "www")
    settings = {"update_hss": hashing.public.hex()}
    with FileServer(publisher.folder) as server, slotted(tmp_path / "n", 2, None, server, **settings) as node:
        publisher.publish(identify(node), NEW, 2, None, hashing.signer)
        node.wait(120, check=False)
    assert slots.boot_record(node.directory) == slots.BootRecord(B, trial=False, starts=0, why=0, floor=2)
