"""Descriptor frames: what a node is, for whoever finds its readings years later (SPEC chapter 6).

Sent after every start and whenever something changes: model, versions, sensors with batch and calibration date, what
is sensed, how sound and dust are measured, until when somebody keeps it supported.  All fields are optional except
model, firmware version and sensors; the tables below are the grammar, in the order of the keys.  `read_descriptor`
reads by them.
"""

from .body import Frame
from .cbor_write import ARRAY, MAP, TEXTS, UINT, put_bytes, put_head, put_int
from .errors import ARGUMENT, EncodeError
from .header import DESCRIPTOR, columns_bytes, node_bytes, put_header, put_time
from .limits import MAX_CORRECTIONS, MAX_DAYS, MAX_SENSORS, MAX_TEXT

# how the value of a field is said
AS_TEXT = 0
AS_DAYS = 1  # since 2000-01-01
AS_UINT = 2
AS_COLUMNS = 3
AS_SENSORS = 4
AS_CORRECTIONS = 5
AS_POSITION = 6
AS_INT = 7

# (key, attribute, form): even keys only, because a descriptor is worth reading without any one of them
FIELDS = (
    (2, "model", AS_TEXT),
    (4, "firmware", AS_TEXT),
    (6, "runtime", AS_TEXT),
    (8, "sensors", AS_SENSORS),
    (10, "support_until", AS_DAYS),
    (12, "station", AS_TEXT),
    (14, "corrections", AS_CORRECTIONS),
    (16, "maker", AS_TEXT),
    (18, "hardware", AS_TEXT),
    (20, "position", AS_POSITION),
    (22, "batch_columns", AS_COLUMNS),
)
REQUIRED = ("model", "firmware", "sensors")

SENSOR_FIELDS = (
    (0, "driver", AS_TEXT),
    (2, "columns", AS_COLUMNS),
    (4, "serial", AS_TEXT),
    (6, "batch", AS_TEXT),
    (8, "calibrated", AS_DAYS),
    (10, "pm_class", AS_UINT),
    (12, "sound_method", AS_TEXT),
    (14, "model", AS_TEXT),
    (16, "offset", AS_INT),  # what calibration adds, in hundredths of the unit
    (18, "instrument", AS_TEXT),  # what it was calibrated with ...
    (20, "operator", AS_TEXT),  # ... and by whom
)
SENSOR_REQUIRED = ("driver", "columns")


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
    node = node_bytes(descriptor.node)
    pos = put_header(buf, 6, DESCRIPTOR, descriptor.clock, node, descriptor.epoch, descriptor.seq)
    pos = put_time(buf, pos, descriptor.time)
    return bytes(buf[: _put_map(buf, pos, descriptor, FIELDS, REQUIRED)])


def _put_text(buf, pos, raw):
    return put_bytes(buf, put_head(buf, pos, TEXTS, len(raw)), raw)


def _put_map(buf, pos, source, fields, required):
    for name in required:
        if not getattr(source, name):
            raise EncodeError(ARGUMENT, name + " is missing")
    present = [field for field in fields if getattr(source, field[1]) is not None]
    pos = put_head(buf, pos, MAP, len(present))
    for key, name, form in present:
        pos = put_head(buf, pos, UINT, key)
        value = getattr(source, name)
        if form == AS_TEXT:
            raw = value.encode()
            if len(raw) > MAX_TEXT:
                raise EncodeError(ARGUMENT, name + " is too long")
            pos = _put_text(buf, pos, raw)
        elif form == AS_COLUMNS:
            pos = put_bytes(buf, pos, columns_bytes(value))
        elif form == AS_SENSORS:
            if len(value) > MAX_SENSORS:
                raise EncodeError(ARGUMENT, "too many sensors")
            pos = put_head(buf, pos, ARRAY, len(value))
            for sensor in value:
                pos = _put_map(buf, pos, sensor, SENSOR_FIELDS, SENSOR_REQUIRED)
        elif form == AS_CORRECTIONS:
            if len(value) > MAX_CORRECTIONS:
                raise EncodeError(ARGUMENT, "too many corrections")
            pos = put_head(buf, pos, ARRAY, len(value))
            for quantity, correction, version in value:
                pos = put_head(buf, pos, ARRAY, 3)
                pos = put_int(buf, pos, quantity)
                pos = _put_text(buf, pos, correction.encode())
                pos = put_int(buf, pos, version)
        elif form == AS_POSITION:
            pos = put_head(buf, pos, ARRAY, len(value))
            for number in value:
                pos = put_int(buf, pos, number)
        elif form == AS_INT:
            pos = put_int(buf, pos, value)
        elif value < 0 or (form == AS_DAYS and value > MAX_DAYS):
            raise EncodeError(ARGUMENT, name + " is out of range")
        else:
            pos = put_head(buf, pos, UINT, value)
    return pos
