"""The module `bluetooth` of the virtual node: MicroPython's names and manners, with a radio in the test air.

The peripheral's and server's part of `bluetooth.BLE` as NimBLE does it, so that `links/ble.py` is the same code as on
a board: tests/firmware/test_bluetooth.py holds it against what the real module printed for the same script. What is
behind it, and the frames between, is `citymote.testing.air_node`. Peers are real and live in real time: while the
radio is on, the node's time passes in step with it (`speed` in what the host says of the air), afterwards freely again.
"""

# pyright: reportAttributeAccessIssue=false
import asyncio
import errno
import socket
import struct
import sys
import time

from .stream import Readable
from .unix_clock import clock

# As a tuple, so that what makes the application small leaves these names alone: they are this module's interface.
FLAG_READ, FLAG_WRITE_NO_RESPONSE, FLAG_WRITE, FLAG_NOTIFY, FLAG_INDICATE = 2, 4, 8, 16, 32

_FIRST_HANDLE = 18  # of the first service's declaration, less one: NimBLE's own services stand before
_ROOM = 20  # bytes that a value has room for until somebody asks for more
_LONGEST = 31  # bytes of an advertisement
_TOO_LONG = -18  # NimBLE's own error for a longer one
_NODELAY = 1  # TCP_NODELAY of protocol 6; the port has no names for them
_NOBODY = 65535  # the connection of a value that is read to be sent


class UUID:
    def __init__(self, value):
        if isinstance(value, int):
            self._b = struct.pack("<H", value)
        elif isinstance(value, str):
            try:
                data = bytes.fromhex(value.replace("-", ""))
            except ValueError:
                raise ValueError("invalid char in UUID")
            self._b = bytes(reversed(data))
        else:
            self._b = bytes(value)
        if len(self._b) not in (2, 4, 16):
            raise ValueError("UUID wrong length")

    def __iter__(self):
        return iter(self._b)  # bytes(uuid)

    def __len__(self):
        return len(self._b)

    def __hash__(self):
        return hash(self._b)

    def __eq__(self, other):
        return isinstance(other, UUID) and other._b == self._b

    def __lt__(self, other):
        return self._b < other._b

    def __repr__(self):
        text = bytes(reversed(self._b)).hex()
        if len(text) == 32:
            return "UUID('%s-%s-%s-%s-%s')" % (text[:8], text[8:12], text[12:16], text[16:20], text[20:])
        return "UUID(0x%s)" % text


class _Value:
    def __init__(self):
        self.data = b""
        self.room = _ROOM
        self.append = False


class BLE:
    _only = None

    def __new__(cls):
        if BLE._only is None:
            BLE._only = object.__new__(cls)
            BLE._only._begin()
        return BLE._only

    def _begin(self):
        self._s = None
        self._task = None
        self._irq = None
        self._values = {}
        self._peers = {}
        self._adv = self._resp = b""
        self._advertising = False
        self._mtu = 256
        self._name = b"MPY ESP32"
        self._mac = (0, bytes(6))
        self._free = 0
        self._speed = 0

    # -- power --------------------------------------------------------------------------------------------------------

    def active(self, on=None):
        if on is not None and bool(on) != (self._s is not None):
            if on:
                self._on()
            else:
                self._off()
        return self._s is not None

    def _on(self):
        from . import unix

        air = unix._hello.get("air")
        if not air:
            raise OSError(errno.ENODEV)
        _ledger("claim")
        try:
            s = socket.socket()
            s.setsockopt(6, _NODELAY, 1)  # a write and its acknowledgement are two small packets
            s.connect(socket.getaddrinfo(air["host"], air["port"])[0][-1])
            self._s = s
            self._say(b"H", air["name"].encode())
            hello = b""
            while len(hello) < 12:
                more = s.recv(12 - len(hello))
                if not more:
                    raise OSError(errno.ECONNRESET)
                hello += more
        except OSError:
            self._s = None
            _ledger("release")
            raise
        self._mac = (hello[3], hello[4:10])
        self._free = hello[10] | hello[11] << 8
        s.setblocking(False)
        self._say(b"M", struct.pack("<H", self._mtu))
        self._say(b"N", self._name)
        self._speed = clock.speed
        if not clock.speed:
            clock.speed = air.get("speed", 1)
            clock.begin()
        self._task = asyncio.create_task(self._run(s))

    def _off(self):
        s = self._s
        self._s = None
        if self._task is not asyncio.current_task():
            self._task.cancel()
        self._s = s
        s.setblocking(True)
        self._say(b"O")
        self._s = None
        try:
            while s.recv(256):  # until the air has taken the radio off
                pass
        except OSError:
            pass
        s.close()
        clock.speed = self._speed
        _ledger("release")
        irq, speed = self._irq, self._speed
        self._begin()
        self._irq, self._speed = irq, speed

    def _need(self):
        if self._s is None:
            raise OSError(errno.ENODEV)

    def config(self, name=None, **values):
        if name is not None:
            if name == "mac":
                self._need()
                return self._mac
            if name == "mtu":
                return self._mtu
            if name == "gap_name":
                return self._name
            raise ValueError("unknown config param")
        for key, value in values.items():
            if key == "mtu":
                self._mtu = value
                if self._s:
                    self._say(b"M", struct.pack("<H", value))
            elif key == "gap_name":
                self._name = value.encode() if isinstance(value, str) else bytes(value)
                if self._s:
                    self._say(b"N", self._name)
            elif key not in ("rxbuf", "bond", "mitm", "io", "le_secure", "addr_mode"):
                raise ValueError("unknown config param")

    def irq(self, handler):
        self._irq = handler

    # -- the wire -----------------------------------------------------------------------------------------------------

    def _say(self, operation, payload=b""):
        data = memoryview(struct.pack("<H", len(payload) + 1) + operation + payload)
        while data:
            try:
                n = self._s.send(data)
            except OSError as e:
                if e.errno == errno.EAGAIN:
                    time.sleep_ms(1)
                    continue
                return  # the air is gone; the reader finds out
            data = data[n:]

    async def _run(self, s):
        data = b""
        while True:
            await Readable(s)
            try:
                more = s.recv(2048)
            except OSError as e:
                if e.errno == errno.EAGAIN:
                    continue
                more = b""
            if not more:
                break
            data += more
            at = 0
            while len(data) >= at + 2:
                end = at + 2 + (data[at] | data[at + 1] << 8)
                if end > len(data):
                    break
                self._hear(data[at + 2], data[at + 3 : end])
                if self._s is not s:
                    return  # switched off by its own handler
                at = end
            data = data[at:]
        # A radio that was taken away: connections end, and nothing more is heard.
        for conn in list(self._peers):
            self._event(2, (conn,) + self._peers.pop(conn))

    def _event(self, event, data):
        if self._irq:
            try:
                return self._irq(event, data)
            except Exception as e:
                sys.print_exception(e)
        return None

    def _hear(self, operation, p):
        if operation == 0x77:  # w: a peer writes
            conn, handle, seq = struct.unpack_from("<HHH", p)
            v = self._values[handle]
            v.data = (v.data + p[6:] if v.append else p[6:])[: v.room]
            self._event(3, (conn, handle))
            self._answer(b"k", struct.pack("<HB", seq, 0))
        elif operation == 0x72:  # r: a peer reads
            conn, handle, seq = struct.unpack_from("<HHH", p)
            error = self._event(4, (conn, handle)) or 0
            self._answer(b"v", struct.pack("<HB", seq, error) + (b"" if error else self._values[handle].data))
        elif operation == 0x63:  # c: a peer is there
            conn = p[0] | p[1] << 8
            self._advertising = False
            self._peers[conn] = (p[2], memoryview(p)[3:9])
            self._event(1, (conn,) + self._peers[conn])
        elif operation == 0x64:  # d: it is gone
            conn = p[0] | p[1] << 8
            who = self._peers.pop(conn, None)
            if who:
                self._event(2, (conn,) + who)
        elif operation == 0x6D:  # m
            self._event(21, struct.unpack("<HH", p))
        elif operation == 0x69:  # i
            self._event(20, struct.unpack("<HHH", p))
        elif operation == 0x66:  # f
            self._free += p[0]

    def _answer(self, operation, payload):
        if self._s:
            self._say(operation, payload)

    # -- advertising and connections ----------------------------------------------------------------------------------

    def gap_advertise(self, interval_us, adv_data=None, *, resp_data=None, connectable=True):
        self._need()
        if interval_us is None:
            self._advertising = False
            self._say(b"A", bytes(7))
            return
        adv = self._adv if adv_data is None else bytes(adv_data)
        resp = self._resp if resp_data is None else bytes(resp_data)
        if len(adv) > _LONGEST or len(resp) > _LONGEST:
            raise OSError(_TOO_LONG)
        self._adv = adv
        self._resp = resp
        self._advertising = True
        head = struct.pack("<IB", max(1, interval_us // 1000), 1 if connectable else 0)
        self._say(b"A", head + bytes((len(adv),)) + adv + bytes((len(resp),)) + resp)

    def gap_disconnect(self, conn_handle):
        self._need()
        if conn_handle not in self._peers:
            return False
        self._say(b"D", struct.pack("<H", conn_handle))
        return True

    def gattc_exchange_mtu(self, conn_handle):
        self._need()
        self._say(b"X", struct.pack("<H", conn_handle))

    # -- the server's values ------------------------------------------------------------------------------------------

    def gatts_register_services(self, services_definition):
        self._need()
        if self._advertising:
            raise OSError(16)  # EBUSY, which the port has no name for
        self._values = {}
        handle = _FIRST_HANDLE
        told = bytearray((len(services_definition),))
        handles = []
        for uuid, chars in services_definition:
            handle += 1
            _put_uuid(told, uuid)
            told.append(len(chars))
            mine = []
            for char in chars:
                handle += 2
                mine.append(self._register(told, handle, char[0], char[1]))
                if char[1] & (FLAG_NOTIFY | FLAG_INDICATE):
                    handle += 1
                descriptors = char[2] if len(char) > 2 else ()
                told.append(len(descriptors))
                for descriptor in descriptors:
                    handle += 1
                    mine.append(self._register(told, handle, descriptor[0], descriptor[1]))
            handles.append(tuple(mine))
        self._say(b"S", bytes(told))
        return tuple(handles)

    def _register(self, told, handle, uuid, flags):
        told.extend(struct.pack("<H", handle))
        _put_uuid(told, uuid)
        told.extend(struct.pack("<I", flags))
        self._values[handle] = _Value()
        return handle

    def gatts_read(self, value_handle):
        self._need()
        v = self._values.get(value_handle)
        if v is None:
            return b""
        data = v.data
        if v.append:
            v.data = b""
        return data

    def gatts_write(self, value_handle, data, send_update=False):
        self._need()
        v = self._values.get(value_handle)
        if v is None:
            raise OSError(errno.EINVAL)
        v.data = bytes(data)
        v.room = max(v.room, len(v.data))
        if send_update:
            self._say(b"U", struct.pack("<H", value_handle))
        return len(v.data)

    def gatts_notify(self, conn_handle, value_handle, data=None):
        self._send(b"n", conn_handle, value_handle, data)

    def gatts_indicate(self, conn_handle, value_handle, data=None):
        self._send(b"I", conn_handle, value_handle, data)

    def _send(self, operation, conn, handle, data):
        self._need()
        if conn not in self._peers:
            raise OSError(errno.ENOTCONN)
        if self._free <= 0:
            raise OSError(errno.ENOMEM)
        self._free -= 1
        self._say(operation, struct.pack("<HH", conn, handle) + (self._values[handle].data if data is None else data))

    def gatts_set_buffer(self, value_handle, len, append=False):  # the names of MicroPython's arguments
        self._need()
        v = self._values.get(value_handle)
        if v is None:
            raise OSError(errno.EINVAL)
        v.room = len
        v.append = append
        v.data = b""


def _ledger(what):
    # A radio takes memory beside Python's, and two may be too much: the hardware's description says so.
    from . import unix

    ask = getattr(unix, what, None)
    if ask:
        ask("ble")


def _put_uuid(told, uuid):
    data = bytes(uuid)
    told.append(len(data))
    told.extend(data)
