"""What MicroPython runs after boot.py: the application in the slot that the boot chose, or the one beside this file.

Never updated, as the boot: what has to change is in the application.
"""

import sys

RESET = 85  # the exit code that the virtual chip takes for a reset


def choose():
    """(the boot, its record); (None, None) on a board without partitions of ours, a developer's."""
    try:
        import slots
        import vfs
        from esp32 import Partition
    except ImportError:
        return None, None

    def find(label):
        return Partition.find(Partition.TYPE_DATA, label=label)[0]

    try:
        return slots, slots.start(find, vfs)
    except IndexError:
        return None, None


def again(wait):
    """Start from the beginning, in `wait` seconds."""
    try:
        from machine import reset
    except ImportError:
        sys.exit(RESET)
    import time

    time.sleep(wait)
    reset()


slots, record = choose()
if record is not None and record.started is None:
    print("no application is whole in either slot")
    again(60)
try:  # here and not in a function: imports nest, and the stack of a small chip is short
    from node import hal
    from node.app import main
except Exception as e:
    if record is None or slots is None:
        raise
    sys.print_exception(e)
    wait = 60 if record.why == slots.DAMAGED else 1  # the other one did not load either
    slots.gave_up(record)
    again(wait)
else:
    sys.modules.pop("slots", None)
    del choose, again, slots, record
    hal.run(main())
