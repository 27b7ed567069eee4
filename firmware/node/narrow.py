"""From the store to a narrow link: one confirmed uplink at a time, within what a data rate carries and the law allows.

Stands in `telemetry`'s place on a node with a LoRaWAN modem. A frame leaves the store when the network has acknowledged
its uplink. Batches are packed and closed before they outgrow the payload, so that each is one uplink; a frame that
is longer than the data rate of the moment takes is sent at the slowest one that takes it, and one that none takes stays
in the store for a wider link. Time on air is a budget, and the modem's own duty cycle is heeded beside it.
"""

import asyncio

from citymote_protocol.batch import Encoder
from citymote_protocol.errors import NO_ROOM, EncodeError
from citymote_protocol.quantities import ABSENT

from .journal import ERROR, INFO, WARNING, reason

SEAL = 41  # bytes that sealing adds, up to the 65,536th frame of a boot
_REDATED = 4  # bytes by which a frame may grow when it is dated
_SMALLEST = 24  # a payload that takes any frame at all
_SHORTEST = 15000  # ms to the second attempt to join; doubled up to an hour, as LoRaWAN asks
_LONGEST = 3600000
_SETTLED = 600000
_AGAIN = 10000  # ms to the next attempt after an uplink that was not acknowledged; doubled up to the longest wait
_LOOK = 600000  # ms between looks at a modem that has nothing to do
_BUSY = 2000  # ms to the next look at a modem that is busy
_TRIES = 4  # uplinks without acknowledgement after which the session counts as lost
_DAY = 86400
_BURST = 3600000  # ms of the hour that the budget counts by
# heap_low_water, uptime, boot_count, reset_cause, store_depth, store_discarded, clock_state, task_restarts: four to a
# frame, because all of a status do not fit
_STATUS = b"\x65\x66\x67\x68\x6a\x6b\x6f\x72"
_PIECE = 4


def days(year, month, day):
    """Days since 2000-01-01."""
    y = year - (month < 3)
    m = (month + 9) % 12
    return 365 * y + y // 4 - y // 100 + y // 400 + (153 * m + 2) // 5 + day - 1 - 730425


class Narrow:
    """Keeps frames flowing from `store` through `modem`, a `links.lorawan.Modem`; `s` is the setting `lorawan`."""

    def __init__(self, store, columns, modem, s, hal, log, clock, seal=None):
        self._store = store
        self._columns = columns
        self._modem = modem
        self._s = s
        self._hal = hal
        self._log = log
        self._clock = clock
        self._seal = seal
        self._wake = asyncio.Event()
        self._band = s.get("band", 4)
        self._sizes = modem.payloads(self._band)
        self._most = s.get("payload", 51)
        self._room = 0
        self._trial = None
        self._budget = 0  # ms on air that may be used now
        self._counted = None
        self._time_at = None  # uptime of the last answer about the time
        self._asked = False
        self._raised = None  # the data rate that was given up for a longer frame
        self.received = self.client = self.failed = None
        self.stage = 0
        self.connected = False
        self.connected_at = None
        self.failures = self.sent = self.acked = self.bytes = 0
        self.acked_at = None
        self.airtime = 0  # ms since boot
        self.too_long = 0  # frames that no data rate takes
        store.changed = self.wake
        store.packed = True
        store.fits = self._fits
        self._make_room(self._most or self._sizes[0] or 51)

    def wake(self):
        """There may be something to send."""
        self._wake.set()

    def slim(self, health):
        """Let status frames be as short as the link is narrow."""
        health.columns = tuple((quantity, 0) for quantity in _STATUS)
        health.piece = _PIECE

    def _make_room(self, size):
        # Frames are to be of this many bytes at most, the seal included.
        size -= SEAL if self._seal else 0
        if size < _SMALLEST:
            raise ValueError("lorawan: %d bytes of payload are too few%s" % (size, " to seal" if self._seal else ""))
        if size != self._room:
            self._room = size
            self._trial = Encoder(None, self._columns, size)

    def _fits(self, batch, values, quality):
        # Whether the open batch with this row more is still one uplink.
        row = batch.count
        if row >= batch.most or batch.columns != self._trial.columns:
            return False
        batch.room()
        for i in range(len(values)):
            batch.values[i][row] = ABSENT if values[i] is None else values[i]
            batch.quality[i][row] = quality[i]
        known = batch.clock in (1, 2, 3)
        try:
            size = self._trial.encode_into(
                self._store.epoch,
                batch.sequence,
                batch.time,
                batch.clock,
                batch.interval,
                row + 1,
                batch.values,
                batch.quality,
                known,
            )
        except EncodeError as e:
            if e.code != NO_ROOM:
                raise
            return False
        return known or size + _REDATED <= self._room

    async def run(self):
        """For ever: have a session with the network, or try to get one."""
        wait = _SHORTEST
        while True:
            begin = self._hal.uptime_ms()
            try:
                await self._session()
            except OSError as e:
                self._log(WARNING, "lorawan: " + reason(e))
            self.connected = False
            self.failures += 1
            self._hal.event("link_down", {"failures": self.failures})
            if self.connected_at is not None and self._hal.uptime_ms() - max(begin, self.connected_at) > _SETTLED:
                wait = _SHORTEST
            draw = self._hal.random(2)
            await asyncio.sleep_ms(wait // 2 + wait // 2 * (draw[0] << 8 | draw[1]) // 65536)
            wait = min(wait * 2, _LONGEST)

    async def _session(self):
        modem = self._modem
        await modem.set_up(self._s)
        if not await modem.joined():
            await modem.join()
        self.connected = True
        self.connected_at = self._hal.uptime_ms()
        self._log(INFO, "lorawan: joined")
        self._hal.event("connected")
        self._store.rewind()
        failed = 0
        if not self._clock.known:
            # Rows wait for a date, and the date for an uplink: this one asks, and says nothing.
            await self._ask_time()
            await self._transmit(self._s.get("port", 2) + 1, b"\0")
        while True:
            await self._watch_rate()
            await self._ask_time()
            found = self._store.next_pending()
            if found is None:
                self._wake.clear()
                try:
                    await asyncio.wait_for_ms(self._wake.wait(), _LOOK)
                except asyncio.TimeoutError:
                    await modem.idle()  # a modem that starts anew says so
                continue
            while not await self._uplink(found[0], found[1]):
                failed += 1
                if failed >= _TRIES:
                    failed = 0
                    await modem.join()
                await asyncio.sleep_ms(min(_AGAIN << failed, _LONGEST))
            failed = 0

    async def _watch_rate(self):
        # Without a size from the settings batches grow as long as the data rate of the moment takes.
        if not self._most:
            size = self._sizes[min(await self._modem.rate(), len(self._sizes) - 1)]
            self._make_room(max(size, _SMALLEST + (SEAL if self._seal else 0)))

    async def _uplink(self, sequence, frame):
        # True when that frame needs no further attempt now.
        message = self._seal(frame) if self._seal else frame
        rate = await self._modem.rate()
        fitting = [r for r in range(len(self._sizes)) if self._sizes[r] >= len(message)]
        if not fitting:
            self.too_long += 1
            self._log(ERROR, "lorawan: frame %d has %d bytes and stays here" % (sequence, len(message)))
            return True
        if rate not in fitting:
            if self._raised is None:
                self._raised = rate
            rate = fitting[0]
            await self._modem.choose(rate, False)
        cost = self._modem.airtime(len(message), rate, self._band)
        await self._afford(cost)
        done = await self._transmit(self._s.get("port", 2), message)
        self._budget -= cost
        self.airtime += cost
        self.sent += 1
        self.bytes += len(message)
        if done:
            self._store.ack(sequence)
            self.acked += 1
            self.acked_at = self._hal.uptime_ms()
            self._hal.event("acked", {"seq": sequence})
        if self._raised is not None:
            rate, self._raised = self._raised, None
            await self._modem.choose(rate, self._s.get("adr", True))
            if not done:
                # Out of reach of the faster rate, perhaps: what is behind it must not wait. Its turn comes again.
                self._log(WARNING, "lorawan: frame %d has %d bytes and nobody hears it" % (sequence, len(message)))
                return True
        return done

    async def _transmit(self, port, message):
        # Whether it was acknowledged, once the modem has let it out.
        while True:
            try:
                return await self._modem.send(port, message)
            except OSError as e:
                if e.errno != self._modem.BUSY:
                    raise
            await asyncio.sleep_ms(max(_BUSY, await self._modem.pause() * 1000))

    async def _afford(self, cost):
        # A bucket of milliseconds on air, filled by the share of the hour that the settings give; at most one hour's.
        share = self._s.get("airtime", 36)  # seconds an hour: one in a hundred
        now = self._hal.uptime_ms()
        if self._counted is None:
            self._budget = share * 1000
        else:
            self._budget = min(share * 1000, self._budget + (now - self._counted) * share // 3600)
        self._counted = now
        if self._budget < cost:
            await asyncio.sleep_ms((cost - self._budget) * 3600 // share + 1)
            self._counted = self._hal.uptime_ms()
            self._budget = cost

    async def _ask_time(self):
        # The answer comes with a downlink: asked before one uplink, looked for after it.
        now = self._hal.uptime_ms()
        if self._time_at is not None and now - self._time_at < _DAY * 1000:
            return
        try:
            if self._asked:
                before = found = await self._modem.clock()
                if found:
                    while found == before:  # it tells whole seconds: where one begins is known to a few hundredths
                        found = await self._modem.clock()
                    self._time_at = now
                    self._asked = False
                    seconds = days(*found[:3]) * _DAY + found[3] * 3600 + found[4] * 60 + found[5]
                    error = self._clock.set(seconds * 1000, 2)  # clock.NETWORK
                    self._hal.rtc(self._clock.now())
                    self._log(INFO, "time from the network, %d ms off" % error)
                    return
            await self._modem.time()
            self._asked = True
        except ValueError:
            self._time_at = now
        except OSError as e:
            if e.errno != self._modem.REFUSED:
                raise
            self._time_at = now  # a modem that knows no such command
