"""Frames from an MQTT broker, at least once: the one module that knows the MQTT client library.

The subscription lives in a persistent session under a fixed client id, with QoS 1 and acknowledgement by hand: the
broker keeps every frame until `ack`, and the caller acknowledges only what its store has committed. Reconnecting goes
on for ever; what a caller must do something about (wrong password, no permission, another client under our id) is
raised. paho-mqtt 2 does the protocol (MQTT 3.1.1, OASIS standard); its network runs in its own thread, messages wait
here in a bounded queue.
"""

from __future__ import annotations

import os
import queue
import socket
import ssl
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from urllib.parse import unquote, urlsplit

from citymote.errors import BrokerError, UsageError, need

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from paho.mqtt.client import Client, MQTTMessage

VARIABLE = "CITYMOTE_MQTT_PASSWORD"
FRAMES_TOPIC = "citymote/+/frames"
# Messages that wait here unacknowledged. A broker sends no more than its own window (Mosquitto: 20 by default), so
# this bounds memory only against one that has no window: 64 Ki frames of a few hundred bytes are some tens of
# megabytes.
QUEUE = 65536
KEEPALIVE = 30
# Connections that last less than this many seconds, several in a row, are no accident: another client uses our id.
SHORT = 20.0
PROBE = 5.0
_OTHER_NAME = (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
_DATES = (9, 10)  # X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED: a clock or a renewal, which pass


class Incoming(NamedTuple):
    """One message as it came; `token` is what `ack` needs."""

    topic: str
    payload: bytes
    received: float
    token: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Address:
    """Where a broker is and who we are there. The password is not part of it: it comes from elsewhere."""

    host: str
    port: int
    tls: bool
    user: str | None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.user + '@' if self.user else ''}{host}:{self.port}"


def parse_url(url: str) -> Address:
    """`mqtt[s]://[user@]host[:port]`; a password in it is refused, because every process list would show it."""
    hint = "Write mqtt://host, mqtts://user@host:8883."
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        # What stands before an @ may be a password, or a part of one that urlsplit takes for a port.
        why = "" if "@" in url else str(error)
        raise UsageError("this is no broker URL", why, hint) from None
    try:
        (parts.hostname or "").encode("idna")
    except UnicodeError as error:
        raise UsageError("the broker URL names no host that there can be", str(error), hint) from None
    if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
        raise UsageError(f"{'this' if '@' in url else url} is no broker URL", "", hint)
    if parts.password is not None:
        what = "the broker URL carries a password"
        raise UsageError(what, "others can read it there", f"Leave it out and set {VARIABLE}, or give a password file.")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise UsageError("the broker URL goes on behind the port", "a broker has no path", hint)
    tls = parts.scheme == "mqtts"
    user = unquote(parts.username) if parts.username else None
    return Address(parts.hostname, port or (8883 if tls else 1883), tls, user)


def _silent(_: str) -> None:
    """What happens to news nobody asked for."""


class Trouble(NamedTuple):
    """Why a broker cannot be talked to, and what to do. `lasting`: waiting does not help."""

    why: str
    then: str
    lasting: bool = False


def trouble(address: Address, context: ssl.SSLContext | None) -> Trouble:
    """Go the way to a broker once, as far as it leads: name, connection, TLS. The MQTT client does not say where it
    failed. Each step may take `PROBE` seconds, the connection so long for each address of the name."""
    try:
        probe = socket.create_connection((address.host, address.port), PROBE)
    except socket.gaierror as error:
        return Trouble(f"the name {address.host} leads nowhere ({error.strerror})", "Check the URL and the network.")
    except OSError as error:
        return Trouble(error.strerror or str(error), "Is a broker running there?")
    with probe:
        if context is None:
            return Trouble("who listens there gives no answer of MQTT", "Is it a port with TLS? Then write mqtts://.")
        try:
            context.wrap_socket(probe, server_hostname=address.host).close()
        except ssl.SSLCertVerificationError as error:
            then = "Check the CA file, and this machine's clock."
            if error.verify_code in _OTHER_NAME:
                then = "Write a name into the URL that is in its certificate."
            why = f"its certificate is not accepted ({error.verify_message.rstrip('.')})"
            return Trouble(why, then, error.verify_code not in _DATES)
        except OSError as error:
            why = f"TLS does not come about ({error.strerror or error})"
            return Trouble(why, "Is it a port without TLS? Then write mqtt://.")
    return Trouble("TLS comes about, and then no answer of MQTT", "Is it a broker's port?")


def _tls(address: Address, ca_file: str | None) -> ssl.SSLContext | None:
    if not address.tls:
        if ca_file is not None:
            raise UsageError("a CA file makes sense with mqtts:// only", "", "Change the URL to mqtts://.")
        return None
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise UsageError(f"cannot use the CA file {ca_file}", str(error)) from error


def _client(
    address: Address,
    name: str,
    password: str | None,
    tls: ssl.SSLContext | None,
    *,
    clean: bool,
    manual_ack: bool = False,
) -> Client:
    need("paho.mqtt.client", "mqtt", "talking to a broker")
    from paho.mqtt.client import Client, MQTTv311
    from paho.mqtt.enums import CallbackAPIVersion

    client = Client(
        CallbackAPIVersion.VERSION2, name, clean_session=clean, protocol=MQTTv311, reconnect_on_failure=not clean,
        manual_ack=manual_ack,
    )  # fmt: skip
    if address.user is not None:
        client.username_pw_set(address.user, password if password is not None else os.environ.get(VARIABLE))
    if tls is not None:
        cast("Any", client).tls_set_context(tls)
    return client


class Broker:
    """One connection to a broker that asks and hears at once, and ends when it is lost: what requests travel over.

    `hear(payload)` and `settle(error or None)` are called from the client's own thread: None once answers can come.
    """

    def __init__(self, url: str, name: str, password: str | None = None, ca_file: str | None = None) -> None:
        self.address = parse_url(url)
        self._tls = _tls(self.address, ca_file)
        self._client = _client(self.address, name, password, self._tls, clean=True)

    def start(self, topic: str, hear: Callable[[bytes], None], settle: Callable[[BrokerError | None], None]) -> None:
        """Connect in the background and subscribe to a topic."""

        def on_connect(client: Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
            if reason.is_failure:
                why = f"Check the user in the URL, the password in {VARIABLE}, and the broker's access list."
                settle(BrokerError(f"{self.address} refuses the connection", str(reason), why))
            else:
                client.subscribe(topic, qos=1)

        def on_subscribe(_client: Client, _data: Any, _mid: int, reasons: list[Any], _properties: Any) -> None:
            if any(reason.is_failure for reason in reasons):
                why = f"the broker does not allow reading {topic}"
                settle(BrokerError(f"{self.address} refuses the subscription", why, "Check its access list."))
            else:
                settle(None)

        def on_message(_client: Client, _data: Any, message: MQTTMessage) -> None:
            if not message.retain:
                hear(bytes(message.payload))

        def on_disconnect(_client: Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
            settle(BrokerError(f"the connection to {self.address} has ended", str(reason)))

        def on_connect_fail(_client: Client, _data: Any) -> None:
            found = trouble(self.address, self._tls)
            settle(BrokerError(f"{self.address} cannot be reached", found.why, found.then))

        client = self._client
        client.on_connect, client.on_subscribe, client.on_message = on_connect, on_subscribe, on_message
        client.on_disconnect, client.on_connect_fail = on_disconnect, on_connect_fail
        client.connect_async(self.address.host, self.address.port, KEEPALIVE)
        client.loop_start()

    def publish(self, topic: str, payload: bytes) -> bool:
        """Hand one message over; False where there is no connection."""
        return self._client.is_connected() and self._client.publish(topic, payload, qos=1).rc == 0

    def stop(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()


class Subscriber:
    """A durable subscription: `take` gives what has come, `ack` lets the broker forget it."""

    def __init__(
        self,
        url: str,
        topic: str = FRAMES_TOPIC,
        client_id: str = "citymote-collector",
        password: str | None = None,
        ca_file: str | None = None,
        log: Callable[[str], None] | None = None,
    ) -> None:
        self.address = parse_url(url)
        self.topic = topic
        self.client_id = client_id
        self.connected = False
        self.losses = 0
        """How often a connection that stood was lost."""
        self._log = log or _silent
        self._queue: queue.Queue[Incoming] = queue.Queue(QUEUE)
        self._generation = 0
        self._lock = threading.Lock()
        self._fatal: BrokerError | None = None
        self._subscribed = threading.Event()
        self._since = 0.0
        self._short = 0
        self._down_since: float | None = None
        self._started = 0.0
        self._trouble: Trouble | None = None
        self._tls = _tls(self.address, ca_file)
        client = _client(self.address, client_id, password, self._tls, clean=False, manual_ack=True)
        client.reconnect_delay_set(1, 30)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        self._client: Client = client

    def start(self) -> None:
        """Begin connecting, in the background."""
        self._started = time.monotonic()
        self._client.connect_async(self.address.host, self.address.port, KEEPALIVE)
        self._client.loop_start()

    def wait(self, timeout: float, *, patient: bool = True) -> bool:
        """True once the subscription stands; raises what would never get better by itself. `patient` False: the first
        attempt that fails is the last."""
        end = time.monotonic() + timeout
        while not self._subscribed.is_set():
            self._check()
            if time.monotonic() >= end or (self._trouble and not patient):
                return False
            self._subscribed.wait(0.05)
        return True

    @property
    def reached(self) -> bool:
        """Whether the subscription has stood at any time."""
        return self._subscribed.is_set()

    def no_answer(self) -> BrokerError:
        """The error for who waited in vain: what is wrong on the way to the broker, if it has had the time to answer.
        """
        waited = time.monotonic() - self._started
        if self._trouble is None and waited < PROBE:
            return BrokerError(f"no answer from {self.address}", f"{waited:.1f} s were not enough", "Give it longer.")
        found = self._trouble or trouble(self.address, self._tls)
        return BrokerError(f"no answer from {self.address}", found.why, found.then)

    def take(self, timeout: float, most: int = 1000) -> list[Incoming]:
        """What has come, oldest first: waits up to `timeout` seconds for the first message, for no further one."""
        taken: list[Incoming] = []
        try:
            taken.append(self._queue.get(timeout=timeout))
            while len(taken) < most:
                taken.append(self._queue.get_nowait())
        except queue.Empty:
            pass
        if not taken:
            self._check()
        return taken

    def ack(self, messages: Sequence[Incoming]) -> None:
        """Tell the broker that these are safe. For a connection that is gone this does nothing: the broker sends
        again.
        """
        for message in messages:
            generation, mid = message.token
            # The lock keeps a reconnection from slipping between the check and the send: packet numbers start anew
            # with it.
            with self._lock:
                if generation == self._generation and mid:
                    self._client.ack(mid, 1)

    def stop(self, *, forget: bool = False) -> None:
        """Disconnect in an orderly way; what is unacknowledged stays with the broker.

        `forget` ends the subscription first, so that a broker does not go on keeping frames for a name that never
        comes back.
        """
        if forget and self.connected:
            self._client.unsubscribe(self.topic)
        self._client.disconnect()
        self._client.loop_stop()

    def _check(self) -> None:
        if self._fatal is not None:
            raise self._fatal

    def _on_connect(self, client: Client, _data: Any, flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._refused(str(reason))
            return
        with self._lock:
            self._generation += 1
        self.connected = True
        self._trouble = None
        self._since = time.monotonic()
        if self._down_since is not None:
            self._log(f"connected to {self.address} again after {time.monotonic() - self._down_since:.0f} s")
        else:
            self._log(f"connected to {self.address}, session {'resumed' if flags.session_present else 'new'}")
        self._down_since = None
        # Also on a resumed session: the broker may have kept the session and another program changed the subscription.
        client.subscribe(self.topic, qos=1)

    def _refused(self, reason: str) -> None:
        text = reason.lower()
        if "unavailable" in text or "busy" in text:
            self._down_since = self._down_since or time.monotonic()
            self._trouble = Trouble(f"it refuses for now ({reason})", "Try again later.")
            self._log(f"{self.address} refuses for now ({reason}); trying again")
            return
        if "identifier" in text:
            next_ = "Choose another --client-id."
        elif "protocol" in text:
            next_ = "Use a broker that speaks MQTT 3.1.1."
        else:
            next_ = f"Check the user in the URL and the password in {VARIABLE}, and the broker's access list."
        self._fatal = BrokerError(f"{self.address} refuses the connection", reason, next_)

    def _on_connect_fail(self, _client: Client, _data: Any) -> None:
        self._failed()

    def _failed(self) -> None:
        if self._down_since is not None and self._tls is None:
            return  # said already, and nothing can be wrong for ever
        found = trouble(self.address, self._tls)
        if found.lasting:
            self._fatal = BrokerError(f"no connection to {self.address}", found.why, found.then)
        elif self._down_since is None:
            self._down_since = time.monotonic()
            self._log(f"cannot reach {self.address}: {found.why}; trying again until it answers. {found.then}")
        self._trouble = self._trouble or found

    def _on_disconnect(self, _client: Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        with self._lock:
            self._generation += 1
        was_connected, self.connected = self.connected, False
        if not reason.is_failure or self._fatal is not None:
            return
        if not was_connected:
            self._failed()
            return
        now = time.monotonic()
        self.losses += 1
        self._down_since = now
        self._short = self._short + 1 if now - self._since < SHORT else 0
        hint = ""
        if self._short >= 3:
            hint = f"; is another program connected as {self.client_id!r}? Two programs need two client ids"
        self._log(f"lost {self.address} ({reason}); trying again until it answers{hint}")

    def _on_subscribe(self, _client: Client, _data: Any, _mid: int, reasons: list[Any], _properties: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            why = f"the broker does not allow reading {self.topic}"
            self._fatal = BrokerError(
                f"{self.address} refuses the subscription", why, "Check the broker's access list."
            )
            return
        self._subscribed.set()

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        mid = message.mid if message.qos else 0
        self._queue.put(Incoming(message.topic, bytes(message.payload), time.time(), (self._generation, mid)))
