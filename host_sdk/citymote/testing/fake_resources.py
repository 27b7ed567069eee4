"""What a fake node keeps in its flash, and its resources (SPEC 16), the table of roles first.

Written for hosts to be tested against: the answers and refusals that chapter 16 has for them, for as many settings as
provisioning sets. Unlike a node it judges a setting by its name alone, but for `interval`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any, cast

from citymote_protocol import cbor as _cbor
from citymote_protocol import claim as _claim
from citymote_protocol import delegation as _delegation
from citymote_protocol import event as _event
from citymote_protocol import sealing as _sealing
from citymote_protocol import sign1 as _sign1
from citymote_protocol.coap import BAD_REQUEST, CBOR, CHANGED, CONFLICT, CONTENT, FORBIDDEN, TEXT, UNAVAILABLE
from citymote_protocol.coap_gatt import Gatt
from citymote_protocol.coap_server import FRESH, OBSERVABLE
from citymote_protocol.coap_server import Refused as _Refused

if TYPE_CHECKING:
    from .fake_node import FakeNode

cbor: Any = _cbor
claiming: Any = _claim
delegation: Any = _delegation
event: Any = _event
sealing: Any = _sealing
sign1: Any = _sign1
Refused: Any = _Refused

READER, INSTALLER, OWNER = 1, 2, 3
_SCOPES = {"reader": READER, "installer": INSTALLER, "owner": OWNER}
_LEAST = {
    "epoch": OWNER, "time": INSTALLER, "info": READER, "live": READER, "log": INSTALLER, "identify": INSTALLER,
    "calibrate": INSTALLER, "config": INSTALLER, "config/trial": INSTALLER, "reset": INSTALLER,
}  # fmt: skip
_OWNERS = (
    "collector_key", "unsealed", "discovery", "nearby", "update_root", "update_hss", "recovery_hours", "site", "udp",
    "udp_port",
)  # fmt: skip
_SECRET = ("broker_password", "broker_key", "network")
_KNOWN = frozenset(
    (
        "network", "broker_host", "broker_port", "broker_tls", "broker_user", "broker_password", "broker_ca",
        "broker_cert", "broker_key", "broker_name", "collector_key", "unsealed", "interval", "batch", "max_delay",
        "profile", "station", "place", "site", "update_root", "update_hss", "update_url", "recovery_hours", "udp",
        "udp_port", "discovery", "nearby", "time_source", "status_interval",
    )
)  # fmt: skip
_FAILURES = 3


@dataclass
class TrialRecord:
    """A trial as it is written down."""

    number: int
    seconds: int
    begun: int = 0
    detail: int | None = None
    took: int = 0
    over_ble: bool = True
    shown: bool = False


@dataclass
class Flash:
    """What survives a power cut. Each method is one atomic write."""

    owner: bytes | None = None
    epoch: int = 0
    forced: dict[str, Any] = field(default_factory=dict[str, Any])
    pending: dict[str, Any] = field(default_factory=dict[str, Any])
    trial: TrialRecord | None = None
    proven: bool = False
    clock: int = 0
    owner_time: int | None = None
    offered: bytes | None = None
    recovery: int | None = None
    wipe: bool = False
    first: bool = False
    """The first frame of a trial that has succeeded is still to be sent."""

    def effective(self, *, pending: bool = False) -> dict[str, Any]:
        """The settings in force, or what a trial tries."""
        return {k: v for k, v in (self.forced | (self.pending if pending else {})).items() if v is not None}

    def force(self) -> None:
        """A trial has succeeded."""
        self.forced, self.pending = self.effective(pending=True), {}
        self.proven = self.first = True

    def wiped(self) -> None:
        """A factory reset's wipe; after a transfer the owner stays."""
        fresh = Flash(owner=self.owner if self.offered is not None else None)
        self.__dict__.update(fresh.__dict__)


class Resources:
    """The functions behind a fake node's server, since its last start."""

    def __init__(self, node: FakeNode) -> None:
        self.node = node
        self.flash = node.flash
        self.failures: dict[bytes, int] = {}
        self.nonce: dict[int, bytes] = {}
        self.sequence = 0
        self.sealer: Any = None
        server = node.server
        server.permit = self._permit
        add = server.add
        add("claim", 0, post=self._claim)
        add("access", 0, get=self._nonce, post=self._access)
        add("epoch", FRESH, put=self._epoch)
        add("time", FRESH, put=self._time)
        add("info", 0, get=self._info)
        add("live", OBSERVABLE, get=self._live)
        add("log", 0, get=self._log)
        add("identify", 0, post=self._identify)
        add("calibrate", 0, post=self._calibrate)
        add("config", 0, get=self._config, ipatch=self._patch)
        add("config/trial", FRESH, post=self._trial)
        add("reset", FRESH, post=self._reset)
        add("owner", FRESH, put=self._offer, post=self._take)
        add("recovery", FRESH, post=self._recover, delete=self._veto)

    # -- roles --------------------------------------------------------------------------------------------------------

    def _permit(self, request: Any) -> bool | bytes:
        if self.flash.owner is None and request.path != "claim":
            return b"unowned"
        least = _LEAST.get(request.path, 0)
        if request.path in ("owner", "recovery"):
            least = OWNER if request.message.code in (3, 4) else 0
        return True if role(request) >= least else b""

    def _admit(self, request: Any, given: int, epoch: int) -> None:
        request.session.claims = (given, epoch)
        self.node.sessions.admit(request.session)
        self.failures.pop(request.session.recipient_id, None)

    def _failed(self, request: Any) -> None:
        session = request.session
        count = self.failures[session.recipient_id] = self.failures.get(session.recipient_id, 0) + 1
        if count >= _FAILURES and not session.claims:
            self.node.sessions.remove(session)

    def _claim(self, request: Any) -> Any:
        if role(request):
            _, named, _ = cbor.loads(request.payload)
            if role(request) == OWNER and named == self.flash.owner:
                return CHANGED, cbor.dumps([self.flash.epoch]), CBOR
            raise Refused(FORBIDDEN, "admitted")
        keys = self.node.sessions.keys(request.session)
        try:
            owner = claiming.check(self.node.crypto, self.node.label.secret, claiming.exported(keys), request.payload)
        except ValueError:
            self._failed(request)
            raise
        if self.flash.owner not in (None, owner):
            raise Refused(FORBIDDEN, "owned")
        first = self.flash.owner is None
        self.flash.owner = owner
        if first:
            self.flash.epoch = 0
        self._admit(request, OWNER, self.flash.epoch)
        if first and self.node.state == 0:
            self.node.say(1)
        return CHANGED, cbor.dumps([self.flash.epoch]), CBOR

    def _nonce(self, request: Any) -> Any:
        nonce = self.nonce[id(request.session)] = self.node.crypto.random(16)
        return CONTENT, cbor.dumps(nonce), CBOR

    def _access(self, request: Any) -> Generator[None, None, Any]:
        flash = self.flash
        try:
            told: Any = yield from steps(delegation.open_steps(self.node.crypto, request.payload, flash.owner))
            scope = delegation.judge(
                told, sha256(flash.owner or b"").digest()[:6].hex(), self.node.id, flash.effective().get("site"),
                flash.epoch, self._peer(request), flash.owner_time, self.nonce.get(id(request.session)),
            )  # fmt: skip
        except ValueError:
            self._failed(request)
            raise
        self._admit(request, _SCOPES[scope], told.epoch)
        return CHANGED, cbor.dumps([_SCOPES[scope]]), CBOR

    def _peer(self, request: Any) -> bytes:
        return self.node.peers.get(request.session.recipient_id, b"")

    def _epoch(self, request: Any) -> int:
        epoch = cbor.loads(request.payload)
        if epoch < self.flash.epoch:
            raise Refused(CONFLICT, "epoch")
        if epoch > self.flash.epoch:
            self.flash.epoch, self.flash.offered = epoch, None
            for other in self.node.sessions.all():
                if other is not request.session and other.claims and other.claims[1] < epoch:
                    self.node.sessions.remove(other)
        return CHANGED

    def _time(self, request: Any) -> Generator[None, None, int]:
        seconds, statement = cbor.loads(request.payload)
        if not 820_454_400 <= seconds <= 0xFFFFFFFF:
            raise Refused(BAD_REQUEST, "time")
        if statement is not None:
            signed: Any = yield from steps(
                sign1.open_steps(self.node.crypto, statement, self.flash.owner, b"citymote time 1")
            )
            self.flash.owner_time = max(self.flash.owner_time or 0, cbor.loads(signed))
        self.flash.clock = max(self.flash.clock, 1)
        return CHANGED

    # -- what it tells ------------------------------------------------------------------------------------------------

    def _info(self, request: Any) -> Any:
        node, flash = self.node, self.flash
        uptime = round(asyncio.get_running_loop().time() - node.booted)
        told: list[tuple[int, Any]] = [
            (0, bytes.fromhex(node.id)), (1, "virtual"), (2, "citymote 0.1.0"), (3, "fake"), (4, node.boots),
            (5, uptime), (7, flash.clock), (8, "power"), (14, node.label.public), (15, role(request)),
            (16, flash.epoch), (19, flash.proven), (20, bool(flash.pending)), (12, 0), (13, 0),
        ]  # fmt: skip
        if node.state is not None:
            told.append((9, node.state))
        if node.detail:
            told.append((10, node.detail))
        if flash.effective().get("station"):
            told.append((11, flash.effective()["station"]))
        if flash.trial is not None:
            told.append((18, outcome(flash.trial)))
        if flash.recovery is not None:
            told.append((21, flash.recovery))
        return CONTENT, cbor.dumps(cbor.Pairs(told)), CBOR

    def _live(self, request: Any) -> Any:
        if not self.sequence:
            raise Refused(UNAVAILABLE, "no_row")
        return CONTENT, self._row(0), CBOR

    def measure(self) -> None:
        """A row is there: who observes is told."""
        self.sequence += 1
        self.node.server.notify("live")
        self.node.heard()

    def _row(self, epoch: int) -> bytes:
        sequence = self.sequence if epoch else 0
        return event.encode_event(None, epoch, sequence, 848_000_000, 2, ((23, 0),), (self.sequence,))

    def frame(self) -> bytes:
        """The next frame for the collector: sealed where the settings name one."""
        self.sequence += 1
        key = self.flash.effective().get("collector_key")
        if not key:
            name = bytes.fromhex(self.node.id)
            return event.encode_event(name, 1, self.sequence, 848_000_000, 2, ((23, 0),), (self.sequence,))
        if self.sealer is None:
            self.sealer = sealing.Sealer(
                self.node.crypto, bytes.fromhex(self.node.id), self.node.private, bytes.fromhex(key), self.node.boots,
                self.node.crypto.random(8),
            )  # fmt: skip
        return bytes(self.sealer.seal(self._row(1)))

    def _log(self, request: Any) -> Any:
        return CONTENT, b"0 2 started\n", TEXT

    def _identify(self, request: Any) -> int:
        self.node.blinking = cbor.loads(request.payload)
        return CHANGED

    def _calibrate(self, request: Any) -> Any:
        told = dict(cbor.loads(request.payload))
        if told.pop("number", 0) != 0:
            raise Refused(CONFLICT, "calibration: this node has 1 sound level meters")
        if told["kind"] == "reference":
            raise Refused(CONFLICT, "calibration: it is not steady")
        level = told["level"]
        said = [("before", -30), ("heard", level - 42), ("level", level), ("offset", 42), ("microphone", "inmp441")]
        return CHANGED, cbor.dumps(cbor.Pairs(said)), CBOR

    # -- configuration ------------------------------------------------------------------------------------------------

    def _config(self, request: Any) -> Any:
        values = self.flash.pending if request.query("pending") is not None else self.flash.effective()
        pairs = [(key, bool(value) if key in _SECRET else shown(value)) for key, value in values.items()]
        return CONTENT, cbor.dumps(cbor.Pairs(pairs)), CBOR

    def _patch(self, request: Any) -> int:
        values = plain(cbor.loads(request.payload))
        for key, value in values.items():
            if key not in _KNOWN or (key == "interval" and value is not None and 86400 % value):
                raise Refused(BAD_REQUEST, f"setting: {key}, which may not be so")
            if key in _OWNERS and role(request) < OWNER:
                raise Refused(FORBIDDEN, f"owner: {key}")
        before: dict[str, Any] = {} if request.query("fresh") is not None else self.flash.pending
        self.flash.pending = before | values
        return CHANGED

    def _trial(self, request: Any) -> Any:
        number, seconds = cbor.loads(request.payload)
        flash = self.flash
        if flash.trial is not None and flash.trial.number == number:
            return CHANGED, cbor.dumps(outcome(flash.trial)), CBOR
        if flash.trial is not None and flash.trial.detail is None:
            raise Refused(CONFLICT, "trial")
        if not flash.effective(pending=True).get("broker_host"):
            raise Refused(CONFLICT, "incomplete")
        flash.trial = TrialRecord(number, seconds, over_ble=isinstance(request.link, Gatt))
        self.node.restart()
        return CHANGED, cbor.dumps(outcome(flash.trial)), CBOR

    def _reset(self, request: Any) -> int:
        kind, *minutes = cbor.loads(request.payload)
        if role(request) < (INSTALLER if kind in (0, 5, 6) else OWNER):
            raise Refused(FORBIDDEN, "")
        if kind == 2:
            self.flash.wipe = True
        if kind <= 2:
            self.node.restart()
        elif kind == 5:
            self.node.later(lambda: self.node.say(None))
        elif kind == 6 and minutes:
            self.node.say(1)
        return CHANGED

    # -- another owner ------------------------------------------------------------------------------------------------

    def _offer(self, request: Any) -> Generator[None, None, int]:
        purpose = b"citymote transfer 1"
        payload: Any = yield from steps(sign1.open_steps(self.node.crypto, request.payload, self.flash.owner, purpose))
        name, key, epoch = cbor.loads(payload)
        if epoch != self.flash.epoch:
            raise Refused(BAD_REQUEST, "epoch")
        if name.hex() != self.node.id:
            raise Refused(BAD_REQUEST, "audience")
        self.flash.offered = key
        return CHANGED

    def _take(self, request: Any) -> Generator[None, None, Any]:
        key = self.flash.offered
        if key is None or role(request):
            raise Refused(FORBIDDEN, "offer")
        payload: Any = yield from steps(sign1.open_steps(self.node.crypto, request.payload, key, b"citymote confirm 1"))
        name, bound = cbor.loads(payload)
        if name.hex() != self.node.id or bound != claiming.exported(self.node.sessions.keys(request.session)):
            raise Refused(BAD_REQUEST, "signature")
        self.flash.owner, self.flash.wipe = key, True
        self._admit(request, OWNER, 0)
        self.node.restart()
        return CHANGED, cbor.dumps([0]), CBOR

    def _recover(self, request: Any) -> Any:
        hours = self.flash.effective().get("recovery_hours", 24)
        if not hours:
            raise Refused(FORBIDDEN, "disabled")
        if not self.node.button:
            raise Refused(FORBIDDEN, "hands")
        keys = self.node.sessions.keys(request.session)
        claiming.check(self.node.crypto, self.node.label.secret, claiming.exported(keys), request.payload)
        if self.flash.recovery is None:
            self.flash.recovery = hours
            self.node.say(4, min(hours, 255))
        return CHANGED, cbor.dumps([self.flash.recovery]), CBOR

    def _veto(self, request: Any) -> int:
        self.flash.recovery = None
        return CHANGED


def steps(work: Any) -> Generator[None, None, Any]:
    """One of `citymote_protocol`'s generators, with a type."""
    return work


def role(request: Any) -> int:
    """The role of a request's session."""
    return cast("int", request.session.claims[0] if request.session.claims else 0)


def outcome(trial: TrialRecord) -> list[int]:
    """A trial as it is told (16.7)."""
    return [trial.number, 255 if trial.detail is None else trial.detail, trial.took]


def plain(value: Any) -> Any:
    """What `cbor.loads` gives, with maps as dicts."""
    if isinstance(value, list):
        items = cast("list[Any]", value)
        if all(isinstance(each, tuple) for each in items):
            return {key: plain(each) for key, each in items}
        return [plain(each) for each in items]
    return value


def shown(value: Any) -> Any:
    """A setting as `GET config` gives it: a long text is its hash."""
    if isinstance(value, str) and len(value.encode()) > 200:
        return sha256(value.encode()).digest()
    if isinstance(value, Mapping):
        return cbor.Pairs([(key, shown(each)) for key, each in cast("Mapping[str, Any]", value).items()])
    return value
