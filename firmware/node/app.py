"""The one place where the node is put together: hardware, settings, identity, clock, sensors, store, link, health.

A start comes in stages, because all of the node's code together does not fit a small heap: what only a stage needs is
loaded for it and let go after it. What fails at start is logged and lived without where that is possible: a node
without its link samples, one without a sensor reports its absence. Only a flash that cannot hold settings or rows
ends in a reset, later each time.
"""

# The door has its service when it is used.
# pyright: reportAttributeAccessIssue=false
import asyncio
import gc

from . import hal
from .files import exists, load, remove, save
from .journal import DETAIL, ERROR, WARNING, Journal, place, reason
from .memory import PLENTY, let_go
from .memory import load as load_modules
from .settings import Settings

CONFIG = "/config"
_CRASHES = CONFIG + "/crashes"  # starts in a row that failed
_RESET = 5000  # ms before the first reset after a failed start; doubled up to an hour
_RESET_LONGEST = 3600000
# Bytes taken after which what nobody holds is collected: early on a small heap, so that what stays lies close together.
_GARBAGE = 4096
_GARBAGE_OF_PLENTY = 65536
_HOPELESS = 5  # failed starts after which a virtual node gives up
_LASTING = 600000  # ms after which a start has succeeded


def _forget(modules, log):
    let_go(modules)
    log(DETAIL, "heap: %d bytes in use" % gc.mem_alloc())


def _settings(log):
    settings = Settings(CONFIG + "/settings", hal.settings())
    log.level = settings["log_level"]
    log.redact(*settings.secrets())
    for problem in settings.problems:
        log(ERROR, "settings: " + problem)
    return settings


def _place(log, settings):
    """Whose this node is, and what this start is for (SPEC 16.7): None on one that works without an owner."""
    if hal.deployed() and not exists(CONFIG + "/owner"):
        return settings, None
    from .access import record

    owner = record.Owner()
    if owner.wipe:
        from .access.wipe import wipe

        wipe(owner)
        log(WARNING, "wiped: owner %s" % ("there" if owner.key else "none"))
        return _place(log, _settings(log))
    trial = record.Trial()
    if trial.state == record.APPLYING:
        from .access.prove import apply

        apply(settings, trial, log)
        log.redact(*settings.secrets())
    purpose = record.decide(owner, trial)
    if purpose == record.TRYING:
        from .access.prove import overlay

        overlay(settings)
        log.redact(*settings.secrets())
    return settings, _door(log, settings, owner, trial, purpose)


def _door(log, settings, owner, trial, purpose):
    from .access import record
    from .access.door import Door
    from .access.service import Service

    made = Door(hal, log, settings, owner, trial)
    made.service = Service(hal, log, made, _radio, purpose)
    made.purpose = purpose
    made.uplink = purpose in (record.TRYING, record.WORKING)
    made.works = made.uplink or purpose == record.RETURNING
    return made


def _radio(door):
    from .links.ble import Ble

    return Ble(hal, door.name, door)


def _reach(node, door):
    """Requests come over the uplink, too: through the broker."""
    if not node.settings["lorawan"]:
        node.telemetry.received = lambda topic, payload: _asked(node, door, topic, payload)


def _asked(node, door, topic, payload):
    from .links.rpc import RpcLink, client_of

    peer = client_of(topic, node.telemetry.topic + "rpc/")
    if peer is None:
        return
    if not door.rpc:

        async def publish(peer, data):
            client = node.telemetry.client
            if client:
                try:
                    await client.say("%srpc/%s/answer" % (node.telemetry.topic, peer), data)
                except OSError:
                    pass  # as lost as on the way; who asked asks again

        door.rpc = RpcLink(hal, door, publish)
        door.links.append(door.rpc)
        node.supervisor.start("rpc", door.rpc.run)
    door.rpc.hear(peer, bytes(payload))


def _local(node, door):
    # Roads that are there besides: a serial line that the board has for it, UDP where the owner says so.
    if door.console:
        from .links.serial import SerialLink

        line = SerialLink(hal, door, hal.uart("console", 115200))
        door.links.append(line)
        node.supervisor.start("console", line.run)
    if node.settings["udp"] and not node.settings["lorawan"]:
        from .links.udp import UdpLink

        net = UdpLink(hal, door, node.settings["udp_port"])
        door.links.append(net)
        node.supervisor.start("udp", net.run)


async def _identity(log, settings, stages, kept):
    bare = settings["unsealed"] or bool(settings["lorawan"])  # LoRaWAN authenticates this one node by itself
    if kept:
        from .duty import who

        return who(hal, settings, kept, bare)
    load_modules(stages.IDENTITY)
    from .enrol import enrol

    return await enrol(hal, log, CONFIG, settings["collector_key"], bare)


def _slept(settings):
    # What a node of the duty-cycled profile knew before its sleep, where this start is the end of one.
    if settings["profile"] != "sleep":
        return None
    from .duty import wake

    return wake(hal, settings)


def _doze(node, log, stages, seal, kept):
    # The duty-cycled profile runs the node in its own way, where its sensors can be slept through.
    from .duty import Duty, possible

    if kept or possible(node, log):

        def report():
            load_modules(stages.STATUS)
            from . import startup

            startup.report(node)
            if node.settings["status_interval"]:
                node.health.report_now()

        node.run = Duty(node, hal, log, kept, seal, lambda: _connect(node, stages, seal), report).run


# Each step is a function of its own: what it imports for itself lives as long as its frame, and no longer.


def _fit(log, settings, stages, name, boots):
    load_modules(stages.FIT)
    from . import startup
    from .node import Node

    node = Node(hal, log, settings, name, boots)
    startup.fit(node)
    return node


def _open(node, stages):
    load_modules(stages.STORE)
    from . import startup

    startup.open_store(node)


def _connect(node, stages, seal):
    from . import startup

    lorawan = node.settings["lorawan"]
    if lorawan:
        from .links.lorawan import BAUDRATE, Modem

        startup.open_narrow(node, Modem(hal.uart(hal.board()["lorawan"], BAUDRATE), hal.uptime_ms), seal)
    else:
        load_modules(stages.LINK)
        if node.settings["broker_version"] == "5":
            from .links.mqtt5 import Client5

            startup.open_link(node, Client5, seal)
        else:
            from .links.mqtt import Client

            startup.open_link(node, Client, seal)


def _describe(node, stages):
    load_modules(stages.ABOUT)
    from . import startup

    startup.describe(node)


def _report(node, stages):
    load_modules(stages.STATUS)
    from . import startup

    startup.discover(node)
    if node.settings["nearby"]:
        from .links.bthome import Nearby

        node.nearby = Nearby(hal, node.log, node.sampler.columns, node.settings["nearby"])
    startup.report(node)


async def start(log):
    """From power to a running node, stage by stage."""
    from . import stages

    for name in hal.mount():
        log(WARNING, "/%s was blank or damaged: formatted" % name)
    from .console import settle

    settle()
    settings, door = _place(log, _settings(log))
    if not door or door.works:
        load_modules(stages.LASTING)
        if not settings["lorawan"]:
            load_modules(stages.LINK)
    kept = _slept(settings)
    name, boots, seal = await _identity(log, settings, stages, kept)
    _forget(stages.IDENTITY_GONE, log)
    if door:
        door.name, door.boots = name, boots
        if not door.works:  # no owner, or no configuration that has proved itself: nothing else runs
            remove(_CRASHES)
            return door.service
        asyncio.create_task(door.service.run())
    if _failing(log):
        return _safe(log, settings, stages, name, boots, seal, door)
    node = _fit(log, settings, stages, name, boots)
    _forget(stages.FIT_GONE, log)
    if door:
        node.uplink = door.uplink
    if kept:
        from .duty import restore

        restore(node, kept)
    else:
        await node.begin()
    _open(node, stages)
    _forget(stages.STORE_GONE, log)
    if not kept:
        _describe(node, stages)  # before the link is there: both at once would be the largest that this heap ever holds
        _forget(stages.ABOUT_GONE, log)
        _connect(node, stages, seal)
        _report(node, stages)
    if door:
        _attend(node, door, log)
    gone = stages.GONE
    if settings["profile"] == "sleep" and (not door or door.uplink):
        _doze(node, log, stages, seal, kept)
    stages = None
    _forget(gone, log)
    if kept:
        remove(_CRASHES)
    elif load(_CRASHES):
        node.supervisor.start("well", _well)
    _update(node, log)
    if node.updating is None:  # one that goes on works with these
        _forget(("node.update.begin", "node.update.state", "slots"), log)
    return node


async def _well():
    # A start that has lasted is none that failed.
    await asyncio.sleep_ms(_LASTING)
    remove(_CRASHES)


def _failing(log):
    # Whether this start has to be one in safe mode; the watchdog's reset is a start that failed, too.
    if hal.reset_cause() == "watchdog" and not on_trial():
        count_crash()
    if not load(_CRASHES):
        return False
    from .safe import AFTER, crashes

    return crashes(_CRASHES) >= AFTER and not on_trial()


def _safe(log, settings, stages, name, boots, seal, door):
    from .safe import Safe

    node = Safe(hal, log, settings, name, boots, _CRASHES)
    if door:
        node.uplink = door.uplink
        try:
            if not settings["lorawan"]:
                _connect(node, stages, seal)
            _attend(node, door, log)
        except Exception as e:  # that may be what is broken: updates go on
            log(ERROR, "safe mode: %s; %s" % (reason(e), place(e)))
    _update(node, log)
    return node


def _attend(node, door, log):
    from .access import record

    door.node = door.service.node = node
    node.door = door
    node.outage = door.service.outage
    if node.telemetry:
        _reach(node, door)
    _local(node, door)
    if door.purpose == record.TRYING and not node.safe:
        from .access.prove import prove

        node.supervisor.start("trial of the uplink", lambda: prove(node, door.trial, hal, log))


def _update(node, log):
    # A trial is watched, an interrupted download goes on; mostly there is nothing to do.
    from .update.begin import begin

    begin(node, hal.partition)


async def main():
    """Run the node; when its start fails it is reset, because there is nothing left that could go on."""
    log = _first()
    leave = getattr(hal, "exit", None)  # a virtual node's run has an end
    try:
        node = await start(log)
        await node.run()
    except Exception as e:
        node = None  # and with it most of the memory, of which there may have been too little
        gc.collect()
        try:
            await _failed(e, log, leave)
        except Exception:
            pass  # not even memory to say so
        hal.reset()
        return
    report = node.report()
    if leave:
        leave(0 if report["reason"] == "done" else 3, report)


def _first():
    # How often the heap is swept, and the journal: before anything that could go wrong.
    threshold = getattr(hal, "threshold", int)  # a virtual node may have room for more
    gc.threshold(threshold(_GARBAGE_OF_PLENTY if PLENTY else _GARBAGE))
    return Journal(hal.log, hal.uptime_ms)


async def _failed(error, log, leave):
    # A start, or the run after it, has ended by this: it counts, is told, and is waited after, longer each time.
    why = reason(error)
    crashes = 0 if on_trial() else count_crash()  # the boot has counted a trial's start, and ends it after three
    log(ERROR, "node: %s; %s" % (why, place(error)))
    if crashes:
        if leave and crashes >= _HOPELESS:
            leave(4, {"reason": why})
        await asyncio.sleep_ms(min(_RESET << min(crashes, 10), _RESET_LONGEST))


def on_trial():
    """Whether this application has not been confirmed yet (SPEC 14.4)."""
    try:
        import slots

        return slots.Record(hal.partition("boot")).state == slots.TRIAL
    except (ImportError, AttributeError, OSError):
        return False  # no slots: a developer's board


def count_crash():
    """One start more that failed in a row; how many that makes. Not being able to write it down must not hurt."""
    try:
        data = load(_CRASHES)
        crashes = min(data[0] if data else 0, 254) + 1
        save(_CRASHES, bytes((crashes,)))
        return crashes
    except OSError:
        return 1
