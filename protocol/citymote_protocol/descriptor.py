"""Descriptor frames: what a node is, for whoever finds its readings years later (SPEC chapter 6).

Sent after every start and whenever something changes: model, versions, sensors with batch and calibration date, what
is sensed, how sound and dust are measured, until when somebody keeps it supported.  All fields are optional except
model, firmware version and sensors; the tables below are the grammar, in the order of the keys.
"""

from .cbor import Writer
from .errors import ARGUMENT, CRITICAL, ITEMS, MISSING, EncodeError, FrameError
from .header import (
    DESCRIPTOR,
    OPTION_MINOR,
    Frame,
    columns_bytes,
    node_bytes,
    put_header,
    put_time,
    read_columns,
    read_identity,
)
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

_TEXT = 0
_DAYS = 1  # since 2000-01-01
_UINT = 2
_COLUMNS = 3
_SENSORS = 4
_CORRECTIONS = 5
_POSITION = 6

# (key, attribute, form): even keys only, because a descriptor is worth reading without any one of them
FIELDS = (
    (2, "model", _TEXT),
    (4, "firmware", _TEXT),
    (6, "runtime", _TEXT),
    (8, "sensors", _SENSORS),
    (10, "support_until", _DAYS),
    (12, "station", _TEXT),
    (14, "corrections", _CORRECTIONS),
    (16, "maker", _TEXT),
    (18, "hardware", _TEXT),
    (20, "position", _POSITION),
    (22, "batch_columns", _COLUMNS),
)
REQUIRED = ("model", "firmware", "sensors")

SENSOR_FIELDS = (
    (0, "driver", _TEXT),
    (2, "columns", _COLUMNS),
    (4, "serial", _TEXT),
    (6, "batch", _TEXT),
    (8, "calibrated", _DAYS),
    (10, "pm_class", _UINT),
    (12, "sound_method", _TEXT),
    (14, "model", _TEXT),
)
SENSOR_REQUIRED = ("driver", "columns")

CORRECTION_FIELDS = ("quantity", "name", "version")


class Sensor:
    """One chip: what drives it, what it senses, where it comes from."""

    def __init__(self, **fields):
        for _, name, _ in SENSOR_FIELDS:
            setattr(self, name, fields.pop(name, None))
        if fields:
            raise EncodeError(ARGUMENT, "unknown field")
        self.options = ()


class Descriptor(Frame):
    """What a node says about itself."""

    kind = DESCRIPTOR

    def __init__(self, **fields):
        Frame.__init__(self)
        for _, name, _ in FIELDS:
            setattr(self, name, fields.pop(name, None))
        if fields:
            raise EncodeError(ARGUMENT, "unknown field")


def encode_descriptor(descriptor, size=1024):
    """The bytes of a descriptor frame; node, epoch, seq, time and clock are attributes like the rest."""
    buf = bytearray(size)
    pos = put_header(
        buf,
        6,
        DESCRIPTOR,
        descriptor.clock,
        node_bytes(descriptor.node),
        descriptor.epoch,
        descriptor.seq,
    )
    writer = Writer(buf)
    writer.pos = put_time(buf, pos, descriptor.time)
    _write_map(writer, descriptor, FIELDS, REQUIRED)
    return bytes(writer.view())


def _write_map(writer, source, fields, required):
    for name in required:
        if not getattr(source, name):
            raise EncodeError(ARGUMENT, name + " is missing")
    present = [field for field in fields if getattr(source, field[1]) is not None]
    writer.map(len(present))
    for key, name, form in present:
        writer.integer(key)
        value = getattr(source, name)
        if form == _TEXT:
            if len(value.encode()) > MAX_TEXT:
                raise EncodeError(ARGUMENT, name + " is too long")
            writer.text(value)
        elif form == _COLUMNS:
            writer.raw(columns_bytes(value))
        elif form == _SENSORS:
            if len(value) > MAX_SENSORS:
                raise EncodeError(ARGUMENT, "too many sensors")
            writer.array(len(value))
            for sensor in value:
                _write_map(writer, sensor, SENSOR_FIELDS, SENSOR_REQUIRED)
        elif form == _CORRECTIONS:
            if len(value) > MAX_CORRECTIONS:
                raise EncodeError(ARGUMENT, "too many corrections")
            writer.item([list(correction) for correction in value])
        elif form == _POSITION:
            writer.item(list(value))
        elif value < 0 or (form == _DAYS and value > MAX_DAYS):
            raise EncodeError(ARGUMENT, name + " is out of range")
        else:
            writer.integer(value)


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
    if form == _TEXT:
        return reader.text(MAX_TEXT)
    if form == _DAYS:
        return reader.uint(MAX_DAYS)
    if form == _UINT:
        return reader.uint(0xFFFF)
    if form == _COLUMNS:
        return read_columns(reader)
    if form == _SENSORS:
        sensors = []
        for _ in range(reader.array(MAX_SENSORS)):
            sensor = Sensor()
            _read_map(reader, sensor, SENSOR_FIELDS, SENSOR_REQUIRED)
            sensors.append(sensor)
        return tuple(sensors)
    if form == _CORRECTIONS:
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
