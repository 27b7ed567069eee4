"""A node in this process, for programs that talk to nodes: the resources of SPEC 16 behind the real session layer.

    uplink = FakeUplink()
    node = FakeNode(uplink)                          # a label of its own, no owner
    async with citymote.Node(node.way(), node.label.public, store, claim=claim_with(node.label.secret)) as session:
        await session.configure({...})

EDHOC, OSCORE, CoAP and its message layers are those of every node (`citymote_protocol`); behind them is no firmware but
as much of chapter 16 as a host can see: roles, claim, pending configuration, trial, restart, service mode, transfer,
recovery. It measures nothing and takes no updates: that is what `vm.VirtualNode` is for, which runs the firmware
itself. Power may be cut at any time (`power_cut`): flash stays, memory is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Coroutine, Generator
from typing import Any

from citymote.crypto import HostCrypto
from citymote.label.code import Label
from citymote.session import Way
from citymote.testing.fake_uplink import FakeUplink
from citymote.testing.fake_wire import Conditions, FakeTransport
from citymote.transports.base import Transport, Unreachable
from citymote_protocol import ccs as _ccs
from citymote_protocol import coap_server as _server
from citymote_protocol import handshake as _handshake
from citymote_protocol import limiter as _limiter
from citymote_protocol import p256 as _p256
from citymote_protocol import sessions as _sessions
from citymote_protocol.coap_gatt import Gatt
from citymote_protocol.coap_udp import Udp

from .fake_resources import Flash, Resources

ccs: Any = _ccs
p256: Any = _p256
coap_server: Any = _server
handshake: Any = _handshake
limiter: Any = _limiter
sessions: Any = _sessions

STEP = 0.02
"""Seconds of arithmetic between two yields."""
RESTART = 2.0
TRIALS = 3
WINDOW = 900.0


class SlowCrypto(HostCrypto):
    """OpenSSL's results at a small chip's pace: so many steps of 20 ms for each multiplication."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self._steps = steps

    def ecdh_steps(self, private: bytes, public: bytes) -> Generator[None, None, bytes]:
        for _ in range(self._steps):
            yield
        return (yield from super().ecdh_steps(private, public))


class FakeNode:
    """See the module. `arithmetic` is seconds that a session's three multiplications take together; `conditions` are
    those of its wires. `state` and `detail` are what it says in the air, None while it is silent."""

    def __init__(
        self,
        uplink: FakeUplink | None = None,
        *,
        arithmetic: float = 0.0,
        conditions: Conditions | None = None,
        label: Label | None = None,
        private: bytes | None = None,
    ) -> None:
        self.crypto = SlowCrypto(round(arithmetic / 3 / STEP))
        if private is None or label is None:
            private, public = p256.run(HostCrypto().key_pair_steps())
            label = Label(public, os.urandom(16))
        self.private = private
        self.label = label
        self.uplink = uplink if uplink is not None else FakeUplink()
        self.conditions = conditions if conditions is not None else Conditions()
        self.flash = Flash()
        self.state: int | None = None
        self.detail = 0
        self.online = False
        """Its uplink works with what is in force, so that it can be asked over it."""
        self.powered = False
        self.button = False
        self.blinking = 0
        self.boots = 0
        self.busy: FakeTransport | None = None
        """Who is connected over BLE: one at a time."""
        self.wires: list[FakeTransport] = []
        self.changed = asyncio.Event()
        self.booted = 0.0
        self._tasks: list[asyncio.Task[None]] = []
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def id(self) -> str:
        """12 hexadecimal digits."""
        return self.label.node

    # -- power --------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Power on: it does what table 16.7 says."""
        self.boots += 1
        self.powered = True
        self.booted = asyncio.get_running_loop().time()
        self.limiter: Any = limiter.Limiter()
        self.sessions: Any = sessions.Sessions(self.limiter)
        self.server: Any = coap_server.Server(self.crypto, self.sessions)
        self.sessions.ended = self._over
        self.faults: list[BaseException] = []
        self.server.report = self.faults.append
        self.shakes: Any = handshake.Handshakes(
            self.crypto, self.server, self.sessions, lambda: self.private, self.label.public, bytes.fromhex(self.id),
            self._nobody, self._who,
        )  # fmt: skip
        self.server.add(handshake.PATH, coap_server.OPEN, post=self.shakes.post)
        self.peers: dict[bytes, bytes] = {}
        self.resources = Resources(self)
        self._tasks = [asyncio.create_task(self._serve())]
        self._begin()

    def power_cut(self) -> None:
        """Off, now: every connection ends, and what was in memory is gone."""
        self.powered = self.online = False
        self.say(None)
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()
        self._tasks = []
        for wire in list(self.wires):
            wire.lose()

    def restart(self, delay: float = 0.5) -> None:
        """Answer what has been asked, then start anew."""

        async def later() -> None:
            await asyncio.sleep(delay)
            self.power_cut()
            await asyncio.sleep(RESTART)
            self.start()

        self._spawn(later())

    def later(self, do: Callable[[], None], delay: float = 0.5) -> None:
        """Answer what has been asked, then do it."""

        async def wait() -> None:
            await asyncio.sleep(delay)
            do()

        self._spawn(wait())

    def _spawn(self, what: Coroutine[Any, Any, None]) -> None:
        self._ending.add(task := asyncio.create_task(what))
        task.add_done_callback(self._ending.discard)

    @staticmethod
    def _nobody(kid: bytes) -> None:
        """No credential is known by its key id: hosts show theirs by value."""

    def _who(self, context: Any, peer: Any) -> None:
        """A session has begun: whose key it is with decides what a delegation is worth."""
        self.peers[context.recipient_id] = ccs.read(peer)[0]

    def _over(self, context: Any) -> None:
        """A session has ended, and with it what it observes."""
        self.server.drop(session=context)
        self.resources.failures.pop(context.recipient_id, None)

    async def stop(self) -> None:
        """Off for good."""
        tasks = [*self._tasks, *self._ending]
        self.power_cut()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self) -> None:
        flash = self.flash
        if flash.wipe:
            flash.wiped()
        trial = flash.trial
        if flash.owner is None:
            self.say(0)
        elif trial is not None and trial.detail is None and trial.begun < TRIALS:
            trial.begun += 1
            self._tasks.append(asyncio.create_task(self._try()))
        else:
            if trial is not None and trial.detail is None:
                trial.detail = 15
            if trial is not None and trial.detail and (not flash.proven or (trial.over_ble and not trial.shown)):
                trial.shown = True
                self.say(2, trial.detail)
                if flash.proven:
                    self._tasks.append(asyncio.create_task(self._window()))
            elif not flash.proven:
                self.say(1)
            else:
                self._tasks.append(asyncio.create_task(self._work()))

    def say(self, state: int | None, detail: int = 0) -> None:
        """What it says in the air from now on; None: nothing, and who is connected over BLE is not any more."""
        self.state, self.detail = state, detail
        if state is None and self.busy is not None:
            self.busy.lose()
        self.changed.set()

    async def _try(self) -> None:
        trial = self.flash.trial
        assert trial is not None  # noqa: S101 - that is why it is here
        settings = self.flash.effective(pending=True)
        detail, seconds = self.uplink.judge(settings, self.flash.clock)
        await asyncio.sleep(trial.seconds if detail else seconds)
        trial.took = round(trial.seconds if detail else seconds)
        trial.detail = detail
        if detail:
            self.restart(0)
            return
        self.flash.force()
        await self._work()

    async def _window(self) -> None:
        """A trial has failed on a node that had worked: a quarter of an hour for corrections, then as before."""
        await asyncio.sleep(WINDOW)
        self.say(None)
        await self._work()

    async def _work(self) -> None:
        settings = self.flash.effective()
        detail, seconds = self.uplink.judge(settings, self.flash.clock)
        if detail:
            # An hour without an uplink opens service mode (16.8); the fake does not keep it shut again.
            await asyncio.sleep(3600)
            self.say(3, detail)
            return
        if not self.online:
            await asyncio.sleep(0 if self.flash.first else seconds)
        self.flash.first = False
        self.online = True
        self.uplink.arrive(self.id, self.resources.frame())

    # -- who talks to it ----------------------------------------------------------------------------------------------

    def connect(self, over: str, turn: asyncio.Lock | None = None) -> FakeTransport:
        """A wire to it that is not connected yet; `turn` is the adapter's, which makes one connection at a time."""
        layers: list[Any] = [Gatt() if over == "ble" else Udp(os.urandom) for _ in range(2)]
        return FakeTransport(self, over, layers[0], layers[1], self.conditions, turn)

    def take(self, wire: FakeTransport) -> None:
        """Somebody connects; Unreachable where the node cannot be reached like that."""
        ble = wire.over == "ble"
        if not self.powered or (self.state is None if ble else not self.online):
            raise Unreachable(f"node {self.id} does not answer", "", "Is it in range, on, and not talking to others?")
        if ble and self.busy is not None:
            raise Unreachable(f"node {self.id} does not answer", "somebody else talks to it")
        self.wires.append(wire)
        if ble:
            self.busy = wire

    def way(self, over: str = "ble") -> Way:
        """A way to it: "ble" while it is in the air, "mqtt" or "udp" while its uplink works."""

        async def go() -> Transport:
            return self.connect(over)

        return go

    def gone(self, wire: FakeTransport) -> None:
        """A wire has been hung up."""
        if wire in self.wires:
            self.wires.remove(wire)
        if self.busy is wire:
            self.busy = None
        self.server.drop(wire.layer_there, 0)

    def heard(self) -> None:
        """Something has come over one of the wires."""
        self.changed.set()

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            now = int(loop.time() * 1000)
            self.sessions.tick(now)
            for wire in list(self.wires):
                for data in wire.arrived():
                    message = wire.layer_there.receive(0, data, now)
                    if message is not None:
                        self.server.submit(wire.layer_there, 0, message, now)
                wire.layer_there.tick(now)
                wire.say_all()
            while self.server.step(now):
                for wire in list(self.wires):
                    wire.say_all()
                await asyncio.sleep(STEP)
                now = int(loop.time() * 1000)
            waits = [1000]
            for wire in list(self.wires):
                wire.say_all()
                self.server.lost(wire.layer_there)
                wait = wire.layer_there.wait(now)
                if wait is not None:
                    waits.append(wait)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(waits) / 1000):
                    await self.changed.wait()
            self.changed.clear()
