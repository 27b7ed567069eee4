"""Gets files, or the rest of them, from any static HTTP/1.1 server (RFC 9110, 9112), one after the other.

Only GET with Range, only answers with a length: what a server or a cache of static files has anyway. Nothing that the
peer says is kept beyond one line; redirects and chunked answers are refused in words. Carries bytes for updates.
"""

_LINE = 512  # bytes of a header line
_LINES = 64


class HttpError(OSError):
    """The server's answer is none that helps; the text says which."""


def parse_url(url):
    """(host, port, tls, path without a slash at its end)."""
    for scheme, port, tls in (("https://", 443, True), ("http://", 80, False)):
        if url.startswith(scheme):
            place, _, path = url[len(scheme) :].partition("/")
            host, colon, number = place.rpartition(":")
            if not colon:
                host, number = place, ""
            if not host or "@" in host or colon and not number.isdigit():
                break
            path = path.rstrip("/")
            return host, int(number) if number else port, tls, "/" + path if path else ""
    raise HttpError(22, "not http[s]://host[:port]/path")


class Http:
    """`connect(host, port, tls)` as the HAL has it; `tls` a dict or None."""

    def __init__(self, connect, url, tls=None):
        self._host, self._port, secure, self._path = parse_url(url)
        self._tls = (tls or {}) if secure else None
        self._connect = connect
        self._stream = None
        self._early = b""
        self.left = 0  # bytes of the answer that have not been read

    async def get(self, name, offset=0):
        """Ask for a file from an offset on; the bytes of the answer are then `read`. None: there is no such file."""
        if self.left:
            self.close()
        stream = self._stream
        if stream is None:
            self._early = b""
            stream = self._stream = await self._connect(self._host, self._port, self._tls)
        request = "GET %s/%s HTTP/1.1\r\nHost: %s\r\nUser-Agent: citymote\r\n" % (self._path, name, self._host)
        if offset:
            request += "Range: bytes=%d-\r\n" % offset
        await stream.write((request + "\r\n").encode())
        stream.expect(1)
        try:
            return await self._answer(offset)
        finally:
            stream.expect(-1)

    async def _answer(self, offset):
        words = (await self._line()).split(" ", 2)
        if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdigit():
            raise HttpError(71, "not HTTP")
        status = int(words[1])
        length = start = None
        for _ in range(_LINES):
            line = await self._line()
            if not line:
                break
            name, _, value = line.partition(":")
            name = name.lower()
            value = value.strip()
            if name == "content-length" and value.isdigit() and len(value) < 10:
                length = int(value)
            elif name == "content-range":
                first = value.replace("bytes ", "", 1).partition("-")[0]
                start = int(first) if first.isdigit() and len(first) < 10 else -1
            elif name == "transfer-encoding" or name == "content-encoding" and value.lower() != "identity":
                raise HttpError(71, "the server sends its files %s" % value[:20])
        else:
            raise HttpError(71, "too many header lines")
        if length is None:
            raise HttpError(71, "status %d without a length" % status)
        self.left = length
        if status == 404 or status == 410:
            await self._skip(length)
            return None
        if status == 200:
            await self._skip(min(offset, length))  # it knows no ranges
        elif status != 206 or start != offset:
            self.close()
            raise HttpError(71, "status %d" % status)
        return self.left

    async def _skip(self, count):
        while count:
            count -= len(await self.read(min(count, 512)))

    async def read(self, most):
        """Up to `most` bytes of the answer, at least one while `left` is not 0; EOFError when the server has gone."""
        if not self.left:
            return b""
        most = min(most, self.left)
        if self._early:
            got = self._early[:most]
            self._early = self._early[most:]
        else:
            self._stream.expect(1)
            try:
                got = await self._stream.read(most)
            finally:
                self._stream.expect(-1)
            if not got:
                self.close()
                raise EOFError
        self.left -= len(got)
        return got

    async def _line(self):
        while b"\n" not in self._early:
            if len(self._early) > _LINE:
                raise HttpError(71, "a header line is too long")
            got = await self._stream.read(256)
            if not got:
                self.close()
                raise EOFError
            self._early += got
        line, self._early = self._early.split(b"\n", 1)
        try:
            return str(line.rstrip(b"\r"), "utf-8")
        except UnicodeError:
            raise HttpError(71, "a header line is no text") from None

    def close(self):
        """Hang up; the next `get` connects anew."""
        stream, self._stream = self._stream, None
        self.left = 0
        self._early = b""
        if stream:
            stream.close()
