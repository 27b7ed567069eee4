"""Runs in a MicroPython VM: cases of the sampler, the supervisor and the MQTT client; argument: the case's name.

Time is the virtual node's, without a host: a case of hours takes milliseconds.
"""

import asyncio
import sys

from node import hal
from node.clock import NETWORK, Clock
from node.drivers.fault import Fault
from node.fitting import BoardError, _gather
from node.links.mqtt import Client, MQTTError
from node.sampling import Sampler
from node.sensor import Sensor
from node.supervisor import Supervisor

T = 850000080  # s2000, a multiple of 120
LINES = []


def log(level, text):
    LINES.append(text)


class Chip:
    """A driver of the tests: waits as told, gives what `source(uptime)` says, raises what it is."""

    QUANTITIES = (3, 4)
    ACCUMULATES = False

    def __init__(self, source, waits=(), accumulates=False):
        self.source = source
        self.waits = waits
        self.ACCUMULATES = accumulates
        self.step = 0
        self.read_at = []
        self.begun_at = []
        self.stopped = 0

    def start(self):
        if self.step == 0:
            self.begun_at.append(hal.uptime_ms())
        if self.step < len(self.waits):
            self.step += 1
            return self.waits[self.step - 1]
        return 0

    def read(self):
        self.step = 0
        self.read_at.append(hal.uptime_ms())
        said = self.source(hal.uptime_ms())
        if isinstance(said, Exception):
            raise said
        return said

    def stop(self):
        self.step = 0
        self.stopped += 1
        return 0


def make(entry, driver, instance=0, index=0):
    entry["driver"] = "chip%d" % index
    return Sensor(index, entry, driver, instance, _gather(entry, driver, instance), hal.uptime_ms, log)


def sampled(sensors, interval, rows, known=True, warm=True):
    """Rows that a sampler makes of these sensors: (time, state, values, quality)."""
    out = []
    clock = Clock(hal.uptime_ms)
    if known:
        clock.set(T * 1000, NETWORK)
    sampler = Sampler(sensors, clock, hal, interval, lambda t, s, v, q: out.append((t, s, list(v), list(q))), log, None)
    if warm:
        sampler.warm_up()

    async def main():
        task = asyncio.create_task(sampler.run())
        while len(out) < rows:
            await asyncio.sleep_ms(1000)
        task.cancel()

    hal.run(main())
    return out, sampler


def constant(value, other=50):
    return lambda now: ((3, value, 0), (4, other, 0))


def rows_are_at_multiples_and_nothing_is_read_after_them():
    chip = Chip(constant(215), waits=(20,))
    rows, sampler = sampled([make({}, chip)], 120, 3)
    assert [row[0] for row in rows] == [T + 120, T + 240, T + 360], rows
    assert rows[0][1:] == (2, [215, 50], [0, 0])
    assert sampler.columns == ((3, 0), (4, 0))
    for k, at in enumerate(chip.read_at[1:]):
        assert (k + 1) * 120000 - 1000 < at <= (k + 1) * 120000, chip.read_at


def a_slow_chip_is_woken_in_time_once_it_is_known():
    chip = Chip(constant(1), waits=(30000, 1000))
    rows, _ = sampled([make({}, chip)], 120, 3)
    assert [row[3] for row in rows] == [[0, 0]] * 3
    assert all(119000 < at % 120000 < 120000 for at in chip.read_at[1:]), chip.read_at


def a_chip_that_is_not_ready_yet_leaves_a_reason():
    chip = Chip(constant(1), waits=(100000,))
    rows, _ = sampled([make({}, chip)], 60, 6, warm=False)
    assert rows[0][2:] == ([None, None], [10, 10]), rows
    assert rows[1][2:] == ([None, None], [10, 10]), rows
    assert rows[2][2:] == ([1, 50], [0, 0]), "begun just before 60 s, it came at 160 s"
    assert all(row[3] in ([0, 0], [10, 10]) for row in rows), rows


def one_silent_chip_spoils_no_other():
    good = Chip(constant(7))
    silent = Chip(lambda now: OSError(19))
    stuck = Chip(lambda now: OSError(110))
    wrong = Chip(lambda now: Fault(12, "another chip"))
    sensors = [make({}, chip, i, i) for i, chip in enumerate((good, silent, stuck, wrong))]
    rows, _ = sampled(sensors, 60, 2)
    assert rows[1][2] == [7, None, None, None, 50, None, None, None], rows
    assert rows[1][3] == [0, 8, 14, 12, 0, 8, 14, 12]
    assert sensors[1].errors >= 4 and sensors[0].errors == 0
    assert sum("chip1" in line for line in LINES) == 1, "said once, not every minute"


def a_drivers_own_mistake_costs_its_columns_only():
    bad = Chip(lambda now: ZeroDivisionError())
    rows, _ = sampled([make({}, bad), make({}, Chip(constant(7)), 1, 1)], 60, 2)
    assert rows[1][2] == [None, 7, None, 50]


def a_passing_fault_is_tried_again_before_the_instant():
    said = [Fault(9, "crc"), None, Fault(9, "crc"), None, Fault(9, "crc"), None, None, None]

    def source(now):
        fault = said.pop(0) if said else None
        return fault or ((3, 1, 0), (4, 2, 0))

    rows, _ = sampled([make({}, Chip(source, waits=(10,)))], 60, 3)
    assert [row[2] for row in rows] == [[1, 2]] * 3, rows


def several_readings_become_one_row():
    chip = Chip(lambda now: ((3, now // 1000, 0), (4, 1, 0)), waits=(10,))
    rows, _ = sampled([make({"reads": 4}, chip)], 120, 1)
    assert len(chip.read_at) == 5, "one to learn, four that count"
    assert rows[0][2] == [74, 1], "the mean of 29, 59, 89 and 119"


def an_extreme_is_taken_of_the_readings():
    class Shake(Chip):
        QUANTITIES = (10,)

    values = [0, 5, 90, 7, 2]
    chip = Shake(lambda now: ((10, values.pop(0) if values else 0, 0),))
    rows, sampler = sampled([make({"reads": 4, "quantities": ["acceleration_x", "acceleration_x_max"]}, chip)], 60, 1)
    assert sampler.columns == ((10, 0), (24, 0))
    assert rows[0][2] == [26, 90], rows


def what_accumulates_is_closed_at_the_instant():
    chip = Chip(lambda now: ((3, now // 1000, 0), (4, 0, 0)), accumulates=True)
    rows, _ = sampled([make({}, chip)], 60, 3)
    assert [row[2][0] for row in rows] == [60, 120, 180]
    assert chip.begun_at == [0, 60000, 120000, 180000]


def a_sensor_of_every_third_row_is_absent_without_blame_in_between():
    chip = Chip(constant(1))
    rows, _ = sampled([make({"every": 3}, chip), make({}, Chip(constant(2)), 1, 1)], 60, 6)
    due = [row[0] // 60 % 3 == 0 for row in rows]
    assert [row[2][0] for row in rows] == [1 if d else None for d in due]
    assert all(row[3][0] == 0 for row in rows)


def a_fan_rests_when_the_interval_is_long():
    chip = Chip(constant(1), waits=(30000,))
    rows, _ = sampled([make({}, chip)], 1800, 2)
    assert chip.stopped == 3, "after the reading that only teaches, and after each row"
    assert rows[1][2] == [1, 50]
    quick = Chip(constant(1), waits=(30000,))
    sampled([make({}, quick)], 120, 2)
    assert quick.stopped == 0


def without_the_time_rows_count_uptime():
    rows, _ = sampled([make({}, Chip(constant(1)))], 60, 2, known=False)
    assert [row[:2] for row in rows] == [(60, 0), (120, 0)]


def the_time_coming_late_dates_the_row_in_progress_and_realigns():
    out = []
    clock = Clock(hal.uptime_ms)
    sampler = Sampler([make({}, Chip(constant(1)))], clock, hal, 60, lambda t, s, v, q: out.append((t, s)), log)

    async def main():
        task = asyncio.create_task(sampler.run())
        await asyncio.sleep_ms(75000)
        clock.set((T + 13) * 1000, NETWORK)
        while len(out) < 4:
            await asyncio.sleep_ms(1000)
        task.cancel()

    hal.run(main())
    assert out[0] == (60, 0)
    assert out[1] == (T + 13 + 45, 2), "120 s of uptime is 45 s after the time became known"
    assert out[2:] == [(T + 60, 2), (T + 120, 2)] or out[2:] == [(T + 120, 2), (T + 180, 2)], out


def a_board_that_asks_for_what_a_chip_has_not_is_told():
    for entry, part in (
        ({"quantities": ["pm2_5"]}, "does not measure pm2_5"),
        ({"reads": 0}, "reads is 1 to 3600"),
        ({"every": {"humidity": 0}}, "every is 1 to 86400"),
    ):
        try:
            make(entry, Chip(constant(1)))
            raise AssertionError("taken")
        except BoardError as e:
            assert part in str(e), e


def an_exception_in_a_task_ends_nothing_and_is_tried_again_later():
    supervisor = Supervisor(hal, log)
    runs = []

    async def failing():
        runs.append(hal.uptime_ms())
        if len(runs) < 4:
            raise ValueError("x")

    async def main():
        supervisor.start("failing", failing)
        await asyncio.sleep_ms(20000)

    hal.run(main())
    assert runs == [0, 1000, 3000, 7000], runs
    assert supervisor.failures == {"failing": 3} and supervisor.restarts == 3


class Fed:
    def __init__(self):
        self.fed = []
        self.uptime_ms = hal.uptime_ms

    def watchdog(self, timeout):
        pass

    def feed(self):
        self.fed.append(self.uptime_ms())


def the_watchdog_is_fed_by_progress_alone():
    fed = Fed()
    supervisor = Supervisor(fed, log)

    async def main():
        supervisor.promise("sampling", 5000)
        supervisor.start("watchdog", lambda: supervisor.feed(1000, 60000))
        for _ in range(4):
            await asyncio.sleep_ms(4000)
            supervisor.alive("sampling")
        await asyncio.sleep_ms(20000)

    hal.run(main())
    assert fed.fed[-1] == 21000, "5 s after the last sign of life"
    assert sum("no progress: sampling" in line for line in LINES) == 1


class Peer:
    """A stream whose other end is a script: bytes that arrive, and what was written."""

    def __init__(self, *arriving):
        self.arriving = b"".join(arriving)
        self.written = b""
        self.expected = 0
        self.asked = 0  # the largest read that anyone asked for

    async def readexactly(self, n):
        self.asked = max(self.asked, n)
        if len(self.arriving) < n:
            raise EOFError
        got, self.arriving = self.arriving[:n], self.arriving[n:]
        return got

    async def write(self, data):
        self.written += bytes(data)

    async def drain(self):
        pass

    def expect(self, n):
        self.expected += n


CONNACK = b"\x20\x02\x00\x00"


async def heard(client):
    """Connect and take in what comes."""
    await client.connect("x")
    await client.run()


def ends_with(coroutine):
    """What an MQTT client's coroutine ends with."""
    try:
        hal.run(coroutine)
    except MQTTError as e:
        return str(e)
    return None


def connect_says_who_it_is_and_what_is_to_be_said_when_it_is_gone():
    peer = Peer(CONNACK)
    client = Client(peer, None)
    hal.run(client.connect("citymote-x", "u", "pw", 300, False, ("w/t", b"off")))
    body = b"\x00\x04MQTT\x04\xec\x01\x2c\x00\x0acitymote-x\x00\x03w/t\x00\x03off\x00\x01u\x00\x02pw"
    assert peer.written == b"\x10" + bytes([len(body)]) + body, peer.written
    assert peer.expected == 0 and client.session is False


def a_refusal_has_its_reason():
    for code, word in (
        (1, "MQTT 3.1.1"),
        (2, "client id"),
        (3, "unavailable"),
        (4, "password"),
        (5, "not authorized"),
        (99, "99"),
    ):
        said = ends_with(Client(Peer(b"\x20\x02\x00" + bytes([code])), None).connect("x"))
        assert said and word in said, said


def publishes_are_acknowledged_by_number():
    acked = []
    peer = Peer(CONNACK, b"\x40\x02\x00\x07", b"\x40\x02\x12\x34")
    client = Client(peer, acked.append)

    async def main():
        await client.connect("x")
        await client.publish("a/b", b"payload", 7)
        await client.publish("a/b", b"p" * 2000, 0x1234, True)
        assert peer.expected == 2
        await client.run()

    assert "closed" in ends_with(main())
    assert acked == [7, 0x1234] and peer.expected == 0
    assert b"\x32\x0e\x00\x03a/b\x00\x07payload" in peer.written
    assert b"\x3a\xd7\x0f\x00\x03a/b\x12\x34pp" in peer.written


def a_long_packet_is_refused_before_memory_is_taken():
    for head in (b"\x30\xff\xff\xff\x7f", b"\x30\x81\x10", b"\x30\xff\xff\xff\xff\x01"):
        peer = Peer(CONNACK, head)
        said = ends_with(heard(Client(peer, None)))
        assert "bytes" in said, said
        assert peer.asked <= 2


def what_no_broker_may_send_ends_the_connection():
    for bad in (
        b"\x10\x00",
        b"\x40\x01\x00",
        b"\xd0\x01\x00",
        b"\x00\x00",
        b"\x36\x03\x00\x00\x00",
        b"\x32\x01\x00",
        b"\x90\x03\x00\x01\x80",
    ):
        said = ends_with(heard(Client(Peer(CONNACK, bad), lambda pid: None)))
        assert said and "closed" not in said, (bad, said)


def a_message_is_handed_on_and_acknowledged():
    got = []
    peer = Peer(CONNACK, b"\x32\x09\x00\x03c/d\x00\x2ahi", b"\x30\x07\x00\x03c/dyo")
    client = Client(peer, None, lambda topic, payload: got.append((topic, bytes(payload))))

    async def main():
        await client.connect("x")
        await client.subscribe("c/d", 1)
        await client.run()

    ends_with(main())
    assert got == [("c/d", b"hi"), ("c/d", b"yo")], got
    assert peer.written.endswith(b"\x82\x08\x00\x01\x00\x03c/d\x01\x40\x02\x00\x2a"), peer.written


def a_ping_is_answered_or_remembered():
    peer = Peer(CONNACK, b"\xd0\x00")
    client = Client(peer, None)

    async def main():
        await client.connect("x")
        await client.ping()
        assert client.pinged and peer.expected == 1
        await client.run()

    ends_with(main())
    assert not client.pinged and peer.expected == 0
    assert peer.written.endswith(b"\xc0\x00")


globals()[sys.argv[1]]()
print("done")
