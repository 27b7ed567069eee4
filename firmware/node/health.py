"""How the node is: a status frame at start and every hour.

It is a frame like any other and waits in the store until it is acknowledged. While the link does not keep up no
status is added: ninety days of outage are for readings, and the one status that tells of it follows when the queue is
short. A status frame waits for the open batch to become a frame, so that it does not cut it short. What the node is,
is in `describe`.
"""

from citymote_protocol.event import encode_status

CAUSES = ("power", "reset", "watchdog", "sleep")  # the registry's reset_cause counts from 1; 0 is anything else
_QUEUE = 8  # frames waiting beyond which a status would only lengthen the queue
_CUT = 1800  # s that a status waits for the open batch to become a frame
_NEVER = 1000000000  # s; the age of a sensor that has not given a reading since boot
_SENSOR_AGE = 109
_SENSOR_ERRORS = 110
_SOUND_LOST = 117
_SOUND_OVERLOAD = 118
# heap_free, heap_low_water, uptime, boot_count, reset_cause, signal_strength, store_depth, store_discarded, store_used,
# clock_state, clock_drift, link_failures, task_restarts: the registry's ids, in the order of `values`; a test holds the
# names to it.
_FIXED = b"\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6f\x70\x71\x72"


class Health:
    """`node` is the application's; this reads it when it reports."""

    def __init__(self, node, hal, interval):
        self._node = node
        self._hal = hal
        self._interval = interval
        self._due = None  # uptime in s from which a status is due
        cause = hal.reset_cause()
        self.cause = CAUSES.index(cause) + 1 if cause in CAUSES else 0
        columns = [(quantity, 0) for quantity in _FIXED]
        for quantity in (_SENSOR_AGE, _SENSOR_ERRORS):
            columns += [(quantity, sensor.index) for sensor in node.sensors[:23]]  # a frame takes 64 columns
        for sensor in node.sensors:
            if sensor.name == "sound_meter":
                columns += [(_SOUND_LOST, sensor.index), (_SOUND_OVERLOAD, sensor.index)]
        self.columns = tuple(sorted(columns))
        self.piece = len(columns)  # columns a frame

    def values(self):
        """The integers of a status frame, in the order of its columns."""
        free, low = self._hal.memory()
        node = self._node
        store = node.store
        uptime = self._hal.uptime_ms() // 1000
        signal = self._hal.signal()
        numbers = (
            free,
            low,
            uptime,
            node.boots,
            self.cause,
            node.signal if signal is None else signal,
            store.pending,
            store.discarded[0] + store.damaged,
            min(100, store.used * 100 // max(1, store.capacity)),
            node.clock.state,
            node.clock.error,
            node.telemetry.failures,
            node.supervisor.restarts,
        )
        fixed = dict(zip(_FIXED, numbers))
        out = []
        for quantity, instance in self.columns:
            if quantity not in fixed:
                for sensor in node.sensors:
                    if sensor.index == instance:
                        break
                if quantity == _SENSOR_ERRORS:
                    out.append(sensor.errors)
                elif quantity == _SOUND_LOST:
                    out.append(sensor.driver.lost)
                elif quantity == _SOUND_OVERLOAD:
                    out.append(sensor.driver.overloads)
                else:
                    out.append(_NEVER if sensor.good_at is None else uptime - sensor.good_at // 1000)
            else:
                out.append(fixed[quantity])
        return out

    def report_now(self):
        """Say how the node is."""
        node = self._node
        values = self.values()
        for sensor in node.sensors:
            if sensor.name == "sound_meter":
                sensor.driver.lost = sensor.driver.overloads = 0  # told
        time, state = node.moment()

        for at in range(0, len(values), self.piece):
            columns = self.columns[at : at + self.piece]
            numbers = values[at : at + self.piece]

            def make(epoch, seq, columns=columns, numbers=numbers):
                return encode_status(node.store.node, epoch, seq, time, state, columns, numbers)

            node.store.put(make)
        self._due = self._hal.uptime_ms() // 1000 + self._interval

    def tick(self):
        """After a row: report if it is time to, the queue is short and no batch is open; one that stays open is cut."""
        if not self._interval or self._due is None or self._node.store.pending > _QUEUE:
            return
        if self._hal.uptime_ms() // 1000 >= self._due + (_CUT if self._node.store.open_rows else 0):
            self.report_now()
