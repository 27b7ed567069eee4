"""Connects a board's sensors to the world around it: for each sensor entry the emulated chip its driver expects.

What hangs on which bus is read from the same board.json that the node gets, so that a board is written down once. A
driver without an emulator stays unconnected, as on a board whose socket is empty; `missing` names those.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from citymote import registry

from .bridge import Wiring
from .emul.base import I2CChip, Part
from .emul.catalogue import CATALOGUE
from .world import World

SOUND = "sound_meter"


def wire(
    board: Mapping[str, Any], world: World, *, seed: int = 0, quantised: bool = True, heard: str = "minute"
) -> Wiring:
    """All chips of `board`, in `world`. `heard`: which sound is rendered, see `emul.microphone`.

    Quantised: chips play the middle of the value's bin at the registry's resolution, so that a recorded value comes
    back equal through every chip whose own grid is at least as fine. A chip of whose quantities the world knows none
    is not connected: it would otherwise measure zeros that nobody wrote down.
    """
    wiring = Wiring()
    for sensor in board["sensors"]:
        part = _part(sensor, world, seed, quantised, heard)
        if part is None:
            continue
        wiring.connect(_bus(sensor, part), part)
    return wiring


def missing(board: Mapping[str, Any]) -> list[str]:
    """Drivers of a board that no emulator stands for."""
    return sorted({s["driver"] for s in board["sensors"] if s["driver"] != SOUND and s["driver"] not in CATALOGUE})


def _part(sensor: Mapping[str, Any], world: World, seed: int, quantised: bool, heard: str) -> Part | None:
    driver: str = sensor["driver"]
    settings: Mapping[str, Any] = sensor.get("settings", {})
    instance: int = sensor.get("instance", 0)
    if driver == SOUND:
        # numpy comes with it, which a node without ears does not need
        from .emul.microphone import I2SMicrophone

        return I2SMicrophone(
            world.source("laeq", instance=instance, quantised=quantised),
            chip=settings.get("microphone", "inmp441"),
            rate=settings.get("rate", 48000),
            heard=heard,
            seed=seed,
            bands=settings.get("bands") or "",
        )
    if driver not in CATALOGUE:
        return None
    if driver == "replay":
        from .emul.replay import Replay

        return Replay(world.row([_name(q) for q in settings["quantities"]], instance=instance))
    names = [name for name in CATALOGUE[driver].quantities if world.knows(name, instance=instance)]
    if not names:
        return None
    sources = {name: world.source(name, instance=instance, quantised=quantised) for name in names}
    return CATALOGUE[driver].make(sources, settings)


def _name(quantity: int | str) -> str:
    return registry.quantity(quantity).name


def _bus(sensor: Mapping[str, Any], part: Part) -> str:
    bus = sensor["bus"]
    if isinstance(bus, str):
        return bus
    buses = cast("list[str]", bus)
    if isinstance(part, I2CChip):
        return next((name for name in buses if name.startswith("i2c")), buses[0])
    return buses[0]
