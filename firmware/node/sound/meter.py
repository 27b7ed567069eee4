"""The sound level meter as a driver: the application keeps `run()` going and calls `read()` at the end of an interval.

The words come from I2S and go into one buffer, the next read overwrites them; nothing else ever holds audio. What
leaves this file are levels. On a virtual node the bus has a second side, `schedule` and `between`: most hours of a
simulated day are not rendered as sound, and their levels enter here, behind the microphone, into the same interval.
No board has these methods.
"""

import asyncio

from micropython import const
from node.memory import PLENTY, drop

from . import engine, signal
from .interval import LONGEST, Interval

_ACCEPTED = const(0)
_SUSPICIOUS = const(3)
_NO_ANSWER = const(8)
_WARMING_UP = const(10)
_SATURATED = const(16)
_SHORT_READ = const(13)
# Quality codes of signal.OK ... signal.SWAPPED, when nothing else was heard: each fault has its own.
_CODES = b"\x0a\x08\x0f\x0e\x03\x0d\x0c"
_BREATH = const(16)  # reads in a row after which others may run, even if there is more to read
_CHUNK_MS = 100 if PLENTY else 10  # of sound a read; also what the loop hands back to others in between
_QUEUE = const(8192)  # words that the I2S driver keeps while nobody reads (ibuf in hal/esp32.py)
_PERCENTILES = (19, 20, 71)  # l10 l90 l50
_PATIENCE = const(2000)  # ms without a word until the clock counts as missing
_SLICE = const(3600000)


class Port:
    """An I2S bus of the board, not yet open: the meter decides at which rate, and opens it again after a fault."""

    def __init__(self, hal, name):
        self._hal = hal
        self.name = name
        self.now = hal.uptime_ms

    def open(self, rate, stereo=False):
        return self._hal.i2s(self.name, rate, True) if stereo else self._hal.i2s(self.name, rate)


class Meter:
    """A driver that accumulates (drivers/README.md), plus `run()`. Settings:

    microphone   a name of `microphones`; rate 48000, 24000 or 16000
    calibration  what a calibrator says is missing, in 0.01 dB, at most +-20 dB; one that is stored is stronger
    quantities   names, if not all ten
    bands        "octave" or "third": levels in these bands, too
    equaliser    true: the microphone's published response is taken out (`equaliser`)
    """

    BUS = "i2s"
    ACCUMULATES = True
    # The registry's set "noise", in the order of `read`: laeq laf_max l10 l90 lceq lzeq laf_min las_max lc_peak l50
    QUANTITIES = (9, 18, 19, 20, 66, 67, 68, 69, 70, 71)

    def __init__(
        self, port, microphone="inmp441", rate=48000, calibration=0, quantities=None, bands=None, equaliser=False
    ):
        if not -2000 <= calibration <= 2000:
            raise ValueError("calibration: -2000 to 2000, in 0.01 dB")
        from . import calibration as calibrations

        record = calibrations.stored(port.name, microphone)
        if record:
            calibration = record["offset"]
        drop("node.sound.calibration")
        bank = None
        if bands is not None:
            if bands not in ("octave", "third"):
                raise ValueError("bands: octave or third")
            from .bands import Bank

            bank = Bank(rate, 3 if bands == "third" else 1)
            self.QUANTITIES += bank.quantities
        if equaliser:
            from .equaliser import Equaliser

            equaliser = Equaliser(microphone, rate)
        self._columns = self.QUANTITIES
        if quantities is not None:
            from citymote_protocol.quantities import by_name

            asked = [by_name(name) for name in quantities]
            if not asked or not all(q in self._columns for q in asked):
                raise ValueError("quantities: only sound levels are measured here")
            self.QUANTITIES = tuple(q for q in self._columns if q in asked)
        self.port = port
        self._rate = rate
        self.microphone = microphone
        self._interval = Interval(any([q in self.QUANTITIES for q in _PERCENTILES]))
        self.engine = engine.Engine(self._interval, rate, microphone, calibration, bank, equaliser or None)
        drop("node.sound.microphones")
        self.second = self.engine.second
        chunk = rate * _CHUNK_MS // 1000
        self._words = bytearray(4 * chunk + 12)
        whole = memoryview(self._words)
        # A read may end after any word, and the sample loop takes four at a time: up to three wait in front.
        self._places = tuple(whole[4 * k : 4 * (k + chunk)] for k in range(4))
        self._waiting = 0
        self._clock_zero = self._heard = 0
        self._stream = None
        self._known = None  # uptime up to which a silent stretch is in the interval, None while sound is heard
        self._read_at = self._opened = port.now()
        self._running = False
        self._told = signal.OK  # the fault that was noticed last
        self.starts = 0  # how often the bus was opened
        self.lost = self.overloads = 0  # samples, and seconds, since the health report that last told of them

    # The driver

    def about(self):
        """What this sensor is, for the descriptor."""
        from . import calibration

        found = calibration.about(self.port.name, self.microphone, self._rate, self.engine.equaliser)
        drop("node.sound.calibration")
        return found

    def start(self):
        """0: the task measures all the time. The first call of all begins the first interval."""
        if not self._running:
            self._running = True
            self._read_at = self.port.now()
        return 0

    def stop(self):
        """The task lets go of the microphone at its next step."""
        self._running = False
        return 0

    def read(self):
        """The interval that ends now, and the next one begins."""
        now = self.port.now()
        interval = self._interval
        if self._known is not None:
            self._enter_stretch(now)
        else:
            self.engine.close()
        covered = interval.blocks * 5
        if not covered:
            code = _CODES[interval.fault]
            if code == _WARMING_UP and self._running and now - self._opened > _PATIENCE:
                code = _SHORT_READ  # the bus is open and no word came: no clock
        elif interval.overloads:
            code = _SATURATED
        elif (
            covered * 2 < now - self._read_at
            or interval.fault == signal.DC
            or interval.mean(2) is None
            or interval.mean(2) < self.engine.noise + 5000
        ):
            # Less than half of the interval, a strange mean, or no louder than the microphone itself.
            code = _SUSPICIOUS
        else:
            code = _ACCEPTED
        values = [
            interval.mean(2), interval.laf_max, interval.exceeded(10), interval.exceeded(90), interval.mean(1),
            interval.mean(0), interval.laf_min, interval.las_max, interval.lc_peak, interval.exceeded(50),
        ]  # fmt: skip
        bank = self.engine.bank
        if bank:
            values += [bank.level(k, self.engine.base) for k in range(len(bank.quantities))]
            bank.clear()
        self.last_lost = interval.lost
        self.lost += interval.lost
        self.overloads += interval.overloads
        self.last_fault = interval.fault
        interval.clear()
        self._read_at = now
        result = []
        for k in range(len(values)):
            quantity = self._columns[k]
            if quantity in self.QUANTITIES:
                value = values[k]
                if value is None:
                    result.append((quantity, None, code or _NO_ANSWER))
                else:
                    result.append((quantity, (value + 50) // 100, code))
        return result

    # The task

    async def run(self):
        """Listen for ever. An error of the bus is a fault of the interval, and the bus is opened again."""
        self._running = True
        while True:
            if not self._running:
                await asyncio.sleep_ms(200)
                continue
            try:
                await self._listen()
            except OSError:
                self._interval.miss(1000, signal.NO_CLOCK)
                await asyncio.sleep_ms(1000)
            finally:
                self._close()

    def _close(self):
        self._known = None
        if self._stream is not None:
            self._stream.deinit()
            self._stream = None

    async def _listen(self):
        port = self.port
        self._stream = stream = port.open(self._rate)
        self.starts += 1
        self._opened = port.now()
        has_levels = hasattr(stream, "schedule")
        until = 0
        fresh = True
        breath = 0
        while self._running:
            if has_levels and port.now() >= until:
                heard, until = stream.schedule()
                if not heard:
                    self.engine.close()
                    self._known = port.now()
                    fresh = True
                    # In slices, so that nothing ever waits for an instant that is too far away to be counted.
                    while self._running and port.now() < until:
                        await asyncio.sleep_ms(min(until - port.now(), _SLICE))
                        self._enter_stretch(port.now())
                    self._known = None
                    continue
            if fresh:
                fresh = False
                self.engine.restart()
                self._waiting = 0
                self._clock_zero = port.now()
                self._heard = 0
            await self._step(stream)
            breath += 1
            if breath == _BREATH:
                breath = 0
                # A queue that is never empty, because the sums are more than the chip can do, must not stop the rest.
                await asyncio.sleep_ms(0)
            second = self.second
            if second[10] != self._told:
                self._told = second[10]
                if self._told == signal.SILENT:
                    self._stream = None
                    stream.deinit()
                    self.engine.swapped = await self._other_channel()
                    return

    async def _other_channel(self):
        """Whether the microphone speaks in the other half of the frame; the bus is closed before and after."""
        from . import channels

        found = await channels.other(self.port, self._rate)
        drop("node.sound.channels")
        return found

    async def _step(self, stream):
        place = self._places[self._waiting]
        got = await stream.readinto(place)
        if not got:
            raise OSError(5)
        got //= 4
        engine = self.engine
        self._heard += got
        # What the clock says should have come, less what came, less what may still wait in the driver's queue.
        elapsed = self.port.now() - self._clock_zero
        behind = elapsed * (self._rate // 1000) - self._heard
        if behind > _QUEUE:
            engine.lose(behind)
            self._heard += behind
        if elapsed > 600000:
            # Small numbers for ever, and no drift between the two clocks ever adds up to a loss.
            self._clock_zero += elapsed
            self._heard = 0 if behind > 0 else -behind
        have = self._waiting + got
        ready = have & ~3
        engine.feed(self._words, ready)
        self._waiting = have - ready
        words = self._words
        for i in range(4 * self._waiting):
            words[i] = words[4 * ready + i]

    def _enter_stretch(self, now):
        """Take what the virtual node's host says of the time since the last call."""
        interval = self._interval
        begin = self._known
        while begin < now:
            end = min(now, begin + _SLICE)
            try:
                levels = self._stream.between(begin, end)
            except OSError:
                levels = None
            if levels is None:
                interval.miss(end - begin, signal.SILENT)
            elif interval.blocks + (end - begin) // 5 <= LONGEST:
                interval.add_stretch(end - begin, levels)
                if self.engine.bank:
                    self.engine.bank.add_stretch(
                        (end - begin) * (self._rate // 1000) // 512, levels[17:], self.engine.base
                    )
            begin = end
        self._known = now


DRIVER = Meter
