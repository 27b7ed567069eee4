"""The virtual node's hardware: the same names as `esp32.py`, played by the host over a bridge.

Started by `citymote.testing.vm` with `--bridge=R,W` in argv and a directory of its own as working directory:
`board.json` (what is connected to which bus), `settings.json` (the factory's settings), `config.img` and
`store.img` (littlefs). Without a bridge, as in tests of single modules, time runs virtually all the same, files
are found if they exist, and buses answer ENODEV.
"""

# pyright: reportAttributeAccessIssue=false, reportArgumentType=false
import asyncio
import errno
import gc
import hashlib
import json
import os
import struct
import sys

from . import unix_bridge as wire
from . import unix_clock, unix_loop
from .stream import open_stream
from .unix_flash import PROGRAM_SIZE, READ_SIZE, FileFlash

_clock = unix_clock.clock
_hello = {}
_bridge = None
_low = [1 << 30]
_base = [0]  # ms of uptime before this start, of a node that has only slept
_joined = [None]  # the emulated network that was joined
_random = [None, 0]  # seed, blocks drawn


def _start():
    global _bridge
    unix_loop.install()
    for arg in sys.argv:
        if arg.startswith("--bridge="):
            r, w = arg[9:].split(",")
            _bridge = wire.Bridge(int(r), int(w), _clock)
            _hello.update(json.loads(bytes(_bridge.call(wire.HELLO)).decode()))
            _clock.speed = _hello.get("speed", 0)
            _clock.grace = _hello.get("grace", unix_clock.GRACE)
            _clock.reached = _bridge.tick
            if _hello.get("seed"):
                _random[0] = bytes.fromhex(_hello["seed"])
            _bridge.tick()


def _wires():
    if _bridge is None:
        raise OSError(errno.ENODEV)
    return _bridge


def i2c(bus):
    return wire.I2C(_wires(), bus)


def recover(bus):
    """Clock a stuck I2C bus free; returns whether its data line is let go."""
    from .unix_lines import lines
    from .unstick import free

    scl, sda = lines(_wires(), bus)
    return free(scl, sda, lambda: None)


def uart(bus, baudrate):
    return wire.UART(_wires(), bus, baudrate)


def adc(bus):
    return wire.ADC(_wires(), bus)


def counter(bus):
    return wire.Counter(_wires(), bus)


def i2s(bus, rate, stereo=False):
    return wire.I2S(_wires(), bus, rate, stereo)


def pin(name):
    return wire.Pin(_wires(), name)


def uptime_ms():
    """Milliseconds since this start of the node; does not wrap."""
    return _clock.now + _base[0]


def random(n):
    """`n` bytes. From the seed that the host gave, so that a run can be repeated: the virtual node's only.

    SHA-256 over seed and counter; the host gives every start of a node another seed. No board has this
    generator, and a virtual node without a host asks the system.
    """
    if _random[0] is None:
        return os.urandom(n)
    out = b""
    while len(out) < n:
        out += hashlib.sha256(_random[0] + struct.pack("<Q", _random[1])).digest()
        _random[1] += 1
    return out[:n]


async def network_time(server=None):
    """Ask the network for the time: seconds since 2000, or OSError."""
    return struct.unpack("<Q", _wires().call(wire.NETWORK_TIME))[0]


def rtc(seconds=None):
    """The clock that runs on through a reset, but not through a loss of power: s2000, or None when it was never set.

    With `seconds`, set it.
    """
    if seconds is not None:
        _hello["rtc"] = seconds * 1000 - _clock.now
        if _bridge:
            _bridge.call(wire.RTC, 0, 1, struct.pack("<Q", seconds))
    at = _hello.get("rtc")
    return None if at is None else (at + _clock.now) // 1000


def claim(kind):
    """Take the native memory of "wifi", "ble" or "tls"; OSError(ENOMEM) where the chip could not give it."""
    if _bridge:
        _bridge.call(wire.NATIVE, 0, 1, kind.encode())


def release(kind):
    """Give it back."""
    if _bridge:
        _bridge.call(wire.NATIVE, 0, 0, kind.encode())


async def join(network):
    """Join {"ssid", "key"}; OSError when it cannot be joined, numbered 2000 and the reason (SPEC 15.4).

    Where the host emulates no Wi-Fi its own network is always there. None only switches the radio on.
    """
    claim("wifi")
    if network is None or _bridge is None:
        return
    why, lasts = struct.unpack("<BH", _bridge.call(wire.JOIN, 0, 1, json.dumps(network).encode()))
    await asyncio.sleep_ms(lasts)
    _joined[0] = None if why else network
    if why:
        raise OSError(2000 + why, "%s cannot be joined" % network.get("ssid"))


def joined():
    """Whether the network is still there."""
    if _bridge is None or not _joined[0]:
        return True
    return not _bridge.call(wire.JOIN, 0, 0, json.dumps(_joined[0]).encode())[0]


def signal():
    """dBm at which the network's station is heard; None where that cannot be told."""
    if _bridge is None or not _joined[0]:
        return None
    heard = _bridge.call(wire.JOIN, 0, 2)
    return -heard[0] if heard else None


def deployed():
    """Whether this node may work without an owner: a virtual one does, unless its host says otherwise."""
    return bool(_hello.get("deployed", True))


def leave():
    """Switch the network's radio off."""
    _joined[0] = None
    release("wifi")


async def connect(host, port, tls=None):
    """A connection to a real peer, see `stream.py`. While a reply is expected, virtual time stands still."""
    if not joined():
        raise OSError(errno.ETIMEDOUT)
    if not tls:
        return await open_stream(host, port, tls, _clock.expect)
    claim("tls")
    try:
        stream = await open_stream(host, port, tls, _clock.expect)
    except BaseException:
        release("tls")
        raise
    stream.closed = lambda: release("tls")
    return stream


def bluetooth():
    """The module `bluetooth`, under its own name too, so that other people's code for it runs as well."""
    from . import unix_bluetooth

    sys.modules["bluetooth"] = unix_bluetooth
    return unix_bluetooth


def partition(label):
    """The data partition of that name as a block device; None where this board's table has none."""
    cut = _hello.get("cut") or {}
    mine = cut.get("flash") == label
    try:
        return FileFlash(
            label + ".img",
            cut.get("at", 0) if mine else 0,
            cut.get("torn", False),
            _hello.get("wear", True),
            _power_cut,
        )
    except OSError:
        return None


def images():
    """The module that knows the places of MicroPython's own image, see `runtime_images.py`."""
    from . import runtime_images

    return runtime_images


def attach(label, path, fresh=False):
    """Mount the littlefs of a partition; False when it was formatted: a blank or damaged one, or any if `fresh`."""
    import vfs

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
    import vfs

    vfs.umount(path)


def mount():
    """Mount `/config` and `/store`; returns the names of those that were blank and had to be formatted.

    A `/store` that cannot be mounted is formatted too: readings are lost then, and the node lives. A `/config` that
    cannot be mounted raises OSError, because formatting it would make another node of this one.
    """
    import vfs

    formatted = []
    for name in ("config", "store"):
        cut = _hello.get("cut") or {}
        mine = cut.get("flash") == name
        flash = FileFlash(
            name + ".img", cut.get("at", 0) if mine else 0, cut.get("torn", False), _hello.get("wear", True), _power_cut
        )
        try:
            if flash.blank():
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


def _power_cut():
    # Ends with a SIGKILL from the host, or with the exit of a node that has no host.
    if _bridge:
        _bridge.call(wire.FLASH_CUT)
    sys.exit(3)


def _json(path):
    try:
        with open(path) as f:
            return json.load(f)
    except OSError:
        return {}


def board():
    """What is connected to this node: board.json."""
    found = _json("board.json")
    _hello["watchdog"] = (found.get("pins") or {}).get("watchdog")
    return found


def settings():
    """The settings that the factory gave, settings.json; the owner's are the node's own business."""
    return _json("settings.json")


def reset():
    """Start again, with the power on."""
    _exit(85, "reset", {})


def exit(code, report):
    """End the run with counters of it for the host. Only a virtual node's run ends; no board has this name."""
    gc.collect()
    report["heap_free"] = gc.mem_free()
    _exit(code, "exit", report)


def _exit(code, reason, report):
    if _bridge:
        _bridge.cast(wire.EXIT, code, json.dumps({"reason": reason, "report": report}).encode())
    sys.exit(code)


def threshold(n):
    """`n`, the bytes taken after which to collect, or more where the host has given room for it."""
    return n + _hello.get("threshold", 0)


def reset_cause():
    """'power', 'reset', 'watchdog' or 'sleep': why the node started."""
    return _hello.get("cause", "power")


def watchdog(timeout_ms):
    """Start the watchdog. Virtual time cannot hang, so that this one never bites."""


def feed():
    """Tell the watchdog that all is well, and a watchdog chip at the board's pin of that name."""
    if _hello.get("watchdog"):
        chip = pin("watchdog")
        chip.value(1)
        chip.value(0)


def memory():
    """Bytes free in the Python heap now, garbage collected, and the lowest that this function has seen.

    (None, None) on a node of a repeatable run: what the collector finds depends on where the host's kernel puts the
    heap, and readings that differ from run to run would not be the same frames.
    """
    if _hello and not _hello.get("memory"):
        return None, None
    gc.collect()
    free = gc.mem_free()
    if free < _low[0]:
        _low[0] = free
    return free, _low[0]


def sleep(ms):
    """Sleep deeply: all is lost but the flash and what `kept` has, and in `ms` the node starts anew."""
    _exit(86, "sleep", {"ms": ms})


def kept(data=None):
    """What lies in the memory that lives through deep sleep, b"" for nothing; or put `data` there (2048 bytes)."""
    if _bridge is None:
        return b""
    if data is not None:
        _bridge.call(wire.KEPT, 0, 1, data)
        return data
    return bytes(_bridge.call(wire.KEPT))


def clock_ms():
    """Milliseconds of a clock that runs on through deep sleep; what it counts from means nothing."""
    return _hello.get("story", 0) + _clock.now


def resume(uptime):
    """The uptime goes on from here: the node has only slept."""
    _base[0] = uptime - _clock.now


def log(level, text):
    """A line for whoever maintains this node; level 0 error, 1 warning, 2 information, 3 detail."""
    if _bridge:
        _bridge.call(wire.LOG, 0, level, text.encode())
    else:
        print(text)


def event(name, data=None):
    """Something that a test of the virtual node may want to know about; nothing on a board."""
    if _bridge:
        _bridge.call(wire.EVENT, 0, 0, name.encode() + b"\0" + json.dumps(data).encode())


def run(coro):
    """Run the node's main coroutine until it ends."""
    result = asyncio.run(coro)
    if _bridge:
        _bridge.cast(wire.EXIT, 0, b'{"reason": "end", "report": {}}')
    return result


_start()
