"""Where MicroPython's own image lies, and where another can go: esp32.Partition, on a board and on the virtual chip.

Loaded for an update of the runtime alone (SPEC 14.13).
"""

# Some stubs know a partition by its label alone.
# pyright: reportArgumentType=false
import sys

from esp32 import Partition


def build():
    """Which of MicroPython's builds this is, e.g. "ESP32_GENERIC_C3"."""
    return getattr(sys.implementation, "_build", "")


def place():
    """The partition that another image can be written to; None where the table has one place only."""
    try:
        return Partition(Partition.RUNNING).get_next_update()
    except OSError:
        return None


def running():
    """0 or 1: whether ota_0 or ota_1 runs; None where the image has another place."""
    try:
        subtype = Partition(Partition.RUNNING).info()[1]
    except OSError:
        return None
    return subtype - 0x10 if subtype in (0x10, 0x11) else None


def switch():
    """Start the other image next, once; OSError where it is none that the chip takes."""
    Partition(Partition.RUNNING).get_next_update().set_boot()


def good():
    """The image that runs has proved itself: it stays."""
    Partition.mark_app_valid_cancel_rollback()
