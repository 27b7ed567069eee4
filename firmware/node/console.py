"""The serial prompt: open in a workshop, shut from the factory's lock on until an owner's command opens it.

Stock MicroPython offers no more than this: Ctrl-C can be switched off, a main program can be made never to end, and
nothing here starts a WebREPL or duplicates a terminal. The lock is a file in /config; a marker in the root folder
repeats it, because the boot switches Ctrl-C off by it before it has mounted anything. Who opens the case reads and
writes the flash all the same, with the chip's own loader (SECURITY.md).
"""

import os

import micropython

from .files import remove, save

LOCK = "/config/locked"
MARK = "locked"  # beside boot.py
_CTRL_C = 3


def locked():
    """Whether the factory has locked this node and nobody has opened it since."""
    try:
        os.stat(LOCK)
        return True
    except OSError:
        return False


def settle():
    """At each start, once /config is there: the marker says what the lock says, and Ctrl-C does what both say."""
    shut = locked()
    try:
        os.stat(MARK)
        marked = True
    except OSError:
        marked = False
    if shut and not marked:
        with open(MARK, "w"):
            pass
    elif marked and not shut:
        remove(MARK)
    micropython.kbd_intr(-1 if shut else _CTRL_C)


def shut():
    """The prompt is off from now on: the factory's last step."""
    save(LOCK, b"1")
    settle()


def reopen():
    """An owner's command: Ctrl-C reaches the prompt again, now and after each start."""
    remove(LOCK)
    settle()
