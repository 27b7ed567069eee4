"""What runs: this firmware's version, and the runtime's."""

# sys.implementation is a tuple here.
# pyright: reportIndexIssue=false
import sys

FIRMWARE = "0.1.0"


def runtime():
    """What runs this: MicroPython and its version."""
    return "%s %s" % (sys.implementation[0], ".".join(str(n) for n in sys.implementation[1][:3]))
