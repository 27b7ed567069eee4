# Says how a `bluetooth` module behaves, line by line; runs on any MicroPython that has one, and on the virtual node.
# What the real one printed is in bluetooth_semantics.nimble.txt: MicroPython 1.25's own module with NimBLE on the unix
# port, its controller Bumble's. The peer that talks to it is in test_bluetooth.py.
import asyncio
import sys

import bluetooth

U = bluetooth.UUID
ble = bluetooth.BLE()


def t(name, f):
    try:
        print("SEM", name, "->", repr(f()))
    except Exception as e:  # noqa: BLE001 - whatever it is, it is printed
        print("SEM", name, "-> EXC", type(e).__name__, e)


t("config mac before active", lambda: ble.config("mac"))
t("gap_advertise before active", lambda: ble.gap_advertise(100000, b"\x02\x01\x06"))
t("active", lambda: ble.active(True))
t("mtu default", lambda: ble.config("mtu"))
t("gap_name default", lambda: ble.config("gap_name"))
t("rxbuf default", lambda: ble.config("rxbuf"))
t("unknown config", lambda: ble.config("nope"))
t("bytes(UUID16)", lambda: bytes(U(0x181A)))
t("bytes(UUID128)", lambda: bytes(U("6E400001-B5A3-F393-E0A9-E50E24DCCA9E"))[:4])
t("UUID str", lambda: str(U(0x181A)) + str(U("6E400001-B5A3-F393-E0A9-E50E24DCCA9E")))
t("UUID eq", lambda: (U(0x181A) == U(0x181A), U(0x181A) == U(0x181B), hash(U(0x181A)) == hash(U(0x181A))))
t("UUID from bytes", lambda: U(b"\x1a\x18") == U(0x181A))
t("UUID bad", lambda: U("xyz"))
SVC = U("6E400001-B5A3-F393-E0A9-E50E24DCCA9E")
RX = (U("6E400002-B5A3-F393-E0A9-E50E24DCCA9E"), bluetooth.FLAG_WRITE | bluetooth.FLAG_WRITE_NO_RESPONSE)
TX = (U("6E400003-B5A3-F393-E0A9-E50E24DCCA9E"), bluetooth.FLAG_READ | bluetooth.FLAG_NOTIFY)
t("adv 32 bytes", lambda: ble.gap_advertise(100000, bytes(32)))
t("adv ok", lambda: ble.gap_advertise(100000, b"\x02\x01\x06"))
t("register while advertising", lambda: ble.gatts_register_services(((SVC, (RX, TX)),)))
t("adv stop", lambda: ble.gap_advertise(None))
hs = ble.gatts_register_services(((SVC, (RX, TX)),))
print("SEM handles", hs)
((rx, tx),) = hs
t("read default", lambda: ble.gatts_read(rx))
t("read bad handle", lambda: ble.gatts_read(999))
t("write bad handle", lambda: ble.gatts_write(999, b"x"))
t("notify bad conn", lambda: ble.gatts_notify(5, tx, b"x"))
t("disconnect bad conn", lambda: ble.gap_disconnect(5))
t("write 30 local then read", lambda: (ble.gatts_write(tx, bytes(30)), len(ble.gatts_read(tx))))


def blast(conn):
    # notifications from inside the handler until refused
    n = 0
    try:
        while n < 1000:
            ble.gatts_notify(conn, tx, bytes(100))
            n += 1
    except OSError as e:
        print("SEM notify refused after", n, e)


def irq(ev, data):
    if ev == 1:
        print("SEM ev1", type(data[2]).__name__, data[1], bytes(data[2])[:2])
    elif ev == 2:
        print("SEM ev2", data[0], data[1])
        sys.exit(0)
    elif ev == 3:
        conn, h = data
        v = ble.gatts_read(h)
        print("SEM write len", len(v), "handle is rx", h == rx)
        if v[:1] == b"N":
            blast(conn)
        elif v[:1] == b"L":
            t("notify longer than mtu-3", lambda: ble.gatts_notify(conn, tx, bytes(range(256)) * 2))
        elif v[:1] == b"D":
            t("gap_disconnect", lambda: ble.gap_disconnect(conn))
        elif v[:1] == b"W":
            t("gatts_write send_update", lambda: ble.gatts_write(tx, b"upd", True))
    else:
        print("SEM ev", ev, data)


ble.irq(irq)
ble.gap_advertise(30000, b"\x02\x01\x06\x11\x07" + bytes(SVC), resp_data=b"\x04\x09sem")


async def main():
    while True:
        await asyncio.sleep_ms(2)


asyncio.run(main())
