"""The door of a server: it takes every request down, and fails where a test asks for it."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

OK, REFUSE, UNKNOWN_KEY, FORBID, MISSING = "ok", "refuse", "unknown key", "forbid", "missing"
DROP, HALF, HANG = "drop", "half", "hang"

_STATUS = {
    REFUSE: HTTPStatus.SERVICE_UNAVAILABLE,
    UNKNOWN_KEY: HTTPStatus.UNAUTHORIZED,
    FORBID: HTTPStatus.FORBIDDEN,
    MISSING: HTTPStatus.NOT_FOUND,
}


@dataclass(frozen=True)
class Request:
    """What came in.

    Attributes:
        method: In capitals.
        target: Path and query as they were sent.
        headers: By name.
        body: Whole.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        """Path and query, unquoted."""
        return unquote(self.target)


@dataclass(frozen=True)
class Answer:
    """What goes out."""

    content: bytes = b""
    status: int = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict)


class Door:
    """What a test asks of a server, and what it sees of it.

    Attributes:
        url: Where it stands.
        plan: Asked for every request, by method and name: ``OK``; ``REFUSE`` answers 503, ``UNKNOWN_KEY`` 401, ``FORBID`` 403,
            ``MISSING`` 404, ``DROP`` closes the connection, ``HALF`` does so when half of the answer is written, ``HANG`` says
            nothing until :meth:`calm` or the end. It is asked in a thread of the request's own, and may wait itself.
        requests: Method and name of all requests so far, in the order they came.
        mistakes: What the server itself could not do, as tracebacks; the client got a 500.
    """

    url = ""

    def __init__(self) -> None:
        self.plan: Callable[[str, str], str] = lambda *_: OK
        self.requests: list[tuple[str, str]] = []
        self.mistakes: list[str] = []
        self._calm = threading.Event()

    def calm(self) -> None:
        """Fail no more; what hung is answered."""
        self.plan = lambda *_: OK
        self._calm.set()
        self._calm = threading.Event()

    def name(self, request: Request) -> str:
        """Say what a plan calls a request."""
        return request.path

    def answer(self, request: Request) -> Answer:
        """Answer a request that is not to fail."""
        raise NotImplementedError

    def fate(self, request: Request) -> str:
        """Take a request down and ask the plan."""
        name, calm = self.name(request), self._calm
        self.requests.append((request.method, name))
        fate = self.plan(request.method, name)
        if fate == HANG:
            calm.wait()
        return OK if fate == HANG else fate

    @contextmanager
    def open(self) -> Iterator[None]:
        """Listen on a free port of this machine."""
        server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"door": self}))
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.calm()
            server.shutdown()
            server.server_close()
            thread.join()
        # a test whose client has forgiven the server would prove less than it says
        assert not self.mistakes, self.mistakes[0]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Clients that were killed are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    door: Door

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else self._chunks()
        request = Request(self.command, self.path, dict(self.headers.items()), body)
        fate = self.door.fate(request)
        if fate == DROP:
            self.close_connection = True
            return
        answer = Answer(status=_STATUS[fate]) if fate in _STATUS else self._answer(request)
        content = answer.content
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if fate == HALF else content)
        if fate == HALF:
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = _serve  # noqa: N815

    def _answer(self, request: Request) -> Answer:
        try:
            return self.door.answer(request)
        except Exception:
            self.door.mistakes.append(traceback.format_exc())
            return Answer(status=HTTPStatus.INTERNAL_SERVER_ERROR)

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
