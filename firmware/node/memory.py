"""What of the node's code is on the heap: loaded by its modules' names, and let go by them.

With plenty of memory, as chips with PSRAM have, code that is needed now and then stays once it has been loaded: the
linked application's units (the linker's calls ask for `PLENTY`) and the drivers. Without, it is loaded each time and
leaves the heap after. Asked once, when the node starts: counting what is free goes through the whole heap.
"""

import gc
import sys

PLENTY = gc.mem_free() > 300000  # more than any ESP32 has by itself
"""Whether code stays where it would be loaded again."""


def load(names):
    """Import these modules one after the other, none inside another."""
    for name in names:
        __import__(name)


def let_go(names):
    """Drop these modules, and collect what that leaves."""
    for name in names:
        drop(name)
    gc.collect()


def drop(name):
    """Let a module go by its name: its code leaves the heap when nobody holds anything of it any more."""
    sys.modules.pop(name, None)
    if "." in name:  # a unit of the linked application is in no package
        parent, last = name.rsplit(".", 1)
        try:
            delattr(sys.modules[parent], last)
        except (AttributeError, KeyError):
            pass
