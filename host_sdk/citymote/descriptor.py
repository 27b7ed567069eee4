"""What a node says it is: descriptor frames (SPEC 6.3) as typed records, with names instead of numbers and dates.

A descriptor holds no readings; it is what makes them worth something years later: model and versions, each sensor's
production batch, calibration date and certified class, until when somebody keeps the node supported, and which
formula stands behind a corrected quantity. Fields that a newer version added stay in the frame's bytes; `more` counts
them.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from citymote import wire
from citymote.reading import moment, time_quality_name, time_text
from citymote.registry import quantity

if TYPE_CHECKING:
    from citymote.decode import Frame

_Y2000 = date(2000, 1, 1)


@dataclass(frozen=True, slots=True)
class Sense:
    """One column of a node: a quantity, and which of its sensors."""

    quantity: str
    sensor: int


@dataclass(frozen=True, slots=True)
class SensorFacts:
    """One sensor of a node. None and "" are what the node did not say; `pm_class` 0 is "not certified"."""

    driver: str
    senses: tuple[Sense, ...]
    model: str = ""
    serial: str = ""
    batch: str = ""
    calibrated: date | None = None
    pm_class: int | None = None
    sound_method: str = ""
    offset: float | None = None
    """What the last calibration adds to every reading, in its unit."""
    instrument: str = ""
    operator: str = ""


@dataclass(frozen=True, slots=True)
class Correction:
    """The formula that makes a corrected quantity."""

    quantity: str
    name: str
    version: int


@dataclass(frozen=True, slots=True)
class Position:
    """Where a node stands, WGS 84."""

    latitude: float
    longitude: float
    height: int | None = None


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What a node said of itself at `time`. None and "" are what it did not say."""

    node: str
    seq: int
    time: datetime
    time_quality: str
    sealed: bool
    model: str
    firmware: str
    sensors: tuple[SensorFacts, ...]
    runtime: str = ""
    maker: str = ""
    hardware: str = ""
    station: str = ""
    support_until: date | None = None
    corrections: tuple[Correction, ...] = ()
    position: Position | None = None
    batch_columns: tuple[Sense, ...] = ()
    more: int = 0


def descriptor_of(frame: Frame) -> Descriptor | None:
    """The descriptor in a decoded frame; None for frames of other kinds."""
    if frame.kind != "descriptor":
        return None
    body: Any = cast("Any", frame.body)
    place = body.position
    return Descriptor(
        node=frame.node,
        seq=body.seq,
        time=moment(body.time),
        time_quality=time_quality_name(body.clock),
        sealed=frame.sealed,
        model=body.model,
        firmware=body.firmware,
        sensors=tuple(_sensor(sensor) for sensor in body.sensors),
        runtime=body.runtime or "",
        maker=body.maker or "",
        hardware=body.hardware or "",
        station=body.station or "",
        support_until=_day(body.support_until),
        corrections=tuple(Correction(quantity(of).name, name, version) for of, name, version in body.corrections or ()),
        position=place and Position(place[0] / 1e6, place[1] / 1e6, place[2] if len(place) > 2 else None),
        batch_columns=_senses(body.batch_columns or ()),
        more=len(body.options) + sum(len(sensor.options) for sensor in body.sensors),
    )


def as_dict(descriptor: Descriptor) -> dict[str, Any]:
    """The members of the JSON line: what the node did not say is left out."""
    made = asdict(descriptor)
    made["time"] = time_text(descriptor.time)
    return {key: value for key, value in _tidy(made).items() if key in _ALWAYS or value not in ([], 0)}


def as_json(descriptor: Descriptor) -> str:
    """One JSON line, without the newline."""
    return json.dumps(as_dict(descriptor), ensure_ascii=False, allow_nan=False)


_ALWAYS = {"node", "seq", "time", "time_quality", "sealed", "model", "firmware", "sensors"}


def _tidy(value: Any) -> Any:
    """Dates as text, sensors without what nobody said."""
    if isinstance(value, dict):
        return {key: _tidy(item) for key, item in cast("dict[str, Any]", value).items() if item not in (None, "")}
    if isinstance(value, (list, tuple)):
        return [_tidy(item) for item in cast("list[Any]", value)]
    return value.isoformat() if isinstance(value, date) else value


def _senses(columns: tuple[wire.Column, ...]) -> tuple[Sense, ...]:
    return tuple(Sense(quantity(what).name, instance) for what, instance in columns)


def _sensor(sensor: Any) -> SensorFacts:
    return SensorFacts(
        driver=sensor.driver,
        senses=_senses(sensor.columns),
        model=sensor.model or "",
        serial=sensor.serial or "",
        batch=sensor.batch or "",
        calibrated=_day(sensor.calibrated),
        pm_class=sensor.pm_class,
        sound_method=sensor.sound_method or "",
        offset=None if sensor.offset is None else sensor.offset / 100,
        instrument=sensor.instrument or "",
        operator=sensor.operator or "",
    )


def _day(days: int | None) -> date | None:
    return None if days is None else _Y2000 + timedelta(days=days)
