"""The trial of a configuration, on the node that runs with it: ends with its being in force, or back where it began
(SPEC 16.7). Loaded by starts that have a trial to do, and no other."""

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


def apply(settings, trial, log):
    """What has proved itself comes into force: begun with the trial's record, and done again after a cut until it is
    done, so that no outcome is told of a configuration that is in force only in part."""
    from node.settings import SettingsError

    found = record.pending()
    try:
        if found:
            settings.change(found)
        record.drop(record.PENDING)
        trial.state, trial.proven = record.SUCCEEDED, 1
    except SettingsError as e:  # a later version has stored what this one does not overwrite
        log(WARNING, "trial %d: %s" % (trial.number, e))
        trial.state, trial.detail = record.FAILED, record.OTHER
    trial.save()


def _succeed(node, trial, hal, log, took):
    sleeps = (record.pending() or {}).get("profile", None) == "sleep"
    trial.state, trial.detail, trial.took = record.APPLYING, 0, took
    trial.save()
    apply(node.settings, trial, log)
    log(INFO, "trial %d has succeeded: the configuration is in force" % trial.number)
    hal.event("tried", {"number": trial.number, "detail": 0})
    if sleeps:
        node.store.flush()
        hal.reset()
