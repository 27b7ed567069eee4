"""What MicroPython runs first. Frees what the start of the interpreter left behind; main.py does the rest."""

import gc

gc.collect()
gc.threshold(16384)
