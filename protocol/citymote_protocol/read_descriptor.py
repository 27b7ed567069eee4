"""Descriptor frames, read by the tables of `descriptor` (SPEC chapter 6)."""

from .descriptor import (
    AS_COLUMNS,
    AS_CORRECTIONS,
    AS_DAYS,
    AS_INT,
    AS_SENSORS,
    AS_TEXT,
    AS_UINT,
    FIELDS,
    REQUIRED,
    SENSOR_FIELDS,
    SENSOR_REQUIRED,
    Sensor,
)
from .errors import CRITICAL, ITEMS, MISSING, FrameError
from .header import OPTION_MINOR
from .limits import (
    MAX_CORRECTIONS,
    MAX_DAYS,
    MAX_LATITUDE,
    MAX_LONGITUDE,
    MAX_OPTIONS,
    MAX_QUANTITY,
    MAX_SENSORS,
    MAX_TEXT,
    MAX_TIME,
    MAX_VALUE,
    MIN_VALUE,
)
from .read_header import read_columns, read_identity


def read_descriptor(reader, items, frame):
    """The rest of a descriptor frame, behind its head."""
    if items != 6:
        raise FrameError(ITEMS, "%d items" % items)
    read_identity(reader, frame)
    frame.time = reader.uint(MAX_TIME)
    _read_map(reader, frame, FIELDS, REQUIRED)
    return frame


def _read_map(reader, target, fields, required):
    kept = []
    last = -1
    for _ in range(reader.map(len(fields) + MAX_OPTIONS)):
        last = reader.key(last)
        if last == OPTION_MINOR and fields is FIELDS:
            target.minor = reader.uint(0xFFFF)
            continue
        for key, name, form in fields:
            if key == last:
                setattr(target, name, _read(reader, form))
                break
        else:
            if last & 1:
                raise FrameError(CRITICAL, "field %d must be understood" % last)
            kept.append((last, reader.raw()))
    target.options = tuple(kept)
    for name in required:
        if getattr(target, name) is None:
            raise FrameError(MISSING, name)


def _read(reader, form):
    if form == AS_TEXT:
        return reader.text(MAX_TEXT)
    if form == AS_DAYS:
        return reader.uint(MAX_DAYS)
    if form == AS_UINT:
        return reader.uint(0xFFFF)
    if form == AS_INT:
        return reader.integer(MIN_VALUE, MAX_VALUE)
    if form == AS_COLUMNS:
        return read_columns(reader)
    if form == AS_SENSORS:
        sensors = []
        for _ in range(reader.array(MAX_SENSORS)):
            sensor = Sensor()
            _read_map(reader, sensor, SENSOR_FIELDS, SENSOR_REQUIRED)
            sensors.append(sensor)
        return tuple(sensors)
    if form == AS_CORRECTIONS:
        corrections = []
        for _ in range(reader.array(MAX_CORRECTIONS)):
            if reader.array(3) != 3:
                raise FrameError(ITEMS, "a correction is [quantity, name, version]")
            corrections.append((reader.uint(MAX_QUANTITY), reader.text(MAX_TEXT), reader.uint(0xFFFF)))
        return tuple(corrections)
    length = reader.array(3)
    if not 2 <= length <= 3:
        raise FrameError(ITEMS, "a position is [latitude, longitude] or [latitude, longitude, height]")
    position = [
        reader.integer(-MAX_LATITUDE, MAX_LATITUDE),
        reader.integer(-MAX_LONGITUDE, MAX_LONGITUDE),
    ]
    if length == 3:
        position.append(reader.integer(MIN_VALUE, MAX_VALUE))
    return tuple(position)
