"""A board on a serial port that is a pseudo-terminal: real MicroPython, raw REPL, flash that outlives the power.

    board = PtyBoard(directory, board=boards.load("virtual"), wiring=wire(...))
    with board:
        ...                      # board.port is what --port names
        board.unplug()           # the cable is pulled: whoever has the port open loses it, the board runs on
        board.plug()
        board.cut_power()        # the board stops where it is; start() gives it power again

mpremote and `citymote flash` meet on it what they meet on a board; chips are emulated over the same bridge as a
`VirtualNode`'s. What it has of a terminal is in `firmware/node/hal/unix_repl.py`. With `partitions` the board has the
module `esp32` and those partitions, blank at first; without, its application lies in its root folder.
"""

from __future__ import annotations

import contextlib
import os
import pty
import select
import signal
import subprocess
import threading
import tty
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

from citymote import resources

from . import runtime
from .bridge import Bridge, Event, LogLine, Wiring

SOFT, HARD = 86, 85
BLOCK = 4096
_RAW, _FRIENDLY = b"raw REPL; CTRL-B", b'Type "help()"'


class PtyBoard:
    """See the module."""

    def __init__(
        self,
        directory: Path | str,
        *,
        wiring: Wiring | None = None,
        partitions: Iterable[tuple[str, int, int, int, int]] = (),
        heap: str = "220k",
        arch: int = 32,
        start_time: int = 820454400,
    ) -> None:
        """`partitions`: (label, type, subtype, offset, size). `start_time`: the time of day when it gets power, s2000.

        `heap` holds the prompt's own code, which on a board is not in Python's heap, beside what is run there.
        """
        self.directory = Path(directory).resolve()
        self.root = self.directory / "flash"
        self.port = self.directory / "port"
        self.wiring = wiring or Wiring()
        self.start_time = start_time
        self.starts = 0
        self.logs: list[LogLine] = []
        self.events: list[Event] = []
        self.typed = 0
        """Bytes that came over the port, to pull the cable at the n-th."""
        self._machine = runtime.micropython(arch)
        self._heap = self._machine.heap(heap, arch)
        self._process: subprocess.Popen[bytes] | None = None
        self._bridge: threading.Thread | None = None
        self._relay: threading.Thread | None = None
        self._stopping = threading.Event()
        self._lock = threading.RLock()
        self._outside = self._slave = -1
        self._inside = -1
        self._unplug_at: int | None = None
        self._mode = "friendly"
        self._now = 0
        self._wake, self._wakes = os.pipe()
        self.root.mkdir(parents=True, exist_ok=True)
        self.partition(partitions)

    @property
    def architecture(self) -> str:
        """Which application runs on it, as mpy-cross spells it."""
        return self._machine.architecture

    def partition(self, table: Iterable[tuple[str, int, int, int, int]]) -> None:
        """Divide its flash; images that exist are kept, new ones are blank. Two littlefs are always there."""
        rows = list(table)
        for label, size in {"config": 16 * BLOCK, "store": 64 * BLOCK, **{row[0]: row[4] for row in rows}}.items():
            image = self.root / f"{label}.img"
            if not image.exists():
                image.write_bytes(b"\xff" * size)
        if rows:
            (self.root / "partitions").write_text("".join(f"{' '.join(map(str, row))}\n" for row in rows))
        else:
            (self.root / "partitions").unlink(missing_ok=True)

    # -- power and cable ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Give it power, and plug it in."""
        self._stopping.clear()
        self.plug()
        self._mode = "friendly"
        self._relay = threading.Thread(target=self._run, name=f"board {self.directory.name}", daemon=True)
        self._relay.start()

    def stop(self) -> None:
        """Take the power and the cable away."""
        self._stopping.set()
        self._nudge()
        if self._relay is not None:
            self._relay.join(10)
        self.unplug()

    def cut_power(self) -> None:
        """The power fails, at whatever the board is doing."""
        self._stopping.set()
        process = self._process
        if process is not None:
            process.kill()
        self._nudge()
        if self._relay is not None:
            self._relay.join(10)

    def plug(self) -> None:
        """Plug the cable in: the port is there, under the same name."""
        with self._lock:
            if self._outside >= 0:
                return
            self._outside, self._slave = pty.openpty()
            tty.setraw(self._slave)
            self.port.unlink(missing_ok=True)
            self.port.symlink_to(os.ttyname(self._slave))
        self._nudge()

    def unplug(self) -> None:
        """Pull the cable: the port goes away for whoever has it open."""
        with self._lock:
            self.port.unlink(missing_ok=True)
            for fd in (self._outside, self._slave):
                if fd >= 0:
                    os.close(fd)
            self._outside = self._slave = -1
        self._nudge()

    def unplug_after(self, count: int) -> None:
        """Pull the cable when so many bytes more have come over it."""
        self._unplug_at = self.typed + count

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- inside -------------------------------------------------------------------------------------------------------

    def _nudge(self) -> None:
        os.write(self._wakes, b".")

    def _spawn(self) -> None:
        self.starts += 1
        # nothing waits for a chip while a workshop looks; a node that runs by itself keeps real time
        hello = {"cause": "power", "speed": 0 if self._mode == "raw" else 1, "memory": True, "wear": False}
        wall = self.start_time * 1000
        bridge = Bridge(
            self.wiring, hello, start=self._now, wall=wall, on_event=self.events.append, on_log=self.logs.append
        )
        for part in self.wiring.parts():
            part.power_up(self._now)
        requests, their_requests = os.pipe()
        their_replies, replies = os.pipe()
        inside, slave = pty.openpty()
        tty.setraw(slave)
        prompt = resources.firmware() / "node" / "hal" / "unix_repl.py"
        command = [
            str(self._machine.path), "-X", f"heapsize={self._heap}", str(prompt), str(self.root), self._mode,
            f"--bridge={their_replies},{their_requests}",
        ]  # fmt: skip
        process = subprocess.Popen(
            command,
            cwd=self.root,
            env={"MICROPYPATH": ".frozen", "PATH": "/usr/bin:/bin"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            pass_fds=(their_requests, their_replies),
            start_new_session=True,
            preexec_fn=_controlling,  # noqa: PLW1509, Ctrl-C reaches only who has a terminal of its own
        )
        for fd in (slave, their_requests, their_replies):
            os.close(fd)
        self._process, self._inside = process, inside

        def serve() -> None:
            bridge.run(requests, replies, process.kill)
            self._now = max(self._now, bridge.now)

        self._bridge = threading.Thread(target=serve, daemon=True)
        self._bridge.start()

    def boots(self) -> bool:
        """Whether there is a MicroPython in its flash that starts; a board of another kind may say no."""
        return True

    def hear(self, data: bytes) -> bytes:
        """What comes over the port on its way to MicroPython; a board of another kind may keep it for itself."""
        return data

    def say(self, data: bytes) -> None:
        """Send something out of the port, as long as somebody has the cable in."""
        with self._lock, contextlib.suppress(OSError):
            if self._outside >= 0:
                os.write(self._outside, data)

    def reset(self) -> None:
        """From a thread of its own kind: what the reset button does."""
        if self._process is not None:
            self._process.kill()
            self._end()
        self._mode = "friendly"
        if self.boots():
            self._spawn()

    def _run(self) -> None:
        self.reset()
        tail = b""
        while not self._stopping.is_set():
            watched = [fd for fd in (self._inside, self._wake, self._outside) if fd >= 0]
            ready, _, _ = select.select(watched, [], [])
            if self._wake in ready:
                os.read(self._wake, 1)
            elif self._inside in ready:
                data = self._from_board()
                if data is None:
                    self._again()
                    continue
                tail = (tail + data)[-200:]
                self._mode = "raw" if tail.rfind(_RAW) > tail.rfind(_FRIENDLY) else "friendly"
            elif self._outside in ready:
                self._to_board()
        self._end()

    def _from_board(self) -> bytes | None:
        """What the board says goes out, as long as somebody has the cable in; None: it has ended."""
        try:
            data = os.read(self._inside, 4096)
        except OSError:
            data = b""
        if not data:
            return None
        self.say(data)
        return data

    def _to_board(self) -> None:
        with self._lock:
            try:
                data = os.read(self._outside, 4096) if self._outside >= 0 else b""
            except OSError:
                data = b""
        if self._unplug_at is not None and self.typed + len(data) >= self._unplug_at:
            data = data[: self._unplug_at - self.typed]
            self._unplug_at = None
            self.unplug()
        self.typed += len(data)
        data = self.hear(data)
        with contextlib.suppress(OSError):
            if data and self._inside >= 0:
                os.write(self._inside, data)

    def _again(self) -> None:
        if self._end() == SOFT:
            self._spawn()
        else:
            self.reset()

    def _end(self) -> int:
        process = self._process
        if process is None:
            return 0
        if self._stopping.is_set() and process.poll() is None:
            process.kill()
        code = process.wait()
        os.close(self._inside)
        self._inside = -1
        if self._bridge is not None:
            self._bridge.join(5)
        self._process = None
        return code

    # -- what is on it ------------------------------------------------------------------------------------------------

    def files(self) -> Mapping[str, bytes]:
        """The files of its root filesystem."""
        found: dict[str, Any] = {}
        for path in sorted(self.root.rglob("*")):
            name = path.relative_to(self.root).as_posix()
            if path.is_file() and not name.endswith(".img") and name != "partitions":
                found[name] = path.read_bytes()
        return found


def _controlling() -> None:
    """In the child: its standard input is the terminal that Ctrl-C comes from."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
