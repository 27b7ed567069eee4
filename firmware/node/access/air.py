"""A window in which BLE is in the air. Radios take turns: the uplink is closed for it, and opened again after.

The node samples meanwhile, and rows wait in the store.
"""

# The node is there when it is used.
# pyright: reportAttributeAccessIssue=false, reportGeneralTypeIssues=false
import asyncio

from node.journal import ERROR, INFO, reason

from . import record
from .service import AGAIN, FAILED_TRIAL, LOOK, LOST, PRESS, PRESSED, RECOVERING

_LEAVE = 2000  # ms for the answer to what ends a window


async def window(service, state, lasts):
    """In the air in that state, for so many ms; or for ever, as a node without an owner or a proven configuration is,
    both None."""
    hal = service.hal
    told = _told(service, state)
    service.log(INFO, "service: state %d, reason %d" % told)
    hal.event("service", {"state": told[0], "detail": told[1]})
    again = service.purpose == record.RETURNING
    if service.node:
        if service.node.nearby:
            service.node.nearby.quiet = True  # its advertisements would stand in for the link's
        again = await service.node.offline()
        service.node.awake = True
    else:
        hal.leave()
    service.state = told
    end = None if lasts is None else hal.uptime_ms() + lasts
    service.left = False
    while _goes_on(service, end):
        link = service.radio(service.door)
        link.state(*service.state)
        service.door.links.append(link)
        service.door.open().ready = True
        task = asyncio.create_task(_keep(service, link))
        try:
            while _goes_on(service, end) and not task.done():
                await asyncio.sleep_ms(LOOK if service.button is None else PRESSED)
                now = hal.uptime_ms()
                if service.counts(now):
                    service.count(now)
                pressed = service.pressed(now)
                if end is None:
                    hal.feed()
                    told = _told(service, None)
                    if service.state != told:
                        service.state = told
                        link.state(*told)
                elif pressed:
                    end = now + PRESS
            if task.done():
                await asyncio.sleep_ms(AGAIN)
        finally:
            task.cancel()
            service.door.links.remove(link)
            await asyncio.sleep_ms(0)
    if service.left:
        service.until = 0
    service.state = None
    service.door.close()
    hal.event("service", {"state": None})
    service.purpose = record.WORKING
    if service.node:
        service.node.awake = False
        if service.node.nearby:
            service.node.nearby.quiet = False
        if again:
            service.node.online()


def _told(service, state):
    # (state, detail) of a window as the radio tells it; None: of one without an end.
    trial = service.door.trial
    if state is None:
        if service.minutes is not None:
            state = RECOVERING
        elif not service.door.owner.key:
            return 0, 0
        elif trial.state != record.FAILED:
            return 1, 0
        else:
            state = FAILED_TRIAL
    if state == FAILED_TRIAL:
        return state, trial.detail
    if state == RECOVERING:
        return state, min(255, (service.minutes + 59) // 60)
    if state == LOST:
        from .outcome import detail

        telemetry = service.node.telemetry
        return state, detail(telemetry.stage, telemetry.failed, service.node.clock.known)
    return state, 0


async def _keep(service, link):
    try:
        await link.run()
    except OSError as e:
        service.log(ERROR, "bluetooth: " + reason(e))


def _goes_on(service, end):
    if end is None:
        return True
    now = service.hal.uptime_ms()
    if service.left:
        return now - service.door.used < _LEAVE
    return now < max(end, service.until) or service.door.busy(now)
