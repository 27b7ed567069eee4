"""A static file server as nodes ask one for updates: with ranges or without, silent or gone in the middle of a file."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self


class FileServer:
    """Serves a folder. `requests` are (path, range header); `cut` after so many bytes of bodies, once.

    After `stall` bytes it says nothing more to anybody, until it is to `resume`; whom it kept waiting is hung up on.
    `latency` (s one way) and `rate` (bytes a second, 0: any) are a network's between; `began`: when the first came.
    """

    def __init__(
        self, folder: Path, *, ranges: bool = True, cut: int = 0, latency: float = 0.0, rate: float = 0.0
    ) -> None:
        self.began = 0.0
        self.requests: list[tuple[str, str]] = []
        self.sent = 0
        self.cut = cut
        self.stall = 0
        self.stalled = False
        self._resumed = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            connecting = 2 * latency

            def do_GET(self) -> None:
                server.began = server.began or time.monotonic()
                if latency:
                    time.sleep(self.connecting + 2 * latency)  # the connection is not made here: its time is
                    self.connecting = 0.0
                wanted = self.headers.get("Range", "")
                if server.stalled:
                    self._keep_waiting()
                    return
                server.requests.append((self.path, wanted))
                path = folder / self.path.lstrip("/")
                if not path.is_file():
                    self.send_error(404)
                    return
                data = path.read_bytes()
                start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and ranges else 0
                self.send_response(206 if start else 200)
                if start:
                    self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
                data = data[start:]
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if server.cut and server.sent + len(data) > server.cut:
                    data = data[: server.cut - server.sent]
                    server.cut = 0
                    self.close_connection = True
                if server.stall and server.sent + len(data) > server.stall:
                    server.stalled = True
                    self.wfile.write(data[: server.stall - server.sent])
                    self._keep_waiting()
                    return
                if rate:
                    time.sleep(len(data) / rate)
                self.wfile.write(data)
                server.sent += len(data)

            def _keep_waiting(self) -> None:
                server._resumed.wait()
                self.close_connection = True

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def resume(self) -> None:
        """Answer again."""
        self.stall = 0
        self.stalled = False
        self._resumed.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._resumed.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
