"""Whether this chip has memory to spare, as those with PSRAM have.

With plenty, code that is needed now and then stays once it has been loaded: the linked application's units (the
linker's calls ask for `PLENTY`) and the drivers. Without, it is loaded each time and leaves the heap after. Asked once,
when the node starts: counting what is free goes through the whole heap.
"""

import gc
import sys

PLENTY = gc.mem_free() > 300000  # more than any ESP32 has by itself
"""Whether code stays where it would be loaded again."""


def drop(name):
    """Let a module go by its name: its code leaves the heap when nobody holds anything of it any more."""
    sys.modules.pop(name, None)
    if "." in name:  # a unit of the linked application is in no package
        parent, last = name.rsplit(".", 1)
        try:
            delattr(sys.modules[parent], last)
        except (AttributeError, KeyError):
            pass
