"""A node, as its owner, an installer or a reader talks to it: the resources of SPEC chapter 16 as typed methods.

    store = citymote.OwnerStore.load("city.owner")
    async with citymote.Node(way, label.public, store) as node:
        print((await node.info()).firmware)
        async for readings in node.live():
            ...

`way` leads to the node over BLE, UDP, a serial line or MQTT (`citymote.reach.way_to`): the code is the same for all.
A node without an owner answers the claim alone: give `claim`. What a node refuses is raised as `Refused`, with the code
that the specification has for it. Every method may be called again after an error: what it asks for is the same then.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, cast

from citymote.answers import Info, Refused, Role, Trial, plain, reason_of, text_of, trial_of
from citymote.crypto import HostCrypto
from citymote.delegate import OwnerKey
from citymote.errors import UsageError
from citymote.owner import HostKey
from citymote.session import QUIET, Asker, Session, SessionError, Way
from citymote_protocol import cbor as _cbor
from citymote_protocol import claim as _claim
from citymote_protocol.coap import DELETE, GET, POST, PUT, URI_QUERY, Message
from citymote_protocol.errors import ProtocolError

if TYPE_CHECKING:
    from citymote.calibration import Request, Result
    from citymote.reading import Reading

# Untyped, because the node runs them too.
cbor: Any = _cbor
claiming: Any = _claim

IPATCH = 7
"""RFC 8132."""
Y2000 = datetime(2000, 1, 1, tzinfo=UTC)
TIME, TRANSFER, CONFIRM = b"citymote time 1", b"citymote transfer 1", b"citymote confirm 1"
MOST_PATCH = 3584
"""Bytes of one patch: a body has 4096 at most (SPEC 12.8)."""
TRIAL_SECONDS = 180

Claimer = Callable[[bytes, bytes], Awaitable[bytes]]
"""Gives the tag for (exporter value, owner's key): whoever has the label's secret, here or on the owner's server."""


class Reset(IntEnum):
    """What a reset does (SPEC 16.9)."""

    RESTART = 0
    READINGS = 1
    FACTORY = 2
    OPEN_PROMPT = 3
    SHUT_PROMPT = 4
    LEAVE_SERVICE = 5
    ENTER_SERVICE = 6


class Rights(Protocol):
    """Who this host is, and what it shows to nodes: an `OwnerStore` is one."""

    host: HostKey

    @property
    def owner_public(self) -> bytes:
        """Whose nodes these are: the key that a claim hands over."""
        ...

    def delegation(self, node: str, *, where: str | None = None, nonce: bytes | None = None) -> bytes:
        """What gives this host its role at that node."""
        ...


def claim_with(secret: bytes) -> Claimer:
    """A claim by who has the label's secret."""
    crypto: Any = HostCrypto()

    async def tag(exported: bytes, owner: bytes) -> bytes:
        return claiming.claim_tag(crypto, claiming.claim_key(crypto, secret), exported, owner)

    return tag


class Node:
    """See the module. `site` helps to choose among delegations. `claim` makes it ours if nobody owns it. `stranger`
    shows nothing: for taking a transfer or recovering an owner."""

    def __init__(
        self,
        way: Way,
        public: bytes,
        rights: Rights,
        *,
        site: str | None = None,
        claim: Claimer | None = None,
        stranger: bool = False,
        **session: Any,
    ) -> None:
        self.role = Role.NONE
        self.owned: bool | None = None
        """Whether it has an owner, as far as it has said."""
        self._rights = rights
        self._site = site
        self._claim = claim
        authorize = None if stranger else self._authorize
        self.session = Session(way, public, rights.host, authorize=authorize, **session)

    def __repr__(self) -> str:
        return f"Node({self.id})"

    @property
    def id(self) -> str:
        """12 hexadecimal digits: what its key hashes to."""
        return self.session.node

    async def __aenter__(self) -> Self:
        await self.session.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.session.close()

    async def _authorize(self, session: Asker) -> None:
        if self._claim is not None:
            owner = self._rights.owner_public
            tag = await self._claim(session.exported(), owner)
            self._checked(await session.request(POST, "claim", claiming.write(owner, tag)), "the claim")
            self.role, self.owned = Role.OWNER, True
            return
        nonce = await session.request(GET, "access")
        code, _ = reason_of(nonce)
        if code == "unowned":
            self.role, self.owned = Role.NONE, False
            return
        self.owned = True
        given = self._items(nonce, "access")
        shown = self._rights.delegation(self.id, where=self._site, nonce=given if isinstance(given, bytes) else None)
        self.role = Role(self._items(await session.request(POST, "access", shown), "this host's delegation")[0])

    # -- what it tells ------------------------------------------------------------------------------------------------

    async def info(self) -> Info:
        """Who it is and how it is."""
        told = self._map(await self._get("info"), "info")
        last: Any = told.get(18)
        trial = None if last is None else trial_of(last)
        seconds: Any = told.get(6)
        try:
            return Info(
                node=told[0].hex(), public=told[14], board=told[1], firmware=told[2], runtime=told[3], boots=told[4],
                uptime=told[5], time=None if seconds is None else Y2000 + timedelta(seconds=seconds),
                clock=told.get(7, 0), reset_cause=told.get(8, ""), role=Role(told[15]), epoch=told.get(16, 0),
                configured=told.get(19, False), pending=told.get(20, False), state=told.get(9),
                detail=told.get(10, 0), station=told.get(11), rows_waiting=told.get(12), frames_waiting=told.get(13),
                update=None if told.get(17) is None else tuple(told[17]), trial=trial, recovery_hours=told.get(21),
            )  # fmt: skip
        except (KeyError, AttributeError, TypeError, ValueError):
            raise self._unreadable("info") from None

    async def config(self, *, pending: bool = False) -> dict[str, Any]:
        """The settings in force, or those that wait for a trial. A secret is True where it is set."""
        options = [(URI_QUERY, b"pending")] if pending else []
        answer = await self._get("config", options)
        return {str(key): plain(value) for key, value in self._map(answer, "config").items()}

    async def log(self) -> str:
        """Its last lines, oldest first: uptime, level, text."""
        answer = await self._get("log")
        return text_of(bytes(answer.payload))

    async def live(self) -> AsyncGenerator[list[Reading], None]:
        """Each row as it is measured, beginning with the latest."""
        async for answer in self.session.observe("live"):
            if reason_of(answer)[0] == "no_row":
                continue
            yield self._readings(self._checked(answer, "live readings"))

    async def latest(self) -> list[Reading]:
        """The latest row; Refused with `no_row` before the first."""
        return self._readings(await self._get("live"))

    def _readings(self, answer: Message) -> list[Reading]:
        from citymote.decode import Decoder

        return list(Decoder(node=self.id).readings([bytes(answer.payload)]))

    async def update_state(self) -> list[Any]:
        """[state, reason, sequence, progress, wanted digest or None, offset, total] of its update."""
        return self._items(await self._get("update"), "the state of its update")

    async def watch_update(self, *, quiet: float = QUIET) -> AsyncGenerator[list[Any], None]:
        """The same now, and whenever it changes; a restart of the node is noticed after `quiet` seconds at most."""
        async for answer in self.session.observe("update", quiet=quiet):
            yield self._items(answer, "the state of its update")

    async def offer_update(self, envelope: bytes) -> None:
        """Offer it a release (SPEC 14.6). The same one again changes nothing."""
        self._checked(await self.session.request(POST, "update", envelope), "the release")

    async def put_update_keys(self, statement: bytes) -> None:
        """Give it a key set that its root has signed (SPEC 14.7)."""
        self._checked(await self.session.request(PUT, "update/keys", statement), "the key set")

    async def put_update_file(self, digest: bytes, offset: int, data: bytes) -> int:
        """Bytes of the file that it wants, from there on; the offset that is due next."""
        options = [(URI_QUERY, b"d=" + digest[:8].hex().encode()), (URI_QUERY, b"o=%d" % offset)]
        answer = await self.session.request(PUT, "update/file", data, options)
        due = self._items(answer, "a piece of a file")
        if not isinstance(due, int):
            raise self._unreadable("a piece of a file")
        return due

    # -- what it is told ----------------------------------------------------------------------------------------------

    async def configure(self, settings: Mapping[str, Any], *, fresh: bool = False) -> None:
        """Put settings over those that wait for a trial (None takes one back); `fresh` forgets what waits first.
        What is in force stays as it is until a trial has succeeded."""
        for number, piece in enumerate(_pieces(settings)):
            options = [(URI_QUERY, b"fresh")] if fresh and number == 0 else []
            body = cbor.dumps(cbor.Pairs([(key, _wire(value)) for key, value in piece.items()]))
            answer = await self.session.request(IPATCH, "config", body, options)
            self._checked(answer, "the configuration")

    async def trial(self, number: int, seconds: int = TRIAL_SECONDS) -> Trial:
        """Try what waits for so many seconds (30 to 900). The node leaves for its uplink: it answers again when that
        has failed, or over its uplink. The same number again only asks what came of it."""
        body = cbor.dumps([number, seconds])
        answer = await self.session.request(POST, "config/trial", body)
        return trial_of(self._items(answer, "the trial"))

    async def set_time(self, moment: datetime | None = None, *, signer: OwnerKey | None = None) -> None:
        """Set its clock to now, or to a moment. Only what the owner's key has signed counts for delegations' ends."""
        now = moment if moment is not None else datetime.now(UTC)
        seconds = round((now - Y2000).total_seconds())
        statement = None if signer is None else signer.statement(cbor.dumps(seconds), TIME)
        self._checked(await self.session.request(PUT, "time", cbor.dumps([seconds, statement])), "the time")

    async def identify(self, seconds: int = 30) -> None:
        """Let it blink; 0 ends it."""
        if not 0 <= seconds <= 120:
            raise UsageError("a node blinks for 0 to 120 seconds")
        self._checked(await self.session.request(POST, "identify", cbor.dumps(seconds)), "to blink")

    async def reset(self, kind: Reset, *, minutes: int | None = None) -> None:
        """See `Reset`; `minutes` is for ENTER_SERVICE (1 to 1440)."""
        if (minutes is not None) != (kind == Reset.ENTER_SERVICE):
            raise UsageError("minutes go with entering service mode, and with nothing else")
        body = [int(kind)] if minutes is None else [int(kind), minutes]
        answer = await self.session.request(POST, "reset", cbor.dumps(body), once=True)
        self._checked(answer, f"the reset ({kind.name.lower().replace('_', ' ')})")

    async def calibrate(self, request: Request) -> Result:
        """Calibrate its sound level meter: it listens for ten seconds, or a minute against a reference."""
        from citymote.calibration import SECONDS, result_of

        asked = cbor.dumps(cbor.Pairs(list(request.message().items())))
        answer = await self.session.request(POST, "calibrate", asked, timeout=SECONDS[request.kind] + 60)
        return result_of(self._map(answer, "the calibration"))

    async def show(self) -> Role:
        """Show this host's delegation: what it may do here from now on."""
        for last in (False, True):
            nonce = self._items(await self.session.request(GET, "access"), "access")
            shown = self._rights.delegation(self.id, where=self._site, nonce=nonce)
            answer = await self.session.request(POST, "access", shown)
            if last or reason_of(answer)[0] != "nonce":  # the session may have been renewed between the two
                self.role = Role(self._items(answer, "this host's delegation")[0])
                break
        return self.role

    # -- whose it is --------------------------------------------------------------------------------------------------

    async def raise_epoch(self, epoch: int) -> None:
        """Every delegation of a lower epoch is worth nothing here from now on."""
        self._checked(await self.session.request(PUT, "epoch", cbor.dumps(epoch)), "the epoch")

    async def transfer(self, signer: OwnerKey, to: bytes, *, epoch: int) -> None:
        """Offer it to another owner's signing key, who takes it with `take_over`."""
        statement = signer.statement(cbor.dumps([bytes.fromhex(self.id), to, epoch]), TRANSFER)
        self._checked(await self.session.request(PUT, "owner", statement), "the transfer")

    async def take_over(self, signer: OwnerKey) -> None:
        """Take what the old owner has offered, in a session of a stranger. The node forgets its configuration."""
        payload = cbor.dumps([bytes.fromhex(self.id), self.session.exported()])
        answer = await self.session.request(POST, "owner", signer.statement(payload, CONFIRM))
        self._checked(answer, "its new owner")
        self.role, self.owned = Role.OWNER, True

    async def recover(self, secret: bytes, owner: bytes) -> int:
        """Begin to recover it from an owner that is lost, with the button held inside of its case; hours left."""
        tag = await claim_with(secret)(self.session.exported(), owner)
        answer = await self.session.request(POST, "recovery", claiming.write(owner, tag))
        return int(self._items(answer, "the recovery")[0])

    async def veto(self) -> None:
        """End a recovery that somebody has begun."""
        self._checked(await self.session.request(DELETE, "recovery"), "the veto")

    # -- answers ------------------------------------------------------------------------------------------------------

    async def _get(self, path: str, options: list[tuple[int, bytes]] | None = None) -> Message:
        return self._checked(await self.session.request(GET, path, b"", options or ()), path)

    def _checked(self, answer: Message, what: str) -> Message:
        if answer.code >> 5 == 2:
            return answer
        code, sentence = reason_of(answer)
        number: int = answer.code
        raise Refused(self.id, what, number, code, sentence)

    def _unreadable(self, what: str) -> SessionError:
        return SessionError(f"node {self.id}: its answer to {what} cannot be read", "", "Is its firmware newer?")

    def _items(self, answer: Message, what: str) -> Any:
        self._checked(answer, what)
        try:
            return cbor.loads(bytes(answer.payload))
        except ProtocolError:
            raise self._unreadable(what) from None

    def _map(self, answer: Message, what: str) -> dict[Any, Any]:
        pairs = self._items(answer, what)
        try:
            return dict(cast("list[tuple[Any, Any]]", pairs))
        except (TypeError, ValueError):
            raise self._unreadable(what) from None


def _wire(value: Any) -> Any:
    """A setting as CBOR: maps become pairs."""
    if isinstance(value, Mapping):
        return cbor.Pairs([(key, _wire(each)) for key, each in cast("Mapping[str, Any]", value).items()])
    if isinstance(value, (list, tuple)):
        return [_wire(each) for each in cast("list[Any]", value)]
    return value


def _pieces(settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Settings in patches that fit a body each; one that does not fit alone goes alone, and the node says so."""
    pieces: list[dict[str, Any]] = [{}]
    size = 0
    for key, value in settings.items():
        length = len(cbor.dumps(cbor.Pairs([(key, _wire(value))])))
        if pieces[-1] and size + length > MOST_PATCH:
            pieces.append({})
            size = 0
        pieces[-1][key] = value
        size += length
    return pieces
