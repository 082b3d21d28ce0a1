"""A Google Cloud Storage emulator on loopback, behind a door that can be told to fail."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from gcp_storage_emulator.server import create_server

from servers.door import Answer, Door, Request

BUCKET = "bucket"

# of a connection, not of what is sent over it
_ITS_OWN = {"host", "transfer-encoding", "content-length", "connection", "date", "server"}


class Store(Door):
    """The emulator's door; its ``url`` is for ``STORAGE_EMULATOR_HOST``."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._port = port

    def answer(self, request: Request) -> Answer:
        """Pass a request on to the emulator."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _ITS_OWN}
        connection.request(request.method, request.target, body=request.body, headers=headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        door = f":{urlsplit(self.url).port}"
        kept = {
            name: value.replace(f":{self._port}", door) for name, value in answer.getheaders() if name.lower() not in _ITS_OWN
        }
        return Answer(content, answer.status, kept)


@contextmanager
def running_store() -> Iterator[Store]:
    """Run the emulator and its door."""
    emulator = create_server("127.0.0.1", 0, in_memory=True, default_bucket=BUCKET)
    emulator.start()
    store = Store(emulator._api._httpd.server_address[1])
    try:
        with store.open():
            yield store
    finally:
        emulator.stop()
