"""From the store to the collector: connect, send the oldest frames first, forget them when they are acknowledged.

A frame leaves the store on PUBACK and not before; a few are under way at a time. The link is tried again for ever, at
random times that grow to five minutes, so that a city of nodes does not come back all at once after an outage, and a
budget of frames a minute keeps their backlog from flooding what just came back. With a collector's key frames are
sealed, always: a node that cannot seal sends nothing, and says so.
"""

import asyncio

from .journal import INFO, WARNING, reason

WINDOW = 4  # frames under way: enough to fill a round trip, few to send again
_SHORTEST = 2000  # ms to the second attempt; doubled up to the longest
_LONGEST = 300000
_SETTLED = 60000  # ms of connection after which the next loss is met with a short wait again
_CONNECT = 30000  # ms
_PATIENCE = 30000  # ms for an acknowledgement
_BURST = 60  # frames that may go at once before the budget counts


class LinkError(OSError):
    """The link cannot work, for a reason that waiting alone does not mend."""


async def join(hal, network):
    """Join one of a setting's networks, in their order; OSError: of several failures the one that came furthest."""
    each = network.get("networks") if network else None
    furthest = None
    for one in each or (network,):
        try:
            await hal.join(one)
            return
        except OSError as e:
            if furthest is None or e.args[0] > furthest.args[0]:
                furthest = e
    raise furthest or LinkError(1, "no network")


class Telemetry:
    """Keeps frames flowing from `store` to the broker that the settings name.

    `link` makes a client as `links.mqtt` has one; `seal` turns a frame into what is published. Requests come in on
    `citymote/<node id>/rpc/+`, if anyone has set `received`. Why a connection did not come about is `failed`, and how
    far it had come `stage`: 1 the network, 2 the broker, 3 its greeting, 4 beyond.
    """

    def __init__(self, store, settings, hal, node, log, link, seal=None):
        self._store = store
        self._settings = settings
        self._hal = hal
        self._log = log
        self.topic = "citymote/%s/" % node
        self._client_id = "citymote-" + node
        self._link = link
        self._seal = seal
        self.received = None
        self.extra = None  # what else is said: `connected(client)` after connecting, `row(client)` after each row
        self._wake = asyncio.Event()
        self._flight = {}  # packet id: sequence, under way
        self._numbers = {}  # sequence: packet id, of frames that were sent and not acknowledged, over reconnects
        self._next = 0
        self._tokens = _BURST * 60000
        self._counted = 0
        self._ended = None
        self.client = self.failed = None
        self.stage = 0
        self.connected = False
        self.connected_at = None  # uptime of the last connection
        self.failures = 0
        self.sent = 0
        self.acked = 0
        self.bytes = 0
        self.acked_at = None
        store.changed = self.wake

    def wake(self):
        """There may be something to send."""
        self._wake.set()

    async def run(self):
        """For ever: be connected, or try to be."""
        attempt = 0
        while True:
            if not self._settings["broker_host"]:
                await asyncio.sleep_ms(_LONGEST)
                continue
            begin = self._hal.uptime_ms()
            try:
                await self._session()
            except (OSError, EOFError, asyncio.TimeoutError) as e:
                self._lost(e)
            if self.connected_at is not None and self._hal.uptime_ms() - max(begin, self.connected_at) > _SETTLED:
                attempt = 0
            await asyncio.sleep_ms(self._pause(attempt))
            attempt += 1

    def _lost(self, error):
        self.failures += 1
        self.failed = error
        told = self._settings["broker_host"], reason(error) if str(error) else "no answer in time"
        self._log(WARNING, "broker %s: %s" % told)

    def _pause(self, attempt):
        longest = min(_SHORTEST << min(attempt, 10), _LONGEST)
        try:
            draw = self._hal.random(2)
        except (OSError, RuntimeError):
            draw = self._hal.uptime_ms().to_bytes(8, "little")  # no entropy yet; this needs none that is good
        return longest // 2 + (longest // 2) * (draw[0] << 8 | draw[1]) // 65536

    def _tls(self):
        s = self._settings
        if not s["broker_tls"]:
            return None
        if not s["broker_ca"]:
            raise LinkError(1, "TLS without broker_ca: nobody vouches for the broker")
        tls = {"ca": s["broker_ca"], "hostname": s["broker_name"] or s["broker_host"]}
        if s["broker_cert"]:
            tls["cert"] = s["broker_cert"]
            tls["key"] = s["broker_key"]
        for name in tls:
            if name != "hostname" and type(tls[name]) is not bytes:
                raise LinkError(2, "broker_ca, broker_cert or broker_key: neither PEM nor hexadecimal DER")
        return tls

    async def _session(self):
        # What a connection begins with is not here, because this goes on as long as it does.
        stream = await self._open()
        client = self._link(stream, self._on_ack, self.received)
        reader = None
        try:
            await self._greet(client)
            reader = asyncio.create_task(self._read(client))
            await self._begin(client)
            await self._pump(client)
        finally:
            self.connected = False
            self.client = None
            if reader:
                reader.cancel()
            stream.close()

    async def _open(self):
        s = self._settings
        self.stage = 1
        await join(self._hal, s["network"])
        tls = self._tls()
        self.stage = 2
        port = s["broker_port"] or (8883 if s["broker_tls"] else 1883)
        return await asyncio.wait_for_ms(self._hal.connect(s["broker_host"], port, tls), _CONNECT)

    async def _greet(self, client):
        s = self._settings
        client.expiry = s["broker_session"]
        self.stage = 3
        await client.connect(
            self._client_id,
            s["broker_user"],
            s["broker_password"],
            s["broker_keepalive"],
            False,
            (self.topic + "link", b"offline"),
        )
        self.connected = True
        self.client = client
        self.stage = 4
        self.connected_at = self._hal.uptime_ms()
        self._log(INFO, "connected to %s" % s["broker_host"])
        self._hal.event("connected")
        self._ended = None

    async def _begin(self, client):
        await client.say(self.topic + "link", b"online", True)
        if self.extra:
            await self.extra.connected(client)  # pyright: ignore[reportGeneralTypeIssues]
        if self.received:
            await client.subscribe(self.topic + "rpc/+", self._number())
        self._flight = {}
        oldest = self._store.oldest
        self._numbers = {n: self._numbers[n] for n in sorted(self._numbers) if n >= oldest}
        self._store.rewind()

    async def _read(self, client):
        try:
            await client.run()
        except (OSError, EOFError) as e:
            self._ended = e
            self._wake.set()

    def _number(self):
        while True:
            self._next = self._next % 65535 + 1
            if self._next not in self._flight and self._next not in self._numbers.values():
                return self._next

    def _on_ack(self, pid):
        sequence = self._flight.pop(pid, None)
        if sequence is None:
            return
        self._numbers.pop(sequence, None)
        self._store.ack(sequence)
        self.acked += 1
        self.acked_at = self._heard = self._hal.uptime_ms()
        self._hal.event("acked", {"seq": sequence})
        self._wake.set()

    async def _pump(self, client):
        self._heard = self._sent_at = self._hal.uptime_ms()
        keepalive = client.keepalive * 750  # three quarters of it, in ms
        while True:
            self._wake.clear()
            if self.extra:
                await self.extra.row(client)  # pyright: ignore[reportGeneralTypeIssues]
            pause = await self._fill(client)
            if self._ended:
                raise self._ended
            now = self._hal.uptime_ms()
            waits = [] if pause is None else [pause]
            if self._flight or client.pinged:
                if now - self._heard >= _PATIENCE:
                    raise asyncio.TimeoutError
                waits.append(self._heard + _PATIENCE - now)
            elif keepalive:
                if now - self._sent_at >= keepalive:
                    self._heard = self._sent_at = now
                    await client.ping()
                    continue
                waits.append(self._sent_at + keepalive - now)
            await self._rest(client, min(waits) if waits else None)

    async def _rest(self, client, wait):
        if wait is None:
            await self._wake.wait()
            return
        try:
            await asyncio.wait_for_ms(self._wake.wait(), max(1, wait))
        except asyncio.TimeoutError:
            if client.pinged and not self._flight and self._hal.uptime_ms() - self._heard >= _PATIENCE:
                raise

    async def _fill(self, client):
        # Send while the window, the store and the budget allow; returns ms to wait for the budget, if that is short.
        while len(self._flight) < min(WINDOW, client.window) and not self._ended:
            pause = self._budget()
            if pause:
                return pause if self._store.pending > len(self._flight) else None
            found = self._store.next_pending()
            if not found:
                return None
            sequence, frame = found
            message = self._seal(frame) if self._seal else frame
            pid = self._numbers.get(sequence)
            again = pid is not None
            if not again:
                pid = self._number()
            if not self._flight:
                self._heard = self._hal.uptime_ms()
            self._flight[pid] = sequence
            self._numbers[sequence] = pid
            await client.publish(self.topic + "frames", message, pid, again)
            self._sent_at = self._hal.uptime_ms()
            self._tokens -= 60000
            self.sent += 1
            self.bytes += len(message)

    def _budget(self):
        # A bucket of tokens, in 1/60000 of a frame so that a rate a minute fills it by the millisecond.
        rate = self._settings["publish_rate"]
        if not rate:
            self._tokens = _BURST * 60000
            return 0
        now = self._hal.uptime_ms()
        self._tokens = min(_BURST * 60000, self._tokens + (now - self._counted) * rate)
        self._counted = now
        if self._tokens >= 60000:
            return 0
        return (60000 - self._tokens) // rate + 1
