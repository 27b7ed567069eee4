"""What MicroPython runs first. Frees what the start of the interpreter left behind; main.py does the rest."""

import gc
import os

try:
    os.stat("locked")  # node/console.py: the factory's lock is on
    from micropython import kbd_intr

    kbd_intr(-1)
except OSError:
    pass
gc.collect()
gc.threshold(16384)
