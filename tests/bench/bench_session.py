"""What a session costs: bytes, messages and time of a handshake; heap, steps, work and instructions of the node.

The node's side runs on the 32-bit VM, whose objects have a chip's sizes, from modules shrunk as a node's are: it
answers what a host has sent, recorded here on CPython with the same keys. Its heap is the smallest in which all of it
fits, VM, code and the reading of this very test; what a handshake has loaded it forgets once that has ended. The time
of a handshake is virtual, of a run with the SDK's session over the layers of BLE and of UDP: a radio's latency, and
1.5 s of a small chip's arithmetic, injected. Point operations are
counted; in instructions they are estimated for RV32 from what was counted on an emulated one, and counted by Valgrind,
where there is one, for the 64-bit VM, whose big integers have digits twice as wide.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.bench import session_vm
from tests.bench.measuring import TOP, note
from tests.support import vm

import aptget
from citymote.crypto import HostCrypto
from citymote.factory import shrink
from citymote.factory.build import compile_tree
from citymote.node import Node, claim_with
from citymote.owner import OwnerStore
from citymote.session import Session
from citymote.testing import clockwork
from citymote.testing.fake_node import FakeNode
from citymote.testing.fake_wire import Conditions
from citymote_protocol import ccs, claim, coap, p256
from citymote_protocol.coap_client import request, request_steps
from citymote_protocol.crypto import Crypto
from citymote_protocol.edhoc_initiator import Initiator
from citymote_protocol.handshake_client import handshake_steps

FAMILY = "session provision"
SCRIPT = Path(__file__).with_name("session_vm.py")
LATENCY = 0.03  # s one way: a BLE connection interval of 30 ms
ARITHMETIC = 1.5  # s of a C3: two multiplications at message_1 and one at message_3
CONFIGURATION = 700  # bytes: networks, uplink, a profile

# An emulated RV32 took 44.8 million instructions for 259 doublings and 56 mixed additions of 1.6 doublings each.
PER_DOUBLING = 44_800_000 / (259 + 1.6 * 56)

Untyped = Any


class Recorded:
    """One session of a host with the node, and what went over the link."""

    def __init__(self, room: int = 511) -> None:
        crypto: Untyped = HostCrypto(session_vm.Source())
        self.public: bytes = p256.public_key(session_vm.PRIVATE, None)
        node: Untyped = session_vm.Node(crypto, self.public, room)
        p256.run(node.shakes.prepare_steps())
        self.up: list[bytes] = []
        self.down: list[bytes] = []
        host: Untyped = HostCrypto()
        private, public = p256.run(host.key_pair_steps())
        initiator: Untyped = Initiator(
            host, private, ccs.write(b"host", public), b"host", p256.run(host.key_pair_steps()), b"\x00"
        )
        credential = ccs.write(session_vm.KID, self.public)
        keys = self._run(node, handshake_steps(initiator, lambda kid, value: credential))
        self.handshake = len(self.up)
        context = keys.oscore(True)
        owner = b"\x02" + bytes(32)
        tag = claim.claim_tag(host, claim.claim_key(host, session_vm.SECRET), claim.exported(keys), owner)
        for message in (
            request(coap.POST, "claim", claim.write(owner, tag)),
            request(coap.PUT, "config", bytes(CONFIGURATION)),
        ):
            answer = self._run(node, request_steps(host, context, message, room))
            assert answer.code == coap.CHANGED, answer.code
        assert node.owner == owner and node.stored == CONFIGURATION

    def lines(self) -> str:
        """What session_vm.py reads."""
        return "".join(data.hex() + "\n" for data in (self.public, *self.up))

    def _run(self, node: Untyped, steps: Untyped) -> Untyped:
        from citymote_protocol import coap_udp

        try:
            message = next(steps)
            while True:
                number = len(self.up) + 1
                message.token = bytes((number,))
                data = coap_udp.encode(coap_udp.CON, number, message)
                self.up.append(data)
                (answer,) = node.receive(data, 2000 * number)
                self.down.append(answer)
                message = steps.send(coap_udp.decode(answer)[2])
        except StopIteration as end:
            return end.value


def wire(recorded: Recorded) -> dict[str, float]:
    sent = recorded.up[: recorded.handshake] + recorded.down[: recorded.handshake]
    return {
        "session.handshake.bytes": float(sum(map(len, sent))),
        "session.handshake.messages": float(len(sent)),
        "session.claim.bytes": float(len(recorded.up[recorded.handshake]) + len(recorded.down[recorded.handshake])),
    }


async def _timed(over: str, folder: Path) -> dict[str, float]:
    """A handshake, and on another day one with the claim, in virtual time; what goes over the link, acknowledgements
    of BLE's layer among it."""
    packets: list[int] = []

    def count(up: bool, data: bytes) -> bytes:
        packets.append(len(data))
        return data

    loop = asyncio.get_running_loop()
    store = OwnerStore.create(folder / "owner", ask=lambda new: "only for a bench", cost=2)
    fake = FakeNode(conditions=Conditions(latency=(LATENCY, LATENCY), change=count), arithmetic=ARITHMETIC)
    fake.start()
    fake.online = over != "ble"
    await asyncio.sleep(60)  # its ephemeral pair is ready, its bucket full
    begun = loop.time()
    async with Session(fake.way(over), fake.label.public, store.host):
        seconds = loop.time() - begun
        found = {"seconds": seconds, "bytes": float(sum(packets)), "packets": float(len(packets))}
    await asyncio.sleep(60)
    begun = loop.time()
    async with Node(fake.way(over), fake.label.public, store, claim=claim_with(fake.label.secret)):
        claimed = loop.time() - begun
        assert fake.flash.owner == store.owner_public
    await fake.stop()
    return {f"session.handshake.{over}.{name}": value for name, value in found.items()} | {
        f"session.handshake_and_claim.{over}.seconds": claimed
    }


def timed() -> dict[str, float]:
    metrics: dict[str, float] = {}
    for over in ("ble", "udp"):
        with tempfile.TemporaryDirectory() as folder:
            metrics |= clockwork.run(_timed(over, Path(folder)))
    return {"session.handshake.seconds": metrics["session.handshake.ble.seconds"]} | metrics


@cache
def tree(bits: int = 32) -> Path:
    """The session's modules, and the script, shrunk and compiled for the VM of that width."""
    sources = {f"citymote_protocol/{path.name}": path for path in (TOP / "protocol" / "citymote_protocol").glob("*.py")}
    sources |= {"node/crypto.py": TOP / "firmware" / "node" / "crypto.py", SCRIPT.name: SCRIPT}
    texts = {name: path.read_bytes() for name, path in sources.items()}
    folder = TOP / "build" / "tmp" / "session"
    files: dict[str, Path] = {}
    for name, text in shrink.shrink(texts, keep=(SCRIPT.name,)).items():
        files[name] = folder / "source" / name
        files[name].parent.mkdir(parents=True, exist_ok=True)
        if not files[name].exists() or files[name].read_bytes() != text:
            scratch = files[name].with_name(f".{files[name].name}.{os.getpid()}")  # somebody else may be reading it
            scratch.write_bytes(text)
            scratch.replace(files[name])
    target = folder / f"tree{bits}"
    compile_tree(files, target, arch=vm.architecture(vm.best(bits).bits), level=3)
    return target


def execute(recorded: Recorded, case: str, heap: int) -> vm.Result:
    return vm.execute(["-m", SCRIPT.stem, case], heap=str(heap), stdin=recorded.lines(), path=[tree()], timeout=60)


def smallest_heap(recorded: Recorded, case: str, low: int = 8_192, high: int = 200_000, grain: int = 256) -> int:
    """The least heap, in bytes, in which the node gets through one case."""
    while high - low > grain:
        middle = (low + high) // 2
        if execute(recorded, case, middle).returncode == 0:
            high = middle
        else:
            low = middle
    return high


def node(recorded: Recorded) -> dict[str, float]:
    done = execute(recorded, "whole", 200_000).checked()
    lines = [line.split() for line in done.stdout.splitlines() if line]
    answers = [bytes.fromhex(line[1]) for line in lines if line[0] == "out"]
    assert answers == recorded.down, "the node on MicroPython says something else than on CPython"
    said = {line[0]: line[1] for line in lines}
    return {
        "session.node_heap_peak_bytes": float(smallest_heap(recorded, "whole")),
        "session.node_heap_handshake_bytes": float(smallest_heap(recorded, "handshake")),
        "session.node_heap_in_session_bytes": float(said["in_use"]),
        "session.node_steps": float(said["steps"]),
    }


def work(recorded: Recorded) -> dict[str, float]:
    """Multiplications and point operations of the node for one handshake, with the pair that it made before."""
    counts: Counter[str] = Counter()

    def counted(name: str, function: Untyped) -> Untyped:
        def call(*arguments: Untyped) -> Untyped:
            counts[name] += 1
            return function(*arguments)

        return call

    class Pure(Crypto):
        """The node's own arithmetic."""

        def __init__(self) -> None:
            self.random = session_vm.Source()
            self.sha256 = sha256

        def aes_block(self, key: bytes) -> Untyped:
            return HostCrypto().aes_block(key)

    curve: Untyped = p256
    kept = curve._double, curve._add, curve._multiply_steps
    curve._double, curve._add = counted("double", kept[0]), counted("add", kept[1])
    curve._multiply_steps = counted("multiply", kept[2])
    try:
        node: Untyped = session_vm.Node(Pure(), recorded.public, 511)
        p256.run(node.shakes.prepare_steps())
        for number, data in enumerate(recorded.up[: recorded.handshake]):
            (answer,) = node.receive(data, 2000 * (number + 1))
            assert answer == recorded.down[number]
    finally:
        curve._double, curve._add, curve._multiply_steps = kept
    return {
        "session.node_multiplications": float(counts["multiply"]),
        "session.node_doublings": float(counts["double"]),
        "session.node_additions": float(counts["add"]),
        "session.node_instructions.rv32_estimate": (counts["double"] + 1.6 * counts["add"]) * PER_DOUBLING,
    }


def instructions(recorded: Recorded) -> dict[str, float]:
    """Machine instructions of the 64-bit VM between waiting for a handshake and having answered message_3."""
    if shutil.which("valgrind") is None:
        note("no valgrind here: instructions are not counted")
        return {}
    # The binary may stand behind a script that starts it.
    start = ["valgrind", "--trace-children=yes", "--tool=lackey", "--basic-counts=yes", str(vm.binary(64))]
    counted: list[int] = []
    for case in ("waiting", "handshake"):
        done = subprocess.run(
            [*start, "-X", "heapsize=400k", "-m", SCRIPT.stem, case],
            input=recorded.lines(),
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
            env={**os.environ, "MICROPYPATH": str(tree(64))},
        )
        found = re.findall(r"guest instrs:\s+([\d,]+)", done.stderr)
        if not found or done.returncode:
            note("valgrind does not run this VM: instructions are not counted")
            return {}
        counted.append(int(found[-1].replace(",", "")))
    return {"session.node_instructions.x64": float(counted[1] - counted[0])}


def measure() -> dict[str, float]:
    recorded = Recorded()
    metrics = wire(recorded) | timed()
    try:
        metrics |= node(recorded) | work(recorded)
        metrics |= instructions(recorded)
    except aptget.Unavailable as error:
        note(f"no MicroPython here: {error}")
    return metrics


if __name__ == "__main__":
    for metric, value in measure().items():
        print(f"{metric:45} {value:14.3f}")
