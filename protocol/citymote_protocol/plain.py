"""Frames as plain values and back: the language of the golden vectors and of the conformance kit (SPEC 7.6).

What `to_plain` gives is what JSON can say: objects, arrays, strings, integers, null; byte strings are hexadecimal.  A
foreign decoder is held to exactly this form.  The node does not need it.
"""

from array import array

from .batch import Encoder
from .descriptor import FIELDS, SENSOR_FIELDS, Descriptor, Sensor, encode_descriptor
from .errors import ARGUMENT, EncodeError
from .event import encode_event
from .header import BATCH, DESCRIPTOR, EVENT, PACKED, STATUS
from .limits import MAX_FRAME
from .quality import expand
from .quantities import ABSENT

KINDS = ((BATCH, "batch"), (EVENT, "event"), (PACKED, "packed"), (STATUS, "status"), (DESCRIPTOR, "descriptor"))


def _hex(data):
    return "".join("%02x" % byte for byte in data)


def _lists(value):
    """Tuples as lists, as JSON has it."""
    if isinstance(value, (tuple, list)):
        return [_lists(each) for each in value]
    return value


def _options(options):
    return [[key, _hex(raw)] for key, raw in options]


def _fields(source, fields):
    out = {}
    for _, name, _ in fields:
        value = getattr(source, name)
        if value is None:
            continue
        if name == "sensors":
            value = [_fields(sensor, SENSOR_FIELDS) for sensor in value]
        out[name] = _lists(value)
    if source.options:
        out["options"] = _options(source.options)
    return out


def to_plain(frame):
    """A decoded frame as values that JSON can say."""
    kind = frame.kind
    if kind == BATCH and frame.packed:
        kind = PACKED
    out = {
        "kind": dict(KINDS)[kind],
        "node": None if frame.node is None else _hex(frame.node),
        "epoch": frame.epoch,
        "seq": frame.seq,
        "time": frame.time,
        "clock": frame.clock,
        "minor": frame.minor,
    }
    if kind == DESCRIPTOR:
        out["fields"] = _fields(frame, FIELDS)
        return out
    out["columns"] = _lists(frame.columns)
    out["values"] = _lists(frame.values)
    out["quality"] = _lists(frame.quality)
    out["options"] = _options(frame.options)
    if frame.kind == BATCH:
        out["count"] = frame.count
        out["interval"] = frame.interval
        out["times"] = frame.times
    return out


def from_plain(plain):
    """The bytes of the frame that these values say, by the encoders' rules."""
    kind = plain["kind"]
    if plain["minor"] or plain.get("options"):
        raise EncodeError(ARGUMENT, "fields that this version does not know")
    node = None if plain["node"] is None else bytes.fromhex(plain["node"])
    if kind == "descriptor":
        return _descriptor(plain, node)
    columns = tuple((quantity, instance) for quantity, instance in plain["columns"])
    values = plain["values"]
    begin = (plain["epoch"], plain["seq"], plain["time"], plain["clock"])
    if kind == "event" or kind == "status":
        codes = [0] * len(columns)
        for column, code in plain["quality"]:
            codes[column] = code
        return encode_event(node, *begin, columns, values, codes, EVENT if kind == "event" else STATUS, MAX_FRAME)
    rows = [array("i", [ABSENT if value is None else value for value in line]) for line in values]
    codes = expand(plain["quality"], len(columns), plain["count"]) if plain["quality"] else None
    encoder = Encoder(node, columns, MAX_FRAME)
    return bytes(
        encoder.encode(*begin, plain["interval"], plain["count"], rows, codes, kind == "packed", plain["times"])
    )


def _descriptor(plain, node):
    fields = dict(plain["fields"])
    sensors = []
    for each in fields["sensors"]:
        sensors.append(Sensor(**each))
    fields["sensors"] = sensors
    descriptor = Descriptor(**fields)
    descriptor.node = node
    descriptor.epoch = plain["epoch"]
    descriptor.seq = plain["seq"]
    descriptor.time = plain["time"]
    descriptor.clock = plain["clock"]
    return encode_descriptor(descriptor, MAX_FRAME)
