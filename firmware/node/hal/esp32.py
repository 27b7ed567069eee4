"""An ESP32 board's hardware: the same names as `unix.py`, here over MicroPython's `machine`, `esp32` and `network`.

Which pins a bus has comes from `/board.json` on the application's filesystem, made from boards/<name>/board.toml.
Needs MicroPython 1.26 (machine.Counter). What is kept for good lies on two littlefs of their own, partitions `config`
and `store` of our partition table; on a stock table they are two folders of the one filesystem, for developers.
"""

import asyncio
import errno
import gc
import hashlib
import json
import os
import socket
import struct
import time

import esp32
import machine
import network as _network
import vfs

from .stream import BAD_KEY, NO_ADDRESS, NO_NETWORK, Readable, open_stream

POWER_ON = "power"
RESET = "reset"
WATCHDOG = "watchdog"
SLEEP = "sleep"

READ_SIZE = 32
PROGRAM_SIZE = 32
JOIN_TIMEOUT = 30000  # ms; association takes 1 to 5 s, a busy DHCP server the rest
TIME_SERVER = "pool.ntp.org"
NTP_TIMEOUT = 5000
I2C_TIMEOUT = 200000  # us that a chip may hold the clock: an SCD30 does for 150 ms, once a day
_DENIED = (202, 204, 15)  # reasons of ESP-IDF's station: authentication, handshake and four-way handshake failed
_2000 = 3155673600  # seconds from NTP's epoch, 1900, to 2000
_SET = 820454400  # an RTC that shows less than the year 2026 was never set
_SEED = "/config/seed"

_board = {}
_buses = {}
_state = {"ms": 0, "ticks": time.ticks_ms(), "low": 1 << 30, "wdt": None, "wlan": None, "chip": None}
_pool = [None, 0]  # the hedged seed of this boot, blocks drawn from it


def _bus(name, kind):
    if not _board:
        _board.update(board())
    try:
        description = _board["buses"][name]
        if description["kind"] != kind:
            raise KeyError
        return description
    except KeyError:
        raise OSError(errno.ENODEV)


def i2c(bus):
    if bus not in _buses:
        b = _bus(bus, "i2c")
        _buses[bus] = machine.I2C(
            b["id"], scl=machine.Pin(b["scl"]), sda=machine.Pin(b["sda"]), freq=b.get("frequency", 100000),
            timeout=b.get("timeout", I2C_TIMEOUT),
        )  # fmt: skip
    return _buses[bus]


def recover(bus):
    """Clock a stuck I2C bus free; returns whether its data line is let go.

    The pins are the controller's again afterwards: MicroPython has one object an I2C unit, which making it anew sets up
    from the start, so drivers keep the one that they have.
    """
    from .unstick import free

    b = _bus(bus, "i2c")
    pins = [machine.Pin(b[k], machine.Pin.OPEN_DRAIN, machine.Pin.PULL_UP, value=1) for k in ("scl", "sda")]
    freed = free(pins[0], pins[1], lambda: time.sleep_us(5))
    _buses.pop(bus, None)
    i2c(bus)
    return freed


def uart(bus, baudrate):
    b = _bus(bus, "uart")
    return machine.UART(b["id"], baudrate, tx=b["tx"], rx=b["rx"], rxbuf=256, timeout=0)


def adc(bus):
    return machine.ADC(machine.Pin(_bus(bus, "adc")["pin"]), atten=machine.ADC.ATTN_11DB)


def counter(bus):
    if bus not in _buses:
        b = _bus(bus, "counter")
        # a reed contact closes to ground; the pulse counter's filter takes its bouncing
        _buses[bus] = machine.Counter(
            b["id"], machine.Pin(b["pin"], machine.Pin.IN, machine.Pin.PULL_UP), edge=machine.Counter.FALLING,
            filter_ns=12000,
        )  # fmt: skip
    return _buses[bus]


class _Sound:
    # Whole buffers from the DMA's stream, other tasks running meanwhile.
    def __init__(self, b, rate, stereo):
        self._i2s = machine.I2S(
            b["id"], sck=machine.Pin(b["sck"]), ws=machine.Pin(b["ws"]), sd=machine.Pin(b["sd"]),
            mode=machine.I2S.RX, bits=32, rate=rate, ibuf=32768,
            format=machine.I2S.STEREO if stereo else machine.I2S.MONO,
        )  # fmt: skip
        self._polled = False

    async def readinto(self, buf):
        # What waits in the driver's queue is taken at once: after a pause the queue is emptied in one go. Only until
        # it was polled for the first time would the driver block instead of saying that there is nothing.
        mv = memoryview(buf)
        done = 0
        while done < len(mv):
            got = self._i2s.readinto(mv[done:]) if self._polled else 0
            if got:
                done += got
            else:
                await Readable(self._i2s)
                self._polled = True
        return done

    def deinit(self):
        self._i2s.deinit()


def i2s(bus, rate, stereo=False):
    """A stream of words of the left channel, or of both in turn."""
    return _Sound(_bus(bus, "i2s"), rate, stereo)


def pin(name):
    if not _board:
        _board.update(board())
    b = _board["pins"][name]
    if b.get("out"):
        return machine.Pin(b["pin"], machine.Pin.OUT)
    if b.get("pull_up"):
        return machine.Pin(b["pin"], machine.Pin.IN, machine.Pin.PULL_UP)
    return machine.Pin(b["pin"], machine.Pin.IN)


def uptime_ms():
    """Milliseconds since this start of the node; does not wrap as long as somebody asks once in six days."""
    ticks = time.ticks_ms()
    _state["ms"] += time.ticks_diff(ticks, _state["ticks"])
    _state["ticks"] = ticks
    return _state["ms"]


def random(n):
    """`n` bytes. The generator is a true one only while a radio runs; before that this refuses (RuntimeError).

    Hedged: what the generator gives is hashed with a seed from flash that every boot renews, so that a generator
    that failed unnoticed still gives another sequence on every board and after every start.
    """
    if _pool[0] is None:
        if _state["wlan"] is None and not _ble_on():
            raise RuntimeError("random numbers need a radio: join(None) switches one on")
        _stir()
    out = b""
    while len(out) < n:
        out += hashlib.sha256(_pool[0] + os.urandom(32) + struct.pack("<I", _pool[1])).digest()
        _pool[1] += 1
    return out[:n]


def _ble_on():
    import bluetooth

    return bluetooth.BLE().active()


def _stir():
    old = b""
    try:
        with open(_SEED, "rb") as f:
            old = f.read(32)
    except OSError:
        pass
    fresh = os.urandom(32)
    # the successor is on flash before anything is drawn from this seed
    with open(_SEED + ".new", "wb") as f:
        f.write(hashlib.sha256(b"next" + old + fresh).digest())
    os.rename(_SEED + ".new", _SEED)
    _pool[0] = hashlib.sha256(b"now" + old + fresh).digest()


async def network_time(server=None):
    """Ask the network for the time (SNTP, RFC 4330 as a client): seconds since 2000, or OSError."""
    at = socket.getaddrinfo(server or TIME_SERVER, 123, 0, socket.SOCK_DGRAM)[0]
    s = socket.socket(at[0], socket.SOCK_DGRAM)
    try:
        s.setblocking(False)
        request = bytearray(48)
        request[0] = 0x23  # version 4, client
        request[40:48] = os.urandom(8)  # not our time but a cookie: the answer must bring it back
        s.sendto(request, at[-1])
        reply = await asyncio.wait_for_ms(_datagram(s), NTP_TIMEOUT)
    except asyncio.TimeoutError:
        raise OSError(errno.ETIMEDOUT)
    finally:
        s.close()
    if len(reply) < 48 or reply[0] & 7 != 4 or reply[0] >> 6 == 3 or not 1 <= reply[1] <= 15:
        raise OSError(errno.EINVAL)
    if reply[24:32] != request[40:48]:
        raise OSError(errno.EINVAL)
    seconds = struct.unpack("!I", reply[40:44])[0] - _2000
    return seconds if seconds >= 0 else seconds + (1 << 32)  # NTP's era ends in 2036


async def _datagram(s):
    await Readable(s)
    return s.recv(64)


def rtc(seconds=None):
    """The clock that runs on through a reset and deep sleep: s2000, or None when it was never set; or set it."""
    if seconds is not None:
        t = time.gmtime(seconds)
        machine.RTC().datetime((t[0], t[1], t[2], t[6], t[3], t[4], t[5], 0))
    now = time.time()
    return now if now >= _SET else None


async def join(network):
    """Join {"ssid", "key"}; OSError when it cannot be joined. None only switches the radio on."""
    wlan = _state["wlan"]
    if wlan is None:
        wlan = _state["wlan"] = _network.WLAN(_network.WLAN.IF_STA)
    wlan.active(True)
    if network is None:
        return
    if not wlan.isconnected():
        wlan.connect(network["ssid"], network.get("key"))
    until = uptime_ms() + JOIN_TIMEOUT
    while not wlan.isconnected():
        if uptime_ms() >= until:
            why = _why(wlan)
            wlan.disconnect()
            raise OSError(why, "%s cannot be joined" % network["ssid"])
        await asyncio.sleep_ms(100)


def _why(wlan):
    # What the station says when it has given up: with its access point, but without an address, it says nothing.
    status = wlan.status()
    if status == _network.STAT_NO_AP_FOUND:
        return NO_NETWORK
    if status == _network.STAT_WRONG_PASSWORD or status in _DENIED:
        return BAD_KEY
    try:
        wlan.status("rssi")
        return NO_ADDRESS
    except (OSError, ValueError):
        return NO_NETWORK


def joined():
    return _state["wlan"] is not None and _state["wlan"].isconnected()


def signal():
    """dBm at which the network's station is heard; None where that cannot be told."""
    try:
        return _state["wlan"].status("rssi")
    except (AttributeError, OSError, ValueError):
        return None


def deployed():
    """Whether this node may work without an owner: never, on a board."""
    return False


def leave():
    """Switch the network's radio off."""
    if _state["wlan"] is not None:
        _state["wlan"].active(False)
        _state["wlan"] = None


async def connect(host, port, tls=None):
    """A connection to a peer, see `stream.py`."""
    return await open_stream(host, port, tls)


def bluetooth():
    """The module `bluetooth`."""
    import bluetooth

    return bluetooth


def partition(label):
    """The data partition of that name as a block device; None where this board's table has none."""
    found = esp32.Partition.find(esp32.Partition.TYPE_DATA, label=label)
    return found[0] if found else None


def images():
    """The module that knows the places of MicroPython's own image, see `runtime_images.py`."""
    from . import runtime_images

    return runtime_images


def attach(label, path, fresh=False):
    """Mount the littlefs of a partition; False when it was formatted: a blank or damaged one, or any if `fresh`."""
    flash = partition(label)
    if flash is None:
        raise OSError(errno.ENODEV)
    if not fresh:
        try:
            vfs.mount(vfs.VfsLfs2(flash, readsize=READ_SIZE, progsize=PROGRAM_SIZE), path)
            return True
        except OSError:
            pass
    vfs.VfsLfs2.mkfs(flash, readsize=READ_SIZE, progsize=PROGRAM_SIZE)
    vfs.mount(vfs.VfsLfs2(flash, readsize=READ_SIZE, progsize=PROGRAM_SIZE), path)
    return False


def detach(path):
    """Unmount what `attach` mounted."""
    vfs.umount(path)


def mount():
    """Mount `/config` and `/store`; returns the names of those that were blank and had to be formatted.

    A `/store` that cannot be mounted is formatted too: readings are lost then, and the node lives. A `/config` that
    cannot be mounted raises OSError, because formatting it would make another node of this one.
    """
    formatted = []
    for name in ("config", "store"):
        found = esp32.Partition.find(esp32.Partition.TYPE_DATA, label=name)
        if not found:
            try:
                os.mkdir("/" + name)
                formatted.append(name)
            except OSError:
                pass
            continue
        flash = found[0]
        try:
            if _blank(flash):
                raise OSError(errno.ENOENT)
            fs = vfs.VfsLfs2(flash, readsize=READ_SIZE, progsize=PROGRAM_SIZE)
        except OSError as e:
            if name == "config" and e.errno != errno.ENOENT:
                raise
            vfs.VfsLfs2.mkfs(flash, readsize=READ_SIZE, progsize=PROGRAM_SIZE)
            fs = vfs.VfsLfs2(flash, readsize=READ_SIZE, progsize=PROGRAM_SIZE)
            formatted.append(name)
        vfs.mount(fs, "/" + name)
    return tuple(formatted)


def _blank(flash):
    # Nothing was ever programmed in the two blocks that hold littlefs' superblocks.
    buf = bytearray(256)
    for at in range(0, 8192, 256):
        flash.readblocks(at // 4096, buf, at % 4096)
        if buf != b"\xff" * 256:
            return False
    return True


def _json(path):
    try:
        with open(path) as f:
            return json.load(f)
    except OSError:
        return {}


def board():
    """What is connected to this node: board.json."""
    found = _json("/board.json")
    chip = (found.get("pins") or {}).get("watchdog")
    _state["chip"] = chip and chip["pin"]
    return found


def settings():
    """The settings that the factory gave, settings.json; the owner's are the node's own business."""
    return _json("/settings.json")


def reset():
    """Start again, with the power on."""
    machine.reset()


def reset_cause():
    """'power', 'reset', 'watchdog' or 'sleep': why the node started."""
    cause = machine.reset_cause()
    if cause == machine.PWRON_RESET:
        return POWER_ON
    if cause == machine.WDT_RESET:
        return WATCHDOG
    return SLEEP if cause == machine.DEEPSLEEP_RESET else RESET


def watchdog(timeout_ms):
    """Start the watchdog; it cannot be stopped again."""
    _state["wdt"] = machine.WDT(timeout=timeout_ms)


def feed():
    """Tell the watchdog that all is well, and a watchdog chip at the board's pin of that name."""
    uptime_ms()
    if _state["wdt"]:
        _state["wdt"].feed()
    if _state["chip"] is not None:
        chip = machine.Pin(_state["chip"], machine.Pin.OUT)
        chip.value(1)  # for some microseconds; such chips (TPL5010) want a tenth of one
        chip.value(0)


def memory():
    """Bytes free in the Python heap now, garbage collected, and the lowest that this function has seen.

    Either may be None where it is not known.
    """
    gc.collect()
    free = gc.mem_free()
    if free < _state["low"]:
        _state["low"] = free
    return free, _state["low"]


def sleep(ms):
    """Sleep deeply: all is lost but the flash and what `kept` has, and in `ms` the node starts anew."""
    machine.deepsleep(ms)


def kept(data=None):
    """What lies in the memory that lives through deep sleep, b"" for nothing; or put `data` there (2048 bytes)."""
    if data is not None:
        machine.RTC().memory(data)
        return data
    return bytes(machine.RTC().memory())


def clock_ms():
    """Milliseconds of a clock that runs on through deep sleep; what it counts from means nothing."""
    return time.time_ns() // 1000000


def resume(uptime):
    """The uptime goes on from here: the node has only slept."""
    _state["ms"] = uptime
    _state["ticks"] = time.ticks_ms()


def log(level, text):
    """A line for whoever maintains this node; level 0 error, 1 warning, 2 information, 3 detail."""
    print(uptime_ms(), level, text)


def event(name, data=None):
    """Something that a test of the virtual node may want to know about; nothing on a board."""


def run(coro):
    """Run the node's main coroutine until it ends."""
    return asyncio.run(coro)
