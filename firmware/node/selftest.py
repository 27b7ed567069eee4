"""What the factory has a finished board do: draw its identity, read every sensor, try flash, clock and radio, lock.

Called over the raw REPL and by nobody else, so the node never loads it. It measures and judges nothing: what a good
board reads is in the board's description (`[selftest]`), and the workshop's computer holds the record against it. The
claim secret leaves `draw` as its result, for the label, and is nowhere else.
"""

import asyncio
import gc
import os

from . import fitting
from .journal import reason

LOCK = "/config/locked"  # node/console.py looks for it
_RETRY = 1000  # ms between two tries of a sensor that cannot say anything yet
_SUM = 3000  # ms over which a counter or a sound meter sums up
_STEPS = 32  # of start(), see drivers/README.md
_PATTERN = 1024  # bytes written to each filesystem, read back and removed


async def draw(hal, directory="/config"):
    """This node's identity, drawn now if there is none: {"node", "public_key", "claim_secret", "boots"}."""
    from .crypto import NodeCrypto
    from .enrol import climb
    from .identity import open_steps

    await hal.join(None)  # the radio feeds the random generator
    found = await climb(open_steps(directory, NodeCrypto(hal.random)))
    return {
        "node": found.node_id.hex(),
        "public_key": found.public.hex(),
        "claim_secret": found.claim_secret().hex(),
        "boots": found.boots,
    }


async def test(hal, now=None, seconds=90):
    """The record of a test. `now` is the time of day, s2000: the clock is set to it. `seconds`: a sensor's longest.

    The filesystems are mounted.
    """
    found = await sensors(hal, seconds)
    disks = [flash(path) for path in ("/config", "/store")]
    ticks = await clock(hal, now)
    heard = await radio(hal)
    gc.collect()
    heap = [gc.mem_alloc(), gc.mem_free()]
    return {"sensors": found, "flash": disks, "clock": ticks, "radio": heard, "heap": heap}


async def sensors(hal, seconds):
    """One entry a sensor of the board, all of them read at the same time, as on the node."""
    found = []
    tasks = []
    for number, entry in enumerate(hal.board().get("sensors", ()), 1):
        one = {"sensor": number, "driver": entry.get("driver"), "instance": entry.get("instance") or 0}
        found.append(one)
        tasks.append(asyncio.create_task(_sensor(hal, entry, one, seconds * 1000)))
    for task in tasks:
        await task
    return found


async def _sensor(hal, entry, one, longest):
    begun = hal.uptime_ms()
    power = run = None
    driver = None
    try:
        if entry.get("power"):
            power = hal.pin(entry["power"])
            power.value(1)
        driver = fitting.make_driver(entry, hal)
        if hasattr(driver, "run"):
            run = asyncio.create_task(driver.run())
        while True:
            try:
                one["readings"] = await _read(driver)
                one.pop("error", None)
                if all(value is not None for _, value, _ in one["readings"]):
                    break
            except Exception as e:  # what a driver raises, and what a wrong wire makes of its answers
                one["error"] = reason(e)
                one["code"] = getattr(e, "code", 8)
            if hal.uptime_ms() - begun + _RETRY > longest:
                break
            await asyncio.sleep_ms(_RETRY)
    except (ValueError, KeyError, TypeError, OSError) as e:
        one["error"] = reason(e)
    one["ms"] = hal.uptime_ms() - begun
    if run is not None:
        run.cancel()
    if driver is not None:
        await _stop(driver)
    if power is not None:
        power.value(0)


async def _read(driver):
    for _ in range(getattr(driver, "STEPS", _STEPS)):
        wait = driver.start()
        if not wait:
            break
        await asyncio.sleep_ms(wait)
    if getattr(driver, "ACCUMULATES", False):
        await asyncio.sleep_ms(_SUM)
    return [(quantity, value, quality) for quantity, value, quality in driver.read()]


async def _stop(driver):
    try:
        for _ in range(getattr(driver, "STEPS", _STEPS)):
            wait = driver.stop()
            if not wait:
                return
            await asyncio.sleep_ms(wait)
    except Exception:  # it has been tested; that it does not sleep is for the next reading to notice
        pass


def flash(path):
    """Size and room of a filesystem in bytes, and whether it keeps what is written."""
    one = {"path": path}
    try:
        s = os.statvfs(path)
        one["size"], one["free"] = s[0] * s[2], s[0] * s[3]
        data = bytes((i * 7 + 3) & 255 for i in range(_PATTERN))
        name = path + "/selftest"
        with open(name, "wb") as f:
            f.write(data)
        with open(name, "rb") as f:
            one["kept"] = f.read() == data
        os.remove(name)
    except OSError as e:
        one["error"] = reason(e)
    return one


async def clock(hal, now):
    """How far the uptime and the clock that runs through resets go in two seconds of waiting."""
    if now is not None:
        hal.rtc(now)
    up, at = hal.uptime_ms(), hal.rtc()
    await asyncio.sleep_ms(2000)
    later = hal.rtc()
    return {"uptime": hal.uptime_ms() - up, "rtc": None if at is None or later is None else later - at, "time": later}


async def radio(hal):
    """Whether the radio comes on, whether random numbers differ, and which signals it hears, where the HAL can say."""
    one = {}
    try:
        await hal.join(None)
        one["random"] = hal.random(16) != hal.random(16)
        scan = getattr(hal, "scan", None)
        if scan is not None:
            one["signals"] = list(await scan())
    except (OSError, RuntimeError) as e:
        one["error"] = reason(e)
    return one


def lock():
    """The serial prompt is off from the next start on, until an owner's command opens it."""
    from .files import save

    save(LOCK, b"1")
