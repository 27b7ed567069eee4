"""A TCP or TLS connection as the links use it, the same on a board and on the virtual node.

asyncio's own streams wait for the socket before each read; a TLS socket may hold bytes that the poll of the
socket below it does not see, so this one reads first and waits only when there was nothing. `tls` is None, or a
dict: `ca` (certificate of whoever signs for the server), `hostname` (when it differs from the host), `cert` and `key`
(when the server asks who we are), `insecure` (True: encrypt, but ask for no certificate). Certificates and keys are the
bytes of their DER.
"""

# pyright: reportAttributeAccessIssue=false
import errno
import socket
from asyncio import core

_ADDRESSES = 4  # of one name, tried in turn
# Reasons of SPEC 15.4 as numbers of an OSError: 2000 and the reason
NO_NETWORK, BAD_KEY, NO_ADDRESS, NO_NAME = 2001, 2002, 2003, 2004
_IS_CONNECTED = (106, 127)  # EISCONN on Linux and on lwIP; MicroPython's errno has no name for it


class Stream:
    def __init__(self, sock, expecting=None):
        self._s = sock
        self._expecting = expecting
        self._awaited = 0
        self._early = b""
        self.closed = None  # called once, when it is closed

    def expect(self, n):
        """A reply is awaited from the peer (+1), or has come (-1): the virtual node's time stands still meanwhile."""
        self._awaited += n
        if self._expecting:
            self._expecting(n)

    def _nothing_awaited(self):
        if self._awaited:
            self.expect(-self._awaited)

    async def read(self, n):
        """Up to `n` bytes, at least one; b'' when the peer has closed."""
        if self._early:
            return self._take(n)
        while True:
            got = self._s.read(n)
            if got is not None:
                return got
            await Readable(self._s)

    def _take(self, n):
        got = self._early[:n]
        self._early = self._early[n:]
        return got

    async def readinto(self, buf):
        """Like read, into the caller's buffer; the number of bytes, 0 when the peer has closed."""
        if self._early:
            got = self._take(len(buf))
            buf[: len(got)] = got
            return len(got)
        while True:
            got = self._s.readinto(buf)
            if got is not None:
                return got
            await Readable(self._s)

    async def readexactly(self, n):
        """`n` bytes; EOFError when the peer closes before."""
        got = await self.read(n) if n else b""
        while len(got) < n:
            more = await self.read(n - len(got))
            if not more:
                break
            got += more
        if len(got) < n:
            raise EOFError
        return got

    async def write(self, buf):
        """All of `buf`, into the socket's buffer."""
        mv = memoryview(buf)
        done = 0
        while done < len(mv):
            n = self._s.write(mv[done:])
            if n:
                done += n
            else:
                await _Writable(self._s)

    async def drain(self):
        """Nothing is held back here; the pause lets others run between large writes."""
        await core.sleep_ms(0)

    def close(self):
        self._nothing_awaited()
        self._expecting = None
        self._s.close()
        closed, self.closed = self.closed, None
        if closed:
            closed()


class Readable:
    # Awaited once: the task waits in the loop's poller until the stream can be read.
    def __init__(self, s):
        self._s = s

    def __iter__(self):
        return self

    def __await__(self):
        yield  # for type checkers; MicroPython awaits what can be iterated

    def __next__(self):
        if self._s is None:
            raise StopIteration
        s = self._s
        self._s = None
        self._queue(s)

    def _queue(self, s):
        core._io_queue.queue_read(s)


class _Writable(Readable):
    def _queue(self, s):
        core._io_queue.queue_write(s)


def context(tls):
    """The TLS context that the dict above describes."""
    import tls as _tls

    ctx = _tls.SSLContext(_tls.PROTOCOL_TLS_CLIENT)
    if tls.get("insecure"):
        ctx.verify_mode = _tls.CERT_NONE
    else:
        ctx.verify_mode = _tls.CERT_REQUIRED
        ctx.load_verify_locations(tls["ca"])
    if tls.get("cert"):
        ctx.load_cert_chain(tls["cert"], tls["key"])
    return ctx


async def open_stream(host, port, tls=None, expecting=None):
    """Connect; OSError when refused, unreachable or not who it should be. The name lookup blocks."""
    error = None
    try:
        found = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)
    except OSError:
        raise OSError(NO_NAME, "nobody knows an address of " + host)
    for info in found[:_ADDRESSES]:
        sock = socket.socket(info[0], info[1], info[2])
        stream = Stream(sock, expecting)
        stream.expect(1)
        try:
            try:
                await _connect(sock, info[-1])
            except OSError as e:
                # A name may have addresses of two families, with somebody behind one of them.
                error = e
                stream.close()
                continue
            if tls:
                await _handshake(stream, sock, tls, host)
        except BaseException:
            stream.close()
            raise
        stream.expect(-1)
        return stream
    raise error or OSError(errno.ENOENT)


async def _connect(sock, address):
    sock.setblocking(False)
    try:
        sock.connect(address)
    except OSError as e:
        if e.errno != errno.EINPROGRESS:
            raise
        await _Writable(sock)
        try:
            sock.connect(address)  # asked again, it says how the first attempt ended
        except OSError as e:
            if e.errno not in _IS_CONNECTED:
                raise


async def _handshake(stream, sock, tls, host):
    # Reading drives the handshake, and raises what it fails with. That it is over shows in the peer's certificate,
    # which is there from then on; a byte that came with its end is kept for the first read.
    try:
        secure = context(tls).wrap_socket(
            sock, server_hostname=tls.get("hostname") or host, do_handshake_on_connect=False
        )
        stream._s = secure
        secure.setblocking(False)
        while True:
            early = secure.read(1)
            if early is not None:
                if not early:
                    raise OSError(errno.ECONNRESET)
                stream._early = early
                return
            if secure.getpeercert(True) is not None:
                return
            await Readable(sock)
    except ValueError as e:
        # a certificate that cannot be read, or that is not the peer's whom we want
        raise OSError(errno.EACCES, str(e).strip())
