"""CoAP over GATT on the node's radio (draft-ietf-core-coap-over-gatt-00; SPEC 15): it carries bytes, nothing more.

The node is the peripheral: it says who it is and in which state (SPEC 15.4), takes one connection at a time, and stays
visible meanwhile. A value of more than the MTU allows comes as a long write, and goes as an indication of its beginning
with the whole to be read. Who says nothing for a minute is hung up on, so that a forgotten laptop does not keep others
away. `bluetooth` comes from the HAL, which knows whether the chip has room for this radio beside the others.
"""

import asyncio
import errno

from citymote_protocol.coap_gatt import DOWN, MAX_VALUE, MIN_MTU, SERVICE, UP, Gatt

from .serving import Serving

# The states that an advertisement tells, SPEC 15.4
UNOWNED, SERVICE_MODE, TRIAL_FAILED, UPLINK_LOST, RECOVERING, SAFE_MODE = 0, 1, 2, 3, 4, 5

_VERSION = 0x10  # of the advertisement, in the high half of the state's byte
_INTERVAL = 250000  # us between advertisements: found within a second, a fraction of a milliampere
_MTU = 517
_IDLE = 60000  # ms without a message
_CONFIRM = 30000  # ms that a peer may take to confirm an indication (GATT's own limit)
_FULL = 20  # ms before another attempt when the radio's buffers are full

_CONNECT, _DISCONNECT, _WRITE, _INDICATED, _MTU_CHANGED = 1, 2, 3, 20, 21


class Ble(Serving):
    """`node` is the id, six bytes. The radio is on while `run()` runs."""

    def __init__(self, hal, node, server, idle=_IDLE, interval=_INTERVAL):
        Serving.__init__(self, hal, Gatt(), server)
        self._hal = hal
        self._node = node
        self._idle = idle
        self._interval = interval
        self._state = UNOWNED
        self._detail = 0
        self._conn = None  # the radio's number of the connection
        self._peer = 0  # ours: no two connections have the same
        self._ended = []  # connections whose end the server does not know yet
        self._mtu = 23
        self._heard = 0
        self._stale = True  # the advertisement is to be made anew
        self._done = asyncio.ThreadSafeFlag()

    @property
    def connected(self):
        return self._conn is not None

    def state(self, state, detail=0):
        """What the advertisement says of this node from now on; `detail` says why, see SPEC 15.4."""
        self._state = state
        self._detail = detail
        self._stale = True
        self._flag.set()

    async def run(self):
        """Be in the air until cancelled."""
        bluetooth = self._hal.bluetooth()
        self._uuid = bytes(bluetooth.UUID(SERVICE))
        self._ble = ble = bluetooth.BLE()
        ble.active(True)
        try:
            ble.gap_advertise(None)  # readings may be broadcast: services are not registered meanwhile (EBUSY)
            ble.config(mtu=_MTU, gap_name="citymote")
            ble.irq(self._irq)
            down = (bluetooth.UUID(DOWN), bluetooth.FLAG_WRITE | bluetooth.FLAG_WRITE_NO_RESPONSE)
            up = (bluetooth.UUID(UP), bluetooth.FLAG_READ | bluetooth.FLAG_INDICATE)
            service = (bluetooth.UUID(SERVICE), (down, up))
            ((self._down, self._up),) = ble.gatts_register_services((service,))
            ble.gatts_set_buffer(self._down, MAX_VALUE)
            self._stale = True
            self._flag.set()
            await self.serve()
        finally:
            ble.irq(None)
            ble.active(False)
            self._gone()
            self._take_leave()

    def _irq(self, event, data):
        # On a board this runs in the radio's own thread: it notes and wakes, no more.
        if event == _WRITE:
            conn, handle = data
            if handle == self._down and conn == self._conn:
                self.hear(self._peer, self._ble.gatts_read(handle))
        elif event == _INDICATED:
            if data[0] == self._conn:
                self._done.set()
        elif event == _MTU_CHANGED:
            if data[0] == self._conn:
                self._mtu = data[1]
        elif event == _CONNECT:
            if self._conn is None:
                self._peer += 1
                self._conn = data[0]
                self._mtu = 23
                self._heard = self._now()
                self._stale = True
                self._flag.set()
            else:
                self._ble.gap_disconnect(data[0])
        elif event == _DISCONNECT and data[0] == self._conn:
            self._gone()
            self._done.set()
            self._flag.set()

    def _gone(self):
        if self._conn is not None:
            self._conn = None
            self._stale = True
            self._inbox.clear()
            self._ended.append(self._peer)

    def _take_leave(self):
        while self._ended:
            peer = self._ended.pop(0)
            self.layer.close(peer)
            self._server.drop(self.layer, peer)

    def _advertise(self):
        self._stale = False
        told = bytes((_VERSION | self._state,)) + self._node
        if self._detail:
            told += bytes((self._detail,))
        self._ble.gap_advertise(
            self._interval,
            b"\x02\x01\x06\x11\x07" + self._uuid,  # flags: always discoverable, no classic; the service, complete list
            resp_data=bytes((len(told) + 17, 0x21)) + self._uuid + told,  # service data of a 128-bit UUID
            connectable=self._conn is None,
        )

    def _patience(self, now):
        if self._conn is not None:
            return max(0, self._heard + self._idle - now)

    async def _turn(self, now):
        self._take_leave()
        if self._stale:
            self._ble.gap_advertise(None)
            self._advertise()
        if self._conn is None:
            return
        if self._inbox:
            self._heard = now
            if self._mtu < MIN_MTU:
                self._inbox.clear()
                self._hang_up()
        elif now >= self._heard + self._idle or self._peer in self.layer.silent:
            self._hang_up()
        self.layer.silent.clear()

    def _hang_up(self):
        self._ble.gap_disconnect(self._conn)
        self._heard = self._now()  # its end will be told; if not, this is tried again

    async def _say(self, peer, data):
        conn = self._conn
        size = self._mtu - 3
        self._done.clear()
        while peer == self._peer and self._conn is not None:
            try:
                if len(data) >= size:  # a peer that gets a full packet reads the whole
                    self._ble.gatts_write(self._up, data)
                self._ble.gatts_indicate(conn, self._up, data[:size])
                break
            except OSError as e:
                if e.errno != errno.ENOMEM:
                    return
            await asyncio.sleep_ms(_FULL)
        if peer != self._peer or self._conn is None:
            return
        try:
            await asyncio.wait_for_ms(self._done.wait(), _CONFIRM)
        except asyncio.TimeoutError:
            self._hang_up()
