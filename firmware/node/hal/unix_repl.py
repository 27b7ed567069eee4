"""The prompt of a virtual board: what a host's tools meet on the serial port of a real one. Runs as the main program.

    micropython unix_repl.py FOLDER raw|friendly [--bridge=R,W]

MicroPython's unix port got a raw REPL only with 1.27, and no board's manners: this gives both, raw paste with its flow
control included. FOLDER is the root of the board's filesystem; with a file `partitions` in it (lines of label, type,
subtype, offset, size) there is a module `esp32` whose partitions are image files beside it, as on a board with our
table. Started friendly it runs boot.py and main.py, started raw only boot.py, which is what a soft reset does.
Exit status: 86 a soft reset (start again raw or friendly, as it was), 85 a reset (start again friendly).
"""

# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportMissingImports=false
import gc
import os
import sys
import termios

import micropython
import vfs

_FLASH = sys.argv[0].rsplit("/", 1)[0] + "/unix_flash.py"
_in = sys.stdin.buffer
_out = sys.stdout.buffer
_globals = {"__name__": "__main__"}
_BANNER = b"raw REPL; CTRL-B to exit\r\n>"
_WINDOW = 128


def partitions(root):
    """A module `esp32` with Partition, over image files; none on a board without a table of ours."""
    try:
        with open(root + "/partitions") as f:
            rows = [line.split() for line in f]
    except OSError:
        return
    code = {}
    with open(_FLASH) as f:
        exec(f.read(), code)

    class Partition(code["FileFlash"]):
        TYPE_APP, TYPE_DATA, BOOT, RUNNING = 0, 1, 0, 1

        def __init__(self, row):
            if row == Partition.RUNNING:
                row = next(r for r in rows if r[1] == "0")
            super().__init__(row[0] + ".img", wear=False)
            self._row = row

        def info(self):
            kind, subtype, offset, size = (int(n) for n in self._row[1:5])
            return kind, subtype, offset, size, self._row[0], False

        @staticmethod
        def find(type=0, subtype=255, label=None, block_size=4096):
            return [Partition(r) for r in rows if int(r[1]) == type and label in (None, r[0])]

    class Module:
        pass

    module = Module()
    module.Partition = Partition
    sys.modules["esp32"] = module


class Interrupts:
    """`micropython` with a Ctrl-C as on a board: off means that it is a byte like any other, not the end of all."""

    ISIG, NOFLSH = 0x01, 0x80

    def __init__(self):
        for name in dir(micropython):
            if not name.startswith("__"):
                setattr(self, name, getattr(micropython, name))
        self.kbd_intr = self._interrupt
        micropython.kbd_intr(3)

    def _interrupt(self, character):
        attributes = termios.tcgetattr(0)
        both = self.ISIG | self.NOFLSH
        attributes[3] = attributes[3] | both if character == 3 else attributes[3] & ~both
        termios.tcsetattr(0, termios.TCSANOW, attributes)


def run(source, name):
    """Run source; the traceback's bytes, empty when all was well."""
    _interrupts.kbd_intr(3)
    try:
        exec(compile(source, name, "exec"), _globals)
        wrong = b""
    except SystemExit:
        sys.exit(85)
    except BaseException as e:
        import io

        text = io.StringIO()
        sys.print_exception(e, text)
        wrong = text.getvalue().encode().replace(b"\n", b"\r\n")
    _interrupts.kbd_intr(-1)
    return wrong


def file(name):
    try:
        with open(name) as f:
            source = f.read()
    except OSError:
        return
    _out.write(run(source, name))


def soft_reset():
    _out.write(b"MPY: soft reboot\r\n")
    sys.exit(86)


def paste():
    """Raw paste (docs/reference/repl.rst): the source comes in windows, so that nothing overruns a small buffer."""
    _out.write(b"R\x01" + bytes((_WINDOW, 0)) + b"\x01")
    line = bytearray()
    left = _WINDOW
    while True:
        c = _in.read(1)
        if not c:
            sys.exit(0)
        if c in b"\x03\x04":
            _out.write(b"\x04")
            return line if c == b"\x04" else b"raise KeyboardInterrupt"
        line += c
        left -= 1
        if not left:
            left = _WINDOW
            _out.write(b"\x01")


def answer(line):
    wrong = run(str(line, "utf8"), "<stdin>")
    _out.write(b"\x04" + wrong + b"\x04>")
    gc.collect()


def raw():
    """The raw REPL, until somebody leaves it."""
    _out.write(_BANNER)
    line = bytearray()
    while True:
        c = _in.read(1)
        if not c:
            sys.exit(0)
        k = c[0]
        if k == 1:
            line = bytearray()
            _out.write(_BANNER)
        elif k == 2:
            return
        elif k == 3:
            line = bytearray()
        elif k == 5 and not line:
            if _in.read(2) == b"A\x01":
                answer(paste())
        elif k == 4:
            _out.write(b"OK")
            if not line:
                _out.write(b"\r\n")
                soft_reset()
            answer(line)
            line = bytearray()
        else:
            line += c


def friendly():
    """Just enough of the prompt for people: Ctrl-A, Ctrl-C, Ctrl-D; what is typed is echoed and not run."""
    hello = (
        b"\r\nMicroPython " + sys.version.split("; ")[-1].encode() + b'\r\nType "help()" for more information.\r\n>>> '
    )
    _out.write(hello)
    while True:
        c = _in.read(1)
        if not c:
            sys.exit(0)
        k = c[0]
        if k == 1:
            raw()
            _out.write(hello)
        elif k == 2:
            _out.write(hello)
        elif k == 3:
            _out.write(b"\r\n>>> ")
        elif k == 4:
            _out.write(b"\r\n")
            soft_reset()
        else:
            _out.write(c)


def start(root, mode, bridge):
    sys.modules["micropython"] = _interrupts
    partitions(root)
    vfs.umount("/")
    vfs.mount(vfs.VfsPosix(root), "/")
    vfs.mount(vfs.VfsPosix("/dev"), "/dev")  # the bridge's pipes are in /dev/fd
    os.chdir("/")
    sys.path[:] = ["", ".frozen", "/lib"]
    sys.argv[:] = bridge
    gc.collect()
    file("boot.py")
    if mode == "friendly":
        file("main.py")
    else:
        raw()
    friendly()


termios.setraw(0)
_interrupts = Interrupts()
start(sys.argv[1], sys.argv[2], sys.argv[3:])
