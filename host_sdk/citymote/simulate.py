"""Many virtual nodes against one broker: `citymote simulate`, the demo and the mass tests run their nodes here.

A fleet takes plans (one node each: board, settings, world), runs as many at a time as keep the cores busy, and hands
back how each ended. Every node is a MicroPython process with the real firmware; what this adds is order: directories,
the broker's address in every node's settings, progress, an end to everything on Ctrl-C. Nodes may fail without taking
others with them; whether that is an error is the caller's to say.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote, urlsplit

from citymote.errors import UsageError

if TYPE_CHECKING:
    from citymote.testing.bridge import Event
    from citymote.testing.vm import Ending, VirtualNode
    from citymote.testing.wifi import WiFi
    from citymote.testing.world import World


@dataclass(slots=True)
class Plan:
    """One node to be: what it is made of and where it stands.

    `restarts` are story instants (ms) at which its power fails for `off` ms each; it comes back on the same flash.
    """

    name: str
    board: Mapping[str, Any]
    world: World
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    seed: int = 0
    heard: str = "minute"
    restarts: tuple[int, ...] = ()
    off: int = 0
    owned: bool = False
    """It has an owner, who has configured it, on the flash in its directory: the fleet's settings are not for it, and a
    restart that it makes itself, such as that of a trial that failed, is the end of its run."""
    wifi: WiFi | None = None


@dataclass(slots=True)
class Result:
    """How a node's run ended. `report` is the firmware's own count of its run, where it came to that; `error` is None
    when all went well."""

    name: str
    ending: Ending | None
    report: Mapping[str, Any]
    seconds: float
    error: str | None = None


Progress = Callable[[Result, int, int], None]
"""Called with each result, the number of nodes done, and of all."""


def broker_settings(url: str) -> dict[str, Any]:
    """`mqtt[s]://[user[:password]@]host[:port]` as a node's settings; UsageError when it is no such thing."""
    expected = "mqtt[s]://host:port is expected, with user@ or user:password@ before the host where it asks for one"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # its words may hold a part of the password
        raise UsageError("the broker's address cannot be read", expected) from None
    if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname or parts.path.strip("/"):
        raise UsageError("the broker's address cannot be read", expected)
    secure = parts.scheme == "mqtts"
    settings: dict[str, Any] = {
        "broker_host": parts.hostname,
        "broker_port": port or (8883 if secure else 1883),
        "broker_tls": secure,
    }
    if parts.username:
        settings["broker_user"] = unquote(parts.username)
    if parts.password:
        settings["broker_password"] = unquote(parts.password)
    return settings


class Fleet:
    """Runs plans. Use it as a context manager, or call `stop` yourself: it leaves no process behind.

    `settings` go to every node, below a plan's own. `on_event` hears `hal.event` of every node, on the nodes' threads.
    `prepare` is called with each node before its first start: to keep it, to set appointments, to pull its wires.
    """

    def __init__(
        self,
        plans: Iterable[Plan],
        directory: Path | str,
        *,
        broker: str | None = None,
        settings: Mapping[str, Any] | None = None,
        at_once: int | None = None,
        heap: str | None = None,
        garbage: int = 0,
        arch: int = 32,
        speed: float = 0,
        grace: int | None = None,
        wear: bool = False,
        timeout: float | None = None,
        progress: Progress | None = None,
        on_event: Callable[[str, Event], None] | None = None,
        prepare: Callable[[Plan, VirtualNode], None] | None = None,
    ) -> None:
        self.plans = list(plans)
        names = {plan.name for plan in self.plans}
        if len(names) != len(self.plans):
            raise UsageError("two nodes of a fleet have the same name", "each has a directory of that name")
        self.directory = Path(directory)
        self.settings = {**(broker_settings(broker) if broker else {}), **(settings or {})}
        # More than cores: most wait for the broker or the collector's commit. In real time all stand side by side.
        self.at_once = at_once or (len(self.plans) if speed else 2 * (os.cpu_count() or 2) + 2)
        self.timeout = timeout
        self.results: list[Result] = []
        self._options: dict[str, Any] = {
            "heap": heap, "garbage": garbage, "arch": arch, "speed": speed, "grace": grace, "wear": wear
        }  # fmt: skip
        self._progress = progress
        self._on_event = on_event
        self._prepare = prepare
        self._running: dict[str, VirtualNode] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()

    def run(self) -> list[Result]:
        """Run every plan to its end; results in the order of the plans. Ctrl-C stops the nodes and is raised again."""
        from citymote.testing import runtime

        # Once, in front of all: the first node would pay for it, and an error here is nobody's in particular.
        runtime.application(runtime.micropython(self._options["arch"]).architecture)
        done: dict[str, Result] = {}
        pool = ThreadPoolExecutor(max(1, self.at_once), thread_name_prefix="fleet")
        try:
            waiting: set[Future[Result]] = {pool.submit(self._one, plan) for plan in self.plans}
            while waiting:
                # With a timeout, because a wait without one does not hear Ctrl-C on every platform.
                finished, waiting = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
                for future in finished:
                    result = future.result()
                    done[result.name] = result
                    if self._progress:
                        self._progress(result, len(done), len(self.plans))
        except BaseException:
            self.stop()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        self.results = [done[plan.name] for plan in self.plans if plan.name in done]
        return self.results

    def stop(self) -> None:
        """Kill what runs and start nothing more."""
        self._stopping.set()
        with self._lock:
            nodes = list(self._running.values())
        for node in nodes:
            node.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _one(self, plan: Plan) -> Result:
        began = time.perf_counter()
        ending, error = None, None
        try:
            if self._stopping.is_set():
                raise InterruptedError("the fleet was stopped")
            ending, error = self._live(plan)
        except Exception as wrong:  # noqa: BLE001 - one node's failure is that node's result
            error = str(wrong) or type(wrong).__name__
        finally:
            with self._lock:
                self._running.pop(plan.name, None)
        report = dict(ending.report) if ending else {}
        return Result(plan.name, ending, report, time.perf_counter() - began, error)

    def _live(self, plan: Plan) -> tuple[Ending, str | None]:
        # How it ended, and what is wrong with that.
        from citymote.testing.vm import VirtualNode
        from citymote.testing.wiring import wire

        node = VirtualNode(
            self.directory / plan.name,
            board=plan.board,
            settings=plan.settings if plan.owned else {**self.settings, **plan.settings},
            wiring=wire(plan.board, plan.world, seed=plan.seed, heard=plan.heard),
            start_time=plan.world.start_time,
            seed=plan.seed,
            keep_events=False,
            deployed=not plan.owned,
            resets=not plan.owned,
            wifi=plan.wifi,
            **self._options,
        )
        if self._on_event:
            hear = self._on_event
            node.on_event(lambda event: hear(plan.name, event))
        if self._prepare:
            self._prepare(plan, node)
        with node:
            with self._lock:
                self._running[plan.name] = node
            for instant in plan.restarts:
                node.at(instant, node.kill)
                self._start(node, plan)
                ending = node.wait(self.timeout, check=False)
                if not ending.code:
                    return ending, None  # its run was over before the power failed
            self._start(node, plan)
            ending = node.wait(self.timeout, check=False)
            return ending, _wrong(node, ending)

    def _start(self, node: VirtualNode, plan: Plan) -> None:
        if self._stopping.is_set():
            raise InterruptedError("the fleet was stopped")
        node.start(off=plan.off if node.starts else 0)
        if self._stopping.is_set():
            node.kill()


def _wrong(node: VirtualNode, ending: Ending) -> str | None:
    if not ending.code:
        return None
    if ending.report.get("reason") == "pending":
        return f"its run is over, and nobody has acknowledged {ending.report['pending']} of its frames"
    said = f"killed by signal {-ending.code}" if ending.code < 0 else f"ended with {ending.code}"
    return f"{said}: {node.last_words()}".rstrip(": ")
