"""A Google Cloud Storage emulator on loopback, behind a server that can be told to fail."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

from gcp_storage_emulator.server import create_server

BUCKET = "bucket"
OK, REFUSE, FORBID, DROP, HALF = "ok", "refuse", "forbid", "drop", "half"


class Store:
    """The emulator's door.

    Attributes:
        url: For ``STORAGE_EMULATOR_HOST``.
        plan: Asked for every request, by method and path: ``OK``; ``REFUSE`` answers 503, ``FORBID`` 403, ``DROP`` closes the
            connection, ``HALF`` does so when half of the answer is written.
        requests: Method and path of all requests so far.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.plan: Callable[[str, str], str] = lambda *_: OK
        self.requests: list[tuple[str, str]] = []

    def calm(self) -> None:
        """Fail no more."""
        self.plan = lambda *_: OK


@contextmanager
def running_store() -> Iterator[Store]:
    """Run the emulator and its door."""
    emulator = create_server("127.0.0.1", 0, in_memory=True, default_bucket=BUCKET)
    emulator.start()
    port = emulator._api._httpd.server_address[1]

    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length) if length else self._chunks()
            path = unquote(self.path)
            store.requests.append((self.command, path))
            fate = store.plan(self.command, path)
            if fate == DROP:
                self.close_connection = True
                return
            if fate in {REFUSE, FORBID}:
                self.send_response(503 if fate == REFUSE else 403)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            headers = {k: v for k, v in self.headers.items() if k.lower() not in {"host", "transfer-encoding", "content-length"}}
            connection.request(self.command, self.path, body=body, headers=headers)
            answer = connection.getresponse()
            content = answer.read()
            connection.close()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in {"transfer-encoding", "content-length", "connection", "date", "server"}:
                    self.send_header(name, value.replace(f":{port}", f":{self.server.server_address[1]}"))
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if fate == HALF else content)
            if fate == HALF:
                self.close_connection = True

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = _pass_on  # noqa: N815

        def _chunks(self) -> bytes:
            if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                return b""
            parts = []
            while size := int(self.rfile.readline().strip(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Clients that were killed are part of the tests."""

    door = Quiet(("127.0.0.1", 0), Door)
    door.daemon_threads = True
    store = Store(f"http://127.0.0.1:{door.server_address[1]}")
    thread = threading.Thread(target=door.serve_forever, daemon=True)
    thread.start()
    try:
        yield store
    finally:
        door.shutdown()
        door.server_close()
        emulator.stop()
