"""What the node says about itself: a descriptor when it starts or changes, a status at start and every hour.

Both are frames like any other and wait in the store until they are acknowledged. While the link does not keep up no status
is added: ninety days of outage are for readings, and the one status that tells of it follows when the queue is short. A status
frame waits for the open batch to become a frame, so that it does not cut it short.
"""

import sys

from citymote_protocol import quantities as q
from citymote_protocol.descriptor import Descriptor, encode_descriptor
from citymote_protocol.descriptor import Sensor as SensorField
from citymote_protocol.event import encode_status

FIRMWARE = "0.1.0"
CAUSES = ("power", "reset", "watchdog", "sleep")  # the registry's reset_cause counts from 1; 0 is anything else
_QUEUE = 8  # frames waiting beyond which a status would only lengthen the queue
_NEVER = 1000000000  # s; the age of a sensor that has not given a reading since boot

# The registry's set "health" first, in its order, then what each node has as many of as sensors.
_FIXED = (q.HEAP_FREE, q.HEAP_LOW_WATER, q.UPTIME, q.BOOT_COUNT, q.RESET_CAUSE, q.STORE_DEPTH, q.STORE_DISCARDED)
_FIXED += (q.STORE_USED, q.CLOCK_STATE, q.CLOCK_DRIFT, q.LINK_FAILURES, q.TASK_RESTARTS)


def runtime():
    """What runs this: MicroPython and its version."""
    return "%s %s" % (sys.implementation[0], ".".join(str(n) for n in sys.implementation[1][:3]))


class Health:
    def __init__(self, hal, node, boots, clock, store, sampler, telemetry, supervisor, model, interval):
        self._hal = hal
        self._node = node
        self._boots = boots
        self._clock = clock
        self._store = store
        self._sampler = sampler
        self._telemetry = telemetry
        self._supervisor = supervisor
        self._model = model
        self._interval = interval
        self._due = None  # uptime in s from which a status is due
        cause = hal.reset_cause()
        self.cause = CAUSES.index(cause) + 1 if cause in CAUSES else 0
        columns = [(quantity, 0) for quantity in _FIXED]
        for quantity in (q.SENSOR_AGE, q.SENSOR_ERRORS):
            columns += [(quantity, sensor.index) for sensor in sampler.sensors]
        self.columns = tuple(sorted(columns[: 12 + 2 * 24]))  # sixty columns at most, a frame takes 64

    def values(self):
        """Column: integer, of everything in a status frame."""
        free, low = self._hal.memory()
        store = self._store
        uptime = self._hal.uptime_ms() // 1000
        found = {
            q.HEAP_FREE: free,
            q.HEAP_LOW_WATER: low,
            q.UPTIME: uptime,
            q.BOOT_COUNT: self._boots,
            q.RESET_CAUSE: self.cause,
            q.STORE_DEPTH: store.pending,
            q.STORE_DISCARDED: store.discarded[0] + store.damaged,
            q.STORE_USED: min(100, store.used * 100 // max(1, store.capacity)),
            q.CLOCK_STATE: self._clock.state,
            q.CLOCK_DRIFT: self._clock.error,
            q.LINK_FAILURES: self._telemetry.failures,
            q.TASK_RESTARTS: self._supervisor.restarts,
        }
        out = {}
        for quantity in _FIXED:
            out[(quantity, 0)] = found[quantity]
        for sensor in self._sampler.sensors:
            age = _NEVER if sensor.good_at is None else uptime - sensor.good_at // 1000
            out[(q.SENSOR_AGE, sensor.index)] = age
            out[(q.SENSOR_ERRORS, sensor.index)] = sensor.errors
        return out

    def _now(self):
        clock = self._clock
        return clock.now() if clock.known else self._hal.uptime_ms() // 1000

    def _state(self):
        return self._clock.state if self._clock.known else 0

    def describe(self):
        """Say what this node is."""
        sensors = tuple(
            SensorField(driver=sensor.name, columns=tuple(sorted(sensor.columns))) for sensor in self._sampler.sensors
        )
        if not sensors:
            return  # a descriptor without sensors says nothing
        descriptor = Descriptor(
            model=self._model, firmware=FIRMWARE, runtime=runtime(), sensors=sensors, batch_columns=self._sampler.columns
        )
        descriptor.node = self._node
        descriptor.time = self._now()
        descriptor.clock = self._state()

        def make(epoch, seq):
            descriptor.epoch = epoch
            descriptor.seq = seq
            return encode_descriptor(descriptor)

        self._store.put(make)

    def report(self):
        """Say how the node is."""
        values = self.values()
        line = [values[column] for column in self.columns]

        def make(epoch, seq):
            return encode_status(self._node, epoch, seq, self._now(), self._state(), self.columns, line)

        self._store.put(make)
        self._due = self._hal.uptime_ms() // 1000 + self._interval

    def tick(self):
        """After a row: report if it is time to, the queue is short and no batch is open."""
        if not self._interval or self._due is None or self._store.open_rows or self._store.pending > _QUEUE:
            return
        if self._hal.uptime_ms() // 1000 >= self._due:
            self.report()
