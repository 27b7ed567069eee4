"""The virtual chip's `esp32.Partition`: the node's flash images under the names of the partition table.

`main.py` finds it as the module `esp32`, so that the boot is the same code as on a board. Each partition is an image
file in the node's folder. Of the application partitions it behaves as ESP-IDF with rollback does: an image set as the
next one starts once, and unless that start calls `mark_app_valid_cancel_rollback`, the next is the old image's.
"""

# pyright: reportMissingImports=false
import errno
import json
import os
import sys

try:
    from .unix_flash import BLOCK, FileFlash
except ImportError:
    from unix_flash import BLOCK, FileFlash  # beside this file, where no package is

_STATE = "otadata.json"
_APPLICATIONS = ("ota_0", "ota_1")
_MAGIC = b"\xe9"  # first byte of an application image
_DEAD = 0xBD  # second byte of one that this chip lets crash before it has come to anything
_RESET = 85


def _cut(label):
    # --cut=label:operation:torn is how the host asks for a loss of power before it can be asked over the bridge
    for argument in sys.argv:
        if argument.startswith("--cut="):
            name, at, torn = argument[6:].split(":")
            if name == label:
                return int(at), torn == "1"
    return 0, False


def _dies():
    sys.exit(3)


def _load():
    try:
        with open(_STATE) as f:
            return json.load(f)
    except OSError:
        return {"running": _APPLICATIONS[0], "next": _APPLICATIONS[0], "state": "valid", "started": False}


def _save(state):
    with open(_STATE + ".new", "w") as f:
        json.dump(state, f)
    os.rename(_STATE + ".new", _STATE)


def bootloader():
    """What the chip does before MicroPython: choose the application image. Once a start."""
    state = _load()
    if state["state"] == "pending":  # it has had its start, and nobody called it good
        state["next"] = state["running"] = state["before"]
        state["state"] = "valid"
    elif state["state"] == "new":
        state["before"], state["running"] = state["running"], state["next"]
        state["state"] = "pending"
    else:
        return
    _save(state)
    first = bytearray(2)
    Partition(Partition.RUNNING).readblocks(0, first)
    if first[1] == _DEAD:
        sys.exit(_RESET)


class Partition:
    """See the module; names and meaning are those of MicroPython's esp32.Partition."""

    TYPE_APP = 0
    TYPE_DATA = 1
    BOOT = 0
    RUNNING = 1

    def __init__(self, which):
        if which in (self.BOOT, self.RUNNING):
            which = _load()["next" if which == self.BOOT else "running"]
        self._label = which
        at, torn = _cut(which)
        try:
            self._flash = FileFlash(which + ".img", at, torn, True, _dies)
        except OSError:
            raise OSError(errno.ENOENT)

    @staticmethod
    def find(type=1, subtype=0xFF, label=None, block_size=BLOCK):
        """Partitions of that type and label; this chip has those that have an image file."""
        applications = type == Partition.TYPE_APP
        found = []
        for name in sorted(item[0] for item in os.ilistdir(".")):
            if not name.endswith(".img") or (name[:-4] in _APPLICATIONS) != applications:
                continue
            if label is None or name[:-4] == label:
                found.append(Partition(name[:-4]))
        return found

    def info(self):
        """(type, subtype, address, size, label, encrypted); the address is none of a real chip's."""
        application = self._label in _APPLICATIONS
        subtype = 0x10 + _APPLICATIONS.index(self._label) if application else 0x83
        return (0 if application else 1, subtype, 0, self._flash.blocks * BLOCK, self._label, False)

    def readblocks(self, block, buf, offset=0):
        return self._flash.readblocks(block, buf, offset)

    def writeblocks(self, block, buf, offset=None):
        return self._flash.writeblocks(block, buf, offset)

    def ioctl(self, op, arg):
        return self._flash.ioctl(op, arg)

    def get_next_update(self):
        """The application partition that does not run."""
        running = _load()["running"]
        for label in _APPLICATIONS:
            if label != running:
                return Partition(label)

    def set_boot(self):
        """Start this image next; OSError where it is none (the chip verifies its hash too)."""
        first = bytearray(1)
        self.readblocks(0, first)
        if self._label not in _APPLICATIONS or first != _MAGIC:
            raise OSError(errno.EINVAL)
        state = _load()
        state["next"] = self._label
        state["state"] = "valid" if self._label == state["running"] else "new"
        _save(state)

    @classmethod
    def mark_app_valid_cancel_rollback(cls):
        """The running image has proved itself."""
        state = _load()
        if state["state"] == "pending":
            state["state"] = "valid"
            _save(state)
