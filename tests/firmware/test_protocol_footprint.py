"""What a node's heap holds of the protocol while it runs: the frames' encoders, and what seals them.

Measured on the precompiled application in the 32-bit VM, whose objects have a chip's sizes. MicroPython's table of
names grows by doubling; what it grew is taken off, and each new name is counted with its entry instead: a figure must
not depend on where a doubling happens to fall.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support import vm

from citymote.factory import shrink
from citymote.factory.build import APPLICATION_LEVEL, STARTED_BY_NAME, application_sources, compile_tree

KB = 1024
ENTRY = 7  # bytes of a name's entry in the table: pointer, length, hash

BEGIN = """
import array, asyncio, gc, hashlib, micropython, os, struct, sys

before = 0

def heap():
    gc.collect()
    gc.collect()
    return gc.mem_alloc()

def measure(what):
    print(what, heap() - before)
    micropython.qstr_info()
"""

FRAMES = """
before = heap()
measure("nothing")
import citymote_protocol.batch, citymote_protocol.event, citymote_protocol.redate
measure("frames")
print(*sys.modules)
"""

# The way of a start (node.app and node.enrol), with and without a collector's key.
SEALING = """
import citymote_protocol.batch, node.files
kept = set(sys.modules) | {"citymote_protocol.seal", "citymote_protocol.ccm"}

def climb(steps):
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value

def start(collector):
    from node.crypto import NodeCrypto
    from node.identity import open_steps
    crypto = NodeCrypto(os.urandom)
    identity = climb(open_steps("FOLDER", crypto))
    if collector is None:
        return identity.node_id
    from citymote_protocol.seal import Sealer
    sealer = Sealer(crypto, identity.node_id, identity.private_key(), collector, identity.boots, crypto.random(8))
    climb(sealer.prepare())
    return sealer

def forget():
    for name in list(sys.modules):
        if name not in kept:
            sys.modules.pop(name)
            parent, last = name.rsplit(".", 1)
            try:
                delattr(sys.modules[parent], last)
            except (AttributeError, KeyError):
                pass

before = heap()
measure("nothing")
result = start(None)
forget()
measure("bare")
result = start(bytes.fromhex("036b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"))
forget()
result(bytes(150))
measure("sealing")
"""

# A key that is spent long after the start: what renewal needs was let go and has to come back.
RENEWAL = """
from citymote_protocol import seal
held = []

class Watched(seal.Sealer):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        held.append(self)

seal.Sealer, original = Watched, seal.Sealer
result = start(bytes.fromhex("036b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"))
seal.Sealer = original
forget()
sealer = held[0]
old = sealer.boot_id
sealer._next = seal.MAX_PARTIAL_IV
last = result(bytes(150))
first = result(bytes(150))
print("renewed", last[13:16].hex(), old in last, first[13], sealer.boot_id != old, sealer.boot_id in first)
"""


def _measured(out: str) -> dict[str, int]:
    """Bytes of each figure beyond "nothing"."""
    line = r"^(\w+) (-?\d+)\nqstr pool: n_pool=\d+, n_qstr=(\d+), n_str_data_bytes=(\d+), n_total_bytes=(\d+)"
    found = {what: [int(number) for number in numbers] for what, *numbers in re.findall(line, out, re.MULTILINE)}
    _, names, letters, total = found["nothing"]
    return {
        what: taken - (all_ - total - (data - letters)) + ENTRY * (count - names)
        for what, (taken, count, data, all_) in found.items()
    }


def shrunk(folder: Path) -> Path:
    """The application with its constants gone and short names, but its modules still apart: what each keeps shows."""
    names = {name: path for name, path in application_sources() if name not in STARTED_BY_NAME}
    sources: dict[str, Path] = {}
    for name, text in shrink.shrink({name: path.read_bytes() for name, path in names.items()}).items():
        sources[name] = folder / "source" / name
        sources[name].parent.mkdir(parents=True, exist_ok=True)
        sources[name].write_bytes(text)
    compile_tree(sources, folder / "tree", arch=vm.architecture(32), level=APPLICATION_LEVEL)
    return folder / "tree"


@pytest.fixture
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    run_vm: Callable[..., Any] = request.getfixturevalue("run_vm")
    request.getfixturevalue("micropython32")
    tree = shrunk(tmp_path_factory.mktemp("shrunk"))
    # In the tree itself, so that modules' paths, which are names too, are as short as on a board.
    return lambda code: run_vm(BEGIN + code, heap="200k", path=["."], cwd=tree).checked().stdout


def test_a_node_that_encodes_keeps_13_kb_of_the_protocol(run: Callable[[str], str]) -> None:
    out = run(FRAMES)
    assert _measured(out)["frames"] <= 13 * KB, out


def test_a_node_that_encodes_loads_no_reader(run: Callable[[str], str]) -> None:
    loaded = {name.partition(".")[2] for name in run(FRAMES).splitlines()[-1].split() if "citymote_protocol." in name}
    assert "batch" in loaded
    assert not loaded & {"cbor", "body", "frame", "descriptor", "plain", "limits", "quality", "rice"}, loaded
    assert not [name for name in loaded if name.startswith("read_")], loaded


def test_sealing_keeps_5_kb_after_the_start(run: Callable[[str], str], tmp_path: Path) -> None:
    code = SEALING.replace("FOLDER", str(tmp_path))
    run(code)  # the first boot draws the key pair, later ones do not
    out = run(code)
    measured = _measured(out)
    assert measured["sealing"] - measured["bare"] <= 5 * KB, out


def test_a_spent_key_is_renewed_after_curve_and_derivation_were_let_go(
    run_vm: Callable[..., Any], app_tree: Path, tmp_path: Path
) -> None:
    code = SEALING[: SEALING.index("before = ")].replace("FOLDER", str(tmp_path))
    out = run_vm(BEGIN + code + RENEWAL, heap="200k", path=[app_tree]).checked().stdout
    assert out == "renewed 7fffff True 0 True True\n"
