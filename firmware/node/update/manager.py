"""An update from its offer to the switch: verified before it is parsed, fetched over any road, checked once more.

Loaded when there is one, let go after. A road is whoever brings the bytes of the file that is `wanted`: this module
pulls them over HTTP, or somebody pushes them (BLE, serial, UDP and MQTT all end in `push`); a half-fetched file goes
on over another road where it was. The node samples meanwhile; only the switch at the end is a reset.
"""

import asyncio
import json
import os
import sys
from binascii import hexlify

from node.files import remove
from node.journal import INFO, WARNING, reason
from node.supervisor import stop

from .installer import Broken, Installer, digest_of, take_index
from .state import (
    APPLICATION,
    BOARD,
    BROKEN,
    DOWNLOADING,
    EMERGENCY,
    ENVELOPE,
    FLASH,
    GONE,
    IMAGE,
    REFUSED,
    RUNTIME,
    TRIAL,
    VERIFIED,
    Refused,
    State,
    fail,
    in_steps,
    no_trial,
    server,
    tell,
)

_NEXT = "/next"
_RUNNING = "/app"
_TRIES = 3  # of a file whose content is not what was signed
_WAIT = 5000  # ms before a road that broke is tried again; doubled up to the longest
_LONGEST = 600000
_PATIENCE = 30000  # ms for the server's next bytes
_HEARD = 5000  # ms in which whoever carries an update, or watches it, hears that it is verified before the node resets


class Worn(Exception):
    """The other slot does not take what is written."""


class Manager:
    """`node` is the application's; `record` the boot's (slots.Record)."""

    def __init__(self, node, record):
        self._node = node
        self._hal = node.hal
        self._log = node.log
        self._settings = node.settings
        self._record = record
        self.state = State()
        self._made = None  # the installer, once the other slot is mounted
        self._task = None
        self._worn = None  # what a push has found
        self._pushed = asyncio.Event()
        self._told = 0
        self.road = asyncio.Lock()  # held by who has a connection to a file server: two are more than a chip's TLS has
        self.waits = None  # uptime since which it only waits, for a road or for the window

    async def take(self, found, source, offer, url=""):
        """Make what has been judged (`judge`) what the other slot becomes, in the place of what is under way."""
        await self.stop()
        no_trial(self._record, self.state)
        self._take(found, source, offer, url)
        self.launch()

    def also(self, url):
        """The files can be had there, too: what somebody has begun to push goes on from the server."""
        if self.state.also(url):
            self._pushed.set()

    def launch(self):
        """Do the rest beside everything else; until it is done, `node.updating` is this."""
        self._node.updating = self
        self._node.awake = True
        self._task = self._node.supervisor.start("update", self.run)

    async def stop(self):
        """Leave it where it is; it goes on from there when it is launched again, after a reset too."""
        if self._task is not None:
            await stop(self._task)
        self._rest()

    def _rest(self):
        if self._node.updating is self:
            self._node.updating = None
            self._node.awake = False

    def _take(self, found, source, offer, url):
        state = self.state
        state.state, state.reason, state.progress = DOWNLOADING, 0, 0
        state.kind, state.sequence, state.role, state.signer, state.index, at, size = found
        state.offer, state.url = offer, url
        try:
            self._raise_floor()
            self._open()
            source.seek(at)
            self._made.begin(source, size, state.index)
        except OSError as e:
            self._close()
            self._fail(FLASH, "the slot cannot be written: %s" % reason(e))
            raise Refused(FLASH, reason(e), "storage")
        except Broken as e:
            self._fail(REFUSED, str(e))
            raise Refused(REFUSED, str(e), "index")
        state.save()
        self._log(INFO, "update %d: offered" % state.sequence)
        tell(self._node, state)

    def _raise_floor(self):
        # An emergency ends whatever came before it, also where its own application is not confirmed in the end.
        record, least = self._record, self.state.sequence - 1
        if self.state.role == EMERGENCY and record.floor < least:
            record.floor = least
            record.save()

    def _open(self):
        # The other slot, mounted, and the installer over it; for an image its place.
        if self._made is None and self.state.kind == IMAGE:
            from .image import ImageInstaller

            self._made = ImageInstaller(self._hal.images().place())
        if self._made is None:
            from slots import LABELS

            if not self._hal.attach(LABELS[self._record.slot ^ 1], _NEXT):
                self._log(WARNING, "update: the other slot was blank or damaged: formatted")
            self._made = Installer(_NEXT, _RUNNING)

    def _close(self):
        # Nothing of the other slot stays open when it is unmounted.
        made, self._made = self._made, None
        if made is None:
            return
        try:
            made.sync()
        except OSError:
            pass
        if self.state.kind == APPLICATION:
            self._hal.detach(_NEXT)

    def _fail(self, code, text):
        fail(self._node, self.state, code, text)

    @property
    def wanted(self):
        """(digest, offset, total) of what is to be fetched next, or None."""
        made = self._made
        if made is None or made.wanted is None or made.complete:
            return None
        return made.wanted[3], made.fetched, made.wanted[2] or made.wanted[1]

    def push(self, digest, offset, data):
        """Bytes of the wanted file from another road; the offset that is wanted next, whatever came."""
        want = self.wanted
        if want and want[0].startswith(digest) and want[1] == offset and offset + len(data) <= want[2]:
            try:
                self._write(data)
            except Worn as e:
                self._worn = e
            self._pushed.set()
        return want and (self.wanted or (want[0], want[2], want[2]))

    async def run(self):
        """Everything after the offer, also one that a reset interrupted; ends with the switch or with a failure."""
        # An error that nobody foresaw leaves it the one that is under way: it is started again in a while.
        try:
            await self._run()
        finally:
            self._close()
        self._rest()

    async def _run(self):
        state = self.state
        switched = state.kind == APPLICATION and state.state == VERIFIED and state.turn != self._record.turn
        if state.state not in (DOWNLOADING, VERIFIED) or switched:
            return
        if state.state == DOWNLOADING:
            if not await self._install():
                return
            self._close()
            state.turn = self._hal.images().running() ^ 1 if state.kind == IMAGE else self._record.turn
            state.state, state.progress = VERIFIED, 100
            state.save()
            tell(self._node, state)
            door = self._node.door
            if door is not None and door.busy(self._hal.uptime_ms()):
                await asyncio.sleep_ms(_HEARD)
        await self._window()
        self._node.store.flush()
        self.switch()

    async def _window(self):
        from .window import wait

        said = False
        while self.state.role != EMERGENCY:
            ms = wait(self._settings["update_window"], self._node.clock, self._hal.uptime_ms())
            if not ms:
                return
            if not said:
                said = True
                self.waits = self._hal.uptime_ms()
                self._log(INFO, "update %d: verified, starts in the window" % self.state.sequence)
            await asyncio.sleep_ms(min(ms, 600000))

    async def _install(self):
        # The other slot from wherever it is to whole; False when that has failed, and why has been said.
        state = self.state
        for attempt in (0, 1):
            try:
                self._open()
                if digest_of(self._made.index) != state.index:
                    self._fail(GONE, "what was begun is not there any more: offer it again")
                    return False
                await self._fetch_all()
                if state.kind == APPLICATION:
                    await self._check()
                await in_steps(self._made.finish(state.sequence))
                return True
            except Broken as e:
                self._fail(BROKEN, str(e))
                break
            except Refused as e:
                self._fail(e.code, str(e))
                break
            except (OSError, Worn) as e:  # of the flash: roads are dealt with where they are used
                why = reason(e)
                if not attempt and state.kind == APPLICATION:
                    self._log(WARNING, "update: %s; the slot is formatted" % why)
                    try:
                        self._again()
                        continue
                    except OSError as e:
                        why = reason(e)
                self._fail(FLASH, "the slot cannot be written: %s" % why)
                break
        return False

    def _again(self):
        # A slot that does not take what it should: once from the beginning, on a fresh filesystem.
        from slots import LABELS

        digest = self.state.index
        if self._made is not None:
            self._copied(self._made.index, ENVELOPE, digest)
        self._close()
        self._hal.attach(LABELS[self._record.slot ^ 1], _NEXT, True)
        self._made = Installer(_NEXT, _RUNNING)
        self._copied(ENVELOPE, self._made.index, digest)
        remove(ENVELOPE)

    def _copied(self, path, to, digest):
        # An index is kept elsewhere meanwhile; where it cannot be read, it is found to be gone.
        if digest_of(path) == digest:
            with open(path, "rb") as f:
                take_index(to, f, os.stat(path)[6], digest)

    async def _fetch_all(self):
        made = self._made
        total = done = 0
        for _, size, packed, _ in made.items():
            total += packed or size
        tries = 0
        while True:
            await in_steps(made.prepare())
            if made.wanted is None:
                return
            done = 0
            for name, size, packed, _ in made.items():
                if name < made.wanted[0]:
                    done += packed or size
            await self._fetch(done, total)
            try:
                await in_steps(made.settle())
                tries = 0
            except Broken:
                tries += 1
                if tries == _TRIES:
                    raise

    def _progress(self, done, total):
        percent = 100 * done // max(1, total)
        self.state.progress = percent
        if percent - self._told >= 20:  # five events an update are enough
            self._told = percent
            self.state.save()
            tell(self._node, self.state)

    async def _fetch(self, done, total):
        made = self._made
        wait = _WAIT
        while not made.complete:
            self._progress(done + made.fetched, total)
            worn, self._worn = self._worn, None
            if worn:
                raise worn
            if not self.state.url:
                self._rests()
                self._pushed.clear()
                await self._pushed.wait()
                continue
            before = made.fetched
            try:
                await self._pull(done, total)
            except (OSError, EOFError, asyncio.TimeoutError) as e:
                self._log(WARNING, "update: %s" % (reason(e) or "the server has gone"))
                wait = _WAIT if made.fetched > before else min(wait * 2, _LONGEST)
                self._rests()
                try:
                    await asyncio.wait_for_ms(self._pushed.wait(), wait)  # another road may go on meanwhile
                    self._pushed.clear()
                except asyncio.TimeoutError:
                    pass

    def _rests(self):
        if self.waits is None:
            self.waits = self._hal.uptime_ms()

    def _sync(self):
        try:
            self._made.sync()
        except OSError as e:
            raise Worn(reason(e)) from None

    def _write(self, data):
        self.waits = None
        try:
            self._made.write(data)
        except OSError as e:
            raise Worn(reason(e)) from None

    async def _pull(self, done, total):
        made = self._made
        at = made.fetched
        async with self.road:
            road = server(self._node, self.state.url)
            try:
                name = hexlify(made.wanted[3]).decode()
                if await asyncio.wait_for_ms(road.get(name, at), _PATIENCE) is None:
                    raise OSError(2, "the server does not have %s" % name[:8])
                while road.left and not made.complete:
                    data = await asyncio.wait_for_ms(road.read(512), _PATIENCE)
                    if made.fetched != at:
                        return  # somebody pushes this file meanwhile
                    self._write(data)
                    at = made.fetched
                    self._progress(done + at, total)
                if not made.complete:
                    raise OSError(2, "the server's %s is too short" % name[:8])
            finally:
                road.close()
                self._sync()

    async def _check(self):
        # What the new application says of itself, before it is started.
        try:
            with open(_NEXT + "/release.json") as f:
                about = json.load(f)
            runtime = tuple([int(part) for part in about["runtime"].split(".")])
            boards = about["boards"]
        except (OSError, ValueError, KeyError):
            raise Refused(REFUSED, "the application does not say what it is for")
        if sys.implementation.version[: len(runtime)] < runtime:
            raise Refused(RUNTIME, "it needs MicroPython %s" % about["runtime"])
        if boards and self._hal.board().get("board") not in boards:
            raise Refused(BOARD, "it is not for this board")

    def _switch_runtime(self):
        # In this order: a cut after the first finds a verified update that runs already.
        try:
            self._hal.images().switch()
        except OSError as e:
            self._fail(BROKEN, "the chip does not take the image: %s" % reason(e))
            return
        self.state.state = TRIAL
        self.state.save()
        self._log(INFO, "update %d: verified, starting the runtime" % self.state.sequence)
        self._hal.reset()

    def switch(self):
        """Start the other slot on trial: one entry of the boot record, then a reset."""
        from slots import NOTHING, TRIAL

        record = self._record
        self.state.readings = sum([value is not None for value in self._node.sampler.values])
        if self.state.kind == IMAGE:
            self._switch_runtime()
            return
        self.state.save()
        record.slot ^= 1
        record.state, record.starts, record.why = TRIAL, 0, NOTHING
        try:
            record.save()
        except OSError as e:
            self._fail(FLASH, reason(e))
            return
        self._log(INFO, "update %d: verified, starting it" % self.state.sequence)
        self._hal.reset()
