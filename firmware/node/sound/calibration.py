"""What was found when a sound level meter was calibrated: one offset, kept with date, instrument and operator.

`/config/sound-<bus>` holds it; it is written whole or not at all (`files.save`) and has precedence over the board's own
`calibration`. `calibrate` measures and writes it. This module is loaded when the meter is made, described or
calibrated, and forgotten in between.
"""

import json

from node.files import load, remove, save

VERSION = 1
MOST = 2000  # 0.01 dB


def _path(bus):
    return "/config/sound-" + bus


def stored(bus, microphone):
    """The record for the microphone on that bus, a dict, or None; one of another kind of microphone does not count."""
    try:
        record = json.loads(load(_path(bus)) or b"null")
        if (
            record
            and record["version"] == VERSION
            and record["microphone"] == microphone
            and type(record["offset"]) is int
            and -MOST <= record["offset"] <= MOST
        ):
            return record
    except (ValueError, KeyError, TypeError):
        pass  # nobody's writing: the meter says that it was never calibrated
    return None


def keep(bus, record):
    """Store it; after a power cut the old or the new one is there, whole."""
    save(_path(bus), json.dumps(record).encode())


def forget(bus):
    """Take the calibration back: the board's own figure is in force from the next start on."""
    remove(_path(bus))
    remove(_path(bus) + ".new")


def about(bus, microphone, rate, equaliser):
    """What the descriptor says of the meter: how it measures, and how it was calibrated if it was."""
    if rate == 16000:
        method = "indicative, 16 kHz"
    else:
        method = "IEC 61672-1 tables 3 to 5, electrical, %d kHz" % (rate // 1000)
    if equaliser:
        from .equaliser import VERSION as version

        method += ", EQ %d (est.)" % version
    found = {"sound_method": method, "model": microphone}
    record = stored(bus, microphone)
    if record:
        found["offset"] = record["offset"]
        found["calibrated"] = record["day"]
        found["instrument"] = record["instrument"]
        found["operator"] = record["operator"]
    return found
