"""A protected session with one node, over any way that leads to it: EDHOC, OSCORE, and all that keeps them going.

    async with Session(way, public, host, authorize=show) as session:
        answer = await session.request(GET, "info")

The node's key is checked against the one that is expected (a label's, or the registry's) before this host says who it
is. A connection that ends is made again, a context that the node has lost is renewed as SPEC 13.7.3 allows, a node that
is busy is waited for; after each handshake `authorize` shows what gives this host its rights. Requests may overlap.
What the requests mean is `citymote.node`'s matter.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar, cast

from citymote.crypto import HostCrypto
from citymote.errors import CitymoteError
from citymote.owner import HostKey
from citymote.transports.base import Channel, Disconnected, NoAnswer, Transport, Unreachable
from citymote_protocol import ccs as _ccs
from citymote_protocol import claim as _claim
from citymote_protocol import coap_client as _client
from citymote_protocol import edhoc as _edhoc
from citymote_protocol import edhoc_initiator as _initiator
from citymote_protocol import handshake_client as _handshake
from citymote_protocol import oscore_client as _oscore
from citymote_protocol import p256 as _p256
from citymote_protocol.coap import GET, Message
from citymote_protocol.errors import ProtocolError

# Untyped, because the node runs them too.
ccs: Any = _ccs
claiming: Any = _claim
client: Any = _client
edhoc: Any = _edhoc
handshake: Any = _handshake
initiator: Any = _initiator
oscore: Any = _oscore
p256: Any = _p256

T = TypeVar("T")

Way = Callable[[], Awaitable[Transport]]
"""Gives a transport to the node that is not connected yet; asked anew for each connection."""


class Asker(Protocol):
    """What shows a node this host's rights gets: the fresh session, on the connection at hand."""

    node: str
    host: HostKey

    def exported(self) -> bytes:
        """What binds a claim to this session (SPEC 13.5, label 32768)."""
        ...

    async def request(self, code: int, path: str, payload: bytes = b"") -> Message:
        """The answer to one request."""
        ...


Authorize = Callable[[Asker], Awaitable[None]]

QUIET = 65.0
"""Seconds after which an observation is begun anew: what a notification is good for by itself (RFC 7252, Max-Age of 60)
and a little."""
PATIENCE = 60.0
"""Seconds in which a connection, a busy node or a lost answer may come right by itself."""
_PAUSES = (0.25, 0.5, 1.0, 2.0, 4.0)
_HANDSHAKES = 3
_UNTOLD = 2  # answers that do not open: the request is repeated so often


class SessionError(CitymoteError):
    """A session that cannot be had, or kept."""

    whose = "peer"


class NotTheNode(SessionError):
    """Who answers does not hold the expected node's key."""


class NodeBusy(SessionError):
    """The node takes no handshake for `seconds`: it works for somebody else, or has been asked too often."""

    def __init__(self, node: str, seconds: int) -> None:
        self.seconds = seconds
        super().__init__(f"node {node} takes no session now", f"it asks to wait {seconds} s")


class ContextLost(SessionError):
    """Somebody says, without proof, that the node has lost the session, more often than is believed (SPEC 13.7.3)."""


class Session:
    """See the module. `way` leads to the node, `public` is the key it has to hold (33 bytes), `host` is ours."""

    def __init__(
        self,
        way: Way,
        public: bytes,
        host: HostKey,
        *,
        authorize: Authorize | None = None,
        patience: float = PATIENCE,
        timeout: float | None = None,
        crypto: HostCrypto | None = None,
    ) -> None:
        self.public = public
        self.host = host
        self.authorize = authorize
        self.patience = patience
        self.handshakes = 0
        self._way = way
        self._timeout = timeout
        self._crypto: Any = crypto if crypto is not None else HostCrypto()
        self._kid = self._crypto.sha256(public).digest()[:6]
        self._channel: Channel | None = None
        self._context: Any = None
        self._keys: Any = None
        self._renewal: Any = handshake.Renewal()
        self._opening = asyncio.Lock()
        self._closed = False

    def __repr__(self) -> str:
        return f"Session({self.node})"

    @property
    def node(self) -> str:
        """The id of the node: what its key hashes to."""
        return self._kid.hex()

    @property
    def peer(self) -> str:
        """Where it is reached, for people."""
        return self._channel.peer if self._channel is not None else f"node {self.node}"

    async def __aenter__(self) -> Self:
        try:
            await self.open()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Connect and run EDHOC, if that has not been done."""
        await self._within(self._ready)

    async def close(self) -> None:
        """Let the node go. What waits gets Disconnected."""
        self._closed = True
        await self._hang_up()

    def exported(self) -> bytes:
        """What binds a claim to this session (SPEC 13.5, label 32768)."""
        if self._keys is None:
            raise SessionError("there is no session to bind anything to")
        return claiming.exported(self._keys)

    # -- requests -----------------------------------------------------------------------------------------------------

    async def request(
        self,
        code: int,
        path: str,
        payload: bytes = b"",
        options: Iterable[tuple[int, bytes]] = (),
        *,
        timeout: float | None = None,
        once: bool = False,
    ) -> Message:
        """The whole answer to one request, whatever its code. `once`: it is not sent again when the connection ends,
        because doing it twice is not the same as doing it once."""
        more = list(options)

        async def ask() -> Message:
            channel = await self._ready()
            return await self._ask(channel, lambda: client.request(code, path, payload, more), timeout)

        return await (ask() if once else self._within(ask))

    async def observe(self, path: str, *, quiet: float = QUIET) -> AsyncGenerator[Message, None]:
        """An observable resource: what it is now, and each change, until the caller stops. It goes on over another
        connection when this one ends, and is asked for anew after `quiet` seconds of silence, because a node that has
        restarted tells nobody (RFC 7641, 3.3.1). What has not changed meanwhile is not said twice."""
        last: tuple[int, bytes] | None = None
        while True:
            try:
                channel = await self._within(self._ready)
                async for message in self._observed(channel, path, quiet):
                    told = message.code, bytes(message.payload)
                    if told != last:
                        yield message
                    last = told
                return
            except (Disconnected, NoAnswer):
                if self._closed:
                    raise
            except TimeoutError:  # of silence
                pass
            except NodeBusy as busy:  # it has restarted, and somebody else was quicker
                await asyncio.sleep(busy.seconds)

    async def _observed(self, channel: Channel, path: str, quiet: float) -> AsyncGenerator[Message, None]:
        token = channel.token()
        queue = channel.watch(token)
        watch: Any = None

        def begin() -> Awaitable[Message]:
            nonlocal watch  # under whichever context is the newest
            watch = client.Watch(self._crypto, self._context, client.request(GET, path), channel.room)
            return channel.run(watch.begin(), timeout=self._timeout, token=token)

        try:
            yield await self._trusted(begin)
            while watch.active:
                async with asyncio.timeout(quiet):
                    told = await channel.next_of(queue)
                now = int(asyncio.get_running_loop().time() * 1000)
                try:
                    message = watch.notification(told, now)
                except ProtocolError:
                    continue  # anybody can say anything; what is the node's opens
                if message is not None:
                    yield await channel.run(watch.rest(message), timeout=self._timeout)
        finally:
            channel.unwatch(token)
            if watch is not None and watch.active:
                with contextlib.suppress(CitymoteError, ProtocolError):
                    await channel.run(watch.cancel(), timeout=5, token=token)

    async def _ask(self, channel: Channel, make: Callable[[], Message], timeout: float | None) -> Message:
        def run() -> Awaitable[Message]:
            steps = client.request_steps(self._crypto, self._context, make(), channel.room)
            return channel.run(steps, timeout=timeout if timeout is not None else self._timeout)

        return await self._trusted(run)

    async def on_channel(self, channel: Channel, message: Message) -> Message:
        """One request over this connection and under this context, as they are."""
        steps = client.request_steps(self._crypto, self._context, message, channel.room)
        return await channel.run(steps, timeout=self._timeout)

    async def _trusted(self, run: Callable[[], Awaitable[Message]]) -> Message:
        """Run a protected request until its answer is the node's own (SPEC 13.7.3)."""
        untold = 0
        while True:
            try:
                answer = await run()
            except oscore.Unprotected:
                await self._doubt()
                continue
            except ProtocolError as error:
                code: str = cast("Any", error).code
                if code == "worn":
                    await self._renew()
                    continue
                untold += 1
                if untold > _UNTOLD:
                    raise SessionError(f"node {self.node}: what it answers does not open", code) from None
                continue
            self._renewal.answered()
            return answer

    async def _doubt(self) -> None:
        now = int(asyncio.get_running_loop().time() * 1000)
        what = self._renewal.unprotected(now)
        if what == handshake.Renewal.GIVE_UP:
            raise ContextLost(
                f"node {self.node} is said to have lost the session",
                "too often to be believed",
                f"Try again in {self._renewal.wait(now) // 60_000 + 1} minutes, or over another link.",
            )
        if what == handshake.Renewal.RENEW:
            await self._renew()

    async def _renew(self) -> None:
        """Another context; the old one is kept until that has succeeded."""
        used = self._context
        async with self._opening:
            if self._context is used and self._channel is not None:
                await self._shake(self._channel)

    # -- how it is opened ---------------------------------------------------------------------------------------------

    async def _within(self, do: Callable[[], Awaitable[T]]) -> T:
        """Do it again over another connection when one ends or cannot be made, until patience is at its end."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self.patience
        tries = 0
        while True:
            try:
                return await do()
            except (Disconnected, NoAnswer, Unreachable, NodeBusy) as error:
                if self._closed:
                    raise
                if not isinstance(error, NodeBusy):
                    await self._hang_up()
                pause = _PAUSES[min(tries, len(_PAUSES) - 1)]
                if isinstance(error, NodeBusy):
                    pause = max(pause, error.seconds)
                if loop.time() + pause >= end:
                    raise
                tries += 1
                await asyncio.sleep(pause)

    async def _hang_up(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    async def _ready(self) -> Channel:
        async with self._opening:
            if self._closed:
                raise Disconnected(f"the session with node {self.node} is closed")
            channel = self._channel
            if channel is not None and channel.failed:
                await self._hang_up()
                channel = None
            if channel is None:
                made = Channel(await self._way())
                if self._timeout is not None:
                    made.timeout = self._timeout
                try:
                    await made.__aenter__()
                except BaseException:
                    await made.close()
                    raise
                channel = self._channel = made
            if self._context is None:
                await self._shake(channel)
            return channel

    async def _shake(self, channel: Channel) -> None:
        """EDHOC, and then the rights of this host."""
        for attempt in range(1, _HANDSHAKES + 1):
            try:
                keys = await self._edhoc(channel)
                break
            except SessionError:
                raise
            except ProtocolError as error:
                code: str = cast("Any", error).code
                if attempt == _HANDSHAKES:
                    raise SessionError(f"node {self.node}: no session", f"EDHOC failed: {error}") from None
                if code in ("method", "suite", "unknown_credential"):
                    raise SessionError(f"node {self.node}: no session", f"it refuses: {error}") from None
                await asyncio.sleep(_PAUSES[attempt])
        else:
            raise AssertionError
        self.handshakes += 1
        self._keys = keys
        self._context = keys.oscore(True)
        if self.authorize is not None:
            # It asks with the lock held, so that nobody else's request goes out without rights.
            try:
                await self.authorize(_Held(self, channel))
            except ProtocolError as error:
                # Somebody answers in the node's place, or the node has restarted meanwhile.
                raise NoAnswer(f"node {self.node}: no answer of its own to who we are", str(error)) from None

    async def _edhoc(self, channel: Channel) -> Any:
        pair = p256.run(self._crypto.key_pair_steps())
        number = secrets.randbelow(48)
        c_i = bytes((number if number < 24 else number + 8,))
        told: list[bytes] = []

        def expected(kid: bytes | None, credential: bytes | None) -> bytes | None:
            told.append(bytes(kid or b""))
            return ccs.write(self._kid, self.public) if kid == self._kid else None

        begun: Any = initiator.Initiator(
            self._crypto, self.host.private, self.host.credential, self.host.kid, pair, c_i
        )
        try:
            return await channel.run(handshake.handshake_steps(begun, expected), timeout=self._timeout)
        except handshake.Busy as busy:
            raise NodeBusy(self.node, busy.seconds) from None
        except edhoc.EdhocError as error:
            code: str = error.code
            if told and told[-1] != self._kid:
                raise NotTheNode(
                    f"this is not node {self.node}",
                    f"it says it is {told[-1].hex() or 'somebody else'}",
                    "Is it the label of this node?",
                ) from None
            if told and code == "mac":
                raise NotTheNode(
                    f"this is not node {self.node}",
                    "it does not hold the key on the label",
                    "Somebody stands between you and the node, or the label is another node's.",
                ) from None
            raise


class _Held:
    """The session as `authorize` sees it: requests are not repeated over another connection."""

    def __init__(self, session: Session, channel: Channel) -> None:
        self.node = session.node
        self.host = session.host
        self.exported = session.exported
        self._ask = session.on_channel
        self._channel = channel

    async def request(self, code: int, path: str, payload: bytes = b"") -> Message:
        return await self._ask(self._channel, client.request(code, path, payload))
