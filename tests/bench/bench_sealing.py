"""What sealing costs: bytes on the wire, heap and time on the 32-bit node VM, time on the host.

`measure()` returns {metric: number}. The times are this machine's; those of a chip are estimated elsewhere from counted
instructions. The heap figures are a chip's: same object sizes, and the smallest heap an operation survives in.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from tests.support import vm

from citymote.crypto import HostCrypto
from citymote.keys import KeyFile, Opener, generate_collector_key
from citymote_protocol import p256, sealing

SCRIPT = Path(__file__).with_name("sealing_vm.py")
FRAME = 150


def _run(case: str, heap: int) -> vm.Result:
    return vm.run(SCRIPT, case, heap=str(heap), timeout=60)


def smallest_heap(case: str, low: int = 8_192, high: int = 131_072, grain: int = 256) -> int:
    """The least heap, in bytes, that a VM with the sealing code loaded needs to run one case."""
    while high - low > grain:
        middle = (low + high) // 2
        if _run(case, middle).returncode == 0:
            high = middle
        else:
            low = middle
    return high


def heap_needed(case: str) -> int:
    """Heap that an operation needs beyond what its code takes."""
    return smallest_heap(case) - smallest_heap("nothing")


def node() -> dict[str, float]:
    lines = _run("times", 100 * 1024).checked().stdout.split("\n")
    said = {name: float(value) for name, value in (line.split() for line in lines if line)}
    metrics = {f"sealing.overhead_bytes.{form}": said[f"overhead_{form}"] for form in ("minimal", "standard")}
    for form in ("minimal", "standard"):
        metrics[f"sealing.node_us.seal150.{form}"] = said[f"seal_us_{form}"]
        metrics[f"sealing.node_heap_bytes.seal150.{form}"] = said[f"seal_heap_{form}"]
    metrics["sealing.node_heap_bytes.resident"] = said["resident"]
    base = smallest_heap("nothing")
    for name in ("agree", "key_pair", "verify"):
        metrics[f"sealing.node_ms.{name}"] = said[f"{name}_us"] / 1000
        metrics[f"sealing.node_longest_step_ms.{name}"] = said[f"{name}_longest_step_us"] / 1000
        metrics[f"sealing.node_steps.{name}"] = said[f"{name}_steps"]
        metrics[f"sealing.node_heap_bytes.{name}"] = float(smallest_heap(name) - base)
    return metrics


def host(frames: int = 5000) -> dict[str, float]:
    crypto: Any = HostCrypto()
    keys = KeyFile(collectors=[generate_collector_key()])
    private, public = p256.run(crypto.key_pair_steps())
    name = keys.add_node(public)
    sealer: Any = sealing.Sealer(crypto, name, private, keys.collectors[0].public, 1, os.urandom(8))
    messages = [sealer.seal(bytes(FRAME)) for _ in range(frames)]
    opener = Opener(keys)
    opener.open(messages[0])

    def clock(what: list[bytes]) -> float:
        start = time.perf_counter()
        for message in what:
            opener.open(message)
        return (time.perf_counter() - start) / len(what) * 1e6

    known = min(clock(messages) for _ in range(3))
    boots: list[bytes] = []
    for _ in range(500):
        sealer.renew(os.urandom(8))
        boots.append(sealer.seal(bytes(FRAME)))
    return {"sealing.host_us.open150": known, "sealing.host_us.open150_first_of_a_boot": clock(boots)}


def measure() -> dict[str, float]:
    return {**node(), **host()}


if __name__ == "__main__":
    for metric, value in measure().items():
        print(f"{metric:55} {value:12.3f}")
