"""What runs: this application's version, as its release says it, and the runtime's."""

# sys.implementation is a tuple here.
# pyright: reportIndexIssue=false
import json
import sys

_RELEASE = "/app/release.json"
_SOURCE = "0.1.0"  # of a checkout that runs without a slot


def firmware():
    """The version of the release in the slot that runs."""
    try:
        with open(_RELEASE) as f:
            return json.load(f)["version"]
    except (OSError, ValueError, KeyError):
        return _SOURCE


def runtime():
    """What runs this: MicroPython and its version."""
    return "%s %s" % (sys.implementation[0], ".".join(str(n) for n in sys.implementation[1][:3]))
