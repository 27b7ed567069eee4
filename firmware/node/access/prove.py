"""The trial of a configuration, on the node that runs with it: ends with its being in force, or back where it began
(SPEC 16.7). Loaded for a trial and let go after it."""

import asyncio

from node.journal import INFO, WARNING

from . import record
from .outcome import detail

_LOOK = 250  # ms


def overlay(settings):
    """Let the pending configuration be the one that this start runs with."""
    settings.trying(record.pending() or {})
    if settings["profile"] == "sleep":
        settings.trying({"profile": "on"})  # awake until it is proved


async def prove(node, trial, hal, log):
    """Wait for the first frame that the broker acknowledges, or for the end of the trial, which is a restart."""
    begun = hal.uptime_ms()
    telemetry = node.telemetry
    if not node.store.pending:
        node.health.report()  # something to be acknowledged
    while hal.uptime_ms() - begun < trial.seconds * 1000:
        if telemetry.acked:
            _succeed(node, trial, hal, log, (hal.uptime_ms() - begun) // 1000)
            return
        await asyncio.sleep_ms(_LOOK)
    trial.state = record.FAILED
    trial.detail = detail(telemetry.stage, telemetry.failed, node.clock.known)
    trial.took = trial.seconds
    trial.save()
    log(WARNING, "trial %d has failed: reason %d" % (trial.number, trial.detail))
    hal.event("tried", {"number": trial.number, "detail": trial.detail})
    node.store.flush()
    hal.reset()


def _succeed(node, trial, hal, log, took):
    found = record.pending() or {}
    sleeps = found.get("profile", None) == "sleep"
    node.settings.change(found)
    trial.state, trial.detail, trial.took, trial.proven = record.SUCCEEDED, 0, took, 1
    trial.save()
    record.drop(record.PENDING)
    log(INFO, "trial %d has succeeded: the configuration is in force" % trial.number)
    hal.event("tried", {"number": trial.number, "detail": 0})
    if sleeps:
        node.store.flush()
        hal.reset()
