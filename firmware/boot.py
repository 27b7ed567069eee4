"""What MicroPython runs first. Free the heap of what the start of the interpreter left behind; main.py does the rest."""

import gc

gc.collect()
gc.threshold(16384)
