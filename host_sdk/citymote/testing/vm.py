"""One virtual node: the real firmware in a MicroPython process of its own, in a directory that is its flash.

    node = VirtualNode(directory, board=boards.load("virtual"), settings={...}, wiring=Wiring({"i2c0": [SHT4x(...)]}))
    with node:
        node.run_until(hours=3)             # starts it; virtual time stands still when this returns
        node.kill()                         # as a power cut does
        node.start(off=60_000)              # the same flash, a minute later
        ending = node.wait()

A node's story begins at 0 ms, at `start_time`, and goes on over all its starts; every time here is of that story. Until
the firmware's main coroutine ends, somebody kills it or a test holds it (`run_until`), the node runs as fast as it can,
or at `speed` virtual milliseconds per real one. The bridge (`citymote.testing.bridge`) plays the chips.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import struct
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from citymote.errors import CitymoteError

from . import runtime, slots
from .bridge import Bridge, Event, LogLine, Wiring
from .ledger import Ledger
from .wifi import WiFi

if TYPE_CHECKING:
    from .air import Air

BLOCK = 4096
RESET_CODE = 85
SLEEP_CODE = 86
SLOT = "a"
EPOCH_2000 = 946684800
GARBAGE = 60
"""KB of garbage with which a run takes about half the time."""
DEFAULT_FLASH = {"config": 16, "store": 256}
"""Blocks of 4096 bytes that a board without a say of its own gives to each littlefs."""


class NodeFailed(CitymoteError):
    """A virtual node ended otherwise than it should; the text ends with its last words."""

    whose = "machine"


@dataclass(frozen=True)
class Ending:
    """How one start of the node ended: exit code (negative: killed by that signal), what it said, and when.

    `report` is what the application passed to `hal.exit`: counters of its run.
    """

    code: int
    reason: str | None
    now: int
    report: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class BlockWear:
    """What one block of flash has been through."""

    erased: int
    programmed: int


class VirtualNode:
    """See the module. Public methods may be called from any thread, and from an `at` action or an event handler."""

    def __init__(
        self,
        directory: Path | str,
        *,
        board: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
        wiring: Wiring | None = None,
        start_time: int | None = None,
        network_time: bool = True,
        seed: int = 0,
        heap: str | None = None,
        arch: int = 32,
        speed: float = 0,
        grace: int | None = None,
        wear: bool = True,
        memory: bool = False,
        path: Sequence[Path | str] | None = None,
        entry: Sequence[str] = ("-m", "node.hal.unix_main"),
        keep_events: bool = True,
        air: Air | None = None,
        name: str | None = None,
        chip: str | None = None,
        drift: int = 0,
        slotted: bool = False,
        wifi: WiFi | None = None,
        deployed: bool = True,
        resets: bool = True,
        garbage: int = 0,
    ) -> None:
        """`start_time` is s2000 of story time 0 (default: 2026-01-01). `network_time`: a time server answers.

        `heap` is what the firmware has on a 32-bit board (left out: what the board says, else 100k); the VM gets
        `runtime.STAND_IN` on top, see there. `path` replaces the precompiled application in the VM's import path,
        `entry` what it runs. `grace` is how long, in real ms, virtual time holds still for an expected reply. `wear`:
        count it. `memory`: let the node report its heap, which makes its status frames differ from run to run.
        `keep_events` False leaves events to handlers only. `air`: where its radio is, if it has one; `name`: how it is
        called there, else as its directory. `chip`: whose memory and radios it has (`ledger`), left out the board's.
        `drift`: by how many millionths the clock that runs through its deep sleep is fast. `slotted`: it starts as a
        board does, from the boot and a slot (citymote.testing.slots). `wifi`: the networks around it (left out: one
        that is always there). `deployed`: it works by its settings without an owner, as no board does; False: it boots
        as a board, and nothing works but the claim. `resets` False: a reset ends its run, and whoever waits for that
        says when it starts again. `garbage`: for a run in half the time, so many KB on top of `heap` in which the
        application lets garbage lie that it would else have collected; leave it out where the heap is what matters.
        """
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.board = dict(board or {"board": "virtual", "sensors": []})
        self.wiring = wiring or Wiring()
        self.start_time = 820454400 if start_time is None else start_time
        self.network_time = network_time
        self.seed = seed
        self.heap = heap or f"{self.board.get('heap', 100)}k"
        self.garbage = garbage
        self.speed = speed
        self.grace = grace
        self.wear_counted = wear
        self.memory_told = memory
        self.events: list[Event] = []
        self.logs: list[LogLine] = []
        self.starts = 0
        self.endings: list[Ending] = []
        self._machine = runtime.micropython(arch)
        self._arch = arch
        self._path = None if path is None else [str(Path(p).resolve()) for p in path]
        self._entry = list(slots.ENTRY if slotted else entry)
        self.slotted = slotted
        self._keep_events = keep_events
        self.air = air
        self.name = name or self.directory.name
        self.chip = chip or self.board.get("chip")
        self.ledger = Ledger()
        self.drift = drift
        self.wifi = wifi
        self.deployed = deployed
        self.resets = resets
        self.naps = 0
        self.asleep = 0
        self._kept = b""
        self._ahead = 0  # ms that the clock has gained asleep
        self._killed = False
        self._handlers: list[tuple[str | None, Callable[[Event], None]]] = []
        self._pending: list[tuple[int, Callable[[], None]]] = []
        self._lock = threading.RLock()
        self._bridge: Bridge | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._now = 0
        self._rtc: int | None = None
        self._cut: dict[str, Any] | None = None
        self._released = threading.Event()
        self._held = False
        self._prepare(settings)
        if slotted:
            slots.prepare(self._machine, slots.application(self._machine, self.board), self.directory)

    def _prepare(self, settings: Mapping[str, Any] | None) -> None:
        folder = self.directory
        (folder / "board.json").write_text(json.dumps(self.board))
        if settings is not None:
            # a broker's password may be in it
            path = folder / "settings.json"
            path.touch(mode=0o600)
            path.write_text(json.dumps(settings))
        for name, blocks in {**DEFAULT_FLASH, **self.board.get("flash", {})}.items():
            image = folder / f"{name}.img"
            if not image.exists():
                with image.open("wb") as file:
                    file.truncate(blocks * BLOCK)
                with (folder / f"{name}.img.wear").open("wb") as file:
                    file.truncate(blocks * 8)

    # -- starting and ending ------------------------------------------------------------------------------------------

    def start(self, *, off: int = 0) -> None:
        """Switch the power on, `off` ms after it went off. The flash is as it was left."""
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                raise NodeFailed(f"{self.directory.name} is running already")
            self._now += off
            self._rtc = None
            self._kept = b""
            self._killed = False
            self._held = False
            self._released.set()
            for part in self.wiring.parts():
                part.power_up(self._now)
            bridge, process, pipes = self._spawn("power")
            self._thread = threading.Thread(
                target=self._supervise, args=(bridge, process, pipes), name=f"node {self.directory.name}", daemon=True
            )
            self._thread.start()

    def _spawn(self, cause: str) -> tuple[Bridge, subprocess.Popen[bytes], tuple[int, int]]:
        self.starts += 1
        hello: dict[str, Any] = {
            # Another seed for every start: a node that came back must not draw the same nonces again.
            "seed": hashlib.sha256(f"citymote {self.seed} {self._starts_of_flash()}".encode()).hexdigest(),
            "cause": cause,
            "speed": self.speed,
            "wear": self.wear_counted,
            "memory": self.memory_told,
            "story": self._now + self._ahead,
            "deployed": self.deployed,
        }
        if self.garbage:
            hello["threshold"] = self.garbage * 1024
        if self.grace is not None:
            hello["grace"] = self.grace
        if self.air is not None:
            hello["air"] = self.air.hello(self.name)
        if self._rtc is not None:
            hello["rtc"] = self._rtc + self._now
        if self._cut is not None:
            hello["cut"], self._cut = self._cut, None
        wall = self.start_time * 1000 if self.network_time else None
        self.ledger = Ledger(self.chip, runtime.size(self.heap))
        bridge = Bridge(
            self.wiring, hello, start=self._now, wall=wall, on_event=self._heard, on_log=self.logs.append,
            ledger=self.ledger, wifi=self.wifi,
        )  # fmt: skip
        bridge.kept = self._kept
        for now, action in self._pending:
            bridge.at(now, action)
        self._pending.clear()
        requests, their_requests = os.pipe()
        their_replies, replies = os.pipe()
        path = self._path if self._path is not None else [slots.VFS if self.slotted else self._slot()]
        wanted = str(runtime.size(self.heap) + self.garbage * 1024)
        heap = self._machine.heap(wanted, self._arch, radio=self.air is not None)
        command = [
            str(self._machine.path), "-X", f"heapsize={heap}", *self._entry,
            f"--bridge={their_replies},{their_requests}",
        ]  # fmt: skip
        cut = hello.get("cut")
        if cut is not None and cut["flash"] in slots.BLOCKS:
            command.append(f"--cut={cut['flash']}:{cut['at']}:{int(cut['torn'])}")
        with (self.directory / "node.log").open("ab") as output:
            process = subprocess.Popen(
                command,
                cwd=self.directory,
                env={"MICROPYPATH": ":".join([*path, ".frozen"]), "PATH": "/usr/bin:/bin"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=(their_requests, their_replies),
                start_new_session=True,  # an interrupt of the terminal is the host's to handle
            )
        os.close(their_requests)
        os.close(their_replies)
        self._bridge, self._process = bridge, process
        return bridge, process, (requests, replies)

    def _slot(self) -> str:
        """The application under a name as short as on a board: the node keeps each module's path on its heap."""
        link, tree = self.directory / SLOT, runtime.application(self._machine.architecture)
        if not link.is_symlink() or link.readlink() != tree:
            link.unlink(missing_ok=True)
            link.symlink_to(tree)
        return SLOT

    def _starts_of_flash(self) -> int:
        # Kept beside the flash, so that a later program that takes over the directory goes on counting.
        counter = self.directory / "starts"
        count = int(counter.read_text()) + 1 if counter.exists() else 1
        counter.write_text(str(count))
        return count

    def _supervise(self, bridge: Bridge, process: subprocess.Popen[bytes], pipes: tuple[int, int]) -> None:
        while True:
            bridge.run(*pipes, process.kill)
            code = process.wait()
            with self._lock:
                self._now = bridge.now
                self._rtc = bridge.rtc
                self._kept = bridge.kept
                asleep = code == SLEEP_CODE and bridge.exit_reason == "sleep"
            if asleep:
                if not self._doze(bridge, int(bridge.report["ms"])):
                    return
                with self._lock:
                    if self._killed:
                        self.endings.append(Ending(-9, "power cut", self._now))
                        return
                    bridge, process, pipes = self._spawn("sleep")
                continue
            with self._lock:
                self.endings.append(Ending(code, bridge.exit_reason, bridge.now, bridge.report))
                # the boot resets before there is a bridge to say so
                if not self.resets or code != RESET_CODE or (bridge.exit_reason != "reset" and not self.slotted):
                    return
                if self._killed:
                    return  # the power went while it was resetting
                self._pending.extend(bridge.appointments())
                bridge, process, pipes = self._spawn("reset")

    def _doze(self, bridge: Bridge, ms: int) -> bool:
        # Asleep: appointments are kept meanwhile. False when the power was cut.
        self.naps += 1
        until = bridge.now + ms
        begin = bridge.now
        while not self._killed:
            action = bridge.due(until)
            if action is None:
                break
            action()
        if not self._killed:
            bridge.now = until
            self._pending.extend(bridge.appointments())
            self._ahead += ms * self.drift // 1_000_000
        self._now = bridge.now
        self.asleep += bridge.now - begin
        if self._killed:
            self.endings.append(Ending(-9, "power cut", bridge.now))
        return not self._killed

    def kill(self) -> None:
        """Cut the power: SIGKILL, at whatever the node is doing. Returns when it is dead; harmless when it was."""
        with self._lock:  # not while a start is under way: its process would live on
            self._killed = True
            process = self._process
            if process is not None and process.poll() is None:
                process.kill()
        self._held = False
        self._released.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def restart(self, *, off: int = 0) -> None:
        """Power off and on again."""
        self.kill()
        self.start(off=off)

    def wait(self, timeout: float | None = None, *, check: bool = True) -> Ending:
        """Wait until the node has ended by itself or was killed; `check`: NodeFailed unless its exit code is 0."""
        thread = self._thread
        if thread is None:
            raise NodeFailed(f"{self.directory.name} was never started")
        self.release()
        thread.join(timeout)
        if thread.is_alive():
            raise TimeoutError(f"{self.directory.name} still runs after {timeout:g} s, at {self.now} ms")
        self._raise_host_error()
        ending = self.endings[-1]
        if check and ending.code:
            raise NodeFailed(f"{self.directory.name} ended with {ending.code}", self.last_words())
        return ending

    def _raise_host_error(self) -> None:
        # An emulator's exception ended the node; it is a fault of the host's side and must not pass as the node's.
        bridge = self._bridge
        if bridge is not None and bridge.error is not None:
            raise bridge.error

    @property
    def running(self) -> bool:
        """Whether the node has power and its firmware runs, or is held."""
        return self._thread is not None and self._thread.is_alive()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    # -- time ---------------------------------------------------------------------------------------------------------

    @property
    def now(self) -> int:
        """The node's time, in ms of its story, as of the last thing that it asked of the host."""
        return self._bridge.now if self._bridge is not None and self.running else self._now

    @property
    def time(self) -> int:
        """The true time of day, s2000."""
        return self.start_time + self.now // 1000

    def at(self, now: int, action: Callable[[], None]) -> None:
        """Run `action` on the node's thread when its time reaches `now`, before the node does anything at that instant.

        The node stands still meanwhile; `kill` and `at` may be called from there. See `Bridge.at` for its exactness.
        """
        with self._lock:
            if self._bridge is not None and self.running:
                self._bridge.at(now, action)
            else:
                self._pending.append((now, action))

    def run_until(self, now: int = 0, *, hours: float = 0, timeout: float = 60) -> None:
        """Let the node run to an instant of its story and hold it there; starts it when it has no power.

        `timeout` is in real seconds. NodeFailed when the node ends before.
        """
        now += int(hours * 3_600_000)
        reached = threading.Event()

        def hold() -> None:
            self._released.clear()
            self._held = True
            reached.set()
            self._released.wait()

        self.at(now, hold)
        if self.running:
            self.release()
        else:
            self.start()
        for _ in range(int(timeout * 100)):
            if reached.wait(0.01):
                return
            if not self.running:
                self._raise_host_error()
                raise NodeFailed(f"{self.directory.name} ended at {self.now} ms, before {now} ms", self.last_words())
        raise TimeoutError(f"{self.directory.name} is at {self.now} ms after {timeout:g} s, {now} ms was wanted")

    def release(self) -> None:
        """Let a held node run on."""
        self._held = False
        self._released.set()

    # -- what it says -------------------------------------------------------------------------------------------------

    def on_event(self, handler: Callable[[Event], None], name: str | None = None) -> None:
        """Call `handler` for each event of that name (None: all), on the node's thread, while the node stands still."""
        self._handlers.append((name, handler))

    def _heard(self, event: Event) -> None:
        if self._keep_events:
            self.events.append(event)
        for name, handler in self._handlers:
            if name is None or name == event.name:
                handler(event)

    def event_data(self, name: str) -> list[Any]:
        """The data of every kept event of that name, in order."""
        return [event.data for event in self.events if event.name == name]

    def output(self) -> str:
        """All that the node has printed, over all starts; tracebacks are here."""
        log = self.directory / "node.log"
        return log.read_text(errors="replace") if log.exists() else ""

    def last_words(self) -> str:
        """The end of its log and output, for error texts."""
        said = [f"[{line.now} ms] {line.text}" for line in self.logs[-5:]]
        return "\n".join([*said, self.output()[-2000:]]).strip()

    # -- flash --------------------------------------------------------------------------------------------------------

    def cut_power(self, flash: str, at: int, *, torn: bool = False) -> None:
        """Let the next start lose power at the `at`-th erasure or program of `flash`, such as "slot_b".

        Torn: half of that operation is done. The process is killed; `wait(check=False)` returns, start it again.
        """
        self._cut = {"flash": flash, "at": at, "torn": torn}

    def wear(self, flash: str) -> list[BlockWear]:
        """What each block of that flash has been through since the directory was made."""
        data = (self.directory / f"{flash}.img.wear").read_bytes()
        return [BlockWear(*pair) for pair in struct.iter_unpack("<II", data)]

    def forget(self) -> None:
        """Make its flash blank, as it comes from the factory."""
        for image in self.directory.glob("*.img*"):
            with contextlib.suppress(FileNotFoundError):
                image.unlink()
        self._prepare(None)
