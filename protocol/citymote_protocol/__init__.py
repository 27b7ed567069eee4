"""The citymote protocol: what a node says on any wire, as code that both ends share.

It turns bytes and ticks into values and bytes.  It does no I/O, reads no clock, holds no keys, and runs unchanged on
MicroPython and CPython; SPEC.md beside it is the law, this is one implementation of it.
"""
