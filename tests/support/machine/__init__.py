"""Runs the node's precompiled native code without the chip: reads it out of .mpy files and interprets it.

Enough of Xtensa (ESP32, S2, S3) and of RISC-V (C3, C6) for what MicroPython's viper emits, instruction by
instruction, so that the code can be held to its reference bit for bit and its cost counted instead of guessed. Not
modelled: pipelines, caches, interrupts. Encodings: the Xtensa ISA reference, the RISC-V unprivileged specification.
"""
