"""Runs in a MicroPython VM: a node's update resources, asked with CoAP messages as a link brings them.

Arguments: a case, and a folder with what the host has made: index1 (the application that runs), envelope, keys, root,
files/<digest>. The node is the real manager, installer and boot record on real littlefs; only its hardware is here.
Prints JSON.
"""

import asyncio
import gc
import io
import json
import os
import sys
import time
from binascii import hexlify
from hashlib import sha256

import slots
import vfs
from node.hal.unix_flash import RamFlash
from node.update import begin, resources
from node.update.installer import Installer

from citymote_protocol import cbor, coap
from citymote_protocol.coap_server import OPEN, Server

FOLDER = sys.argv[2] + "/"
BLOCKS = {"slot_a": 40, "slot_b": 40, "boot": 2, "config": 16}


def read(name):
    with open(FOLDER + name, "rb") as f:
        return f.read()


class Hal:
    def __init__(self):
        self.flash = {name: RamFlash(blocks) for name, blocks in BLOCKS.items()}
        self.resets = 0
        self.events = []
        self.asked = []

    def partition(self, label):
        return self.flash.get(label)

    def attach(self, label, path, fresh=False):
        if fresh:
            vfs.VfsLfs2.mkfs(self.flash[label], readsize=128, progsize=32)
        try:
            vfs.mount(vfs.VfsLfs2(self.flash[label], readsize=128, progsize=32), path)
            return not fresh
        except OSError:
            return self.attach(label, path, True)

    def detach(self, path):
        vfs.umount(path)

    def uptime_ms(self):
        return time.ticks_ms()

    def board(self):
        return {"board": "virtual"}

    def random(self, n):
        return os.urandom(n)

    def event(self, name, data=None):
        self.events.append((name, data))

    def reset(self):
        self.resets += 1

    def joined(self):
        return True

    async def connect(self, host, port, tls):
        return Site(self.asked)


class Site:
    """A file server with ranges, as a connection."""

    def __init__(self, asked):
        self.asked = asked
        self.out = b""

    def expect(self, n):
        pass

    async def write(self, data):
        lines = str(data, "utf-8").split("\r\n")
        name = lines[0].split(" ")[1].lstrip("/")
        at = 0
        for line in lines:
            if line.startswith("Range: bytes="):
                at = int(line[13:].rstrip("-"))
        self.asked.append((name, at))
        source = {"keys": "keys", "nodes/000000000000.suit": "envelope"}.get(name, name)
        body = read(source)
        head = "HTTP/1.1 %s\r\nContent-Length: %d\r\n" % ("206 P" if at else "200 OK", len(body) - at)
        if at:
            head += "Content-Range: bytes %d-%d/%d\r\n" % (at, len(body) - 1, len(body))
        self.out += (head + "\r\n").encode() + body[at:]

    async def read(self, n):
        got, self.out = self.out[:n], self.out[n:]
        return got

    def close(self):
        pass


class Supervisor:
    def start(self, name, make):
        return asyncio.create_task(make())

    def failed(self, name, error):
        sys.print_exception(error)


class Store:
    def put(self, make):
        self.last = make(1, 1)

    def flush(self):
        pass


class Sampler:
    values = (1, 2, None)
    rows = 1


class Known:
    known = True

    def now(self):
        return 850000000


class Node:
    name = bytes(6)
    boot = None
    updating = door = None
    awake = False
    duty = None
    sampler = Sampler()
    clock = Known()

    def __init__(self, hal):
        self.hal = hal
        self.store = Store()
        self.supervisor = Supervisor()
        self.lines = []
        self.settings = {
            "update_root": hexlify(read("root")).decode(), "update_hss": "", "update_window": "", "broker_ca": "",
            "update_url": "",
        }  # fmt: skip

    def log(self, level, text):
        self.lines.append(text)

    def moment(self):
        return 850000000, 1


class Link:
    def room(self, peer):
        return 1024

    def send(self, peer, message, now, confirmable=False):
        self.answer = message
        return 1


class Client:
    """One who talks to the node; also its desk."""

    def __init__(self, node):
        from node.crypto import NodeCrypto

        self.node = node
        self.door = self
        self.server = Server(NodeCrypto(os.urandom), None)
        functions = {
            "update": {"get": resources.state, "post": resources.offer},
            "update/keys": {"put": resources.keys},
            "update/file": {"put": resources.push},
        }
        for path, offered in functions.items():
            methods = {name: self.bound(function) for name, function in offered.items()}
            self.server.add(path, resources.FLAGS[path] | OPEN, **methods)
        self.server.report = sys.print_exception
        self.link = Link()
        self.token = 0
        self.messages = 0  # of the client; each has one answer

    def bound(self, function):
        return lambda request: function(self, request)

    def wake(self):
        pass

    def notify(self, path):
        self.server.notify(path)

    async def _once(self, code, path, options, payload):
        self.token += 1
        if self.token % 7 == 0:
            weigh()
        message = coap.Message(code, b"%d" % self.token, coap.path_options(path) + options, payload)
        self.link.answer = None
        self.messages += 1
        self.server.submit(self.link, "me", message, time.ticks_ms())
        while self.link.answer is None:
            self.server.step(time.ticks_ms())
            await asyncio.sleep_ms(0)
        return self.link.answer

    async def ask(self, code, path, payload=b"", query=(), block=None):
        """The last answer's (code, payload); a body in blocks of 16 << `block`, Echo as it is asked for."""
        queries = [(15, q.encode()) for q in query]
        size = 16 << block if block is not None else max(1, len(payload))
        at = 0
        while True:
            piece = payload[at : at + size]
            options = list(queries)
            if block is not None:
                more = at + size < len(payload)
                options.append((27, coap.uint_bytes(at // size << 4 | more << 3 | block)))
            answer = await self._once(code, path, options, piece)
            echo = answer.option(252)
            if answer.code == coap.UNAUTHORIZED and echo is not None:
                answer = await self._once(code, path, options + [(252, echo)], piece)
            at += size
            if at >= len(payload) or answer.code >> 5 != 2:
                return "%d.%02d" % (answer.code >> 5, answer.code & 31), bytes(answer.payload)

    async def state(self):
        return cbor.loads((await self.ask(1, "update"))[1])


def factory(hal):
    """The application of index1 in slot a, confirmed; /config blank."""
    hal.attach("slot_a", "/app", True)
    hal.attach("config", "/config", True)
    made = Installer("/app", "/nowhere")
    index = read("index1")
    made.begin(io.BytesIO(index), len(index), sha256(index).digest())
    while True:
        for _ in made.prepare():
            pass
        if made.wanted is None:
            break
        made.write(read("files/" + hexlify(made.wanted[3]).decode()))
        for _ in made.settle():
            pass
    for _ in made.finish(1):
        pass


def started(hal):
    """A node that has just started, and who talks to it."""
    try:  # noqa: SIM105
        vfs.umount("/next")
    except OSError:
        pass
    node = Node(hal)
    begin.begin(node, hal.partition)
    return node, Client(node)


async def stopped(node):
    """The power fails: what ran is gone, and what was not durable with it."""
    made = node.updating
    made._made._part = None
    made._task.cancel()
    await asyncio.sleep_ms(0)


async def push(client, most=1 << 30, block=2):
    """Push what is wanted, `most` bytes in all; how many went."""
    sent = 0
    while sent < most:
        while True:
            said = await client.state()
            if said[4] is not None or said[0] != 2:
                break
            await asyncio.sleep_ms(0)
        if said[4] is None:
            return sent
        data = read("files/" + hexlify(said[4]).decode())[said[5] :][: min(1024, most - sent)]
        query = ("d=" + hexlify(said[4][:8]).decode(), "o=%d" % said[5])
        code, _ = await client.ask(3, "update/file", data, query, block)
        assert code == "2.04", code
        sent += len(data)
    return sent


async def until(test):
    for _ in range(20000):
        if test():
            return
        await asyncio.sleep_ms(0)
    raise AssertionError("it does not happen")


def outcome(hal):
    record = slots.Record(hal.flash["boot"])
    return {"slot": record.slot, "state": record.state, "floor": record.floor, "resets": hal.resets}


HEAP = [0]  # the most that was in use


def weigh():
    gc.collect()
    HEAP[0] = max(HEAP[0], gc.mem_alloc())


async def blocks(hal, block=2):
    """Everything in blocks, by default as small as BLE's smallest messages."""
    _, client = started(hal)
    gc.collect()
    before = gc.mem_alloc()
    answer = await client.ask(3, "update/keys", read("keys"))
    assert answer[0] == "2.04", answer
    assert (await client.ask(3, "update/keys", read("keys")))[0] == "2.04", "the same again"
    answer = await client.ask(2, "update", read("envelope"), (), 2)
    assert answer[0] == "2.04", answer
    assert (await client.ask(2, "update", read("envelope"), (), 6))[0] == "2.04", "the same again"
    sent = await push(client, 1 << 30, block)
    await until(lambda: hal.resets)
    said = (await client.state())[:4]
    return dict(outcome(hal), sent=sent, said=said, messages=client.messages, heap=HEAP[0] - before)


async def large_blocks(hal):
    """The same in blocks of 128 bytes, as a radio with messages of 244 carries them."""
    return await blocks(hal, 3)


async def roads(hal):
    """A part over requests, a reset in the middle of a file, a part over HTTP, the rest over requests again."""
    node, client = started(hal)
    await client.ask(3, "update/keys", read("keys"))
    await client.ask(2, "update", read("envelope"), (), 5)
    first = await push(client, 6000)
    await stopped(node)
    node, client = started(hal)
    await until(lambda: node.updating.wanted)
    resumed = (await client.state())[5]
    second = await push(client, 2000)
    node.settings["update_url"] = "http://site"
    from node.update.poll import look

    await look(node, node.boot)
    await until(lambda: hal.resets)
    asked = [item for item in hal.asked if item[0].startswith("files/")]
    return dict(outcome(hal), first=first, resumed=resumed, second=second, offset=asked[0][1], files=len(asked))


async def refusals(hal):
    """What is answered to those who may not, or ask for what is not due."""
    node, client = started(hal)
    said = []

    async def ask(*arguments):
        code, payload = await client.ask(*arguments)
        said.append(code + " " + str(payload, "utf-8").split(":")[0])

    envelope = read("envelope")
    await ask(2, "update", envelope, (), 6)  # no key set yet
    await ask(3, "update/keys", read("keys")[:-1] + b"x")
    await ask(3, "update/keys", read("keys"))
    await ask(3, "update/keys", read("keys_other"))  # the same epoch, other keys
    await ask(2, "update", envelope[:-9] + bytes(9), (), 6)  # another index than was signed
    await ask(2, "update", read("unsigned"), (), 6)
    await ask(2, "update", bytes(9000), (), 6)
    await ask(3, "update/file", b"abc", ("d=00112233", "o=0"))  # no update is under way
    await ask(2, "update", envelope, (), 6)
    await until(lambda: node.updating.wanted)
    digest, at, _ = node.updating.wanted
    await ask(3, "update/file", b"abc", ("d=00112233", "o=0"))
    await ask(3, "update/file", b"abc", ("d=zz", "o=0"))
    await ask(3, "update/file", b"abc", ("d=" + hexlify(digest[:2]).decode(), "o=0"))
    _, payload = await client.ask(3, "update/file", b"abc", ("d=" + hexlify(digest).decode(), "o=77"))
    assert cbor.loads(payload) == at, "nothing is taken out of order; the answer says what is due"
    await ask(2, "update", read("unsigned"), (), 6)
    assert (await client.state())[0] == 2, "what nobody signed does not end what was begun"
    node.boot.state = slots.TRIAL
    node.updating = None
    await ask(2, "update", envelope, (), 6)
    return said


async def replaced(hal):
    """Another release is offered while one is half fetched."""
    _, client = started(hal)
    await client.ask(3, "update/keys", read("keys"))
    await client.ask(2, "update", read("older"), (), 6)
    await push(client, 300)
    answer = await client.ask(2, "update", read("envelope"), (), 6)
    assert answer[0] == "2.04", answer
    await push(client)
    await until(lambda: hal.resets)
    return dict(outcome(hal), said=(await client.state())[:4])


async def torn_prefixes(hal):
    """A reset after any number of bytes: nothing is wrong, and at most 4 KB are fetched again."""
    tried = 0
    for cut in range(1, 9000, 611):
        factory_again(hal)
        node, client = started(hal)
        await client.ask(3, "update/keys", read("keys"))
        await client.ask(2, "update", read("envelope"), (), 6)
        sent = await push(client, cut)
        if hal.resets:
            break
        before = node.updating
        await stopped(node)
        node, client = started(hal)
        again = await push(client)
        await until(lambda: hal.resets)
        assert outcome(hal)["state"] == slots.TRIAL and before is not node.updating
        tried += 1
        total = sent + again
        assert total <= int(sys.argv[3]) + 4096, "%d bytes after a cut at %d" % (total, cut)
    return tried


def factory_again(hal):
    for path in ("/next", "/app", "/config"):
        try:  # noqa: SIM105
            vfs.umount(path)
        except OSError:
            pass
    hal.__init__()
    factory(hal)


def main():
    hal = Hal()
    factory(hal)
    print(json.dumps(asyncio.run(globals()[sys.argv[1]](hal))))


main()
